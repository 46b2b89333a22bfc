"""What a run would do, found out without doing any of it: the same rendering, validation and gate, on a simulated world.

All previews of a plan share one simulated world, so that a later step is shown on top of what the earlier ones would change. What
depends on an output that nobody knows yet is said to be unknown, and so is every preview after a change that could not be shown.
Of a denied step nothing is shown: what it would change tells of what it may not look at. A read of ours whose output another
step needs is really run, on that world, where the gate allows it (`_plan_reads.py`). How the steps will end, with which outputs,
is not known: what those of `finally` do is shown as if they had passed, and told as unknown.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, Final, Self

import msgspec

from assent.engine.ports import Catalogue, Services
from assent.engine.record._blueprint import Blueprint
from assent.engine.record._record import begin
from assent.engine.steps._consequences import (
    Consequence,
    Lead,
    decide,
    declared,
    lead_of,
    question_of,
    together,
)
from assent.engine.steps._plan_reads import Reads, UnreadError
from assent.engine.steps._scope import idempotency_key
from assent.engine.steps._terms import RunFacts, effective_risk, items_of, undo_of, wait_given
from assent.errors import AssentError, Json
from assent.invocation import EXECUTE_CAPTURED, BoundCapability, Invocation, Preview, Uses, World
from assent.policy import PolicyContext, UnknownInputs
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.decision import Approvers, Decision, PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.ids import APPROVAL_CAPABILITY, Commitment, RunId, StepKey, iteration_key
from assent.spec.language.template import Condition, Name, Template
from assent.spec.principal import Principal
from assent.spec.states import Undo
from assent.spec.targets import target_of
from assent.spec.values.canonical import fingerprint
from assent.spec.workflow.definition import StepSpec, WaitSpec

UNKNOWN = "UNKNOWN"

_UNKNOWN_END: Final = "depends on how the run ends"

WAIT_CAPABILITY: Final = "assent.wait"
"""What a plan calls a `wait` step: it calls no capability."""


class PlannedStep(msgspec.Struct, frozen=True):
    """What is known of one step beforehand. `decision` is UNKNOWN when the gate's answer depends on what is not known yet.

    `because` says why something is not known, where that is more than its capability's affair; `read` is the SHA-256 of what the
    plan has read with it. `in_finally`: it is a step of `finally`.
    """

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
    because: str | None = None
    read: str | None = None
    consequences: tuple[dict[str, Json], ...] = ()
    in_finally: bool = False

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The step that `to_json` told of, by another process of this release."""
        preview = Preview(**data["preview"], changes=data["changes"])
        approvers = data["approvers"] and Approvers(**data["approvers"])
        told = {**data, "preview": preview, "approvers": approvers, "undo": Undo(data["undo"])}
        told |= {"consequences": tuple(data["consequences"]), "in_finally": data.get("in_finally", False)}
        return cls(**{name: told[name] for name in cls.__struct_fields__})

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
            "because": self.because,
            "read": self.read,
            "consequences": [*self.consequences],
            **({"in_finally": True} if self.in_finally else {}),
        }


