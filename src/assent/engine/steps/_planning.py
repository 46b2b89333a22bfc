"""What a run would do, found out without doing any of it: the same rendering, validation and gate, on a simulated world.

All previews of a plan share one simulated world, so that a later step is shown on top of what the earlier ones would change. What
depends on an output that nobody knows yet is said to be unknown, and so is every preview after a change that could not be shown.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from typing import Any

import msgspec

from assent.engine.ports import Catalogue, Services
from assent.engine.record._blueprint import Blueprint
from assent.engine.record._record import begin
from assent.engine.steps._admission import APPROVAL_CAPABILITY
from assent.engine.steps._consequences import Consequence, Lead, decide, declared, lead_of, together
from assent.engine.steps._scope import idempotency_key
from assent.engine.steps._terms import RunFacts, effective_risk, undo_of
from assent.errors import AssentError, Json
from assent.invocation import EXECUTE_CAPTURED, BoundCapability, Invocation, Preview, World
from assent.policy import PolicyContext
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.decision import Approvers, Decision, PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, RunId, StepKey, iteration_key
from assent.spec.language.template import Name
from assent.spec.principal import Principal
from assent.spec.states import Undo
from assent.spec.targets import target_of
from assent.spec.values.canonical import fingerprint
from assent.spec.workflow.definition import StepSpec

UNKNOWN = "UNKNOWN"


class PlannedStep(msgspec.Struct, frozen=True):
    """What is known of one step beforehand. `decision` is UNKNOWN when the gate's answer depends on what is not known yet."""

    name: str
    capability: str
    version: str
    operation_type: str
    risk_level: str
    decision: str
    rule: str | None
    reason: str
    approvers: Approvers | None
    undo: Undo
    preview: Preview
    known: bool
    target: str | None = None
    error: dict[str, Json] | None = None
    consequences: tuple[Consequence, ...] = ()

    def to_json(self) -> dict[str, Json]:
        """The step's object."""
        return {
            "name": self.name,
            "capability": self.capability,
            "version": self.version,
            "target": self.target,
            "operation_type": self.operation_type,
            "risk_level": self.risk_level,
            "decision": self.decision,
            "rule": self.rule,
            "reason": self.reason,
            "approvers": self.approvers.to_json() if self.approvers is not None else None,
            "undo": self.undo.value,
            "preview": {"kind": self.preview.kind, "diff": self.preview.diff},
            "changes": self.preview.changes and self.operation_type != OperationType.READ.value,
            "known": self.known,
            "error": self.error,
            "consequences": [one.to_json() for one in self.consequences],
        }


class Plan(msgspec.Struct, frozen=True):
    """A run that has not happened. `digest` covers everything that must still hold when the plan is run."""

    workflow: str | None
    steps: tuple[PlannedStep, ...]
    digest: str
    summary: dict[str, Json] = msgspec.field(default_factory=dict)

    def to_json(self) -> dict[str, Json]:
        """The plan's object, without the id that saving it gives."""
        return {
            "workflow": self.workflow,
            "steps": [step.to_json() for step in self.steps],
            "summary": self.summary,
        }


class _Target(msgspec.Struct, frozen=True):
    """One call to be planned: its name, its step, the capability, and how its effect could be taken back."""

    key: StepKey
    step: StepSpec
    bound: BoundCapability
    undo: Undo

    @classmethod
    def of(cls, key: StepKey, step: StepSpec, bound: BoundCapability) -> _Target:
        return cls(key, step, bound, undo_of(step, bound))

    @property
    def risk(self) -> RiskLevel:
        return effective_risk(self.step, self.bound, self.undo)


