"""Everything that one run has at hand, for the parts that move it."""

from __future__ import annotations

from hashlib import sha256
from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from assent.engine.ports import Catalogue, Services
from assent.engine.record._blueprint import Blueprint
from assent.engine.record._record import RunRecord
from assent.engine.record._values import Values
from assent.engine.steps._terms import RunFacts
from assent.engine.waiting._timers import RunTimers
from assent.engine.waiting._turns import Bound
from assent.invocation import BoundCapability, CallPhase, Invocation, World
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from assent.spec.states import Undo

if TYPE_CHECKING:
    from assent.engine.steps._rehearsal import Rehearsal

_NO_UNDO: Final = Undo.NONE  # see `_record.py` for what a look-up in the class costs


class InnerRuns(Protocol):
    """The runs that are steps of others."""

    async def inner_of(self, run: RunId, step: StepKey) -> ev.Inner | None:
        """The run that a step has begun, as it stands; None where it has begun none."""
        ...

    async def rehearse_inner(self, inner: RunId, world: World, *, partial: bool) -> Rehearsal:
        """Try on a simulated world to take back what such a run has left. `PAYLOAD_ERASED`."""
        ...


class RunScope(msgspec.Struct, frozen=True):
    """One run: what it was to do, what became of it so far, on whose behalf, with which capabilities and services.

    `bound` is that of all runs together; `calls` are prepared and wait for their effect to begin; `inner` are the runs that steps
    of it begin.
    """

    services: Services
    blueprint: Blueprint
    catalogue: Catalogue
    values: Values
    record: RunRecord
    facts: RunFacts
    bound: Bound
    timers: RunTimers
    inner: InnerRuns
    calls: dict[StepKey, Invocation] = msgspec.field(default_factory=dict)

    @property
    def requester(self) -> Principal:
        """On whose behalf it acts."""
        return self.facts.requester

    def receive(
        self,
        bound: BoundCapability,
        key: StepKey,
        *,
        attempt: int,
        undo: Undo,
        entry: CallPhase = CallPhase.RECEIVED,
        world: World | None = None,
        suffix: str = "",
        is_retry: bool = False,
        is_silent: bool = False,
    ) -> Invocation:
        """A call of this run at its beginning."""
        return self.services.pipeline.receive(
            bound,
            run=self.record.run,
            step=key,
            attempt=attempt,
            principal=self.requester,
            key=idempotency_key(self.record, key) + suffix,
            world=world if world is not None else self.services.world,
            blobs=self.services.blobs,
            keep_pre_image=undo is not _NO_UNDO,
            local=self.blueprint.hooks.get(key, ()),
            entry=entry,
            is_retry=is_retry,
            is_silent=is_silent,
        )

    async def abandon(self) -> None:
        """End the calls whose effect will not begin, because the run stopped or turned back."""
        for key in list(self.calls):
            await self.services.pipeline.abandon(self.calls.pop(key))


def idempotency_key(record: RunRecord, key: StepKey) -> str:
    """The same for every attempt of a step and unlike any other step's; short, because file names carry it."""
    return sha256(f"{record.run} {key}".encode()).hexdigest()[:20]
