"""What a client of the older revisions was sent lately: one whose stream was cut off has the rest of it (`Last-Event-ID`)."""

from __future__ import annotations

from collections import deque
from typing import Any, Final, NamedTuple

from mcp.server.streamable_http import EventCallback, EventMessage, EventStore
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp_types import JSONRPCMessage

KEPT_MAX: Final = 64
"""Messages that are kept for one session."""

KEPT_CHARACTERS_MAX: Final = 256 << 10
"""Characters in them; of more, the oldest are forgotten. What a longer one says stands on record."""

RETRY_MS: Final = 1_000
"""After this long a client should come again whose stream was cut off."""


class _Event(NamedTuple):
    number: int
    stream: str
    message: JSONRPCMessage | None
    size: int


class Kept(EventStore):
    """What was sent in one session. It is that session's alone, so that a number says enough."""

    def __init__(self) -> None:
        self._events: deque[_Event] = deque()
        self._size = 0
        self._count = 0

    async def store_event(self, stream_id: str, message: JSONRPCMessage | None) -> str:
        """Keep what is sent next; what the client may name it by."""
        self._count += 1
        size = _size(getattr(message, "result", None) or getattr(message, "params", None))
        self._events.append(_Event(self._count, stream_id, message, size))
        self._size += size
        while len(self._events) > KEPT_MAX or self._size > KEPT_CHARACTERS_MAX:
            self._size -= self._events.popleft().size
        return str(self._count)

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after in the same stream; the stream, or None for what is not known (any more)."""
        last = next((one for one in self._events if str(one.number) == last_event_id), None)
        if last is None:
            return None
        for one in [*self._events]:
            if one.stream == last.stream and one.number > last.number and one.message is not None:
                await send_callback(EventMessage(one.message, str(one.number)))
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


def _size(value: Any) -> int:  # `Any`: JSON
    if isinstance(value, dict):
        return sum(len(key) + _size(part) for key, part in value.items())
    if isinstance(value, list):
        return sum(map(_size, value))
    return len(value) if isinstance(value, str) else 8
