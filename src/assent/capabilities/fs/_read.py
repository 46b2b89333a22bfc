"""`io.fs.read_file`, `hash_file`, `list_dir` and `exists`: looking without touching."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Final

from assent.capabilities.fs._shapes import (
    Existence,
    FileHash,
    FileText,
    ListDir,
    Listed,
    Listing,
    OnePath,
    ReadFile,
    place,
)
from assent.capabilities.fs._text import decode
from assent.capabilities.fs.world._faults import missing, not_a_directory
from assent.capabilities.fs.world._paths import escapes, join, refusal, shown
from assent.invocation import Entry, EntryKind, Files, LocalContext, NoEffectError

READ_BYTES_MAX: Final = 16 << 20
"""The largest file that is returned as text: outputs are journaled and held in memory."""

ENTRIES_MAX: Final = 10_000
"""Entries in one listing; the output says when there were more."""


def read_file(context: LocalContext, parameters: ReadFile) -> FileText:
    """A file's text. Raises `NoEffectError`: FILE_TOO_LARGE, ENCODING_UNKNOWN, ENCODING_FAILED, and those of paths."""
    path, files = place(parameters.path), context.world.files
    digest, pieces, size = hashlib.sha256(), [], 0
    for chunk in files.read(path):
        size += len(chunk)
        if size > READ_BYTES_MAX:
            why = f"has more than {READ_BYTES_MAX} bytes, the most that is returned as text"
            raise refusal("FILE_TOO_LARGE", path, why, "`io.fs.hash_file` takes files of any size")
        digest.update(chunk)
        pieces.append(chunk)
    return FileText(
        path=path,
        content=decode(b"".join(pieces), parameters.encoding),
        encoding=parameters.encoding,
        size=size,
        sha256=digest.hexdigest(),
    )


def read_text(context: LocalContext, path: str, *, bytes_max: int) -> str:
    """A file's text as UTF-8, for capabilities that work on text. Raises FILE_TOO_LARGE, DATA_INVALID, and those of paths."""
    where, pieces, size = place(path), [], 0
    for chunk in context.world.files.read(where):
        size += len(chunk)
        if size > bytes_max:
            raise refusal("FILE_TOO_LARGE", where, f"has more than {bytes_max} bytes")
        pieces.append(chunk)
    data = b"".join(pieces)
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - data.rfind(b"\n", 0, error.start)
        raise NoEffectError(
            "DATA_INVALID", f"byte {error.start} is not UTF-8", path=f"{shown(where)}:{line}:{column}"
        ) from None


def hash_file(context: LocalContext, parameters: OnePath) -> FileHash:
    """A file's SHA-256 and size, whatever its size."""
    path = place(parameters.path)
    digest, size = hashlib.sha256(), 0
    for chunk in context.world.files.read(path):
        digest.update(chunk)
        size += len(chunk)
        if context.cancel.is_cancelled:
            raise NoEffectError(
                "CALL_CANCELLED", "the call was cancelled while it read a file", path=shown(path)
            )
    return FileHash(path=path, algorithm="sha256", sha256=digest.hexdigest(), size=size)


def exists(context: LocalContext, parameters: OnePath) -> Existence:
    """Whether something stands at a path, and of what kind; a link is reported as one, not followed."""
    path = place(parameters.path)
    try:
        entry = context.world.files.stat(path)
    except NoEffectError as error:
        if error.code != "NOT_A_DIRECTORY":
            raise
        entry = None
    return Existence(path=path, exists=entry is not None, kind=entry.kind.value if entry else None)


def list_dir(context: LocalContext, parameters: ListDir) -> Listing:
    """A folder's entries in walking order; links are listed, not followed."""
    path, files = place(parameters.path), context.world.files
    top = files.stat(path)
    if top is None:
        raise missing(path)
    if top.kind is EntryKind.SYMLINK:
        raise escapes(path, "is a symbolic link")
    if top.kind is not EntryKind.DIRECTORY:
        raise not_a_directory(path)
    entries: list[Listed] = []
    for inner, entry in _walk(files, path, "", parameters):
        if len(entries) == ENTRIES_MAX:
            return Listing(path=path, entries=entries, truncated=True)
        entries.append(
            Listed(
                path=shown(inner),
                kind=entry.kind.value,
                size=entry.size,
                modified_ms=entry.mtime_ns // 1_000_000,
            )
        )
    return Listing(path=path, entries=entries, truncated=False)


def _walk(files: Files, top: str, inner: str, parameters: ListDir) -> Iterator[tuple[str, Entry]]:
    directory = join(top, inner) if inner else top
    for name in files.list(directory):
        if name.startswith(".") and not parameters.include_hidden:
            continue
        below = f"{inner}/{name}" if inner else name
        entry = visible(files, join(top, below))
        if entry is None:
            continue
        yield below, entry
        if parameters.recursive and entry.kind is EntryKind.DIRECTORY:
            yield from _walk(files, top, below, parameters)


def visible(files: Files, path: str) -> Entry | None:
    """What stands there; None when it went since it was listed, or is a second name of something hidden."""
    try:
        return files.stat(path)
    except NoEffectError as error:
        if error.code != "PATH_PROTECTED":
            raise
        return None
