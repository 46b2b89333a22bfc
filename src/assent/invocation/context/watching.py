"""What a call says while it works, told to whoever watches the run: a bounded number of short lines, none of them kept.

Who watches is a matter of the context in which a call is received, as it is with the events of a run: two requests that run at
once do not hear each other. Nobody waits for a watcher, and a call is none the worse for one that fails.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from assent.spec.ids import RunId, StepKey

LINES_PER_S_MAX: Final = 100
"""Lines of one call that are told in a second; of more, the rest of that second's are left out."""

LINES_MAX: Final = 2000
"""Lines of one call that are told at all."""

LINE_CHARACTERS_MAX: Final = 200
"""As much of a line is told."""

Watch = Callable[[RunId, StepKey, str | None], None]
"""Told of each line, in the thread of the loop; None stands for lines that were left out. Must not block."""

_WATCH: Final[ContextVar[Watch | None]] = ContextVar("watch", default=None)
watch_here: Final = _WATCH.get
"""Who watches what is received here; None is nobody."""

_SECOND_US: Final = 1_000_000


@contextmanager
def watching(watch: Watch) -> Iterator[None]:
    """Have `watch` told of the calls that are received inside."""
    token = _WATCH.set(watch)
    try:
        yield
    finally:
        _WATCH.reset(token)


class Watched:
    """One call that is watched. May be used from any thread; must be made in that of the running loop."""

    __slots__ = ("_count", "_is_cut", "_loop", "_now_us", "_since_us", "_thread", "_total", "_watch")

    def __init__(self, watch: Watch, now_us: Callable[[], int]) -> None:
        self._watch: Watch | None = watch
        self._now_us = now_us
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._since_us = now_us()
        self._count = 0
        self._total = 0
        self._is_cut = False

    def has_room(self, run: RunId, step: StepKey) -> bool:
        """Whether any more may be told now. Where the first line is left out, that is told instead.

        Two threads that ask at once may both be let in: the bounds keep a flood away, and a line more is none.
        """
        if self._watch is None:
            return False
        now_us = self._now_us()
        if now_us - self._since_us >= _SECOND_US:
            self._since_us, self._count = now_us, 0
        if self._count < LINES_PER_S_MAX and self._total < LINES_MAX:
            return True
        self._cut(run, step)
        return False

    def tell(self, run: RunId, step: StepKey, lines: str) -> None:
        """Tell the lines of a text, as many as there is room for; those with nothing in them are none."""
        room = min(LINES_PER_S_MAX - self._count, LINES_MAX - self._total)
        found = [line for one in lines.split("\n") if (line := one.rstrip())]
        for line in found[:room]:
            self._is_cut = False
            self._count += 1
            self._total += 1
            is_long = len(line) > LINE_CHARACTERS_MAX
            self._tell(run, step, f"{line[: LINE_CHARACTERS_MAX - 1]}…" if is_long else line)
        if len(found) > room:
            self._cut(run, step)

    def _cut(self, run: RunId, step: StepKey) -> None:
        if not self._is_cut:
            self._is_cut = True
            self._tell(run, step, None)

    def _tell(self, run: RunId, step: StepKey, line: str | None) -> None:
        try:
            if threading.get_ident() == self._thread:
                self._told(run, step, line)
            else:
                self._loop.call_soon_threadsafe(self._told, run, step, line)
        except RuntimeError:
            self._watch = None  # the loop is closed: the thread outlives its call

    def _told(self, run: RunId, step: StepKey, line: str | None) -> None:
        if self._watch is None:
            return
        try:
            self._watch(run, step, line)
        except Exception:  # noqa: BLE001  # whatever is wrong with a watcher, the work must go on
            self._watch = None