class Planner:
    """Plans one run."""

    def __init__(
        self,
        services: Services,
        catalogue: Catalogue,
        blueprint: Blueprint,
        *,
        inputs: Mapping[str, Json],
        principal: Principal,
        environment: str | None,
        execute_captured: bool = False,
    ) -> None:
        self._flags = (EXECUTE_CAPTURED,) if execute_captured else ()
        self._services = services
        self._catalogue = catalogue
        self._blueprint = blueprint
        self._principal = principal
        workflow = blueprint.workflow
        self._workflow = workflow.name if workflow is not None else None
        self._environment = environment or (workflow.environment if workflow is not None else None)
        self._facts = RunFacts(principal, self._workflow, self._environment, mode=blueprint.mode)
        self._context: Mapping[str, object] = {"inputs": inputs, "steps": {}}
        self._inputs = inputs
        self._world: World = services.world.simulate()
        self._world_is_known = True
        self._labels: frozenset[str] = frozenset()
        unbound = Commitment("")
        created = ev.RunCreated(
            mode=blueprint.mode,
            principal=str(principal),
            document=unbound,
            inputs=unbound,
            policy=services.gate.digest,
        )
        self._record = begin(RunId("plan"), created, 0)

    async def plan(self) -> Plan:
        """The whole plan, in the order of the file."""
        steps: list[PlannedStep] = []
        for key, step in self._blueprint.steps.items():
            steps += await self._plan_step(key, step)
        document: dict[str, Any] = {
            "document": sha256(self._blueprint.document).hexdigest(),
            "inputs": dict(self._inputs),
            "policy": self._services.gate.digest,
            "principal": str(self._principal),
            "environment": self._environment,
            "steps": [
                [step.name, step.decision, step.rule, step.preview.base, step.known]
                + ([[one.to_json() for one in step.consequences]] if step.consequences else [])
                for step in steps
            ],
        }
        return Plan(self._workflow, tuple(steps), fingerprint(document), summarise(steps))

    async def _plan_step(self, key: StepKey, step: StepSpec) -> list[PlannedStep]:
        if step.capability is None:
            return [self._approval(step)]
        if step.when is not None and not _depends(step.when.names):
            try:
                if not step.when.holds(self._context):
                    return []
            except AssentError as error:
                return [self._failing(_Target.of(key, step, self._catalogue.find(step.capability)), error)]
        conditional = step.when is not None and _depends(step.when.names)
        if step.foreach is None:
            return [await self._plan_call(key, step, self._context, known=not conditional)]
        if _depends(step.foreach.names):
            return [await self._plan_call(key, step, None, known=False)]
        try:
            items = step.foreach.render(self._context)
        except AssentError as error:
            return [self._failing(_Target.of(key, step, self._catalogue.find(step.capability)), error)]
        planned: list[PlannedStep] = []
        for index, item in enumerate(items if isinstance(items, list) else []):
            context = {**self._context, "item": item, "index": index}
            name = iteration_key(key, index)
            planned.append(await self._plan_call(name, step, context, known=not conditional))
        return planned

    async def _plan_call(
        self, key: StepKey, step: StepSpec, context: Mapping[str, object] | None, *, known: bool
    ) -> PlannedStep:
        assert step.capability is not None  # INVARIANT: `_plan_step` looked
        target = _Target.of(key, step, self._catalogue.find(step.capability))
        planned = await self._plan_target(target, context, known=known)
        self._labels |= target.bound.spec.labels
        return planned

    async def _plan_target(
        self, target: _Target, context: Mapping[str, object] | None, *, known: bool
    ) -> PlannedStep:
        step, has_effect = target.step, target.bound.spec.has_effect
        if context is None or _depends(step.inputs.names):
            self._world_is_known &= not has_effect
            return await self._unknown(target, context)
        try:
            rendered = step.inputs.render(context)
            call = self._received(target)
            self._services.pipeline.validate(call, rendered if isinstance(rendered, dict) else {})
            inputs = call.inputs
            consequences = await self._consequences(target, context, call)
        except AssentError as error:
            return self._failing(target, error)
        decision = self._services.pipeline.authorize(call, self._question(target, inputs))
        preview, error_object = await self._preview(target, call)
        certain = known and preview.known and (self._world_is_known or not has_effect)
        can_be_shown = "preview" in target.bound.parts and preview.known and error_object is None
        if has_effect and not (known and can_be_shown):
            self._world_is_known = False
        planned = self._planned(
            target, decision, preview, known=certain, error=error_object, consequences=consequences
        )
        return msgspec.structs.replace(planned, target=target_of(inputs))

    async def _preview(self, target: _Target, call: Invocation) -> tuple[Preview, dict[str, Json] | None]:
        try:
            preview = await self._services.pipeline.preview(
                call, self._world, timeout_s=None, flags=self._flags
            )
        except AssentError as error:  # the plan shows that the step would fail
            return Preview(changes=False), dict(error.to_dict())
        return preview if preview is not None else Preview(changes=target.bound.spec.has_effect), None

    def _received(self, target: _Target) -> Invocation:
        """The call as it would be received; nobody is told of its beginning."""
        return self._services.pipeline.receive(
            target.bound,
            run=self._record.run,
            step=target.key,
            attempt=0,
            principal=self._principal,
            key=idempotency_key(self._record, target.key),
            world=self._world,
            blobs=self._services.blobs,
            keep_pre_image=target.undo is not Undo.NONE,
            is_silent=True,
        )

    def _question(self, target: _Target, inputs: Mapping[str, Json]) -> PolicyContext:
        now = self._services.clock.now_ms()
        return self._facts.question(target.bound.spec, inputs, target.risk, self._labels, now)

    async def _consequences(
        self, target: _Target, context: Mapping[str, object] | None, call: Invocation | None
    ) -> tuple[Consequence, ...]:
        """What the call may lead to, and what the gate says of that as far as its inputs are known; None: its own are not."""
        known = context if context is not None else self._context
        lead = lead_of(
            target.step,
            target.bound,
            target.undo,
            known,
            self._catalogue,
            pipeline=self._services.pipeline,
            is_open=lambda name: name[0] not in known or name[0] == "steps",
            own={"inputs": call.inputs} if call is not None else {},
        )
        leads: tuple[Lead, ...] = (lead,) if lead is not None else ()
        if (
            lead is None
            and call is not None
            and target.undo is not Undo.NONE
            and target.bound.spec.has_effect
        ):
            leads = await declared(call, target.risk, self._services, self._catalogue)
        labels, now_ms = self._labels | target.bound.spec.labels, self._services.clock.now_ms()
        return tuple(decide(self._services.gate, self._facts, one, labels, now_ms) for one in leads)

    async def _unknown(self, target: _Target, context: Mapping[str, object] | None) -> PlannedStep:
        inputs = target.step.inputs
        open_keys = inputs.keys_with_references()
        literals = {name: value for name, value in inputs.literals().items() if name not in open_keys}
        decision = self._services.gate.foresee(self._question(target, literals), open_keys or "all")
        try:
            consequences = await self._consequences(target, context, None)
        except AssentError as error:
            return self._failing(target, error)
        if (
            decision is not None
            and decision.effect is not PolicyDecision.DENY
            and target.bound.handler.leads_to
        ):
            decision = None  # What it leads to is told by its inputs.
        preview = Preview(changes=target.bound.spec.has_effect)
        planned = self._planned(target, decision, preview, known=False, consequences=consequences)
        return msgspec.structs.replace(planned, target=target_of(literals))

    def _failing(self, target: _Target, error: AssentError) -> PlannedStep:
        self._world_is_known = False
        return self._planned(target, None, Preview(changes=False), known=True, error=dict(error.to_dict()))

    def _planned(
        self,
        target: _Target,
        decision: Decision | None,
        preview: Preview,
        *,
        known: bool,
        error: dict[str, Json] | None = None,
        consequences: tuple[Consequence, ...] = (),
    ) -> PlannedStep:
        spec = target.bound.spec
        decision = together(decision, consequences)
        return PlannedStep(
            name=target.key,
            capability=spec.id,
            version=spec.version,
            operation_type=spec.operation_type.value,
            risk_level=target.risk.value,
            decision=decision.effect.value if decision is not None else UNKNOWN,
            rule=decision.rule if decision is not None else None,
            reason=decision.reason if decision is not None else "",
            approvers=decision.approvers if decision is not None else None,
            undo=target.undo,
            preview=preview,
            known=known,
            error=error,
            consequences=consequences,
        )

    def _approval(self, step: StepSpec) -> PlannedStep:
        assert step.approval is not None  # INVARIANT: a step has a capability or an approval
        return PlannedStep(
            name=step.name,
            capability=APPROVAL_CAPABILITY,
            version="1.0.0",
            operation_type=OperationType.READ.value,
            risk_level=RiskLevel.HIGH.value,
            decision=PolicyDecision.REQUIRE_APPROVAL.value,
            rule="workflow",
            reason=step.approval.reason,
            approvers=step.approval.approvers,
            undo=Undo.NOT_NEEDED,
            preview=Preview(changes=False),
            known=True,
        )


