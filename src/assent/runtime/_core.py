"""Drives runs: begins them, goes on with them, decides, takes back.

The service, and so every door, works with a `Core`; what a program holds is the `Runtime` around one.
"""

from __future__ import annotations

import asyncio
import base64
import logging
import weakref
from collections import OrderedDict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Final

import msgspec

from assent.capabilities.handed import TAKERS, Handed
from assent.engine import (
    Actor,
    Approve,
    AskUndo,
    Blueprint,
    Cancel,
    Claim,
    Close,
    Driven,
    Recover,
    Reject,
    Resolve,
    RunRecord,
    RunResult,
    SendSignal,
    Wish,
    describe_run,
    require_open,
    to_take_back,
    to_take_back_alone,
    together,
)
from assent.errors import AssentError, InputError, Json, RefusedError
from assent.invocation import Hook
from assent.invocation.context.telling import News, listener_here, telling
from assent.journal import CLAIMS, OneOf, each_row, is_claimed
from assent.policy import PolicyEngine
from assent.runtime._find_run import UNFINISHED, undo_refusal
from assent.runtime._outlook import Outlook
from assent.runtime._parts import Who, literal
from assent.runtime.runs._inner_runs import InnerRuns
from assent.runtime.runs._loading import WorkflowSource, load_workflow
from assent.runtime.runs._saved_plans import anothers, stale, used
from assent.runtime.runs._session import Held
from assent.runtime.settings.effective import Settings
from assent.spec.events.kinds import Act, ApprovalRefused
from assent.spec.ids import (
    ERASE_CAPABILITY,
    OF_CONNECTIONS,
    OF_NAMED,
    OF_PROCESSES,
    SCHEDULE_CAPABILITIES,
    PlanId,
    RunId,
    StepKey,
    plans_apart,
    step_of_request,
)
from assent.spec.states import PRIORITY, Mode, Resolution, RunState, StepState
from assent.spec.unkept_fields import is_marked, not_kept
from assent.spec.workflow.definition import WorkflowSpec, require_outside_session
from assent.spec.workflow.inputs import kept
from assent.system import SystemEntropy

RESUMED_AT_ONCE: Final = 32
"""Runs that `resume` drives at the same time."""

LOGGER: Final = logging.getLogger("assent.sessions")

LEFT_S: Final = 5.0
"""So often an owner that stays looks for sessions of processes that have ended."""

SILENCE_S: Final = 30 * 60.0
"""A session that its agent names, and that nobody has called for so long, is closed."""

_OPEN: Final = OneOf((RunState.PENDING.value, RunState.RUNNING.value, RunState.WAITING.value))

SESSIONS_KEPT_MAX: Final = 64
"""Sessions of other processes that stay in memory; an older one is read from the journal when it is called again."""


