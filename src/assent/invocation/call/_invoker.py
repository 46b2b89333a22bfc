"""Runs one part of a handler, and ends it for real when its time is up.

An async part is cancelled and awaited. A sync part runs in a worker thread, which nobody can stop from outside: it gets a cancel
token and its call waits for the thread to end. A thread that outlives the grace period is reported as still alive, because
nothing may be taken back under a living effect.

A limit is for the part and begins with it. What waits for a worker process or for a thread has not begun, has no limit and no
effect. Parts that settle what others began have threads of their own: what goes forward may hold all of its threads for as long
as it likes and keeps no effect from being taken back.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any, Final, Protocol

from assent.errors import AssentError, WorldError
from assent.invocation.call._waiting import LimitReachedError, is_own_cancel, within
from assent.invocation.call.places import Places, Share
from assent.invocation.call.threads import for_thread
from assent.invocation.context.local import CancelToken, LocalContext, life_of
from assent.invocation.context.tasks import with_tasks
from assent.invocation.describe.handler import NoEffectError, Part
from assent.invocation.hooks.hook import is_async

THREADS: Final = 8
"""Sync parts that run at once, unless told otherwise; as many again of those that settle what others began."""


class CallTimeoutError(WorldError):
    """The part did not end in time; what it did is unknown."""

    @classmethod
    def after(cls, timeout_s: float, *, is_alive: bool) -> CallTimeoutError:
        """The error of a call that took longer than `timeout_s` seconds; `is_alive`: its thread still runs."""
        outcome = "and its thread still runs" if is_alive else "and was stopped"
        return cls(
            "STEP_TIMEOUT",
            f"the call took longer than {timeout_s:g} s {outcome}",
            hint="give the step a longer `timeout`, or mend what is slow",
            details={"is_alive": is_alive},
        )

    @property
    def is_alive(self) -> bool:
        """The part's thread still runs."""
        return self.details.get("is_alive") is True


class CallNotBegunError(NoEffectError):
    """The call was told to end while it waited for its turn: no line of the handler has run."""

    @classmethod
    def of(cls, capability: str) -> CallNotBegunError:
        """The error of a call of this capability."""
        return cls(
            "CALL_NOT_BEGUN",
            f"the call of `{capability}` was told to end while it waited for its turn: nothing of it has happened",
            hint="make the call again if it is still wanted",
        )


class Turning(Protocol):
    """Hears of a part's beginning and end, right there: what waits for its turn before, or for the loop after, is not under way.

    Of a part on the loop only the beginning is told: whoever waits for it sees its end.
    """

    def begin(self) -> None:
        """The next thing is the part's first line."""
        ...

    def end(self) -> None:
        """The part came to its end, in whichever way."""
        ...


