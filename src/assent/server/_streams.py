"""Answers that have many parts: events of a run as server-sent events, entries of the ledger line by line, bytes as they are.

Whoever listens is waited for, so that a slow one holds up nobody and costs one part of memory. Who takes nothing is hung up on
(`_protocol.py`), and a stream ends with its connection.
"""

from __future__ import annotations

import asyncio
from asyncio import Task
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from assent.errors import WorldError
from assent.runtime.service import answers, process
from assent.runtime.service.routes import MEDIA, Answered, Route
from assent.system import SystemClock, spawn

if TYPE_CHECKING:
    from starlette.types import Receive, Send

HEARTBEAT_S: Final = 15.0
"""So often a stream says something although nothing happens, so that both ends notice when the other is gone."""

PARTS_TOGETHER: Final = 64
"""So many parts of what only reads are read before anything else gets its turn."""

FIRST_S: Final = 0.05
"""What refuses a watcher does so within this; only then does the stream begin to answer."""

A = TypeVar("A")


class Broken(Exception):
    """A stream that had begun can't go on, for its cause: what was said of it so far must not pass for the whole."""


class Streams:
    """Counts them, and ends them when the daemon does."""

    def __init__(self, most: int, drains: asyncio.Future[None]) -> None:
        self._most = most
        self._drains = drains
        self.count = 0

    def response(
        self, route: Route, parts: AsyncIterator[Any], expires_at_ms: int | None, *, waits: bool
    ) -> Callable[[Receive, Send], Awaitable[None]]:
        """What sends the parts. `STREAMS_FULL` where as many are listened to as may be.

        `waits`: the parts are of what happens later, too. What is sent raises `Broken` for an error after it began.
        """
        if self.count >= self._most:
            raise WorldError("STREAMS_FULL", f"{self._most} streams are open", hint="ask again later")

        async def respond(receive: Receive, send: Send) -> None:
            self.count += 1
            gone = spawn(_gone(receive), name="end of a connection")
            try:
                await self._send(route.answered, parts, gone, send, expires_at_ms, waits=waits)
            finally:
                self.count -= 1
                gone.cancel()
                await asyncio.wait({gone})
                close = getattr(parts, "aclose", None)
                if close is not None:
                    await close()

        return respond

    async def _send(
        self,
        answered: Answered,
        parts: AsyncIterator[Any],
        gone: Task[None],
        send: Send,
        expires_at_ms: int | None,
        *,
        waits: bool,
    ) -> None:
        # The first part is waited for before anything is said, so that what refuses the request is told as that.
        coming = coming_part(parts)
        try:
            await asyncio.wait(
                {coming, gone}, timeout=FIRST_S if waits else None, return_when="FIRST_COMPLETED"
            )
            if coming.done():
                coming.result()
            headers = [(b"content-type", MEDIA[answered].encode()), (b"cache-control", b"no-store")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await _say(send, b": listening\n\n" if answered == "events" else b"")
            try:
                while await self._has_next(answered, coming, gone, send, expires_at_ms):
                    part = coming.result()
                    if part is None:
                        break
                    await _say(send, _written(answered, part))
                    coming = coming_part(parts)
            except Exception as error:
                raise Broken from error
            # Only this says that nothing more comes: what is cut before is to be listened to again.
            if answered == "events" and coming.done():
                await _say(send, b"event: end\ndata: {}\n\n")
            await send({"type": "http.response.body", "body": b"", "more_body": False})
        finally:
            if not coming.done():
                coming.cancel()
                await asyncio.wait({coming})

    async def _has_next(
        self,
        answered: Answered,
        coming: Task[Any],
        gone: Task[None],
        send: Send,
        expires_at_ms: int | None,
    ) -> bool:
        """Wait for what comes next; False when the daemon drains, what the caller presented has expired, or nobody listens."""
        while not coming.done():
            if self._drains.done() or gone.done():
                return False
            left_s = HEARTBEAT_S
            if expires_at_ms is not None:
                left_s = min(left_s, (expires_at_ms - SystemClock().now_ms()) / 1000)
                if left_s <= 0:
                    return False
            done, _ = await asyncio.wait(
                {coming, gone, self._drains}, timeout=left_s, return_when=asyncio.FIRST_COMPLETED
            )
            if not done and answered == "events":
                await _say(send, b": \n\n")
        return not gone.done()


async def _say(send: Send, text: bytes) -> None:
    await send({"type": "http.response.body", "body": text, "more_body": True})


async def _gone(receive: Receive) -> None:
    """Until the connection has ended: the server says nothing of it to whoever sends."""
    while (await receive())["type"] != "http.disconnect":
        pass


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


async def in_thread(parts: AsyncIterator[A]) -> AsyncIterator[A]:
    """The parts of what only reads, read in a thread, some at a time."""

    def some() -> list[A]:
        found: list[A] = []
        with suppress(StopAsyncIteration):
            while len(found) < PARTS_TOGETHER:
                found.append(process.at_once(anext(parts)))
        return found

    try:
        while together := await asyncio.to_thread(some):
            for part in together:
                yield part
    finally:
        close = getattr(parts, "aclose", None)
        if close is not None:
            await close()
