"""What every operation is answered with: `msgspec.to_builtins` of an answer is exactly the JSON that the documentation promises.

Fields stand in the order in which `--json` prints them. A field that is only sometimes there is `UNSET` when it is not. What is
free JSON by its nature (outputs, inputs, events) is that here too; times are given twice, for people and in milliseconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from assent.capabilities.area import Check
from assent.runtime.settings.effective import Effective
from assent.spec.decision import PolicyDecision
from assent.spec.states import OnBusy

if TYPE_CHECKING:
    from assent.errors import Json
else:
    Json = Any  # msgspec has no recursive types: what stands here is whatever JSON came out


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to one request; which one, its request says."""


class Fault(Answer, frozen=True, kw_only=True):
    """What went wrong, as the one error object that is used everywhere."""

    code: str
    message: str
    path: str | None = None
    hint: str | None = None
    details: dict[str, Json] = {}


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


class ApprovalDecision(Answer, frozen=True, kw_only=True):
    """What one person said to a question, or that its time was up (`expired`) or it was voided, by nobody.

    `confirmed`: they named the digest that was shown; null where nothing was granted. `asserted`, `os_uid` and `identified_by`
    say how it is known who they are, `same_uid` that requester and approver are one user of the operating system.
    """

    decision: Literal["granted", "rejected", "expired", "voided"]
    at: str
    at_ms: int
    by: str | None
    confirmed: bool | None
    asserted: bool | None
    os_uid: int | None
    identified_by: str | None
    same_uid: bool | None
    code: str | None
    reason: str | None


class AskedApproval(Answer, frozen=True, kw_only=True):
    """A question about a step as it was asked: with the preview that was shown, and everything that was said to it."""

    digest: str
    status: Literal["pending", "granted", "rejected", "expired", "voided"]
    risk_level: str
    rule: str
    policy: str
    requester: str
    count: int
    preview: Json
    requested_at: str
    requested_at_ms: int
    expires_at: str | None
    expires_at_ms: int | None
    decisions: list[ApprovalDecision]


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


class Ledger(Answer, frozen=True, kw_only=True):
    """The log at that moment: how many entries, and the tree's root in base64."""

    size: int
    root: str


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


class Labelled(Answer, frozen=True, kw_only=True):
    """A label's version, the one that it named before, and by what the version was found."""

    capability: str
    label: str
    version: str
    before: str | None
    how: str


class Unlabelled(Answer, frozen=True, kw_only=True):
    """Whether the capability had the label."""

    capability: str
    label: str
    removed: bool


class Retired(Answer, frozen=True, kw_only=True):
    """Whether a version is retired now: not when that was only tried."""

    capability: str
    version: str
    retired: bool


class Delivery(Answer, frozen=True, kw_only=True):
    """One webhook on its way, or ended."""

    id: str
    endpoint: str
    type: str
    status: str
    attempts: int
    http_status: int | None
    code: str | None
    run_id: str
    step: str
    undoes: str | None
    approval_id: str | None
    queued_at: str
    queued_at_ms: int
    tried_at: str | None
    tried_at_ms: int | None
    next_at: str | None
    next_at_ms: int | None
    ended_at: str | None
    ended_at_ms: int | None
    by: str | None


class PartHealth(Answer, frozen=True, kw_only=True):
    """How one part is, and what it has to say about that."""

    status: str
    detail: str


class Admission(Answer, frozen=True, kw_only=True):
    """How many runs are at work, of how many, and how many wait to begin, of how many; draining, none begins any more."""

    running: int
    runs: int
    queued: int
    queue: int
    is_draining: bool


class Backlog(Answer, frozen=True, kw_only=True):
    """How much there is to do, and how large the record is: runs that have not ended by status, as recorded."""

    runs: dict[str, int]
    approvals: int
    deliveries: int
    entries: int
    bytes: int


