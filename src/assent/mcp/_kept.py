"""What a client of the older revisions was sent lately: one whose stream was cut off has the rest of it (`Last-Event-ID`)."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import JSONRPCMessage, jsonrpc_message_adapter

KEPT_MAX: Final = 64
"""Messages that are kept for one session."""

KEPT_BYTES_MAX: Final = 256 << 10
"""Bytes of them, as JSON; of more, the oldest are forgotten. What a longer one says stands on record."""

RETRY_MS: Final = 1_000
"""After this long a client should come again whose stream was cut off."""


class _Event(NamedTuple):
    """`data`: as JSON, which takes the memory that it seems to; a message of empty lists is a hundred times as large."""

    number: int
    stream: str
    data: bytes


class Kept(EventStore):
    """What was sent in one session. It is that session's alone, so that a number says enough."""

    def __init__(self) -> None:
        self._events: deque[_Event] = deque()
        self._size = 0
        self._count = 0

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep what is sent next; what the client may name it by."""
        self._count += 1
        data = b"" if message is None else message.model_dump_json(by_alias=True, exclude_unset=True).encode()
        self._events.append(_Event(self._count, stream_id, data))
        self._size += len(data)
        while len(self._events) > KEPT_MAX or self._size > KEPT_BYTES_MAX:
            self._size -= len(self._events.popleft().data)
        return str(self._count)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after in the same stream; the stream, or None for what is not known (any more)."""
        last = next((one for one in self._events if str(one.number) == last_event_id), None)
        if last is None:
            return None
        for one in [*self._events]:
            if one.stream == last.stream and one.number > last.number and one.data:
                message = jsonrpc_message_adapter.validate_json(one.data, by_name=False)
                await send_callback(EventMessage(message, str(one.number)))
        return last.stream


class Sessions(StreamableHTTPSessionManager):
    """The SDK's, which asks for what keeps events when a session begins: each has its own."""

    @property
    def event_store(self) -> EventStore:
        """A new one."""
        return Kept()

    @event_store.setter
    def event_store(self, _: EventStore | None) -> None:
        """What the SDK would have all sessions share."""
