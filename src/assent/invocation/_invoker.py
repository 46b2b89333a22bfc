"""Runs one part of a handler, and ends it for real when its time is up.

An async part is cancelled and awaited. A sync part runs in a worker thread, which nobody can stop from outside: it gets a cancel
token and its call waits for the thread to end. A thread that outlives the grace period is reported as still alive, because
nothing may be taken back under a living effect.
"""

from __future__ import annotations

import asyncio
import inspect
from concurrent.futures import Executor
from typing import Any

from assent.errors import WorldError
from assent.invocation.call import Call
from assent.invocation.handler import Part


class CallTimeoutError(WorldError):
    """The part did not end in time; what it did is unknown. `is_alive`: its thread still runs."""

    def __init__(self, timeout_s: float, *, is_alive: bool) -> None:
        after = "and its thread still runs" if is_alive else "and was stopped"
        super().__init__("STEP_TIMEOUT", f"the call took longer than {timeout_s:g} s {after}")
        self.is_alive = is_alive


class Invoker:
    """Calls parts. `threads` runs the sync ones; `grace_s` is how long a cancelled thread is waited for, in seconds."""

    def __init__(self, threads: Executor, *, grace_s: float = 10.0) -> None:
        self._threads = threads
        self._grace_s = grace_s

    async def invoke(self, part: Part, call: Call, parameters: Any, *, timeout_s: float | None = None) -> Any:
        """What the part returns. Its own exceptions pass through; `CallTimeoutError` when its time is up."""
        if inspect.iscoroutinefunction(part):
            if timeout_s is None:
                return await part(call, parameters)
            limit = asyncio.timeout(timeout_s)
            try:
                async with limit:
                    return await part(call, parameters)
            except TimeoutError:
                if not limit.expired():
                    raise
                raise CallTimeoutError(timeout_s, is_alive=False) from None
        thread = asyncio.get_running_loop().run_in_executor(self._threads, part, call, parameters)
        return await self._wait(thread, call, timeout_s)

    async def _wait(self, thread: asyncio.Future[Any], call: Call, timeout_s: float | None) -> Any:
        try:
            done, _ = await asyncio.wait({thread}, timeout=timeout_s)
        except asyncio.CancelledError:
            call.cancel.cancel()
            await asyncio.wait({thread}, timeout=self._grace_s)
            if thread.done():
                thread.exception()
            raise
        if done:
            result = thread.result()
            if inspect.isawaitable(result):
                return await result
            return result
        call.cancel.cancel()
        await asyncio.wait({thread}, timeout=self._grace_s)
        if thread.done():
            thread.exception()  # Looked at, so that asyncio does not report it as never retrieved.
        raise CallTimeoutError(timeout_s or 0.0, is_alive=not thread.done())
