"""What a step may say of itself: retry, timeout, `when`, `foreach`, `parallel`, approval, references, risk; and sessions."""

from __future__ import annotations

import asyncio
import sys
from types import FrameType
from typing import Any

import pytest

from assent.engine import RunResult
from assent.errors import InputError
from assent.invocation import Reconciliation
from assent.runtime.service._reading import Reader
from assent.spec import Compensation, OperationType, Risk, RiskLevel, SideEffects
from assent.spec.events import kinds as ev
from assent.spec.states import RunState, Verdict
from tests.support.bodies import (
    FakeClock,
    Pause,
    Place,
    boom,
    code,
    erased,
    fail,
    interrupted,
    no_effect,
    put,
    put_spec,
    states,
    workflow,
)
from tests.support.patience import PATIENCE_S

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

THREE = {"max_attempts": 3, "backoff": {"initial": "1ms", "max": "2ms"}}


def failing(times: int) -> Any:
    """A hook that fails that often and then lets the effect happen."""
    return lambda call: no_effect(call) if call.attempt <= times else None


async def test_two_failures_and_a_success_are_three_attempts(place: Place) -> None:
    place.box.before["a"] = failing(2)
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", retry=THREE)))
        assert (result.status, result.step("a").attempts) == (RunState.SUCCEEDED, 3)
        assert place.box.count("prepare", "a") == 3, "prepared afresh for each attempt"


async def test_what_always_fails_fails_after_exactly_three(place: Place) -> None:
    place.box.before["a"] = failing(9)
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", retry=THREE)))
        assert (result.status, code(result)) == (RunState.FAILED, "TRY_AGAIN")
        assert (result.step("a").attempts, place.box.count("execute", "a")) == (3, 3)


async def test_only_the_codes_that_are_named_are_tried_again(place: Place) -> None:
    place.box.before["a"] = failing(9)
    async with place.open() as rt:
        await rt.run(workflow(put("a", retry={**THREE, "on": ["OTHER"]})))
        assert place.box.count("execute", "a") == 1


async def test_a_retry_survives_the_process(place: Place) -> None:
    """The moment of the next attempt is recorded: another process makes it."""
    place.box.before["a"] = failing(1)
    step = put("a", retry={"max_attempts": 2, "backoff": {"initial": "1h", "jitter": 0}})
    place.clock, failed = FakeClock(), asyncio.Event()
    async with place.open() as rt:
        with rt.telling(
            lambda run, n, at_ms, event: failed.set() if event.kind == "step.attempt_failed" else None
        ):
            running = asyncio.ensure_future(rt.run(workflow(step)))
        await failed.wait()
        [run] = await rt.unfinished()
    place.clock.ms += 3_600_000
    await asyncio.wait({running})
    running.exception()
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert (result.status, result.step("a").attempts) == (RunState.SUCCEEDED, 2)


async def test_the_timeout_bounds_each_attempt_anew(place: Place) -> None:
    async def slow_at_first(call: Any) -> None:
        if call.attempt == 1:
            await asyncio.Event().wait()

    place.box.before["a"] = slow_at_first
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", timeout="1s", retry=THREE)))
        assert (result.status, result.step("a").attempts) == (RunState.SUCCEEDED, 2)


