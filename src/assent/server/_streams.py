"""Answers that have many parts: events of a run as server-sent events, entries of the ledger line by line, bytes as they are.

Whoever listens is waited for, so that a slow one holds up nobody and costs one part of memory. Who takes nothing is hung up on
(`_protocol.py`), and a stream ends with its connection.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

import msgspec

from assent.errors import WorldError
from assent.runtime.service import answers, process
from assent.runtime.service.routes import MEDIA, Answered, Route
from assent.system import SystemClock, spawn

if TYPE_CHECKING:
    from starlette.types import Message, Scope, Send

HEARTBEAT_S: Final = 15.0
"""So often a stream says something although nothing happens, so that both ends notice when the other is gone."""

PROBE_S: Final = 1.0
"""The same for whoever says nothing more, as one that has left does."""

PARTS_TOGETHER: Final = 64
"""So many parts of what only reads are read before anything else gets its turn."""

PARTS_A_ROUND: Final = 256
"""So many parts are told in a round of the loop, of all streams: a few milliseconds, before anything else gets its turn."""

FIRST_S: Final = 0.05
"""What refuses a watcher does so within this; only then does the stream begin to answer."""

A = TypeVar("A")


class OtherEnd(NamedTuple):
    """What is known of whoever asked, as futures that are done once it is so."""

    silent: asyncio.Future[None]
    """It says nothing more: it only listens, or has left, which shows when something is said to it."""
    gone: asyncio.Future[None]


class Broken(Exception):
    """A stream that had begun can't go on, for its cause: what was said of it so far must not pass for the whole."""


