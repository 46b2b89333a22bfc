"""Readings of the store of findings, which may wait long for another process: in threads of their own, to hold up nobody else."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Event
from typing import Any, Final, TypeVar

from assent.errors import InputError
from assent.findings.book import waiting_until, working_until

LOOKS_AT_ONCE: Final = 4
"""So many of them are carried out at once; the rest wait for their turn."""

A = TypeVar("A")


class Looks:
    """Carries them out until the daemon drains."""

    def __init__(self, drains: Future[None]) -> None:
        self._drains = drains
        self._threads = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="assent-look")
        # What folds all anew would take the others' threads for as long.
        self._thread_of_folds = ThreadPoolExecutor(1, thread_name_prefix="assent-doctor")
        self._under_way: set[Future[Any]] = set()
        self._closed = Event()

    async def carry_out(self, look: Callable[[], A], gone: Future[None], *, folds: bool = False) -> A:
        """What comes of what blocks; of what `folds` all anew, one at a time.

        Once whoever asked has `gone`, or the daemon drains, it waits no longer, neither for its turn: `RUNTIME_CLOSED`.
        """
        end = Event()
        over: set[Future[Any]] = {gone}
        if self._drains.done():
            end.set()
        else:
            over.add(self._drains)
        with waiting_until(end), working_until(self._closed):
            threads = self._thread_of_folds if folds else self._threads
            job = threads.submit(copy_context().run, look)
        work = asyncio.wrap_future(job)
        self._under_way.add(work)
        work.add_done_callback(self._forget)
        try:
            await asyncio.wait({work, *over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.set()
            is_dropped = job.cancel()
        if is_dropped:
            raise InputError("RUNTIME_CLOSED", "the daemon ends, or nobody waits for the answer any more")
        return await work

    async def settle(self) -> None:
        """Wait until what is under way has come to its end."""
        while self._under_way:
            await asyncio.wait([*self._under_way])

    def close(self) -> None:
        """End what is under way where it is: `RUNTIME_CLOSED`."""
        self._closed.set()
        for threads in (self._threads, self._thread_of_folds):
            threads.shutdown(wait=False, cancel_futures=True)

    def _forget(self, work: Future[Any]) -> None:
        self._under_way.discard(work)
        if not work.cancelled():
            work.exception()  # perhaps nobody waits for it any more
