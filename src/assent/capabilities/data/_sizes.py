"""How large data is, found without recursion and without ever looking at more than is allowed."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from assent.invocation import NoEffectError
from assent.spec.values.canonical import DEPTH_MAX, INTEGER_MAX

NODES_MAX: Final = 1_000_000
"""Values in one piece of data."""

CHARACTERS_MAX: Final = 32 << 20
"""Characters of all its texts and keys."""


def measured(value: object, *, code: str = "DATA_TOO_LARGE") -> tuple[int, list[int]]:
    """How many values there are, and how many on each level.

    `NoEffectError` with `code` for more than `NODES_MAX` values, `CHARACTERS_MAX` characters or `DEPTH_MAX` levels, and for
    numbers that JSON does not hold exactly.
    """
    widths: list[int] = []
    level: list[object] = [value]
    nodes = characters = 0
    while level:
        widths.append(len(level))
        if len(widths) > DEPTH_MAX:
            raise _too_large(code, f"more than {DEPTH_MAX} levels of nesting")
        below: list[object] = []
        for one in level:
            if isinstance(one, str):
                characters += len(one)
            elif isinstance(one, Mapping):
                below += one.values()
                characters += sum(map(len, one))
            elif isinstance(one, list | tuple):
                below += one
            elif (isinstance(one, float) and not math.isfinite(one)) or (
                isinstance(one, int) and abs(one) > INTEGER_MAX
            ):
                raise _too_large(code, "a number that JSON does not hold exactly")
            if nodes + len(below) > NODES_MAX:
                raise _too_large(code, f"more than {NODES_MAX} values")
        nodes += len(level)
        if characters > CHARACTERS_MAX:
            raise _too_large(code, f"more than {CHARACTERS_MAX} characters")
        level = below
    return nodes, widths


def _too_large(code: str, what: str) -> NoEffectError:
    return NoEffectError(code, f"the data has {what}", hint="work on a part of it")
