"""What the engine asks of the floors around it, and what drives a run.

`Driver` is the seam between one process and many: the embedded driver is the owning process itself; a distributed one delivers
the same commands to one run at a time from elsewhere. Whoever drives a run must deliver each command at least once, one run's
commands one at a time, and again after a crash; it may deliver one twice.
"""

from __future__ import annotations

from asyncio import Task
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from msgspec import Struct

from assent.engine._commands import Command
from assent.engine._record import RunRecord
from assent.invocation import BlobStore, BoundCapability, Gate, Pipeline, World
from assent.journal.ports import Journal
from assent.spec.events import AnyEvent
from assent.spec.ids import RunId, StepKey
from assent.spec.ports import Clock, Entropy, Ids


class Spawn(Protocol):
    """Starts a task; the caller keeps it and awaits or cancels it."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> Task[None]:
        """The running task."""
        ...


class Catalogue(Protocol):
    """The capabilities that a run may call, fixed when it begins."""

    @property
    def revision(self) -> int:
        """How many changes of capabilities had been recorded by then; the run's first event keeps it."""
        ...

    def find(self, reference: str) -> BoundCapability:
        """The capability that a reference means; `CAPABILITY_UNKNOWN`, `VERSION_NOT_FOUND`."""
        ...

    def pins(self, references: Iterable[str]) -> tuple[str, ...]:
        """Those of the references, as `reference=version`, whose meaning does not follow from what is recorded by `revision`."""
        ...

    def exact(self, capability: str, version: str, asked: str | None = None) -> BoundCapability:
        """The version that the journal names, also one that was retired since; `VERSION_NOT_FOUND` when it is not installed.

        `asked`: as callers of that version see it; TRANSFORM_MISSING when nothing leads from one to the other any more.
        """
        ...


class Catalogues(Protocol):
    """Hands out the catalogue of each run."""

    def of_run(self, run: RunId, revision: int | None, pins: tuple[str, ...] = ()) -> Catalogue:
        """What the run may call: what holds now when it begins (None), what held before that many changes when it goes on."""
        ...


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the body, each with its unit."""

    concurrent_steps: int = 8
    step_timeout_s: float | None = None
    foreach_items: int = 10_000
    payload_bytes: int = 64 * 1024 * 1024


class Preparing(Struct, frozen=True, kw_only=True, tag_field="kind", tag="step.preparing"):
    """A step is being prepared, which may take long. It has not begun, so this is told to whoever watches and never journaled."""

    step: StepKey
    capability: str

    @property
    def kind(self) -> str:
        """As an event's."""
        return "step.preparing"


class Said(Struct, frozen=True, kw_only=True, tag_field="kind", tag="step.said"):
    """A line that a step says of its work, or its program prints; None stands for lines that were left out. Never journaled."""

    step: StepKey
    line: str | None

    @property
    def kind(self) -> str:
        """As an event's."""
        return "step.said"


Progress = Callable[[RunId, int | None, int, AnyEvent | Preparing | Said], None]
"""Told of each event once it is durable: run, event number, time in ms, event. Must not block.

What has no number is not on record.
"""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that the engine needs from outside, handed in once."""

    journal: Journal
    blobs: BlobStore
    gate: Gate
    world: World
    pipeline: Pipeline
    clock: Clock
    ids: Ids
    entropy: Entropy
    spawn: Spawn
    limits: Limits
    roles: Mapping[str, frozenset[str]]


class Driver(Protocol):
    """Delivers commands to runs, one at a time for each, keeps their timers, and survives crashes."""

    async def deliver(self, run: RunId, command: Command) -> RunRecord:
        """Give a command to a run and wait until its events are durable; the record after it."""
        ...

    async def drive(self, run: RunId) -> RunRecord:
        """Let a run go on until it ends or waits for a person; the record then."""
        ...
