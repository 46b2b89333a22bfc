"""What waits for a time goes on by itself once it has come, whatever the clock of the day says, and takes no memory meanwhile."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import Callable
from contextvars import Context
from functools import partial
from typing import Any

import pytest

from assent.engine import RunResult
from assent.engine.drive._actor import RunActor
from assent.engine.drive._engine import LOOK_AGAIN_MS
from assent.engine.waiting._timers import LOOK_S_MAX, SETTLED_KEPT, Timers
from assent.errors import WorldError
from assent.invocation import Hook, HookKind
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from assent.spec.ids import RunId, StepKey
from assent.spec.states import RunState
from assent.system import SystemClock
from tests.support.bodies import (
    Bench,
    FakeClock,
    Pause,
    Place,
    code,
    no_effect,
    policy,
    put,
    rule,
    states,
    workflow,
)

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

DAYS_400_MS = 400 * 86_400_000


def asking(expires: str | None = None) -> dict[str, Any]:
    """A policy that asks about what is HIGH, with a time for the answer."""
    approvers = {"expires": expires} if expires is not None else {}
    return policy(rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}, approvers=approvers))


class JumpingClock(FakeClock):
    """A clock of the day that a test may set; what counts the time does not follow it. `ms` moves both."""

    wrong_ms = 0

    def now_ms(self) -> int:
        return super().now_ms() + self.wrong_ms


async def until(said: Callable[[], object]) -> None:
    """Wait for what happens by itself, however busy the machine is, but not for the look that is due after a sleep."""
    async with asyncio.timeout(LOOK_S_MAX / 2):
        while not said():  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.002)


async def ended(rt: Bench, run: str) -> None:
    """Wait until the run has ended, which nobody is told of."""
    async with asyncio.timeout(60):
        while not (await rt.show(run)).status.is_finished:  # noqa: ASYNC110 - nobody is told of it
            await asyncio.sleep(0.002)


def pass_time(rt: Bench, clock: FakeClock, ms: int) -> None:
    """Let time pass, and the timers see it at once: those that are set wait by the system's clock."""
    clock.ms += ms
    Context().run(rt.engine._timers._fire)


def in_memory(rt: Bench) -> list[RunId]:
    return [*rt.engine._actors]


STOPS: dict[str, tuple[Exception, str]] = {
    "a full disk": (WorldError("DISK_FULL", "the disk that holds the ledger is full"), "DISK_FULL"),
    "a fault of ours": (RuntimeError("unforeseen"), "INTERNAL_ERROR"),
}


