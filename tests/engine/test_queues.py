"""What waits for a thread has not begun: it has no time limit, no effect, and keeps nothing from being taken back."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from assent import Runtime
from assent.capabilities.sys._capabilities import SLEEP_S_MAX
from assent.engine import RunResult
from assent.invocation import LocalContext
from assent.runtime.settings.effective import Limits
from assent.spec.states import RunState
from tests.support.bodies import FakeClock, Place, code, fail, put, put_spec, states, workflow

LIMIT_S = 60


class StoppedClock(FakeClock):
    """One that stands still."""

    def now_ms(self) -> int:
        return 1_800_000_000_000


pytestmark = pytest.mark.usefixtures("every_run_replays_equal")


class Ahead:
    """The loop's clock, which a test may set forward by `s`: whatever is limited by less is over at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.s = 0.0
        loop = asyncio.get_running_loop()
        real = loop.time
        monkeypatch.setattr(loop, "time", lambda: real() + self.s)


class Held:
    """Every thread of a runtime, held by runs of one step each until `release` is set."""

    def __init__(self, rt: Runtime, place: Place) -> None:
        self._rt = rt
        self.release = threading.Event()
        self._begun = threading.Semaphore(0)
        rt.register(put_spec("box.hold", idempotent=True), place.box.handler(execute=self._hold))
        self.runs: list[asyncio.Future[RunResult]] = []

    def _hold(self, context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        self._begun.release()
        assert self.release.wait(60)
        return {}

    async def begin(self) -> None:
        """Return when a handler runs in each."""
        count = max(4, self._rt.settings.limits.concurrency)
        self.runs = [
            asyncio.ensure_future(self._rt.call("box.hold", {"key": f"held{number}"}))
            for number in range(count)
        ]
        for _ in range(count):
            await asyncio.to_thread(self._begun.acquire)


@asynccontextmanager
async def held(rt: Runtime, place: Place) -> AsyncIterator[Held]:
    """A runtime without a free thread; afterwards all that held one have succeeded."""
    threads = Held(rt, place)
    await threads.begin()
    try:
        yield threads
    finally:
        threads.release.set()
    assert {result.status for result in await asyncio.gather(*threads.runs)} == {RunState.SUCCEEDED}


async def started(rt: Runtime, *calls: Any, steps: int | None = None) -> list[asyncio.Future[RunResult]]:
    """The calls, each as far as its intent, which is durable: what is left is its turn."""
    waited, all_there = steps or len(calls), asyncio.Event()

    def listen(run: object, n: object, at_ms: object, event: Any) -> None:
        nonlocal waited
        waited -= event.kind == "step.started"
        if not waited:
            all_there.set()

    with rt.telling(listen):
        running = [asyncio.ensure_future(call) for call in calls]
        await all_there.wait()
    for _ in range(5):  # from the commit to the queue
        await asyncio.sleep(0)
    return running


def quick(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """A sync part that does nothing."""
    return {}


async def test_time_in_the_queue_is_none_of_the_steps(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sixteen calls wait longer than each may take, and all succeed at their first attempt."""
    ahead = Ahead(monkeypatch)
    async with place.open() as rt:
        rt.register(put_spec("box.quick", timeout=LIMIT_S), place.box.handler(execute=quick, reconcile=None))
        async with held(rt, place):
            running = await started(rt, *(rt.call("box.quick", {"key": f"k{n}"}) for n in range(16)))
            ahead.s += 10 * LIMIT_S
            for _ in range(5):
                await asyncio.sleep(0)
        results = await asyncio.gather(*running)
        assert {(result.status, result.steps[0].attempts) for result in results} == {(RunState.SUCCEEDED, 1)}


async def test_the_deadline_is_that_of_a_handler_that_begins_now(place: Place) -> None:
    """What a handler derives from `deadline_ms` is right however long it waited for its turn."""
    place.clock = FakeClock()
    left_ms: list[int] = []

    def look(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        assert place.clock is not None
        assert context.deadline_ms is not None
        left_ms.append(context.deadline_ms - place.clock.now_ms())
        return {}

    place.grace_s = 10  # with it, the pipeline has the clock that the test sets
    async with place.open() as rt:
        rt.register(put_spec("box.see", timeout=LIMIT_S), place.box.handler(execute=look))
        async with held(rt, place):
            running = await started(rt, rt.call("box.see", {"key": "k"}))
            place.clock.ms += 10 * LIMIT_S * 1000
        await running[0]
        assert [0 < left <= LIMIT_S * 1000 for left in left_ms] == [True]


async def test_a_cancel_in_the_queue_leaves_no_effect(place: Place) -> None:
    """Nobody asks the world about a handler of which no line has run, and what came before is taken back at once."""
    async with place.open() as rt:
        rt.register(put_spec("box.quick"), place.box.handler(execute=quick, reconcile=None))
        async with held(rt, place):
            [running] = await started(rt, rt.run(workflow(put("a"), put("b", "box.quick"))), steps=2)
            run = (await rt.unfinished())[-1]
            result = await rt.cancel(run)
            assert (result.status, states(result)) == (
                RunState.CANCELLED,
                {"a": "compensated", "b": "failed"},
            )
            assert [step.error["code"] for step in result.steps if step.error] == ["CALL_NOT_BEGUN"]
            assert (await running).status is RunState.CANCELLED
        assert "step.unsettled" not in rt.kinds(run)
        assert place.box.values == {}


async def test_a_runtime_that_closes_leaves_nothing_in_doubt_that_was_queued(place: Place) -> None:
    """What had not begun begins when the run goes on, although its capability could never be asked what it did."""
    async with place.open() as rt:
        rt.register(put_spec("box.quick"), place.box.handler(execute=quick, reconcile=None))
        threads = Held(rt, place)
        await threads.begin()
        calls = await started(rt, rt.run(workflow(put("a", "box.quick"))))
        run = (await rt.unfinished())[-1]
        closing = asyncio.ensure_future(rt.close())
        await asyncio.wait(calls)
        threads.release.set()
        await closing
        for one in (*calls, *threads.runs):
            one.exception()
    async with place.open() as rt:
        rt.register(put_spec("box.quick"), place.box.handler(execute=quick, reconcile=None))
        [result] = await rt.resume(run)
        assert (result.status, result.steps[0].attempts) == (RunState.SUCCEEDED, 2)
        assert rt.kinds(run).count("step.started") == 2
        assert not {"step.unsettled", "step.in_doubt", "step.reconciled"} & {*rt.kinds(run)}


async def test_what_holds_every_thread_keeps_nothing_from_being_taken_back(place: Place) -> None:
    """A compensation that needs a thread gets one while handlers that go forward hold all of theirs."""

    def take_back(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        del place.box.values[parameters["key"]]
        return {}

    async with place.open() as rt:
        rt.register(put_spec("box.sync"), place.box.handler(compensate=take_back))
        async with held(rt, place):
            result = await rt.run(workflow(put("a", "box.sync"), fail()))
            assert (result.status, code(result)) == (RunState.ROLLED_BACK, "STEP_FAILED_ON_PURPOSE")
            assert place.box.values == {}


@pytest.mark.parametrize(
    ("of_spec_s", "of_step", "limit_s"),
    [(None, {}, 7200), (30, {}, 30), (30, {"timeout": "90s"}, 90), (None, {"timeout": "90s"}, 90)],
)
async def test_every_step_has_a_limit(
    place: Place, of_spec_s: float | None, of_step: dict[str, Any], limit_s: int
) -> None:
    """The step's own, else its capability's, else the configured one, which is there without being asked for."""
    limits: list[int] = []

    def look(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        assert context.deadline_ms is not None
        limits.append(round((context.deadline_ms - place_clock.now_ms()) / 1000))
        return {}

    place_clock = StoppedClock()
    place.clock, place.grace_s = place_clock, 10
    async with place.open() as rt:
        rt.register(put_spec("box.see", timeout=of_spec_s), place.box.handler(execute=look))
        await rt.run(workflow(put("a", "box.see", **of_step)))
    assert limits == [limit_s]


def test_what_may_wait_longest_by_itself_fits_into_the_limit_that_nobody_set() -> None:
    """`sys.sleep` sleeps as long as its parameters allow."""
    assert Limits().step_timeout_ms > SLEEP_S_MAX * 1000
