"""Roles that a program gives its caller are the run's, also after the run has left memory and the process has ended."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.support.bodies import Place, user

POLICY: dict[str, Any] = {
    "version": 1,
    "default": "DENY",
    "rules": [
        {
            "id": "asked",
            "when": {"roles": "ops", "capability": "io.fs.write_file"},
            "decision": "REQUIRE_APPROVAL",
            "approvers": {"kinds": ["user"]},
        },
        {"id": "ops", "when": {"roles": "ops"}, "decision": "ALLOW"},
    ],
}
ANN = user("ann", "ops")


async def test_in_a_session(tmp_path: Path) -> None:
    async with Place(tmp_path, policy=POLICY).open() as rt:
        session = await rt.session(principal=ANN)
        told = [await session.call("sys.noop", {}) for _ in range(2)]
    assert {(step.decision, step.rule) for step in told} == {("ALLOW", "ops")}


async def test_after_a_person_was_waited_for_also_by_the_next_owner(tmp_path: Path) -> None:
    place = Place(tmp_path, policy=POLICY)
    async with place.open() as rt:
        here, later = [
            (await rt.call("io.fs.write_file", {"path": name, "content": "x"}, principal=ANN)).run_id
            for name in ("a.txt", "b.txt")
        ]
        done = await rt.approve(here, principal=user("bob"))
        assert (done.status, done.steps[0].rule) == ("succeeded", "asked")
    async with place.open() as rt:
        done = await rt.approve(later, principal=user("bob"))
        assert (done.status, done.steps[0].rule) == ("succeeded", "asked")
        assert (await rt.replay(later)).is_equal
