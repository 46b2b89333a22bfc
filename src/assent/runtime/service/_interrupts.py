"""Being told to stop: Ctrl-C and SIGTERM ask for the same, and leave a run that can be resumed."""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(KeyboardInterrupt):
    """A request was given up because somebody interrupted this process.

    `run_id` is the run that it drove, when it came so far. `goes_on`: another process drives that run, and still does.
    """

    def __init__(self, run_id: str | None, *, goes_on: bool = False) -> None:
        super().__init__()
        self.run_id = run_id
        self.goes_on = goes_on


@contextmanager
def termination_interrupts() -> Iterator[None]:
    """Inside, SIGTERM (a service manager, `kill`, a machine that shuts down) does what Ctrl-C does.

    Only a process's main thread may say so; elsewhere nothing changes. A loop that runs inside calls `wake_for_signals`.
    """
    if not _is_main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, _interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def wake_for_signals() -> None:
    """Let the running loop notice an interrupt at once, SIGTERM included.

    asyncio's own handler of Ctrl-C sets no wake-up descriptor, so that a signal which comes between the loop's last instruction
    and its wait for events is noticed with the next event only, which may never come. Any handler that the loop itself is given
    sets the descriptor, for all signals.
    """
    if _is_main_thread():
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, _interrupt, signal.SIGTERM, None)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()


def _interrupt(_number: int, frame: FrameType | None) -> None:
    # While a loop runs, asyncio's own handler cancels its main task. A shell's background jobs ignore Ctrl-C, so that there is
    # none: what they are told by `kill` must reach them all the same.
    handler = signal.getsignal(signal.SIGINT)
    if not callable(handler):
        handler = signal.default_int_handler
    handler(signal.SIGINT, frame)
