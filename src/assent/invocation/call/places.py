"""So many at once, and whoever finds no place free waits in a line that is fair: in turn among principals, then among runs.

A place is asked for, used and given back on one event loop. Whoever waits is a function in a queue: no thread, no timer.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Generic, NamedTuple, TypeVar

T = TypeVar("T")


class Share(NamedTuple):
    """On whose behalf a place is wanted, and for which run."""

    principal: str
    run: str


class Line(Generic[T]):
    """Who waits for a turn, which goes to the next principal, there to the next run, there to who came first."""

    __slots__ = ("_principals",)

    def __init__(self) -> None:
        # Both levels are rings: the first is next, and who was served goes to the end, if more of it waits.
        self._principals: dict[str, dict[str, deque[T]]] = {}

    def __bool__(self) -> bool:
        return bool(self._principals)

    def __iter__(self) -> Iterator[T]:
        for runs in self._principals.values():
            for line in runs.values():
                yield from line

    def add(self, share: Share, one: T) -> None:
        """Stand at the end of one's share."""
        runs = self._principals.setdefault(share.principal, {})
        runs.setdefault(share.run, deque()).append(one)

    def remove(self, share: Share, one: T) -> None:
        """Wait no longer. Nothing is changed where nobody waited."""
        runs = self._principals.get(share.principal, {})
        line = runs.get(share.run)
        if line is None or one not in line:
            return
        line.remove(one)
        if not line:
            del runs[share.run]
        if not runs:
            del self._principals[share.principal]

    @property
    def first(self) -> T:
        """Whose turn it is; somebody has to wait."""
        runs = self._principals[next(iter(self._principals))]
        return runs[next(iter(runs))][0]

    def next(self) -> T:
        """Take out whose turn it is; somebody has to wait."""
        principal = next(iter(self._principals))
        runs = self._principals.pop(principal)
        run = next(iter(runs))
        line = runs.pop(run)
        one = line.popleft()
        if line:
            runs[run] = line
        if runs:
            self._principals[principal] = runs
        return one


class Places:
    """`count` places. What is given back goes to whose turn it is in the `Line`."""

    def __init__(self, count: int) -> None:
        # INVARIANT: nobody waits while a place is free.
        self._free = count
        self._line = Line[Callable[[], None]]()

    def take(self) -> bool:
        """Have a place, if there is one now."""
        if self._free <= 0:
            return False
        self._free -= 1
        return True

    def wait(self, share: Share, give: Callable[[], None]) -> None:
        """Have `give` called when a place is there; it is then had."""
        self._line.add(share, give)

    def leave(self, share: Share, give: Callable[[], None]) -> None:
        """Wait no longer. Nothing is changed where nobody waited."""
        self._line.remove(share, give)

    def give_back(self) -> None:
        """Let the next one have the place."""
        if self._line:
            self._line.next()()
        else:
            self._free += 1

    async def taken(
        self, share: Share, waited: Callable[[asyncio.Future[None]], Awaitable[None]] | None = None
    ) -> None:
        """Return with a place. Whoever is cancelled while it waits has none.

        `waited` waits for the future that it is given, and may cancel it and raise instead.
        """
        if self.take():
            return
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def give() -> None:
            if place.cancelled():  # and whoever waited has not run since, to leave the line
                self.give_back()
            else:
                place.set_result(None)

        self.wait(share, give)
        try:
            await (place if waited is None else waited(place))
        except BaseException:
            if place.cancelled():
                self.leave(share, give)
            else:
                self.give_back()
            raise
