"""What of a workspace would be indexed: a plan of every file's chunks, and a reason for every file that has none."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from itertools import accumulate
from typing import Final

import msgspec

from assent.knowledge.chunks.cutting import Chunk, chunks_of, language_of

FILE_BYTES_MAX: Final = 8 << 20
"""A larger file is left out, by name."""


class Planned(msgspec.Struct, frozen=True):
    """A file that is indexed."""

    path: str
    language: str
    bytes: int
    chunks: tuple[Chunk, ...]


class LeftOut(msgspec.Struct, frozen=True):
    """A file that is not indexed, and why."""

    path: str
    because: str


def left_out(path: str, data: bytes) -> LeftOut | None:
    """Why a file is not indexed; None: it is."""
    if len(data) > FILE_BYTES_MAX:
        return LeftOut(path, f"it has more than {FILE_BYTES_MAX} bytes")
    if b"\0" in data:
        return LeftOut(path, "it is binary: it holds a byte of zero")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return LeftOut(path, f"it is not UTF-8 at byte {error.start}")
    return None


def plan_file(path: str, data: bytes) -> Planned | LeftOut:
    """How a file is cut, or why it is not."""
    left = left_out(path, data)
    if left is not None:
        return left
    return Planned(path, language_of(path), len(data), chunks_of(path, data))


class Plan:
    """The files of a workspace by their paths, in the order of the paths' bytes.

    A chunk's id is `PATH::N`, where N counts the chunks of the whole plan from 0: the same tree gives the same ids everywhere. A
    file that changes is planned again by itself (`with_file`).
    """

    def __init__(self, files: Iterable[Planned | LeftOut]) -> None:
        self._files = {one.path: one for one in sorted(files, key=lambda one: one.path.encode())}
        planned = [one for one in self._files.values() if isinstance(one, Planned)]
        self._planned = planned
        self._begins = [0, *accumulate(len(one.chunks) for one in planned)]

    @property
    def files(self) -> list[Planned]:
        """What is indexed."""
        return self._planned

    @property
    def left_out(self) -> list[LeftOut]:
        """What is not."""
        return [one for one in self._files.values() if isinstance(one, LeftOut)]

    def __len__(self) -> int:
        return self._begins[-1]

    def with_file(self, file: Planned | LeftOut) -> Plan:
        """The plan in which a file is as it is now."""
        return Plan((self._files | {file.path: file}).values())

    def without(self, path: str) -> Plan:
        """The plan in which a file is no more."""
        return Plan(one for one in self._files.values() if one.path != path)

    def ids(self) -> Iterator[tuple[str, Chunk]]:
        """Every chunk under its id, in order."""
        number = 0
        for file in self._planned:
            for chunk in file.chunks:
                yield f"{file.path}::{number}", chunk
                number += 1

    def chunk(self, number: int) -> tuple[Planned, Chunk]:
        """The file and the chunk of a number. `IndexError` where there is none."""
        if not 0 <= number < len(self):
            raise IndexError(number)
        at = bisect_right(self._begins, number) - 1
        file = self._planned[at]
        return file, file.chunks[number - self._begins[at]]
