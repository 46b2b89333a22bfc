"""The steps of `finally` run once the others have ended, whatever became of those, and decide nothing but their own end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from assent.engine import RunResult
from assent.engine.machine._commands import (
    Abort,
    Actor,
    Admit,
    Cancel,
    EndFinally,
    Finish,
    Succeeded,
    TimeOut,
)
from assent.engine.record._record import UNDO_STEP, Phase, evolve
from assent.errors import InputError, Json, RefusedError
from assent.invocation import Reconciliation
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId, StepKey
from assent.spec.states import Effect, Resolution, RunState, StepState, Verdict
from tests.engine.test_machine import ASKER, B, Driven
from tests.engine.test_preparations import Slow
from tests.engine.test_timers import ended, pass_time
from tests.support.bodies import (
    Bench,
    FakeClock,
    Pause,
    Place,
    boom,
    code,
    fail,
    interrupted,
    no_effect,
    policy,
    put,
    rule,
    states,
    user,
    workflow,
)
from tests.support.machine import BOUND, started

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

HOUR_MS = 3_600_000
TOLD = "${{ run.outcome }} ${{ run.code }} ${{ run.step }}"
RULES = policy(
    rule("no", "DENY", when={"capability": "box.put_high"}),
    rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_critical"}),
)


def flow(*steps: dict[str, Any], last: list[dict[str, Any]], **fields: Any) -> dict[str, Any]:
    return workflow(*steps, **{"finally": last}, **fields)


async def nothing(rt: Bench, run: RunResult) -> None:
    pass


async def rejected(rt: Bench, run: RunResult) -> None:
    await rt.reject(run.run_id, reason="no", principal=user("ann"))


async def cancelled(rt: Bench, run: RunResult) -> None:
    await rt.cancel(run.run_id)


async def late(rt: Bench, run: RunResult) -> None:
    assert isinstance(rt._core.clock, FakeClock)
    pass_time(rt, rt._core.clock, HOUR_MS)
    await ended(rt, run.run_id)


ASK = {"name": "ask", "approval": "?"}
IN_TIME = {"name": "ask", "approval": {"reason": "?", "approvers": {"expires": "1h"}}}


@pytest.mark.parametrize(
    ("second", "meanwhile", "status", "told"),
    [
        (put("b"), nothing, RunState.SUCCEEDED, "succeeded null null"),
        (fail(), nothing, RunState.ROLLED_BACK, "rolled_back STEP_FAILED_ON_PURPOSE end"),
        (put("b", "box.put_high"), nothing, RunState.ROLLED_BACK, "rolled_back POLICY_DENIED b"),
        (ASK, rejected, RunState.ROLLED_BACK, "rolled_back APPROVAL_REJECTED ask"),
        (IN_TIME, late, RunState.ROLLED_BACK, "rolled_back APPROVAL_EXPIRED ask"),
        (ASK, cancelled, RunState.CANCELLED, "cancelled RUN_CANCELLED null"),
        (ASK, late, RunState.ROLLED_BACK, "rolled_back RUN_TIMEOUT null"),
    ],
    ids=["done", "failed", "denied", "rejected", "expired", "cancelled", "late"],
)
async def test_they_run_however_the_others_ended_and_an_undo_takes_them_back_too(
    place: Place, second: dict[str, Any], meanwhile: Any, status: RunState, told: str
) -> None:
    """After the rollback, which does not touch them; the run ends as it would have, with the error that it would have had."""
    place.policy, place.clock = RULES, FakeClock()
    limit = {"max_duration": "1h"} if second is ASK and meanwhile is late else {}
    async with place.open() as rt:
        run = await rt.run(flow(put("a"), second, last=[put("f", value=TOLD)], **limit))
        await meanwhile(rt, run)
        result = await rt.show(run.run_id)
        assert result.status is status
        assert code(result) == (None if told.split()[1] == "null" else told.split()[1])
        done = {"a": "a", "b": "b"} if status is RunState.SUCCEEDED else {}
        assert place.box.values == done | {"f": told}
        assert (await rt.undo(run.run_id)).status is RunState.UNDONE
        assert place.box.values == {}
        taken = [line for line in place.box.log if line.startswith("compensate")]
        assert taken[-1] == ("compensate a" if done else "compensate f")


async def test_a_run_that_did_nothing_ends_as_failed_and_its_finally_runs(place: Place) -> None:
    """Also where its only step ended as it was looked at, or the outputs can't be computed; nothing else is to undo then."""
    place.policy = RULES
    unreadable = put("a", value="${{ 1 / 0 }}")
    async with place.open() as rt:
        for steps, outputs in (
            ([fail()], {}),
            ([put("a", "box.put_high")], {}),
            ([unreadable], {}),
            ([put("a")], {"x": "${{ 1 / 0 }}"}),
        ):
            result = await rt.run(flow(*steps, last=[put("f", value="${{ run.message }}")], outputs=outputs))
            assert result.error is not None
            assert place.box.values.pop("f") == result.error["message"]
            assert place.box.values == {}
        plain = await rt.run(workflow(fail()))
        with pytest.raises(InputError, match="only a succeeded run") as refused:
            await rt.undo(plain.run_id)
        assert refused.value.code == "RUN_NOT_UNDOABLE"


