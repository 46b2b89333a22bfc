"""The embedded driver: the owning process runs every actor itself, and the journal is what survives it."""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Iterable, Mapping
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Final
from weakref import WeakValueDictionary

from msgspec import structs

from assent.engine.drive._actor import RunActor
from assent.engine.machine._commands import Actor, AskUndo, Cancel, SendSignal, Wish
from assent.engine.machine._interventions import require_hearing
from assent.engine.machine._machine import decide
from assent.engine.ports import Catalogue, Catalogues, Driven, Services
from assent.engine.record._blueprint import Blueprint
from assent.engine.record._record import RunRecord, StepRecord, begin, evolve
from assent.engine.record._values import Values, load_json
from assent.engine.record.projection import changed_rows, fold
from assent.engine.steps._rehearsal import Rehearsal, UndoPlan
from assent.engine.steps._scope import RunScope
from assent.engine.steps._terms import KeyAsked, RunFacts, ask_gate_about_key
from assent.engine.waiting._keys import CANCELLING, Claim, has_room
from assent.engine.waiting._lines import Rank
from assent.engine.waiting._starts import Admission, Starts, taken
from assent.engine.waiting._timers import RunTimers, Timers
from assent.engine.waiting._together import together
from assent.engine.waiting._turns import INSIDE, Bound
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.invocation import Hook, Share, World, require_unexposed
from assent.invocation.context.telling import telling
from assent.journal import Batch, each_row
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, PlanId, RunId, StepKey, request_of_step
from assent.spec.principal import Principal, is_account
from assent.spec.states import PRIORITY, Mode, OnBusy, RunState, StepState

WOKEN_AT_ONCE: Final = 32
"""Runs whose time has come that are made anew from the journal at once."""

TURN_S: Final = 1.0
"""So long one of them keeps others from their turn at most."""

LOOK_AGAIN_MS: Final = 60_000
"""After this a run is looked at again that uses what is not registered here, or not yet, or that a full disk has stopped."""

_SETTLED: Final = frozenset(
    {
        StepState.DENIED,
        StepState.SUCCEEDED,
        StepState.FAILED,
        StepState.SKIPPED,
        StepState.COMPENSATED,
    }
)
"""Steps that need nobody as long as nothing is taken back."""

_WAITING: Final = (
    ("approvals", "pending", "requested_at_ms", "expires_at_ms"),
    ("waits", "waiting", "since_ms", "due_ms"),
)
"""Where the moments stand that runs wait for: the table, the status of a row that counts, since when and until when."""

LOGGER: Final = logging.getLogger("assent.engine")

TOLD_MAX: Final = 64
"""Answers that are not kept are remembered of so many runs that ended once somebody had agreed: whoever asked has yet to look."""

_UNBOUND: Final = Commitment("")


class _Look:
    """A look at the journal that takes a while."""

    is_outdated = False


class _Looks:
    """The looks that are being taken, by what is looked at: a run or a key."""

    def __init__(self) -> None:
        self._taken: WeakValueDictionary[str, _Look] = WeakValueDictionary()

    def at(self, name: str) -> _Look:
        """One that is taken from now on; who looks at the same at the same time has the same."""
        return self._taken.setdefault(name, _Look())

    def outdate(self, name: str) -> None:
        """What was seen may be so no more: who looks has to look again."""
        look = self._taken.pop(name, None)
        if look is not None:
            look.is_outdated = True


