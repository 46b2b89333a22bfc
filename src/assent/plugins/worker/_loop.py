"""The event loop of a host: a thread of its own, so that workers are served whichever loop, or none, their callers run in."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from concurrent.futures import Future
from threading import Lock, Thread
from typing import Any, TypeVar

T = TypeVar("T")


class HostLoop:
    """A loop in a thread, started when it is first needed."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    @property
    def is_running(self) -> bool:
        """Whether the thread has been started and not been stopped."""
        return self._loop is not None

    def submit(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        """Run something on the loop, from any thread."""
        with self._lock:
            if self._loop is None:
                loop = self._loop = asyncio.new_event_loop()
                # A daemon: a program that forgets to close its runtime ends all the same, and its workers with it.
                self._thread = Thread(target=loop.run_forever, name="assent-plugins", daemon=True)
                self._thread.start()
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def post(self, function: Any, *args: object) -> None:  # `Any`: as the loop takes it
        """Have a function called on the loop, if there is one."""
        loop = self._loop
        if loop is not None:
            try:
                loop.call_soon_threadsafe(function, *args)
            except RuntimeError:
                return  # it was closed meanwhile, and what the function is about with it

    def stop(self) -> None:
        """End the loop and its thread; harmless when there is none."""
        with self._lock:
            loop, self._loop = self._loop, None
            thread, self._thread = self._thread, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()
