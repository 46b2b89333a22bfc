"""Messages of a server, cut out of the bytes in which they come, and bounded: a program's lines and an address's events alike."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from assent.spec.values.crowds import has_more_values

UNASKED_MAX: Final = 10_000
"""Messages that nobody asked for, between two answers and within a minute: one that tells of changes may do so for ever."""

_MINUTE_S: Final = 60.0

# A carriage return alone ends a line, too; before a line feed it is a part of the same end.
_EVENT_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_EVENT_END_BYTES: Final = 4


class Bounds:
    """What one connection may send. Each method tells what was wrong with what came, in words; None is nothing."""

    def __init__(self, *, frame_bytes: int, frame_values: int) -> None:
        self._bytes, self._values = frame_bytes, frame_values
        self._unasked = 0
        self._since_s = 0.0

    def fault_of(self, message: bytes) -> str | None:
        """Of a whole message."""
        if has_more_values(message, self._values):
            return f"it wrote a message of more than {self._values} values"
        return self.fault_of_size(len(message))

    def fault_of_size(self, size: int) -> str | None:
        """Of as much of a message as has come."""
        return f"it wrote a message of more than {self._bytes} bytes" if size > self._bytes else None

    def fault_of_unasked(self, now_s: float) -> str | None:
        """Of one more message that nobody asked for."""
        if now_s - self._since_s > _MINUTE_S:
            self._since_s, self._unasked = now_s, 0
        self._unasked += 1
        if self._unasked > UNASKED_MAX:
            return f"it wrote more than {UNASKED_MAX} messages that nobody asked for"
        return None

    def answered(self) -> None:
        """One came that was asked for."""
        self._unasked = 0


def lines(buffer: bytearray, data: bytes) -> Iterator[bytes]:
    """The lines that are complete with these bytes; what is left of the last stays in the buffer."""
    start = len(buffer)
    buffer += data
    while (end := buffer.find(b"\n", start)) >= 0:
        yield bytes(buffer[:end])
        del buffer[: end + 1]
        start = 0


def events(buffer: bytearray, data: bytes) -> Iterator[bytes]:
    """The events of a stream (`text/event-stream`) that are complete, whatever ended their lines; the rest as above.

    Each ends with an empty line, and all lines with a line feed: of a carriage return alone it is not known yet what it ends.
    """
    start = max(0, len(buffer) - _EVENT_END_BYTES)
    buffer += data
    while (found := _EVENT_END.search(buffer, start)) is not None:
        yield b"".join(line + b"\n" for line in buffer[: found.end()].splitlines())
        del buffer[: found.end()]
        start = 0


def field(event: bytes, name: bytes) -> bytes:
    """What an event says under a name: its lines of that name, together."""
    said = [line[len(name) :] for line in event.splitlines() if line == name or line.startswith(name + b":")]
    return b"\n".join(one.removeprefix(b":").removeprefix(b" ") for one in said)
