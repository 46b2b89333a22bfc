"""What the inside of a call costs, beside a plain function call: `python -m benchmarks.calls [--quick]`.

The median of several rounds, in processor time, per operation. "The whole pipeline" is an in-memory READ call: received,
validated, decided by a policy of 50 rules that are all looked at, six hooks run and every event told to a listener; there is
no journal.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, cast

from pydantic import BaseModel, ConfigDict

from assent import system
from assent.errors import Json
from assent.invocation import (
    BlobStore,
    BoundCapability,
    CallPhase,
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
from assent.policy import PolicyContext, PolicyEngine
from assent.runtime.wiring._gate import ReloadableGate
from assent.spec import create_read_capability
from assent.spec.capability import schema_of
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show

CONTEXT_US_MAX: Final = 10.0
HOOKS_US_MAX: Final = 15.0
PIPELINE_US_MAX: Final = 120.0
RULES: Final = 50
HOOKS: Final = 6

ANN: Final = Principal.parse("user:ann", roles=frozenset({"dev"}))
# Calls of these benchmarks touch nothing.
NOWHERE: Final = cast("World", None)
NO_BLOBS: Final = cast("BlobStore", None)


class Line(BaseModel):
    """One line of an order."""

    model_config = ConfigDict(extra="forbid", strict=True)
    article: str
    count: int
    cents: int


class Address(BaseModel):
    """Where it goes."""

    model_config = ConfigDict(extra="forbid", strict=True)
    street: str
    city: str


class Order(BaseModel):
    """What is validated."""

    model_config = ConfigDict(extra="forbid", strict=True)
    customer: str
    address: Address
    lines: list[Line]
    is_urgent: bool = False


def order() -> dict[str, Any]:
    """A nested order with five lines."""
    lines = [{"article": f"a-{number}", "count": number, "cents": 199} for number in range(5)]
    return {"customer": "ann", "address": {"street": "Main 1", "city": "Bern"}, "lines": lines}


async def look(context: LocalContext, parameters: Any) -> dict[str, Json]:
    """An effect that is none."""
    del context, parameters
    return {}


async def agree(call: HookedCall) -> None:
    """A hook that has nothing against it."""


class Way:
    """A pipeline with a capability, and the stages of a call through it."""

    def __init__(self, pipeline: Pipeline) -> None:
        self.pipeline = pipeline
        spec = create_read_capability("shop.look", "look at an order", parameters=schema_of(Order))
        self.bound = BoundCapability(spec, Handler(look, parameters=Order, revision="1"))
        self.given = order()

    def turning_point(self) -> Callable[[], Awaitable[None]]:
        """One validated call, of which the gate's answer is taken over and over: the `before` hooks run each time."""
        call = self.receive()
        self.pipeline.validate(call, self.given)

        async def allow() -> None:
            call.life.phase, call.life.hooks_run = CallPhase.VALIDATED, ()
            await self.pipeline.allow(call)

        return allow

    def receive(self) -> Invocation:
        """A call at its beginning."""
        return self.pipeline.receive(
            self.bound,
            run=RunId("run_1"),
            step=StepKey("call"),
            attempt=1,
            principal=ANN,
            key="k",
            world=NOWHERE,
            blobs=NO_BLOBS,
        )

    async def take(self) -> None:
        """The whole way of a call, as the engine takes it."""
        pipeline, call = self.pipeline, self.receive()
        pipeline.validate(call, self.given)
        pipeline.authorize(call, PolicyContext.of(self.bound.spec, ANN, call.inputs, requester=ANN, now_ms=1))
        await pipeline.allow(call)
        await pipeline.prepare(call, timeout_s=30)
        output = await pipeline.execute(call, timeout_s=30, prepared=None)
        await pipeline.succeed(call, output)


