"""The gate: one context in, one decision out. Pure, deterministic, and closed when in doubt.

Theory of operation. The index gives the rules whose `when` matches, as bits of an integer. They are taken in file order: the
first without an `if` decides, the first whose `if` is true decides, and the first whose `if` fails denies (`_joint_conditions.py`
finds them quickly). What a rule decides depends only on the rule and on how much care the call needs, so the answers exist
before anybody asks. What they let go is held against the constraints and then the limits that are about it; these only deny.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from typing import Final, Self

import msgspec

from assent.errors import InputError, Json
from assent.policy._builtin import BUILTIN_POLICY
from assent.policy._compiled import (
    KEY_ANSWERS,
    NOT_FOR_AGENTS,
    Answer,
    CompiledRule,
    care_for,
    compile_rule,
    default_answers,
    lets_administer,
)
from assent.policy._conditions import compile_condition
from assent.policy._constraints import Constraints
from assent.policy._context import PolicyContext, UnknownInputs
from assent.policy._explain import PolicyExplanation, Trace, explain, look, not_boolean
from assent.policy._index import Index
from assent.policy._joint_conditions import Asked
from assent.policy._limits import Limits
from assent.policy._read import read_policy
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.documents.document import Document, load_yaml
from assent.spec.ids import RUN_CAPABILITY, administers
from assent.spec.language.expression import TOO_COSTLY, Bindings, Budget, Expression, ExpressionError
from assent.spec.language.work import WORK_MAX
from assent.spec.policy import Limit, Policy
from assent.spec.principal import PrincipalKind

ASKED_MAX: Final = 512
"""Sets of conditional rules that are kept ready; a table that is full starts again empty."""

FAILED: Final = "POLICY_ERROR"
"""The code of a denial because a rule could not be evaluated."""


class Possible(msgspec.Struct, frozen=True):
    """What the gate may answer: one decision, or, in file order, each that the `unknown` inputs may lead to."""

    answers: tuple[Decision, ...]
    unknown: tuple[str, ...] = ()
    """The names of the inputs that rules would read which may decide, `inputs` where one reads all of them."""


class PolicyEngine:
    """A policy, compiled. Immutable in meaning, and for use from any thread: what it remembers changes no answer.

    Build one with `load`, `from_dict`, `builtin`, or from a parsed `Policy`. The first two raise `InputError` POLICY_INVALID
    with every fault in `details.faults` (`details.cause` when the file is no YAML at all); a `Policy` with a broken `if`
    raises EXPRESSION_INVALID.
    There is never half an engine.
    """

    def __init__(self, policy: Policy, *, conditions: Mapping[str, Expression] | None = None) -> None:
        """`conditions` are expressions already compiled, by source; any other `if` is compiled here."""
        known = dict(conditions or {})
        for rule in policy.rules:
            if rule.condition is not None and rule.condition not in known:
                known[rule.condition] = compile_condition(rule.condition)
        self.policy = policy
        self.digest: str = policy.digest
        self._rules = tuple(
            compile_rule(rule, None if rule.condition is None else known[rule.condition])
            for rule in policy.rules
        )
        self._index = Index([(rule.when, rule.unless) for rule in policy.rules])
        self.reads_step = self._index.reads_step
        """Whether an answer may depend on the step's name."""
        self._constraints = Constraints(policy.constraints) if policy.constraints else None
        self._limits = Limits(policy.limits)
        self._default = default_answers(policy.default)
        self.reads_now = any(
            name[0] == "now" for expression in known.values() for name in expression.names if name
        )
        """Whether an answer may depend on the time."""
        self.reads_passing = self.reads_now or any(
            name[:2] in {("run",), ("run", "id")}
            for expression in known.values()
            for name in expression.names
        )
        """Whether an answer may depend on what no two questions share: the time, and which run it is."""
        self._unconditional = sum(1 << i for i, rule in enumerate(policy.rules) if rule.condition is None)
        self._asked_of: dict[int, Asked] = {}

    @classmethod
    def load(cls, text: str | bytes, *, source: str = "policy.yaml") -> Self:
        """The engine of a policy file's text; errors say `source:LINE:COLUMN`."""
        try:
            document = load_yaml(text, source=source)
        except InputError as error:
            raise InputError(
                "POLICY_INVALID",
                error.message,
                path=error.path,
                hint=error.hint,
                details={**error.details, "cause": error.code},
            ) from None
        return cls._of(document)

    @classmethod
    def from_dict(cls, data: Json, *, source: str = "<dict>") -> Self:
        """The engine of a policy given as data, with the keys of the file."""
        return cls._of(Document.of(data, source=source))

    @classmethod
    @cache
    def builtin(cls) -> Self:
        """The engine of the built-in policy, which holds when no policy is configured; one for all."""
        return cls(BUILTIN_POLICY)

    @classmethod
    def _of(cls, document: Document) -> Self:
        policy, conditions = read_policy(document)
        return cls(policy, conditions=conditions)

    def decide(self, context: PolicyContext) -> Decision:
        """The answer to this context; never raises. What cannot be evaluated is denied with code POLICY_ERROR."""
        decision = self._decide(context, ())[0]
        assert decision is not None  # Only unknown inputs leave a decision open.
        if self._constraints is not None:
            decision = self._constraints.deny(decision, context)
        return self._limits.deny(decision, context) if context.counts else decision

    def limits_on(self, context: PolicyContext) -> tuple[Limit, ...]:
        """The limits that a question is held against: of these its `counts` are to tell.

        None for the step that runs a workflow: the calls of that are what counts, and each does once.
        """
        is_counted = self.policy.limits and context.capability != RUN_CAPABILITY
        return self._limits.on(context) if is_counted else ()

    def foresee(self, context: PolicyContext, unknown_inputs: UnknownInputs = "all") -> Decision | None:
        """The answer before all inputs are known: None when the rule that decides reads one that is not.

        For plans and pre-flights. An answer given here is the answer of `decide` whatever the unknown inputs turn out to be.
        """
        decision = self._decide(context, unknown_inputs)[0]
        if decision is not None and self._constraints is not None:
            answers, read = self._constraints.possible(decision, context, unknown_inputs)
            decision = None if read else answers[0]
        if decision is None or not context.counts:
            return decision
        limited = self._limits.deny(decision, context)
        is_known = limited.effect is PolicyDecision.DENY or not unknown_inputs
        return limited if is_known or not self._limits.is_open(context) else None

    def possible(self, context: PolicyContext, unknown_inputs: UnknownInputs) -> Possible:
        """Every answer that `decide` may give, whatever the unknown inputs turn out to be.

        A rule whose `if` reads one of them may hold, may not hold, or may fail, which denies. Limits are
        asked about what is known.
        """
        found = self._possible(context, unknown_inputs)
        if self._constraints is not None:
            each = [self._constraints.possible(one, context, unknown_inputs) for one in found.answers]
            read = {*found.unknown}.union(*(names for _, names in each))
            found = Possible(tuple(one for answers, _ in each for one in answers), tuple(sorted(read)))
        if not context.counts:
            return found
        return Possible(tuple(self._limits.deny(one, context) for one in found.answers), found.unknown)

    def _possible(self, context: PolicyContext, unknown_inputs: UnknownInputs) -> Possible:
        bits, care, budget = self._index.candidates(context), care_for(context), Budget()
        facts = context.facts() if bits & ~self._unconditional else {}
        answers: list[Decision] = []
        read: dict[str, None] = {}
        for i, compiled in enumerate(self._rules):
            if not bits >> i & 1:
                continue
            condition = compiled.condition
            depends_on = (
                _read_of(condition, unknown_inputs) if condition is not None and unknown_inputs else ()
            )
            if depends_on:
                read |= dict.fromkeys(depends_on)
                answers += (
                    self._answered(compiled.answers[care], i, context),
                    self._failed(i, compiled, context, "an input that it reads is not known yet"),
                )
                continue
            found = look(compiled, context, facts, budget)
            if found.holds is False:
                continue
            last = self._answered(compiled.answers[care], i, context)
            if found.holds is None:
                last = self._failed(i, compiled, context, found.clauses[0])
            return Possible((*answers, last), tuple(sorted(read)))
        answers.append(self._otherwise(context))
        return Possible(tuple(answers), tuple(sorted(read)))

    def explain(self, context: PolicyContext) -> PolicyExplanation:
        """The decision with a reason for every rule, and the nearest rule that would have changed it."""
        decision, decided = self._decide(context, ())
        assert decision is not None  # As in `decide`.
        explanation = explain(self._rules, decided, decision, context)
        if self._constraints is not None:
            constrained = self._constraints.deny(decision, context)
            explanation = explanation.constrained(constrained, self._constraints.looked_at(context))
        if not context.counts:
            return explanation
        limited = self._limits.deny(explanation.decision, context)
        return explanation.limited(limited, self._limits.on(context))

    def _decide(self, context: PolicyContext, unknown: UnknownInputs) -> tuple[Decision | None, int | None]:
        """The decision, and the index of the rule that made it; (None, index) when a rule reads an unknown input."""
        bits = self._index.candidates(context)
        certain = bits & self._unconditional
        last = certain & -certain
        # Those above the first rule without an `if`; without such a rule `last - 1` is -1, which is all of them.
        conditional = bits & (last - 1)
        if conditional:
            found = self._ask(self._asked(conditional), context, unknown)
            if found is not None:
                return found
        if last:
            i = last.bit_length() - 1
            return self._answered(self._rules[i].answers[care_for(context)], i, context), i
        return self._otherwise(context), None

    def _otherwise(self, context: PolicyContext) -> Decision:
        """What is answered where no rule holds. `default` is about calls: to have a key does nothing."""
        answer = (
            KEY_ANSWERS[context.cancels_others] if context.concurrency else self._default[care_for(context)]
        )
        return self._answered(answer, len(self._rules), context)

    def _ask(
        self, asked: Asked, context: PolicyContext, unknown: UnknownInputs
    ) -> tuple[Decision | None, int] | None:
        """The same among rules that have an `if`; None when none of them holds."""
        bindings = Bindings(context.facts(asked.projection), asked.projection)
        budget = bindings.budget = _budget(bindings, asked)
        for i in asked.rules if unknown else asked.open(bindings):
            compiled = self._rules[i]
            condition = compiled.condition
            assert condition is not None  # INVARIANT: only rules with one are asked
            if unknown and _read_of(condition, unknown):
                return None, i
            try:
                holds = condition.run(bindings)
            except ExpressionError as fault:
                if fault.code == TOO_COSTLY:
                    return self._failed(i, compiled, context, fault.message), i
                # The fault may be a value that only a later rule reads: alone, this rule may still hold. A rule must not fail
                # because of what stands below it.
                try:
                    holds = condition.run_on(context.facts(), budget)
                except ExpressionError as error:
                    return self._failed(i, compiled, context, error.message), i
            if holds is True:
                return self._answered(compiled.answers[care_for(context)], i, context), i
            if holds is not False:
                return self._failed(i, compiled, context, not_boolean(condition.source)), i
        return None

    def _asked(self, conditional: int) -> Asked:
        """The rules behind these bits, with what their `if`s read, so that it is converted once for all of them."""
        found = self._asked_of.get(conditional)
        if found is None:
            rules = [i for i in range(conditional.bit_length()) if conditional >> i & 1]
            conditions = [condition for i in rules if (condition := self._rules[i].condition) is not None]
            found = Asked(rules, conditions)
            if len(self._asked_of) >= ASKED_MAX:
                self._asked_of.clear()
            self._asked_of[conditional] = found
        return found

    def _answered(self, answer: Answer, i: int, context: PolicyContext) -> Decision:
        if administers(context.capability) and context.principal.type is PrincipalKind.AGENT:
            is_named = i < len(self._rules) and lets_administer(self._rules[i].rule, context)
            if answer.effect is not PolicyDecision.DENY and not is_named:
                answer = NOT_FOR_AGENTS
        return Decision(
            answer.effect,
            answer.rule,
            answer.reason,
            self.digest,
            answer.approvers,
            answer.code,
            Trace(self._rules, i, context),
        )

    def _failed(self, i: int, compiled: CompiledRule, context: PolicyContext, fault: str) -> Decision:
        reason = f"rule `{compiled.rule.id}` could not be evaluated: {fault}"
        trace = Trace(self._rules, i, context)
        return Decision(PolicyDecision.DENY, compiled.rule.id, reason, self.digest, None, FAILED, trace)


def _budget(bindings: Bindings, asked: Asked) -> Budget | None:
    """What all `if`s of a decision may take together, where they might: to count costs as much as to ask."""
    try:
        return None if bindings.most_steps(asked.bound) <= WORK_MAX else Budget()
    except ExpressionError:
        return Budget()


def _read_of(condition: Expression, unknown: UnknownInputs) -> set[str]:
    """The unknown inputs that an expression reads, by name; `inputs` where it reads all or any of them."""
    found: set[str] = set()
    for path in condition.names:
        if path[0] == "inputs":
            name = path[1] if len(path) > 1 else "inputs"
            if unknown == "all" or len(path) == 1 or name in unknown:
                found.add(name)
    return found
