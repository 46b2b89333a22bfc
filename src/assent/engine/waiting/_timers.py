"""When which run has to look again at what it may do: one heap for all runs of this process.

A timer says only *which run to look at when*; whether anything is due then is decided by what that run's events say. So it is
harmless when one is lost, fires twice, or is of something that was settled meanwhile. What asks for a time of its own (an
approval's expiry, another attempt of a step, the end of a wait, or of the time that a run may take) needs nothing here but a step
and a time of day.

Times of day become moments of the clock that nobody can set when they are learned, also across the eviction of their run: see
`assent.spec.moments`.
"""

from __future__ import annotations

import asyncio
from asyncio import TimerHandle
from collections.abc import Callable
from contextvars import Context
from heapq import heapify, heappop, heappush
from typing import Final, TypeAlias

from assent.engine.record._record import RUN_STEP, ApprovalRecord, RunRecord, StepRecord
from assent.spec.ids import RunId, StepKey
from assent.spec.moments import left_ms
from assent.spec.ports import Clock

LOOK_S_MAX: Final = 60.0
"""The clock is looked at so often at least: the loop's own time may stand still while the machine sleeps."""

SETTLED_KEPT: Final = 64
"""Moments of what was settled that may stand in the heap, however few others do."""

Moment: TypeAlias = tuple[StepKey, int]
"""Of which step, and the time of day that was set for it."""

_NO_STEP: Final = StepKey("")


class Timers:
    """Keeps the moments of all runs. `wake` is told of a run, in a context of nobody's, when one of its moments has come.

    To be used from one event loop.
    """

    def __init__(self, clock: Clock, wake: Callable[[RunId], None]) -> None:
        self._clock = clock
        self._wake = wake
        self._moments: dict[RunId, dict[Moment, int]] = {}
        self._heap: list[tuple[int, RunId, Moment]] = []
        self._settled = 0
        self._handle: TimerHandle | None = None
        self._is_stopped = False

    def is_due(self, run: RunId, key: StepKey, *, set_ms: int, due_ms: int) -> bool:
        """Whether `due_ms`, a time of day that was set at `set_ms`, has come. When it has not, the run is woken once it does."""
        now_ms = self._clock.monotonic_ms()
        moments = self._moments.setdefault(run, {})
        at_ms = moments.get((key, due_ms))
        if at_ms is None:
            left = left_ms(self._clock, set_ms=set_ms, due_ms=due_ms)
            at_ms = moments[key, due_ms] = now_ms + left
            if left:
                self._push(at_ms, run, (key, due_ms))
        return at_ms <= now_ms

    def wake_in(self, run: RunId, pause_ms: int) -> None:
        """Wake a run after a pause, whatever its events say."""
        at_ms = self._clock.monotonic_ms() + pause_ms
        moment = (_NO_STEP, at_ms)
        self._moments.setdefault(run, {})[moment] = at_ms
        self._push(at_ms, run, moment)

    def clear(self, run: RunId, key: StepKey) -> None:
        """Nothing of a step is waited for any more."""
        moments = self._moments.get(run, {})
        for moment in [moment for moment in moments if moment[0] == key]:
            del moments[moment]
            self._settled += 1
        if not moments:
            self._moments.pop(run, None)
        self._drop_settled()

    def forget(self, run: RunId) -> None:
        """Nothing of a run is waited for any more."""
        self._settled += len(self._moments.pop(run, ()))
        self._drop_settled()

    def _drop_settled(self) -> None:
        """Most questions are decided long before they expire: no more than half of the heap is of such."""
        if self._settled > max(SETTLED_KEPT, len(self._heap) // 2):
            self._heap = [entry for entry in self._heap if entry[2] in self._moments.get(entry[1], ())]
            heapify(self._heap)
            self._settled = 0

    def stop(self) -> None:
        """Wake nobody from now on."""
        self._is_stopped = True
        if self._handle is not None:
            self._handle.cancel()

    def _push(self, at_ms: int, run: RunId, moment: Moment) -> None:
        heappush(self._heap, (at_ms, run, moment))
        first_ms = self._heap[0][0]
        # The one before it may have come while the machine slept: then the loop is late for both.
        if first_ms == at_ms or first_ms <= self._clock.monotonic_ms():
            self._arm()

    def _arm(self) -> None:
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None
        if self._heap and not self._is_stopped:
            delay_s = min(LOOK_S_MAX, max(0.0, (self._heap[0][0] - self._clock.monotonic_ms()) / 1000))
            # Whoever is told what happens in the request that set it must not be told of other runs.
            self._handle = asyncio.get_running_loop().call_later(delay_s, self._fire, context=Context())

    def _fire(self) -> None:
        now_ms = self._clock.monotonic_ms()
        due: dict[RunId, None] = {}
        while self._heap and self._heap[0][0] <= now_ms:
            _, run, moment = heappop(self._heap)
            if moment in self._moments.get(run, ()):  # else it was settled, or its run has ended
                due[run] = None
        self._arm()
        for run in due:
            self._wake(run)


class RunTimers:
    """What one run waits for. What is not due when it is asked about wakes the run once it is."""

    __slots__ = ("_run", "_timers")

    def __init__(self, timers: Timers, run: RunId) -> None:
        self._timers = timers
        self._run = run

    def may_try_again(self, step: StepRecord) -> bool:
        """Whether the pause before a step's next attempt is over."""
        assert step.retry_at_ms is not None  # INVARIANT: the caller looked
        return self._timers.is_due(self._run, step.key, set_ms=step.failed_at_ms, due_ms=step.retry_at_ms)

    def has_run_out(self, record: RunRecord) -> bool:
        """Whether the time is over that the run may take."""
        due_ms = record.ends_at_ms
        return due_ms is not None and self._timers.is_due(
            self._run, RUN_STEP, set_ms=record.limited_from_ms, due_ms=due_ms
        )

    def has_waited(self, step: StepRecord) -> bool:
        """Whether the time is over for which a step waits, or may wait at most."""
        assert step.wait is not None  # INVARIANT: the caller looked
        due_ms = step.wait.due_ms
        return due_ms is not None and self._timers.is_due(
            self._run, step.key, set_ms=step.waiting_since_ms, due_ms=due_ms
        )

    def has_expired(self, asked: ApprovalRecord) -> bool:
        """Whether it is too late to answer a question, or to use the answer."""
        request = asked.request
        return request.expires_at_ms is not None and self._timers.is_due(
            self._run, request.step, set_ms=asked.requested_at_ms, due_ms=request.expires_at_ms
        )

    def clear(self, key: StepKey) -> None:
        """Nothing of a step is waited for any more."""
        self._timers.clear(self._run, key)