@pytest.mark.parametrize("answer", ["DENY", "REQUIRE_APPROVAL"])
async def test_an_undo_that_is_refused_leaves_the_run_as_it_ended(place: Place, answer: str) -> None:
    place.policy = policy(rule("undo", answer, when={"capability": "assent.undo"}))
    async with place.open() as rt:
        run = (await rt.run(flow(put("a"), fail(), last=[put("f")]))).run_id
        if answer == "DENY":
            with pytest.raises(RefusedError, match="can't be undone"):
                await rt.undo(run)
        else:
            assert (await rt.undo(run)).status is RunState.WAITING
            await rt.reject(run, UNDO_STEP, principal=user("ann"))
        result = await rt.show(run)
        assert (result.status, place.box.values) == (RunState.ROLLED_BACK, {"f": "f"})


async def test_one_that_fails_leaves_the_others_alone_but_those_that_need_it(place: Place) -> None:
    """Without `depends_on` the next waits only until it has ended, also behind what can't begin any more."""
    last = [
        fail("f1"), put("f2", when="steps.f1.output == null"),
        put("needs", depends_on="f1"), put("behind"), put("far", depends_on=["needs", "f2"]),
        {"parallel": [fail("p1"), put("p2")]}, put("end"),
    ]  # fmt: skip
    async with place.open() as rt:
        result = await rt.run(flow(put("a"), last=last))
        assert (result.status, code(result)) == (RunState.FAILED, "STEP_FAILED_ON_PURPOSE")
        assert result.error is not None
        assert (result.error["path"], result.outputs) == ("f1", None)
        assert sorted(place.box.values) == ["a", "behind", "end", "f2", "p2"]
        assert states(result) == {
            "a": "succeeded", "f1": "failed", "f2": "succeeded", "needs": "pending", "behind": "succeeded",
            "far": "pending", "p1": "failed", "p2": "succeeded", "end": "succeeded",
        }  # fmt: skip
        assert (await rt.undo(result.run_id)).status is RunState.UNDONE
        assert place.box.values == {}


async def test_the_error_of_the_run_is_that_of_its_steps_and_that_of_finally_stands_beside_it(
    place: Place,
) -> None:
    async with place.open() as rt:
        result = await rt.run(flow(put("a"), fail("body"), last=[fail("f1"), fail("f2")]))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "STEP_FAILED_ON_PURPOSE")
        assert result.error is not None
        assert result.error["path"] == "body"
        beside = result.error["details"]["finally"]  # type: ignore[index, call-overload]  # an error's details are an object
        assert (beside["code"], beside["path"]) == ("STEP_FAILED_ON_PURPOSE", "f1")  # type: ignore[index, call-overload]  # as above


