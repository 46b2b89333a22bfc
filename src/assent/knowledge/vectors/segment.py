"""Vectors of chunks, in pieces that never change: those that were made at once, of the chunks of one segment of words.

They are kept as they are made, and joined to be searched: a million in pieces of 2 048 would be five hundred searches.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from assent.errors import InputError
from assent.knowledge.vectors.codes import codes_of, quantised

if TYPE_CHECKING:
    from numpy.typing import NDArray

CODES_VERSION: Final = 1
"""It grows when the same vector has other bytes or bits: what was indexed before is indexed anew then."""

Rows: TypeAlias = "Callable[[NDArray[np.int64]], NDArray[np.int8]]"
"""Reads the bytes of some vectors, by their numbers. They need not be in memory."""


class Segment(NamedTuple):
    """The vectors of some chunks. Vectors are counted from 0."""

    model: str
    """The digest of the model that they are of."""
    size: int
    """Components of each."""
    chunks: NDArray[np.uint32]
    """The chunk of each vector, as the segment of words counts them, ascending."""
    codes: NDArray[np.uint64]
    """The bits of each, as `codes_of` gives them."""
    rows: Rows
    """The bytes of each, as `quantised` gives them."""


def segment_of(model: str, vectors: NDArray[np.float32], chunks: NDArray[np.uint32]) -> Segment:
    """What is kept of vectors, in memory. `chunks`: the chunk of each, ascending."""
    rows = quantised(vectors)
    if len(chunks) != len(rows) or bool((np.diff(chunks.astype(np.int64)) <= 0).any()):
        raise InputError(
            "KNOWLEDGE_VECTOR_INVALID",
            f"each vector must be of one chunk, and chunks must ascend: there are {len(rows)} vectors "
            f"and {len(chunks)} chunks",
        )
    return Segment(model, rows.shape[1], chunks, codes_of(rows), rows.__getitem__)


def joined(segments: Sequence[Segment]) -> Segment:
    """Pieces of one model and one segment of words as one; of a chunk that is in two of them, the first is taken.

    Chunks and bits are copied into arrays of their own, the bytes are read from the pieces.
    """
    if len(segments) == 1:
        return segments[0]
    pieces = sorted(segments, key=lambda one: int(one.chunks[0]))
    begins = np.cumsum([0, *(len(one.chunks) for one in pieces)])
    chunks = np.concatenate([one.chunks for one in pieces])
    codes = np.concatenate([one.codes for one in pieces], axis=1)
    order = np.arange(len(chunks))
    if not bool((chunks[1:] > chunks[:-1]).all()):
        chunks, order = np.unique(chunks, return_index=True)
        codes = codes.take(order, axis=1)
    size = pieces[0].size

    def rows(numbers: NDArray[np.int64]) -> NDArray[np.int8]:
        places = order[numbers]
        of = np.searchsorted(begins, places, "right") - 1
        found = np.empty((len(places), size), np.int8)
        for piece in np.unique(of).tolist():
            mine = of == piece
            found[mine] = pieces[piece].rows(places[mine] - begins[piece])
        return found

    return Segment(pieces[0].model, size, chunks, codes, rows)
