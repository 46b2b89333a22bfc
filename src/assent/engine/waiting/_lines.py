"""Lines of runs: of the highest priority first, and among those in turn among principals."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, NamedTuple, TypeVar

from assent.invocation import Share
from assent.invocation.call.places import Line

T = TypeVar("T")


class Rank(NamedTuple):
    """Where somebody stands in line: how urgent it is, and on whose behalf."""

    priority: int
    share: Share


class Lines(Generic[T]):
    """Who waits, each with a rank."""

    __slots__ = ("_lines",)

    def __init__(self) -> None:
        self._lines: dict[int, Line[T]] = {}

    def __bool__(self) -> bool:
        return bool(self._lines)

    def __iter__(self) -> Iterator[T]:
        for priority in sorted(self._lines, reverse=True):
            yield from self._lines[priority]

    def add(self, rank: Rank, one: T) -> None:
        """Stand at the end of one's share."""
        self._lines.setdefault(rank.priority, Line()).add(rank.share, one)

    def remove(self, rank: Rank, one: T) -> None:
        """Wait no longer. Nothing is changed where nobody waited."""
        line = self._lines.get(rank.priority)
        if line is not None:
            line.remove(rank.share, one)
            self._drop(rank.priority, line)

    @property
    def first(self) -> T:
        """Whose turn it is; somebody has to wait."""
        return self._lines[max(self._lines)].first

    def next(self) -> T:
        """Take out whose turn it is; somebody has to wait."""
        priority = max(self._lines)
        line = self._lines[priority]
        one = line.next()
        self._drop(priority, line)
        return one

    def _drop(self, priority: int, line: Line[T]) -> None:
        if not line:
            del self._lines[priority]
