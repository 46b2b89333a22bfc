"""Ports that every floor may ask for: the clock, ids, randomness and the starting of tasks are handed in, never fetched.

The system's own are in `assent.system`; a simulation hands in others and a whole runtime becomes
deterministic.
"""

from __future__ import annotations

from typing import Protocol

from assent.spec.ids import PlanId, RunId


class Clock(Protocol):
    """Time, in whole milliseconds."""

    def now_ms(self) -> int:
        """Wall-clock time since the Unix epoch; may step backwards when the machine's clock is set."""
        ...

    def monotonic_ms(self) -> int:
        """Time that never steps backwards, from an arbitrary start."""
        ...


class FineClock(Clock, Protocol):
    """A clock that also tells how long short things took."""

    def monotonic_us(self) -> int:
        """Time that never steps backwards, from an arbitrary start, in microseconds."""
        ...


class Ids(Protocol):
    """New identifiers, unique for all practical purposes and sortable by creation time."""

    def run_id(self) -> RunId:
        """A run's id."""
        ...

    def plan_id(self) -> PlanId:
        """A plan's id."""
        ...

    def request_id(self) -> str:
        """A call's id: each call, attempt and compensation has one of its own."""
        ...


class Entropy(Protocol):
    """Randomness."""

    def salt(self) -> bytes:
        """16 unpredictable bytes."""
        ...

    def jitter(self) -> float:
        """A number in [0, 1), for spreading retries; need not be unpredictable."""
        ...
