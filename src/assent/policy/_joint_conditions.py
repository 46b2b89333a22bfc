"""The `if`s that one kind of call is held against, asked together: one expression says that none of many holds.

Theory of operation. Most rules that a call is held against do not hold, and entering the binding costs more than a comparison
does there. So sixteen `if`s at a time are joined with `||`. CEL's `||` gives false only when both of its sides are false: an
error, or a value that is neither true nor false, makes it fail or is hidden by a true. Anything but false therefore says
nothing, and these rules are asked one by one in file order, as if they had never been joined. What is decided, and by which
rule, does not depend on it.

Rejected: `a ? 0 : b ? 1 : …`, which would tell the rule at once (it nests as deep as there are rules, and the parser's stack is
not ours), and a list of all values (as dear as asking one by one).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce
from operator import or_
from typing import Final

from assent.errors import InputError
from assent.spec.language.expression import AnyOf, Bindings, Expression, projection

TOGETHER: Final = 16
"""`if`s in one expression. When one of them holds they are asked twice, so it should not be all."""

ALONE: Final = 32
"""Calls of one kind that are asked rule by rule first. Joining costs as much as they do; kinds that never return don't pay."""


class Asked:
    """The rules, by index and in file order, whose `if` one kind of call has to be held against; at least one."""

    __slots__ = ("_conditions", "_joined", "_left", "bound", "projection", "rules")

    def __init__(self, rules: Sequence[int], conditions: Sequence[Expression]) -> None:
        self.rules = tuple(rules)
        self.projection: Final = projection({name for condition in conditions for name in condition.names})
        bounds = [condition.bound for condition in conditions if condition.bound is not None]
        self.bound: Final = reduce(or_, bounds) if len(bounds) == len(conditions) else None
        self._conditions = conditions
        self._joined: tuple[tuple[AnyOf | None, tuple[int, ...]], ...] = ((None, self.rules),)
        self._left = ALONE if len(self.rules) > 1 else -1

    def open(self, bindings: Bindings) -> Iterator[int]:
        """The rules that may hold on these bindings or fail on them; those left out are false."""
        if self._left >= 0:
            # Two threads may both count, or both join: the outcome is the same.
            self._left -= 1
            if self._left < 0:
                self._joined = tuple(self._join())
        for joined, rules in self._joined:
            if joined is None or not joined.is_false(bindings):
                yield from rules

    def _join(self) -> Iterator[tuple[AnyOf | None, tuple[int, ...]]]:
        for at in range(0, len(self.rules), TOGETHER):
            rules, conditions = self.rules[at : at + TOGETHER], self._conditions[at : at + TOGETHER]
            try:
                yield (AnyOf(conditions) if len(rules) > 1 else None), rules
            except InputError:
                yield None, rules  # one that is as deep as may be, alone
