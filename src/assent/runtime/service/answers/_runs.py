"""Answers about runs: how they stand, what happened in them, how they compare with their record, and what begins them in time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from msgspec import UNSET, UnsetType

from assent.runtime.service.answers._approvals import AskedApproval
from assent.runtime.service.answers._audit import Ledger
from assent.runtime.service.answers._base import Answer, Fault, Json
from assent.spec.states import OnBusy


class WaitsFor(Answer, frozen=True, kw_only=True):
    """What a step waits for that nobody has to decide about: a signal, a time (`due_at_ms`), or a signal until then."""

    signal: str | None
    due_at_ms: int | None


class Step(Answer, frozen=True, kw_only=True):
    """One step of a run, or one iteration of it."""

    name: str
    capability: str | None
    version: str | None
    status: str
    risk_level: str | None
    decision: str | None
    rule: str | None
    attempts: int
    asked_version: str | UnsetType = UNSET
    """The version that the caller speaks, where `version` served in its place."""
    undo: Literal["not_needed", "automatic", "compensation", "none"] | UnsetType = UNSET
    """How what began can be taken back."""
    waits_for: WaitsFor | UnsetType = UNSET
    """Of a step that waits, without a person."""
    in_finally: bool | UnsetType = UNSET
    """True of a step of `finally`, and not there of others."""
    error: Fault | UnsetType = UNSET
    output: Json | UnsetType = UNSET
    """Not there where there is an error."""

    @property
    def fault(self) -> Fault | None:
        """What went wrong; None where nothing did."""
        return None if self.error is UNSET else self.error

    @property
    def gave(self) -> Json:
        """What came out; None where nothing did."""
        return None if self.output is UNSET else self.output


class Try(Answer, frozen=True, kw_only=True):
    """One attempt at a step. One that has not ended has no `outcome`; `effect` is what is known of the world after it."""

    attempt: int
    started_at: str
    started_at_ms: int
    ended_at: str | None
    ended_at_ms: int | None
    outcome: Literal["succeeded", "failed", "unsettled", "in_doubt", "resolved"] | None
    effect: str | None
    code: str | None
    message: str | None


class ShownStep(Step, frozen=True, kw_only=True):
    """A step with all that is on record of it. Payloads are as they were stored (redacted), and null once they were erased."""

    inputs: Json
    policy: str | None
    """The digest of the policy that decided it last."""
    approvals: list[AskedApproval]
    tries: list[Try]
    inner_run: str | UnsetType = UNSET
    """The run that the step began, where it runs a workflow."""


class Concurrency(Answer, frozen=True, kw_only=True):
    """A run's concurrency key, null once it was erased: whether it waits for it, has it, or is done with it.

    Of a run that has not ended: which others have it or wait for it, the oldest first, at most 20, and how many may have it as
    things stand (`in_force`): where runs of one key say different limits, the smallest of those that have it. `replaced_by`: the
    run for which this one was cancelled. Whoever may not read runs is told of no other one.
    """

    key: str | None
    limit: int
    on_busy: OnBusy
    state: Literal["waiting", "held", "over"]
    held_by: list[str]
    waiting: list[str]
    in_force: int
    replaced_by: str | None = None


class Run(Answer, frozen=True, kw_only=True):
    """How a run stands."""

    run_id: str
    workflow: str | None
    status: str
    steps: Sequence[Step]
    outputs: Json
    error: Fault | None
    ledger: Ledger
    concurrency: Concurrency | UnsetType = UNSET

    @property
    def awaited_key(self) -> Concurrency | None:
        """The key that it waits for before it begins; None where it does not."""
        known = self.concurrency
        return known if isinstance(known, Concurrency) and known.state == "waiting" else None


class Session(Answer, frozen=True, kw_only=True):
    """A session that has begun."""

    run_id: str


class Resumed(Answer, frozen=True, kw_only=True):
    """How each run that was gone on with stands now, in the order in which they began."""

    results: list[Run]


class PartOf(Answer, frozen=True, kw_only=True):
    """The step of a session that a run is."""

    run_id: str
    step: str


class RunLine(Answer, frozen=True, kw_only=True):
    """One run in a list. `capability`: what a run that is a single call has called.

    `concurrency_key`: which one it waits for (`status` is `pending`) or has, where it has not ended. `part_of`: the session that
    it is a step of, where it is one's.
    """

    run_id: str
    workflow: str | None
    capability: str | None
    status: str
    started_at: str
    started_at_ms: int
    updated_at: str
    updated_at_ms: int
    principal: str
    mode: str
    code: str | None
    concurrency_key: str | UnsetType = UNSET
    part_of: PartOf | UnsetType = UNSET


class Runs(Answer, frozen=True, kw_only=True):
    """Runs, the newest last. Where the limit left older ones out, `before` is what the next request has to say to get them, and
    `older` how many there are; null where that would take reading them all: which are interrupted is seen one by one.
    """

    runs: list[RunLine]
    before: str | None = None
    older: int | None = None


class LeftRun(Answer, frozen=True, kw_only=True):
    """A run that has not ended: what it holds is still needed."""

    run_id: str
    status: str


class Prunable(Answer, frozen=True, kw_only=True):
    """Ended runs, and plans never run, that still hold something, the oldest first, at most 5 000.

    `more` wait for another time, `left` must stay.
    """

    runs: list[str]
    plans: list[str] = []
    more: int
    left: list[LeftRun]


class Unfinished(Answer, frozen=True, kw_only=True):
    """How many runs have not ended, do not wait for a person, and are driven by nobody; and how many there are `of` all kinds."""

    count: int
    of: int


class RunEvent(Answer, frozen=True, kw_only=True):
    """One event of a run: its number there, and when it was recorded."""

    run: str
    n: int
    at_ms: int
    event: dict[str, Json]


class ShownRun(Run, frozen=True, kw_only=True):
    """A run with what it was given and everything that happened to it, oldest first; `undo` where it was asked to be undone.

    `part_of`: the session that it is a step of, where it is one's.
    Where one step was asked for, that step and its events alone.
    """

    steps: Sequence[ShownStep]
    undo: ShownStep | None
    started_at: str
    started_at_ms: int
    principal: str
    owner_alive: bool
    inputs: Json
    events: list[dict[str, Json]]
    part_of: PartOf | UnsetType = UNSET


class Chunk(Answer, frozen=True, kw_only=True):
    """Some bytes of an answer; none where there are none yet, so that whoever waits may leave."""

    data: bytes


class ReplayedStatus(Answer, frozen=True, kw_only=True):
    """How the run stood, and how it stands when it is run again."""

    recorded: str
    replayed: str


class PolicyChange(Answer, frozen=True, kw_only=True):
    """The policy that decided then and the one that decides today, by their digests."""

    recorded: str
    now: str
    changed: bool


class ReplayDifference(Answer, rename={"where": "in"}, frozen=True, kw_only=True):
    """One thing that was another: a decision, an output or an event."""

    where: str
    step: str | None
    recorded: Json
    replayed: Json
    patch: list[dict[str, Json]] | UnsetType = UNSET


class Replayed(Answer, frozen=True, kw_only=True):
    """How a run compares with its record."""

    run_id: str
    workflow: str | None
    equal: bool
    status: ReplayedStatus
    steps: int
    differences: list[ReplayDifference]
    policy: PolicyChange
    against: dict[str, str]
    capabilities: list[dict[str, Json]]
    stopped: list[str]
    assumed: list[str]
    masked: list[str]


class Snapshot(Answer, frozen=True, kw_only=True):
    """The file of a run's snapshot."""

    data: bytes


