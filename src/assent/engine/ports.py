"""What the engine asks of the floors around it, and what drives a run.

`Driver` is the seam between one process and many: the embedded driver is the owning process itself; a distributed one delivers
the same wishes to one run at a time from elsewhere. Whoever drives a run must deliver each wish at least once, one run's
wishes one at a time, and again after a crash; it may deliver one twice. When a run is to be woken is told to its `RunTimers`
(`_timers.py`), by which a distributed driver learns the same.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol

import msgspec

from assent.engine.machine._commands import Actor, Wish
from assent.engine.record._blueprint import Blueprint
from assent.engine.record._record import RunRecord
from assent.engine.record._values import Values
from assent.engine.waiting._keys import Claim
from assent.engine.waiting._starts import Admission
from assent.errors import Json
from assent.invocation import BlobStore, BoundCapability, Gate, Hook, Pipeline, Spawn, World
from assent.invocation.context.telling import Listener
from assent.journal.ports import Journal
from assent.policy import PolicyEngine
from assent.spec.events.kinds import Inner, RunCreated
from assent.spec.ids import PlanId, RunId, StepKey
from assent.spec.ports import Clock, Entropy, Ids
from assent.spec.states import PRIORITY


class Catalogue(Protocol):
    """The capabilities that a run may call, fixed when it begins."""

    @property
    def revision(self) -> int:
        """How many changes of capabilities had been recorded by then; the run's first event keeps it."""
        ...

    def find(self, reference: str) -> BoundCapability:
        """The capability that a reference means; `CAPABILITY_UNKNOWN`, `VERSION_NOT_FOUND`."""
        ...

    def has(self, capability: str) -> bool:
        """Whether any version of it is registered here with its handler."""
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

    def of_run(self, revision: int | None, pins: tuple[str, ...] = ()) -> Catalogue:
        """What the run may call: what holds now when it begins (None), what held before that many changes when it goes on."""
        ...

    def of_session(self, revision: int | None) -> Catalogue:
        """The same of a session, whose steps arrive one at a time: they may call what came since, and not what is gone."""
        ...


class Limits(msgspec.Struct, frozen=True):
    """Bounds of the body, each with its unit; `concurrent_steps` is for one run."""

    concurrent_steps: int = 8
    concurrent_steps_of_all: int = 256
    runs: int = 1024
    queue: int = 10_000
    step_timeout_s: float = 7200.0
    foreach_items: int = 10_000
    payload_bytes: int = 64 * 1024 * 1024


class PolicyRecord(Protocol):
    """The policies that the ledger keeps, each under the digest by which events name it."""

    @property
    def is_behind(self) -> bool:
        """Whether a policy has been in force that may not be on record yet."""
        ...

    async def catch_up(self) -> None:
        """Put on record what is not; durable when it returns. To be called before an event names the policy."""
        ...

    async def find(self, digest: str) -> PolicyEngine | None:
        """The policy that was recorded under a digest, compiled; None where none was. `RECORD_CORRUPT`, `POLICY_INVALID`."""
        ...


class NoPolicyRecord:
    """Of who journals nothing that stays: a plan, a replay."""

    is_behind = False

    async def catch_up(self) -> None:
        """There is nothing to do."""

    async def find(self, digest: str) -> PolicyEngine | None:
        """None."""
        del digest
        return None


class Notices(Protocol):
    """Tells people who are not here that they are asked."""

    async def take(self, record: RunRecord) -> None:
        """Questions of a run were asked or settled, durably: what is open is told, the rest no more. Does not fail."""
        ...


class NoNotices:
    """Of who asks nobody: a plan, a replay."""

    async def take(self, record: RunRecord) -> None:
        """There is nobody to tell."""
        del record


class Services(msgspec.Struct, frozen=True):
    """Everything that the engine needs from outside, handed in once."""

    journal: Journal
    blobs: BlobStore
    gate: Gate
    world: World
    difference: Callable[[World], str]
    """How a simulated world differs by now from the one that it looked like, as previews tell it."""
    pipeline: Pipeline
    clock: Clock
    ids: Ids
    entropy: Entropy
    spawn: Spawn
    limits: Limits
    roles: Callable[[], Mapping[str, frozenset[str]]]
    """Those that each principal has today."""
    policies: PolicyRecord
    notices: Notices
    observer: Listener | None = None
    """Is told of the events of every run once these are durable, whoever else is."""


class Driven(msgspec.Struct, frozen=True):
    """How a run stands. `blueprint` is None when its document was erased; `values` are those that whoever drives it knows."""

    record: RunRecord
    blueprint: Blueprint | None
    values: Values | None = None


