"""Content-addressed bytes beside the ledger: pre-images for undo, kept under the SHA-256 of what they are.

blobs/ab/cdef…      one file per content, 0600
blobs/tmp/…         what is being written; leftovers of a crash are removed by the next owner
blobs/tmp/open      an owner puts blobs here and has not closed: what no event took up is still to be looked for
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from hashlib import sha256
from itertools import count
from pathlib import Path
from threading import Lock
from typing import Final

from assent._lazy import compiled_when_asked
from assent.errors import WorldError, disk_full, is_full
from assent.failpoints import FAILPOINTS
from assent.journal._files import (
    create_private_file,
    ensure_private_dir,
    fsync_dir,
    open_plain,
    place_of,
    state_unusable,
)

BLOBS_DIR: Final = "blobs"
CHUNK_BYTES: Final = 1 << 20

_OPEN: Final = "open"

_DIGEST: Final = compiled_when_asked(r"[0-9a-f]{64}\Z")


class BlobStore:
    """`Blobs` in a folder. Any thread may put and read; only the state's owner may put and collect."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._numbers = count()
        # A blob is put before the event that refers to it. Until that event is durable nothing in the ledger keeps the blob, so
        # each `put` counts as one use until the journal reports it as referred to.
        self._fresh: Counter[str] = Counter()
        self._lock = Lock()
        self._is_marked = False
        self.was_left = False
        """Whether there may be blobs which nothing refers to, and which this owner has not just put: one before it was killed."""

    def prepare(self) -> None:
        """Make the folders and remove what a crash left half-written. For the owner, before the first `put`."""
        try:
            ensure_private_dir(self._root)
            ensure_private_dir(self._root / "tmp")
            for leftover in (self._root / "tmp").iterdir():
                self.was_left = True
                if leftover.name != _OPEN or not leftover.is_file():
                    leftover.unlink()
        except OSError as error:
            raise state_unusable(self._root.parent, error) from error

    def put(self, chunks: Iterable[bytes]) -> str:
        """Store bytes and return their address, 64 hex digits of SHA-256; durable (file and folder) when it returns.

        Storing the same bytes twice keeps one copy, and mends one that was damaged. Raises `WorldError` `DISK_FULL` or
        `STORAGE_FAILED`, and leaves nothing behind then.
        """
        temporary = self._root / "tmp" / f"{os.getpid()}-{next(self._numbers)}"
        try:
            try:
                self._mark()
                digest = _write(temporary, chunks)
                FAILPOINTS.hit("blob.before")
                with self._lock:
                    self._fresh[digest] += 1
                    self._place(temporary, digest)
                FAILPOINTS.hit("blob.after")
            except BaseException:
                with suppress(OSError):
                    temporary.unlink(missing_ok=True)
                raise
        except OSError as error:
            raise _failed(error) from error
        return digest

    def read(self, digest: str) -> Iterator[bytes]:
        """The bytes, in chunks of at most `CHUNK_BYTES`; `RECORD_CORRUPT` before the last one when they are not the right ones.

        One chunk is held back until the whole was hashed, so whoever stops at the error never has all of a wrong content.
        """
        hasher = sha256()
        held: bytes | None = None
        try:
            with open_plain(self._path(digest)) as file:
                while chunk := file.read(CHUNK_BYTES):
                    hasher.update(chunk)
                    if held is not None:
                        yield held
                    held = chunk
        except FileNotFoundError as error:
            raise _corrupt(digest, "is missing") from error
        except OSError as error:
            raise _failed(error) from error
        if hasher.hexdigest() != digest:
            raise _corrupt(digest, "is not the one that was stored")
        if held is not None:
            yield held

    def size(self, digest: str) -> int:
        """Its bytes; 0 where it is not there, or can't be looked at."""
        try:
            return self._path(digest).stat().st_size
        except OSError:
            return 0

    def settle(self, digests: Iterable[str]) -> None:
        """A durable event refers to these blobs now: one `put` of each is accounted for."""
        with self._lock:
            for digest in digests:
                if self._fresh[digest] <= 1:
                    del self._fresh[digest]
                else:
                    self._fresh[digest] -= 1

    def discard(self, digests: Iterable[str]) -> int:
        """Remove blobs that no payload refers to any more, except those just put; how many. The removal is durable."""
        removed = 0
        folders: set[Path] = set()
        try:
            for digest in digests:
                path = self._path(digest)
                with self._lock:
                    if self._fresh[digest] == 0 and path.exists():
                        path.unlink()
                        removed += 1
                        folders.add(path.parent)
            for folder in folders:
                fsync_dir(folder)
        except OSError as error:
            self.was_left = True
            raise _failed(error) from error
        return removed

    def foretell_orphans(self) -> None:
        """Before a transaction lets go of blobs: whoever comes after a kill, or a loss of power, looks for them. Durable."""
        try:
            self._mark()
            fsync_dir(self._root / "tmp")
        except OSError as error:
            raise _failed(error) from error

    def unsettled(self) -> set[str]:
        """The blobs that were put here and that no durable event has taken up."""
        with self._lock:
            return {digest for digest, count in self._fresh.items() if count > 0}

    def close(self, in_use: Callable[[], Collection[str]]) -> None:
        """Remove what no event took up: of the blobs put here, or of all when an owner was killed before.

        `in_use` is asked only where there may be any, so that a clean end costs the same however many blobs are kept.
        """
        left = self.unsettled()
        self.forget_fresh()
        if self.was_left:
            self.collect(in_use())
        elif left:
            self.discard(left.difference(in_use()))
        with suppress(OSError):
            (self._root / "tmp" / _OPEN).unlink(missing_ok=True)

    def collect(self, in_use: Collection[str]) -> int:
        """Remove every blob that is neither in use nor just put; how many."""
        try:
            unused = [digest for digest in self._stored() if digest not in in_use]
        except OSError as error:
            raise _failed(error) from error
        removed = self.discard(unused)
        self.was_left = False
        return removed

    def forget_fresh(self) -> None:
        """No event will refer to the blobs put so far unless one does already: for the owner's last collection."""
        with self._lock:
            self._fresh.clear()

    def _mark(self) -> None:
        # Before the first blob: an orphan that nobody knows of would be kept for ever. One that is lost with the power is found
        # with the next one.
        if not self._is_marked:
            os.close(os.open(self._root / "tmp" / _OPEN, os.O_CREAT | os.O_WRONLY | os.O_CLOEXEC, 0o600))
            self._is_marked = True

    def _stored(self) -> Iterator[str]:
        for folder in sorted(self._root.iterdir()):
            if len(folder.name) == 2 and folder.is_dir() and not folder.is_symlink():
                names = (folder.name + path.name for path in sorted(folder.iterdir()))
                yield from filter(_DIGEST.match, names)  # What else is there is not ours.

    def _place(self, temporary: Path, digest: str) -> None:
        path = self._path(digest)
        ensure_private_dir(path.parent)
        # Also over an existing file: it has the same bytes, or is damaged. And the folder is synced also then, because whoever
        # put the file first may not have come to that.
        temporary.rename(path)
        fsync_dir(path.parent)

    def _path(self, digest: str) -> Path:
        if not _DIGEST.match(digest):
            raise _corrupt(digest, "has no valid address")
        return self._root / digest[:2] / digest[2:]


def _write(path: Path, chunks: Iterable[bytes]) -> str:
    hasher = sha256()
    handle = create_private_file(path)
    with os.fdopen(handle, "wb", buffering=0) as file:
        for chunk in chunks:
            hasher.update(chunk)
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]
        os.fsync(handle)
    return hasher.hexdigest()


def _failed(error: OSError) -> WorldError:
    if is_full(error):
        return disk_full("the blobs")
    return WorldError(
        "STORAGE_FAILED",
        "a blob can't be read or written",
        path=place_of(error),
        details={"cause": str(error)},
    )


def _corrupt(digest: str, fault: str) -> WorldError:
    return WorldError(
        "RECORD_CORRUPT",
        f"the blob `{digest[:16]}…` {fault}",
        hint="run `assent audit verify`; nothing more is done with this record",
        details={"blob": digest},
    )
