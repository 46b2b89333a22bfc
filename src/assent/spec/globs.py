"""Patterns in which `*` stands for any characters, as policies and limits write them."""

from __future__ import annotations

import re
from functools import lru_cache


def glob_matches(pattern: str, value: str) -> bool:
    """Whether the value fits a pattern in which `*` stands for any characters."""
    return pattern == value or ("*" in pattern and _regex(pattern).fullmatch(value) is not None)


@lru_cache(maxsize=4096)
def _regex(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, re.split(r"\*+", pattern))), re.DOTALL)
