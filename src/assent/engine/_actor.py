"""One run under way: takes commands one at a time, lets the machine decide, makes it durable, and has effects performed.

The record in memory runs ahead of the journal by what stands in the outbox. Two rules keep that safe: no effect begins and nobody
is answered before everything decided so far is durable. So the outcome of one step and the decision and intent of the next share
one commit.
"""

from __future__ import annotations

import asyncio
from asyncio import Future, Task
from collections.abc import Coroutine, Iterable, Mapping
from typing import Any, Final, TypeAlias, TypeVar

from msgspec.structs import replace

from assent.engine._admission import Admission
from assent.engine._blueprint import iteration_of
from assent.engine._commands import (
    Abort,
    AddStep,
    BeginUndo,
    Cancel,
    Command,
    Compensating,
    Expire,
    Finish,
    Recover,
    Resolve,
    Succeeded,
)
from assent.engine._effects import Effects
from assent.engine._inbox import Inbox
from assent.engine._machine import advance, can_begin_undo, next_compensation, step_task
from assent.engine._outbox import Outbox
from assent.engine._readiness import PASSABLE, Readiness, iterations
from assent.engine._record import SETTLED, UNDO_STEP, Phase, StepRecord, to_take_back
from assent.engine._record import Task as Work
from assent.engine._scope import RunScope
from assent.engine.ports import Progress
from assent.errors import AssentError, InputError, Json, RefusedError
from assent.invocation import Hook, require_unexposed
from assent.spec import events as ev
from assent.spec.ids import Commitment, StepKey
from assent.spec.states import Effect, Mode, Resolution, StepState

V = TypeVar("V")
Message: TypeAlias = "tuple[Command | BaseException, Future[None] | None]"

_ANSWERED = SETTLED | {StepState.AWAITING_APPROVAL, StepState.IN_DOUBT}
"""States in which a session's caller gets an answer about a step."""

# Asked for each step several times; see `_record.py` for what a look-up in the class costs.
_FORWARD: Final = Phase.FORWARD
_RUNNING: Final = StepState.RUNNING
_IN_DOUBT: Final = StepState.IN_DOUBT
_SKIPPED: Final = StepState.SKIPPED
_WORKFLOW: Final = Mode.WORKFLOW
_EXECUTE: Final = Work.EXECUTE


