"""A table that every reader of CSV takes apart the same way, and in which no spreadsheet finds a formula."""

from __future__ import annotations

import csv
import re
from io import StringIO

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.findings.reports import Format
from assent.findings.reports._csv import COLUMNS, NONE_FOUND, guarded
from assent.findings.reports._words import legible
from assent.findings.triage import Reported, Suppression, Triage
from tests.support.reported import HOSTILE, MANY, TEXTS, reported, written


def table(*findings: Reported) -> list[list[str]]:
    return [*csv.reader(StringIO(written(Format.CSV, *findings).decode(), newline=""), strict=True)]


@given(findings=MANY)
def test_each_finding_is_a_row_and_each_cell_comes_back_but_for_its_guard(findings: list[Reported]) -> None:
    head, *rows = table(*findings)
    assert tuple(head) == COLUMNS
    if not findings:
        assert rows == [[NONE_FOUND, *[""] * (len(COLUMNS) - 1)]]
        return
    title, ident = COLUMNS.index("title"), COLUMNS.index("id")
    assert all(len(row) == len(COLUMNS) for row in rows)
    assert [row[ident] for row in rows] == [one.finding.id for one in findings]
    for row, one in zip(rows, findings, strict=True):
        assert row[title].replace("'", "") == legible(one.finding.title).replace("'", "")


UNSEEN = "\u200b\ufeff\u2060\xad\ufe0f\u3164\x1b\0"
BEFORE = st.sampled_from(
    ["", *UNSEEN, "\u2028", "\x85", "\x1c", "\x0b", "\r", "\r\n", "\t", " ", "\xa0", "a", ","]
)
FORMULAS = st.tuples(st.lists(BEFORE, max_size=4).map("".join), st.sampled_from("=+-@\uff1d")).map("".join)


@given(cell=TEXTS | FORMULAS)
def test_no_part_of_a_cell_begins_a_formula(cell: str) -> None:
    """Not at its begin, nor where another separator or a line's end would begin another cell."""
    for part in re.split(r"[,;|\t\r\n\"\x0b\x0c\x1c-\x1f\x85\u2028\u2029]", guarded(cell)):
        assert (
            not part.lstrip(UNSEEN)
            .lstrip()
            .startswith(("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20"))
        ), part
    assert not guarded(cell).startswith(("\t", "\r", "\n"))


@pytest.mark.parametrize("cell", ["", "a", "a-b", "1", "https://shop.example/?a=1&b=-2", "it's"])
def test_what_is_no_formula_stays_as_it_is(cell: str) -> None:
    assert guarded(cell) == cell


@pytest.mark.parametrize("cell", HOSTILE)
def test_a_guard_only_adds_apostrophes_to_what_can_be_seen(cell: str) -> None:
    assert guarded(cell).replace("'", "") == legible(cell).replace("'", "")


def test_a_row_says_whether_its_finding_is_suppressed_now() -> None:
    _, one, other = table(
        reported(1, triage=Triage(suppression=Suppression(reason="r", until="2026-11-25T00:00:00Z"))),
        reported(2, triage=Triage(suppression=Suppression(reason="r", until="2026-11-24T00:00:00Z"))),
    )
    column = COLUMNS.index("suppressed")
    assert (one[column], other[column]) == ("yes", "no")
