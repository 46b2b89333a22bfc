"""Whether one `when` matches everything that another matches: what makes a rule below it unreachable.

The answers are sound, not complete: a "yes" is certain, a "no" may be a "cannot tell".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import product

from assent.spec.capability import CapabilitySpec, OperationType, RiskLevel
from assent.spec.globs import glob_matches
from assent.spec.policy import Match, Rule


def covers(wide: Rule, narrow: Rule) -> bool:
    """Every context that `narrow.when` matches is matched by `wide`, apart from operation type and risk level."""
    if wide.condition is not None or not _covers_match(wide.when, narrow.when):
        return False
    return wide.unless is None or wide.unless == narrow.unless


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
        and _patterns(wide.environments, narrow.environments)
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
    # A `*` of the narrow pattern stands for anything, so only a `*` of the wide one may swallow it: it is replaced by a
    # character that no pattern can hold otherwise.
    return bool(patterns) and all(
        any(pattern == other or glob_matches(other, pattern.replace("*", "\0")) for other in wanted)
        for pattern in patterns
    )


def _some(wide: frozenset[str], narrow_any: frozenset[str], narrow_all: frozenset[str]) -> bool:
    if not wide:
        return True
    return bool(narrow_any and narrow_any <= wide) or not narrow_all.isdisjoint(wide)
