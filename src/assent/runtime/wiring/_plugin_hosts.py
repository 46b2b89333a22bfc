"""Where the plugins of one runtime run: each in a confined worker, but for those that the lock lets into this process by name."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent import __version__, system
from assent.capabilities.fs import changing
from assent.plugins import InProcessHost, LoadedPlugin, PluginHost
from assent.plugins.worker import Child, KnownRegistrations, Needs, WorkerHost

if TYPE_CHECKING:
    from assent.plugins import CheckedPlugin
    from assent.runtime.settings.effective import Settings
    from assent.sandbox import Child as SandboxChild
    from assent.sandbox import Ended, Sandbox, Scratch

MEMORY_BYTES: Final = 1 << 30
"""Memory of one plugin's worker."""

FILE_BYTES: Final = 64 << 20
"""The largest file that a worker may write in its private scratch; the workspace it writes through Assent."""

FOREVER_S: Final = 10 * 365 * 86_400
"""A worker has no time of its own: each of its parts has."""

PROCESSES: Final = 96
"""Processes and threads of a worker: its own, and those of sync parts."""

PROCESSES_DECLARED: Final = 256
"""The same of a plugin that declares programs which it starts."""

OURS: Final = (sys.prefix, sys.base_prefix)
"""What each of them sees beside the system's programs: Python, and what is installed beside Assent."""

PATH: Final = "/usr/local/bin:/usr/bin:/bin"
"""Where a program that is named without its folder is looked for, inside the sandbox."""


class PluginHosts:
    """A `PluginHost` that asks the one which a plugin belongs to. Neither is there before a plugin needs it.

    `remembers`: what plugins bring is kept in the state directory, so that the next start needs no worker for it.
    """

    def __init__(self, settings: Settings, *, remembers: bool = True) -> None:
        self._settings = settings
        self._remembers = remembers
        self._own: InProcessHost | None = None
        self._workers: WorkerHost | None = None
        self._launcher: Launcher | None = None

    def load(self, plugin: CheckedPlugin) -> LoadedPlugin:
        return self._host_of(plugin).load(plugin)

    def unload(self, loaded: LoadedPlugin) -> None:
        self._host_of(loaded.plugin).unload(loaded)

    def remember(self) -> None:
        """Keep what plugins bring, now that the state directory may be there."""
        if self._workers is not None:
            self._workers.remember()

    def close(self) -> None:
        if self._workers is not None:
            self._workers.close()
        if self._launcher is not None:
            self._launcher.close()
        self._workers = self._launcher = None

    def _host_of(self, plugin: CheckedPlugin) -> PluginHost:
        if plugin.in_process:
            self._own = self._own or InProcessHost()
            return self._own
        if self._workers is None:
            settings = self._settings
            self._launcher = Launcher(settings)
            self._workers = WorkerHost(
                self._launcher.launch,
                spawn=system.spawn,
                known=KnownRegistrations(settings.state if self._remembers else None, assent=__version__),
                environ=system.environment(),
                changing=changing,
                grace_s=settings.limits.grace_ms / 1000,
            )
        return self._workers


class Launcher:
    """Starts workers in the sandbox: no workspace, home, state or network; Python, what is installed, what a plugin declares."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._lock = asyncio.Lock()  # several plugins may start at once
        self._sandbox: Sandbox | None = None
        self._empty: Scratch | None = None

    async def launch(self, needs: Needs) -> Child:
        """Start one. SANDBOX_UNAVAILABLE where nothing holds and the operator has not switched that off by name."""
        return await self.start(
            needs.argv,
            readable=(*needs.packages, *needs.readable),
            environment=dict(needs.environment),
            programs=needs.programs,
        )

    async def start(
        self,
        argv: Sequence[str],
        *,
        readable: Sequence[str],
        writable: Sequence[Path] = (),
        environment: Mapping[str, str],
        programs: bool,
        network: bool = False,
    ) -> Child:
        """Start somebody else's program that stays. SANDBOX_UNAVAILABLE as above."""
        from assent.sandbox import Confinement, SandboxLimits, Scratch

        async with self._lock:
            if self._sandbox is None:
                self._sandbox = await asyncio.to_thread(self._settings.sandbox.detect)
            if self._empty is None:
                # A sandbox shows a workspace. A worker has none: it asks for files by name, and Assent gives them or refuses.
                self._empty = await asyncio.to_thread(Scratch.make)
        places = (*OURS, *readable)
        child = await self._sandbox.start(
            argv,
            Confinement(
                root=self._empty.path,
                hidden=self._settings.hidden_files,
                read_only=tuple(Path(place) for place in dict.fromkeys(places)),
                writable=tuple(writable),
                network=network,
                environment={"PATH": PATH, "LANG": "C.UTF-8", **environment},
                limits=SandboxLimits(
                    cpu_s=FOREVER_S,
                    wall_s=FOREVER_S,
                    memory_bytes=MEMORY_BYTES,
                    file_bytes=FILE_BYTES,
                    processes=PROCESSES_DECLARED if programs else PROCESSES,
                ),
            ),
        )
        return _Worker(child)

    def close(self) -> None:
        """End the sandbox, with whatever is left in it."""
        if self._sandbox is not None:
            self._sandbox.close()
        if self._empty is not None:
            self._empty.remove()
        self._sandbox = self._empty = None


class _Worker:
    """A child of the sandbox as the host of workers knows it."""

    def __init__(self, child: SandboxChild) -> None:
        self._child = child
        self.stdin = child.stdin
        self.stdout = child.stdout
        self.stderr = child.stderr

    def kill(self) -> None:
        self._child.kill()

    async def wait(self) -> str:
        return _told(await self._child.wait())


def _told(ended: Ended) -> str:
    if ended.limit not in {None, "killed", "lost"}:
        return f"past its limit of {ended.limit}"
    return f"signal {ended.signal}" if ended.signal is not None else f"exit code {ended.exit_code}"
