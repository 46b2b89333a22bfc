"""The port through which handlers reach files: paths relative to the workspace, nothing outside it, every change atomic.

Paths are POSIX-style text, relative to the workspace's root; `.` is the root. An implementation resolves every component
without following links, so that neither `..`, an absolute path, a symbolic link nor a race leads outside, and refuses the
control files. Both raise `NoEffectError` (`PATH_ESCAPES`, `PATH_PROTECTED`), before anything is touched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import Protocol

import msgspec


class EntryKind(StrEnum):
    """What stands at a path."""

    FILE = "file"
    DIRECTORY = "directory"
    SYMLINK = "symlink"
    OTHER = "other"


class Entry(msgspec.Struct, frozen=True):
    """What stands at a path: kind, size in bytes, permission bits and modification time in nanoseconds.

    `links` counts the names that a file has; a second one may lie outside the workspace. In a simulated world the time of
    a change is unknown: `mtime_ns` is 0.
    """

    kind: EntryKind
    size: int
    mode: int
    mtime_ns: int
    links: int = 1


class Files(Protocol):
    """Reading and changing files of one workspace. All methods block; handlers that use them are sync."""

    def stat(self, path: str) -> Entry | None:
        """What stands at `path`, links not followed; None when nothing does."""
        ...

    def read(self, path: str) -> Iterator[bytes]:
        """A file's bytes, in chunks."""
        ...

    def list(self, path: str) -> list[str]:
        """The names in a directory, sorted; control files are not among them."""
        ...

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
        """Put a file in place atomically and durably (temporary name from `key`, fsync, rename, fsync of the folder).

        `NoEffectError` SECRET_EXPOSED where a secret that was handed out stands in it; not when it `restores` what stood there
        before, which goes back whatever it holds.
        """
        ...

    def make_dir(self, path: str, *, mode: int | None = None) -> None:
        """Create one directory; its parent exists."""
        ...

    def remove_file(self, path: str) -> None:
        """Remove a file or a link."""
        ...

    def remove_dir(self, path: str) -> None:
        """Remove an empty directory."""
        ...

    def rename(self, source: str, destination: str, *, replace: bool) -> None:
        """Move a file or directory within the workspace, atomically."""
        ...

    def read_link(self, path: str) -> str:
        """A symbolic link's target, as text."""
        ...

    def make_link(self, path: str, target: str) -> None:
        """Create a symbolic link (only to restore one that was removed)."""
        ...

    def set_attributes(self, path: str, *, mode: int | None = None, mtime_ns: int | None = None) -> None:
        """Set permission bits and modification time."""
        ...

    def temporary(self, path: str, *, key: str) -> str:
        """The path beside `path` where work on it is prepared or set aside: never listed, the same for the same `key`.

        What is written beneath it becomes durable with the `rename` that takes it from there.
        """
        ...

    def remove_temporary(self, path: str, *, key: str) -> None:
        """Remove whatever stands at `temporary(path, key=key)`, a whole tree as well; harmless when nothing does."""
        ...

    def guard(self, path: str) -> None:
        """Refuse (`PATH_PROTECTED`) a path that may not be changed, or a directory that directly holds one; it may be absent."""
        ...

    def new_mode(self, kind: EntryKind) -> int:
        """The permission bits that a new file or directory gets when none are asked for."""
        ...
