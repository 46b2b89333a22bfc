"""A run that stops where it is, because something broke or the runtime closes: no effect of it lives on."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assent.engine._callers import Callers
from assent.errors import InputError
from assent.invocation import LocalContext
from assent.policy import PolicyEngine
from assent.spec.ids import RunId, StepKey
from assent.spec.states import RunState
from tests.support.bodies import FakeClock, Pause, Place, no_effect, policy, put, rule, states, workflow


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
            await asyncio.sleep(0)
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
        async with asyncio.timeout(30):
            while not rt.unfinished() or rt.kinds(rt.unfinished()[0]).count("step.attempt_failed") < 2:  # noqa: ASYNC110
                await asyncio.sleep(0.001)
        rt.gate.replace(
            PolicyEngine.from_dict(
                policy(rule("no", "DENY", **{"if": "inputs.key == 'a'"}), rule("all", without_approval=True))
            )
        )
        place.clock.ms += 3_700_000
        rt._running.wake()
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
        async with asyncio.timeout(30):
            while not (actors := [*rt._running._actors.values()]) or not actors[0]._busy:  # noqa: ASYNC110
                await asyncio.sleep(0)
        await rt.close()
        await asyncio.wait({running})
        assert running.exception() is not None
    del running, actors  # Where a coroutine is freed that never ran, Python warns, and the test fails.
    async with place.open() as rt:
        [result] = await rt.resume()
        assert (result.status, place.box.count("execute", "a")) == (RunState.SUCCEEDED, 1)
