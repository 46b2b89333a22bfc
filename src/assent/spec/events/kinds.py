"""Every event there is, in one place: the only things that the journal remembers and that recovery folds.

An event stands in a ledger leaf, whose restricted profile allows ids, enums, codes, integers and commitments:
no payload, no message, no path. Fields of type `Commitment` bind a payload that is stored beside the leaf.
Fields at their default are left out of the leaf, so that a field added later does not change the leaves
already written.
"""

from typing import Final, TypeAlias, get_args

import msgspec

from assent.spec.events._calls import HttpAnswered, HttpRequested, SecretAccessed
from assent.spec.events._capabilities import (
    CapabilityActivated,
    CapabilityLabelled,
    CapabilityRegistered,
    CapabilityRetired,
    CapabilitySwitched,
    CapabilityUnlabelled,
    ReleaseRegistered,
)
from assent.spec.events._deliveries import DeliveryAttempted, DeliveryEnded, DeliveryRetried
from assent.spec.events._event import Act, Event, OfAttempt, OfStep, Who, fields_naming
from assent.spec.events._gate import (
    ApprovalRefused,
    ConsequenceChecked,
    ConsequenceDecided,
    Counted,
    IdentityRefused,
    Kept,
    KeyAnswer,
    KeyCreated,
    KeyRevoked,
    PlanRead,
    PolicyRecorded,
)
from assent.spec.events._schedules import (
    ScheduleAdded,
    SchedulePaused,
    ScheduleRemoved,
    ScheduleRestored,
    ScheduleResumed,
    ScheduleTickRefused,
)
from assent.spec.ids import Commitment, Fingerprint, PlanId, RunId, StepKey
from assent.spec.states import PRIORITY, Effect, Mode, OnBusy, Resolution, RunState, Undo, Verdict
from assent.spec.values.typed import decoder

LEAF_VERSION: Final = 2

NO_RUN: Final = (
    PlanRead,
    ScheduleAdded,
    ScheduleRemoved,
    ScheduleRestored,
    SchedulePaused,
    ScheduleResumed,
    ScheduleTickRefused,
)
"""The events of streams that are no run's: a plan's and a schedule's."""

LEDGER_STREAM: Final = "ledger"
"""The stream of the events that belong to no run."""


class RunCreated(Act, frozen=True, kw_only=True, tag="run.created"):
    """A run exists. `document` binds the workflow (or the single call) as canonical JSON, `inputs` the run's inputs.

    `os_uid` is the operating system's user, journaled beside the principal, which may be asserted (`--as`). `catalogue` says how
    many changes of capabilities were recorded when the run began: what its references mean follows from these alone, but for
    `pins` (`reference=version`), which meant another version because a recorded one was not installed. `roles` are the
    requester's where the program that began the run gave others than are configured. `labels` are those of what `plan` has read.
    `priority`, 0 to 10, says who begins first where not all can. `max_duration_ms` is how long it may take. `has_finally`: the
    end of its steps leads to those of its `finally`.

    `concurrency` binds its concurrency key, a text made of inputs, for which `concurrency_key` stands in the ledger: a MAC under
    a key of the ledger's owner, equal for equal texts. `concurrency_limit` runs may have it at once; `on_busy` is what the run
    does that does not get it. `key_answers` are the gate's to that, by `policy`, and `context` binds what it was asked with; none
    of runs from before 0.2. A run that may not have its key ends before its first step.
    """

    workflow: str | None = None
    workflow_version: str | None = None
    mode: Mode
    principal: str
    environment: str | None = None
    document: Commitment
    inputs: Commitment
    policy: str
    plan: PlanId | None = None
    catalogue: int | None = None
    pins: tuple[str, ...] = ()
    roles: tuple[str, ...] | None = None
    labels: tuple[str, ...] = ()
    priority: int = PRIORITY
    max_duration_ms: int | None = None
    concurrency: Commitment | None = None
    concurrency_key: str | None = None
    concurrency_limit: int = 1
    on_busy: OnBusy = OnBusy.QUEUE
    has_finally: bool = False
    key_answers: tuple[KeyAnswer, ...] = ()
    context: Commitment | None = None

    @property
    def key_denial(self) -> KeyAnswer | None:
        """The answer by which the run may not have its key; None where it may, or wants none."""
        return next(
            (one for one in self.key_answers if not one.cancels_others and one.decision != "ALLOW"), None
        )

    @property
    def may_cancel_others(self) -> bool:
        """It may cancel the runs of other principals for its key."""
        return any(one.cancels_others and one.decision == "ALLOW" for one in self.key_answers)

    def who(self) -> Who:
        """Who asked for the run, as an event of what it does says it."""
        return {
            "by": self.principal,
            "asserted": self.asserted,
            "os_uid": self.os_uid,
            "identified_by": self.identified_by,
            "request": self.request,
            "request_digest": self.request_digest,
        }