class Streams:
    """Counts them, and ends them when the daemon does."""

    def __init__(self, most: int, drains: asyncio.Future[None]) -> None:
        self._most = most
        self._drains = drains
        self._turns = _Turns()
        self.count = 0

    def response(
        self, route: Route, parts: AsyncIterator[Any], expires_at_ms: int | None, *, waits: bool
    ) -> Callable[[Scope, Send], Awaitable[None]]:
        """What sends the parts. `STREAMS_FULL` where as many are listened to as may be.

        `waits`: the parts are of what happens later, too. What is sent raises `Broken` for an error after it began.
        """

        async def respond(scope: Scope, send: Send) -> None:
            try:
                await self._send(route.answered, parts, scope["state"], send, expires_at_ms, waits=waits)
            finally:
                await _closed(parts)

        return self.counting(respond)

    def counting(
        self, answer: Callable[[Scope, Send], Awaitable[None]]
    ) -> Callable[[Scope, Send], Awaitable[None]]:
        """An answer that counts as a stream as long as it lasts. `STREAMS_FULL` where as many are open as may be."""
        if self.count >= self._most:
            raise WorldError("STREAMS_FULL", f"{self._most} streams are open", hint="ask again later")

        async def counted(scope: Scope, send: Send) -> None:
            self.count += 1
            try:
                await answer(scope, send)
            finally:
                self.count -= 1

        return counted

    async def _send(
        self,
        answered: Answered,
        parts: AsyncIterator[Any],
        state: dict[str, Any],
        send: Send,
        expires_at_ms: int | None,
        *,
        waits: bool,
    ) -> None:
        end: OtherEnd = state["end"]
        # The first part is waited for before anything is said, so that what refuses the request is told as that.
        coming = work = coming_part(parts)
        try:
            await asyncio.wait(
                {coming, end.gone}, timeout=FIRST_S if waits else None, return_when="FIRST_COMPLETED"
            )
            if coming.done():
                coming.result()
            headers = [(b"content-type", MEDIA[answered].encode()), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _say(send, b": listening\n\n" if answered == "events" else b"")
            work = spawn(self._tell(answered, coming, parts, send), name="parts of a stream")
            await self._until_over(work, answered, end, send, expires_at_ms)
            state["is_cut"] = not work.done()
            try:
                # Only this says that nothing more comes: what is cut before is to be listened to again.
                if work.done() and work.result() is None and answered == "events":
                    await _say(send, b"event: end\ndata: {}\n\n")
            except Exception as error:
                state["is_cut"] = True
                raise Broken from error
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            ending = {one for one in (coming, work) if not one.done()}
            for one in ending:
                one.cancel()
            if ending:
                await asyncio.wait(ending)

    async def _tell(
        self, answered: Answered, coming: Task[Any], parts: AsyncIterator[Any], send: Send
    ) -> None:
        """Each part, from the one that was waited for first."""
        part = await coming
        while part is not None:
            await self._turns.next()
            await _say(send, _written(answered, part))
            part = await anext(parts, None)

    async def _until_over(
        self, work: Task[None], answered: Answered, end: OtherEnd, send: Send, expires_at_ms: int | None
    ) -> None:
        """Until all is told, the daemon drains, what the caller presented has expired, or nobody listens."""
        while not (work.done() or self._drains.done() or end.gone.done()):
            left_s = PROBE_S if end.silent.done() else HEARTBEAT_S
            if expires_at_ms is not None:
                left_s = min(left_s, (expires_at_ms - SystemClock().now_ms()) / 1000)
                if left_s <= 0:
                    return
            over: set[asyncio.Future[Any]] = {work, end.gone, self._drains}
            if not end.silent.done():
                over.add(end.silent)
            done, _ = await asyncio.wait(over, timeout=left_s, return_when=asyncio.FIRST_COMPLETED)
            if not done - {end.silent} and answered == "events":
                await _say(send, b": \n\n")


class _Turns:
    """Lets everybody else have their turn between the parts of streams, as many as these are."""

    def __init__(self) -> None:
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def next(self) -> None:
        """Wait for those who were there before; `PARTS_A_ROUND` go on in each round of the loop."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._go_on)
        turn: asyncio.Future[None] = loop.create_future()
        self._waiting.append(turn)
        await turn

    def _go_on(self) -> None:
        for _ in range(min(PARTS_A_ROUND, len(self._waiting))):
            turn = self._waiting.popleft()
            if not turn.done():  # else it was given up
                turn.set_result(None)
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._go_on)


async def probed(answer: Callable[[Scope, Send], Awaitable[None]], scope: Scope, send: Send) -> None:
    """An answer in whoever's own way. Where it is a stream of events and the other end says nothing more, it is tried whether
    anybody listens: one who has left is not known to have until something is sent, and can't listen anew before.
    """
    end: OtherEnd = scope["state"]["end"]
    probing: asyncio.Task[None] | None = None

    async def probe() -> None:
        await asyncio.wait({end.silent})
        while not end.gone.done():
            await _say(send, b": \n\n")
            await asyncio.wait({end.gone}, timeout=PROBE_S)

    async def heard(message: Message) -> None:
        nonlocal probing
        await send(message)
        if message["type"] == "http.response.start":
            media = dict(message.get("headers", ())).get(b"content-type", b"")
            probing = (
                spawn(probe(), name="whether a stream is read")
                if media.startswith(MEDIA["events"].encode())
                else None
            )
        elif not message.get("more_body", False) and probing is not None:
            probing.cancel()

    try:
        await answer(scope, heard)
    finally:
        if probing is not None:
            probing.cancel()


async def _say(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


def coming_part(parts: AsyncIterator[Any]) -> Task[Any]:
    """The next part, waited for in a task of its own; None at the end."""

    async def part() -> Any:
        return await anext(parts, None)

    return spawn(part(), name="part of a stream")


def _written(answered: Answered, part: Any) -> bytes:
    if isinstance(part, answers.Chunk):
        return part.data
    told = msgspec.json.encode(part)
    if answered == "events":
        return b"id: %d\nevent: %s\ndata: %s\n\n" % (part.n, str(part.event["kind"]).encode(), told)
    return told + b"\n"


async def in_thread(
    parts: AsyncIterator[A],
    carry_out: Callable[[Callable[[], list[A]]], Coroutine[Any, Any, list[A]]] = asyncio.to_thread,
) -> AsyncIterator[A]:
    """The parts of what only reads, read in a thread, some at a time. Chunks without bytes are told to nobody."""

    def some() -> list[A]:
        found: list[A] = []
        with suppress(StopAsyncIteration):
            while len(found) < PARTS_TOGETHER:
                found.append(process.at_once(anext(parts)))
        return found

    reading = spawn(carry_out(some), name="parts, read")
    try:
        while together := await asyncio.shield(reading):
            for part in together:
                if not isinstance(part, answers.Chunk) or part.data:
                    yield part
            reading = spawn(carry_out(some), name="parts, read")
    finally:
        if reading.done():
            await _closed(parts)
        else:
            # Whoever leaves ends no thread, and is not kept: what one is in can be closed once it is out of it.
            spawn(_closed_after(reading, parts), name="parts, closed")


async def _closed_after(reading: Task[Any], parts: AsyncIterator[Any]) -> None:
    await asyncio.wait({reading})
    reading.exception()  # nobody waits for it any more
    await _closed(parts)


async def _closed(parts: AsyncIterator[Any]) -> None:
    close = getattr(parts, "aclose", None)
    if close is not None:
        await close()
