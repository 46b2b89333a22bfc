"""Runs a recorded run once more, against what was recorded: the real machine, gate and pipeline, and no effect on anything.

The journal is one in memory, the world a simulated one, the time is the recorded time of what comes next. Steps begin and parts
answer in the recorded order (`_script`); people answer as they did; a process that ended ends again, and what it left in memory
is folded from the journal anew.
"""

from __future__ import annotations

import asyncio
from asyncio import Event
from collections.abc import Coroutine, Iterable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import msgspec

from assent.engine.drive._actor import Message, RunActor
from assent.engine.drive._engine import Engine, requester_of
from assent.engine.machine._commands import (
    Actor,
    AddStep,
    Approve,
    AskUndo,
    Cancel,
    Close,
    Command,
    Expire,
    Recover,
    Reject,
    Resolve,
    SendSignal,
)
from assent.engine.ports import Services
from assent.engine.record._record import ApprovalRecord, RunRecord, StepRecord
from assent.engine.replay._recording import Recording
from assent.engine.replay._replayed_capabilities import UNDO_SUFFIX, ReplayCatalogue, ReplayedCapability
from assent.engine.replay._script import Script
from assent.engine.steps._admission import OF_THE_SESSION
from assent.engine.steps._rehearsal import Rehearsal
from assent.engine.steps._scope import RunScope
from assent.engine.waiting._keys import Claim
from assent.engine.waiting._timers import RunTimers, Timers
from assent.errors import AssentError, Json, RefusedError
from assent.invocation import Invocation, Pipeline, Prepared, Uses, World
from assent.invocation.context.telling import telling
from assent.journal import Batch
from assent.policy import PolicyContext
from assent.spec.events import kinds as ev
from assent.spec.ids import PlanId, RunId, StepKey
from assent.spec.ports import Ids
from assent.spec.principal import Principal
from assent.spec.states import StepState

STEPS_MAX = 1_000_000
"""Steps under way at once: the record says how many there were, so the limit of today does not count."""


@dataclass(frozen=True, slots=True)
class Replayed:
    """What came of a replay: its own recording, where it could not go on and what it had to assume."""

    recording: Recording
    went_astray: bool
    stopped: tuple[StepKey, ...]
    assumed: tuple[StepKey, ...]


async def replay(
    recording: Recording,
    services: Services,
    catalogue: ReplayCatalogue,
    script: Script,
    *,
    live: frozenset[str] = frozenset(),
) -> Replayed:
    """Play a recording to its end, or as far as it tells. `services` are a replay's own: a journal in memory, a simulated world.

    `live` names the capabilities of `catalogue` that really run.
    """
    pipeline = services.pipeline.apart(_ReplayPipeline)
    pipeline.script = script
    simulated = msgspec.structs.replace(
        services,
        pipeline=pipeline,
        difference=lambda _: script.undo_difference(),
        clock=_RecordedClock(script),
        ids=_RecordedIds(services.ids, recording.run),
        limits=msgspec.structs.replace(
            services.limits, concurrent_steps=STEPS_MAX, concurrent_steps_of_all=STEPS_MAX
        ),
    )
    engine = _ReplayEngine(simulated, catalogue, script, live)
    try:
        with telling(None):  # what is played has been told of, when it happened
            await _Director(engine, script, simulated).play()
        journal = services.journal
        stopped = engine.waiting(recording.run)
        return Replayed(
            await Recording.of_journal(journal, recording.run),
            script.is_off,
            stopped,
            tuple(script.assumed),
        )
    finally:
        await engine.close()


@dataclass(frozen=True, slots=True)
class _RecordedClock:
    """The recorded time of what comes next."""

    script: Script

    def now_ms(self) -> int:
        return self.script.now_ms

    def monotonic_ms(self) -> int:
        return self.script.now_ms


@dataclass(frozen=True, slots=True)
class _RecordedIds:
    """A replay is of the same run."""

    others: Ids
    run: RunId

    def run_id(self) -> RunId:
        return self.run

    def plan_id(self) -> PlanId:
        return self.others.plan_id()

    def request_id(self) -> str:
        # The record does not tell them: no rule depends on one.
        return self.others.request_id()


