"""One plugin and its worker: started with the first call, started again when it died, each time a little later."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Final

from assent.errors import AssentError, RefusedError
from assent.invocation import NoEffectError
from assent.plugins.worker._frames import File, Load, Loaded
from assent.plugins.worker._needs import Needs
from assent.plugins.worker._process import WorkerProcess

if TYPE_CHECKING:
    from assent.plugins.source._trust import CheckedPlugin

BACKOFF_S: Final = 0.1
"""How long the second start waits; each further one twice as long."""

BACKOFF_S_MAX: Final = 30.0


class WorkerMissingError(NoEffectError):
    """There is no worker to ask, so nothing has happened. The same call may work later."""

    family = "world"
    retryable = True


class Slot:
    """The place of one plugin's worker, on the host's loop.

    `take` gives a process that is ready and has no plugin. `expected` is what the plugin brings, once that is known: a worker
    that brings anything else is ended.
    """

    def __init__(
        self, plugin: CheckedPlugin, needs: Needs, take: Callable[[Needs, str], Awaitable[WorkerProcess]]
    ) -> None:
        self.plugin = plugin
        self.needs = needs
        self.expected: Loaded | None = None
        self.starts = 0
        self._take = take
        self._worker: WorkerProcess | None = None
        self._lock = asyncio.Lock()
        self._deaths = 0
        self._died_s = 0.0
        self._is_closed = False
        self.is_retired = False

    @property
    def worker(self) -> WorkerProcess | None:
        """The worker that lives now."""
        return self._worker if self._worker is not None and self._worker.is_alive else None

    async def running(self) -> WorkerProcess:
        """A worker that has the plugin. `WorkerMissingError` PLUGIN_WORKER_MISSING with what kept it from starting."""
        async with self._lock:
            if self._is_closed:
                raise WorkerMissingError(
                    "PLUGIN_WORKER_MISSING",
                    f"the workers of plugin `{self.plugin.name}` are closed",
                    hint="use it inside `async with Runtime.open(…)`",
                )
            if self.worker is not None:
                return self.worker
            if self._worker is not None:
                # It was there, and it died.
                self._note_death()
                self._worker = None
            await self._wait_out()
            try:
                self._worker = await self._started()
            except AssentError as error:
                self._note_death()
                raise WorkerMissingError(
                    "PLUGIN_WORKER_MISSING",
                    f"plugin `{self.plugin.name}` has no worker: {error.message}",
                    path=error.path,
                    hint=error.hint,
                    details={"error": dict(error.to_dict())},
                ) from error
            return self._worker

    async def describe(self) -> Loaded:
        """What the plugin brings, of a worker that stays. Raises what importing it raises."""
        async with self._lock:
            self._worker = await self._started()
            assert self.expected is not None
            return self.expected

    async def _started(self) -> WorkerProcess:
        plugin = self.plugin
        self.starts += 1
        worker = await self._take(self.needs, plugin.name)
        files = [File(name, plugin.code.place(name), data) for name, data in plugin.code.files.items()]
        try:
            brought = await worker.load([*files, Load(plugin.name, plugin.module, plugin.native)])
        except BaseException:
            await worker.end()
            raise
        if self.expected is None:
            self.expected = brought
        elif brought != self.expected:
            await worker.end()
            raise RefusedError(
                "PLUGIN_DIFFERS",
                f"plugin `{plugin.name}` registers something else than it did before, from the same code",
                hint="what it brings may not depend on anything but its code",
            )
        return worker

    def note_success(self) -> None:
        """Something was performed to its end: the next death is the first one again."""
        self._deaths = 0

    def _note_death(self) -> None:
        self._deaths += 1
        self._died_s = asyncio.get_running_loop().time()

    async def _wait_out(self) -> None:
        if self._deaths > 1:
            wait_s = min(BACKOFF_S_MAX, BACKOFF_S * 2 ** min(self._deaths - 2, 16))
            left_s = self._died_s + wait_s - asyncio.get_running_loop().time()
            if left_s > 0:
                await asyncio.sleep(left_s)

    async def rest(self) -> None:
        """The plugin is unloaded: its worker ends, unless something is under way; runs that go on start another one."""
        self.is_retired = True
        if self.worker is not None and self.worker.is_idle:
            worker, self._worker = self.worker, None
            await worker.end()

    async def close(self) -> None:
        """End the worker, for good."""
        self._is_closed = True
        if self.worker is not None:
            await self.worker.end()
