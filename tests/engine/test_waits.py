"""A step waits for a time or a signal: on record, out of memory, and each signal ends one step, oldest first."""

from __future__ import annotations

from typing import Any

import pytest

from assent.engine.machine._commands import Admit, Cancel, Failed, Receive, Succeeded
from assent.engine.machine._interventions import SIGNALS_MAX
from assent.engine.record._record import evolve
from assent.errors import AssentError, Json
from assent.journal import rows_at_once
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment
from assent.spec.states import Effect, RunState, StepState
from assent.spec.words.durations import instant
from tests.engine.test_machine import ASKER, A, B, Driven
from tests.engine.test_timers import JumpingClock, ended, in_memory, pass_time, until
from tests.support.bodies import Bench, FakeClock, Place, code, policy, put, rule, states, workflow
from tests.support.machine import BOUND, signal

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

HOUR_MS = 3_600_000


def wait(given: object, name: str = "w", **fields: Any) -> dict[str, Any]:
    return {"name": name, "wait": given, **fields}


GO = {"signal": "go"}


def waits_of(rt: Bench, status: str = "waiting") -> list[object]:
    return [row["step"] for row in rows_at_once(rt._core.ready.journal, "waits", {"status": status})]


@pytest.mark.parametrize(
    ("given", "hours"),
    [
        ("1h", 1),
        ({"for": "${{ inputs.pause }}"}, 2),
        ({"until": "${{ inputs.past }}"}, 0),
        ({"until": "2001-01-01T00:00:00Z"}, 0),
    ],
)
async def test_a_run_goes_on_by_itself_once_the_time_has_come(
    place: Place, given: object, hours: int
) -> None:
    """And not before; meanwhile nothing of it is in memory, and a moment that has passed is none to wait for."""
    place.clock = FakeClock()
    steps = workflow(put("a"), wait(given), put("b"), inputs={"pause": "string", "past": "string"})
    async with place.open() as rt:
        result = await rt.run(steps, {"pause": "2h", "past": "2020-01-01T00:00:00+01:00"})
        if hours:
            assert (result.status, states(result)["w"]) == (RunState.WAITING, "waiting")
            await until(lambda: in_memory(rt) == [])
            pass_time(rt, place.clock, hours * HOUR_MS - 60_000)
            assert (await rt.show(result.run_id)).status is RunState.WAITING
            assert waits_of(rt) == ["w"]
            pass_time(rt, place.clock, 60_000)
            await ended(rt, result.run_id)
            result = await rt.show(result.run_id)
        assert (result.status, result.step("w").output) == (RunState.SUCCEEDED, None)
        assert (waits_of(rt), place.box.values) == ([], {"a": "a", "b": "b"})


@pytest.mark.parametrize("is_until", [False, True])
@pytest.mark.parametrize("days", [400, -400])
async def test_a_clock_that_is_set_makes_no_wait_longer_and_none_in_a_living_runtime_shorter(
    place: Place, days: int, is_until: bool
) -> None:
    clock = place.clock = JumpingClock()
    waits = {"until": instant(clock.now_ms() + HOUR_MS)} if is_until else "1h"
    async with place.open() as rt:
        run = (await rt.run(workflow(wait(waits)))).run_id
        clock.wrong_ms = days * 86_400_000
        pass_time(rt, clock, HOUR_MS - 1000)
        assert (await rt.show(run)).status is RunState.WAITING
        pass_time(rt, clock, 1000)
        await ended(rt, run)


async def test_what_an_earlier_owner_left_waiting_goes_on_in_the_next(place: Place) -> None:
    place.clock = FakeClock()
    async with place.open() as rt:
        runs = [(await rt.run(workflow(wait("1h"), put(key)))).run_id for key in ("a", "b")]
    place.clock.ms += HOUR_MS
    async with place.open() as rt:
        for run in runs:
            await ended(rt, run)
        assert place.box.values == {"a": "a", "b": "b"}


