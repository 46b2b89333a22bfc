"""An index of terms over chunks, in pieces that never change: a segment for each batch that is indexed.

Postings are arrays: for each term which chunks have it, and how much it weighs there. They are all that a search reads, besides
how long each chunk is and which file it is of.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TypeAlias

import numpy as np

from assent.knowledge.lexical.terms import Terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME_WEIGHT: Final = 4
"""A term of a chunk's symbol, or of its path, counts as so many in its text."""
WEIGHT_MAX: Final = 255
TESTS: Final = 0.6

Postings: TypeAlias = "tuple[NDArray[np.uint32], NDArray[np.uint8]]"
"""The chunks that have a term, ascending, and its weight in each."""

_TEST_FOLDERS: Final = frozenset({"test", "tests", "t", "testing", "__tests__", "spec", "specs"})


class Entry(NamedTuple):
    """A chunk to be indexed: its text, what it defines, and the path of its file."""

    text: bytes
    symbol: str
    path: str


class Segment(NamedTuple):
    """What was indexed at once. Chunks are counted from 0, in the order they came; files as their paths first came."""

    terms: NDArray[np.uint64]
    """The keys of all terms, sorted."""
    begins: NDArray[np.int64]
    """Where each term's postings begin; one more, for the end of the last."""
    chunks: NDArray[np.uint32]
    """The postings: chunks, ascending for each term."""
    weights: NDArray[np.uint8]
    """How often the term stands in the chunk, with symbol and path, at most 255."""
    lengths: NDArray[np.uint32]
    """Terms of each chunk's text."""
    files: NDArray[np.uint32]
    """The file of each chunk."""
    paths: tuple[str, ...]
    """The files' paths."""
    tests: NDArray[np.bool_]
    """Whether each file is one of tests."""

    def postings(self, terms: Sequence[int]) -> list[Postings]:
        """For each term the chunks that have it, and its weight in each."""
        places = places_of(self, terms)
        return [(self.chunks[begin:end], self.weights[begin:end]) for begin, end in places]


class Searched(Protocol):
    """What a search reads of a segment, wherever that is."""

    @property
    def lengths(self) -> NDArray[np.uint32]: ...

    @property
    def files(self) -> NDArray[np.uint32]: ...

    @property
    def paths(self) -> Sequence[str]: ...

    @property
    def tests(self) -> NDArray[np.bool_]: ...

    def postings(self, terms: Sequence[int]) -> list[Postings]: ...


class _Listed(Protocol):
    @property
    def terms(self) -> NDArray[np.uint64]: ...

    @property
    def begins(self) -> NDArray[np.int64]: ...


def places_of(segment: _Listed, terms: Sequence[int]) -> list[tuple[int, int]]:
    """Where the postings of each term begin and end."""
    keys = np.array(terms, np.uint64)
    at, ends = np.searchsorted(segment.terms, keys), np.searchsorted(segment.terms, keys, "right")
    return [*zip(segment.begins[at].tolist(), segment.begins[ends].tolist(), strict=True)]


def factors(segment: Searched, chunks: NDArray[np.integer]) -> NDArray[np.float32]:
    """What the scores of some chunks are multiplied with: a test names all that it tries, and counts for less."""
    return np.where(segment.tests[segment.files[chunks]], np.float32(TESTS), np.float32(1))


class Joined:
    """Segments as one, whose chunks and files are counted through: what a search takes for each of many, it takes once."""

    def __init__(self, segments: Sequence[Searched]) -> None:
        self._segments = segments
        self.begins = np.cumsum([0, *(len(one.lengths) for one in segments)])
        files = np.cumsum([0, *(len(one.paths) for one in segments)])
        none = np.zeros(0, np.uint32)
        self.lengths = np.concatenate([none, *(one.lengths for one in segments)])
        self.files = np.concatenate(
            [none, *(one.files + np.uint32(first) for one, first in zip(segments, files, strict=False))]
        )
        self.paths = [path for one in segments for path in one.paths]
        self.tests = np.concatenate([np.zeros(0, np.bool_), *(one.tests for one in segments)])

    def postings(self, terms: Sequence[int]) -> list[Postings]:
        """For each term the chunks that have it, and its weight in each."""
        every = [one.postings(terms) for one in self._segments]
        begins = self.begins.astype(np.uint32)
        return [
            (
                np.concatenate(
                    [begins[:0], *(own[0] + begin for own, begin in zip(each, begins, strict=False))]
                ),
                np.concatenate([np.zeros(0, np.uint8), *(own[1] for own in each)]),
            )
            for each in zip(*every, strict=True)
        ]


