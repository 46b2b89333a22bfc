"""A run that stops where it is, because something broke or the runtime closes: no effect of it lives on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assent.engine import Driven, Engine, Wish
from assent.engine.waiting._waiters import Callers
from assent.errors import InputError, WorldError
from assent.invocation import LocalContext, Reconciliation
from assent.policy import PolicyEngine
from assent.spec.ids import RunId, StepKey
from assent.spec.states import RunState, Verdict
from tests.support.bodies import (
    FakeClock,
    Pause,
    Place,
    boom,
    code,
    no_effect,
    policy,
    put,
    rule,
    states,
    workflow,
)
from tests.support.patience import PATIENCE_S


async def test_no_effect_of_a_run_that_broke_lives_on(place: Place) -> None:
    """Whoever waits is told when all has ended, so that nothing is asked, or begun again, beside a living effect."""
    slow, living, most = Pause(), 0, 0

    async def count(context: LocalContext) -> None:
        nonlocal living, most
        living += 1
        most = max(most, living)
        try:
            await slow(context)
        finally:
            await asyncio.sleep(0.01)
            living -= 1

    def listen(run: RunId, n: int | None, at_ms: int, event: Any) -> None:
        if event.kind == "step.succeeded":
            message = "the listener broke"
            raise RuntimeError(message)

    place.box.before |= {"slow": count, "quick": lambda context: slow.reached.wait()}
    document = workflow(put("slow", depends_on=[]), put("quick", depends_on=[]))
    async with place.open() as rt:
        with rt.telling(listen), pytest.raises(RuntimeError, match="the listener broke"):
            await rt.run(document)
        assert (living, place.box.values) == (0, {"quick": "quick"})
        slow.go_on.set()
        [result] = await rt.resume()
        assert (result.status, most) == (RunState.SUCCEEDED, 1)
        assert place.box.values == {"slow": "slow", "quick": "quick"}


async def test_who_waits_for_the_record_of_a_run_that_broke_is_told_why(place: Place) -> None:
    """Also within a call that is being ended: it would be waited for, and wait itself."""
    slow, told = Pause(), list[str]()

    async def ask(context: LocalContext) -> None:
        try:
            await slow(context)
        finally:
            with pytest.raises(RuntimeError) as refused:
                await asyncio.wait_for(rt.engine.settle(RunId(context.run)), PATIENCE_S)
            told.append(str(refused.value))

    def listen(run: RunId, n: int | None, at_ms: int, event: Any) -> None:
        if event.kind == "step.succeeded":
            message = "the listener broke"
            raise RuntimeError(message)

    place.box.before |= {"slow": ask, "quick": lambda context: slow.reached.wait()}
    document = workflow(put("slow", depends_on=[]), put("quick", depends_on=[]))
    async with place.open() as rt:
        with rt.telling(listen), pytest.raises(RuntimeError, match="the listener broke"):
            await rt.run(document)
        assert told == ["the listener broke"]


async def test_who_waits_for_the_record_of_a_run_that_stops_is_told_that_nothing_comes(place: Place) -> None:
    reached, ended = asyncio.Event(), asyncio.Event()

    async def reluctant(context: LocalContext) -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            await ended.wait()

    place.box.before["slow"] = reluctant
    async with place.open() as rt:
        session = await rt.session()
        held = asyncio.ensure_future(session.call("box.put", {"key": "slow"}))
        await reached.wait()
        (actor,) = rt.engine._actors.values()
        closing = asyncio.ensure_future(rt.close())
        await asyncio.sleep(0)
        with pytest.raises(InputError, match="records nothing more"):
            await asyncio.wait_for(actor.settle(), PATIENCE_S)
        ended.set()
        await asyncio.wait({closing, held})


async def test_a_session_takes_no_call_once_its_runtime_closes(place: Place) -> None:
    """Also while the close still waits for another run, whose effect takes its time to end."""
    reached, ended = asyncio.Event(), asyncio.Event()

    async def reluctant(context: LocalContext) -> None:
        reached.set()
        try:
            await asyncio.Event().wait()
        finally:
            await ended.wait()

    place.box.before["slow"] = reluctant
    async with place.open() as rt:
        session, other = await rt.session(), await rt.session()
        await session.call("box.put", {"key": "first"})
        held = asyncio.ensure_future(other.call("box.put", {"key": "slow"}))
        await reached.wait()
        closing = asyncio.ensure_future(rt.close())
        await asyncio.sleep(0)  # It has begun; nobody who waits is let go of before every effect has ended.
        with pytest.raises(InputError, match="the runtime is not open"):
            await session.call("box.put", {"key": "late"})
        ended.set()
        await closing
        with pytest.raises(InputError):
            await held
        with pytest.raises(InputError, match="the runtime is not open"):
            await session.call("box.put", {"key": "later"})
    assert place.box.values == {"first": True}


async def test_a_run_that_stops_prepares_no_further_attempt(place: Place) -> None:
    """Of two attempts that are due at once, the second is not even looked at when the first is denied."""
    place.clock, place.policy = FakeClock(), policy(rule("all", without_approval=True))
    held = Pause()
    place.box.before |= {"a": no_effect, "b": no_effect, "held": held}
    retry = {"max_attempts": 2, "backoff": {"initial": "1h", "max": "1h", "jitter": 0}}
    steps = [put(key, depends_on=[], retry=retry) for key in "ab"]
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(workflow(*steps, put("held", depends_on=[]))))
        async with asyncio.timeout(PATIENCE_S):
            while (  # noqa: ASYNC110 - it goes on by itself, and nobody is told of an attempt
                not await rt.unfinished()
                or rt.kinds((await rt.unfinished())[0]).count("step.attempt_failed") < 2
            ):
                await asyncio.sleep(0.001)
        rt._core.gate.replace(
            PolicyEngine.from_dict(
                policy(rule("no", "DENY", **{"if": "inputs.key == 'a'"}), rule("all", without_approval=True))
            )
        )
        place.clock.ms += 3_700_000
        rt._core.running.wake()
        held.go_on.set()
        result = await running
        assert states(result) == {"a": "denied", "b": "failed", "held": "compensated"}
        assert place.box.count("prepare", "b") == 1
        rt.require_sound_rows()


async def test_a_caller_that_left_is_no_exception_that_nobody_looked_at() -> None:
    """asyncio would write it, with its traceback, to the standard error of whoever closes the runtime."""
    told: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _loop, context: told.append(context))
    callers = Callers()
    stays, leaves = callers.watch(StepKey("a")), callers.watch(StepKey("b"))
    callers.refuse(InputError("RUNTIME_CLOSED", "the runtime is closing"))
    del leaves
    assert told == []
    with pytest.raises(InputError, match="is closing"):
        await stays


async def test_a_step_that_was_not_begun_yet_is_put_away_without_a_warning(place: Place) -> None:
    """Its effect is due, and the runtime closes before the loop comes to it; the next owner begins it."""
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b"))))
        async with asyncio.timeout(PATIENCE_S):
            while not (actors := [*rt.engine._actors.values()]) or not actors[0]._busy:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await rt.close()
        await asyncio.wait({running})
        assert running.exception() is not None
    del running, actors  # Where a coroutine is freed that never ran, Python warns, and the test fails.
    async with place.open() as rt:
        [result] = await rt.resume()
        assert (result.status, place.box.count("execute", "a")) == (RunState.SUCCEEDED, 1)


async def test_a_loop_in_doubt_that_an_earlier_version_left_running_asks_a_person_when_resumed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What such a version did not conclude is concluded when the run is driven again."""
    place.box.after["k0"] = boom
    place.box.on_reconcile["k0"] = Reconciliation(Verdict.UNKNOWN)
    with monkeypatch.context() as earlier:
        earlier.setattr("assent.engine.machine._machine.conclude", lambda record: ())
        async with place.open() as rt:
            result = await rt.run(workflow(put("each", foreach=["k0"], inputs={"key": "${{ item }}"})))
            assert (result.status, states(result)["each[0]"]) == (RunState.RUNNING, "in_doubt")
    async with place.open() as rt:
        (result,) = await rt.resume(result.run_id)
        assert (result.status, code(result)) == (RunState.NEEDS_ATTENTION, "EFFECT_UNKNOWN")