class RunActor:
    """Drives one run. Everything on it happens in one event loop; `deliver` may be called from any task of it."""

    def __init__(self, scope: RunScope, *, durable_n: int, progress: Progress | None = None) -> None:
        self.record = scope.record
        self.blueprint = scope.blueprint
        self.values = scope.values
        self._scope = scope
        self._services = scope.services
        self._progress = progress
        self._admission = Admission(scope, self._settle_first)
        self._outbox = Outbox(scope.services, scope.record, durable_n)
        self._effects = Effects(scope, self._hear, self._outbox.bind)
        self._readiness = Readiness(scope.blueprint.dependencies, scope.record)
        self._inbox: Inbox[Message] = Inbox()
        self._busy: dict[StepKey, Task[None]] = {}
        self._touched: dict[StepKey, None] = dict.fromkeys(scope.record.steps)
        self._waiting: dict[StepKey, None] = {}
        # A run that begins while the gate is shut is denied; one under way when it shuts pauses.
        self._was_gate_open = durable_n > 0 or scope.services.gate.is_open
        self._is_interrupted = durable_n > 0 and any(
            step.state is StepState.RUNNING and step.task is Work.EXECUTE
            for step in scope.record.steps.values()
        )
        self._launches: list[tuple[StepKey, Coroutine[Any, Any, Command]]] = []
        self._retries: dict[StepKey, int] = {}
        self._driving: Task[None] | None = None
        self._waiters: list[Future[None]] = []
        self._watchers: dict[StepKey, list[Future[None]]] = {}
        self._failure: BaseException | None = None
        self._is_stopped = False
        self._cancels_due = 0
        self._may_cut = False
        self._was_cut = False

    @property
    def is_broken(self) -> bool:
        """Something stopped the run that is no outcome of its steps (a full disk, a bug); the journal says where it stands."""
        return self._failure is not None

    @property
    def has_begun(self) -> bool:
        """The run has been driven by this process."""
        return self._driving is not None

    # -- from outside -----------------------------------------------------------------------------------------------------

    def begin(self, created: ev.RunCreated, inputs: Json) -> ev.RunCreated:
        """The first event of a new run, with its payloads bound; it becomes durable with whatever follows at once."""
        event = replace(
            created,
            document=self._outbox.bind_bytes(self.blueprint.document),
            inputs=self._outbox.bind(inputs),
        )
        self.record.created = event
        self.record.started_at_ms = self.record.updated_at_ms = self._outbox.stamp()
        self._outbox.add([event])
        return event

    def bind(self, value: Json) -> Commitment:
        """Keep a payload for a command that is about to be delivered; its commitment."""
        value = self._services.pipeline.redactor.json(value)
        commitment = self._outbox.bind(value)
        self.values.remember(commitment, value)
        return commitment

    async def deliver(self, command: Command) -> None:
        """Give the run a command; returns when its events are durable. Raises the machine's refusal."""
        if self._failure is not None:
            raise self._failure
        answer: Future[None] = asyncio.get_running_loop().create_future()
        self._inbox.put((command, answer))
        self.start()
        if isinstance(command, Cancel):
            self._cancels_due += 1
            self._cut()
        await answer

    async def _hear(self, command: Command) -> None:
        """What a call under way has to say before it goes on. Once the run was stopped nobody hears it."""
        if self._is_stopped:
            raise _stopped()
        await self.deliver(command)

    async def add_step(
        self, key: StepKey, capability: str, parameters: Mapping[str, Json], hooks: Iterable[Hook] = ()
    ) -> None:
        """Add a session's next step and wait until there is an answer about it."""
        require_unexposed(self._services.pipeline.redactor, dict(parameters), "the inputs", capability)
        self.blueprint.add_call(key, capability, parameters, hooks)
        call = self._outbox.bind({"capability": capability, "parameters": dict(parameters)})
        answer: Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.setdefault(key, []).append(answer)
        try:
            await self.deliver(AddStep(ev.StepAdded(step=key, call=call)))
        except AssentError:
            del self._watchers[key]
            del self.blueprint.steps[key]
            raise
        await answer

    def start(self) -> None:
        """Let the run go on by itself."""
        if self._driving is None or self._driving.done():
            self._driving = self._services.spawn(self._run(), name=f"run {self.record.run}")

    async def rest(self) -> None:
        """Wait until nothing moves any more: the run ended, or waits for a person. Raises what stopped it otherwise."""
        while self._driving is not None and not self._driving.done():
            await asyncio.wait({self._driving})
        if self._failure is not None:
            raise self._failure

    async def stop(self) -> None:
        """Stop where it is, as a crash would, but after every effect under way has ended or was cancelled."""
        for token in self._effects.tokens.values():
            token.cancel()
        self._is_stopped = True
        tasks = [
            task for task in (self._driving, *self._busy.values()) if task is not None and not task.done()
        ]
        for task in tasks:
            task.cancel()
        # A thread that waits for an answer would be waited for.
        self._refuse_all(_stopped())
        if tasks:
            await asyncio.wait(tasks)
        self._drop_launches()
        await self._scope.abandon()

    def _drop_launches(self) -> None:
        for _, launch in self._launches:
            launch.close()
        self._launches.clear()

    # -- the loop ---------------------------------------------------------------------------------------------------------

    async def _run(self) -> None:
        try:
            if self._is_interrupted:
                # INVARIANT: what another process began is asked about before anything of it runs here.
                self._is_interrupted = False
                self._apply(Recover(retry=False))
            while True:
                while self._inbox:
                    self._take(self._inbox.take())
                await self._move()
                message = await self._next_message()
                if message is not None:
                    self._take(message)
                elif not self._goes_on:
                    return
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # whoever waits for the run must learn why it stopped
            self._failure = error
            self._drop_launches()
            self._refuse_all(error)
            await self._scope.abandon(self._busy)

    @property
    def _goes_on(self) -> bool:
        """There is more to do although no message came: another attempt is due, or will be."""
        return bool(self._retries) and not self._is_held

    async def _next_message(self) -> Message | None:
        """The next message; None when a retry is due, or when nothing will come by itself."""
        if self._inbox:
            return self._inbox.take()
        if self.record.is_stopping:
            self._retries.clear()
        if not self._retries or self._is_held or self._is_full:
            return await self._inbox.get() if self._busy else None
        delay_s = (min(self._retries.values()) - self._services.clock.now_ms()) / 1000
        try:
            async with asyncio.timeout(max(0.0, delay_s)):
                return await self._inbox.get()
        except TimeoutError:
            return None

    def _take(self, message: Message) -> None:
        command, answer = message
        if isinstance(command, BaseException):
            raise command
        if isinstance(command, Cancel):
            self._cancels_due -= 1
        try:
            self._apply(command)
        except (InputError, RefusedError) as refusal:
            if answer is None:
                raise
            _answer(answer, refusal)
            return
        finally:
            # Whoever asked is answered when the events are durable, or when the run breaks here.
            if answer is not None and not answer.done():
                self._waiters.append(answer)
        match command:
            case Cancel():
                for token in self._effects.tokens.values():
                    token.cancel()
            case Recover():
                self._touched |= dict.fromkeys(self.record.steps)
            case Resolve(resolution=Resolution.HAPPENED, step=key):
                output = self.record.steps[key].output
                self.values.put_output(key, self.values.load(output) if output is not None else None)
                self.values.forget(output)
            case _:
                pass

    def _apply(self, command: Command) -> bool:
        """Let the machine decide; true when anything came of it."""
        events = advance(self.record, self._readiness, command, self._outbox.stamp())
        for event in events:
            self._note(event)
        self._outbox.add(events)
        return bool(events)

    def _note(self, event: ev.AnyEvent) -> None:
        """Something was decided: its step has to be looked at."""
        step = getattr(event, "step", None)
        if step is not None:
            self._touched[step] = None

    # -- what can be done now ---------------------------------------------------------------------------------------------

    async def _move(self) -> None:
        """Decide everything that can be decided now, make it durable, then have the effects begin."""
        while await self._decide_more():
            # While a step is about to begin, neither the end of the run nor an undo can be due.
            if self._launches and not self._touched and not self._readiness.ready:
                break
        await self._settle()

    async def _settle(self) -> None:
        """Make everything decided so far durable, then have the effects begin."""
        await self._flush()
        launches, self._launches = self._launches, []
        for key, work in launches:
            self._launch(key, work)

    def _launch(self, key: StepKey, work: Coroutine[Any, Any, Command]) -> None:
        self._busy[key] = self._services.spawn(self._perform(key, work), name=f"step {key}")

    @property
    def _is_full(self) -> bool:
        """As many steps are under way as may be at once."""
        return len(self._busy) + len(self._launches) >= self._services.limits.concurrent_steps

    @property
    def _is_held(self) -> bool:
        """No step may begin now: a person has to say what became of one, or the policy can't be read.

        A session goes on in both cases: a step in doubt concerns that step alone, and a shut gate denies what is asked of it.
        """
        if self.record.mode is not _WORKFLOW:
            return False
        is_paused = self._was_gate_open and not self._services.gate.is_open
        return is_paused or self.record.has(_IN_DOUBT)

    async def _decide_more(self) -> bool:
        moved = False
        self._touched |= self._waiting
        self._waiting.clear()
        while self._touched:
            key = next(iter(self._touched))
            del self._touched[key]
            step = self.record.steps.get(key)
            if step is not None:
                moved |= await self._look_at(step)
        if self.record.phase is _FORWARD and not self.record.is_stopping:
            moved |= await self._admit_more()
            moved |= self._finish()
        moved |= self._take_back_next()
        moved |= await self._attend_to_undo()
        return moved

    async def _look_at(self, step: StepRecord) -> bool:
        """What a step that had an event leads to."""
        key = step.key
        self._retries.pop(key, None)
        if step.state is _RUNNING:
            under_way = key in self._busy or self._is_launched(key)
            return False if under_way else self._continue(step)
        if step.state in PASSABLE:
            if step.state is _SKIPPED:
                self.values.put_output(key, None)
            if iteration_of(key) is None:
                return False
            self._touched[StepKey(key.partition("[")[0])] = None
            return True
        match step.state:
            case StepState.AWAITING_APPROVAL if step.approval is not None and not self.record.is_stopping:
                if step.approval.has_quorum:
                    if self._is_held or self._is_full:
                        self._waiting[key] = None
                        return False
                    return await self._admit(key, self._waiting, None)
                expires_at_ms = step.approval.request.expires_at_ms
                if expires_at_ms is not None and self._services.clock.now_ms() >= expires_at_ms:
                    return self._apply(Expire(key))
            case StepState.PENDING if step.retry_at_ms is not None:
                self._retries[key] = step.retry_at_ms
            case _:
                pass
        return False

    def _continue(self, step: StepRecord) -> bool:
        work = step_task(step)
        if work is _EXECUTE:
            self._launches.append((step.key, self._effects.execute(step, self._outbox)))
            return False
        match work:
            case Work.RECONCILE:
                self._launches.append((step.key, self._effects.reconcile(step, self._outbox)))
            case Work.GATHER:
                return self._gather(step)
            case None:
                pass
        return False

    def _gather(self, step: StepRecord) -> bool:
        """A `foreach` step whose iterations have all passed has their outputs as its own."""
        keys = iterations(step.key, step.children or 0)
        if any(self.record.steps[key].state not in PASSABLE for key in keys):
            return False
        steps = self.values.context["steps"]
        assert isinstance(steps, Mapping)  # INVARIANT: `Values.context` builds it so
        output: Json = [steps[key]["output"] for key in keys]
        self.values.put_output(step.key, output)
        return self._apply(Succeeded(step.key, 0, self._outbox.bind(output), Effect.NONE))

    async def _admit_more(self) -> bool:
        moved = False
        if self._is_held:
            return moved
        for due in self._due():
            if self._is_full:
                return moved
            due_at_ms = self._retries.pop(due)
            moved |= await self._admit(due, self._retries, due_at_ms)
        while not self.record.is_stopping and not self._is_full:
            key = self._next_ready()
            if key is None:
                break
            del self._readiness.ready[key]
            moved |= await self._admit(key, self._readiness.ready, None)
            if self._cancels_due:
                return moved
            step = self.record.steps[key]
            self._touched.pop(key, None)
            await self._look_at(step)
        return moved

    async def _admit(self, key: StepKey, back: dict[StepKey, V], at: V) -> bool:
        """Let a step begin; true when anything came of it. When the run is to be cancelled it goes `back` instead.

        Nothing of a step is journaled, and none of its effects begins, before its admission has ended. So a cancellation need not
        wait for one that takes long, which a program does whose writes are to be known first.
        """
        task = asyncio.current_task()
        assert task is not None  # INVARIANT: only `_run` decides
        if not self._cancels_due:
            self._may_cut = True
            try:
                return self._apply(await self._admission.admit(key, self._outbox))
            except asyncio.CancelledError:
                if not self._was_cut or self._is_stopped:
                    raise
            finally:
                self._may_cut = False
                if self._was_cut:
                    self._was_cut = False
                    task.uncancel()
        back[key] = at
        return False

    def _cut(self) -> None:
        """End the admission under way, for a cancellation that waits behind it."""
        if self._may_cut and self._driving is not None:
            self._may_cut = False
            self._was_cut = True
            self._driving.cancel()

    async def _settle_first(self) -> None:
        """Before an admission that may take long: what was decided is durable and seen, and effects begin that it came after."""
        self._may_cut = False  # An append that was begun is waited for.
        await self._settle()
        self._may_cut = True
        if self._cancels_due:
            self._cut()

    def _due(self) -> list[StepKey]:
        """The steps whose pause before another attempt is over."""
        if not self._retries:
            return []
        now = self._services.clock.now_ms()
        return [key for key, due in self._retries.items() if due <= now]

    def _next_ready(self) -> StepKey | None:
        """The step that is admitted next, of those that may begin."""
        return next(iter(self._readiness.ready), None)

    def _finish(self) -> bool:
        record = self.record
        if self._busy or self._launches or record.phase is not _FORWARD or record.is_stopping:
            return False
        if record.mode is Mode.SESSION:
            unsettled = (
                StepState.PENDING,
                StepState.RUNNING,
                StepState.AWAITING_APPROVAL,
                StepState.IN_DOUBT,
            )
            if not record.is_closed or record.count(*unsettled):
                return False
        elif not self._readiness.is_exhausted:
            return False
        try:
            outputs = self.blueprint.render_outputs(record, self.values.context)
            bound = self._outbox.bind(outputs)
        except AssentError as error:
            return self._apply(Abort(error.code, self._outbox.bind(dict(error.to_dict()))))
        self.values.outputs = outputs
        return self._apply(Finish(bound))

    def _take_back_next(self) -> bool:
        key = next_compensation(self.record)
        if key is None or self._busy or self._launches:
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
            expires_at_ms = undo.approval.request.expires_at_ms
            expired = expires_at_ms is not None and self._services.clock.now_ms() >= expires_at_ms
            return self._apply(Expire(UNDO_STEP)) if expired else False
        if not can_begin_undo(self.record):
            return False
        steps = [self.record.steps[key] for key in to_take_back(self.record)]
        refusal = await self._effects.rehearse(steps, self._outbox, partial=undo.request.partial)
        return self._apply(BeginUndo(refusal))

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
        self._inbox.put((report, None))

    # -- durability -------------------------------------------------------------------------------------------------------

    async def _flush(self) -> None:
        last, at_ms = self.record.n, self._outbox.stamp()
        events = await self._outbox.flush()
        if self._progress is not None:
            for n, event in enumerate(events, last - len(events)):
                self._progress(self.record.run, n, at_ms, event)
        waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            _answer(waiter, None)
        if self._watchers:
            self._answer_watchers()

    def _answer_watchers(self) -> None:
        for key in list(self._watchers):
            step = self.record.steps.get(key)
            if step is not None and step.state in _ANSWERED:
                for watcher in self._watchers.pop(key):
                    _answer(watcher, None)

    def _refuse_all(self, error: BaseException) -> None:
        waiting, self._waiters = self._waiters, []
        while self._inbox:
            answer = self._inbox.take()[1]
            if answer is not None:
                waiting.append(answer)
        for watchers in self._watchers.values():
            waiting += watchers
        self._watchers.clear()
        for waiter in waiting:
            _answer(waiter, error)


def _stopped() -> InputError:
    return InputError("RUNTIME_CLOSED", "the runtime is closing, and gives no more secrets")


def _answer(waiter: Future[None], error: BaseException | None) -> None:
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
