"""Rules of the engine 1, 2, 3 and 7: what is known of the world, recovery, other people's changes, threads that do not end."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from typing import Any

import pytest

from assent.errors import InputError, RefusedError
from assent.invocation import LocalContext, Reconciliation
from assent.spec import create_read_capability
from assent.spec.capability import Compensation, OperationType, RiskLevel, SideEffects
from assent.spec.events import kinds as ev
from assent.spec.states import RunState, Verdict
from tests.support.bodies import (
    KEYED,
    Place,
    boom,
    code,
    fail,
    interrupted,
    no_effect,
    policy,
    put,
    put_spec,
    rule,
    states,
    workflow,
)

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

ONE = workflow(put("a"))


async def test_rule_1_unknown_is_not_none_an_exception_is_asked_about_before_anything_else(
    place: Place,
) -> None:
    """An unexpected exception leaves the effect unknown: the capability is asked, and what happened counts as happened."""
    place.box.after["a"] = boom
    async with place.open() as rt:
        result = await rt.run(ONE)
        assert (result.status, states(result)) == (RunState.SUCCEEDED, {"a": "succeeded"})
        assert result.step("a").output == {"key": "a", "value": "a"}
        assert place.box.log == ["prepare a", "execute a", "reconcile a"]
        assert "step.unsettled" in rt.kinds(result.run_id)


async def test_rule_1_a_failed_step_whose_effect_may_be_there_is_taken_back_as_well(place: Place) -> None:
    """Rollback covers the failed step itself when its effect is not known to be none."""
    place.box.after["b"] = boom
    place.box.on_reconcile["b"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b", "box.set")))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "HANDLER_FAILED")
        assert states(result) == {"a": "compensated", "b": "compensated"}
        assert place.box.log[-2:] == ["compensate b", "compensate a"]
        assert place.box.values == {}


async def test_rule_1_a_failure_that_is_known_to_have_no_effect_takes_back_nothing_of_its_own(
    place: Place,
) -> None:
    """`NoEffectError` says that the world is as it was: neither asked about nor compensated."""
    place.box.before["b"] = no_effect
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b")))
        assert states(result) == {"a": "compensated", "b": "failed"}
        assert place.box.count("reconcile", "b") == place.box.count("compensate", "b") == 0


async def test_rule_1_rollback_goes_in_reverse_order_of_outcome(place: Place) -> None:
    """Not of the file: what was done last is taken back first."""
    first = asyncio.Event()
    place.box.before["slow"] = lambda context: first.wait()
    place.box.after["quick"] = lambda context: first.set()
    both = {"parallel": [put("slow"), put("quick")]}
    async with place.open() as rt:
        result = await rt.run(workflow(both, fail()))
        assert result.status is RunState.ROLLED_BACK
        assert [entry for entry in place.box.log if entry.startswith("compensate")] == [
            "compensate slow",
            "compensate quick",
        ]


async def test_rule_1_rollback_waits_until_no_sibling_runs(place: Place) -> None:
    """A failure beside a running step takes nothing back before that step has its outcome, and then covers it too."""
    failed = asyncio.Event()

    async def wait_for_failure(context: LocalContext) -> None:
        await failed.wait()

    place.box.before["slow"] = wait_for_failure
    async with place.open() as rt:
        with rt.telling(lambda run, n, at_ms, event: failed.set() if event.kind == "step.failed" else None):
            result = await rt.run(workflow({"parallel": [put("slow"), fail("bad")]}))
        assert states(result) == {"slow": "compensated", "bad": "failed"}
        kinds = rt.kinds(result.run_id)
        assert kinds.index("step.succeeded") < kinds.index("run.rollback_started")


async def test_rule_1_rollback_does_not_start_beside_a_step_in_doubt(place: Place) -> None:
    """A failed run with a step in doubt needs a person first; after their word it is rolled back."""
    place.box.after["odd"] = boom
    place.box.on_reconcile["odd"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), {"parallel": [put("odd"), fail("bad")]}))
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "EFFECT_UNKNOWN")
        assert states(result) == {"a": "succeeded", "odd": "in_doubt", "bad": "failed"}
        result = await rt.resolve(result.run_id, "odd", "happened")
        assert states(result) == {"a": "compensated", "odd": "compensated", "bad": "failed"}
        assert result.status is RunState.ROLLED_BACK
        rt.require_sound_rows()


async def test_rule_1_a_retry_does_not_forget_what_an_earlier_attempt_may_have_left(place: Place) -> None:
    """Unknown, then none, is still unknown: the step is taken back, to the state before its first attempt."""

    place.box.values["a"] = "before"
    place.box.after["a"] = lambda context: boom(context) if context.attempt == 1 else None
    place.box.before["a"] = lambda context: no_effect(context) if context.attempt == 2 else None
    place.box.on_reconcile["a"] = Reconciliation(Verdict.UNKNOWN)
    step = put("a", "box.set", retry={"max_attempts": 2, "backoff": {"initial": "1ms"}})
    async with place.open() as rt:
        result = await rt.run(workflow(step))
        assert states(result) == {"a": "compensated"}
        assert place.box.values == {"a": "before"}
        assert place.box.count("prepare", "a") == 1, (
            "prepared again, the first attempt's effect would be the state before"
        )


async def test_rule_2_recovery_asks_first_and_yes_is_the_outcome(place: Place) -> None:
    """The effect happened before the process ended: it is not done again, and the run goes on."""
    run = await interrupted(place, workflow(put("a"), put("b")), "a", happened=True)
    async with place.open() as rt:
        assert (await rt.show(run)).status is RunState.INTERRUPTED
        [result] = await rt.resume()
        assert (result.status, states(result)) == (RunState.SUCCEEDED, {"a": "succeeded", "b": "succeeded"})
        assert (place.box.count("execute", "a"), place.box.count("reconcile", "a")) == (1, 1)
        rt.require_sound_rows()


async def test_rule_2_no_runs_the_journaled_intent_without_preparing_again(place: Place) -> None:
    """The effect did not happen: the same intent is executed, with what `prepare` found then."""
    run = await interrupted(place, ONE, "a", happened=False)
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED
        assert place.box.log == ["prepare a", "execute a", "reconcile a", "execute a"]
        assert result.step("a").attempts == 1


async def test_rule_2_unknown_of_an_idempotent_capability_runs_again(place: Place) -> None:
    run = await interrupted(place, workflow(put("a", "box.set")), "a", happened=True)
    place.box.on_reconcile["a"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED
        assert place.box.count("execute", "a") == 2


@pytest.mark.parametrize(
    ("capability", "answer"),
    [
        ("box.put", Reconciliation(Verdict.UNKNOWN)),
        ("box.set", Reconciliation(Verdict.UNKNOWN, foreign=True)),
        ("box.set", Reconciliation(Verdict.NO, foreign=True)),
    ],
    ids=["not-idempotent", "foreign", "foreign-and-not-happened"],
)
async def test_rule_2_otherwise_it_is_in_doubt_and_a_person_is_asked(
    place: Place, capability: str, answer: Reconciliation
) -> None:
    """Unknown without idempotence, or with somebody else's change in sight: never run again by itself."""
    run = await interrupted(place, workflow(put("a", capability), put("b")), "a", happened=False)
    place.box.on_reconcile["a"] = answer
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "EFFECT_UNKNOWN")
        assert states(result) == {"a": "in_doubt", "b": "pending"}
        assert place.box.count("execute", "a") == 1


