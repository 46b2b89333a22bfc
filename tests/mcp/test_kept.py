"""What a session was sent lately is kept within its bounds, whatever it is, and is told again as it was."""

from __future__ import annotations

import tracemalloc
from typing import Any

import mcp_types as wire
from mcp.server.streamable_http import EventMessage

from assent.mcp._kept import KEPT_BYTES_MAX, KEPT_MAX, Kept


def told(result: Any) -> wire.JSONRPCResponse:
    return wire.JSONRPCResponse(jsonrpc="2.0", id=1, result={"structuredContent": result})


async def replayed(kept: Kept, last: str) -> list[Any]:
    found: list[Any] = []

    async def hear(event: EventMessage) -> None:
        found.append(event.message)

    await kept.replay_events_after(last, hear)
    return found


async def test_what_came_after_is_told_again_as_it_was_and_of_its_stream_alone() -> None:
    kept = Kept()
    first = await kept.store_event("a", None)
    messages = [told({"n": 1.5, "none": None, "text": "\U0001f600"}), told([[], {}])]
    for message in messages:
        await kept.store_event("a", message)
        await kept.store_event("b", told("another's"))
    assert await replayed(kept, first) == messages
    assert await replayed(kept, "4711") == []


async def test_what_is_small_as_json_and_large_in_memory_takes_no_more_room_than_it_seems_to() -> None:
    tracemalloc.start()
    try:
        kept = Kept()
        for _ in range(KEPT_MAX * 2):
            await kept.store_event("a", told([[] for _ in range(2000)]))
        held, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < 2 * KEPT_BYTES_MAX
