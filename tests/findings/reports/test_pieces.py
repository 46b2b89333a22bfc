"""A report comes in pieces, however many findings it is of."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from assent.findings.reports import Format, write_report
from assent.findings.reports._info import CHUNK_BYTES
from assent.findings.triage import Reported
from tests.support.reported import INFO, reported


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
