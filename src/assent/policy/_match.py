"""Whether one `when` holds for one context, key by key, and why not: the readable meaning of a rule.

The index answers the same question for all rules at once; a property test holds the two together.
"""

from __future__ import annotations

from collections.abc import Iterable

from assent.policy._context import PolicyContext
from assent.spec.policy import Match
from assent.spec.words.globs import glob_matches


def matches(match: Match, context: PolicyContext) -> bool:
    """Every field that asks for something finds it."""
    return not misses(match, context)


def strays(when: Match, context: PolicyContext) -> str | None:
    """How a rule with this `when` is about something else than the question: calls, keys, cancelling others' runs for a key."""
    if bool(when.concurrencies) != bool(context.concurrency):
        return "it is about calls" if context.concurrency else "it is about concurrency keys"
    if when.cancels_others != context.cancels_others:
        what = "cancelling runs of others" if when.cancels_others else "having a key"
        return f"it is about {what}"
    return None


def misses(match: Match, context: PolicyContext) -> list[str]:
    """One clause per key that does not hold, each with what is and what is wanted; empty when all hold."""
    found: list[str] = []
    principal = context.principal
    _pattern(found, "principal", str(principal), match.principals)
    _any(found, "roles", principal.roles, match.roles_any)
    _all(found, "roles", principal.roles, match.roles_all)
    _pattern(found, "capability", context.capability, match.capabilities)
    _member(found, "operation_type", context.operation_type, match.operation_types)
    _member(found, "risk_level", context.risk_level, match.risk_levels)
    _any(found, "labels", context.labels, match.labels_any)
    _all(found, "labels", context.labels, match.labels_all)
    _pattern(found, "workflow", context.workflow, match.workflows)
    _pattern(found, "step", context.step, match.steps)
    _pattern(found, "environment", context.environment, match.environments)
    _pattern(found, "concurrency", context.concurrency, match.concurrencies)
    return found


def _pattern(found: list[str], key: str, value: str, patterns: tuple[str, ...]) -> None:
    if patterns and not any(glob_matches(pattern, value) for pattern in patterns):
        found.append(f"{key} is {_quoted(value)}, wanted {_either(patterns)}")


def _member(found: list[str], key: str, value: str, wanted: frozenset[str]) -> None:
    if wanted and value not in wanted:
        found.append(f"{key} is {_quoted(value)}, wanted {_either(sorted(wanted))}")


def _any(found: list[str], key: str, values: frozenset[str], wanted: frozenset[str]) -> None:
    if wanted and values.isdisjoint(wanted):
        found.append(f"{key} are {_listed(values)}, wanted any of {_listed(wanted)}")


def _all(found: list[str], key: str, values: frozenset[str], wanted: frozenset[str]) -> None:
    if not wanted <= values:
        found.append(f"{key} are {_listed(values)}, wanted all of {_listed(wanted)}")


def _quoted(value: str) -> str:
    return f"`{value}`" if value else "empty"


def _either(values: Iterable[str]) -> str:
    return " or ".join(_quoted(value) for value in values)


def _listed(values: Iterable[str]) -> str:
    return ", ".join(_quoted(value) for value in sorted(values)) or "none"
