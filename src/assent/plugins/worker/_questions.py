"""What a worker may ask of a call that is under way, and what it is answered.

The table below, and the methods of `Files` (`_files`), are all that reaches out of a worker. Each question names its call; it is
answered by that call's own context, so the workspace is confined, simulated and protected as it is for everybody, and only while
something of the call is performed. Arguments are checked like any input from outside. Everything here may block, and runs in
threads, but for requests (`send`).
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from tempfile import SpooledTemporaryFile
from threading import Lock
from typing import IO, TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

import msgspec

from assent.errors import InputError, RefusedError
from assent.invocation.call.places import Share
from assent.invocation.context.local import CallLife, LocalContext, World, life_of
from assent.invocation.context.phases import CallPhase
from assent.plugins.worker import _frames as wire
from assent.plugins.worker._files import FILE_QUESTIONS
from assent.plugins.worker._kept import keep, kept_of, records_to
from assent.spec.reach import ASKING
from assent.spec.secret_text import SecretText, is_secret_name
from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from assent.invocation.context.files import Files
    from assent.invocation.context.http import HttpAnswer, HttpRequest
    from assent.spec.capability import CapabilitySpec

OPENED_MAX: Final = 64
"""Files and blobs that one call has open at once."""

WORLDS_MAX: Final = 64
"""Worlds that one call simulates."""

CALLBACKS_MAX: Final = 1000
"""Callbacks that one call registers."""

GATHERED_BYTES_MAX: Final = 4 << 30
"""Bytes of the files and blobs that one call writes at once, which are gathered before they are put in place."""

GATHERED_IN_MEMORY: Final = 1 << 20

TOGETHER_BYTES: Final = 512 << 10
"""What is read for one answer, when it comes in smaller pieces."""

TOLD_MAX: Final = 10_000
"""Lines of progress and log that one call may tell; more are dropped."""

Register = Callable[[str, int], None]

Changing: TypeAlias = "Callable[[LocalContext, Files, list[str], list[str]], AbstractContextManager[None]]"
"""Entered around a change of files: paths of which anything is made, changed or removed, and those where something will stand.

