"""A `foreach` on a screen: neighbouring iterations that are alike share a row, everything else keeps its own."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from itertools import groupby
from typing import Final, Protocol, TypeVar

from assent._lazy import compiled_when_asked

_ITERATION: Final = compiled_when_asked(r"(?P<step>[^\[\]]+)\[(?P<index>[0-9]+)\]\Z")

TIMES: Final = "\N{MULTIPLICATION SIGN}"
"""Stands between how many there are and what they are."""


class Step(Protocol):
    """A step of a run or of a plan."""

    @property
    def name(self) -> str: ...


S = TypeVar("S", bound=Step)


def iterated(name: str) -> str:
    """The step that `name` is an iteration of; empty when it is none."""
    found = _ITERATION.match(name)
    return found["step"] if found else ""


def folded(steps: Sequence[S], alike: Callable[[S], Hashable | None]) -> list[list[S]]:
    """The steps in their order, those together that are iterations of one step and `alike`; None is like nothing."""

    def key(numbered: tuple[int, S]) -> Hashable:
        number, step = numbered
        likeness = alike(step)
        step_name = iterated(step.name)
        return number if likeness is None or not step_name else (step_name, likeness)

    return [[step for _number, step in group] for _key, group in groupby(enumerate(steps), key)]


def folded_name(group: Sequence[Step]) -> str:
    """`stamp[0..180]`, or the name of the one step."""
    first, last = group[0].name, group[-1].name
    if len(group) == 1:
        return first
    return f"{first.removesuffix(']')}..{last.rpartition('[')[2]}"
