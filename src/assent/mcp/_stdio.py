"""`assent mcp`: one agent, on standard input and output."""

from __future__ import annotations

import asyncio
import fcntl
import os
import select
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, Self, cast

from mcp.server.stdio import stdio_server

from assent import system
from assent.errors import AssentError
from assent.journal import CLAIMS, claim
from assent.mcp._reading import fault_in_message
from assent.mcp._server import Door
from assent.mcp._visit import Visit
from assent.runtime._answering import Answering
from assent.runtime.service.requests import asker_of
from assent.spec.ids import OF_PROCESSES

if TYPE_CHECKING:
    from assent.runtime.settings.effective import Settings

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
_READ_BYTES: Final = 1 << 16


class _Ends:
    """Standard input by lines, and standard output, inside the block for the protocol alone: what else is printed goes to stderr.

    Both without threads, which the SDK's own have: a thread that reads goes on until the client says something more, whatever
    signal has come, and one that writes until the client reads.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._let_go: asyncio.Future[None] = self._loop.create_future()
        self._buffer = bytearray()
        self._poll = select.poll()

    def __enter__(self) -> Self:
        self._source, self._sink = (fcntl.fcntl(number, fcntl.F_DUPFD_CLOEXEC, 3) for number in (0, 1))
        self._poll.register(self._sink, select.POLLOUT)
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, 0)
        os.close(nothing)
        os.dup2(2, 1)
        return self

    def __exit__(self, *_: object) -> None:
        os.dup2(self._source, 0)
        os.dup2(self._sink, 1)
        os.close(self._source)
        os.close(self._sink)

    def let_go(self) -> None:
        """Wait for the client no longer: nothing more is read, or written."""
        _settle(self._let_go)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> str:
        while (fault := fault_in_message(line := await self._line())) is not None:
            if line.strip():
                await self.write(f"{fault}\n")
        return line.decode()

    async def _line(self) -> bytes:
        start = 0
        while (end := self._buffer.find(b"\n", start)) < 0:
            start = len(self._buffer)
            data = b""
            if await self._is_ready(self._source, self._loop.add_reader, self._loop.remove_reader):
                with suppress(OSError):
                    data = os.read(self._source, _READ_BYTES)
            if not data:
                raise StopAsyncIteration
            self._buffer += data
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    async def write(self, text: str) -> None:
        """Write all of it, or nothing more once the client has gone."""
        left = memoryview(text.encode())
        while left:
            is_ready = self._poll.poll(0) or await self._is_ready(
                self._sink, self._loop.add_writer, self._loop.remove_writer
            )
            try:
                # So much is taken at once where anything is: other ends of the pipe may wait, so this one stays a blocking one.
                left = left[os.write(self._sink, left[: select.PIPE_BUF]) :] if is_ready else left[:0]
            except OSError:
                self.let_go()

    async def flush(self) -> None:
        """Nothing is held back."""

    async def _is_ready(
        self, descriptor: int, add: Callable[..., None], remove: Callable[[int], bool]
    ) -> bool:
        """Whether the other side has something, or takes something; False once nobody waits for it."""
        if self._let_go.done():
            return False
        ready: asyncio.Future[None] = self._loop.create_future()
        try:
            add(descriptor, _settle, ready)
        except PermissionError:
            return True  # a file always is
        try:
            await asyncio.wait({ready, self._let_go}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            remove(descriptor)
        return ready.done()


async def serve(settings: Settings, fault: Callable[[Exception], AssentError], only: str | None) -> None:
    """Answer the agent until its input ends, or a signal says so; its session is then closed, and what it did stays.

    `only`: offer it the tools of this MCP server alone.

    Raises what keeps a runtime from starting.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        async with Answering(settings, gives_way=True) as runtime:
            place = 1 + int.from_bytes(system.SystemEntropy().some(8), "big") % (CLAIMS - 1)
            here = claim(settings.state, place)
            visit = Visit(runtime, asker_of(settings), f"{OF_PROCESSES}{place}")
            door = Door(lambda _: visit, fault, only=lambda _: only)
            server = door.server()
            with _Ends() as ends:
                streams = cast("Any", ends)  # of the SDK's type only the names that it calls are needed
                async with stdio_server(streams, streams) as (source, sink):
                    serving = system.spawn(
                        server.run(source, sink, server.create_initialization_options()), name="agent"
                    )
                    stop = system.spawn(stopped.wait(), name="signal")
                    await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
                    for task in (serving, stop):
                        task.cancel()
                    with suppress(asyncio.CancelledError):
                        await serving
                    ends.let_go()
            door.news.close()
            await visit.close()
            here.release()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
