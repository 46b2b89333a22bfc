"""Chunks found by meaning: vectors of a model, what is kept of them, and which are nearest to a question's."""

from assent.knowledge.vectors.codes import codes_of, products, quantised
from assent.knowledge.vectors.nearest import cosines, search
from assent.knowledge.vectors.segment import Segment, joined, segment_of
from assent.knowledge.vectors.stored import parts_of, stored, without

__all__ = [
    "Segment",
    "codes_of",
    "cosines",
    "joined",
    "parts_of",
    "products",
    "quantised",
    "search",
    "segment_of",
    "stored",
    "without",
]
