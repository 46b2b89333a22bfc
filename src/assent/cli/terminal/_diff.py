"""Unified diffs for people: coloured, folded when long, never able to drive the terminal."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from assent.cli.terminal._style import Paint
from assent.spec.words.legible import safe

FOLD_LINES: Final = 24
"""A diff longer than this is folded unless its step is asked for."""

_SIGNS: Final = ("", " ", "+", "-", "@", "\\")
_GONE: Final = re.compile(r" -> nothing(?:: |\Z)")


def counts(diff: str) -> tuple[int, int]:
    """Lines added and removed."""
    lines = diff.splitlines()
    added = sum(1 for line in lines if line.startswith("+") and not line.startswith("+++"))
    removed = sum(1 for line in lines if line.startswith("-") and not line.startswith("---"))
    return added, removed


def deleted(diff: str) -> int:
    """Files, links and folders that are no more after it. The lines of a file have a sign before them and are not looked at."""
    heads = [line for line in diff.splitlines() if line[:1] not in _SIGNS]
    return sum(line.startswith("deleted file ") or _GONE.search(line) is not None for line in heads)


def size_words(diffs: Iterable[str]) -> str:
    """`+3 -1, deletes 1`: all of them together; empty when no line and no file comes or goes."""
    added = removed = gone = 0
    for diff in diffs:
        more, less = counts(diff)
        added, removed, gone = added + more, removed + less, gone + deleted(diff)
    told = [f"+{added} -{removed}"] if added or removed else []
    return ", ".join([*told, *([f"deletes {gone}"] if gone else [])])


def diff_text(diff: str, *, paint: Paint, indent: str = "", fold: str | None = None) -> str:
    """The diff, indented; with `fold` (how to see the rest) it is cut after `FOLD_LINES` lines."""
    lines = safe(diff).splitlines()
    hidden = len(lines) - FOLD_LINES if fold is not None and len(lines) > FOLD_LINES + 3 else 0
    shown = lines[:FOLD_LINES] if hidden else lines
    out = [indent + paint(line, _style(line)) for line in shown]
    if hidden:
        out.append(indent + paint(f"… {hidden} more lines: {fold}", "dim"))
    return "\n".join(out)


def _style(line: str) -> str | None:
    if line.startswith(("+++", "---")):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1])
