"""Chunks found by words: which terms a text has, an index of them, and how chunks are ranked for a question."""

from assent.knowledge.lexical.index import (
    TESTS,
    Entry,
    Gathering,
    Joined,
    Searched,
    Segment,
    merged,
    segment_of,
)
from assent.knowledge.lexical.search import Asked, Ranked, Seen, asked, search
from assent.knowledge.lexical.stored import StoredSegment, loaded, parts_of, without
from assent.knowledge.lexical.terms import TERMS_VERSION, Terms, terms_in

__all__ = [
    "TERMS_VERSION",
    "TESTS",
    "Asked",
    "Entry",
    "Gathering",
    "Joined",
    "Ranked",
    "Searched",
    "Seen",
    "Segment",
    "StoredSegment",
    "Terms",
    "asked",
    "loaded",
    "merged",
    "parts_of",
    "search",
    "segment_of",
    "terms_in",
    "without",
]
