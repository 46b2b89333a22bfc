"""Segments as bytes in named parts, so that a store can keep them: a search reads of the postings what it needs, and no more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np

from assent.knowledge.lexical.index import Segment, is_test, places_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assent.knowledge.lexical.index import Postings

_KINDS: Final = {
    "terms": "<u8",
    "begins": "<i8",
    "chunks": "<u4",
    "weights": "<u1",
    "lengths": "<u4",
    "files": "<u4",
}
_CHUNK_BYTES: Final = 4


class Parts(Protocol):
    """Where the parts of a segment are."""

    def read(self, part: str, begin: int = 0, end: int | None = None) -> bytes:
        """Bytes of a part."""

    def ranges(self, asked: Sequence[tuple[str, int, int]]) -> list[bytes]:
        """Bytes of parts, each from one place up to another."""


def parts_of(segment: Segment) -> dict[str, bytes]:
    """A segment as bytes."""
    arrays = {
        name: getattr(segment, name).astype(kind, copy=False).tobytes() for name, kind in _KINDS.items()
    }
    return arrays | {"paths": "\0".join(segment.paths).encode()}


class StoredSegment:
    """A segment that is somewhere else: its postings are read when they are asked for, all else at once."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts
        self.terms = _array(parts, "terms")
        self.begins = _array(parts, "begins")
        self.lengths: NDArray[np.uint32] = _array(parts, "lengths")
        self.files: NDArray[np.uint32] = _array(parts, "files")
        paths = parts.read("paths").decode()
        self.paths = tuple(paths.split("\0")) if len(self.files) else ()
        self.tests = np.array([is_test(path) for path in self.paths], np.bool_)

    def postings(self, terms: Sequence[int]) -> list[Postings]:
        """For each term the chunks that have it, and its weight in each: all read at once."""
        places = places_of(self, terms)
        read = self._parts.ranges(
            [("chunks", begin * _CHUNK_BYTES, end * _CHUNK_BYTES) for begin, end in places]
            + [("weights", begin, end) for begin, end in places]
        )
        return [
            (np.frombuffer(chunks, "<u4"), np.frombuffer(weights, "<u1"))
            for chunks, weights in zip(read[: len(places)], read[len(places) :], strict=True)
        ]


def loaded(parts: Parts) -> Segment:
    """A stored segment, with all its postings."""
    own = StoredSegment(parts)
    chunks, weights = _array(parts, "chunks"), _array(parts, "weights")
    return Segment(own.terms, own.begins, chunks, weights, own.lengths, own.files, own.paths, own.tests)


def without(parts: Parts, keep: NDArray[np.bool_]) -> dict[str, bytes]:
    """A stored segment without some of its files (`True`: it stays), as if they had never been indexed with the others."""
    stored = loaded(parts)
    terms = np.repeat(np.arange(len(stored.terms)), np.diff(stored.begins))
    staying = keep[stored.files]
    posted = staying[stored.chunks]
    used, begins = np.unique(terms[posted], return_index=True)
    chunks = (np.cumsum(staying) - 1)[stored.chunks[posted]]
    paths = tuple(path for path, is_kept in zip(stored.paths, keep, strict=True) if is_kept)
    return parts_of(
        Segment(
            terms=stored.terms[used],
            begins=np.append(begins, len(chunks)).astype(np.int64),
            chunks=chunks.astype(np.uint32),
            weights=stored.weights[posted],
            lengths=stored.lengths[staying],
            files=(np.cumsum(keep) - 1)[stored.files[staying]].astype(np.uint32),
            paths=paths,
            tests=np.array([is_test(path) for path in paths], np.bool_),
        )
    )


def _array(parts: Parts, name: str) -> NDArray[Any]:  # `Any`: of the kind that the table says
    return np.frombuffer(parts.read(name), _KINDS[name])
