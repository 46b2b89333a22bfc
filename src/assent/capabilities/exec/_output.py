"""What comes out of a program: redacted as it comes, kept in files and told line by line; in the end a part or the whole."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Final

from assent.errors import Json
from assent.invocation import LocalContext
from assent.invocation.context.telling import LINE_CHARACTERS_MAX, LINES_PER_S_MAX
from assent.secrets.redaction import RedactingStream

STREAMS: Final = ("stdout", "stderr")
TEXT_BYTES_MAX: Final = 64 << 10
"""As much of a stream stands in the output itself."""

FAILURE_BYTES_MAX: Final = 4 << 10
"""As much of each stream stands in the error of a program that failed."""

_CHUNK_BYTES: Final = 1 << 20

_LINE_BYTES_MAX: Final = 4 * LINE_CHARACTERS_MAX + 1
"""So much of a line is enough for whoever watches, and to see that it is longer."""

_LINES_AT_ONCE_MAX: Final = LINES_PER_S_MAX + 1
"""No more lines are made of what came at once: one more than would be told, so that something is seen to be missing."""


class Output:
    """The streams of one program, in a folder of their own. To be closed before they are read."""

    def __init__(self, context: LocalContext, folder: Path, *, told: Collection[str]) -> None:
        self._progress = context.progress
        self._told = told
        self._files = {name: (folder / name).open("wb") for name in STREAMS}
        self._streams: dict[str, RedactingStream] = {name: context.redactor.stream() for name in STREAMS}
        self._lines = {name: Lines() for name in STREAMS}
        self._count = 0

    def take(self, name: str, piece: bytes) -> None:
        """The next bytes of a stream."""
        self._count += len(piece)
        self._keep(name, self._streams[name].feed(piece))

    def close(self) -> None:
        """Nothing more will come."""
        for name, file in self._files.items():
            with file:
                self._keep(name, self._streams[name].end())
            self._tell(name, self._lines[name].end())

    def _keep(self, name: str, piece: bytes) -> None:
        # INVARIANT: what is told has gone through the same stream as what is kept, so that no secret shows in either.
        self._files[name].write(piece)
        self._tell(name, self._lines[name].feed(piece))

    def _tell(self, name: str, lines: str) -> None:
        if lines and name in self._told:
            self._progress(self._count, None, lines)


class Lines:
    """The lines of a stream that comes in pieces, as a terminal would leave them: of each, what follows its last carriage return.

    They are for somebody who watches: of a long line there is the beginning, and of many at once the first `_LINES_AT_ONCE_MAX`.
    """

    __slots__ = ("_begun",)

    def __init__(self) -> None:
        self._begun = b""

    def feed(self, piece: bytes) -> str:
        """The lines that end in the next bytes, with a line feed between two; empty when none does."""
        *ended, rest = piece.split(b"\n", _LINES_AT_ONCE_MAX)
        if not ended:
            self._begun = _left(self._begun + rest)
            return ""
        ended[0] = self._begun + ended[0]
        self._begun = _left(rest[rest.rfind(b"\n") + 1 :])
        return _text(ended)

    def end(self) -> str:
        """The line that was not ended."""
        rest, self._begun = self._begun, b""
        return _text([rest])


def _left(line: bytes) -> bytes:
    """What a terminal would show of a line; nothing has been written yet over what a return at its very end leaves."""
    if b"\r" in line:
        end = len(line.rstrip(b"\r"))
        line = line[line.rfind(b"\r", 0, end) + 1 :]
    return line[:_LINE_BYTES_MAX]


def _text(lines: list[bytes]) -> str:
    return b"\n".join(map(_left, lines)).decode(errors="replace")


def chunks_of(path: Path) -> Iterator[bytes]:
    """A file's bytes."""
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK_BYTES):
            yield chunk


def told(context: LocalContext, folder: Path) -> dict[str, Json]:
    """Both streams as the output tells them; what is longer than that is attached. Blocks."""
    return {name: _told(context, folder / name) for name in STREAMS}


def _told(context: LocalContext, path: Path) -> Json:
    size = path.stat().st_size
    is_cut = size > TEXT_BYTES_MAX
    log = context.attach(chunks_of(path)).to_json() if is_cut else None
    return {"text": _end(path, TEXT_BYTES_MAX), "bytes": size, "is_cut": is_cut, "log": log}


def ends(folder: Path) -> dict[str, Json]:
    """The ends of both streams, for an error."""
    return {name: _end(folder / name, FAILURE_BYTES_MAX) for name in STREAMS}


def _end(path: Path, most: int) -> str:
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        file.seek(max(0, size - most))
        data = file.read()
    if size > most:
        # Not in the middle of a character, nor of a line where there is one.
        _, newline, rest = data.partition(b"\n")
        data = rest if newline and rest else data
    return data.decode(errors="replace").replace("\0", "\N{REPLACEMENT CHARACTER}")
