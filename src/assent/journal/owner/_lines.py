"""The serving thread: it accepts the owner's clients, hears what they ask and writes what they are told.

Why it is a thread, and why what it writes decides who was taken, is at the top of `_serving.py`.
"""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Any, Final, Protocol

import msgspec

from assent.errors import AssentError, InputError, WorldError
from assent.journal.owner._frames import (
    FRAME_BYTES_MAX,
    PROTOCOL,
    Accepted,
    Alive,
    Ask,
    Failed,
    Frames,
    Hello,
    Item,
    Leave,
    Left,
    Peer,
    Progress,
    Welcome,
    encode_frame,
    encode_message,
    from_client,
    other_protocol,
    peer_of,
)
from assent.spec.ports import Clock

ALIVE_S: Final = 2.0
"""How often an owner says that it lives to whoever waits for it."""

REQUESTS_MAX: Final = 256
"""Requests under way on one connection."""

CONNECTIONS_MAX: Final = 256
"""Clients at once. One more takes the place of the one that came first of those that wait for nothing, who may come again."""

GREETING_S_MAX: Final = 10.0
"""How long a client may take to say its greeting."""

_PART_BYTES: Final = 1 << 16
_LAST_WORD_S_MAX: Final = 30.0
_ACCEPT_PAUSE_S: Final = 0.1


class Spawn(Protocol):
    """Starts a task on the running loop; the caller keeps it and awaits or cancels it."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> asyncio.Task[None]:
        """The running task."""
        ...


class Home(msgspec.Struct, frozen=True):
    """What a server needs from around it. `digests` is asked at each greeting and whenever a request is taken `under` some."""

    spawn: Spawn
    clock: Clock
    digests: Callable[[], Mapping[str, str]] = dict


@dataclass(slots=True, eq=False)
class Asked:
    """A request that was taken, as whoever performs it sees it. For the home loop alone."""

    body: dict[str, Any]  # `Any`: the doors' JSON, as in the messages
    peer: Peer
    id: str
    _line: Line
    left: asyncio.Event = field(default_factory=asyncio.Event)
    """The client waits no longer: it said so, or is gone."""
    watch: Callable[[], None] = field(default=lambda: None)
    """To be called by work that only tells of others' work: it ends when the client leaves, and holds up no owner that ends."""
    cancel: Callable[[], object] | None = None
    """Ends the work when the client leaves; None for work that goes on."""

    def leave(self) -> None:
        """The client has left."""
        self.left.set()
        if self.cancel is not None:
            self.cancel()

    def mention(self, report: dict[str, Any]) -> None:
        """News for the client. Left out when it does not read, or when a frame can't hold it."""
        with suppress(InputError):
            self._line.news(self.id, encode_message(Progress(id=self.id, report=report)))

    async def tell(self, item: dict[str, Any]) -> None:
        """A part of the answer: returns when the client's socket has taken it, or the client is gone. FRAME_TOO_LARGE."""
        await asyncio.wrap_future(self._line.part(self.id, encode_message(Item(id=self.id, item=item))))


