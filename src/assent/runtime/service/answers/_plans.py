"""Answers about what has not happened yet: the plan of a run, and of an undo."""

from __future__ import annotations

from msgspec import UNSET, UnsetType

from assent.runtime.service.answers._base import Answer, Fault, Json
from assent.spec.states import OnBusy


class PlanApprovers(Answer, frozen=True, kw_only=True):
    """Who would have to agree, and within which time."""

    roles: list[str]
    count: int
    not_requester: bool
    expires_ms: int | None
    kinds: list[str]
    further_roles: list[list[str]] = []


class Preview(Answer, frozen=True, kw_only=True):
    """What would change."""

    kind: str
    diff: str


class PlannedConsequence(Answer, frozen=True, kw_only=True):
    """A call that a step may lead to, and what the gate says of it; `unknown` names the inputs that nobody knows yet."""

    role: str
    capability: str
    version: str
    risk_level: str
    decision: str
    rule: str
    reason: str
    inputs: Json
    unknown: list[str]


class PlannedStep(Answer, frozen=True, kw_only=True):
    """What is known of one step beforehand; `decision` is `UNKNOWN` where the gate's answer depends on what is not known yet."""

    name: str
    capability: str
    version: str
    target: str | None
    operation_type: str
    risk_level: str
    decision: str
    rule: str | None
    reason: str
    approvers: PlanApprovers | None
    undo: str
    preview: Preview
    changes: bool
    known: bool
    error: Fault | None
    because: str | None
    """Why something is not known."""
    read: str | None
    """The SHA-256 of what the plan has read with it."""
    consequences: list[PlannedConsequence] = []
    in_finally: bool | UnsetType = UNSET
    """It is a step of `finally`; not there where it is none."""


class PlanSummary(Answer, frozen=True, kw_only=True):
    """Counts by what would happen, what can't be undone or known, and where the plan would stop."""

    reads: int
    changes: int
    deletes: int
    external: int
    approvals: list[str]
    denials: list[str]
    failures: list[str]
    not_undoable: list[str]
    unknown: list[str]
    stops_at: str | None


class KeyDecision(Answer, frozen=True, kw_only=True):
    """What the gate answers about a concurrency key."""

    decision: str
    rule: str


class PlannedKey(Answer, frozen=True, kw_only=True):
    """The concurrency key that a run would want, and at most 20 of the runs that have it now, unless whoever asks may not read.

    `in_force`: how many may have it as things stand, by the smallest limit of these. `decision` and `rule`: whether the policy
    lets it have the key. `others`: the same about cancelling runs of other principals for it, where its workflow would.
    """

    key: str
    limit: int
    on_busy: OnBusy
    held_by: list[str]
    in_force: int
    decision: str
    rule: str
    others: KeyDecision | None = None

    @property
    def is_denied(self) -> bool:
        """The run would end before its first step."""
        return self.decision != "ALLOW"


class Plan(Answer, frozen=True, kw_only=True):
    """A run that has not happened, kept under its id."""

    plan_id: str
    workflow: str | None
    steps: list[PlannedStep]
    summary: PlanSummary
    digest: str
    """What must still hold when it is run."""
    concurrency: PlannedKey | UnsetType = UNSET


class UndoneBy(Answer, frozen=True, kw_only=True):
    """The call that takes a step back, and its inputs."""

    capability: str
    inputs: dict[str, Json]


class UndoStep(Answer, frozen=True, kw_only=True):
    """What an undo would do with a step: `automatic` restores, `compensation` offsets, `none` can't, `not_needed` has nothing to.

    `error` is what keeps it from being taken back.
    """

    name: str
    capability: str
    version: str
    undo: str
    by: UndoneBy | None
    error: Fault | None


class UndoPlan(Answer, frozen=True, kw_only=True):
    """What an undo of a run would do, and what the gate says of it; `possible`: nothing stands in its way."""

    run_id: str
    partial: bool
    possible: bool
    risk_level: str
    decision: str
    rule: str
    reason: str
    steps: list[UndoStep]
    preview: Preview
