"""A folder in memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeAlias

from assent.errors import InputError
from assent.knowledge.sources.ports import ROOT, Content, Kind, Seen, Stamp

Tree: TypeAlias = "Mapping[str, bytes | Kind | Tree]"
"""Entries by name: bytes are a file, a mapping is a folder, `link` and `other` are those."""


class MemoryFolder:
    """A `Folder` of a tree. Each file's number is its digest of bytes, so that a changed one has another stamp."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree

    def entries(self, path: str) -> Iterator[Seen]:
        found = self._at(path)
        if not isinstance(found, Mapping):
            raise InputError("NOT_A_DIRECTORY", f"`{path}` is not a directory", path=path)
        kinds = {name: _kind(entry) for name, entry in found.items()}
        for name in sorted(found, key=lambda name: _encoded(name) + b"/" * (kinds[name] == "folder")):
            entry = found[name]
            stamp = _stamp(entry) if isinstance(entry, bytes) else Stamp(0, 0)
            yield Seen(name, kinds[name], stamp)

    def read(self, path: str, bytes_max: int) -> Content:
        found = self._at(path)
        if not isinstance(found, bytes):
            code = {"link": "PATH_ESCAPES", "other": "FILE_KIND_UNSUPPORTED"}.get(
                _kind(found), "IS_A_DIRECTORY"
            )
            raise InputError(code, f"`{path}` is not a file", path=path)
        if len(found) > bytes_max:
            raise InputError("FILE_TOO_LARGE", f"`{path}` has more than {bytes_max} bytes", path=path)
        return Content(path, found, _stamp(found))

    def _at(self, path: str) -> bytes | Kind | Tree:
        found: bytes | Kind | Tree = self._tree
        for part in () if path == ROOT else path.split("/"):
            inner = found.get(part) if isinstance(found, Mapping) else None
            if inner is None:
                raise InputError("FILE_NOT_FOUND", f"`{path}` does not exist", path=path)
            found = inner
        return found


def _kind(entry: bytes | Kind | Tree) -> Kind:
    if isinstance(entry, str):
        return entry
    return "file" if isinstance(entry, bytes) else "folder"


def _encoded(name: str) -> bytes:
    return name.encode("utf-8", "surrogateescape")


def _stamp(data: bytes) -> Stamp:
    return Stamp(len(data), hash(data))
