"""Colour, which is never the only carrier of a meaning."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_CODES: Final = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "cyan": "36",
}

STATUS_STYLE: Final[Mapping[str, str]] = {
    "succeeded": "green",
    "undone": "green",
    "rolled_back": "yellow",
    "cancelled": "yellow",
    "compensated": "yellow",
    "skipped": "dim",
    "pending": "dim",
    "waiting": "yellow",
    "awaiting_approval": "yellow",
    "interrupted": "yellow",
    "failed": "red",
    "denied": "red",
    "in_doubt": "red",
    "needs_attention": "red",
    "compensation_failed": "red",
}
DECISION_STYLE: Final[Mapping[str, str]] = {
    "ALLOW": "green",
    "DENY": "red",
    "REQUIRE_APPROVAL": "yellow",
    "UNKNOWN": "yellow",
}
RISK_STYLE: Final[Mapping[str, str]] = {"HIGH": "yellow", "CRITICAL": "red"}


class Paint:
    """What a stream can show: words in colour, or alone when colour is off; and columns, None where there is no edge to meet."""

    __slots__ = ("columns", "enabled")

    def __init__(self, *, enabled: bool, columns: int | None = None) -> None:
        self.enabled = enabled
        self.columns = columns

    def __call__(self, text: str, style: str | None) -> str:
        """The text in a style of `_CODES`; None is no style."""
        if not self.enabled or style is None or not text:
            return text
        return f"\x1b[{_CODES[style]}m{text}\x1b[0m"


PLAIN: Final = Paint(enabled=False)


def wants_colour(choice: str, environ: Mapping[str, str], *, is_terminal: bool) -> bool:
    """Whether to use colour: flag, then NO_COLOR, CLICOLOR_FORCE, CLICOLOR and TERM, then whether a person is looking."""
    if choice != "auto":
        return choice == "always"
    if environ.get("NO_COLOR"):
        return False
    if environ.get("CLICOLOR_FORCE", "0") != "0":
        return True
    return is_terminal and environ.get("CLICOLOR") != "0" and environ.get("TERM") != "dumb"
