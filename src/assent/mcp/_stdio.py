"""`assent mcp`: one agent, on standard input and output."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from mcp.server.stdio import stdio_server

from assent import system
from assent.errors import AssentError
from assent.mcp._server import Door
from assent.mcp._visit import Visit
from assent.runtime._answering import Answering
from assent.runtime.service.requests import asker_of

if TYPE_CHECKING:
    from assent.runtime.settings.effective import Settings

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


async def serve(settings: Settings, fault: Callable[[Exception], AssentError], only: str | None) -> None:
    """Answer the agent until its input ends, or a signal says so; its session is then closed, and what it did stays.

    `only`: offer it the tools of this MCP server alone.

    Raises what keeps a runtime from starting.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        async with Answering(settings) as runtime:
            visit = Visit(runtime, asker_of(settings))
            door = Door(lambda _: visit, fault, only=lambda _: only)
            server = door.server()
            async with stdio_server() as (source, sink):
                serving = system.spawn(
                    server.run(source, sink, server.create_initialization_options()), name="agent"
                )
                stop = system.spawn(stopped.wait(), name="signal")
                await asyncio.wait({serving, stop}, return_when=asyncio.FIRST_COMPLETED)
                for task in (serving, stop):
                    task.cancel()
                with suppress(asyncio.CancelledError):
                    await serving
            door.news.close()
            await visit.close()
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)
