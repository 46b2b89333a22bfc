"""Aligned columns of plain text."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from assent.cli.terminal._style import Paint

_STYLE: Final = re.compile("\x1b\\[[0-9;]*m")


def visible(text: str) -> int:
    """Columns that a text takes, colour not counted."""
    return len(_STYLE.sub("", text))


def table(rows: Sequence[Sequence[str]], *, head: Sequence[str] = (), paint: Paint, indent: str = "") -> str:
    """The rows in columns, two spaces apart; empty columns are left out, the last one is not padded."""
    everything = [*([head] if head else []), *rows]
    count = max((len(row) for row in everything), default=0)
    kept = [i for i in range(count) if any(i < len(row) and row[i] for row in rows)]
    widths = {i: max(visible(row[i]) for row in everything if i < len(row)) for i in kept}
    lines = []
    for row in everything:
        cells = [row[i] if i < len(row) else "" for i in kept]
        padded = [cell + " " * (widths[i] - visible(cell)) for i, cell in zip(kept, cells, strict=True)]
        line = (indent + "  ".join(padded)).rstrip()
        lines.append(paint(line, "dim") if row is head and head else line)
    return "\n".join(lines)
