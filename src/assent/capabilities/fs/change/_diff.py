"""What would change, as a person reads it: a unified diff of text, one line for everything else.

Everything is bounded: a plan over a large tree must not read it whole, nor print it.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assent.capabilities.fs.change._path_state import content_digest, survey
from assent.capabilities.fs.world._overlay import OverlayFiles
from assent.capabilities.fs.world._paths import named
from assent.invocation import EntryKind, Files, World
from assent.spec.words.sizes import count_text

FILE_BYTES_MAX: Final = 512 << 10
"""A longer file is summarised."""

TOTAL_BYTES_MAX: Final = 4 << 20
"""When this much has been read for one preview, the remaining files are summarised."""

LINES_MAX: Final = 5_000
"""A file with more lines is summarised: the comparison's cost grows with their square."""

HASHED_BYTES_MAX: Final = 64 << 20
"""So many bytes of files that are summarised are read for their SHA-256."""

DIFF_CHARS_MAX: Final = 1 << 20
"""After so much text the remaining entries are told in a line each, their digests instead of their lines."""

HEADS_CHARS_MAX: Final = 4 << 20
"""After so much more they are only counted."""


@dataclass(frozen=True, slots=True)
class Page:
    """One entry: its kind, permission bits, size; a short file's bytes, a link's target, the SHA-256 of a longer file."""

    kind: EntryKind
    mode: int
    size: int
    data: bytes | None
    digest: str | None = None

    @property
    def is_program(self) -> bool:
        """A file that somebody may execute."""
        return self.kind is EntryKind.FILE and self.mode & 0o111 != 0


@dataclass(frozen=True, slots=True)
class Pages:
    """The entries at and beneath some paths."""

    entries: dict[str, Page]

    @classmethod
    def read(cls, files: Files, paths: tuple[str, ...]) -> Pages:
        """Read them, as far as the limits allow."""
        entries: dict[str, Page] = {}
        shown_bytes, hashed_bytes = TOTAL_BYTES_MAX, HASHED_BYTES_MAX
        for top in paths:
            for node in survey(files, top).nodes:
                path = node.under(top)
                if path in entries:  # read already: another of the paths stands below this one
                    continue
                data = digest = None
                if node.kind is EntryKind.SYMLINK:
                    data = node.content.encode("utf-8", "surrogateescape")
                elif node.kind is EntryKind.FILE and node.size <= min(FILE_BYTES_MAX, shown_bytes):
                    data = b"".join(files.read(path))
                    shown_bytes -= len(data)
                elif node.kind is EntryKind.FILE and node.size <= hashed_bytes:
                    digest = content_digest(files.read(path))
                    hashed_bytes -= node.size
                entries[path] = Page(node.kind, node.mode & 0o777, node.size, data, digest)
        return cls(entries)


def unified(before: Pages, after: Pages, folder: str = ".") -> str:
    """The differences, by path. First what wants a look: new programs, names that hide something, what lies outside `folder`.

    However much differs, paths are named with their kind, mode and digest, and what is left out is counted.
    """
    pairs = [
        (path, before.entries.get(path), after.entries.get(path))
        for path in before.entries.keys() | after.entries.keys()
    ]
    changed = [pair for pair in pairs if _differs(*pair[1:])]
    changed.sort(key=lambda pair: (not _wants_a_look(pair[0], pair[1], pair[2], folder), pair[0]))
    out: list[str] = []
    length = 0
    for number, (path, old, new) in enumerate(changed):
        if length > DIFF_CHARS_MAX + HEADS_CHARS_MAX:
            out.append(f"… and {len(changed) - number} more paths\n")
            break
        piece = "".join(_compare(named(path), old, new, is_whole=length <= DIFF_CHARS_MAX))
        length += len(piece)
        out.append(piece)
    return "".join(out)


def difference(world: World) -> str:
    """How a simulated world differs by now from the one that it looked like."""
    after = world.files
    assert isinstance(after, OverlayFiles), "the real world differs from nothing"
    paths = after.touched()
    return unified(Pages.read(after.base, paths), Pages.read(after, paths))


def _differs(old: Page | None, new: Page | None) -> bool:
    """Whether two entries differ, as far as is known: what nobody has read may have changed."""
    if old != new:
        return True
    is_read = old is None or old.data is not None or old.digest is not None
    return not is_read and old is not None and old.kind is EntryKind.FILE


def _wants_a_look(path: str, old: Page | None, new: Page | None, folder: str) -> bool:
    is_new_program = new is not None and new.is_program and (old is None or not old.is_program)
    return (
        is_new_program or named(path) != path or (folder != "." and not f"{path}/".startswith(f"{folder}/"))
    )


def _compare(path: str, old: Page | None, new: Page | None, *, is_whole: bool) -> Iterator[str]:
    if old is not None and new is not None and old.kind is new.kind and old.mode != new.mode:
        yield f"mode of {path}: {_mode(old)} -> {_mode(new)}\n"
    kinds = {page.kind for page in (old, new) if page is not None}
    if kinds == {EntryKind.FILE}:
        yield from _compare_files(path, old, new, is_whole=is_whole)
    elif old is None or new is None or old.kind is not new.kind or old.data != new.data:
        yield f"{_summary(old)} -> {_summary(new)}: {path}\n"


def _compare_files(path: str, old: Page | None, new: Page | None, *, is_whole: bool) -> Iterator[str]:
    lines = _lines(old), _lines(new)
    if not is_whole or lines[0] is None or lines[1] is None:
        what = "binary or large file" if is_whole else "file (its lines are not shown here)"
        yield f"{what} {path}: {_summary(old)} -> {_summary(new)}\n"
        return
    if old is None or new is None:
        only = new if old is None else old
        assert only is not None, "a path in neither world is not compared"
        yield f"{'new' if old is None else 'deleted'} file {path}, mode {_mode(only)}, {count_text(only.size, 'byte')}\n"
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
        return f"link to {named((page.data or b'').decode('utf-8', 'surrogateescape'))}"
    digest = content_digest([page.data]) if page.data is not None else page.digest
    content = f"sha256 {digest}" if digest is not None else "not read"
    return f"{count_text(page.size, 'byte')}, mode {_mode(page)}, {content}"


def _mode(page: Page) -> str:
    return f"{page.mode:04o} (executable)" if page.is_program else f"{page.mode:04o}"
