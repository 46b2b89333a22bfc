"""Counts and sizes as people read them."""

from __future__ import annotations

from typing import Final

from assent._lazy import compiled_when_asked

SIZE_PATTERN: Final = r"^[0-9]{1,15}(?:\.[0-9]{1,3})? *(?:B|[kKMGT]i?B)$"
"""How a size is written as text."""

_WRITTEN: Final = compiled_when_asked(SIZE_PATTERN)
_UNITS: Final = {"B": 1} | {
    f"{letter}{binary}B": (1024 if binary else 1000) ** power
    for power, letters in enumerate(("kK", "M", "G", "T"), start=1)
    for letter in letters
    for binary in ("", "i")
}
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


def read_size(value: object) -> int:
    """A number of bytes from how people write it (`10MB`, `64KiB`, `4096`); ValueError for what is none."""
    from assent.spec.values.canonical import INTEGER_MAX  # what only writes sizes starts without it

    size: object = value
    if isinstance(value, str) and _WRITTEN.match(value):
        number, unit = value.rstrip("BikKMGT").rstrip(), value.lstrip("0123456789. ")
        whole, _, fraction = number.partition(".")
        # In whole numbers: a double would lose bytes of large sizes.
        scaled, rest = divmod(int(whole + fraction) * _UNITS[unit], 10 ** len(fraction))
        size = None if rest else scaled
    if not isinstance(size, int) or not 0 <= size <= INTEGER_MAX:
        raise ValueError
    return size
