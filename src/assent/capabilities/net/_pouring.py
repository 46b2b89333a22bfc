"""From the loop into a file: pieces come in where the network is, and are written in a thread, with room for few between them."""

from __future__ import annotations

import asyncio
import queue
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Final

from assent.capabilities.fs._change import Target
from assent.capabilities.net._client import Sink
from assent.invocation import LocalContext, NoEffectError

SECOND_NS: Final = 1_000_000_000
WAITING_MAX: Final = 8
"""Pieces that may wait to be written; the network has to wait for the disk."""


@asynccontextmanager
async def pour(context: LocalContext, target: Target, mark: int) -> AsyncIterator[Sink]:
    """Inside, what is given to the sink goes into the file beside `target`, whose time gets `mark` as its nanoseconds.

    At the end the file is complete and flushed, still beside the target. When what is inside fails, nothing is left of it.
    """
    loop = asyncio.get_running_loop()
    room = asyncio.Semaphore(WAITING_MAX)
    waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
    is_given_up = False

    def pieces() -> Iterator[bytes]:
        while (piece := waiting.get()) is not None:
            loop.call_soon_threadsafe(room.release)
            yield piece
        if is_given_up:
            raise NoEffectError("CALL_CANCELLED", "the download was given up")

    writing = loop.run_in_executor(None, _write, context, target, mark, pieces())
    # Who waits for room when the disk fails is woken, and finds out.
    writing.add_done_callback(lambda _: room.release())

    async def take(piece: bytes) -> None:
        await room.acquire()
        if writing.done():
            writing.result()
        waiting.put(piece)

    try:
        yield take
        waiting.put(None)
        await writing
    except BaseException:
        is_given_up = True
        waiting.put(None)
        await asyncio.wait({writing})
        if not writing.cancelled():
            writing.exception()  # looked at, so that asyncio does not report it as never retrieved
        raise


def _write(context: LocalContext, target: Target, mark: int, pieces: Iterator[bytes]) -> None:
    files = context.world.files
    beside = files.temporary(target.path, key=context.key)
    # An empty file tells the time of this file system; the content gets it, with the mark, before it is flushed.
    files.write(beside, (), key=context.key)
    entry = files.stat(beside)
    assert entry is not None, "it was written just now"
    time_ns = entry.mtime_ns // SECOND_NS * SECOND_NS + mark
    mode = target.old.nodes[0].mode if target.old.nodes else None
    files.write(beside, pieces, key=context.key, mode=mode, mtime_ns=time_ns)
