"""Segments of vectors as bytes in named parts, beside the stored segment of words whose chunks they are of."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec
import numpy as np

from assent.knowledge.vectors.segment import CODES_VERSION, Segment
from assent.spec.values.typed import decoder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from assent.knowledge.lexical.stored import Parts


class _Head(msgspec.Struct, frozen=True):
    model: str
    size: int
    codes_version: int = CODES_VERSION


_HEADS: Final = decoder(_Head)


def parts_of(segment: Segment, chunks: NDArray[np.integer]) -> dict[str, bytes]:
    """A segment as bytes. `chunks`: how many chunks each file of the segment of words has."""
    return {
        "head": msgspec.json.encode(_Head(segment.model, segment.size)),
        "files": chunks.astype("<u4").tobytes(),
        "chunks": segment.chunks.astype("<u4").tobytes(),
        "codes": segment.codes.astype("<u8").tobytes(),
        "rows": segment.rows(np.arange(len(segment.chunks))).tobytes(),
    }


def stored(parts: Parts, model: str) -> Segment | None:
    """A segment that is somewhere else, whose bytes are read when they are asked for; None: of another model."""
    head = _HEADS.decode(parts.read("head"))
    if (head.model, head.codes_version) != (model, CODES_VERSION):
        return None
    chunks, codes = _array(parts, "chunks", "<u4"), _array(parts, "codes", "<u8")

    def rows(numbers: NDArray[np.int64]) -> NDArray[np.int8]:
        begins = (numbers * head.size).tolist()
        data = parts.ranges([("rows", begin, begin + head.size) for begin in begins])
        return np.frombuffer(b"".join(data), np.int8).reshape(-1, head.size)

    return Segment(head.model, head.size, chunks, codes.reshape(-1, len(chunks)), rows)


def without(parts: Parts, keep: NDArray[np.bool_]) -> Mapping[str, bytes] | None:
    """A stored segment without some of the files (`True`: it stays), as the segment of words has them; None: nothing stays."""
    head = _HEADS.decode(parts.read("head"))
    counts, chunks = _array(parts, "files", "<u4"), _array(parts, "chunks", "<u4")
    staying = np.repeat(keep, counts)
    kept = staying[chunks]
    if not kept.any():
        return None
    numbers = np.cumsum(staying) - 1
    rows = _array(parts, "rows", "<i1").reshape(-1, head.size)[kept]
    return {
        "head": parts.read("head"),
        "files": counts[keep].tobytes(),
        "chunks": numbers[chunks[kept]].astype("<u4").tobytes(),
        "codes": _array(parts, "codes", "<u8").reshape(-1, len(chunks))[:, kept].tobytes(),
        "rows": rows.tobytes(),
    }


def _array(parts: Parts, name: str, kind: str) -> NDArray[Any]:  # `Any`: of the kind that is said
    return np.frombuffer(parts.read(name), kind)
