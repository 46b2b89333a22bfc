"""A session runs a workflow as one of its steps: order, waiting, recovery and undo of both are one."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import pytest

from assent.errors import InputError
from assent.runtime.runs._session import Session
from assent.spec.ids import RunId, StepKey
from assent.spec.states import RunState
from tests.support.bodies import Bench, Place, fail, policy, put, put_spec, rule, states, workflow
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

RUN = "workflow.run"
ASK: dict[str, Any] = {"name": "ask", "approval": {"reason": "go on?"}}


def write(name: str, path: str, content: str) -> dict[str, Any]:
    return {"name": name, "capability": "io.fs.write_file", "inputs": {"path": path, "content": content}}


async def begun(rt: Bench, session: Session, *steps: dict[str, Any]) -> tuple[asyncio.Task[Any], RunId]:
    """The call of a workflow that comes to wait for a person, and the run that it began."""
    step = StepKey(f"step_{len((await rt.show(session.run_id)).steps) + 1}")
    calling = asyncio.ensure_future(session.call(RUN, {"workflow": workflow(*steps)}))
    async with asyncio.timeout(PATIENCE_S):
        while (inner := await rt.engine.inner_of(session.run_id, step)) is None:  # noqa: ASYNC110 - it is asked for
            await asyncio.sleep(0.01)
        while True:
            with suppress(InputError):  # nothing of it is durable yet
                if (await rt.show(inner.run)).status is RunState.WAITING:
                    break
            await asyncio.sleep(0.01)
    return calling, inner.run


def files(place: Place) -> dict[str, str]:
    return {path.name: path.read_text() for path in place.workspace.glob("*.txt")}


@pytest.mark.parametrize("way", ["cancel", "undo"])
async def test_a_session_is_taken_back_with_the_workflows_that_it_ran_the_last_first(
    place: Place, way: str
) -> None:
    """What a workflow did over the session's own work, and what the session did over it."""
    async with place.open() as rt:
        session = await rt.session()
        await session.call("io.fs.write_file", {"path": "a.txt", "content": "1"})
        ran = await session.call(
            RUN, {"workflow": workflow(write("x", "a.txt", "2"), write("y", "b.txt", "2"))}
        )
        assert ran.status.value == "succeeded"
        failed = await session.call(RUN, {"workflow": workflow(write("x", "c.txt", "3"), fail())})
        assert failed.error is not None
        assert (failed.status.value, failed.error["code"]) == ("failed", "STEP_FAILED_ON_PURPOSE")
        await session.call("io.fs.write_file", {"path": "b.txt", "content": "4"})
        assert files(place) == {"a.txt": "2", "b.txt": "4"}
        if way == "cancel":
            assert (await session.cancel()).status is RunState.CANCELLED
        else:
            await session.close()
            plan: Any = (await rt.plan_undo(session.run_id)).to_json()
            assert plan["possible"]
            assert [step["name"] for step in plan["steps"][1]["steps"]] == ["y", "x"]
            assert (await rt.undo(session.run_id)).status is RunState.UNDONE
        assert files(place) == {}
        assert (await rt.show(str(ran.output["run_id"]))).status is RunState.UNDONE  # type: ignore[index, call-overload]


