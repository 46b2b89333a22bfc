"""All rules matched at once: every key is a table from its value to the set of rules that the value satisfies.

A set of rules is one integer, bit i for rule i, so that the rules that match a context are the intersection of three integers:
those that *who* (principal, roles), *what* (capability, operation, risk, labels) and *where* (workflow, environment) satisfy.
Each of the three is worked out once per distinct value and remembered. A thousand rules cost what ten cost.

Rejected: one remembered decision per whole context (a new principal would meet a cold table for every capability), and a tree
over the capability only (policies that discriminate by role or risk would still be scanned).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias

from assent.policy._context import PolicyContext
from assent.policy._match import glob_matches
from assent.spec.policy import Match

REMEMBERED_MAX: Final = 4096
"""Distinct values kept per table; a table that is full starts again empty."""


class Index:
    """Which rules' `when` hold, and `not` does not, for a context. Immutable in meaning; the tables only remember."""

    __slots__ = ("_unless", "_when")

    def __init__(self, rules: Sequence[tuple[Match, Match | None]]) -> None:
        self._when = _Layer(enumerate(when for when, _ in rules))
        excluding = [(i, unless) for i, (_, unless) in enumerate(rules) if unless is not None]
        self._unless = _Layer(excluding) if excluding else None

    def candidates(self, context: PolicyContext) -> int:
        """Bit i is set when rule i matches as far as its `when` goes."""
        found = self._when.match(context)
        if self._unless is not None:
            found &= ~self._unless.match(context)
        return found


_Numbered: TypeAlias = list[tuple[int, Match]]


class _Layer:
    """One `Match` per bit; bits without one never match."""

    __slots__ = ("_what", "_whats", "_where", "_wheres", "_who", "_whos")

    def __init__(self, matches: Iterable[tuple[int, Match]]) -> None:
        numbered = [(1 << i, match) for i, match in matches]
        self._who = (
            _patterns(numbered, lambda m: m.principals),
            _some(numbered, lambda m: m.roles_any),
            _every(numbered, lambda m: m.roles_all),
        )
        self._what = (
            _patterns(numbered, lambda m: m.capabilities),
            _some(numbered, lambda m: m.operation_types),
            _some(numbered, lambda m: m.risk_levels),
            _some(numbered, lambda m: m.labels_any),
            _every(numbered, lambda m: m.labels_all),
        )
        self._where = (
            _patterns(numbered, lambda m: m.workflows),
            _patterns(numbered, lambda m: m.environments),
        )
        self._whos: dict[object, int] = {}
        self._whats: dict[object, int] = {}
        self._wheres: dict[object, int] = {}

    def match(self, context: PolicyContext) -> int:
        who = context.principal
        what = (context.capability, context.risk_level, context.operation_type, context.labels)
        where = (context.workflow, context.environment)
        found = self._whos.get(who)
        if found is None:
            name, some, every = self._who
            found = name(str(who)) & some(who.roles) & every(who.roles)
            _remember(self._whos, who, found)
        whats = self._whats.get(what)
        if whats is None:
            capability, operation, risk, some, every = self._what
            whats = (
                capability(context.capability)
                & operation((context.operation_type,))
                & risk((context.risk_level,))
                & some(context.labels)
                & every(context.labels)
            )
            _remember(self._whats, what, whats)
        wheres = self._wheres.get(where)
        if wheres is None:
            workflow, environment = self._where
            wheres = workflow(context.workflow) & environment(context.environment)
            _remember(self._wheres, where, wheres)
        return found & whats & wheres


def _remember(table: dict[object, int], key: object, value: int) -> None:
    if len(table) >= REMEMBERED_MAX:
        table.clear()
    table[key] = value


# -- tables, one per key -----------------------------------------------------------------------------------------------


def _patterns(numbered: _Numbered, wanted: Callable[[Match], tuple[str, ...]]) -> Callable[[str], int]:
    """The rules of which one pattern fits the value: by look-up when exact or a prefix (`io.fs.*`), the others one by one."""
    free, exact = _collect(numbered, wanted)
    prefixes = {
        pattern[:-1]: exact.pop(pattern) for pattern in list(exact) if pattern.find("*") == len(pattern) - 1
    }
    globs = [(pattern, exact.pop(pattern)) for pattern in list(exact) if "*" in pattern]
    lengths = sorted({len(prefix) for prefix in prefixes})

    def table(value: str) -> int:
        found = free | exact.get(value, 0)
        for length in lengths:
            if length <= len(value):
                found |= prefixes.get(value[:length], 0)
        for pattern, bits in globs:
            if glob_matches(pattern, value):
                found |= bits
        return found

    return table


def _some(numbered: _Numbered, wanted: Callable[[Match], Iterable[str]]) -> Callable[[Iterable[str]], int]:
    """The rules that want one of the values."""
    free, exact = _collect(numbered, wanted)

    def table(values: Iterable[str]) -> int:
        found = free
        for value in values:
            found |= exact.get(value, 0)
        return found

    return table


def _every(numbered: _Numbered, wanted: Callable[[Match], frozenset[str]]) -> Callable[[frozenset[str]], int]:
    """The rules that want no more than the values."""
    sets: dict[frozenset[str], int] = {}
    for bit, match in numbered:
        sets[wanted(match)] = sets.get(wanted(match), 0) | bit
    pairs = list(sets.items())

    def table(values: frozenset[str]) -> int:
        found = 0
        for needed, bits in pairs:
            if needed <= values:
                found |= bits
        return found

    return table


def _collect(numbered: _Numbered, wanted: Callable[[Match], Iterable[str]]) -> tuple[int, dict[str, int]]:
    free, exact = 0, dict[str, int]()
    for bit, match in numbered:
        values = tuple(wanted(match))
        if not values:
            free |= bit
        for value in values:
            exact[value] = exact.get(value, 0) | bit
    return free, exact
