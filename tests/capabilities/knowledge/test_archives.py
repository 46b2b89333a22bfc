"""The files in an archive are read whole and under limits, or not at all."""

from __future__ import annotations

import io
import tarfile
import tomllib
import tracemalloc
import zipfile
from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest

from assent.capabilities.archive._streams import zstd_module
from assent.capabilities.knowledge import ArchiveMembers, Quota, area
from assent.errors import AssentError
from assent.invocation import CancelToken
from assent.knowledge.chunks import FILE_BYTES_MAX
from tests.support.bodies import user
from tests.support.knowledge_places import called, furnish, opened, write

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


def test_of_a_file_that_is_left_out_no_more_is_held_than_shows_that_it_is_too_large() -> None:
    """What is in memory at once is bounded by the quota, whatever an archive says of itself."""
    quota, sizes = Quota(bytes_max=48 << 20), {"large": 30 << 20, "more": 18 << 20}
    data = packed("zip", sizes)
    assert len(data) < 1 << 20
    found = archives(msgspec.structs.replace(quota, bytes_max=4 << 20))
    assert refused(found, "zip", data).code == "ARCHIVE_QUOTA"
    stored = packed("tar", sizes)
    tracemalloc.start()
    members = archives(quota).members("a.tar", stored)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert all(FILE_BYTES_MAX < len(one) <= FILE_BYTES_MAX + (1 << 20) for _, one in members)
    assert peak < quota.bytes_max


def zip_of(files: Mapping[str, str]) -> bytes:
    into = io.BytesIO()
    with zipfile.ZipFile(into, "w") as archive:
        for name, text in files.items():
            archive.writestr(name, text)
    return into.getvalue()


OLD = {"parser.py": "def parse_quartz(text): ...\n", "people/ada.md": "# Ada\n\nAda lives in feldspartal.\n"}
LABELS = """\
[knowledge.labels.staff]
paths = ["src/*/people/*"]
roles = ["hr"]
[knowledge.labels.closed]
paths = ["*.tar"]
roles = ["hr"]
"""
HUGO = user("hugo", "hr")


async def test_what_is_in_an_archive_is_planned_found_shown_and_proved(tmp_path: Path) -> None:
    work = furnish(tmp_path, {"old.zip": zip_of(OLD), "new.py": "new = 1\n"})
    async with opened(work) as rt:
        planned = await called(rt, "plan", repository="code")
        assert (planned["files"], planned["bytes"]) == (3, 8 + sum(map(len, OLD.values())))
        made = await called(rt, "index", repository="code")
        assert (made["files"], made["changed"], made["left_out"]) == (3, 3, {})
        again = await called(rt, "index", repository="code")
        assert (again["root"], again["generation"], again["changed"]) == (made["root"], made["generation"], 0)
        (hit,) = (await called(rt, "search", query="quartz"))["hits"]
        assert (hit["path"], hit["symbol"]) == ("src/old.zip!/parser.py", "parse_quartz")
        asked = {"chunk": hit["chunk"], "repository": "code"}
        assert (await called(rt, "read_chunk", **asked))["text"] == hit["text"]
        assert (await called(rt, "prove", **asked))["root"] == made["root"]
        assert (await called(rt, "search", query="quartz", paths=["src/old.zip!/*.md"]))["hits"] == []
        write(work, {"old.zip": zip_of({"parser.py": "def parse_marble(text): ...\n"})})
        changed = await called(rt, "index", repository="code")
        assert (changed["changed"], changed["removed"], changed["files"]) == (1, 1, 2)
        assert (await called(rt, "search", query="feldspartal"))["hits"] == []


async def test_labels_hold_in_archives(tmp_path: Path) -> None:
    """What is in an archive has the labels of its own path, and those of the archive."""
    files = {"old.zip": zip_of(OLD), "all.tar": packed("tar", {"quartz.md": 9})}
    async with opened(furnish(tmp_path, files, LABELS)) as rt:
        await called(rt, "index", repository="code")
        assert (await called(rt, "plan", repository="code"))["files"] == 1
        assert (await called(rt, "plan", HUGO, repository="code"))["files"] == 3
        assert (await called(rt, "search", query="feldspartal"))["hits"] == []
        (hit,) = (await called(rt, "search", HUGO, query="feldspartal"))["hits"]
        assert (hit["path"], hit["label"]) == ("src/old.zip!/people/ada.md", "staff")
        assert (await called(rt, "search", query="xxxxxxxxx"))["hits"] == []
        (hit,) = (await called(rt, "search", HUGO, query="xxxxxxxxx"))["hits"]
        assert (hit["path"], hit["label"]) == ("src/all.tar!/quartz.md", "closed")


@pytest.mark.parametrize(
    ("said", "because"),
    [
        ("bytes = 60", "the archive holds too much: more than 60 bytes"),
        ("entries = 2", "the archive holds too many files and folders: more than 2 entries"),
        ("depth = 1", "the archive is nested too deeply: more than 1 folders"),
        ("read = false", "it is binary: it holds a byte of zero"),
        ("bytes = 61\nentries = 3\ndepth = 2", ""),
    ],
)
async def test_past_a_limit_that_is_set_the_archive_is_left_out_by_name(
    tmp_path: Path, said: str, because: str
) -> None:
    assert sum(map(len, OLD.values())) == 61
    async with opened(furnish(tmp_path, {"old.zip": zip_of(OLD)}, f"[knowledge.archives]\n{said}\n")) as rt:
        planned = await called(rt, "plan", repository="code")
        made = await called(rt, "index", repository="code")
        assert made["files"] == (0 if because else 2)
        assert sum(made["left_out"].values()) == bool(because)
        if "read" not in said:
            assert [one["because"] for one in planned["first_left_out"]] == ([because] if because else [])


@pytest.mark.parametrize("place", ["old.zip", "wow!/old.zip"])
async def test_what_is_forgotten_of_an_archive_is_all_that_is_in_it(tmp_path: Path, place: str) -> None:
    async with opened(furnish(tmp_path, {place: zip_of(OLD), "new.py": "new = 1\n"})) as rt:
        await called(rt, "index", repository="code")
        gone = await called(rt, "forget", repository="code", paths=[f"src/{place}"])
        assert gone["forgotten"] == 2
        assert (await called(rt, "search", query="quartz feldspartal"))["hits"] == []


def test_the_limits_are_those_of_the_library_unless_others_are_said() -> None:
    said: Any = area.SECTION["archives"]
    defaults = [said[name].default for name in ("bytes", "entries", "depth", "time")]
    assert defaults == [*msgspec.structs.asdict(Quota()).values()]
