"""From a step that may begin to the events that say what comes of it: rendered, validated, gated, asked about, prepared.

The order is fixed and there is no other way in: `when` → inputs → capability → validation → gate → approval → `prepare` →
intent. A denied step is never prepared. After an approval everything is done afresh and must come to the same question, or it is
asked again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import msgspec

from assent.engine.machine._commands import (
    Actor,
    Admit,
    BeginUndo,
    Command,
    Failed,
    RequestUndo,
    SendSignal,
    Succeeded,
)
from assent.engine.ports import Services
from assent.engine.record._record import (
    UNDO_STEP,
    ApprovalRecord,
    RunRecord,
    StepRecord,
    UndoRecord,
    to_take_back,
)
from assent.engine.steps._approvals import approval_digest, approval_request
from assent.engine.steps._consequences import (
    Consequence,
    Lead,
    decide,
    declared,
    lead_of,
    question_of,
    together,
)
from assent.engine.steps._pending_events import PendingEvents
from assent.engine.steps._rehearsal import Rehearsal
from assent.engine.steps._scope import RunScope
from assent.engine.steps._terms import RunFacts, effective_risk, items_of, undo_of, wait_given
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import (
    EXECUTE_CAPTURED,
    BoundCapability,
    Invocation,
    Preview,
    require_unexposed,
)
from assent.policy import PolicyContext
from assent.spec.capability import FLOWS, OperationType, RiskLevel
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.ids import (
    APPROVAL_CAPABILITY,
    UNDO_CAPABILITY,
    Commitment,
    StepKey,
    iteration_of,
    name_of,
)
from assent.spec.states import Effect, StepState, Undo
from assent.spec.words.durations import instant
from assent.spec.words.suggestions import did_you_mean
from assent.spec.workflow.definition import StepSpec, WaitSpec

OF_THE_SESSION: Final = "builtin.session"
"""The rule that lets a run be undone that is a step of a session, with all of that: the gate was asked about the whole."""

_ANSWERS: Final = ("granted", "used")
"""An approval that answers the gate's question; a used one still does for further attempts of the very same call."""

# Asked for each step; see `_record.py` for what a look-up in the class costs.
_DENY: Final = PolicyDecision.DENY
_ALLOW: Final = PolicyDecision.ALLOW
_EXECUTE: Final = OperationType.EXECUTE
_UNKNOWN: Final = Effect.UNKNOWN
_NO_UNDO: Final = Undo.NONE


class Candidate(msgspec.Struct, frozen=True):
    """A step whose call is fully known: what the gate is asked about and what a person would approve."""

    key: StepKey
    step: StepSpec
    call: Invocation
    bound: BoundCapability
    """The capability that is called."""
    inputs: dict[str, Json]
    """What it is called with, validated and complete."""
    kept: dict[str, Json]
    """The same as it is kept."""
    risk: RiskLevel
    undo: Undo
    handed: tuple[Commitment, Json]
    """What the run has bound already that may be the same as the inputs, and what that is."""
    context: Mapping[str, object]
    """What its references name, and those of what takes it back."""
    question: PolicyContext | None = None
    """What the gate was asked, once it was."""

    @property
    def asked_version(self) -> str | None:
        """The version that the caller speaks, where another one serves it."""
        asked = self.bound.asked
        return asked.version if asked is not None else None