def fifty_rules() -> PolicyEngine:
    """Rules that a call of the shop has to be held against; the last one allows it."""
    rules: list[Json] = [
        {"id": f"rule-{number}", "if": f'inputs.customer == "nobody-{number}"', "decision": "DENY"}
        for number in range(RULES - 1)
    ]
    return PolicyEngine.from_dict(
        {
            "version": 1,
            "rules": [*rules, {"id": "shop", "when": {"capability": "shop.*"}, "decision": "ALLOW"}],
        }
    )


def measure(folder: Path, *, quick: bool) -> Part:
    """Measure everything, print a table, and give the promises."""
    del folder  # nothing is stored
    return asyncio.run(_measured(number=500 if quick else 3000, rounds=5 if quick else 15))


async def _measured(*, number: int, rounds: int) -> Part:
    with ThreadPoolExecutor(1) as threads:
        plain = _way(threads, PolicyEngine.builtin())
        hooked = _way(threads, PolicyEngine.builtin())
        whole = _way(threads, fifty_rules())
        for way in (hooked, whole):
            for at in range(HOOKS):
                way.pipeline.hooks.add(Hook(HookKind.BEFORE, agree, id=f"hook-{at}"))
        listening = [way.pipeline.lifecycle.subscribe(64) for way in (hooked, whole)]
        heard = _way(threads, PolicyEngine.builtin())
        listening.append(heard.pipeline.lifecycle.subscribe(64))
        figures = {
            "a plain function call": _us(lambda: look, number, rounds),
            "a context": _us(_context, number, rounds),
            "a call received (its context, ids and clock)": _us(plain.receive, number, rounds),
            "a call without hooks and listeners": await _us_of(plain.take, number, rounds),
            "the same, listened to": await _us_of(heard.take, number, rounds),
            f"the same with {HOOKS} async hooks": await _us_of(hooked.take, number, rounds),
            f"the whole pipeline: {RULES} rules, {HOOKS} hooks, events": await _us_of(
                whole.take, number, rounds
            ),
            f"{HOOKS} async hooks with their events": await _us_of(hooked.turning_point(), number, rounds),
        }
        for subscription in listening:
            subscription.close()
    show("the inside of a call", ["", "µs"], [[name, f"{figure:.2f}"] for name, figure in figures.items()])
    targets = [
        Target("a context, µs", figures["a context"], CONTEXT_US_MAX, at_least=False),
        Target(
            "6 async hooks with events, µs",
            figures[f"{HOOKS} async hooks with their events"],
            HOOKS_US_MAX,
            at_least=False,
        ),
        Target(
            "the whole pipeline, µs",
            figures[f"the whole pipeline: {RULES} rules, {HOOKS} hooks, events"],
            PIPELINE_US_MAX,
            at_least=False,
        ),
    ]
    return Part("calls", {"figures_us": figures}, targets)


def _way(threads: ThreadPoolExecutor, policy: PolicyEngine) -> Way:
    return Way(
        Pipeline(Invoker(threads), ReloadableGate(policy), clock=system.SystemClock(), ids=system.SystemIds())
    )


def _context() -> LocalContext:
    return LocalContext(
        run=RunId("run_1"),
        step=StepKey("call"),
        attempt=1,
        principal=ANN,
        key="k",
        world=NOWHERE,
        blobs=NO_BLOBS,
        request_id="req_1",
        capability="shop.look",
        version="1.0.0",
    )


def _us(action: Callable[[], object], number: int, rounds: int) -> float:
    """The median over the rounds, in microseconds of this thread's processor time."""
    taken = []
    for _ in range(rounds):
        start = time.thread_time_ns()
        for _ in range(number):
            action()
        taken.append((time.thread_time_ns() - start) / number / 1000)
    return statistics.median(taken)


async def _us_of(
    action: Callable[[], Coroutine[Any, Any, None] | Awaitable[None]], number: int, rounds: int
) -> float:
    taken = []
    for _ in range(rounds):
        start = time.thread_time_ns()
        for _ in range(number):
            await action()
        taken.append((time.thread_time_ns() - start) / number / 1000)
    return statistics.median(taken)


if __name__ == "__main__":
    run_part(measure, __doc__)
