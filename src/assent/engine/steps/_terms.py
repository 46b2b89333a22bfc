"""On what terms a step is done: how it can be taken back, how dangerous that makes it, and what the gate is therefore asked.

A plan, `policy explain` and the run itself ask here, so that none of them can answer otherwise than another.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from assent.engine.waiting._keys import CANCELLING, Claim
from assent.errors import InputError, Json
from assent.invocation import BoundCapability, Gate
from assent.policy import PolicyContext
from assent.spec.capability import CapabilitySpec, OperationType, RiskLevel
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.ids import KEY_CAPABILITY, SIGNAL_CAPABILITY, UNDO_CAPABILITY, StepKey, name_of
from assent.spec.language.template import Context, Template
from assent.spec.principal import Principal
from assent.spec.states import Mode, Undo
from assent.spec.workflow.definition import StepSpec, WaitSpec

# Asked for each step; see `_record.py` for what a look-up in the class costs.
_NO_UNDO = Undo.NONE


def undo_of(step: StepSpec, bound: BoundCapability) -> Undo:
    """How the effect of a step can be taken back: by its own compensation, by its capability's, or not at all."""
    if not bound.spec.has_effect:
        return bound.undo
    if not step.keeps_undo:
        return _NO_UNDO
    return Undo.COMPENSATION if step.compensation is not None else bound.undo


def effective_risk(step: StepSpec, bound: BoundCapability, undo: Undo) -> RiskLevel:
    """The spec's risk, raised by the step's author, and CRITICAL when no pre-image is kept."""
    risk = bound.spec.risk.level
    if undo is _NO_UNDO and not step.keeps_undo:
        return RiskLevel.CRITICAL
    if step.risk_level is not None and step.risk_level.rank > risk.rank:
        return step.risk_level
    return risk


def items_of(key: StepKey, foreach: Template, context: Context, limit: int) -> list[Json]:
    """What a `foreach` goes over. FOREACH_INVALID for no list, and for one that is too long."""
    items = foreach.render(context)
    if isinstance(items, list) and len(items) <= limit:
        return items
    what = f"{len(items)} items" if isinstance(items, list) else "something else"
    raise InputError(
        "FOREACH_INVALID",
        f"`foreach` of step `{key}` needs a list of at most {limit} items, not {what}",
        path=key,
    )


def wait_given(key: StepKey, step: StepSpec, wait: WaitSpec, context: Context) -> Json:
    """The time that a `wait` step is given; null for one that waits for a signal. INVALID_INPUT for what is no time."""
    given = step.inputs.render(context) if wait.signal is None else None
    try:
        wait.due_ms(given, 0)
    except ValueError as error:
        raise InputError("INVALID_INPUT", f"what step `{key}` waits for {error}", path=key) from None
    return given


class RunFacts(msgspec.Struct):
    """What the gate is told of a run with every question: for whom it is, of which workflow, where."""

    requester: Principal
    """Its roles are those of today: they are given anew while the run is under way."""
    workflow: str | None = None
    environment: str | None = None
    run: str = ""
    mode: Mode = Mode.WORKFLOW

    def question(
        self,
        step: str,
        spec: CapabilitySpec,
        inputs: Mapping[str, Json],
        risk: RiskLevel,
        *,
        labels: frozenset[str],
        now_ms: int,
    ) -> PolicyContext:
        """The question about one call of a step, its inputs complete. `labels` tell what the run has read and sent before."""
        return PolicyContext.of(
            spec,
            self.requester,
            inputs,
            risk_level=risk,
            workflow=self.workflow,
            step=name_of(StepKey(step)),
            environment=self.environment,
            run_id=self.run,
            mode=self.mode,
            requester=self.requester,
            run_labels=labels,
            now_ms=now_ms,
        )

    def step_question(
        self,
        step: StepSpec,
        bound: BoundCapability,
        inputs: Mapping[str, Json],
        labels: frozenset[str],
        now_ms: int,
    ) -> PolicyContext:
        """The same about a step's call, on the step's terms."""
        risk = effective_risk(step, bound, undo_of(step, bound))
        return self.question(step.name, bound.spec, inputs, risk, labels=labels, now_ms=now_ms)

    def undo_question(self, risk: RiskLevel, now_ms: int, *, partial: bool) -> PolicyContext:
        """The one question about undoing the whole run; the requester is who wants it undone."""
        return self._question_apart(UNDO_CAPABILITY, risk, {"run": self.run, "partial": partial}, now_ms)

    def key_question(self, claim: Claim, now_ms: int, *, cancels_others: bool) -> PolicyContext:
        """Whether the run may have a concurrency key, or cancel runs of other principals for it."""
        key = claim.text or ""
        inputs: dict[str, Json] = {"key": key, "limit": claim.limit, "on_busy": claim.on_busy.value}
        asked = self._question_apart(KEY_CAPABILITY, RiskLevel.LOW, inputs, now_ms)
        return msgspec.structs.replace(asked, concurrency=key, cancels_others=cancels_others)

    def signal_question(self, signal: str, now_ms: int) -> PolicyContext:
        """The question about a signal to the run; the requester is who sends it. What the run then does is asked for itself."""
        return self._question_apart(
            SIGNAL_CAPABILITY, RiskLevel.LOW, {"run": self.run, "signal": signal}, now_ms
        )

    def _question_apart(
        self, capability: str, risk: RiskLevel, inputs: Mapping[str, Json], now_ms: int
    ) -> PolicyContext:
        return PolicyContext(
            principal=self.requester,
            capability=capability,
            risk_level=risk,
            operation_type=OperationType.EXECUTE,
            version="1.0.0",
            inputs=inputs,
            workflow=self.workflow or "",
            environment=self.environment or "",
            run_id=self.run,
            mode=self.mode,
            requester=self.requester,
            now_ms=now_ms,
        )


class KeyAsked(msgspec.Struct, frozen=True):
    """What the gate answers to a run that wants a key; `cancels_others` where its workflow would cancel runs of others for it."""

    told: dict[str, Json]
    """What it was asked with, as the ledger keeps it."""
    has: Decision
    cancels_others: Decision | None = None

    @property
    def is_denied(self) -> bool:
        """The run may not have the key."""
        return self.has.effect is not PolicyDecision.ALLOW

    def answers(self) -> tuple[ev.KeyAnswer, ...]:
        """The same as it is recorded."""
        given = [
            (self.has, False),
            *([(self.cancels_others, True)] if self.cancels_others is not None else []),
        ]
        return tuple(ev.KeyAnswer(one.effect.value, one.rule, one.code, about) for one, about in given)


def ask_gate_about_key(
    gate: Gate, facts: RunFacts, claim: Claim, now_ms: int, *, may_stop_others: bool
) -> KeyAsked:
    """Put a run's wish for a key to the gate. Nobody is asked: what is not allowed is denied."""
    question = facts.key_question(claim, now_ms, cancels_others=False)
    has = gate.decide(question)
    asked = KeyAsked({**question.told(with_time=gate.reads_now), "reason": has.reason}, has)
    if asked.is_denied or claim.on_busy not in CANCELLING or not may_stop_others:
        return asked
    others = gate.decide(facts.key_question(claim, now_ms, cancels_others=True))
    return msgspec.structs.replace(asked, cancels_others=others)
