"""The reads that a plan really runs: each a call like any other, on the plan's own world, and on record before it is used.

A plan that runs none needs nobody's ledger. One that would says so (`OwnerNeededError`) to whoever does not own it.
"""

from __future__ import annotations

from hashlib import sha256
from typing import Final, Protocol

import msgspec

from assent.engine.machine._commands import Actor
from assent.engine.ports import Services
from assent.engine.steps._pending_events import payload_of
from assent.errors import AssentError, Json
from assent.invocation import Invocation
from assent.journal.ports import Batch, Payload
from assent.policy import PolicyContext
from assent.spec.capability import RiskLevel
from assent.spec.decision import Decision, PolicyDecision
from assent.spec.events import kinds as ev
from assent.spec.ids import PlanId, RunId

READ_MS_MAX: Final = 10_000
READ_BYTES_MAX: Final = 8 << 20
"""How long the reads of one plan may take together, and how much they may give, as JSON."""

_TOO_LONG: Final = f"the plan has read for {READ_MS_MAX // 1000} s, which is the most"
_TOO_MUCH: Final = f"the plan has read {READ_BYTES_MAX >> 20} MiB, which is the most"


class UnreadError(Exception):
    """Why a read is not run, or nothing known of it, in words that follow `not read: `."""


class OwnerNeededError(Exception):
    """A read would be run, and only the owner of the state can put it on record."""


class PlanRead(msgspec.Struct, frozen=True):
    """What a read gave, and its SHA-256."""

    output: Json
    digest: str


class Reads(Protocol):
    """Runs the reads of one plan. `labels` are those of what has been read."""

    @property
    def labels(self) -> frozenset[str]: ...

    async def run(self, call: Invocation, question: PolicyContext, decision: Decision) -> PlanRead:
        """What a call that the gate allows gives. `UnreadError`, `OwnerNeededError`, and what the call itself fails with."""
        ...


class NoReads:
    """Of a plan that may not read, and of one that has no ledger to tell of it."""

    labels: frozenset[str] = frozenset()

    def __init__(self, *, wished: bool) -> None:
        self._is_wished = wished

    async def run(self, call: Invocation, question: PolicyContext, decision: Decision) -> PlanRead:
        del call, question, decision
        if self._is_wished:
            raise OwnerNeededError
        raise UnreadError("reads are left out")


class OwnerReads:
    """Of the process that owns the ledger: what is read stands there, in a stream that has the plan's name."""

    def __init__(self, services: Services, plan: PlanId, actor: Actor) -> None:
        self.labels: frozenset[str] = frozenset()
        self._services = services
        self._plan = plan
        self._actor = actor
        self._recorded: int | None = None
        self._ms = 0
        self._bytes = 0

    async def run(self, call: Invocation, question: PolicyContext, decision: Decision) -> PlanRead:
        if self._bytes >= READ_BYTES_MAX:
            raise UnreadError(_TOO_MUCH)
        if self._ms >= READ_MS_MAX:
            raise UnreadError(_TOO_LONG)
        if question.counts:
            self._take_place(call, question)
        output, failure = await self._call(call)
        if failure is not None and not call.has_begun:
            if failure.code == "RATE_LIMITED":
                raise UnreadError(failure.message)
            raise failure
        self.labels |= call.bound.spec.labels
        code = None if failure is None else failure.code
        found = payload_of(self._services, output)
        self._bytes += len(found.body)
        if self._bytes > READ_BYTES_MAX:
            code = "PAYLOAD_TOO_LARGE"
        await self._record(call, question.risk_level, decision, found if code is None else None, code)
        if self._bytes > READ_BYTES_MAX:
            raise UnreadError(_TOO_MUCH)
        if self._ms >= READ_MS_MAX:
            raise UnreadError(_TOO_LONG)
        if failure is not None:
            raise failure
        return PlanRead(output, sha256(found.body).hexdigest())

    def _take_place(self, call: Invocation, question: PolicyContext) -> None:
        """Count the read against limits, unless others have used them up since the gate was asked: `UnreadError`."""
        pipeline = self._services.pipeline
        own = msgspec.structs.replace(question, run_id=str(self._plan))
        counts = pipeline.foreseen(own).counts
        decision = self._services.gate.decide(msgspec.structs.replace(question, counts=counts))
        if decision.effect is not PolicyDecision.ALLOW:
            raise UnreadError(decision.reason)
        pipeline.hold(call, own)

    async def _call(self, call: Invocation) -> tuple[Json, AssentError | None]:
        pipeline, clock = self._services.pipeline, self._services.clock
        began_ms = clock.monotonic_ms()
        most_s = (READ_MS_MAX - self._ms) / 1000
        own_s = call.bound.spec.timeout
        timeout_s = most_s if own_s is None else min(own_s, most_s)
        try:
            await pipeline.allow(call)
            await pipeline.prepare(call, timeout_s=timeout_s)
            output = await pipeline.execute(call, timeout_s=timeout_s, prepared=None)
            await pipeline.succeed(call, output)
        except BaseException as error:
            failure = await pipeline.fail(call, error)
            if not isinstance(error, Exception):
                raise
            return None, failure
        finally:
            self._ms += clock.monotonic_ms() - began_ms
        return output, None

    async def _record(
        self, call: Invocation, risk: RiskLevel, decision: Decision, found: Payload | None, code: str | None
    ) -> None:
        """INVARIANT: durable before anybody learns what was read."""
        services, spec, stream = self._services, call.bound.spec, RunId(self._plan)
        if services.policies.is_behind:
            await services.policies.catch_up()
        if self._recorded is None:
            self._recorded = len(await services.journal.events(stream))
        asked = payload_of(services, call.inputs)
        event = ev.PlanRead(
            plan=self._plan,
            step=call.context.step,
            capability=spec.id,
            version=spec.version,
            fingerprint=spec.fingerprint,
            risk=risk.value,
            decision=decision.effect.value,
            rule=decision.rule,
            policy=decision.policy_digest,
            inputs=asked.commitment,
            output=None if found is None else found.commitment,
            code=code,
            counted=call.hold.counted if call.hold is not None else (),
            **self._actor.who(),
        )
        payloads = (asked,) if found is None else (asked, found)
        batch = Batch(
            run=stream,
            expected_n=self._recorded,
            at_ms=services.clock.now_ms(),
            events=(event,),
            payloads=payloads,
        )
        await services.journal.append(batch)
        self._recorded += 1
