"""Idle workers: processes that have Python and Assent loaded, and no plugin yet. Importing these is most of a worker's start."""

from __future__ import annotations

import asyncio
from concurrent.futures import Executor
from contextlib import suppress
from typing import Any, Final

from assent.errors import AssentError
from assent.invocation import Spawn
from assent.plugins.worker._needs import Launch, Needs
from assent.plugins.worker._process import WorkerProcess

REFILL_S: Final = 2.0
"""How long after a worker was taken its successor is started: who makes one call and ends pays for none."""

KINDS_MAX: Final = 4
"""Kinds of needs that idle workers are kept for; the one that was asked for last counts."""


class Pool:
    """Starts workers, and keeps `spare` idle ones for each of the last kinds of needs. On the host's loop."""

    def __init__(
        self, launch: Launch, spawn: Spawn, threads: Executor, *, spare: int, refill_s: float = REFILL_S
    ) -> None:
        self._launch = launch
        self._spawn = spawn
        self._threads = threads
        self._spare = spare
        self._refill_s = refill_s
        self._idle: dict[Needs, list[WorkerProcess]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._is_closed = False

    async def take(self, needs: Needs, name: str) -> WorkerProcess:
        """A worker that is ready, for the plugin of this name. Raises what keeps one from starting."""
        idle = self._idle.pop(needs, [])
        self._idle[needs] = idle
        idle[:] = [worker for worker in idle if worker.is_alive]
        # While one is started, a refill may put another one among the idle.
        worker = idle.pop(0) if idle else await self._start(needs, name)
        worker.name = name
        if self._spare and not self._is_closed:
            self._later(self._refill(needs))
        return worker

    @property
    def idle(self) -> int:
        """How many wait."""
        return sum(len(idle) for idle in self._idle.values())

    async def _start(self, needs: Needs, name: str) -> WorkerProcess:
        child = await self._launch(needs)
        worker = WorkerProcess(child, spawn=self._spawn, threads=self._threads, name=name)
        try:
            await worker.greet()
        except BaseException:
            await worker.end()
            raise
        return worker

    async def _refill(self, needs: Needs) -> None:
        await asyncio.sleep(self._refill_s)
        while len(self._idle) > KINDS_MAX:
            for worker in self._idle.pop(next(iter(self._idle))):
                await worker.end()
        while len(self._idle.get(needs, ())) < self._spare and needs in self._idle:
            with suppress(AssentError):  # whoever needs one next is told
                worker = await self._start(needs, "idle")
                if self._is_closed or needs not in self._idle:
                    await worker.end()
                    return
                self._idle[needs].append(worker)
                continue
            return

    def _later(self, work: Any) -> None:  # `Any`: a coroutine
        task = self._spawn(work, name="refill of idle workers")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End every idle worker."""
        self._is_closed = True
        for task in [*self._tasks]:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for idle in self._idle.values():
            for worker in idle:
                await worker.end()
        self._idle.clear()
