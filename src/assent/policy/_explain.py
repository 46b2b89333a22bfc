"""Why the gate answered as it did: each rule with what held and what did not, and the nearest rule that would have changed it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import overload

import msgspec

from assent.errors import Json
from assent.policy._compiled import AGENT_REFUSED, CompiledRule, care_for
from assent.policy._context import PolicyContext
from assent.policy._limits import amount_of
from assent.policy._match import matches, misses, strays
from assent.spec.decision import Decision, PolicyDecision, Tried
from assent.spec.language.expression import Budget, ExpressionError
from assent.spec.policy import Limit, Rule


class Look(msgspec.Struct, frozen=True):
    """One rule looked at: `holds` is None when it could not be evaluated; `clauses` say what did not hold."""

    holds: bool | None
    clauses: tuple[str, ...]

    def tried(self, rule: Rule) -> Tried:
        """The same as an entry of a decision's trace."""
        because = "; ".join(self.clauses) or "everything it asks for holds"
        return Tried(rule.id, self.holds is True, because, rule.decision)


def look(compiled: CompiledRule, context: PolicyContext, facts: Mapping[str, object], budget: Budget) -> Look:
    """Whether the rule holds, and every reason why not; the `if` is evaluated only where the gate would evaluate it.

    `budget` is that of the whole decision, and the rules before this one have taken of it.
    """
    rule = compiled.rule
    stray = strays(rule.when, context)
    if stray is not None:
        return Look(False, (stray,))
    clauses = misses(rule.when, context)
    if rule.unless is not None and matches(rule.unless, context):
        clauses.append("what stands under `not` holds")
    if clauses or compiled.condition is None:
        return Look(not clauses, tuple(clauses))
    source = " ".join(compiled.condition.source.split())
    try:
        value = compiled.condition.run_on(facts, budget)
    except ExpressionError as error:
        return Look(None, (error.message,))
    if value is True:
        return Look(True, ())
    if value is False:
        return Look(False, (f"`{source}` is false",))
    return Look(None, (not_boolean(source),))


def not_boolean(source: str) -> str:
    """What is said of an `if` that gives something else than true or false."""
    return f"`{' '.join(source.split())}` gives neither true nor false"


class Trace(Sequence[Tried]):
    """The rules up to the one that decided, in file order, each with why it did or did not; worked out when first read.

    Rules about something else than the question (a key, where a call is asked about) were not tried.

    Most decisions are never asked why, and finding all the reasons costs far more than the decision.
    """

    __slots__ = ("_context", "_decided", "_entries", "_rules")

    def __init__(self, rules: Sequence[CompiledRule], decided: int, context: PolicyContext) -> None:
        self._rules = rules
        self._decided = decided
        self._context = context
        self._entries: tuple[Tried, ...] | None = None

    def _all(self) -> tuple[Tried, ...]:
        if self._entries is None:
            facts, budget = self._context.facts(), Budget()
            self._entries = tuple(
                look(compiled, self._context, facts, budget).tried(compiled.rule)
                for compiled in self._rules[: self._decided + 1]
                if strays(compiled.rule.when, self._context) is None
            )
        return self._entries

    @overload
    def __getitem__(self, index: int) -> Tried: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Tried]: ...
    def __getitem__(self, index: int | slice) -> Tried | Sequence[Tried]:
        return self._all()[index]

    def __len__(self) -> int:
        return len(self._all())

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Trace | tuple):
            return self._all() == tuple(other)
        return NotImplemented

    def __hash__(self) -> int:
        return hash(self._all())

    def __repr__(self) -> str:
        return repr(self._all())

    def __reduce__(self) -> tuple[object, ...]:
        # A copy, or what goes to another process, is the finished list: a context cannot travel.
        return tuple, (self._all(),)


class RuleReport(msgspec.Struct, frozen=True):
    """One rule of the policy in an explanation. `reached` is false for the rules after the one that decided."""

    rule: str
    decision: PolicyDecision
    holds: bool | None
    reached: bool
    because: str


class Nearest(msgspec.Struct, frozen=True):
    """The rule before the deciding one that would have given another answer, had `missing` held."""

    rule: str
    effect: PolicyDecision
    missing: tuple[str, ...]