async def test_each_signal_ends_one_step_in_the_order_in_which_they_came(place: Place) -> None:
    """Also those that came before any step waited, to a process that has ended since; none is heard twice."""
    steps = workflow(
        wait("1h"), wait(GO, "one"), wait({"signal": "other"}, "two"), wait(GO, "three"), wait(GO, "four"),
        outputs={"heard": ["${{ steps.one.output }}", "${{ steps.two.output }}", "${{ steps.three.output }}"]},
    )  # fmt: skip
    place.clock = FakeClock()
    async with place.open() as rt:
        run = (await rt.run(steps)).run_id
        sent: list[tuple[str, Json]] = [("go", 1), ("go", {"n": 2}), ("other", None)]
        for name, payload in sent:
            assert (await rt.signal(run, name, payload)).status is RunState.WAITING
    place.clock.ms += HOUR_MS
    async with place.open() as rt:
        await until(lambda: waits_of(rt) == ["four"])
        shown = await rt.show(run)
        assert [shown.step(name).output for name in ("one", "two", "three")] == [1, None, {"n": 2}]
        assert shown.step("four").waits_for == {"signal": "go", "due_at_ms": None}
        ended_run = await rt.signal(run, "go")
        assert (ended_run.status, ended_run.outputs) == (RunState.SUCCEEDED, {"heard": [1, None, {"n": 2}]})


async def test_no_signal_in_time_fails_the_step_and_takes_the_run_back(place: Place) -> None:
    place.clock = FakeClock()
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a"), wait({**GO, "timeout": "1h"})))).run_id
        pass_time(rt, place.clock, HOUR_MS)
        await ended(rt, run)
        assert (code(await rt.show(run)), place.box.values) == ("WAIT_TIMEOUT", {})


async def test_a_waiting_run_is_cancelled(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a"), wait(GO)))).run_id
        cancelled = await rt.cancel(run)
        assert (cancelled.status, states(cancelled)["w"]) == (RunState.CANCELLED, "failed")
        assert (waits_of(rt), place.box.values) == ([], {})


@pytest.mark.parametrize("decision", ["DENY", "REQUIRE_APPROVAL"])
async def test_a_signal_that_the_policy_does_not_allow_is_on_record_and_ends_nothing(
    place: Place, decision: str
) -> None:
    """Who may send which is a rule like any other; nobody is asked about a signal."""
    when = {"capability": "assent.signal", "workflow": "w", "principal": "user:eve"}
    place.policy = policy(rule("no_eve", decision, when=when, **{"if": 'inputs.signal == "go"'}))
    async with place.open() as rt:
        run = (await rt.run(workflow(wait(GO)))).run_id
        with pytest.raises(AssentError, match="no_eve") as refused:
            await rt.signal(run, "go", {"x": 1}, principal="user:eve")
        assert refused.value.code == "POLICY_DENIED"
        (told,) = [event for event in rt.recorded(run) if isinstance(event, ev.SignalReceived)]
        assert (told.by, told.rule, told.decision, told.payload) == ("user:eve", "no_eve", decision, None)
        assert (await rt.signal(run, "go")).status is RunState.SUCCEEDED


async def test_what_no_step_can_hear_is_refused_and_not_recorded(place: Place) -> None:
    async with place.open() as rt:
        run = (await rt.run(workflow(wait(GO), wait(GO, "again")))).run_id
        before = rt.kinds(run)
        with pytest.raises(AssentError, match="waits for no signal `goo`") as unknown:
            await rt.signal(run, "goo")
        assert (unknown.value.code, unknown.value.hint) == ("SIGNAL_UNKNOWN", "did you mean `go`?")
        assert rt.kinds(run) == before
        await rt.signal(run, "go")
        assert (await rt.signal(run, "go")).status is RunState.SUCCEEDED
        with pytest.raises(AssentError) as over:
            await rt.signal(run, "go")
        assert over.value.code == "RUN_FINISHED"


async def test_a_time_that_only_the_run_knows_is_looked_at_before_it_waits(place: Place) -> None:
    async with place.open() as rt:
        result = await rt.run(
            workflow(put("a"), wait({"until": "${{ inputs.t }}"}), inputs={"t": "string"}), {"t": "tomorrow"}
        )
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "INVALID_INPUT")


async def test_a_plan_shows_what_is_waited_for(place: Place) -> None:
    async with place.open() as rt:
        plan = await rt.plan(
            workflow(
                wait("1h"), wait({**GO, "timeout": "1h"}, "s"), put("a", value="${{ steps.s.output }}"),
                wait("1h", "never", when="false"), wait({"for": "${{ steps.s.output }}"}, "later"),
            )
        )  # fmt: skip
    assert [(step.name, step.capability, step.target, step.known) for step in plan.steps] == [
        ("w", "assent.wait", "for 1h", True),
        ("s", "assent.wait", "signal go", True),
        ("a", "box.put", None, False),
        ("later", "assent.wait", None, False),
    ]
    assert {step.decision for step in plan.steps} == {"ALLOW"}