async def test_rule_2_what_is_in_doubt_may_be_asked_again(place: Place) -> None:
    """`resume` tries again what needs attention, also in the process that first met it."""
    run = await interrupted(place, ONE, "a", happened=True)
    place.box.on_reconcile["a"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert result.status is RunState.NEEDS_ATTENTION
        del place.box.on_reconcile["a"]
        [result] = await rt.resume(run)
        assert (result.status, states(result)) == (RunState.SUCCEEDED, {"a": "succeeded"})


async def test_rule_2_what_nothing_takes_back_and_may_be_repeated_is_tried_again_by_resume(
    place: Place,
) -> None:
    """It failed and nobody knows how far it came: no rollback is begun that could only be stuck with it."""
    place.box.before["a"] = boom
    place.box.on_reconcile["a"] = Reconciliation(Verdict.UNKNOWN)
    place.policy = policy(rule("all", without_approval=True))
    async with place.open() as rt:
        final = put_spec(
            "box.wipe",
            level=RiskLevel.CRITICAL,
            side_effects=SideEffects(reversible=False),
            compensation=Compensation(),
            idempotent=True,
        )
        rt.register(final, place.box.handler(compensate=None))
        result = await rt.run(workflow(put("b"), put("a", "box.wipe")))
        assert (result.status, states(result)) == (
            RunState.NEEDS_ATTENTION,
            {"b": "succeeded", "a": "in_doubt"},
        )
        assert result.step("a").error is not None
        del place.box.before["a"]
        [result] = await rt.resume(result.run_id)
        assert (result.status, place.box.count("execute", "a")) == (RunState.SUCCEEDED, 2)
        rt.require_sound_rows()


async def test_rule_2_a_step_in_doubt_holds_every_further_step_of_a_workflow(place: Place) -> None:
    """If the runtime can't tell, it stops and asks: independent steps do not begin meanwhile."""
    place.box.after["odd"] = boom
    place.box.on_reconcile["odd"] = Reconciliation(Verdict.UNKNOWN)
    place.concurrency = 1
    async with place.open() as rt:
        result = await rt.run(workflow({"parallel": [put("odd"), put("other")]}))
        assert states(result) == {"odd": "in_doubt", "other": "pending"}
        result = await rt.resolve(result.run_id, "odd", "happened", output={"key": "odd"})
        assert (result.status, states(result)) == (
            RunState.SUCCEEDED,
            {"odd": "succeeded", "other": "succeeded"},
        )


async def test_rule_2_a_read_is_simply_run_again(place: Place) -> None:
    look = {"name": "a", "capability": "box.look", "inputs": {"key": "a"}}
    run = await interrupted(place, workflow(look), "a", happened=False)
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED
        assert place.box.log == ["execute a", "execute a"]


async def test_rule_2_a_run_whose_capability_is_gone_stays_as_it_is(place: Place) -> None:
    """Nobody is asked about it, and nothing of it is recorded, until somebody who has the capability drives it on."""
    run = await interrupted(place, ONE, "a", happened=False)
    async with place.open(box=False) as rt:
        before = rt.kinds(run)
        with pytest.raises(InputError) as refused:
            await rt.resume(run)
        assert (refused.value.code, rt.kinds(run)) == ("CAPABILITY_ABSENT", before)
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert result.status is RunState.SUCCEEDED


async def test_a_cancelled_step_whose_capability_is_gone_is_in_doubt_as_that(place: Place) -> None:
    run = await interrupted(place, ONE, "a", happened=False)
    async with place.open(box=False) as rt:
        result = await rt.cancel(run)
        [step] = result.steps
        assert (result.status, step.status) == (RunState.NEEDS_ATTENTION, "in_doubt")
        assert (step.error or {})["code"] == "CAPABILITY_ABSENT"
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert (result.status, place.box.values) == (RunState.CANCELLED, {})


async def test_what_is_not_registered_here_is_told_as_that_and_nobody_is_left_without_a_way(
    place: Place,
) -> None:
    """Undoing and settling say so; a step can be given up without it, and whoever has it goes on."""
    place.box.before["b"] = boom
    place.box.on_reconcile["b"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        done, doubted = await rt.run(ONE), await rt.run(workflow(put("b")))
        assert doubted.status is RunState.NEEDS_ATTENTION
        assert "NoEffectError" in str((doubted.error or {})["hint"])
    async with place.open(box=False) as rt:
        before = rt.kinds(doubted.run_id)
        for word in ("happened", "not_happened"):
            with pytest.raises(InputError) as absent:
                await rt.resolve(doubted.run_id, "b", word)
            assert (absent.value.code, rt.kinds(doubted.run_id)) == ("CAPABILITY_ABSENT", before)
        with pytest.raises(RefusedError) as refused:
            await rt.undo(done.run_id)
        assert refused.value.code == "CAPABILITY_ABSENT"
        assert (await rt.resolve(doubted.run_id, "b", "abandon")).status.is_finished
    async with place.open() as rt:
        assert (await rt.undo(done.run_id)).status is RunState.UNDONE


@pytest.mark.parametrize("what", ["handler", "spec"])
async def test_rule_2_another_capability_than_the_intents_is_in_doubt_as_changed(
    place: Place, what: str
) -> None:
    """An intent is only continued by the very capability that it was made for."""
    run = await interrupted(place, ONE, "a", happened=False)
    async with place.open(box=False) as rt:
        if what == "handler":
            rt.register(put_spec(), place.box.handler(revision="box/2"))
        else:
            rt.register(put_spec(description="another"), place.box.handler(), replace=True)
        [result] = await rt.resume(run)
        again = await rt.resolve(run, "a", "not_happened")
        for one in (result, again):
            assert (one.status, code(one)) == (RunState.NEEDS_ATTENTION, "CAPABILITY_CHANGED")
        assert place.box.count("execute", "a") == 1


@pytest.mark.parametrize("ending", ["failed", "undone"])
async def test_rule_2_of_a_read_nothing_is_taken_back_whoever_said_that_it_happened(
    place: Place, ending: str
) -> None:
    look = {"name": "a", "capability": "box.look", "inputs": {"key": "a"}}
    document = workflow(look, *([fail()] if ending == "failed" else []))
    run = await interrupted(place, document, "a", happened=False)
    async with place.open(box=False) as rt:
        other = dataclasses.replace(place.box.read(), revision="box.read/2")
        rt.register(create_read_capability("box.look", parameters=KEYED), other)
        [doubted] = await rt.resume(run)
        assert code(doubted) == "CAPABILITY_CHANGED"
        result = await rt.resolve(run, "a", "happened")
        if ending == "undone":
            result = await rt.undo(run)
        assert (result.status, states(result)["a"]) == (ending, "succeeded")


async def test_rule_2_workflow_and_inputs_come_from_the_journal(place: Place) -> None:
    """The file may be another one by now, or gone: the run goes on with what it began with."""
    place.workspace.mkdir()
    path = place.workspace / "w.yaml"
    path.write_text(
        "name: w\ninputs: {v: string}\nsteps:\n"
        "- {name: a, capability: box.put, inputs: {key: a, value: '${{ inputs.v }}'}}\n"
        "- {name: b, capability: box.put, inputs: {key: b, value: '${{ inputs.v + steps.a.output.value }}'}}\n"
    )
    place.box.after["b"] = boom
    async with place.open() as rt:
        place.box.on_reconcile["b"] = Reconciliation(Verdict.UNKNOWN)
        waiting = await rt.run(path, {"v": "x"})
        assert waiting.status is RunState.NEEDS_ATTENTION
    path.unlink()
    place.box.after.clear()
    async with place.open() as rt:
        result = await rt.resolve(waiting.run_id, "b", "not_happened")
        assert (result.status, place.box.values) == (RunState.SUCCEEDED, {"a": "x", "b": "xx"})


async def test_rule_2_a_rollback_that_was_interrupted_goes_on(place: Place) -> None:
    """A compensation is idempotent: begun and not finished, it is begun again, and each step once more only if it must."""
    reached, box = asyncio.Event(), place.box

    async def never(context: LocalContext) -> None:
        reached.set()
        await asyncio.Event().wait()

    box.on_compensate["a"] = never
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b"), fail())))
        await reached.wait()
        [run] = await rt.unfinished()
    await asyncio.wait({running})
    running.exception()
    box.on_compensate.clear()
    async with place.open() as rt:
        [result] = await rt.resume(run)
        assert result.status is RunState.ROLLED_BACK
        assert (box.count("compensate", "b"), box.count("compensate", "a"), box.values) == (1, 2, {})
        rt.require_sound_rows()


async def test_rule_3_rollback_overwrites_nobody_elses_change_and_shows_both_states(place: Place) -> None:
    """COMPENSATION_CONFLICT parks the step; the other steps are taken back; the foreign change stands."""
    place.box.after["b"] = lambda context: place.box.values.update(a="somebody else")
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b"), fail()))
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "COMPENSATION_CONFLICT")
        assert states(result) == {"a": "compensation_failed", "b": "compensated", "end": "failed"}
        error = result.step("a").error
        assert error is not None
        assert error["details"] == {"left": "a", "found": "somebody else"}
        assert place.box.values == {"a": "somebody else"}
        assert place.box.count("compensate", "a") == 1, "a conflict does not go away by trying again"


async def test_rule_3_after_the_conflict_is_out_of_the_way_resume_takes_the_rest_back(place: Place) -> None:
    place.box.after["b"] = lambda context: place.box.values.update(a="somebody else")
    async with place.open() as rt:
        parked = await rt.run(workflow(put("a"), put("b"), fail()))
        place.box.values["a"] = "a"
        [result] = await rt.resume(parked.run_id)
        assert (result.status, place.box.values) == (RunState.ROLLED_BACK, {})
        rt.require_sound_rows()


async def test_rule_3_the_files_of_the_workspace_are_checked_before_a_rollback(place: Place) -> None:
    """The built-in hands keep the rule: a file that somebody changed meanwhile keeps the change."""
    write = {"name": "write", "capability": "io.fs.write_file", "inputs": {"path": "f", "content": "ours"}}
    place.box.before["b"] = lambda context: (place.workspace / "f").write_text("theirs")
    async with place.open() as rt:
        result = await rt.run(workflow(write, put("b"), fail()))
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "COMPENSATION_CONFLICT")
        assert (place.workspace / "f").read_text() == "theirs"


