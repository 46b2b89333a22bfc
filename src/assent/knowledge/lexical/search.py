"""Chunks ranked for a question: BM25 over what its asker may see, less for tests, more for files with more of it.

What is hidden has no part in anything: how often a term is, how long chunks are and how many there are is counted over what may
be seen, so that scores are those of an index that never had the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import numpy as np

from assent.knowledge.lexical.index import Ranked, Segment
from assent.knowledge.lexical.terms import key_of, terms_in

if TYPE_CHECKING:
    from numpy.typing import NDArray

K1: Final = 1.2
B: Final = 0.75
"""BM25's own (Robertson and Zaragoza, 2009): how soon a term more counts for little, and how much long chunks pay."""
TESTS: Final = 0.6
"""A test names all that the code does which it tries: it counts for less."""
COHERENCE: Final = 0.3
FADING: Final = 0.8
"""A chunk is helped by the others of its file that fit: by so much of the next best, and each further by so much less."""
OTHERS_MAX: Final = 10
CANDIDATES: Final = 400
"""Chunks whose files are looked at."""
TERMS_MAX: Final = 64
"""Terms of a question that are looked for."""


def search(
    segments: Sequence[Segment],
    question: str,
    *,
    limit: int,
    visible: Sequence[NDArray[np.bool_] | None] | None = None,
) -> list[Ranked]:
    """The chunks that fit a question best, the best first; of equals the one that was indexed first.

    `visible`: for each segment which of its chunks may be seen; None for all of one, or of all. A chunk without any of the terms
    is not found.
    """
    masks = [None] * len(segments) if visible is None else visible
    sizes = [
        len(one.lengths) if mask is None else int(mask.sum())
        for one, mask in zip(segments, masks, strict=True)
    ]
    total = sum(sizes)
    if not total:
        return []
    words = sum(
        int((one.lengths if mask is None else one.lengths[mask]).sum(dtype=np.uint64))
        for one, mask in zip(segments, masks, strict=True)
    )
    keys = [key for _, key in question_terms(question)]
    found = [[_seen(one, mask, key) for key in keys] for one, mask in zip(segments, masks, strict=True)]
    often = [sum(len(of_one[at][0]) for of_one in found) for at in range(len(keys))]
    scores = [
        _scores(one, postings, often, total=total, average=max(words / total, 1.0))
        for one, postings in zip(segments, found, strict=True)
    ]
    return _best(segments, scores, limit)


def question_terms(question: str) -> list[tuple[str, int]]:
    """The terms of a question that are looked for, each with its key in the index."""
    terms = [*dict.fromkeys(terms_in(question.encode("utf-8", "replace")))][:TERMS_MAX]
    return [(term.decode(), key_of(term)) for term in terms]


def _seen(
    segment: Segment, mask: NDArray[np.bool_] | None, key: int
) -> tuple[NDArray[np.uint32], NDArray[np.uint8]]:
    chunks, weights = segment.postings(key)
    if mask is None or not len(chunks):
        return chunks, weights
    kept = mask[chunks]
    return chunks[kept], weights[kept]


def _scores(
    segment: Segment,
    postings: list[tuple[NDArray[np.uint32], NDArray[np.uint8]]],
    often: list[int],
    *,
    total: int,
    average: float,
) -> NDArray[np.float32]:
    scores = np.zeros(len(segment.lengths), np.float32)
    for (chunks, weights), count in zip(postings, often, strict=True):
        if not len(chunks):
            continue
        rare = np.log(1 + (total - count + 0.5) / (count + 0.5))
        weight = weights.astype(np.float32)
        length = segment.lengths[chunks].astype(np.float32)
        scores[chunks] += (
            np.float32(rare * (K1 + 1))
            * weight
            / (weight + np.float32(K1 * (1 - B)) + np.float32(K1 * B / average) * length)
        )
    scores[segment.tests[segment.files]] *= np.float32(TESTS)
    return scores


def _best(segments: Sequence[Segment], scores: Sequence[NDArray[np.float32]], limit: int) -> list[Ranked]:
    ranked: list[tuple[float, int, int]] = []
    for number, one in enumerate(scores):
        top = np.flatnonzero(one)
        if len(top) > CANDIDATES:
            least = np.partition(one[top], -CANDIDATES)[-CANDIDATES]
            top = top[one[top] >= least]
        ranked += [
            (-score, number, chunk) for score, chunk in zip(one[top].tolist(), top.tolist(), strict=True)
        ]
    ranked.sort()
    of_files: dict[str, list[float]] = {}
    files: list[list[float]] = []
    for minus, number, chunk in ranked[:CANDIDATES]:
        segment = segments[number]
        mine = of_files.setdefault(segment.paths[segment.files[chunk]], [])
        mine.append(-minus)
        files.append(mine)
    found = [
        Ranked(number, chunk, -minus + COHERENCE * _help(mine, -minus))
        for (minus, number, chunk), mine in zip(ranked, files, strict=False)
    ]
    found.sort(key=lambda one: (-one.score, one.segment, one.chunk))
    return found[:limit]


def _help(scores: list[float], own: float) -> float:
    """What the other chunks of a file bring one of them; `scores`: of all, the best first."""
    at = scores.index(own)
    others = [*scores[:at], *scores[at + 1 : OTHERS_MAX + 1]][:OTHERS_MAX]
    return sum(score * FADING**number for number, score in enumerate(others))
