"""Waiting for somebody else's coroutine, with a limit that costs nothing unless there really is a wait.

Most handlers and hooks end without waiting for anything. A timer and the bookkeeping of `asyncio.timeout` would cost them more
than they do themselves, so a coroutine is started at once, in the caller's task, and only one that hands back something to wait
for is put under a limit.

Why this is safe on Python 3.11, where `asyncio.timeout` binds itself to the current task and ends it with `cancel`:

- The first step runs in the same task as all later ones, and as the limit. A timeout or a task group that the coroutine opened in
  its first step counted the task's cancellations before ours was armed; nothing was cancelled in between, so both hold the same
  number and each takes back exactly its own, as if ours had been opened first.
- Whatever the first step yielded is yielded on unchanged, so the task waits for the very same future.
- Tried and rejected: a task per coroutine (`wait_for`). It costs ten times as much, and a handler would not be the task that
  its caller cancels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any, Protocol, cast


class Steps(Protocol):
    """What a coroutine and an awaitable's iterator have in common. `Any`: what is yielded is asyncio's own affair."""

    def send(self, value: None, /) -> Any:
        """Run to the next thing to wait for; `StopIteration` carries the result."""
        ...

    def throw(self, error: BaseException, /) -> Any:
        """The same, beginning with an exception where it waits."""
        ...

    def close(self) -> None:
        """Give up."""
        ...


class Rest:
    """What is left of a coroutine that was started and waits for `first`."""

    __slots__ = ("_first", "_steps")

    def __init__(self, steps: Steps, first: object) -> None:
        self._steps = steps
        self._first = first

    def __await__(self) -> Generator[Any, None, Any]:
        steps, waited_for = self._steps, self._first
        while True:
            try:
                yield waited_for
            except GeneratorExit:
                steps.close()
                raise
            except BaseException as error:  # noqa: BLE001  # the coroutine's own affair, cancellation first of all
                try:
                    waited_for = steps.throw(error)
                except StopIteration as end:
                    return end.value
            else:
                try:
                    waited_for = steps.send(None)
                except StopIteration as end:
                    return end.value


class LimitReachedError(Exception):
    """Our own limit has passed; the coroutine was cancelled and has ended."""


async def within(work: Awaitable[Any], timeout_s: float | None) -> Any:
    """What the awaitable gives; `LimitReachedError` when it really waited and did not end in time.

    A cancellation that nobody asked for from outside (the work cancelled itself) passes as `CancelledError`; `is_own_cancel`
    tells the two apart.
    """
    if timeout_s is None:
        return await work
    # A coroutine is driven itself; whatever else can be awaited gives an iterator with the same three methods.
    steps = cast("Steps", work if hasattr(work, "send") else work.__await__())
    try:
        first = steps.send(None)
    except StopIteration as end:
        return end.value
    return await limited(steps, first, timeout_s)


async def limited(steps: Steps, first: object, timeout_s: float) -> Any:
    """The rest of a coroutine whose first step came to wait for `first`, under a limit."""
    limit = asyncio.timeout(timeout_s)
    try:
        async with limit:
            return await Rest(steps, first)
    except TimeoutError:
        if not limit.expired():
            raise
        raise LimitReachedError from None


def is_own_cancel() -> bool:
    """Whether a `CancelledError` under way came out of the work itself: nobody asked to cancel the current task."""
    task = asyncio.current_task()
    return task is not None and not task.cancelling()
