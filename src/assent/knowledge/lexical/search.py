"""Chunks ranked for a question: BM25 over what its asker may see, less for tests, more for files with more of it.

What is hidden has no part in anything: how often a term is, how long chunks are and how many there are is counted over what may
be seen, so that scores are those of an index that never had the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple, TypeAlias

import numpy as np

from assent.knowledge.lexical.index import Postings, Searched, factors
from assent.knowledge.lexical.terms import key_of, terms_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

K1: Final = 1.2
B: Final = 0.75
"""BM25's own (Robertson and Zaragoza, 2009): how soon a term more counts for little, and how much long chunks pay."""
COHERENCE: Final = 0.3
FADING: Final = 0.8
"""A chunk is helped by the others of its file that fit: by so much of the next best, and each further by so much less."""
OTHERS_MAX: Final = 10
CANDIDATES: Final = 400
"""Chunks whose files are looked at."""
TERMS_MAX: Final = 64
"""Terms of a question that are looked for."""
_OFTEN_MAX: Final = 100_000
"""Terms of which is remembered how often they are."""
_FEW: Final = 8
"""Looking a term up for one chunk takes as long as for so many at once."""
_BLOCK: Final = 1 << 16
_ROUNDED: Final = 0.9999
"""Sums are of 32 bits: what is left out by them must be worse by more than they may be wrong."""
_LOOK: Final = 1.5
"""When the best are looked at: as soon as what is left brings less than so many of the rarest term."""
_TINY: Final = float(np.finfo(np.float32).tiny)

_Scored: TypeAlias = "tuple[NDArray[np.uint32], NDArray[np.float32]]"
"""Chunks and their scores, before what is less for tests."""


class Ranked(NamedTuple):
    """A chunk that was found, by its number, and how well it fits."""

    chunk: int
    score: float


def search(seen: Seen, question: str | Asked, *, limit: int) -> list[Ranked]:
    """The chunks of what may be seen that fit a question best, the best first; of equals the one that was indexed first.

    A chunk without any of the terms is not found.
    """
    if not seen.count:
        return []
    average = max(seen.words / seen.count, 1.0)
    own = asked(seen.segment, question) if isinstance(question, str) else question
    often = [
        (seen.often(key, chunks), at)
        for at, (key, (chunks, _)) in enumerate(zip(own.keys, own.postings, strict=True))
    ]
    terms = [
        _Term(float(np.log(1 + (seen.count - count + 0.5) / (count + 0.5))), count, own.postings[at])
        for count, at in sorted(often)
        if count
    ]
    return _best(seen.segment, _candidates(seen, terms, average), limit)


class Asked(NamedTuple):
    """A question's terms that are looked for, as a segment has them: read once, and kept as long as it is answered."""

    terms: list[str]
    keys: list[int]
    """What the index has for each term."""
    postings: list[Postings]


def asked(segment: Searched, question: str) -> Asked:
    """A question, read in a segment: for `search` in the same."""
    terms = [*dict.fromkeys(terms_in(question.encode("utf-8", "replace")))][:TERMS_MAX]
    keys = [key_of(term) for term in terms]
    return Asked([term.decode() for term in terms], keys, segment.postings(keys))


class _Term(NamedTuple):
    rare: float
    often: int
    postings: Postings


class Seen:
    """Which chunks of a segment may be seen, or all. What is counted over them is remembered: to be kept where more is asked."""

    def __init__(self, segment: Searched, mask: NDArray[np.bool_] | None = None) -> None:
        self.segment = segment
        self.mask = mask
        self._often: dict[int, int] = {}

    @cached_property
    def count(self) -> int:
        """How many there are."""
        return len(self.segment.lengths) if self.mask is None else int(np.count_nonzero(self.mask))

    @cached_property
    def words(self) -> int:
        """The terms of their texts."""
        lengths = self.segment.lengths if self.mask is None else self.segment.lengths[self.mask]
        return int(lengths.sum(dtype=np.uint64))

    def often(self, key: int, chunks: NDArray[np.uint32]) -> int:
        """How many of them have a term. `chunks`: all that have it."""
        found = self._often.get(key)
        if found is None:
            found = len(chunks) if self.mask is None else int(np.count_nonzero(self.mask[chunks]))
            if len(self._often) >= _OFTEN_MAX:
                self._often.clear()
            self._often[key] = found
        return found


