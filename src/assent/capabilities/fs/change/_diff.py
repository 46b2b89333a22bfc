"""What would change, as a person reads it: a unified diff of text, one line for everything else.

Everything is bounded: a plan over a large tree must not read it whole, nor print it.
"""

from __future__ import annotations

import difflib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assent.capabilities.fs.change._path_state import survey
from assent.capabilities.fs.world._paths import shown
from assent.invocation import EntryKind, Files

FILE_BYTES_MAX: Final = 512 << 10
"""A longer file is summarised."""

TOTAL_BYTES_MAX: Final = 4 << 20
"""When this much has been read for one preview, the remaining files are summarised."""

LINES_MAX: Final = 5_000
"""A file with more lines is summarised: the comparison's cost grows with their square."""

DIFF_CHARS_MAX: Final = 256 << 10
"""Where the text of a preview is cut."""


@dataclass(frozen=True, slots=True)
class Page:
    """One entry: its kind, permission bits, size, and for a short file its bytes (for a link, its target)."""

    kind: EntryKind
    mode: int
    size: int
    data: bytes | None


@dataclass(frozen=True, slots=True)
class Pages:
    """The entries at and beneath some paths."""

    entries: dict[str, Page]

    @classmethod
    def read(cls, files: Files, paths: tuple[str, ...]) -> Pages:
        """Read them, as far as the limits allow."""
        entries: dict[str, Page] = {}
        budget = TOTAL_BYTES_MAX
        for top in paths:
            for node in survey(files, top).nodes:
                data: bytes | None = None
                if node.kind is EntryKind.SYMLINK:
                    data = node.content.encode("utf-8", "surrogateescape")
                elif node.kind is EntryKind.FILE and node.size <= min(FILE_BYTES_MAX, budget):
                    data = b"".join(files.read(node.under(top)))
                    budget -= len(data)
                entries[node.under(top)] = Page(node.kind, node.mode & 0o777, node.size, data)
        return cls(entries)


def unified(before: Pages, after: Pages) -> str:
    """The differences, by path; cut at `DIFF_CHARS_MAX` with a last line that says so."""
    out: list[str] = []
    length = 0
    paths = sorted(before.entries.keys() | after.entries.keys())
    for number, path in enumerate(paths):
        if length > DIFF_CHARS_MAX:
            out.append(f"… and up to {len(paths) - number} more paths\n")
            break
        piece = "".join(_compare(shown(path), before.entries.get(path), after.entries.get(path)))
        length += len(piece)
        out.append(piece)
    return "".join(out)


def _compare(path: str, old: Page | None, new: Page | None) -> Iterator[str]:
    if old == new and (old is None or old.data is not None or old.kind is EntryKind.DIRECTORY):
        return
    if old is not None and new is not None and old.kind is new.kind and old.mode != new.mode:
        yield f"mode of {path}: {old.mode:04o} -> {new.mode:04o}\n"
    kinds = {page.kind for page in (old, new) if page is not None}
    if kinds == {EntryKind.FILE}:
        yield from _compare_files(path, old, new)
    elif old is None or new is None or old.kind is not new.kind or old.data != new.data:
        yield f"{_summary(old)} -> {_summary(new)}: {path}\n"


def _compare_files(path: str, old: Page | None, new: Page | None) -> Iterator[str]:
    lines = _lines(old), _lines(new)
    if lines[0] is None or lines[1] is None:
        yield f"binary or large file {path}: {_summary(old)} -> {_summary(new)}\n"
        return
    if old is None or new is None:
        only = new if old is None else old
        assert only is not None, "a path in neither world is not compared"
        yield f"{'new' if old is None else 'deleted'} file {path}, mode {only.mode:04o}, {only.size} bytes\n"
    names = "/dev/null" if old is None else f"a/{path}", "/dev/null" if new is None else f"b/{path}"
    for line in difflib.unified_diff(lines[0], lines[1], names[0], names[1]):
        yield line if line.endswith("\n") else f"{line}\n\\ No newline at end of file\n"


def _lines(page: Page | None) -> list[str] | None:
    """A text file's lines with their ends; None for what is no text, or too much of it."""
    if page is None:
        return []
    if page.data is None or b"\0" in page.data or page.data.count(b"\n") > LINES_MAX:
        return None
    try:
        text = page.data.decode()
    except UnicodeDecodeError:
        return None
    # Only `\n` ends a line here, as in diff(1); `splitlines` would also break at form feeds and Unicode separators.
    pieces = text.split("\n")
    return [f"{piece}\n" for piece in pieces[:-1]] + ([pieces[-1]] if pieces[-1] else [])


def _summary(page: Page | None) -> str:
    if page is None:
        return "nothing"
    if page.kind is EntryKind.DIRECTORY:
        return f"directory (mode {page.mode:04o})"
    if page.kind is EntryKind.SYMLINK:
        return f"link to {shown((page.data or b'').decode('utf-8', 'surrogateescape'))}"
    digest = f", sha256 {hashlib.sha256(page.data).hexdigest()[:12]}" if page.data is not None else ""
    return f"{page.size} bytes{digest}"