async def test_iterations_go_on_where_one_failed(place: Place) -> None:
    place.box.before["b"] = no_effect
    each = {**put("f"), "foreach": ["a", "b", "c"], "inputs": {"key": "${{ item }}"}}
    async with place.open() as rt:
        result = await rt.run(flow(put("x"), last=[each, put("y"), put("z", depends_on="f")]))
        assert (result.status, sorted(place.box.values)) == (RunState.FAILED, ["a", "c", "x", "y"])
        assert states(result)["f"] == "failed"


async def test_an_output_that_is_not_there_is_null(place: Place) -> None:
    """Of a step that failed, never began or was skipped; that of one that was taken back is still known."""
    value = "${{ steps.a.output.key }} ${{ steps.b.output }} ${{ steps.c.output }} ${{ steps.ask.output.approved_by[0] }}"
    asked = [{"name": "ask", "approval": "?"}, put("a"), fail("b"), put("c")]
    async with place.open() as rt:
        run = await rt.run(flow(*asked, last=[put("f", value=value)]))
        await rt.approve(run.run_id, principal=user("ann"))
        assert place.box.values == {"f": "a null null user:ann"}


@pytest.mark.parametrize("happened", [True, False])
@pytest.mark.parametrize("body", [[put("a")], [put("a"), fail()]], ids=["done", "failed"])
async def test_they_go_on_in_another_process(
    place: Place, body: list[dict[str, Any]], happened: bool
) -> None:
    document = flow(
        *body, last=[put("f", value=TOLD), put("g", value="${{ steps.a.output.key }} ${{ run.outcome }}")]
    )
    run = await interrupted(place, document, "f", happened=happened)
    async with place.open() as rt:
        (result,) = await rt.resume(run)
        assert result.status is (RunState.SUCCEEDED if len(body) == 1 else RunState.ROLLED_BACK)
        assert place.box.values["g"] == f"a {result.status.value}"
        assert place.box.count("execute", "f") == (1 if happened else 2)
        assert place.box.count("execute", "a") == 1


async def test_each_passes_the_gate_and_a_person_is_asked_before_it_does_anything(place: Place) -> None:
    """Also after somebody rejected a step: that one of `finally` may go on is another question."""
    place.policy = RULES
    last = [put("no", "box.put_high"), put("ask", "box.put_critical"), put("next", depends_on="ask")]
    async with place.open() as rt:
        run = await rt.run(flow(put("a", "box.put_critical"), last=last))
        await rejected(rt, run)
        asked = await rt.show(run.run_id)
        assert (asked.status, code(asked), place.box.values) == (RunState.WAITING, "APPROVAL_REJECTED", {})
        assert (states(asked)["no"], states(asked)["ask"]) == ("denied", "awaiting_approval")
        await rejected(rt, run)
        over = await rt.show(run.run_id)
        assert (over.status, code(over), place.box.values) == (RunState.FAILED, "APPROVAL_REJECTED", {})


