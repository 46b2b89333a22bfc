"""Aligned columns of plain text, as wide as the terminal at most."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator, Sequence
from typing import Final

from assent._lazy import compiled_when_asked
from assent.cli.terminal._style import Paint

LAST_COLUMNS_MIN: Final = 24
"""The last column is wrapped where it has so much room; with less, columns go below their row instead."""

_STYLE: Final = compiled_when_asked("\x1b\\[[0-9;]*m")
_GAP: Final = "  "


def visible(text: str) -> int:
    """Columns that a text takes, colour not counted."""
    plain = _STYLE.sub("", text)
    return len(plain) if plain.isascii() else sum(_columns(character) for character in plain)


def _columns(character: str) -> int:
    if unicodedata.combining(character):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str] = (), paint: Paint, indent: str = "") -> str:
    """The rows in columns, two spaces apart; empty columns are left out, the last one is not padded.

    Where they are wider than the terminal nothing is cut: a long last column is wrapped, and columns that find no room stand
    below their row, each behind its heading. Where only some rows have no room for theirs, only those do.
    """
    everything = [*([head] if head else []), *rows]
    count = max((len(row) for row in everything), default=0)
    kept = [i for i in range(count) if any(i < len(row) and row[i] for row in rows)]
    cells = [[row[i] if i < len(row) else "" for i in kept] for row in everything]
    widths = [max(visible(row[i]) for row in cells) for i in range(len(kept))]
    aligned, room = _layout(widths, paint.columns, len(indent))
    if aligned < len(widths):
        usual = [widths[0], *(_usual(column) for column in [*zip(*cells, strict=True)][1:])]
        if _layout(usual, room, len(indent))[0] == len(usual):
            widths, aligned = usual, len(usual)
    names = cells.pop(0) if head else []
    lines = [paint(_line(names[:aligned], widths, indent), "dim")] if head else []
    for row in cells:
        if room is None:
            lines.append(_line(row, widths, indent))
            continue
        beside = next((i for i in range(1, aligned) if not _fits(row, i, widths, indent, room)), aligned)
        if beside == len(row):
            lines += _wrapped_last(row, widths, indent, room)
            continue
        lines.append(_line(row[:beside], widths, indent))
        rest = [
            f"{paint(names[i], 'dim')} {row[i]}" if head and names[i] else row[i]
            for i in range(beside, len(row))
            if row[i]
        ]
        below = indent + " " * (widths[0] + len(_GAP) if widths[0] <= 12 and aligned > 1 else 4)
        lines += _flow(rest, below, room)
    return "\n".join(lines)


def flow(cells: Sequence[str], *, paint: Paint, first: str = "", indent: str = "", gap: str = _GAP) -> str:
    """The cells one behind the other; where that is wider than the terminal, on several lines that begin with `indent`."""
    if paint.columns is None:
        return first + gap.join(cells)
    return "\n".join(_flow(cells, indent, paint.columns, first=first, gap=gap))


def _usual(column: Sequence[str]) -> int:
    """A width that has room for the heading and for three cells of four."""
    widths = sorted(map(visible, column[1:]))
    return max(visible(column[0]), widths[(len(widths) * 3 - 1) // 4] if widths else 0)


def _fits(row: Sequence[str], i: int, widths: Sequence[int], indent: str, room: int) -> bool:
    """Whether a cell has room in its column; the last one may be wrapped, between its words."""
    if i < len(row) - 1:
        return visible(row[i]) <= widths[i]
    start = len(indent) + sum(width + len(_GAP) for width in widths[:i])
    return all(visible(word) <= room - start for word in row[i].split(" "))


def _layout(widths: Sequence[int], columns: int | None, indent: int) -> tuple[int, int | None]:
    """How many columns stand side by side, and the room of a line where not all do, or the last has to be wrapped."""
    if columns is None or indent + sum(widths) + len(_GAP) * (len(widths) - 1) <= columns:
        return len(widths), None
    fixed = indent + sum(width + len(_GAP) for width in widths[:-1])
    if fixed + LAST_COLUMNS_MIN <= columns:
        return len(widths), columns
    used, aligned = indent, 0
    for width in widths:
        used += width + len(_GAP)
        if used - len(_GAP) > columns:
            break
        aligned += 1
    return max(1, aligned), columns


def _line(cells: Sequence[str], widths: Sequence[int], indent: str) -> str:
    padded = [cell + " " * (width - visible(cell)) for cell, width in zip(cells, widths, strict=False)]
    return (indent + _GAP.join(padded)).rstrip()


def _wrapped_last(row: Sequence[str], widths: Sequence[int], indent: str, room: int) -> Iterator[str]:
    start = len(indent) + sum(width + len(_GAP) for width in widths[:-1])
    for number, text in enumerate(_folded(row[-1], room - start)):
        yield _line([*(row[:-1] if number == 0 else [""] * (len(row) - 1)), text], widths, indent)


def _flow(
    cells: Sequence[str], indent: str, room: int, *, first: str | None = None, gap: str = _GAP
) -> Iterator[str]:
    """The cells one behind the other, in lines that break between them, and within one only where it is longer than a line."""
    start, line = indent if first is None else first, ""
    for cell in cells:
        if line and visible(line) + len(gap) + visible(cell) > room - len(start):
            yield start + line
            start, line = indent, ""
        *full, last = _folded(cell, room - len(indent)) if not line else [cell]
        for one in full:
            yield start + one
            start = indent
        line = f"{line}{gap}{last}" if line else last
    if line:
        yield start + line


def _folded(text: str, room: int) -> list[str]:
    """A text in lines of `room` columns, broken at blanks. A word that is longer, like an id, stays whole to be copied."""
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}" if lines[-1] else word
        if lines[-1] and visible(longer) > room:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines
