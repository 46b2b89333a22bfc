"""The index: read and edited by libgit2 on a private copy, compared by what it says and not by its bytes.

Whoever runs `git status` writes the index anew with other times in it; nothing is staged by that, so nobody's change is lost.
"""

from __future__ import annotations

import hashlib
import json
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
