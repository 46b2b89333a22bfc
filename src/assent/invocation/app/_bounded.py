"""A function of somebody else's, sync or async, that gets so much time and no more: it can hang without holding us up."""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import Callable, Coroutine
from contextlib import suppress
from contextvars import copy_context
from typing import Any, Final, Protocol

from assent.errors import WorldError

CANCEL_S: Final = 0.5
"""Seconds in which a function that was cancelled may still clean up."""


class Spawn(Protocol):
    """Starts a task; the caller keeps it and awaits or cancels it."""

    def __call__(self, work: Coroutine[Any, Any, Any], *, name: str) -> asyncio.Task[Any]:
        """The running task."""
        ...


class Bounded:
    """Calls functions with a limit. What does not even end when it is cancelled is left behind, and kept from being lost."""

    def __init__(self, spawn: Spawn) -> None:
        self._spawn = spawn
        self._left: set[asyncio.Task[Any]] = set()

    async def call(
        self,
        function: Callable[..., Any],
        *arguments: object,
        limit_s: float,
        name: str,
        cancel_s: float = CANCEL_S,
    ) -> Any:
        """What the function returns (`Any`: whatever that is), or what it awaits to. Its exceptions pass through.

        A sync function runs in a thread of its own. `WorldError` TIME_LIMIT after `limit_s` seconds; an async function has
        been cancelled then, a thread runs on: nobody can stop it, and it does not keep the process from ending.
        """
        task = self._spawn(_perform(function, arguments), name=name)
        self._left.add(task)
        task.add_done_callback(self._ended)
        try:
            done, _ = await asyncio.wait({task}, timeout=limit_s)
        except asyncio.CancelledError:
            task.cancel()
            await asyncio.wait({task}, timeout=cancel_s)
            raise
        if not done:
            task.cancel()
            await asyncio.wait({task}, timeout=cancel_s)
            raise WorldError("TIME_LIMIT", f"it took longer than {limit_s:g} s")
        if task.cancelled():
            raise WorldError("TIME_LIMIT", "it cancelled its own work")
        return task.result()

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # looked at, so that asyncio does not report it as never retrieved


async def _perform(function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
    if inspect.iscoroutinefunction(function):
        return await function(*arguments)
    result = await _in_thread(function, arguments)
    return await result if inspect.isawaitable(result) else result


def _in_thread(function: Callable[..., Any], arguments: tuple[object, ...]) -> asyncio.Future[Any]:
    # A pool joins its threads when the interpreter ends, so one that hangs would hang the process. A daemon does not.
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Any] = loop.create_future()
    context = copy_context()

    def settle(result: Any, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is None:
            future.set_result(result)
        elif isinstance(error, Exception) and not isinstance(error, StopIteration):
            future.set_exception(error)
        else:
            # What would end the process or an iteration must not do so here, where it was thrown by somebody's module.
            future.set_exception(RuntimeError(f"it raised {type(error).__name__}"))

    def work() -> None:
        result, error = None, None
        try:
            result = context.run(function, *arguments)
        except BaseException as raised:  # noqa: BLE001  # whatever it is, the waiting side is told
            error = raised
        with suppress(RuntimeError):  # the loop has ended meanwhile, and nobody waits any more
            loop.call_soon_threadsafe(settle, result, error)

    threading.Thread(target=work, name="assent-module", daemon=True).start()
    return future
