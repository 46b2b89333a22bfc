"""The private layer over a workspace: where a program's writes go instead."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import re
import shutil
import stat
import threading
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from enum import StrEnum
from pathlib import Path
from typing import Final, TypeAlias

from assent.errors import InputError, WorldError
from assent.journal import read_plain

_RECORD: Final = "layer.json"
_COPIED: Final = "copied"
_FICLONE: Final = 0x4004_9409
COPY_ENTRIES_MAX: Final = 200_000
"""Files and folders of a workspace that is copied because no overlay can be laid over it."""
_LOOKS_MAX: Final = 3000
"""Looks at the clock of a file system, a millisecond apart: some count in whole seconds."""

Made: TypeAlias = tuple[int, int]
"""Inode and time of change of what was copied, as nobody can put them back; zeros where that is not known."""
_UNKNOWN: Final[Made] = (0, 0)


class LayerKind(StrEnum):
    """How a layer holds what was written."""

    OVERLAY = "overlay"
    """Only the differences, as overlayfs keeps them."""
    COPY = "copy"
    """A copy of the workspace, changed in place."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer on disk: a folder with a record of what it lies over."""

    folder: Path
    kind: LayerKind
    root: Path
    hidden: tuple[str, ...]
    unfinished: str = ""
    """A regular expression for names that are neither copied nor compared; empty: there are none."""

    def passes_over(self, name: str) -> bool:
        """Whether an entry of the workspace is somebody's unfinished work."""
        return bool(self.unfinished) and re.fullmatch(self.unfinished, name) is not None

    @property
    def upper(self) -> str:
        """Where overlayfs keeps the differences."""
        return str(self.folder / "upper")

    @property
    def work(self) -> str:
        """Overlayfs's own."""
        return str(self.folder / "work")

    @property
    def tree(self) -> str:
        """The copy."""
        return str(self.folder / "tree")

    def copied(self) -> Mapping[str, Made]:
        """What was copied, relative to the workspace, whatever has become of it since."""
        fields = read_plain(self.folder / _COPIED).split(b"\0")
        return {
            os.fsdecode(name): (int(inode), int(time_ns))
            for name, inode, time_ns in zip(fields[::3], fields[1::3], fields[2::3], strict=False)
        }

    @property
    def trial(self) -> str:
        """An empty folder on which the whole can be mounted."""
        return str(self.folder / "merged")

    @property
    def writes(self) -> str:
        """The folder that grows with what is written."""
        return self.upper if self.kind is LayerKind.OVERLAY else self.tree


def read_layer(folder: Path) -> Layer | None:
    """The layer in a folder, or None where nothing has been written to it yet."""
    try:
        record = json.loads(read_plain(folder / _RECORD))
        kind, root = LayerKind(record["kind"]), Path(record["root"])
        return Layer(folder, kind, root, tuple(record["hidden"]), record.get("unfinished", ""))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, LookupError, RecursionError):
        raise WorldError(
            "SANDBOX_FAILED", f"what `{folder / _RECORD}` says of its layer can't be read"
        ) from None


def new_layer(folder: Path, root: Path, hidden: tuple[str, ...], unfinished: str = "") -> Layer:
    """Folders for an overlay in `folder`, which must be there and outside the workspace. Nothing is recorded yet."""
    if not folder.is_dir():
        raise InputError("SANDBOX_INVALID", f"the layer's folder `{folder}` is not there")
    if folder.is_relative_to(root) and not any(folder.is_relative_to(one) for one in hidden):
        raise InputError(
            "SANDBOX_INVALID",
            "the layer lies within the workspace that it covers",
            hint="keep it in the state directory, and hide that",
        )
    layer = Layer(folder, LayerKind.OVERLAY, root, hidden, unfinished)
    for name in (layer.upper, layer.work, layer.trial):
        Path(name).mkdir(exist_ok=True)
    # What the overlay shows of the workspace's own folder is its upper folder's mode.
    Path(layer.upper).chmod(stat.S_IMODE(root.stat().st_mode))
    return layer