class Admission:
    """Admits the steps of one run. `announce` is told of each admission that may take long, before it does."""

    def __init__(self, scope: RunScope, announce: Callable[[StepKey], None]) -> None:
        self._scope = scope
        self._announce = announce
        self._services = scope.services
        self._pipeline = scope.services.pipeline
        self._blueprint = scope.blueprint
        self._catalogue = scope.catalogue
        self._values = scope.values
        self._record = scope.record
        self.facts = scope.facts
        self._labels: frozenset[str] | None = None
        # Whose each label is: of two steps that have it, one is another's, whoever asks.
        self._sources: dict[str, set[StepKey]] = {}
        self._asked_with: frozenset[str] = frozenset()
        self._waiting: dict[StepKey, frozenset[str]] = {}
        self._told: tuple[dict[str, Json], StepKey, Commitment] | None = None

    @property
    def _run_labels(self) -> frozenset[str]:
        """The labels of every call of this run that has begun: what it may have read, and where it may have sent it.

        What the plan that it comes from has read was read before.
        """
        if self._labels is None:
            self._labels = frozenset(self._record.created.labels)
            for step in self._record.steps.values():
                self._add_labels(step.key, self._labels_of(step))
        return self._labels

    def _add_labels(self, key: StepKey, labels: frozenset[str]) -> None:
        if labels:
            self._labels = self._run_labels | labels
            for label in labels:
                of = self._sources.setdefault(label, set())
                if len(of) < 2:  # one of them is another's
                    of.add(key)

    def learn(self, step: StepKey, inner: ev.Inner) -> None:
        """A step has begun a run: what that may have read and sent, this one may have."""
        self._add_labels(step, frozenset(inner.labels))

    def _labels_of(self, step: StepRecord) -> frozenset[str]:
        reference = self._blueprint.step_of(step.key).capability
        if reference is None or (step.attempt == 0 and step.state is not StepState.FAILED):
            return frozenset()
        try:
            own = self._bound(step.key, reference).spec.labels
            return own if step.inner is None else own | frozenset(step.inner.labels)
        except AssentError:  # It was removed since; nobody can say what it did not read.
            return FLOWS

    def labels(self) -> frozenset[str]:
        """The same with those of what has taken steps back since."""
        taken = frozenset[str]()
        for step in self._record.steps.values():
            if step.checked is not None:
                try:
                    taken |= self._catalogue.exact(step.checked.capability, step.checked.version).spec.labels
                except AssentError:
                    taken |= FLOWS  # As above.
        return self._run_labels | taken

    async def admit(self, key: StepKey, outbox: PendingEvents) -> Command:
        """The command that says what comes of the step."""
        step = self._blueprint.step_of(key)
        record = self._record.steps.get(key)
        try:
            self._values.require_told(self._blueprint.reads(key), name_of(key))
            context = await self._values.of_step(self._record, key, lambda: self._items(key, step))
            if step.when is not None and not step.when.holds(context):
                return Admit((ev.StepSkipped(step=key),))
            if step.foreach is not None and iteration_of(key) is None:
                return self._expand(key, step, outbox)
            if step.wait is not None:
                return self._begin_wait(key, step, step.wait, context)
            if step.capability is None:
                return self._ask_only(key, step, record, outbox)
            asked = record.approval if record is not None else None
            if asked is not None and asked.status in _ANSWERS and self._scope.timers.has_expired(asked):
                return Admit((_expired(key, asked),))
            return await self._gate(self._candidate(key, step, context, record, outbox), record, outbox)
        except AssentError as error:
            return Failed(
                step=key,
                attempt=0,
                code=error.code,
                effect=Effect.NONE,
                error=outbox.bind_error(error),
            )

    def still_holds(self, key: StepKey, command: Command) -> bool:
        """Whether what an admission came to, some time after it began, is what it would come to now.

        Its inputs can't change any more: they are of steps that have passed. The policy can, and what the run has read, and an
        approval can have expired.
        """
        asked_with = self._waiting.pop(key)
        if not isinstance(command, Admit):
            return True
        event = command.events[-1]
        gate = self._services.gate
        policy = getattr(event, "policy", gate.digest)
        if policy != gate.digest or not gate.is_open:
            return False
        if not isinstance(event, ev.StepStarted):
            return True
        others = frozenset(label for label, of in self._sources.items() if of != {key})
        if not others <= asked_with:
            if len(command.events) > 1 and isinstance(command.events[-2], ev.ConsequenceDecided):
                return False  # admitted anew, it is asked about all that it may lead to
            call = self._scope.calls[key]
            decision = gate.decide(
                self.facts.question(
                    key,
                    call.bound.spec,
                    call.inputs,
                    RiskLevel(event.risk),
                    labels=asked_with | others,
                    now_ms=self._services.clock.now_ms(),
                )
            )
            if (decision.effect.value, decision.rule) != (event.decision, event.rule):
                return False
        record = self._record.steps.get(key)
        asked = record.approval if record is not None else None
        return event.grant is None or asked is None or not self._scope.timers.has_expired(asked)

    def waits(self, key: StepKey) -> None:
        """The admission that was begun last waits for something: what the gate was told then is remembered."""
        self._waiting[key] = self._asked_with

    def _expand(self, key: StepKey, step: StepSpec, outbox: PendingEvents) -> Admit:
        items = self._items(key, step)
        assert step.foreach is not None  # INVARIANT: the caller looked
        commitment = outbox.bind(self._values.veil(items, step.foreach.render, self._services.entropy.salt))
        self._values.remember(commitment, items)
        return Admit((ev.StepsExpanded(step=key, count=len(items), items=commitment),))

    def _items(self, key: StepKey, step: StepSpec) -> list[Json]:
        assert step.foreach is not None  # INVARIANT: the caller looked
        return items_of(key, step.foreach, self._values.context, self._services.limits.foreach_items)

    def _candidate(
        self,
        key: StepKey,
        step: StepSpec,
        context: Mapping[str, object],
        record: StepRecord | None,
        outbox: PendingEvents,
    ) -> Candidate:
        rendered = step.inputs.render(context)
        assert isinstance(
            rendered, dict
        )  # INVARIANT: a workflow's document writes them as one, and a call has one
        assert step.capability is not None  # INVARIANT: approval steps go another way
        if not step.inputs.names:
            self._values.require_told((), step.capability, rendered)
        bound = self._bound(key, step.capability)
        undo = undo_of(step, bound)
        attempt = (record.attempt if record is not None else 0) + 1
        call = self._scope.receive(bound, key, attempt=attempt, undo=undo, is_retry=attempt > 1)
        self._pipeline.validate(call, rendered)
        kept = bound.unkept.inputs.veiled(call.inputs, self._services.entropy.salt)
        handed = self._handed_over(record, rendered, call, kept, outbox)
        risk = effective_risk(step, bound, undo)
        return Candidate(key, step, call, bound, call.inputs, kept, risk, undo, handed, context)

    def _bound(self, key: StepKey, reference: str) -> BoundCapability:
        """What a step's reference means. Once an attempt or a question is journaled that is settled, also across a crash."""
        record = self._record.steps.get(key)
        if record is None or record.capability is None or record.version is None:
            return self._catalogue.find(reference)
        return self._catalogue.exact(record.capability, record.version, record.asked_version)

    async def _gate(self, candidate: Candidate, record: StepRecord | None, outbox: PendingEvents) -> Command:
        """Once the gate has answered, whatever goes wrong ends the call, and its hooks and callbacks with it."""
        now = self._services.clock.now_ms()
        asked = record.approval if record is not None else None
        labels = self._asked_with = self._run_labels
        # The run has read and sent what its labels say.
        spec, inputs = candidate.bound.spec, candidate.inputs
        question = self.facts.question(candidate.key, spec, inputs, candidate.risk, labels=labels, now_ms=now)
        question = self._pipeline.counted(candidate.call, question)
        decision = self._pipeline.authorize(candidate.call, question)
        candidate = msgspec.structs.replace(candidate, question=question)
        try:
            if decision.effect is _DENY:
                return Admit((*_voided(asked), self._denied(candidate, decision, outbox)))
            consequences = await self._consequences(candidate, labels, now)
            asked_about = await self._on_record(candidate, consequences, record, outbox)
            decision = together(decision, consequences)
            if decision.effect is _DENY:
                await self._pipeline.fail(candidate.call, RefusedError("POLICY_DENIED", decision.reason))
                return Admit((*_voided(asked), *asked_about, self._denied(candidate, decision, outbox)))
            if _may_take_long(candidate.bound):
                self._announce(candidate.key)
            if decision.effect is _ALLOW:
                return await self._prepare(
                    candidate, decision, record, outbox, (*_voided(asked), *asked_about), grant=None
                )
            return await self._with_approval(
                candidate,
                decision,
                record,
                outbox,
                now_ms=now,
                consequences=consequences,
                asked_about=asked_about,
            )
        except AssentError as error:
            raise await self._pipeline.fail(candidate.call, error) from None
        except asyncio.CancelledError as error:
            await self._pipeline.fail(candidate.call, error)
            raise

    async def _consequences(
        self, candidate: Candidate, labels: frozenset[str], now_ms: int
    ) -> tuple[Consequence, ...]:
        """What the call may lead to, and what the gate says of that: the run will have read and sent what the call does."""
        own = name_of(candidate.key)
        lead = lead_of(
            candidate.step,
            candidate.bound,
            candidate.undo,
            candidate.context,
            self._catalogue,
            pipeline=self._pipeline,
            is_open=lambda name: name[0] == "steps" and (len(name) == 1 or name[1] == own),
            own={"inputs": candidate.inputs},
        )
        leads: tuple[Lead, ...] = (lead,) if lead is not None else ()
        if lead is None and candidate.undo is not _NO_UNDO and candidate.bound.spec.has_effect:
            leads = await declared(candidate.call, candidate.risk, self._services, self._catalogue)
        for one in leads:
            one.bound.require_references(one.inputs)
            require_unexposed(self._pipeline.redactor, one.inputs, "the inputs", one.bound.spec.id)
        labels |= candidate.bound.spec.labels
        found: list[Consequence] = []
        for index, one in enumerate(leads):
            question = question_of(self.facts, one, labels, now_ms)
            question = self._pipeline.counted(candidate.call, question, lead=index)
            consequence = decide(self._services.gate, one, question)
            if question.counts and consequence.decision.effect is not _DENY:
                counted = self._pipeline.keep(candidate.call, question)
                consequence = msgspec.structs.replace(consequence, counted=counted)
            found.append(consequence)
        return tuple(found)

    async def _on_record(
        self,
        candidate: Candidate,
        consequences: tuple[Consequence, ...],
        record: StepRecord | None,
        outbox: PendingEvents,
    ) -> tuple[ev.ConsequenceDecided, ...]:
        """The same as it is journaled. What was bound when people were asked is bound by the same commitments again."""
        events: list[ev.ConsequenceDecided] = []
        earlier = record.asked_about if record is not None else ()
        for index, one in enumerate(consequences):
            spec, decision, given = one.lead.bound.spec, one.decision, one.lead.inputs
            if index < len(earlier):
                known = earlier[index].inputs
                inputs = outbox.bind_again(given, (known, await self._values.load(known)))
            else:
                inputs = outbox.bind(given)
            events.append(
                ev.ConsequenceDecided(
                    step=candidate.key,
                    attempt=candidate.call.context.attempt,
                    role=one.lead.role,
                    capability=spec.id,
                    version=spec.version,
                    fingerprint=spec.fingerprint,
                    risk=one.lead.risk.value,
                    decision=decision.effect.value,
                    rule=decision.rule,
                    policy=decision.policy_digest,
                    inputs=inputs,
                    unknown=one.unknown,
                    context=outbox.bind(one.question.told(with_time=self._services.gate.reads_now)),
                    rules=one.rules,
                    counted=one.counted,
                )
            )
        return tuple(events)

    def _denied(self, candidate: Candidate, decision: Decision, outbox: PendingEvents) -> ev.StepDenied:
        spec = candidate.bound.spec
        inputs: Commitment | None = None
        with suppress(InputError):  # What is too long to keep is denied all the same.
            inputs = outbox.bind_again(candidate.inputs, candidate.handed, candidate.kept)
        return ev.StepDenied(
            step=candidate.key,
            capability=spec.id,
            version=spec.version,
            risk=candidate.risk.value,
            decision=decision.effect.value,
            rule=decision.rule,
            policy=decision.policy_digest,
            code=decision.code or "POLICY_DENIED",
            reason=outbox.bind(describe(_unquoted(decision, candidate), candidate)),
            inputs=inputs,
            asked_version=candidate.asked_version,
            context=self._context_of(candidate, outbox),
        )

    def _context_of(self, candidate: Candidate, outbox: PendingEvents) -> Commitment:
        """What the gate was asked with, bound once for calls in a row that it was asked about alike."""
        assert candidate.question is not None  # INVARIANT: an event that the gate had no part in has none
        said = candidate.question.told(with_time=self._services.gate.reads_now)
        if self._told is not None and self._told[0] == said:
            _, key, commitment = self._told
            before = self._record.steps.get(key)
            # What was bound for a step whose intent did not come to be is not kept.
            if before is not None and before.intent is not None and before.intent.context == commitment:
                return commitment
        commitment = outbox.bind(said)
        self._told = said, candidate.key, commitment
        return commitment

    async def _with_approval(
        self,
        candidate: Candidate,
        decision: Decision,
        record: StepRecord | None,
        outbox: PendingEvents,
        *,
        now_ms: int,
        consequences: tuple[Consequence, ...],
        asked_about: tuple[ev.ConsequenceDecided, ...],
    ) -> Command:
        asked = record.approval if record is not None else None
        world = self._services.world.simulate()
        # Who is to approve sees what a program would write, and not its command line alone.
        shown = await self._pipeline.preview(
            candidate.call,
            world,
            timeout_s=timeout_of(candidate.step, candidate.bound, self._services),
            flags=(EXECUTE_CAPTURED,),
        )
        preview = shown if shown is not None else Preview()
        inputs = outbox.bind_again(
            candidate.inputs, await self._bound_before(candidate, record), candidate.kept
        )
        if asked is not None and asked.status in _ANSWERS:
            digest = approval_digest(
                self._record,
                candidate.key,
                str(self.facts.requester),
                decision,
                capability=candidate.bound.spec.fingerprint,
                inputs=inputs,
                base=preview.base,
                asked_about=asked_about,
            )
            if digest == asked.request.digest:
                return await self._prepare(candidate, decision, record, outbox, asked_about, grant=digest)
        spec = candidate.bound.spec
        request = approval_request(
            self._record,
            candidate.key,
            str(self.facts.requester),
            decision,
            outbox,
            capability=spec.id,
            version=spec.version,
            fingerprint=spec.fingerprint,
            risk=candidate.risk.value,
            inputs=inputs,
            preview=preview,
            undo=candidate.undo,
            now_ms=now_ms,
            asked_version=candidate.asked_version,
            context=self._context_of(candidate, outbox),
            consequences=consequences,
            asked_about=asked_about,
        )
        if candidate.kept is not candidate.inputs:
            self._values.asked[candidate.key] = candidate.inputs
        self._pipeline.pause(candidate.call)
        return Admit((*_voided(asked), *asked_about, request))

    def _handed_over(
        self, record: StepRecord | None, rendered: Json, call: Invocation, kept: Json, outbox: PendingEvents
    ) -> tuple[Commitment, Json]:
        """What a call or a session was handed, as the run has bound it; of a workflow, the run's own inputs.

        While that is not durable yet, what the step is called with takes its place, so that it is journaled once. Not where
        another version serves: that one's defaults are not the caller's.
        """
        if call.bound.asked is not None:
            outbox.settle()
        known, earlier = self._values.inputs, record.asked if record is not None else None
        if earlier is None and (self._blueprint.workflow is not None or known != rendered):
            return self._record.created.inputs, known
        completed = outbox.replace_handed(earlier or self._record.created.inputs, kept)
        if completed is None:
            return earlier or self._record.created.inputs, rendered
        if earlier is None:
            self._values.inputs = call.inputs
        return completed, call.inputs

    async def _bound_before(self, candidate: Candidate, record: StepRecord | None) -> tuple[Commitment, Json]:
        """What the run has bound that may be the step's inputs: what was approved, or what was handed over."""
        if record is not None and record.approval is not None and record.approval.status in _ANSWERS:
            approved = record.approval.request.inputs
            return approved, await self._values.load(approved)
        return candidate.handed

    async def _prepare(
        self,
        candidate: Candidate,
        decision: Decision,
        record: StepRecord | None,
        outbox: PendingEvents,
        before: tuple[ev.ApprovalVoided | ev.ConsequenceDecided, ...],
        *,
        grant: str | None,
    ) -> Command:
        call = candidate.call
        # Also its error may tell what it has read.
        self._add_labels(candidate.key, candidate.bound.spec.labels)
        await self._pipeline.allow(call)
        # What an earlier attempt may have left must not become the state that undo restores.
        earlier = record.intent if record is not None and record.effect is _UNKNOWN else None
        timeout_s = timeout_of(candidate.step, candidate.bound, self._services)
        found = await self._pipeline.prepare(call, timeout_s=timeout_s, may_look=earlier is None)
        prepared = earlier.prepared if earlier is not None else None
        if found is not None:
            # The payload names its blobs, so that an auditor can hold the stored references against it.
            kept: dict[str, Json] = {"state": dict(found.state), "blobs": [*found.blobs]}
            prepared = outbox.bind(kept, found.blobs)
            self._values.remember(prepared, kept)
        inputs = outbox.bind_again(
            candidate.inputs, await self._bound_before(candidate, record), candidate.kept
        )
        self._values.remember(inputs, candidate.inputs)
        bound = candidate.bound
        spec, asked = bound.spec, bound.asked
        started = ev.StepStarted(
            step=candidate.key,
            attempt=call.context.attempt,
            capability=spec.id,
            version=spec.version,
            fingerprint=spec.fingerprint,
            handler=bound.handler_fingerprint,
            risk=candidate.risk._value_,
            decision=decision.effect._value_,
            rule=decision.rule,
            policy=decision.policy_digest,
            inputs=inputs,
            prepared=prepared,
            grant=grant,
            undo=candidate.undo,
            asked_version=asked.version if asked is not None else None,
            asked_fingerprint=asked.fingerprint if asked is not None else None,
            context=self._context_of(candidate, outbox),
            counted=call.hold.counted if call.hold is not None else (),
        )
        call.goes_ahead = (
            # What a limit counts is on record before it begins: a process that is killed lets nobody past.
            grant is None
            and call.hold is None
            and bound.leaves_no_trace
            and (call.chain is None or not call.chain.before)
        )
        self._scope.calls[candidate.key] = call
        return Admit((*before, started))

    def _ask_only(
        self, key: StepKey, step: StepSpec, record: StepRecord | None, outbox: PendingEvents
    ) -> Command:
        """An `approval` step: ask, and pass with the answer."""
        asked = record.approval if record is not None else None
        if asked is not None and asked.has_quorum:
            if self._scope.timers.has_expired(asked):
                return Admit((_expired(key, asked),))
            output: Json = {"approved_by": [*asked.granted_by]}
            self._values.put_output(key, output)
            return Succeeded(key, 1, outbox.bind(output), Effect.NONE)
        assert step.approval is not None  # INVARIANT: a step has a capability or an approval
        approvers = step.approval.approvers
        decision = Decision(
            PolicyDecision.REQUIRE_APPROVAL,
            "workflow",
            step.approval.reason,
            self._services.gate.digest,
            approvers,
        )
        request = approval_request(
            self._record,
            key,
            str(self.facts.requester),
            decision,
            outbox,
            capability=APPROVAL_CAPABILITY,
            version="1.0.0",
            fingerprint="",
            risk=RiskLevel.HIGH.value,
            inputs=outbox.bind({}),
            preview=Preview(),
            undo=Undo.NOT_NEEDED,
            now_ms=self._services.clock.now_ms(),
        )
        return Admit((request,))

    def _begin_wait(
        self, key: StepKey, step: StepSpec, wait: WaitSpec, context: Mapping[str, object]
    ) -> Admit:
        """A `wait` step: nothing is called, so that nobody is asked."""
        due_ms = wait.due_ms(wait_given(key, step, wait, context), self._services.clock.now_ms())
        return Admit((ev.WaitStarted(step=key, due_ms=due_ms, signal=wait.signal),))

    def end_wait(self, step: StepRecord, outbox: PendingEvents) -> Command:
        """What a step whose time has come ends with: it has waited, or no signal came in time."""
        assert step.wait is not None  # INVARIANT: it waits
        if step.wait.signal is None:
            self._values.put_output(step.key, None)
            return Succeeded(step.key, 0, outbox.bind(None), Effect.NONE)
        late = WorldError(
            "WAIT_TIMEOUT",
            f"no signal `{step.wait.signal}` came in time for step `{step.key}`",
            path=step.key,
            hint="give it a longer `timeout`, or send the signal sooner",
        )
        return Failed(step.key, 0, late.code, Effect.NONE, outbox.bind_error(late))

    def ask_gate_about_signal(self, wish: SendSignal, outbox: PendingEvents) -> ev.SignalReceived:
        """The gate's answer to a signal, as it is recorded. `SIGNAL_UNKNOWN` where no step of the run is to wait for it."""
        waits = [step.wait for step in self._blueprint.steps.values()]
        names = [wait.signal for wait in waits if wait is not None and wait.signal is not None]
        if wish.signal not in names:
            listed = ", ".join(f"`{name}`" for name in names) or "none"
            raise InputError(
                "SIGNAL_UNKNOWN",
                f"run `{self._record.run}` waits for no signal `{wish.signal[:80]}`",
                hint=did_you_mean(wish.signal, names, otherwise=f"the signals of its workflow: {listed}"),
            )
        record, gate = self._record, self._services.gate
        created = record.created
        require_unexposed(self._pipeline.redactor, wish.value, "what comes with the signal", wish.signal)
        facts = RunFacts(wish.actor.principal, created.workflow, created.environment, record.run, record.mode)
        question = facts.signal_question(wish.signal, self._services.clock.now_ms())
        decision = gate.decide(question)
        is_heard = decision.effect is _ALLOW
        return ev.SignalReceived(
            signal=wish.signal,
            decision=decision.effect.value,
            rule=decision.rule,
            policy=decision.policy_digest,
            code=decision.code,
            payload=outbox.bind(wish.value) if is_heard else None,
            context=outbox.bind(question.told(with_time=gate.reads_now)),
            **wish.actor.who(),
        )

    def ask_gate_about_undo(
        self, actor: Actor, outbox: PendingEvents, *, partial: bool, is_inner: bool = False
    ) -> tuple[Decision, ev.UndoRequested]:
        """The gate's one answer about undoing the whole run, and the same as it is recorded.

        It is not asked about a run that is a step of another, when that one is taken back: it was asked about all of that.
        """
        record, risk = self._record, risk_of_undo(self._record)
        created = record.created
        facts = RunFacts(actor.principal, created.workflow, created.environment, record.run, record.mode)
        gate = self._services.gate
        question = facts.undo_question(risk, self._services.clock.now_ms(), partial=partial)
        if is_inner:
            decision = Decision(
                PolicyDecision.ALLOW, OF_THE_SESSION, "the session is taken back", gate.digest
            )
        else:
            decision = gate.decide(question)
        context = outbox.bind(question.told(with_time=gate.reads_now))
        return decision, ev.UndoRequested(
            partial=partial,
            decision=decision.effect.value,
            rule=decision.rule,
            policy=decision.policy_digest,
            risk=risk.value,
            code=decision.code,
            context=context,
            **actor.who(),
        )

    def request_undo(
        self,
        decision: Decision,
        request: ev.UndoRequested,
        rehearsal: Rehearsal | None,
        outbox: PendingEvents,
    ) -> RequestUndo:
        """What a wish for an undo comes to; `rehearsal` where people are to be asked: what stops it is told before."""
        if rehearsal is None:
            return RequestUndo(request)
        refusal = undo_refusal(rehearsal, outbox)
        if refusal is not None:
            return RequestUndo(request, refusal=refusal)
        record = self._record
        keys: list[Json] = [str(step.key) for step in rehearsal.steps]
        approval = approval_request(
            record,
            UNDO_STEP,
            request.by,
            decision,
            outbox,
            capability=UNDO_CAPABILITY,
            version="1.0.0",
            fingerprint=UNDO_CAPABILITY,
            risk=request.risk,
            inputs=outbox.bind({"run": record.run, "steps": keys}),
            preview=rehearsal.preview,
            undo=Undo.NONE,
            now_ms=self._services.clock.now_ms(),
            context=request.context,
        )
        return RequestUndo(request, approval)

    async def begin_undo(self, undo: UndoRecord, rehearsal: Rehearsal, outbox: PendingEvents) -> BeginUndo:
        """What an undo that nobody has to be asked about any more comes to, as it was rehearsed now.

        Where that is not what was approved, it is asked again. What an earlier release asked showed no world, and binds none.
        """
        refusal = undo_refusal(rehearsal, outbox)
        # Limits may have come into force, or count otherwise, since a step was admitted.
        keeps = tuple(
            ev.Kept(one.key, one.keeps)
            for one in rehearsal.steps
            if one.leads and one.keeps != self._record.steps[one.key].keeps
        )
        if refusal is not None or undo.approval is None:
            return BeginUndo(refusal, keeps=keeps)
        asked, preview = undo.approval.request, rehearsal.preview
        told = Decision(PolicyDecision(asked.decision), asked.rule, "", asked.policy)
        digests = [
            approval_digest(
                self._record,
                UNDO_STEP,
                asked.requester,
                told,
                capability=UNDO_CAPABILITY,
                inputs=asked.inputs,
                base=base,
            )
            for base in (preview.base, None)
        ]
        if asked.digest in digests:
            return BeginUndo(keeps=keeps)
        voided = ev.ApprovalVoided(step=UNDO_STEP, digest=asked.digest, code="APPROVAL_STALE")
        shown = await self._values.load_object(asked.preview)
        limit = asked.expires_at_ms
        left_ms = limit - undo.approval.requested_at_ms if limit is not None else None
        again = msgspec.structs.replace(
            asked,
            digest=digests[0],
            preview=outbox.bind({**shown, "kind": preview.kind, "diff": preview.diff}),
            expires_at_ms=None if left_ms is None else self._services.clock.now_ms() + left_ms,
        )
        return BeginUndo(asked_again=(voided, again))


