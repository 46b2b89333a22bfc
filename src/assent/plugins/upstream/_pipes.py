"""The standard streams of a server's program as the SDK's transport: bounded, and nothing that comes over them is believed.

A line is one message. One that is too long or is no message, an answer to nothing that was asked, or messages without end that
nobody asked for: each ends the program, and whoever waits is told which it was.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Final

from assent.errors import AssentError
from assent.plugins.upstream._frames import Bounds, lines
from assent.plugins.upstream._listing import Listing

if TYPE_CHECKING:
    from anyio.streams.memory import MemoryObjectReceiveStream, MemoryObjectSendStream
    from mcp.client._transport import TransportStreams
    from mcp.shared.message import SessionMessage

    from assent.plugins.worker import Child

PRINTED_MAX: Final = 4096
"""The end of what a program printed on its standard error, in bytes, that is shown when it fails."""

KEPT_MAX: Final = 64 << 10
"""The end of what all programs of one server printed there, in bytes, that is kept."""

_CHANGED: Final = "notifications/tools/list_changed"
_READ_BYTES: Final = 1 << 16


class Pipes:
    """The pipes of one program. `fault` says what it did wrong, `printed` how its standard error ended.

    `kept` takes that as well, behind what programs before it printed. `hint` is what to do should it not come to be asked.
    """

    def __init__(self, child: Child, bounds: Bounds, *, kept: bytearray, hint: str | None = None) -> None:
        self.hint: Final = hint
        self._child = child
        self._bounds = bounds
        self._asked: set[int | str] = set()
        self._printed = bytearray()
        self._kept = kept
        self._end: str | None = None
        self._listing: Listing | None = None
        self._own: dict[str, asyncio.Future[bytes | None]] = {}
        self._writing = asyncio.Lock()
        self.has_changed = False
        self.fault: str | None = None
        for descriptor in (child.stdin, child.stdout, child.stderr):
            os.set_blocking(descriptor, False)

    @property
    def printed(self) -> str:
        """The end of what the program printed."""
        return self._printed.decode(errors="replace")

    def heed_changes(self) -> None:
        """Forget what was told of changes so far."""
        self.has_changed = False

    async def hear(self, missed: Callable[[], object]) -> None:
        """Nothing: what a program says is read in any case, and none of it is missed while it runs."""

    async def list_again(self) -> bytes | None:
        """What the last request for its tools is answered with now; None where that can't be asked so simply."""
        if self._listing is None:
            return None
        ident, data = self._listing.anew()
        self._asked.add(ident)
        told: asyncio.Future[bytes | None] = asyncio.get_running_loop().create_future()
        self._own[ident] = told
        try:
            if not await self._send(data + b"\n"):
                return None
            return await told
        finally:
            del self._own[ident]

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        """The streams, as long as the block lasts; afterwards nothing of the program runs any more."""
        import anyio
        from mcp.shared.message import SessionMessage

        to_us, incoming = anyio.create_memory_object_stream[SessionMessage | Exception](0)
        outgoing, from_us = anyio.create_memory_object_stream[SessionMessage](0)
        try:
            async with anyio.create_task_group() as group:
                group.start_soon(self._read, to_us)
                group.start_soon(self._write, from_us, to_us)
                group.start_soon(self._listen)
                yield incoming, outgoing
                group.cancel_scope.cancel()
        finally:
            child = self._child
            child.kill()
            try:
                with anyio.CancelScope(shield=True):
                    how = await child.wait()
                if self._end is not None:
                    self.fault = self.fault or f"{self._end} ({how})"
            except AssentError as error:  # it never began
                self.fault = error.message
            finally:  # also where this work is cancelled a second time
                self._take_printed()
                for descriptor in (child.stdin, child.stdout, child.stderr):
                    with suppress(OSError):
                        os.close(descriptor)
                for stream in (to_us, incoming, outgoing, from_us):
                    stream.close()

    async def _read(self, to_us: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        try:
            await self._read_all(to_us)
        finally:
            self._listing = None
            for told in self._own.values():
                if not told.done():
                    told.set_result(None)

    async def _read_all(self, to_us: MemoryObjectSendStream[SessionMessage | Exception]) -> None:
        import anyio
        from mcp.shared.message import SessionMessage
        from mcp_types import jsonrpc_message_adapter

        buffer = bytearray()
        with to_us, suppress(anyio.BrokenResourceError, anyio.ClosedResourceError):
            while data := await self._readable(self._child.stdout):
                for line in lines(buffer, data):
                    self.fault = self._bounds.fault_of(line)
                    if self.fault is not None:
                        return
                    if self._own and self._is_own(line):
                        continue
                    try:
                        message = jsonrpc_message_adapter.validate_json(line, by_name=False)
                    except ValueError:
                        self.fault = "it wrote a line that is no message"
                        return
                    if not self._takes(message):
                        return
                    await to_us.send(SessionMessage(message))
                self.fault = self._bounds.fault_of_size(len(buffer))
                if self.fault is not None:
                    return
            self._end = "its output ended in the middle of a message" if buffer else "its output ended"

    def _is_own(self, line: bytes) -> bool:
        ident, result = Listing.answer_in(line)
        told = self._own.get(ident)
        if told is None or ident not in self._asked:
            return False
        self._asked.discard(ident)
        self._bounds.answered()
        if not told.done():
            told.set_result(result)
        return True

    def _takes(self, message: object) -> bool:
        if hasattr(message, "method"):
            # Noted here, where it comes before an answer that was written after it.
            self.has_changed = self.has_changed or message.method == _CHANGED
            self.fault = self._bounds.fault_of_unasked(asyncio.get_running_loop().time())
        elif getattr(message, "id", None) in self._asked:
            self._asked.discard(getattr(message, "id", 0))
            self._bounds.answered()
        else:
            self.fault = "it answered what it was not asked"
        return self.fault is None

    async def _write(
        self,
        from_us: MemoryObjectReceiveStream[SessionMessage],
        to_us: MemoryObjectSendStream[SessionMessage | Exception],
    ) -> None:
        async for one in from_us:
            message = one.message
            data = message.model_dump_json(by_alias=True, exclude_unset=True).encode()
            number = getattr(message, "id", None)
            if number is not None and hasattr(message, "method"):
                self._asked.add(number)
                self._listing = Listing.of(data) or self._listing
            if not await self._send(data + b"\n"):
                to_us.close()  # who waits for an answer learns that none comes
                return

    async def _send(self, data: bytes) -> bool:
        """Whether it was written whole: another message comes before it, or after it."""
        import anyio

        left = memoryview(data)
        async with self._writing:
            while left:
                try:
                    left = left[os.write(self._child.stdin, left) :]
                except BlockingIOError:
                    await anyio.wait_writable(self._child.stdin)
                except OSError:
                    return False
        return True

    async def _readable(self, descriptor: int) -> bytes:
        """What there is to read; empty at the end."""
        import anyio

        while True:
            await anyio.wait_readable(descriptor)
            try:
                return os.read(descriptor, _READ_BYTES)
            except BlockingIOError:
                continue
            except OSError:
                return b""

    async def _listen(self) -> None:
        while data := await self._readable(self._child.stderr):
            self._keep(data)

    def _take_printed(self) -> None:
        with suppress(OSError):
            while data := os.read(self._child.stderr, _READ_BYTES):
                self._keep(data)

    def _keep(self, data: bytes) -> None:
        for held, most in ((self._printed, PRINTED_MAX), (self._kept, KEPT_MAX)):
            held.extend(data)
            del held[:-most]