class Core(Outlook):
    """Acts in one workspace, in the process that owns its state directory."""

    def __init__(self, settings: Settings, *, policy: PolicyEngine | None = None) -> None:
        super().__init__(settings, policy=policy)
        self._coming: set[RunId] = set()
        self.taken_up: Final = set[RunId]()
        """Sessions of earlier owners that were asked for here again, by the request in which they began."""
        self._turns: dict[str, asyncio.Event] = {}
        self._kept: OrderedDict[RunId, Held] = OrderedDict()
        self.app.offer("assent.capabilities.workflow._run.WorkflowRuns", InnerRuns(self, self._drive).offered)

    async def run(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Json] | None = None,
        *,
        principal: Who = None,
        environment: str | None = None,
        id: str | None = None,  # noqa: A002 - as `--id`, which it is
        priority: int = PRIORITY,
    ) -> RunResult:
        """Run a workflow until it ends or waits.

        `id`: begin it once; under the same id the first run is told of, or goes on. `REQUEST_REUSED` where that was another one.
        `priority`, 0 to 10: who begins first where not all can. Raises only for a workflow or inputs that can't be used,
        `QUEUE_FULL` and `CONCURRENCY_TAKEN`. One that waits for a concurrency key is `pending` when whoever has it waits, too.
        """
        del id  # `Runtime` asks for it as a request, which looks for an earlier one
        spec = load_workflow(workflow)
        given = {} if inputs is None else inputs
        return await self.run_spec(
            spec, given, self.actor(principal), environment=environment, priority=priority
        )

    async def run_spec(
        self,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None = None,
        plan: PlanId | None = None,
        labels: frozenset[str] = frozenset(),
        priority: int = PRIORITY,
    ) -> RunResult:
        """Run a parsed workflow for somebody. `labels`: of what `plan` has read, and of the session that it is run in."""
        bound = self.check_spec(spec, inputs)
        blueprint = Blueprint.of_workflow(spec)
        environment = environment or self.settings.environment
        return await self._begin(
            blueprint,
            bound,
            actor,
            environment=environment,
            plan=plan,
            labels=labels,
            priority=priority,
            claim=self._claim(spec, bound, actor, environment),
        )

    def _claim(
        self, spec: WorkflowSpec, inputs: Mapping[str, Json], actor: Actor, environment: str | None
    ) -> Claim | None:
        wanted = spec.concurrency
        if wanted is None:
            return None
        text = wanted.key_of(spec, inputs, str(actor.principal), environment)
        return Claim(self.digest_of({"concurrency": text}), wanted.limit, wanted.on_busy, text)

    async def call(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        principal: Who = None,
        environment: str | None = None,
        hooks: Iterable[Hook] = (),
        id: str | None = None,  # noqa: A002 - as `--id`, which it is
        priority: int = PRIORITY,
    ) -> RunResult:
        """Call one capability: a run of one step. The parameters are literal; `hooks` are this call's alone; `id` as in `run`."""
        del id
        require_outside_session(capability)
        given = literal(capability, parameters)
        self.capabilities.current().find(capability).require_references(given)
        blueprint = Blueprint.of_call(capability, given, hooks)
        environment = environment or self.settings.environment
        who = self.actor(principal)
        return await self._begin(blueprint, given, who, environment=environment, priority=priority)

    async def session(
        self, *, principal: Who = None, environment: str | None = None, priority: int = PRIORITY
    ) -> Held:
        """Begin a run whose steps arrive one at a time."""
        actor = self.actor(principal)
        await self.versions.record()
        environment = environment or self.settings.environment
        run = await self.running.start(
            Blueprint.of_session(), {}, actor, environment=environment, priority=priority
        )
        await self.running.drive(run)
        return self.hold(run)

    def hold(self, run: RunId) -> Held:
        """Keep a session in memory until it is closed, or nobody can call it any more."""
        held, driver = Held(run), self.running
        driver.hold(run)
        weakref.finalize(held, driver.release, run)
        return held

    def keep(self, session: Held) -> None:
        """A session that another process calls, and which nothing here refers to: it stays in memory beside the newest others."""
        self._kept[session.run_id] = session
        while len(self._kept) > SESSIONS_KEPT_MAX:
            self._kept.popitem(last=False)

    async def add_step(
        self,
        run: str,
        capability: str,
        parameters: Mapping[str, Json],
        hooks: Iterable[Hook] = (),
        *,
        principal: Who = None,
        id: str | None = None,  # noqa: A002 - as `--id`, which it is
    ) -> RunResult:
        """What `Session.call` does; who asks says only under which request. `REQUEST_REUSED`."""
        del id
        given = literal(capability, parameters)
        self.capabilities.current().find(capability).require_references(given)
        await self.versions.record()  # it may have come since the session began
        by = self.actor(principal)
        key, driven = await self.running.call(RunId(run), capability, given, hooks, by=by)
        await self._handed_after_run(driven)
        step = driven.record.steps[key]
        if by.request is not None and step.request == by.request:
            require_same_request(by.request, (str(by.principal), step.request_digest), by)
        return await self._result(driven, key)

    async def close_session(self, run: str) -> RunResult:
        """What `Session.close` does. `CAPABILITY_ABSENT` where a step goes on and this process can't drive it on."""
        await self._require_present(RunId(run))
        return await self._drive(RunId(run), Close())

    def watch_sessions(self) -> None:
        """Close, as long as this is open, the sessions that nobody can call any more, whoever left them; each can be undone."""
        watching = self.ready.spawn(self._watch_sessions(), name="sessions that are left")

        async def end() -> None:
            watching.cancel()
            await asyncio.wait({watching})

        self.exit.push_async_callback(end)

    async def _watch_sessions(self) -> None:
        clock = self.ready.clock
        known = {run: request async for run, request in self._open_sessions({})}
        for run, request in known.items():
            if request.startswith(OF_CONNECTIONS):  # to an owner before this one
                await self._close_left(run)
        named, until_ms = (
            [run for run in known if known[run].startswith(OF_NAMED)],
            clock.monotonic_ms() + SILENCE_S * 1000,
        )
        while True:
            for run, request in known.items():
                if request.startswith(OF_PROCESSES) and not is_claimed(self.settings.state, _number(request)):
                    await self._close_left(run)
            if clock.monotonic_ms() >= until_ms:
                for run in [one for one in named if one in known and one not in self.taken_up]:
                    await self._close_left(run)
                named.clear()
            await asyncio.sleep(LEFT_S)
            known = {run: request async for run, request in self._open_sessions(known)}

    async def _close_left(self, run: RunId) -> None:
        try:
            await self.close_session(run)
        except AssentError as fault:  # it stays as it is, and is looked at again
            LOGGER.warning("the session `%s`, whose agent has gone, could not be closed: %s", run, fault)

    async def _open_sessions(self, known: Mapping[RunId, str]) -> AsyncIterator[tuple[RunId, str]]:
        """The sessions that have not ended, each with the request in which it began; `known` are not looked up again."""
        async for row in each_row(self.reader, "runs", {"mode": Mode.SESSION.value, "status": _OPEN}):
            run = RunId(str(row["run_id"]))
            if run in known:
                yield run, known[run]
            else:
                yield run, (await self.running.created(run)).request or ""

    async def approve(
        self,
        run: str,
        step: str | None = None,
        *,
        principal: Who = None,
        digest: str | None = None,
    ) -> RunResult:
        """Agree to what waits, and drive the run on, as its requester, until it ends or waits again.

        `digest`: what was shown; None is journaled as not confirmed. Raises what refused an undo that was agreed to, and
        `CAPABILITY_ABSENT` for a run that this process can't drive on.
        """
        await self._require_present(RunId(run))
        actor = self.actor(principal)
        key = StepKey(step) if step is not None else None
        result = await self._drive(RunId(run), Approve(actor, key, digest))
        return await self.undone_or_raise(RunId(run), result)

    async def reject(
        self,
        run: str,
        step: str | None = None,
        *,
        reason: str = "",
        principal: Who = None,
        digest: str | None = None,
    ) -> RunResult:
        """Refuse what waits; the run ends as by a denial.

        `digest`: what was shown; APPROVAL_STALE when something else is asked by now.
        """
        key = StepKey(step) if step is not None else None
        return await self._drive(RunId(run), Reject(self.actor(principal), key, digest=digest, text=reason))

    async def cancel(
        self, run: str, *, last: bool = False, principal: Who = None, spares_finally: bool = False
    ) -> RunResult:
        """Stop a run between effects and take its effects back; while its `finally` goes on, end that, unless it is spared.

        `last`: take back the last step of a session that can be, and let the session go on. The result tells of that step, and
        of later ones that stay as they are. `RUN_UNFINISHED` while a step is under way, `RUN_NOT_UNDOABLE` where there is none.
        """
        actor = self.actor(principal)
        if last:
            return await self._take_back_last(RunId(run), actor)
        return await self._drive(RunId(run), Cancel(actor, spares_finally=spares_finally))

    async def _take_back_last(self, run: RunId, actor: Actor) -> RunResult:
        record = (await self.running.look(run)).record
        require_open(record)
        steps = to_take_back_alone(record)
        if not steps:
            raise InputError(
                "RUN_NOT_UNDOABLE",
                f"nothing is left in session `{run}` that can be taken back",
                hint=f"`assent show {run}` tells what it did",
            )
        await self._require_present(run)
        stay = [key for key in to_take_back(record) if key not in steps]
        after = [key for key in stay if (record.steps[key].order or 0) > (record.steps[steps[0]].order or 0)]
        return await self._drive(run, Cancel(actor, step=steps[0]), only=(steps[0], *after))

    async def signal(self, run: str, name: str, payload: Json = None, *, principal: Who = None) -> RunResult:
        """Send a run a signal, which is on record when this returns, and drive the run on until it ends or waits again.

        The first step that waits for a signal of this name, or the next that will, has `payload` as its output. The gate is
        asked (`assent.signal`): `POLICY_DENIED`. `SIGNAL_UNKNOWN`, `SIGNALS_FULL`, `RUN_FINISHED`, and `CAPABILITY_ABSENT` for
        a run that this process can't drive on.
        """
        await self._require_present(RunId(run))
        return await self._drive(RunId(run), SendSignal(self.actor(principal), name, payload))

    async def undo(self, run: str, *, partial: bool = False, principal: Who = None) -> RunResult:
        """Take a run back that succeeded, or whose `finally` left something.

        Nothing is touched unless everything can be; `partial` leaves out what can't.

        Raises what refused it: `POLICY_DENIED`, `UNDO_IMPOSSIBLE`, `COMPENSATION_CONFLICT` …
        """
        result = await self._drive(RunId(run), AskUndo(self.actor(principal), partial))
        return await self.undone_or_raise(RunId(run), result)

    async def undone_or_raise(self, run: RunId, result: RunResult) -> RunResult:
        """The result of a run, unless an undo of it that was asked for or agreed to was refused last: then that is raised."""
        may_be_refused = result.status.is_finished and result.status is not RunState.UNDONE
        refusal = await undo_refusal(self.ready.journal, run) if may_be_refused else None
        if refusal is not None:
            raise refusal
        return result

    async def resolve(
        self,
        run: str,
        step: str,
        resolution: Resolution | str,
        *,
        output: Json = None,
        principal: Who = None,
    ) -> RunResult:
        """Say what became of a step that the runtime could not settle.

        `CAPABILITY_ABSENT` where the run would then go on and this process can't drive it on; giving a step up needs nothing.
        """
        if Resolution(resolution) in (Resolution.HAPPENED, Resolution.NOT_HAPPENED):
            await self._require_present(RunId(run))
        settled = Resolve(self.actor(principal), StepKey(step), Resolution(resolution), value=output)
        return await self._drive(RunId(run), settled)

    async def resume(self, run: str | None = None) -> list[RunResult]:
        """Drive one unfinished run on, or all of them, many at once; what needs attention is tried again.

        The results are in the order of `unfinished`. One that this process lacks a capability for stays as it is: where it was
        named, `CAPABILITY_ABSENT` is raised, and of all of them it is in that run's result. Any other failure of one is raised
        once the others are done.
        """
        return await self.resumed(run)

    async def resumed(self, run: str | None, to: Actor | None = None) -> list[RunResult]:
        """What `resume` does, asked for by somebody: see `_result`."""
        if run is not None:
            return [await self._resume(RunId(run), to)]
        runs = await self.unfinished()
        self._coming.update(runs)
        try:
            # Those that have not begun keep their order, and leave their turn to what the others hold.
            lined_up = [run for run in await self.line_up() if run in runs]
            results: dict[RunId, RunResult] = {}
            for group in ([run for run in runs if run not in lined_up], lined_up):
                resume = partial(self._resume_or_tell, to=to)
                told = await together(group, resume, self.ready.spawn, at_once=RESUMED_AT_ONCE)
                results.update(zip(group, told, strict=True))
            return [results[run] for run in runs]
        finally:
            self._coming.difference_update(runs)

    async def line_up(self) -> list[RunId]:
        """Have the runs that have not begun, and that this process can drive, stand in line again; these are told.

        Those of the highest priority first, and there the oldest: they begin by themselves, as soon as they may.
        """
        self.running.take_over()
        pending = [
            RunId(str(row["run_id"]))
            async for row in each_row(self.reader, "runs", {"status": RunState.PENDING.value})
        ]
        urgency: dict[RunId, int] = {}
        for run in pending:
            if not self.running.drives(run):
                with suppress(AssentError):  # `resume` tells what is wrong with it
                    urgency[run] = (await self.running.created(run)).priority
        lined_up: list[RunId] = []
        for run in sorted(urgency, key=lambda run: -urgency[run]):
            with suppress(AssentError):
                await self._require_present(run)
                await self.running.line_up(run)
                if self.running.drives(run):
                    lined_up.append(run)
            await asyncio.sleep(0)  # there may be thousands
        return lined_up

    async def _resume_or_tell(self, run: RunId, *, to: Actor | None) -> RunResult:
        try:
            return await self._resume(run, to)
        except InputError as error:
            if error.code != "CAPABILITY_ABSENT":
                raise
            self._coming.discard(run)
            return msgspec.structs.replace(await self.show(run), error=error.to_dict())

    async def _resume(self, run: RunId, to: Actor | None) -> RunResult:
        found = await self.running.look(run)
        state = found.record.state
        if state.is_finished:
            return await self._result(found, to=to)
        await self._require_present(run)
        return await self._drive(
            run, Recover(retry=True) if state is RunState.NEEDS_ATTENTION else None, to=to
        )

    async def _require_present(self, run: RunId) -> None:
        """`CAPABILITY_ABSENT` unless this process has what a run that it does not drive yet may go on to call."""
        if self.running.drives(run):
            return
        # Another version than the run's is no absence: it may serve the run, or the step fails, or a person settles it.
        registered = {spec.id for spec in self.registry.list()}
        for reference in await self.running.may_call(run):
            if reference.partition("@")[0] not in registered:
                raise absent(f"run `{run}` calls `{reference}`, which is not registered here")

    def drives(self, run: RunId) -> bool:
        """Whether the run goes on here when it can, or is about to; if not, one that should move is interrupted."""
        return run in self._coming or (self._driver is not None and self._driver.drives(run))

    def stopped(self) -> Mapping[RunId, str]:
        """The runs that something stopped here which is no outcome of their steps, and its code."""
        return {} if self._driver is None else self._driver.stopped()

    async def unfinished(self) -> list[RunId]:
        """The runs that have not ended, oldest first; those that only wait for a person included."""
        going_on = each_row(self.reader, "runs", {"status": UNFINISHED})
        return [RunId(str(row["run_id"])) async for row in going_on]

    async def erase(self, runs: Sequence[str], *, principal: Who = None, compact: bool = False) -> RunResult:
        """Erase the payloads and pre-images of runs that have ended, for good: a call of `assent.erase`, and so a run of its own.

        Ids of plans that were never run may stand among them: what such a plan has read is erased, and its file. `compact`: give
        the room back to the disk. `RUN_UNFINISHED` while one of them is under way, `PLAN_USED` for a plan that is a run's: then
        nothing is asked, and nothing recorded.
        """
        named, plans = plans_apart(runs)
        named = [await self.find(run) for run in named]
        asked: dict[str, Json] = {
            "runs": [*named],
            "plans": [*plans],
            **({"compact": True} if compact else {}),
        }
        self.check_call(ERASE_CAPABILITY, asked)
        await asyncio.to_thread(self.records.held, named, plans)
        return await self.call(ERASE_CAPABILITY, asked, principal=principal)

    async def add_schedule(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Json] | None = None,
        *,
        name: str,
        cron: str | None = None,
        every: str | None = None,
        zone: str | None = None,
        missed: str = "skip",
        overlap: str | None = None,
        principal: Who = None,
        environment: str | None = None,
    ) -> RunResult:
        """Have a workflow run whenever a time comes: a call of `assent.schedule.add`, and so a run of its own.

        The workflow is kept as it is now. Its runs act for who adds it, and begin while a process lives that begins them
        (`assent serve`). `SCHEDULE_INVALID`, `SCHEDULE_EXISTS`: in the result.
        """
        said = {"cron": cron, "every": every, "zone": zone, "overlap": overlap}
        asked = self.schedule_of(
            load_workflow(workflow), inputs, name=name, missed=missed, environment=environment, **said
        )
        return await self.call(f"{SCHEDULE_CAPABILITIES}add", asked, principal=principal)

    def schedule_of(
        self,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json] | None,
        *,
        environment: str | None,
        **said: str | None,
    ) -> dict[str, Json]:
        """The parameters of `assent.schedule.add`; raises what `check_spec` raises."""
        return {
            **{name: value for name, value in said.items() if value is not None},
            "workflow": spec.to_json(),
            "inputs": _kept_by_schedule(spec, self.check_spec(spec, {} if inputs is None else inputs)),
            "environment": environment or self.settings.environment,
        }

    async def remove_schedule(self, name: str, *, principal: Who = None) -> RunResult:
        """Let no more runs of a schedule begin: a call of `assent.schedule.remove`; it can be undone."""
        return await self._change_schedule("remove", name, principal)

    async def pause_schedule(self, name: str, *, principal: Who = None) -> RunResult:
        """Let no run of a schedule begin until it is resumed; ticks meanwhile are not made up for."""
        return await self._change_schedule("pause", name, principal)

    async def resume_schedule(self, name: str, *, principal: Who = None) -> RunResult:
        """Let runs of a paused schedule begin again."""
        return await self._change_schedule("resume", name, principal)

    async def _change_schedule(self, verb: str, name: str, principal: Who) -> RunResult:
        return await self.call(f"{SCHEDULE_CAPABILITIES}{verb}", {"name": name}, principal=principal)

    async def run_plan(
        self,
        plan_id: str,
        actor: Actor,
        *,
        priority: int = PRIORITY,
        labels: frozenset[str] = frozenset(),
    ) -> RunResult:
        """Run a saved plan, once, if it would still do what it showed. PLAN_UNKNOWN, _EXPIRED, _USED, _STALE.

        `labels` are those of the session that it is run in.
        """
        with self._plans.claimed(plan_id):
            return await self._run_claimed(plan_id, actor, priority, labels)

    async def _run_claimed(
        self, plan_id: str, actor: Actor, priority: int, labels: frozenset[str]
    ) -> RunResult:
        # The journal is asked first: the file of a plan that was run may have been erased with its run.
        runs = await self.ready.journal.rows("runs", {"plan_id": plan_id}, limit=1)
        if runs:
            raise used(plan_id, runs[0]["run_id"])
        saved = self._plans.load(plan_id, self._clock_ms())
        workflow = saved.document["workflow"]
        assert isinstance(workflow, dict)  # INVARIANT: only workflows are planned
        spec = WorkflowSpec.from_dict(workflow)
        if str(actor.principal) != saved.principal:
            raise anothers(saved, str(actor.principal))
        if is_marked(saved.inputs):
            raise not_kept("the inputs", f"plan {plan_id}")
        now, read = await self.look_ahead(
            saved.plan_id,
            spec,
            saved.inputs,
            actor,
            saved.environment,
            execute_captured=saved.execute_captured,
            reads=saved.reads,
        )
        if now.digest != saved.digest:
            raise stale(saved, [step.to_json() for step in now.steps])
        return await self.run_spec(
            spec,
            saved.inputs,
            actor,
            environment=saved.environment,
            plan=saved.plan_id,
            labels=labels | read,
            priority=priority,
        )

    async def show(self, run: str) -> RunResult:
        """How a run stands, from the journal."""
        return await self._result(await self.running.look(RunId(run)))

    async def told(self, run: str, *, principal: Who = None) -> RunResult:
        """The same, with what is not kept where the run is this principal's, and this process still knows it."""
        who = str(self.actor(principal).principal)
        return (await self.show(run)).telling(self.running.told_to(RunId(run), who))

    async def _begin(
        self,
        blueprint: Blueprint,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None,
        plan: PlanId | None = None,
        labels: frozenset[str] = frozenset(),
        priority: int = PRIORITY,
        claim: Claim | None = None,
    ) -> RunResult:
        await self.versions.record()
        run = await self.running.start(
            blueprint,
            inputs,
            actor,
            environment=environment,
            plan=plan,
            labels=labels,
            priority=priority,
            claim=claim,
        )
        return await self._drive(run)

    @asynccontextmanager
    async def turn(self, ident: str | None) -> AsyncIterator[None]:
        """Alone among those who ask under this id, until what is asked inside is on record, where the next one finds it.

        One who looked at the record beside another, or before, would do it again.
        """
        if ident is None:
            yield
            return
        while (before := self._turns.get(ident)) is not None:
            await before.wait()
        ended = self._turns[ident] = asyncio.Event()
        listener = listener_here()

        def hear(run: RunId, n: int | None, at_ms: int, event: News) -> None:
            if isinstance(event, Act) and event.request == ident:
                end()
            if listener is not None:
                listener(run, n, at_ms, event)

        def end() -> None:
            if not ended.is_set():
                ended.set()
                del self._turns[ident]

        try:
            with telling(hear):
                yield
        finally:
            end()

    async def _drive(
        self,
        run: RunId,
        wish: Wish | None = None,
        *,
        only: Sequence[StepKey] = (),
        to: Actor | None = None,
    ) -> RunResult:
        if isinstance(wish, Approve | Reject | Cancel | SendSignal | AskUndo | Resolve):
            to = wish.actor
        try:
            driven = await self.running.drive(run, wish)
        except RefusedError as error:
            if isinstance(wish, Approve | Reject):
                await self._note_refused(run, wish.step, wish.actor, error.code)
            raise
        if driven.record.state.is_finished:
            self._kept.pop(run, None)
        await self._captures.after_run(driven.record)
        await self._handed_after_run(driven)
        if driven.record.state.is_finished:
            await self._tell_outer(driven.record)
        return self.gate.explain_pause(await self._result(driven, *only, to=to), driven.record.mode)

    async def _handed_after_run(self, driven: Driven) -> None:
        """Files that were handed over for the run's calls wait as long as it does, and go when it has ended without them."""
        handed = Handed(self.settings.state)
        if driven.blueprint is None or not handed.has_any():
            return
        given = [*driven.values.inputs.values()] if driven.values is not None else []
        named: list[tuple[str, object]] = []
        for step in driven.blueprint.steps.values():
            capability = (step.capability or "").partition("@")[0]
            if capability in TAKERS:
                said = step.inputs.literals().get("handed")
                named += [(capability, one) for one in ((said,) if said is not None else given)]
        record, now_ms = driven.record, self._clock_ms()
        await asyncio.to_thread(
            lambda: handed.after_run(
                named, record.created.principal, has_ended=record.state.is_finished, now_ms=now_ms
            )
        )

    async def _tell_outer(self, record: RunRecord) -> None:
        """Have a step of a session that an earlier process left learn how the run ended that it has begun."""
        outer = step_of_request(record.created.request)
        if outer is None or self.drives(outer[0]):
            return
        session, step = outer
        with self.ready.journal.follow(session) as news:
            while True:
                heard = news.count
                found = (await self.running.look(session)).record
                if found.steps[step].state is not StepState.RUNNING:
                    return
                await self.running.drive(session)
                if not await news.beyond(heard):
                    return

    async def note_refusal(self, run: str, step: str | None, actor: Actor, code: str) -> None:
        """Put a refused attempt to decide on record. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        await self._note_refused(await self.find(run), None if step is None else StepKey(step), actor, code)

    async def _note_refused(self, run: RunId, step: StepKey | None, actor: Actor, code: str) -> None:
        since_ms = self._clock_ms()
        refused = ApprovalRefused(source=run, step=step, code=code, count=1, since_ms=since_ms, **actor.who())
        await self._refusals.note(refused)

    async def _result(self, driven: Driven, *only: StepKey, to: Actor | None = None) -> RunResult:
        """What is told of a run, or of its steps `only`; `to` somebody whose run it is not, only what the record has."""
        ledger, record = await self._ledger(), driven.record
        planned = driven.blueprint.steps if driven.blueprint is not None else {}
        # What is not kept was read with the rights of the run's own principal: others may not see it.
        values = driven.values if to is None or str(to.principal) == record.created.principal else None
        told = await describe_run(record, planned, self.ready.journal, ledger, values, only=only)
        is_driven = not record.state.is_moving or self.drives(record.run)
        return told if is_driven else msgspec.structs.replace(told, status=RunState.INTERRUPTED)

    async def _ledger(self) -> dict[str, Json]:
        head = await self.ready.journal.head()
        return {"size": head.size, "root": base64.b64encode(head.root).decode()}


def _number(request: str) -> int:
    """What a process has claimed that began a session in this request; one that nobody can have, where it can't be read."""
    number = request.removeprefix(OF_PROCESSES).partition(":")[0]
    return int(number) if number.isascii() and number.isdigit() and 0 < int(number) < CLAIMS else CLAIMS


