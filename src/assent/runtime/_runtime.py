"""The composition root: builds every part from the settings, owns start and stop, and offers what people may ask of it.

A runtime that is open owns its state directory. The command line, programs and later the servers are thin users of it.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, contextmanager
from contextvars import ContextVar
from pathlib import Path
from types import ModuleType, TracebackType
from typing import Any, Final, Self, Unpack, overload

from assent import system
from assent.capabilities import builtin_catalog
from assent.capabilities.fs import Workspace
from assent.engine import (
    Actor,
    Approve,
    Blueprint,
    Cancel,
    Engine,
    Preparing,
    Progress,
    Reject,
    Resolve,
    RunRecord,
    RunResult,
    Said,
    Services,
    describe_run,
)
from assent.errors import AssentError, InputError, Json
from assent.failpoints import FAILPOINTS, VARIABLE
from assent.invocation import Capability, Hook, Invoker, Metrics
from assent.invocation.watching import watching
from assent.journal import (
    Blobs,
    Ed25519FileSigner,
    Journal,
    MemoryBlobs,
    MemoryJournal,
    Ownership,
    SqliteJournal,
    ledger_signer,
)
from assent.policy import PolicyEngine
from assent.registry import CapabilityRegistry
from assent.runtime._application import application
from assent.runtime._calling import Calling, bounds
from assent.runtime._captures import Captures
from assent.runtime._catalogue import Capabilities, Registration
from assent.runtime._deliveries import Deliveries
from assent.runtime._gate import ReloadableGate
from assent.runtime._loading import WorkflowSource, load_policy, load_workflow
from assent.runtime._planned import Planned
from assent.runtime._plans import PlanStore
from assent.runtime._plugins import Plugins
from assent.runtime._recording import BUILT_IN
from assent.runtime._runs import find_run, state_of, undo_refusal
from assent.runtime._session import Session
from assent.runtime._versions import Versions
from assent.runtime.settings import Settings
from assent.spec import events as ev
from assent.spec.capability import CapabilitySpec
from assent.spec.ids import PlanId, RunId, StepKey
from assent.spec.principal import Principal
from assent.spec.states import Resolution, RunState
from assent.spec.workflow import WorkflowSpec, bind_inputs

_LISTENER: Final[ContextVar[Progress | None]] = ContextVar("listener", default=None)


class Runtime(Planned):
    """Everything that governs and performs runs in one workspace, while its state directory is owned.

        async with Runtime.open(workspace="project") as rt:
            result = await rt.run("release.yaml", {"version": "1.2.0"})

    `run`, `call`, `approve` … raise only what is the caller's to mend (an unknown run, a workflow that can't be loaded); how
    a run ended, denied and failed ones included, is in the `RunResult`.
    """

    def __init__(self, settings: Settings, *, policy: PolicyEngine | None = None) -> None:
        self.settings = settings
        self._policy = policy
        self.metrics = Metrics()
        self.gate = ReloadableGate(policy or PolicyEngine.builtin())
        self.app = application(settings, self.gate)
        self._capabilities = Capabilities()
        for spec, handler in builtin_catalog():
            self._capabilities.register(spec, handler, origin=BUILT_IN)
        self.plugins = Plugins.trusted(settings, self._capabilities)
        self.versions = Versions.of(self._capabilities, self.actor, settings.limits)
        self._exit = AsyncExitStack()
        self._exit.callback(self.plugins.close)
        self._engine: Engine | None = None
        self._services: Services | None = None
        self.calling = Calling(self.gate, self.app, self.metrics, settings)
        self.hooks, self.lifecycle = self.calling.hooks, self.calling.lifecycle
        self.secrets = self.calling.secrets
        self.deliveries = Deliveries(self.app, self.secrets, settings, self.actor)
        self._plans = PlanStore(settings.state, expiry_ms=settings.limits.plan_expiry_ms)
        self._captures = Captures(settings)

    @classmethod
    def open(
        cls,
        workspace: Path | str | None = None,
        *,
        state: Path | str | None = None,
        policy: Path | str | Mapping[str, Json] | PolicyEngine | None = None,
    ) -> Self:
        """A runtime for a workspace, to be entered with `async with`.

        Without arguments the nearest folder upwards with an `assent.toml` is the workspace, else the current one. `policy` is a
        file, a policy document, or an engine; without one the configured policy holds, else the built-in one.
        """
        path = Path(policy) if isinstance(policy, Path | str) else None
        settings = Settings.resolve(
            workspace=Path(workspace) if workspace is not None else None,
            state=Path(state) if state is not None else None,
            policy=path,
            environ=system.environment(),
            cwd=Path.cwd(),
        )
        if isinstance(policy, PolicyEngine):
            return cls(settings, policy=policy)
        if isinstance(policy, Mapping):
            return cls(settings, policy=PolicyEngine.from_dict(dict(policy)))
        return cls(settings)

    # -- start and stop -----------------------------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        """Take the state directory. `STATE_OWNED` when another process has it."""
        ownership = Ownership.acquire(self._created_state())
        if ownership is None:
            raise AssentError(
                "STATE_OWNED",
                f"the state directory `{self.settings.state}` is in use by another process",
                hint="end it, or give this one its own with `state=`",
            )
        self._exit.callback(ownership.release)
        try:
            await self._start()
        except BaseException:
            await self._exit.aclose()
            raise
        return self

    async def start(self, ownership: Ownership) -> None:
        """The same, for a caller that has the state directory already and releases it itself."""
        del ownership
        await self._start()

    def _created_state(self) -> Path:
        self.settings.create_state()
        return self.settings.state

    async def _start(self) -> None:
        if self._policy is None:
            self.gate.replace(load_policy(self.settings))
        armed = system.environment().get(VARIABLE)
        if armed:
            FAILPOINTS.arm(armed)
        settings = self.settings
        signer = ledger_signer(settings.state, settings.key_path)
        journal = SqliteJournal.open(
            settings.state,
            signer_for=signer.named,
            clock=system.SystemClock(),
            entropy=system.SystemEntropy(),
        )
        self._exit.push_async_callback(journal.close)
        services = self.services(journal, journal.blobs)
        self._services = services
        self.calling.open(services, signer)
        self._plans.sweep(services.clock.now_ms())
        await self._captures.sweep(journal)
        # The modules outlive every call that may use them, and the journal outlives the modules.
        self._exit.push_async_callback(self.app.shutdown)
        await self.app.start()
        self._capabilities.load(journal, now_ms=services.clock.now_ms())
        self.plugins.leave_out_unrecordable()
        self._engine = Engine(services, self._capabilities, self._tell)
        self.versions.attach(services, self._engine)
        await self.deliveries.open(services)
        self._exit.push_async_callback(self._engine.close)

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
        self._exit.push_async_callback(self.app.shutdown)

    def services(self, journal: Journal, blobs: Blobs) -> Services:
        """Everything the engine needs, around a journal; the caller closes the runtime."""
        settings, limits = self.settings, self.settings.limits
        threads = ThreadPoolExecutor(max_workers=max(4, limits.concurrency), thread_name_prefix="assent-hand")
        self._exit.callback(threads.shutdown, wait=False)
        world = Workspace.open(
            settings.workspace,
            hidden=settings.state,
            read_only=settings.control_files,
            pre_image_bytes_max=settings.limits.max_pre_image_bytes,
            redactor=self.secrets.redactor,
        )
        self._exit.callback(world.close)
        return Services(
            journal=journal,
            blobs=blobs,
            gate=self.gate,
            world=world,
            pipeline=self.calling.pipeline(Invoker(threads, grace_s=limits.grace_ms / 1000)),
            clock=system.SystemClock(),
            ids=system.SystemIds(),
            entropy=system.SystemEntropy(),
            spawn=system.spawn,
            limits=bounds(limits),
            roles=settings.roles,
        )

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every run where it is, seal the ledger, release the state directory."""
        await self.close()

    async def close(self) -> None:
        """The same, without a context manager."""
        self._engine = self._services = None
        self.versions.attach(None, None)
        await self._exit.aclose()

    # -- what is registered and in force --------------------------------------------------------------------------------------

    @property
    def registry(self) -> CapabilityRegistry:
        """The specs of every registered capability."""
        return self._capabilities.registry

    @overload
    def register(self, source: Capability[..., Any] | ModuleType, **how: Unpack[Registration]) -> None: ...
    @overload
    def register(
        self, source: CapabilitySpec, handler: object | None, **how: Unpack[Registration]
    ) -> None: ...
    def register(self, source: object, handler: object = None, **how: Unpack[Registration]) -> None:
        """Add capabilities for runs that begin from now on: a described one, all of a module, or a spec with its handler.

        What may be said besides is in `Registration`. A version that breaks callers is refused: `VERSION_BREAKING`.
        """
        self._capabilities.register(source, handler, **how)

    def reload_policy(self) -> None:
        """Read the configured policy again. When that fails, new steps are denied and runs under way pause, and it is raised."""
        if self._policy is not None:
            return  # handed in by the program: there is no file to read again
        try:
            self.gate.replace(load_policy(self.settings))
        except AssentError as fault:
            self.gate.shut(fault)
            raise
        if self._engine is not None:
            self._engine.wake()

    async def reload_configuration(self) -> None:
        """Read `[app]` of assent.toml again and put it into force. When it is refused the old one stays, and it is raised."""
        await self.app.reload(self.settings.read_app())

    @contextmanager
    def telling(self, listener: Progress) -> Iterator[None]:
        """Inside, `listener` is told of each durable event of the runs that are driven from here, and of no others'.

        It is also told, without a number, of a step that is being prepared and takes its time for it (`Preparing`), and of what
        the calls say of their work and their programs print, also those of a plan (`Said`). A line that it fails at fails alone.

        What drives a run is a task that inherits the context it was started in, so several requests do not hear each other.
        """

        def said(run: RunId, step: StepKey, line: str | None) -> None:
            listener(run, None, system.SystemClock().now_ms(), Said(step=step, line=line))

        token = _LISTENER.set(listener)
        try:
            with watching(said):
                yield
        finally:
            _LISTENER.reset(token)

    # -- runs -----------------------------------------------------------------------------------------------------------------

    async def run(
        self,
        workflow: WorkflowSource,
        inputs: Mapping[str, Json] | None = None,
        *,
        principal: Principal | str | None = None,
        environment: str | None = None,
    ) -> RunResult:
        """Run a workflow until it ends or waits for a person. Raises only for a workflow or inputs that can't be used."""
        spec = self.load_workflow(workflow)
        return await self.run_spec(spec, inputs or {}, self.actor(principal), environment=environment)

    async def run_spec(
        self,
        spec: WorkflowSpec,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None = None,
        plan: PlanId | None = None,
    ) -> RunResult:
        """Run a parsed workflow for somebody."""
        bound = self.check_spec(spec, inputs)
        blueprint = Blueprint.of_workflow(spec)
        return await self._begin(
            blueprint, bound, actor, environment=environment or self.settings.environment, plan=plan
        )

    async def call(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        principal: Principal | str | None = None,
        environment: str | None = None,
        hooks: Iterable[Hook] = (),
    ) -> RunResult:
        """Call one capability: a run of one step. The parameters are literal; `hooks` are this call's alone."""
        blueprint = Blueprint.of_call(capability, parameters or {}, hooks)
        return await self._call(capability, blueprint, self.actor(principal), environment)

    async def call_as(
        self, capability: str, parameters: Mapping[str, Json], actor: Actor, *, environment: str | None = None
    ) -> RunResult:
        """The same for somebody."""
        return await self._call(capability, Blueprint.of_call(capability, parameters), actor, environment)

    async def _call(
        self, capability: str, blueprint: Blueprint, actor: Actor, environment: str | None
    ) -> RunResult:
        given = next(iter(blueprint.steps.values())).inputs.literals()
        self._capabilities.current().find(capability).require_references(given)
        return await self._begin(blueprint, {}, actor, environment=environment or self.settings.environment)

    async def session(
        self, *, principal: Principal | str | None = None, environment: str | None = None
    ) -> Session:
        """A run whose steps arrive one at a time."""
        actor = self.actor(principal)
        await self.versions.before_run()
        run = await self._running.start(
            Blueprint.of_session(), {}, actor, environment=environment or self.settings.environment
        )
        await self._running.drive(run)
        return Session(run, self._running, self._capabilities.current().find, self.result, self.cancel)

    async def approve(
        self,
        run: str,
        step: str | None = None,
        *,
        principal: Principal | str | None = None,
        digest: str | None = None,
    ) -> RunResult:
        """Agree to what waits, and drive the run on, as its requester, until it ends or waits again."""
        return await self.approve_as(run, step, digest, self.actor(principal))

    async def approve_as(self, run: str, step: str | None, digest: str | None, actor: Actor) -> RunResult:
        """The same for somebody. `digest`: what was shown; None is journaled as not confirmed.

        Raises what refused an undo that was agreed to, as `undo_as` does.
        """
        now = self._clock_ms()
        key = StepKey(step) if step is not None else None
        await self._running.deliver(RunId(run), Approve(actor, key, digest, now))
        return self._undone_or_raise(RunId(run), await self._drive(RunId(run)))

    async def reject(
        self,
        run: str,
        step: str | None = None,
        *,
        reason: str = "",
        principal: Principal | str | None = None,
        digest: str | None = None,
    ) -> RunResult:
        """Refuse what waits; the run ends as by a denial."""
        return await self.reject_as(run, step, digest, reason, self.actor(principal))

    async def reject_as(
        self, run: str, step: str | None, digest: str | None, reason: str, actor: Actor
    ) -> RunResult:
        """The same for somebody. `digest`: what was shown; APPROVAL_STALE when something else is asked by now."""
        engine, key = self._running, StepKey(step) if step is not None else None
        commitment = engine.actor(RunId(run)).bind({"reason": reason}) if reason else None
        await engine.deliver(RunId(run), Reject(actor, key, commitment, self._clock_ms(), digest))
        return await self._drive(RunId(run))

    async def cancel(self, run: str, *, principal: Principal | str | None = None) -> RunResult:
        """Stop a run between effects and take its effects back."""
        return await self.cancel_as(run, self.actor(principal))

    async def cancel_as(self, run: str, actor: Actor) -> RunResult:
        """The same for somebody."""
        await self._running.deliver(RunId(run), Cancel(actor))
        return await self._drive(RunId(run))

    async def undo(
        self, run: str, *, partial: bool = False, principal: Principal | str | None = None
    ) -> RunResult:
        """Take a succeeded run back. Nothing is touched unless everything can be; `partial` leaves out what can't."""
        return await self.undo_as(run, self.actor(principal), partial=partial)

    async def undo_as(self, run: str, actor: Actor, *, partial: bool) -> RunResult:
        """The same for somebody. Raises what refused it: `POLICY_DENIED`, `UNDO_IMPOSSIBLE`, `COMPENSATION_CONFLICT` …"""
        await self._running.request_undo(RunId(run), actor, partial=partial)
        return self._undone_or_raise(RunId(run), await self._drive(RunId(run)))

    def _undone_or_raise(self, run: RunId, result: RunResult) -> RunResult:
        refusal = undo_refusal(self._ready.journal, run) if result.status == "succeeded" else None
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
        principal: Principal | str | None = None,
    ) -> RunResult:
        """Say what became of a step that the runtime could not settle."""
        return await self.resolve_as(run, step, Resolution(resolution), output, self.actor(principal))

    async def resolve_as(
        self, run: str, step: str, resolution: Resolution, output: Json, actor: Actor
    ) -> RunResult:
        """The same for somebody."""
        engine = self._running
        commitment = engine.actor(RunId(run)).bind(output) if resolution is Resolution.HAPPENED else None
        await engine.deliver(RunId(run), Resolve(actor, StepKey(step), resolution, commitment))
        return await self._drive(RunId(run))

    async def resume(self, run: str | None = None) -> list[RunResult]:
        """Drive one unfinished run on, or all of them; what needs attention is tried again."""
        if run is not None:
            return [await self._resume(RunId(run))]
        return [await self._resume(unfinished) for unfinished in self.unfinished()]

    async def _resume(self, run: RunId) -> RunResult:
        record = self._running.load(run)
        if record.state.is_finished:
            return self.result(record)
        if record.state is RunState.NEEDS_ATTENTION:
            await self._running.retry(run)
        return await self._drive(run)

    def unfinished(self) -> list[RunId]:
        """The runs that have not ended, oldest first; those that only wait for a person included."""
        rows = self._ready.journal.rows("runs")
        return [RunId(str(row["run_id"])) for row in rows if not state_of(row).is_finished]

    async def erase(self, run: str, actor: Actor) -> int:
        """Erase a finished run's payloads and pre-images; how many. `RUN_UNFINISHED` while it is under way.

        The saved plan that it came from goes first, because it holds the same inputs; a failure after it can be tried again.
        """
        record = self._running.load(RunId(run))
        if not record.state.is_finished:
            raise InputError(
                "RUN_UNFINISHED",
                f"run `{run}` is {record.state.value}; its data is still needed",
                hint=f"end it first: `assent cancel {run}`",
            )
        if record.created.plan is not None:
            self._plans.discard(record.created.plan)
        await self.deliveries.forget(run)
        return await self._ready.journal.erase(
            RunId(run), by=str(actor.principal), os_uid=actor.os_uid, at_ms=self._clock_ms()
        )

    # -- what is told of a run ------------------------------------------------------------------------------------------------

    def show(self, run: str) -> RunResult:
        """How a run stands, from the journal."""
        return self.result(self._running.load(RunId(run)))

    def result(self, record: RunRecord) -> RunResult:
        """The result for a run's record."""
        ledger = self._ledger()
        return describe_run(record, self._running.blueprint(record), self._ready.journal, ledger)

    # -- inside ---------------------------------------------------------------------------------------------------------------

    def actor(self, principal: Principal | str | None) -> Actor:
        """Who acts: the configured principal, or another one that is merely asserted."""
        settings = self.settings
        if principal is None:
            return Actor(settings.principal, settings.asserted, settings.os_uid)
        text = str(principal)
        asserted = text != str(settings.principal)
        found = settings.principal_of(text, asserted=asserted, os_uid=settings.os_uid)
        if isinstance(principal, Principal) and principal.roles:
            found = principal
        return Actor(found, asserted, settings.os_uid)

    def check_spec(self, spec: WorkflowSpec, inputs: Mapping[str, Json]) -> dict[str, Json]:
        """The workflow's inputs, complete; raises whatever of the workflow or the inputs can't be used here."""
        current = self._capabilities.current()
        current.check(spec)
        bound = bind_inputs(spec, inputs)
        current.check_inputs(spec, bound)
        return bound

    def check_call(self, reference: str, parameters: Mapping[str, Json]) -> None:
        """Raise what makes a call impossible before anybody is asked: `CAPABILITY_UNKNOWN`, `INVALID_INPUT`."""
        found = self._capabilities.current().find(reference)
        found.require_references(found.parse(parameters)[1])

    def find(self, beginning: str) -> RunId:
        """The run whose id begins so; `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        return find_run(self._ready.journal, beginning)

    def load_workflow(self, workflow: WorkflowSource) -> WorkflowSpec:
        """The workflow that a path, data or a parsed one is."""
        return load_workflow(workflow)

    async def _begin(
        self,
        blueprint: Blueprint,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None,
        plan: PlanId | None = None,
    ) -> RunResult:
        await self.versions.before_run()
        run = await self._running.start(blueprint, inputs, actor, environment=environment, plan=plan)
        return await self._drive(run)

    async def _drive(self, run: RunId) -> RunResult:
        actor = await self._running.rest(run)
        await self.versions.after_run(actor.record)
        await self._captures.after_run(actor.record)
        found = describe_run(actor.record, actor.blueprint, self._ready.journal, self._ledger(), actor.values)
        return self.gate.explain_pause(found, actor.record.mode)

    def _ledger(self) -> dict[str, Json]:
        head = self._ready.journal.head()
        return {"size": head.size, "root": base64.b64encode(head.root).decode()}

    def _tell(self, run: RunId, n: int | None, at_ms: int, event: ev.AnyEvent | Preparing | Said) -> None:
        listener = _LISTENER.get()
        if listener is not None:
            listener(run, n, at_ms, event)

    def _clock_ms(self) -> int:
        return self._ready.clock.now_ms()

    @property
    def _running(self) -> Engine:
        if self._engine is None:
            raise _closed()
        return self._engine

    @property
    def _ready(self) -> Services:
        if self._services is None:
            raise _closed()
        return self._services


def _closed() -> InputError:
    return InputError(
        "RUNTIME_CLOSED", "the runtime is not open", hint="use it inside `async with Runtime.open(…)`"
    )
