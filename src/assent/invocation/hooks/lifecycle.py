"""What happens inside calls, told as it happens to whoever listens, and never to the cost of the call.

A subscriber has a queue of its own with a limit. When it is full the oldest event is dropped and counted: a slow listener misses
events, a call never waits. Without a subscriber no event is even made. What must not be lost is in the ledger.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import StrEnum
from itertools import count
from types import TracebackType
from typing import Final, Self

import msgspec

from assent.errors import InputError
from assent.invocation.context._hook_records import HookLevel
from assent.spec.ids import RunId, StepKey

CAPACITY: Final = 1024
"""Events that wait for a subscriber when it asks for nothing else."""

CAPACITY_MAX: Final = 1_000_000


class Subject(StrEnum):
    """What an event is about."""

    CALL = "call"
    HOOK = "hook"
    VALIDATION = "validation"
    POLICY = "policy"
    COMPENSATION = "compensation"


class Stage(StrEnum):
    """What happened to it. Each `start` has exactly one `end` or `error`; `retry` and `progress` come in between."""

    START = "start"
    END = "end"
    ERROR = "error"
    RETRY = "retry"
    PROGRESS = "progress"


class CallNames(msgspec.Struct, frozen=True, gc=False):
    """What names a call in its events; all of them share it."""

    request_id: str
    run: RunId
    step: StepKey
    attempt: int
    capability: str


class LifecycleEvent(msgspec.Struct, frozen=True, gc=False):
    """One thing that happened inside a call.

    `name` is the hook's id, `input` or `output` of a validation, the decision of the gate, or what a call that did not succeed
    came to; `level` is where a hook stands; `at_us` rises monotonically from an arbitrary start; `duration_us` is set at the end
    and at an error; `code` is the error's. `done` and `total` belong to `progress`.
    """

    subject: Subject
    stage: Stage
    call: CallNames
    at_us: int
    name: str = ""
    level: HookLevel | None = None
    duration_us: int | None = None
    code: str | None = None
    done: float | None = None
    total: float | None = None

    @property
    def request_id(self) -> str:
        """The call's own id: what tells the events of calls that run at once apart."""
        return self.call.request_id


class _Queue:
    """One subscriber's events. `put` and `take` may be called from any thread."""

    __slots__ = ("_events", "_looks", "_taken", "_tick", "_waiting", "is_closed", "put")

    def __init__(self, capacity: int) -> None:
        # No lock: `put` stands in the way of a call, so it does two things that can't be interrupted, each a single step of the
        # interpreter. What was dropped follows from what came, what was taken and what is there.
        self._events: deque[LifecycleEvent] = deque(maxlen=capacity)
        self._tick = count().__next__
        self._looks = 0
        self._taken = 0
        self._waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []
        self.is_closed = False
        self.put: Final = self._putting()

    def __len__(self) -> int:
        return len(self._events)

    @property
    def dropped(self) -> int:
        """How many were dropped; exact whenever nobody is in the middle of a `put`."""
        came = self._tick() - self._looks
        self._looks += 1
        return max(0, came - self._taken - len(self._events))

    def _putting(self) -> Callable[[LifecycleEvent], None]:
        # Not a method: what it would look up in the queue each time costs as much as the two steps, twice for each hook.
        tick, append, waiting = self._tick, self._events.append, self._waiting

        def put(event: LifecycleEvent) -> None:
            tick()
            append(event)
            if waiting:
                _wake(waiting)

        return put

    def take(self) -> LifecycleEvent | None:
        """The oldest event; None when there is none."""
        try:
            event = self._events.popleft()
        except IndexError:
            return None
        self._taken += 1
        return event

    def wake(self) -> None:
        """Let everybody who waits look again."""
        _wake(self._waiting)

    async def next(self) -> LifecycleEvent | None:
        """The oldest event, waited for; None once closed and empty."""
        while True:
            event = self.take()
            if event is not None or self.is_closed:
                return event
            arrived = asyncio.Event()
            waiter = (asyncio.get_running_loop(), arrived)
            self._waiting.append(waiter)
            try:
                # Another thread may have put one, or closed, between the look and the waiter.
                if not self._events and not self.is_closed:
                    await arrived.wait()
            finally:
                # Who gives up (a wait with a limit, again and again) must not be woken for ever by whoever puts the next one.
                with suppress(ValueError):
                    self._waiting.remove(waiter)


