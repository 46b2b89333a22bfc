"""How somebody else's sync function runs in a thread of a pool: whoever waits for it always learns its end."""

from __future__ import annotations

from collections.abc import Callable
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
