"""Times for people."""

from __future__ import annotations


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
