"""A workspace at one moment: what tells whether anything of it, or one path of it, is another one now."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeAlias

STAMPED_ENTRIES_MAX: Final = 200_000

Seen: TypeAlias = tuple[int, int, int, int, int]
"""Mode, size, inode, times of modification and of change: what nobody can change and put back unseen."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Two are equal when nothing has changed between them. `digest`: 64 hex digits."""

    digest: str
    root: Path = field(compare=False)
    _seen: Mapping[str, Seen] = field(compare=False, repr=False)

    def has_changed(self, path: str) -> bool:
        """Whether what stands at a path, relative to the workspace, is not what stood there."""
        place = self.root / path
        try:
            found: Seen | None = _seen(place.lstat())
        except OSError:
            found = None
        return found != self._seen.get(str(place))


def stamp_of(root: Path, hidden: frozenset[str]) -> Stamp | None:
    """The workspace as it is, without what is hidden; None for one that is too large."""
    digest, seen = hashlib.sha256(), dict[str, Seen]()
    waiting = [str(root)]
    while waiting:
        folder = waiting.pop()
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda one: one.name):
                if entry.path in hidden:
                    continue
                found = seen[entry.path] = _seen(entry.stat(follow_symlinks=False))
                digest.update(repr((entry.path, found)).encode(errors="surrogateescape"))
                if entry.is_dir(follow_symlinks=False):
                    waiting.append(entry.path)
        if len(seen) > STAMPED_ENTRIES_MAX:
            return None
    return Stamp(digest.hexdigest(), root, seen)


def other_names(root: Path, hidden: Sequence[Path]) -> tuple[Path, ...]:
    """The other names that hidden files have in the workspace: a hard link is the file itself, and no wall is around it.

    Of a folder, the files that stand right in it. The workspace is walked only where one of them has several names.
    """
    wanted = {
        (found.st_dev, found.st_ino)
        for path in hidden
        for found in _files_of(path)
        if found.st_nlink > 1 and stat.S_ISREG(found.st_mode)
    }
    names: list[Path] = []
    for folder, _, files in os.walk(root) if wanted else ():
        for name in files:
            with suppress(OSError):
                path = Path(folder, name)
                found = path.lstat()
                if found.st_nlink > 1 and (found.st_dev, found.st_ino) in wanted:
                    names.append(path)
    return tuple(names)


def _files_of(path: Path) -> list[os.stat_result]:
    with suppress(FileNotFoundError):
        return [found.lstat() for found in path.iterdir()] if path.is_dir() else [path.stat()]
    return []


def _seen(found: os.stat_result) -> Seen:
    return found.st_mode, found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
