"""Texts cut into chunks: the pieces that are indexed, found and shown."""

from assent.knowledge.chunks.cutting import (
    CHUNK_BYTES_MAX,
    FILE_BYTES_MAX,
    PLANNER_VERSION,
    LeftOut,
    Planned,
    all_languages,
    chunks_of,
    language_of,
    left_out,
    plan_file,
)

__all__ = [
    "CHUNK_BYTES_MAX",
    "FILE_BYTES_MAX",
    "PLANNER_VERSION",
    "LeftOut",
    "Planned",
    "all_languages",
    "chunks_of",
    "language_of",
    "left_out",
    "plan_file",
]