def risk_of_undo(record: RunRecord) -> RiskLevel:
    """The highest risk of what an undo takes back. What takes a step back may be more dangerous than the step was."""
    steps = [record.steps[key] for key in to_take_back(record)]
    ways_back = [one.risk for step in steps for one in step.consequences]
    inner = [step.inner.risk for step in steps if step.inner is not None]
    levels = (RiskLevel(level) for level in (*(step.risk for step in steps), *ways_back, *inner) if level)
    return max(levels, key=lambda level: level.rank, default=RiskLevel.LOW)


def undo_refusal(rehearsal: Rehearsal, outbox: PendingEvents) -> ev.UndoRefused | None:
    """What stops an undo, as it is recorded; None when nothing does."""
    step = rehearsal.obstacle
    if step is None or step.failure is None:
        return None
    code = "UNDO_ERASED" if step.failure.code == "PAYLOAD_ERASED" else step.failure.code
    return ev.UndoRefused(code=code, step=step.key, error=outbox.bind_error(step.failure))


def _may_take_long(bound: BoundCapability) -> bool:
    """Whether a program may run before the call begins, so that what it writes can be shown and journaled first."""
    return bound.spec.operation_type is _EXECUTE and "prepare" in bound.parts


def timeout_of(step: StepSpec, bound: BoundCapability, services: Services) -> float | None:
    """Seconds that one attempt may take: the step's own limit, else the capability's, else the configured one."""
    if step.timeout_ms is not None:
        return step.timeout_ms / 1000
    return bound.spec.timeout if bound.spec.timeout is not None else services.limits.step_timeout_s