async def test_rule_3_two_people_who_try_again_at_once_have_everything_taken_back_once(place: Place) -> None:
    """Both runs of `assent resume` come to the same end, and so does one after a restart."""
    place.box.on_compensate |= {"a": boom, "b": boom}
    async with place.open() as rt:
        parked = await rt.run(workflow(put("a"), put("b"), fail()))
        place.box.on_compensate.clear()
        place.box.log.clear()
        both = await asyncio.gather(rt.resume(parked.run_id), rt.resume(parked.run_id))
        assert [result.status for [result] in both] == [RunState.ROLLED_BACK, RunState.ROLLED_BACK]
        assert place.box.log == ["compensate b", "compensate a"]
        assert place.box.values == {}
        rt.require_sound_rows()
    async with place.open() as rt:
        assert (await rt.show(parked.run_id)).status is RunState.ROLLED_BACK


async def test_rule_3_a_compensation_that_fails_is_tried_again_before_a_person_is_asked(place: Place) -> None:
    """Three times in all; what it says then is kept, and a later success needs no person."""
    place.box.on_compensate["a"] = boom
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), fail()))
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "COMPENSATION_FAILED")
        assert place.box.count("compensate", "a") == 3
        place.box.on_compensate.clear()
        [result] = await rt.resume(result.run_id)
        assert (result.status, place.box.values) == (RunState.ROLLED_BACK, {})


