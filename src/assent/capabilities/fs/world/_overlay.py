"""An imaginary world over another `Files`: changes are seen here only, nothing beneath is touched.

Plans are previewed on one, so that a later step sees what an earlier one would have done; an undo is rehearsed on one, so that
every conflict is found before the first real compensation.

The overlay is a tree of nodes, made as far as it was looked at. A folder remembers which folder beneath it stands for and asks
that one for names it has not met, so moving a folder moves one node, however much it holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Final, TypeAlias

import msgspec

from assent.capabilities.fs.world._faults import (
    exists,
    is_a_directory,
    missing,
    not_a_directory,
    not_empty,
    whole_root,
    wrong_kind,
)
from assent.capabilities.fs.world._paths import (
    ROOT,
    escapes,
    is_temporary,
    join,
    normal,
    parent_of,
    refusal,
    shown,
    split,
    temporary_path,
)
from assent.capabilities.fs.world._written import to_write
from assent.invocation import Entry, EntryKind, Files, NoEffectError
from assent.secrets.redaction import Redactor

IMAGINED_BYTES_MAX: Final = 256 << 20
"""Bytes of written contents that one overlay holds in memory. Copies share theirs and count once."""

IMAGINED_MTIME_NS: Final = 0
"""The time of every imaginary change: nobody can know when the real one will come."""


class _File(msgspec.Struct):
    """A file: bytes written here, or the path beneath that still has them."""

    mode: int
    mtime_ns: int
    size: int
    content: bytes | str
    links: int = 1


class _Link(msgspec.Struct):
    target: str
    mtime_ns: int


class _Other(msgspec.Struct):
    entry: Entry


class _Folder(msgspec.Struct):
    """A folder; `children` has the names met so far (None: nothing stands there), `beneath` the folder to ask for others."""

    mode: int
    mtime_ns: int
    beneath: str | None
    children: dict[str, _Node | None] = msgspec.field(default_factory=dict)


_Node: TypeAlias = "_File | _Link | _Other | _Folder"


class OverlayFiles:
    """`Files` whose changes are imaginary. For one thread."""

    def __init__(self, base: Files, redactor: Redactor | None = None) -> None:
        self.base = base
        self._redactor = Redactor() if redactor is None else redactor
        root = base.stat(ROOT)
        assert root is not None, "a workspace has a root"
        self._root = _Folder(root.mode, root.mtime_ns, ROOT)
        self._held_bytes = 0
        self._touched: dict[str, None] = {}

    @property
    def is_changed(self) -> bool:
        """Whether more than a time was changed here."""
        return bool(self._touched)

    def touched(self) -> tuple[str, ...]:
        """The paths at which more than a time was changed, or was to be, in that order; names of work under way are none."""
        return tuple(path for path in self._touched if not any(map(is_temporary, split(path))))

    def _touch(self, *paths: str) -> None:
        self._touched.update(dict.fromkeys(map(normal, paths)))

    def stat(self, path: str) -> Entry | None:
        node = self._find(path)
        return None if node is None else _entry(node)

    def read(self, path: str) -> Iterator[bytes]:
        content = self._file(path).content
        return self.base.read(content) if isinstance(content, str) else _Imagined(content)

    def list(self, path: str) -> list[str]:
        node = self._there(path)
        return sorted(name for name in self._names(self._folder(node, path)) if not is_temporary(name))

    def read_link(self, path: str) -> str:
        node = self._there(path)
        if not isinstance(node, _Link):
            raise wrong_kind(path, "no symbolic link")
        return node.target

    def guard(self, path: str) -> None:
        self._guard_beneath(path)
        # A folder that was moved here is guarded where it really stands.
        node = self._find_quietly(path)
        beneath = (
            node.content if isinstance(node, _File) else node.beneath if isinstance(node, _Folder) else None
        )
        if isinstance(beneath, str) and beneath != normal(path):
            self.base.guard(beneath)

    def new_mode(self, kind: EntryKind) -> int:
        return self.base.new_mode(kind)

    def temporary(self, path: str, *, key: str) -> str:
        return temporary_path(path, key)

    def write(
        self,
        path: str,
        chunks: Iterable[bytes],
        *,
        key: str,
        mode: int | None = None,
        mtime_ns: int | None = None,
        replace: bool = True,
        restores: bool = False,
    ) -> None:
        self._touch(path)
        del key  # Nothing can be interrupted here, so nothing needs a temporary name.
        folder, name = self._place(path)
        taken = self._child(folder, name)
        if taken is not None:
            if not replace:
                raise exists(path)
            taken = self._file(path)
        if mode is None:
            mode = taken.mode if taken is not None else self.new_mode(EntryKind.FILE)
        if isinstance(chunks, _Imagined):
            content = chunks.content
        else:
            content = self._hold(path, chunks if restores else to_write(self._redactor, path, chunks))
        when = IMAGINED_MTIME_NS if mtime_ns is None else mtime_ns
        folder.children[name] = _File(mode, when, len(content), content)
        folder.mtime_ns = IMAGINED_MTIME_NS

    def make_dir(self, path: str, *, mode: int | None = None) -> None:
        self._touch(path)
        folder, name = self._free(path)
        made = self.new_mode(EntryKind.DIRECTORY) if mode is None else mode
        folder.children[name] = _Folder(made, IMAGINED_MTIME_NS, None)
        folder.mtime_ns = IMAGINED_MTIME_NS

    def make_link(self, path: str, target: str) -> None:
        self._touch(path)
        folder, name = self._free(path)
        folder.children[name] = _Link(target, IMAGINED_MTIME_NS)
        folder.mtime_ns = IMAGINED_MTIME_NS

    def remove_file(self, path: str) -> None:
        self._touch(path)
        folder, name, node = self._existing(path)
        if isinstance(node, _Folder):
            raise is_a_directory(path)
        self._remove(folder, name)

    def remove_dir(self, path: str) -> None:
        self._touch(path)
        folder, name, node = self._existing(path)
        if self._names(self._folder(node, path)):
            raise not_empty(path)
        self._remove(folder, name)

    def rename(self, source: str, destination: str, *, replace: bool) -> None:
        self._touch(source, destination)
        old_folder, old_name, node = self._existing(source)
        new_folder, new_name = self._place(destination)
        taken = self._child(new_folder, new_name)
        if taken is not None and not replace:
            raise exists(destination)
        if isinstance(taken, _Folder):
            raise is_a_directory(destination)
        if f"{normal(destination)}/".startswith(f"{normal(source)}/"):
            raise refusal("PATH_INVALID", destination, f"is inside `{shown(source)}`")
        if isinstance(node, _Folder):
            self.guard(source)
        self._remove(old_folder, old_name)
        new_folder.children[new_name] = node
        new_folder.mtime_ns = IMAGINED_MTIME_NS

    def set_attributes(self, path: str, *, mode: int | None = None, mtime_ns: int | None = None) -> None:
        if (
            mode is not None
        ):  # a time alone is nothing that anybody is shown, and a folder's may be the whole workspace's
            self._touch(path)
        node = self._there(path)
        if isinstance(node, _Other):
            raise wrong_kind(path)
        if mtime_ns is not None:
            node.mtime_ns = mtime_ns
        if mode is not None and not isinstance(node, _Link):
            node.mode = mode

    def remove_temporary(self, path: str, *, key: str) -> None:
        aside = temporary_path(path, key)
        folder = self._find(parent_of(aside))
        if isinstance(folder, _Folder):
            name = aside.rpartition("/")[2]
            if self._child(folder, name) is not None:
                self._remove(folder, name)

    def _find(self, path: str) -> _Node | None:
        """The node at a path; None when nothing stands there or above it. Errors as from the real files."""
        node: _Node | None = self._root
        for name in split(path):
            if node is None:
                return None
            if isinstance(node, _Link):
                raise escapes(path, "leads through a symbolic link")
            if not isinstance(node, _Folder):
                raise not_a_directory(path)
            node = self._child(node, name)
        return node

    def _there(self, path: str) -> _Node:
        node = self._find(path)
        if node is None:
            raise missing(path)
        return node

    def _find_quietly(self, path: str) -> _Node | None:
        try:
            return self._find(path)
        except NoEffectError:
            return None

    def _child(self, folder: _Folder, name: str) -> _Node | None:
        if name not in folder.children:
            folder.children[name] = None if folder.beneath is None else self._load(join(folder.beneath, name))
        return folder.children[name]

    def _load(self, path: str) -> _Node | None:
        entry = self.base.stat(path)
        match entry:
            case None:
                return None
            case Entry(kind=EntryKind.FILE):
                return _File(entry.mode, entry.mtime_ns, entry.size, path, entry.links)
            case Entry(kind=EntryKind.DIRECTORY):
                return _Folder(entry.mode, entry.mtime_ns, path)
            case Entry(kind=EntryKind.SYMLINK):
                return _Link(self.base.read_link(path), entry.mtime_ns)
            case _:
                return _Other(entry)

    def _names(self, folder: _Folder) -> set[str]:
        beneath = set() if folder.beneath is None else set(self.base.list(folder.beneath))
        here = {name for name, node in folder.children.items() if node is not None}
        return here | {name for name in beneath if name not in folder.children}

    def _folder(self, node: _Node, path: str) -> _Folder:
        if isinstance(node, _Link):
            raise escapes(path, "is a symbolic link")
        if not isinstance(node, _Folder):
            raise not_a_directory(path)
        return node

    def _file(self, path: str) -> _File:
        node = self._there(path)
        match node:
            case _Folder():
                raise is_a_directory(path)
            case _Link():
                raise escapes(path, "is a symbolic link")
            case _Other():
                raise wrong_kind(path)
            case _File():
                return node

    def _place(self, path: str) -> tuple[_Folder, str]:
        """The folder and the name that a change at `path` is about; refuses control files as the real files do."""
        plain = normal(path)
        if plain == ROOT:
            raise whole_root(path)
        self._guard_beneath(plain)
        above = self._find(parent_of(plain))
        if above is None:
            raise missing(path)
        return self._folder(above, path), plain.rpartition("/")[2]

    def _guard_beneath(self, path: str) -> None:
        """Refuse what the real files refuse, but not for a link beneath that no longer stands on the way here."""
        try:
            self.base.guard(path)
        except NoEffectError as error:
            if error.code != "PATH_ESCAPES" or self._leads_astray(path):
                raise

    def _leads_astray(self, path: str) -> bool:
        try:
            self._find(path)
        except NoEffectError as error:
            return error.code == "PATH_ESCAPES"
        return False

    def _free(self, path: str) -> tuple[_Folder, str]:
        folder, name = self._place(path)
        if self._child(folder, name) is not None:
            raise exists(path)
        return folder, name

    def _existing(self, path: str) -> tuple[_Folder, str, _Node]:
        folder, name = self._place(path)
        node = self._child(folder, name)
        if node is None:
            raise missing(path)
        return folder, name, node

    def _remove(self, folder: _Folder, name: str) -> None:
        folder.children[name] = None
        folder.mtime_ns = IMAGINED_MTIME_NS

    def _hold(self, path: str, chunks: Iterable[bytes]) -> bytes:
        pieces: list[bytes] = []
        for chunk in chunks:
            self._held_bytes += len(chunk)
            if self._held_bytes > IMAGINED_BYTES_MAX:
                why = f"is too large to be tried out: {IMAGINED_BYTES_MAX} bytes are held at most"
                raise refusal("PREVIEW_TOO_LARGE", path, why)
            pieces.append(bytes(chunk))
        return b"".join(pieces)


class _Imagined(Iterator[bytes]):
    """The bytes of a file of the overlay; `write` recognises them and shares them instead of holding them twice."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self._is_read = False

    def __next__(self) -> bytes:
        if self._is_read or not self.content:
            raise StopIteration
        self._is_read = True
        return self.content


def _entry(node: _Node) -> Entry:
    match node:
        case _File():
            return Entry(EntryKind.FILE, node.size, node.mode, node.mtime_ns, node.links)
        case _Folder():
            return Entry(EntryKind.DIRECTORY, 0, node.mode, node.mtime_ns)
        case _Link():
            return Entry(EntryKind.SYMLINK, 0, 0o777, node.mtime_ns)
        case _Other():
            return node.entry
