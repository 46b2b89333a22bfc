"""Whoever watches runs: told of their events once these are durable, and of what their calls say while they work.

Who that is depends on the context in which a run is driven and a call received: two requests that run at once do not hear each
other. Nobody waits for a listener, and a call is none the worse for one that fails. What a call says is a bounded number of short
lines, none of them kept.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final, TypeAlias

from msgspec import Struct

from assent.spec.ids import RunId, StepKey
from assent.spec.ports import FineClock

if TYPE_CHECKING:
    from assent.spec.events.kinds import AnyEvent

LINES_PER_S_MAX: Final = 100
"""Lines of one call that are told in a second; of more, the rest of that second's are left out."""

LINES_MAX: Final = 2000
"""Lines of one call that are told at all."""

LINE_CHARACTERS_MAX: Final = 200
"""As much of a line is told."""

_SECOND_US: Final = 1_000_000


class Preparing(Struct, frozen=True, kw_only=True, tag_field="kind", tag="step.preparing"):
    """A step is being prepared, which may take long. It has not begun, so this is told to whoever watches and never journaled."""

    step: StepKey
    capability: str

    @property
    def kind(self) -> str:
        """As an event's."""
        return "step.preparing"


class Said(Struct, frozen=True, kw_only=True, tag_field="kind", tag="step.said"):
    """A line that a step says of its work, or its program prints; None stands for lines that were left out. Never journaled."""

    step: StepKey
    line: str | None

    @property
    def kind(self) -> str:
        """As an event's."""
        return "step.said"


News: TypeAlias = "AnyEvent | Preparing | Said"

Listener: TypeAlias = "Callable[[RunId, int | None, int, News], None]"
"""Told of each thing, in the thread of the loop: run, event number, time in ms, event. Must not block.

What has no number is not on record.
"""

_LISTENER: Final[ContextVar[Listener | None]] = ContextVar("listener", default=None)
listener_here: Final = _LISTENER.get
"""Who is told of what is driven and received here; None is nobody."""


class Cause(Struct, frozen=True):
    """What whoever asked sent of their trace: its headers as they came (W3C Trace Context §3)."""

    traceparent: str
    tracestate: str = ""


_CAUSE: Final[ContextVar[Cause | None]] = ContextVar("cause", default=None)
cause_here: Final = _CAUSE.get
"""The trace in which somebody asked for what is driven here."""


@contextmanager
def telling(listener: Listener | None, cause: Cause | None = None) -> Iterator[None]:
    """Have `listener`, and nobody else, told of the runs that are driven, and of the calls that are received, inside.

    `cause`: the trace of whoever asks for them.
    """
    token = _LISTENER.set(listener)
    caused = None if cause is None else _CAUSE.set(cause)
    try:
        yield
    finally:
        _LISTENER.reset(token)
        if caused is not None:
            _CAUSE.reset(caused)


class Watched:
    """One call that is watched. May be used from any thread; must be made in that of the running loop."""

    __slots__ = ("_clock", "_count", "_is_cut", "_listener", "_loop", "_since_us", "_thread", "_total")

    def __init__(self, listener: Listener, clock: FineClock) -> None:
        self._listener: Listener | None = listener
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._thread = threading.get_ident()
        self._since_us = clock.monotonic_us()
        self._count = 0
        self._total = 0
        self._is_cut = False

    def has_room(self, run: RunId, step: StepKey) -> bool:
        """Whether any more may be told now. Where the first line is left out, that is told instead.

        Two threads that ask at once may both be let in: the bounds keep a flood away, and a line more is none.
        """
        if self._listener is None:
            return False
        now_us = self._clock.monotonic_us()
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
            self._listener = None  # the loop is closed: the thread outlives its call

    def _told(self, run: RunId, step: StepKey, line: str | None) -> None:
        if self._listener is None:
            return
        try:
            self._listener(run, None, self._clock.now_ms(), Said(step=step, line=line))
        except Exception:  # noqa: BLE001  # whatever is wrong with a listener, the work must go on
            self._listener = None
