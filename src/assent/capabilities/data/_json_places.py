"""Where things stand in a JSON text; asked only once something is wrong, so it may be slow. It is linear and does not recurse."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from assent.spec.values.canonical import DEPTH_MAX, INTEGER_MAX

Path = tuple[str | int, ...]

_WORD: Final = re.compile(
    r"""[ \t\r\n]*(?:([{}\[\],:])|("(?:[^"\\]|\\.)*")|(-?[0-9][0-9.eE+-]*)|([A-Za-z-]+))""", re.DOTALL
)


def line_and_column(text: str, offset: int) -> tuple[int, int]:
    """Both from 1."""
    return text.count("\n", 0, offset) + 1, offset - text.rfind("\n", 0, offset)


def first_fault(text: str) -> tuple[int, str] | None:
    """The offset of the first thing that JSON's grammar allows and we do not, and what it is; None when there is none."""
    for kind, path, offset, word in _walk(text):
        if kind == "deep":
            return offset, f"more than {DEPTH_MAX} levels of nesting"
        if kind == "duplicate":
            return offset, f"the key `{str(path[-1])[:60]}` stands twice in one object"
        if kind == "value" and word[:1] in "NI-" and word.lstrip("-")[:1] in "NI":
            return offset, f"`{word[:20]}` is not a number"
        if kind == "value" and word[:1] in "-0123456789":
            number = float(word)
            if not -INTEGER_MAX <= number <= INTEGER_MAX and "." not in word and "e" not in word.lower():
                return offset, "a whole number beyond 2^53, which not every reader keeps exactly"
            if number in (float("inf"), float("-inf")):
                return offset, f"`{word[:40]}` is beyond the range of numbers"
        if "\\u" in word and any("\ud800" <= char <= "\udfff" for char in _unquoted(word)):
            return offset, "half of a surrogate pair"
    return None


def places(text: str, wanted: Sequence[Path]) -> dict[Path, int]:
    """The offsets of the values at these paths, or of the nearest thing that holds them."""
    left = set(wanted)
    known: dict[Path, int] = {}
    prefixes = {path[:length] for path in wanted for length in range(len(path) + 1)}
    for kind, path, offset, _ in _walk(text):
        if kind == "value" and path in prefixes:
            known[path] = offset
            left.discard(path)
            if not left:
                break
    found: dict[Path, int] = {}
    for path in wanted:
        near = path
        while near and near not in known:
            near = near[:-1]
        found[path] = known.get(near, 0)
    return found


def _unquoted(word: str) -> str:
    try:
        return str(json.loads(word))
    except ValueError:
        return ""


def _walk(text: str) -> Iterator[tuple[str, Path, int, str]]:
    """Every value and key in order: what it is, its path, its offset, its word. Ends where the text is no JSON."""
    # For each open container: its kind, the next index or the present key, and the keys so far.
    stack: list[list[Any]] = []
    at, awaits_key = 0, False
    while found := _WORD.match(text, at):
        at = found.end()
        word = found[found.lastindex or 0]
        offset = at - len(word)
        path = tuple(frame[1] for frame in stack)
        if word in ("}", "]"):
            if not stack:
                return
            stack.pop()
        elif word == ",":
            if stack and stack[-1][0] == "[":
                stack[-1][1] += 1
            awaits_key = bool(stack) and stack[-1][0] == "{"
            continue
        elif word == ":":
            awaits_key = False
        elif awaits_key and found[2]:
            key = _unquoted(word)
            stack[-1][1] = key
            if key in stack[-1][2]:
                yield "duplicate", (*path[:-1], key), offset, word
            stack[-1][2].add(key)
            yield "key", (*path[:-1], key), offset, word
            continue
        else:
            yield "value", path, offset, word
            if word in ("{", "["):
                stack.append([word, 0 if word == "[" else "", set()])
                if len(stack) > DEPTH_MAX:
                    yield "deep", path, offset, word
                    return
        awaits_key = word == "{" if word in ("{", "[") else False