class RunRecovered(Event, frozen=True, kw_only=True, tag="run.recovered"):
    """A new owner took the run over after its former one ended without finishing it.

    `retry`: a person asked for another try of what needed attention. `again`: the steps that read once more, because something
    that follows needs texts of their outputs that are told and not kept; and each `foreach` step of which these are iterations.
    """

    retry: bool = False
    again: tuple[StepKey, ...] = ()


class CancelRequested(Act, frozen=True, kw_only=True, tag="run.cancel_requested"):
    """Somebody asked for the run to stop; honoured between effects. `replaced_by`: by starting this run, which wants its key.

    `step`: only this step of a session is to be taken back, and the session goes on.
    """

    by: str
    replaced_by: RunId | None = None
    step: StepKey | None = None


class RunTimedOut(Event, frozen=True, kw_only=True, tag="run.timed_out"):
    """The run took longer than `max_duration_ms` of its first event: it stops, as one does of which a step failed.

    Or the steps of its `finally` took longer than that, counted from `run.finally_started`: these stop.
    """

    error: Commitment | None = None


class RollbackStarted(Event, frozen=True, kw_only=True, tag="run.rollback_started"):
    """The run's effects are being taken back. `code` says why (`POLICY_DENIED`, `STEP_FAILED`, `RUN_CANCELLED` …).

    `error` tells what no step failed with: that the run's outputs can't be computed.
    """

    code: str
    error: Commitment | None = None


class FinallyStarted(Event, frozen=True, kw_only=True, tag="run.finally_started"):
    """All other steps have ended, and what had to be was taken back: the steps of `finally` begin.

    `outcome` is how the run would have ended without them, `succeeded` with its `outputs`, or `failed`, `rolled_back` or
    `cancelled` with the `code` why. `error` as in `run.rollback_started`.
    """

    outcome: RunState
    code: str | None = None
    error: Commitment | None = None
    outputs: Commitment | None = None


class RunSucceeded(Event, frozen=True, kw_only=True, tag="run.succeeded"):
    """Every step is settled and none failed; in a session: it was closed."""

    outputs: Commitment


class RunFailed(Event, frozen=True, kw_only=True, tag="run.failed"):
    """The run ended without success and there was nothing to take back, or only its `finally` failed, which takes nothing back.

    `error` as in `run.rollback_started`.
    """

    code: str
    step: StepKey | None = None
    error: Commitment | None = None


class RunRolledBack(Event, frozen=True, kw_only=True, tag="run.rolled_back"):
    """The run ended without success and every effect was taken back."""

    code: str
    step: StepKey | None = None


class RunCancelled(Event, frozen=True, kw_only=True, tag="run.cancelled"):
    """The run was cancelled and every effect was taken back."""


class RunNeedsAttention(Event, frozen=True, kw_only=True, tag="run.needs_attention"):
    """The run can't go on without a person: a step is in doubt, or a compensation failed."""

    code: str
    step: StepKey | None = None


class UndoRequested(Act, frozen=True, kw_only=True, tag="run.undo_requested"):
    """Somebody asked for a run to be undone whose effects are there, and the gate answered."""

    by: str
    partial: bool = False
    decision: str
    rule: str
    policy: str
    risk: str
    code: str | None = None
    context: Commitment | None = None


