"""What only reads is read in a thread: nobody waits for it who has left, and it is closed all the same."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from threading import Event

import pytest

from assent.runtime.service.answers import Chunk
from assent.server._streams import PARTS_TOGETHER, coming_part, in_thread
from tests.support.patience import PATIENCE_S


async def test_parts_come_in_order_and_those_without_bytes_not_at_all() -> None:
    async def parts() -> AsyncIterator[object]:
        for number in range(PARTS_TOGETHER + 3):
            yield Chunk(data=b"")
            yield number
        yield Chunk(data=b"x")

    told = [part async for part in in_thread(parts())]
    assert told == [*range(PARTS_TOGETHER + 3), Chunk(data=b"x")]


async def test_whoever_leaves_waits_for_no_thread_and_what_that_reads_is_closed_behind_it() -> None:
    reached, go_on, closed = Event(), Event(), asyncio.Event()
    loop = asyncio.get_running_loop()

    async def parts() -> AsyncIterator[object]:
        try:
            reached.set()
            go_on.wait()
            for _ in range(2 * PARTS_TOGETHER):
                yield Chunk(data=b"")
            pytest.fail("nobody reads so far")
        finally:
            loop.call_soon_threadsafe(closed.set)

    told = in_thread(parts())
    coming = coming_part(told)
    await asyncio.to_thread(reached.wait)
    coming.cancel()
    await asyncio.wait({coming}, timeout=PATIENCE_S)
    assert coming.cancelled()
    assert not closed.is_set()
    await told.aclose()  # type: ignore[attr-defined]  # of a generator
    go_on.set()
    await asyncio.wait_for(closed.wait(), PATIENCE_S)


async def test_whoever_has_heard_enough_has_the_parts_closed() -> None:
    closed = []

    async def parts() -> AsyncIterator[int]:
        try:
            yield 1
            yield 2
        finally:
            closed.append(True)

    told = in_thread(parts())
    assert await anext(told) == 1
    await told.aclose()  # type: ignore[attr-defined]  # as above
    assert closed == [True]
