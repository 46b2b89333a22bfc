"""What a worker does: it imports one plugin from the bytes that it is sent, and performs what it is asked to.

Async parts run on the event loop, sync ones in threads, as they do in Assent's own process. What stands here is no wall: code of
the plugin can do to this process whatever it likes. The walls are around the process, and at the other end of the pipe.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Thread
from typing import Any, Final

from assent.errors import AssentError, InputError
from assent.invocation import (
    BoundCapability,
    CallPhase,
    CancelToken,
    Handler,
    Health,
    HookedCall,
    LeadsTo,
    Prepared,
    Preview,
    Reconciliation,
    Spawn,
)
from assent.invocation.call.threads import for_thread, outlast
from assent.invocation.context.local import life_of
from assent.invocation.context.tasks import with_tasks
from assent.invocation.describe.handler import ATTACHED_NAMES
from assent.invocation.hooks.hook import is_async
from assent.plugins.loading._importing import capabilities_of, health_of, import_plugin
from assent.plugins.ports import HealthCheck
from assent.plugins.source._code import PluginCode
from assent.plugins.worker import _frames as wire
from assent.plugins.worker._channel import Channel
from assent.plugins.worker._context import RemoteContext, TellingHandler
from assent.plugins.worker._errors import from_wire, to_wire
from assent.spec.capability import CapabilitySpec
from assent.spec.states import Verdict
from assent.spec.values.frozen import thaw

THREADS_MAX: Final = wire.FORWARD_MAX + 2 * wire.SETTLING_MAX
"""What is sync and runs at once: parts, of which the other end sends no more, and hooks and callbacks, of which more wait."""

CALLS_KEPT_MAX: Final = 4096
"""Calls whose memory is kept without word that they have ended."""


@dataclass(frozen=True, slots=True)
class _Plugin:
    """The plugin as it is imported: who and from which bytes."""

    name: str
    module: str
    code: PluginCode
    native: bool


@dataclass(slots=True)
class _Running:
    """Something that was begun and has not ended."""

    task: asyncio.Task[None]
    token: CancelToken


class Serving:
    """One worker's work, on the running loop."""

    def __init__(self, channel: Channel, spawn: Spawn) -> None:
        self._channel = channel
        self._spawn = spawn
        self._threads = ThreadPoolExecutor(max_workers=THREADS_MAX, thread_name_prefix="assent-part")
        self._files: dict[str, bytes] = {}
        self._places: dict[str, str] = {}
        self._bound: dict[str, BoundCapability] = {}
        self._health: HealthCheck | None = None
        self._contexts: dict[int, RemoteContext] = {}
        self._running: dict[int, _Running] = {}
        self._ended = asyncio.Event()
        # Its records are told to Assent, whose own `assent.call` logs them.
        self._logger = logging.getLogger("assent.call.remote")
        self._logger.propagate = False
        self._telling = TellingHandler(channel)

    async def run(self) -> None:
        """Serve until Assent has gone."""
        loop = asyncio.get_running_loop()

        def listen() -> None:
            try:
                while (messages := self._channel.receive()) is not None:
                    for message in messages:
                        # Whoever waits for an answer may be the loop itself, held up by a part that does not await.
                        if isinstance(message, wire.Answer):
                            self._channel.answer(message)
                        else:
                            loop.call_soon_threadsafe(self._take, message)
            except (OSError, wire.BrokenFrameError):
                pass  # what can't be understood is over, like what has gone
            loop.call_soon_threadsafe(self._ended.set)

        self._logger.addHandler(self._telling)
        Thread(target=listen, name="assent-pipe", daemon=True).start()
        try:
            await self._ended.wait()
        finally:
            # One that is left behind would write to whatever the descriptor is by then.
            self._logger.removeHandler(self._telling)

    def _take(self, message: wire.ToWorker) -> None:
        match message:
            case wire.Hello(protocol=protocol, log_level=level):
                self._logger.setLevel(level)
                self._channel.send(wire.Ready(wire.PROTOCOL))
                if protocol != wire.PROTOCOL:
                    self._ended.set()
            case wire.File(name=name, place=place, data=data):
                self._files[name], self._places[name] = data, place
            case wire.Load():
                self._load(message)
            case wire.Begin():
                self._begin(message)
            case wire.Stop(n=n, hard=hard):
                self._stop(n, hard=hard)
            case wire.Turned():
                self._turned(message)
            case wire.End(call=call):
                self._contexts.pop(call, None)
            case _:
                self._ended.set()

    def _load(self, message: wire.Load) -> None:
        plugin = _Plugin(
            message.plugin, message.module, PluginCode(self._files, self._places), message.native
        )
        try:
            imported = import_plugin(plugin)
            found = capabilities_of(plugin.name, imported.modules)
            self._health = health_of(plugin.name, imported.module)
            described = []
            for spec, handler in found:
                described.append(_described(spec, handler))
                self._bound[spec.reference] = BoundCapability(spec, handler)
            loaded = wire.Loaded(described, has_health=self._health is not None)
        except BaseException as error:  # noqa: BLE001  # whatever a plugin raises, the other end is told
            self._channel.send(wire.Refused(to_wire(error)))
            return
        self._channel.send(loaded)

    def _begin(self, begin: wire.Begin) -> None:
        token = CancelToken()
        if begin.about is not None:
            context = self._context(begin)
            if begin.kind == "part":
                token = context.cancel
        task = self._spawn(self._perform(begin, token), name=f"request {begin.n}")
        self._running[begin.n] = _Running(task, token)

    def _context(self, begin: wire.Begin) -> RemoteContext:
        assert begin.about is not None
        context = self._contexts.get(begin.call)
        if context is None:
            if len(self._contexts) >= CALLS_KEPT_MAX:
                del self._contexts[next(iter(self._contexts))]
            context = RemoteContext(self._channel, begin.call, begin.about, self._logger, self._spawn)
            self._contexts[begin.call] = context
        context.update(begin.about)
        return context

    def _stop(self, n: int, *, hard: bool) -> None:
        running = self._running.get(n)
        if running is not None:
            running.token.cancel()
            if hard:
                running.task.cancel()

    def _turned(self, turned: wire.Turned) -> None:
        context = self._contexts.get(turned.call)
        if context is not None:
            try:
                context.callback(turned.number)(CallPhase(turned.before), CallPhase(turned.after))
            except Exception as error:  # noqa: BLE001  # a listener can't keep a call from going on
                context.logger.warning("a phase callback failed: %s", error)

    async def _perform(self, begin: wire.Begin, token: CancelToken) -> None:
        context = self._contexts.get(begin.call)
        try:
            value, unfit = await self._performed(begin, context, token)
            answer: wire.Done | wire.Failed = wire.Done(
                begin.n, value, unfit, context.kept() if context else None
            )
            self._send(answer, begin.n)
        except BaseException as error:  # noqa: BLE001  # whatever a plugin raises, the other end is told
            self._send(wire.Failed(begin.n, to_wire(error), context.kept() if context else None), begin.n)
        finally:
            del self._running[begin.n]

    def _send(self, message: wire.Done | wire.Failed, n: int) -> None:
        try:
            self._channel.send(message)
        except wire.BrokenFrameError as error:
            fault = AssentError(
                "PLUGIN_MESSAGE_TOO_LARGE", str(error), hint="put large data into blobs or files"
            )
            self._channel.send(wire.Failed(n, to_wire(fault)))
        except (ValueError, TypeError) as error:  # text that is none, in what the call remembers
            self._channel.send(wire.Failed(n, to_wire(error)))

    async def _performed(
        self, begin: wire.Begin, context: RemoteContext | None, token: CancelToken
    ) -> tuple[bytes, wire.WireError | None]:
        """What was begun gives, as JSON, and what is wrong with it."""
        if begin.kind == "health":
            assert self._health is not None
            return wire.pack_json(_health(await self._called(self._health, (), token))), None
        assert context is not None
        if begin.kind == "callback":
            told = () if begin.error is None else (from_wire(begin.error),)
            await self._called(context.callback(int(begin.name)), told, token)
            return b"", None
        bound = self._bound[begin.capability]
        if begin.kind == "hook":
            hook = next(one for one in bound.handler.hooks if one.id == begin.name)
            error = None if begin.error is None else from_wire(begin.error)
            seen = HookedCall(
                context,
                wire.unpack_json(begin.inputs, most=None) or {},
                output=wire.unpack_json(begin.seen, most=None),
                error=error if isinstance(error, AssentError) else None,
                token=token,
            )
            await self._called(hook.run, (seen,), token)
            return b"", None
        parameters = bound.revive(wire.unpack_json(begin.inputs, most=None) or {})
        part = self._called(getattr(bound.handler, begin.name), (context, parameters), token)
        given = await with_tasks(part, life_of(context))
        return _written(begin.name, given, bound)

    async def _called(
        self, function: Callable[..., Any], arguments: tuple[object, ...], token: CancelToken
    ) -> Any:  # `Any`: whatever the plugin's function gives
        if is_async(function):
            return await function(*arguments)
        result = await self._threaded(function, arguments, token)
        # A sync function may hand back a coroutine (a lambda around an async one): nothing of it has run yet.
        return await result if inspect.isawaitable(result) else result

    async def _threaded(
        self, function: Callable[..., Any], arguments: tuple[object, ...], token: CancelToken
    ) -> Any:  # `Any`: as above
        """What a thread gives. It is waited for whatever happens: who gave up on it is told when it has ended, and not before."""
        thread = asyncio.get_running_loop().run_in_executor(self._threads, for_thread(function, arguments))
        try:
            return await asyncio.shield(thread)
        except asyncio.CancelledError:
            token.cancel()
            await outlast(thread)
            raise


