"""One run under way: takes commands one at a time, lets the machine decide, makes it durable, and has effects performed.

The record in memory runs ahead of the journal by what stands in the outbox. Two rules keep that safe: no effect begins and nobody
is answered before everything decided so far is durable. So the outcome of one step and the decision and intent of the next share
one commit. What is no effect (`BoundCapability.leaves_no_trace`) begins at once, and what was decided with it becomes durable
with what comes next, or while it works: a crash in between leaves a run that has yet to read, and a failed append drops what was
read.

What waits is never waited for here: effects, and admissions that came to wait (`_preparations.py`), are tasks of their own, and
what comes of them is a message like any other. An admission counts when its message is taken, if it still holds by then.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, Task, TimerHandle
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from msgspec.structs import replace

from assent.engine.drive._preparations import AdmissionWaitsError, Admitted, Preparations, ended
from assent.engine.machine._commands import (
    Abort,
    Actor,
    AddStep,
    Admit,
    Approve,
    AskUndo,
    Cancel,
    Command,
    Compensating,
    EndFinally,
    Expire,
    Failed,
    Finish,
    Receive,
    Recover,
    Reject,
    Resolve,
    SendSignal,
    Succeeded,
    TimeOut,
    Wish,
)
from assent.engine.machine._conclusions import conclude
from assent.engine.machine._interventions import (
    is_undoable,
    require_hearing,
    require_undoable,
    signal_refusal,
)
from assent.engine.machine._machine import advance, can_begin_undo, next_compensation, step_task
from assent.engine.record._readiness import PASSABLE, Readiness, iterations
from assent.engine.record._record import (
    RUN_TIMEOUT,
    SETTLED,
    UNDO_STEP,
    Phase,
    RunRecord,
    StepRecord,
    kept_for,
    to_take_back,
)
from assent.engine.record._record import Task as Work
from assent.engine.steps._admission import Admission, risk_of_undo
from assent.engine.steps._effects import Effects
from assent.engine.steps._pending_events import PendingEvents
from assent.engine.steps._rehearsal import Rehearsal, RehearsedStep, UndoPlan
from assent.engine.steps._scope import RunScope
from assent.engine.steps._terms import RunFacts
from assent.engine.waiting._inbox import Inbox
from assent.engine.waiting._turns import INSIDE, Turns
from assent.engine.waiting._waiters import Callers, settle
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import Hook, Place, Rest, Share, World, require_unexposed
from assent.invocation.context.companion import Companion, accompanied, companion_here
from assent.invocation.context.telling import Listener, listener_here, telling
from assent.spec.decision import PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.ids import (
    CALL_STEP,
    RUN_CAPABILITY,
    Commitment,
    StepKey,
    iteration_of,
    name_of,
    session_step,
    step_of_request,
)
from assent.spec.language.template import Name
from assent.spec.states import Effect, Mode, Resolution, RunState, StepState, Undo
from assent.spec.words.durations import write_duration
from assent.spec.workflow.inputs import kept as kept_inputs

Message: TypeAlias = "tuple[Wish | Admitted | BaseException | None, Future[None] | None]"
"""What the run is told, and who waits until that is durable. None: only that it has to look again."""

# Asked for each step several times; see `_record.py` for what a look-up in the class costs.
_RUNNING: Final = StepState.RUNNING
_IN_DOUBT: Final = StepState.IN_DOUBT
_ASKS: Final = RunState.NEEDS_ATTENTION
_SKIPPED: Final = StepState.SKIPPED
_WORKFLOW: Final = Mode.WORKFLOW
_EXECUTE: Final = Work.EXECUTE

AHEAD_S: Final = 0.005
"""How often it is looked whether a step that went ahead is at work: then it is put on record, within twice this."""

AHEAD_LOOKS_MAX: Final = 20
"""After so many looks all is put on record, whatever the steps wait for: a thread, or a loop that has much to do."""


class RunActor:
    """Drives one run. Everything on it happens in one event loop; `deliver` may be called from any task of it."""

    def __init__(
        self,
        scope: RunScope,
        *,
        durable_n: int,
        may_begin: Callable[[], bool] = lambda: True,
        on_drive: Callable[[], None] = lambda: None,
        on_pause: Callable[[RunActor], None] = lambda _: None,
    ) -> None:
        """`on_drive` is told when it begins to be driven, `on_pause` when nothing moves, or nobody waits for it any more.

        `may_begin`: whether the run has its concurrency key, without which no step may begin.
        """
        self.record = scope.record
        self.blueprint = scope.blueprint
        self.values = scope.values
        self._scope = scope
        self._services = scope.services
        self._inbox: Inbox[Message] = Inbox()
        self._look_again = partial(self._inbox.put, (None, None))
        self._hears: dict[StepKey, Listener] = {}
        self._heard_by = partial(_heard_by, self._hears)  # no method, which would keep this one alive
        self._preparing = Preparations(scope, self._look_again, self._heard_by)
        self._admission = Admission(scope, self._preparing.announce)
        self._outbox = PendingEvents(scope.services, scope.record, durable_n)
        self._effects = Effects(
            scope, self._hear, self._outbox.bind, self._admission.facts, self._admission.labels
        )
        self._readiness = Readiness(scope.blueprint.dependencies, scope.record, scope.blueprint.finally_steps)
        self._busy: dict[StepKey, Task[None]] = {}
        self._parked: set[StepKey] = set()
        self._companions: dict[StepKey, Companion] = {}
        self._touched: dict[StepKey, None] = dict.fromkeys(scope.record.steps)
        self._waiting: dict[StepKey, None] = {}
        # A run that begins while the gate is shut is denied; one under way when it shuts pauses.
        self._was_gate_open = durable_n > 0 or scope.services.gate.is_open
        self._is_interrupted = durable_n > 0 and (
            _was_interrupted(scope.record) or bool(self._to_read_again())
        )
        self._launches: list[tuple[StepKey, Coroutine[Any, Any, Command]]] = []
        self._ahead: TimerHandle | None = None
        self._is_overdue = False
        self._timers = scope.timers
        self._timed: set[StepKey] = set()
        self._retries: dict[StepKey, None] = {}
        self._recording: Task[None] | None = None
        self._driving: Task[None] | None = None
        self._begun = asyncio.Event()
        self._may_begin = may_begin
        self._on_drive = on_drive
        self._on_pause = on_pause
        self._awaited = 0
        self._added = 0
        self._adding: dict[str, StepKey] = {}
        self._callers = Callers()
        self._failure: BaseException | None = None
        self.is_heard = False
        """Somebody was told of what broke the run."""
        self._is_stopped = False
        share = Share(str(scope.requester), scope.record.run)
        # Of a run that a step of another began: that step has given its place back, also where its handler is what drives this.
        is_counted = not INSIDE.get() or step_of_request(scope.record.created.request) is not None
        self._forward = Turns(scope.bound.forward, share, self._look_again, is_counted=is_counted)
        self._settling = Turns(scope.bound.settling, share, self._look_again, is_counted=is_counted)

    @property
    def is_broken(self) -> bool:
        """Something stopped the run that is no outcome of its steps (a full disk, a bug); the journal says where it stands."""
        return self._failure is not None and not self.is_driven

    @property
    def is_on_record(self) -> bool:
        """The journal knows of the run."""
        return self._outbox.is_on_record

    @property
    def facts(self) -> RunFacts:
        """What the gate is told of the run."""
        return self._scope.facts

    @property
    def failure(self) -> BaseException | None:
        """What broke it."""
        return self._failure

    @property
    def is_over(self) -> bool:
        """The run has ended, and nothing of it moves any more."""
        return self.record.state.is_finished and not self.is_at_work and not self.is_driven

    @property
    def is_idle(self) -> bool:
        """Nothing moves, nobody waits for that to change, and the journal tells all of it, as it does not of a call's hooks."""
        is_moving = self.is_driven or self.is_at_work or self._recording is not None
        return not (is_moving or self._awaited or self.blueprint.hooks or self._knows_unkept)

    @property
    def _knows_unkept(self) -> bool:
        """What follows, or people who are asked, may need texts that the journal does not tell."""
        if self.record.mode is _WORKFLOW and self.values.holds_unkept and not self.record.state.is_finished:
            return True
        return any(key in self.values.asked for key in self.record.awaiting)

    @property
    def told(self) -> tuple[str, Mapping[str, Json]]:
        """Whose run this is, and what it was told that is not all kept."""
        return self.record.created.principal, self.values.unkept

    @property
    def is_paused(self) -> bool:
        """The run would go on if the policy could be read."""
        return self.record.mode is _WORKFLOW and not self.record.state.is_finished and self._is_shut

    @property
    def is_driven(self) -> bool:
        """A task of its own drives it."""
        return self._driving is not None and not self._driving.done()

    @property
    def has_begun(self) -> bool:
        """The run has been driven by this process."""
        return self._driving is not None

    @property
    def is_at_work(self) -> bool:
        """Anything of a step is under way, or about to be; of a run that has ended, preparations that are being stopped."""
        return bool(self._busy or self._launches or self._preparing.tasks)

    def begin(
        self, created: ev.RunCreated, inputs: dict[str, Json], key: str | None = None, told: Json = None
    ) -> ev.RunCreated:
        """The first event of a new run, with its payloads bound; it becomes durable with whatever follows at once.

        `key`: its concurrency key, and `told` what the gate was asked with about that.
        """
        event = replace(
            created,
            document=self._outbox.bind_bytes(self.blueprint.document),
            inputs=self._bind_inputs(inputs),
            concurrency=self._outbox.bind(key) if key is not None else None,
            context=self._outbox.bind(told) if told is not None else None,
        )
        if told is not None and event.context is not None and event.key_denial is not None:
            self.values.remember(event.context, told)
        self.record.created = event
        self.record.started_at_ms = self.record.updated_at_ms = self._outbox.stamp()
        self._outbox.add([event])
        return event

    def _bind_inputs(self, inputs: dict[str, Json]) -> Commitment:
        """Keep what the run is begun with, without the texts that its workflow, or what is called, says are not kept."""
        workflow = self.blueprint.workflow
        if workflow is None:
            call = self.blueprint.steps.get(CALL_STEP)
            return self._outbox.hand_over(self._veiled(inputs, call.capability if call is not None else None))
        kept = dict(kept_inputs(workflow.inputs, inputs, self._services.entropy.salt))
        if kept != inputs:
            self.values.keep_inputs(kept)
        return self._outbox.bind(kept)

    def _veiled(self, parameters: Json, capability: str | None) -> Json:
        """What is called with, without the texts that are not kept. Who calls what there is not has said nothing about them."""
        with suppress(AssentError):
            fields = self._scope.catalogue.find(capability or "").unkept.handed
            parameters = fields.veiled(parameters, self._services.entropy.salt)
        return parameters

    def bind(self, value: Json) -> Commitment:
        """Keep a payload for a command that is about to be delivered; its commitment."""
        value = self._services.pipeline.redactor.json(value)
        commitment = self._outbox.bind(value)
        self.values.remember(commitment, value)
        return commitment

    def hand_over(self, parameters: Json, step: StepKey) -> Commitment:
        """Keep what a step that is about to be added is called with; the name of it until it is bound."""
        return self._outbox.hand_over(parameters, step)

    async def deliver(self, command: Wish) -> None:
        """Give the run a command; returns when its events are durable. Raises the machine's refusal."""
        if self._failure is not None:
            raise self._failure
        answer: Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.put((command, answer))
        self.start()
        await answer

    async def settle(self) -> None:
        """Return when all that was decided so far is durable. Raises what keeps that from the record, or RUNTIME_CLOSED."""
        # Nobody takes messages any more from a run that stops or has failed, and a thread may be waiting for this.
        if self._is_stopped or self._failure is not None:
            raise self._failure or _stopped()
        settled: Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.put((None, settled))
        await settled

    async def _hear(self, command: Command) -> None:
        """What a call under way has to say before it goes on. Once the run was stopped nobody hears it."""
        if self._is_stopped:
            raise _stopped()
        await self.deliver(command)

    async def add_step(
        self,
        capability: str,
        parameters: Mapping[str, Json],
        hooks: Iterable[Hook] = (),
        by: Actor | None = None,
    ) -> StepKey:
        """Add a session's next step and wait until there is an answer about it; the key that it got.

        A request that has added one, perhaps to a former owner, waits for that one.
        """
        request = None if by is None else by.request
        if request is not None and (known := self._added_in(request)) is not None:
            await self._callers.answered(known, self.record)
            return known
        require_unexposed(self._services.pipeline.redactor, dict(parameters), "the inputs", capability)
        self._added = max(self._added, len(self.record.steps)) + 1
        key = session_step(self._added)
        call = self._outbox.bind({"capability": capability})
        added = ev.StepAdded(
            step=key,
            call=call,
            inputs=self.hand_over(self._veiled(dict(parameters), capability), key),
            request=request,
            request_digest=None if by is None else by.request_digest,
        )
        if request is not None:
            self._adding[request] = key
        self.blueprint.add_call(key, capability, parameters, hooks)
        answer = self._callers.watch(key)
        if (listener := listener_here()) is not None:
            self._hears[key] = listener
        companion = companion_here()
        if companion is not None:
            self._companions[key] = companion
        try:
            await self.deliver(AddStep(added))
        except AssentError as error:
            self._callers.forget(key, error)
            self._forget_asker(key)
            self._outbox.drop([added])
            del self.blueprint.steps[key]
            raise
        finally:
            self._adding.pop(request or "", None)
        try:
            await answer
        finally:
            self._forget_asker(key)
        return key

    def _forget_asker(self, key: StepKey) -> None:
        self._hears.pop(key, None)
        self._companions.pop(key, None)

    def _added_in(self, request: str) -> StepKey | None:
        """The step that a request has added, or is adding."""
        found = (step.key for step in self.record.steps.values() if step.request == request)
        return self._adding.get(request) or next(found, None)

    def start(self) -> None:
        """Let the run go on by itself."""
        if not self.is_driven:
            self._drive_on()

    async def put_on_record(self) -> None:
        """Make durable what has been decided, before anything of the run moves: what comes to it meanwhile waits for that."""
        self._recording = self._services.spawn(self._flush(), name=f"record {self.record.run}")
        try:
            await asyncio.shield(self._recording)
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self._recording = None

    def _drive_on(self) -> None:
        self._on_drive()
        driving = self._driving = self._services.spawn(self._run(), name=f"run {self.record.run}")
        driving.add_done_callback(self._end_driving)
        self._begun.set()

    def _end_driving(self, driving: Task[None]) -> None:
        fault = None if driving.cancelled() else driving.exception()
        if fault is not None:
            # Our own, outside of everything that is looked after: who waits for the run is told of it, as of any other.
            self._inbox.put((fault, None))
            self.start()
        self._on_pause(self)

    def wake(self) -> None:
        """Let the run look again at what it may do."""
        self._look_again()
        if self._awaited:
            # Who waits for the run drives it on, and is told what happens in it.
            self._begun.set()
        else:
            self.start()

    async def rest(self, wish: Wish | None = None) -> None:
        """Give the run a wish, if any, and drive it until it ends or waits for a person. Raises what stopped it otherwise."""
        self._awaited += 1
        try:
            if wish is not None:
                await self.deliver(wish)
            self.start()
            while True:
                while self._driving is not None and not self._driving.done():
                    await asyncio.wait({self._driving})
                if self._failure is not None:
                    raise self._failure
                if self._is_stopped:
                    return
                if self._inbox:
                    self.start()
                    continue
                if not self.goes_on:
                    return
                self._begun.clear()
                await self._begun.wait()
        finally:
            self._awaited -= 1
            if not self._awaited:
                self._on_pause(self)

    async def pause(self, limit_s: float) -> None:
        """Wait until nothing moves for now, at most so long."""
        if self._driving is not None:
            await asyncio.wait({self._driving}, timeout=limit_s)

    async def stop(self) -> None:
        """Stop where it is, as a crash would, but after every effect under way has ended or was cancelled."""
        self._is_stopped = True
        self._begun.set()
        await self._leave_record()
        await self._end_all(_stopped(), self._driving)

    async def _leave_record(self) -> None:
        """Make durable what is ahead, and that what only waits for its turn did not begin: nobody could tell it later."""
        tasks = self._cancel_waiting(self._effects.stop())
        if tasks:
            await asyncio.wait(tasks)
        if tasks or self._ahead is not None:
            durable: Future[None] = asyncio.get_running_loop().create_future()
            self._inbox.put((None, durable))
            self.start()
            # What keeps it from the record keeps the run where it is, as a crash would.
            with suppress(Exception):
                await durable

    def _cancel_waiting(self, keys: Iterable[StepKey]) -> list[Task[None]]:
        tasks = [self._busy[key] for key in keys]
        for task in tasks:
            task.cancel()
        return tasks

    async def _end_all(self, why: BaseException, *others: Task[None] | None) -> None:
        """Cancel every effect under way, and these tasks, and wait until they have ended; `why` is what callers are told."""
        self._effects.cancel()
        tasks = [task for task in (*others, *self._busy.values()) if task is not None]
        for task in tasks:
            task.cancel()
        self._preparing.withdraw()
        # A thread that waits for an answer would be waited for.
        self._refuse_all(why)
        if tasks:
            await asyncio.wait(tasks)
        await self._preparing.end()
        while self._launches:
            self._launches.pop()[1].close()
        await self._scope.abandon()
        self._forward.end()
        self._settling.end()

    def let_go(self) -> None:
        """The run is over here. Its parts forget the way back to it, so that it is freed at once.

        As a cycle it would wait for a full pass of the collector, and hundreds of ended runs with it: each new one was made in
        memory that no cache held, which cost a run 5 % of its processor time.
        """
        self._effects.let_go()

    async def _run(self) -> None:
        """Drive the run; when an admission comes to wait, this task is its own from then on, and another drives the run."""
        INSIDE.set(True)
        waits = await self._drive()
        if waits is not None:
            task = asyncio.current_task()
            assert task is not None  # INVARIANT: only a task runs this
            task.set_name(f"admission {waits.key}")
            self._preparing.add(waits.key, task)
            self._drive_on()
            await self._hear_admission(waits.key, waits.rest)

    async def _drive(self) -> AdmissionWaitsError | None:
        try:
            if self._recording is not None:
                # INVARIANT: a run makes one append at a time. Once this one can be read, others may have the run cancelled.
                await asyncio.shield(self._recording)
            if self._is_interrupted:
                # INVARIANT: what another process began is asked about before anything of it runs here.
                self._is_interrupted = False
                self._apply(Recover(retry=False, again=self._to_read_again()))
            while True:
                while self._inbox:
                    await self._take(self._inbox.take())
                await self._move()
                message = await self._next_message()
                if message is not None:
                    await self._take(message)
                elif self._outbox.is_empty:
                    return None
                else:
                    await self._flush()
        except asyncio.CancelledError:
            raise
        except AdmissionWaitsError as waits:
            return waits.with_traceback(None)  # its frames are not kept for as long as it waits
        except BaseException as error:  # noqa: BLE001  # whoever waits for the run must learn why it stopped
            self._failure = error
            await self._end_all(error)
            return None

    def _to_read_again(self) -> tuple[StepKey, ...]:
        """The steps with outputs that this process does not know, and that something which is yet to be done needs.

        What a step of `finally`, or a way back, needs of them is not read again: it fails of that.
        """
        record, values, blueprint = self.record, self.values, self.blueprint
        if record.phase is not Phase.FORWARD or record.is_stopping or blueprint.workflow is None:
            return ()
        lacking = [key for key in values.lacking if record.steps[key].state is StepState.SUCCEEDED]
        if not lacking:
            return ()
        open_steps = [
            key
            for key in blueprint.steps
            if not blueprint.steps[key].in_finally
            and (key not in record.steps or record.steps[key].state not in SETTLED)
        ]
        names = frozenset[Name]() if blueprint.outputs is None else blueprint.outputs.names
        names = names.union(*(blueprint.reads(key) for key in open_steps))
        again: dict[StepKey, None] = {}
        while True:
            reads_all = ("steps",) in names
            read = {name[1] for name in names if name[0] == "steps" and len(name) > 1}
            more = [
                key
                for key in lacking
                if key not in again and (reads_all or name_of(key) in read or name_of(key) in open_steps)
            ]
            if not more:
                return tuple(again)
            again |= dict.fromkeys(more)
            names = names.union(*(blueprint.reads(key) for key in more))

    @property
    def goes_on(self) -> bool:
        """The run goes on by itself although nothing of it moves: the time for another attempt will come."""
        return bool(self._retries) and not self._is_held

    async def _next_message(self) -> Message | None:
        """The next message; None when none will come, unless somebody says something or a time comes that is waited for."""
        if self._inbox:
            return self._inbox.take()
        if self.record.is_stopping:
            self._retries.clear()
        is_in_line = self._forward.is_waiting or self._settling.is_waiting
        is_at_work = self._count_at_work() or self._preparing.tasks or is_in_line
        return await self._inbox.get() if is_at_work else None

    def _count_at_work(self) -> int:
        """The steps whose outcome comes by itself; a run that stops waits for those as well that only wait for another run."""
        return len(self._busy) - (0 if self.record.is_stopping else len(self._parked))

    async def _take(self, message: Message) -> None:
        command, answer = message
        self._preparing.is_fresh = False
        if command is None:
            # The time may have come for an answer, or for what a step waits for.
            self._touched |= self.record.awaiting | self.record.waiting
            if answer is not None:
                self._callers.add(answer)
            return
        if isinstance(command, BaseException):
            raise command
        if isinstance(command, Admitted):
            self._take_admission(*command)
            return
        recorded: RefusedError | None = None
        try:
            made = await self._made_ready(command)
            self._apply(made)
            recorded = signal_refusal(made.event) if isinstance(made, Receive) else None
        except (InputError, RefusedError) as refusal:
            if answer is None:
                raise
            settle(answer, refusal)
            return
        finally:
            # Whoever asked is answered when the events are durable, or when the run breaks here.
            if answer is not None and not answer.done():
                self._callers.add(answer, recorded)
        match command:
            case Cancel() if self.record.is_going_forward and self.record.is_called_off:
                self._cancel_waiting(self._effects.cancel())
            case Recover():
                self._touched |= dict.fromkeys(self.record.steps)
            case Resolve(resolution=Resolution.HAPPENED, step=key):
                output = self.record.steps[key].output
                self.values.put_output(key, await self.values.load(output) if output is not None else None)
                self.values.forget(output)
            case _:
                pass
        self._gather_above(getattr(command, "step", None))

    def _apply(self, command: Command) -> bool:
        """Let the machine decide; true when anything came of it."""
        before = self.record.phase
        events = advance(self.record, self._readiness, command, self._outbox.stamp())
        for event in events:
            self._note(event)
        if self.record.phase is not before:
            for step in self.record.steps.values():
                self._keep_room(step)
        self._outbox.add(events)
        return bool(events)

    def _note(self, event: ev.AnyEvent) -> None:
        """Something was decided: its step has to be looked at."""
        step = getattr(event, "step", None)
        if isinstance(event, ev.StepSucceeded | ev.StepFailed) and event.inner is not None:
            self._admission.learn(event.step, event.inner)
        if step is not None:
            self._touched[step] = None
            if (one := self.record.steps.get(step)) is not None:
                self._keep_room(one)
            if isinstance(event, ev.StepSucceeded) and event.attempt == 0:
                wait = self.record.steps[step].wait
                if wait is not None and wait.signal is not None:
                    self.values.put_heard(step, event.output)

    def _keep_room(self, step: StepRecord) -> None:
        """Keep under the policy's limits what taking a step back needs, as the record has it now."""
        if step.consequences or step.keeps:
            place = Place(self.record.run, step.key, step.attempt)
            counted, who = kept_for(self.record, step), str(self._scope.requester)
            self._services.pipeline.quotas.keep(self._services.gate.limits, counted, who, place)

    async def _move(self) -> None:
        """Decide everything that can be decided now, make it durable, then have the effects begin."""
        while await self._decide_more():
            # While a step is about to begin, neither the end of the run nor an undo can be due.
            if self._launches and not self._touched and not self._readiness.ready:
                break
        self._forward.sweep(self._is_under_way)
        self._settling.sweep(self._is_under_way)
        preparing = self._preparing
        if preparing.tasks:
            if self.record.is_stopping or self._is_held:
                preparing.withdraw()
            elif preparing.is_fresh and not self._launches:
                return  # What comes of it goes into the same commit, if it comes soon.
        if not self._goes_ahead:
            await self._flush()
        elif self._ahead is None:
            self._ahead = asyncio.get_running_loop().call_later(AHEAD_S, self._look_ahead, 1)
        launches, self._launches = self._launches, []
        for key, work in launches:
            self._launch(key, work)

    @property
    def _goes_ahead(self) -> bool:
        """Steps are about to begin, and all of them may before what led to them is durable."""
        if self._is_overdue or not self._launches:
            return False
        calls = self._scope.calls
        return all(key in calls and calls[key].goes_ahead for key, _ in self._launches)

    def _look_ahead(self, looks: int) -> None:
        """Have what is ahead made durable once a step of it is at work, or has waited long."""
        if self._effects.is_performing or looks >= AHEAD_LOOKS_MAX:
            self._is_overdue = True
            self._look_again()
        else:
            self._ahead = asyncio.get_running_loop().call_later(AHEAD_S, self._look_ahead, looks + 1)

    def _launch(self, key: StepKey, work: Coroutine[Any, Any, Command]) -> None:
        step = self.record.steps[key]
        if step.capability == RUN_CAPABILITY:
            # Its steps need the places, and it may wait for people: until it ends, nothing of this run is at work.
            self._forward.give_back(key)
            self._settling.give_back(key)
            if step_task(step) is _EXECUTE:
                self._parked.add(key)
        with telling(self._heard_by(key)), accompanied(self._companions.get(key)):
            task = self._busy[key] = self._services.spawn(self._perform(key, work), name=f"step {key}")
        task.add_done_callback(lambda _: work.close())  # one that is cancelled before it begins never ran it

    @property
    def _is_full(self) -> bool:
        """As many steps are under way as may be at once."""
        under_way = self._count_at_work() + len(self._launches) + len(self._preparing.tasks)
        return under_way >= self._services.limits.concurrent_steps

    @property
    def _is_held(self) -> bool:
        """No step may begin now: the run is stopped or has not its key, a step of it is being taken back, a person has to say
        what became of one, or the policy can't be read.

        A session goes on in the last two cases: a step in doubt concerns that step alone, a shut gate denies what is asked of it.
        """
        if self._is_stopped or not self._may_begin() or self.record.rollback:
            return True
        return self.record.mode is _WORKFLOW and (self._is_shut or self.record.has(_IN_DOUBT))

    @property
    def _is_shut(self) -> bool:
        return self._was_gate_open and not self._services.gate.is_open

    async def _decide_more(self) -> bool:
        if self._is_turning and not await self._turn_to_finally():
            return False
        moved = self._end_in_time() or await self._end_without_key()
        self._touched |= self._waiting
        self._waiting.clear()
        while self._touched:
            key = next(iter(self._touched))
            del self._touched[key]
            step = self.record.steps.get(key)
            if step is not None:
                moved |= self._look_at(step)
        if self.record.may_begin_steps:
            moved |= self._admit_more()
            moved |= self._finish()
        moved |= self._take_back_next()
        moved |= await self._attend_to_undo()
        return moved

    @property
    def _is_turning(self) -> bool:
        """The steps have ended, and those of `finally` have not been let begin by this process."""
        return self.record.final is not None and not self.values.knows_end

    @property
    def _is_ending(self) -> bool:
        """What was to begin may not any more, since a step that was looked at a moment ago, too."""
        return self.record.is_stopping or self._is_turning

    async def _turn_to_finally(self) -> bool:
        """Let the steps of `finally` begin, unless an admission of another step is still about to end."""
        if self.is_at_work:
            self._preparing.withdraw()
            return False
        await self._flush()  # what a step failed with is read from the journal
        await self.values.tell_of_end(self.record, self.blueprint.steps)
        return True

    async def _end_without_key(self) -> bool:
        """End a run that may not have its concurrency key: nothing of it begins."""
        created = self.record.created
        denial = created.key_denial
        if denial is None or created.context is None or not self.record.may_begin_steps:
            return False
        told = await self.values.load_object(created.context)
        refused = RefusedError(
            denial.code or "POLICY_DENIED",
            f"`{created.principal}` may not have the concurrency key of this run: {told['reason']}",
            hint=f"`assent policy explain {self.record.run}` shows every rule that was tried",
            details={"rule": denial.rule},
        )
        return self._apply(Abort(refused.code, self._outbox.bind_error(refused)))

    def _end_in_time(self) -> bool:
        """Stop the run when the time is over that it may take: its effects are asked to end, as when somebody cancels it."""
        record = self.record
        if not record.may_begin_steps or not self._timers.has_run_out(record):
            return False
        what = "the run" if record.final is None else "`finally`"
        late = WorldError(
            RUN_TIMEOUT,
            f"{what} took longer than the {write_duration(record.created.max_duration_ms or 0)} that its workflow allows",
            hint="raise its `max_duration`, or look with `assent show` what took so long",
        )
        is_stopped = self._apply(TimeOut(self._outbox.bind_error(late)))
        self._cancel_waiting(self._effects.cancel())
        return is_stopped

    def _look_at(self, step: StepRecord) -> bool:
        """What a step that had an event leads to."""
        key = step.key
        if key in self._timed:
            self._retries.pop(key, None)
            if step.state in SETTLED:
                self._timed.remove(key)
                self._timers.clear(key)
        if key in self._preparing.tasks:
            return False
        if step.state is _RUNNING:
            under_way = key in self._busy or self._is_launched(key)
            return False if under_way else self._continue(step)
        if step.state in PASSABLE or (self.record.final is not None and step.state in SETTLED):
            if step.state is _SKIPPED:
                self.values.put_output(key, None)
            iteration = iteration_of(key)
            if iteration is None:
                return False
            self._touched[iteration[0]] = None
            return True
        match step.state:
            case StepState.AWAITING_APPROVAL if step.approval is not None and not self.record.is_stopping:
                if step.approval.has_quorum:
                    if self._is_held or self._is_full or not self._take_turn(key):
                        self._waiting[key] = None
                        return False
                    return self._admit(key)
                self._timed.add(key)
                if self._timers.has_expired(step.approval):
                    return self._apply(Expire(key))
            case StepState.WAITING if not self.record.is_stopping:
                self._timed.add(key)
                if self._timers.has_waited(step):
                    return self._apply(self._admission.end_wait(step, self._outbox))
            case StepState.PENDING if step.retry_at_ms is not None:
                self._timed.add(key)
                self._retries[key] = None
            case _:
                pass
        return False

    def _continue(self, step: StepRecord) -> bool:
        work = step_task(step)
        if work is _EXECUTE:
            if self._forward.take(step.key):
                self._launches.append((step.key, self._effects.execute(step, self._outbox)))
            else:
                self._waiting[step.key] = None
            return False
        match work:
            case Work.RECONCILE if not self._settling.take(step.key):
                self._waiting[step.key] = None
            case Work.RECONCILE:
                self._launches.append((step.key, self._effects.reconcile(step, self._outbox)))
            case Work.GATHER:
                return self._gather(step)
            case None:
                pass
        return False

    def _gather(self, step: StepRecord) -> bool:
        """A `foreach` step whose iterations have all passed has their outputs as its own; in a run that stops it ends with it."""
        if self.record.is_stopping:
            return False
        keys = iterations(step.key, step.children or 0)
        if any(self.record.steps[key].state not in PASSABLE for key in keys):
            if self.record.final is None or any(self.record.steps[key].state not in SETTLED for key in keys):
                return False
            # In `finally` one that failed has left the others alone.
            return self._apply(Failed(step.key, 0, "ITERATION_FAILED", Effect.NONE))
        steps = self.values.context["steps"]
        assert isinstance(steps, Mapping)  # INVARIANT: `Values.context` builds it so
        output: Json = [steps[key]["output"] for key in keys]
        kept = [self.values.kept(key) for key in keys] if self.values.holds_unkept else output
        try:
            bound = self._outbox.bind(kept)
        except AssentError as error:
            return self._apply(Failed(step.key, 0, error.code, Effect.NONE, self._outbox.bind_error(error)))
        self.values.put_unkept(step.key, output, kept)
        return self._apply(Succeeded(step.key, 0, bound, Effect.NONE))

    def _gather_above(self, key: StepKey | None) -> None:
        """Gather what an iteration was the last of, before anything else is taken.

        What became of the `foreach` step would otherwise depend on how many outcomes arrived at once, which no record tells.
        """
        iteration = iteration_of(key) if key is not None else None
        if iteration is None:
            return
        step = self.record.steps[iteration[0]]
        if step.state is _RUNNING and step_task(step) is Work.GATHER:
            self._gather(step)

    def _admit_more(self) -> bool:
        moved = False
        if self._is_held:
            return moved
        for due in self._due() if self._retries else ():
            if self._is_full or self._is_ending or not self._take_turn(due):
                return moved
            del self._retries[due]
            moved |= self._admit(due)
        while not self._is_ending and not self._is_full:
            key = self._next_ready()
            if key is None or not self._take_turn(key):
                break
            del self._readiness.ready[key]
            moved |= self._admit(key)
            step = self.record.steps[key]
            self._touched.pop(key, None)
            self._look_at(step)
            if not self._is_launched(key):
                self._forward.give_back(key)
        return moved

    def _admit(self, key: StepKey) -> bool:
        """Let a step begin; true when anything came of it. `AdmissionWaitsError` when what comes of it has to be waited for.

        Nothing of a step is journaled, and none of its effects begins, before its admission has ended. So nothing else of the run
        has to wait for one that takes long, which a program does whose writes are to be known first.
        """
        admission = self._admission.admit(key, self._outbox)
        try:
            waited_for = admission.send(None)
        except StopIteration as end:
            return self._apply(end.value)
        self._admission.waits(key)
        raise AdmissionWaitsError(key, Rest(admission, waited_for))

    def _take_admission(self, key: StepKey, command: Command | None) -> None:
        """An admission that waited has ended. It counts as if it had been made now, or the step may be admitted anew."""
        self._preparing.remove(key)
        if command is not None:
            if (
                not self._is_held
                and not self._is_ending
                and self._admission.still_holds(key, command)
                and self._apply(command)
            ):
                return
            if isinstance(command, Admit):
                self.values.forget(*self._outbox.drop(command.events))
        call = self._scope.calls.pop(key, None)
        if call is not None:
            ending = self._hear_admission(key, self._services.pipeline.abandon(call))
            self._preparing.add_end(key, self._services.spawn(ending, name=f"admission {key}"))
            return
        if self._is_turning:
            return  # its time is over
        step = self.record.steps.get(key)
        if step is None or (step.state is StepState.PENDING and step.attempt == 0):
            self._readiness.ready[key] = None
        else:
            self._touched[key] = None

    async def _hear_admission(self, key: StepKey, work: Awaitable[Command | None]) -> None:
        self._inbox.put((await ended(key, work), None))

    def _due(self) -> list[StepKey]:
        """The steps whose pause before another attempt is over, and that wait for nothing which is read again."""
        steps = self.record.steps
        read = {name_of(key) for key in self.values.lacking if steps[key].reads_again}
        return [
            key
            for key in self._retries
            if self._timers.may_try_again(steps[key])
            and not (read and any(name[1] in read for name in self.blueprint.reads(key) if name[1:]))
        ]

    async def _made_ready(self, wish: Wish) -> Command:
        """A wish as the machine takes it: the gate is asked, what was said is bound, an answer that comes too late is none."""
        match wish:
            case AskUndo():
                decision, request = self._admission.ask_gate_about_undo(
                    wish.actor, self._outbox, partial=wish.partial, is_inner=wish.is_inner
                )
                is_asked = decision.effect is PolicyDecision.REQUIRE_APPROVAL
                is_new = is_undoable(self.record)
                rehearsal = await self._rehearse(partial=wish.partial) if is_asked and is_new else None
                return self._admission.request_undo(decision, request, rehearsal, self._outbox)
            case SendSignal():
                require_hearing(self.record)
                event = self._admission.ask_gate_about_signal(wish, self._outbox)
                if event.payload is not None:
                    self.values.remember(event.payload, wish.value)
                return Receive(event)
            case Approve(step=step) | Reject(step=step) if (late := self._expired(step)) is not None:
                return Expire(late)
            case Reject(text=text) if text:
                return replace(wish, reason=self.bind({"reason": text}))
            case Resolve(resolution=Resolution.HAPPENED, output=None, value=value):
                return replace(wish, output=self.bind(value))
            case _:
                return wish

    def _expired(self, step: StepKey | None) -> StepKey | None:
        """The question that is answered, if the time for that has passed."""
        found = [asked for asked in self.record.open_approvals() if step in (None, asked.request.step)]
        is_late = len(found) == 1 and self._timers.has_expired(found[0])
        return found[0].request.step if is_late else None

    def _next_ready(self) -> StepKey | None:
        """The step that is admitted next, of those that may begin."""
        return next(iter(self._readiness.ready), None)

    def _take_turn(self, key: StepKey) -> bool:
        """Whether a step may be admitted now, which then has its turn."""
        return self._forward.take(key)

    def _finish(self) -> bool:
        record = self.record
        if self.is_at_work or not record.may_begin_steps:
            return False
        if record.final is not None:
            return self._readiness.is_exhausted and self._apply(EndFinally())
        if record.mode is Mode.SESSION:
            unsettled = (StepState.PENDING, _RUNNING, StepState.AWAITING_APPROVAL, _IN_DOUBT)
            if not record.is_closed or record.count(*unsettled) or record.rollback or record.state is _ASKS:
                return False
        elif not self._readiness.is_exhausted:
            return False
        try:
            outputs = self.blueprint.render_outputs(record, self.values.context)
            kept = self.values.veil(
                outputs, partial(self.blueprint.render_outputs, record), self._services.entropy.salt
            )
            bound = self._outbox.bind(kept)
        except AssentError as error:
            return self._apply(Abort(error.code, self._outbox.bind_error(error)))
        self.values.outputs = outputs
        return self._apply(Finish(bound))

    def _take_back_next(self) -> bool:
        key = next_compensation(self.record)
        if key is None or self.is_at_work or not self._settling.take(key):
            return False
        step = self.record.steps[key]
        self._apply(Compensating(key, step.compensation_attempt + 1))
        self._touched.pop(key, None)
        self._launches.append((key, self._effects.compensate(step, self._outbox)))
        return False

    async def _attend_to_undo(self) -> bool:
        undo = self.record.undo
        if undo is None or undo.is_over:
            return False
        if undo.approval is not None and undo.approval.is_open:
            return self._apply(Expire(UNDO_STEP)) if self._timers.has_expired(undo.approval) else False
        if not can_begin_undo(self.record) or self.is_at_work:
            return False
        rehearsal = await self._rehearse(partial=undo.request.partial)
        return self._apply(await self._admission.begin_undo(undo, rehearsal, self._outbox))

    @property
    def inner(self) -> ev.Inner:
        """What the run is to the step of another that began it."""
        risk = risk_of_undo(self.record) if to_take_back(self.record) else None
        return ev.Inner(
            run=self.record.run,
            risk=risk.value if risk is not None else None,
            labels=tuple(sorted(self.labels)),
        )

    @property
    def labels(self) -> frozenset[str]:
        """What the run may have read by now, and where it may have sent that."""
        return self._admission.labels()

    async def rehearse_in(self, world: World, *, partial: bool) -> Rehearsal:
        """Try in a world of a larger undo to take back what the run has left."""
        steps = [self.record.steps[key] for key in to_take_back(self.record)]
        return Rehearsal(await self._effects.rehearse_in(world, steps, partial=partial), "", partial)

    async def _rehearse(self, *, partial: bool) -> Rehearsal:
        steps = [self.record.steps[key] for key in to_take_back(self.record)]
        return await self._effects.rehearse(steps, partial=partial)

    async def plan_undo(self, actor: Actor, *, partial: bool) -> UndoPlan:
        """What an undo would do, and what the gate says of it: nothing is recorded, and nothing touched. `RUN_NOT_UNDOABLE`."""
        require_undoable(self.record)
        decision, request = self._admission.ask_gate_about_undo(actor, self._outbox, partial=partial)
        rehearsal = await self._rehearse(partial=partial)
        tried = {step.key for step in rehearsal.steps}
        rest = [
            RehearsedStep(step.key, step.intent.capability, step.intent.version, Undo.NOT_NEEDED)
            for step in self.record.steps.values()
            if step.intent is not None and step.key not in tried
        ]
        return UndoPlan(self.record.run, rehearsal, request, decision.reason, tuple(rest))

    def _is_under_way(self, key: StepKey) -> bool:
        return key in self._busy or key in self._preparing.tasks or self._is_launched(key)

    def _is_launched(self, key: StepKey) -> bool:
        return bool(self._launches) and any(launched == key for launched, _ in self._launches)

    async def _perform(self, key: StepKey, work: Coroutine[Any, Any, Command]) -> None:
        try:
            report: Command | BaseException = await work
        except asyncio.CancelledError:
            raise  # only `stop` cancels; what a handler cancels of itself, the invoker reports as its failure
        except BaseException as error:  # noqa: BLE001  # our own failure: it stops the run where it is
            report = error
        del self._busy[key]
        self._forward.give_back(key)
        self._settling.give_back(key)
        self._inbox.put((report, None))
        if key in self._parked:
            self._parked.remove(key)
            self.wake()

    async def _flush(self) -> None:
        if self._ahead is not None:
            self._ahead.cancel()
            self._ahead, self._is_overdue = None, False
        last, at_ms = self.record.n, self._outbox.stamp()
        events = await self._outbox.flush()
        for n, event in enumerate(events, last - len(events)):
            for listener in (self._heard_by(getattr(event, "step", None)), self._services.observer):
                if listener is not None:
                    listener(self.record.run, n, at_ms, event)
        self._preparing.tell()
        self._callers.answer(self.record)

    def _refuse_all(self, error: BaseException) -> None:
        while self._inbox:
            answer = self._inbox.take()[1]
            if answer is not None:
                self._callers.add(answer)
        self.is_heard = self._callers.refuse(error) or bool(self._awaited)


def _was_interrupted(record: RunRecord) -> bool:
    """Another process began what nobody knows the outcome of, or it left a conclusion undrawn, as earlier versions did."""
    return any(step.state is _RUNNING and step.task is _EXECUTE for step in record.steps.values()) or bool(
        conclude(record)
    )


def _stopped() -> InputError:
    return InputError("RUNTIME_CLOSED", "the runtime is closing, and records nothing more")


def _heard_by(hears: Mapping[StepKey, Listener], key: StepKey | None) -> Listener | None:
    """Whoever asked for a step hears of it, and not who happens to have had the session driven."""
    return (None if key is None else hears.get(key)) or listener_here()
