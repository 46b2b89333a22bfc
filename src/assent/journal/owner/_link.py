"""A client's end of the owner's socket for a program that stays: one connection, several requests at once, on the program's loop.

What it promises is what `_asking.py` promises: a request that was told "not reached" is never carried out.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from math import ceil
from pathlib import Path
from typing import Any, Final, TypeAlias

from assent.errors import AssentError
from assent.journal._files import is_there
from assent.journal.owner._asking import Request, checked_welcome, owner_lost, owner_silent
from assent.journal.owner._frames import (
    PROTOCOL,
    Accepted,
    Alive,
    Ask,
    Failed,
    Frames,
    FromOwner,
    Hello,
    Item,
    Leave,
    Left,
    Message,
    Progress,
    Result,
    Welcome,
    encode_message,
    from_owner,
    peer_of,
)
from assent.journal.owner._lines import Spawn
from assent.journal.owner._owner import RETRY_S, Ownership, connect, has_daemon, state_owned

_PART_BYTES: Final = 1 << 16
_SECOND_LOOK_S: Final = 0.05

_Mail: TypeAlias = "asyncio.Queue[FromOwner | None]"


class OwnerGoneError(Exception):
    """The owner ended before it took the request: whoever asks goes to the next one, or becomes it."""


class Link:
    """A connection to the owner. Everything is called on the loop that it was opened on."""

    def __init__(self, connection: socket.socket, state_dir: Path, spawn: Spawn) -> None:
        """See `open`."""
        self._connection = connection
        self._state_dir = state_dir
        self._loop = asyncio.get_running_loop()
        self._frames = Frames()
        self._mail: dict[str, _Mail] = {}
        self._saying = asyncio.Lock()
        self._heard = 0
        """How many messages have come: a wait in which none came was a silence."""
        self._is_greeted = False
        self._was_given_up = False
        self._fault: AssentError | None = None
        self._spawn = spawn
        self._leaving: set[asyncio.Task[None]] = set()
        self._reading = spawn(self._read(), name="owner's answers")

    @classmethod
    async def open(cls, state_dir: Path, *, runtime_dir: Path, spawn: Spawn, silence_s: float) -> Link | None:
        """A connection to the owner; None when nobody listens. `STATE_OWNED` when too many wait for one that takes none."""
        thread = ThreadPoolExecutor(1, thread_name_prefix="assent-link")
        coming = thread.submit(connect, state_dir, runtime_dir=runtime_dir, silence_s=silence_s)
        thread.shutdown(wait=False)
        try:
            connection = await asyncio.wrap_future(coming)
        except asyncio.CancelledError:
            # In the thread, which no cancelling ends: the loop may be gone when it comes to a connection.
            coming.add_done_callback(_let_go)
            raise
        if connection is None:
            return None
        try:
            peer_of(connection)
            connection.setblocking(False)
        except BaseException:
            connection.close()
            raise
        self = cls(connection, state_dir, spawn)
        await self._say(Hello(protocol=PROTOCOL))
        return self

    async def close(self) -> None:
        """Let go of the connection. What the owner has begun goes on."""
        tasks = {self._reading, *self._leaving}
        for task in tasks:
            task.cancel()
        try:
            await asyncio.wait(tasks)
        finally:
            self._connection.close()
            for mail in self._mail.values():
                if mail.empty():  # who has something to take finds afterwards that nobody reads
                    mail.put_nowait(None)

    async def ask(self, request: Request) -> dict[str, Any]:
        """The owner's answer; raises what `forward` raises, and `OwnerGoneError` where that gives None.

        Cancelled, it ends the waiting and not the work.
        """
        last: dict[str, Any] = {}
        async for message in self._conversation(request, asyncio.Queue()):
            match message:
                case Result(answer=answer):
                    last = answer
                case Progress(report=report) if request.on_progress is not None:
                    request.on_progress(report)
                case Alive(busy_ms=busy_ms) if request.on_progress is not None:
                    request.on_progress({"busy_ms": busy_ms})
                case _:
                    pass
        return last

    async def parts(self, request: Request) -> AsyncIterator[dict[str, Any]]:
        """The parts of an answer that has many, as they come; raises as `ask`.

        What is not taken fills the owner's end of the connection, and holds it up there: such a request has a link of its own.
        """
        async for message in self._conversation(request, asyncio.Queue(maxsize=1)):
            if isinstance(message, Item):
                yield message.item

    async def _conversation(self, request: Request, mail: _Mail) -> AsyncIterator[FromOwner]:
        """What the owner says about a request, to its answer."""
        self._mail[request.id] = mail
        until_ms = request.clock.monotonic_ms() + round(request.patience_s * 1000)
        was_taken = is_over = was_withdrawn = False
        try:
            if self._is_greeted:
                await self._say_ask(request, until_ms)
            while not is_over:
                left_s = (until_ms - request.clock.monotonic_ms()) / 1000
                if not was_taken and left_s <= 0 and not was_withdrawn:
                    was_withdrawn = True
                    await self._say(Leave(id=request.id, if_taken=False))
                silence_s = request.silence_s
                if not was_taken and not was_withdrawn:
                    silence_s = min(silence_s, left_s)
                message = await self._next(mail, silence_s, request)
                is_over = message is None or isinstance(message, Failed | Result)
                match message:
                    case None:
                        raise self._end(was_taken=was_taken)
                    case Failed():
                        raise message.to_error()
                    case Welcome():
                        # Before it the owner could be one of another protocol, which is asked nothing.
                        if not was_withdrawn:
                            await self._say_ask(request, until_ms)
                    case Accepted():
                        was_taken = True
                    case Left(was_taken=False):
                        is_over = True
                        raise state_owned(self._state_dir, "does not come to take requests")
                    case Left() | Alive(busy_ms=0):
                        pass
                    case _:
                        yield message
        finally:
            del self._mail[request.id]
            if not is_over and not self._reading.done():
                # Whoever asked was cancelled, or reads no further.
                leaving = self._spawn(self._say(Leave(id=request.id)), name="leaving a request")
                self._leaving.add(leaving)
                leaving.add_done_callback(self._leaving.discard)

    async def _say_ask(self, request: Request, until_ms: int) -> None:
        under = dict(request.under()) if request.under is not None else None
        await self._say(Ask(id=request.id, until_ms=until_ms, body=dict(request.body), under=under))

    async def _next(self, mail: _Mail, silence_s: float, request: Request) -> FromOwner | None:
        """The next message about a request, None when there is none to come; gives the owner up after a silence."""
        while True:
            heard = self._heard
            if self._reading.done() and mail.empty():
                return None
            try:
                async with asyncio.timeout(max(0.0, silence_s)):
                    return await mail.get()
            except TimeoutError:
                if silence_s < request.silence_s:
                    return Alive(busy_ms=0)  # Its last moment has come, and the owner need not be silent.
                # Our own loop may have been busy, and what was said in the meantime not be read yet.
                await asyncio.sleep(_SECOND_LOOK_S)
                if self._heard == heard:
                    self._give_up()

    def _give_up(self) -> None:
        """Hear no more. INVARIANT: what was not taken by now can't be; what had been said is still read to its end."""
        self._was_given_up = True
        with suppress(OSError):  # The owner is gone, which is as good.
            self._connection.shutdown(socket.SHUT_RD)

    def _end(self, *, was_taken: bool) -> Exception:
        """Why there is no more to come about a request."""
        if self._fault is not None and not was_taken:
            return self._fault
        if self._was_given_up:
            return (
                owner_silent(self._state_dir)
                if was_taken
                else state_owned(self._state_dir, "does not answer")
            )
        return owner_lost(self._state_dir) if was_taken else OwnerGoneError()

    async def _say(self, message: Message) -> None:
        frame = encode_message(message)
        async with self._saying:
            with suppress(OSError):  # What the owner said before it closed is still to be read.
                await self._loop.sock_sendall(self._connection, frame)

    async def _read(self) -> None:
        try:
            first = await self._next_object()
            if first is not None:
                welcome = checked_welcome(first)
                self._is_greeted = True
                await self._deliver(welcome)
                while (found := await self._next_object()) is not None:
                    await self._deliver(from_owner(found))
        except AssentError as fault:
            self._fault = fault
        except OSError:
            pass  # The same as the end of the stream.
        for mail in self._mail.values():
            await mail.put(None)

    async def _deliver(self, message: FromOwner) -> None:
        self._heard += 1
        ident = getattr(message, "id", None)
        if isinstance(message, Failed) and ident is None:
            raise message.to_error()
        mails = [*self._mail.values()] if ident is None else [self._mail.get(ident)]
        for mail in mails:
            if mail is not None and not (ident is None and mail.full()):
                await mail.put(message)

    async def _next_object(self) -> dict[str, Any] | None:
        while (found := self._frames.next_object()) is None:
            part = await self._loop.sock_recv(self._connection, _PART_BYTES)
            if not part:
                return None
            self._frames.feed(part)
        return found


def _let_go(coming: Future[socket.socket | None]) -> None:
    """Close a connection that nobody waits for any more."""
    if not coming.cancelled() and coming.exception() is None and (connection := coming.result()) is not None:
        connection.close()


async def own_or_link(
    state_dir: Path, *, runtime_dir: Path, spawn: Spawn, silence_s: float
) -> Ownership | Link:
    """Become the owner, or a client of the one that there is; tried again while owners come and go.

    Where a daemon begins or ends it is waited for: whoever stays would keep the next one out.
    `STATE_OWNED` when somebody holds the lock for `silence_s` seconds without listening.
    """
    for _ in range(ceil(silence_s / RETRY_S)):
        ownership = None if is_there(state_dir) and has_daemon(state_dir) else Ownership.acquire(state_dir)
        if ownership is not None:
            return ownership
        link = await Link.open(state_dir, runtime_dir=runtime_dir, spawn=spawn, silence_s=silence_s)
        if link is not None:
            return link
        await asyncio.sleep(RETRY_S)  # It starts or ends at this moment.
    raise state_owned(state_dir, "takes no requests")
