"""The composition root: builds every part from the settings, owns start and stop, and drives and plans runs.

The service, and so every door, works with a `Core`; what a program holds is the `Runtime` around one.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import weakref
from collections import OrderedDict
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from dataclasses import replace
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack, cast

import msgspec

from assent import __version__, system
from assent.capabilities import builtin_catalog
from assent.capabilities.fs import Workspace
from assent.engine import (
    Actor,
    Approve,
    AskUndo,
    Blueprint,
    Cancel,
    Claim,
    Close,
    Driven,
    Driver,
    Engine,
    NoPolicyRecord,
    NoReads,
    OwnerReads,
    Plan,
    Planner,
    PolicyRecord,
    Recover,
    Reject,
    Resolve,
    RunFacts,
    RunResult,
    SendSignal,
    Services,
    UndoPlan,
    Wish,
    describe_run,
    holders_of,
    literal_step,
    together,
)
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.failpoints import FAILPOINTS, VARIABLE
from assent.invocation import Hook, Invoker, Metrics, NoEffectError, Quotas, World
from assent.journal import (
    Blobs,
    Ed25519FileSigner,
    Handler,
    Home,
    Journal,
    JournalReader,
    MemoryBlobs,
    MemoryJournal,
    Ownership,
    each_row,
    ledger_signer,
)
from assent.policy import PolicyEngine, PolicyExplanation
from assent.registry import CapabilityRegistry
from assent.runtime._find_run import UNFINISHED, find_run, undo_refusal
from assent.runtime._ledger import open_ledger, open_reader, reading
from assent.runtime.capabilities._capability_record import BUILT_IN, require_rows_of_entries
from assent.runtime.capabilities._registered import Capabilities, Registration
from assent.runtime.capabilities._versions import Versions
from assent.runtime.runs._captured_changes import Captures
from assent.runtime.runs._deliveries import Deliveries
from assent.runtime.runs._erasing import RunRecords
from assent.runtime.runs._key_acts import KeyActs
from assent.runtime.runs._loading import WorkflowSource, load_policy, load_workflow
from assent.runtime.runs._notices import Notices, notified
from assent.runtime.runs._refusals import ASKERS_MAX, STRANGERS_MAX, Refusals
from assent.runtime.runs._saved_plans import PlanStore, anothers, stale, used
from assent.runtime.runs._schedules import ScheduleRecords
from assent.runtime.runs._session import Held
from assent.runtime.runs._tools import tools_of
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._application import application
from assent.runtime.wiring._call_pipeline import Calling, bounds
from assent.runtime.wiring._gate import ReloadableGate
from assent.runtime.wiring._plugins import Plugins
from assent.runtime.wiring._policy_record import LedgerPolicies
from assent.runtime.wiring._rates import remember_calls
from assent.spec.capability import CapabilitySpec, RiskLevel
from assent.spec.decision import PolicyDecision
from assent.spec.events.kinds import ApprovalRefused, IdentityRefused
from assent.spec.ids import (
    CALL_STEP,
    ERASE_CAPABILITY,
    SCHEDULE_CAPABILITIES,
    PlanId,
    RunId,
    StepKey,
    plans_apart,
    session_step,
)
from assent.spec.masking import masked, masked_by_name
from assent.spec.principal import BY_PROCESS, Principal, identified
from assent.spec.states import PRIORITY, Mode, Resolution, RunState
from assent.spec.values.frozen import thaw
from assent.spec.words.globs import glob_matches
from assent.spec.workflow.definition import WorkflowSpec, bind_inputs
from assent.spec.workflow.inputs import json_object

if TYPE_CHECKING:
    from assent.engine.replay import Recording, ReplayReport
    from assent.invocation import Snapshot
    from assent.invocation.context.telling import Listener

RESUMED_AT_ONCE: Final = 32
"""Runs that `resume` drives at the same time."""

CLOCK_MS_MAX: Final = (1 << 63) // 1_000_000
"""The end of the year 2262's first months, where nanoseconds since 1970 no longer fit."""

Who: TypeAlias = "Actor | Principal | str | None"
"""Who asks: nobody in particular is the configured principal."""

