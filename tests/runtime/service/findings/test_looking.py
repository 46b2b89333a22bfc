"""A report is whole before any of it is told, and what keeps it from the disk is told in place of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.errors import InputError, WorldError
from assent.runtime.service import process, requests
from assent.runtime.service.findings import _looking
from tests.support.bodies import Place, policy, rule
from tests.support.books import nuclei


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    """One with some hundred findings."""
    found = Place(tmp_path, policy=policy(rule("all", without_approval=True)))
    found.settings()
    (found.workspace / "scan.jsonl").write_bytes(
        nuclei((f"rule-{one}", "high", f"host-{one}.example") for one in range(400))
    )
    async with found.open(box=False) as runtime:
        imported = await runtime.call("findings.import", {"project": "shop", "path": "scan.jsonl"})
        assert imported.status == "succeeded"
    return found


def test_chunks_without_bytes_come_as_long_as_a_report_is_made(place: Place) -> None:
    told = [len(part.data) for part in process.stream(requests.FindingsExport(), place.settings())]
    made = told.index(max(told))
    assert made > 2
    assert {*told[:made]} == {0}
    assert 0 not in told[made:]


def test_a_report_that_can_not_be_kept_is_told_as_that(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the folder is gone by the time that it needs the disk."""
    monkeypatch.setattr(_looking, "_MEMORY_BYTES_MAX", 100_000)
    parts = process.stream(requests.FindingsExport(), place.settings())
    assert next(parts).data == b""
    state = place.settings().state
    state.rename(state.with_name("elsewhere"))
    with pytest.raises(WorldError) as told:
        next(parts)
    assert told.value.code == "STATE_UNUSABLE"


@pytest.mark.parametrize(
    ("asked", "path"),
    [
        (requests.FindingsExport(format="doc"), "format"),
        (requests.FindingsExport(severities=("awful",)), "severities"),
    ],
)
def test_what_a_report_can_not_be_is_told_with_what_it_can(
    place: Place, asked: requests.FindingsExport, path: str
) -> None:
    with pytest.raises(InputError, match="must be one of") as told:
        next(process.stream(asked, place.settings()))
    assert (told.value.code, told.value.path) == ("INVALID_INPUT", path)
