"""Performs what the machine asks for, one step at a time, and reports what came of it as commands.

What an exception says about the world is decided here and nowhere else:

| out of `execute`                          | effect                                             |
|-------------------------------------------|----------------------------------------------------|
| anything, when the capability only reads  | none                                               |
| `NoEffectError`                           | none                                               |
| nothing, but an output its type refuses   | done: the effect happened, its result is unusable  |
| a timeout, any other exception            | unknown: the capability is asked to reconcile       |
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from assent.engine.machine._commands import (
    Accessed,
    Command,
    Compensated,
    Doubted,
    Failed,
    NotCompensated,
    Noted,
    Reconciled,
    Succeeded,
)
from assent.engine.machine._reports import call_ended
from assent.engine.record._record import StepRecord
from assent.engine.record._values import require_same
from assent.engine.steps._admission import timeout_of
from assent.engine.steps._consequences import Lead, declared, denied, lead_of, may_go, policy_of, question_of
from assent.engine.steps._pending_events import PendingEvents
from assent.engine.steps._rehearsal import Rehearsal, RehearsedStep
from assent.engine.steps._retry import retry_at
from assent.engine.steps._scope import RunScope, idempotency_key
from assent.engine.steps._terms import RunFacts
from assent.errors import AssentError, InternalError, Json, RefusedError
from assent.failpoints import FAILPOINTS
from assent.invocation import (
    AnswerNote,
    BoundCapability,
    CallNotBegunError,
    CallPhase,
    CallTimeoutError,
    Invocation,
    NoEffectError,
    RateLimited,
    Reconciliation,
    RequestNote,
    SecretAccess,
    Uses,
    World,
    as_error,
)
from assent.invocation.context.companion import companion_here
from assent.policy import PolicyContext
from assent.spec.capability import RiskLevel
from assent.spec.decision import Decision
from assent.spec.events import kinds as ev
from assent.spec.ids import LABEL, RUN_CAPABILITY, Commitment, StepKey
from assent.spec.policy import Measure
from assent.spec.secret_text import is_secret_name
from assent.spec.states import UNBEGUN, Effect, StepState, Undo, Verdict
from assent.spec.unkept_fields import is_marked

# Asked for each effect; see `_record.py` for what a look-up in the class costs.
_NOT_NEEDED: Final = Undo.NOT_NEEDED
_NONE: Final = Effect.NONE

_UNDOING: Final = "-undo"
"""What the key of an offsetting call ends with: it is another call than the one that it offsets."""


class Effects:
    """Performs the effects of one run."""

    def __init__(
        self,
        scope: RunScope,
        deliver: Callable[[Command], Awaitable[None]],
        bind: Callable[..., Commitment],
        facts: RunFacts,
        labels: Callable[[], frozenset[str]],
    ) -> None:
        """`facts` and `labels` are what the gate is told of the run, as it is told them when a step is admitted."""
        self._scope = scope
        self._deliver = deliver
        self._bind = bind
        self._facts = facts
        self._labels = labels
        self._services = scope.services
        self._pipeline = scope.services.pipeline
        self._blueprint = scope.blueprint
        self._catalogue = scope.catalogue
        self._values = scope.values
        self._record = scope.record
        self._calls: dict[StepKey, Invocation] = {}
        self._let_back: dict[StepKey, tuple[ev.ConsequenceChecked, ...]] = {}
        """What was let go here last that takes a step back."""
        self._sent_back: dict[StepKey, Counter[str]] = {}
        """What that sent beside inputs, by limit, and is not on record yet."""
        self._is_stopped = False

    def cancel(self) -> list[StepKey]:
        """Tell every effect under way to end, which is up to itself; those that have not begun are to be cancelled."""
        for call in self._calls.values():
            call.context.cancel.cancel()
        return [key for key, call in self._calls.items() if not call.has_begun]

    @property
    def is_performing(self) -> bool:
        """A handler is at work."""
        return any(call.is_performing for call in self._calls.values())

    def stop(self) -> list[StepKey]:
        """No effect begins any more; those that have not begun, and are to be cancelled. They begin anew when the run goes on."""
        self._is_stopped = True
        return [key for key, call in self._calls.items() if not call.has_begun]

    def let_go(self) -> None:
        """The run is over: what a call of it still has to say, nobody hears."""
        self._deliver = _refuse

    async def execute(self, step: StepRecord, outbox: PendingEvents) -> Command:
        """Run the journaled intent of a running step."""
        intent = _intent(step)
        call = self._scope.calls.pop(step.key, None)
        bound = self._bound(intent)
        is_alive = self._pipeline.is_alive(call.context.key) if call is not None else self._is_alive(step)
        if bound is None or is_alive:
            if call is not None:
                await self._pipeline.abandon(call)
            why = self._gone(step, intent).code if bound is None else "EFFECT_ALIVE"
            return Doubted(step.key, intent.attempt, why)
        is_run = intent.capability == RUN_CAPABILITY
        # A run takes as long as it takes, and may wait for people.
        timeout_s = None if is_run else timeout_of(self._blueprint.step_of(step.key), bound, self._services)
        if call is None:
            call = self._continued(step, intent, bound, CallPhase.EXECUTING)
            if intent.counted:
                call.hold = self._pipeline.quotas.resumed(
                    self._services.gate.limits, intent.counted, str(self._facts.requester), self._record.run
                )
        call.life.journal = self._journal
        call.life.companion = companion_here()
        self._calls[step.key] = call
        try:
            await self._revive(call, intent)
            prepared = await self._kept(intent.prepared, call)
            self._require_going_on(intent, call)
            FAILPOINTS.hit("effect.before")
            output = await self._pipeline.execute(call, timeout_s=timeout_s, prepared=prepared)
            FAILPOINTS.hit("effect.after")
            attached = call.context.attached
            told, served = self._told(intent, output, outbox, attached)
            kept = await self._kept_of(step, call.bound, intent, told)
            commitment = outbox.bind_told(kept, attached)
            keeps = await self._room_by_now(step, call, told, output)
            await self._pipeline.succeed(call, output)
        except Exception as error:  # noqa: BLE001  # a handler may raise anything; the table above says what it means
            effect = _effect_of(error, bound, has_returned=call.has_returned)
            failure = await self._pipeline.fail(call, error)
            return self._failed(
                step,
                intent,
                failure,
                effect,
                outbox.bind_error(failure, call.context.attached),
                begins_anew=isinstance(error, CallNotBegunError),
                sent=_sent(call, intent),
                begun=call.has_begun,
                inner=await self._inner(step.key) if is_run else None,
            )
        except asyncio.CancelledError as error:
            await self._pipeline.fail(call, error)
            raise
        finally:
            del self._calls[step.key]
            self._values.forget(intent.inputs, intent.prepared)
        self._values.put_unkept(step.key, told, kept)
        effect = _NONE if intent.undo is _NOT_NEEDED else Effect.DONE
        inner = await self._inner(step.key) if is_run else None
        sent = _sent(call, intent)
        return Succeeded(step.key, intent.attempt, commitment, effect, served, sent, keeps, inner)

    async def _inner(self, step: StepKey) -> ev.Inner | None:
        return await self._scope.inner.inner_of(self._record.run, step)

    async def _room_by_now(
        self, step: StepRecord, call: Invocation, told: Json, output: Json
    ) -> tuple[ev.Counted, ...]:
        """What is kept of limits for taking the step back now that its output is known, where bytes are counted; else nothing.

        `told` is the output as the caller's version gives it, `output` as the version that performed it does.
        """
        counted = [one.of for consequence in step.consequences for one in consequence.counted]
        if Measure.BYTES_OUT not in counted:
            return ()
        intent = _intent(step)
        try:
            lead = await self._way_back(step, intent, call.bound, told, output)
            leads = (lead,) if lead is not None else await self._declared(intent, call, output)
        except AssentError:
            return ()  # What fails so now sends nothing later.
        return self._amounts(leads)

    def _told(
        self, intent: ev.StepStarted, output: Json, outbox: PendingEvents, attached: tuple[str, ...]
    ) -> tuple[Json, Commitment | None]:
        """The output as the caller's version gives it, and where that is another version, what the serving one gave."""
        if intent.asked_version is None:
            return output, None
        bound = self._asked(intent)
        kept = bound.unkept.output.veiled(output, self._services.entropy.salt)
        return bound.told(output), outbox.bind_told(kept, attached)

    async def _kept_of(
        self, step: StepRecord, bound: BoundCapability, intent: ev.StepStarted, told: Json
    ) -> Json:
        """An output as it is kept; of a step that reads again, what it was: READ_CHANGED where that is not what it read now."""
        if step.reads_again and step.output is not None:
            kept = await self._values.load(step.output)
            require_same(kept, told, step.key)
        else:
            bound = bound if intent.asked_version is None else self._asked(intent)
            kept = bound.unkept.told.veiled(told, self._services.entropy.salt)
        return kept

    def _asked(self, intent: ev.StepStarted) -> BoundCapability:
        """The capability as its caller sees it."""
        return self._catalogue.exact(intent.capability, intent.version, intent.asked_version)

    def _require_going_on(self, intent: ev.StepStarted, call: Invocation) -> None:
        """Raise `CallNotBegunError` when the run was stopped; when it was called off, the handler is told so at once."""
        if self._is_stopped:
            raise CallNotBegunError.of(intent.capability)
        if self._record.is_called_off:
            call.context.cancel.cancel()

    def _failed(  # what is told of a failure, each by itself
        self,
        step: StepRecord,
        intent: ev.StepStarted,
        failure: AssentError,
        effect: Effect,
        error: Commitment,
        *,
        begins_anew: bool,
        sent: int,
        begun: bool,
        inner: ev.Inner | None,
    ) -> Failed:
        """`begins_anew`: where the run was stopped and not cancelled, the step goes on as if it had not been launched."""
        retry_at_ms = self._not_before(failure, self._retry_at(step, failure.code))
        return Failed(
            step=step.key,
            attempt=intent.attempt,
            code=failure.code,
            effect=effect,
            error=error,
            retry_at_ms=self._services.clock.now_ms() if begins_anew else retry_at_ms,
            is_alive=isinstance(failure, CallTimeoutError) and failure.is_alive,
            sent=sent,
            # Of any other code it goes without saying.
            begun=begun and failure.code in UNBEGUN,
            inner=inner,
        )

    async def reconcile(self, step: StepRecord, outbox: PendingEvents) -> Command:
        """Ask the capability whether the effect of an unsettled attempt happened. A READ had none."""
        intent = _intent(step)
        bound = self._bound(intent)
        if bound is None:
            return Doubted(step.key, intent.attempt, self._gone(step, intent).code)
        if self._is_alive(step):
            return Doubted(step.key, intent.attempt, "EFFECT_ALIVE")
        retry_ms = self._retry_at(step, step.code or "STEP_INTERRUPTED")
        # What it was called with was not all kept: it is made again, and asked about, where it can be.
        is_short = bound.unkept.inputs.some and is_marked(await self._values.load(intent.inputs))
        if is_short:
            retry_ms = self._services.clock.now_ms()
        try:
            answer, attached = await self._ask(step, intent, bound)
            output, served = None, None
            if answer.verdict is Verdict.YES:
                told, served = self._told(intent, answer.output, outbox, attached)
                output = outbox.bind_told(told, attached)
                self._values.put_output(step.key, told)
        except AssentError:
            # The effect is there but its output can't be told any more.
            return Doubted(step.key, intent.attempt, "OUTPUT_UNKNOWN")
        return Reconciled(
            step=step.key,
            attempt=intent.attempt,
            verdict=answer.verdict,
            foreign=answer.foreign,
            may_repeat=bound.spec.idempotent or answer.is_repeatable,
            repeatable=answer.is_repeatable,
            output=output,
            retry_at_ms=retry_ms,
            served=served,
            begins_anew=is_short,
        )

    async def _ask(
        self, step: StepRecord, intent: ev.StepStarted, bound: BoundCapability
    ) -> tuple[Reconciliation, tuple[str, ...]]:
        """What the capability answers, and what it attached to an output that it could tell."""
        if not bound.spec.has_effect:
            return Reconciliation(Verdict.NO), ()
        if "reconcile" not in bound.parts:
            return Reconciliation(Verdict.UNKNOWN), ()
        call = self._continued(step, intent, bound, CallPhase.EXECUTING, is_silent=True)
        try:
            await self._revive(call, intent)
            prepared = await self._kept(intent.prepared, call)
        except AssentError:
            # What the capability would need to tell is not there any more.
            return Reconciliation(Verdict.UNKNOWN), ()
        timeout_s = self._services.limits.step_timeout_s
        answer = await self._pipeline.reconcile(call, timeout_s=timeout_s, prepared=prepared)
        return answer or Reconciliation(Verdict.UNKNOWN), call.context.attached

    async def compensate(self, step: StepRecord, outbox: PendingEvents) -> Command:
        """Take a step's effect back, from what was journaled only."""
        FAILPOINTS.hit("compensate.before")
        if step.compensation_attempt == 1:
            self._sent_back.pop(step.key, None)
        try:
            await self._take_back(step, self._services.world)
        except Exception as error:  # noqa: BLE001  # a handler may raise anything; a person will see it
            failure = as_error(error, _intent(step).capability, self._pipeline.redactor)
            return NotCompensated(
                step=step.key,
                code=failure.code if isinstance(error, AssentError) else "COMPENSATION_FAILED",
                error=outbox.bind_error(failure),
                may_repeat=not isinstance(error, RefusedError) and not self._is_alive(step),
                counted=self._told_back(step),
            )
        FAILPOINTS.hit("compensate.after")
        return Compensated(step.key, self._told_back(step))

    async def rehearse(self, steps: Sequence[StepRecord], *, partial: bool) -> Rehearsal:
        """Try an undo, and look for everything that would stop it, before anything is touched.

        Each compensation that only acts through its world is run on a simulated one, in the order of the undo, so that a later
        step's change to the same file is already taken back when an earlier one is looked at. Of the others it is known that what
        they need is there. Their worlds can't be asked: an earlier step would find a later one's change, not yet taken back, and
        take it for somebody else's.
        """
        world = self._services.world.simulate()
        tried = [*await self.rehearse_in(world, steps, partial=partial)]
        # INVARIANT: nothing comes between this and the beginning of the undo, which keeps the room.
        planned: Uses = Counter()
        tried = [
            one
            if one.failure is not None
            else replace(
                one,
                failure=self._lack_of_room(one.key, one.leads, planned),
                keeps=self._amounts(one.leads),
            )
            for one in tried
        ]
        return Rehearsal(tuple(tried), self._services.difference(world), partial)

    async def rehearse_in(
        self, world: World, steps: Sequence[StepRecord], *, partial: bool
    ) -> tuple[RehearsedStep, ...]:
        """The same in a world that others of a larger undo have been tried in."""
        return tuple([await self._try_to_take_back(step, world, partial=partial) for step in steps])

    async def _try_to_take_back(self, step: StepRecord, world: World, *, partial: bool) -> RehearsedStep:
        intent = _intent(step)
        tried = RehearsedStep(step.key, intent.capability, intent.version, intent.undo)
        lead, leads = None, tuple[Lead, ...]()
        try:
            bound = self._require_way_back(step, intent)
            lead = await self._lead(step, intent, bound)
            if lead is not None:
                leads = (lead,)
                await self._require_allowed(step, lead, *step.consequences[:1] or (None,))
            elif step.inner is not None:
                rehearsal = await self._scope.inner.rehearse_inner(step.inner.run, world, partial=partial)
                obstacle = rehearsal.obstacle
                return replace(
                    tried,
                    steps=rehearsal.steps,
                    failure=obstacle.failure if obstacle is not None else None,
                )
            elif bound.rehearsable:
                await self._take_back(step, world)
            else:
                await self._require_payloads(step, intent)
                call = self._continued(step, intent, bound, CallPhase.COMPENSATING, world=world)
                await self._revive(call, intent)
                leads = await self._require_declared(step, intent, call, await self._served(step, intent))
        except Exception as error:  # noqa: BLE001  # a handler may raise anything; nothing has been touched
            failure = as_error(error, intent.capability, self._pipeline.redactor)
            return replace(tried, lead=lead, failure=failure)
        return replace(tried, lead=lead, leads=leads)

    def _require_way_back(self, step: StepRecord, intent: ev.StepStarted) -> BoundCapability:
        if intent.undo is Undo.NONE:
            raise _nothing_takes_back(step)
        bound = self._bound(intent)
        if bound is None:
            raise self._gone(step, intent)
        return bound

    async def _require_payloads(self, step: StepRecord, intent: ev.StepStarted) -> None:
        """Raise PAYLOAD_ERASED or RECORD_CORRUPT when what a compensation needs is not there."""
        for commitment in (intent.inputs, intent.prepared, step.output, step.served):
            if commitment is not None:
                await self._values.load(commitment)

    async def _take_back(self, step: StepRecord, world: World) -> None:
        intent = _intent(step)
        bound = self._bound(intent)
        if bound is None:
            raise self._gone(step, intent)
        if self._is_alive(step):
            raise RefusedError(
                "EFFECT_ALIVE",
                f"a thread of step `{step.key}` still runs, and nothing is taken back under a living effect",
                hint="wait for it to end, or restart the process, then `assent resume`",
            )
        lead = await self._lead(step, intent, bound)
        if lead is not None:
            await self._run_other(lead, step, intent)
        else:
            call = self._continued(step, intent, bound, CallPhase.COMPENSATING, world=world)
            await self._revive(call, intent)
            prepared, output = await self._kept(intent.prepared, call), await self._served(step, intent)
            try:
                await self._require_declared(step, intent, call, output)
            except AssentError as error:
                raise await self._pipeline.fail(call, error) from None
            timeout_s = self._services.limits.step_timeout_s
            try:
                await self._pipeline.compensate(call, timeout_s=timeout_s, prepared=prepared, output=output)
            finally:
                self._count_sent(step, call, intent.counted)

    async def _lead(self, step: StepRecord, intent: ev.StepStarted, bound: BoundCapability) -> Lead | None:
        """The other capability that takes a step back, and what it is called with; None when its own handler does."""
        output = await self._values.load(step.output) if step.output is not None else None
        lead = await self._way_back(step, intent, bound, output, await self._served(step, intent))
        if lead is None and "compensate" not in bound.parts:
            raise _nothing_takes_back(step)
        return lead

    async def _way_back(
        self, step: StepRecord, intent: ev.StepStarted, bound: BoundCapability, output: Json, served: Json
    ) -> Lead | None:
        """The same of a step with this output; `served`: as the version that performed it gave it."""
        spec = self._blueprint.step_of(step.key)
        if spec.compensation is not None:
            self._values.require_told(spec.compensation.inputs.names, step.key)
        context = await self._values.for_compensation(self._record, step.key, output)
        own = {"inputs": await self._values.load(intent.inputs), "output": served}
        return lead_of(spec, bound, intent.undo, context, self._catalogue, pipeline=self._pipeline, own=own)

    async def _served(self, step: StepRecord, intent: ev.StepStarted) -> Json:
        """What the version that performed a step returned: what takes its effect back can read no other's."""
        commitment = step.output if intent.asked_version is None else step.served
        return await self._values.load(commitment) if commitment is not None else None

    async def _run_other(self, lead: Lead, step: StepRecord, intent: ev.StepStarted) -> None:
        """Take a step back by calling another capability, as any call is made: gated, prepared, on record, then performed.

        What an earlier attempt at it did is asked first. Where nobody can tell, it is done again: as every compensation it must
        be idempotent.
        """
        timeout_s = self._services.limits.step_timeout_s
        earlier, verdict = step.checked, Verdict.NO
        if earlier is not None and "reconcile" in lead.bound.parts:
            asked = self._offsetting(lead, step, intent, is_silent=True)
            kept = await self._kept(earlier.prepared, asked)
            answer = await self._pipeline.reconcile(asked, timeout_s=timeout_s, prepared=kept)
            verdict = answer.verdict if answer is not None else Verdict.UNKNOWN
            if verdict is Verdict.YES:
                return
            if answer is not None and answer.foreign:
                raise RefusedError(
                    "COMPENSATION_CONFLICT",
                    f"what `{lead.bound.spec.id}` would change to take step `{step.key}` back was changed meanwhile",
                    hint="look at it, take the step back by hand, and say so with `assent resolve`",
                )
        call = self._offsetting(lead, step, intent)
        prepared, state = None, None
        try:
            decision = await self._require_allowed(step, lead, *step.consequences[:1] or (None,))
            if earlier is not None and verdict is not Verdict.NO:
                # What may be there already must not be taken for what was there before.
                prepared, state = earlier.prepared, await self._kept(earlier.prepared, call)
            elif (found := await self._pipeline.capture(call, timeout_s=timeout_s)) is not None:
                state = dict(found.state)
                prepared = self._bind({"state": state, "blobs": [*found.blobs]}, found.blobs)
                call.life.blobs = tuple(found.blobs)
            self._require_room(step, lead)
            await self._let_go(step, self._checked(step, lead, decision, prepared=prepared))
        except AssentError as error:
            raise await self._pipeline.fail(call, error) from None
        try:
            await self._pipeline.compensate(call, timeout_s=timeout_s, prepared=state, by_execute=True)
        finally:
            self._count_sent(step, call)

    def _offsetting(
        self, lead: Lead, step: StepRecord, intent: ev.StepStarted, *, is_silent: bool = False
    ) -> Invocation:
        call = self._continued(
            step, intent, lead.bound, CallPhase.COMPENSATING, suffix=_UNDOING, is_silent=is_silent
        )
        self._pipeline.validate(call, lead.inputs)
        return call

    async def _require_declared(
        self, step: StepRecord, intent: ev.StepStarted, call: Invocation, output: Json
    ) -> tuple[Lead, ...]:
        """Hold what a capability's own `compensate` will come to against the policy that was asked beforehand; what that is.

        Of a run that began before anybody was, nothing is on record, and nothing is held against anything: its people saw
        these calls in the inputs of the one that they allowed.
        """
        if not step.consequences and intent.context is None:
            return ()
        leads = await self._declared(intent, call, output)
        if output is None and any(one.unknown for one in leads):
            raise RefusedError(
                "UNDO_IMPOSSIBLE",
                f"the output of step `{step.key}` was lost, and what takes it back needs values of it",
                hint="take the step back by hand, and say so with `assent resolve`",
            )
        foreseen = [(one.role, one.capability) for one in step.consequences]
        if [(one.role, one.bound.spec.id) for one in leads] != foreseen or any(one.unknown for one in leads):
            raise RefusedError(
                "COMPENSATION_DENIED",
                f"`{intent.capability}` would take step `{step.key}` back by what nobody was asked about",
                hint="take the step back by hand, and say so with `assent resolve`",
            )
        decisions = [
            (one, await self._require_allowed(step, one, decided))
            for one, decided in zip(leads, step.consequences, strict=True)
        ]
        if decisions and step.state is StepState.COMPENSATING:
            self._require_room(step, *leads)
            await self._let_go(step, *(self._checked(step, one, decision) for one, decision in decisions))
        return leads

    async def _declared(self, intent: ev.StepStarted, call: Invocation, output: Json) -> tuple[Lead, ...]:
        return await declared(call, RiskLevel(intent.risk), self._services, self._catalogue, output)

    def _require_room(self, step: StepRecord, *leads: Lead) -> None:
        """Hold another try against limits, which is another call than the one for which room was kept: LIMIT_REACHED.

        A process that ended in between had its reasons: what it let go is finished, whatever the limits say.
        """
        is_another = step.key in self._let_back or step.compensation_attempt == 1
        if step.checked is not None and is_another:
            failure = self._lack_of_room(step.key, leads, Counter())
            if failure is not None:
                raise failure

    def _lack_of_room(self, key: StepKey, leads: Sequence[Lead], planned: Uses) -> AssentError | None:
        """Why limits do not let go what takes a step back, and for which no room is kept, after what is `planned`."""
        return self._pipeline.lack_of_room(key, self._questions_of(leads), planned)

    def _amounts(self, leads: Iterable[Lead]) -> tuple[ev.Counted, ...]:
        """What they take of each limit that they are held against."""
        questions = self._questions_of(leads)
        return tuple(one for question in questions for one in self._pipeline.amounts(question))

    def _questions_of(self, leads: Iterable[Lead]) -> list[PolicyContext]:
        """What the gate is asked about them now."""
        now_ms, labels = self._services.clock.now_ms(), self._labels()
        return [question_of(self._facts, one, labels, now_ms) for one in leads]

    async def _let_go(self, step: StepRecord, *checked: ev.ConsequenceChecked) -> None:
        """Put on record what is done next, in the room that was kept for it."""
        self._let_back[step.key] = checked
        await self._deliver(Accessed(checked))
        if (rates := self._pipeline.rates) is not None:
            for one in checked:
                rates.count(one.capability, str(self._facts.requester))

    async def _require_allowed(
        self, step: StepRecord, lead: Lead, decided: ev.ConsequenceDecided | None
    ) -> Decision:
        """What the policy of a step's admission says of the real inputs of what takes it back.

        `RefusedError` COMPENSATION_DENIED when that does not let it go. A run that began before anybody was asked beforehand has
        no such policy: what is in force answers, and only an ALLOW counts.
        """
        # As at admission, where those that nobody knew yet could not be looked at.
        lead.bound.require_references(lead.inputs)
        gate = self._services.gate
        decide = gate.decide if decided is None else await policy_of(self._services, decided.policy)
        (question,) = self._questions_of([lead])
        decision = decide(question)
        if may_go(decision, decided):
            return decision
        refusal = denied(lead, decision)
        if step.state is StepState.COMPENSATING:
            await self._deliver(Accessed((self._checked(step, lead, decision, code=refusal.code),)))
        raise refusal

    def _checked(
        self,
        step: StepRecord,
        lead: Lead,
        decision: Decision,
        *,
        prepared: Commitment | None = None,
        code: str | None = None,
    ) -> ev.ConsequenceChecked:
        return ev.ConsequenceChecked(
            step=step.key,
            attempt=step.attempt,
            role=lead.role,
            capability=lead.bound.spec.id,
            version=lead.bound.spec.version,
            decision=decision.effect.value,
            rule=decision.rule,
            policy=decision.policy_digest,
            inputs=self._bind(lead.inputs),
            prepared=prepared,
            code=code,
            counted=self._count(lead) if code is None else (),
        )

    def _count(self, lead: Lead) -> tuple[ev.Counted, ...]:
        """Count what a call that takes another back takes of limits, none of which holds it up."""
        (question,) = self._questions_of([lead])
        limits = self._services.gate.limits_on(question)
        return self._pipeline.quotas.hold(limits, question).counted if limits else ()

    def _count_sent(self, step: StepRecord, call: Invocation, own: Sequence[ev.Counted] = ()) -> None:
        """Count what a call that takes a step back sent beside inputs, for the calls after it. `own`: of the step's own call."""
        let_go = (one for checked in self._let_back.get(step.key, ()) for one in checked.counted)
        counted = {one.limit: one for one in (*own, *let_go) if one.of == Measure.BYTES_OUT}
        if not call.life.sent or not counted:
            return
        quotas, limits = self._pipeline.quotas, self._services.gate.limits
        who, run = str(self._facts.requester), self._record.run
        quotas.resumed(limits, tuple(counted.values()), who, run).add_sent(call.life.sent)
        self._sent_back.setdefault(step.key, Counter()).update(dict.fromkeys(counted, call.life.sent))

    def _told_back(self, step: StepRecord) -> tuple[ev.Counted, ...]:
        """What that was, as it is put on record with what came of it."""
        sent = self._sent_back.get(step.key, Counter())
        return tuple(ev.Counted(limit, Measure.BYTES_OUT.value, size) for limit, size in sent.items())

    def _is_alive(self, step: StepRecord) -> bool:
        """A thread of an earlier call of this step, or of one that takes it back, has outlived its limit and the grace."""
        key = idempotency_key(self._record, step.key)
        return self._pipeline.is_alive(key) or self._pipeline.is_alive(key + _UNDOING)

    def _bound(self, intent: ev.StepStarted) -> BoundCapability | None:
        """The capability that the intent was made for; None when what is registered now is another one."""
        try:
            bound = self._catalogue.exact(intent.capability, intent.version)
        except AssentError:
            return None
        same = bound.spec.fingerprint == intent.fingerprint and bound.handler_fingerprint == intent.handler
        return bound if same else None

    def _gone(self, step: StepRecord, intent: ev.StepStarted) -> RefusedError:
        """Why `_bound` has none: nothing of that name is registered here, or what is is another one."""
        if not self._catalogue.has(intent.capability):
            return RefusedError(
                "CAPABILITY_ABSENT",
                f"`{intent.capability}`, which performed step `{step.key}`, is not registered here",
                hint="do it in the program that registers it, make it a plugin, or settle the step with `assent resolve`",
            )
        return RefusedError(
            "CAPABILITY_CHANGED",
            f"`{intent.capability}` is not the capability that performed step `{step.key}`",
            hint="install the version that ran, or settle the step with `assent resolve`",
        )

    def _continued(
        self,
        step: StepRecord,
        intent: ev.StepStarted,
        bound: BoundCapability,
        entry: CallPhase,
        *,
        world: World | None = None,
        suffix: str = "",
        is_silent: bool = False,
    ) -> Invocation:
        """A call that goes on from what the journal tells, or takes back what it tells of."""
        is_compensation = entry is CallPhase.COMPENSATING
        call = self._scope.receive(
            bound,
            step.key,
            attempt=intent.attempt,
            # What an offsetting call changes is an end: nobody takes it back, so it keeps no pre-image.
            undo=Undo.NONE if suffix else intent.undo,
            entry=entry,
            world=world,
            suffix=suffix,
            is_retry=is_compensation and step.compensation_attempt > 1,
            # A rehearsal is no compensation that anybody would be told of.
            is_silent=is_silent or (world is not None and world.is_simulated),
        )
        call.life.journal = self._journal
        return call

    async def _journal(self, notes: tuple[SecretAccess | RequestNote | AnswerNote, ...]) -> None:
        """Put accesses to secrets, and requests, on the record; durable when it returns."""
        events = tuple(event for one in notes if (event := self._event_of(one)) is not None)
        if events:
            await self._deliver(Accessed(events))

    def _event_of(self, one: SecretAccess | RequestNote | AnswerNote) -> Noted | None:
        """The event that a note is; None for a name that no secret can have, which is told nobody."""
        step, attempt = StepKey(str(one.ids["step"])), int(str(one.ids["attempt"]))
        match one:
            case RequestNote():
                request = self._bind(dict(one.request))
                return ev.HttpRequested(
                    step=step, attempt=attempt, number=one.number, method=one.method, request=request
                )
            case AnswerNote():
                return ev.HttpAnswered(
                    step=step,
                    attempt=attempt,
                    number=one.number,
                    status=one.status,
                    size=one.size,
                    code=one.code,
                )
            case SecretAccess():
                if not is_secret_name(one.name):
                    return None
                return ev.SecretAccessed(
                    step=step,
                    attempt=attempt,
                    secret=one.name,
                    outcome=one.outcome.value,
                    provider=one.provider if one.provider is None or LABEL.match(one.provider) else "other",
                    binding=one.binding,
                )

    async def _revive(self, call: Invocation, intent: ev.StepStarted) -> None:
        """Give a call that another process, or an earlier moment, began its inputs back."""
        if not call.is_validated:
            self._pipeline.validate(call, await self._values.load_object(intent.inputs))

    async def _kept(self, commitment: Commitment | None, call: Invocation) -> dict[str, Json] | None:
        """What `prepare` captured, as it was journaled; the call knows the blobs that it kept."""
        if commitment is None:
            return None
        kept = await self._values.load_object(commitment)
        state, blobs = kept["state"], kept["blobs"]
        assert isinstance(state, dict)  # INVARIANT: admission binds an object with both
        assert isinstance(blobs, Sequence)
        call.life.blobs = tuple(map(str, blobs))
        return state

    def _not_before(self, failure: AssentError, retry_at_ms: int | None) -> int | None:
        """A retry that a rate limit would refuse again waits until it would not."""
        if retry_at_ms is None or not isinstance(failure, RateLimited):
            return retry_at_ms
        return max(retry_at_ms, self._services.clock.now_ms() + failure.retry_after_ms)

    def _retry_at(self, step: StepRecord, code: str) -> int | None:
        policy = self._blueprint.step_of(step.key).retry
        return retry_at(policy, step.attempt, code, self._services.clock, self._services.entropy)


async def _refuse(command: Command) -> None:
    assert isinstance(command, Accessed)  # INVARIANT: a call has nothing else to say
    raise call_ended(command.events[0].step)


def _effect_of(error: Exception, bound: BoundCapability, *, has_returned: bool) -> Effect:
    """The table above."""
    if not bound.spec.has_effect or (isinstance(error, NoEffectError) and not has_returned):
        return Effect.NONE
    return Effect.DONE if has_returned else Effect.UNKNOWN


def _sent(call: Invocation, intent: ev.StepStarted) -> int:
    """What an attempt sent beside its inputs, where a limit counts it."""
    return call.life.sent if any(one.of == Measure.BYTES_OUT for one in intent.counted) else 0


def _nothing_takes_back(step: StepRecord) -> RefusedError:
    return RefusedError(
        "UNDO_IMPOSSIBLE",
        f"nothing takes step `{step.key}` back",
        path=step.key,
        hint="`--partial` leaves out what can't be taken back",
    )


def _intent(step: StepRecord) -> ev.StepStarted:
    if step.intent is None:
        raise InternalError(
            "ILLEGAL_TRANSITION", f"step `{step.key}` is {StepState(step.state).value} without an intent"
        )
    return step.intent
