"""Plain tables, and the verdicts on what was promised."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class Target:
    """One promise: `value` must be at least, or at most, `limit`. `value` is None when it could not be measured here."""

    name: str
    value: float | None
    limit: float
    at_least: bool

    @property
    def verdict(self) -> str:
        """`met`, `MISSED` or `not measured`."""
        if self.value is None:
            return "not measured"
        kept = self.value >= self.limit if self.at_least else self.value <= self.limit
        return "met" if kept else "MISSED"

    def row(self) -> list[str]:
        """The cells of a table: name, limit, value, verdict."""
        sign = "≥" if self.at_least else "≤"
        return [self.name, f"{sign} {number(self.limit)}", number(self.value), self.verdict]

    def to_json(self) -> dict[str, Any]:
        """The target for `--json`."""
        return {**asdict(self), "verdict": self.verdict}


def number(value: float | None) -> str:
    """Two or three significant digits, thousands apart; a dash for what was not measured."""
    if value is None:
        return "-"
    if abs(value) >= 1_000:
        return f"{value:,.0f}".replace(",", " ")
    if abs(value) >= 100 or value == int(value):
        return f"{value:.0f}"
    if abs(value) >= 10:
        return f"{value:.1f}"
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.2g}"


def show(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: the first column to the left, the others to the right."""
    lines = [list(header), *(list(row) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(header))]
    print(f"\n{title}\n")
    for index, line in enumerate(lines):
        cells = [
            line[0].ljust(widths[0]),
            *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
        ]
        print("  " + "  ".join(cells).rstrip())
        if index == 0:
            print("  " + "  ".join("-" * width for width in widths))


def show_targets(targets: Sequence[Target]) -> None:
    """Print what was promised and what came of it."""
    show("targets", ["promise", "limit", "measured", "verdict"], [target.row() for target in targets])
