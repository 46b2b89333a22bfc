"""Which findings a report is of, and how it comes in pieces."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from assent.findings import Severity
from assent.findings.reports import Format, Which, chosen, write_report
from assent.findings.reports._info import CHUNK_BYTES
from assent.findings.triage import Reported, Status, Suppression, Triage, moment
from tests.support.reported import INFO, reported

NOW = moment(INFO.generated_at)
ALL = [
    reported(
        1, severity="high", triage=Triage(owner="ann", tags=("web", "pci")), seen="2026-11-01T00:00:00Z"
    ),
    reported(
        2,
        severity="low",
        triage=Triage(status=Status.RESOLVED, owner="bob", tags=("web",)),
        seen="2026-11-10T00:00:00Z",
    ),
    reported(
        3, severity="low", triage=Triage(suppression=Suppression(reason="r")), seen="2026-11-20T00:00:00Z"
    ),
]


@pytest.mark.parametrize(
    ("which", "numbers"),
    [
        (Which(), [1, 2, 3]),
        (Which(statuses=frozenset({Status.OPEN})), [1, 3]),
        (Which(severities=frozenset({Severity.LOW})), [2, 3]),
        (Which(owners=frozenset({"ann", "bob"})), [1, 2]),
        (Which(tags=frozenset({"pci", "other"})), [1]),
        (Which(since="2026-11-10T00:00:00Z"), [2, 3]),
        (Which(until="2026-11-10T00:00:00Z"), [1]),
        (Which(with_suppressed=False), [1, 2]),
        (
            Which(
                tags=frozenset({"web"}),
                statuses=frozenset({Status.RESOLVED}),
                owners=frozenset({"bob"}),
                since="2026-11-05T00:00:00Z",
            ),
            [2],
        ),
        (Which(tags=frozenset({"web"}), owners=frozenset({"nobody"})), []),
    ],
)
def test_findings_that_fit_all_that_is_said_are_chosen(which: Which, numbers: list[int]) -> None:
    assert [int(one.finding.id[-1]) for one in chosen(ALL, which, NOW)] == numbers


def test_a_moment_that_there_is_not_chooses_nothing() -> None:
    with pytest.raises(ValueError, match="not a time"):
        Which(since="2026-13-01T00:00:00Z")


@pytest.mark.parametrize("form", [one for one in Format if one is not Format.PDF])
def test_a_report_comes_in_pieces_and_goes_through_as_often_as_it_says(form: Format) -> None:
    """Pieces are of one size whatever the number of findings, and these are gone through as often as is promised."""
    ends = {Format.HTML: 7, Format.MARKDOWN: 7, Format.SARIF: 2}.get(form, 1)
    asked: list[int] = []
    written = 0
    held = 0

    def findings() -> Iterator[Reported]:
        for number in range(2_000):
            asked.append(number)
            yield reported(number)

    for piece in write_report(form, findings, INFO):
        written += len(piece)
        held = max(held, len(piece))
    assert len(asked) <= 2_000 * ends
    assert written > 2 * CHUNK_BYTES
    assert held < 2 * CHUNK_BYTES


@pytest.mark.parametrize("form", [Format.SARIF, Format.CSV, Format.JSON])
def test_memory_does_not_grow_with_the_findings(form: Format) -> None:
    """A report of megabytes is written in a fraction of its size."""

    def findings() -> Iterator[Reported]:
        return (reported(number, title="t" * 1_000) for number in range(4_000))

    tracemalloc.start()
    try:
        size = sum(map(len, write_report(form, findings, INFO)))
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert size > 4_000_000
    assert most < 2_000_000


def test_every_form_has_a_media_type() -> None:
    assert all("/" in one.media_type for one in Format)
