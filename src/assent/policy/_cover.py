"""Whether one `when` matches everything that another matches: what makes a rule below it unreachable.

The answers are sound, not complete: a "yes" is certain, a "no" may be a "cannot tell".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import product

from assent.policy._index import Numbered, any_table, pattern_table
from assent.spec.capability import CapabilitySpec, OperationType, RiskLevel
from assent.spec.policy import Match, Rule
from assent.spec.words.globs import glob_matches


class Earlier:
    """For each rule of a policy the earlier ones that may cover it, found by tables: comparing each with each is dear."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = rules
        numbered: Numbered = [(1 << i, rule.when) for i, rule in enumerate(rules) if rule.condition is None]
        self._patterns = tuple(
            (pattern_table(numbered, wanted), wanted)
            for wanted in (_principals, _capabilities, _workflows, _steps, _environments, _concurrencies)
        )
        self._roles = any_table(numbered, lambda match: match.roles_any)
        self._labels = any_table(numbered, lambda match: match.labels_any)

    def of(self, i: int) -> Iterator[Rule]:
        """The rules above rule `i` that may cover it, in file order: every one that does, and few others."""
        when = self._rules[i].when
        left = (1 << i) - 1
        for table, wanted in self._patterns:
            for pattern in wanted(when) or ("",):
                left &= table(_narrow(pattern))
        left &= self._roles(when.roles_any | when.roles_all) & self._labels(when.labels_any | when.labels_all)
        while left:
            lowest = left & -left
            yield self._rules[lowest.bit_length() - 1]
            left ^= lowest


def _principals(match: Match) -> tuple[str, ...]:
    return match.principals


def _capabilities(match: Match) -> tuple[str, ...]:
    return match.capabilities


def _workflows(match: Match) -> tuple[str, ...]:
    return match.workflows


def _steps(match: Match) -> tuple[str, ...]:
    return match.steps


def _environments(match: Match) -> tuple[str, ...]:
    return match.environments


def _concurrencies(match: Match) -> tuple[str, ...]:
    return match.concurrencies


def covers(wide: Rule, narrow: Rule) -> bool:
    """Every context that `narrow.when` matches is matched by `wide`, apart from operation type and risk level."""
    if wide.condition is not None or _subject(wide) != _subject(narrow):
        return False
    if not _covers_match(wide.when, narrow.when):
        return False
    return wide.unless is None or wide.unless == narrow.unless


def _subject(rule: Rule) -> tuple[bool, bool]:
    return bool(rule.when.concurrencies), rule.when.cancels_others


def cells(match: Match) -> Iterator[tuple[OperationType, RiskLevel]]:
    """The pairs of operation type and risk level that the match leaves open; rules often share a risk range between them."""
    return product(match.operation_types or OperationType, match.risk_levels or RiskLevel)


def is_contradictory(rule: Rule) -> bool:
    """What stands under `not` takes away everything that `when` matches."""
    if rule.unless is None or not _covers_match(rule.unless, rule.when):
        return False
    left = set(cells(rule.when))
    return left <= set(cells(rule.unless))


def may_match(match: Match, spec: CapabilitySpec) -> bool:
    """Some call of this capability can match; a step may have raised its risk."""
    if match.capabilities and not any(glob_matches(pattern, spec.id) for pattern in match.capabilities):
        return False
    if match.operation_types and spec.operation_type not in match.operation_types:
        return False
    if match.risk_levels and max(level.rank for level in match.risk_levels) < spec.risk.level.rank:
        return False
    if match.labels_any and match.labels_any.isdisjoint(spec.labels):
        return False
    return match.labels_all <= spec.labels


def _covers_match(wide: Match, narrow: Match) -> bool:
    return (
        _patterns(wide.principals, narrow.principals)
        and _patterns(wide.capabilities, narrow.capabilities)
        and _patterns(wide.workflows, narrow.workflows)
        and _patterns(wide.steps, narrow.steps)
        and _patterns(wide.environments, narrow.environments)
        and _patterns(wide.concurrencies, narrow.concurrencies)
        and _some(wide.roles_any, narrow.roles_any, narrow.roles_all)
        and wide.roles_all <= narrow.roles_all
        and _some(wide.labels_any, narrow.labels_any, narrow.labels_all)
        and wide.labels_all <= narrow.labels_all
    )


def _patterns(wide: Iterable[str], narrow: Iterable[str]) -> bool:
    wanted = tuple(wide)
    if not wanted:
        return True
    patterns = tuple(narrow)
    return bool(patterns) and all(
        any(pattern == other or glob_matches(other, _narrow(pattern)) for other in wanted)
        for pattern in patterns
    )


def _narrow(pattern: str) -> str:
    # A `*` of the narrow pattern stands for anything, so only a `*` of the wide one may swallow it: it is replaced by a
    # character that no pattern can hold otherwise.
    return pattern.replace("*", "\0")


def _some(wide: frozenset[str], narrow_any: frozenset[str], narrow_all: frozenset[str]) -> bool:
    if not wide:
        return True
    return bool(narrow_any and narrow_any <= wide) or not narrow_all.isdisjoint(wide)
