"""Colour, and text that is safe to show: colour is never the only carrier of a meaning, and no data may drive the terminal."""

from __future__ import annotations

import re
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
    """Puts words in colour, or leaves them alone when colour is off."""

    __slots__ = ("enabled",)

    def __init__(self, *, enabled: bool) -> None:
        self.enabled = enabled

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


# Control characters move the cursor and end lines; the others reorder or hide what stands around them.
_UNSAFE: Final = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\ud800-\udfff]"
)


def safe(text: str) -> str:
    r"""The text with all that could drive a terminal or mislead its reader written out (`\x1b`); tabs and newlines stay."""
    return _UNSAFE.sub(_escaped, text)


def safe_line(text: str, width: int | None = None) -> str:
    """The same on one line, cut to `width` characters."""
    line = safe(text).replace("\n", "\\n").replace("\t", "\\t")
    if width is not None and len(line) > width:
        return line[: max(0, width - 1)] + "…"
    return line


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
