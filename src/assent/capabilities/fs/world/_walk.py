"""From the workspace's root down to the folder that holds a path, through open descriptors only.

Every component is opened relative to the one before it and no link is followed, so a path cannot lead outside even while
somebody renames folders or swaps one for a link: what was checked is what is used. Each opened folder's device and inode are
compared with those of the control files.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, TypeAlias

import msgspec

from assent.capabilities.fs.world._control import ControlFiles, Identity, Sighting
from assent.capabilities.fs.world._faults import fault, missing, not_a_directory, whole_root
from assent.capabilities.fs.world._paths import Zone, escapes, fold, is_temporary, protected, reserved, split
from assent.capabilities.fs.world._syscalls import has_openat2, open_beneath, open_component

Open: TypeAlias = Callable[[str, int, int], int]

# A folder that may be searched but not listed must still be walked through; only Linux can open it for that alone.
_SEARCH: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY


class Place(msgspec.Struct, frozen=True):
    """One component in an open folder: everything an operation needs, and nothing that can be swapped under it."""

    path: str
    folder: int
    name: str
    zone: Zone
    control: Sighting
    is_root: bool
    in_temporary: bool

    def look(self, *, change: bool = False) -> os.stat_result | None:
        """What stands here, links not followed; None when nothing does. Refuses control files (`change`: read-only ones too)."""
        try:
            found = os.stat(self.name, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            found = None
        except OSError as error:
            raise fault(error, self.path) from error
        self.admit(found, change=change)
        return found

    def admit(self, found: os.stat_result | None, *, change: bool) -> None:
        """Refuse what `found` is, when it is a control file by name, by folder or by inode."""
        if change and self.is_root:
            raise whole_root(self.path)
        zone = self.zone
        if found is not None:
            zone = max(zone, self.control.zone_of(identity_of(found)))
            has_other_names = found.st_nlink > 1 and stat.S_ISREG(found.st_mode)
            if has_other_names and self.control.is_linked_inside(identity_of(found)):
                zone = Zone.HIDDEN
        if zone is Zone.HIDDEN or (change and zone is not Zone.FREE):
            raise protected(self.path)

    def there(self, *, change: bool = False) -> os.stat_result:
        """The same of what has to be there; FILE_NOT_FOUND."""
        found = self.look(change=change)
        if found is None:
            raise missing(self.path)
        return found

    def require_movable(self, found: os.stat_result) -> None:
        """Refuse to move or remove a folder that has a control file somewhere beneath it."""
        if self.control.holds_control_files(identity_of(found)):
            raise protected(self.path)


class Walker:
    """Walks paths below one open folder. `use_openat2=None` takes the kernel's own confinement where there is one."""

    def __init__(
        self, root: Path, root_fd: int, control: ControlFiles, *, use_openat2: bool | None = None
    ) -> None:
        self._root_fd = root_fd
        self._written = control.written_below(Path(os.path.realpath(root)))
        self._above = frozenset(parts[:length] for parts in self._written for length in range(1, len(parts)))
        self._root_identity = identity_of(os.fstat(root_fd))
        self._control = control
        self.uses_openat2 = has_openat2(root_fd) if use_openat2 is None else use_openat2
        self.open: Open = open_beneath if self.uses_openat2 else open_component

    def forbid(self, path: str) -> None:
        """Refuse (PATH_PROTECTED) a path that no capability may change, by its text alone: nothing on it need exist."""
        parts = split(path)
        folded = tuple(map(fold, parts))
        if folded in self._above or any(map(reserved, parts)) or self._zone_written(folded) is not Zone.FREE:
            raise protected(path)

    def _zone_written(self, folded: tuple[str, ...]) -> Zone:
        prefixes = (folded[:length] for length in range(1, len(folded) + 1))
        return max((self._written.get(prefix, Zone.FREE) for prefix in prefixes), default=Zone.FREE)

    @contextmanager
    def at(self, path: str) -> Iterator[Place]:
        """The place that `path` names; its folder stays open inside the `with`.

        Raises `NoEffectError`: PATH_ESCAPES, PATH_INVALID, PATH_PROTECTED, FILE_NOT_FOUND (a folder of the path is missing),
        NOT_A_DIRECTORY.
        """
        parts = split(path)
        control = self._control.look()
        folder, identity = self._root_fd, self._root_identity
        zone = _not_hidden(path, self._zone_written(tuple(map(fold, parts))))
        opened: int | None = None
        try:
            for name in parts[:-1]:
                zone = _not_hidden(path, max(zone, control.zone_named(identity, name)))
                following = self._step(path, name, folder)
                if opened is not None:
                    os.close(opened)
                opened = folder = following
                identity = identity_of(os.fstat(folder))
                zone = _not_hidden(path, max(zone, control.zone_of(identity)))
            last = parts[-1] if parts else "."
            if parts:
                zone = _not_hidden(path, max(zone, control.zone_named(identity, last)))
            yield Place(path, folder, last, zone, control, not parts, any(map(is_temporary, parts)))
        finally:
            if opened is not None:
                os.close(opened)

    def _step(self, path: str, name: str, folder: int) -> int:
        try:
            return self.open(name, _SEARCH, folder)
        except OSError as error:
            # A link is reported as ELOOP or as "no directory", by kernel and flags; the caller should read one answer.
            if error.errno in (errno.ELOOP, errno.ENOTDIR, errno.EXDEV):
                if _is_link(name, folder):
                    raise escapes(path, "leads through a symbolic link") from None
                raise not_a_directory(path) from None
            raise fault(error, path) from error


def identity_of(found: os.stat_result) -> Identity:
    """Device and inode."""
    return found.st_dev, found.st_ino


def _is_link(name: str, folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False


def _not_hidden(path: str, zone: Zone) -> Zone:
    if zone is Zone.HIDDEN:
        raise protected(path)
    return zone