class Health(Answer, frozen=True, kw_only=True):
    """How the owner is: the whole, each part by its name, what it has counted, its line of runs, and what the record holds.

    `version` is its release of Assent, `now_ms` what its clock shows, and `operations` what it can be asked, by name. `in_force`
    are digests of what it works by: `policy`, `identity`, `serve`, `mcp`, `settings`. `root` is the workspace, and `wsl` the
    distribution of WSL that it runs in, so that a client knows what paths are called there.
    """

    status: str
    parts: dict[str, PartHealth]
    metrics: dict[str, Json]
    admission: Admission
    backlog: Backlog
    version: str
    now_ms: int
    operations: list[str]
    in_force: dict[str, str] = {}
    root: str | UnsetType = UNSET
    wsl: str | UnsetType = UNSET


class UnderWay(Answer, frozen=True, kw_only=True):
    """Those of the runs asked about that the owner drives.

    `stopped`: those stopped by what is no outcome of their steps, as a full disk is, and its code. Each is tried again.
    """

    runs: list[str]
    stopped: dict[str, str] = {}


class Forgotten(Answer, frozen=True, kw_only=True):
    """The owner has forgotten a secret's value."""

    forgotten: bool


class Replied(Answer, frozen=True, kw_only=True):
    """Whether anybody waited for what a client said."""

    heard: bool


class Doctor(Answer, frozen=True, kw_only=True):
    """What holds in a workspace, and whether what it stands on is sound. `has_state`: something was made to record in."""

    has_state: bool
    settings: list[Effective]
    checks: list[Check]


class Deliveries(Answer, frozen=True, kw_only=True):
    """Webhooks on their way and those that have ended, the newest last."""

    deliveries: list[Delivery]


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


class Key(Answer, frozen=True, kw_only=True):
    """One key, without what opens: `active`, `expired` or `revoked`."""

    id: str
    name: str
    principal: str
    scopes: list[str]
    status: str
    created_at: str
    created_by: str
    expires_at: str | None
    revoked_at: str | None


class Keys(Answer, frozen=True, kw_only=True):
    """The keys of a state directory, the oldest first."""

    keys: list[Key]


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


class Approvers(Answer, frozen=True, kw_only=True):
    """Who must agree: of each list under `further_roles`, too, whoever agrees has a role."""

    roles: list[str]
    kinds: list[str]
    count: int
    not_requester: bool
    further_roles: list[list[str]] = []


class Approval(Answer, frozen=True, kw_only=True):
    """What waits for a person, with everything that would be approved; its digest binds it.

    `approval_id` names the question, and `notified` the endpoints that are told of it.
    """

    approval_id: str
    run_id: str
    step: str
    capability: str
    version: str
    risk_level: str
    rule: str
    requester: str
    digest: str
    preview: Json
    inputs: Json
    approvers: Approvers
    requested_at: str
    requested_at_ms: int
    expires_at_ms: int | None
    expires_at: str | None
    granted_by: list[str]
    notified: list[str]
    refused: str | None = None
    """Why whoever asks may not decide it; null where they may."""


class Approvals(Answer, frozen=True, kw_only=True):
    """Everything that waits for a person, oldest first."""

    approvals: list[Approval]


class Chunk(Answer, frozen=True, kw_only=True):
    """Some of the bytes of an attachment."""

    data: bytes


class LogLine(Answer, frozen=True, kw_only=True):
    """One entry of the ledger: its place, who acted on which capability, and the event as it stands in the leaf."""

    seq: int
    at_ms: int
    run_id: str | None
    stream: str
    n: int | None
    kind: str
    principal: str | None
    capability: str | None
    policy: str | None
    """The digest of the policy that it was decided under."""
    event: dict[str, Json]
    inputs_line: str | None
    """The inputs that were decided on, in at most 240 characters, as they are stored (redacted)."""


class ApprovalLine(Answer, frozen=True, kw_only=True):
    """What became of one question to people, or that somebody might not answer it (`refused`, `count` times).

    Who and how they are known as in `ApprovalDecision`; `principal` is null where the time was up or the question was voided.
    """

    seq: int
    at: str
    at_ms: int
    run_id: str | None
    step: str | None
    decision: Literal["granted", "rejected", "expired", "voided", "refused"]
    principal: str | None
    confirmed: bool | None
    asserted: bool | None
    os_uid: int | None
    identified_by: str | None
    same_uid: bool | None
    code: str | None
    reason: str | None
    count: int
    digest: str | None
    capability: str | None
    version: str | None
    risk_level: str | None
    rule: str | None
    policy: str | None
    requester: str | None
    inputs_line: str | None


