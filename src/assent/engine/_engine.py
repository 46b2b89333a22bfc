"""The embedded driver: the owning process runs every actor itself, and the journal is what survives it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Final

from assent.engine._actor import RunActor
from assent.engine._admission import approval_digest
from assent.engine._blueprint import Blueprint
from assent.engine._commands import Actor, Command, Recover, RequestUndo
from assent.engine._record import UNDO_STEP, RunRecord, begin, to_take_back
from assent.engine._scope import RunScope
from assent.engine._values import Values, load_json
from assent.engine.ports import Catalogues, Progress, Services
from assent.engine.projection import fold
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import require_unexposed
from assent.policy import PolicyContext
from assent.spec import events as ev
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.decision import Approvers, Decision, PolicyDecision
from assent.spec.ids import Commitment, PlanId, RunId
from assent.spec.policy import UNDO_CAPABILITY
from assent.spec.principal import Principal
from assent.spec.states import Mode

_UNBOUND: Final = Commitment("")


class Engine:
    """Starts, recovers and drives runs in this process; a `Driver`."""

    def __init__(self, services: Services, catalogues: Catalogues, progress: Progress | None = None) -> None:
        self._services = services
        self._catalogues = catalogues
        self._progress = progress
        self._actors: dict[RunId, RunActor] = {}
        # Runs that somebody stopped waiting for, or could not tell anything: nobody else lets go of them.
        self._left: set[RunId] = set()
        self._is_closed = False

    async def start(
        self,
        blueprint: Blueprint,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None = None,
        plan: PlanId | None = None,
    ) -> RunId:
        """Begin a run and let it go on by itself. Nothing is durable yet when this returns; `drive` waits for that."""
        self._require_open()
        for left in [*self._left]:
            actor_left = self._actors.get(left)
            if actor_left is None or self._let_go(left, actor_left):
                self._left.remove(left)
        redactor = self._services.pipeline.redactor
        if redactor.is_active:
            # Nothing of such a run may reach the journal, not even that it was asked for.
            asked: Json = {"document": blueprint.document.decode(), "inputs": dict(inputs)}
            of = blueprint.workflow.name if blueprint.workflow is not None else "the call"
            require_unexposed(redactor, asked, "the inputs", of)
        run = self._services.ids.run_id()
        catalogue = self._catalogues.of_run(run, None)
        workflow = blueprint.workflow
        created = ev.RunCreated(
            workflow=workflow.name if workflow is not None else None,
            workflow_version=workflow.version if workflow is not None else None,
            mode=blueprint.mode,
            principal=str(actor.principal),
            asserted=actor.asserted,
            os_uid=actor.os_uid,
            environment=environment or (workflow.environment if workflow is not None else None),
            document=_UNBOUND,
            inputs=_UNBOUND,
            policy=self._services.gate.digest,
            plan=plan,
            catalogue=catalogue.revision or None,
            pins=catalogue.pins(blueprint.references()),
        )
        record = begin(run, created, self._services.clock.now_ms())
        values = Values(self._services.journal, inputs)
        scope = RunScope(self._services, blueprint, catalogue, values, record, actor.principal)
        running = self.make_actor(scope, durable_n=0)
        running.begin(created, dict(inputs))
        self._actors[run] = running
        running.start()
        return run

    async def deliver(self, run: RunId, command: Command) -> RunRecord:
        """Give a command to a run and wait until its events are durable."""
        actor = self.actor(run)
        try:
            await actor.deliver(command)
        except BaseException:
            self._left.add(run)
            raise
        return actor.record

    async def drive(self, run: RunId) -> RunRecord:
        """Let a run go on until it ends or waits for a person."""
        return (await self.rest(run)).record

    async def rest(self, run: RunId) -> RunActor:
        """The same; the actor, which still knows the run's values. An ended run's actor is let go of."""
        actor = self.actor(run)
        actor.start()
        try:
            await actor.rest()
        except BaseException:
            self._left.add(run)
            raise
        finally:
            self._let_go(run, actor)
        return actor

    def _let_go(self, run: RunId, actor: RunActor) -> bool:
        """Forget a run that has ended, or is broken; false while it is neither."""
        is_over = actor.is_over
        if not is_over and not actor.is_broken:
            return False
        # Somebody may have had the run made anew meanwhile, and that one goes on.
        if self._actors.get(run) is actor:
            del self._actors[run]
        if is_over:
            actor.let_go()
        return True

    def wake(self) -> None:
        """Let every run of this process look again at what it may do: the gate opened."""
        for actor in self._actors.values():
            if actor.has_begun and not actor.is_broken:
                actor.wake()

    async def retry(self, run: RunId) -> RunRecord:
        """Try again what needs a person's attention: ask about steps in doubt, compensate what could not be taken back."""
        return await self.deliver(run, Recover(retry=True))

    async def request_undo(self, run: RunId, actor: Actor, *, partial: bool) -> RunRecord:
        """Ask the gate once for the whole undo and begin it, or ask people first."""
        try:
            running = self.actor(run)
        except WorldError as error:
            if error.code != "PAYLOAD_ERASED":
                raise
            raise RefusedError(
                "UNDO_ERASED",
                f"run `{run}` can't be undone: the data that this needs was erased",
                hint="take its effects back by other means",
            ) from None
        record = running.record
        steps = [record.steps[key] for key in to_take_back(record)]
        risk = max(
            (RiskLevel(step.risk) for step in steps if step.risk),
            key=lambda level: level.rank,
            default=RiskLevel.LOW,
        )
        now = self._services.clock.now_ms()
        decision = self._services.gate.decide(
            PolicyContext(
                principal=actor.principal,
                capability=UNDO_CAPABILITY,
                risk_level=risk,
                operation_type=OperationType.EXECUTE,
                version="1.0.0",
                inputs={"run": run, "partial": partial},
                workflow=record.created.workflow or "",
                environment=record.created.environment or "",
                run_id=run,
                mode=record.mode,
                requester=actor.principal,
                now_ms=now,
            )
        )
        request = ev.UndoRequested(
            by=str(actor.principal),
            asserted=actor.asserted,
            os_uid=actor.os_uid,
            partial=partial,
            decision=decision.effect.value,
            rule=decision.rule,
            policy=decision.policy_digest,
            risk=risk.value,
            code=decision.code,
        )
        approval = None
        if decision.effect is PolicyDecision.REQUIRE_APPROVAL:
            approval = self._undo_approval(running, actor.principal, decision, risk, now)
        await running.deliver(RequestUndo(request, approval))
        return record

    def _undo_approval(
        self, running: RunActor, principal: Principal, decision: Decision, risk: RiskLevel, now_ms: int
    ) -> ev.ApprovalRequested:
        record = running.record
        steps: list[Json] = [str(key) for key in to_take_back(record)]
        inputs = running.bind({"run": record.run, "steps": steps})
        approvers = decision.approvers or Approvers()
        return ev.ApprovalRequested(
            step=UNDO_STEP,
            digest=approval_digest(
                record,
                UNDO_STEP,
                str(principal),
                decision,
                capability=UNDO_CAPABILITY,
                inputs=inputs,
                base=None,
            ),
            capability=UNDO_CAPABILITY,
            version="1.0.0",
            risk=risk.value,
            decision=decision.effect.value,
            rule=decision.rule,
            policy=decision.policy_digest,
            inputs=inputs,
            preview=running.bind(
                {
                    "kind": "text",
                    "diff": "\n".join(f"takes back {step}" for step in steps),
                    "undo": "none",
                    "reason": decision.reason,
                }
            ),
            roles=approvers.roles,
            kinds=approvers.kinds,
            count=approvers.count,
            not_requester=approvers.not_requester,
            requester=str(principal),
            expires_at_ms=now_ms + approvers.expires_ms if approvers.expires_ms is not None else None,
        )

    def actor(self, run: RunId) -> RunActor:
        """The run's actor, made from the journal when this process has none. `RUN_UNKNOWN` when there is no such run."""
        self._require_open()
        known = self._actors.get(run)
        if known is not None and not known.is_broken:
            return known
        record = self.load(run)
        values = Values(self._services.journal, {})
        blueprint = Blueprint.of_document(values.load_object(record.created.document))
        values = Values(self._services.journal, values.load_object(record.created.inputs))
        values.restore(record)
        if record.mode is Mode.SESSION:
            for step in record.steps.values():
                if step.call is not None:
                    call = values.load_object(step.call)
                    parameters = call["parameters"]
                    assert isinstance(parameters, dict)  # INVARIANT: `add_step` binds an object
                    blueprint.add_call(step.key, str(call["capability"]), parameters)
        requester = Principal.parse(record.created.principal)
        requester = Principal(
            requester.type, requester.id, self._services.roles.get(str(requester), frozenset())
        )
        # Not resolved anew: a label that moved since must not change what the rest of the run does.
        catalogue = self._catalogues.of_run(run, record.created.catalogue, record.created.pins)
        scope = RunScope(self._services, blueprint, catalogue, values, record, requester)
        actor = self.make_actor(scope, durable_n=record.n)
        self._actors[run] = actor
        return actor

    def make_actor(self, scope: RunScope, *, durable_n: int) -> RunActor:
        """What drives one run here; a replay has its own."""
        return RunActor(scope, durable_n=durable_n, progress=self._progress)

    def load(self, run: RunId) -> RunRecord:
        """The record that the journal's events make, whether or not the run is under way here."""
        record: RunRecord | None = None
        for leaf in self._services.journal.run_leaves(run):
            record = fold(record, leaf)
        if record is None:
            raise InputError(
                "RUN_UNKNOWN", f"there is no run `{run}`", hint="list what there is with `assent runs`"
            )
        record.dirty.clear()
        return record

    def blueprint(self, record: RunRecord) -> Blueprint | None:
        """What a run was going to do; None when that was erased."""
        known = self._actors.get(record.run)
        if known is not None:
            return known.blueprint
        document = load_json(self._services.journal, record.created.document)
        return Blueprint.of_document(document) if document is not None else None

    def under_way(self) -> list[RunId]:
        """The runs that this process drives, those included of which nothing is durable yet."""
        return [run for run, actor in self._actors.items() if not actor.record.state.is_finished]

    def versions_of(self, run: RunId) -> set[tuple[str, str]]:
        """Every capability with its version that a run has used or, as far as can be told, will use."""
        known = self._actors.get(run)
        record = known.record if known is not None else self.load(run)
        used = {
            (step.capability, step.version)
            for step in record.steps.values()
            if step.capability is not None and step.version is not None
        }
        blueprint = self.blueprint(record)
        if blueprint is None:
            return used
        catalogue = self._catalogues.of_run(run, record.created.catalogue, record.created.pins)
        for reference in blueprint.references():
            # A reference that means nothing uses nothing.
            with suppress(AssentError):
                spec = catalogue.find(reference).spec
                used.add((spec.id, spec.version))
        return used

    async def close(self) -> None:
        """Stop every run where it is; each can be resumed. From now on none begins, and none is told anything."""
        self._is_closed = True
        for actor in list(self._actors.values()):
            await actor.stop()
        self._actors.clear()

    def _require_open(self) -> None:
        if self._is_closed:
            raise InputError(
                "RUNTIME_CLOSED", "the runtime is not open", hint="open it anew, then resume the run"
            )