async def test_a_ledger_in_which_an_attempt_carries_its_predecessors_preparation_verifies(
    place: Place,
) -> None:
    """Such an intent binds the same payload twice, and the record is sound."""
    place.box.after["a"] = lambda call: boom(call) if call.attempt == 1 else None
    place.box.on_reconcile["a"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", "box.set", retry=THREE), fail()))
        assert (result.status, place.box.values) == (RunState.ROLLED_BACK, {})
    with Reader.open(place.settings()) as reader:
        assert reader.verify()["ok"] is True


async def test_a_step_whose_when_is_false_is_skipped_and_its_dependents_still_run(place: Place) -> None:
    steps = [put("a", when="inputs.go"), put("b", value="${{ steps.a.output }}")]
    async with place.open() as rt:
        result = await rt.run(workflow(*steps, inputs={"go": "boolean"}), {"go": False})
        assert (states(result), place.box.values) == ({"a": "skipped", "b": "succeeded"}, {"b": None})


async def test_an_error_in_when_fails_the_step(place: Place) -> None:
    steps = [put("a", value={"n": 1}), put("b", when="steps.a.output.value.absent == 1")]
    async with place.open() as rt:
        result = await rt.run(workflow(*steps))
        assert (states(result), place.box.values) == ({"a": "compensated", "b": "failed"}, {})


async def test_foreach_runs_once_for_each_item_and_gathers_the_outputs(place: Place) -> None:
    many = {
        "name": "many",
        "capability": "box.put",
        "foreach": "${{ inputs.names }}",
        "inputs": {"key": "${{ item }}", "value": "${{ index }}"},
    }
    last = put("last", value="${{ steps.many.output.map(o, o.value) }}")
    async with place.open() as rt:
        result = await rt.run(workflow(many, last, inputs={"names": "array"}), {"names": ["x", "y", "z"]})
        assert place.box.values == {"x": 0, "y": 1, "z": 2, "last": [0, 1, 2]}
        assert states(result)["many[1]"] == "succeeded"
        undone = await rt.undo(result.run_id)
        assert (undone.status, place.box.values) == (RunState.UNDONE, {})


@pytest.mark.parametrize("items", [[], ["x"]])
async def test_foreach_over_few_items(place: Place, items: list[Any]) -> None:
    many = {
        "name": "many",
        "capability": "box.put",
        "foreach": "${{ inputs.i }}",
        "inputs": {"key": "${{ item }}"},
    }
    async with place.open() as rt:
        result = await rt.run(workflow(many, inputs={"i": "array"}), {"i": items})
        assert (result.status, len(place.box.values)) == (RunState.SUCCEEDED, len(items))


@pytest.mark.parametrize(
    ("items", "is_refused"),
    [(["x", "y"], None), (["x", "y", "z"], "not 3 items"), ("xyz", "not something else")],
)
async def test_foreach_says_what_is_too_much_and_what_is_no_list(
    place: Place, items: Any, is_refused: str | None
) -> None:
    place.workspace.mkdir()
    (place.workspace / "assent.toml").write_text("[limits]\nforeach_items = 2\n", encoding="utf-8")
    many = put("many", foreach="${{ inputs.i }}", inputs={"key": "${{ item }}"})
    async with place.open() as rt:
        result = await rt.run(workflow(many, inputs={"i": "any"}), {"i": items})
        if is_refused is None:
            assert result.status is RunState.SUCCEEDED
        else:
            assert (code(result), place.box.log) == ("FOREACH_INVALID", [])
            assert is_refused in str(result.error)


async def test_one_failed_iteration_takes_the_others_back(place: Place) -> None:
    place.box.before["y"] = no_effect
    many = {
        "name": "many",
        "capability": "box.put",
        "foreach": "${{ inputs.i }}",
        "inputs": {"key": "${{ item }}"},
    }
    place.concurrency = 1
    async with place.open() as rt:
        result = await rt.run(workflow(many, inputs={"i": "array"}), {"i": ["x", "y", "z"]})
        assert (result.status, code(result), place.box.values) == (RunState.ROLLED_BACK, "TRY_AGAIN", {})
        assert states(result) == {
            "many": "failed",
            "many[0]": "compensated",
            "many[1]": "failed",
            "many[2]": "pending",
        }


async def test_iterations_that_wait_for_a_person_make_the_run_wait(place: Place) -> None:
    many = {
        "name": "many",
        "capability": "box.put_high",
        "foreach": "${{ inputs.i }}",
        "inputs": {"key": "${{ item }}"},
    }
    async with place.open() as rt:
        result = await rt.run(workflow(many, inputs={"i": "array"}), {"i": ["x", "y"]})
        assert result.status is RunState.WAITING
        with pytest.raises(InputError) as caught:
            await rt.approve(result.run_id)
        assert caught.value.code == "APPROVAL_AMBIGUOUS"
        await rt.approve(result.run_id, "many[0]")
        assert (await rt.approve(result.run_id, "many[1]")).status is RunState.SUCCEEDED


async def test_parallel_steps_run_together_up_to_the_limit(place: Place) -> None:
    """Four independent steps and a limit of two: never more than two at once, and two at once are seen."""
    alive, most = 0, 0

    async def watch(call: Any) -> None:
        nonlocal alive, most
        alive += 1
        most = max(most, alive)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        alive -= 1

    place.concurrency = 2
    for key in "abcd":
        place.box.before[key] = watch
    async with place.open() as rt:
        result = await rt.run(workflow({"parallel": [put(key) for key in "abcd"]}))
        assert (result.status, most) == (RunState.SUCCEEDED, 2)


async def test_an_approval_step_asks_and_its_rejection_takes_back_what_was_before(place: Place) -> None:
    """The step before ran, the step after did not."""
    ask = {"name": "ask", "approval": {"reason": "ready?", "approvers": {"count": 1}}}
    async with place.open() as rt:
        waiting = await rt.run(workflow(put("a"), ask, put("b")))
        assert states(waiting) == {"a": "succeeded", "ask": "awaiting_approval", "b": "pending"}
        approved = await rt.approve(waiting.run_id, principal="user:ann")
        assert approved.step("ask").output == {"approved_by": ["user:ann"]}
        again = await rt.run(workflow(put("x"), ask, put("y")))
        rejected = await rt.reject(again.run_id)
        assert (rejected.status, "x" in place.box.values, "y" in place.box.values) == (
            RunState.ROLLED_BACK,
            False,
            False,
        )
        rt.require_sound_rows()


@pytest.mark.parametrize("value", [1, 1.5, True, None, "text", [1, {"a": None}], {"b": [False]}])
async def test_a_value_that_is_one_whole_reference_keeps_its_type(place: Place, value: Any) -> None:
    steps = [put("a", value=value), put("b", value="${{ steps.a.output.value }}")]
    async with place.open() as rt:
        await rt.run(workflow(*steps))
        assert place.box.values["b"] == value
        assert type(place.box.values["b"]) is type(value)


@pytest.mark.parametrize("text", ["${{ inputs.x }}", "$${{ kept }}", "${{ broken"])
async def test_arguments_inputs_and_substituted_values_are_never_scanned(place: Place, text: str) -> None:
    """References exist only in workflow documents; what came from elsewhere is literal."""
    async with place.open() as rt:
        called = await rt.call("box.put", {"key": "called", "value": text})
        assert called.status is RunState.SUCCEEDED
        document = workflow(put("given", value="${{ inputs.t }}"), inputs={"t": "string"})
        assert (await rt.run(document, {"t": text})).status is RunState.SUCCEEDED
        session = await rt.session()
        await session.call("box.put", {"key": "asked", "value": text})
        assert [place.box.values[key] for key in ("called", "given", "asked")] == [text] * 3


async def test_outputs_that_can_not_be_computed_take_the_run_back(place: Place) -> None:
    document = workflow(put("a", value=[]), outputs={"first": "${{ steps.a.output.value[0] }}"})
    async with place.open() as rt:
        result = await rt.run(document)
        assert (result.status, place.box.values) == (RunState.ROLLED_BACK, {})
        assert code(result) not in (None, "STEP_FAILED")
        assert result.error is not None
        assert "steps.a.output.value[0]" in str(result.error)
        assert (await rt.show(result.run_id)).error == result.error


async def test_an_output_that_its_type_refuses_is_a_failed_effect_and_is_taken_back(place: Place) -> None:
    place.box.outputs["a"] = {"unexpected": object()}
    async with place.open() as rt:
        result = await rt.run(workflow(put("a")))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "INVALID_OUTPUT")
        assert (place.box.values, place.box.count("reconcile", "a")) == ({}, 0)


