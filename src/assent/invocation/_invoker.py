"""Runs one part of a handler, and ends it for real when its time is up.

An async part is cancelled and awaited. A sync part runs in a worker thread, which nobody can stop from outside: it gets a cancel
token and its call waits for the thread to end. A thread that outlives the grace period is reported as still alive, because
nothing may be taken back under a living effect.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from concurrent.futures import Executor, Future
from typing import Any

from assent.errors import AssentError, WorldError
from assent.invocation._waiting import LimitReachedError, is_own_cancel, within
from assent.invocation.context import CancelToken, LocalContext
from assent.invocation.handler import Part
from assent.invocation.hooks import is_async
from assent.invocation.threads import for_thread


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


class Invoker:
    """Calls parts. `threads` runs the sync ones; `grace_s` is how long a cancelled thread is waited for, in seconds."""

    def __init__(self, threads: Executor, *, grace_s: float = 10.0) -> None:
        self._threads = threads
        self._grace_s = grace_s
        self._living: dict[str, int] = {}

    def is_alive(self, key: str) -> bool:
        """Whether a thread of a call with this idempotency key outlived its limit and the grace, and has not ended since."""
        return key in self._living

    async def invoke(
        self, part: Part, context: LocalContext, parameters: Any, *, timeout_s: float | None = None
    ) -> Any:
        """What the part returns. Its own exceptions pass through; `CallTimeoutError` when its time is up.

        A part that cancels itself has failed (HANDLER_FAILED): only a cancellation of the caller is one. What a part needs before
        it can be called at all (`ready`, of one that is performed in another process) is none of its time.
        """
        ready = getattr(part, "ready", None)
        if ready is not None:
            await ready()
        try:
            return await self.call(
                part, (context, parameters), token=context.cancel, key=context.key, timeout_s=timeout_s
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
        token: CancelToken,
        key: str,
        timeout_s: float | None,
    ) -> Any:
        """What any function gives, under the same rules. `token` tells a thread to end; `key` names one that does not."""
        try:
            if is_async(function):
                return await within(function(*arguments), timeout_s)
            now = asyncio.get_running_loop().time
            begun = now()
            result = await self._threaded(
                self._threads.submit(for_thread(function, arguments)), token, key, timeout_s
            )
            if not inspect.isawaitable(result):
                return result
            # A sync function may hand back a coroutine (a lambda around an async one): it has what is left of the same time.
            left_s = None if timeout_s is None else max(0.0, begun + timeout_s - now())
            return await within(result, left_s)
        except LimitReachedError:
            raise CallTimeoutError.after(timeout_s or 0.0, is_alive=False) from None

    async def _threaded(
        self, work: Future[Any], token: CancelToken, key: str, timeout_s: float | None
    ) -> Any:  # `Any`: as above
        thread = asyncio.wrap_future(work)
        try:
            await asyncio.wait({thread}, timeout=timeout_s)
        except asyncio.CancelledError:
            await self._end(work, thread, token, key)
            raise
        if thread.done():
            return thread.result()
        await self._end(work, thread, token, key)
        raise CallTimeoutError.after(timeout_s or 0.0, is_alive=not (thread.done() or work.cancelled()))

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
