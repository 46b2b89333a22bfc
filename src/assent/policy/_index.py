"""All rules matched at once: every key is a table from its value to the set of rules that the value satisfies.

A set of rules is one integer, bit i for rule i, so that the rules that match a context are the intersection of four integers:
those that *who* (principal, roles), *what* (capability), *how* (operation, risk, labels) and *where* (workflow, step,
environment) satisfy. They are kept apart because their values are few, while their combinations are many. Each is worked out
once per distinct value and remembered. A thousand rules cost what ten cost. Rules about calls, about concurrency keys and about
cancelling for one are three sets that never meet.

Rejected: one remembered decision per whole context (a new principal would meet a cold table for every capability), and a tree
over the capability only (policies that discriminate by role or risk would still be scanned).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final, TypeAlias, TypeVar

from assent.policy._context import PolicyContext
from assent.spec.policy import Match
from assent.spec.principal import Principal
from assent.spec.words.globs import glob_matches

REMEMBERED_MAX: Final = 4096
"""Distinct values kept per table; a table that is full starts again empty."""


Numbered: TypeAlias = list[tuple[int, Match]]
"""What rules match, each with the bit that stands for the rule."""

_Both: TypeAlias = tuple[int, int]
"""The rules whose `when` one value satisfies, and those whose `not` it satisfies."""


class Index:
    """Which rules' `when` hold, and `not` does not, for a context. Immutable in meaning; the tables only remember."""

    __slots__ = (
        "_hows",
        "_of_key",
        "_of_keys",
        "_of_others",
        "_unless",
        "_whats",
        "_when",
        "_wheres",
        "_whos",
        "reads_step",
    )

    def __init__(self, rules: Sequence[tuple[Match, Match | None]]) -> None:
        self._when = _Layer((1 << i, when) for i, (when, _) in enumerate(rules))
        self._unless = _Layer((1 << i, unless) for i, (_, unless) in enumerate(rules) if unless is not None)
        subjects = [0, 0]
        for i, (when, _) in enumerate(rules):
            if when.concurrencies:
                subjects[when.cancels_others] |= 1 << i
        self._of_key, self._of_others = subjects
        self._of_keys = self._of_key | self._of_others
        self.reads_step: Final = any(match.steps for pair in rules for match in pair if match is not None)
        """Whether an answer may depend on the step's name."""
        self._whos: dict[Principal, _Both] = {}
        self._whats: dict[str, _Both] = {}
        self._hows: dict[tuple[str, str, frozenset[str]], _Both] = {}
        self._wheres: dict[tuple[str, str, str], _Both] = {}

    def candidates(self, context: PolicyContext) -> int:
        """Bit i is set when rule i matches as far as its `when` goes."""
        who = context.principal
        whos = self._whos.get(who)
        if whos is None:
            whos = _remember(self._whos, who, (self._when.who(who), self._unless.who(who)))
        what = context.capability
        whats = self._whats.get(what)
        if whats is None:
            whats = _remember(self._whats, what, (self._when.what(what), self._unless.what(what)))
        how = (context.operation_type, context.risk_level, context.labels)
        hows = self._hows.get(how)
        if hows is None:
            hows = _remember(self._hows, how, (self._when.how(*how), self._unless.how(*how)))
        # Of the values of *where*, only steps may be many.
        where = (context.workflow, context.step if self.reads_step else "", context.environment)
        wheres = self._wheres.get(where)
        if wheres is None:
            wheres = _remember(self._wheres, where, (self._when.where(*where), self._unless.where(*where)))
        found = whos[0] & whats[0] & hows[0] & wheres[0]
        excluded = whats[1] & found  # Often empty: few rules have a `not`.
        if context.concurrency:
            found &= self._of_others if context.cancels_others else self._of_key
            found &= self._when.keys(context.concurrency)
            excluded &= self._unless.keys(context.concurrency)
        elif self._of_keys:
            found &= ~self._of_keys
        return found & ~(excluded & whos[1] & hows[1] & wheres[1]) if excluded else found


class _Layer:
    """The tables of one `Match` per bit; bits without one never match."""

    def __init__(self, matches: Iterable[tuple[int, Match]]) -> None:
        numbered = list(matches)
        self._principals = pattern_table(numbered, lambda m: m.principals)
        self._roles_any = any_table(numbered, lambda m: m.roles_any)
        self._roles_all = _every(numbered, lambda m: m.roles_all)
        self.what = pattern_table(numbered, lambda m: m.capabilities)
        self._operation_types = any_table(numbered, lambda m: m.operation_types)
        self._risk_levels = any_table(numbered, lambda m: m.risk_levels)
        self._labels_any = any_table(numbered, lambda m: m.labels_any)
        self._labels_all = _every(numbered, lambda m: m.labels_all)
        self._workflows = pattern_table(numbered, lambda m: m.workflows)
        self._steps = pattern_table(numbered, lambda m: m.steps)
        self._environments = pattern_table(numbered, lambda m: m.environments)
        self.keys = pattern_table(numbered, lambda m: m.concurrencies)

    def who(self, principal: Principal) -> int:
        roles = principal.roles
        return self._principals(str(principal)) & self._roles_any(roles) & self._roles_all(roles)

    def how(self, operation_type: str, risk_level: str, labels: frozenset[str]) -> int:
        kinds = self._operation_types((operation_type,)) & self._risk_levels((risk_level,))
        return kinds & self._labels_any(labels) & self._labels_all(labels)

    def where(self, workflow: str, step: str, environment: str) -> int:
        return self._workflows(workflow) & self._steps(step) & self._environments(environment)


_Key = TypeVar("_Key")


def _remember(table: dict[_Key, _Both], key: _Key, value: _Both) -> _Both:
    if len(table) >= REMEMBERED_MAX:
        table.clear()
    table[key] = value
    return value


def pattern_table(numbered: Numbered, wanted: Callable[[Match], tuple[str, ...]]) -> Callable[[str], int]:
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


def any_table(numbered: Numbered, wanted: Callable[[Match], Iterable[str]]) -> Callable[[Iterable[str]], int]:
    """The rules that want one of the values."""
    free, exact = _collect(numbered, wanted)

    def table(values: Iterable[str]) -> int:
        found = free
        for value in values:
            found |= exact.get(value, 0)
        return found

    return table


def _every(numbered: Numbered, wanted: Callable[[Match], frozenset[str]]) -> Callable[[frozenset[str]], int]:
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


def _collect(numbered: Numbered, wanted: Callable[[Match], Iterable[str]]) -> tuple[int, dict[str, int]]:
    free, exact = 0, dict[str, int]()
    for bit, match in numbered:
        values = tuple(wanted(match))
        if not values:
            free |= bit
        for value in values:
            exact[value] = exact.get(value, 0) | bit
    return free, exact