class LimitReport(msgspec.Struct, frozen=True):
    """One limit in an explanation: what calls have `used` of `most`, what this one takes, and when it will fit if it does not."""

    limit: str
    of: str
    used: int
    takes: int
    most: int
    opens_at_ms: int | None


class ConstraintReport(msgspec.Struct, frozen=True):
    """One constraint in an explanation: whether the inputs fit it, and what of them does not."""

    constraint: str
    holds: bool
    because: str


class PolicyExplanation(msgspec.Struct, frozen=True):
    """A decision with the whole policy around it: one report per rule, in file order."""

    context: PolicyContext
    decision: Decision
    rules: tuple[RuleReport, ...]
    nearest: Nearest | None
    limits: tuple[LimitReport, ...] = ()
    constraints: tuple[ConstraintReport, ...] = ()

    def constrained(
        self, decision: Decision, found: Iterable[tuple[str, Sequence[str]]]
    ) -> PolicyExplanation:
        """The same with the constraints that were asked after the rules; `decision` is what came of both."""
        reports = tuple(
            ConstraintReport(name, not faults, "; ".join(faults) or "the inputs fit it")
            for name, faults in found
        )
        return msgspec.structs.replace(self._denied(decision), constraints=reports)

    def _denied(self, decision: Decision) -> PolicyExplanation:
        # A rule that would have let it go changes nothing while something else denies it.
        nearest = self.nearest if decision.rule == self.decision.rule else None
        return msgspec.structs.replace(self, decision=decision, nearest=nearest)

    def limited(self, decision: Decision, limits: Sequence[Limit]) -> PolicyExplanation:
        """The same with the limits that were asked after the rules; `decision` is what came of both."""
        counts = self.context.counts
        reports = tuple(
            LimitReport(
                limit.id,
                limit.of.value,
                count.used,
                amount_of(limit, self.context),
                limit.most,
                count.opens_at_ms,
            )
            for limit in limits
            if (count := counts.get(limit.id)) is not None
        )
        return msgspec.structs.replace(self._denied(decision), limits=reports)

    def to_json(self) -> dict[str, Json]:
        """What `assent policy explain --json` prints."""
        decision, near = self.decision, self.nearest
        return {
            "principal": str(self.context.principal),
            "capability": self.context.capability,
            "risk_level": self.context.risk_level.value,
            "decision": decision.effect.value,
            "rule": decision.rule,
            "reason": decision.reason,
            "code": decision.code,
            "approvers": None if decision.approvers is None else decision.approvers.to_json(),
            "opens_at_ms": decision.opens_at_ms,
            "allowed": decision.allowed,
            "policy_digest": decision.policy_digest,
            "rules": [*map(msgspec.to_builtins, self.rules)],
            "constraints": [*map(msgspec.to_builtins, self.constraints)],
            "limits": [*map(msgspec.to_builtins, self.limits)],
            "nearest": None if near is None else {**msgspec.to_builtins(near), "missing": [*near.missing]},
        }


def explain(
    rules: Sequence[CompiledRule], decided: int | None, decision: Decision, context: PolicyContext
) -> PolicyExplanation:
    """The explanation of a decision that the rule at index `decided` made, or the default when None."""
    facts, budget = context.facts(), Budget()
    looks = [look(compiled, context, facts, budget) for compiled in rules]
    last = len(rules) if decided is None else decided
    reports = tuple(
        RuleReport(
            compiled.rule.id,
            compiled.rule.decision,
            seen.holds,
            i <= last,
            seen.tried(compiled.rule).because if i <= last else "an earlier rule decides",
        )
        for i, (compiled, seen) in enumerate(zip(rules, looks, strict=True))
    )
    return PolicyExplanation(context, decision, reports, _nearest(rules[:last], looks, decision, context))


def _nearest(
    rules: Sequence[CompiledRule], looks: Sequence[Look], decision: Decision, context: PolicyContext
) -> Nearest | None:
    care = care_for(context)
    best: Nearest | None = None
    if decision.code == AGENT_REFUSED:  # a rule that would let anybody else go changes nothing
        return None
    for compiled, seen in zip(rules, looks, strict=False):
        effect = compiled.answers[care].effect
        if effect is decision.effect or seen.holds is not False or strays(compiled.rule.when, context):
            continue
        if best is None or len(seen.clauses) < len(best.missing):
            best = Nearest(compiled.rule.id, effect, seen.clauses)
    return best