async def test_a_step_may_be_taken_back_by_another_call(place: Place) -> None:
    """`compensation` replaces the capability's own way, and may refer to the step's output, also after a crash."""
    offset = {"capability": "box.put", "inputs": {"key": "offset", "value": "${{ steps.a.output.value }}"}}
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", compensation=offset), fail()))
        assert (states(result)["a"], place.box.values) == ("compensated", {"a": "a", "offset": "a"})
        assert place.box.count("compensate", "a") == 0


async def test_a_step_that_told_no_output_may_be_taken_back_by_another_call(place: Place) -> None:
    place.box.after["a"] = boom
    place.box.on_reconcile["a"] = Reconciliation(Verdict.UNKNOWN)
    offset = {"capability": "box.put", "inputs": {"key": "offset", "value": 1}}
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", "box.set", compensation=offset)))
        assert (states(result)["a"], place.box.values) == ("compensated", {"a": "a", "offset": 1})


async def test_a_step_is_told_of_by_the_capability_that_it_has_or_was_asked_for(place: Place) -> None:
    """Of what has begun it is the capability, of what has not, or failed before it did, the reference; in JSON, too."""
    steps = [put("a", "box.put@1.0.0"), put("b", "box.put@1.0.0", value="${{ steps.a.output.no }}"), put("c")]
    async with place.open() as rt:
        result = await rt.run(workflow(*steps))
        told = {step.name: (step.capability, step.version, step.attempts) for step in result.steps}
        assert told == {
            "a": ("box.put", "1.0.0", 1),
            "b": ("box.put@1.0.0", None, 0),
            "c": ("box.put", None, 0),
        }
        assert RunResult.from_json(result.to_json()) == result