class Engine:
    """The `Driver` of the embedded form: runs of this process, each with an actor while anything of it moves."""

    def __init__(self, services: Services, catalogues: Catalogues) -> None:
        self._services = services
        self._catalogues = catalogues
        self._bound = Bound.of(services.limits.concurrent_steps_of_all)
        self._starts = Starts(services.limits.runs, services.limits.queue, self._wake_apart)
        self._actors: dict[RunId, RunActor] = {}
        self._held: set[RunId] = set()
        self._taken_on: set[RunId] = set()
        self._paused: set[RunId] = set()
        self._told: dict[RunId, tuple[str, Mapping[str, Json]]] = {}
        self._stopped: dict[RunId, str] = {}
        self._watches = False
        self._timers = Timers(services.clock, self._wake)
        self._looks = _Looks()
        self._woken: dict[RunId, None] = {}
        self._waking: Task[None] | None = None
        self._lining_up: set[Task[None]] = set()
        self._takes_over = False
        self._is_closed = False

    async def start(
        self,
        blueprint: Blueprint,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None = None,
        plan: PlanId | None = None,
        labels: frozenset[str] = frozenset(),
        priority: int = PRIORITY,
        claim: Claim | None = None,
    ) -> RunId:
        """Begin a run and let it go on by itself, or stand in line. Nothing need be durable yet when this returns."""
        self._require_open()
        is_counted = not INSIDE.get()
        if is_counted:
            self._starts.require_room()
        redactor = self._services.pipeline.redactor
        if redactor.is_active:
            # Nothing of such a run may reach the journal, not even that it was asked for.
            said: Json = {"document": blueprint.document.decode(), "inputs": dict(inputs)}
            of = blueprint.workflow.name if blueprint.workflow is not None else "the call"
            require_unexposed(redactor, said, "the inputs", of)
        run = self._services.ids.run_id()
        catalogue = (
            self._catalogues.of_session(None)
            if blueprint.mode is Mode.SESSION
            else self._catalogues.of_run(None)
        )
        workflow = blueprint.workflow
        created = ev.RunCreated(
            workflow=workflow.name if workflow is not None else None,
            workflow_version=workflow.version if workflow is not None else None,
            mode=blueprint.mode,
            principal=str(actor.principal),
            asserted=actor.asserted,
            os_uid=actor.os_uid,
            identified_by=actor.identified_by,
            environment=environment or (workflow.environment if workflow is not None else None),
            document=_UNBOUND,
            inputs=_UNBOUND,
            policy=self._services.gate.digest,
            max_duration_ms=workflow.max_duration_ms if workflow is not None else None,
            has_finally=workflow is not None and workflow.has_finally,
            plan=plan,
            labels=tuple(sorted(labels)),
            catalogue=catalogue.revision or None,
            pins=catalogue.pins(blueprint.references()),
            request=actor.request,
            request_digest=actor.request_digest,
            roles=self._roles_given(actor.principal),
            priority=priority,
            concurrency_key=claim.key if claim is not None else None,
            concurrency_limit=claim.limit if claim is not None else 1,
            on_busy=claim.on_busy if claim is not None else OnBusy.QUEUE,
        )
        asked: KeyAsked | None = None
        if claim is not None:
            asked = ask_gate_about_key(
                self._services.gate,
                _facts(run, created, actor.principal),
                claim,
                self._services.clock.now_ms(),
                may_stop_others=actor.may_stop_others,
            )
            created = structs.replace(created, policy=asked.has.policy_digest, key_answers=asked.answers())
            if not asked.is_denied:
                await self._learn(claim.key)
                # Whoever has the key may be the very run whose handler begins this one.
                self._starts.require_key(claim, may_wait=is_counted and claim.on_busy is not OnBusy.REFUSE)
        record = begin(run, created, self._services.clock.now_ms())
        values = Values(self._services.journal, inputs)
        timers = self.make_timers(run)
        facts = _facts(run, created, actor.principal)
        scope = RunScope(
            self._services, blueprint, catalogue, values, record, facts, self._bound, timers, self
        )
        running = self.make_actor(scope, durable_n=0)
        running.begin(
            created,
            dict(inputs),
            claim.text if claim is not None else None,
            asked.told if asked is not None else None,
        )
        self._keep(running)
        if asked is not None and asked.is_denied:
            claim = None
        has_key = claim is None or self._starts.claim(run, claim, rank_of(record))
        if has_key and (not is_counted or self._starts.has_place(run)):
            running.start()
            return run
        self._starts.come(run)
        # It comes into line also where whoever asked for it has left meanwhile: nobody else would put it there.
        lining_up = self._services.spawn(self._put_in_line(running), name=f"line up {run}")
        self._lining_up.add(lining_up)
        lining_up.add_done_callback(self._lining_up.discard)
        await asyncio.shield(lining_up)
        if claim is not None and not has_key and not record.state.is_finished:
            await self._make_way(record, claim, actor)
        return run

    async def _put_in_line(self, actor: RunActor) -> None:
        """A run that may not begin yet is on record, and no more: it leaves memory."""
        run = actor.record.run
        try:
            await actor.put_on_record()
        except BaseException:
            self._actors.pop(run, None)
            self._taken_on.discard(run)
            self._starts.end(run)
            raise
        finally:
            self._starts.came(run)
        if not actor.is_over:
            self._stand_in_line(actor)

    def _stand_in_line(self, actor: RunActor) -> None:
        self._let_go(actor)
        self._wait_in_line(actor.record)

    def _wait_in_line(self, record: RunRecord) -> None:
        self._starts.wait(record.run, rank_of(record))
        if self.make_timers(record.run).has_run_out(record):
            self._wake_apart(record.run)

    async def line_up(self, run: RunId) -> bool:
        """Have a run that has not begun stand in line, to begin by itself when its turn comes. False for any other."""
        if self.drives(run):
            return False
        look = self._looks.at(run)
        record = await self._load(run)
        if record.has_begun or record.state.is_finished:
            return False
        claim = Claim.of(record.created)
        if claim is not None:
            await self._learn(claim.key)  # whoever came after it may cancel it by that
        if look.is_outdated:
            return await self.line_up(run)
        await self._line_up([record])
        return True

    async def _line_up(self, records: Iterable[RunRecord]) -> None:
        """Have runs stand in line, the most urgent first, and do to others of their key what a new one does.

        That is done before any of them may begin: it may be one that is cancelled for a later one.
        """
        fresh = [record for record in records if record.run not in self._taken_on]
        fresh.sort(key=lambda record: -record.created.priority)
        self._taken_on.update(record.run for record in fresh)
        claims = [(record, claim) for record in fresh if (claim := Claim.of(record.created)) is not None]
        for record, claim in claims:
            self._starts.claim(record.run, claim, rank_of(record))
        try:
            for record, claim in claims:
                await self._make_way(record, claim, asker_of(record.created, self._services.roles()))
        finally:
            for record in fresh:
                if record.run in self._taken_on:
                    self._wait_in_line(record)

    def take_over(self) -> None:
        """Go on with every run of earlier owners: those in line for a key stand before any that comes from now on."""
        self._takes_over = True

    async def _learn(self, key: str) -> None:
        """Know which runs have a key, before anything is done about it here."""
        while not self._starts.keys.knows(key):
            look = self._looks.at(key)
            held = await self._with_key(key, "held")
            waiting = await self._with_key(key, "waiting") if self._takes_over else {}
            records = [await self._load(run) for run in waiting]
            # Somebody else may have learned it meanwhile, and it been forgotten: then none of these runs need have it now.
            if not look.is_outdated:
                self._looks.outdate(key)
                self._starts.keys.learn(
                    key, {run: created.concurrency_limit for run, created in held.items()}
                )
                await self._line_up(records)

    async def _make_way(self, record: RunRecord, claim: Claim, actor: Actor) -> None:
        """Cancel the runs that a new one takes the place of: those that came before it, and that are its principal's own unless
        the policy lets it cancel others'.

        It is on record itself by then, so that a crash in between leaves one that does the same when it comes into line again.
        """
        if claim.on_busy not in CANCELLING:
            return

        def may_stop(run: RunId, created: ev.RunCreated) -> bool:
            return run < record.run and (record.created.may_cancel_others or is_own(created, record.created))

        def has_begun(run: RunId) -> bool:
            known = self._actors.get(run)
            return known is not None and known.record.has_begun

        async def stop(runs: Iterable[RunId]) -> None:
            for run in runs:
                # One that has ended meanwhile, or that a person has to settle, can't be stopped: then it is waited for.
                # Whoever listens asked for the new run, and takes what it hears first for that run's.
                with suppress(AssentError), telling(None):
                    await self.deliver(run, Cancel(actor, record.run, spares_finally=True))

        # Those that wait go first: else they would get the key of those that have it, and begin in order to be stopped.
        waiting = await self._with_key(claim.key, "waiting")
        await stop(run for run, created in waiting.items() if may_stop(run, created) and not has_begun(run))
        if claim.on_busy is OnBusy.CANCEL_RUNNING:
            held = await self._with_key(claim.key, "held")
            # Room is made by the smallest limit that counts then. The run itself may have got the key meanwhile.
            staying = {run: created.concurrency_limit for run, created in held.items() if run != record.run}
            former = []
            for run, created in held.items():
                if has_room(staying, claim.limit):
                    break
                if may_stop(run, created):
                    del staying[run]
                    former.append(run)
            await stop(former)

    async def _with_key(self, key: str, status: str) -> dict[RunId, ev.RunCreated]:
        """The runs that the journal says have a key, or wait for it, oldest first."""
        wanted = {"name": key, "status": status}
        rows = [row async for row in each_row(self._services.journal, "waits", wanted)]
        runs = [RunId(str(row["run_id"])) for row in rows]
        return {run: await self.created(run) for run in runs}

    async def deliver(self, run: RunId, wish: Wish) -> RunRecord:
        """Give a run a wish and wait until what comes of it is durable."""
        actor = await self._actor_for(run, wish)
        try:
            await self._take_back_key(actor, wish)
            await actor.deliver(wish)
        finally:
            self._let_go(actor)
        return actor.record

    async def drive(self, run: RunId, wish: Wish | None = None) -> Driven:
        """The same, if there is a wish, and let the run go on until it ends or waits for a person."""
        while True:
            if wish is None:
                await self._starts.turn(run)
            try:
                actor = await self._actor_for(run, wish)
            except BaseException:
                self._use_place(run)
                raise
            if wish is not None or not self._has_to_wait(actor):
                break
            self._stand_in_line(actor)
            # What has to happen before its turn may never happen here, or only once the handler that asks has ended.
            if self._starts.is_draining or self._starts.is_stuck(run) or INSIDE.get():
                return Driven(actor.record, actor.blueprint, actor.values)
        if wish is not None:
            await self._take_back_key(actor, wish)
        await actor.rest(wish)
        return Driven(actor.record, actor.blueprint, actor.values)

    def _use_place(self, run: RunId) -> None:
        """Whoever waited for a run's turn could not use it: it begins by itself."""
        known = self._actors.get(run)
        if self._starts.is_at_work(run) and (known is None or not known.is_driven) and not self._is_closed:
            self._wake_apart(run)

    def _has_to_wait(self, actor: RunActor) -> bool:
        """Nothing of the run has begun, and it may not yet; an earlier owner may have put it on record."""
        if actor.has_begun or actor.record.state is not RunState.PENDING:
            return False
        run = actor.record.run
        return self._starts.keys.is_wanted_by(run) or not (INSIDE.get() or self._starts.has_place(run))

    async def _take_back_key(self, actor: RunActor, wish: Wish) -> None:
        """Have the key of a run that is to be undone, until it is: others would see half of that. `CONCURRENCY_TAKEN`."""
        record, claim = actor.record, Claim.of(actor.record.created)
        if not isinstance(wish, AskUndo) or claim is None or record.state is not RunState.SUCCEEDED:
            return
        await self._learn(claim.key)
        if not self._starts.keys.take(record.run, claim):
            self._let_go(actor)
            raise taken(claim, self._starts.keys.holders(claim.key))

    async def call(
        self,
        run: RunId,
        capability: str,
        parameters: Mapping[str, Json],
        hooks: Iterable[Hook] = (),
        *,
        by: Actor | None = None,
    ) -> tuple[StepKey, Driven]:
        """Add a step to a session, once for a request, and wait until there is an answer about it; its key."""
        actor = await self.actor(run)
        try:
            key = await actor.add_step(capability, parameters, hooks, by)
        finally:
            self._let_go(actor)
        return key, Driven(actor.record, actor.blueprint, actor.values)

    async def settle(self, run: RunId) -> None:
        """See `Driver.settle`."""
        actor = self._actors.get(run)
        if actor is not None and actor.is_driven and not actor.is_broken:
            await actor.settle()

    async def look(self, run: RunId) -> Driven:
        """How a run stands by its journal; nothing of it moves. `RUN_UNKNOWN`."""
        record = await self._load(run)
        return Driven(record, await self._blueprint(record))

    async def plan_undo(self, run: RunId, asker: Actor, *, partial: bool) -> UndoPlan:
        """What an undo of a run would do: nothing is asked, recorded or touched. `RUN_NOT_UNDOABLE`, `UNDO_ERASED`."""
        actor = await self._actor_for(run, AskUndo(asker, partial))
        try:
            return await actor.plan_undo(asker, partial=partial)
        finally:
            self._let_go(actor)

    async def inner_of(self, run: RunId, step: StepKey) -> ev.Inner | None:
        """The run that a step of a session has begun, as it stands; None where it has begun none."""
        request = request_of_step(run, step)
        known = [one.record for one in self._actors.values() if one.record.created.request == request]
        found = [record.run for record in known] or [
            RunId(str(row["run_id"]))
            for row in await self._services.journal.rows("run_requests", {"request": request}, limit=1)
        ]
        if not found:
            return None
        actor = await self.actor(found[0])
        try:
            return actor.inner
        finally:
            self._let_go(actor)

    async def rehearse_inner(self, inner: RunId, world: World, *, partial: bool) -> Rehearsal:
        """Try on a simulated world to take back what a run has left that is a step of another. `PAYLOAD_ERASED`."""
        actor = await self.actor(inner)
        try:
            return await actor.rehearse_in(world, partial=partial)
        finally:
            self._let_go(actor)

    async def labels(self, run: RunId) -> frozenset[str]:
        """What a run may have read by now, and where it may have sent that. `RUN_UNKNOWN`."""
        return (await self.actor(run)).labels

    async def erase(self, run: RunId, act: RunId) -> None:
        """Erase the payloads of a run that has ended, as whoever asked for the run `act`. `RUN_UNFINISHED`."""
        record = await self._load(run)
        require_ended(record)
        self._told.pop(run, None)
        if record.created.plan is not None:
            await self.erase_reads(record.created.plan, act)
        who = await self._who_asked(act)
        n, at_ms = record.n, self._services.clock.now_ms()
        erased = ev.RunErased(act=act, **who)
        evolve(record, erased, at_ms)
        said = Batch(run=run, expected_n=n, at_ms=at_ms, events=(erased,), rows=changed_rows(record))
        await self._services.journal.erase(run, who=who, at_ms=at_ms, act=act, said=said)

    async def erase_reads(self, plan: PlanId, act: RunId) -> None:
        """Erase what a plan has read, likewise. The caller has checked that the plan is no run's, or that its run has ended."""
        who, at_ms = await self._who_asked(act), self._services.clock.now_ms()
        await self._services.journal.erase(RunId(plan), who=who, at_ms=at_ms, act=act)

    async def _who_asked(self, act: RunId) -> ev.Who:
        """Who asked for a run, as its first event has it."""
        return (await self.created(act)).who()

    async def created(self, run: RunId) -> ev.RunCreated:
        known = self._actors.get(run)
        if known is not None:
            return known.record.created
        for leaf in await self._services.journal.events(run, limit=1):
            assert isinstance(leaf.event, ev.RunCreated)  # INVARIANT: a run begins so
            return leaf.event
        raise _unknown(run)

    async def _actor_for(self, run: RunId, wish: Wish | None) -> RunActor:
        try:
            return await self.actor(run)
        except WorldError as error:
            if error.code != "PAYLOAD_ERASED" or wish is None:
                raise
            if not isinstance(wish, AskUndo):
                # Only what has ended is erased, so there is nothing to decide any more: that is the answer, and needs no payload.
                record = await self._load(run)
                if isinstance(wish, SendSignal):
                    require_hearing(record)
                else:
                    decide(record, wish)
                raise
            raise RefusedError(
                "UNDO_ERASED",
                f"run `{run}` can't be undone: the data that this needs was erased",
                hint="take its effects back by other means",
            ) from None

    def _let_go(self, actor: RunActor) -> None:
        """Forget a run that has ended or broken, or of which nothing moves: the journal tells where it stands.

        A run that waits, for a person or a time, is a few entries of the journal. What comes to it later makes it anew.
        """
        run = actor.record.run
        is_over = actor.is_over
        if is_over or (actor.is_broken and not actor.is_on_record):
            self._starts.end(run)
        if not actor.is_driven:
            self._starts.rest(run, goes_on=actor.goes_on and not is_over)
        if not is_over and not actor.is_broken and (run in self._held or not actor.is_idle):
            return
        # Somebody may have had the run made anew meanwhile, and that one goes on.
        if self._actors.get(run) is not actor:
            return
        del self._actors[run]
        self._looks.outdate(run)
        if is_over or actor.is_broken:
            self._taken_on.discard(run)
        if is_over:
            self._timers.forget(run)
            if actor.values.asked and actor.values.unkept:  # whoever asked did not wait for whoever agreed
                self._told[run] = actor.told
                if len(self._told) > TOLD_MAX:
                    del self._told[next(iter(self._told))]
        elif actor.is_paused:
            self._paused.add(run)
        if actor.failure is not None:
            self._note_stopped(run, actor.failure, is_told=actor.is_heard)
        else:
            self._stopped.pop(run, None)
            actor.let_go()

    def _note_stopped(self, run: RunId, why: BaseException, *, is_told: bool) -> None:
        """A run was stopped by what is no outcome of its steps: counted, told where nobody has heard of it, and tried again.

        Where this watches, it goes on with every run that it can, also where whoever asked for it has heard of it and left.
        """
        if self._is_closed:
            return
        code = why.code if isinstance(why, AssentError) else "INTERNAL_ERROR"
        self._services.pipeline.metrics.stop(code)
        if not is_told and self._stopped.get(run) != code:
            fault = None if isinstance(why, AssentError) else why
            LOGGER.warning("run `%s` was stopped where it is: %s", run, why, exc_info=fault)
        self._stopped[run] = code
        if self._watches or not is_told:
            self._timers.wake_in(run, LOOK_AGAIN_MS)

    def hold(self, run: RunId) -> None:
        """Keep a run in memory also while nothing of it moves: more is coming soon."""
        self._held.add(run)

    def release(self, run: RunId) -> None:
        """Nothing more is coming. Harmless when it is said twice, or too late."""
        self._held.discard(run)
        actor = self._actors.get(run)
        if actor is not None:
            self._let_go(actor)

    def wake(self) -> None:
        """Let every run of this process look again at what it may do: the gate opened, or roles were given anew."""
        for actor in self._actors.values():
            actor.facts.requester = requester_of(actor.record.created, self._services.roles())
            if actor.has_begun and not actor.is_broken:
                actor.wake()
        paused, self._paused = self._paused, set()
        for run in paused:
            self._wake(run)

    async def watch(self) -> None:
        """Have the runs that wait look again when the time for that has passed, those of earlier owners too."""
        self._watches = True
        for table, status, since, due in _WAITING:
            async for row in each_row(self._services.journal, table, {"status": status}):
                due_ms = row[due]
                if due_ms is not None:
                    run, step = RunId(str(row["run_id"])), StepKey(str(row["step"]))
                    if self._timers.is_due(run, step, set_ms=int(row[since] or 0), due_ms=int(due_ms)):
                        self._wake(run)

    def _wake(self, run: RunId) -> None:
        """Let a run look again at what it may do, made anew from the journal when it left memory."""
        actor = self._actors.get(run)
        if actor is not None and not actor.is_broken:
            actor.wake()
            return
        self._woken[run] = None
        if self._waking is None or self._waking.done():
            self._waking = self._services.spawn(self._drive_woken(), name="timers")

    def _wake_apart(self, run: RunId) -> None:
        """The same, apart from what is under way: who listens to another run hears nothing of it, and no handler began it."""
        Context().run(self._wake, run)

    async def _drive_woken(self) -> None:
        while self._woken and not self._is_closed:
            runs, self._woken = [*self._woken], {}
            await together(runs, self._drive_one, self._services.spawn, at_once=WOKEN_AT_ONCE)

    async def _drive_one(self, run: RunId) -> None:
        """Drive a run that nobody asked for. One that this process can't drive stays as it is, and is looked at again later."""
        try:
            record = await self._load(run)
            if record.state.is_finished and not record.open_approvals():
                return
            if not self._knows_all(record):
                self._timers.wake_in(run, LOOK_AGAIN_MS)
                return
            actor = await self.actor(run)
            if not record.has_begun and not self._has_all(actor):
                # Others go first: whoever has what it calls drives it on.
                self._let_go(actor)
                self._taken_on.discard(run)
                self._starts.end(run)
                return
            actor.wake()
            # Others wait for their turn; a run that takes long does not keep them.
            await actor.pause(TURN_S)
        except Exception as error:  # noqa: BLE001 - one that can't be made anew keeps no other from its turn
            self._note_stopped(run, error, is_told=False)
        finally:
            known = self._actors.get(run)
            if known is None or not known.is_driven:
                self._starts.rest(run)

    def _catalogue_of(self, created: ev.RunCreated) -> Catalogue:
        if created.mode is Mode.SESSION:
            return self._catalogues.of_session(created.catalogue)
        return self._catalogues.of_run(created.catalogue, created.pins)

    def _has_all(self, actor: RunActor) -> bool:
        """Whether all that a run will call is registered here, in some version."""
        created = actor.record.created
        catalogue = self._catalogue_of(created)
        return all(catalogue.has(reference.partition("@")[0]) for reference in actor.blueprint.references())

    def _knows_all(self, record: RunRecord) -> bool:
        """Whether what the run has used is registered here: taking it back may need it."""
        catalogue = self._catalogue_of(record.created)
        try:
            for step in record.steps.values():
                if step.intent is not None and step.capability is not None and step.version is not None:
                    catalogue.exact(step.capability, step.version, step.asked_version)
        except AssentError:
            return False
        return True

    async def actor(self, run: RunId) -> RunActor:
        """The run's actor, made from the journal when this process has none. `RUN_UNKNOWN` when there is no such run."""
        self._require_open()
        while True:
            known = self._actors.get(run)
            if known is not None and not known.is_broken:
                return known
            look = self._looks.at(run)
            scope, claim = await self._read(run)
            if claim is not None:
                await self._learn(claim.key)
            # What was read may have been waited for, and somebody else have made it meanwhile: a run has one. And that one may
            # have moved the run and left again: who acts on what was read before would have the key of a run that has ended.
            known = self._actors.get(run)
            if not look.is_outdated and (known is None or known.is_broken):
                break
        record = scope.record
        actor = self.make_actor(scope, durable_n=record.n)
        self._keep(actor)
        if claim is not None and not self._starts.claim(run, claim, rank_of(record)):
            self._wait_in_line(record)
        return actor

    async def _read(self, run: RunId) -> tuple[RunScope, Claim | None]:
        """What an actor of a run is made of, and the key that the run wants or has."""
        record = await self._load(run)
        values = Values(self._services.journal, {})
        inputs = await values.load_object(record.created.inputs)
        blueprint = Blueprint.of_document(await values.load_object(record.created.document), inputs)
        values = Values(self._services.journal, inputs)
        # Not resolved anew: a label that moved since must not change what the rest of the run does.
        catalogue = self._catalogue_of(record.created)
        await values.restore(record, blueprint.steps, partial(_has_unkept, catalogue))
        await _add_calls(record.steps.values(), blueprint, values)
        timers = self.make_timers(run)
        facts = _facts(run, record.created, requester_of(record.created, self._services.roles()))
        scope = RunScope(
            self._services, blueprint, catalogue, values, record, facts, self._bound, timers, self
        )
        return scope, None if record.state.is_finished else Claim.of(record.created)

    def _roles_given(self, principal: Principal) -> tuple[str, ...] | None:
        """Roles that are not those which are configured: a run that leaves memory would come back without them."""
        configured = self._services.roles().get(str(principal), frozenset())
        return None if principal.roles == configured else tuple(sorted(principal.roles))

    def _keep(self, actor: RunActor) -> None:
        self._actors[actor.record.run] = actor
        self._taken_on.add(actor.record.run)

    def make_actor(self, scope: RunScope, *, durable_n: int) -> RunActor:
        """What drives one run here; a replay has its own."""
        run = scope.record.run
        is_keyed = scope.record.created.concurrency_key is not None
        return RunActor(
            scope,
            durable_n=durable_n,
            may_begin=(lambda: self._starts.keys.has(run)) if is_keyed else (lambda: True),
            on_drive=lambda: self._starts.work(run),
            on_pause=self._let_go,
        )

    def make_timers(self, run: RunId) -> RunTimers:
        """What wakes one run here."""
        return RunTimers(self._timers, run)

    async def _load(self, run: RunId) -> RunRecord:
        """The record that the journal's events make, whether or not the run is under way here."""
        record: RunRecord | None = None
        for leaf in await self._services.journal.events(run):
            record = fold(record, leaf)
        if record is None:
            raise _unknown(run)
        record.dirty.clear()
        return record

    async def _blueprint(self, record: RunRecord) -> Blueprint | None:
        """What a run was going to do; None when that was erased."""
        known = self._actors.get(record.run)
        if known is not None:
            return known.blueprint
        document = await load_json(self._services.journal, record.created.document)
        return Blueprint.of_document(document) if document is not None else None

    def under_way(self) -> list[RunId]:
        """The runs that this process drives, those included of which nothing is durable yet."""
        return [run for run, actor in self._actors.items() if not actor.record.state.is_finished]

    def drives(self, run: RunId) -> bool:
        """Whether this process began the run or went on with it, and nothing but its end has stopped it."""
        return run in self._taken_on

    def stopped(self) -> Mapping[RunId, str]:
        """The runs that something stopped which is no outcome of their steps, as a full disk is, and its code."""
        return self._stopped

    def asked_of(self, run: RunId) -> Mapping[str, Json]:
        """What calls of a run are made with that people are asked about, of which not all is kept: as this process knows it."""
        actor = self._actors.get(run)
        return (
            {}
            if actor is None
            else {key: one for key, one in actor.values.asked.items() if key in actor.record.awaiting}
        )

    def told_to(self, run: RunId, principal: str) -> Mapping[str, Json]:
        """See `Driver.told_to`."""
        actor = self._actors.get(run)
        whose, told = self._told.get(run, ("", {})) if actor is None else actor.told
        return told if whose == principal else {}

    async def may_call(self, run: RunId) -> list[str]:
        """The references to capabilities that a run may still go on to call: none where it has ended.

        Of a session that is not taken back those of the steps that have not settled: what it did needs nobody to go on with it.
        """
        record = await self._load(run)
        blueprint = None if record.state.is_finished else await self._blueprint(record)
        if blueprint is None:
            return []
        if run not in self._actors:
            is_forward = record.state in (RunState.RUNNING, RunState.WAITING)
            steps = record.steps.values()
            going_on = [step for step in steps if not (is_forward and step.state in _SETTLED)]
            await _add_calls(going_on, blueprint, Values(self._services.journal, {}))
        return blueprint.references()

    async def versions_of(self, run: RunId) -> set[tuple[str, str]]:
        """Every capability with its version that a run has used or, as far as can be told, will use."""
        known = self._actors.get(run)
        record = known.record if known is not None else await self._load(run)
        used = {
            (step.capability, step.version)
            for step in record.steps.values()
            if step.capability is not None and step.version is not None
        }
        blueprint = await self._blueprint(record)
        if blueprint is None:
            return used
        catalogue = self._catalogue_of(record.created)
        for reference in blueprint.references():
            # A reference that means nothing uses nothing.
            with suppress(AssentError):
                spec = catalogue.find(reference).spec
                used.add((spec.id, spec.version))
        return used

    def admission(self) -> Admission:
        """How many runs are at work, and how many wait to begin."""
        return self._starts.look()

    def drain(self) -> None:
        """Begin no run from now on: starts are refused, and what is in line stays on record."""
        self._starts.drain()

    async def close(self) -> None:
        """Stop every run where it is; each can be resumed. From now on none begins, and none is told anything."""
        self._is_closed = True
        self._starts.drain()
        self._timers.stop()
        if self._waking is not None:
            self._waking.cancel()
            await asyncio.wait({self._waking})
        await asyncio.gather(*(actor.stop() for actor in self._actors.values()))
        self._actors.clear()

    def _require_open(self) -> None:
        if self._is_closed:
            raise InputError(
                "RUNTIME_CLOSED", "the runtime is not open", hint="open it anew, then resume the run"
            )