class LedgerFault(Answer, frozen=True, kw_only=True):
    """One thing that is not as it was recorded, and the first entry that it touches."""

    code: str
    message: str
    seq: int | None
    last: int | None


class LedgerTail(Answer, frozen=True, kw_only=True):
    """Entries that no checkpoint covers yet; `authenticated` is null where the private key was not there to check them."""

    entries: int
    authenticated: bool | None


class Verified(Answer, frozen=True, kw_only=True):
    """What a verification has found; the ledger is what was recorded where `ok`."""

    ok: bool
    size: int
    root: str
    origin: str | None
    first_bad: LedgerFault | None
    faults: list[LedgerFault]
    checkpoints: int
    signed: int
    unsigned: int
    tail: LedgerTail
    kept_size: int | None
    payloads: int | None
    blobs: int | None
    erased: int
    rows: int | None
    seconds: dict[str, float] | None


class Proof(Answer, frozen=True, kw_only=True):
    """The text of a proof that an entry is in the ledger."""

    seq: int
    proof: str


class Proven(Answer, frozen=True, kw_only=True):
    """What a proof shows."""

    index: int
    stream: str | None
    n: int | None
    size: int
    root: str
    origin: str
    entry: Json


class Exported(Answer, frozen=True, kw_only=True):
    """What was written to a folder."""

    path: str
    folder: str
    entries: int
    checkpoints: int
    payloads: int | None


class TailAccepted(Answer, frozen=True, kw_only=True):
    """How many entries were accepted without proof, and the runs of which something is in doubt now."""

    start: int
    entries: int
    runs: list[str]


class Checkpoint(Answer, frozen=True, kw_only=True):
    """A signed checkpoint."""

    note: str


class Tile(Answer, frozen=True, kw_only=True):
    """Hashes of 32 bytes each, or entries, each behind its length in two bytes."""

    data: bytes


class PublicKey(Answer, frozen=True, kw_only=True):
    """The key that the ledger's checkpoints are signed with, under the ledger's own name."""

    key: str


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


class Standing(Answer, frozen=True, kw_only=True):
    """How a version stands: whether it can be called, and by what else than its number it is named."""

    state: str
    latest: bool
    labels: list[str]
    created_at: str | None
    created_at_ms: int | None


class SideEffects(Answer, frozen=True, kw_only=True):
    """What a call changes in the world."""

    reversible: bool
    scope: str
    description: str


class Compensation(Answer, frozen=True, kw_only=True):
    """How a call is taken back."""

    supported: bool
    strategy: str | None
    capability_id: str | None


class Risk(Answer, frozen=True, kw_only=True):
    """How dangerous a call is."""

    level: str
    justification: str
    requires_approval: bool


class Capability(Answer, frozen=True, kw_only=True):
    """One version of a capability: its spec, and how it stands. `how`: by what a reference to it was resolved."""

    id: str
    version: str
    name: str
    description: str
    operation_type: str
    side_effects: SideEffects
    compensation: Compensation
    risk: Risk
    idempotent: bool
    timeout: float | None
    secrets: list[str]
    parameters: dict[str, Json]
    returns: dict[str, Json]
    sandbox: dict[str, Json] | None
    labels: list[str]
    spec_version: int
    fingerprint: str
    standing: Standing
    how: str | UnsetType = UNSET


class Capabilities(Answer, frozen=True, kw_only=True):
    """Every version that can be called, by id and version."""

    capabilities: list[Capability]


class Tool(Answer, frozen=True, kw_only=True):
    """A capability that may be called, and the decisions that a call of it can get, whatever its parameters are."""

    capability: Capability
    told: str
    """What a model is told of it: what it does, how risky that is, whether a person is asked, whether it can be undone."""
    decisions: list[PolicyDecision]
    upstream: str | UnsetType = UNSET
    """What the MCP server calls it that it is a tool of."""


class Tools(Answer, frozen=True, kw_only=True):
    """What one principal may call, by id. What the policy denies whatever the parameters are is left out."""

    tools: list[Tool]


class Parameters(Answer, frozen=True, kw_only=True):
    """What callers who write a reference send, as a JSON Schema; `id` is the capability's."""

    id: str
    schema: dict[str, Json]


