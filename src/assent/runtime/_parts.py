"""The composition root: builds every part from the settings, and owns start and stop."""

from __future__ import annotations

import asyncio
import hmac
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, Unpack

import msgspec

from assent import system
from assent.capabilities import builtin_catalog
from assent.capabilities.fs import Workspace
from assent.engine import Actor, Driver, Engine, NoPolicyRecord, PolicyRecord, Services
from assent.errors import AssentError, InputError, Json, WorldError
from assent.failpoints import FAILPOINTS, VARIABLE
from assent.invocation import Invoker, Metrics, World
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
    ledger_signer,
)
from assent.policy import PolicyEngine
from assent.registry import CapabilityRegistry
from assent.runtime._ledger import open_ledger
from assent.runtime.capabilities._capability_record import BUILT_IN, require_rows_of_entries
from assent.runtime.capabilities._registered import Capabilities, Registration
from assent.runtime.capabilities._versions import Versions
from assent.runtime.runs._captured_changes import Captures
from assent.runtime.runs._companions import Companions
from assent.runtime.runs._deliveries import Deliveries
from assent.runtime.runs._erasing import RunRecords
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.runs._key_acts import KeyActs
from assent.runtime.runs._loading import load_policy
from assent.runtime.runs._notices import Notices, notified
from assent.runtime.runs._refusals import ASKERS_MAX, STRANGERS_MAX, Refusals
from assent.runtime.runs._saved_plans import PlanStore
from assent.runtime.runs._schedules import ScheduleRecords
from assent.runtime.runs._server_acts import ServerActs
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._application import application
from assent.runtime.wiring._call_pipeline import Calling, bounds
from assent.runtime.wiring._gate import ReloadableGate
from assent.runtime.wiring._plugins import Plugins
from assent.runtime.wiring._policy_record import LedgerPolicies
from assent.runtime.wiring._servers import Servers
from assent.runtime.wiring.knowledge import library_of
from assent.spec.events.kinds import ApprovalRefused, IdentityRefused
from assent.spec.ids import RunId
from assent.spec.masking import masked, masked_by_name
from assent.spec.principal import BY_PROCESS, Principal, identified
from assent.spec.values.frozen import thaw
from assent.spec.workflow.definition import WorkflowSpec, bind_inputs, require_outside_session
from assent.spec.workflow.inputs import json_object

if TYPE_CHECKING:
    from assent.capabilities.knowledge import Library
    from assent.invocation.context.telling import Listener
    from assent.spec.capability import CapabilitySpec
    from assent.spec.decision import PolicyDecision


def _close(library: Library) -> None:
    library.close()


CLOCK_MS_MAX: Final = (1 << 63) // 1_000_000
"""The end of the year 2262's first months, where nanoseconds since 1970 no longer fit."""

Who: TypeAlias = "Actor | Principal | str | None"
"""Who asks: nobody in particular is the configured principal."""

_REQUEST_DIGESTS: Final = b"assent request digests"
_encode: Final = msgspec.json.Encoder(order="sorted").encode


class Parts:
    """Everything that governs and performs runs in one workspace, opened by whoever owns the state, or to plan."""

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
        self.servers = Servers(settings)
        self.servers.register(self.capabilities)
        self.versions = Versions(self.capabilities, self.actor)
        self.companions = Companions()
        self.exit = AsyncExitStack()
        self.exit.callback(self.plugins.close)
        self.exit.push_async_callback(self.servers.close)
        self._driver: Driver | None = None
        self._services: Services | None = None
        self._ids = system.SystemIds()
        self._observer: Listener | None = None
        self.calling = Calling(self.gate, self.app, self.metrics, settings)
        self.hooks, self.lifecycle = self.calling.hooks, self.calling.lifecycle
        self.secrets = self.calling.secrets
        self.deliveries = Deliveries(self.app, self.secrets, settings, self.actor)
        self._notices = Notices(self.deliveries, notified(settings), self._masked)
        self._plans = PlanStore(settings.state, expiry_ms=settings.limits.plan_expiry_ms)
        self._captures = Captures(settings)
        self.schedules = ScheduleRecords(settings, self.check_spec)
        self._findings = FindingsStore(settings)
        self.records = RunRecords(
            settings.state, self._plans, self.deliveries, self.schedules, self._findings
        )
        self.app.offer("assent.capabilities.record._erase.Records", self.records.offered)
        self.app.offer("assent.capabilities.schedule._change.Schedules", self.schedules.offered)
        self.app.offer("assent.capabilities.findings._desk.Desk", self._findings.offered)
        self.app.offer(
            "assent.capabilities.knowledge._library.Library", partial(library_of, settings), close=_close
        )
        self._keys = KeyActs(settings, self.schedules.added_by)
        self.app.offer("assent.capabilities.keys._keys.KeyRing", self._keys.offered)
        acts = ServerActs(self.servers, self.reload_servers)
        self.app.offer("assent.capabilities.servers._trust.ServerTrust", acts.offered)
        self._ownership: Ownership | None = None
        self.beside: JournalReader | None = None
        """The record, where another process owns it."""
        self._offers: dict[object, Sequence[tuple[CapabilitySpec, frozenset[PolicyDecision]]]] = {}
        self.told_tools: dict[object, tuple[Any, Any, object, Any]] = {}  # `Any`: the service's own
        """What may be called, as the service has told it."""
        self._request_key: Callable[[], bytes] = _closed_key

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
        # Which run came before which is told by their ids, and runs of earlier owners may be in line.
        for row in await journal.rows("runs", limit=1, newest_first=True):
            self._ids.rise_above(RunId(str(row["run_id"])))
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
        self._findings.open(self._driver)
        self.versions.attach(services, self._driver)
        await self._notices.open(services, self._driver)
        self.exit.push_async_callback(self._notices.close)
        self._refusals = Refusals[ApprovalRefused](services, ASKERS_MAX)
        self._strangers = Refusals[IdentityRefused](services, STRANGERS_MAX)
        for counting in (self._refusals, self._strangers):
            self.exit.push_async_callback(counting.close)
        self.exit.push_async_callback(self._driver.close)
        self.exit.callback(self._findings.close)

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
            ids=self._ids,
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

    async def reload_servers(self) -> None:
        """Read `[mcp]` of assent.toml and the lock of MCP servers again. When either is refused all stays, and it is raised."""
        self.settings.adopt_servers()
        self.servers.refresh(self.capabilities)
        if self._driver is not None:
            await self.versions.record()  # so that whoever reads the ledger hears of it

    def adopt(self, now: Settings) -> None:
        """Put into force what of settings that were read anew may change while this lives; runs under way learn their roles."""
        self.settings.adopt(now)
        # On record beside the policy, like those before.
        self.gate.unrecorded[self.gate.digest] = self.gate.engine
        if self._driver is not None:
            self._driver.wake()

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
        """Raise what makes a call impossible before anybody is asked: `CAPABILITY_UNKNOWN`, `INVALID_INPUT`, `NOT_A_SESSION`."""
        require_outside_session(reference)
        found = self.capabilities.current().find(reference)
        found.require_references(found.parse(parameters)[1])

    async def note_stranger(self, door: str, peer: str, code: str) -> None:
        """Put on record, counted, that a door let somebody not in."""
        refused = IdentityRefused(door=door, peer=peer, code=code, count=1, since_ms=self._clock_ms())
        await self._strangers.note(refused)

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
