"""The host that runs each plugin in a worker: a process of its own, confined to what its trusted manifest declares."""

from __future__ import annotations

import asyncio
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from itertools import count
from threading import Lock, Thread
from typing import TYPE_CHECKING, Any, Final, TypeVar

from assent.invocation import CallPhase, LocalContext, Places, Share, Spawn
from assent.invocation.context.local import life_of
from assent.plugins.loading._agreement import require_agreement
from assent.plugins.ports import LoadedPlugin
from assent.plugins.worker import _frames as wire
from assent.plugins.worker._errors import to_wire
from assent.plugins.worker._known import KnownRegistrations
from assent.plugins.worker._needs import Launch, Needs
from assent.plugins.worker._pool import REFILL_S, Pool
from assent.plugins.worker._process import WorkerProcess
from assent.plugins.worker._questions import Changing, RemoteCall
from assent.plugins.worker._remote import RemoteHealth, registration
from assent.plugins.worker._slot import Slot

if TYPE_CHECKING:
    from assent.plugins.source._trust import CheckedPlugin
    from assent.spec.capability import CapabilitySpec

T = TypeVar("T")


class HostLoop:
    """A loop in a thread, started when it is first needed: workers are served whichever loop, or none, their callers run in."""

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


SPARE: Final = 1
"""Idle workers that are kept ready for each kind of needs."""

CLOSE_S: Final = 5.0
"""How long whoever waits for a worker that was ended may take to hear of it."""

THREADS: Final = 16
"""Threads that answer what workers ask."""


class WorkerHost:
    """A `PluginHost` whose plugins run in workers. One plugin has one worker, which performs several calls at once.

    `launch` starts a confined process; `spawn` a task; `environ` is what Assent was started with, for the variables that a
    plugin declares; `changing` is entered around each change of files. `grace_s` is how long a part may take to end when its
    time is up, before its worker is ended. No process is started before something has to run, unless nobody knows yet what a
    plugin brings.
    """

    def __init__(
        self,
        launch: Launch,
        *,
        spawn: Spawn,
        known: KnownRegistrations,
        environ: Mapping[str, str],
        changing: Changing,
        grace_s: float = 10.0,
        spare: int = SPARE,
        refill_s: float = REFILL_S,
    ) -> None:
        self._launch = launch
        self._spawn = spawn
        self._known = known
        self._environ = environ
        self._changing = changing
        self.grace_s = grace_s
        self._spare = spare
        self._refill_s = refill_s
        self._loop = HostLoop()
        self._threads: ThreadPoolExecutor | None = None
        self._pool: Pool | None = None
        self._slots: list[Slot] = []
        self._slot_of: dict[int, tuple[LoadedPlugin, Slot]] = {}
        self._numbers = count(1)

    def load(self, plugin: CheckedPlugin) -> LoadedPlugin:
        """See `PluginHost.load`.

        What importing raises (PLUGIN_SHADOWS, PLUGIN_INTERFERES, PLUGIN_NATIVE, PLUGIN_FAILED, DECLARATION_INVALID),
        PLUGIN_DIFFERS, PLUGIN_WORKER_DIED, PLUGIN_MISBEHAVED, and what keeps a worker from being started (SANDBOX_UNAVAILABLE).
        """
        slot = Slot(plugin, Needs.of(plugin, self._environ), self._take)
        slot.expected = self._known.find(plugin)
        is_known = slot.expected is not None
        try:
            brought = slot.expected if slot.expected is not None else self._submit(slot.describe()).result()
            loaded = self._loaded(slot, brought)
        except BaseException:
            if not is_known:
                self._submit(slot.close()).result()
            raise
        if not is_known:
            self._known.note(plugin, brought)
        self._slots.append(slot)
        self._slot_of[id(loaded)] = (loaded, slot)
        return loaded

    def _loaded(self, slot: Slot, brought: wire.Loaded) -> LoadedPlugin:
        performer = _Performer(self, slot)
        found = [registration(performer, one) for one in brought.capabilities]
        agreed = require_agreement(slot.plugin.name, slot.plugin.manifest, found)
        health = RemoteHealth(performer) if brought.has_health else None
        return LoadedPlugin(slot.plugin, agreed, health, performer.ready)

    def unload(self, loaded: LoadedPlugin) -> None:
        _, slot = self._slot_of.pop(id(loaded), (None, None))
        if slot is not None and self._loop.is_running:
            self._submit(slot.rest()).result()

    def close(self) -> None:
        if self._loop.is_running:
            self._submit(self._closed()).result()
            self._loop.stop()
        if self._threads is not None:
            self._threads.shutdown(wait=False)
            self._threads = None
        self._slots.clear()
        self._slot_of.clear()
        self._pool = None

    async def _closed(self) -> None:
        if self._pool is not None:
            await self._pool.close()
        for slot in self._slots:
            await slot.close()
        # Whoever waits is told, in whichever loop, before this one stops.
        own = asyncio.current_task()
        others = [task for task in asyncio.all_tasks() if task is not own]
        await asyncio.wait(others, timeout=CLOSE_S) if others else None

    def remember(self) -> None:
        """Keep what plugins bring in the state directory, which may have been made meanwhile."""
        self._known.write()

    def _submit(self, work: Any) -> Future[Any]:  # `Any`: a coroutine and what it gives
        return self._loop.submit(work)

    async def _take(self, needs: Needs, name: str) -> WorkerProcess:
        if self._threads is None:
            self._threads = ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="assent-plugin")
        if self._pool is None:
            self._pool = Pool(
                self._launch, self._spawn, self._threads, spare=self._spare, refill_s=self._refill_s
            )
        return await self._pool.take(needs, name)

    async def within(self, work: Callable[[], Awaitable[T]]) -> T:
        """What something gives that runs on the host's loop, for a caller on any other. Giving up is passed on and waited for."""
        outcome: Future[T] = Future()

        async def running() -> None:
            try:
                given = await work()
            except asyncio.CancelledError:
                outcome.cancel()
            except BaseException as error:  # noqa: BLE001  # it is raised where it is waited for
                outcome.set_exception(error)
            else:
                outcome.set_result(given)

        future = self._submit(running())
        wrapped = asyncio.wrap_future(outcome)
        try:
            return await asyncio.shield(wrapped)
        except asyncio.CancelledError:
            future.cancel()
            await asyncio.wait({wrapped})
            if not wrapped.cancelled():
                wrapped.exception()  # looked at, so that asyncio does not report it as never retrieved
            raise

    def call_of(self, context: LocalContext, spec: CapabilitySpec, plugin: CheckedPlugin) -> RemoteCall:
        """The call that a context is of, as it is known to workers."""
        life = life_of(context)
        call = life.remote
        if not isinstance(call, RemoteCall):
            call = life.remote = RemoteCall(next(self._numbers), spec, plugin.name, self._changing)
            weakref.finalize(life, self._loop.post, self._over, call.number).atexit = False
        call.attach(context)
        return call

    def number(self) -> int:
        """A number that no request has."""
        return next(self._numbers)

    def post(self, function: Callable[..., object], *args: object) -> None:
        """Have something done on the host's loop."""
        self._loop.post(function, *args)

    def _over(self, call: int) -> None:
        for slot in self._slots:
            if slot.worker is not None:
                slot.worker.forget(call)