def _described(spec: CapabilitySpec, handler: Handler) -> wire.DescribedCapability:
    parts = {name: part for name in ATTACHED_NAMES if (part := getattr(handler, name)) is not None}
    return wire.DescribedCapability(
        spec=wire.pack_json(spec.to_json()),
        parts=sorted(parts),  # type: ignore[arg-type]  # the names are those of the protocol
        threaded=sorted(name for name, part in parts.items() if not is_async(part)),  # type: ignore[misc]  # as above
        fingerprint=handler.fingerprint(),
        revision=handler.revision,
        rehearsable=handler.rehearsable,
        hooks=[
            wire.DescribedHook(hook.id, hook.kind.value, hook.timeout_s, hook.retries, hook.backoff_s)
            for hook in handler.hooks
        ],
    )


def _written(part: str, given: object, bound: BoundCapability) -> tuple[bytes, wire.WireError | None]:
    """What a part gave, as JSON; what is wrong with an output is told apart from a failure: the effect has happened."""
    match part:
        case "execute":
            try:
                return wire.pack_json(bound.result(given)), None
            except InputError as error:
                return b"", to_wire(error)
        case "prepare":
            if not isinstance(given, Prepared):
                raise _wrong(part, bound)
            return wire.pack_json({"state": dict(given.state), "blobs": [*given.blobs]}), None
        case "preview":
            if not isinstance(given, Preview):
                raise _wrong(part, bound)
            return wire.pack_json([given.kind, given.diff, given.base, given.changes, given.known]), None
        case "reconcile":
            if not isinstance(given, Reconciliation):
                return b"", None
            unfit, output = None, None
            if given.verdict is Verdict.YES:
                try:
                    output = bound.result(given.output)
                except InputError as error:
                    unfit = to_wire(error)
            return wire.pack_json([given.verdict.value, output, given.foreign]), unfit
        case "leads_to":
            leads = LeadsTo.all_of(given, bound.spec.id)
            told = [[one.role, one.capability, thaw(one.inputs), sorted(one.unknown)] for one in leads]
            return wire.pack_json(told), None
        case _:
            return b"", None


def _wrong(part: str, bound: BoundCapability) -> InputError:
    wanted = "a `Prepared`" if part == "prepare" else "a `Preview`"
    return InputError("HANDLER_INVALID", f"`{part}` of `{bound.spec.id}` does not give {wanted}")


def _health(said: object) -> object:
    """What a health check said, as JSON: null is well, a text or an object is how it is, false is what can't be read."""
    match said:
        case Health():
            return {"status": said.status.value, "detail": said.detail}
        case None | True:
            return None
        case str():
            return said[:500]
        case _:
            return False