def require_same_request(ident: str, first: tuple[str, str | None], actor: Actor) -> None:
    """Refuse a second request under an id: another principal's (`REQUEST_INVALID`), or for something else (`REQUEST_REUSED`)."""
    who, digest = first
    if who != str(actor.principal):
        raise InputError("REQUEST_INVALID", f"another principal asked under the id `{ident}`")
    if None not in (digest, actor.request_digest) and digest != actor.request_digest:
        raise reused()


def reused() -> InputError:
    """The refusal of another request under an id that means one already, unnamed: nobody knows what a door makes of a key."""
    return InputError(
        "REQUEST_REUSED",
        "something else was asked under this id",
        hint="choose a new one for what is to be done anew; the same one only asks for the same again",
    )


def absent(fault: str) -> InputError:
    """The refusal of what a process would need a capability for that it does not have."""
    return InputError(
        "CAPABILITY_ABSENT",
        fault,
        hint="register it in the process that owns the state, or make it a plugin, or end that process and let this one own it; "
        "`state=` gives a program a state of its own",
    )


def _kept_by_schedule(spec: WorkflowSpec, inputs: dict[str, Json]) -> dict[str, Json]:
    """The inputs of a schedule, which are kept for as long as it stands."""
    if is_marked(dict(kept(spec.inputs, inputs, SystemEntropy().salt))):
        raise InputError(
            "TEXT_NOT_KEPT",
            f"a schedule keeps its inputs, and `{spec.name}` says that some of them are not kept",
            path="inputs",
            hint="leave them out, or declare them without `kept: false`",
        )
    return inputs