class Driver(Protocol):
    """Delivers wishes to runs, one at a time for each, wakes them when their time has come, and survives crashes.

    This is all that the roof asks of whatever drives runs. A wish is plain data, so that it can come from another process, and it
    may be delivered twice. What of a run is kept between two wishes is the driver's affair: everything that counts is in the
    journal, and an append under an event number that is taken is refused.
    """

    async def start(
        self,
        blueprint: Blueprint,
        inputs: Mapping[str, Json],
        actor: Actor,
        *,
        environment: str | None = None,
        plan: PlanId | None = None,
        labels: frozenset[str] = frozenset(),
        priority: int = PRIORITY,
        claim: Claim | None = None,
    ) -> RunId:
        """Begin a run and let it go on by itself. Nothing is durable yet when this returns; `drive` waits for that.

        `labels` are those of what the plan that it comes from has read. Where as many runs are at work as may be, it is put on
        record and stands in line: of a higher priority first. `claim`: the concurrency key that it has to have first.
        `QUEUE_FULL`, `DRAINING`, `CONCURRENCY_TAKEN`.
        """
        ...

    async def line_up(self, run: RunId) -> bool:
        """Have a run that has not begun stand in line, to begin by itself when its turn comes. False for any other."""
        ...

    def take_over(self) -> None:
        """Go on with every run of earlier owners: those in line for a key stand before any that comes from now on."""
        ...

    async def deliver(self, run: RunId, wish: Wish) -> RunRecord:
        """Give a run a wish and wait until what comes of it is durable; the record then. Raises the machine's refusal."""
        ...

    async def drive(self, run: RunId, wish: Wish | None = None) -> Driven:
        """The same, if there is a wish, and let the run go on until it ends or waits for a person.

        One that waits for a concurrency key is left in line when nothing of those that have it moves. `CONCURRENCY_TAKEN`: an
        undo needs the key that another run has.
        """
        ...

    async def call(
        self,
        run: RunId,
        capability: str,
        parameters: Mapping[str, Json],
        hooks: Iterable[Hook] = (),
        *,
        by: Actor | None = None,
    ) -> tuple[StepKey, Driven]:
        """Add a step to a session and wait until there is an answer about it; its key. `SESSION_CLOSED`.

        Of a request of `by` that has added one already it is that step, whatever else is asked now.
        """
        ...

    async def look(self, run: RunId) -> Driven:
        """How a run stands by its journal; nothing of it moves. `RUN_UNKNOWN`."""
        ...

    async def settle(self, run: RunId) -> None:
        """Return when all that was decided of a run so far is durable; at once of one that is not driven here.

        Raises what keeps that from the record, and RUNTIME_CLOSED once it closes.

        For what reads the record within a run: the outcome of the step before waits for the next one, to share its commit.
        """
        ...

    async def inner_of(self, run: RunId, step: StepKey) -> Inner | None:
        """The run that a step of a session has begun, as it stands; None where it has begun none."""
        ...

    async def labels(self, run: RunId) -> frozenset[str]:
        """What a run may have read by now, and where it may have sent that. `RUN_UNKNOWN`."""
        ...

    async def created(self, run: RunId) -> RunCreated:
        """How a run that there is began, and for whom."""
        ...

    async def erase(self, run: RunId, act: RunId) -> None:
        """Erase the payloads of a run that has ended, as whoever asked for the run `act`. `RUN_UNFINISHED`."""
        ...

    async def erase_reads(self, plan: PlanId, act: RunId) -> None:
        """Erase what a plan has read, likewise. The caller has checked that the plan is no run's, or that its run has ended."""
        ...

    def hold(self, run: RunId) -> None:
        """More is coming to a run soon: what is known of it is worth keeping."""
        ...

    def release(self, run: RunId) -> None:
        """Nothing more is coming. Harmless when it is said twice, or too late."""
        ...

    def wake(self) -> None:
        """Let every run under way look again at what it may do: the gate opened, or roles were given anew."""
        ...

    async def watch(self) -> None:
        """From now on wake the runs that wait when the time for that has passed, those of earlier owners too."""
        ...

    def under_way(self) -> list[RunId]:
        """The runs that are driven now, those included of which nothing is durable yet."""
        ...

    def drives(self, run: RunId) -> bool:
        """Whether this has taken the run on, so that it goes on when it can; one that only waits, and left memory, included."""
        ...

    def stopped(self) -> Mapping[RunId, str]:
        """The runs that something stopped which is no outcome of their steps, as a full disk is, and its code."""
        ...

    def asked_of(self, run: RunId) -> Mapping[str, Json]:
        """What calls of a run are made with that people are asked about, of which not all is kept: as this process knows it."""
        ...

    def told_to(self, run: RunId, principal: str) -> Mapping[str, Json]:
        """Outputs of steps of a run, where it is this principal's, of which not all is kept: as this process still knows them."""
        ...

    async def may_call(self, run: RunId) -> list[str]:
        """The references to capabilities that a run may still go on to call."""
        ...

    async def versions_of(self, run: RunId) -> set[tuple[str, str]]:
        """Every capability with its version that a run has used or, as far as can be told, will use."""
        ...

    def admission(self) -> Admission:
        """How many runs are at work, and how many wait to begin."""
        ...

    def drain(self) -> None:
        """Begin no run from now on: starts are refused, and what is in line stays on record."""
        ...

    async def close(self) -> None:
        """Stop every run where it is; each can be resumed. From now on none begins, and none is told anything."""
        ...