class _ReplayPipeline(Pipeline):
    """The way of every call, told by the record what stood in it."""

    script: Script

    def counted(self, call: Invocation, question: PolicyContext, lead: int | None = None) -> PolicyContext:
        return msgspec.structs.replace(question, counts=self.script.counts_of(call.context.step, lead))

    def lack_of_room(
        self, step: str, questions: Iterable[PolicyContext], planned: Uses
    ) -> AssentError | None:
        del questions, planned
        refusal = self.script.refusal_to_take_back(StepKey(step))
        return refusal if refusal is not None and refusal.code == "LIMIT_REACHED" else None

    async def allow(self, call: Invocation) -> None:
        self.script.require_begun(call.context.step)
        await super().allow(call)

    async def capture(self, call: Invocation, *, timeout_s: float | None) -> Prepared | None:
        if call.context.key.endswith(UNDO_SUFFIX) and isinstance(call.bound, ReplayedCapability):
            return self.script.prepare_undo(call.context.step)
        return await super().capture(call, timeout_s=timeout_s)

    def is_alive(self, key: str) -> bool:
        del key  # A thread of the run itself, which has the same key, may live while it is replayed; that is none of ours.
        return self.script.is_doubted("EFFECT_ALIVE")


class _RecordedTimers(RunTimers):
    """A time has come when the record says that it had."""

    def __init__(self, timers: Timers, run: RunId, script: Script) -> None:
        super().__init__(timers, run)
        self._script = script

    def may_try_again(self, step: StepRecord) -> bool:
        return self._script.may_begin(step.key)

    def has_waited(self, step: StepRecord) -> bool:
        return self._script.is_end_of_wait(step.key)

    def has_run_out(self, record: RunRecord) -> bool:
        return record.ends_at_ms is not None and self._script.is_time_out()

    def has_expired(self, asked: ApprovalRecord) -> bool:
        return self._script.is_expiry(asked.request.step)


class _ReplayActor(RunActor):
    """Drives a replayed run: nothing begins and nothing answers before its turn. `may_rest` is all it does of itself."""

    def __init__(self, scope: RunScope, script: Script, live: frozenset[str], *, durable_n: int) -> None:
        super().__init__(scope, durable_n=durable_n)
        self._script = script
        self._live = live
        self._turns: dict[StepKey, tuple[str, Event]] = {}

    @property
    def held(self) -> tuple[StepKey, ...]:
        """The steps whose part has no answer."""
        return tuple(self._turns)

    def begin(
        self, created: ev.RunCreated, inputs: dict[str, Json], key: str | None = None, told: Json = None
    ) -> ev.RunCreated:
        event = super().begin(created, inputs, key, told)
        self._script.observe(event)
        return event

    def _note(self, event: ev.AnyEvent) -> None:
        super()._note(event)
        self._script.observe(event)

    @property
    def goes_on(self) -> bool:
        # Another attempt comes when it is its turn; no time has to pass for it.
        return False

    def _next_ready(self) -> StepKey | None:
        return next((key for key in self._readiness.ready if self._script.may_begin(key)), None)

    def _take_turn(self, key: StepKey) -> bool:
        # One that a person agreed to is not among those that are ready, and was perhaps called off before it began.
        return self._script.may_begin(key) and super()._take_turn(key)

    async def _rehearse(self, *, partial: bool) -> Rehearsal:
        self._script.is_rehearsing = True
        try:
            return await super()._rehearse(partial=partial)
        finally:
            self._script.is_rehearsing = False

    def _launch(self, key: StepKey, work: Coroutine[Any, Any, Command]) -> None:
        step = self.record.steps[key]
        part = step.task.value if step.task is not None else "execute"
        if step.state is StepState.COMPENSATING:
            part = "compensate"
        turn = Event()
        self._turns[key] = (part, turn)
        super()._launch(key, _at_turn(turn, work))

    async def _next_message(self) -> Message | None:
        # What a step that really runs waits for, before it begins, comes before any answer.
        if not self._inbox and not self._preparing.tasks:
            key = next((key for key, (part, _) in self._turns.items() if self._may_answer(key, part)), None)
            if key is None:
                return None
            _, turn = self._turns.pop(key)
            turn.set()
        return await self._inbox.get()

    def _may_answer(self, key: StepKey, part: str) -> bool:
        is_live = self.record.steps[key].capability in self._live
        return self._script.may_answer(key, part, is_live=is_live)


async def _at_turn(turn: Event, work: Coroutine[Any, Any, Command]) -> Command:
    try:
        await turn.wait()
    except asyncio.CancelledError:
        work.close()
        raise
    return await work


class _ReplayEngine(Engine):
    """An engine whose runs are driven by a script."""

    def __init__(
        self, services: Services, catalogue: ReplayCatalogue, script: Script, live: frozenset[str]
    ) -> None:
        super().__init__(services, catalogue)
        self._script = script
        self._live = live

    def make_timers(self, run: RunId) -> RunTimers:
        return _RecordedTimers(self._timers, run, self._script)

    def make_actor(self, scope: RunScope, *, durable_n: int) -> RunActor:
        return _ReplayActor(scope, self._script, self._live, durable_n=durable_n)

    async def inner_of(self, run: RunId, step: StepKey) -> ev.Inner | None:
        """As it was on record: a replay begins no other run."""
        del run
        return self._script.inner(step)

    async def rehearse_inner(self, inner: RunId, world: World, *, partial: bool) -> Rehearsal:
        """As it came to: what kept it from being taken back is on record with the undo."""
        del world
        return Rehearsal(tuple(self._script.obstacles(inner)), "", partial)

    async def end_process(self, run: RunId) -> None:
        """Drop what is in memory of a run, as the end of its process did."""
        actor = self._actors.pop(run, None)
        if actor is not None:
            await actor.stop()

    async def doubt(self, run: RunId, event: ev.RunDoubted) -> None:
        """Put on record that a person took the end of the ledger as it was, while no process owned it."""
        await self.end_process(run)
        record = await self._load(run)
        services = self._services
        batch = Batch(run=run, expected_n=record.n, at_ms=services.clock.now_ms(), events=(event,))
        await services.journal.append(batch)
        self._script.observe(event)

    def waiting(self, run: RunId) -> tuple[StepKey, ...]:
        """The steps of a run that wait for an answer which the record does not have."""
        actor = self._actors.get(run)
        return actor.held if isinstance(actor, _ReplayActor) else ()


