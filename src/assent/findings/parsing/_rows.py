"""Records of texts: the rows of a CSV under their heads, and lines that a pattern takes apart. Each with its bytes' place."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator
from typing import Any, Final

from assent.findings.parsing._json import PIECE_BYTES, Cut, Read

LINE_BYTES_MAX: Final = 1 << 20
_ROW_LINES_MAX: Final = 10_000
_ROW_BYTES_MAX: Final = 4 << 20
_BOM: Final = b"\xef\xbb\xbf"
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


def lines(read: Read) -> Iterator[tuple[int, int, bytes, bool]]:
    """Each line with its place: begin, end, bytes without the line's end, and whether it was too long and is cut."""
    held, offset, begin = b"", 0, 0
    while True:
        piece = read(PIECE_BYTES)
        if not piece:
            break
        held += piece
        at = 0
        while (end := held.find(b"\n", at)) >= 0:
            if offset + end - begin > LINE_BYTES_MAX:
                yield begin, offset + end, held[at : min(end, at + LINE_BYTES_MAX)], True
            else:
                yield begin, offset + end, held[at:end].rstrip(b"\r"), False
            at = end + 1
            begin = offset + at
        held, offset = held[at:], offset + at
        if offset + len(held) - begin > LINE_BYTES_MAX:
            # Its place goes on, and its bytes are let go of.
            offset, held = offset + len(held), b""
    if held or offset > begin:
        yield begin, offset + len(held), held.rstrip(b"\r"), offset > begin


class RowCutter:
    """Rows of a CSV, as objects by the names in its first row."""

    def __init__(self, read: Read) -> None:
        self._read = read
        self.heads: list[str] = []

    def __iter__(self) -> Iterator[Cut]:
        begin = end = 0
        waiting: list[str] = []
        quotes = 0
        for first, last, data, is_long in lines(self._read):
            text = _text(data.removeprefix(_BOM) if first == 0 else data)
            if text is None or is_long:
                yield Cut(first, last, None, (), "the line is too long" if is_long else "it is not UTF-8")
                continue
            if not waiting:
                if not text.strip():
                    continue
                begin = first
            waiting.append(text)
            quotes += text.count('"')
            end = last
            if quotes % 2 and len(waiting) < _ROW_LINES_MAX and end - begin < _ROW_BYTES_MAX:
                continue
            yield from self._row(begin, end, "\n".join(waiting))
            waiting, quotes = [], 0
        if waiting:
            yield Cut(begin, end, None, (), "the file ends in the middle of it", is_last=True)

    def _row(self, begin: int, end: int, text: str) -> Iterator[Cut]:
        try:
            (cells,) = csv.reader([text], strict=True)
        except (csv.Error, ValueError) as error:
            yield Cut(begin, end, None, (), f"it is not a row: {error}")
            return
        if not self.heads:
            self.heads = [one.strip() for one in cells]
            return
        yield Cut(
            begin, end, {head: cell for head, cell in zip(self.heads, cells, strict=False) if cell != ""}
        )


class LineCutter:
    """Lines that match a pattern, as objects of its named groups. Others are no records; escapes of terminals are left out."""

    def __init__(self, read: Read, pattern: Any) -> None:  # `Any`: as `pattern_of` gives it
        self._read = read
        self._pattern = pattern

    def __iter__(self) -> Iterator[Cut]:
        for begin, end, data, is_long in lines(self._read):
            text = _text(data)
            if text is None or is_long:
                yield Cut(begin, end, None, (), "the line is too long" if is_long else "it is not UTF-8")
                continue
            found = self._pattern.search(_ESCAPES.sub("", text))
            if found is not None:
                yield Cut(begin, end, {name: one for name, one in found.groupdict().items() if one})


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
