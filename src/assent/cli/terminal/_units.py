"""Times for people: how long, and as a file writes it."""

from __future__ import annotations

from typing import Final

_TIMES: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))


def duration_text(ms: int) -> str:
    """How long something takes: `850 ms`, `1.2 s`, `3 min 20 s`, `2 h 5 min`."""
    if ms < 1000:
        return f"{ms} ms"
    if ms < 60_000:
        return f"{ms / 1000:.1f} s"
    seconds = ms // 1000
    big, small, names = (
        (seconds // 3600, seconds % 3600 // 60, ("h", "min"))
        if seconds >= 3600
        else (seconds // 60, seconds % 60, ("min", "s"))
    )
    return f"{big} {names[0]} {small} {names[1]}" if small else f"{big} {names[0]}"


def duration_setting(duration_ms: int) -> str:
    """A duration as `assent.toml` writes it, in the largest unit of which it is a whole number: `1500ms`, `30s`, `7d`."""
    unit, length = next((one for one in _TIMES if duration_ms and duration_ms % one[1] == 0), ("ms", 1))
    return f"{duration_ms // length}{unit}"
