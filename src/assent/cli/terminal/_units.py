"""Times for people."""

from __future__ import annotations

from typing import Final

_LONG: Final = (("d", 86_400), ("h", 3_600), ("min", 60), ("s", 1))
"""What is longer than a minute is told in two of these."""


def duration_text(ms: int) -> str:
    """How long something takes: `850 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`, `7 d`."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    seconds = ms // 1000
    at = next(number for number, (_, length) in enumerate(_LONG) if seconds >= length)
    (name, length), (smaller, part) = _LONG[at], _LONG[at + 1]
    big, small = seconds // length, seconds % length // part
    return f"{big} {name} {small} {smaller}" if small else f"{big} {name}"