@pytest.mark.parametrize("where", ["append", "events"])
@pytest.mark.parametrize("stop", STOPS)
async def test_what_stops_a_run_whose_time_has_come_is_told_counted_seen_and_tried_again(
    stop: str, where: str, place: Place, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody waits for such a run: without this it would stay where it is, waiting, until the next start. Others go on."""
    fault, code_ = STOPS[stop]
    place.clock = clock = FakeClock()
    async with place.open() as rt:
        (run,) = [(await rt.run(workflow({"name": "w", "wait": "1h"}, put("a")))).run_id]
        service, journal = Service(rt.settings, rt._core), rt._core.ready.journal
        real = getattr(journal, where)

        # `Any`: whatever is asked of a journal.
        async def failing(*asked: Any, **how: Any) -> Any:
            if where == "append" or asked[0] == run:
                raise fault
            return await real(*asked, **how)

        monkeypatch.setattr(type(journal), where, lambda _, *asked, **how: failing(*asked, **how))
        stopped = rt._core.stopped

        def counted(tries: int) -> bool:
            return rt._core.metrics.snapshot()["stops"] == {code_: tries}

        for tries in (1, 2):  # the second try finds it no better, and that is not told again
            pass_time(rt, clock, 3_600_000)
            await until(partial(counted, tries))
        (told,) = [one for one in caplog.records if run in one.getMessage()]
        assert (str(fault) in told.getMessage(), bool(told.exc_info)) == (True, code_ == "INTERNAL_ERROR")
        monkeypatch.undo()
        for status in ((), ("interrupted",)):
            (line,) = (await service.perform(requests.Runs(status=status))).runs
            assert (line.status, line.code) == ("interrupted", code_)
        pass_time(rt, clock, LOOK_AGAIN_MS)
        await ended(rt, run)
        await until(lambda: not stopped())
        (line,) = (await service.perform(requests.Runs())).runs
        assert (line.status, line.code) == ("succeeded", None)


async def test_a_question_that_nobody_answers_in_time_is_rejected_by_itself(place: Place) -> None:
    """And the run is rolled back, although nobody touches it; nothing of it was in memory while it waited."""
    place.policy = asking("50ms")
    async with place.open() as rt:
        waiting = await rt.run(workflow(put("a"), put("b", "box.put_high")))
        await ended(rt, waiting.run_id)
        result = await rt.show(waiting.run_id)
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "APPROVAL_EXPIRED")
        assert place.box.values == {}
        await until(lambda: in_memory(rt) == [])


async def test_the_undo_that_nobody_agrees_to_in_time_is_refused_by_itself(place: Place) -> None:
    place.policy = policy(
        rule("undo", "REQUIRE_APPROVAL", when={"capability": "assent.undo"}, approvers={"expires": "50ms"})
    )
    async with place.open() as rt:
        done = await rt.run(workflow(put("a")))
        waiting = await rt.undo(done.run_id)
        assert waiting.status is RunState.WAITING
        await until(lambda: rt.kinds(done.run_id)[-1] == "run.undo_refused")
        assert rt.kinds(done.run_id)[-2:] == ["approval.rejected", "run.undo_refused"]
        assert place.box.values == {"a": "a"}


async def test_what_an_earlier_owner_left_waiting_is_found_when_the_runtime_opens(place: Place) -> None:
    """By the row of the question; what is due is decided by the run's events."""
    place.policy, place.clock = asking("1h"), FakeClock()
    async with place.open() as rt:
        waiting = await rt.call("box.put_high", {"key": "a"})
        undated = await rt.run(workflow({"name": "ask", "approval": {"reason": "?"}}))
    place.clock.ms += 3_600_000
    async with place.open() as rt:
        await ended(rt, waiting.run_id)
        assert code(await rt.show(waiting.run_id)) == "APPROVAL_EXPIRED"
        assert (await rt.show(undated.run_id)).status is RunState.WAITING


async def test_a_run_whose_capabilities_are_not_registered_is_left_alone_until_they_are(place: Place) -> None:
    """A program registers them when the runtime is open already; taking anything back before would go wrong for good."""
    place.policy, place.clock = asking("1h"), FakeClock()
    async with place.open() as rt:
        waiting = await rt.run(workflow(put("a"), put("b", "box.put_high")))
    place.clock.ms += 3_600_000
    async with place.open(box=False) as rt:
        await until(lambda: rt.engine._timers._heap)
        assert (await rt.show(waiting.run_id)).status is RunState.WAITING
        place.register(rt)
        pass_time(rt, place.clock, 60_000)
        await ended(rt, waiting.run_id)
        assert ((await rt.show(waiting.run_id)).status, place.box.values) == (RunState.ROLLED_BACK, {})


@pytest.mark.parametrize("days", [400, -400])
async def test_a_clock_that_is_set_rejects_no_question_before_its_time_and_none_later(
    place: Place, days: int
) -> None:
    """In a living runtime, also while the run is out of memory: it was asked for an hour, and an hour it is."""
    clock = place.clock = JumpingClock()
    place.policy = asking("1h")
    async with place.open() as rt:
        first = await rt.call("box.put_high", {"key": "a"})
        second = await rt.call("box.put_high", {"key": "b"})
        clock.wrong_ms = days * 86_400_000
        pass_time(rt, clock, 3_599_000)
        assert (await rt.approve(first.run_id)).status is RunState.SUCCEEDED
        pass_time(rt, clock, 1_000)
        await ended(rt, second.run_id)
        assert code(await rt.show(second.run_id)) == "APPROVAL_EXPIRED"


async def test_an_answer_that_comes_too_late_counts_as_none(place: Place) -> None:
    """To the millisecond, whether or not the timer was first."""
    clock = place.clock = FakeClock()
    place.policy = asking("1h")
    async with place.open() as rt:
        for answer in (rt.approve, rt.reject):
            waiting = await rt.call("box.put_high", {"key": "a"})
            clock.ms += 3_600_000
            assert code(await answer(waiting.run_id)) == "APPROVAL_EXPIRED"
        assert place.box.values == {}


def trying(backoff: str) -> dict[str, Any]:
    return workflow(put("a", retry={"max_attempts": 2, "backoff": {"initial": backoff, "jitter": 0}}))


async def in_backoff(place: Place, backoff: str, rt: Bench) -> tuple[str, asyncio.Task[RunResult]]:
    """A run that waits for its second attempt, and who waits for it."""
    place.box.before["a"] = lambda call: no_effect(call) if call.attempt == 1 else None
    failed = asyncio.Event()
    with rt.telling(
        lambda run, n, at_ms, event: failed.set() if event.kind == "step.attempt_failed" else None
    ):
        running = asyncio.ensure_future(rt.run(trying(backoff)))
    await failed.wait()
    return (await rt.unfinished())[-1], running


@pytest.mark.parametrize("days", [400, -400])
async def test_a_clock_that_is_set_moves_no_attempt_of_a_living_run(place: Place, days: int) -> None:
    clock = place.clock = JumpingClock()
    async with place.open() as rt:
        _, running = await in_backoff(place, "1h", rt)
        clock.wrong_ms = days * 86_400_000
        pass_time(rt, clock, 3_599_000)
        await asyncio.sleep(0)
        assert place.box.count("execute", "a") == 1
        pass_time(rt, clock, 1_000)
        assert states(await running) == {"a": "succeeded"}


async def test_a_backoff_lasts_no_longer_than_it_was_set_to_when_the_clock_was_set_back(place: Place) -> None:
    """The next owner has only the clock of the day, by which the attempt is hours away."""
    clock = place.clock = JumpingClock()
    async with place.open() as rt:
        run, running = await in_backoff(place, "3s", rt)
    await asyncio.wait({running})
    running.exception()
    clock.wrong_ms = -2 * 3_600_000
    async with place.open() as rt:
        resumed = asyncio.ensure_future(rt.resume(run))
        await until(lambda: rt.engine._timers._heap)
        pass_time(rt, clock, 3_000)
        [result] = await resumed
        assert (result.status, result.step("a").attempts) == (RunState.SUCCEEDED, 2)


async def test_a_run_in_its_backoff_goes_on_from_the_journal_when_its_caller_left(place: Place) -> None:
    """Nobody waits for it, so it leaves memory; its next attempt comes all the same, and no other listener is told of it."""
    clock = place.clock = FakeClock()
    told: list[str] = []
    async with place.open() as rt:
        run, running = await in_backoff(place, "1h", rt)
        running.cancel()
        await asyncio.wait({running})
        await until(lambda: in_memory(rt) == [])
        assert (await rt.unfinished()) == [run]
        with rt.telling(lambda run, n, at_ms, event: told.append(run)):
            other = await rt.call("box.put", {"key": "other"})
            pass_time(rt, clock, 3_600_000)
        await ended(rt, run)
        assert states(await rt.show(run)) == {"a": "succeeded"}
        assert set(told) == {other.run_id}
        await until(lambda: in_memory(rt) == [])


async def test_a_run_that_waits_for_a_person_leaves_memory_and_comes_back_when_it_is_touched(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Freed at once, without the collector; what drives it on is made from the journal."""
    place.policy = asking("1h")
    async with place.open() as rt:
        made: list[weakref.ref[RunActor]] = []
        make = rt.engine.make_actor

        def remembered(*args: Any, **named: Any) -> RunActor:
            actor = make(*args, **named)
            made.append(weakref.ref(actor))
            return actor

        monkeypatch.setattr(rt.engine, "make_actor", remembered)
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            waiting = await rt.run(
                workflow(put("a"), put("b", "box.put_high", value="${{ steps.a.output }}"))
            )
            assert waiting.status is RunState.WAITING
            await asyncio.sleep(0)
            assert (in_memory(rt), [actor() for actor in made]) == ([], [None])
        finally:
            if was_enabled:
                gc.enable()
        done = await rt.approve(waiting.run_id)
        assert (done.status, len(made)) == (RunState.SUCCEEDED, 2)
        assert done.step("b").output == {"key": "b", "value": {"key": "a", "value": "a"}}


async def test_a_run_that_somebody_waits_for_or_that_moves_stays(place: Place) -> None:
    pause = place.box.before["a"] = Pause()
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(workflow(put("a"))))
        await pause.reached.wait()
        assert in_memory(rt) == (await rt.unfinished())
        running.cancel()
        await asyncio.wait({running})
        assert in_memory(rt) == (await rt.unfinished())
        pause.go_on.set()
        await until(lambda: in_memory(rt) == [])


async def test_a_run_that_paused_because_the_policy_broke_goes_on_from_the_journal(place: Place) -> None:
    """It left memory meanwhile, and whoever mends the policy wakes it."""
    file = place.root / "policy.yaml"
    file.write_text("version: 1\ndefault: ALLOW\nrules: []\n")
    place.policy = file
    pause = place.box.before["a"] = Pause()
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b"))))
        await pause.reached.wait()
        file.write_text("version: [")
        with pytest.raises(Exception, match="POLICY_INVALID"):
            rt.reload_policy()
        pause.go_on.set()
        paused = await running
        assert (states(paused), in_memory(rt)) == ({"a": "succeeded", "b": "pending"}, [])
        file.write_text("version: 1\ndefault: ALLOW\nrules: []\n")
        rt.reload_policy()
        await ended(rt, paused.run_id)
        assert states(await rt.show(paused.run_id)) == {"a": "succeeded", "b": "succeeded"}


async def test_a_session_stays_in_memory_until_it_is_closed_or_forgotten(place: Place) -> None:
    """Each of its calls would cost as much as the session is long, if it had to be made from the journal first."""
    async with place.open() as rt:
        first, second = await rt.session(), await rt.session()
        for session in (first, second):
            await session.call("box.put", {"key": "a"})
        assert set(in_memory(rt)) == {first.run_id, second.run_id}
        await first.close()
        assert in_memory(rt) == [second.run_id]
        run = second.run_id
        del second, session
        gc.collect()
        assert (in_memory(rt), (await rt.show(run)).status) == ([], RunState.RUNNING)


async def test_the_hooks_of_a_call_hold_it_in_memory_while_it_waits(place: Place) -> None:
    """They are known to this process alone, and the call is theirs also after the answer."""
    place.policy = asking()
    seen: list[str] = []
    async with place.open() as rt:
        note = Hook(HookKind.AFTER, lambda call: seen.append("a"), id="note")
        waiting = await rt.call("box.put_high", {"key": "a"}, hooks=[note])
        assert in_memory(rt) == [waiting.run_id]
        assert (await rt.approve(waiting.run_id)).status is RunState.SUCCEEDED
        assert seen == ["a"]


async def test_a_fault_of_what_drives_a_run_is_raised_to_whoever_waits_for_it(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And is not left to the loop, with an answer that looks like one."""

    drive = RunActor._drive

    async def broken(actor: RunActor) -> None:
        monkeypatch.setattr(RunActor, "_drive", drive)
        message = "for the test"
        raise AssertionError(message)

    async with place.open() as rt:
        monkeypatch.setattr(RunActor, "_drive", broken)
        with pytest.raises(AssertionError, match="for the test"):
            await rt.call("box.put", {"key": "a"})
        assert (in_memory(rt), place.box.log) == ([], [])
        assert (await rt.call("box.put", {"key": "a"})).status is RunState.SUCCEEDED


async def test_what_was_decided_is_not_kept_until_it_would_have_expired() -> None:
    """Of a thousand questions that were answered at once next to nothing stays; what is still open wakes its run."""
    woken: list[RunId] = []
    clock = FakeClock()
    timers = Timers(clock, woken.append)
    key = StepKey("call")
    for number in range(1000):
        run = RunId(f"run_{number}")
        assert not timers.is_due(run, key, set_ms=clock.now_ms(), due_ms=clock.now_ms() + DAYS_400_MS)
        if number % 100:
            timers.clear(run, key) if number % 2 else timers.forget(run)
    assert len(timers._heap) <= 10 + SETTLED_KEPT + 1
    assert len(timers._moments) == 10
    clock.ms += DAYS_400_MS
    timers.wake_in(RunId("run_soon"), 0)
    await until(lambda: len(woken) == 11)
    timers.stop()


async def test_a_moment_that_a_sooner_one_took_the_place_of_wakes_nobody_after_the_end() -> None:
    woken: list[RunId] = []
    timers = Timers(SystemClock(), woken.append)
    timers.wake_in(RunId("run_late"), 40)
    timers.wake_in(RunId("run_soon"), 20)
    timers.stop()
    await asyncio.sleep(0.1)
    assert woken == []
