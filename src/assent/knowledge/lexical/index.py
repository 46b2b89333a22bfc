"""An index of terms over chunks, in pieces that never change: a segment for each batch that is indexed.

Postings are arrays: for each term which chunks have it, and how much it weighs there. They are all that a search reads, besides
how long each chunk is and which file it is of.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol

import numpy as np

from assent.knowledge.lexical.terms import Terms

if TYPE_CHECKING:
    from numpy.typing import NDArray

NAME_WEIGHT: Final = 4
"""A term of a chunk's symbol, or of its path, counts as so many in its text."""
WEIGHT_MAX: Final = 255
TESTS: Final = 0.6

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

    def postings(self, term: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
        """The chunks that have a term, and its weight in each."""
        at = int(np.searchsorted(self.terms, np.uint64(term)))
        if at == len(self.terms) or int(self.terms[at]) != term:
            return self.chunks[:0], self.weights[:0]
        begin, end = int(self.begins[at]), int(self.begins[at + 1])
        return self.chunks[begin:end], self.weights[begin:end]

    def factors(self, chunks: NDArray[np.integer]) -> NDArray[np.float32]:
        """What the scores of some chunks are multiplied with: a test names all that it tries, and counts for less."""
        return np.where(self.tests[self.files[chunks]], np.float32(TESTS), np.float32(1))


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

    def postings(self, term: int) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]: ...

    def factors(self, chunks: NDArray[np.integer]) -> NDArray[np.float32]: ...


class Ranked(NamedTuple):
    """A chunk that was found: its segment, its number there, and how well it fits."""

    segment: int
    chunk: int
    score: float


def segment_of(entries: Iterable[Entry], terms: Terms) -> Segment:
    """Index chunks. They stand in memory as 16 bytes for each of their terms meanwhile."""
    terms.forget()
    texts: list[NDArray[np.uint32]] = []
    names: list[NDArray[np.uint32]] = []
    files: list[int] = []
    paths: dict[str, int] = {}
    of_paths: list[list[int]] = []
    for text, symbol, path in entries:
        texts.append(np.array(terms.numbers(text), np.uint32))
        file = paths.setdefault(path, len(paths))
        if file == len(of_paths):
            of_paths.append(terms.numbers(path.encode()))
        names.append(np.array(terms.numbers(symbol.encode()) + of_paths[file], np.uint32))
        files.append(file)
    counts = [len(one) for one in (*texts, *names)]
    chunks = np.repeat(np.tile(np.arange(len(texts), dtype=np.uint64), 2), counts)
    keys = np.array(terms.keys(), np.uint64)
    order = np.argsort(keys)
    ranks = np.empty(len(keys), np.uint64)
    ranks[order] = np.arange(len(keys), dtype=np.uint64)
    numbers = np.concatenate([*texts, *names, np.zeros(0, np.uint32)])
    # One sort of all together: by term, then by chunk; the last bit says whether it stands in a name.
    every = ranks[numbers] << np.uint64(33) | chunks << np.uint64(1)
    every[sum(counts[: len(texts)]) :] |= np.uint64(1)
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
        lengths=np.array(counts[: len(texts)], np.uint32),
        files=np.array(files, np.uint32),
        paths=tuple(paths),
        tests=np.array([is_test(path) for path in paths], np.bool_),
    )


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
