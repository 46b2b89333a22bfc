"""Sets of small numbers, as bits: in a `bytearray` while they grow, in a whole number while they are compared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

_SKIPPED_BYTES: Final = 1024
"""So much of a set is skipped at a time, by how many numbers are in it."""


def numbers_in(bits: int, skip: int = 0) -> Iterator[int]:
    """The numbers of a set, rising, without the first few."""
    data = bits.to_bytes((bits.bit_length() + 7) // 8, "little")
    for begin in range(0, len(data), _SKIPPED_BYTES):
        some = data[begin : begin + _SKIPPED_BYTES]
        if skip:
            has = int.from_bytes(some, "little").bit_count()
            if has <= skip:
                skip -= has
                continue
        for at, byte in enumerate(some, begin):
            if byte:
                for bit in range(8):
                    if byte >> bit & 1:
                        if skip:
                            skip -= 1
                        else:
                            yield at * 8 + bit


def has_bit(bits: bytes | bytearray, number: int) -> bool:
    """Whether a number is in a set."""
    return number >> 3 < len(bits) and bool(bits[number >> 3] >> (number & 7) & 1)


def set_bit(bits: bytearray, number: int) -> None:
    """Put a number into a set."""
    if number >> 3 >= len(bits):
        bits.extend(bytes((number >> 3) + 1 - len(bits)))
    bits[number >> 3] |= 1 << (number & 7)