class UndoStarted(Event, frozen=True, kw_only=True, tag="run.undo_started"):
    """All conflicts were checked; compensation begins. `keeps`: of limits, where that is not what is on record of the step."""

    keeps: tuple[Kept, ...] = ()


class UndoRefused(Event, frozen=True, kw_only=True, tag="run.undo_refused"):
    """The undo did not begin (`UNDO_IMPOSSIBLE`, `COMPENSATION_CONFLICT`, `APPROVAL_REJECTED` …); the run is as before."""

    code: str
    step: StepKey | None = None
    error: Commitment | None = None


class RunUndone(Event, frozen=True, kw_only=True, tag="run.undone"):
    """Every effect that can be taken back was taken back on request."""

    partial: bool = False


class RunDoubted(Event, frozen=True, kw_only=True, tag="run.doubted"):
    """Events of this run, from number `start` on, were accepted without proof (`ledger.tail_accepted`).

    Steps that one of them began or ended are in doubt, and an approval that one of them speaks of has to be given again.
    """

    start: int


class RunErased(Act, frozen=True, kw_only=True, tag="run.erased"):
    """The run's payloads were erased, as `payload.erased` says; `act` is the run in which that was decided."""

    by: str
    act: RunId


class SessionClosed(Event, frozen=True, kw_only=True, tag="run.session_closed"):
    """No more steps will arrive."""


class StepAdded(OfStep, frozen=True, kw_only=True, tag="step.added"):
    """A session received another step. `call` binds capability and options as canonical JSON, `inputs` the inputs.

    Before format 4 `call` bound the inputs as well, as `parameters`. `request` and `request_digest` are those of an act: the same
    request, delivered twice, adds one step.
    """

    call: Commitment
    inputs: Commitment | None = None
    request: str | None = None
    request_digest: str | None = None


class StepsExpanded(OfStep, frozen=True, kw_only=True, tag="step.expanded"):
    """A `foreach` step became `count` iterations, `step[0]` … ; `items` binds the list."""

    count: int
    items: Commitment


class WaitStarted(OfStep, frozen=True, kw_only=True, tag="wait.started"):
    """A `wait` step waits: until `due_ms`, or for the signal of this name, at the latest until `due_ms` where there is one."""

    due_ms: int | None = None
    signal: str | None = None


class SignalReceived(Act, frozen=True, kw_only=True, tag="signal.received"):
    """Somebody sent the run a signal, and the gate answered. Only one that it allowed counts; `payload` binds what came with it.

    The first step that waits for a signal of that name, or the next that will, ends with it: its output is the payload.
    """

    signal: str
    by: str
    decision: str
    rule: str
    policy: str
    code: str | None = None
    payload: Commitment | None = None
    context: Commitment | None = None


class StepStarted(OfAttempt, frozen=True, kw_only=True, tag="step.started"):
    """The intent: decision, inputs and everything undo needs are durable; the effect follows.

    `context`, here and wherever the gate answered, binds what it was asked with, as canonical JSON. `prepared` binds what the
    handler's `prepare` returned; `grant` is the digest of the approval that was used. `asked_version` and `asked_fingerprint`
    name the version that the caller speaks, where `version` serves it through transformers; `inputs` are those of the version
    that serves. `counted`: what the attempt takes of the policy's limits, from here on.
    """

    capability: str
    version: str
    fingerprint: Fingerprint
    handler: str
    risk: str
    decision: str
    rule: str
    policy: str
    inputs: Commitment
    prepared: Commitment | None = None
    grant: str | None = None
    undo: Undo = Undo.AUTOMATIC
    asked_version: str | None = None
    asked_fingerprint: Fingerprint | None = None
    context: Commitment | None = None
    counted: tuple[Counted, ...] = ()


class StepResumed(OfAttempt, frozen=True, kw_only=True, tag="step.resumed"):
    """The effect is known not to have happened (or may safely happen again): the journaled intent runs once more."""


