"""Calls taken through a pipeline by hand: a gate that answers what a test says, and no engine around it."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, cast

from assent.errors import Json
from assent.invocation import (
    BoundCapability,
    GlobalContext,
    Handler,
    Hook,
    HookedCall,
    HookKind,
    Invocation,
    Invoker,
    LocalContext,
    Pipeline,
    World,
)
from assent.policy import PolicyContext, Possible, UnknownInputs
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.ids import RunId, StepKey
from assent.spec.policy import Limit
from assent.spec.principal import Principal
from assent.system import SystemClock, SystemIds, spawn
from tests.support.hands import MemoryBlobs

ANN = Principal.parse("user:ann")
ANYTHING: dict[str, Json] = {"type": "object"}
NOWHERE = cast("World", None)
"""No world: what these calls do touches nothing."""


@dataclass
class SaidGate:
    """A gate that gives one answer, and keeps what it was asked."""

    answer: PolicyDecision = PolicyDecision.ALLOW
    asked: list[PolicyContext] = field(default_factory=list)
    digest: str = "0" * 64
    is_open: bool = True
    reads_now: bool = False
    limits: tuple[Limit, ...] = ()

    def limits_on(self, context: PolicyContext) -> tuple[Limit, ...]:
        return self.limits

    def decide(self, context: PolicyContext) -> Decision:
        self.asked.append(context)
        return Decision(self.answer, "the-rule", "for the test", self.digest)

    def foresee(self, context: PolicyContext, unknown_inputs: UnknownInputs = "all") -> Decision | None:
        return self.decide(context)

    def possible(self, context: PolicyContext, unknown_inputs: UnknownInputs) -> Possible:
        return Possible((self.decide(context),))


async def nothing(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
    """An effect that is none."""
    return {}


async def _agree(call: HookedCall) -> None:
    """A hook that has nothing against it."""


@dataclass
class Bed:
    """A pipeline, and what it needs."""

    pipeline: Pipeline
    gate: SaidGate

    def bound(self, execute: Any = nothing, **fields: Any) -> BoundCapability:
        """A capability that reads; `fields` of its handler, but `spec` and `returns_schema`."""
        spec: CapabilitySpec = fields.pop("spec", None) or create_read_capability(
            "a.read", parameters=ANYTHING, returns=fields.pop("returns_schema", {})
        )
        return BoundCapability(spec, Handler(execute, revision="1", **fields))

    def hook(self, ident: str, *, run: Any = _agree, **options: Any) -> Hook:
        """A `before` hook, which agrees unless it is given something to do."""
        return Hook(HookKind.BEFORE, run, id=ident, **options)

    def receive(
        self, bound: BoundCapability | None = None, *, local: tuple[Hook, ...] = (), **fields: Any
    ) -> Invocation:
        """A call at its beginning."""
        given: dict[str, Any] = {
            "run": RunId("run_1"),
            "step": StepKey("a"),
            "attempt": 1,
            "principal": ANN,
            "key": "k",
            "world": NOWHERE,
            "blobs": MemoryBlobs(),
        }
        return self.pipeline.receive(bound or self.bound(), local=local, **given | fields)

    async def call(
        self,
        bound: BoundCapability | None = None,
        inputs: dict[str, Json] | None = None,
        *,
        timeout_s: float | None = None,
        local: tuple[Hook, ...] = (),
        **fields: Any,
    ) -> tuple[Invocation, Json]:
        """The same for a new call; the call and what came of it."""
        call = self.receive(bound, local=local, **fields)
        return call, await self.take(call, inputs, timeout_s=timeout_s)

    async def take(
        self, call: Invocation, inputs: dict[str, Json] | None = None, *, timeout_s: float | None = None
    ) -> Json:
        """Take a call the whole way, as the engine does; whatever ends it is raised, as it would be recorded."""
        pipeline = self.pipeline
        pipeline.validate(call, inputs or {})
        decision = pipeline.authorize(call, PolicyContext.of(call.bound.spec, ANN, call.inputs))
        if decision.effect is PolicyDecision.REQUIRE_APPROVAL:
            pipeline.pause(call)
        if decision.effect is not PolicyDecision.ALLOW:
            return decision.effect.value
        try:
            await pipeline.allow(call)
            found = await pipeline.prepare(call, timeout_s=timeout_s)
            state = found.state if found is not None else None
            output = await pipeline.execute(call, timeout_s=timeout_s, prepared=state)
        except BaseException as error:
            failure = await pipeline.fail(call, error)
            if isinstance(error, Exception):
                raise failure from error
            raise
        await pipeline.succeed(call, output)
        return output


@contextmanager
def bed(*, grace_s: float = 0.05, app: GlobalContext | None = None) -> Iterator[Bed]:
    """A pipeline with two threads."""
    gate = SaidGate()
    with ThreadPoolExecutor(2) as threads:
        invoker = Invoker(threads, grace_s=grace_s)
        yield Bed(Pipeline(invoker, gate, clock=SystemClock(), ids=SystemIds(), app=app, spawn=spawn), gate)
