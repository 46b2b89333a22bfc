"""Patterns in which `*` stands for any characters, as policies and limits write them."""

from __future__ import annotations


def glob_matches(pattern: str, value: str) -> bool:
    """Whether the value fits a pattern in which `*` stands for any characters.

    What stands between two `*` is taken where it is first found, and never looked for again: a regular expression would try all
    its places, and a few `*` with a value made for them would hold up the gate for hours.
    """
    first, *rest = pattern.split("*")
    if not rest:
        return pattern == value
    last = rest.pop()
    at, end = len(first), len(value) - len(last)
    if at > end or not value.startswith(first) or not value.endswith(last):
        return False
    for part in rest:
        found = value.find(part, at, end)
        if found < 0:
            return False
        at = found + len(part)
    return True
