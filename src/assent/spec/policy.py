"""What a policy file says, as plain data: ordered rules, each with what it matches, an expression and a decision.

The words of the file are normalised: one value and a list of one are the same, `at_least` is the levels it stands for, sets are
sorted. Two files that say the same therefore have the same digest, whatever their comments and layout.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields
from enum import StrEnum
from functools import cached_property
from typing import Any, Final, Self

import msgspec

from assent.errors import InputError, Json
from assent.spec.decision import Approvers, PolicyDecision
from assent.spec.ids import Fingerprint
from assent.spec.risk import OperationType, RiskLevel
from assent.spec.values.canonical import fingerprint
from assent.spec.values.typed import convert

POLICY_VERSION: Final = 1
"""The version of the file format, which heads each file."""

RULES_MAX: Final = 10_000
"""Rules in one policy."""

LIMITS_MAX: Final = 100
"""Limits in one policy."""

CONSTRAINTS_MAX: Final = 1000
"""Constraints in one policy."""

DEFAULT_RULE: Final = "default"
"""The rule id of a decision that no rule made."""

BUILTIN_PREFIX: Final = "builtin."
"""How the ids of the built-in policy begin; no file may use them."""


@dataclass(frozen=True, slots=True)
class Match:
    """What a `when` or a `not` asks for. An empty field asks for nothing; several fields must all hold.

    `principals`, `capabilities`, `workflows`, `steps` and `environments` are patterns of which one must match; `*` stands for
    any characters, dots included. Of `*_any` one must be there, of `*_all` every one.

    `concurrencies`: the question is whether a run may have a key of which one of these patterns holds; `cancels_others`: whether
    it may cancel runs of others for it. A rule without them is about calls, and about no key.
    """

    principals: tuple[str, ...] = ()
    roles_any: frozenset[str] = frozenset()
    roles_all: frozenset[str] = frozenset()
    capabilities: tuple[str, ...] = ()
    operation_types: frozenset[OperationType] = frozenset()
    risk_levels: frozenset[RiskLevel] = frozenset()
    labels_any: frozenset[str] = frozenset()
    labels_all: frozenset[str] = frozenset()
    workflows: tuple[str, ...] = ()
    steps: tuple[str, ...] = ()
    environments: tuple[str, ...] = ()
    concurrencies: tuple[str, ...] = ()
    cancels_others: bool = False

    @property
    def is_empty(self) -> bool:
        """Nothing is asked for, so everything matches."""
        return not any(getattr(self, field.name) for field in fields(self))

    def to_json(self) -> dict[str, Json]:
        """The fields that ask for something, sorted."""
        asked = ((field.name, getattr(self, field.name)) for field in fields(self))
        return {name: values if values is True else _sorted(values) for name, values in asked if values}


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: when `when` matches, `unless` does not, and `condition` is true, `decision` is the answer."""

    id: str
    decision: PolicyDecision
    when: Match = Match()
    unless: Match | None = None
    condition: str | None = None
    reason: str = ""
    approvers: Approvers | None = None
    without_approval: bool = False

    def to_json(self) -> dict[str, Json]:
        """The rule as JSON data, as the digest covers it and as programs read it."""
        return {
            "id": self.id,
            "decision": self.decision.value,
            "when": self.when.to_json(),
            "unless": None if self.unless is None else self.unless.to_json(),
            "condition": self.condition,
            "reason": self.reason,
            "approvers": None if self.approvers is None else self.approvers.to_json(),
            "without_approval": self.without_approval,
        }


class Per(StrEnum):
    """Who has a count of their own."""

    PRINCIPAL = "principal"
    RUN = "run"
    ALL = "all"


class Measure(StrEnum):
    """What is counted."""

    CALLS = "calls"
    BYTES_OUT = "bytes_out"
    COST = "cost"


@dataclass(frozen=True, slots=True)
class Limit:
    """So much of a measure, at `most`, within any time of `window_ms`, of the calls that `when` matches and `unless` does not.

    `prices`: what a call of a capability costs, by pattern, sorted; 1 where none fits, the most where several do.
    """

    id: str
    of: Measure
    most: int
    window_ms: int
    per: Per = Per.PRINCIPAL
    when: Match = Match()
    unless: Match | None = None
    prices: tuple[tuple[str, int], ...] = ()
    reason: str = ""

    def to_json(self) -> dict[str, Json]:
        """The limit as JSON data, as the digest covers it."""
        return {
            "id": self.id,
            "of": self.of.value,
            "most": self.most,
            "window_ms": self.window_ms,
            "per": self.per.value,
            "when": self.when.to_json(),
            "unless": None if self.unless is None else self.unless.to_json(),
            "prices": [[pattern, units] for pattern, units in self.prices],
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Constraint:
    """What the inputs of the calls that `when` matches and `unless` does not must fit: a JSON Schema (2020-12)."""

    id: str
    inputs: dict[str, Any]  # `Any`: JSON, which msgspec can't name
    when: Match = Match()
    unless: Match | None = None
    reason: str = ""

    def to_json(self) -> dict[str, Json]:
        """The constraint as JSON data, as the digest covers it."""
        return {
            "id": self.id,
            "inputs": self.inputs,
            "when": self.when.to_json(),
            "unless": None if self.unless is None else self.unless.to_json(),
            "reason": self.reason,
        }


@dataclass(frozen=True)
class Policy:
    """A whole policy: the first rule that holds decides, `default` when none does.

    What they let go, `constraints` on its inputs and `limits` may still stop: all that are about a call must hold.
    """

    rules: tuple[Rule, ...] = ()
    default: PolicyDecision = PolicyDecision.DENY
    limits: tuple[Limit, ...] = ()
    constraints: tuple[Constraint, ...] = ()

    @classmethod
    def from_json(cls, data: Json) -> Self:
        """The policy whose `to_json` is this; `InputError` POLICY_INVALID where there is none, as of a later Assent's."""
        try:
            policy = convert(data, cls)
        except msgspec.ValidationError as fault:
            raise InputError("POLICY_INVALID", f"this is not a recorded policy: {fault}") from None
        if policy.to_json() != data:
            raise InputError(
                "POLICY_INVALID", "the recorded policy says something that this Assent does not know"
            )
        return policy

    def to_json(self) -> dict[str, Json]:
        """The policy as JSON data."""
        return {
            "version": POLICY_VERSION,
            "default": self.default.value,
            "rules": [rule.to_json() for rule in self.rules],
            # What a policy without these says, and so its digest, is what it was before there were any.
            **({"limits": [limit.to_json() for limit in self.limits]} if self.limits else {}),
            **({"constraints": [one.to_json() for one in self.constraints]} if self.constraints else {}),
        }

    @cached_property
    def digest(self) -> Fingerprint:
        """64 hex digits that name what the policy says: SHA-256 of the canonical JSON of `to_json`."""
        return fingerprint(self.to_json())


def _sorted(values: Iterable[str]) -> list[Json]:
    return [*sorted(str(value) for value in values)]
