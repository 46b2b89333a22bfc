"""How one text is cut. The same bytes are cut the same on every machine, and no byte of them is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from hashlib import sha256
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Final

import msgspec

from assent.knowledge.chunks._code import SYMBOL_MAX, Mark, code_marks, languages

PLANNER_VERSION: Final = 1
"""It grows when the same bytes are cut otherwise: what was indexed before is indexed anew then."""
CHUNK_BYTES_MAX: Final = 1_600
"""The largest chunk: some forty lines."""
CODE_BYTES_MAX: Final = 1 << 20
"""A larger text is cut as plain text: parsing it takes long, and hardly anybody wrote it."""
FILE_BYTES_MAX: Final = 8 << 20
"""A larger file is left out, by name."""
MARKDOWN: Final = "markdown"
TEXT: Final = "text"

_MARKDOWN_ENDINGS: Final = (".md", ".markdown", ".mdx")
_HEADING: Final = re.compile(rb" {0,3}(#{1,6})[ \t]+([^\n]*?)[ \t]*#*[ \t]*\r?$")
_UNDERLINE: Final = re.compile(rb" {0,3}(=+|-+)[ \t]*\r?$")
_WORD: Final = re.compile(rb"[0-9A-Za-z\x80-\xff]")
_ITEM: Final = re.compile(rb" {0,3}(?:[-*+>]|[0-9]+[.)])[ \t]")
_FENCE: Final = re.compile(rb" {0,3}(`{3,}|~{3,})")


class Chunk(msgspec.Struct, frozen=True):
    """A piece of a file: bytes `begin` up to `end`, which are the lines `line` to `end_line`, counted from 1."""

    begin: int
    end: int
    line: int
    end_line: int
    symbol: str
    """What it defines, with what that is in (`Class.method`), or the headings that it is under; empty: neither."""
    digest: str
    """SHA-256 of its bytes."""


@cache
def _by_ending() -> dict[str, str]:
    code = {ending: name for name, one in languages().items() for ending in one.extensions}
    return code | dict.fromkeys(_MARKDOWN_ENDINGS, MARKDOWN)


def language_of(path: str) -> str:
    """The language that a file is cut as, by its ending; `text` for all that have no rules of their own."""
    return _by_ending().get(PurePosixPath(path).suffix.lower(), TEXT)


def all_languages() -> list[str]:
    """What `language_of` can give, sorted."""
    return sorted({TEXT, *_by_ending().values()})


def chunks_of(path: str, data: bytes) -> tuple[Chunk, ...]:
    """The chunks of a UTF-8 text, in its order: one after the other they are the text again.

    Code is cut at definitions, Markdown at headings, everything else at empty lines and line ends; only a line that is longer
    than a chunk is cut within, between two characters.
    """
    language = language_of(path)
    if language == MARKDOWN:
        marks = _heading_marks(data)
    elif language == TEXT or len(data) > CODE_BYTES_MAX:
        marks = [(0, "")]
    else:
        marks = code_marks(data, language, CHUNK_BYTES_MAX)
    return tuple(_numbered(data, _windows(data, _with_text(data, marks)))) if data else ()


class Planned(msgspec.Struct, frozen=True):
    """A file that is indexed."""

    path: str
    language: str
    bytes: int
    chunks: tuple[Chunk, ...]


class LeftOut(msgspec.Struct, frozen=True):
    """A file that is not indexed, and why."""

    path: str
    because: str


def left_out(path: str, data: bytes) -> LeftOut | None:
    """Why a file is not indexed; None: it is."""
    if len(data) > FILE_BYTES_MAX:
        return LeftOut(path, f"it has more than {FILE_BYTES_MAX} bytes")
    if b"\0" in data:
        return LeftOut(path, "it is binary: it holds a byte of zero")
    try:
        data.decode()
    except UnicodeDecodeError as error:
        return LeftOut(path, f"it is not UTF-8 at byte {error.start}")
    return None


def plan_file(path: str, data: bytes) -> Planned | LeftOut:
    """How a file is cut, or why it is not."""
    left = left_out(path, data)
    if left is not None:
        return left
    return Planned(path, language_of(path), len(data), chunks_of(path, data))


def _with_text(data: bytes, marks: list[Mark]) -> list[Mark]:
    """The pieces with a word in them: a lone bracket, or nothing, joins the piece before, and at the beginning the one after."""
    kept: list[Mark] = []
    for begin, end, symbol in _spans(data, marks):
        if _WORD.search(data, begin, end):
            kept.append((begin if kept else 0, symbol))
    return kept or [(0, "")]


def _windows(data: bytes, marks: list[Mark]) -> Iterator[tuple[int, int, str]]:
    for begin, end, symbol in _spans(data, marks):
        at = begin
        while end - at > CHUNK_BYTES_MAX:
            cut = _cut(data, at, at + CHUNK_BYTES_MAX)
            yield at, cut, symbol
            at = cut
        yield at, end, symbol


def _spans(data: bytes, marks: list[Mark]) -> Iterator[tuple[int, int, str]]:
    for (begin, symbol), (end, _) in pairwise([*marks, (len(data), "")]):
        yield begin, end, symbol


def _cut(data: bytes, begin: int, end: int) -> int:
    """Where a piece that is too long ends: after an empty line in its second half, a line, or a character."""
    gap = data.rfind(b"\n\n", begin + CHUNK_BYTES_MAX // 2, end)
    if gap >= 0:
        return gap + 2
    line = data.rfind(b"\n", begin, end) + 1
    if line > begin:
        return line
    while data[end] & 0xC0 == 0x80:  # the second byte of a character, or a later one
        end -= 1
    return end


def _numbered(data: bytes, pieces: Iterator[tuple[int, int, str]]) -> Iterator[Chunk]:
    line = 1
    for begin, end, symbol in pieces:
        piece = data[begin:end]
        ends = piece.count(b"\n")
        last = line + ends - (1 if piece.endswith(b"\n") else 0)
        yield Chunk(begin, end, line, last, symbol, sha256(piece).hexdigest())
        line += ends


def _heading_marks(data: bytes) -> list[Mark]:
    """Sections of Markdown, called by their headings from the outermost to their own (CommonMark 0.31 §4.2, 4.3)."""
    marks: list[Mark] = [(0, "")]
    path: list[tuple[int, str]] = []
    fence, at, before, before_at = b"", 0, b"", 0
    for line in data.splitlines(keepends=True):
        text = line.rstrip(b"\n")
        opened = _FENCE.match(text)
        heading, level, begin = b"", 0, at
        if fence:
            if opened and opened[1].startswith(fence) and not text[opened.end() :].strip():
                fence = b""
            text = b""
        elif opened:
            fence, text = opened[1], b""
        elif found := _HEADING.match(text):
            heading, level = found[2], len(found[1])
        elif before.strip() and not _ITEM.match(before) and (under := _UNDERLINE.match(text)):
            heading, level, begin = before.strip(), 1 if under[1].startswith(b"=") else 2, before_at
        if level:
            path = [one for one in path if one[0] < level] + [(level, heading.decode())]
            marks.append((begin, " > ".join(name for _, name in path)[:SYMBOL_MAX]))
            text = b""
        before, before_at = text, at
        at += len(line)
    return marks