async def test_resuming_all_runs_drives_them_at_once(place: Place) -> None:
    """Each gets as far as it can while the others are under way; the results keep the order of the runs."""
    keys = [f"k{index}" for index in range(5)]
    runs: list[str] = []
    async with place.open() as rt:
        for key in keys:
            begun = Pause()
            place.box.before[key] = begun
            running = asyncio.ensure_future(rt.run(workflow(put(key))))
            await begun.reached.wait()
            running.cancel()
            await asyncio.wait({running})
            runs.append((await rt.unfinished())[-1])
    barrier = asyncio.Barrier(len(keys))
    place.box.before |= {key: lambda context: barrier.wait() for key in keys}
    async with place.open() as rt:
        results = await rt.resume()
        assert [(result.run_id, result.status) for result in results] == [
            (run, RunState.SUCCEEDED) for run in runs
        ]


async def test_a_run_that_can_not_be_driven_keeps_no_other_from_being_resumed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its error is raised when the others have been driven."""
    async with place.open() as rt:
        first, second = [await rt.call("box.put_high", {"key": key}) for key in ("a", "b")]
    look = Engine.look

    async def torn(engine: Engine, run: RunId) -> Driven:
        if run == first.run_id:
            raise WorldError("RECORD_CORRUPT", "for the test")
        return await look(engine, run)

    resumed: list[str] = []
    async with place.open() as rt:
        monkeypatch.setattr(Engine, "look", torn)
        drive = Engine.drive

        async def noted(engine: Engine, run: RunId, wish: Wish | None = None) -> Driven:
            resumed.append(run)
            return await drive(engine, run, wish)

        monkeypatch.setattr(Engine, "drive", noted)
        with pytest.raises(WorldError) as caught:
            await rt.resume()
    assert (caught.value.code, resumed) == ("RECORD_CORRUPT", [second.run_id])