It refuses (PATH_PROTECTED) what no effect may have as its target: what git starts programs by.
"""

T = TypeVar("T")


@dataclass(slots=True)
class Opened:
    """Something that is read, or gathered, piece by piece."""

    reading: Iterator[bytes] | None = None
    gathered: IO[bytes] | None = None
    size: int = 0
    lock: Lock = field(default_factory=Lock)

    def close(self) -> None:
        """Let go of it."""
        with self.lock:
            if self.gathered is not None:
                self.gathered.close()
            closing = getattr(self.reading, "close", None)
            if closing is not None:
                closing()


class RemoteCall:
    """One call, as far as a worker has to do with it. Its context answers, and knows what the call is granted."""

    def __init__(self, number: int, spec: CapabilitySpec, plugin: str, changing: Changing) -> None:
        self.number = number
        self._change = changing
        self.spec = spec
        self.plugin = plugin
        self.callbacks = 0
        self.told = 0
        self._running: dict[int, bool] = {}
        self._opened: dict[int, Opened] = {}
        self._context: LocalContext | None = None
        self._worlds: list[World] = []
        self._put: set[str] = set()
        self._waiting: set[asyncio.Future[Any]] = set()  # `Any`: what each waits for
        self._is_stopped = False
        self._next = 1
        self._lock = Lock()

    def attach(self, context: LocalContext) -> None:
        """Something of the call is going to be performed; until it has ended, this is its context."""
        self._context = context
        self._worlds[:1] = [context.world]

    @property
    def context(self) -> LocalContext:
        """The call's context; CALL_ENDED when nothing of it is under way."""
        if self._context is None:
            raise self._ended()
        return self._context

    @property
    def share(self) -> Share:
        """On whose behalf it asks for a place; CALL_ENDED as above."""
        return Share(str(self.context.principal), self.context.run)

    def _ended(self) -> InputError:
        return InputError(
            "CALL_ENDED",
            f"the call of `{self.spec.id}` has ended and answers nothing any more",
            hint="a thread that outlives its call cleans up after itself",
        )

    def enter(self, n: int, part: str) -> None:
        """A part, a hook or a callback of the call begins."""
        may_change = part == "preview" or (
            part in {"execute", "compensate", "callback"} and self.spec.has_effect
        )
        self._running[n] = may_change
        self._is_stopped = False

    def leave(self, n: int) -> None:
        """It has ended. When nothing runs any more, nothing that was opened stays open."""
        self._running.pop(n, None)
        if not self._running:
            self.stop()
            with self._lock:
                opened, self._opened = self._opened, {}
                self._worlds.clear()
                self._context = None
            for one in opened.values():
                one.close()

    def stop(self) -> None:
        """Nobody wants what is under way any more: a thread that waits for an answer to a request is told, and sends no other."""
        self._is_stopped = True
        for future in [*self._waiting]:
            future.cancel()

    @property
    def is_under_way(self) -> bool:
        """Whether something of the call is being performed, and may ask."""
        return bool(self._running) and self._context is not None and not life_of(self._context).is_over

    def about(self) -> wire.About:
        """The call as it stands, for the worker."""
        context, life = self.context, life_of(self.context)
        return wire.About(
            run=context.run,
            step=context.step,
            attempt=context.attempt,
            principal=str(context.principal),
            roles=sorted(context.principal.roles),
            key=context.key,
            keep_pre_image=context.keep_pre_image,
            request_id=context.request_id,
            capability=context.capability,
            version=context.version,
            phase=life.phase.value,
            started_ms=life.started_ms,
            deadline_ms=life.deadline_ms,
            prepared=b"" if life.prepared is None else wire.pack_json(dict(life.prepared)),
            output=b"" if life.output is None else wire.pack_json(life.output),
            kept=kept_of(life),
            hooks=records_to(life.hooks_run),
            is_simulated=context.world.is_simulated,
            pre_image_bytes_max=context.world.pre_image_bytes_max,
        )

    def keep(self, kept: wire.Kept | None) -> None:
        """What the worker remembers of the call. `BrokenFrameError`."""
        if kept is not None:
            keep(self._life, kept)

    @property
    def _life(self) -> CallLife:
        return life_of(self.context)

    def tell(self, message: wire.Progress | wire.Log) -> None:
        """Tell whoever listens; a call that talks too much is not listened to any more."""
        self.told += 1
        if self.told > TOLD_MAX:
            return
        if isinstance(message, wire.Log):
            trace = f"\n{message.trace}" if message.trace else ""
            self.context.logger.log(message.level, "%s%s", message.message, trace)
        elif math.isfinite(message.done) and (message.total is None or math.isfinite(message.total)):
            self.context.progress(message.done, message.total, message.message)

    def answer(self, op: str, args: list[Any], register: Register) -> object:
        """The answer to a question; raises what the world, or the call, answers with. `BrokenFrameError` for what is none.

        `register` has the worker called back.
        """
        if not self.is_under_way:
            raise self._ended()
        if op == "on":
            self._on(args, register)
            return None
        about_files = FILE_QUESTIONS.get(op)
        if about_files is not None:
            world, *given = _checked(op, args, (int, *about_files.types))
            if not about_files.changes:
                return about_files.answered(self._world(world).files, tuple(given))
            files = self._changing(world).files
            with self._change(self.context, files, *about_files.touched(tuple(given))):
                return about_files.answered(files, tuple(given))
        question = _QUESTIONS.get(op)
        if question is None:
            raise wire.BrokenFrameError(f"there is no question `{op[:80]}`")
        types, perform = question
        return perform(self, *_checked(op, args, types))

    def _on(self, args: list[Any], register: Register) -> None:
        kind, number = _checked("on", args, (str, int))
        self.callbacks += 1
        if self.callbacks > CALLBACKS_MAX or kind not in {"cleanup", "timeout", "error", "phase"}:
            raise wire.BrokenFrameError("a call asks to be called back too often, or for what nobody tells")
        register(kind, number)

    def _world(self, number: int) -> World:
        try:
            return self._worlds[number if number >= 0 else len(self._worlds)]
        except IndexError:
            raise _unknown("world", number) from None

    def _changing(self, number: int) -> World:
        """A world that may be changed now."""
        world = self._world(number)
        if not world.is_simulated:
            self._require_change("change the world")
        return world

    def _require_change(self, what: str) -> None:
        if not any(self._running.values()):
            raise RefusedError(
                "PLUGIN_DENIED",
                f"plugin `{self.plugin}` may not {what} here: this part of `{self.spec.id}` only reads",
                hint="do that in `execute` or `compensate` of a capability that says it writes",
            )

    def simulate(self, world: int) -> int:
        found = self._world(world).simulate()
        with self._lock:
            if len(self._worlds) >= WORLDS_MAX:
                raise _too_much("worlds", WORLDS_MAX)
            self._worlds.append(found)
            return len(self._worlds) - 1

    def is_changed(self, world: int) -> bool:
        return self._world(world).is_changed

    def stat(self, world: int, path: str) -> list[object] | None:
        found = self._world(world).files.stat(path)
        return (
            None if found is None else [found.kind.value, found.size, found.mode, found.mtime_ns, found.links]
        )

    def read(self, world: int, path: str) -> int:
        return self._open(Opened(reading=iter(self._world(world).files.read(path))))

    def write(  # noqa: PLR0917  # as the question has them
        self,
        world: int,
        path: str,
        gathered: int,
        key: str,
        mode: int | None,
        mtime_ns: int | None,
        replace: bool,  # noqa: FBT001  # positional as it came over the pipe
    ) -> None:
        opened = self._taken(gathered)
        try:
            files = self._changing(world).files
            with opened.lock, self._change(self.context, files, [path], [path]):
                files.write(
                    path,
                    _pieces(opened),
                    key=key,
                    mode=mode,
                    mtime_ns=mtime_ns,
                    replace=replace,
                    restores=self.context.phase is CallPhase.COMPENSATING,
                )
        finally:
            opened.close()

    def _open(self, opened: Opened) -> int:
        with self._lock:
            if len(self._opened) >= OPENED_MAX:
                raise _too_much("open files and blobs", OPENED_MAX)
            number, self._next = self._next, self._next + 1
            self._opened[number] = opened
        return number

    def _taken(self, number: int) -> Opened:
        """What was gathered under a number, which nobody adds to any more."""
        with self._lock:
            opened = self._opened.get(number)
            if opened is None or opened.gathered is None:
                raise _unknown("bytes", number)
            del self._opened[number]
        return opened

    def open_bytes(self) -> int:
        # Closed by `Opened.close`, which comes whatever happens: no block could hold it.
        return self._open(Opened(gathered=SpooledTemporaryFile(GATHERED_IN_MEMORY)))

    def add_bytes(self, number: int, data: bytes) -> None:
        opened = self._opened.get(number)
        if opened is None or opened.gathered is None:
            raise _unknown("bytes", number)
        with self._lock:
            opened.size += len(data)
            size = sum(one.size for one in self._opened.values())
        if len(data) > wire.CHUNK_BYTES_MAX or size > GATHERED_BYTES_MAX:
            raise _too_much("bytes that it is writing", GATHERED_BYTES_MAX)
        with opened.lock:
            opened.gathered.write(data)

    def next_bytes(self, number: int) -> bytes:
        opened = self._opened.get(number)
        if opened is None or opened.reading is None:
            raise _unknown("bytes", number)
        with opened.lock:
            pieces, size = [], 0
            # Small pieces go together: each question costs more than they do.
            for piece in opened.reading:
                pieces.append(piece)
                size += len(piece)
                if size >= TOGETHER_BYTES:
                    break
            chunk = b"".join(pieces)
            if len(chunk) > wire.CHUNK_BYTES_MAX:
                opened.reading = _split(chunk, opened.reading)
                chunk = next(opened.reading)
        if not chunk:
            self._opened.pop(number, None)
        return chunk

    def close_bytes(self, number: int) -> None:
        """Whoever read or gathered them needs no more of them; harmless when nothing is open under the number."""
        with self._lock:
            opened = self._opened.pop(number, None)
        if opened is not None:
            opened.close()

    def put_blob(self, gathered: int) -> str:
        opened = self._taken(gathered)
        try:
            with opened.lock:
                digest = self.context.blobs.put(_pieces(opened))
        finally:
            opened.close()
        self._put.add(digest)
        return digest

    def attach_blob(self, gathered: int) -> list[object]:
        opened = self._taken(gathered)
        try:
            with opened.lock:
                attachment = self.context.attach(_pieces(opened))
        finally:
            opened.close()
        return [attachment.blob, attachment.bytes]

    def read_blob(self, digest: str) -> int:
        if not self._knows_blob(digest):
            raise RefusedError(
                "PLUGIN_DENIED",
                f"plugin `{self.plugin}` may not read a blob that its call of `{self.spec.id}` did not keep",
                hint="read what this call put, or what its `prepare` returned as `blobs`",
            )
        return self._open(Opened(reading=iter(self.context.blobs.read(digest))))

    def _knows_blob(self, digest: str) -> bool:
        """Whether a blob is this call's own: put by it, or journaled as kept by its `prepare`.

        That its state names one is not enough: the plugin wrote that, and may have named anybody's.
        """
        return digest in self._put or digest in self._life.blobs

    def has_put(self, blobs: Iterable[str]) -> bool:
        """Whether the call put all of these."""
        return self._put.issuperset(blobs)

    def secret(self, name: str, fresh: bool) -> str:  # noqa: FBT001  # as above
        return self.context.secret_in_thread(name, fresh=fresh).reveal()

    def reveal(self, names: list[str], host: str | None) -> dict[str, str]:
        if not all(map(is_secret_name, names)):
            raise wire.BrokenFrameError("no secret has such a name")
        wanted = {name: SecretText(f"secret://{{{name}}}") for name in names}
        given: dict[str, str] = self.context.reveal_in_thread(wanted, host=host)
        return given

    async def send(self, request: HttpRequest) -> HttpAnswer:
        """The answer to a request that a worker asks for, by way of the call's own context.

        On the host's loop, and not in one of its threads, which all plugins share: a service may take its time.
        """
        if self._is_stopped or not self.is_under_way:
            raise self._ended()
        if request.method not in ASKING:
            self._require_change("send what may change something")
        return await self.waited(asyncio.wrap_future(self.context.http.begin(request)))

    async def waited(self, future: asyncio.Future[T]) -> T:
        """What a future gives, as long as somebody wants it; CALL_ENDED from then on."""
        self._waiting.add(future)
        try:
            return await future
        except asyncio.CancelledError:
            raise self._ended() from None
        finally:
            self._waiting.discard(future)

    def count_sent(self, size: int) -> None:
        self.context.count_sent(size)

    def snapshot(self, meta: bytes, flags: list[str], state: bytes) -> bytes:
        self.keep(wire.Kept(meta, flags, state))
        return self.context.snapshot().dump()


