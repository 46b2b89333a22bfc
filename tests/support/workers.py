"""Plugins in workers without a runtime around them: a host, a world, and calls whose parts are called one by one."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Thread
from typing import Any

from assent import system
from assent.capabilities.fs import Workspace, changing
from assent.errors import Json
from assent.invocation import BoundCapability, CancelToken, Invoker, LocalContext, Secret, World
from assent.invocation.context.local import CallLife, Surroundings
from assent.journal import MemoryBlobs
from assent.plugins import CheckedPlugin, Declaration, LoadedPlugin, Permissions, SourceKind, scan
from assent.plugins.source._code import PluginCode
from assent.plugins.worker import Child, KnownRegistrations, Needs, WorkerHost
from assent.plugins.worker._channel import Channel
from assent.plugins.worker._serving import Serving
from assent.secrets.revealing import filled, names_in
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal, PrincipalKind

GRACE_S = 1.0


class PlainChild:
    """A worker's process without walls: what is tried here is the protocol."""

    def __init__(self, needs: Needs) -> None:
        self._process = subprocess.Popen(
            needs.argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=dict(needs.environment),
        )
        pipes = (self._process.stdin, self._process.stdout, self._process.stderr)
        self.stdin, self.stdout, self.stderr = (os.dup(pipe.fileno()) for pipe in pipes if pipe is not None)
        for pipe in pipes:
            assert pipe is not None
            pipe.close()
        self.pid = self._process.pid

    def kill(self) -> None:
        self._process.kill()

    async def wait(self) -> str:
        code = await asyncio.get_running_loop().run_in_executor(None, self._process.wait)
        return f"code {code}"


class ThreadChild:
    """A worker that is no process but a thread of this one, so that what it does can be measured. It ends when its part does."""

    pid = os.getpid()

    def __init__(self, needs: Needs) -> None:
        del needs
        # Sockets, because their other end can be told that all is over while somebody reads.
        self._ours, self._theirs = zip(*(socket.socketpair() for _ in range(3)), strict=True)
        self.stdin, self.stdout, self.stderr = (os.dup(one.fileno()) for one in self._ours)
        self._thread = Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        async def work() -> None:
            channel = Channel(self._theirs[0].fileno(), self._theirs[1].fileno())
            await Serving(channel, system.spawn).run()

        try:
            asyncio.run(work())
        finally:
            self.kill()  # as the end of a process closes its pipes: whoever waits for an answer is told

    def kill(self) -> None:
        for one in self._theirs:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join()

    async def wait(self) -> str:
        await asyncio.get_running_loop().run_in_executor(None, self.join)
        for one in (*self._ours, *self._theirs):
            one.close()
        return "its thread has ended"


class Nursery:
    """Starts workers without walls, and knows those that it started."""

    def __init__(self) -> None:
        self.children: list[PlainChild | ThreadChild] = []

    async def launch(self, needs: Needs) -> Child:
        """Start a process."""
        self.children.append(PlainChild(needs))
        return self.children[-1]

    async def launch_thread(self, needs: Needs) -> Child:
        """Start a thread in its place."""
        self.children.append(ThreadChild(needs))
        return self.children[-1]


def plugin_of(
    source: str,
    *,
    name: str = "sample",
    permissions: Permissions | None = None,
    more: Mapping[str, str] | None = None,
) -> CheckedPlugin:
    """A plugin of one module, read and not trusted: what a scan would refuse is what is wanted here."""
    files = {f"{name}.py": source.encode(), **{file: text.encode() for file, text in (more or {}).items()}}
    places = {file: f"/plugins/{file}" for file in files}
    declaration = Declaration(name=name, permissions=permissions or Permissions())
    manifest = scan(files, declaration, SourceKind.FILE)
    return CheckedPlugin(name, name, PluginCode(files, places), manifest, native=True)