def _has_unkept(catalogue: Catalogue, step: StepRecord) -> bool:
    """Whether what a step called tells texts that are not kept. What is not here any more is asked for, and missed, then."""
    if step.intent is None:
        return False
    with suppress(AssentError):
        intent = step.intent
        return catalogue.exact(intent.capability, intent.version, intent.asked_version).unkept.told.some
    return True


async def _add_calls(steps: Iterable[StepRecord], blueprint: Blueprint, values: Values) -> None:
    """Add the calls of a session that are on record to what it was going to do."""
    for step in steps:
        if step.call is not None:
            call = await values.load_object(step.call)
            parameters = call["parameters"] if step.asked is None else await values.load_object(step.asked)
            assert isinstance(parameters, dict)  # INVARIANT: `add_step` binds an object
            blueprint.add_call(step.key, str(call["capability"]), parameters)


def _unknown(run: RunId) -> InputError:
    return InputError("RUN_UNKNOWN", f"there is no run `{run}`", hint="list what there is with `assent runs`")


def _facts(run: RunId, created: ev.RunCreated, requester: Principal) -> RunFacts:
    return RunFacts(requester, created.workflow, created.environment, run, created.mode)


def require_ended(record: RunRecord) -> None:
    """Raise RUN_UNFINISHED for a run whose data is still needed."""
    if not record.state.is_finished:
        raise InputError(
            "RUN_UNFINISHED",
            f"run `{record.run}` is {record.state.value}; its data is still needed",
            hint=f"end it first: `assent cancel {record.run}`",
        )


def rank_of(record: RunRecord) -> Rank:
    """Where a run stands in line."""
    created = record.created
    return Rank(created.priority, Share(created.principal, record.run))


def asker_of(created: ev.RunCreated, configured: Mapping[str, frozenset[str]]) -> Actor:
    """Who asked for a run, as who does more for it."""
    requester = requester_of(created, configured)
    return Actor(requester, created.asserted, created.os_uid, created.identified_by)


def is_own(older: ev.RunCreated, newer: ev.RunCreated) -> bool:
    """Whether who began the newer run may stop the older one by that.

    Whoever came in by a key, a token or a certificate may have been let in to begin runs, and not to stop others'.
    """
    is_same_way = is_account(newer.identified_by) or older.identified_by == newer.identified_by
    return older.principal == newer.principal and is_same_way


def requester_of(created: ev.RunCreated, configured: Mapping[str, frozenset[str]]) -> Principal:
    """Who a run acts for: with the roles that a program gave, else with those that are configured today."""
    given = created.roles
    roles = configured.get(created.principal, frozenset()) if given is None else frozenset(given)
    return Principal.parse(created.principal, roles=roles)
