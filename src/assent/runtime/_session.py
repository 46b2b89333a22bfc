"""A session: a run whose steps arrive one at a time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass

from assent.engine import Close, Engine, RunRecord, RunResult
from assent.errors import Json
from assent.invocation import BoundCapability, Hook
from assent.spec.ids import RunId, StepKey


@dataclass(slots=True)
class Session:
    """An agent's whole visit, to be closed, cancelled or undone as one.

    A step that is denied or fails is recorded and the session goes on; one that waits for a person holds up nothing but itself.
    """

    run_id: RunId
    _engine: Engine
    _require: Callable[[str], BoundCapability]
    _result: Callable[[RunRecord], RunResult]
    _cancel: Callable[[str], Awaitable[RunResult]]
    _count: int = 0

    async def call(
        self,
        capability: str,
        parameters: Mapping[str, Json] | None = None,
        *,
        hooks: Iterable[Hook] = (),
    ) -> RunResult:
        """Add a step and wait for its outcome, or until it waits for a person; the session so far.

        `hooks` are this call's alone. `CAPABILITY_UNKNOWN` and `SESSION_CLOSED` are raised before there is a step.
        """
        self._require(capability).require_references(parameters or {})
        actor = self._engine.actor(self.run_id)
        self._count = max(self._count, len(actor.record.steps)) + 1
        await actor.add_step(StepKey(f"step_{self._count}"), capability, parameters or {}, hooks)
        return self._result(actor.record)

    async def close(self) -> RunResult:
        """No more steps: the session succeeds once all are settled, and can be undone."""
        await self._engine.deliver(self.run_id, Close())
        return self._result(await self._engine.drive(self.run_id))

    async def cancel(self) -> RunResult:
        """Take back everything the session did."""
        return await self._cancel(self.run_id)
