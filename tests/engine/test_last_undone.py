"""The last step of a session is taken back while the session goes on: once, in the order in which its steps ended."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assent.errors import InputError
from assent.spec.capability import Compensation, RiskLevel, SideEffects
from assent.spec.states import RunState
from tests.support.bodies import Pause, Place, policy, put, put_spec, rule, states, workflow

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

WRITE = "io.fs.write_file"


def told(result: object) -> dict[str, str]:
    return {step.name: step.status.value for step in result.steps}  # type: ignore[attr-defined]


async def test_one_after_the_other_and_the_rest_with_the_session(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        for key in ("a", "b", "c"):
            await session.call("box.put", {"key": key})
        await session.call("sys.noop", {})
        assert told(await rt.cancel(session.run_id, last=True)) == {"step_3": "compensated"}
        assert told(await rt.cancel(session.run_id, last=True)) == {"step_2": "compensated"}
        assert place.box.values.keys() == {"a"}
        assert (await rt.show(session.run_id)).status is RunState.RUNNING
        assert (await session.call("box.put", {"key": "d"})).status.value == "succeeded"
        assert (await session.cancel()).status is RunState.CANCELLED
        assert place.box.values == {}
        ended = states(await rt.show(session.run_id))
        assert [ended[f"step_{n}"] for n in (1, 2, 3, 5)] == ["compensated"] * 4


@pytest.mark.parametrize("end", ["close", "again"])
async def test_a_session_that_is_closed_is_undone_without_what_was_taken_back(place: Place, end: str) -> None:
    async with place.open() as rt:
        session = await rt.session()
        for key in ("a", "b"):
            await session.call("box.put", {"key": key})
        await rt.cancel(session.run_id, last=True)
        if end == "close":
            assert (await session.close()).status is RunState.SUCCEEDED
    async with place.open() as rt:
        if end == "close":
            assert (await rt.undo(session.run_id)).status is RunState.UNDONE
        else:
            assert told(await rt.cancel(session.run_id, last=True)) == {"step_1": "compensated"}
        assert place.box.values == {}
        rt.require_sound_rows()


async def test_a_workflow_of_the_session_is_one_step(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        await session.call("box.put", {"key": "a"})
        await session.call("workflow.run", {"workflow": workflow(put("b"), put("c"))})
        assert told(await rt.cancel(session.run_id, last=True)) == {"step_2": "compensated"}
        assert place.box.values.keys() == {"a"}


async def test_what_nothing_takes_back_stays_and_is_told(place: Place) -> None:
    place.policy = policy(rule("all", without_approval=True))
    lasting: dict[str, Any] = {
        "side_effects": SideEffects(reversible=False),
        "compensation": Compensation(supported=False),
    }
    async with place.open() as rt:
        rt.register(
            put_spec("box.lasting", level=RiskLevel.CRITICAL, **lasting), place.box.handler(compensate=None)
        )
        session = await rt.session()
        for capability, key in (("box.lasting", "a"), ("box.put", "b"), ("box.lasting", "c")):
            await session.call(capability, {"key": key})
        left = await rt.cancel(session.run_id, last=True)
        assert told(left) == {"step_2": "compensated", "step_3": "succeeded"}
        assert place.box.values.keys() == {"a", "c"}
        await session.close()


async def test_while_a_step_is_under_way_nobody_knows_the_last(place: Place) -> None:
    async with place.open() as rt:
        pause = place.box.before["b"] = Pause()
        session = await rt.session()
        await session.call("box.put", {"key": "a"})
        adding = asyncio.ensure_future(session.call("box.put", {"key": "b"}))
        await pause.reached.wait()
        with pytest.raises(InputError) as refused:
            await rt.cancel(session.run_id, last=True)
        assert refused.value.code == "RUN_UNFINISHED"
        pause.go_on.set()
        await adding
        assert told(await rt.cancel(session.run_id, last=True)) == {"step_2": "compensated"}
        await session.close()


async def test_anothers_change_is_kept_and_the_session_goes_on(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        await session.call(WRITE, {"path": "a.txt", "content": "ours"})
        (place.workspace / "a.txt").write_text("somebody's")
        refused = await rt.cancel(session.run_id, last=True)
        assert told(refused) == {"step_1": "compensation_failed"}
        assert refused.steps[0].error is not None
        assert refused.steps[0].error["code"] == "COMPENSATION_CONFLICT"
        assert (await session.call("sys.noop", {})).status.value == "succeeded"
        (place.workspace / "a.txt").write_text("ours")
        assert told(await rt.cancel(session.run_id, last=True)) == {"step_1": "compensated"}
        assert not (place.workspace / "a.txt").exists()


async def test_when_there_is_no_last_step(place: Place) -> None:
    async with place.open() as rt:
        ran = await rt.run(workflow(put("a")))
        session = await rt.session()
        for run, code in ((ran.run_id, "NOT_A_SESSION"), (session.run_id, "RUN_NOT_UNDOABLE")):
            with pytest.raises(InputError) as refused:
                await rt.cancel(run, last=True)
            assert refused.value.code == code
        await session.close()
        with pytest.raises(InputError) as refused:
            await rt.cancel(session.run_id, last=True)
        assert refused.value.code == "RUN_FINISHED"


@pytest.mark.parametrize("how", ["resume", "abandon"])
async def test_what_could_not_be_taken_back_asks_for_a_person_once_the_session_is_closed(
    place: Place, how: str
) -> None:
    """As every other way back that failed does, and it is tried again, or settled, as they are."""
    async with place.open() as rt:
        session = await rt.session()
        await session.call("box.put", {"key": "a"})
        await session.call(WRITE, {"path": "a.txt", "content": "ours"})
        (place.workspace / "a.txt").write_text("somebody's")
        await rt.cancel(session.run_id, last=True)
        assert (await session.close()).status is RunState.NEEDS_ATTENTION
        assert told(await rt.show(session.run_id))["step_2"] == "compensation_failed"
    async with place.open() as rt:
        run = session.run_id
        if how == "resume":
            assert (await rt.resume(run))[0].status is RunState.NEEDS_ATTENTION
            (place.workspace / "a.txt").write_text("ours")
            assert (await rt.resume(run))[0].status is RunState.SUCCEEDED
            assert not (place.workspace / "a.txt").exists()
        else:
            assert (await rt.resolve(run, "step_2", "abandon")).status is RunState.SUCCEEDED
        assert (await rt.undo(run)).status is RunState.UNDONE
        assert place.box.values == {}
        rt.require_sound_rows()