def describe(decision: Decision, candidate: Candidate) -> dict[str, Json]:
    """A denial in full, as it is journaled beside its leaf: also the rule that came nearest to letting the call go."""
    others = [one for one in decision.trace if not one.matched and one.decision is not PolicyDecision.DENY]
    near = min(others, key=lambda one: one.because.count("; "), default=None)
    hint = f"`assent policy explain {candidate.bound.spec.id}` shows every rule that was tried"
    details: dict[str, Json] = {"rule": decision.rule}
    if decision.code == "LIMIT_REACHED":
        near, opens = None, decision.opens_at_ms
        details["opens_at_ms"] = opens
        hint = (
            "ask for less at a time, or wait for other runs to end"
            if opens is None
            else f"try again at {instant(opens)}"
        )
    if decision.allowed is not None:
        near = None
        details |= {"allowed": decision.allowed, "faults": [*decision.faults]}
        hint = "ask again with inputs that fit `allowed`, which the details have"
    if near is not None and decision.code != "AGENT_REFUSED":
        would = "allow it" if near.decision is _ALLOW else "have a person asked"
        hint = f"rule `{near.rule}` would {would}, but {near.because}; {hint}"
    return {
        "code": decision.code or "POLICY_DENIED",
        "message": f"`{candidate.bound.spec.id}` is denied: {decision.reason}",
        "path": candidate.key,
        "hint": hint,
        "details": {
            **details,
            "trace": [
                {
                    "rule": tried.rule,
                    "decision": tried.decision.value,
                    "matched": tried.matched,
                    "because": tried.because,
                }
                for tried in decision.trace
            ],
        },
    }


def _unquoted(decision: Decision, candidate: Candidate) -> Decision:
    """A denial as it may be kept: where inputs are not, what says why it was may quote none of them."""
    if candidate.kept is candidate.inputs:
        return decision
    return msgspec.structs.replace(
        decision, reason=f"rule `{decision.rule}` does not let it go", trace=(), faults=()
    )


def _expired(key: StepKey, asked: ApprovalRecord) -> ev.ApprovalRejected:
    return ev.ApprovalRejected(step=key, digest=asked.request.digest, code="APPROVAL_EXPIRED")


def _voided(asked: ApprovalRecord | None) -> tuple[ev.ApprovalVoided, ...]:
    if asked is None or asked.status not in ("granted", "pending"):
        return ()
    return (ev.ApprovalVoided(step=asked.request.step, digest=asked.request.digest, code="APPROVAL_STALE"),)
