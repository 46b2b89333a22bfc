"""Pieces put together: whoever follows a folder makes some for each change, and a search reads from all of them.

They stay in the order in which they were indexed, so that a search answers as before.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

from assent.capabilities.knowledge._models import LEXICAL, VECTORS, in_order, segments_of
from assent.errors import WorldError

if TYPE_CHECKING:
    from assent.invocation import CancelToken
    from assent.knowledge.store import Piece, Run, Store
    from assent.knowledge.vectors import Segment

FEW: Final = 8
"""Fewer pieces of about one size are left as they are."""
BYTES_MAX: Final = 128 << 20
"""What is put together at once; it takes some four times as much memory meanwhile. A piece of half of it is large enough."""

_Vectors: TypeAlias = "list[tuple[Piece, Segment]]"


def merge(store: Store, repository: str, model: str, cancel: CancelToken) -> None:
    """Put pieces of a repository together until they are few. `model`: the digest of the one whose vectors are kept.

    Where somebody else writes for long it is left for a later run.
    """
    while not cancel.is_cancelled and _chosen(store, repository, model) is not None:
        try:
            with store.index(repository) as run:
                # Once more: whoever wrote before may have done it, and nobody does now.
                if (chosen := _chosen(store, repository, model)) is not None:
                    _put_together(run, *chosen)
        except WorldError as error:
            if error.code != "STORAGE_BUSY":
                raise
            return


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


def _chosen(store: Store, repository: str, model: str) -> tuple[list[Piece], _Vectors] | None:
    """Pieces of words, and those of their vectors, that are due; of one piece of words those of its vectors alone."""
    words = in_order(store.pieces(repository, LEXICAL))
    near, _ = segments_of(store, repository, model)
    of_words = [near.get(one.name, []) for one in words]
    sizes = [
        _size(piece) + sum(_size(one) for one, _ in own) for piece, own in zip(words, of_words, strict=True)
    ]
    some = due(sizes)
    if some.stop:
        return words[some], [one for own in of_words[some] for one in own]
    for piece, own in zip(words, of_words, strict=True):
        several = due([_size(one) for one, _ in own])
        if several.stop:
            return [piece], own[several]
    return None


def _put_together(run: Run, words: list[Piece], near: _Vectors) -> None:
    import numpy as np

    from assent.knowledge import lexical, vectors

    segments = [lexical.StoredSegment(one) for one in words]
    begins = np.cumsum([0, *(len(one.files) for one in segments)]).tolist()
    begin_of = {piece.name: begin for piece, begin in zip(words, begins, strict=False)}
    rows = np.concatenate([one.rows for one in words])
    name = words[0].name
    if len(words) > 1:
        parts = lexical.parts_of(lexical.merged([lexical.loaded(one) for one in words]))
        for piece in words:
            run.remove_piece(LEXICAL, piece.name)
        run.put_piece(LEXICAL, name, parts, rows)
    if near:
        counts = np.concatenate([np.bincount(one.files, minlength=len(one.paths)) for one in segments])
        moved = [
            segment._replace(chunks=segment.chunks + np.uint32(begin_of[piece.name.rpartition("/")[0]]))
            for piece, segment in near
        ]
        for piece, _ in near:
            run.remove_piece(VECTORS, piece.name)
        last = near[-1][0].name.rpartition("/")[2]
        run.put_piece(VECTORS, f"{name}/{last}", vectors.parts_of(vectors.joined(moved), counts), rows)
    run.commit("derived")


def _size(piece: Piece) -> int:
    return sum(piece.parts.values())