def begun(*names: str | None) -> Driven:
    """A run whose two steps wait for signals of these names, or for a time."""
    run = Driven()
    for key, name in zip((A, B), names, strict=False):
        run.give(Admit((ev.WaitStarted(step=key, signal=name, due_ms=None if name else 5),)))
    return run


def test_the_machine_hears_oldest_first_and_each_once() -> None:
    """The step that has waited longest for a name has the oldest signal of that name; what is not let in is none."""
    run = begun("go", "go")
    assert run.states() == (RunState.WAITING, StepState.WAITING)
    payloads = [Commitment(str(number) * 64) for number in (1, 2, 3)]
    assert run.give(Receive(signal("other", payload=payloads[0]))) == ["signal.received"]
    assert run.give(Receive(signal("go", payload=None))) == ["signal.received"]
    for key, payload in ((A, payloads[1]), (B, payloads[2])):
        assert run.give(Receive(signal("go", payload=payload))) == ["signal.received", "step.succeeded"]
        assert run.record.steps[key].output == payload
    assert [one.name for one in run.record.signals] == ["other"]
    assert run.states() == (RunState.RUNNING, StepState.SUCCEEDED)


def test_a_wait_ends_once_and_not_in_a_run_that_stops() -> None:
    run = begun(None)
    assert run.give(Succeeded(A, 0, BOUND, Effect.NONE)) == ["step.succeeded"]
    assert run.give(Succeeded(A, 0, BOUND, Effect.NONE)) == []
    late = begun("go")
    assert late.give(Failed(A, 0, "WAIT_TIMEOUT", Effect.NONE)) == ["step.failed", "run.failed"]
    stopped = begun("go", None)
    assert stopped.give(Cancel(ASKER)) == [
        "run.cancel_requested",
        "step.failed",
        "step.failed",
        "run.cancelled",
    ]
    with pytest.raises(AssentError, match="has already ended"):
        stopped.give(Receive(signal("go")))


def test_a_run_keeps_so_many_signals_and_no_more() -> None:
    run = begun("other")
    for _ in range(SIGNALS_MAX):
        run.give(Receive(signal("go")))
    with pytest.raises(AssentError) as full:
        run.give(Receive(signal("go")))
    assert full.value.code == "SIGNALS_FULL"


def test_what_nobody_vouches_for_is_waited_for_again() -> None:
    """A signal of the doubted end of a ledger did not come, and a wait of it begins anew."""
    run = begun("go")
    run.give(Receive(signal("other")))
    evolve(run.record, ev.RunDoubted(start=1), 9)
    assert (run.record.signals, run.record.steps[A].state) == ([], StepState.PENDING)


@pytest.mark.parametrize("waits", [wait(GO), wait("3h"), {"name": "ask", "approval": "?"}])
async def test_a_run_that_takes_longer_than_it_may_is_taken_back(place: Place, waits: dict[str, Any]) -> None:
    """Whatever it waits for, also when another process began it; and not before."""
    place.clock = FakeClock()
    async with place.open() as rt:
        run = (await rt.run(workflow(put("a"), waits, max_duration="2h"))).run_id
        pass_time(rt, place.clock, HOUR_MS)
        assert (await rt.show(run)).status is RunState.WAITING
    async with place.open() as rt:
        pass_time(rt, place.clock, HOUR_MS)
        await ended(rt, run)
        result = await rt.show(run)
        assert (result.status, code(result), waits_of(rt)) == (RunState.ROLLED_BACK, "RUN_TIMEOUT", [])
        assert result.error is not None
        assert "longer than the 2h" in str(result.error["message"])
        assert place.box.values == {}


async def test_a_call_under_way_is_asked_to_end_when_the_time_is_over(place: Place) -> None:
    async with place.open() as rt:
        result = await rt.run(
            workflow(
                {"name": "nap", "capability": "sys.sleep", "inputs": {"seconds": 60}}, max_duration="50ms"
            )
        )
        assert (result.status, code(result)) == (RunState.FAILED, "RUN_TIMEOUT")
        quick = await rt.run(workflow(put("a"), max_duration="1h"))
        assert quick.status is RunState.SUCCEEDED
        assert waits_of(rt) == []
