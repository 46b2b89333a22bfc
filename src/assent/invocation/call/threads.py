"""Threads of a pool for somebody else's sync functions: whoever waits for one always learns its end, and can wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from contextvars import copy_context
from functools import partial
from typing import Any


def for_thread(function: Callable[..., Any], arguments: tuple[object, ...]) -> Callable[[], Any]:
    """The call, as a pool can run it (`Any`: whatever the function gives).

    It sees the context variables of whoever made it, and what it sets is gone with it: a pool's thread serves many calls.
    """
    return partial(copy_context().run, _guarded, function, arguments)


def _guarded(function: Callable[..., Any], arguments: tuple[object, ...]) -> Any:  # `Any`: as above
    try:
        return function(*arguments)
    except StopIteration as error:
        # A future can't hold one: whoever waits for it would wait for ever.
        raise RuntimeError("it raised StopIteration") from error
    except (SystemExit, KeyboardInterrupt) as error:
        # No signal arrives in a thread, so it is the function's own, and must not end the loop that waits for it.
        raise RuntimeError(f"it raised {type(error).__name__}") from error


async def outlast(work: asyncio.Future[Any]) -> None:  # `Any`: whatever it gives, nobody asks for it any more
    """Wait until work has ended that can't be left half done, however often the caller is told to give up meanwhile."""
    while not work.done():
        with suppress(asyncio.CancelledError):
            await asyncio.wait({work})
    if not work.cancelled():
        work.exception()  # looked at, so that asyncio does not report it as never retrieved
