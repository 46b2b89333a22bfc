"""The files in an archive are read whole and under limits, or not at all."""

from __future__ import annotations

import io
import tarfile
import tomllib
import zipfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path

import pytest

from assent.capabilities.archive._streams import zstd_module
from assent.capabilities.knowledge import ArchiveMembers, Quota
from assent.errors import AssentError
from assent.invocation import CancelToken

FORMATS = ("zip", "tar", "tar.gz", "tar.zst")
QUOTA = Quota(bytes_max=4_096, entries_max=16, depth_max=2, ms_max=120)


def packed(form: str, files: Mapping[str, int]) -> bytes:
    """An archive of files of so many bytes."""
    into = io.BytesIO()
    if form == "zip":
        with zipfile.ZipFile(into, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, size in files.items():
                archive.writestr(name, b"x" * size)
        return into.getvalue()
    with tarfile.open(fileobj=into, mode="w:gz" if form == "tar.gz" else "w:") as tar:
        for name, size in files.items():
            header = tarfile.TarInfo(name)
            header.size = size
            tar.addfile(header, io.BytesIO(b"x" * size))
    data = into.getvalue()
    return bytes(zstd_module().compress(data)) if form == "tar.zst" else data


def archives(
    quota: Quota | None = None, tick_ms: int = 0, cancel: CancelToken | None = None
) -> ArchiveMembers:
    times = count(1_000, tick_ms) if tick_ms else None
    return ArchiveMembers(lambda: 1_000 if times is None else next(times), cancel or CancelToken(), quota)


def refused(found: ArchiveMembers, form: str, data: bytes) -> AssentError:
    with pytest.raises(AssentError) as raised:
        found.members(f"a.{form}", data)
    return raised.value


@pytest.mark.parametrize("form", FORMATS)
def test_members_come_in_the_order_of_their_paths(form: str) -> None:
    found = archives()
    assert found.reads(f"some/a.{form.upper()}")
    data = packed(form, {"b/x": 3, "b.txt": 2, "a": 0})
    assert found.members(f"some/a.{form}", data) == [("a", b""), ("b.txt", b"xx"), ("b/x", b"xxx")]


@pytest.mark.parametrize("path", ["a.gz", "a.zst", "a.txt", "a"])
def test_what_holds_no_tree_is_no_archive(path: str) -> None:
    assert not archives().reads(path)


@pytest.mark.parametrize("form", FORMATS)
def test_exactly_at_the_limits_passes(form: str) -> None:
    # Sixteen entries, one of them the folder.
    files = {f"in/{number}": 256 for number in range(14)} | {"in/last": 512}
    found = archives(QUOTA).members(f"a.{form}", packed(form, files))
    assert (len(found), sum(len(data) for _, data in found)) == (15, 4_096)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("files", "parameter", "observed"),
    [
        ({"a": 4_097}, "bytes_max", ("bytes", 4_097)),
        ({str(number): 1 for number in range(17)}, "entries_max", ("entries", 17)),
        ({"a/b/c": 1}, "depth_max", ("depth", 3)),
    ],
)
def test_past_a_limit_is_refused_with_limits_and_what_was_observed(
    form: str, files: dict[str, int], parameter: str, observed: tuple[str, int]
) -> None:
    error = refused(archives(QUOTA), form, packed(form, files))
    assert (error.code, error.details["parameter"]) == ("ARCHIVE_QUOTA", parameter)
    assert error.details["limits"] == {"bytes_max": 4_096, "entries_max": 16, "depth_max": 2, "ms_max": 120}
    seen = error.details["observed"]
    assert isinstance(seen, dict)
    assert observed in seen.items()


@pytest.mark.parametrize("form", FORMATS)
def test_what_takes_too_long_is_refused(form: str) -> None:
    error = refused(archives(QUOTA, tick_ms=100), form, packed(form, {"a": 1, "b": 1}))
    assert (error.code, error.message) == ("ARCHIVE_QUOTA", "the archive takes too long: more than 120 ms")
    seen = error.details["observed"]
    assert isinstance(seen, dict)
    assert seen["ms"] == 200


@pytest.mark.parametrize("form", FORMATS)
def test_a_damaged_archive_and_a_cancelled_call_give_nothing(form: str) -> None:
    data = packed(form, {"a": 1_000})
    assert refused(archives(), form, data[: len(data) // 17]).code.startswith("ARCHIVE_")
    assert refused(archives(), form, b"").code == "ARCHIVE_INVALID"
    cancel = CancelToken()
    cancel.cancel()
    assert refused(archives(cancel=cancel), form, data).code == "CALL_CANCELLED"


def test_the_archive_of_the_samples_is_refused(samples: Path) -> None:
    said = tomllib.loads(
        (samples / "embednexus" / "fixtures" / "archives" / "quota-latency.toml").read_text()
    )
    limits = said["profile"]["default"]
    quota = Quota(
        limits["bytes_max"], limits["entries_max"], limits["nesting_max"], limits["latency_budget_ms"]
    )
    assert quota == QUOTA
    (one,) = said["archives"]
    form = one["name"].partition(".")[2]
    files = {str(number): one["bytes"] // one["entries"] for number in range(one["entries"])}
    assert refused(archives(quota), form, packed(form, files)).code == "ARCHIVE_QUOTA"
    deep = {"/".join("abcdef"[: one["nesting_depth"]]): 1}
    assert refused(archives(quota), form, packed(form, deep)).details["parameter"] == "depth_max"
    late = archives(quota, tick_ms=one["max_latency_ms"])
    assert refused(late, form, packed(form, {"a": 1})).details["parameter"] == "ms_max"
    wide = Quota(one["bytes"], one["entries"], one["nesting_depth"], one["max_latency_ms"])
    assert len(archives(wide).members(one["name"], packed(form, files))) == one["entries"]