def summarise(steps: list[PlannedStep]) -> dict[str, Json]:
    """Counts by what would happen, what can't be undone or known, and where the plan would stop."""

    def count(*operations: OperationType) -> int:
        return sum(step.operation_type in operations and step.preview.changes for step in steps)

    denied = [step.name for step in steps if step.decision == PolicyDecision.DENY.value]
    asked = [step.name for step in steps if step.decision == PolicyDecision.REQUIRE_APPROVAL.value]
    failing = [step.name for step in steps if step.error is not None]
    stops = next((step.name for step in steps if step.name in denied or step.error is not None), None)
    return {
        "reads": sum(step.operation_type == OperationType.READ.value for step in steps),
        "changes": count(OperationType.WRITE, OperationType.EXECUTE),
        "deletes": count(OperationType.DELETE),
        "external": count(OperationType.NETWORK),
        "approvals": [*asked],
        "denials": [*denied],
        "failures": [*failing],
        "not_undoable": [step.name for step in steps if step.undo is Undo.NONE],
        "unknown": [step.name for step in steps if not step.known or step.decision == UNKNOWN],
        "stops_at": stops,
    }


def _depends(names: frozenset[Name]) -> bool:
    """Whether any of these is an output, which nobody knows before the run."""
    return any(name[0] == "steps" for name in names)
