"""Which files of a folder are read, in the order of their paths' bytes, and why any other one is not."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterator
from enum import StrEnum
from typing import Final

import msgspec

from assent.errors import AssentError
from assent.knowledge.chunks import FILE_BYTES_MAX, LeftOut
from assent.knowledge.cleaning import clean
from assent.knowledge.sources.ignoring import Ignores, Level, joined
from assent.knowledge.sources.ports import ROOT, Archives, Content, Folder, Seen, Stamp
from assent.spec.words.legible import safe_line

ENTRIES_MAX: Final = 2_000_000
"""Entries that one walk looks at."""

DEPTH_MAX: Final = 128
"""Folders within each other that a walk goes into."""

ARCHIVE_BYTES_MAX: Final = 64 << 20
"""A larger archive is left out, by name."""

MEMBERS: Final = "!"
"""What stands behind an archive's path where the path of a member begins."""

READS_MAX: Final = 3
"""How often a file is read that changes meanwhile."""


class Reason(StrEnum):
    """Why a file, or a folder with all that it holds, is not read."""

    IGNORED = "ignored"
    LINK = "link"
    NOT_A_FILE = "not_a_file"
    TOO_LARGE = "too_large"
    UNREADABLE = "unreadable"
    NAME = "name"
    CHANGED = "changed"
    TOO_MANY = "too_many"
    TOO_DEEP = "too_deep"
    ARCHIVE = "archive"


class Source(msgspec.Struct, frozen=True):
    """A file that is read."""

    path: str
    stamp: Stamp


class Skipped(LeftOut, frozen=True):
    """A file or folder that is not read. `path` is as it can be shown, which no path of a `Source` is where they differ."""

    reason: Reason


_REASONS: Final = {
    "PATH_ESCAPES": (Reason.LINK, "it is a link; links are not followed"),
    "FILE_KIND_UNSUPPORTED": (Reason.NOT_A_FILE, "it is a pipe, a socket or a device"),
    "FILE_CHANGED": (Reason.CHANGED, "it changed each time that it was read"),
    "FILE_NOT_FOUND": (Reason.CHANGED, "it was gone when it was to be read"),
    "NOT_A_DIRECTORY": (Reason.CHANGED, "it was another thing when it was to be read"),
    "IS_A_DIRECTORY": (Reason.CHANGED, "it was another thing when it was to be read"),
}
_LINK, _OTHER = _REASONS["PATH_ESCAPES"], _REASONS["FILE_KIND_UNSUPPORTED"]


def shown(path: str) -> str:
    r"""A path without secrets, and with all written out that could hide or mislead (`\x1b`, `\u202e`); a backslash is two."""
    text = os.fsencode(path.replace("\\", "\\\\")).decode("utf-8", "backslashreplace")
    return _without_secrets(safe_line(text))


def _without_secrets(text: str) -> str:
    return clean("", text.encode()).text.decode()


class _Under(msgspec.Struct):
    """A folder under way."""

    path: str
    level: Level
    entries: Iterator[Seen]
    is_whole: bool


def files_of(
    folder: Folder,
    ignores: Ignores,
    *,
    within: Collection[str] = (ROOT,),
    archives: Archives | None = None,
    entries_max: int = ENTRIES_MAX,
    entered: Callable[[str], object] = lambda _: None,
) -> Iterator[Source | Skipped]:
    """The files below, and what is left out. `within` are the paths that are looked at, with all below them.

    With `archives` those are files as well, for `contents_of`. `entered` is told each folder that is gone into.

    `AssentError` where the folder itself cannot be listed: that is not the same as an empty one.
    """
    above = frozenset(parent for place in within for parent in parents(place))
    stack = [_Under(ROOT, ignores.level(folder, ROOT, Level()), folder.entries(ROOT), ROOT in within)]
    entered(ROOT)
    looked = 0
    while stack:
        here = stack[-1]
        try:
            entry = next(here.entries, None)
        except AssentError as error:
            if here.path == ROOT:
                raise
            stack.pop()
            yield _unread(here.path, error)
            continue
        if entry is None:
            stack.pop()
            continue
        path = joined(here.path, entry.name)
        is_whole = here.is_whole or path in within
        if not is_whole and path not in above:
            continue
        looked += 1
        if looked > entries_max:
            ended = f"more than {entries_max} files and folders were looked at: this one and all behind it are left out"
            yield Skipped(shown(path), ended, Reason.TOO_MANY)
            return
        is_directory = entry.kind == "folder"
        why, level = ignores.why(path, here.level, is_directory=is_directory)
        skipped = _skipped(path, entry, why, archives, len(stack))
        if skipped is None and is_directory:
            try:
                inner = ignores.level(folder, path, level)
            except AssentError as error:
                because = f"what it leaves out can't be known: {error.message}"
                skipped = Skipped(path, because, Reason.UNREADABLE)
            else:
                entered(path)
                stack.append(_Under(path, inner, folder.entries(path), is_whole))
                continue
        if skipped is None:
            yield Source(path, entry.stamp)
        else:
            yield skipped


