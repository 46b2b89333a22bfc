"""What the reading of a folder stands on: a folder's entries and bytes, ignore rules, and git's list.

An adapter raises `AssentError` of any code where something cannot be read; nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, Protocol, TypeAlias

import msgspec

ROOT: Final = "."
"""The path of the folder itself; the other paths begin below it."""

Kind: TypeAlias = Literal["file", "folder", "link", "other"]


class Stamp(msgspec.Struct, frozen=True, gc=False):
    """What tells, without reading it, whether a file is still the same."""

    size: int
    mtime_ns: int
    device: int = 0
    inode: int = 0


class Seen(msgspec.Struct, frozen=True, gc=False):
    """An entry of a folder, links not followed. Bytes of its name that are not UTF-8 stand as lone surrogates."""

    name: str
    kind: Kind
    stamp: Stamp


class Content(msgspec.Struct, frozen=True):
    """A file's bytes, and what it was when they were read."""

    path: str
    data: bytes
    stamp: Stamp


class Folder(Protocol):
    """One folder of the world, and nothing outside of it: no link is followed."""

    def entries(self, path: str) -> Iterator[Seen]:
        """What a folder holds, in the order of the names' bytes, where a folder's name counts with a `/` behind it."""

    def read(self, path: str, bytes_max: int) -> Content:
        """A regular file. Never waits for one who writes, reads no more than one byte too many.

        `FILE_TOO_LARGE`, `FILE_CHANGED` where it changed while it was read, `PATH_ESCAPES` for a link, `FILE_KIND_UNSUPPORTED`
        for a pipe, a socket, a device; `FILE_NOT_FOUND`, and others.
        """


class Rules(Protocol):
    """A list of rules as `.gitignore` writes them."""

    def fitting(self, path: str, *, is_directory: bool) -> tuple[str, bool] | None:
        """The last rule that fits, and whether it leaves out (or, by `!`, takes back in). Asked of one entry at a time."""


class Archives(Protocol):
    """What reads the files in an archive."""

    def reads(self, path: str) -> bool:
        """Whether a file of this name is an archive of files."""

    def members(self, path: str, data: bytes) -> Sequence[tuple[str, bytes]]:
        """Its files, in the order of their paths' bytes; `AssentError`, and none, where it is damaged, hostile or too much.

        The error names none of them: who may see the archive need not see each.
        """


Compile: TypeAlias = Callable[[Sequence[str], str], Rules]
"""The rules of some lines; `AssentError` where they cannot be used. The second names their source in errors."""

Listed: TypeAlias = Callable[[str], Sequence[bytes] | None]
"""What the repository in a folder tracks: paths below that folder, in the order of their bytes. None where there is none."""
