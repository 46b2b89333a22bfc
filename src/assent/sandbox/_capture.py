"""What programs have written to a private layer, as changes to the workspace that it lies over."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import BinaryIO, Final, Literal

from assent.errors import WorldError
from assent.sandbox._layer import Layer, LayerKind

ChangeName = Literal["added", "changed", "removed"]
EntryKind = Literal["file", "folder", "link"]
_OPAQUE: Final = "user.overlay.opaque"
_COMPARED_BYTES: Final = 1 << 20
_MODE: Final = 0o777


@dataclass(frozen=True, slots=True, kw_only=True)
class CaptureLimits:
    """How much may be captured."""

    bytes: int = 1 << 30
    entries: int = 50_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Captured:
    """One change: of the entry at `path`, relative to the workspace, parents before what lies in them.

    A folder that was removed comes after what was removed from it. What was removed has the kind, mode and size that it had.
    """

    path: str
    change: ChangeName
    kind: EntryKind
    mode: int
    """The permission bits."""
    size_bytes: int
    target: str | None = None
    """Where a link leads, as it is written."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    """Something that was written and that no workspace takes over, with the reason."""

    path: str
    reason: str


@dataclass(frozen=True, slots=True)
class Capture:
    """All changes in a layer, and what of it is refused."""

    changes: tuple[Captured, ...]
    refused: tuple[Refused, ...]
    _top: str

    def open(self, change: Captured) -> BinaryIO:
        """The new content of a file that was added or changed, for reading."""
        assert change.kind == "file", "only files have content"
        assert change.change != "removed", "what was removed has no new content"
        flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.fdopen(os.open(os.path.join(self._top, change.path), flags), "rb")


def captured(layer: Layer | None, limits: CaptureLimits) -> Capture:
    """The changes in a layer; none where nothing has been written. SANDBOX_LAYER_FULL past the limits."""
    if layer is None:
        return Capture((), (), "")
    walk = _Walk(layer, limits)
    walk.folder("")
    return Capture(tuple(walk.changes), tuple(walk.refused), layer.writes)


class _Walk:
    """A walk over the layer and the workspace beside each other. Links are looked at and never followed."""

    def __init__(self, layer: Layer, limits: CaptureLimits) -> None:
        self._layer = layer
        self._top = layer.writes
        self._root = str(layer.root)
        self._hidden = frozenset(layer.hidden)
        self._is_overlay = layer.kind is LayerKind.OVERLAY
        self._copied = {} if self._is_overlay else layer.copied()
        self._bytes = limits.bytes
        self._entries = limits.entries
        self.changes: list[Captured] = []
        self.refused: list[Refused] = []

    def folder(self, path: str, *, is_new: bool = False) -> None:
        """The changes within one folder. One that is new, or opaque to the overlay, shows nothing of the workspace's."""
        above = os.path.join(self._top, path)
        _make_listable(above)
        names = sorted(os.listdir(above))
        below = {} if is_new else self._entries_of(path)
        is_opaque = self._is_overlay and not is_new and _is_opaque(above)
        for name in names:
            self._entry(_joined(path, name), below.get(name), is_new=is_new)
        for name in sorted(set(below) - set(names)):
            gone = _joined(path, name)
            # What was never copied came to the workspace since: the program never saw it, so it can't have removed it.
            if is_opaque or gone in self._copied:
                self._remove(gone, below[name])

    def _entries_of(self, path: str) -> dict[str, os.stat_result]:
        folder = os.path.join(self._root, path)
        found: dict[str, os.stat_result] = {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(folder) as entries:
            for entry in entries:
                if entry.path not in self._hidden and not self._layer.passes_over(entry.name):
                    with suppress(FileNotFoundError):  # gone since it was listed
                        found[entry.name] = entry.stat(follow_symlinks=False)
        return found

    def _entry(self, path: str, before: os.stat_result | None, *, is_new: bool) -> None:
        status = os.lstat(os.path.join(self._top, path))
        kind = stat.S_IFMT(status.st_mode)
        if kind == stat.S_IFCHR and self._is_overlay and status.st_rdev == 0:
            if before is not None:
                self._remove(path, before)
            return
        if os.path.join(self._root, path) in self._hidden:
            return  # the folder on which nothing was shown
        if kind == stat.S_IFDIR:
            self._folder_entry(path, status, before)
        elif not is_new and self._copied.get(path) == (status.st_ino, status.st_ctime_ns):
            return  # as it was copied: whatever stands in the workspace by now is not the program's doing
        elif kind == stat.S_IFREG:
            self._file_entry(path, status, before)
        elif kind == stat.S_IFLNK:
            self._link_entry(path, status, before)
        else:
            self.refused.append(Refused(path=path, reason=_UNUSUAL.get(kind, "of an unknown kind")))
            if before is not None:
                self._remove(path, before)

    def _folder_entry(self, path: str, status: os.stat_result, before: os.stat_result | None) -> None:
        was_folder = before is not None and stat.S_ISDIR(before.st_mode)
        if before is not None and not was_folder:
            self._remove(path, before)
        if not was_folder:
            self._note(path, "added", "folder", status)
        elif before is not None and _bits(before) != _bits(status):
            self._note(path, "changed", "folder", status)
        self.folder(path, is_new=not was_folder)

    def _file_entry(self, path: str, status: os.stat_result, before: os.stat_result | None) -> None:
        self._take(size=status.st_size)
        if before is not None and stat.S_ISREG(before.st_mode):
            if _bits(before) != _bits(status) or not self._is_same(path, status, before):
                self._note(path, "changed", "file", status)
            return
        if before is not None:
            self._remove(path, before)
        self._note(path, "added", "file", status)

    def _link_entry(self, path: str, status: os.stat_result, before: os.stat_result | None) -> None:
        target = os.readlink(os.path.join(self._top, path))
        was_link = before is not None and stat.S_ISLNK(before.st_mode)
        if was_link and _link_of(os.path.join(self._root, path)) == target:
            return
        if _leads_out(path, target):
            self.refused.append(Refused(path=path, reason=f"a link that leads out: `{target}`"))
            return
        if before is not None and not was_link:
            self._remove(path, before)
        self._note(path, "changed" if was_link else "added", "link", status, target)

    def _is_same(self, path: str, status: os.stat_result, before: os.stat_result) -> bool:
        if status.st_size != before.st_size:
            return False
        try:
            with (
                open(os.path.join(self._top, path), "rb", opener=_plainly) as now,
                open(os.path.join(self._root, path), "rb", opener=_plainly) as then,
            ):
                while block := now.read(_COMPARED_BYTES):
                    if block != then.read(_COMPARED_BYTES):
                        return False
                return not then.read(1)
        except OSError:
            return False  # changed meanwhile, or not ours to read: whoever applies it looks again

    def _remove(self, path: str, before: os.stat_result) -> None:
        kind = _KINDS.get(stat.S_IFMT(before.st_mode))
        if kind is None:
            self.refused.append(Refused(path=path, reason="its removal: it is not a file, folder or link"))
            return
        if kind == "folder":
            for name, status in sorted(self._entries_of(path).items()):
                self._remove(_joined(path, name), status)
        target = _link_of(os.path.join(self._root, path)) if kind == "link" else None
        self._note(path, "removed", kind, before, target)

    def _note(
        self,
        path: str,
        change: ChangeName,
        kind: EntryKind,
        status: os.stat_result,
        target: str | None = None,
    ) -> None:
        self._take(entries=1)
        size = status.st_size if kind == "file" else 0
        self.changes.append(
            Captured(path=path, change=change, kind=kind, mode=_bits(status), size_bytes=size, target=target)
        )

    def _take(self, *, size: int = 0, entries: int = 0) -> None:
        self._bytes -= size
        self._entries -= entries
        if self._bytes < 0 or self._entries < 0:
            raise WorldError(
                "SANDBOX_LAYER_FULL",
                "the program has changed more than can be captured",
                hint="raise `layer_bytes` or `layer_entries` under `[sandbox]`, or have it write less",
            )


_KINDS: Final[dict[int, EntryKind]] = {stat.S_IFREG: "file", stat.S_IFDIR: "folder", stat.S_IFLNK: "link"}
_UNUSUAL: Final = {
    stat.S_IFSOCK: "a socket",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def _plainly(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW | os.O_NONBLOCK)


def _bits(status: os.stat_result) -> int:
    # A program may set the setuid bit on what it writes; it is never taken over.
    return status.st_mode & _MODE


def _joined(path: str, name: str) -> str:
    return f"{path}/{name}" if path else name


def _link_of(path: str) -> str | None:
    try:
        return os.readlink(path)
    except OSError:
        return None


def _is_opaque(folder: str) -> bool:
    try:
        return os.getxattr(folder, _OPAQUE, follow_symlinks=False) == b"y"
    except OSError:
        return False


def _make_listable(folder: str) -> None:
    """Open a folder of ours that the program has closed, for looking at it; the mode that it gave is reported first."""
    if not os.access(folder, os.R_OK | os.X_OK):
        os.chmod(folder, stat.S_IMODE(os.lstat(folder).st_mode) | stat.S_IRWXU)


def _leads_out(path: str, target: str) -> bool:
    """Whether a link leads out of the workspace, or might: `..` after a name goes up from wherever that name leads."""
    if target.startswith("/"):
        return True
    depth = len(PurePosixPath(path).parts) - 1
    parts = [part for part in target.split("/") if part not in {"", "."}]
    ups = 0
    while ups < len(parts) and parts[ups] == "..":
        ups += 1
    return ups > depth or ".." in parts[ups:]
