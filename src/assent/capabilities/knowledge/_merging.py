"""Pieces put together: whoever follows a folder makes some for each change, and a search reads from all of them.

They stay in the order in which they were indexed, so that a search answers as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from assent.capabilities.knowledge._models import LEXICAL, VECTORS, in_order, segments_of

if TYPE_CHECKING:
    from assent.invocation import CancelToken
    from assent.knowledge.store import Piece, Store
    from assent.knowledge.vectors import Segment

FEW: Final = 8
"""Fewer pieces of about one size are left as they are."""
BYTES_MAX: Final = 128 << 20
"""What is put together at once; it takes some four times as much memory meanwhile. A piece of half of it is large enough."""


def merge(store: Store, repository: str, model: str, cancel: CancelToken) -> None:
    """Put pieces of a repository together until they are few. `model`: the digest of the one whose vectors are kept."""
    while not cancel.is_cancelled and _merged(store, repository, model):
        pass


def due(sizes: Sequence[int]) -> slice:
    """Which pieces, by their bytes and in their order, are to be put together next; none: they are few.

    What comes of them is twice as large as the largest at least, so that what was once kept is written anew a few times at most.
    """
    for end in range(len(sizes), 1, -1):
        total = largest = 0
        found = slice(0)
        for begin in range(end - 1, -1, -1):
            total, largest = total + sizes[begin], max(largest, sizes[begin])
            if total > BYTES_MAX or 2 * largest > BYTES_MAX:
                break
            if total >= 2 * largest and (end - begin >= FEW or 2 * total >= BYTES_MAX):
                found = slice(begin, end)
        if found.stop:
            return found
    return slice(0)


def _merged(store: Store, repository: str, model: str) -> bool:
    import numpy as np

    from assent.knowledge import lexical, vectors

    with store.index(repository) as run:
        words = in_order(store.pieces(repository, LEXICAL))
        near, _ = segments_of(store, repository, model)
        of_words = [near.get(one.name, []) for one in words]
        some = due([_size(piece, own) for piece, own in zip(words, of_words, strict=True)])
        replaced = [one for each in of_words[some] for one in each]
        if not some.stop:
            for at, own in enumerate(of_words):
                # All of one piece of words, or those that were made one after the other.
                several = due([_size(piece) for piece, _ in own])
                if several.stop:
                    some, replaced = slice(at, at + 1), own[several]
                    break
            else:
                return False
        segments = [lexical.StoredSegment(one) for one in words[some]]
        begins = dict(
            zip(
                (one.name for one in words[some]),
                np.cumsum([0, *(len(one.files) for one in segments)]).tolist(),
                strict=False,
            )
        )
        rows = np.concatenate([one.rows for one in words[some]])
        counts = np.concatenate([np.bincount(one.files, minlength=len(one.paths)) for one in segments])
        name = words[some][0].name
        if len(segments) > 1:
            parts = lexical.parts_of(lexical.merged([lexical.loaded(one) for one in words[some]]))
            for piece in words[some]:
                run.remove_piece(LEXICAL, piece.name)
            run.put_piece(LEXICAL, name, parts, rows)
        if replaced:
            moved = [
                segment._replace(chunks=segment.chunks + np.uint32(begins[piece.name.rpartition("/")[0]]))
                for piece, segment in replaced
            ]
            for piece, _ in replaced:
                run.remove_piece(VECTORS, piece.name)
            last = replaced[-1][0].name.rpartition("/")[2]
            run.put_piece(VECTORS, f"{name}/{last}", vectors.parts_of(vectors.joined(moved), counts), rows)
        run.commit("derived")
        return True


def _size(piece: Piece, beside: Sequence[tuple[Piece, Segment]] = ()) -> int:
    return sum(piece.parts.values()) + sum(_size(one) for one, _ in beside)
