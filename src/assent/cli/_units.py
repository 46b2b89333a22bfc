"""Amounts for people: durations as `assent.toml` writes them, and sizes."""

from __future__ import annotations

from typing import Final

_TIMES: Final = (("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000))
_SIZES: Final = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def duration_text(duration_ms: int) -> str:
    """A duration in the largest unit of which it is a whole number: `1500ms`, `30s`, `15m`, `7d`."""
    unit, length = next((one for one in _TIMES if duration_ms and duration_ms % one[1] == 0), ("ms", 1))
    return f"{duration_ms // length}{unit}"


def bytes_text(size: int) -> str:
    """A size with three digits at most: `512 B`, `64 MiB`, `1.5 GiB`."""
    unit, length = next((one for one in _SIZES if size >= one[1]), ("B", 1))
    return f"{size / length:.3g} {unit}" if size < 1000 * length else f"{size // length} {unit}"