class StepDenied(OfStep, frozen=True, kw_only=True, tag="step.denied"):
    """The gate said no before anything was prepared. `reason` binds the decision with its trace.

    `inputs` are what it was asked about; missing before they were kept, and where they are too long to be.
    """

    capability: str
    version: str
    risk: str
    decision: str
    rule: str
    policy: str
    code: str
    reason: Commitment
    inputs: Commitment | None = None
    asked_version: str | None = None
    context: Commitment | None = None


class StepSkipped(OfStep, frozen=True, kw_only=True, tag="step.skipped"):
    """The step's `when` was false; its output is null."""


class Inner(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """The run that a step began, as it stood when the step had its outcome.

    `risk` is the highest of what there is to take back of it, `labels` what it may have read and sent.
    """

    run: RunId
    risk: str | None = None
    labels: tuple[str, ...] = ()


class StepSucceeded(OfAttempt, frozen=True, kw_only=True, tag="step.succeeded"):
    """The step has its output. `effect` is `none` where there was none to have: a READ, an approval, a gathered `foreach`.

    Where another version served than the caller speaks, `output` is what the caller gets and `served` what the version gave.
    `sent`, here and of a failure: bytes that the attempt sent beside its inputs, where a limit counts them; `inner`,
    likewise: the run that the step began. `keeps`: what is kept of limits for taking it back, in place of what was kept before
    its output was known.
    """

    output: Commitment
    effect: Effect = Effect.DONE
    served: Commitment | None = None
    sent: int = 0
    keeps: tuple[Counted, ...] = ()
    inner: Inner | None = None


class AttemptFailed(OfAttempt, frozen=True, kw_only=True, tag="step.attempt_failed"):
    """One attempt failed and another will follow, not before `retry_at_ms`.

    `begun`, here and of a step: its handler ran, although the code is one that says that it did not.
    """

    code: str
    effect: Effect
    retry_at_ms: int
    error: Commitment | None = None
    sent: int = 0
    begun: bool = False


class StepFailed(OfAttempt, frozen=True, kw_only=True, tag="step.failed"):
    """The step failed for good. `effect` says what is known of the world. `attempt` 0: it never started."""

    code: str
    effect: Effect
    error: Commitment | None = None
    sent: int = 0
    begun: bool = False
    inner: Inner | None = None


class StepUnsettled(OfAttempt, frozen=True, kw_only=True, tag="step.unsettled"):
    """An attempt ended and nobody knows whether its effect happened: the capability is asked next."""

    code: str
    error: Commitment | None = None
    sent: int = 0


class StepReconciled(OfAttempt, frozen=True, kw_only=True, tag="step.reconciled"):
    """The capability told whether it happened. `foreign`: of another's change; `repeatable`: that it can't happen twice."""

    verdict: Verdict
    foreign: bool = False
    repeatable: bool = False


class StepInDoubt(OfAttempt, frozen=True, kw_only=True, tag="step.in_doubt"):
    """Nobody can tell whether the effect happened: a person must (`assent resolve`)."""

    code: str


class StepResolved(Act, frozen=True, kw_only=True, tag="step.resolved"):
    """A person settled what the runtime could not."""

    step: StepKey
    resolution: Resolution
    by: str
    output: Commitment | None = None


class ApprovalRequested(OfStep, frozen=True, kw_only=True, tag="approval.requested"):
    """A person is asked. `digest` binds the fully materialised call, the rule, the policy and the previewed world."""

    digest: str
    capability: str
    version: str
    risk: str
    decision: str
    rule: str
    policy: str
    inputs: Commitment
    preview: Commitment
    roles: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ("user",)
    count: int = 1
    not_requester: bool = False
    requester: str
    expires_at_ms: int | None = None
    asked_version: str | None = None
    context: Commitment | None = None
    further_roles: tuple[tuple[str, ...], ...] = ()


class ApprovalGranted(Act, frozen=True, kw_only=True, tag="approval.granted"):
    """One principal agreed. `confirmed` is false when the approver did not name the digest that was shown.

    `same_uid`, here and of a rejection: whoever asked and whoever decided are one user of the operating system.
    """

    step: StepKey
    digest: str
    by: str
    confirmed: bool = False
    same_uid: bool = False


class ApprovalRejected(Act, frozen=True, kw_only=True, tag="approval.rejected"):
    """A principal refused, or the request expired (`code` APPROVAL_EXPIRED, no `by`)."""

    step: StepKey
    digest: str
    code: str
    by: str | None = None
    reason: Commitment | None = None
    same_uid: bool = False


class ApprovalVoided(OfStep, frozen=True, kw_only=True, tag="approval.voided"):
    """What was approved is not what would run now: the question is asked again."""

    digest: str
    code: str


class CompensationStarted(OfAttempt, frozen=True, kw_only=True, tag="compensation.started"):
    """The step's effect is being taken back, from what was journaled only."""


class StepCompensated(OfStep, frozen=True, kw_only=True, tag="compensation.succeeded"):
    """The step's effect is taken back. `counted`, here and of a failure: what was sent beside inputs, of limits that count it."""

    counted: tuple[Counted, ...] = ()


class CompensationFailed(OfAttempt, frozen=True, kw_only=True, tag="compensation.failed"):
    """The step's effect could not be taken back; `error` binds both states of the world, where there was anything to see."""

    code: str
    error: Commitment | None = None
    counted: tuple[Counted, ...] = ()


class LedgerCreated(Event, frozen=True, kw_only=True, tag="ledger.created"):
    """The first event. `origin` names the log in its checkpoints."""

    origin: str


class LedgerRecovered(Event, frozen=True, kw_only=True, tag="ledger.recovered"):
    """A new owner found events that no checkpoint covers (a kill left them) and seals them: `signed` of `size` events."""

    signed: int
    size: int


class TailAccepted(Act, frozen=True, kw_only=True, tag="ledger.tail_accepted"):
    """Entries `start` to `size - 1` could not be shown to be what was written, and a person took them as they are."""

    start: int
    size: int
    by: str


class PayloadErased(Act, frozen=True, kw_only=True, tag="payload.erased"):
    """The payloads of a finished run were erased; its leaves stay and the tree still verifies.

    `act` is the run in which that was decided.
    """

    target: RunId
    count: int
    by: str
    act: RunId | None = None


AnyEvent: TypeAlias = (
    RunCreated | RunRecovered | CancelRequested | RunTimedOut | RollbackStarted | FinallyStarted | RunSucceeded | RunFailed
    | RunRolledBack | RunCancelled | RunNeedsAttention | UndoRequested | UndoStarted | UndoRefused | RunUndone | RunDoubted
    | RunErased | SessionClosed
    | StepAdded | StepsExpanded | StepStarted | StepResumed | StepDenied | StepSkipped | StepSucceeded
    | WaitStarted | SignalReceived
    | AttemptFailed | StepFailed | StepUnsettled | StepReconciled | StepInDoubt | StepResolved
    | ApprovalRequested | ApprovalGranted | ApprovalRejected | ApprovalVoided
    | CompensationStarted | StepCompensated | CompensationFailed
    | ReleaseRegistered | CapabilityRegistered | CapabilityLabelled | CapabilityUnlabelled
    | CapabilityActivated | CapabilitySwitched | CapabilityRetired
    | SecretAccessed | HttpRequested | HttpAnswered | DeliveryAttempted | DeliveryEnded | DeliveryRetried
    | PolicyRecorded | PlanRead | ConsequenceDecided | ConsequenceChecked | ApprovalRefused | IdentityRefused
    | KeyCreated | KeyRevoked
    | ScheduleAdded | ScheduleRemoved | ScheduleRestored | SchedulePaused | ScheduleResumed | ScheduleTickRefused
    | LedgerCreated | LedgerRecovered | TailAccepted | PayloadErased
)  # fmt: skip

EVENT_TYPES: Final[dict[str, type[Event]]] = {
    str(kind.__struct_config__.tag): kind for kind in get_args(AnyEvent)
}
"""Every event type by its kind."""


def _bind_commitment_fields() -> None:
    for event_type in EVENT_TYPES.values():
        event_type.commitment_fields = fields_naming(event_type, Commitment.__name__)


_bind_commitment_fields()


_SEALED: Final = frozenset({
    RunSucceeded, RunFailed, RunRolledBack, RunCancelled, RunUndone, RunNeedsAttention, LedgerCreated,
    LedgerRecovered, TailAccepted, PayloadErased,
})  # fmt: skip


def is_sealed(event: Event) -> bool:
    """Whether a checkpoint is signed in the very transaction that records this event.

    The end of a run, the intent of a CRITICAL effect and what the ledger says of itself are sealed: a verifier
    never sees them without a signature, so nobody without the key can put one at the end, or rewrite one
    after dropping the checkpoint that covers it.
    """
    return type(event) in _SEALED or (isinstance(event, StepStarted) and event.risk == "CRITICAL")


class Leaf(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of the ledger: the event, its place in the log and in its stream, and when it was recorded.

    `seq` counts all entries from 0: it is the entry's place in the tree. `n` counts the events of one run from 0, and is what a
    stale writer trips over. Events of the ledger itself have no run; they are a stream like a run's, with numbers of their own.
    """

    v: int
    seq: int
    at_ms: int
    run: RunId | None = None
    n: int | None = None
    event: AnyEvent

    @property
    def stream(self) -> str:
        """What `n` counts in: the run, or `LEDGER_STREAM`."""
        return LEDGER_STREAM if self.run is None else self.run

    def encode(self) -> bytes:
        """The entry's bytes in its format: canonical JSON in the restricted profile."""
        if self.v == 1:
            n = None if self.run is None else self.n
            return encode_stored(
                StoredLeaf1(seq=self.seq, at_ms=self.at_ms, run=self.run, n=n, event=self.event)
            )
        assert self.n is not None  # INVARIANT: format 2 numbers every event
        return encode_stored(StoredLeaf2(at_ms=self.at_ms, stream=self.stream, n=self.n, event=self.event))


class StoredLeaf1(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False, tag_field="v", tag=1
):
    """What the bytes of an entry of format 1 say: it holds its place in the log."""

    seq: int
    at_ms: int
    run: RunId | None = None
    n: int | None = None
    event: AnyEvent

    @property
    def stream(self) -> str:
        """As format 2 says it."""
        return LEDGER_STREAM if self.run is None else self.run


class StoredLeaf2(
    msgspec.Struct, frozen=True, omit_defaults=True, kw_only=True, gc=False, tag_field="v", tag=2
):
    """What the bytes of an entry of format 2 say. Its place in the log is the tree's to say: who writes need not know it."""

    at_ms: int
    stream: str
    n: int
    event: AnyEvent


StoredLeaf: TypeAlias = StoredLeaf1 | StoredLeaf2

encode_stored: Final = msgspec.json.Encoder(order="sorted").encode
decode_stored: Final = decoder(StoredLeaf).decode


def decode_leaf(data: bytes, seq: int, n: int | None = None) -> Leaf:
    """The entry that these bytes encode, at place `seq`; `ValueError` when they are none (msgspec's errors are).

    `n`: the number of an entry of the ledger's own stream, which format 1 does not say.
    """
    return placed(decode_stored(data), seq, n)


def placed(stored: StoredLeaf, seq: int, n: int | None = None) -> Leaf:
    """The same, from what the bytes say."""
    if isinstance(stored, StoredLeaf2):
        run = None if stored.stream == LEDGER_STREAM else RunId(stored.stream)
        return Leaf(v=2, seq=seq, at_ms=stored.at_ms, run=run, n=stored.n, event=stored.event)
    return Leaf(
        v=1,
        seq=stored.seq,
        at_ms=stored.at_ms,
        run=stored.run,
        n=n if stored.run is None else stored.n,
        event=stored.event,
    )
