"""The context of a call inside of a worker: the same surface as in Assent's process, with the world at the pipe's other end.

What a call remembers (state, meta, flags) is here, where its parts run, and is told to Assent when a part ends. Files, blobs and
secrets are asked for: whatever confines, simulates or refuses there does so here.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Callable, Coroutine, Iterable, Iterator, MutableMapping
from concurrent.futures import Future
from itertools import count
from typing import Any, Final

from assent.errors import InputError
from assent.invocation.app._bounded import Spawn
from assent.invocation.app.application import GlobalContext
from assent.invocation.context.files import Entry, EntryKind, Files
from assent.invocation.context.http import HttpAnswer, HttpRequest, require_form
from assent.invocation.context.local import Attachment, CallLife, CancelToken, LocalContext, Surroundings
from assent.invocation.context.phases import CallPhase
from assent.invocation.context.snapshot import Snapshot
from assent.plugins.worker import _frames as wire
from assent.plugins.worker._channel import Channel
from assent.plugins.worker._errors import cut
from assent.plugins.worker._files import FILE_QUESTIONS
from assent.plugins.worker._http import QUESTION, answer_from, to_args
from assent.plugins.worker._kept import keep, kept_of, records_from
from assent.secrets.access import Secret
from assent.secrets.redaction import Redactor
from assent.secrets.revealing import filled, names_in
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal


class RemoteFiles(Files):
    """The `Files` of a world, asked for one by one; what is not written out here is put in below."""

    def __init__(self, channel: Channel, call: int, world: int) -> None:
        self._channel = channel
        self._call = call
        self._world = world

    def ask(self, op: str, *args: object) -> Any:  # `Any`: as each question has it
        """The answer to a question about this world."""
        return self._channel.ask(self._call, op, self._world, *args)

    def stat(self, path: str) -> Entry | None:
        found = self.ask("files.stat", path)
        if found is None:
            return None
        kind, size, mode, mtime_ns, links = found
        return Entry(EntryKind(kind), size, mode, mtime_ns, links)

    def read(self, path: str) -> Iterator[bytes]:
        return _chunks(self._channel, self._call, self.ask("files.read", path))

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        key: str,
        mode: int | None = None,
        mtime_ns: int | None = None,
        replace: bool = True,
        restores: bool = False,
    ) -> None:
        """See `Files.write`. The bytes are gathered at the other end before the file is put in place.

        Whether they restore something is known there: that is what a `compensate` does.
        """
        del restores
        gathered = _sent(self._channel, self._call, chunks)
        self.ask("files.write", path, gathered, key, mode, mtime_ns, replace)


for _question, _asked in FILE_QUESTIONS.items():
    setattr(RemoteFiles, _question.partition(".")[2], _asked.asking())


class RemoteWorld:
    """A world of a call: the real one, a simulated one, or one that was simulated from either."""

    def __init__(
        self, channel: Channel, call: int, number: int, *, is_simulated: bool, pre_image_bytes_max: int
    ) -> None:
        self._channel = channel
        self._call = call
        self._number = number
        self.is_simulated: Final = is_simulated
        self.pre_image_bytes_max: Final = pre_image_bytes_max
        self.files: Final = RemoteFiles(channel, call, number)  # type: ignore[abstract]  # nothing of it is

    @property
    def is_changed(self) -> bool:
        return bool(self._channel.ask(self._call, "world.is_changed", self._number))

    def simulate(self) -> RemoteWorld:
        number = self._channel.ask(self._call, "world.simulate", self._number)
        return RemoteWorld(
            self._channel,
            self._call,
            number,
            is_simulated=True,
            pre_image_bytes_max=self.pre_image_bytes_max,
        )


class RemoteBlobs:
    """The blob store: what this call put, or what its `prepare` kept, can be read."""

    def __init__(self, channel: Channel, call: int) -> None:
        self._channel = channel
        self._call = call

    def put(self, chunks: Iterable[bytes]) -> str:
        return str(self._channel.ask(self._call, "blobs.put", _sent(self._channel, self._call, chunks)))

    def read(self, digest: str) -> Iterator[bytes]:
        return _chunks(self._channel, self._call, self._channel.ask(self._call, "blobs.read", digest))


def _sent(channel: Channel, call: int, chunks: Iterable[bytes]) -> int:
    """The number under which the bytes are gathered at the other end."""
    number = int(channel.ask(call, "bytes.open"))
    try:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                channel.ask(call, "bytes.add", number, bytes(view[: wire.CHUNK_BYTES_MAX]))
                view = view[wire.CHUNK_BYTES_MAX :]
    except BaseException:
        channel.let_go(call, number)
        raise
    return number


def _chunks(channel: Channel, call: int, number: int) -> Iterator[bytes]:
    """What is opened under the number at the other end, piece by piece."""
    is_read = False
    try:
        while not is_read:
            chunk = channel.ask(call, "bytes.next", number)
            is_read = not chunk
            if chunk:
                yield bytes(chunk)
    finally:
        if not is_read:
            channel.let_go(call, number)


_GIVEN: Final = Redactor()
"""What this process was given. Assent hides it wherever it leaves; this is for what a part writes by itself."""


class RemoteSurroundings(Surroundings):
    """What a call has around it, at the other end."""

    def __init__(self, channel: Channel, call: int, spawn: Spawn) -> None:
        self._channel = channel
        self._call = call
        self._spawn = spawn

    def spawn(self, context: LocalContext, work: Coroutine[Any, Any, Any], name: str) -> Task[Any]:
        del context
        return self._spawn(work, name=name)

    def progress(self, context: LocalContext, done: float, total: float | None, message: str) -> None:
        del context
        whole = None if total is None else float(total)
        self._channel.send(wire.Progress(self._call, float(done), whole, cut(str(message))))

    async def secret(self, context: LocalContext, life: CallLife, name: str, *, fresh: bool) -> Secret:
        return await asyncio.to_thread(self.secret_in_thread, context, life, name, fresh=fresh)

    def secret_in_thread(self, context: LocalContext, life: CallLife, name: str, *, fresh: bool) -> Secret:
        """See `Surroundings.secret_in_thread`. Who is granted what is decided at the other end."""
        del context, life
        value = str(self._channel.ask(self._call, "secret", name, fresh))
        _GIVEN.add(name, value)
        return Secret(value)

    # `Any`: whatever holds references, and the same with values in their places.
    async def reveal(self, context: LocalContext, life: CallLife, value: Any, host: str | None) -> Any:
        return await asyncio.to_thread(self.reveal_in_thread, context, life, value, host)

    def reveal_in_thread(self, context: LocalContext, life: CallLife, value: Any, host: str | None) -> Any:
        del context, life
        names = names_in(value)
        given: dict[str, str] = self._channel.ask(self._call, "reveal", [*names], host) if names else {}
        for name, text in given.items():
            _GIVEN.add(name, text)
        return filled(value, given)

    async def request(self, context: LocalContext, life: CallLife, request: HttpRequest) -> HttpAnswer:
        """See `Surroundings.request`. What may be sent, and where, is decided at the other end."""
        del context, life
        return await asyncio.to_thread(self._asked, request)

    def begin_request(
        self, context: LocalContext, life: CallLife, request: HttpRequest
    ) -> Future[HttpAnswer]:
        """See `Surroundings.begin_request`. The answer is there when this returns: the other end gives up when it has to."""
        del context, life
        answer: Future[HttpAnswer] = Future()
        answer.set_result(self._asked(request))
        return answer

    def _asked(self, request: HttpRequest) -> HttpAnswer:
        require_form(request)
        try:
            return answer_from(self._channel.ask(self._call, QUESTION, *to_args(request)))
        except wire.BrokenFrameError as error:
            raise InputError(
                "PLUGIN_MESSAGE_TOO_LARGE", f"the request is too large: {error}", hint="send less at once"
            ) from None

    @property
    def redactor(self) -> Redactor:
        """What hides the secrets that this process was given."""
        return _GIVEN


class RemoteLogger(logging.LoggerAdapter[logging.Logger]):
    """The logger of a call; its records are told to Assent, which logs them."""

    # `Any`: the adapter's own signature.
    def process(self, msg: Any, kwargs: MutableMapping[str, Any]) -> tuple[Any, MutableMapping[str, Any]]:
        """The message as it is; `extra` with the call's own."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class TellingHandler(logging.Handler):
    """Sends the records of `RemoteLogger` over the pipe."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self._channel = channel

    def emit(self, record: logging.LogRecord) -> None:
        """Send one record; what can't be formatted or sent is dropped, as logs may be."""
        try:
            trace = logging.Formatter().formatException(record.exc_info) if record.exc_info else ""
            call = getattr(record, "assent_call", 0)
            self._channel.send(wire.Log(call, record.levelno, cut(record.getMessage()), cut(trace)))
        except Exception:  # noqa: BLE001  # a log line is never worth a failure
            self.handleError(record)


