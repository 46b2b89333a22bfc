"""What a step's call may lead to later: the gate is asked when the step is admitted, and the same policy once more right before.

A step's own way back is another call, with a capability, a risk and inputs of its own. Nobody is asked when a rollback needs
it, so it is asked about beforehand. Where the answer depends on an output that nobody has seen yet, a person is asked, and told
of which input; where every answer would be a denial, it is one. What is done in the end is what `may_go` lets go, by the policy
that answered then, which the ledger keeps. It is an end: nothing takes it back in its turn.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Final, overload

import msgspec

from assent.engine.ports import Catalogue, Services
from assent.engine.steps._terms import RunFacts
from assent.errors import InputError, Json, RefusedError
from assent.invocation import BoundCapability, Gate, Invocation, Pipeline
from assent.policy import PolicyContext, builtin_approvers
from assent.spec.capability import RiskLevel
from assent.spec.decision import Approvers, Decision, PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.language.template import Name
from assent.spec.states import Undo
from assent.spec.workflow.definition import StepSpec

COMPENSATION: Final = "compensation"
"""The role of a step's way back."""


class Lead(msgspec.Struct, frozen=True):
    """A call that another, of the step, may lead to: `inputs` as far as they are known, and the names of those that are not."""

    role: str
    step: str
    bound: BoundCapability
    risk: RiskLevel
    inputs: dict[str, Json]
    unknown: frozenset[str] = frozenset()


