"""`io.fs.search`: the lines of text files in which a pattern is found.

Files are read as UTF-8 and matched as bytes; one with a NUL byte near its beginning is taken for a binary file and skipped. What
is not read is counted, and everything has an end: bytes read, lines answered, characters answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import msgspec

from assent.capabilities.fs._find import Walk
from assent.capabilities.fs._shapes import Hit, Position, Search, Searched, Skipped
from assent.capabilities.fs.world._paths import shown
from assent.invocation import EntryKind, LocalContext, NoEffectError

if TYPE_CHECKING:
    from assent.capabilities.text._regex import Regex

FILE_BYTES_MAX: Final = 64 << 20
"""The largest file that is searched, whatever a caller asks for."""

SEARCHED_BYTES_MAX: Final = 256 << 20
"""Bytes that one search reads."""

ANSWER_CHARACTERS_MAX: Final = 4 << 20
"""Characters of all lines of one answer, about."""

LINE_CHARACTERS_MAX: Final = 500
"""Where a line of an answer is cut."""

POSITIONS_MAX: Final = 50
"""Matches of one line that are told."""

_SNIFFED_BYTES: Final = 8 << 10


class _Answer(msgspec.Struct):
    """What a search has found so far."""

    limit: int
    around: int
    hits: list[Hit] = msgspec.field(default_factory=list)
    files: int = 0
    binary: int = 0
    large: int = 0
    unreadable: int = 0
    characters: int = 0

    @property
    def is_full(self) -> bool:
        return len(self.hits) >= self.limit or self.characters >= ANSWER_CHARACTERS_MAX

    def add(self, hit: Hit) -> None:
        self.hits.append(hit)
        self.characters += len(hit.text) + sum(map(len, hit.before)) + sum(map(len, hit.after))


def search(context: LocalContext, parameters: Search) -> Searched:
    """The lines in which the pattern is found. Raises `NoEffectError`: PATTERN_INVALID, IGNORE_FILE_INVALID, those of paths."""
    from assent.capabilities.text._regex import Flags, compile_pattern  # a file step needs none of it

    flags = Flags(
        literal=parameters.literal, ignore_case=parameters.ignore_case, multi_line=True, within_lines=True
    )
    regex = compile_pattern(parameters.pattern.encode(), flags)
    walk = Walk.over(context, parameters)
    size_max = min(parameters.max_file_size, FILE_BYTES_MAX)
    answer = _Answer(parameters.limit, parameters.context)
    budget, is_cut = SEARCHED_BYTES_MAX, False
    for path, entry in walk.entries():
        if entry.kind is not EntryKind.FILE:
            continue
        if entry.size > size_max:
            answer.large += 1
            continue
        if entry.size > budget or answer.is_full:
            is_cut = True
            break
        data = _read(context, path, size_max)
        if data is None:
            answer.unreadable += 1
        elif b"\0" in data[:_SNIFFED_BYTES]:
            answer.binary += 1
        else:
            answer.files += 1
            is_cut = _search_file(context, path, data, regex, answer) or is_cut
        budget -= len(data or b"")
    return Searched(
        hits=answer.hits,
        files=answer.files,
        skipped=Skipped(binary=answer.binary, large=answer.large, unreadable=answer.unreadable),
        truncated=is_cut or walk.is_cut,
    )


def _read(context: LocalContext, path: str, size_max: int) -> bytes | None:
    """A file's bytes; None for one that is gone, may not be read, or grew too large since it was seen."""
    pieces: list[bytes] = []
    size = 0
    try:
        for chunk in context.world.files.read(path):
            size += len(chunk)
            if size > size_max:
                return None
            pieces.append(chunk)
    except NoEffectError as error:
        if error.code in ("FILE_NOT_FOUND", "ACCESS_DENIED", "IS_A_DIRECTORY", "FILE_KIND_UNSUPPORTED"):
            return None
        raise
    return b"".join(pieces)


def _search_file(context: LocalContext, path: str, data: bytes, regex: Regex, answer: _Answer) -> bool:
    """Add the file's lines that match; whether the answer was full before the last of them."""
    at, line, counted = 0, 1, 0
    while at <= len(data) and (found := regex.found_in(data, at)) is not None:
        if answer.is_full:
            return True
        if context.cancel.is_cancelled:
            raise NoEffectError(
                "CALL_CANCELLED", "the call was cancelled while it searched", path=shown(path)
            )
        start = data.rfind(b"\n", 0, found[0]) + 1
        end = data.find(b"\n", found[0])
        end = len(data) if end < 0 else end
        if start == len(data) and data:
            break  # Behind the last line break there is no line, although an empty pattern matches there.
        line += data.count(b"\n", counted, start)
        counted = start
        before, after = _around(data, start, end, answer.around)
        answer.add(
            Hit(
                path=shown(path),
                line=line,
                positions=_positions(data, start, end, found, regex),
                text=_text(data[start:end]),
                before=before,
                after=after,
            )
        )
        at = end + 1
    return False


def _positions(data: bytes, start: int, end: int, first: tuple[int, int], regex: Regex) -> list[Position]:
    """Where the matches of one line stand, in characters; the first is known."""
    found: tuple[int, int] | None = first
    positions: list[Position] = []
    while found is not None and found[1] <= end and len(positions) < POSITIONS_MAX:
        before = data[start : found[0]].decode("utf-8", "replace")
        within = data[found[0] : found[1]].decode("utf-8", "replace")
        positions.append(Position(column=len(before) + 1, length=len(within)))
        following = max(found[1], found[0] + 1)
        found = regex.found_in(data, following) if following < end else None
    return positions


def _around(data: bytes, start: int, end: int, count: int) -> tuple[list[str], list[str]]:
    """The lines before and after the one from `start` to `end`."""
    before: list[str] = []
    while start > 0 and len(before) < count:
        above = data.rfind(b"\n", 0, start - 1) + 1
        before.append(_text(data[above : start - 1]))
        start = above
    after: list[str] = []
    while end + 1 < len(data) and len(after) < count:
        below = data.find(b"\n", end + 1)
        below = len(data) if below < 0 else below
        after.append(_text(data[end + 1 : below]))
        end = below
    return before[::-1], after


def _text(line: bytes) -> str:
    # Four bytes at most make a character, so what is cut off is never needed.
    text = line[: 4 * LINE_CHARACTERS_MAX + 4].decode("utf-8", "replace").removesuffix("\r")
    return text if len(text) <= LINE_CHARACTERS_MAX else f"{text[:LINE_CHARACTERS_MAX]}…"
