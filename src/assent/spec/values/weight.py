"""How much a value weighs: what budgets of work are counted in."""

from __future__ import annotations

from typing import Final

CHARACTERS_OF_A_STEP: Final = 256
"""Characters that are copied or compared in a step."""


def weight_of(value: object) -> int:
    """Steps of some 50 ns to copy a value, with all that is in it."""
    return extent_of(value)[0]


def extent_of(value: object) -> tuple[int, int]:
    """The weight of a value, and the most members that anything in it has."""
    total, most = 0, 0
    pending: list[list[object]] = [[value]]
    while pending:
        values = pending.pop()
        total += len(values)
        for one in values:
            match one:
                case str() | bytes():
                    total += len(one) // CHARACTERS_OF_A_STEP
                case list():
                    pending.append(one)
                    most = max(most, len(one))
                case dict():
                    pending += ([*one], [*one.values()])
                    most = max(most, len(one))
                case _:
                    pass
    return total, most