async def test_a_change_of_anothers_in_a_workflow_keeps_the_whole_session(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        await session.call(RUN, {"workflow": workflow(write("x", "a.txt", "1"))})
        await session.call("io.fs.write_file", {"path": "b.txt", "content": "1"})
        await session.close()
        (place.workspace / "a.txt").write_text("somebody's")
        with pytest.raises(Exception, match=r"a\.txt") as refused:
            await rt.undo(session.run_id)
        assert getattr(refused.value, "code", None) == "COMPENSATION_CONFLICT"
        assert files(place) == {"a.txt": "somebody's", "b.txt": "1"}


async def test_undoing_a_session_is_as_risky_as_what_its_workflows_did(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        calling, inner = await begun(rt, session, put("a", "box.put_high"))
        await rt.approve(inner)
        assert (await calling).status.value == "succeeded"
        await session.close()
        assert (await rt.plan_undo(session.run_id)).request.risk == "HIGH"


async def test_who_waits_in_a_workflow_holds_up_nobody(place: Place) -> None:
    """One place for all steps: the workflow's steps find it free, and so does another call of the session."""
    place.concurrency = 1
    async with place.open() as rt:
        session = await rt.session()
        calling, inner = await begun(rt, session, ASK, put("a"))
        assert (await session.call("box.put", {"key": "b"})).status.value == "succeeded"
        again, other = await begun(rt, session, ASK, put("c"))
        await rt.approve(inner)
        assert (await calling).status.value == "succeeded"
        await rt.reject(other)
        refused = await again
        assert refused.error is not None
        assert refused.error["code"] == "APPROVAL_REJECTED"


async def test_who_decides_after_a_crash_ends_the_sessions_step_too(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        calling, inner = await begun(rt, session, put("a"), ASK, put("b"))
    with pytest.raises(Exception, match="closing"):
        await calling
    async with place.open() as rt:
        assert (await rt.approve(inner)).status is RunState.SUCCEEDED
        shown = await rt.show(session.run_id)
        assert (states(shown), shown.status) == ({"step_1": "succeeded"}, RunState.RUNNING)
        assert (await rt.cancel(session.run_id)).status is RunState.CANCELLED
        assert place.box.values == {}
        rt.require_sound_rows()


@pytest.mark.parametrize("again", [False, True])
async def test_a_session_that_is_cancelled_stops_what_it_runs(place: Place, *, again: bool) -> None:
    async with place.open() as rt:
        session = await rt.session()
        calling, inner = await begun(rt, session, put("a"), ASK)
        if not again:
            assert (await session.cancel()).status is RunState.CANCELLED
            assert (await calling).status.value == "failed"
    if again:
        with pytest.raises(Exception, match="closing"):
            await calling
        async with place.open() as rt:
            assert (await rt.cancel(session.run_id)).status is RunState.CANCELLED
    async with place.open() as rt:
        assert (await rt.show(inner)).status is RunState.CANCELLED
        assert place.box.values == {}


async def test_what_was_read_is_known_within_and_after(place: Place) -> None:
    place.policy = policy(
        rule("stays", "DENY", when={"labels": ["sends_external"]}, **{"if": '"reads_private" in run.labels'})
    )
    async with place.open() as rt:
        rt.register(put_spec("box.send", labels=frozenset({"sends_external"})), place.box.handler())
        (place.workspace / "a.txt").write_text("private")
        read = {"name": "read", "capability": "io.fs.read_file", "inputs": {"path": "a.txt"}}
        outside, inside = await rt.session(), await rt.session()
        await outside.call("io.fs.read_file", {"path": "a.txt"})
        refused = await outside.call(RUN, {"workflow": workflow(put("x", "box.send"))})
        assert (refused.error or {})["code"] == "POLICY_DENIED"
        await inside.call(RUN, {"workflow": workflow(read)})
        assert (await inside.call("box.send", {"key": "x"})).status.value == "denied"


async def test_a_limit_counts_each_call_once(place: Place) -> None:
    limit = {"id": "two", "when": {"principal": "agent:*"}, "window": "1h", "calls": 2}
    place.policy = {**policy(), "limits": [limit]}
    async with place.open() as rt:
        session = await rt.session(principal="agent:a")
        ran = await session.call(RUN, {"workflow": workflow(put("a"), put("b"))})
        assert ran.status.value == "succeeded"
        assert ((await session.call("box.put", {"key": "c"})).error or {})["code"] == "LIMIT_REACHED"


@pytest.mark.parametrize(
    ("asked", "code"),
    [
        ({}, "INVALID_INPUT"),
        ({"plan": "plan_none", "inputs": {"a": 1}}, "INVALID_INPUT"),
        ({"plan": "plan_none"}, "PLAN_UNKNOWN"),
        ({"workflow": {"name": "w", "steps": []}}, "MISSING_KEY"),
        (
            {"workflow": workflow({"name": "n", "capability": RUN, "inputs": {"workflow": {}}})},
            "NOT_A_SESSION",
        ),
    ],
)
async def test_what_can_not_be_run_is_the_steps_failure(
    place: Place, asked: dict[str, Any], code: str
) -> None:
    async with place.open() as rt:
        session = await rt.session()
        failed = await session.call(RUN, asked)
        assert (failed.status.value, (failed.error or {})["code"]) == ("failed", code)
        assert (await session.close()).status is RunState.SUCCEEDED