class _Director:
    """Has everybody outside the run say what they said: people, whoever added steps, the end of a process."""

    def __init__(self, engine: _ReplayEngine, script: Script, services: Services) -> None:
        self._engine = engine
        self._script = script
        self._services = services
        self._recording = script.recording
        self._run = script.recording.run

    async def play(self) -> None:
        """Start the run and prompt until nothing more comes of it."""
        created = self._recording.created
        run = await self._engine.start(
            self._recording.blueprint(),
            self._recording.object(created.inputs),
            self._asker(created),
            environment=created.environment,
            plan=created.plan,
            labels=frozenset(created.labels),
            priority=created.priority,
            claim=self._claim(created),
        )
        last: ev.AnyEvent | None = None
        while True:
            await self._engine.drive(run)
            expected = self._script.expected
            if self._script.is_off:
                if not await self._answer_as_recorded():
                    return
            elif expected is None:
                return
            elif expected is last or not await self._prompt(expected):
                self._script.stray()
            last = expected

    def _claim(self, created: ev.RunCreated) -> Claim | None:
        if created.concurrency_key is None or created.concurrency is None:
            return None
        text = str(self._recording.value(created.concurrency))
        return Claim(created.concurrency_key, created.concurrency_limit, created.on_busy, text)

    async def _prompt(self, event: ev.AnyEvent) -> bool:
        """Say what leads to a recorded event; false when nobody outside the run does, or the run refuses to hear it."""
        try:
            match event:
                case ev.RunRecovered(retry=False):
                    await self._engine.end_process(self._run)
                case ev.RunDoubted():
                    await self._engine.doubt(self._run, event)
                case ev.StepAdded():
                    await self._add_step(event)
                case ev.StepSucceeded(attempt=0) | ev.StepFailed(attempt=0) | ev.RunTimedOut():
                    # Nobody says it: a time has come.
                    (await self._engine.actor(self._run)).wake()
                case ev.SignalReceived():
                    with suppress(RefusedError):  # that it was not let in is what is recorded
                        await self._engine.deliver(self._run, self._signal(event))
                case ev.UndoRequested():
                    actor = self._actor(event.by, event)
                    is_inner = event.rule == OF_THE_SESSION
                    await self._engine.deliver(self._run, AskUndo(actor, event.partial, is_inner=is_inner))
                case _:
                    command = await self._command(event)
                    if command is None:
                        return False
                    await self._engine.deliver(self._run, command)
        except AssentError:
            return False
        return True

    async def _command(self, event: ev.AnyEvent) -> Command | None:
        match event:
            case ev.RunRecovered():
                return Recover(retry=True)
            case ev.CancelRequested():
                return Cancel(self._actor(event.by, event), event.replaced_by, step=event.step)
            case ev.SessionClosed():
                return Close()
            case ev.ApprovalGranted():
                asked = await self._open(event.step)
                actor = await self._approver(event)
                return Approve(actor, event.step, asked if event.confirmed else None)
            case ev.ApprovalRejected(by=None):
                return Expire(event.step)
            case ev.ApprovalRejected():
                said = self._recording.value(event.reason)
                text = str(said["reason"]) if isinstance(said, dict) else ""
                return Reject(await self._approver(event), event.step, text=text)
            case ev.StepResolved():
                value = self._recording.value(event.output)
                return Resolve(self._actor(event.by, event), event.step, event.resolution, value=value)
            case _:
                return None

    async def _add_step(self, event: ev.StepAdded) -> None:
        call = self._recording.object(event.call)
        asked = event.inputs
        parameters = call.get("parameters") if asked is None else self._recording.object(asked)
        actor = await self._engine.actor(self._run)
        actor.blueprint.add_call(
            event.step, str(call.get("capability")), parameters if isinstance(parameters, dict) else {}
        )
        inputs = None if asked is None else actor.hand_over(parameters, event.step)
        await actor.deliver(AddStep(msgspec.structs.replace(event, call=actor.bind(call), inputs=inputs)))

    def _signal(self, event: ev.SignalReceived) -> SendSignal:
        value = self._recording.value(event.payload)
        return SendSignal(self._actor(event.by, event), event.signal, value)

    async def _answer_as_recorded(self) -> bool:
        """Off the script: whoever was asked about a step then gives the same answer about it now, once."""
        record = (await self._engine.look(self._run)).record
        open_now = {asked.request.step for asked in record.open_approvals()}
        for event in self._script.unsaid(open_now):
            if await self._prompt(event):
                return True
        return False

    async def _open(self, step: StepKey) -> str | None:
        record = (await self._engine.actor(self._run)).record
        return next(
            (asked.request.digest for asked in record.open_approvals() if asked.request.step == step), None
        )

    async def _approver(self, event: ev.ApprovalGranted | ev.ApprovalRejected) -> Actor:
        """Who answered, with the roles that the question asked for: the runtime accepted them then."""
        roles: frozenset[str] = frozenset()
        for asked in (await self._engine.actor(self._run)).record.open_approvals():
            if asked.request.step == event.step:
                roles = frozenset(asked.request.roles)
        return self._actor(str(event.by), event, roles)

    def _actor(self, principal: str, act: ev.Act, roles: frozenset[str] = frozenset()) -> Actor:
        known = self._services.roles().get(principal, frozenset())
        return self._acting(Principal.parse(principal, roles=known | roles), act)

    def _asker(self, created: ev.RunCreated) -> Actor:
        who = self._acting(requester_of(created, self._services.roles()), created)
        # What a key or token is for is on no record; that the gate was asked is.
        is_asked = any(one.cancels_others for one in created.key_answers)
        return msgspec.structs.replace(who, may_stop_runs=is_asked)

    @staticmethod
    def _acting(who: Principal, act: ev.Act) -> Actor:
        return Actor(who, act.asserted, act.os_uid, act.identified_by, act.request, act.request_digest)
