"""When something is due that was set for a time of day, whatever becomes of the machine's clock meanwhile."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Generic, TypeVar

from assent.spec.ports import Clock

K = TypeVar("K", bound=Hashable)


def left_ms(clock: Clock, *, set_ms: int, due_ms: int) -> int:
    """How long it is until `due_ms`, a time of day that was set at `set_ms`: never longer than it was then."""
    left = due_ms - clock.now_ms()
    if due_ms >= set_ms:
        left = min(left, due_ms - set_ms)
    return max(0, left)


class Moments(Generic[K]):
    """Times of day, each as a moment of the clock that nobody can set.

    A moment is fixed when it is asked for first: from then on the machine's clock may be set back or forward. A process that
    learns of it from a record has only that clock, which may have been set since; so it waits at most as long as was set.
    """

    __slots__ = ("_clock", "_known")

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[K, tuple[int, int]] = {}

    def at_ms(self, key: K, *, set_ms: int, due_ms: int) -> int:
        """The moment of `due_ms`, a time that was set at `set_ms`, by the monotonic clock. Another `due_ms` is another moment."""
        known = self._known.get(key)
        if known is None or known[0] != due_ms:
            left = left_ms(self._clock, set_ms=set_ms, due_ms=due_ms)
            known = self._known[key] = (due_ms, self._clock.monotonic_ms() + left)
        return known[1]

    def forget(self, key: K) -> None:
        """Nobody asks for it any more. Harmless when it is not known."""
        self._known.pop(key, None)