class Around(Surroundings):
    """Somebody to tell of progress, and secrets to give."""

    def __init__(self) -> None:
        self.told: list[tuple[float, float | None, str]] = []
        self.asked: list[tuple[str, bool]] = []

    def progress(self, context: LocalContext, done: float, total: float | None, message: str) -> None:
        self.told.append((done, total, message))

    def reveal_in_thread(self, context: LocalContext, life: CallLife, value: Any, host: str | None) -> Any:
        return filled(value, {name: f"value of {name} for {host}" for name in names_in(value)})

    def secret_in_thread(self, context: LocalContext, life: CallLife, name: str, *, fresh: bool) -> Secret:
        if name not in life.granted:
            return super().secret_in_thread(context, life, name, fresh=fresh)
        self.asked.append((name, fresh))
        return Secret(f"value of {name}")


class Stage:
    """A host with one plugin, and a world of its own."""

    def __init__(
        self, folder: Path, plugin: CheckedPlugin, **how: Any
    ) -> None:  # `Any`: the host's own options
        self.root = folder / "workspace"
        self.state = folder / "state"
        for place in (self.root, self.state):
            place.mkdir(parents=True, exist_ok=True)
        self.nursery = Nursery()
        in_thread = how.pop("in_thread", False)
        how.setdefault("launch", self.nursery.launch_thread if in_thread else self.nursery.launch)
        how.setdefault("spare", 0)
        self.known = KnownRegistrations(self.state, assent="test")
        self.host = WorkerHost(
            spawn=system.spawn,
            known=self.known,
            environ={"DECLARED": "yes"},
            changing=changing,
            grace_s=GRACE_S,
            **how,
        )
        self.world = Workspace.open(self.root, hidden=[self.state])
        self.blobs = MemoryBlobs()
        self.around = Around()
        self.threads = ThreadPoolExecutor(max_workers=2)
        self.invoker = Invoker(self.threads, grace_s=GRACE_S)
        self.loaded: LoadedPlugin | None = None
        self.bound: dict[str, BoundCapability] = {}
        self.plugin = plugin

    def load(self) -> LoadedPlugin:
        """Load the plugin."""
        self.loaded = self.host.load(self.plugin)
        self.bound = {spec.id: BoundCapability(spec, handler) for spec, handler in self.loaded.capabilities}
        return self.loaded

    def close(self) -> None:
        """End everything."""
        self.host.close()
        self.world.close()
        self.threads.shutdown()

    def call(self, capability: str, *, world: World | None = None, life: CallLife | None = None) -> Call:
        """A call, whose parts are called one by one."""
        return Call(self, self.bound[capability], world or self.world, life or CallLife())

    async def execute(self, capability: str, inputs: Mapping[str, Json] | None = None, **how: Any) -> Any:
        """What `execute` of one call gives, as JSON."""
        call = self.call(capability)
        return call.bound.result(await call.part("execute", inputs, **how))


class Call:
    """One call."""

    def __init__(self, stage: Stage, bound: BoundCapability, world: World, life: CallLife) -> None:
        self.stage = stage
        self.bound = bound
        self.life = life
        life.granted = tuple(bound.spec.secrets)
        self.cancel = CancelToken()
        self.context = LocalContext(
            run=RunId("run_1"),
            step=StepKey("step"),
            attempt=1,
            principal=Principal(PrincipalKind.USER, "alice", frozenset({"dev"})),
            key="key/1",
            world=world,
            blobs=stage.blobs,
            cancel=self.cancel,
            request_id="req_1",
            capability=bound.spec.id,
            version=bound.spec.version,
            life=life,
            around=stage.around,
        )

    async def part(
        self, name: str, inputs: Mapping[str, Json] | None = None, *, timeout_s: float | None = None
    ) -> Any:
        """What a part gives."""
        parameters, _ = self.bound.parse(inputs or {})
        part = getattr(self.bound.handler, name)
        return await self.stage.invoker.invoke(part, self.context, parameters, timeout_s=timeout_s)


@contextmanager
def staged(folder: Path, plugin: CheckedPlugin, **how: Any) -> Iterator[Stage]:
    """A stage whose plugin is loaded."""
    stage = Stage(folder, plugin, **how)
    try:
        stage.load()
        yield stage
    finally:
        stage.close()