def _wake(waiting: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]]) -> None:
    # The list is emptied and never replaced: `put` holds it, and other threads may add to it and wake meanwhile. No more than
    # were there at first: whoever is woken, finds nothing and waits anew would otherwise keep the call here.
    for _ in range(len(waiting)):
        try:
            loop, arrived = waiting.pop()
        except IndexError:
            return  # another thread took the last one
        try:
            loop.call_soon_threadsafe(arrived.set)
        except RuntimeError:
            continue  # the listener's loop is closed, and nobody waits in it any more


class Subscription:
    """The events from now on, oldest first; an async iterator that ends when it is closed.

        with rt.lifecycle.subscribe() as events:
            async for event in events: ...

    One that nobody holds any more closes itself.
    """

    __slots__ = ("_lifecycle", "_queue")

    def __init__(self, lifecycle: Lifecycle, queue: _Queue) -> None:
        self._lifecycle = lifecycle
        self._queue = queue

    @property
    def dropped(self) -> int:
        """Events that were dropped, because they came faster than they were taken."""
        return self._queue.dropped

    @property
    def pending(self) -> int:
        """Events that wait to be taken."""
        return len(self._queue)

    def take(self) -> list[LifecycleEvent]:
        """Everything that waits, without waiting."""
        return list(iter(self._queue.take, None))

    def close(self) -> None:
        """Hear no more; what waits can still be taken. Harmless when called twice."""
        self._lifecycle.forget(self._queue)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> LifecycleEvent:
        event = await self._queue.next()
        if event is None:
            raise StopAsyncIteration
        return event

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()


class Lifecycle:
    """The channel of one runtime. `is_heard` tells whether making an event is worth while."""

    __slots__ = ("_puts", "listeners")

    def __init__(self) -> None:
        # No lock: a forgotten subscription closes itself wherever the collector happens to run, also inside `subscribe`. Each
        # change and each copy below is a single step of the interpreter.
        self._puts: dict[_Queue, Callable[[LifecycleEvent], None]] = {}
        self.listeners: tuple[Callable[[LifecycleEvent], None], ...] = ()
        """What `emit` goes through: made anew when somebody comes or goes, and never changed."""

    @property
    def is_heard(self) -> bool:
        """Whether anybody listens."""
        return bool(self.listeners)

    @property
    def subscribers(self) -> int:
        """How many listen."""
        return len(self._puts)

    def subscribe(self, capacity: int = CAPACITY) -> Subscription:
        """Hear everything from now on; at most `capacity` events wait."""
        if not 1 <= capacity <= CAPACITY_MAX:
            raise InputError(
                "CAPACITY_INVALID",
                f"a subscription holds between 1 and {CAPACITY_MAX} events, not {capacity}",
                hint="leave the capacity out to get the usual one",
            )
        queue = _Queue(capacity)
        self._puts[queue] = queue.put
        self._listen()
        return Subscription(self, queue)

    def emit(self, event: LifecycleEvent) -> None:
        """Give an event to every subscriber. Never waits and never fails."""
        for put in self.listeners:
            put(event)

    def forget(self, queue: _Queue) -> None:
        """Take a subscriber out and let it end."""
        self._puts.pop(queue, None)
        self._listen()
        queue.is_closed = True
        queue.wake()

    def _listen(self) -> None:
        while True:
            listeners = tuple(self._puts.values())
            self.listeners = listeners
            # Somebody else may have come or gone, and have been overwritten, between the copy and its taking effect.
            if listeners == tuple(self._puts.values()):
                return

    def close(self) -> None:
        """Let every subscriber end."""
        for queue in tuple(self._puts):
            self.forget(queue)