class VersionLine(Answer, frozen=True, kw_only=True):
    """One version over time."""

    capability: str
    version: str
    fingerprint: str
    created_at: str | None
    created_at_ms: int | None
    state: str
    labels: list[str]
    latest: bool
    retired_at_ms: int | None


class LabelChange(Answer, frozen=True, kw_only=True):
    """A label that was put on a version, or taken away."""

    label: str
    version: str | None
    at: str
    at_ms: int
    by: str | None


class CapabilityHistory(Answer, frozen=True, kw_only=True):
    """Every version of a capability, and every change of its labels, the newest first."""

    capability: str
    versions: list[VersionLine]
    labels: list[LabelChange]


class CapabilityDiff(Answer, rename={"old": "from", "new": "to"}, frozen=True, kw_only=True):
    """What changes from one version to another; `served`: the newer one can serve the older one's callers."""

    capability: str
    old: str
    new: str
    breaking: bool
    counts: dict[str, int]
    changes: list[dict[str, Json]]
    served: bool
    missing: str | None


class RuleReport(Answer, frozen=True, kw_only=True):
    """One rule of the policy: whether it holds, and why it was passed over."""

    rule: str
    decision: str
    holds: bool | None
    reached: bool
    because: str


class LimitReport(Answer, frozen=True, kw_only=True):
    """A limit that the call is held against: what calls have `used` of `most`, and what this one takes.

    `of` is what it measures: `calls`, `bytes_out` or `cost`. `opens_at_ms`: when the call will fit, where it does not now.
    """

    limit: str
    of: str
    used: int
    takes: int
    most: int
    opens_at_ms: int | None


class ConstraintReport(Answer, frozen=True, kw_only=True):
    """A constraint that is about the call: whether its inputs fit, and what of them does not."""

    constraint: str
    holds: bool
    because: str


class LimitUsed(Answer, frozen=True, kw_only=True):
    """What calls had used of a limit when the gate was asked, and when the call would have fitted, where it did not.

    Of what was used, `kept` was for calls that others might lead to, and `own` is of calls that come with this one.
    """

    used: int
    opens_at_ms: int | None = None
    kept: int = 0
    own: int = 0


class NearestRule(Answer, frozen=True, kw_only=True):
    """The rule before the deciding one that would have given another answer, had `missing` held."""

    rule: str
    effect: str
    missing: list[str]


class Explained(Answer, frozen=True, kw_only=True):
    """A decision with the whole policy around it. `allowed`: the schema that the inputs had to fit, where a constraint denied."""

    principal: str
    capability: str
    risk_level: str
    decision: str
    rule: str
    reason: str
    code: str | None
    approvers: PlanApprovers | None
    opens_at_ms: int | None
    policy_digest: str
    rules: list[RuleReport]
    limits: list[LimitReport]
    nearest: NearestRule | None
    constraints: list[ConstraintReport] = []
    allowed: dict[str, Json] | None = None
    complete: bool
    """The parameters are those of a whole call; without all of them a rule that reads one may answer otherwise."""


class Asked(Answer, frozen=True, kw_only=True):
    """What the gate was asked with beside the call itself."""

    roles: list[str]
    operation_type: str
    requires_approval: bool
    labels: list[str]
    run_labels: list[str]
    workflow: str
    environment: str
    mode: str
    now_ms: int
    limits: dict[str, LimitUsed] = {}
    """By the id of each limit that the call was held against."""


class DecisionExplained(Answer, frozen=True, kw_only=True):
    """One recorded answer of the gate, and the rules of its policy.

    `missing` where it can't be explained: `context_not_kept` and `policy_not_kept` (an earlier Assent wrote it), `erased`,
    `consequence` (it was given for what the call may lead to, whose own entry has the kind `consequence.decided`), and
    `unknown_inputs` (it depended on inputs that nobody knew yet).
    `agrees`: the policy answers the same to the same question.
    """

    seq: int
    at_ms: int
    step: str
    kind: str
    capability: str
    version: str
    risk_level: str
    principal: str
    decision: str
    rule: str
    code: str | None
    policy: str
    asked: Asked | None
    missing: str | None
    agrees: bool | None
    explained: Explained | None


