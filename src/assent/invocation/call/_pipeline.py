"""The one way of a call, stage by stage. Whoever makes a call, from whichever door or step, goes through here.

    receive → validate → authorize → allow (`before` hooks) → prepare → execute (`after` hooks) → succeed
       any stage may end in `fail` (`catch` hooks); both ends run the `finally` hooks, then the cleanups

The stages are separate calls, because the engine makes things durable between them: the decision and the intent after `prepare`,
the outcome after `execute`. A stage out of order is refused by the table of phases. A call that nobody attached anything to
pays for none of this: without hooks, callbacks and listeners each stage is what it does and a look at a flag.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine, Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeVar

import msgspec

from assent.errors import AssentError, InputError, Json, RefusedError
from assent.invocation.app.application import GlobalContext
from assent.invocation.app.metrics import Metrics
from assent.invocation.call._ending import Ending, enter
from assent.invocation.call._hook_runs import Chain, HookRunner, Round, Standing
from assent.invocation.call._invocation import Invocation, as_error, redacted
from assent.invocation.call._invoker import CallNotBegunError, Invoker
from assent.invocation.call._lifecycle_events import Around, Teller
from assent.invocation.call.exposure import require_unexposed
from assent.invocation.call.limits import NOTHING, Place, Quotas, RateLimiter, Uses, amounts
from assent.invocation.call.ports import Gate
from assent.invocation.context._hook_records import HookLevel
from assent.invocation.context.local import BlobStore, CallLife, LocalContext, World
from assent.invocation.context.phases import CallPhase, require_entry
from assent.invocation.context.telling import Watched, listener_here
from assent.invocation.describe.handler import LeadsTo, NoEffectError, Prepared, Preview, Reconciliation
from assent.invocation.hooks.hook import Hook, HookedCall, Hooks
from assent.invocation.hooks.lifecycle import Lifecycle, Stage, Subject
from assent.secrets.access import Secrets
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.ids import RunId, StepKey
from assent.spec.ports import FineClock, Ids
from assent.spec.principal import Principal
from assent.spec.states import Verdict

if TYPE_CHECKING:
    from assent.invocation.app._bounded import Spawn
    from assent.invocation.call._bound import BoundCapability
    from assent.policy import PolicyContext
    from assent.spec.events.kinds import Counted
    from assent.spec.spelled_fields import Spellings

P = TypeVar("P", bound="Pipeline")

# Looked up in its class, a member of an enum costs as much as the event that it goes into.
_RECEIVED: Final = CallPhase.RECEIVED
_VALIDATED: Final = CallPhase.VALIDATED
_AUTHORIZED: Final = CallPhase.AUTHORIZED
_PREPARED: Final = CallPhase.PREPARED
_EXECUTING: Final = CallPhase.EXECUTING
_COMPENSATING: Final = CallPhase.COMPENSATING
_SUCCEEDED: Final = CallPhase.SUCCEEDED
_DENY: Final = PolicyDecision.DENY
_VALIDATION: Final = Subject.VALIDATION
_COMPENSATION: Final = Subject.COMPENSATION
_POLICY: Final = Subject.POLICY
_END: Final = Stage.END
_VERDICTS: Final = tuple(Verdict)


class Pipeline:
    """Takes calls through their stages. One for each runtime; it keeps nothing of a call that has ended."""

    def __init__(
        self,
        invoker: Invoker,
        gate: Gate,
        *,
        clock: FineClock,
        ids: Ids,
        hooks: Hooks | None = None,
        lifecycle: Lifecycle | None = None,
        metrics: Metrics | None = None,
        app: GlobalContext | None = None,
        secrets: Secrets | None = None,
        rates: RateLimiter | None = None,
        spellings: Spellings = MappingProxyType({}),
        spawn: Spawn | None = None,
    ) -> None:
        """`spellings`: the normal forms of paths and URLs, into which inputs are brought before the gate is asked."""
        self.hooks: Final = hooks if hooks is not None else Hooks(HookLevel.GLOBAL)
        self.lifecycle: Final = lifecycle if lifecycle is not None else Lifecycle()
        self.metrics: Final = metrics if metrics is not None else Metrics()
        self.rates: Final = rates if rates is not None and rates.limits else None
        self.quotas = Quotas(clock)
        self._invoker = invoker
        self._gate = gate
        self._clock = clock
        self._now_us: Final = clock.monotonic_us
        self._request_id: Final = ids.request_id
        self._teller = Teller(self.lifecycle, clock)
        self._runner = HookRunner(invoker, clock, self.lifecycle)
        self._ending = Ending(invoker, self._runner, self._teller)
        self._ids = ids
        self._app, self._secrets, self._spellings = app, secrets, spellings
        self._spawn = spawn
        self._around = Around(self._teller, app, secrets, spawn)
        self.redactor: Final = self._around.redactor
        self._chains: dict[tuple[Hook, ...], Chain] = {}
        self._chained_for: tuple[Hook, ...] = ()

    def apart(self, kind: type[P]) -> P:
        """A pipeline of this kind that is this one in all but its limits: for calls that have no effect."""
        return kind(
            self._invoker,
            self._gate,
            clock=self._clock,
            ids=self._ids,
            hooks=self.hooks,
            lifecycle=self.lifecycle,
            metrics=self.metrics,
            app=self._app,
            secrets=self._secrets,
            spellings=self._spellings,
            spawn=self._spawn,
        )

    def receive(
        self,
        bound: BoundCapability,
        *,
        run: RunId,
        step: StepKey,
        attempt: int,
        principal: Principal,
        key: str,
        world: World,
        blobs: BlobStore,
        keep_pre_image: bool = True,
        local: tuple[Hook, ...] = (),
        entry: CallPhase = CallPhase.RECEIVED,
        is_retry: bool = False,
        is_silent: bool = False,
    ) -> Invocation:
        """A call at its beginning. `entry`: what the journal tells of goes on from there; `local`: hooks of this call alone.

        A silent one (of a plan, a preview, a question about an effect) has no beginning and no end that anybody is told of.
        """
        life = CallLife()
        life.bound = bound
        if is_retry:
            life.is_retry = True
        if entry is not _RECEIVED:
            require_entry(entry)
            life.phase = entry
            life.settles = is_silent or entry is _COMPENSATING
        spec = bound.spec
        if spec.secrets:
            life.granted = spec.secrets
        if bound.reach is not None:
            life.reach = bound.reach
        listener = listener_here()
        if listener is not None:
            life.watched = Watched(listener, self._clock)
        context = LocalContext(
            run=run,
            step=step,
            attempt=attempt,
            principal=principal,
            key=key,
            world=world,
            blobs=blobs,
            keep_pre_image=keep_pre_image,
            request_id=self._request_id(),
            capability=spec.id,
            version=spec.version,
            life=life,
            around=self._around,
        )
        call = Invocation(bound, context, life, self._now_us())
        if entry is _COMPENSATING:
            call.subject = _COMPENSATION
        if local:
            call.local = local
        if is_silent:
            call.is_silent = True
        elif self.lifecycle.is_heard:
            self._teller.tell(call, call.subject, Stage.START)
            if is_retry:
                self._teller.tell(call, call.subject, Stage.RETRY)
        return call

    def validate(self, call: Invocation, inputs: Mapping[str, Json]) -> None:
        """Check the inputs; afterwards the call has its parameters. INVALID_INPUT lists every fault and ends the call.

        Paths and URLs come into their normal form, or are refused: PATH_ESCAPES, PATH_INVALID, URL_INVALID. Inputs that the
        journal gave back are checked like any others, and stay as they were decided on.
        """
        heard = self.lifecycle.is_heard
        started = self._teller.begin(call, _VALIDATION, "input") if heard else 0
        try:
            if call.life.phase is not _RECEIVED:
                call.parameters, call.inputs = call.bound.parse(inputs)
            else:
                call.parameters, call.inputs = call.bound.take(inputs, self._spellings)
                call.bound.require_references(call.inputs)
                # What the journal gives back was looked at when it came, and must be taken back whatever is known by now.
                require_unexposed(self.redactor, call.inputs, "the inputs", call.context.capability)
        except (InputError, NoEffectError) as error:
            self.metrics.validation("input", passed=False)
            if heard:
                self._teller.tell(
                    call, _VALIDATION, Stage.ERROR, name="input", started_us=started, code=error.code
                )
            self._end(call, CallPhase.FAILED, "failed", error.code)
            raise
        call.is_validated = True
        self.metrics.validation("input", passed=True)
        if heard:
            self._teller.tell(call, _VALIDATION, _END, name="input", started_us=started)
        if call.life.phase is _RECEIVED:
            enter(call, _VALIDATED)

    def complete(
        self, bound: BoundCapability, inputs: Mapping[str, Json], unknown: Collection[str] = ()
    ) -> dict[str, Json]:
        """Inputs as the gate is told of them: valid, complete and spelled in one way, of a call that nobody makes yet.

        With `unknown` names they are not held against the schema, and the others are completed and spelled. Raises as `validate`.
        """
        if not unknown:
            return bound.take(inputs, self._spellings)[1]
        return bound.take_part(inputs, unknown, self._spellings)

    def counted(self, call: Invocation, question: PolicyContext, lead: int | None = None) -> PolicyContext:
        """The question as `authorize` takes it: with what was used of the limits that it is held against, if any.

        `lead`: it is about another call, to which this one may lead, and which it is of them.
        """
        del lead  # of a replay the record tells
        limits = self._gate.limits_on(question)
        if not limits:
            return question
        own = call.hold.uses if call.hold is not None else NOTHING
        return self.quotas.counted(limits, question, own=own, place=_place_of(call))

    def foreseen(
        self, question: PolicyContext, planned: Uses = NOTHING, *, own: Uses = NOTHING
    ) -> PolicyContext:
        """The same of a call that nobody makes yet. `planned`: what comes before it; `own` of that: what it comes with."""
        limits = self._gate.limits_on(question)
        return self.quotas.counted(limits, question, planned, own=own) if limits else question

    def foresee(self, question: PolicyContext, planned: Uses) -> None:
        """The call of a plan would be made: what comes after it in the plan finds so much less."""
        if question.counts:
            self.quotas.foresee(self._gate.limits_on(question), question, planned)

    def hold(self, call: Invocation, question: PolicyContext) -> None:
        """The call takes its place under the limits. It is given back when the call ends without having begun."""
        call.hold = self.quotas.hold(self._gate.limits_on(question), question, _place_of(call))

    def keep(self, call: Invocation, question: PolicyContext) -> tuple[Counted, ...]:
        """Keep a place for another call, to which this one may lead, as long as this one holds its own: what of each limit.

        Once the call begins, the room is kept by what stands on record.
        """
        if call.hold is None:
            call.hold = self.quotas.hold((), question, _place_of(call))
        return call.hold.keep(self._gate.limits_on(question), question)

    def amounts(self, question: PolicyContext) -> tuple[Counted, ...]:
        """What a call takes of each limit that it is held against."""
        return amounts(self._gate.limits_on(question), question)

    def lack_of_room(
        self, step: str, questions: Iterable[PolicyContext], planned: Uses
    ) -> AssentError | None:
        """Why calls that take a step back do not fit under limits after what is `planned`, to which they are added."""
        del step  # of a replay the record tells
        for question in questions:
            asked = self.foreseen(question, planned, own=planned)
            decision = self._gate.decide(asked)
            if decision.code == "LIMIT_REACHED":
                return RefusedError(
                    decision.code,
                    f"`{question.capability}`, which takes it back, is held up: {decision.reason}",
                    hint="try again when there is room, or raise the limit",
                    details={"rule": decision.rule, "opens_at_ms": decision.opens_at_ms},
                )
            self.foresee(asked, planned)
        return None

    def authorize(self, call: Invocation, question: PolicyContext) -> Decision:
        """The gate's decision. A denial ends the call; what needs approval waits for `allow`, or for `pause`.

        Nothing may come between `counted` and this: until then, what is left of a limit is anybody's.
        """
        heard = self.lifecycle.is_heard
        started = self._teller.begin(call, _POLICY) if heard else 0
        decision = self._gate.decide(question)
        self.metrics.decision(decision.effect._value_)
        denied = decision.effect is _DENY
        code = decision.code or "POLICY_DENIED" if denied else None
        if heard:
            stage = Stage.ERROR if denied else _END
            self._teller.tell(call, _POLICY, stage, name=decision.effect.value, started_us=started, code=code)
        if denied:
            self._end(call, CallPhase.FAILED, "denied", code)
        elif question.counts and not call.is_silent:
            self.hold(call, question)
        return decision

    def pause(self, call: Invocation) -> None:
        """A person is asked. Everything is done afresh after the answer, so this call is over."""
        self._end(call, None, "waiting", None)

    async def allow(self, call: Invocation) -> None:
        """The gate's answer stands, or a person's grant with it: the call is authorized and the `before` hooks may refuse it."""
        enter(call, _AUTHORIZED)
        chain = self._chain(call)
        if chain is not None and chain.before:
            waits = self._ask_hooks(call, chain.before, HookedCall(call.context, call.inputs))
            if waits is not None:
                await waits

    async def prepare(
        self, call: Invocation, *, timeout_s: float | None, may_look: bool = True
    ) -> Prepared | None:
        """What `prepare` captured of the world; None when the handler has no such part.

        `may_look` false: an earlier attempt may have changed the world, and what it had captured is kept.
        """
        found = await self.capture(call, timeout_s=timeout_s) if may_look else None
        enter(call, _PREPARED)
        return found

    async def capture(self, call: Invocation, *, timeout_s: float | None) -> Prepared | None:
        """The same of a call that takes another's effect back, which stays what it is."""
        part = call.bound.handler.prepare
        if part is None:
            return None
        try:
            answer = await self._invoker.invoke(part, call.context, call.parameters, timeout_s=timeout_s)
            assert isinstance(answer, Prepared)  # the contract suite holds handlers to it
        except Exception as error:  # a handler may raise anything; nothing has happened yet
            raise as_error(error, call.context.capability, self.redactor) from error
        require_unexposed(
            self.redactor, dict(answer.state), "what its undo would need", call.context.capability
        )
        return answer

    async def execute(
        self, call: Invocation, *, timeout_s: float | None, prepared: Mapping[str, Json] | None
    ) -> Json:
        """Perform the effect: its output, valid and as JSON. RATE_LIMITED, INVALID_OUTPUT and the handler's own pass through.

        `Invocation.has_returned` tells afterwards whether the handler came to its end: then the effect is done, whatever follows.
        Cancelled while it waits for its turn, the call fails with `CallNotBegunError`: nothing of it has happened.
        """
        life = call.life
        if life.phase is not _EXECUTING:
            enter(call, _EXECUTING)
            chain = call.chain
        else:
            chain = self._chain(call)
        life.prepared = prepared
        # Here, and not before the intent: this is what has an effect, and a refusal is an attempt that a `retry` may repeat.
        if self.rates is not None:
            self.rates.admit(call.context.capability, str(call.context.principal))
        try:
            returned = await self._invoker.invoke(
                call.bound.handler.execute,
                call.context,
                call.parameters,
                timeout_s=timeout_s,
                at=_Performance(call, timeout_s, self._clock),
            )
        except asyncio.CancelledError:
            if call.has_begun:
                raise
            raise CallNotBegunError.of(call.context.capability) from None
        call.has_returned = True
        output = self._checked(call, returned)
        if chain is not None and chain.after:
            waits = self._ask_hooks(call, chain.after, HookedCall(call.context, call.inputs, output=output))
            if waits is not None:
                await waits
        return output

    def _checked(self, call: Invocation, returned: object) -> Json:
        """What a handler returned, or said it had returned, as valid JSON; INVALID_OUTPUT."""
        heard = self.lifecycle.is_heard
        started = self._teller.begin(call, _VALIDATION, "output") if heard else 0
        try:
            # INVARIANT: nobody behind the handler, the journal and later steps included, sees a secret that it returned.
            output = self.redactor.output(call.bound.result(returned))
        except InputError as error:
            self.metrics.validation("output", passed=False)
            if heard:
                self._teller.tell(
                    call, _VALIDATION, Stage.ERROR, name="output", started_us=started, code=error.code
                )
            raise
        self.metrics.validation("output", passed=True)
        if heard:
            self._teller.tell(call, _VALIDATION, _END, name="output", started_us=started)
        return output

    async def succeed(self, call: Invocation, output: Json = None) -> None:
        """The effect is done and its output is good. Nothing that still runs can change that."""
        enter(call, _SUCCEEDED)
        if call.life.callbacks is not None or (call.chain is not None and call.chain.finally_):
            try:
                await self._ending.finish(call, output=output, error=None)
            finally:
                self._end(call, None, "succeeded", None)
        else:
            self._end(call, None, "succeeded", None)

    async def fail(self, call: Invocation, error: BaseException) -> AssentError:
        """The call ends with an error: `catch` hooks, callbacks, `finally` hooks, cleanups. The error, as it is to be recorded.

        Of a cancellation nobody is told but `finally` hooks and cleanups: what became of the effect is not known yet.
        """
        failure = redacted(as_error(error, call.context.capability, self.redactor), self.redactor)
        if call.life.is_over:
            return failure  # a stage that ends calls by itself said so already
        if failure.code == "HANDLER_FAILED":
            # The record keeps what failed; where it did is for the log of whoever wrote the handler.
            call.context.logger.error("the handler failed", exc_info=failure.__cause__)
        enter(call, CallPhase.FAILED)
        try:
            if call.chain is not None or call.life.callbacks is not None:
                failure = await self._ending.finish(call, output=None, error=error) or failure
        finally:
            self._end(call, None, "failed", failure.code)
        return failure

    async def abandon(self, call: Invocation) -> None:
        """A call that was prepared is not going to be executed: the run stopped."""
        await self.fail(call, asyncio.CancelledError())

    async def preview(
        self, call: Invocation, world: World, *, timeout_s: float | None, flags: Collection[str] = ()
    ) -> Preview | None:
        """What a validated call would change, on a simulated world; None when the handler can't tell.

        The part gets a context of its own, with these flags, so that nothing of the rehearsal shows in the call.
        """
        part = call.bound.handler.preview
        if part is None:
            return None
        shown = self._aside(call, world)
        if flags:
            shown.context.flags.update(flags)
        try:
            answer = await self._invoker.invoke(part, shown.context, call.parameters, timeout_s=timeout_s)
            assert isinstance(answer, Preview)  # the contract suite holds handlers to it
        except Exception as error:  # a handler may raise anything; nothing has happened
            raise as_error(error, call.context.capability, self.redactor) from error
        finally:
            await self._ending.clean_up(shown)
        if not self.redactor.is_active:
            return answer
        return msgspec.structs.replace(answer, diff=self.redactor.text(answer.diff))

    async def leads_to(
        self, call: Invocation, *, timeout_s: float | None, output: Json = None
    ) -> Sequence[LeadsTo]:
        """What taking a validated call back will come to, by its own declaration; `output`: what it gave, once that is known.

        The part gets a context of its own, of a call that has not begun: it can send nothing, and changes nothing.
        """
        part = call.bound.handler.leads_to
        if part is None:
            return ()
        asked = self._aside(call, call.context.world.simulate())
        asked.life.output = output
        try:
            answer = await self._invoker.invoke(part, asked.context, call.parameters, timeout_s=timeout_s)
            return LeadsTo.all_of(answer, call.context.capability)
        except Exception as error:  # a handler may raise anything; nothing has happened
            raise as_error(error, call.context.capability, self.redactor) from error
        finally:
            await self._ending.clean_up(asked)

    def _aside(self, call: Invocation, world: World) -> Invocation:
        """The same call in a world that is not the real one, of which nobody is told."""
        real = call.context
        return self.receive(
            call.bound,
            run=real.run,
            step=real.step,
            attempt=0,
            principal=real.principal,
            key=real.key,
            world=world,
            blobs=real.blobs,
            keep_pre_image=real.keep_pre_image,
            is_silent=True,
        )

    async def reconcile(
        self, call: Invocation, *, timeout_s: float | None, prepared: Mapping[str, Json] | None
    ) -> Reconciliation | None:
        """What the capability says about an unsettled effect; None when it can't be asked, or fails.

        An output that it tells of is checked like any other (INVALID_OUTPUT). No hooks: the attempt that is asked about had its
        own, and their process may have died long ago.
        """
        part = call.bound.handler.reconcile
        call.life.prepared = prepared
        answer: Any = None
        try:
            if part is not None:
                answer = await self._invoker.invoke(part, call.context, call.parameters, timeout_s=timeout_s)
        except Exception:  # noqa: BLE001  # a capability that can't tell has told us nothing
            return None
        finally:
            await self._ending.clean_up(call)
        if not isinstance(answer, Reconciliation) or answer.verdict not in _VERDICTS:
            return None
        if answer.verdict is not Verdict.YES:
            return answer
        return msgspec.structs.replace(answer, output=self._checked(call, answer.output))

    async def compensate(
        self,
        call: Invocation,
        *,
        timeout_s: float | None,
        prepared: Mapping[str, Json] | None = None,
        output: Json = None,
        by_execute: bool = False,
    ) -> None:
        """Take an effect back with the handler's `compensate`, or (`by_execute`) by an offsetting call of another capability.

        Neither gated nor hooked: what takes a step back was asked about when that was admitted, and is held against the same
        policy by whoever calls this.
        """
        handler = call.bound.handler
        part = handler.execute if by_execute else handler.compensate
        assert part is not None  # the engine looked
        call.life.prepared, call.life.output = prepared, output
        try:
            await self._invoker.invoke(part, call.context, call.parameters, timeout_s=timeout_s)
        except BaseException as error:
            await self.fail(call, error)
            raise
        await self.succeed(call)

    def is_alive(self, key: str) -> bool:
        """A thread of a call with this idempotency key has not ended, in spite of its limit and the grace after it."""
        return self._invoker.is_alive(key)

    def _chain(self, call: Invocation) -> Chain | None:
        """The call's hooks, or None. Remembered for each capability until a global hook comes or goes."""
        everybody, own, local = self.hooks.all, call.bound.handler.hooks, call.local
        if not everybody and not own and not local:
            return None
        if local:
            call.chain = Chain.of(everybody, own, local, self.metrics)
            return call.chain
        if self._chained_for is not everybody:
            self._chains.clear()
            self._chained_for = everybody
        chain = self._chains.get(own)
        if chain is None:
            chain = self._chains[own] = Chain.of(everybody, own, (), self.metrics)
        call.chain = chain
        return chain

    def _ask_hooks(
        self, call: Invocation, hooks: tuple[Standing, ...], seen: HookedCall
    ) -> Coroutine[Any, Any, None] | None:
        """Ask hooks whether the call may go on. None when all agreed at once, else what is to be awaited and raises a refusal."""
        now = Round(seen, self._teller.names(call) if self.lifecycle.is_heard else None)
        rest = self._runner.run_until_refused(hooks, now)
        if rest is not None:
            return self._answered(call, rest, now)
        call.life.hooks_run += tuple(now.records)
        return None

    async def _answered(
        self, call: Invocation, rest: Coroutine[Any, Any, AssentError | None], now: Round
    ) -> None:
        try:
            refusal = await rest
        finally:
            call.life.hooks_run += tuple(now.records)
        if refusal is not None:
            raise refusal

    def _end(self, call: Invocation, phase: CallPhase | None, outcome: str, code: str | None) -> None:
        if phase is not None:
            enter(call, phase)
        call.life.is_over = True
        if call.hold is not None:
            if not call.has_begun:
                call.hold.release()
            elif call.life.sent:
                call.hold.add_sent(call.life.sent)
        if call.is_silent:
            return
        duration = self._now_us() - call.started_us
        if call.subject is _COMPENSATION:
            outcome = "compensated" if code is None else "compensation_failed"
        self.metrics.call(call.context.capability, outcome, duration, code)
        if self.lifecycle.is_heard:
            stage = _END if code is None else Stage.ERROR
            self._teller.tell(call, call.subject, stage, name=outcome, started_us=call.started_us, code=code)


def _place_of(call: Invocation) -> Place:
    context = call.context
    return Place(context.run, context.step, context.attempt)


class _Performance:
    """Notes on a call that its handler begins, in whichever thread, and that it has ended; in between its time runs."""

    __slots__ = ("_call", "_clock", "_timeout_s")

    def __init__(self, call: Invocation, timeout_s: float | None, clock: FineClock) -> None:
        self._call = call
        self._timeout_s = timeout_s
        self._clock = clock

    def begin(self) -> None:
        life = self._call.life
        life.started_ms = self._clock.now_ms()
        if self._timeout_s is not None:
            life.deadline_ms = life.started_ms + round(self._timeout_s * 1000)
        self._call.has_begun = self._call.is_performing = True

    def end(self) -> None:
        self._call.is_performing = False
