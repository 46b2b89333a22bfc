"""The index: read and edited by libgit2 on a private copy, compared by what it says and not by its bytes.

Whoever runs `git status` writes the index anew with other times in it; nothing is staged by that, so nobody's change is lost.
"""

from __future__ import annotations

import hashlib
import json
import struct
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pygit2

from assent.capabilities.git._faults import conflict_state, unreadable
from assent.capabilities.git._layout import Repository
from assent.invocation import Files

INDEX_BYTES_MAX = 64 << 20
SUBMODULE = 0o160000
LINK = 0o120000
FILE = 0o100644
PROGRAM = 0o100755

_HEAD_BYTES = 12
_FIXED_BYTES = 60
"""Times, numbers and the content's id, before the flags of an entry."""
_COMPRESSED = 4
"""The version of the format that says of each name only what differs from the one before."""
_ASSUMED_VALID = 0x8000
_IS_EXTENDED = 0x4000
_SKIPS_WORKTREE = 0x4000
"""Of the further flags."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One path of the index: the id of its content and its mode as git writes it."""

    id: str
    mode: int


def read_index(files: Files, git: str) -> bytes | None:
    """The bytes of the index; None when there is none yet."""
    path = f"{git}/index"
    if files.stat(path) is None:
        return None
    size, pieces = 0, []
    for chunk in files.read(path):
        size += len(chunk)
        if size > INDEX_BYTES_MAX:
            raise unreadable(path, f"its index has more than {INDEX_BYTES_MAX} bytes")
        pieces.append(chunk)
    return b"".join(pieces)


def entries_of(repository: Repository, data: bytes | None) -> dict[str, Entry]:
    """What an index says, by path. GIT_BUSY while conflicts are in it."""
    with _copy(repository.top, data) as index:
        if index.conflicts is not None:
            raise conflict_state("has conflicts that nobody has resolved")
        return {entry.path: Entry(str(entry.id), int(entry.mode)) for entry in index}


def paths_of(top: str, data: bytes) -> list[bytes]:
    """The paths of an index, conflicts and all, in the order of their bytes. GIT_UNREADABLE."""
    with _copy(top, data) as index:
        return sorted({entry.path.encode("utf-8", "surrogateescape") for entry in index})


def left_alone(repository: Repository, data: bytes | None) -> frozenset[str]:
    """The paths whose files git does not look at: not checked out (`skip-worktree`), or as they were (`assume-unchanged`).

    Libgit2 does not tell them through its binding. Format: gitformat-index(5), versions 2 to 4. GIT_UNREADABLE.
    """
    if data is None:
        return frozenset()
    try:
        return frozenset(_left_alone(data))
    except (struct.error, ValueError, IndexError):
        raise unreadable(repository.top, "its index is damaged") from None


def _left_alone(data: bytes) -> Iterator[str]:
    version, count = struct.unpack_from(">II", data, 4)
    at, name = _HEAD_BYTES, b""
    for _ in range(count):
        (flags,) = struct.unpack_from(">H", data, at + _FIXED_BYTES)
        start = at + _FIXED_BYTES + 2
        more = 0
        if flags & _IS_EXTENDED:
            (more,) = struct.unpack_from(">H", data, start)
            start += 2
        kept = b""
        if version >= _COMPRESSED:
            drop, start = _number(data, start)
            kept = name[: len(name) - drop]
        end = data.index(0, start)
        name = kept + data[start:end]
        # Before names were compressed, each entry ended with one to eight zeros, at a multiple of eight.
        at = end + 1 if version >= _COMPRESSED else at + (end - at + 8) // 8 * 8
        if flags & _ASSUMED_VALID or more & _SKIPS_WORKTREE:
            yield name.decode("utf-8", "surrogateescape")


def _number(data: bytes, at: int) -> tuple[int, int]:
    """A number of varying length, as packs have it for offsets, and where it ends."""
    byte = data[at]
    value = byte & 0x7F
    while byte & 0x80:
        at += 1
        byte = data[at]
        value = ((value + 1) << 7) | (byte & 0x7F)
    return value, at + 1


def digest_of(top: str, data: bytes | None) -> str:
    """The same for two indexes that say the same."""
    with _copy(top, data) as index:
        said = [[entry.path, str(entry.id), int(entry.mode)] for entry in index]
        torn = index.conflicts is not None
    return hashlib.sha256(json.dumps([said, torn]).encode()).hexdigest()


def edited(repository: Repository, data: bytes | None, edits: Iterable[tuple[str, Entry | None]]) -> bytes:
    """The index with some paths set, or taken out (None); whatever else is in it stays."""
    with _copy(repository.top, data) as index:
        for path, entry in edits:
            apply_edit(index, path, entry)
        index.write()
        return Path(index_path(index)).read_bytes()


def apply_edit(index: pygit2.Index, path: str, entry: Entry | None) -> None:
    """Set or take out one path."""
    if entry is not None:
        index.add(pygit2.IndexEntry(path, pygit2.Oid(hex=entry.id), pygit2.enums.FileMode(entry.mode)))
    elif path in index:
        index.remove(path)


def index_path(index: _Index) -> str:
    """Where the private copy stands."""
    return index.place


class _Index(pygit2.Index):
    place: str = ""


@contextmanager
def _copy(top: str, data: bytes | None) -> Iterator[_Index]:
    with tempfile.TemporaryDirectory(prefix="assent-index-") as folder:
        path = Path(folder, "index")
        # Opened before there is anything to read: an index that can't be made is not given back whole by pygit2.
        index = _Index(str(path))
        try:
            if data is not None:
                path.write_bytes(data)
                index.read()
        except (pygit2.GitError, OSError) as error:
            raise unreadable(top, f"its index is damaged ({error})") from None
        index.place = str(path)
        yield index