@pytest.mark.parametrize("resolution", list(Resolution))
async def test_one_of_which_nobody_can_tell_waits_for_a_person(place: Place, resolution: Resolution) -> None:
    """Nothing would take it back, so nobody guesses; the run ends once it is settled."""
    place.box.after["f"] = boom
    place.box.on_reconcile["f"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        result = await rt.run(flow(put("a"), last=[put("f", "box.set"), put("g")]))
        assert (result.status, states(result)["f"]) == (RunState.NEEDS_ATTENTION, "in_doubt")
        del place.box.after["f"]
        output: Json = {"key": "f"} if resolution is Resolution.HAPPENED else None
        done = await rt.resolve(result.run_id, "f", resolution, output=output, principal=user("ann"))
        is_good = resolution in (Resolution.HAPPENED, Resolution.NOT_HAPPENED)
        assert done.status is (RunState.SUCCEEDED if is_good else RunState.FAILED)
        assert "g" in place.box.values


async def test_a_cancel_while_they_go_on_ends_them_and_takes_nothing_back(place: Place) -> None:
    place.policy = RULES
    async with place.open() as rt:
        run = await rt.run(flow(put("a"), last=[put("f"), put("ask", "box.put_critical"), put("g")]))
        assert run.status is RunState.WAITING
        done = await rt.cancel(run.run_id)
        assert (done.status, code(done)) == (RunState.FAILED, "RUN_CANCELLED")
        assert place.box.values == {"a": "a", "f": "f"}
        with pytest.raises(InputError, match="has already ended"):
            await rt.cancel(run.run_id)
        assert (await rt.undo(run.run_id)).status is RunState.UNDONE
        assert place.box.values == {}


async def test_a_second_cancel_ends_them_and_the_run_as_cancelled(place: Place) -> None:
    """What is under way is asked to end; a third is no news, and the first, told again, is still the first."""
    asked: list[bool] = []

    async def heeds(context: Any) -> None:
        reached.set()
        while not context.cancel.is_cancelled:  # noqa: ASYNC110 - a handler's way to look
            await asyncio.sleep(0.001)
        asked.append(True)
        no_effect(context)

    reached = asyncio.Event()
    place.box.before["f"] = heeds
    async with place.open() as rt:
        run = await rt.run(flow(put("a"), {"name": "ask", "approval": "?"}, last=[put("f"), put("g")]))
        wish = Actor(user("ann"), request="one")
        first = asyncio.ensure_future(rt.cancel(run.run_id, principal=wish))
        await reached.wait()
        again = asyncio.ensure_future(rt.cancel(run.run_id, principal=wish))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.shield(again), 0.05)
        assert not asked, "the first cancel is not one of these steps"
        await asyncio.gather(*(rt.cancel(run.run_id) for _ in range(3)), return_exceptions=True)
        done = await first
        assert (await again).status is done.status
        assert (done.status, code(done), asked) == (RunState.CANCELLED, "RUN_CANCELLED", [True])
        assert place.box.values == {}
        kinds = [event.kind for event in rt.recorded(run.run_id)]
        assert kinds.count("run.cancel_requested") == 2


async def test_they_have_the_time_of_the_run_once_more(place: Place) -> None:
    place.policy, place.clock = RULES, FakeClock()
    steps = [put("a"), {"name": "ask", "approval": "?"}]
    async with place.open() as rt:
        run = await rt.run(flow(*steps, last=[put("f", "box.put_critical"), put("g")], max_duration="1h"))
        pass_time(rt, place.clock, HOUR_MS - 60_000)
        await rejected(rt, run)
        pass_time(rt, place.clock, HOUR_MS - 60_000)
        assert (await rt.show(run.run_id)).status is RunState.WAITING
        pass_time(rt, place.clock, 60_000)
        await ended(rt, run.run_id)
        result = await rt.show(run.run_id)
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "APPROVAL_REJECTED")
        assert result.error is not None
        assert result.error["details"]["finally"]["code"] == "RUN_TIMEOUT"  # type: ignore[index, call-overload]  # an object


async def test_one_may_wait_for_a_signal(place: Place) -> None:
    wait = {"name": "w", "wait": {"signal": "go"}}
    async with place.open() as rt:
        run = await rt.run(flow(fail(), last=[wait, put("f", value="${{ steps.w.output }}")]))
        assert run.status is RunState.WAITING
        assert (await rt.signal(run.run_id, "go", 7)).status is RunState.FAILED
        assert place.box.values == {"f": 7}