class Lines:
    """The connections, and the thread that they live in."""

    def __init__(
        self,
        listener: socket.socket,
        offer: Callable[[Ask, Line], None],
        home_loop: asyncio.AbstractEventLoop,
        home: Home,
    ) -> None:
        self._listener = listener
        self._offer = offer
        self._home_loop = home_loop
        self.home = home
        self.loop = asyncio.new_event_loop()
        self._open: dict[Line, asyncio.Task[None]] = {}
        self._ended = asyncio.Event()
        self._asked_home_ms: int | None = None
        # A daemon: a program that ends without closing its runtime is not kept alive by it.
        self._thread = Thread(target=self._run, name="assent-owner", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Called from another thread; returns when the thread has ended."""
        self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def disown(self) -> None:
        """In a forked child, where the thread is not: close the descriptors, and say nothing to anybody."""
        self._listener.close()
        for line in self._open:
            line.disown()

    def break_off(self) -> None:
        """Break every connection on which somebody waits. Called from another thread."""
        with suppress(RuntimeError):  # The thread has ended, and its connections with it.
            self.loop.call_soon_threadsafe(self._break_off)

    def _break_off(self) -> None:
        for line, task in self._open.items():
            if line.is_awaited:
                task.cancel()

    def _run(self) -> None:
        try:
            self.loop.run_until_complete(self._main())
        finally:
            self.loop.close()

    async def _main(self) -> None:
        self._listen()
        self.loop.call_later(ALIVE_S, self._beat)
        try:
            await self._ended.wait()
        finally:
            self.loop.remove_reader(self._listener)
            self._listener.close()
            for task in self._open.values():
                task.cancel()
            while self._open:
                # One that was cancelled before it began has let go of nothing.
                line, task = self._open.popitem()
                await asyncio.wait({task})
                await line.close()

    def _listen(self) -> None:
        self.loop.add_reader(self._listener, self._accept)

    def _accept(self) -> None:
        try:
            connection, _ = self._listener.accept()
        except (BlockingIOError, ConnectionError):
            return
        except OSError:  # No descriptor is free.
            self.loop.remove_reader(self._listener)
            self.loop.call_later(_ACCEPT_PAUSE_S, self._listen)
            return
        if len(self._open) >= CONNECTIONS_MAX:
            waiting = (task for line, task in self._open.items() if not line.is_awaited)
            idle = next((task for task in waiting if not task.cancelling()), None)
            if idle is None:
                connection.close()  # Nothing was said, so its client tries again.
                return
            idle.cancel()
        line = Line(connection, self)
        self._open[line] = self.home.spawn(self._talk(line), name="owner's client")

    async def _talk(self, line: Line) -> None:
        try:
            await line.talk()
        except OSError:  # A TimeoutError is one.
            pass  # The client went away, said nothing, or only looked whether somebody is here.
        finally:
            await line.close()
            self._open.pop(line, None)

    def _beat(self) -> None:
        """Say that we live, and whether home does; from the loop itself, so that a stopped process has no pulse."""
        now = self.home.clock.monotonic_ms()
        busy_ms = 0
        if self._asked_home_ms is None:
            self._asked_home_ms = now
            self.to_home(self._heard_home)
        else:
            busy_ms = now - self._asked_home_ms
        alive = encode_message(Alive(busy_ms=busy_ms))
        for line in self._open:
            if line.is_awaited:
                line.write(alive, is_news=True)
        self.loop.call_later(ALIVE_S, self._beat)

    def _heard_home(self) -> None:
        self._asked_home_ms = None

    def to_home(self, call: Callable[..., object], *arguments: object) -> bool:
        """Have something called on the home loop; false when that has ended."""
        try:
            self._home_loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            return False
        return True

    def offer(self, ask: Ask, line: Line) -> bool:
        """Hand a request to the home loop; false when that has ended."""
        return self.to_home(self._offer, ask, line)


class Line:
    """One connection. `take` and `pass_on` are called from the home loop, everything else in the serving thread."""

    def __init__(self, connection: socket.socket, lines: Lines) -> None:
        connection.setblocking(False)
        self._connection = connection
        self._lines = lines
        self._frames = Frames()
        self._queue: deque[tuple[bytes, Callable[[bool], None]]] = deque()
        self._queued_bytes = 0
        self._has_room = asyncio.Event()
        self._has_room.set()
        self._writing: asyncio.Task[None] | None = None
        self._is_gone = False
        # By id: what was asked and neither answered nor left; once it is taken, whom to tell that the client has left.
        self._open: dict[str, Asked | None] = {}
        self.peer = Peer(0, 0)

    @property
    def is_awaited(self) -> bool:
        """The client waits for something."""
        return bool(self._open)

    async def close(self) -> None:
        """Let go of the connection: nothing is written any more."""
        self._is_gone = True
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.wait({self._writing})
        self._fail_queue()
        self._connection.close()
        for asked in self._open.values():
            if asked is not None:
                self._lines.to_home(asked.leave)
        self._open.clear()

    def disown(self) -> None:
        """In a forked child: close the descriptor. The connection goes on as the parent's."""
        self._connection.close()

    async def talk(self) -> None:
        """Read what the client says until it has gone, or says nonsense."""
        try:
            self.peer = peer_of(self._connection)
            async with asyncio.timeout(GREETING_S_MAX):
                first = await self._next_object()
            if first is None or not self._is_greeted(first):
                return
            while (found := await self._next_object()) is not None:
                match from_client(found):
                    case Ask() as ask:
                        if not self._heard(ask):
                            return
                    case Leave() as leave:
                        self._leave(leave)
                    case Hello():
                        pass
        except AssentError as error:
            await self._say_last(encode_message(Failed.of(None, error)))

    def _is_greeted(self, first: dict[str, Any]) -> bool:
        if "kind" not in first:
            # A client of version 1 has asked at once, and understands this.
            error = other_protocol(None, they_own=False)
            self.write(encode_frame({"error": error.to_dict(), "family": error.family}))
            return False
        hello = from_client(first)
        if not isinstance(hello, Hello) or hello.protocol != PROTOCOL:
            raise other_protocol(getattr(hello, "protocol", None), they_own=False)
        digests = dict(self._lines.home.digests())
        self.write(encode_message(Welcome(protocol=PROTOCOL, pid=os.getpid(), digests=digests)))
        return True

    def _heard(self, ask: Ask) -> bool:
        if ask.id in self._open or len(self._open) >= REQUESTS_MAX:
            busy = InputError("REQUEST_INVALID", "this connection has that request, or too many, under way")
            self.write(encode_message(Failed.of(ask.id, busy)))
            return True
        self._open[ask.id] = None
        return self._lines.offer(ask, self)

    def _leave(self, leave: Leave) -> None:
        asked = self._open.get(leave.id)
        if asked is None or leave.if_taken:
            self._open.pop(leave.id, None)
            if asked is not None:
                self._lines.to_home(asked.leave)
        self.write(encode_message(Left(id=leave.id, was_taken=asked is not None)))

    async def _next_object(self) -> dict[str, Any] | None:
        # Whatever is said is answered, so a client that does not read what it is told is not heard either.
        await self._has_room.wait()
        while (found := self._frames.next_object()) is None:
            part = await self._lines.loop.sock_recv(self._connection, _PART_BYTES)
            if not part:
                return None
            self._frames.feed(part)
        return found

    def write(
        self, frame: bytes, told: Callable[[bool], None] = lambda _: None, *, is_news: bool = False
    ) -> None:
        """Write a frame behind those that wait; `told` whether the client's socket has taken all of it."""
        if self._is_gone or (is_news and not self._has_room.is_set()):
            # A client that does not read must not fill our memory: what is only news is left out.
            told(False)
            return
        sent = 0
        if self._writing is None:
            with suppress(
                OSError
            ):  # There is no room, or nobody: the task that writes the rest finds out which.
                sent = self._connection.send(frame)
        if sent == len(frame):
            told(True)
            return
        self._queue.append((frame[sent:], told))
        self._count_queued(len(frame) - sent)
        if self._writing is None:
            self._writing = self._lines.home.spawn(self._write_all(), name="owner's word")

    async def _write_all(self) -> None:
        try:
            while self._queue:
                frame, told = self._queue[0]
                await self._lines.loop.sock_sendall(self._connection, frame)
                self._queue.popleft()
                self._count_queued(-len(frame))
                told(True)
        except OSError:
            self._is_gone = True
            self._fail_queue()
        finally:
            self._writing = None

    def _fail_queue(self) -> None:
        while self._queue:
            _, told = self._queue.popleft()
            told(False)
        self._count_queued(-self._queued_bytes)

    def _count_queued(self, more: int) -> None:
        self._queued_bytes += more
        if self._queued_bytes > FRAME_BYTES_MAX:
            self._has_room.clear()
        else:
            self._has_room.set()

    async def _say_last(self, frame: bytes) -> None:
        self.write(frame)
        if self._writing is not None:
            await asyncio.wait({self._writing}, timeout=_LAST_WORD_S_MAX)

    def take(self, ask: Ask, asked: Asked) -> Future[bool]:
        """Take a request now: whether its client will know, and has not given up."""
        taken: Future[bool] = Future()
        if not self._in_thread(self._take, ask, asked, taken):
            taken.set_result(False)
        return taken

    def _take(self, ask: Ask, asked: Asked, taken: Future[bool]) -> None:
        if ask.id not in self._open:
            taken.set_result(False)
            return
        if self._lines.home.clock.monotonic_ms() > ask.until_ms:
            del self._open[ask.id]
            late = WorldError("STATE_OWNED", "the request came to its turn too late, and nothing was done")
            self.write(encode_message(Failed.of(ask.id, late)))
            taken.set_result(False)
            return

        # INVARIANT: from here on it counts as taken, also while its word waits for room: what is told after it can't deny it.
        self._open[ask.id] = asked
        self.write(encode_message(Accepted(id=ask.id)), taken.set_result)

    def news(self, ident: str, frame: bytes) -> None:
        """Have news of a request written, if there is room."""
        self._in_thread(self._write_news, ident, frame)

    def part(self, ident: str, frame: bytes) -> Future[bool]:
        """Have a part of a request's answer written; whether the client's socket has taken it."""
        sent: Future[bool] = Future()
        if not self._in_thread(self._write_about, ident, frame, sent):
            sent.set_result(False)
        return sent

    def last(self, ident: str, frame: bytes) -> Future[bool]:
        """The same of the last word about a request."""
        sent: Future[bool] = Future()
        if not self._in_thread(self._write_last, ident, frame, sent):
            sent.set_result(False)
        return sent

    def _write_news(self, ident: str, frame: bytes) -> None:
        if ident in self._open:
            self.write(frame, is_news=True)

    def _write_about(self, ident: str, frame: bytes, sent: Future[bool]) -> None:
        if ident in self._open:
            self.write(frame, sent.set_result)
        else:
            sent.set_result(False)

    def _write_last(self, ident: str, frame: bytes, sent: Future[bool]) -> None:
        self._write_about(ident, frame, sent)
        self._open.pop(ident, None)

    def _in_thread(self, call: Callable[..., object], *arguments: object) -> bool:
        try:
            self._lines.loop.call_soon_threadsafe(call, *arguments)
        except RuntimeError:
            return False  # The thread has ended, and its connections with it.
        return True
