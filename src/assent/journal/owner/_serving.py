"""The owner's end of its socket: it takes requests in a thread of its own, and hands them to the loop that performs them.

Theory of operation. Two threads. The *serving* thread has a loop that accepts, reads and writes, and never waits for any
other, so that a client hears from its owner also while the owner's program keeps its own loop busy. The *home* loop is where
`serve` was called: requests begin there, and there alone.

INVARIANT: a request is carried out only if its client was told `accepted` before it gave up. Home asks the serving thread to
take a request at the moment when it would begin it; the serving thread writes `accepted` into the client's socket; and only
when the kernel has taken all of it, home begins. A client that gives up first closes its socket for reading. The kernel does
both under one lock: either the word is in the client's queue, where it looks after closing, or writing it fails. So there is
no moment at which the two could believe different things, however long either of them is stopped between two instructions.
"""

from __future__ import annotations

import asyncio
import socket
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any, Final, TypeAlias

from assent.errors import AssentError, InputError, InternalError, Json, WorldError, exhausted
from assent.journal._files import FILE_MODE
from assent.journal.owner._frames import (
    FRAME_BYTES_MAX,
    Ask,
    Failed,
    Result,
    encode_message,
    encode_object,
)
from assent.journal.owner._lines import Asked, Home, Line, Lines

REMEMBERED_MAX: Final = 1_024
"""Answers that are kept for a second attempt under the same id."""

REMEMBERED_BYTES_MAX: Final = 2 * FRAME_BYTES_MAX
"""What those answers take together."""

_BACKLOG: Final = 128
_FLUSH_S_MAX: Final = 30.0


Handler: TypeAlias = Callable[[Asked], Awaitable[dict[str, Any]]]


class Server:
    """The listening side. Everything public is called on the home loop, or when that has ended."""

    def __init__(self, path: Path, handler: Handler, home: Home) -> None:
        """Listens from now on. The folder of `path` must be private; OSError when nobody can listen there."""
        self._path = path
        self._handler = handler
        self._home = home
        self._is_listening = True
        self._is_hung_up = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._watching: set[asyncio.Task[None]] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._outcomes = _Outcomes()
        # The lock is ours, so a socket that stands there was left by an owner that is dead.
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            # The folder is private, so nobody else can connect before the mode is set; the mode is a second door.
            listener.bind(str(path))
            path.chmod(FILE_MODE)
            listener.listen(_BACKLOG)
            listener.setblocking(False)
        except BaseException:
            listener.close()
            raise
        self._lines = Lines(listener, self.offer, asyncio.get_running_loop(), home)

    @property
    def busy(self) -> int:
        """How many requests are under way."""
        return len(self._tasks)

    async def close(self) -> None:
        """Let the requests under way end, those that come meanwhile too, then listen no more."""
        # Who comes while we wait is served too: turned away, it could neither ask us nor become the owner itself.
        while self._tasks and not self._is_hung_up:
            await self._idle.wait()
        self.stop()

    def hang_up(self) -> None:
        """Tell nobody anything any more, and break the connections of all who wait."""
        self._is_hung_up = True
        self._lines.break_off()

    def stop(self) -> None:
        """Listen no more and let go of every connection. Calling it twice is harmless."""
        if self._is_listening:
            self._is_listening = False
            self._path.unlink(missing_ok=True)
            self._lines.end()

    def disown(self) -> None:
        """In a forked child: close its descriptors of the connections. They and the socket go on as the parent's."""
        self._is_listening = False
        self._lines.disown()

    def offer(self, ask: Ask, line: Line) -> None:
        """A request has come. Nothing of it is begun yet."""
        if not self._is_listening:
            return  # Too late: it is not taken, so its client goes to the next owner, or becomes it.
        task = self._home.spawn(self._serve(ask, line), name=f"request {ask.id}")
        self._tasks.add(task)
        self._idle.clear()
        task.add_done_callback(self._done)

    def _watch(self, asked: Asked, task: asyncio.Task[None]) -> None:
        self._watching.add(task)
        asked.cancel = task.cancel
        task.add_done_callback(self._watching.discard)
        self._done(task)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not self._tasks:
            self._idle.set()

    async def _serve(self, ask: Ask, line: Line) -> None:
        try:
            digest = _digest(ask)
            self._require(ask, digest)
        except AssentError as error:
            await self._send(line, ask, _failed(ask.id, error))
            return
        asked = Asked(ask.body, line.peer, ask.id, line)
        task = asyncio.current_task()
        assert task is not None  # INVARIANT: only a task runs this
        asked.watch = partial(self._watch, asked, task)
        if not await asyncio.wrap_future(line.take(ask, asked)):
            return
        frame: bytes | None = None
        while frame is None:
            outcome = self._outcomes.find(ask)
            if outcome is not None:
                # What was asked meanwhile under this id may be something else.
                is_same = outcome.digest == digest
                frame = await asyncio.shield(outcome.frame) if is_same else _failed(ask.id, _reused(ask))
                continue
            outcome = self._outcomes.begin(ask, digest)
            try:
                frame = await self._perform(asked)
            except asyncio.CancelledError:
                self._outcomes.forget(ask)
                raise
            self._outcomes.end(ask, outcome, frame)
        await self._send(line, ask, frame)

    def _require(self, ask: Ask, digest: bytes) -> None:
        """Refuse a request that can't be taken as it is."""
        known = self._outcomes.find(ask)
        if known is not None:
            # An answer that is there already needs no leave to be given once more.
            if known.digest != digest:
                raise _reused(ask)
        elif ask.under is not None:
            _require_alike(ask.under, self._home.digests())

    async def _perform(self, asked: Asked) -> bytes:
        ident = asked.id
        try:
            return encode_message(Result(id=ident, answer=await self._handler(asked)))
        except AssentError as error:
            return _failed(ident, error)
        except Exception as error:  # noqa: BLE001 - one client's bad luck must not end the owner
            fault: dict[str, Json] = {"cause": repr(error)}
            unexpected = InternalError(
                "INTERNAL_ERROR", "the state's owner failed on this request", details=fault
            )
            return _failed(ident, exhausted(error) or unexpected)

    async def _send(self, line: Line, ask: Ask, frame: bytes) -> None:
        """The last word about a request. It is on its way before we may end; a client that does not read it is not waited for."""
        if self._is_hung_up:
            return  # What a request comes to while its run is being stopped is not its answer.
        with suppress(TimeoutError):
            async with asyncio.timeout(_FLUSH_S_MAX):
                await asyncio.wrap_future(line.last(ask.id, frame))