@pytest.mark.parametrize("stands", ["under way", "waiting", "erased"])
async def test_a_run_needs_the_versions_that_it_has_used_and_that_it_will_use(
    place: Place, stands: str
) -> None:
    """Whether this process knows it or the journal tells; of one whose data was erased, those that it has used."""
    pause, needed = Pause(), {("box.put", "1.0.0"), ("box.set", "1.0.0")}
    place.box.before["a"] = pause
    last = put("b", "box.set") if stands == "erased" else put("b", "box.set", risk_level="CRITICAL")
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(workflow(put("a", "box.put@^1"), last)))
        await pause.reached.wait()
        [run] = await rt.unfinished()
        if stands != "under way":
            pause.go_on.set()
            await running
        if stands == "erased":
            await erased(rt, run)
        assert await rt.engine.versions_of(run) == needed
        pause.go_on.set()
        await running


async def test_a_spec_may_name_the_capability_that_offsets_it(place: Place) -> None:
    offset = put_spec(
        "box.charge",
        level=RiskLevel.HIGH,
        side_effects=SideEffects(reversible=False),
        compensation=Compensation(supported=True, strategy="refund", capability_id="box.refund"),
    )
    refund = put_spec("box.refund", parameters={"type": "object"}, operation_type=OperationType.WRITE)
    refunded: list[Any] = []

    async def give_back(call: Any, parameters: Any) -> dict[str, Any]:
        refunded.append(parameters)
        return {}

    async with place.open() as rt:
        rt.register(offset, place.box.handler(compensate=None))
        rt.register(refund, place.box.handler(execute=give_back, prepare=None, reconcile=None))
        waiting = await rt.run(workflow(put("a", "box.charge"), fail()))
        result = await rt.approve(waiting.run_id)
        assert states(result)["a"] == "compensated"
        assert refunded == [{"inputs": {"key": "a", "value": "a"}, "output": {"key": "a", "value": "a"}}]


async def test_a_session_goes_on_after_a_denied_or_failed_step(place: Place) -> None:
    place.box.before["bad"] = no_effect
    async with place.open() as rt:
        session = await rt.session()
        for key, step, state in (("a", 1, "succeeded"), ("bad", 2, "failed"), ("b", 3, "succeeded")):
            result = await session.call("box.put", {"key": key})
            assert (result.name, result.status) == (f"step_{step}", state)
        assert states(await rt.show(session.run_id)) == {
            "step_1": "succeeded",
            "step_2": "failed",
            "step_3": "succeeded",
        }
        closed = await session.close()
        assert closed.status is RunState.SUCCEEDED
        with pytest.raises(InputError) as caught:
            await session.call("box.put", {"key": "late"})
        assert caught.value.code == "SESSION_CLOSED"
        assert (await rt.undo(session.run_id)).status is RunState.UNDONE
        assert place.box.values == {}
        rt.require_sound_rows()


