"""Counts and sizes as people read them."""

from __future__ import annotations

from typing import Final

_SIZES: Final = (("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10))


def count_text(count: int, one: str, many: str | None = None) -> str:
    """`1 line`, `3 lines`."""
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def size_text(size: int) -> str:
    """A size with three digits where they are enough: `14 bytes`, `1.5 KiB`, `64 MiB`."""
    unit, length = next((one for one in _SIZES if size >= one[1]), ("", 1))
    if not unit:
        return count_text(size, "byte")
    return f"{size / length:.3g} {unit}" if size < 1000 * length else f"{size // length} {unit}"