def _failed(ident: str, error: AssentError) -> bytes:
    try:
        return encode_message(Failed.of(ident, error))
    except InputError as too_large:
        return encode_message(Failed.of(ident, too_large))


def _reused(ask: Ask) -> InputError:
    return InputError("REQUEST_INVALID", f"another request was asked under the id `{ask.id}`")


def _require_alike(under: Mapping[str, str], digests: Mapping[str, str]) -> None:
    differing = sorted(name for name, digest in under.items() if digests.get(name) != digest)
    if differing:
        raise WorldError(
            "OWNER_DIFFERS",
            f"the process that owns the state directory works under {_listed(differing)} than this one",
            hint="start it again, or send SIGHUP to `assent serve`, which says what it reads anew and what needs a start; then"
            " try again; deciding, cancelling and reading work meanwhile",
            details={"differing": [*differing]},
        )


def _listed(names: list[str]) -> str:
    words = [f"other {name}" if name.endswith("s") else f"another {name}" for name in names]
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


@dataclass(slots=True, eq=False)
class _Outcome:
    """What became of a request, or will; None when whoever asked it left, and what was told ended with that."""

    digest: bytes
    frame: asyncio.Future[bytes | None] = field(
        default_factory=lambda: asyncio.get_running_loop().create_future()
    )


class _Outcomes:
    """The requests under way and the last ones that ended, by their ids: a second attempt is given what the first one came to."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, _Outcome] = OrderedDict()
        self._ended: OrderedDict[str, int] = OrderedDict()
        self._bytes = 0

    def find(self, ask: Ask) -> _Outcome | None:
        return self._known.get(ask.id)

    def begin(self, ask: Ask, digest: bytes) -> _Outcome:
        outcome = self._known[ask.id] = _Outcome(digest)
        return outcome

    def forget(self, ask: Ask) -> None:
        self._known.pop(ask.id).frame.set_result(None)

    def end(self, ask: Ask, outcome: _Outcome, frame: bytes) -> None:
        outcome.frame.set_result(frame)
        self._ended[ask.id] = len(frame)
        self._bytes += len(frame)
        while len(self._ended) > REMEMBERED_MAX or self._bytes > REMEMBERED_BYTES_MAX:
            oldest, size = self._ended.popitem(last=False)
            del self._known[oldest]
            self._bytes -= size


def _digest(ask: Ask) -> bytes:
    """What tells one body from another; `InputError` `REQUEST_INVALID` where it is nested too deeply to be told."""
    try:
        return sha256(encode_object(ask.body)).digest()
    except RecursionError:
        raise InputError("REQUEST_INVALID", "this is not a request: it is nested too deeply") from None