async def test_a_step_that_was_about_to_begin_when_the_others_ended_never_does(place: Place) -> None:
    """Its admission took long, and another step failed meanwhile: `finally` begins, and not what is over."""
    slow, pause = Slow(place), Pause()
    slow.hooks["late"] = pause

    async def fails(context: Any) -> None:
        await pause.reached.wait()
        no_effect(context)

    place.box.before["bad"] = fails
    together = [put("late", "box.slow", depends_on=[]), put("bad", depends_on=[])]
    async with place.open() as rt:
        slow.register(rt)
        result = await rt.run(flow(*together, last=[put("f")]))
        assert (result.status, code(result)) == (RunState.FAILED, "TRY_AGAIN")
        assert place.box.values == {"f": "f"}
        assert states(result)["late"] == "pending"


async def test_a_plan_tells_of_them_and_its_digest_covers_them(place: Place) -> None:
    """Whether and with what they run is not known before; what the gate would say is."""
    place.policy = RULES
    last = [
        put("f", "box.put_critical", when="run.outcome != 'succeeded'"),
        put("g", value="${{ steps.a.output.key }}"),
    ]
    async with place.open() as rt:
        plan = await rt.plan(flow(put("a"), last=last))
        told = [(step.name, step.in_finally, step.decision, step.known, step.because) for step in plan.steps]
        assert told == [
            ("a", False, "ALLOW", True, None),
            ("f", True, "REQUIRE_APPROVAL", False, "depends on how the run ends"),
            ("g", True, "ALLOW", False, "depends on `steps.a`"),
        ]
        other = await rt.plan(flow(put("a"), last=last[1:]))
        assert other.digest != plan.digest
        denied = await rt.plan(flow(put("a"), last=[put("f", "box.put_high")]))
        assert (denied.summary["denials"], denied.summary["stops_at"]) == (["f"], None)


F, G = StepKey("f"), StepKey("g")


def at_finally() -> Driven:
    """A run of which a step failed, and whose `finally` is about to begin."""
    run = Driven(last=[F, G])
    run.start(B)
    assert run.fail(B) == ["step.failed", "run.finally_started"]
    return run


def test_what_is_said_twice_about_the_steps_says_nothing_about_those_of_finally() -> None:
    """A command may arrive twice: what ended the steps does not end these."""
    request = Cancel(replace(ASKER, request="one"))
    run = Driven(last=[F, G])
    run.give(Admit((ev.StepSkipped(step=B),)))
    assert run.give(request) == ["run.cancel_requested", "run.finally_started"]
    another = Cancel(ASKER, RunId("run_that_wants_its_key"), spares_finally=True)
    assert [run.give(again) for again in (request, another, Finish(BOUND), Abort("F"))] == [[], [], [], []]
    assert run.give(Cancel(ASKER)) == ["run.cancel_requested", "run.cancelled"]
    assert run.give(EndFinally()) == []


def test_a_run_of_which_nothing_had_begun_has_nothing_to_end() -> None:
    """It may have stood in line, for the key of a run that is at work."""
    run = Driven(last=[F, G])
    assert run.give(Cancel(ASKER)) == ["run.cancel_requested", "run.cancelled"]
    run = Driven(last=[F, G])
    assert run.give(TimeOut()) == ["run.timed_out", "run.failed"]


def test_the_end_of_the_time_stops_them_and_the_run_ends_as_its_steps_did() -> None:
    run = at_finally()
    run.start(F)
    assert run.give(TimeOut()) == ["run.timed_out"]
    assert run.give(Admit((started(G, None, "effect"),))) == []
    assert run.give(Succeeded(F, 1, BOUND, Effect.DONE)) == ["step.succeeded", "run.failed"]
    assert run.last() == ev.RunFailed(code="BROKEN", step=B)


def test_finally_begins_again_where_nobody_vouches_for_the_end_of_the_steps() -> None:
    """And where somebody does, it is only these steps that are in doubt."""
    for start, goes_on in ((3, Phase.FORWARD), (4, Phase.FINALLY)):
        run = at_finally()
        assert isinstance(run.told[2], ev.FinallyStarted), "event 3, after the run's first"
        run.start(F)
        evolve(run.record, ev.RunDoubted(start=start), 9)
        assert (run.record.phase, run.record.steps[F].state) == (goes_on, StepState.IN_DOUBT)