_REQUEST_DIGESTS: Final = b"assent request digests"
_encode: Final = msgspec.json.Encoder(order="sorted").encode

SESSIONS_KEPT_MAX: Final = 64
"""Sessions of other processes that stay in memory; an older one is read from the journal when it is called again."""


class Core:
    """Everything that governs and performs runs in one workspace, in the process that owns its state directory, or plans them."""

    def __init__(self, settings: Settings, *, policy: PolicyEngine | None = None) -> None:
        self.settings = settings
        self._policy = policy
        self.metrics = Metrics()
        self.gate = ReloadableGate(policy or PolicyEngine.builtin())
        self._policies: PolicyRecord = NoPolicyRecord()
        self.app = application(settings, self.gate)
        self.capabilities = Capabilities()
        for spec, handler in builtin_catalog():
            self.capabilities.register(spec, handler, origin=BUILT_IN)
        self.plugins = Plugins.trusted(settings, self.capabilities)
        self.versions = Versions(self.capabilities, self.actor)
        self.exit = AsyncExitStack()
        self.exit.callback(self.plugins.close)
        self._driver: Driver | None = None
        self._services: Services | None = None
        self._observer: Listener | None = None
        self.calling = Calling(self.gate, self.app, self.metrics, settings)
        self.hooks, self.lifecycle = self.calling.hooks, self.calling.lifecycle
        self.secrets = self.calling.secrets
        self.deliveries = Deliveries(self.app, self.secrets, settings, self.actor)
        self._notices = Notices(self.deliveries, notified(settings), self._masked)
        self._plans = PlanStore(settings.state, expiry_ms=settings.limits.plan_expiry_ms)
        self._captures = Captures(settings)
        self.schedules = ScheduleRecords(settings, self.check_spec)
        self.records = RunRecords(settings.state, self._plans, self.deliveries, self.schedules)
        self.app.offer("assent.capabilities.record._erase.Records", self.records.offered)
        self.app.offer("assent.capabilities.schedule._change.Schedules", self.schedules.offered)
        self._keys = KeyActs(settings, self.schedules.added_by)
        self.app.offer("assent.capabilities.keys._keys.KeyRing", self._keys.offered)
        self._ownership: Ownership | None = None
        self.beside: JournalReader | None = None
        """The record, where another process owns it."""
        self._coming: set[RunId] = set()
        self._request_key: Callable[[], bytes] = _closed_key
        # Requests by their ids that begin a run, or whose run is driven for who began it: perhaps nothing of it is durable yet.
        self._begun: dict[str, tuple[asyncio.Future[RunId | None], Actor]] = {}
        self._kept: OrderedDict[RunId, Held] = OrderedDict()

    async def start(self, ownership: Ownership, perform: Handler) -> None:
        """Open everything as the owner, and have others' requests performed; the caller releases the state directory."""
        await self._start()
        home = Home(system.spawn, system.SystemClock(), self.digests)
        ownership.serve(perform, runtime_dir=self.settings.runtime_dir(), home=home)
        self._ownership = ownership

    def digests(self) -> dict[str, str]:
        """What governs the runs that begin here: two processes with the same would decide alike."""
        return {"policy": self.gate.digest, **self.settings.digests()}

    def digests_elsewhere(self) -> dict[str, str]:
        """The same of a runtime that is not open, and would read its policy first. `POLICY_MISSING`, `POLICY_INVALID`."""
        if self._policy is None:
            self.gate.replace(load_policy(self.settings))
        return self.digests()

    async def _start(self) -> None:
        _require_clock(system.SystemClock().now_ms())
        if self._policy is None:
            self.gate.replace(load_policy(self.settings))
        armed = system.environment().get(VARIABLE)
        if armed:
            FAILPOINTS.arm(armed)
        settings = self.settings
        signer = ledger_signer(settings.state, settings.key_path)
        self._request_key = cache(partial(signer.derive, _REQUEST_DIGESTS))
        journal = open_ledger(settings.state, signer.named)
        self.exit.push_async_callback(journal.close)
        clock, entropy, spawn = system.SystemClock(), system.SystemEntropy(), system.spawn
        self._policies = LedgerPolicies(
            self.gate, settings.circumstances, journal, clock=clock, entropy=entropy, spawn=spawn
        )
        if settings.telemetry.endpoint is not None:
            from assent.runtime.wiring.traces import Traces

            traces = Traces(settings.telemetry)
            self.exit.push_async_callback(asyncio.to_thread, traces.close)
            self._observer = traces.hear
            if settings.telemetry.propagate:  # in place of who tells nothing
                self.app.offer("assent.invocation.context.outbound.Tracing", lambda: traces)
        services = self.services(journal, journal.blobs)
        self._services = services
        await self.calling.open(services, signer)
        self._plans.sweep(services.clock.now_ms())
        await self._captures.sweep(journal)
        # The modules outlive every call that may use them, and the journal outlives the modules.
        self.exit.push_async_callback(self.app.shutdown)
        await self.app.start()
        await require_rows_of_entries(journal)
        await self.capabilities.load(journal, now_ms=services.clock.now_ms())
        self.plugins.leave_out_unrecordable()
        self._driver = Engine(services, self.capabilities)
        self.records.open(self._driver, journal)
        self.schedules.open(services)
        self._keys.open(services)
        self.versions.attach(services, self._driver)
        await self._notices.open(services, self._driver)
        self.exit.push_async_callback(self._notices.close)
        self._refusals = Refusals[ApprovalRefused](services, ASKERS_MAX)
        self._strangers = Refusals[IdentityRefused](services, STRANGERS_MAX)
        for counting in (self._refusals, self._strangers):
            self.exit.push_async_callback(counting.close)
        self.exit.push_async_callback(self._driver.close)

    def prepare_to_plan(self) -> None:
        """Make planning possible without owning the state directory: nothing is journaled, so nothing is opened."""
        if self._policy is None:
            self.gate.replace(load_policy(self.settings))
        self.versions.consult(self.settings)
        signer = Ed25519FileSigner("plan", bytes(32))
        journal = MemoryJournal(
            signer_for=signer.named, clock=system.SystemClock(), entropy=system.SystemEntropy()
        )
        self._services = self.services(journal, MemoryBlobs())
        # A plan may have programs run to see what they would write, and so have started the sandbox.
        self.exit.push_async_callback(self.app.shutdown)

    def services(self, journal: Journal, blobs: Blobs) -> Services:
        """Everything the engine needs, around a journal; the caller closes the runtime."""
        settings, limits = self.settings, self.settings.limits
        at_once = max(4, limits.concurrency)
        # A thread for each sync part that the invoker lets run: none waits in a queue of the pool's.
        threads = ThreadPoolExecutor(max_workers=2 * at_once, thread_name_prefix="assent-hand")
        self.exit.callback(threads.shutdown, wait=False)
        world = Workspace.open(
            settings.workspace,
            hidden=settings.hidden_files,
            read_only=settings.control_files,
            pre_image_bytes_max=settings.limits.max_pre_image_bytes,
            redactor=self.secrets.redactor,
        )
        self.exit.callback(world.close)
        return Services(
            journal=journal,
            blobs=blobs,
            gate=self.gate,
            world=world,
            difference=_difference,
            pipeline=self.calling.pipeline(Invoker(threads, at_once=at_once, grace_s=limits.grace_ms / 1000)),
            clock=system.SystemClock(),
            ids=system.SystemIds(),
            entropy=system.SystemEntropy(),
            spawn=system.spawn,
            limits=bounds(limits),
            roles=lambda: settings.roles,
            policies=self._policies,
            notices=self._notices,
            observer=self._observer,
        )

    def _masked(self, capability: str, version: str, inputs: Mapping[str, Json]) -> Json:
        """Inputs of a call without what its schema or a name calls secret; both, because who is shown them may be anybody."""
        with suppress(InputError):
            spec = self.capabilities.current().exact(capability, version).spec
            return masked_by_name(masked(dict(inputs), thaw(spec.parameters)))
        return masked_by_name(dict(inputs))

    async def close(self) -> None:
        """Stop every run where it is, seal the ledger, release the state directory.

        Who asked from elsewhere is waited for, for the time that a call has to end; then it is told `OWNER_LOST`.
        """
        if self._ownership is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self.settings.limits.grace_ms / 1000):
                    await self._ownership.drain()
            self._ownership.hang_up()
            self._ownership = None
        self._driver = self._services = None
        self.versions.attach(None, None)
        await self.exit.aclose()

    @property
    def registry(self) -> CapabilityRegistry:
        """The specs of every registered capability."""
        return self.capabilities.registry

    def register(self, source: object, handler: object = None, **how: Unpack[Registration]) -> None:
        self.capabilities.register(source, handler, **how)

    def reload_policy(self) -> None:
        """Read the configured policy again. When that fails, new steps are denied and runs under way pause, and it is raised."""
        if self._policy is not None:
            return  # handed in by the program: there is no file to read again
        try:
            self.gate.replace(load_policy(self.settings))
        except AssentError as fault:
            self.gate.shut(fault)
            raise
        if self._driver is not None:
            self._driver.wake()

    async def reload_configuration(self) -> None:
        """Read `[app]` of assent.toml again and put it into force. When it is refused the old one stays, and it is raised."""
        await self.app.reload(self.settings.read_app())

    def adopt(self, now: Settings) -> None:
        """Put into force what of settings that were read anew may change while this lives; runs under way learn their roles."""
        self.settings.adopt(now)
        # On record beside the policy, like those before.
        self.gate.unrecorded[self.gate.digest] = self.gate.engine
        if self._driver is not None:
            self._driver.wake()

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
        """Run a parsed workflow for somebody. `labels` are those of what `plan` has read."""
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
    ) -> RunResult:
        """What `Session.call` does; who asks says only under which request. `REQUEST_REUSED`."""
        given = literal(capability, parameters)
        self.capabilities.current().find(capability).require_references(given)
        by = self.actor(principal)
        key, driven = await self.running.call(RunId(run), capability, given, hooks, by=by)
        step = driven.record.steps[key]
        if by.request is not None and step.request == by.request:
            require_same_request(by.request, (str(by.principal), step.request_digest), by)
        return await self._result(driven, key)

    async def close_session(self, run: str) -> RunResult:
        """What `Session.close` does. `CAPABILITY_ABSENT` where a step goes on and this process can't drive it on."""
        await self._require_present(RunId(run))
        return await self._drive(RunId(run), Close())

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

    async def cancel(self, run: str, *, principal: Who = None, spares_finally: bool = False) -> RunResult:
        """Stop a run between effects and take its effects back; while its `finally` goes on, end that, unless it is spared."""
        return await self._drive(RunId(run), Cancel(self.actor(principal), spares_finally=spares_finally))

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

    async def plan_undo(self, run: str, *, partial: bool = False, principal: Who = None) -> UndoPlan:
        """What `undo` would do: each step, the change of files, every obstacle, the gate's answer. Nothing is asked or recorded.

        The record is read beside whoever owns the state. `RUN_NOT_UNDOABLE`, `UNDO_ERASED`.
        """
        with open_reader(self.settings.state) as reader:
            found = await find_run(reader, run)
            # What only reads appends nothing: a reader is all the journal that it needs.
            services = msgspec.structs.replace(
                self.ready, journal=cast("Journal", reader), blobs=reader.blobs
            )
            looking = Engine(services, self.capabilities)
            return await looking.plan_undo(found, self.actor(principal), partial=partial)

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
        if run is not None:
            return [await self._resume(RunId(run))]
        runs = await self.unfinished()
        self._coming.update(runs)
        try:
            # Those that have not begun keep their order, and leave their turn to what the others hold.
            lined_up = [run for run in await self.line_up() if run in runs]
            results: dict[RunId, RunResult] = {}
            for group in ([run for run in runs if run not in lined_up], lined_up):
                told = await together(group, self._resume_or_tell, self.ready.spawn, at_once=RESUMED_AT_ONCE)
                results.update(zip(group, told, strict=True))
            return [results[run] for run in runs]
        finally:
            self._coming.difference_update(runs)

    async def line_up(self) -> list[RunId]:
        """Have the runs that have not begun, and that this process can drive, stand in line again, oldest first; these are told.

        They begin by themselves, as soon as they may.
        """
        lined_up: list[RunId] = []
        async for row in each_row(self.reader, "runs", {"status": RunState.PENDING.value}):
            run = RunId(str(row["run_id"]))
            with suppress(AssentError):  # `resume` tells what is wrong with it
                await self._require_present(run)
                if await self.running.line_up(run):
                    lined_up.append(run)
            await asyncio.sleep(0)  # there may be thousands
        return lined_up

    async def _resume_or_tell(self, run: RunId) -> RunResult:
        try:
            return await self._resume(run)
        except InputError as error:
            if error.code != "CAPABILITY_ABSENT":
                raise
            self._coming.discard(run)
            return msgspec.structs.replace(await self.show(run), error=error.to_dict())

    async def _resume(self, run: RunId) -> RunResult:
        found = await self.running.look(run)
        state = found.record.state
        if state.is_finished:
            return await self._result(found)
        await self._require_present(run)
        return await self._drive(run, Recover(retry=True) if state is RunState.NEEDS_ATTENTION else None)

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
            "inputs": self.check_spec(spec, {} if inputs is None else inputs),
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

    async def plan(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Json] | None = None,
        *,
        principal: Principal | str | None = None,
        environment: str | None = None,
        execute_captured: bool = False,
        reads: bool = True,
    ) -> Plan:
        """What a run would do; nothing is applied and nothing is kept but, on record, what was read for it.

        `execute_captured`: programs whose writes are captured are run in the sandbox, so that the plan can show what they write.
        `reads`: files and data that a step needs are read, where the policy allows that at once.
        """
        spec, actor, plan = load_workflow(workflow), self.actor(principal), system.SystemIds().plan_id()
        found, _ = await self.look_ahead(
            plan, spec, inputs or {}, actor, environment, execute_captured=execute_captured, reads=reads
        )
        return found

    async def look_ahead(
        self,
        plan: PlanId,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json],
        actor: Actor,
        environment: str | None,
        *,
        execute_captured: bool,
        reads: bool,
    ) -> tuple[Plan, frozenset[str]]:
        """The plan of one run under an id, and the labels of what was read for it. `OwnerNeededError` where that is another's."""
        bound = self.check_spec(spec, inputs)
        if self._driver is None:
            self.ready.pipeline.quotas = await self._quotas()
        reads_of: NoReads | OwnerReads = NoReads(wished=reads)
        if reads and self._driver is not None:
            reads_of = OwnerReads(self.ready, plan, actor)
        planner = Planner(
            self.ready,
            self.capabilities.current(),
            Blueprint.of_workflow(spec),
            reads_of,
            inputs=bound,
            principal=actor.principal,
            environment=environment or self.settings.environment,
            execute_captured=execute_captured,
        )
        found = await planner.plan()
        if spec.concurrency is not None:
            environment = environment or self.settings.environment
            text = spec.concurrency.key_of(spec, bound, str(actor.principal), environment)
            with reading(self.settings.state) as record:
                held_by = [] if record is None else await holders_of(text, record)
            limit, on_busy = spec.concurrency.limit, spec.concurrency.on_busy.value
            key: dict[str, Json] = {"key": text, "limit": limit, "on_busy": on_busy, "held_by": held_by}
            found = msgspec.structs.replace(found, concurrency=key)
        return found, reads_of.labels

    async def _quotas(self) -> Quotas:
        """What calls have used of the policy's limits: by our own count, or, where we own nothing, as the ledger tells now."""
        if self._driver is not None:
            return self.ready.pipeline.quotas
        clock = system.SystemClock()
        found = Quotas(clock)
        if self.gate.limits:
            with reading(self.settings.state) as journal:
                if journal is not None:
                    await remember_calls(None, found, self.gate.limits, journal, clock.now_ms())
        return found

    async def explain(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        principal: Actor | Principal | str | None = None,
        environment: str | None = None,
        workflow: str | None = None,
        step: str | None = None,
        mode: Mode = Mode.WORKFLOW,
        run_labels: frozenset[str] = frozenset(),
        risk_level: RiskLevel | None = None,
        keeps_undo: bool = True,
    ) -> tuple[PolicyExplanation, bool]:
        """Which rule decides a call and why no earlier one does, and whether the parameters are those of a whole call.

        The question is the one that the call's admission would ask: of the version that would serve it, with every parameter
        complete and in its normal form, on the terms that the step's author set (`step`, `risk_level`, `keeps_undo`).
        Parameters that no call could have are put to the policy as they are, since a person may ask before knowing them all.
        """
        bound = self.capabilities.current().find(capability)
        given = literal(capability, parameters)
        try:
            inputs, is_whole = bound.take(given, self.calling.spellings)[1], True
        except NoEffectError:
            inputs, is_whole = given, False
        except InputError as error:
            if error.code != "INVALID_INPUT":
                raise
            inputs, is_whole = given, False
        who = principal if isinstance(principal, Actor) else self.actor(principal)
        facts = RunFacts(who.principal, workflow, environment or self.settings.environment, mode=mode)
        name = step or (session_step(1) if mode is Mode.SESSION else CALL_STEP)
        terms = replace(literal_step(name, capability, given), risk_level=risk_level, keeps_undo=keeps_undo)
        asked = facts.step_question(terms, bound, inputs, run_labels, system.SystemClock().now_ms())
        if limits := self.gate.limits_on(asked):
            asked = (await self._quotas()).counted(limits, asked)
        return self.gate.engine.explain(asked), is_whole

    def tools(
        self,
        kind: str,
        *,
        capabilities: Iterable[str] = ("*",),
        principal: Who = None,
        environment: str | None = None,
    ) -> list[dict[str, Json]]:
        """What a principal may call, as a list of tools for a model's API; `Session.call_tool` takes what the model then asks.

        `kind`: `openai` (Responses), `openai-chat` (Chat Completions), `anthropic`, or `json-schema`. `capabilities` are ids, in
        which `*` stands for any characters. Left out is what the policy denies whatever the inputs are, and an id of more than 64
        characters, which is no name there. `INVALID_INPUT` for another kind.
        """
        return tools_of(kind, self.offered(capabilities, self.actor(principal), environment))

    def offered(
        self, capabilities: Iterable[str], actor: Actor, environment: str | None = None
    ) -> Iterator[tuple[CapabilitySpec, set[PolicyDecision]]]:
        """The capabilities that an actor may call, by id, each with what the policy may say of a call of it in a session."""
        facts = RunFacts(
            actor.principal, environment=environment or self.settings.environment, mode=Mode.SESSION
        )
        catalogue, now_ms = self.capabilities.current(), system.SystemClock().now_ms()
        wanted = tuple(capabilities)
        for ident in sorted({spec.id for spec in self.registry.list()}):
            if not any(glob_matches(one, ident) for one in wanted):
                continue
            try:
                bound = catalogue.find(ident)
            except InputError:
                continue  # known by its spec alone
            step = literal_step(session_step(1), ident, {})
            asked = facts.step_question(step, bound, {}, frozenset(), now_ms)
            answers = {one.effect for one in self.gate.possible(asked, "all").answers}
            if answers != {PolicyDecision.DENY}:
                yield bound.spec, answers

    async def run_plan(self, plan_id: str, actor: Actor, *, priority: int = PRIORITY) -> RunResult:
        """Run a saved plan, once, if it would still do what it showed. PLAN_UNKNOWN, _EXPIRED, _USED, _STALE."""
        with self._plans.claimed(plan_id):
            return await self._run_claimed(plan_id, actor, priority)

    async def _run_claimed(self, plan_id: str, actor: Actor, priority: int) -> RunResult:
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
        now, labels = await self.look_ahead(
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
            labels=labels,
            priority=priority,
        )

    async def snapshot(self, run: str) -> Snapshot:
        """A run as it stands: its events, its data without secrets, what it called. `RUN_UNKNOWN`, `PAYLOAD_ERASED`."""
        from assent.engine.replay import Recording  # a run does not pay for what only a replay needs

        return self.snapshot_of(await Recording.of_journal(self.reader, await self.find(run)))

    def snapshot_of(self, recording: Recording) -> Snapshot:
        """The same of a recording, wherever it was read."""
        from assent.engine.replay import snapshot_run
        from assent.runtime.runs._replaying import catalogue_of

        exact = catalogue_of(recording, self.capabilities).exact
        return snapshot_run(recording, exact, version=__version__)

    async def replay(self, run: str | Snapshot, *, capability_version: str | None = None) -> ReplayReport:
        """Run a recorded run again against what was recorded, without touching anything, and tell what differs.

        A snapshot need not be of a run of this ledger. `capability_version` (`2.0.0`, or `ID@2.0.0`) really runs, on a
        simulated world. `RUN_UNKNOWN`, `PAYLOAD_ERASED`, `SNAPSHOT_INVALID`, `REPLAY_NOT_SIMULABLE`.
        """
        from assent.engine.replay import Recording, recording_of

        if isinstance(run, str):
            recording = await Recording.of_journal(self.reader, await self.find(run))
        else:
            recording = recording_of(run)
        return await self.replay_recording(recording, capability_version)

    async def replay_recording(
        self, recording: Recording, capability_version: str | None = None
    ) -> ReplayReport:
        """The same of a recording, wherever it was read."""
        from assent.runtime.runs._replaying import replay_recording

        return await replay_recording(recording, self.ready, self.capabilities, capability_version)

    async def show(self, run: str) -> RunResult:
        """How a run stands, from the journal."""
        return await self._result(await self.running.look(RunId(run)))

    def actor(self, principal: Who) -> Actor:
        """Who acts: the configured principal, or another one that is merely asserted; an actor is who they are."""
        settings = self.settings
        if isinstance(principal, Actor):
            return principal
        if principal is None:
            by = identified(BY_PROCESS, asserted=settings.asserted)
            return Actor(settings.principal, settings.asserted, settings.os_uid, by)
        text = str(principal)
        asserted = text != str(settings.principal)
        found = settings.principal_of(text, asserted=asserted, os_uid=settings.os_uid)
        if isinstance(principal, Principal) and principal.roles:
            found = principal
        return Actor(found, asserted, settings.os_uid, identified(BY_PROCESS, asserted=asserted))

    def digest_of(self, asked: Json) -> str:
        """What was asked, as the ledger may say it: nobody without its key can try what it may have been."""
        return hmac.digest(self._request_key(), _encode(asked), "sha256").hex()

    def check_spec(self, spec: WorkflowSpec, inputs: Mapping[str, Json]) -> dict[str, Json]:
        """The workflow's inputs, complete; raises whatever of the workflow or the inputs can't be used here."""
        current = self.capabilities.current()
        current.check(spec)
        bound = bind_inputs(spec, inputs)
        current.check_inputs(spec, bound)
        return bound

    def check_call(self, reference: str, parameters: Mapping[str, Json]) -> None:
        """Raise what makes a call impossible before anybody is asked: `CAPABILITY_UNKNOWN`, `INVALID_INPUT`."""
        found = self.capabilities.current().find(reference)
        found.require_references(found.parse(parameters)[1])

    async def find(self, beginning: str) -> RunId:
        """The run whose id begins so; `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        if self._driver is not None and self._driver.drives(RunId(beginning)):
            return RunId(beginning)  # perhaps nothing of it is durable yet
        return await find_run(self.reader, beginning)

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
        start = self.running.start(
            blueprint,
            inputs,
            actor,
            environment=environment,
            plan=plan,
            labels=labels,
            priority=priority,
            claim=claim,
        )
        return await self._drive_begun(actor, start)

    async def _drive_begun(self, actor: Actor, start: Coroutine[Any, Any, RunId]) -> RunResult:
        """Begin a run and drive it; where the same request has begun one since it was looked for, that one."""
        ident = actor.request
        if ident is None:
            return await self._drive(await start)
        try:
            if (joined := await self.join(actor)) is not None:
                return joined
            # INVARIANT: nothing is waited for between that look and the entry, so that one request begins one run.
            begun: asyncio.Future[RunId | None] = asyncio.get_running_loop().create_future()
            self._begun[ident] = begun, actor
            try:
                run = await start
                begun.set_result(run)
                return await self._drive(run)
            finally:
                del self._begun[ident]
                if not begun.done():
                    begun.set_result(None)
        finally:
            start.close()

    async def join(self, actor: Actor) -> RunResult | None:
        """The run that who asks has begun by the same request, and that is under way for it; None where there is none.

        `REQUEST_INVALID`, `REQUEST_REUSED`.
        """
        while (known := self._begun.get(actor.request or "")) is not None:
            begun, first = known
            require_same_request(str(actor.request), (str(first.principal), first.request_digest), actor)
            run = await asyncio.shield(begun)
            if run is not None:
                return await self._drive(run)
        return None

    async def _drive(self, run: RunId, wish: Wish | None = None) -> RunResult:
        try:
            driven = await self.running.drive(run, wish)
        except RefusedError as error:
            if isinstance(wish, Approve | Reject):
                await self._note_refused(run, wish.step, wish.actor, error.code)
            raise
        if driven.record.state.is_finished:
            self._kept.pop(run, None)
        await self._captures.after_run(driven.record)
        return self.gate.explain_pause(await self._result(driven), driven.record.mode)

    async def note_refusal(self, run: str, step: str | None, actor: Actor, code: str) -> None:
        """Put a refused attempt to decide on record. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        await self._note_refused(await self.find(run), None if step is None else StepKey(step), actor, code)

    async def _note_refused(self, run: RunId, step: StepKey | None, actor: Actor, code: str) -> None:
        since_ms = self._clock_ms()
        refused = ApprovalRefused(source=run, step=step, code=code, count=1, since_ms=since_ms, **actor.who())
        await self._refusals.note(refused)

    async def note_stranger(self, door: str, peer: str, code: str) -> None:
        """Put on record, counted, that a door let somebody not in."""
        refused = IdentityRefused(door=door, peer=peer, code=code, count=1, since_ms=self._clock_ms())
        await self._strangers.note(refused)

    async def _result(self, driven: Driven, only: StepKey | None = None) -> RunResult:
        """What is told of a run, or of its step `only`."""
        ledger, record = await self._ledger(), driven.record
        planned = driven.blueprint.steps if driven.blueprint is not None else {}
        told = await describe_run(record, planned, self.ready.journal, ledger, driven.values, only=only)
        is_driven = not record.state.is_moving or self.drives(record.run)
        return told if is_driven else msgspec.structs.replace(told, status=RunState.INTERRUPTED)

    async def _ledger(self) -> dict[str, Json]:
        head = await self.ready.journal.head()
        return {"size": head.size, "root": base64.b64encode(head.root).decode()}

    def _clock_ms(self) -> int:
        return self.ready.clock.now_ms()

    @property
    def running(self) -> Driver:
        """What drives runs; `RUNTIME_CLOSED`."""
        if self._driver is None:
            raise _closed()
        return self._driver

    @property
    def reader(self) -> JournalReader:
        """The record, also where another process owns it."""
        return self.beside if self.beside is not None else self.ready.journal

    @property
    def ready(self) -> Services:
        """What the engine works with; `RUNTIME_CLOSED`."""
        if self._services is None:
            raise _closed()
        return self._services


def _require_clock(now_ms: int) -> None:
    """Raise CLOCK_UNUSABLE for a time that ids, entries and the system's own calls can't hold."""
    if not 0 <= now_ms < CLOCK_MS_MAX:
        raise WorldError(
            "CLOCK_UNUSABLE",
            "the machine's clock stands before 1970 or after 2262",
            hint="set it, then run the command again",
        )


def _difference(world: World) -> str:
    from assent.capabilities.fs.change._diff import difference  # only who is shown an undo pays for it

    return difference(world)


def _closed_key() -> bytes:
    raise _closed()


def _closed() -> InputError:
    return InputError(
        "RUNTIME_CLOSED", "the runtime is not open", hint="use it inside `async with Runtime.open(…)`"
    )


def literal(capability: str, parameters: Mapping[str, Json] | None) -> dict[str, Json]:
    of = f"the inputs of `{capability}`"
    return json_object({} if parameters is None else parameters, code="INVALID_INPUT", of=of)


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
