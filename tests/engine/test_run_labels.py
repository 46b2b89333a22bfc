"""A rule can look at what its run has read before, so that what is private does not leave in the next call."""

from __future__ import annotations

from typing import Any

import pytest

from assent.spec.states import RunState
from tests.support.bodies import Bench, Place, code, no_effect, policy, put, put_spec, rule, states, workflow

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

STAYS = policy(
    rule("stays", "DENY", when={"labels": ["sends_external"]}, **{"if": '"reads_private" in run.labels'}),
    rule("rest", without_approval=True),
)
READ: dict[str, Any] = {"name": "read", "capability": "io.fs.read_file", "inputs": {"path": "a.txt"}}
ASK: dict[str, Any] = {"name": "ask", "approval": {"reason": "go on?"}}


@pytest.fixture(autouse=True)
def guarded(place: Place) -> Place:
    place.policy = STAYS
    place.settings()
    (place.workspace / "a.txt").write_text("private")
    return place


def labelled(place: Place, rt: Bench) -> Bench:
    """With a capability that sends, and one that reads what is private and can fail."""
    rt.register(put_spec("box.send", labels=frozenset({"sends_external"})), place.box.handler())
    rt.register(put_spec("box.study", labels=frozenset({"reads_private"})), place.box.handler())
    return rt


async def test_in_a_session_nothing_leaves_once_something_private_was_read(place: Place) -> None:
    """A call that was denied or failed before it began has read nothing; one that failed in the middle may have."""
    place.box.before["bad"] = no_effect
    async with place.open() as rt:
        session = await labelled(place, rt).session()
        await session.call("box.send", {"key": "a"})
        await session.call("box.study", {"kye": "b"})
        await session.call("box.send", {"key": "c"})
        await session.call("box.study", {"key": "bad"})
        await session.call("box.send", {"key": "d"})
        await session.call("box.put", {"key": "e"})
        assert [*states(await rt.show(session.run_id)).values()] == [
            "succeeded",
            "failed",
            "succeeded",
            "failed",
            "denied",
            "succeeded",
        ]
        other = await rt.call("box.send", {"key": "f"})
        assert other.status is RunState.SUCCEEDED


async def test_what_was_read_before_a_crash_was_read(place: Place) -> None:
    """The record says what has begun, also in a version that is no longer installed: nobody can say what that did not read."""
    sends = {"name": "send", "capability": "net.http.get", "inputs": {"url": "http://127.0.0.1:9/"}}
    async with place.open() as rt:
        read = await rt.run(workflow(READ, ASK, sends), {})
        labelled(place, rt)
        unknown = await rt.run(workflow(put("a", "box.study"), ASK, sends), {})
        nothing = await rt.run(workflow(put("a"), ASK, sends), {})
    async with place.open(box=False) as rt:
        rt.register(put_spec("box.study", version="2.0.0"), place.box.handler())
        for run in (read, unknown):
            assert states(await rt.approve(run.run_id))["send"] == "denied"
    async with place.open() as rt:
        assert code(await rt.approve(nothing.run_id)) == "EGRESS_DENIED"


async def test_a_plan_takes_the_steps_before_for_begun(place: Place) -> None:
    async with place.open() as rt:
        labelled(place, rt)
        plan = await rt.plan(workflow(put("a", "box.send"), READ, put("b", "box.send")), {})
        assert [step.decision for step in plan.steps] == ["ALLOW", "ALLOW", "DENY"]
        assert plan.steps[-1].rule == "stays"
