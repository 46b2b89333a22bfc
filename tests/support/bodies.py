"""A whole runtime around a world that tests can see into: a box of values, changed by capabilities registered for the test."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from assent import Runtime
from assent.engine import Engine, RunProjector, RunResult, Services
from assent.errors import Json, RefusedError
from assent.invocation import Handler, Invoker, LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.journal import Blobs, Journal, at_once, leaves_at_once, rows_at_once
from assent.policy import PolicyEngine
from assent.runtime._core import Core
from assent.runtime.settings.effective import Settings
from assent.spec import (
    CapabilitySpec,
    Compensation,
    OperationType,
    Risk,
    RiskLevel,
    SideEffects,
    create_read_capability,
)
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.principal import Principal
from assent.spec.states import Verdict
from assent.spec.values.canonical import fingerprint
from assent.system import SystemClock

KEYED: dict[str, Json] = {
    "type": "object",
    "properties": {"key": {"type": "string"}, "value": {}},
    "required": ["key"],
    "additionalProperties": False,
}

Hook = Callable[[LocalContext], Any]  # `Any`: None, or an awaitable of it


@dataclass
class Box:
    """A world of values. `log` names each part that was called and the key it was about; hooks go before and after an effect."""

    values: dict[str, Json] = field(default_factory=dict)
    log: list[str] = field(default_factory=list)
    before: dict[str, Hook] = field(default_factory=dict)
    after: dict[str, Hook] = field(default_factory=dict)
    on_compensate: dict[str, Hook] = field(default_factory=dict)
    on_reconcile: dict[str, Reconciliation] = field(default_factory=dict)
    outputs: dict[str, object] = field(default_factory=dict)

    def count(self, part: str, key: str) -> int:
        """How often a part was called about a key."""
        return self.log.count(f"{part} {key}")

    async def prepare(self, context: LocalContext, parameters: dict[str, Any]) -> Prepared:
        key = parameters["key"]
        self.log.append(f"prepare {key}")
        return Prepared({"had": key in self.values, "old": self.values.get(key)})

    async def execute(self, context: LocalContext, parameters: dict[str, Any]) -> object:
        key = parameters["key"]
        self.log.append(f"execute {key}")
        await _settled(self.before, key, context)
        self.values[key] = parameters.get("value", True)
        await _settled(self.after, key, context)
        return self.outputs.get(key, {"key": key, "value": self.values[key]})

    async def compensate(self, context: LocalContext, parameters: dict[str, Any]) -> Json:
        key = parameters["key"]
        self.log.append(f"compensate {key}")
        await _settled(self.on_compensate, key, context)
        assert context.prepared is not None
        found = self.values.get(key)
        if found not in (context.prepared["old"], parameters.get("value", True)):
            raise RefusedError(
                "COMPENSATION_CONFLICT",
                f"`{key}` is not as it was left",
                details={"left": parameters.get("value", True), "found": found},
            )
        if context.prepared["had"]:
            self.values[key] = context.prepared["old"]
        else:
            self.values.pop(key, None)
        return {}

    async def reconcile(self, context: LocalContext, parameters: dict[str, Any]) -> Reconciliation:
        key = parameters["key"]
        self.log.append(f"reconcile {key}")
        if key in self.on_reconcile:
            return self.on_reconcile[key]
        if self.values.get(key) == parameters.get("value", True):
            return Reconciliation(Verdict.YES, {"key": key, "value": self.values[key]})
        return Reconciliation(Verdict.NO)

    async def preview(self, context: LocalContext, parameters: dict[str, Any]) -> Preview:
        key = parameters["key"]
        base = fingerprint({"value": self.values.get(key)})
        return Preview("text", f"{key}: {self.values.get(key)} -> {parameters.get('value', True)}", base)

    def handler(self, **parts: Any) -> Handler:
        """The box's own parts, with others in their place; None leaves a part out."""
        own: dict[str, Any] = {
            "execute": self.execute,
            "prepare": self.prepare,
            "compensate": self.compensate,
            "reconcile": self.reconcile,
            "preview": self.preview,
            "revision": "box/1",
        }
        return Handler(**own | parts)

    def read(self) -> Handler:
        """A part that only looks."""

        async def look(context: LocalContext, parameters: dict[str, Any]) -> object:
            key = parameters["key"]
            self.log.append(f"execute {key}")
            await _settled(self.before, key, context)
            return self.values.get(key)

        return Handler(look, revision="box.read/1")