async def test_in_a_session_waiting_blocks_only_its_own_step(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        asked = await session.call("box.put_high", {"key": "a"})
        assert (asked.name, asked.status) == ("step_1", "awaiting_approval")
        assert (await session.call("box.put", {"key": "b"})).status == "succeeded"
        result = await rt.approve(session.run_id)
        assert states(result) == {"step_1": "succeeded", "step_2": "succeeded"}
        assert (await session.close()).status is RunState.SUCCEEDED


async def test_each_call_of_a_session_answers_for_its_own_step_when_many_run_at_once(place: Place) -> None:
    """Whichever ends first, nobody is told of another's step."""
    keys = [f"k{index}" for index in range(20)]
    pauses = {key: Pause() for key in keys}
    place.box.before |= pauses
    place.concurrency = len(keys)
    async with place.open() as rt:
        session = await rt.session()
        calls = [asyncio.ensure_future(session.call("box.put", {"key": key, "value": key})) for key in keys]
        for key, call in reversed([*zip(keys, calls, strict=True)]):
            await pauses[key].reached.wait()
            pauses[key].go_on.set()
            assert (await call).output == {"key": key, "value": key}


async def test_a_call_of_a_session_costs_the_same_however_long_the_session_is(place: Place) -> None:
    """Also while a step of it waits for a person and another is in doubt: no step but its own is looked at."""
    place.box.after["odd"] = boom
    place.box.on_reconcile["odd"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        session = await rt.session()
        await session.call("box.put_high", {"key": "asked"})
        await session.call("box.put", {"key": "odd"})
        assert (await rt.show(session.run_id)).step("step_2").status == "in_doubt"

        async def lines() -> int:
            seen = 0

            def count(frame: FrameType, event: str, _: object) -> Any:
                nonlocal seen
                seen += event == "line"
                return count

            before = sys.gettrace()
            sys.settrace(count)
            try:
                await session.call("sys.noop")
            finally:
                sys.settrace(before)
            return seen

        await session.call("sys.noop")
        early = await lines()
        for _ in range(150):
            await session.call("sys.noop")
        assert await lines() < early * 1.25


async def test_cancelling_a_session_takes_everything_back(place: Place) -> None:
    async with place.open() as rt:
        session = await rt.session()
        await session.call("box.put", {"key": "a"})
        result = await session.cancel()
        assert (result.status, place.box.values) == (RunState.CANCELLED, {})


async def test_a_sessions_step_survives_the_process_with_its_parameters(place: Place) -> None:
    """The call is recorded before anything of it happens: another process settles it."""
    pause = Pause()
    place.box.before["a"] = pause
    async with place.open() as rt:
        session = await rt.session()
        calling = asyncio.ensure_future(session.call("box.put", {"key": "a", "value": 7}))
        await pause.reached.wait()
    calling.cancel()
    await asyncio.wait({calling})
    del place.box.before["a"]
    async with place.open() as rt:
        [result] = await rt.resume(session.run_id)
        assert (states(result), place.box.values) == ({"step_1": "succeeded"}, {"a": 7})


async def test_every_effect_is_recorded_before_it_happens(place: Place) -> None:
    """The intent is durable when `execute` begins."""
    seen: list[bool] = []
    async with place.open() as rt:

        def look(call: Any) -> None:
            started = [event for event in rt.recorded(call.run) if isinstance(event, ev.StepStarted)]
            seen.append(any(event.step == call.step for event in started))

        place.box.before.update(a=look, b=look)
        await rt.run(workflow(put("a"), put("b")))
        assert seen == [True, True]


async def test_a_run_that_was_interrupted_is_shown_so_until_somebody_resumes_it(place: Place) -> None:
    """Also by the process that owns the state now, and waiting for it ends."""
    run = await interrupted(place, workflow(put("a")), "a", happened=False)
    async with place.open() as rt:
        assert (await rt.show(run)).status is RunState.INTERRUPTED
        assert [line.status for line in (await rt.runs()).runs] == ["interrupted"]
        async with asyncio.timeout(PATIENCE_S):
            assert (await rt.wait(run)).status is RunState.INTERRUPTED
        assert await rt.unfinished() == [run]
        coming = asyncio.ensure_future(rt.wait(run))
        await rt.resume()
        assert (await coming).status is RunState.SUCCEEDED


def test_risk_may_be_missing_nowhere() -> None:
    """A spec without a risk cannot be built, so that no step is without one."""
    with pytest.raises(InputError):
        put_spec("box.none", risk=None)
    assert put_spec().risk == Risk(level=RiskLevel.MEDIUM)