async def test_rule_7_an_async_part_past_its_timeout_is_cancelled_and_awaited(place: Place) -> None:
    """The attempt really ends: its own clean-up has run before anything else is decided."""
    ended: list[str] = []

    async def hang(context: LocalContext) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("cleaned up")

    place.box.before["a"] = hang
    async with place.open() as rt:
        result = await rt.run(workflow(put("a", timeout="20ms")))
        assert (result.status, code(result), ended) == (RunState.FAILED, "STEP_TIMEOUT", ["cleaned up"])
        assert place.box.log == ["prepare a", "execute a", "reconcile a"]


async def test_rule_7_a_sync_part_is_told_to_end_and_waited_for(place: Place) -> None:
    """Its thread sees the cancel token; the step is settled after the thread ended, not before."""
    ended: list[str] = []

    def hang(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        assert context.cancel.wait(20)
        ended.append("thread")
        return {}

    async with place.open() as rt:
        rt.register(put_spec("box.hang"), place.box.handler(execute=hang))
        result = await rt.run(workflow(put("a", "box.hang", timeout="500ms")))
        assert (result.status, code(result), ended) == (RunState.FAILED, "STEP_TIMEOUT", ["thread"])


async def test_rule_7_a_thread_past_the_grace_leaves_the_step_in_doubt_and_nothing_is_taken_back(
    place: Place,
) -> None:
    """Under a living effect nobody is asked, nothing runs again, nothing is compensated; after its end all of that goes on."""
    release, alive = threading.Event(), threading.Event()

    def stubborn(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        alive.set()
        assert release.wait(20)
        place.box.values["a"] = "a"
        alive.clear()
        return {}

    place.grace_s = 0.02
    async with place.open() as rt:
        rt.register(put_spec("box.stubborn"), place.box.handler(execute=stubborn))
        result = await rt.run(workflow(put("first"), put("a", "box.stubborn", timeout="500ms")))
        try:
            assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "STEP_TIMEOUT")
            assert states(result) == {"first": "succeeded", "a": "in_doubt"}
            [again] = await rt.resume(result.run_id)
            assert (again.status, code(again)) == (RunState.NEEDS_ATTENTION, "EFFECT_ALIVE")
            assert place.box.count("reconcile", "a") == place.box.count("compensate", "first") == 0
        finally:
            release.set()
        while alive.is_set():  # noqa: ASYNC110 - the thread, not the loop, ends this
            await asyncio.sleep(0.001)
        [result] = await rt.resume(result.run_id)
        while code(result) == "EFFECT_ALIVE":  # the thread gave its result and is not yet known to have ended
            await asyncio.sleep(0.001)
            [result] = await rt.resume(result.run_id)
        assert (result.status, states(result)) == (
            RunState.SUCCEEDED,
            {"first": "succeeded", "a": "succeeded"},
        )


async def test_rule_7_a_compensation_waits_for_its_thread_and_is_not_begun_beside_it(place: Place) -> None:
    """A compensation whose thread outlives the grace is parked; trying it again meanwhile is refused by name."""
    release = threading.Event()

    def stubborn(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        assert release.wait(20)
        return {}

    place.grace_s = 0.02
    place.root.joinpath("work").mkdir()
    place.workspace.joinpath("assent.toml").write_text('[limits]\nstep_timeout = "500ms"\n')
    async with place.open() as rt:
        rt.register(put_spec("box.stubborn"), place.box.handler(compensate=stubborn))
        result = await rt.run(workflow(put("a", "box.stubborn"), fail()))
        try:
            assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "STEP_TIMEOUT")
            [again] = await rt.resume(result.run_id)
            assert code(again) == "EFFECT_ALIVE"
            started = [e for e in rt.recorded(result.run_id) if isinstance(e, ev.CompensationStarted)]
            assert [event.attempt for event in started] == [1, 1]
        finally:
            release.set()


async def test_rule_7_an_offsetting_call_is_not_begun_beside_its_own_living_thread(place: Place) -> None:
    """A step's own way back, another capability, holds to the same: past the grace it is parked, and not begun again."""
    release, begun = threading.Event(), []

    def stubborn(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        begun.append(parameters["key"])
        assert release.wait(20)
        return {}

    place.grace_s = 0.02
    place.root.joinpath("work").mkdir()
    place.workspace.joinpath("assent.toml").write_text('[limits]\nstep_timeout = "500ms"\n')
    way_back = {"capability": "box.stubborn", "inputs": {"key": "a"}}
    async with place.open() as rt:
        rt.register(put_spec("box.stubborn", idempotent=True), place.box.handler(execute=stubborn))
        result = await rt.run(workflow(put("a", compensation=way_back), fail()))
        try:
            assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "STEP_TIMEOUT")
            [again] = await rt.resume(result.run_id)
            assert (code(again), begun) == ("EFFECT_ALIVE", ["a"])
        finally:
            release.set()


async def test_rule_7_a_cancel_waits_for_the_effect_under_way(place: Place) -> None:
    """A sync part sees the cancel token at once; the run is taken back only after the part has ended."""
    order: list[str] = []

    def polite(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        started.set()
        assert context.cancel.wait(20)
        order.append("ended")
        raise RefusedError("CALL_CANCELLED", "asked to stop")

    started = threading.Event()
    async with place.open() as rt:
        rt.register(put_spec("box.polite"), place.box.handler(execute=polite))
        place.box.on_compensate["a"] = lambda context: order.append("taken back")
        running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b", "box.polite"))))
        await asyncio.to_thread(started.wait)
        result = await rt.cancel((await rt.unfinished())[0])
        assert (result.status, order) == (RunState.CANCELLED, ["ended", "taken back"])
        assert (await running).status is RunState.CANCELLED


@pytest.mark.parametrize("asked", [False, True])
async def test_rule_7_a_cancel_does_not_wait_for_a_step_that_has_not_begun(place: Place, asked: bool) -> None:
    """What was decided before a program runs to be shown is durable; however often it is cancelled, nothing of it begins."""
    told, ended = asyncio.Event(), list[str]()

    async def program(context: LocalContext, parameters: dict[str, Any]) -> Any:
        try:
            await asyncio.Event().wait()
        finally:
            ended.append("ended")

    spec = put_spec("box.build", operation_type=OperationType.EXECUTE)
    if asked:
        place.policy = policy(
            {"id": "ask", "when": {"capability": "box.build"}, "decision": "REQUIRE_APPROVAL"},
            {"id": "others", "decision": "ALLOW"},
        )
    async with place.open() as rt:
        rt.register(spec, place.box.handler(prepare=program, preview=program))
        with rt.telling(lambda run, n, at_ms, event: told.set() if event.kind == "step.preparing" else None):
            running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b", "box.build"), put("c"))))
            await told.wait()
        run = (await rt.unfinished())[0]
        assert rt.kinds(run)[-1] == "step.succeeded"
        results = await asyncio.gather(rt.cancel(run), rt.cancel(run), rt.cancel(run))
        assert [result.status for result in [*results, await running]] == [RunState.CANCELLED] * 4
        assert states(results[0]) == {"a": "compensated", "b": "pending", "c": "pending"}
        assert (ended, place.box.values) == (["ended"], {})
        assert (await rt.run(ONE)).status is RunState.SUCCEEDED


async def test_rule_7_a_handler_that_cancels_itself_has_failed(place: Place) -> None:
    """It does not hang its run, and it is not taken for somebody's wish to stop."""

    def give_up(context: LocalContext) -> None:
        raise asyncio.CancelledError

    place.box.before["a"] = give_up
    async with place.open() as rt:
        result = await rt.run(ONE)
        assert (result.status, code(result)) == (RunState.FAILED, "HANDLER_FAILED")


def each(count: int) -> dict[str, Any]:
    """A step that goes over so many keys."""
    return {
        "name": "each",
        "capability": "box.put",
        "foreach": [f"k{index}" for index in range(count)],
        "inputs": {"key": "${{ item }}", "value": "${{ item }}"},
    }


@pytest.mark.parametrize("count", [1, 2, 4])
async def test_a_loop_whose_iterations_are_in_doubt_asks_a_person_like_any_step(
    place: Place, count: int
) -> None:
    """The `foreach` step that waits for them moves nothing, so nobody waits for it; each iteration can be settled."""
    keys = [f"k{index}" for index in range(count)]
    place.box.after |= dict.fromkeys(keys, boom)
    place.box.on_reconcile |= dict.fromkeys(keys, Reconciliation(Verdict.UNKNOWN))
    async with place.open() as rt:
        result = await rt.run(workflow(each(count), put("last")))
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "EFFECT_UNKNOWN")
        assert result.error is not None
        assert result.error["path"] == "each[0]"
        assert rt.kinds(result.run_id).count("run.needs_attention") == 1
        for index in range(count):
            assert result.status is RunState.NEEDS_ATTENTION
            result = await rt.resolve(result.run_id, f"each[{index}]", "happened", output={"n": index})
        assert result.status is RunState.SUCCEEDED
        assert result.step("each").output == [{"n": index} for index in range(count)]
        rt.require_sound_rows()


@pytest.mark.parametrize("happened", [True, False])
async def test_a_loop_that_was_killed_in_an_iteration_asks_a_person(place: Place, *, happened: bool) -> None:
    run = await interrupted(place, workflow(each(1)), "k0", happened=happened)
    place.box.on_reconcile["k0"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        (result,) = await rt.resume(run)
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "EFFECT_UNKNOWN")
        assert (await rt.resolve(run, "each[0]", "not_happened")).status is RunState.SUCCEEDED
