"""Readings of the store of findings, which may wait long for another process: in threads of their own, to hold up nobody else."""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from threading import Event
from typing import Any, Final, TypeVar

from assent.findings.book import waiting_until

LOOKS_AT_ONCE: Final = 4
"""So many of them are carried out at once; the rest wait for their turn."""

A = TypeVar("A")


class Looks:
    """Carries them out until the daemon drains."""

    def __init__(self, drains: Future[None]) -> None:
        self._drains = drains
        self._threads = ThreadPoolExecutor(LOOKS_AT_ONCE, thread_name_prefix="assent-look")

    async def carry_out(self, look: Callable[[], A], gone: Future[None]) -> A:
        """What comes of what blocks. It waits no longer once whoever asked has `gone`, or the daemon drains: `RUNTIME_CLOSED`."""
        end = Event()
        with waiting_until(end):
            loop = asyncio.get_running_loop()
            work = loop.run_in_executor(self._threads, copy_context().run, look)
        over: set[Future[Any]] = {work, gone, self._drains}
        try:
            await asyncio.wait(over, return_when=asyncio.FIRST_COMPLETED)
        finally:
            end.set()
        return await work
