"""Who tried to decide and was refused is on record, and can't fill it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.errors import RefusedError
from assent.journal import each_leaf
from assent.runtime.runs._refusals import ASKERS_MAX, OTHERS
from assent.runtime.service._reading import Reader
from assent.spec.events.kinds import ApprovalRefused
from tests.support.bodies import Bench, FakeClock, Place, user

ASKING: dict[str, Any] = {
    "version": 1,
    "default": "ALLOW",
    "rules": [
        {
            "id": "two",
            "when": {"capability": "sys.noop"},
            "decision": "REQUIRE_APPROVAL",
            "approvers": {"roles": ["security"]},
        }
    ],
}


async def refusals(rt: Bench) -> list[ApprovalRefused]:
    journal = rt._core.ready.journal
    return [leaf.event async for leaf in each_leaf(journal) if isinstance(leaf.event, ApprovalRefused)]


async def attempt(rt: Bench, run: str, name: str, *, digest: str | None = None) -> str:
    asked = (
        rt.approve(run, principal=user(name))
        if digest is None
        else rt.reject(run, principal=user(name, "security"), digest=digest)
    )
    with pytest.raises(RefusedError) as refused:
        await asked
    return refused.value.code


async def test_the_first_attempt_is_there_at_once_and_the_others_are_counted(tmp_path: Path) -> None:
    place = Place(tmp_path, policy=ASKING)
    async with place.open() as rt:
        run = (await rt.call("sys.noop", {})).run_id
        assert [await attempt(rt, run, "bob") for _ in range(4)] == ["APPROVER_REFUSED"] * 4
        assert await attempt(rt, run, "bob", digest="0" * 64) == "APPROVAL_STALE"
        assert await attempt(rt, run, "eve") == "APPROVER_REFUSED"
        found = await refusals(rt)
        assert {one.source for one in found} == {run}
        assert [(one.by, one.code, one.count) for one in found] == [
            ("user:bob", "APPROVER_REFUSED", 1),
            ("user:bob", "APPROVAL_STALE", 1),
            ("user:eve", "APPROVER_REFUSED", 1),
        ]
        assert all(one.asserted and one.os_uid is not None for one in found)
        assert (await rt.approve(run, principal=user("ann", "security"))).status == "succeeded"
    async with place.open() as rt:
        last = (await refusals(rt))[-1]
        assert (last.by, last.code, last.count) == ("user:bob", "APPROVER_REFUSED", 3)
    with Reader.open(place.settings()) as reader:
        assert reader.verify()["ok"] is True


async def test_after_a_minute_there_is_another_entry(tmp_path: Path) -> None:
    clock = FakeClock()
    async with Place(tmp_path, policy=ASKING, clock=clock).open() as rt:
        run = (await rt.call("sys.noop", {})).run_id
        for _ in range(2):
            await attempt(rt, run, "bob")
            clock.ms += 61_000
        assert [one.count for one in await refusals(rt)] == [1, 1]


async def test_names_that_are_made_up_fill_nothing(tmp_path: Path) -> None:
    place = Place(tmp_path, policy=ASKING)
    async with place.open() as rt:
        run = (await rt.call("sys.noop", {})).run_id
        for number in range(ASKERS_MAX + 20):
            await attempt(rt, run, f"n{number}")
    async with place.open() as rt:
        found = await refusals(rt)
        assert sum(one.count for one in found) == ASKERS_MAX + 20
        assert len(found) == ASKERS_MAX + 2
        assert {one.by for one in found[ASKERS_MAX:]} == {OTHERS}