class Schedule(Answer, frozen=True, kw_only=True):
    """A schedule that stands. `cron` with its `zone`, or `every`; `last_…`: the tick that began a run last, and that run.

    `refused_…`: the last tick that began none, and why. `added_in`: the run that added it, for whose principal its runs act, and
    `identified_by` how that was known. `held`: why a tick begins no run as things stand, so that `next_at` is only its time.
    """

    name: str
    schedule_id: str
    state: str
    workflow: str
    principal: str
    identified_by: str | None
    cron: str | None
    zone: str | None
    every: str | None
    missed: str
    overlap: str
    environment: str | None
    added_in: str
    added_at: str
    added_at_ms: int
    next_at: str | None
    next_at_ms: int | None
    held: Fault | None
    last_at: str | None
    last_at_ms: int | None
    last_run_id: str | None
    last_status: str | None
    refused_at: str | None
    refused_at_ms: int | None
    refused_code: str | None


class ShownSchedule(Schedule, frozen=True, kw_only=True):
    """The same with what it does, as it was decided about, and the next ticks."""

    document: dict[str, Json]
    inputs: dict[str, Json]
    ticks: list[str]


class Schedules(Answer, frozen=True, kw_only=True):
    """The schedules that stand, by name."""

    schedules: list[Schedule]
