"""The way of a call: its stages in order, what ends it, and what is left of it."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError, InputError, InternalError
from assent.invocation import (
    BoundCapability,
    CallPhase,
    CallTimeoutError,
    Handler,
    LocalContext,
    NoEffectError,
    Prepared,
    Preview,
    Reconciliation,
    StateKey,
)
from assent.spec import create_read_capability
from assent.spec.decision import PolicyDecision
from assent.spec.states import Verdict
from tests.support.calls import ANYTHING, NOWHERE, bed, nothing
from tests.support.properties import holds

NUMBER: dict[str, Any] = {
    "type": "object",
    "properties": {"n": {"type": "integer"}},
    "required": ["n"],
    "additionalProperties": False,
}
MINE = StateKey("mine", int)


async def test_bad_input_never_reaches_the_gate() -> None:
    spec = create_read_capability("a.read", parameters=NUMBER)
    with bed() as made:
        call = made.receive(made.bound(spec=spec))
        with pytest.raises(InputError) as caught:
            await made.take(call, {"n": "many"})
        assert (caught.value.code, made.gate.asked) == ("INVALID_INPUT", [])
        assert (call.context.phase, call.life.is_over) == (CallPhase.FAILED, True)
        assert made.pipeline.metrics.snapshot()["validations"] == {"input.refused": 1}


async def test_a_denied_call_runs_no_hook_and_prepares_nothing() -> None:
    ran: list[str] = []
    with bed() as made:
        made.gate.answer = PolicyDecision.DENY
        for attach in (made.pipeline.hooks.before, made.pipeline.hooks.catch, made.pipeline.hooks.finally_):
            attach(id=f"{attach}")(lambda call: ran.append("hook"))
        call, answer = await made.call()
    assert (answer, ran, call.context.phase) == ("DENY", [], CallPhase.FAILED)


@holds("output_validation")
@given(
    output=st.one_of(
        st.none(), st.integers(), st.text(max_size=3), st.dictionaries(st.text(max_size=2), st.integers())
    )
)
def test_an_output_that_does_not_fit_fails_a_call_whose_effect_is_done(output: Any) -> None:
    spec = create_read_capability("a.read", parameters=ANYTHING, returns=NUMBER)

    async def give(context: LocalContext, parameters: Any) -> Any:
        return output

    fits = isinstance(output, dict) and list(output) == ["n"]

    async def body() -> None:
        with bed() as made:
            call = made.receive(made.bound(give, spec=spec))
            if fits:
                assert await made.take(call) == output
                assert call.context.phase is CallPhase.SUCCEEDED
            else:
                with pytest.raises(AssentError) as caught:
                    await made.take(call)
                assert caught.value.code == "INVALID_OUTPUT"
                assert call.context.phase is CallPhase.FAILED
            assert call.has_returned
            counted: Any = made.pipeline.metrics.snapshot()["validations"]
            assert counted[f"output.{'passed' if fits else 'refused'}"] == 1

    asyncio.run(body())


@holds("error_isolation")
@given(kinds=st.lists(st.sampled_from(["good", "fails", "bad output", "timeout", "cancel"]), max_size=8))
def test_an_error_of_one_call_shows_in_that_call_alone(kinds: list[str]) -> None:
    """Calls that run at once, over one pipeline, with one hook for all of them: each has its own state and its own end."""
    seen: dict[str, list[str]] = {}
    strangers: list[int] = []

    async def effect(context: LocalContext, parameters: Any) -> Any:
        number = parameters["number"]
        strangers.extend(found for found in [context.state.get(MINE)] if found is not None)
        context.state.set(MINE, number)
        context.on_error(lambda error: seen.setdefault(context.request_id, []).append(error.code))  # type: ignore[attr-defined]
        await asyncio.sleep(0)
        assert context.state.get(MINE) == number
        match kinds[number]:
            case "fails":
                raise NoEffectError("NO", f"not today {number}")
            case "timeout":
                return await asyncio.Event().wait()
            case "cancel":
                raise asyncio.CancelledError
            case "bad output":
                return object()
            case _:
                return {"number": number}

    async def body() -> None:
        with bed() as made:
            calls = [made.receive(made.bound(effect)) for _ in kinds]
            results = await asyncio.gather(
                *(
                    made.take(
                        call, {"number": number}, timeout_s=0.01 if kinds[number] == "timeout" else None
                    )
                    for number, call in enumerate(calls)
                ),
                return_exceptions=True,
            )
            codes = {
                "fails": "NO",
                "bad output": "INVALID_OUTPUT",
                "timeout": "STEP_TIMEOUT",
                "cancel": "HANDLER_FAILED",
            }
            for number, (kind, call, result) in enumerate(zip(kinds, calls, results, strict=True)):
                if kind == "good":
                    assert result == {"number": number}
                    assert call.context.request_id not in seen
                else:
                    assert isinstance(result, AssentError)
                    assert result.code == codes[kind]
                    assert kind != "fails" or result.message == f"not today {number}"
                    assert seen[call.context.request_id] == [codes[kind]]

    asyncio.run(body())
    assert strangers == []


@holds("timeout_cleanup")
@given(
    cleanups=st.lists(st.sampled_from(["good", "fails", "async", "cancels itself"]), max_size=6),
    is_sync=st.booleans(),
)
def test_a_call_past_its_limit_cleans_up_once_in_reverse_and_leaves_nothing(
    cleanups: list[str], is_sync: bool
) -> None:
    ran: list[int] = []
    told: list[str] = []

    def make(number: int, kind: str) -> Any:
        async def later() -> None:
            await asyncio.sleep(0)
            ran.append(number)
            if kind == "cancels itself":
                raise asyncio.CancelledError

        def now() -> None:
            ran.append(number)
            if kind == "fails":
                raise ValueError("a cleanup went wrong")

        return now if kind in ("good", "fails") else later

    def register(context: LocalContext) -> None:
        for number, kind in enumerate(cleanups):
            context.on_cleanup(make(number, kind))
        context.on_timeout(lambda: told.append("timeout"))
        context.on_error(lambda error: told.append(type(error).__name__))

    async def hang(context: LocalContext, parameters: Any) -> None:
        register(context)
        await asyncio.Event().wait()

    def block(context: LocalContext, parameters: Any) -> None:
        register(context)
        context.cancel.wait(20)

    async def body() -> None:
        with bed(grace_s=20) as made:
            call = made.receive(made.bound(block if is_sync else hang))
            with pytest.raises(CallTimeoutError):
                await made.take(call, timeout_s=0.005)
            assert len(asyncio.all_tasks()) == 1
            assert not made.pipeline.is_alive("k")
            with pytest.raises(InputError) as caught:
                call.context.on_cleanup(print)
            assert caught.value.code == "CALL_ENDED"

    asyncio.run(body())
    assert ran == list(range(len(cleanups)))[::-1]
    assert told == ["timeout", "CallTimeoutError"]


async def test_every_cleanup_runs_although_the_call_is_cancelled_while_one_runs() -> None:
    ran: list[str] = []
    reached = asyncio.Event()

    async def slow() -> None:
        reached.set()
        await asyncio.Event().wait()

    async def effect(context: LocalContext, parameters: Any) -> Any:
        context.on_cleanup(lambda: ran.append("first"))
        context.on_cleanup(slow)
        return {}

    with bed() as made:
        call = made.receive(made.bound(effect))
        task = asyncio.ensure_future(made.take(call))
        await reached.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert (ran, call.context.phase) == (["first"], CallPhase.SUCCEEDED)


async def test_a_callback_of_a_phase_that_fails_is_passed_over() -> None:
    phases: list[tuple[str, str]] = []

    def bad(before: CallPhase, after: CallPhase) -> None:
        raise ValueError("not mine")

    with bed() as made:
        call = made.receive()
        call.context.on_phase_change(bad)
        call.context.on_phase_change(lambda before, after: phases.append((before.value, after.value)))
        await made.take(call)
    assert phases == [
        ("received", "validated"),
        ("validated", "authorized"),
        ("authorized", "prepared"),
        ("prepared", "executing"),
        ("executing", "succeeded"),
    ]


async def test_a_stage_out_of_order_is_refused() -> None:
    with bed() as made:
        call = made.receive()
        with pytest.raises(InternalError):
            await made.pipeline.allow(call)
        with pytest.raises(InternalError):
            await made.pipeline.execute(call, timeout_s=None, prepared=None)


async def test_an_error_of_prepare_is_one_of_ours_and_keeps_its_cause() -> None:
    causes: list[BaseException | None] = []

    async def prepare(context: LocalContext, parameters: Any) -> Prepared:
        context.on_error(lambda error: causes.append(error.__cause__))
        raise ValueError("unexpected")

    with bed() as made, pytest.raises(AssentError) as caught:
        await made.call(made.bound(prepare=prepare))
    assert caught.value.code == "HANDLER_FAILED"
    assert [str(cause) for cause in causes] == ["unexpected"]


async def test_what_prepare_captured_is_there_for_execute() -> None:
    async def prepare(context: LocalContext, parameters: Any) -> Prepared:
        assert context.prepared is None
        context.state.set(MINE, 7)
        return Prepared({"x": 1})

    async def execute(context: LocalContext, parameters: Any) -> Any:
        return {"prepared": context.prepared, "mine": context.state.get(MINE)}

    with bed() as made:
        _, output = await made.call(made.bound(execute, prepare=prepare))
        call = made.receive(made.bound(execute, prepare=prepare))
        made.pipeline.validate(call, {})
        assert output == {"prepared": {"x": 1}, "mine": 7}


async def test_a_preview_has_a_context_of_its_own() -> None:
    seen: list[LocalContext] = []

    async def preview(context: LocalContext, parameters: Any) -> Preview:
        context.state.set(MINE, 1)
        context.on_cleanup(lambda: seen.append(context))
        return Preview("text", "x")

    async def broken(context: LocalContext, parameters: Any) -> Preview:
        raise ValueError("no")

    with bed() as made, made.pipeline.lifecycle.subscribe() as events:
        call = made.receive(made.bound(preview=preview))
        made.pipeline.validate(call, {})
        events.take()
        shown = await made.pipeline.preview(call, NOWHERE, timeout_s=None)
        assert events.take() == []
        assert shown is not None
        assert (shown.diff, len(call.context.state), seen[0] is call.context) == ("x", 0, False)
        assert await made.pipeline.preview(made.receive(), NOWHERE, timeout_s=None) is None
        other = made.receive(made.bound(preview=broken))
        with pytest.raises(AssentError) as caught:
            await made.pipeline.preview(other, NOWHERE, timeout_s=None)
    assert caught.value.code == "HANDLER_FAILED"


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (Reconciliation(Verdict.NO), Verdict.NO),
        (Reconciliation(Verdict.YES, {"n": 1}), Verdict.YES),
        ("nonsense", None),
        (ValueError("can't tell"), None),
        (None, None),
    ],
)
async def test_what_a_capability_says_of_an_effect_is_checked(answer: Any, told: Verdict | None) -> None:
    async def reconcile(context: LocalContext, parameters: Any) -> Any:
        assert (context.phase, context.prepared) == (CallPhase.EXECUTING, {"x": 1})
        if isinstance(answer, Exception):
            raise answer
        return answer

    spec = create_read_capability("a.read", parameters=ANYTHING, returns=NUMBER)
    with bed() as made:
        bound = BoundCapability(spec, Handler(nothing, reconcile=reconcile if answer is not None else None))
        call = made.receive(bound, entry=CallPhase.EXECUTING, is_silent=True)
        made.pipeline.validate(call, {})
        found = await made.pipeline.reconcile(call, timeout_s=None, prepared={"x": 1})
    assert (found.verdict if found is not None else None) is told


async def test_an_output_that_reconcile_tells_of_is_validated() -> None:
    async def reconcile(context: LocalContext, parameters: Any) -> Any:
        return Reconciliation(Verdict.YES, {"n": "many"})

    spec = create_read_capability("a.read", parameters=ANYTHING, returns=NUMBER)
    with bed() as made:
        call = made.receive(made.bound(spec=spec, reconcile=reconcile), entry=CallPhase.EXECUTING)
        with pytest.raises(InputError) as caught:
            await made.pipeline.reconcile(call, timeout_s=None, prepared=None)
    assert caught.value.code == "INVALID_OUTPUT"


async def test_a_call_that_is_never_executed_still_ends() -> None:
    ran: list[str] = []

    async def prepare(context: LocalContext, parameters: Any) -> Prepared:
        context.on_cleanup(lambda: ran.append("cleanup"))
        return Prepared()

    with bed() as made, made.pipeline.lifecycle.subscribe() as events:
        call = made.receive(made.bound(prepare=prepare))
        made.pipeline.validate(call, {})
        await made.pipeline.allow(call)
        await made.pipeline.prepare(call, timeout_s=None)
        await made.pipeline.abandon(call)
        await made.pipeline.abandon(call)
        last = events.take()[-1]
    assert (ran, call.context.phase, last.code) == (["cleanup"], CallPhase.FAILED, "STEP_INTERRUPTED")


async def test_nothing_of_a_call_outlives_it() -> None:
    with bed() as made:
        call, _ = await made.call()
        context = call.context
        gone = weakref.ref(call)
        del context
        del call
        gc.collect()
        assert gone() is None


async def test_progress_is_told_from_any_thread() -> None:
    def work(context: LocalContext, parameters: Any) -> Any:
        context.progress(1, 4, "reading")
        return {}

    with bed() as made, made.pipeline.lifecycle.subscribe() as events:
        await made.call(made.bound(work))
        told = [(e.done, e.total, e.name) for e in events.take() if e.stage == "progress"]
    assert told == [(1, 4, "reading")]