async def _settled(hooks: Mapping[str, Hook], key: str, context: LocalContext) -> None:
    hook = hooks.get(key)
    result = hook(context) if hook is not None else None
    if inspect.isawaitable(result):
        await result


def put_spec(ident: str = "box.put", *, level: RiskLevel = RiskLevel.MEDIUM, **fields: Any) -> CapabilitySpec:
    """A reversible change of the box."""
    defaults: dict[str, Any] = {
        "id": ident,
        "operation_type": OperationType.WRITE,
        "parameters": KEYED,
        "side_effects": SideEffects(reversible=True, scope="box"),
        "compensation": Compensation(supported=True, strategy="restore"),
        "risk": Risk(level=level),
    }
    return CapabilitySpec(**defaults | fields)


class FakeClock:
    """The system's clock, which a test may set forward by `ms`."""

    def __init__(self) -> None:
        self.ms = 0
        self._system = SystemClock()

    def now_ms(self) -> int:
        return self._system.now_ms() + self.ms

    def monotonic_ms(self) -> int:
        return self._system.monotonic_ms() + self.ms

    def monotonic_us(self) -> int:
        return self._system.monotonic_us() + self.ms * 1000


class BenchCore(Core):
    """One whose clock, grace and concurrency a test may choose."""

    clock: FakeClock | None = None
    grace_s: float | None = None
    concurrency: int | None = None

    def services(self, journal: Journal, blobs: Blobs) -> Services:
        services = super().services(journal, blobs)
        if self.clock is not None:
            services = msgspec.structs.replace(services, clock=self.clock)
        if self.concurrency is not None:
            limits = msgspec.structs.replace(services.limits, concurrent_steps=self.concurrency)
            services = msgspec.structs.replace(services, limits=limits)
        if self.grace_s is not None:
            threads = ThreadPoolExecutor(max_workers=16)
            self.exit.callback(threads.shutdown, wait=False)
            pipeline = self.calling.pipeline(Invoker(threads, grace_s=self.grace_s), self.clock)
            services = msgspec.structs.replace(services, pipeline=pipeline)
        return services


class Bench(Runtime):
    """A runtime around such a one."""

    _CORE = BenchCore
    _core: BenchCore

    @property
    def engine(self) -> Engine:
        """What drives the runs."""
        assert isinstance(self._core.running, Engine)
        return self._core.running

    def recorded(self, run: str) -> list[ev.AnyEvent]:
        """The run's events, oldest first."""
        return [leaf.event for leaf in at_once(self._core.ready.journal.events(RunId(run)))]

    def kinds(self, run: str) -> list[str]:
        """What kinds of events the run has."""
        return [event.kind for event in self.recorded(run)]

    def require_sound_rows(self) -> None:
        """Every row of the projections is what the events alone make of it."""
        journal, projector = self._core.ready.journal, RunProjector()
        replayed: dict[str, list[tuple[Any, ...]]] = {table: [] for table in projector.tables}
        for row in projector.replay(leaves_at_once(journal)):
            replayed[row.table].append(row.values)
        for table, columns in projector.tables.items():
            live = [tuple(row[column] for column in columns) for row in rows_at_once(journal, table)]
            assert sorted(map(repr, live)) == sorted(map(repr, replayed[table]))