def merged(segments: Sequence[Segment]) -> Segment:
    """Segments as one that is what it would be had all been indexed at once, one after the other; copies their postings."""
    terms = np.unique(np.concatenate([one.terms for one in segments]))
    places = [np.searchsorted(terms, one.terms) for one in segments]
    counts = np.zeros(len(terms), np.int64)
    for one, at in zip(segments, places, strict=True):
        counts[at] += np.diff(one.begins)
    begins = np.cumsum([0, *counts])
    chunks, weights = np.empty(begins[-1], np.uint32), np.empty(begins[-1], np.uint8)
    joined, ends = Joined(segments), begins[:-1].copy()
    for one, at, first in zip(segments, places, joined.begins, strict=False):
        often = np.diff(one.begins)
        to = np.repeat(ends[at] - one.begins[:-1], often) + np.arange(len(one.chunks))
        chunks[to], weights[to] = one.chunks + np.uint32(first), one.weights
        ends[at] += often
    return Segment(
        terms, begins, chunks, weights, joined.lengths, joined.files, tuple(joined.paths), joined.tests
    )


class Gathering:
    """Chunks as they come, on their way into one segment; meanwhile each of their terms takes 4 bytes, and no text is kept."""

    def __init__(self, terms: Terms) -> None:
        terms.forget()
        self._terms = terms
        self._texts, self._names = array("I"), array("I")
        self._ends: tuple[list[int], list[int]] = ([0], [0])
        self._files: list[int] = []
        self._paths: dict[str, int] = {}
        self._of_paths: list[list[int]] = []

    def add(self, entry: Entry) -> None:
        """One more chunk."""
        text, symbol, path = entry
        file = self._paths.setdefault(path, len(self._paths))
        if file == len(self._of_paths):
            self._of_paths.append([*self._terms.numbers(path.encode())])
        self._texts.extend(self._terms.numbers(text))
        self._names.extend(self._terms.numbers(symbol.encode()))
        self._names.extend(self._of_paths[file])
        self._files.append(file)
        for ends, numbers in zip(self._ends, (self._texts, self._names), strict=True):
            ends.append(len(numbers))

    def segment(self) -> Segment:
        """All of them indexed; takes 16 bytes for each of their terms meanwhile."""
        lengths, names = (np.diff(ends) for ends in self._ends)
        chunks = np.repeat(
            np.tile(np.arange(len(lengths), dtype=np.uint64), 2), np.concatenate([lengths, names])
        )
        keys = np.array(self._terms.keys(), np.uint64)
        order = np.argsort(keys)
        ranks = np.empty(len(keys), np.uint64)
        ranks[order] = np.arange(len(keys), dtype=np.uint64)
        numbers = np.array(self._texts + self._names, np.uint32)
        # One sort of all together: by term, then by chunk; the last bit says whether it stands in a name.
        every = ranks[numbers] << np.uint64(33) | chunks << np.uint64(1)
        every[len(self._texts) :] |= np.uint64(1)
        every.sort()
        heads = np.flatnonzero(np.diff(every >> np.uint64(1), prepend=np.uint64(2**64 - 1)))
        weights = np.where(every & np.uint64(1), np.uint32(NAME_WEIGHT), np.uint32(1))
        often = np.add.reduceat(weights, heads) if len(heads) else weights
        pairs = every[heads] >> np.uint64(1)
        used, begins = np.unique(pairs >> np.uint64(32), return_index=True)
        return Segment(
            terms=keys[order][used],
            begins=np.append(begins, len(pairs)).astype(np.int64),
            chunks=(pairs & np.uint64(0xFFFFFFFF)).astype(np.uint32),
            weights=np.minimum(often, WEIGHT_MAX).astype(np.uint8),
            lengths=lengths.astype(np.uint32),
            files=np.array(self._files, np.uint32),
            paths=tuple(self._paths),
            tests=np.array([is_test(path) for path in self._paths], np.bool_),
        )


def segment_of(entries: Iterable[Entry], terms: Terms) -> Segment:
    """Index chunks."""
    gathering = Gathering(terms)
    for entry in entries:
        gathering.add(entry)
    return gathering.segment()


def is_test(path: str) -> bool:
    """Whether a file is one of tests, by the names that tests have in most languages."""
    name = PurePosixPath(path.lower())
    stem = name.name.partition(".")[0]
    return (
        stem.startswith("test_")
        or stem.endswith(("_test", "_tests"))
        or ".test." in name.name
        or ".spec." in name.name
        or not _TEST_FOLDERS.isdisjoint(name.parts[:-1])
    )