Question = tuple[tuple[Any, ...], Callable[..., object]]  # `Any`: type expressions

_QUESTIONS: Final[Mapping[str, Question]] = {
    "world.simulate": ((int,), RemoteCall.simulate),
    "world.is_changed": ((int,), RemoteCall.is_changed),
    "files.stat": ((int, str), RemoteCall.stat),
    "files.read": ((int, str), RemoteCall.read),
    "files.write": ((int, str, int, str, int | None, int | None, bool), RemoteCall.write),
    "bytes.open": ((), RemoteCall.open_bytes),
    "bytes.add": ((int, bytes), RemoteCall.add_bytes),
    "bytes.next": ((int,), RemoteCall.next_bytes),
    "bytes.close": ((int,), RemoteCall.close_bytes),
    "blobs.put": ((int,), RemoteCall.put_blob),
    "attach": ((int,), RemoteCall.attach_blob),
    "blobs.read": ((str,), RemoteCall.read_blob),
    "secret": ((str, bool), RemoteCall.secret),
    "reveal": ((list[str], str | None), RemoteCall.reveal),
    "count_sent": ((wire.Number,), RemoteCall.count_sent),
    "snapshot": ((bytes, list[str], bytes), RemoteCall.snapshot),
}
"""Every other question with the types of its arguments."""


def _checked(op: str, args: list[Any], types: tuple[Any, ...]) -> list[Any]:  # `Any`: as the types say
    if len(args) != len(types):
        raise wire.BrokenFrameError(f"`{op}` has other arguments")
    try:
        return [convert(arg, kind) for arg, kind in zip(args, types, strict=True)]
    except (msgspec.ValidationError, ValueError) as error:
        raise wire.BrokenFrameError(f"`{op}` has other arguments: {error}") from None


def _pieces(opened: Opened) -> Iterator[bytes]:
    """What was gathered, from its beginning."""
    assert opened.gathered is not None
    opened.gathered.seek(0)
    while chunk := opened.gathered.read(wire.CHUNK_BYTES_MAX):
        yield chunk


def _split(chunk: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    for at in range(0, len(chunk), wire.CHUNK_BYTES_MAX):
        yield chunk[at : at + wire.CHUNK_BYTES_MAX]
    yield from rest


def _unknown(what: str, number: int) -> InputError:
    return InputError("PLUGIN_DENIED", f"the call has no {what} of number {number}")


def _too_much(what: str, most: int) -> RefusedError:
    return RefusedError("PLUGIN_DENIED", f"one call of a plugin may have at most {most} {what}")