def read(folder: Folder, source: Source, *, bytes_max: int = FILE_BYTES_MAX) -> Content | Skipped:
    """A file's bytes as they stood there at one moment, or why they could not be had."""
    for left in reversed(range(READS_MAX)):
        try:
            return folder.read(source.path, bytes_max)
        except AssentError as error:
            if error.code != "FILE_CHANGED" or not left:
                return _unread(source.path, error, bytes_max)
    raise AssertionError("the last time returns")  # pragma: no cover


def contents_of(
    folder: Folder, source: Source, archives: Archives | None = None
) -> Iterator[Content | Skipped]:
    """The file's bytes; or those of the files in it, as `ARCHIVE!/MEMBER`, where it is an archive and those are asked for."""
    if archives is None or not archives.reads(source.path):
        yield read(folder, source)
        return
    packed = read(folder, source, bytes_max=ARCHIVE_BYTES_MAX)
    if isinstance(packed, Skipped):
        yield packed
        return
    try:
        members = archives.members(source.path, packed.data)
    except AssentError as error:
        yield Skipped(source.path, _without_secrets(error.message), Reason.ARCHIVE)
        return
    for name, data in members:
        path = f"{source.path}{MEMBERS}/{name}"
        seen = Seen(name, "file", Stamp(len(data), 0))
        yield _skipped(path, seen, None, None, 0) or Content(path, data, packed.stamp)


def _skipped(
    path: str, entry: Seen, why: str | None, archives: Archives | None, depth: int
) -> Skipped | None:
    printed = shown(path)
    if why is not None:
        return Skipped(printed, why, Reason.IGNORED)
    if printed != path:
        because = "its name can't be shown as it is: it is not UTF-8, or has a backslash, hidden characters or a secret"
        return Skipped(printed, because, Reason.NAME)
    if entry.kind in ("link", "other"):
        reason, because = _LINK if entry.kind == "link" else _OTHER
        return Skipped(path, because, reason)
    if entry.kind == "file":
        is_archive = archives is not None and archives.reads(path)
        bytes_max = ARCHIVE_BYTES_MAX if is_archive else FILE_BYTES_MAX
        return _too_large(path, bytes_max) if entry.stamp.size > bytes_max else None
    if archives is not None and path.endswith(MEMBERS) and archives.reads(path.removesuffix(MEMBERS)):
        return Skipped(path, "its files could not be told from those in an archive", Reason.NAME)
    if depth > DEPTH_MAX:
        return Skipped(path, f"it is more than {DEPTH_MAX} folders deep", Reason.TOO_DEEP)
    return None


def _unread(path: str, error: AssentError, bytes_max: int | None = None) -> Skipped:
    if error.code == "FILE_TOO_LARGE":
        return (
            Skipped(path, error.message, Reason.TOO_LARGE)
            if bytes_max is None
            else _too_large(path, bytes_max)
        )
    reason, because = _REASONS.get(error.code, (Reason.UNREADABLE, error.message))
    return Skipped(path, because, reason)


def _too_large(path: str, bytes_max: int) -> Skipped:
    return Skipped(path, f"it has more than {bytes_max} bytes", Reason.TOO_LARGE)


def parents(path: str) -> Iterator[str]:
    """The folders that a path is in, without the outermost."""
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