@dataclass
class Place:
    """A folder with a workspace, its state and a key, in which runtimes come and go around one box."""

    root: Path
    box: Box = field(default_factory=Box)
    policy: Path | dict[str, Any] | None = None
    clock: FakeClock | None = None
    grace_s: float | None = None
    concurrency: int | None = None

    @property
    def workspace(self) -> Path:
        """The folder that capabilities act in."""
        return self.root / "work"

    def settings(self) -> Settings:
        """What a command in this place works with."""
        self.workspace.mkdir(exist_ok=True)
        return Settings.resolve(
            workspace=self.workspace,
            state=self.root / "state",
            policy=self.policy if isinstance(self.policy, Path) else None,
            environ={"HOME": str(self.root), "ASSENT_LEDGER_KEY": str(self.root / "ledger.key")},
            cwd=self.root,
        )

    @asynccontextmanager
    async def open(self, *, box: bool = True) -> AsyncIterator[Bench]:
        """A runtime here. Left while a run is under way, it leaves what a crash between two commits would."""
        policy = PolicyEngine.from_dict(self.policy) if isinstance(self.policy, dict) else None
        runtime = Bench(self.settings(), policy=policy)
        core = runtime._core
        core.clock, core.grace_s, core.concurrency = self.clock, self.grace_s, self.concurrency
        async with runtime as rt:
            if box:
                self.register(rt)
            yield rt

    def register(self, rt: Runtime) -> None:
        """The box's capabilities: one of each risk, one idempotent, one that can't be taken back, one that only reads."""
        for level in RiskLevel:
            rt.register(put_spec(f"box.put_{level.lower()}", level=level), self.box.handler())
        rt.register(put_spec(), self.box.handler())
        rt.register(put_spec("box.set", idempotent=True), self.box.handler())
        rt.register(
            put_spec(
                "box.burn",
                level=RiskLevel.CRITICAL,
                side_effects=SideEffects(reversible=False),
                compensation=Compensation(),
            ),
            self.box.handler(compensate=None),
        )
        rt.register(create_read_capability("box.look", parameters=KEYED), self.box.read())


def put(key: str, capability: str = "box.put", **fields: Any) -> dict[str, Any]:
    """A step named `key` that puts the key into the box. `value` goes into its inputs, the rest beside them."""
    inputs = {"key": key, "value": fields.pop("value", key)}
    return {"name": key, "capability": capability, "inputs": inputs, **fields}


def fail(name: str = "end", **fields: Any) -> dict[str, Any]:
    """A step that fails and touches nothing."""
    return {"name": name, "capability": "sys.fail", "inputs": {}, **fields}


def workflow(*steps: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A workflow of these steps."""
    return {"name": "w", "steps": [*steps], **fields}


def rule(ident: str, decision: str = "ALLOW", **fields: Any) -> dict[str, Any]:
    """One rule of a policy."""
    return {"id": ident, "decision": decision, "reason": "for the test", **fields}


def policy(*rules: dict[str, Any], default: str = "ALLOW") -> dict[str, Any]:
    """A policy of these rules."""
    return {"version": 1, "default": default, "rules": [*rules]}


def states(result: RunResult) -> dict[str, str]:
    """Each step with its state."""
    return {step.name: step.status.value for step in result.steps}


def code(result: RunResult) -> str | None:
    """The code of the run's error."""
    return str(result.error["code"]) if result.error is not None else None


def user(name: str, *roles: str) -> Principal:
    """A person with roles."""
    return Principal.parse(f"user:{name}", roles=frozenset(roles))


def no_effect(context: LocalContext) -> None:
    """A hook: the effect does not happen, and says so."""
    raise NoEffectError("TRY_AGAIN", "not now")


def boom(context: LocalContext) -> None:
    """A hook: something nobody expected."""
    message = "boom"
    raise RuntimeError(message)


@dataclass
class Pause:
    """A hook that says when it was reached and goes on when it is told to."""

    reached: asyncio.Event = field(default_factory=asyncio.Event)
    go_on: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, context: LocalContext) -> None:
        self.reached.set()
        await self.go_on.wait()


async def interrupted(place: Place, document: dict[str, Any], key: str, *, happened: bool) -> str:
    """A run whose owner ended while the step about `key` was under way, before or after its effect; its id."""
    pause = Pause()
    hooks = place.box.after if happened else place.box.before
    hooks[key] = pause
    async with place.open() as rt:
        running = asyncio.ensure_future(rt.run(document))
        await pause.reached.wait()
        run = (await rt.unfinished())[-1]
    await asyncio.wait({running})
    running.exception()
    del hooks[key]
    return run


async def erased(rt: Runtime, run: str) -> None:
    """Erase a run that has ended, with the word of somebody else where the policy wants one."""
    asked = await rt.erase([run])
    if asked.status == "waiting":
        asked = await rt.approve(asked.run_id, principal="user:somebody-else")
    assert asked.status == "succeeded", asked
