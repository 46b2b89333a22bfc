"""Objects: new ones are made in memory and put in place through the `Files` port; loose ones are read through it too."""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Iterator
from typing import Any, Final

import pygit2

from assent.capabilities.git._faults import unreadable
from assent.capabilities.git._layout import Repository, cut_off
from assent.errors import InternalError
from assent.invocation import EntryKind, Files, NoEffectError

_KINDS: Final = {1: "commit", 2: "tree", 3: "blob", 4: "tag"}
_NUMBERS: Final = {name: number for number, name in _KINDS.items()}
OBJECT_BYTES_MAX: Final = 1 << 30
_MODE: Final = 0o444


class _Objects(pygit2.OdbBackend):
    """A database of what is made here, above the loose objects of a repository."""

    def __init__(self, repository: Repository) -> None:
        super().__init__()
        self._repository = repository
        self.made: dict[str, tuple[int, bytes]] = {}

    def read_cb(self, oid: pygit2.Oid) -> tuple[int, bytes]:
        name = str(oid)
        if name in self.made:
            return self.made[name]
        found = _loose(self._repository, name)
        if found is None:
            raise KeyError(name)
        return found

    def read_header_cb(self, oid: pygit2.Oid) -> tuple[int, int]:
        kind, data = self.read_cb(oid)
        return kind, len(data)

    def read_prefix_cb(self, oid: pygit2.Oid) -> Any:  # `Any`: it never returns
        raise KeyError(str(oid))

    def exists_cb(self, oid: pygit2.Oid) -> bool:
        name = str(oid)
        files, where = self._repository.files, _place(self._repository.git, name)
        return name in self.made or files.stat(where) is not None

    def exists_prefix_cb(self, oid: pygit2.Oid) -> Any:  # `Any`: it never returns
        raise KeyError(str(oid))

    def write_cb(self, oid: pygit2.Oid, data: bytes, kind: int) -> None:
        self.made[str(oid)] = (int(kind), bytes(data))

    def refresh_cb(self) -> None:
        pass

    def __iter__(self) -> Iterator[Any]:  # `Any`: it is empty
        return iter(())


class Workbench:
    """A repository in memory: it reads what is there and keeps what is made."""

    def __init__(self, repository: Repository) -> None:
        cut_off()
        self._repository = repository
        self._objects = _Objects(repository)
        odb = pygit2.Odb()
        odb.add_backend(self._objects, 10)
        if repository.files.stat(f"{repository.git}/objects/pack") is not None:
            odb.add_backend(pygit2.OdbBackendPack(repository.objects), 1)
        self.repo = pygit2.Repository()
        self.repo.set_odb(odb)

    @property
    def made(self) -> dict[str, bytes]:
        """Id → the object as it is stored before compression, for each that the repository lacks."""
        packed = {}
        for name, (kind, data) in self._objects.made.items():
            packed[name] = b"%s %d\0" % (_KINDS[kind].encode(), len(data)) + data
        return packed

    def commit(self, name: str) -> pygit2.Commit:
        """The commit of a full id, a tag's tags followed. GIT_UNREADABLE when it is another kind, or damaged."""
        try:
            found = self.repo[name].peel(pygit2.Commit)
        except (KeyError, ValueError, pygit2.GitError) as error:
            raise unreadable(self._repository.top, f"`{name}` is not a commit ({error})") from None
        assert isinstance(found, pygit2.Commit)
        return found


def write_object(files: Files, git: str, name: str, stored: bytes, key: str) -> None:
    """Put an object in place; harmless when it is there."""
    # INVARIANT: an object's name is its digest, whatever the journal handed out.
    if hashlib.sha1(stored, usedforsecurity=False).hexdigest() != name:
        raise InternalError("RECORD_CORRUPT", f"the journaled object `{name}` has another digest")
    where = _place(git, name)
    if files.stat(where) is not None:
        return
    folder = where.rpartition("/")[0]
    if files.stat(folder) is None:
        try:
            files.make_dir(folder)
        except NoEffectError as error:
            if error.code != "FILE_EXISTS":
                raise
    try:
        files.write(where, [zlib.compress(stored)], key=key, mode=_MODE, replace=False)
    except NoEffectError as error:
        if error.code != "FILE_EXISTS":
            raise


def _place(git: str, name: str) -> str:
    return f"{git}/objects/{name[:2]}/{name[2:]}"


def _loose(repository: Repository, name: str) -> tuple[int, bytes] | None:
    files, where = repository.files, _place(repository.git, name)
    entry = files.stat(where)
    if entry is None or entry.kind is not EntryKind.FILE:
        return None
    plain = zlib.decompressobj()
    try:
        stored = plain.decompress(b"".join(files.read(where)), OBJECT_BYTES_MAX)
        head, _, data = stored.partition(b"\0")
        kind, _, size = head.partition(b" ")
        if int(size) != len(data) or hashlib.sha1(stored, usedforsecurity=False).hexdigest() != name:
            return None
        return _NUMBERS[kind.decode()], data
    except (zlib.error, ValueError, KeyError):
        return None


# Ten small ones, each of them ten times in the next, stand for ten thousand million files.

# Whoever compares such a tree with an index or another tree goes through each of these files. So they are counted before, each
# tree once, however often it stands in others.

ENTRIES_MAX: Final = 1_000_000
DEPTH_MAX: Final = 200


def require_countable(repository: Repository, repo: pygit2.Repository, commit: str | None) -> None:
    """Do nothing, or raise GIT_UNREADABLE: the commit's tree holds too many files, or too many folders in folders."""
    if commit is None:
        return
    try:
        top = repo[commit].peel(pygit2.Tree)
        assert isinstance(top, pygit2.Tree)
        count = _count(repo, top, 0, {})
    except (KeyError, ValueError, pygit2.GitError):
        return  # what is missing or damaged is told by whoever needs it
    if count > ENTRIES_MAX:
        raise unreadable(repository.top, f"a tree in it holds more than {ENTRIES_MAX} entries")


def _count(repo: pygit2.Repository, tree: pygit2.Tree, depth: int, counted: dict[pygit2.Oid, int]) -> int:
    """The entries of a tree with all that is in it; more than are allowed for one that is too deep."""
    known = counted.get(tree.id)
    if known is not None:
        return known
    if depth > DEPTH_MAX:
        return ENTRIES_MAX + 1
    total = len(tree)
    for entry in tree:
        if entry.filemode == pygit2.enums.FileMode.TREE:
            inner = repo[entry.id]
            total += _count(repo, inner, depth + 1, counted) if isinstance(inner, pygit2.Tree) else 0
    counted[tree.id] = total
    return total
