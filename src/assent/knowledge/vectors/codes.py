"""What is kept of a vector: a byte for each component, to compare exactly, and a bit for each, to compare a million at once.

The bits are the signs of the vector after a rotation: then each says equally much, and the share of bits that differ is close
to the angle between two vectors (Charikar, 2002). The rotation is three times signs that are drawn, Walsh and Hadamard's
transform in blocks, and a shuffle. All of it is done in whole numbers, from the bytes: the same vector has the same bits on
every machine.
"""

from __future__ import annotations

from functools import cache
from hashlib import shake_256
from typing import TYPE_CHECKING, Final

import numpy as np

from assent.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIMENSIONS_MAX: Final = 4_096
"""The most components of a vector: with more, the whole numbers of the rotation would not fit in 32 bits."""
_ROUNDS: Final = 3
_WORD: Final = 64
_SIGNS: Final = np.where(np.arange(256) >> np.arange(8)[:, None] & 1, 1.0, -1.0)
"""The signs that each octet of bits stands for."""
_BLOCK: Final = 1_024
"""Vectors that are rotated at once: their numbers stay in the processor's cache."""


def quantised(vectors: NDArray[np.float32]) -> NDArray[np.int8]:
    """Vectors in a byte for each component, the largest of each vector as 127: of a vector, its direction alone is kept.

    Refused: vectors without a component or with more than 4 096, with one that is not a number, or without a direction (all 0).
    """
    if vectors.ndim != 2 or not 1 <= vectors.shape[1] <= DIMENSIONS_MAX:
        raise InputError(
            "KNOWLEDGE_VECTOR_INVALID",
            f"vectors must be rows of 1 to {DIMENSIONS_MAX} components, not an array of {list(vectors.shape)}",
        )
    most = np.abs(vectors).max(axis=1, initial=0)
    wrong = np.flatnonzero(~(np.isfinite(most) & (most > 0)))
    if len(wrong):
        raise InputError(
            "KNOWLEDGE_VECTOR_INVALID",
            f"vector {wrong[0]} must have a direction: all its components are 0, or one is not a number",
        )
    rows: NDArray[np.int8] = np.rint(vectors * (np.float64(127) / most)[:, None]).astype(np.int8)
    return rows


def codes_of(rows: NDArray[np.int8]) -> NDArray[np.uint64]:
    """The bits of vectors, 64 in a word: the first words of all vectors, then their second words, and so on."""
    count, size = rows.shape
    words = -(-size // _WORD)
    codes = np.empty((words, count), np.uint64)
    for begin in range(0, count, _BLOCK):
        turned = _turned(rows[begin : begin + _BLOCK])
        bits = np.packbits(turned >= 0, axis=0, bitorder="little").reshape(words, 8, -1)
        codes[:, begin : begin + _BLOCK] = bits.transpose(0, 2, 1).copy().view("<u8")[:, :, 0]
    return codes


def products(codes: NDArray[np.uint64], row: NDArray[np.int8]) -> NDArray[np.float64]:
    """For each of some vectors, of which there are bits, what says how near it is to one that is there as bytes: more is nearer.

    It is the product of the one's rotated components and the other's signs, which says more than how many signs are the same.
    They are whole numbers below 2^53: exact in whatever order.
    """
    octets = _turned(row[None]).reshape(-1, 8).astype(np.float64) @ _SIGNS
    held = np.ascontiguousarray(codes.T, "<u8").view(np.uint8)
    found: NDArray[np.float64] = octets[np.arange(len(octets)), held].sum(axis=1)
    return found


def _turned(rows: NDArray[np.int8]) -> NDArray[np.int32]:
    """Vectors after the rotation, as columns."""
    count, size = rows.shape
    words = -(-size // _WORD)
    turned = np.zeros((words * _WORD, count), np.int32)
    turned[:size] = rows.T
    for signs, order in _rounds(words * _WORD):
        turned = _transformed(turned * signs[:, None])[order]
    return turned


def _transformed(block: NDArray[np.int32]) -> NDArray[np.int32]:
    """Walsh and Hadamard's transform of columns, in pieces of the largest power of two that divides their length."""
    size, count = block.shape
    step = 1
    while size % (2 * step) == 0:
        pairs = block.reshape(-1, 2, step, count)
        block = np.stack([pairs[:, 0] + pairs[:, 1], pairs[:, 0] - pairs[:, 1]], axis=1)
        step *= 2
    return block.reshape(size, count)


@cache
def _rounds(size: int) -> tuple[tuple[NDArray[np.int32], NDArray[np.int64]], ...]:
    """For each round the signs, and where each component goes. They belong to the format: other ones need another version."""
    drawn = np.frombuffer(shake_256(b"assent knowledge vectors %d" % size).digest(_ROUNDS * size * 8), "<u8")
    return tuple(
        (np.where(one & 1, 1, -1).astype(np.int32), np.argsort(one, kind="stable"))
        for one in drawn.reshape(_ROUNDS, size)
    )