def record(layer: Layer) -> None:
    """Remember what the layer is; from now on it is used as it is."""
    content = {
        "kind": layer.kind,
        "root": str(layer.root),
        "hidden": list(layer.hidden),
        "unfinished": layer.unfinished,
    }
    (layer.folder / _RECORD).write_text(json.dumps(content), encoding="utf-8")


def copy_workspace(layer: Layer, *, bytes_max: int) -> Layer:
    """The same layer as a copy of its workspace, without what is hidden or unfinished.

    Where the file system can share blocks between files, nothing is copied but names. What goes while it is copied is not in it.
    Raises `WorldError` SANDBOX_LAYER_FULL past its bounds, SANDBOX_FAILED for what can't be read.
    """
    copied = replace(layer, kind=LayerKind.COPY)
    copying = _Copying(copied, bytes_max)
    try:
        copying.folder(str(layer.root), copied.tree)
    except PermissionError as error:
        raise WorldError(
            "SANDBOX_FAILED",
            f"`{error.filename}` can't be copied to the private layer: permission denied",
            hint="make it readable, or move it out of the workspace; where an overlay can be laid over that, nothing is copied",
        ) from None
    copying.note(layer.folder / _COPIED)
    return copied


class _Copying:
    """Copies a workspace within its bounds, and notes what it has copied."""

    def __init__(self, layer: Layer, bytes_max: int) -> None:
        self._layer = layer
        self._bytes = bytes_max
        self._entries = COPY_ENTRIES_MAX
        self._made: dict[str, Made] = {}

    def note(self, path: Path) -> None:
        """Keep a list of what was copied. A write is told by its time, so the clock goes on before there can be one."""
        latest_ns = max((time_ns for _, time_ns in self._made.values()), default=0)
        _write_list(path, self._made)
        for _ in range(_LOOKS_MAX):
            if path.stat().st_ctime_ns > latest_ns:
                return
            threading.Event().wait(0.001)
            os.utime(path)
        _write_list(path, dict.fromkeys(self._made, _UNKNOWN))

    def folder(self, source: str, target: str) -> None:
        status = os.stat(source)
        os.mkdir(target, 0o700)
        with os.scandir(source) as entries:
            for entry in entries:
                if entry.path in self._layer.hidden or self._layer.passes_over(entry.name):
                    continue
                with suppress(FileNotFoundError):
                    self._entry(entry, os.path.join(target, entry.name))
        os.utime(target, ns=(status.st_atime_ns, status.st_mtime_ns))
        os.chmod(target, stat.S_IMODE(status.st_mode))

    def _entry(self, entry: os.DirEntry[str], path: str) -> None:
        if entry.is_symlink():
            self._take(0)
            os.symlink(os.readlink(entry.path), path)
        elif entry.is_dir():
            self._take(0)
            self.folder(entry.path, path)
        elif entry.is_file():
            self._take(entry.stat().st_size)
            _copy_file(entry.path, path)
        else:
            return
        made = os.lstat(path)
        self._made[path[len(self._layer.tree) + 1 :]] = made.st_ino, made.st_ctime_ns

    def _take(self, size: int) -> None:
        self._bytes -= size
        self._entries -= 1
        if self._bytes < 0 or self._entries < 0:
            raise WorldError(
                "SANDBOX_LAYER_FULL",
                "the workspace is larger than the private layer may be, and no overlay can be laid over it here",
                hint="raise `layer_bytes` under `[sandbox]`, or keep the state on a file system of its own",
            )


def _write_list(path: Path, made: Mapping[str, Made]) -> None:
    fields = (b"%s\0%d\0%d" % (os.fsencode(name), *known) for name, known in made.items())
    path.write_bytes(b"\0".join(fields))


def _copy_file(source: str, target: str) -> None:
    with open(source, "rb") as original, open(target, "xb") as copy:
        try:
            fcntl.ioctl(copy, _FICLONE, original.fileno())
        except OSError as error:
            if error.errno not in {errno.EOPNOTSUPP, errno.EXDEV, errno.EINVAL, errno.ENOTTY, errno.ENOSYS}:
                raise
            shutil.copyfileobj(original, copy, 1 << 20)
    shutil.copystat(source, target)
