"""What is asked of, and what an answer is made of."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

import msgspec
import numpy as np

from assent.knowledge import lexical, vectors
from assent.knowledge.cleaning import Mark

if TYPE_CHECKING:
    from numpy.typing import NDArray


class Part(NamedTuple):
    """What was indexed at once of one repository, and what of it an asker may see."""

    words: lexical.Searched
    """The chunks of a file stand together in it."""
    repository: str
    languages: tuple[str, ...]
    """Of each file."""
    changed_ms: NDArray[np.int64]
    """When each file was changed last, in milliseconds since 1970."""
    vectors: tuple[vectors.Segment, ...] = ()
    """A chunk has at most one. They may be missing, of some chunks or of all."""
    visible: NDArray[np.bool_] | None = None
    """Which chunks the asker may see: those that are hidden, or are no more, have no part in anything. None: all."""


class Told(NamedTuple):
    """What a store tells of a chunk."""

    line: int
    end_line: int
    symbol: str
    language: str
    text: str
    label: str
    marks: tuple[Mark, ...] = ()


Reader: TypeAlias = "Callable[[int, int], Told]"
"""Reads a chunk, by the number of its part and its own there."""


class Why(msgspec.Struct, frozen=True):
    """Why a chunk was found: which terms of the question it has, and its rank by words and by meaning, from 1."""

    terms: list[str]
    words_rank: int | None
    """None: it has none of the terms, or others had them better."""
    words_score: float | None
    meaning_rank: int | None
    """None: it has no vector yet, the question has none, or others were nearer."""
    cosine: float | None


class Found(msgspec.Struct, frozen=True):
    """A chunk that answers a question."""

    path: str
    start_line: int
    end_line: int
    symbol: str
    language: str
    text: str
    score: float
    why: Why
    label: str
    marks: tuple[Mark, ...]
    """Where it speaks to models: who reads it for one takes nothing there for an order."""
    chunk: str
    """`PATH::N`, where N counts what the asker may see of the repository."""