class DecisionsExplained(Answer, frozen=True, kw_only=True):
    """What the gate was asked about a run, oldest first."""

    run_id: str
    decisions: list[DecisionExplained]


class SimulatedCall(Answer, frozen=True, kw_only=True):
    """A recorded call that would be decided otherwise."""

    run_id: str
    step: str
    capability: str
    principal: str
    at_ms: int


class Change(Answer, rename={"was": "from", "was_rule": "from_rule"}, frozen=True, kw_only=True):
    """So many calls would be decided otherwise, in the same way; some of them as `examples`."""

    was: str
    was_rule: str
    to: str
    to_rule: str
    count: int
    examples: list[SimulatedCall]


class Simulated(Answer, frozen=True, kw_only=True):
    """What a policy would have answered: `changes`, the most frequent first. `unknown`: calls that could not be asked, by why."""

    path: str
    digest: str
    rules: int
    calls: int
    changed: int
    unknown: dict[str, int]
    changes: list[Change]


class AlwaysApproved(Answer, frozen=True, kw_only=True):
    """Calls that people always approved, so many times."""

    capability: str
    principal: str
    risk_level: str
    approved: int


class SuggestedRule(AlwaysApproved, frozen=True, kw_only=True):
    """The same with a rule that would allow them; put first, it would decide so many of the recorded calls otherwise."""

    rule: dict[str, Json]
    changed: int
    calls: int


class Suggested(Answer, frozen=True, kw_only=True):
    """What could be allowed. `left_out`: what was always approved and is CRITICAL, which a person is to look at each time."""

    rules: list[SuggestedRule]
    left_out: list[AlwaysApproved]


class Finding(Answer, frozen=True, kw_only=True):
    """A mistake in a policy, or a rule that can never decide."""

    severity: str
    kind: str
    message: str
    path: str | None
    rule: str | None
    hint: str | None
    length: int = 1
    """Characters of the line at `path` that it is about."""


class PolicyChecked(Answer, frozen=True, kw_only=True):
    """What was found in a policy; `ok` where it can be used, which then has so many `rules`, `constraints` and `limits`."""

    path: str
    ok: bool
    rules: int | None
    constraints: int | None = None
    limits: int | None = None
    findings: list[Finding]


class CaseResult(Answer, frozen=True, kw_only=True):
    """What the policy answered to one case."""

    name: str
    passed: bool
    path: str
    expect: str
    decision: str
    rule: str
    reason: str
    fault: str | None


class PolicyTested(Answer, frozen=True, kw_only=True):
    """What the policy answered to the cases of a file; `ok` where each is as expected."""

    path: str
    ok: bool
    cases: list[CaseResult]


class PolicyInForce(Answer, frozen=True, kw_only=True):
    """The policy that decides: where it stands (None: built in), how many rules it has, and what names it."""

    path: str | None
    rules: int
    digest: str


class Plugin(Answer, frozen=True, kw_only=True):
    """One plugin, and how far it is trusted."""

    name: str
    status: str
    origin: str | None
    version: str | None
    digest: str | None
    required: bool
    capabilities: list[str]
    error: Fault | None
    in_process: bool


class Plugins(Answer, frozen=True, kw_only=True):
    """The plugins that were found or are trusted."""

    plugins: list[Plugin]


class PluginHealth(Answer, frozen=True, kw_only=True):
    """How a trusted plugin says that it is."""

    name: str
    status: str
    detail: str


class PluginsHealth(Answer, frozen=True, kw_only=True):
    """The same of several."""

    plugins: list[PluginHealth]


class PluginFaults(Answer, frozen=True, kw_only=True):
    """Why each trusted plugin that can't be loaded is left out, by name."""

    faults: dict[str, Fault]


class PluginInspected(Answer, frozen=True, kw_only=True):
    """What a plugin's code says of itself; `manifest` is as `docs/schemas/manifest-1.json` has it."""

    path: str
    fingerprint: str
    warnings: list[dict[str, Json]]
    manifest: dict[str, Json]


class PluginTrusted(Answer, frozen=True, kw_only=True):
    """A plugin that is trusted as it is, what was another way when it was trusted before, and what a person should know."""

    name: str
    digest: str
    trusted: bool
    lock: str
    differences: list[dict[str, Json]]
    warnings: list[dict[str, Json]]


