"""Who was not let in, on record: counted by door, source and reason, so that strangers can't fill the ledger."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from assent.errors import RefusedError
from assent.journal import leaves_at_once
from assent.runtime.runs._refusals import APART_MS, OTHERS, STRANGERS_MAX
from assent.runtime.service.service import Service
from assent.server.who import Gatehouse, Presented
from assent.spec.events.kinds import IdentityRefused
from tests.support.bodies import Bench, FakeClock
from tests.support.who import bearer, place_with


async def _refused(gate: Gatehouse, *presented: Presented) -> None:
    for one in presented:
        with pytest.raises(RefusedError):
            await gate.authenticate(one)


def _told(rt: Bench) -> list[tuple[str, str, str, int]]:
    events = [leaf.event for leaf in leaves_at_once(rt._core.ready.journal)]
    found = [one for one in events if isinstance(one, IdentityRefused)]
    return [(one.door, one.peer, one.code, one.count) for one in found]


async def test_each_door_source_and_reason_has_one_entry_a_minute_with_its_count(tmp_path: Path) -> None:
    place = place_with(tmp_path)
    place.clock = FakeClock()
    nothing = Presented(door="https", peer="[2001:db8::7]")
    async with place.open() as rt:
        gate = Gatehouse(rt.settings, note=Service(rt.settings, rt._core).note_stranger)
        await _refused(gate, *[bearer("x")] * 5, nothing, nothing, bearer("x", peer="198.51.100.1"))
        first = [
            ("http", "203.0.113.7", "KEY_UNKNOWN", 1),
            ("https", "[2001:db8::7]", "NOTHING_PRESENTED", 1),
            ("http", "198.51.100.1", "KEY_UNKNOWN", 1),
        ]
        assert _told(rt) == first
        place.clock.ms = APART_MS
        await _refused(gate, bearer("x", peer="198.51.100.1"))
        assert _told(rt) == [*first, first[-1]]
        journal = rt._core.ready.journal
        await rt._core._strangers.close()
        assert journal is rt._core.ready.journal
        assert Counter(_told(rt)) - Counter([*first, first[-1]]) == Counter(
            [("http", "203.0.113.7", "KEY_UNKNOWN", 4), ("https", "[2001:db8::7]", "NOTHING_PRESENTED", 1)]
        )


async def test_many_sources_are_others(tmp_path: Path) -> None:
    async with place_with(tmp_path).open() as rt:
        for number in range(STRANGERS_MAX + 500):
            await rt._core.note_stranger("http", f"10.0.{number // 256}.{number % 256}", "KEY_UNKNOWN")
        await rt._core._strangers.close()
        told = _told(rt)
    assert len(told) == STRANGERS_MAX + 2
    assert sum(count for *_, count in told) == STRANGERS_MAX + 500
    assert {peer for _, peer, _, _ in told[STRANGERS_MAX:]} == {OTHERS}