class _Performer:
    """Has one plugin's parts performed by its worker. See `Performer`."""

    def __init__(self, host: WorkerHost, slot: Slot) -> None:
        self._host = host
        self._slot = slot
        # As many as the worker has threads for: in its own queue a part's time would run already.
        self._forward = Places(wire.FORWARD_MAX)
        self._settling = Places(wire.SETTLING_MAX)

    async def ready(self) -> None:
        if self._slot.worker is None:
            await self._host.within(self._slot.running)

    @asynccontextmanager
    async def turn(self, context: LocalContext, *, threaded: bool) -> AsyncIterator[None]:
        await self.ready()
        if not threaded:
            yield
            return
        places = self._settling if life_of(context).settles else self._forward
        await places.taken(Share(str(context.principal), context.run))
        try:
            yield
        finally:
            places.give_back()

    async def part(self, spec: CapabilitySpec, name: str, context: LocalContext, inputs: bytes) -> wire.Done:
        n = self._host.number()
        context.cancel.watch(lambda: self._host.post(self._nudge, n))
        return await self._perform(n, "part", spec, name, context, inputs=inputs)

    async def hook(  # noqa: PLR0917  # as the port has it
        self,
        spec: CapabilitySpec,
        name: str,
        context: LocalContext,
        inputs: bytes,
        seen: bytes,
        error: wire.WireError | None,
    ) -> None:
        await self._perform(
            self._host.number(), "hook", spec, name, context, inputs=inputs, seen=seen, error=error
        )

    async def health(self) -> wire.Done:
        begin = wire.Begin(self._host.number(), 0, "health")

        async def work() -> wire.Done:
            worker = await self._slot.running()
            return await worker.perform(begin, None, grace_s=self._host.grace_s, part="health")

        return await self._host.within(work)

    def owns(self, context: LocalContext, spec: CapabilitySpec, blobs: tuple[str, ...]) -> bool:
        call = self._host.call_of(context, spec, self._slot.plugin)
        return call.has_put(blobs)

    def _nudge(self, n: int) -> None:
        if self._slot.worker is not None:
            self._slot.worker.nudge(n)

    async def _perform(
        self,
        n: int,
        kind: wire.RequestKind,
        spec: CapabilitySpec,
        name: str,
        context: LocalContext,
        *,
        inputs: bytes = b"",
        seen: bytes = b"",
        error: wire.WireError | None = None,
        by: WorkerProcess | None = None,
    ) -> wire.Done:
        """`by`: by this very worker and no other."""
        call = self._host.call_of(context, spec, self._slot.plugin)
        begin = wire.Begin(n, call.number, kind, spec.reference, name, inputs, seen, error, call.about())
        token = context.cancel if kind == "part" else None

        async def work() -> wire.Done:
            worker = by if by is not None else await self._slot.running()
            worker.register = self._register
            done = await worker.perform(
                begin, call, grace_s=self._host.grace_s, part=name if kind == "part" else kind, token=token
            )
            self._slot.note_success()
            return done

        return await self._host.within(work)

    def _register(self, worker: WorkerProcess, call: RemoteCall, kind: str, number: int) -> None:
        """Have the worker called back at a turning point of a call. One that died meanwhile has nothing left to clean up."""
        context, spec = call.context, call.spec

        async def called_back(*told: Exception) -> None:
            if worker.is_alive:
                error = to_wire(told[0]) if told else None
                n = self._host.number()
                await self._perform(n, "callback", spec, str(number), context, error=error, by=worker)

        def turned(before: CallPhase, after: CallPhase) -> None:
            self._host.post(worker.tell, wire.Turned(call.number, number, before.value, after.value))

        match kind:
            case "cleanup":
                context.on_cleanup(called_back)
            case "timeout":
                context.on_timeout(called_back)
            case "error":
                context.on_error(called_back)
            case _:
                context.on_phase_change(turned)
