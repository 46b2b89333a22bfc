"""Who waits for the next events of a run, and is woken by what makes them durable."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from assent.spec.ids import RunId


class _News:
    """What those hear who follow one run in one loop: as many as they are, they are woken together."""

    __slots__ = ("__weakref__", "_coming", "_is_closed", "_loop", "count", "followers")

    def __init__(self, *, is_closed: bool) -> None:
        self._loop = asyncio.get_running_loop()
        self._coming = asyncio.Event()
        self._is_closed = is_closed
        self.count = 0
        self.followers = 0

    @property
    def is_here(self) -> bool:
        """Whether it is heard in the loop that runs."""
        return self._loop is asyncio.get_running_loop()

    async def beyond(self, count: int) -> bool:
        """What `News.beyond` promises."""
        if self.count == count and not self._is_closed:
            await self._coming.wait()
        return not self._is_closed

    def wake(self, *, is_closed: bool) -> None:
        """From any thread."""
        # A loop that was closed meanwhile has nobody left to tell.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ring, is_closed)

    def _ring(self, is_closed: bool) -> None:  # noqa: FBT001 - `call_soon_threadsafe` takes no names
        self.count += 1
        self._is_closed = is_closed
        self._coming.set()
        self._coming = asyncio.Event()


class Followers:
    """Those who follow runs of one journal. They are only woken, and read for themselves: who is slow fills no queue."""

    def __init__(self) -> None:
        self._of: dict[RunId, list[_News]] = {}
        self._lock = Lock()
        self._is_closed = False

    def tell(self, runs: Collection[RunId]) -> None:
        """These runs have new events that can be read. From any thread; costs nothing while nobody follows."""
        if not self._of:
            return
        with self._lock:
            for run in runs:
                for news in self._of.get(run, ()):
                    news.wake(is_closed=False)

    def close(self) -> None:
        """Nothing comes any more: everybody ends."""
        with self._lock:
            self._is_closed = True
            for those in self._of.values():
                for news in those:
                    news.wake(is_closed=True)

    @contextmanager
    def follow(self, run: RunId) -> Iterator[_News]:
        """What `Journal.follow` promises."""
        with self._lock:
            those = self._of.setdefault(run, [])
            news = next((one for one in those if one.is_here), None)
            if news is None:
                news = _News(is_closed=self._is_closed)
                those.append(news)
            news.followers += 1
        try:
            yield news
        finally:
            with self._lock:
                news.followers -= 1
                if not news.followers:
                    those.remove(news)
                    if not those:
                        del self._of[run]