class Plan(msgspec.Struct, frozen=True):
    """A run that has not happened. `digest` covers everything that must still hold when the plan is run.

    `concurrency`, where it has a key: `key`, `limit`, `on_busy`, and which runs have it now (`held_by`).
    """

    workflow: str | None
    steps: tuple[PlannedStep, ...]
    digest: str
    summary: dict[str, Json] = msgspec.field(default_factory=dict)
    concurrency: dict[str, Json] | None = None

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """The plan that another process of this release told of."""
        steps = tuple(map(PlannedStep.from_json, data["steps"]))
        return cls(data["workflow"], steps, data["digest"], data["summary"], data.get("concurrency"))

    def to_json(self) -> dict[str, Json]:
        """The plan's object, without the id that saving it gives."""
        return {
            "workflow": self.workflow,
            "steps": [step.to_json() for step in self.steps],
            "summary": self.summary,
            "digest": self.digest,
            **({} if self.concurrency is None else {"concurrency": self.concurrency}),
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


class _Asked(msgspec.Struct, frozen=True):
    """What the gate was asked about a step, with the inputs that nobody knew, and what it may lead to; None: these tell that."""

    question: PolicyContext
    unknown: UnknownInputs
    consequences: tuple[Consequence, ...] | None


class Planner:
    """Plans one run."""

    def __init__(
        self,
        services: Services,
        catalogue: Catalogue,
        blueprint: Blueprint,
        reads: Reads,
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
        self._reads = reads
        self._principal = principal
        workflow = blueprint.workflow
        self._workflow = workflow.name if workflow is not None else None
        self._environment = environment or (workflow.environment if workflow is not None else None)
        self._facts = RunFacts(principal, self._workflow, self._environment, mode=blueprint.mode)
        self._steps: dict[str, object] = {}
        self._context: Mapping[str, object] = {"inputs": inputs, "steps": self._steps}
        self._inputs = inputs
        self._needed = _needed([step for step in blueprint.steps.values() if not step.in_finally])
        self._unread: dict[str, str] = {}
        self._outputs: dict[StepKey, Json] = {}
        self._asked: dict[StepKey, _Asked] = {}
        self._ends_at: StepKey | None = None
        self._world: World = services.world.simulate()
        self._world_is_known = True
        self._world_because = "an earlier change is not known"
        self._in_finally = False
        self._labels: frozenset[str] = frozenset()
        self._used: Uses = Counter()
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
        """The whole plan, in the order of the file. `OwnerNeededError` where something is to be read and put on record."""
        found: list[PlannedStep] = []
        for key, step in self._blueprint.steps.items():
            if step.in_finally and not self._in_finally:
                self._turn_to_finally()
            planned = await self._plan_step(key, step)
            found += (
                [msgspec.structs.replace(one, in_finally=True) for one in planned]
                if step.in_finally
                else planned
            )
        steps = [self._asked_again(step) for step in found]
        document: dict[str, Any] = {
            "document": sha256(self._blueprint.document).hexdigest(),
            "inputs": dict(self._inputs),
            "policy": self._services.gate.digest,
            "principal": str(self._principal),
            "environment": self._environment,
            "steps": [
                [step.name, step.decision, step.rule, step.preview.base, step.known]
                + ([[*step.consequences]] if step.consequences else [])
                for step in steps
            ],
        }
        if read := [[step.name, step.read] for step in steps if step.read is not None]:
            document["reads"] = read
        return Plan(self._workflow, tuple(steps), fingerprint(document), summarise(steps))

    def _turn_to_finally(self) -> None:
        """From here on nothing is known that depends on how the steps end."""
        self._in_finally = True
        self._steps.clear()
        self._world_is_known = False
        self._world_because = _UNKNOWN_END

    def _asked_again(self, step: PlannedStep) -> PlannedStep:
        """The step as the gate answers in a run of this plan, for which all has been read before its first step."""
        key = StepKey(step.name)
        asked = self._asked.get(key)
        if asked is None or self._reads.labels <= asked.question.run_labels:
            return step
        labels = asked.question.run_labels | self._reads.labels
        question = msgspec.structs.replace(asked.question, run_labels=labels)
        gate = self._services.gate
        consequences = tuple(
            decide(gate, one.lead, msgspec.structs.replace(one.question, run_labels=labels | question.labels))
            for one in asked.consequences or ()
        )
        decision = together(self._foreseen(msgspec.structs.replace(asked, question=question)), consequences)
        preview = Preview(changes=step.preview.changes) if _is_denied(decision) else step.preview
        return msgspec.structs.replace(
            step, **_decided(decision), consequences=_told(consequences), preview=preview
        )

    def _foreseen(self, asked: _Asked) -> Decision | None:
        """What the gate says of a call of unknown inputs; None too where they tell what else it is to be asked about."""
        decision = self._services.gate.foresee(asked.question, asked.unknown)
        is_open = (
            asked.consequences is None and decision is not None and decision.effect is not PolicyDecision.DENY
        )
        return None if is_open else decision

    def _decided_about(
        self, leads: Sequence[Lead] | None, question: PolicyContext
    ) -> tuple[Consequence, ...]:
        """What the gate says of what a call may lead to that it is asked about itself."""
        pipeline, labels = self._services.pipeline, question.run_labels | question.labels
        found: list[Consequence] = []
        own: Uses = Counter()
        pipeline.foresee(question, own)
        for lead in leads or ():
            asked = question_of(self._facts, lead, labels, question.now_ms)
            asked = pipeline.foreseen(asked, self._used + own, own=own)
            found.append(decide(self._services.gate, lead, asked))
            pipeline.foresee(asked, own)
        return tuple(found)

    async def _plan_step(self, key: StepKey, step: StepSpec) -> list[PlannedStep]:
        if step.wait is not None:
            return self._wait(step, step.wait)
        if step.capability is None:
            return [self._approval(step)]
        because: str | None = None
        try:
            if step.when is not None:
                because = self._open(step.when.names)
                if because is None and not step.when.holds(self._context):
                    self._put(key, None)
                    return []
            if step.foreach is None:
                return [await self._plan_call(key, step, self._context, because)]
            if (why := self._open(step.foreach.names)) is not None:
                return [await self._plan_call(key, step, None, why)]
            items = items_of(key, step.foreach, self._context, self._services.limits.foreach_items)
        except AssentError as error:
            return [self._failing(_Target.of(key, step, self._catalogue.find(step.capability)), error)]
        planned: list[PlannedStep] = []
        for index, item in enumerate(items):
            context = {**self._context, "item": item, "index": index}
            planned.append(await self._plan_call(iteration_key(key, index), step, context, because))
        if all(iteration_key(key, index) in self._outputs for index in range(len(items))):
            self._put(key, [self._outputs[iteration_key(key, index)] for index in range(len(items))])
        return planned

    async def _plan_call(
        self, key: StepKey, step: StepSpec, context: Mapping[str, object] | None, because: str | None
    ) -> PlannedStep:
        """`because`: why it is not known whether, or with what, the call is made."""
        assert step.capability is not None  # INVARIANT: `_plan_step` looked
        target = _Target.of(key, step, self._catalogue.find(step.capability))
        planned = await self._plan_target(target, context, because)
        self._labels |= target.bound.spec.labels
        if self._ends_at is None and (planned.error or planned.decision == PolicyDecision.DENY.value):
            self._ends_at = key
        return planned

    async def _plan_target(
        self, target: _Target, context: Mapping[str, object] | None, because: str | None
    ) -> PlannedStep:
        step, has_effect = target.step, target.bound.spec.has_effect
        because = because or self._open(step.inputs.names)
        if context is None or self._open(step.inputs.names) is not None:
            self._world_is_known &= not has_effect
            return await self._unknown(target, context, because)
        try:
            rendered = step.inputs.render(context)
            call = self._received(target)
            self._services.pipeline.validate(call, rendered if isinstance(rendered, dict) else {})
            inputs = call.inputs
            leads = await self._leads(target, context, call)
        except AssentError as error:
            return self._failing(target, error)
        question = self._services.pipeline.foreseen(self._question(target, inputs), self._used)
        consequences = self._decided_about(leads, question)
        self._asked[target.key] = _Asked(question, (), consequences)
        decision = self._services.pipeline.authorize(call, question)
        self._foresee_use(question, consequences, together(decision, consequences))
        is_denied = _is_denied(together(decision, consequences))
        preview, error_object = (
            (Preview(changes=has_effect), None) if is_denied else await self._preview(target, call)
        )
        if because is None and has_effect and not self._world_is_known:
            because = self._world_because
        read: str | None = None
        if step.name in self._needed and target.bound.in_plans and because is None and error_object is None:
            try:
                read = await self._read(target, call, question, decision)
            except UnreadError as unread:
                because = self._unread[step.name] = f"not read: {unread}"
            except AssentError as error:
                error_object = dict(error.to_dict())
        can_be_shown = (
            "preview" in target.bound.parts and not is_denied and preview.known and error_object is None
        )
        known = because is None and preview.known
        if has_effect and not (known and can_be_shown):
            self._world_is_known = False
        planned = self._planned(
            target, decision, preview, known=known, error=error_object, consequences=consequences
        )
        return msgspec.structs.replace(planned, target=target_of(inputs), because=because, read=read)

    def _foresee_use(
        self, question: PolicyContext, consequences: Iterable[Consequence], decision: Decision | None
    ) -> None:
        """What the call would take of limits the later ones do not find; one that may be denied yet counts as well."""
        if not _is_denied(decision):
            for one in (question, *(consequence.question for consequence in consequences)):
                self._services.pipeline.foresee(one, self._used)

    async def _read(
        self, target: _Target, call: Invocation, question: PolicyContext, decision: Decision
    ) -> str:
        """Run a call that only reads, and remember its output; the output's SHA-256. `UnreadError` where it may not be run."""
        if decision.effect is not PolicyDecision.ALLOW:
            what = "denies it" if decision.effect is PolicyDecision.DENY else "wants an approval first"
            raise UnreadError(f"the policy {what}")
        if self._ends_at is not None:
            raise UnreadError(f"the run would end at `{self._ends_at}`")
        if not self._world_is_known:
            raise UnreadError(self._world_because)
        found = await self._reads.run(call, question, decision)
        self._outputs[target.key] = found.output
        if target.step.foreach is None:
            self._put(target.key, found.output)
        return found.digest

    def _put(self, key: StepKey, output: Json) -> None:
        self._steps[key] = {"output": output}

    def _open(self, names: frozenset[Name]) -> str | None:
        """Why what these name is not known: the first step of which there is no output, and why there is none."""
        for name in sorted(names):
            if name[0] == "run":
                return _UNKNOWN_END
            step = name[1] if len(name) > 1 else ""
            if name[0] == "steps" and step not in self._steps:
                why = self._unread.get(step)
                return f"depends on `{'.'.join(name[:2])}`" + (f" ({why})" if why is not None else "")
        return None

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
        spec, labels = target.bound.spec, self._labels
        return self._facts.question(target.key, spec, inputs, target.risk, labels=labels, now_ms=now)

    async def _leads(
        self, target: _Target, context: Mapping[str, object] | None, call: Invocation | None
    ) -> tuple[Lead, ...] | None:
        """What a call may lead to, as far as that is known. Without `call` its own inputs are not; None where only they tell."""
        known = context if context is not None else self._context
        lead = lead_of(
            target.step,
            target.bound,
            target.undo,
            known,
            self._catalogue,
            pipeline=self._services.pipeline,
            is_open=lambda name: name[0] not in known or self._open(frozenset({name})) is not None,
            own={"inputs": call.inputs} if call is not None else {},
        )
        if lead is not None:
            return (lead,)
        if (
            target.undo is Undo.NONE
            or not target.bound.spec.has_effect
            or target.bound.handler.leads_to is None
        ):
            return ()
        return None if call is None else await declared(call, target.risk, self._services, self._catalogue)

    async def _unknown(
        self, target: _Target, context: Mapping[str, object] | None, because: str | None
    ) -> PlannedStep:
        inputs = target.step.inputs
        open_keys = inputs.keys_with_references()
        literals = {name: value for name, value in inputs.literals().items() if name not in open_keys}
        question, unknown = self._question(target, literals), open_keys or "all"
        question = self._services.pipeline.foreseen(question, self._used)
        try:
            leads = await self._leads(target, context, None)
        except AssentError as error:
            return self._failing(target, error)
        consequences = self._decided_about(leads, question)
        asked = _Asked(question, unknown, consequences if leads is not None else None)
        self._asked[target.key] = asked
        decision = self._foreseen(asked)
        self._foresee_use(question, consequences, together(decision, consequences))
        preview = Preview(changes=target.bound.spec.has_effect)
        planned = self._planned(target, decision, preview, known=False, consequences=consequences)
        return msgspec.structs.replace(planned, target=target_of(literals), because=because)

    def _failing(self, target: _Target, error: AssentError) -> PlannedStep:
        self._world_is_known = False
        self._ends_at = self._ends_at or target.key
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
            **_decided(decision),
            undo=target.undo,
            preview=preview,
            known=known,
            error=error,
            consequences=_told(consequences),
        )

    def _wait(self, step: StepSpec, wait: WaitSpec) -> list[PlannedStep]:
        """Nobody is asked about it. What comes with a signal is not known; what only waits has no output."""
        key, error = StepKey(step.name), None
        because = self._open(step.inputs.names | (step.when.names if step.when is not None else frozenset()))
        target = wait.signal
        if because is None:
            try:
                if step.when is not None and not step.when.holds(self._context):
                    self._put(key, None)
                    return []
                given = wait_given(key, step, wait, self._context)
                target = target or str(given)
                if wait.signal is None:
                    self._put(key, None)
            except AssentError as fault:
                error = dict(fault.to_dict())
                self._ends_at = self._ends_at or key
        planned = PlannedStep(
            name=step.name,
            capability=WAIT_CAPABILITY,
            version="1.0.0",
            operation_type=OperationType.READ.value,
            risk_level=RiskLevel.LOW.value,
            decision=PolicyDecision.ALLOW.value,
            rule="workflow",
            reason="it only waits",
            approvers=None,
            undo=Undo.NOT_NEEDED,
            preview=Preview(changes=False),
            known=because is None,
            target=f"{wait.kind} {target}" if target is not None else None,
            error=error,
            because=because,
        )
        return [planned]

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
    stops = next(
        (
            step.name
            for step in steps
            if not step.in_finally and (step.name in denied or step.error is not None)
        ),
        None,
    )
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


def _is_denied(decision: Decision | None) -> bool:
    return decision is not None and decision.effect is PolicyDecision.DENY


def _decided(decision: Decision | None) -> dict[str, Any]:
    """What is told of the gate's answer, as fields of a step."""
    if decision is None:
        return {"decision": UNKNOWN, "rule": None, "reason": "", "approvers": None}
    return {
        "decision": decision.effect.value,
        "rule": decision.rule,
        "reason": decision.reason,
        "approvers": decision.approvers,
    }


def _told(consequences: Iterable[Consequence]) -> tuple[dict[str, Json], ...]:
    return tuple(one.to_json() for one in consequences)


def _needed(steps: Collection[StepSpec]) -> frozenset[str]:
    """The steps whose outputs others refer to."""
    names = [name for step in steps for part in _referring(step) for name in part.names]
    return frozenset(name[1] for name in names if name[0] == "steps" and len(name) > 1)


def _referring(step: StepSpec) -> Iterator[Template | Condition]:
    way_back = step.compensation.inputs if step.compensation is not None else None
    yield from (part for part in (step.inputs, step.when, step.foreach, way_back) if part is not None)
