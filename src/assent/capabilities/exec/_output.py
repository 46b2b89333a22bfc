"""What comes out of a program: kept in files while it runs, redacted as it comes, told in part and attached as a whole."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from assent.errors import Json
from assent.invocation import LocalContext
from assent.invocation.redaction import RedactingStream, Redactor

STREAMS: Final = ("stdout", "stderr")
TEXT_BYTES_MAX: Final = 64 << 10
"""As much of a stream stands in the output itself."""

FAILURE_BYTES_MAX: Final = 4 << 10
"""As much of each stream stands in the error of a program that failed."""

_CHUNK_BYTES: Final = 1 << 20


class Output:
    """The streams of one program, in a folder of their own. To be closed before they are read."""

    def __init__(self, folder: Path, redactor: Redactor) -> None:
        self._folder = folder
        self._files = {name: (folder / name).open("wb") for name in STREAMS}
        self._streams: dict[str, RedactingStream] = {name: redactor.stream() for name in STREAMS}

    def take(self, name: str, piece: bytes) -> None:
        """The next bytes of a stream."""
        self._files[name].write(self._streams[name].feed(piece))

    def close(self) -> None:
        """Nothing more will come."""
        for name, file in self._files.items():
            file.write(self._streams[name].end())
            file.close()


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
