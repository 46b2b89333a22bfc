"""Records of texts: the rows of a CSV under their heads, and lines that a pattern takes apart. Each with its bytes' place."""

from __future__ import annotations

import csv
import re
from collections import deque
from collections.abc import Iterator
from typing import Any, Final, NamedTuple

from assent.findings.parsing._json import ENDED, PIECE_BYTES, Cut, Read

LINE_BYTES_MAX: Final = 1 << 20
_ROW_LINES_MAX: Final = 10_000
_ROW_BYTES_MAX: Final = 4 << 20
_AGAIN_MAX: Final = 100
"""How often lines are given back by a row that is none; each time costs as many lines as a row may have."""
_NOT_UTF8: Final = "it is not UTF-8"
_TOO_LONG: Final = "the line is too long"
# Whole cells; a quote opens where it begins one. Possessive: a cell that does not end is found so in one pass.
_CELLS: Final = re.compile(rb'(?:(?:"(?:[^"]++|"")*+"|(?!"))[^,]*+(?:,|\Z))*+')
_BOM: Final = b"\xef\xbb\xbf"
_ESCAPES: Final = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


class Line(NamedTuple):
    """A line with its place, without the line's end."""

    begin: int
    end: int
    data: bytes
    is_long: bool
    """Too long, and cut."""
    is_ended: bool = True
    """False: the file ends before the line does."""


def lines(read: Read) -> Iterator[Line]:
    """Each line."""
    held, offset, begin = b"", 0, 0
    while True:
        piece = read(PIECE_BYTES)
        if not piece:
            break
        held += piece
        at = 0
        while (end := held.find(b"\n", at)) >= 0:
            if offset + end - begin > LINE_BYTES_MAX:
                yield Line(begin, offset + end, held[at : min(end, at + LINE_BYTES_MAX)], True)
            else:
                yield Line(begin, offset + end, held[at:end].rstrip(b"\r"), False)
            at = end + 1
            begin = offset + at
        held, offset = held[at:], offset + at
        if offset + len(held) - begin > LINE_BYTES_MAX:
            # Its place goes on, and its bytes are let go of.
            offset, held = offset + len(held), b""
    if held or offset > begin:
        yield Line(begin, offset + len(held), held.rstrip(b"\r"), offset > begin, False)


class RowCutter:
    """Rows of a CSV, as objects by the names in its first row; cells beyond those are one more, named for where they stand."""

    def __init__(self, read: Read) -> None:
        self._lines = lines(read)
        self._back: deque[Line] = deque()
        """Lines that are read once more."""
        self._again = 0
        self.heads: list[str] = []
        self._are_full = True
        """The rows up to here have all cells."""

    def __iter__(self) -> Iterator[Cut]:
        while (line := self._next()) is not None:
            if line.is_long:
                yield Cut(line.begin, line.end, None, (), _TOO_LONG)
            elif line.data.strip() and (cut := self._row(line)) is not None:
                yield cut

    def _next(self) -> Line | None:
        return self._back.popleft() if self._back else next(self._lines, None)

    def _row(self, first: Line) -> Cut | None:
        """The row that begins with this line; None for the names."""
        row = [first.data.removeprefix(_BOM) if first.begin == 0 else first.data]
        behind: list[Line] = []
        line: Line | None = first
        is_open = _is_open(row[0])
        while is_open and self._again < _AGAIN_MAX:
            line = self._next()
            if line is None:
                break
            behind.append(line)
            row.append(line.data)
            if line.is_long or len(row) > _ROW_LINES_MAX or line.end - first.begin > _ROW_BYTES_MAX:
                break
            is_open = _is_open(b'"' + line.data)
        fault, cells = (
            ("a quote in it is not closed", [])
            if is_open
            else _cells(b"\n".join(row).decode(errors="replace"))
        )
        end = behind[-1].end if behind else first.end
        last = behind[-1] if behind else first
        is_short = fault is None and len(cells) < len(self.heads)
        is_ended = line is None or (is_short and self._are_full and not last.is_ended)
        if fault is not None and behind:
            # A quote that stands for itself costs its own line, and not all up to the next quote. Where none follows, the file
            # may have ended in a text of many lines, and those that have not all the cells are this text's.
            whole = (at for at, one in enumerate(behind) if line is not None or self._is_whole(one))
            own = next(whole, len(behind))
            self._back.extendleft(reversed(behind[own:]))
            self._again += 1
            end = behind[own - 1].end if own else first.end
            is_ended = own == len(behind)
        if is_ended:
            # The end of its last line is in the cell that is open.
            return Cut(first.begin, last.end + last.is_ended, None, (), ENDED, is_last=True)
        if fault is None and any(_text(one) is None for one in row):
            fault = _NOT_UTF8
        if fault is not None:
            return Cut(first.begin, end, None, (), fault)
        if not self.heads:
            self.heads = [one.strip() for one in cells]
            return None
        self._are_full = self._are_full and not is_short
        said: dict[str, Any] = {
            head: cell for head, cell in zip(self.heads, cells, strict=False) if cell != ""
        }
        if beyond := [cell for cell in cells[len(self.heads) :] if cell != ""]:
            said[f"beyond column {len(self.heads)}"] = beyond
        return Cut(first.begin, end, said)

    def _is_whole(self, line: Line) -> bool:
        """Whether the line alone is a row with all cells."""
        return len(_cells(line.data.decode(errors="replace"))[1]) == len(self.heads)


def _is_open(data: bytes) -> bool:
    """Whether its last cell goes on in the next line."""
    found = _CELLS.match(data) if b'"' in data else None
    return found is not None and found.end() < len(data)


def _cells(text: str) -> tuple[str | None, list[str]]:
    """Why it is no row, or its cells."""
    try:
        (cells,) = csv.reader([text], strict=True)
    except (csv.Error, ValueError) as error:
        return f"it is not a row: {error}", []
    return None, cells


class LineCutter:
    """Lines that match a pattern, as objects of its named groups. Others are no records; escapes of terminals are left out."""

    def __init__(self, read: Read, pattern: Any) -> None:  # `Any`: as `pattern_of` gives it
        self._read = read
        self._pattern = pattern

    def __iter__(self) -> Iterator[Cut]:
        for begin, end, data, is_long, *_ in lines(self._read):
            text = _text(data)
            if text is None or is_long:
                yield Cut(begin, end, None, (), _TOO_LONG if is_long else _NOT_UTF8)
                continue
            found = self._pattern.search(_ESCAPES.sub("", text))
            if found is not None:
                yield Cut(begin, end, {name: one for name, one in found.groupdict().items() if one})


def _text(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None