class RemoteContext(LocalContext):
    """See `LocalContext`: what needs Assent's process is asked for there."""

    __slots__ = ("_callbacks_by_number", "_channel", "_known", "_number", "_numbers")

    def __init__(
        self, channel: Channel, number: int, about: wire.About, logger: logging.Logger, spawn: Spawn
    ) -> None:
        life = CallLife()
        super().__init__(
            run=RunId(about.run),
            step=StepKey(about.step),
            attempt=about.attempt,
            principal=Principal.parse(about.principal, roles=frozenset(about.roles)),
            key=about.key,
            world=RemoteWorld(
                channel,
                number,
                0,
                is_simulated=about.is_simulated,
                pre_image_bytes_max=about.pre_image_bytes_max,
            ),
            blobs=RemoteBlobs(channel, number),
            cancel=CancelToken(),
            keep_pre_image=about.keep_pre_image,
            request_id=about.request_id,
            capability=about.capability,
            version=about.version,
            life=life,
            around=RemoteSurroundings(channel, number, spawn),
        )
        life.logger = RemoteLogger(logger, {**self.ids, "assent_call": number})
        self._channel = channel
        self._number = number
        self._numbers = count(1)
        self._callbacks_by_number: dict[int, Callable[..., Any]] = {}  # `Any`: as each callback has it

    def update(self, about: wire.About) -> None:
        """The call as it stands now."""
        life = self._life
        life.phase = CallPhase(about.phase)
        life.started_ms, life.deadline_ms = about.started_ms, about.deadline_ms
        life.prepared = wire.unpack_json(about.prepared, most=None)
        life.output = wire.unpack_json(about.output, most=None)
        life.hooks_run = records_from(about.hooks)
        keep(life, about.kept)

    def kept(self) -> wire.Kept:
        """What the call remembers, as it is told to Assent."""
        return kept_of(self._life)

    def callback(self, number: int) -> Callable[..., Any]:  # `Any`: as each callback has it
        """What was asked to be called back under this number."""
        return self._callbacks_by_number[number]

    @property
    def app(self) -> GlobalContext:
        """Nothing of the application reaches into a worker: PLUGIN_APP_UNAVAILABLE."""
        raise InputError(
            "PLUGIN_APP_UNAVAILABLE",
            f"`{self.capability}` runs in a process of its own, where there are no modules of the application",
            hint="ask for what it needs by inputs and secrets, or have its plugin trusted with `--in-process`",
        )

    def snapshot(self) -> Snapshot:
        """The call as it stands, taken in Assent's process."""
        kept = self.kept()
        taken = self._channel.ask(self._number, "snapshot", kept.meta, kept.flags, kept.state)
        return Snapshot.load(bytes(taken))

    def attach(self, chunks: Iterable[bytes]) -> Attachment:
        gathered = _sent(self._channel, self._number, chunks)
        blob, size = self._channel.ask(self._number, "attach", gathered)
        return Attachment(str(blob), int(size))

    def count_sent(self, size: int) -> None:
        super().count_sent(size)
        # At once: a worker that is killed, or whose answer is too large, has sent it all the same.
        self._channel.ask(self._number, "count_sent", size)

    def on_cleanup(self, callback: Callable[[], Any]) -> None:
        self._register("cleanup", callback)

    def on_timeout(self, callback: Callable[[], Any]) -> None:
        self._register("timeout", callback)

    def on_error(self, callback: Callable[[Exception], Any]) -> None:
        self._register("error", callback)

    def on_phase_change(self, callback: Callable[[CallPhase, CallPhase], object]) -> None:
        """See `LocalContext.on_phase_change`. It is told a moment after the phase changed."""
        self._register("phase", callback)

    def _register(self, kind: str, callback: Callable[..., Any]) -> None:  # `Any`: as each callback has it
        number = next(self._numbers)
        self._callbacks_by_number[number] = callback
        self._channel.ask(self._number, "on", kind, number)
