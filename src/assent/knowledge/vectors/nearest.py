"""Vectors ranked for a question's: all bits are compared, those of the nearest with more care, then the bytes of few alone.

Only what may be seen has a part in it: what is hidden takes no place among the nearest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from assent.errors import InputError
from assent.knowledge.vectors.codes import codes_of, products, quantised
from assent.knowledge.vectors.segment import Segment

if TYPE_CHECKING:
    from numpy.typing import NDArray

CANDIDATES: Final = 2_048
"""Vectors whose bits are compared with the question's bytes, or as many as are asked for."""
READ: Final = 256
"""Vectors whose bytes are read, or as many as are asked for: each is a page of an encrypted store, from wherever it is."""
_BLOCK: Final = 1 << 16
"""Vectors whose bits are compared at once: what comes of them stays in the processor's cache."""


class Near(NamedTuple):
    """A vector that was found: its segment, its chunk, and the cosine."""

    segment: int
    chunk: int
    score: float


def search(
    segments: Sequence[Segment],
    vector: NDArray[np.float32],
    *,
    model: str,
    limit: int,
    visible: Sequence[NDArray[np.bool_] | None] | None = None,
) -> list[Near]:
    """The chunks whose vectors are nearest to a question's, the nearest first, by their cosine; of equals the first.

    `model` made the question's vector: vectors of another one are refused. `visible`: for each segment which chunks of its
    segment of words may be seen; None for all of one, or of all.
    """
    query = _query(segments, vector, model)
    masks = [None] * len(segments) if visible is None else visible
    near = _nearest(segments, codes_of(query[None])[:, 0], max(CANDIDATES, limit), masks)
    near = _likely(segments, near, query, max(READ, limit))
    of = np.repeat(np.arange(len(segments)), [len(rows) for rows in near])
    places = np.concatenate([np.zeros(0, np.int64), *near])
    scores = np.concatenate(
        [np.zeros(0), *(_compared(one, rows, query) for one, rows in zip(segments, near, strict=True))]
    )
    best = np.argsort(-scores, kind="stable")[:limit]
    return [
        Near(number, int(segments[number].chunks[row]), score)
        for number, row, score in zip(
            of[best].tolist(), places[best].tolist(), scores[best].tolist(), strict=True
        )
    ]


def cosines(
    segment: Segment, vector: NDArray[np.float32], chunks: NDArray[np.uint32], *, model: str
) -> list[float | None]:
    """For each of some chunks the cosine of its vector and a question's; None where it has no vector here."""
    query = _query([segment], vector, model)
    rows = np.searchsorted(segment.chunks, chunks)
    is_there = rows < len(segment.chunks)
    is_there[is_there] = segment.chunks[rows[is_there]] == chunks[is_there]
    found = iter(_compared(segment, rows[is_there], query).tolist())
    return [next(found) if one else None for one in is_there.tolist()]


def _query(segments: Sequence[Segment], vector: NDArray[np.float32], model: str) -> NDArray[np.int8]:
    for one in segments:
        if one.model != model:
            raise InputError(
                "KNOWLEDGE_MODEL_DIFFERS",
                f"the vectors are of the model `{one.model}`, the question's is of `{model}`",
                hint="ask with the model of the index, or index again with the other one",
            )
        if len(vector) != one.size:
            raise InputError(
                "KNOWLEDGE_VECTOR_INVALID",
                f"the question's vector must have {one.size} components as those of the index, not {len(vector)}",
            )
    query: NDArray[np.int8] = quantised(vector[None])[0]
    return query


def _nearest(
    segments: Sequence[Segment],
    query: NDArray[np.uint64],
    count: int,
    masks: Sequence[NDArray[np.bool_] | None],
) -> list[NDArray[np.int64]]:
    """The vectors of each segment that are among the `count` with the fewest bits that differ; of equals the first ones."""
    kept = _Kept(count)
    word, bits = np.empty(_BLOCK, np.uint64), np.empty(_BLOCK, np.uint8)
    for number, (segment, mask) in enumerate(zip(segments, masks, strict=True)):
        for begin in range(0, len(segment.chunks), _BLOCK):
            chunks = segment.chunks[begin : begin + _BLOCK]
            seen = None if mask is None else _of_block(mask, chunks)
            if seen is not None and not seen.any():
                continue
            size = len(chunks)
            far = np.zeros(size, np.uint16)
            for row, own in zip(segment.codes[:, begin : begin + size], query, strict=True):
                np.bitwise_xor(row, own, out=word[:size])
                np.bitwise_count(word[:size], out=bits[:size])
                np.add(far, bits[:size], out=far)
            near = far < kept.most
            if seen is not None:
                near &= seen
            at = np.flatnonzero(near)
            kept.add(far[at], number, at + begin)
    return kept.of_segments(len(segments))


def _likely(
    segments: Sequence[Segment], near: Sequence[NDArray[np.int64]], query: NDArray[np.int8], count: int
) -> list[NDArray[np.int64]]:
    """Those of the vectors of each segment that are among the `count` nearest by their bits and the question's bytes."""
    none = np.zeros((-(-len(query) // 64), 0), np.uint64)
    codes = [one.codes[:, rows] for one, rows in zip(segments, near, strict=True)]
    order = np.argsort(-products(np.concatenate([none, *codes], axis=1), query), kind="stable")
    stays = np.zeros(len(order), np.bool_)
    stays[order[:count]] = True
    parts = np.split(stays, np.cumsum([len(rows) for rows in near])[:-1])
    return [rows[part] for rows, part in zip(near, parts, strict=False)]


class _Kept:
    """The nearest so far: how far, of which segment and which vector, in one number each, whose order is then theirs."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._parts: list[NDArray[np.int64]] = [np.zeros(0, np.int64)]
        self._held = 0
        self.most = 64 * 64 + 1
        """What is as far, and comes later, is not among them."""

    def add(self, far: NDArray[np.uint16], segment: int, rows: NDArray[np.int64]) -> None:
        self._parts.append(far.astype(np.int64) << 48 | segment << 32 | rows)
        self._held += len(rows)
        if self._held > 2 * self._count:
            self._cut()

    def of_segments(self, count: int) -> list[NDArray[np.int64]]:
        self._cut()
        places = np.sort(self._parts[0] & 0xFFFF_FFFF_FFFF)
        return [places[places >> 32 == number] & 0xFFFF_FFFF for number in range(count)]

    def _cut(self) -> None:
        kept = np.concatenate(self._parts)
        if len(kept) > self._count:
            kept = np.partition(kept, self._count - 1)[: self._count]
            self.most = int(kept.max()) >> 48
        self._parts, self._held = [kept], len(kept)


def _of_block(mask: NDArray[np.bool_], chunks: NDArray[np.uint32]) -> NDArray[np.bool_]:
    first, last = int(chunks[0]), int(chunks[-1])
    # Where no chunk is without a vector, which is the rule, nothing has to be gathered.
    return mask[first : last + 1] if last - first == len(chunks) - 1 else mask[chunks]


def _compared(segment: Segment, rows: NDArray[np.int64], query: NDArray[np.int8]) -> NDArray[np.float64]:
    """The cosines of some vectors and a question's. Their products are whole numbers below 2^53: exact in whatever order."""
    if not len(rows):
        return np.zeros(0)
    there = segment.rows(rows).astype(np.float64)
    own = query.astype(np.float64)
    found: NDArray[np.float64] = (there @ own) / np.sqrt((there * there).sum(axis=1) * (own @ own))
    return found
