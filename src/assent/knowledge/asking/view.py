"""What an asker may see of an index, asked.

Ranks by words and by meaning are made one by reciprocal rank fusion (Cormack and others, 2009). Until all that may be seen has a
vector, nearness is no search of its own, which would prefer what was embedded first: it orders what words have found. The chunks
that have a vector then change places among each other, and the others keep theirs.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cached_property
from itertools import accumulate, groupby
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from assent.knowledge import lexical, vectors
from assent.knowledge.asking.answer import Found, Part, Reader, Told, Why
from assent.knowledge.asking.where import Where

if TYPE_CHECKING:
    from numpy.typing import NDArray

DEPTH: Final = 200
"""Chunks that are ranked each way, and at least four times as many as are asked for."""
RRF_K: Final = 10
"""How much the first ranks count before the later ones."""

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,17}")
"""One spelling of each: a chunk has one name."""

_Mask: TypeAlias = "NDArray[np.bool_] | None"
_Place: TypeAlias = tuple[int, int]


class Meaning(NamedTuple):
    """A question as a model understands it."""

    model: str
    """The model's digest."""
    vector: NDArray[np.float32]


class _Rank(NamedTuple):
    rank: int
    score: float


class View:
    """What an asker may see: to be made once for each asker and state of the index, because numbering takes a while.

    `read` is called for what is answered, and for no chunk that is hidden.
    """

    def __init__(self, parts: Sequence[Part], read: Reader) -> None:
        # INVARIANT: the chunks of a file stand together, so that its first one is where its number is first found.
        assert all(bool((one.words.files[1:] >= one.words.files[:-1]).all()) for one in parts)
        self._parts = parts
        self._read = read
        self._words = lexical.Joined([one.words for one in parts])
        # What is counted for one question is so for the next.
        self._visible = lexical.Seen(self._words, self._joined([one.visible for one in parts]))
        self._vectors = [(number, one) for number, part in enumerate(parts) for one in part.vectors]

    @cached_property
    def is_covered(self) -> bool:
        """Whether each chunk that may be seen has a vector."""
        vectors = sum(self.embedded(one) for one in {part.repository for part in self._parts})
        return self._visible.count == vectors

    def embedded(self, repository: str) -> int:
        """How many chunks of a repository may be seen and have a vector."""
        masks = ((self._parts[number].visible, one.chunks) for number, one in self._of(repository))
        return sum(len(chunks) if mask is None else int(mask[chunks].sum()) for mask, chunks in masks)

    def _of(self, repository: str) -> list[tuple[int, vectors.Segment]]:
        return [
            (number, one) for number, one in self._vectors if self._parts[number].repository == repository
        ]

    def ask(
        self, question: str, *, limit: int, meaning: Meaning | None = None, where: Where | None = None
    ) -> list[Found]:
        """The chunks that answer a question best, the best first, no two of which overlap.

        Without `meaning` they are ranked by words alone. Vectors of another model than the question's are refused.
        """
        masks = [one.visible if where is None else where.mask(one) for one in self._parts]
        seen = self._visible if where is None else lexical.Seen(self._words, self._joined(masks))
        asked = lexical.asked(self._words, question)
        depth = max(DEPTH, 4 * limit)
        found = lexical.search(seen, asked, limit=depth)
        by_words = {self._place(one.chunk): _Rank(rank, one.score) for rank, one in enumerate(found, 1)}
        near: dict[_Place, _Rank] = {}
        if meaning is not None and self.is_covered:
            near = self._nearest(meaning, depth, masks)
            fused = {
                place: sum(1 / (RRF_K + of[place].rank) for of in (by_words, near) if place in of)
                for place in (*by_words, *near)
            }
        else:
            if meaning is not None:
                near = self._reordered(meaning, by_words)
            fused = {
                place: 1 / (RRF_K + own.rank) + 1 / (RRF_K + near.get(place, own).rank)
                for place, own in by_words.items()
            }
        last = _Rank(len(fused) + 1, 0)
        order = sorted(fused, key=lambda place: (-fused[place], by_words.get(place, last).rank, place))
        chosen = self._apart(order, limit)
        return [
            Found(
                path=self._path(place),
                start_line=told.line,
                end_line=told.end_line,
                symbol=told.symbol,
                language=told.language,
                text=told.text,
                score=fused[place],
                why=_why(self._terms(asked, place), by_words.get(place), near.get(place)),
                label=told.label,
                marks=told.marks,
                chunk=self.id_of(*place),
            )
            for place, told in chosen
        ]

    def read(self, part: int, chunk: int) -> Told:
        """A chunk that may be seen, by what `chunk_of` gave."""
        return self._read(part, chunk)

    def id_of(self, part: int, chunk: int) -> str:
        """The id of a chunk that may be seen."""
        file = int(self._parts[part].words.files[chunk])
        number = self._begins[part][file] + self._counted(part, self._first(part, file), chunk)
        return f"{self._path((part, chunk))}::{number}"

    def place(self, part: int, chunk: int) -> tuple[str, int]:
        """The path of a chunk's file, and its number there."""
        file = int(self._parts[part].words.files[chunk])
        return self._path((part, chunk)), chunk - self._first(part, file)

    def chunk_of(self, ident: str, repository: str) -> tuple[int, int] | None:
        """The part and the number of a chunk, by its id; None where there is none that may be seen."""
        path, _, text = ident.rpartition("::")
        for part, file in self._files.get((repository, path), ()) if _NUMBER.fullmatch(text) else ():
            first, end = self._first(part, file), self._first(part, file + 1)
            mask = self._parts[part].visible
            seen = np.arange(first, end) if mask is None else first + np.flatnonzero(mask[first:end])
            at = int(text) - self._begins[part][file]
            if 0 <= at < len(seen):
                return part, int(seen[at])
        return None

    def _counted(self, part: int, begin: int, end: int) -> int:
        """How many chunks from one up to another may be seen."""
        mask = self._parts[part].visible
        return end - begin if mask is None else int(np.count_nonzero(mask[begin:end]))

    def _first(self, part: int, file: int) -> int:
        files = self._parts[part].words.files
        return int(np.searchsorted(files, files.dtype.type(file)))

    def _path(self, place: _Place) -> str:
        words = self._parts[place[0]].words
        return words.paths[int(words.files[place[1]])]

    def _place(self, chunk: int) -> _Place:
        """The part and number of a chunk, by its number in all."""
        part = int(np.searchsorted(self._words.begins, chunk, "right")) - 1
        return part, chunk - int(self._words.begins[part])

    def _joined(self, masks: Sequence[_Mask]) -> _Mask:
        if all(one is None for one in masks):
            return None
        return np.concatenate(
            [
                np.ones(len(part.words.lengths), np.bool_) if one is None else one
                for part, one in zip(self._parts, masks, strict=True)
            ]
        )

    @cached_property
    def _files(self) -> dict[tuple[str, str], list[_Place]]:
        """The parts and numbers of each file that may be seen, in the order of repositories and paths."""
        every = [
            (part.repository, part.words.paths[file], (number, file))
            for number, part in enumerate(self._parts)
            for file in self._shown(part)
        ]
        every.sort(key=lambda one: (one[0], one[1].encode(), one[2]))
        found: dict[tuple[str, str], list[_Place]] = {}
        for repository, path, place in every:
            found.setdefault((repository, path), []).append(place)
        return found

    @staticmethod
    def _shown(part: Part) -> Iterable[int]:
        """The numbers of the files of a part of which some chunk may be seen."""
        if part.visible is None:
            return range(len(part.words.paths))
        shown: list[int] = np.unique(part.words.files[part.visible]).tolist()
        return shown

    @cached_property
    def _begins(self) -> list[dict[int, int]]:
        """For each part and file the number of its first chunk: how many of the repository come before and may be seen."""
        counts = []
        for part in self._parts:
            seen = np.ones(len(part.words.files), np.bool_) if part.visible is None else part.visible
            counts.append(np.bincount(part.words.files[seen], minlength=len(part.words.paths)).tolist())
        begins: list[dict[int, int]] = [{} for _ in self._parts]
        for _, files in groupby(self._files.items(), key=lambda one: one[0][0]):
            places = [place for _, each in files for place in each]
            before = accumulate((counts[at][file] for at, file in places), initial=0)
            for (at, file), number in zip(places, before, strict=False):
                begins[at][file] = number
        return begins

    def _nearest(self, meaning: Meaning, depth: int, masks: Sequence[_Mask]) -> dict[_Place, _Rank]:
        found = vectors.search(
            [one for _, one in self._vectors],
            meaning.vector,
            model=meaning.model,
            limit=depth,
            visible=[masks[number] for number, _ in self._vectors],
        )
        of_parts = [one._replace(segment=self._vectors[one.segment][0]) for one in found]
        of_parts.sort(key=lambda one: -self._counting((one.segment, one.chunk), one.score))
        return {(one.segment, one.chunk): _Rank(rank, one.score) for rank, one in enumerate(of_parts, 1)}

    def _counting(self, place: _Place, cosine: float) -> float:
        """What a cosine counts: less in a test, as it does for words."""
        words = self._parts[place[0]].words
        return cosine * lexical.TESTS if words.tests[words.files[place[1]]] else cosine

    def _reordered(self, meaning: Meaning, by_words: dict[_Place, _Rank]) -> dict[_Place, _Rank]:
        near: dict[_Place, float] = {}
        for number, segment in self._vectors:
            chunks = np.array([chunk for part, chunk in by_words if part == number], np.uint32)
            cosines = vectors.cosines(segment, meaning.vector, chunks, model=meaning.model)
            near |= {
                (number, chunk): cosine
                for chunk, cosine in zip(chunks.tolist(), cosines, strict=True)
                if cosine is not None
            }
        ranks = [own.rank for place, own in by_words.items() if place in near]
        order = sorted(near, key=lambda place: (-self._counting(place, near[place]), by_words[place].rank))
        return {place: _Rank(rank, near[place]) for place, rank in zip(order, ranks, strict=True)}

    def _apart(self, order: Sequence[_Place], limit: int) -> list[tuple[_Place, Told]]:
        """The first so many that do not overlap with a better one of the same file."""
        chosen: list[tuple[_Place, Told]] = []
        lines: dict[tuple[str, str], list[Told]] = {}
        for place in order:
            if len(chosen) >= limit:
                break
            told = self._read(*place)
            taken = lines.setdefault((self._parts[place[0]].repository, self._path(place)), [])
            if all(told.end_line < one.line or one.end_line < told.line for one in taken):
                taken.append(told)
                chosen.append((place, told))
        return chosen

    def _terms(self, asked: lexical.Asked, place: _Place) -> list[str]:
        """The terms of a question that a chunk has."""
        chunk = np.uint32(self._words.begins[place[0]] + place[1])
        found = []
        for term, (chunks, _) in zip(asked.terms, asked.postings, strict=True):
            at = int(np.searchsorted(chunks, chunk))
            if at < len(chunks) and chunks[at] == chunk:
                found.append(term)
        return found


def _why(terms: list[str], words: _Rank | None, near: _Rank | None) -> Why:
    return Why(
        terms,
        words.rank if words else None,
        words.score if words else None,
        near.rank if near else None,
        near.score if near else None,
    )
