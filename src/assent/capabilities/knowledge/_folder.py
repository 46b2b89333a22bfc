"""A folder of the machine, as the library of knowledge reads it: through the confined world of `io.fs`, and nothing outside."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from assent.capabilities.fs._globs import Rules, rules_of
from assent.capabilities.fs.change._path_state import changed
from assent.capabilities.fs.world._confined import CHUNK_BYTES, ConfinedFiles, entry_of
from assent.capabilities.fs.world._faults import faults
from assent.capabilities.fs.world._paths import join, refusal
from assent.errors import AssentError
from assent.invocation import EntryKind
from assent.knowledge.sources import ENTRIES_MAX, Content, Folder, Ignores, Seen, Stamp
from assent.knowledge.sources.ports import Kind

_NAMES_MAX: Final = ENTRIES_MAX
"""Names of one folder, which are sorted in memory."""

_PAGE_NAMES: Final = 1_000
"""Entries that are looked at while their folder is open: a walk keeps no descriptor from one page to the next."""

_KINDS: Final[dict[EntryKind, Kind]] = {
    EntryKind.FILE: "file",
    EntryKind.DIRECTORY: "folder",
    EntryKind.SYMLINK: "link",
    EntryKind.OTHER: "other",
}


class ConfinedFolder:
    """The `Folder` of a confined world. What belongs to Assent itself is not there, as for every capability."""

    def __init__(self, files: ConfinedFiles) -> None:
        self._files = files

    def entries(self, path: str) -> Iterator[Seen]:
        with self._files.listed(path) as (_, entries):
            names = [
                os.fsencode(entry.name) + b"/" * entry.is_dir(follow_symlinks=False)
                for entry in islice(entries, _NAMES_MAX + 1)
            ]
        if len(names) > _NAMES_MAX:
            raise refusal("FILE_TOO_LARGE", path, f"has more than {_NAMES_MAX} entries")
        names.sort()
        for start in range(0, len(names), _PAGE_NAMES):
            page: list[Seen] = []
            with self._files.listed(path) as (descriptor, _):
                for encoded in names[start : start + _PAGE_NAMES]:
                    name = os.fsdecode(encoded.removesuffix(b"/"))
                    try:
                        found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                    except FileNotFoundError:
                        continue
                    page.append(Seen(name, _KINDS[entry_of(found).kind], _stamp(found)))
            yield from page

    def read(self, path: str, bytes_max: int) -> Content:
        descriptor = self._files.opened(path)
        try:
            with faults(path):
                before = _stamp(os.fstat(descriptor))
                data = _up_to(descriptor, bytes_max + 1)
                after = _stamp(os.fstat(descriptor))
        finally:
            os.close(descriptor)
        if len(data) > bytes_max:
            raise refusal("FILE_TOO_LARGE", path, f"has more than {bytes_max} bytes")
        if before != after or len(data) != after.size:
            raise changed(path)
        return Content(path, data, after)


def ignores_of(folder: Folder, sources: Mapping[str, Sequence[str]] | None = None) -> Ignores:
    """The stack over a folder, with git's own list where a `.git` folder stands in one. `sources` as of `Ignores`."""

    def listed(path: str) -> list[bytes] | None:
        from assent.capabilities.git._index import (
            INDEX_BYTES_MAX,
            paths_of,
        )  # libgit2, where there is a repository

        try:
            data = folder.read(join(path, ".git/index"), INDEX_BYTES_MAX).data
        except AssentError as error:
            # No repository; or a `.git` that leads elsewhere, as a linked work tree has it.
            if error.code in ("FILE_NOT_FOUND", "NOT_A_DIRECTORY", "PATH_ESCAPES"):
                return None
            raise
        return paths_of(path, data)

    return Ignores(_compiled, sources, listed=listed)


def _compiled(lines: Sequence[str], source: str) -> Rules:
    return rules_of(lines, source=source, code="IGNORE_FILE_INVALID")


def _stamp(found: os.stat_result) -> Stamp:
    return Stamp(found.st_size, found.st_mtime_ns, found.st_dev, found.st_ino)


def _up_to(descriptor: int, count: int) -> bytes:
    pieces: list[bytes] = []
    while count and (piece := os.read(descriptor, min(count, CHUNK_BYTES))):
        pieces.append(piece)
        count -= len(piece)
    return b"".join(pieces)
