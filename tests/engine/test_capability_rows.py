"""What is recorded of capabilities, folded into rows: each change has its number, and none takes another's place."""

from __future__ import annotations

from typing import Any

from assent.engine import CapabilityRows
from assent.engine.record._capability_rows import CAPABILITY_TABLES
from assent.spec.events import kinds as ev
from assent.spec.ids import Fingerprint

AT_MS = 1000
SAME: dict[str, Any] = {"capability": "a.b", "version": "1.0.0"}


def registered(fingerprint: str) -> ev.CapabilityRegistered:
    return ev.CapabilityRegistered(**SAME, fingerprint=Fingerprint(fingerprint))


RETIRED = ev.CapabilityRetired(**SAME, by="user:ada")

STORY: list[tuple[ev.Event, tuple[object, ...]]] = [
    (registered("one"), ("one", 0, AT_MS, 0, None, None)),
    (registered("two"), ("two", 0, AT_MS, 1, None, None)),
    (RETIRED, ("two", 0, AT_MS, 1, 2, AT_MS + 2)),
    (registered("three"), ("three", 0, AT_MS, 3, 2, AT_MS + 2)),
]
"""What happens to one version, and its row then: fingerprint, number and time of its first change, last change, retired by which
and when."""


def test_a_version_keeps_its_beginning_and_its_end_whatever_else_changes() -> None:
    fold = CapabilityRows()
    for number, (event, row) in enumerate(STORY):
        (found,) = fold.apply(event, AT_MS + number)
        assert (found.table, found.values) == (CAPABILITY_TABLES[0], (*SAME.values(), *row))


def test_an_event_about_something_else_makes_no_row() -> None:
    fold = CapabilityRows()
    assert fold.apply(ev.LedgerCreated(origin="o"), AT_MS) == ()
    # A ledger that somebody with the key wrote by hand: it folds, and the row says what is known.
    (retired,) = fold.apply(RETIRED, AT_MS)
    assert retired.values == (*SAME.values(), None, None, None, 0, 0, AT_MS)
