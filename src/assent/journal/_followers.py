"""Who waits for the next events of a run, and is woken by what makes them durable."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Collection
from contextlib import suppress
from threading import Lock
from typing import Final

from assent.errors import WorldError
from assent.journal.ports import JournalReader
from assent.spec.events.kinds import Leaf
from assent.spec.ids import RunId

_LEAVES_PER_READING: Final = 256


class _Follower:
    """One who waits, in its own loop."""

    __slots__ = ("_loop", "_news")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._news = asyncio.Event()

    def wake(self) -> None:
        """From any thread."""
        # A loop that was closed meanwhile has nobody left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._news.set)

    async def wait(self) -> None:
        await self._news.wait()
        self._news.clear()


class Followers:
    """Those who follow runs of one journal. They are only woken, and read for themselves: who is slow fills no queue."""

    def __init__(self) -> None:
        self._of: dict[RunId, set[_Follower]] = {}
        self._lock = Lock()
        self._is_closed = False

    def tell(self, runs: Collection[RunId]) -> None:
        """These runs have new events that can be read. From any thread; costs nothing while nobody follows."""
        if not self._of:
            return
        with self._lock:
            woken = [follower for run in runs for follower in self._of.get(run, ())]
        for follower in woken:
            follower.wake()

    def close(self) -> None:
        """Nothing comes any more: everybody ends."""
        with self._lock:
            self._is_closed = True
            woken = [follower for those in self._of.values() for follower in those]
        for follower in woken:
            follower.wake()

    def _is_open(self) -> bool:
        return not self._is_closed

    async def follow(self, reader: JournalReader, run: RunId, since: int) -> AsyncIterator[Leaf]:
        """What `Journal.follow` promises, read by `reader`."""
        follower = _Follower()
        # INVARIANT: it is told from before its first reading on, so that nothing falls between the reading and the waiting.
        with self._lock:
            self._of.setdefault(run, set()).add(follower)
        try:
            while self._is_open():
                try:
                    leaves = await reader.events(run, since=since, limit=_LEAVES_PER_READING)
                except WorldError:
                    if self._is_open():
                        raise
                    return  # it closed between the look and the reading
                for leaf in leaves:
                    yield leaf
                if leaves:
                    since += len(leaves)
                else:
                    await follower.wait()
        finally:
            with self._lock:
                self._of[run].discard(follower)
                if not self._of[run]:
                    del self._of[run]