class ShutService(Answer, frozen=True, kw_only=True):
    """A service that a plugin declares and that `[net]` would refuse."""

    what: str
    why: str
    hint: str


class PluginFound(PluginTrusted, frozen=True, kw_only=True):
    """A plugin as it stands, `trusted` where that is so exactly as it is; `is_new`: it never was."""

    is_new: bool
    manifest: dict[str, Json]
    dependencies: dict[str, str | None]
    shut: list[ShutService]


class PluginUntrusted(Answer, frozen=True, kw_only=True):
    """Whether the plugin had been trusted."""

    name: str
    trusted: bool
    was_trusted: bool


class Server(Answer, frozen=True, kw_only=True):
    """An MCP server of somebody else. `status`: `untrusted`, `trusted`, or `changed`, which is another program or address.

    `faults`: why the server, or a tool of it (`SERVER.TOOL`), is left out.
    """

    name: str
    status: str
    place: dict[str, Json]
    capabilities: list[str]
    secrets: list[str]
    trusted_by: str | None
    faults: dict[str, Fault]


class Servers(Answer, frozen=True, kw_only=True):
    """The MCP servers that assent.toml names."""

    servers: list[Server]


class ServerLog(Answer, frozen=True, kw_only=True):
    """The end of what a server's programs printed on their standard error; empty where no process that lives has started one."""

    name: str
    printed: str


class ServerNews(Answer, frozen=True, kw_only=True):
    """What an MCP server told has changed, by the protocol's notification: a list, or the resource `uri`."""

    server: str
    method: str
    uri: str | None = None


class ServerTool(Answer, frozen=True, kw_only=True):
    """A tool of a server, and the capability that it is or would be; `risk` is null for one that can't be."""

    name: str
    capability: str
    description: str
    risk: str | None
    definition: dict[str, Json]


class ServerFound(Answer, frozen=True, kw_only=True):
    """A server as it stands, `trusted` where that is so exactly as it is; `is_new`: it never was; `offers`: what can be read
    of it beside tools.
    """

    name: str
    digest: str
    trusted: bool
    is_new: bool
    lock: str
    place: dict[str, Json]
    tools: list[ServerTool]
    differences: list[dict[str, Json]]
    offers: list[str]
    warnings: list[dict[str, Json]]


class ServerWritten(Answer, frozen=True, kw_only=True):
    """A server that was written into assent.toml, or taken out of it."""

    name: str
    path: str


class SecretAccess(Answer, frozen=True, kw_only=True):
    """One access to a secret, as the ledger tells of it."""

    run_id: str
    step: str | None
    attempt: int
    capability: str | None
    outcome: str
    provider: str | None
    at_ms: int
    used_replaced: bool | None | UnsetType = UNSET
    is_current: bool | None | UnsetType = UNSET


class Secret(Answer, frozen=True, kw_only=True):
    """One secret: where it is kept, how it stands, who may have it. Never its value."""

    name: str
    source: str
    status: str
    code: str | None
    capabilities: list[str]
    hosts: list[str]
    specs: list[str]
    rotating: bool
    last_access: SecretAccess | None


class Secrets(Answer, frozen=True, kw_only=True):
    """Every secret that the configuration, a capability or the ledger names."""

    secrets: list[Secret]


class SecretWritable(Answer, frozen=True, kw_only=True):
    """The name is one that a value can be kept under."""

    name: str


class SecretStored(Answer, frozen=True, kw_only=True):
    """Where a value was put, and whether a living owner was told."""

    name: str
    source: str
    owner_told: bool


class SecretRotated(Answer, frozen=True, kw_only=True):
    """How a secret stands after its value was replaced, confirmed or put back, and which unfinished runs were given the other."""

    name: str
    source: str
    state: str
    owner_told: bool
    unfinished: list[SecretAccess] | UnsetType = UNSET


class SecretReference(Answer, frozen=True, kw_only=True):
    """A line of a file that refers to a secret."""

    file: str
    line: int


class SecretUsers(Answer, frozen=True, kw_only=True):
    """Who uses a secret, and who did."""

    name: str
    specs: list[str]
    grants: list[str]
    hosts: list[str]
    files: list[SecretReference]
    accesses: list[SecretAccess]
