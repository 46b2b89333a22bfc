"""A file on its way into an index: cleaned, then cut; and the words in which a worker is asked for it."""

from __future__ import annotations

import signal
from typing import BinaryIO, Final

import msgspec

from assent.knowledge.chunks import LeftOut, Planned, plan_file
from assent.knowledge.cleaning import Cleaned, clean
from assent.spec.values.typed import unpacker

HEAD_BYTES: Final = 4
"""A message is its length in so many bytes, then MessagePack."""


class Prepared(msgspec.Struct, frozen=True, array_like=True):
    """A file that is cleaned and cut, or why it is not."""

    planned: Planned | None = None
    cleaned: Cleaned | None = None
    """Its text; the chunks are pieces of that."""
    left_out: LeftOut | None = None


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """Files by their paths, and the key of what is told of their secrets."""

    files: list[tuple[str, bytes]]
    key: bytes
    file_s: float
    """Processor time that one file may take."""


def prepared(path: str, data: bytes, *, key: bytes = b"") -> Prepared:
    """A file cleaned, and its cleaned text cut."""
    cleaned = clean(path, data, key=key)
    planned = plan_file(path, cleaned.text)
    return Prepared(left_out=planned) if isinstance(planned, LeftOut) else Prepared(planned, cleaned)


def framed(message: Batch | Prepared) -> bytes:
    """A message as it goes over a pipe."""
    body = msgspec.msgpack.encode(message)
    return len(body).to_bytes(HEAD_BYTES) + body


def serve(source: BinaryIO, target: BinaryIO) -> None:
    """Answer batches, file by file, until nobody asks any more.

    A file that takes more processor time than it may ends the process (SIGPROF). A clock would leave out other files on a loaded
    machine than on an idle one.
    """
    decoder = unpacker(Batch)
    while head := source.read(HEAD_BYTES):
        batch = decoder.decode(source.read(int.from_bytes(head)))
        for path, data in batch.files:
            signal.setitimer(signal.ITIMER_PROF, batch.file_s)
            target.write(framed(prepared(path, data, key=batch.key)))
            target.flush()
        signal.setitimer(signal.ITIMER_PROF, 0)
