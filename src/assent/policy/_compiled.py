"""One rule made ready: its expression, and the three answers it can give."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

import msgspec

from assent.policy._builtin import builtin_approvers
from assent.policy._context import PolicyContext
from assent.spec.capability import RiskLevel
from assent.spec.decision import Approvers, PolicyDecision
from assent.spec.language.expression import Expression
from assent.spec.policy import BUILTIN_PREFIX, DEFAULT_RULE, Rule
from assent.spec.words.globs import glob_matches

DENIED: Final = "POLICY_DENIED"
"""The code of a denial that a rule or the default made."""


AGENT_REFUSED: Final = "AGENT_REFUSED"
"""The code of a denial because an agent would have changed Assent itself."""


class Care(IntEnum):
    """How much a person has to do with a call, whatever the rule: what an ALLOW turns into depends on nothing else."""

    NONE = 0
    """LOW or MEDIUM."""
    PERSON = 1
    """HIGH, or a capability that requires approval."""
    OTHER_PERSON = 2
    """CRITICAL."""


_CARE = {
    RiskLevel.LOW: Care.NONE,
    RiskLevel.MEDIUM: Care.NONE,
    RiskLevel.HIGH: Care.PERSON,
    RiskLevel.CRITICAL: Care.OTHER_PERSON,
}
_RISK = {Care.NONE: RiskLevel.LOW, Care.PERSON: RiskLevel.HIGH, Care.OTHER_PERSON: RiskLevel.CRITICAL}
_ESCALATED = {
    Care.PERSON: "an ALLOW asks a person at HIGH risk, or when the capability requires approval",
    Care.OTHER_PERSON: "an ALLOW asks a person at CRITICAL risk",
}


def care_for(context: PolicyContext) -> Care:
    """The care that this call needs."""
    care = _CARE[context.risk_level]
    return max(care, Care.PERSON) if context.requires_approval else care


class Answer(msgspec.Struct, frozen=True):
    """What a rule says for one level of care; `code` is that of a denial."""

    rule: str
    effect: PolicyDecision
    reason: str
    approvers: Approvers | None = None
    code: str | None = None


class CompiledRule(msgspec.Struct, frozen=True):
    """A rule, its compiled `if`, and its answers, one per `Care`."""

    rule: Rule
    condition: Expression | None
    answers: tuple[Answer, Answer, Answer]


def compile_rule(rule: Rule, condition: Expression | None) -> CompiledRule:
    """The rule made ready; `condition` is its compiled `if`."""
    return CompiledRule(
        rule,
        condition,
        (_answer(rule, Care.NONE), _answer(rule, Care.PERSON), _answer(rule, Care.OTHER_PERSON)),
    )


def default_answers(default: PolicyDecision) -> tuple[Answer, Answer, Answer]:
    """What is answered when no rule holds; a default of ALLOW asks a person like any other ALLOW."""
    rule = Rule(
        id=DEFAULT_RULE, decision=default, reason=f"no rule holds, and the default is {default.value}"
    )
    return compile_rule(rule, None).answers


KEY_ANSWERS: Final[Mapping[bool, Answer]] = {
    False: Answer(f"{BUILTIN_PREFIX}concurrency", PolicyDecision.ALLOW, "no rule is about this key"),
    True: Answer(
        f"{BUILTIN_PREFIX}cancels_others",
        PolicyDecision.DENY,
        "no rule lets a run cancel those of others for this key",
        code=DENIED,
    ),
}
"""What is answered about a concurrency key of which no rule holds, by whether it is to cancel runs of others for it."""


NOT_FOR_AGENTS: Final = Answer(
    f"{BUILTIN_PREFIX}agents",
    PolicyDecision.DENY,
    "agents do not administer Assent, except by a rule whose `when` names both the agent and the capability",
    code=AGENT_REFUSED,
)
"""What is answered where an agent would change Assent itself, and the rule that lets it go does not say that it may."""


def lets_administer(rule: Rule, context: PolicyContext) -> bool:
    """Whether a rule that holds says of itself that an agent may change Assent: no pattern for anybody, or anything, does."""
    names = (
        (rule.when.principals, "agent:", str(context.principal)),
        (rule.when.capabilities, "assent.", context.capability),
    )
    return all(
        any(pattern.startswith(kind) and glob_matches(pattern, one) for pattern in patterns)
        for patterns, kind, one in names
    )


def _answer(rule: Rule, care: Care) -> Answer:
    reason = rule.reason or f"rule `{rule.id}` says {rule.decision.value}"
    if rule.decision is PolicyDecision.DENY:
        return Answer(rule.id, PolicyDecision.DENY, reason, code=DENIED)
    if rule.decision is PolicyDecision.ALLOW:
        if care is Care.NONE or rule.without_approval:
            return Answer(rule.id, PolicyDecision.ALLOW, reason)
        reason = f"{reason}; {_ESCALATED[care]}"
    return Answer(
        rule.id, PolicyDecision.REQUIRE_APPROVAL, reason, rule.approvers or builtin_approvers(_RISK[care])
    )
