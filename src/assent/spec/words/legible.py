"""Text from anywhere as a person can read it: nothing in it drives a terminal, ends a line, or is there without being seen."""

from __future__ import annotations

import re
from typing import Final

from assent._lazy import compiled_when_asked

# Control characters move the cursor and end lines; some others reorder or hide what stands around them; the rest takes no room,
# so that a name, or a sentence for a model, is read by a program and not by a person.
UNSEEN: Final = (
    "\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e\u2060-\u206f"
    "\u3164\ud800-\udfff\ufe00-\ufe0f\ufeff\uffa0\ufff0-\ufffb\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff"
)
"""What nobody sees in a text, as a regular expression has it in brackets; tabs and the ends of lines are seen."""
_UNSAFE: Final = compiled_when_asked(f"[{UNSEEN}\r]")


def safe(text: str) -> str:
    r"""The text with all that could drive a terminal or mislead its reader written out (`\x1b`); tabs and newlines stay."""
    return _UNSAFE.sub(_escaped, text)


def hanging(text: str, indent: int = len("error: ")) -> str:
    """The same with all lines but the first one indented, so that none of them begins where a line of ours does."""
    return safe(text).replace("\n", "\n" + " " * indent)


def seen(text: str) -> str:
    """The text without what nobody can see in it."""
    return _UNSAFE.sub("", text)


def safe_line(text: str, width: int | None = None) -> str:
    """The same on one line, cut to `width` characters."""
    line = safe(text).replace("\n", "\\n").replace("\t", "\\t")
    if width is not None and len(line) > width:
        return line[: max(0, width - 1)] + "…"
    return line


def both_ends(text: str, width: int) -> str:
    """One line of at most `width` characters, its beginning and its end; what is left out between is counted."""
    line = safe_line(text)
    if len(line) <= width:
        return line
    half = max(1, (width - len(f" … {len(line)} more characters … ")) // 2)
    return f"{line[:half]} … {len(line) - 2 * half} more characters … {line[-half:]}"


def cut(text: str, most: int) -> str:
    """The text, or its first `most` characters and how many more there are."""
    return text if len(text) <= most else f"{text[:most]}\n… {len(text) - most} more characters"


def _escaped(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