class Invoker:
    """Calls parts, on one event loop.

    `threads` runs the sync ones, `at_once` at a time in either direction; `grace_s` is how long a cancelled thread is waited
    for, in seconds.
    """

    def __init__(self, threads: Executor, *, at_once: int = THREADS, grace_s: float = 10.0) -> None:
        self._threads = threads
        self._forward = Places(at_once)
        self._settling = Places(at_once)
        self._grace_s = grace_s
        self._living: dict[str, int] = {}

    def is_alive(self, key: str) -> bool:
        """Whether a thread of a call with this idempotency key outlived its limit and the grace, and has not ended since."""
        return key in self._living

    async def invoke(
        self,
        part: Part,
        context: LocalContext,
        parameters: Any,
        *,
        timeout_s: float | None = None,
        at: Turning | None = None,
    ) -> Any:
        """What the part returns. Its own exceptions pass through; `CallTimeoutError` when its time is up.

        A part that cancels itself has failed (HANDLER_FAILED): only a cancellation of the caller is one. What a part needs before
        it can be called at all (its `turn`, where it is performed in another process) is none of its time. `at` is told, in its
        thread, when the part begins and when it has ended.
        """
        turn = getattr(part, "turn", None)
        if turn is not None:
            async with turn(context):
                return await self._performed(part, context, parameters, timeout_s, at)
        return await self._performed(part, context, parameters, timeout_s, at)

    async def _performed(
        self,
        part: Part,
        context: LocalContext,
        parameters: Any,  # `Any`: as above
        timeout_s: float | None,
        at: Turning | None,
    ) -> Any:
        try:
            return await self.call(
                part,
                (context, parameters),
                context=context,
                token=context.cancel,
                timeout_s=timeout_s,
                at=at,
            )
        except asyncio.CancelledError:
            if not is_own_cancel():
                raise
            raise AssentError("HANDLER_FAILED", "the handler cancelled its own work") from None

    async def call(
        self,
        function: Callable[..., Any],
        arguments: tuple[Any, ...],
        *,
        context: LocalContext,
        token: CancelToken,
        timeout_s: float | None,
        name: str = "",
        at: Turning | None = None,
    ) -> Any:
        """What any function gives that belongs to a call, under the same rules. `token` tells a thread to end.

        A thread that does not end lives under the call's idempotency key with `name` behind it.
        """
        try:
            if is_async(function):
                if at is not None:
                    at.begin()
                return await within(with_tasks(function(*arguments), life_of(context)), timeout_s)
            places = self._settling if life_of(context).settles else self._forward
            await places.taken(Share(str(context.principal), context.run))
            work = _ThreadWork(for_thread(function, arguments), at)
            result = await self._threaded(work, places, token, context.key + name, timeout_s)
            if not inspect.isawaitable(result):
                return result
            # A sync function may hand back a coroutine (a lambda around an async one): it has what is left of the same time.
            return await within(result, work.left_s(timeout_s))
        except LimitReachedError:
            raise CallTimeoutError.after(timeout_s or 0.0, is_alive=False) from None

    async def _threaded(
        self, call: _ThreadWork, places: Places, token: CancelToken, key: str, timeout_s: float | None
    ) -> Any:  # `Any`: as above
        try:
            work = self._threads.submit(call)
        except BaseException:
            places.give_back()
            raise
        thread = asyncio.wrap_future(work)
        # Also a thread that outlives its call keeps its place until it ends.
        thread.add_done_callback(lambda _: places.give_back())
        left_s = timeout_s
        try:
            while left_s is None or left_s > 0:
                await asyncio.wait({thread}, timeout=left_s)
                if thread.done():
                    return thread.result()
                left_s = call.left_s(timeout_s)
        except asyncio.CancelledError:
            await self._end(work, thread, token, key)
            raise
        await self._end(work, thread, token, key)
        raise CallTimeoutError.after(timeout_s or 0.0, is_alive=not thread.done())

    async def _end(
        self, work: Future[Any], thread: asyncio.Future[Any], token: CancelToken, key: str
    ) -> None:
        """Ask the thread to end and wait for it, as long as the grace lasts. What no thread has begun never begins."""
        token.cancel()
        if work.cancel():
            return
        try:
            await asyncio.wait({thread}, timeout=self._grace_s)
        finally:
            # Also when this wait is cancelled in its turn: what still runs must be known to.
            if not thread.done():
                self._living[key] = self._living.get(key, 0) + 1
                thread.add_done_callback(lambda ended: self._forget(key, ended))
            elif not thread.cancelled():
                thread.exception()  # looked at, so that asyncio does not report it as never retrieved

    def _forget(self, key: str, ended: asyncio.Future[Any]) -> None:
        if not ended.cancelled():
            ended.exception()  # as above
        left = self._living.pop(key) - 1
        if left:
            self._living[key] = left


class _ThreadWork:
    """A call for a thread, which notes when the thread begins it: there its time begins."""

    __slots__ = ("_at", "_begun_s", "_call", "_now")

    def __init__(self, call: Callable[[], Any], at: Turning | None) -> None:
        self._call = call
        self._at = at
        self._now: Final = asyncio.get_running_loop().time
        self._begun_s: float | None = None

    def __call__(self) -> Any:  # `Any`: whatever the function gives
        self._begun_s = self._now()
        at = self._at
        if at is None:
            return self._call()
        at.begin()
        try:
            return self._call()
        finally:
            at.end()

    def left_s(self, timeout_s: float | None) -> float | None:
        """What is left of its time: all of it while no thread has begun it; None without a limit."""
        begun_s = self._begun_s
        return (
            timeout_s if timeout_s is None or begun_s is None else max(0.0, begun_s + timeout_s - self._now())
        )