def _candidates(seen: Seen, terms: Sequence[_Term], average: float) -> _Scored:
    """Chunks with their scores; all of the best are among them (MaxScore, Turtle and Flood 1995).

    The rarest terms are looked up first, because they count most. As soon as those that are left could not bring a chunk that
    has none of the others among the best, they are looked up for the chunks alone that they could still bring there.
    """
    scores = np.zeros(len(seen.segment.lengths), np.float32)
    left = sum(one.rare for one in terms) * (K1 + 1)
    least = 0.0
    for at, (rare, often, (chunks, weights)) in enumerate(terms):
        # A look at the best takes as long as a term or two: it is taken where they may have more than what is left can bring.
        if left < (K1 + 1) * _LOOK * terms[0].rare:
            least = _least(seen, scores, least)
            near = _above(seen, scores, least - left) if left < least else None
            if near is not None and np.count_nonzero(near) * _FEW < often:
                return _completed(seen.segment, _picked(near, scores), terms[at:], average, left)
        # numpy would make these of the chunks each time: with them it takes half as long.
        places = chunks.astype(np.intp)
        scores[places] += _score(seen.segment, rare, places, weights, average)
        left -= rare * (K1 + 1)
    return _picked(_above(seen, scores, max(_least(seen, scores, least), _TINY)), scores)


def _picked(near: NDArray[np.bool_], scores: NDArray[np.float32]) -> _Scored:
    chunks = np.flatnonzero(near).astype(np.uint32)
    return chunks, scores[chunks]


def _completed(
    segment: Searched, found: _Scored, terms: Sequence[_Term], average: float, left: float
) -> _Scored:
    """The chunks with what the last terms bring them, without those that can't be among the best any more."""
    mine, scores = found
    for rare, _, (chunks, weights) in terms:
        places = np.searchsorted(chunks, mine)
        has = np.flatnonzero(chunks.take(places, mode="clip") == mine) if len(chunks) else places[:0]
        places = places[has]
        scores[has] += _score(segment, rare, chunks[places], weights[places], average)
        left -= rare * (K1 + 1)
        values = scores * factors(segment, mine)
        # INVARIANT: the best are among them, so that there are as many: nobody comes here before they are known.
        least = float(np.partition(values, -CANDIDATES)[-CANDIDATES]) * _ROUNDED - max(left, 0)
        stay = scores >= least
        mine, scores = mine[stay], scores[stay]
    return mine, scores


def _score(
    segment: Searched, rare: float, chunks: NDArray[np.integer], weights: NDArray[np.uint8], average: float
) -> NDArray[np.float32]:
    score: NDArray[np.float32] = segment.lengths[chunks].astype(np.float32)
    score *= np.float32(K1 * B / average)
    score += np.float32(K1 * (1 - B))
    weight = weights.astype(np.float32)
    score += weight
    np.divide(weight, score, out=score)
    score *= np.float32(rare * (K1 + 1))
    return score


def _least(seen: Seen, scores: NDArray[np.float32], before: float) -> float:
    """The score that each of the best has at least; `before`: what it was when scores were less. 0: there are not as many."""
    best = np.full(CANDIDATES, before, np.float32)
    least = best[0]
    for begin in range(0, len(scores), _BLOCK):
        near = scores[begin : begin + _BLOCK] > least
        if seen.mask is not None:
            near &= seen.mask[begin : begin + _BLOCK]
        chunks = np.flatnonzero(near) + begin
        if len(chunks):
            values = scores[chunks] * factors(seen.segment, chunks)
            best = np.partition(np.concatenate([best, values]), -CANDIDATES)[-CANDIDATES:]
            least = best[0]
    return float(least) * _ROUNDED


def _above(seen: Seen, scores: NDArray[np.float32], least: float) -> NDArray[np.bool_]:
    near = scores >= np.float32(least)
    if seen.mask is not None:
        near &= seen.mask
    return near


def _best(segment: Searched, found: _Scored, limit: int) -> list[Ranked]:
    chunks, scores = found
    ranked = sorted(zip((-scores * factors(segment, chunks)).tolist(), chunks.tolist(), strict=True))
    of_files: dict[str, list[float]] = {}
    files: list[list[float]] = []
    for minus, chunk in ranked[:CANDIDATES]:
        mine = of_files.setdefault(segment.paths[segment.files[chunk]], [])
        mine.append(-minus)
        files.append(mine)
    best = [
        Ranked(chunk, -minus + COHERENCE * _help(mine, -minus))
        for (minus, chunk), mine in zip(ranked, files, strict=False)
    ]
    best.sort(key=lambda one: (-one.score, one.chunk))
    return best[:limit]


def _help(scores: list[float], own: float) -> float:
    """What the other chunks of a file bring one of them; `scores`: of all, the best first."""
    at = scores.index(own)
    others = [*scores[:at], *scores[at + 1 : OTHERS_MAX + 1]][:OTHERS_MAX]
    return sum(score * FADING**number for number, score in enumerate(others))