class Consequence(msgspec.Struct, frozen=True):
    """A lead and what the gate says of it. `rules`: all that would ask a person, where the answer depends on `unknown` inputs.

    `counted`: what is kept of limits for it.
    """

    lead: Lead
    question: PolicyContext
    decision: Decision
    unknown: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    counted: tuple[ev.Counted, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The object that plans and questions show."""
        lead, decision = self.lead, self.decision
        spec = lead.bound.spec
        return {
            "role": lead.role,
            "capability": spec.id,
            "version": spec.version,
            "risk_level": lead.risk.value,
            "decision": decision.effect.value,
            "rule": decision.rule,
            # What is used and when it opens is told with the step: two plans of the same must not differ by the time.
            "reason": decision.reason if decision.code != "LIMIT_REACHED" else "a limit is reached",
            "inputs": lead.inputs,
            "unknown": [*sorted(lead.unknown)],
        }


def lead_of(
    step: StepSpec,
    bound: BoundCapability,
    undo: Undo,
    context: Mapping[str, object],
    catalogue: Catalogue,
    *,
    pipeline: Pipeline,
    is_open: Callable[[Name], bool] = lambda _: False,
    own: Mapping[str, Json],
) -> Lead | None:
    """The other call that would take a step back, complete as far as it is known; None where its own handler does, or nothing.

    `is_open` tells the names in references that nobody knows a value of. `own`: the step's `inputs` and its `output`, as the
    version that performs it has them, each where it is known. Raises what makes the call impossible.
    """
    if undo is not Undo.COMPENSATION:
        return None
    override = step.compensation
    if override is not None:
        other, template = catalogue.find(override.capability), override.inputs
        literals = template.literals()
        unknown = frozenset(key for key in literals if any(map(is_open, template.names_of(key))))
        known = template.render(context, only={key for key in literals if key not in unknown})
        assert isinstance(known, dict)  # INVARIANT: a workflow's document writes them as one
    else:
        named = bound.spec.compensation.capability_id
        if "compensate" in bound.parts or named is None:
            return None
        other, known = catalogue.find(named), dict(own)
        unknown = frozenset({"inputs", "output"}.difference(own))
    found = _foreseen(other, known, unknown, pipeline)
    return Lead(COMPENSATION, step.name, other.performer, other.performer.spec.risk.level, *found)


def _foreseen(
    other: BoundCapability, known: Mapping[str, Json], unknown: frozenset[str], pipeline: Pipeline
) -> tuple[dict[str, Json], frozenset[str]]:
    """The inputs of a call of `other` as the version that performs it has them, and the names of those not known yet."""
    if unknown and other.asked is not None:
        # What another version's inputs become is told by all of them together.
        unknown, known = frozenset(_properties(other.performer)), {}
    return pipeline.complete(other, known, unknown), unknown


async def declared(
    call: Invocation, risk: RiskLevel, services: Services, catalogue: Catalogue, output: Json = None
) -> tuple[Lead, ...]:
    """What the capability's own `compensate` will come to, as its handler tells: rated `risk`, as the call that it is part of.

    A request that offsets another is `net.http.delete` and can't be taken back, which is CRITICAL where somebody calls that. Its
    rating here is that of the call which names it: that level was given for both, and whoever may make this call may make the
    offsetting one by a call of the same kind.
    """
    timeout_s = call.bound.spec.timeout or services.limits.step_timeout_s
    pipeline = services.pipeline
    leads: list[Lead] = []
    for one in await pipeline.leads_to(call, timeout_s=timeout_s, output=output):
        other = catalogue.find(one.capability)
        unknown = frozenset(one.unknown)
        # They stand in the ledger by name, where nothing that a handler makes up may.
        if strange := unknown.difference(_properties(other)):
            raise InputError(
                "HANDLER_INVALID",
                f"`leads_to` of `{call.bound.spec.id}` names an input that `{other.spec.id}` does not have: `{min(strange)}`",
            )
        found = _foreseen(other, one.inputs, unknown, pipeline)
        leads.append(Lead(one.role, call.context.step, other.performer, risk, *found))
    return tuple(leads)


def question_of(facts: RunFacts, lead: Lead, labels: frozenset[str], now_ms: int) -> PolicyContext:
    """What the gate is asked about a call that may follow."""
    asked = facts.question(lead.step, lead.bound.spec, lead.inputs, lead.risk, labels=labels, now_ms=now_ms)
    return asked if asked.risk_level is lead.risk else msgspec.structs.replace(asked, risk_level=lead.risk)


def _properties(bound: BoundCapability) -> Collection[str]:
    properties = (bound.asked or bound.spec).parameters.get("properties")
    return properties if isinstance(properties, Mapping) else ()


def decide(gate: Gate, lead: Lead, question: PolicyContext) -> Consequence:
    """The gate's one answer about a call that may follow; what depends on an unknown input is asked a person."""
    spec = lead.bound.spec
    possible = gate.possible(question, lead.unknown)
    first = possible.answers[0]
    if not possible.unknown:
        return Consequence(lead, question, first)
    if all(answer.effect is PolicyDecision.DENY for answer in possible.answers):
        limited = next((answer for answer in possible.answers if answer.code == "LIMIT_REACHED"), None)
        return Consequence(lead, question, limited or msgspec.structs.replace(first, code="POLICY_DENIED"))
    asking = [answer for answer in possible.answers if answer.effect is PolicyDecision.REQUIRE_APPROVAL]
    names = sorted(lead.unknown) if "inputs" in possible.unknown else possible.unknown
    listed = ", ".join(f"`{name}`" for name in names)
    asked = Decision(
        PolicyDecision.REQUIRE_APPROVAL,
        (asking or [first])[0].rule,
        f"whether `{spec.id}` may take it back depends on its {listed}, which nobody knows yet",
        first.policy_digest,
        _all_of([answer.approvers for answer in asking], lead.risk),
    )
    rules = tuple(dict.fromkeys(answer.rule for answer in asking))
    return Consequence(lead, question, asked, tuple(names), rules)


def _all_of(asked: Sequence[Approvers | None], risk: RiskLevel) -> Approvers:
    """Who may answer all of these questions at once; who may by the built-in policy where none is asked."""
    named = [one for one in asked if one is not None]
    first, *others = named or [builtin_approvers(risk)]
    for other in others:
        first = first.and_also(other)
    return first


@overload
def together(own: Decision, consequences: Sequence[Consequence]) -> Decision: ...
@overload
def together(own: Decision | None, consequences: Sequence[Consequence]) -> Decision | None: ...
def together(own: Decision | None, consequences: Sequence[Consequence]) -> Decision | None:
    """The answer about a step and all that it may lead to: a denial of one denies it, a question about one is asked with it.

    `own` is None where nobody can say yet.
    """
    asking = [own] if own is not None and own.effect is PolicyDecision.REQUIRE_APPROVAL else []
    for consequence in consequences:
        decision = consequence.decision
        if decision.effect is PolicyDecision.DENY:
            spec = consequence.lead.bound.spec
            reason = f"`{spec.id}`, which would take it back, is denied: {decision.reason}"
            return msgspec.structs.replace(decision, reason=reason)
        if decision.effect is PolicyDecision.REQUIRE_APPROVAL:
            asking.append(decision)
    if own is None or not asking:
        return own
    first = asking[0]
    approvers = first.approvers or Approvers()
    for other in asking[1:]:
        approvers = approvers.and_also(other.approvers or Approvers())
    reason = "; ".join(dict.fromkeys(one.reason for one in asking))
    return msgspec.structs.replace(first, approvers=approvers, reason=reason)


async def policy_of(services: Services, digest: str) -> Callable[[PolicyContext], Decision]:
    """The policy that answered before, from memory or from the ledger. `RefusedError` COMPENSATION_DENIED where it is nowhere."""
    gate = services.gate
    if gate.is_open and gate.digest == digest:
        return gate.decide
    found = await services.policies.find(digest)
    if found is None:
        raise RefusedError(
            "COMPENSATION_DENIED",
            f"the ledger keeps no policy `{digest[:16]}`, by which this was allowed, so nothing is sent",
            hint="take the step back by hand, and say so with `assent resolve`",
        )
    return found.decide


def may_go(decision: Decision, decided: ev.ConsequenceDecided | None) -> bool:
    """Whether what the policy says of the real inputs lets it go: ALLOW, or a rule that people were asked about beforehand."""
    if decision.effect is not PolicyDecision.REQUIRE_APPROVAL:
        return decision.effect is PolicyDecision.ALLOW
    if decided is None or decided.decision != PolicyDecision.REQUIRE_APPROVAL.value:
        return False
    return decision.rule in (decided.rules or (decided.rule,))


def denied(lead: Lead, decision: Decision) -> RefusedError:
    """The refusal to do what the policy does not let go."""
    spec = lead.bound.spec
    asks = decision.effect is PolicyDecision.REQUIRE_APPROVAL
    told = "asks about it, and nobody was asked by this rule" if asks else f"denies it: {decision.reason}"
    return RefusedError(
        "COMPENSATION_DENIED",
        f"`{spec.id}` was not called: rule `{decision.rule}` of the policy of its step {told}",
        hint="take the step back by hand, and say so with `assent resolve`",
        details={"capability": spec.id, "rule": decision.rule, "policy": decision.policy_digest},
    )
