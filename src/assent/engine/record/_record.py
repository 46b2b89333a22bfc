"""What a run's events say about it: `evolve` folds one event into the record, and recovery is nothing but that fold.

Theory of operation. A run moves forward (`Phase.FORWARD`), or its effects are taken back (`ROLLBACK`, `UNDO`), or it is over
(`DONE`). Where its workflow says so, it moves forward once more before it is over (`FINALLY`), however it went until then: what
failed in it or stopped it up to there stays what it is, and what happens to those steps is told of beside it. What people see,
`RunState`, follows from the phase and the steps. A step's record holds what the next decision needs, and the commitments of its
payloads; never a payload itself. Nothing here reads a clock, a file or the workflow: the events alone determine the record, so
an auditor who has only the ledger gets the same one.

INVARIANT: `STEP_TRANSITIONS` and `RUN_TRANSITIONS` list every legal move; `evolve` refuses any other.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final, assert_never

import msgspec

from assent.engine.record._transitions import RUN_TRANSITIONS, STEP_TRANSITIONS
from assent.errors import InternalError
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, PlanId, RunId, StepKey, iteration_key
from assent.spec.states import Effect, Mode, Resolution, RunState, StepState, Undo, Verdict

TAIL_ACCEPTED: Final = "TAIL_ACCEPTED"
"""The code of what is in doubt because the ledger's end was accepted without proof."""

RUN_TIMEOUT: Final = "RUN_TIMEOUT"
"""The code of a run that took longer than its workflow allows."""

RUN_CANCELLED: Final = "RUN_CANCELLED"
"""The code of a run that somebody cancelled, and of what ended with it."""

RUN_STEP: Final = StepKey("@run")
"""Stands for the run itself where steps are told apart: no step name can begin with `@`."""

KEY_STEP: Final = StepKey("@turn")
"""Likewise for its concurrency key."""

UNDO_STEP: Final = StepKey("@undo")
"""The key under which the approval of an undo stands: no step name can begin with `@`."""

SETTLED: Final = frozenset(
    {
        StepState.SUCCEEDED,
        StepState.SKIPPED,
        StepState.FAILED,
        StepState.DENIED,
        StepState.COMPENSATED,
        StepState.COMPENSATION_FAILED,
    }
)
"""States in which a step has had its outcome."""


class Phase(StrEnum):
    """Which way a run is going."""

    FORWARD = "forward"
    ROLLBACK = "rollback"
    FINALLY = "finally"
    UNDO = "undo"
    DONE = "done"


class Task(StrEnum):
    """What a running step is waiting for."""

    EXECUTE = "execute"
    RECONCILE = "reconcile"
    GATHER = "gather"


# Every event asks for several of these. On Python 3.11 a member of an enum, looked up in its class, costs ten times what a name
# of the module does: all that a run looked up were a seventh of what it did. So are those of the other modules named.
_FORWARD: Final = Phase.FORWARD
_FINALLY: Final = Phase.FINALLY
_DONE: Final = Phase.DONE
_EXECUTE: Final = Task.EXECUTE
_RUN_RUNNING: Final = RunState.RUNNING
_NEEDS_ATTENTION: Final = RunState.NEEDS_ATTENTION
_PENDING: Final = StepState.PENDING
_RUNNING: Final = StepState.RUNNING
_AWAITING_APPROVAL: Final = StepState.AWAITING_APPROVAL
_WAITING: Final = StepState.WAITING
_SUCCEEDED: Final = StepState.SUCCEEDED
_NONE: Final = Effect.NONE
_NOT_NEEDED: Final = Undo.NOT_NEEDED


class ApprovalRecord(msgspec.Struct):
    """One question to people, and who agreed so far."""

    request: ev.ApprovalRequested
    requested_at_ms: int
    granted_by: list[str] = msgspec.field(default_factory=list)
    status: str = "pending"
    decided_at_ms: int | None = None

    @property
    def is_open(self) -> bool:
        """People can still decide."""
        return self.status == "pending"

    @property
    def has_quorum(self) -> bool:
        """Enough people agreed and nothing voided it since."""
        return self.status == "granted"


class SignalRecord(msgspec.Struct, frozen=True):
    """A signal that came. `n` is the number of its event."""

    name: str
    payload: Commitment
    n: int


class StepRecord(msgspec.Struct):
    """Where one step stands and what was journaled about it. `order` is the event number of its outcome.

    `failed_at_ms`: when its last attempt did, if another one is to come. `wait`: what it waits for, or did.

    `asked_about`: what a call of it may lead to, as the gate was asked last, which ended with event `asked_about_n`;
    `consequences`: the same as it was when its intent was admitted; `keeps`: what limits keep for it, as long as it is needed;
    `checked`: the other call that was let go to take it back.

    `has_older_effect`: an attempt before the current one may have left something, whatever the current one does.

    `reads_again`: it has read before, and `output` is what it must come to once more.
    """

    key: StepKey
    position: int
    state: StepState = StepState.PENDING
    attempt: int = 0
    effect: Effect = Effect.NONE
    task: Task | None = None
    intent: ev.StepStarted | None = None
    capability: str | None = None
    version: str | None = None
    asked_version: str | None = None
    risk: str | None = None
    decision: str | None = None
    rule: str | None = None
    output: Commitment | None = None
    served: Commitment | None = None
    error: Commitment | None = None
    call: Commitment | None = None
    asked: Commitment | None = None
    request: str | None = None
    request_digest: str | None = None
    items: Commitment | None = None
    code: str | None = None
    order: int | None = None
    retry_at_ms: int | None = None
    failed_at_ms: int = 0
    approval: ApprovalRecord | None = None
    wait: ev.WaitStarted | None = None
    waiting_since_ms: int = 0
    was_interrupted: bool = False
    has_older_effect: bool = False
    reads_again: bool = False
    children: int | None = None
    compensation_attempt: int = 0
    asked_about: tuple[ev.ConsequenceDecided, ...] = ()
    asked_about_n: int = 0
    consequences: tuple[ev.ConsequenceDecided, ...] = ()
    keeps: tuple[ev.Counted, ...] = ()
    checked: ev.ConsequenceChecked | None = None
    inner: ev.Inner | None = None
    is_abandoned: bool = False
    spoken_of: int = 0
    """The number of the newest event about it."""


class UndoRecord(msgspec.Struct):
    """A wish to take back a run that has ended. `is_over`: it was refused or fulfilled."""

    request: ev.UndoRequested
    approval: ApprovalRecord | None = None
    is_over: bool = False


class FinallyRecord(msgspec.Struct):
    """The steps of `finally`, from when they may begin: event `n`, at `at_ms`. `code`, of `step`, is what failed first of them.

    `called_off`: why no more of them begin. `error` binds the error object of that, where there is one.
    """

    started: ev.FinallyStarted
    n: int
    at_ms: int
    code: str | None = None
    step: StepKey | None = None
    error: Commitment | None = None
    called_off: str | None = None

    def call_off(self, code: str, error: Commitment | None = None) -> None:
        """No more of them begin, and calls of them are asked to end."""
        self.called_off = code
        if self.code is None:
            self.code, self.error = code, error


class RunRecord(msgspec.Struct):
    """Everything that a run's events say. `n` is the number of its next event; `dirty` holds steps changed since last asked.

    `counts`, `gathering`, `awaiting` (the steps that wait for an approval, or have it and have not begun) and `waiting` (those
    that wait for a time or a signal, longest first) are what each event asks about all steps: looking at them would make a
    session's call cost as much as the session is long. `signals` came and no step has had them yet, oldest first.

    `failure_code`, `failed_step`, `error` and `is_cancelling` are those of the steps before `finally`, and the run's, once it is
    over, if nothing was wrong with those. `cancelled_in` is the request that cancelled them, `replaced_by` the run that did so
    for its concurrency key; `ended` how the run ended.
    """

    run: RunId
    created: ev.RunCreated
    started_at_ms: int
    updated_at_ms: int
    n: int = 1
    phase: Phase = Phase.FORWARD
    state: RunState = RunState.PENDING
    steps: dict[StepKey, StepRecord] = msgspec.field(default_factory=dict)
    failure_code: str | None = None
    failed_step: StepKey | None = None
    error: Commitment | None = None
    is_cancelling: bool = False
    cancelled_in: str | None = None
    replaced_by: RunId | None = None
    final: FinallyRecord | None = None
    ended: RunState = RunState.SUCCEEDED
    is_closed: bool = False
    undo: UndoRecord | None = None
    outputs: Commitment | None = None
    rollback: list[StepKey] = msgspec.field(default_factory=list)
    dirty: set[StepKey] = msgspec.field(default_factory=set)
    counts: dict[StepState, int] = msgspec.field(default_factory=dict)
    gathering: int = 0
    said: int = 0
    """The number of the newest event about the run itself."""
    awaiting: dict[StepKey, None] = msgspec.field(default_factory=dict)
    waiting: dict[StepKey, None] = msgspec.field(default_factory=dict)
    signals: list[SignalRecord] = msgspec.field(default_factory=list)
    settled_approvals: list[ApprovalRecord] = msgspec.field(default_factory=list)
    """Those that a newer question about the same step, or another undo, took the place of since last asked."""

    @property
    def mode(self) -> Mode:
        """Workflow or session."""
        return self.created.mode

    @property
    def plan(self) -> PlanId | None:
        """The saved plan that the run consumed."""
        return self.created.plan

    @property
    def limited_from_ms(self) -> int:
        """From when the time counts that the run may take; the steps of `finally` have it once more."""
        return self.started_at_ms if self.final is None else self.final.at_ms

    @property
    def ends_at_ms(self) -> int | None:
        """When the time is over that the run may take."""
        limit = self.created.max_duration_ms
        return None if limit is None else self.limited_from_ms + limit

    @property
    def is_going_forward(self) -> bool:
        """It is about its steps, or about those of `finally`."""
        return self.phase is _FORWARD or self.phase is _FINALLY

    @property
    def has_begun(self) -> bool:
        """Anything was decided about a step. It may be `running` before, by a signal that came early."""
        return bool(self.steps)

    @property
    def is_stopping(self) -> bool:
        """No new step may begin: one failed, or somebody cancelled. One of `finally` that fails leaves the others alone."""
        if self.final is not None:
            return self.final.called_off is not None
        return self.failure_code is not None or self.is_cancelling

    @property
    def may_begin_steps(self) -> bool:
        """A step that is ready may begin."""
        return self.is_going_forward and not self.is_stopping

    @property
    def is_cancelled(self) -> bool:
        """Somebody cancelled what goes forward: the run, or the steps of its `finally`."""
        return self.is_cancelling if self.final is None else self.final.called_off == RUN_CANCELLED

    @property
    def is_called_off(self) -> bool:
        """Calls under way are asked to end: somebody cancelled, or the run's time is over."""
        if self.final is not None:
            return self.final.called_off is not None
        return self.is_cancelling or self.failure_code == RUN_TIMEOUT

    def count(self, *states: StepState) -> int:
        """How many steps are in any of these states."""
        counts = self.counts
        return sum([counts.get(state, 0) for state in states])

    def has(self, state: StepState) -> bool:
        """Whether any step is in this state."""
        return self.counts.get(state, 0) > 0

    @property
    def is_moving(self) -> bool:
        """A step is under way. A `foreach` step that gathers waits for its iterations and moves nothing by itself."""
        return self.counts.get(_RUNNING, 0) > self.gathering

    def step(self, key: StepKey) -> StepRecord:
        """The step's record; an empty one is added for a step that had no event yet."""
        record = self.steps.get(key)
        if record is None:
            record = self.steps[key] = StepRecord(key=key, position=len(self.steps))
            self.counts[_PENDING] = self.counts.get(_PENDING, 0) + 1
        self.dirty.add(key)
        record.spoken_of = self.n - 1
        return record

    def open_approvals(self) -> list[ApprovalRecord]:
        """The questions that wait for a person, in the order asked."""
        asked = [self.steps[key].approval for key in self.awaiting]
        if self.undo is not None and self.undo.approval is not None:
            asked.append(self.undo.approval)
        return [approval for approval in asked if approval is not None and approval.is_open]


def begin(run: RunId, event: ev.RunCreated, at_ms: int) -> RunRecord:
    """The record after a run's first event."""
    return RunRecord(run=run, created=event, started_at_ms=at_ms, updated_at_ms=at_ms)


def evolve(record: RunRecord, event: ev.AnyEvent, at_ms: int) -> None:
    """Fold one event into the record, in place. `InternalError` ILLEGAL_TRANSITION when the event cannot follow."""
    n, before = record.n, record.state
    record.n = n + 1
    record.updated_at_ms = at_ms
    match event:
        case ev.StepStarted():
            _start(record, event)
        case ev.StepSucceeded():
            step = _move(record, event.step, _SUCCEEDED)
            step.attempt, step.output, step.effect = event.attempt, event.output, event.effect
            step.served, step.inner, step.reads_again = event.served, event.inner, False
            step.keeps = event.keeps or step.keeps
            step.order, step.task, step.code, step.error = n, None, None, None
            _use_grant(step)
            if step.wait is not None:
                _use_signal(record, step.wait)
        case ev.StepFailed():
            step = _move(record, event.step, StepState.FAILED)
            step.effect, step.code, step.error = event.effect, event.code, event.error
            step.order, step.task, step.retry_at_ms, step.inner = n, None, None, event.inner
            _fail(record, event.code, event.step)
        case ev.AttemptFailed():
            step = _move(record, event.step, StepState.PENDING)
            step.effect, step.code, step.error = event.effect, event.code, event.error
            step.retry_at_ms, step.failed_at_ms, step.task = event.retry_at_ms, at_ms, None
        case (
            ev.StepAdded()
            | ev.StepsExpanded()
            | ev.StepResumed()
            | ev.StepDenied()
            | ev.StepSkipped()
            | ev.WaitStarted()
            | ev.StepUnsettled()
            | ev.StepReconciled()
            | ev.StepInDoubt()
            | ev.StepResolved()
        ):
            _evolve_step(record, event, n, at_ms)
        case ev.ApprovalRequested() | ev.ApprovalGranted() | ev.ApprovalRejected() | ev.ApprovalVoided():
            _evolve_approval(record, event, n, at_ms)
        case ev.CompensationStarted() | ev.StepCompensated() | ev.CompensationFailed():
            _evolve_compensation(record, event)
        case ev.SecretAccessed() | ev.HttpRequested() | ev.HttpAnswered():
            record.step(event.step)  # it is on the record, and changes nothing
        case ev.ConsequenceDecided():
            step = record.step(event.step)
            # They stand in a row; the first of another row takes the place of the earlier ones.
            earlier = step.asked_about if step.asked_about_n == n - 1 else ()
            step.asked_about, step.asked_about_n = (*earlier, event), n
        case ev.ConsequenceChecked():
            step = record.step(event.step)
            if event.code is None:
                step.checked = event
        case ev.SignalReceived():
            record.said = n
            if event.payload is not None:
                record.signals.append(SignalRecord(event.signal, event.payload, n))
        case ev.RunDoubted():
            _doubt(record, event.start, n, at_ms)
            before = record.state  # What it was is what is doubted, so it may be anything now.
        case _:
            record.said = n
            _evolve_run(record, event, n, at_ms)
    _derive_state(record)
    if record.state is not before and record.state not in RUN_TRANSITIONS[before]:
        raise _illegal(record, f"it cannot go from `{before}` to `{record.state}`")


def _start(record: RunRecord, event: ev.StepStarted) -> None:
    step = record.step(event.step)
    if event.attempt != step.attempt + 1 or step.state is _RUNNING:
        raise _illegal(
            record, f"attempt {event.attempt} of step `{event.step}` does not follow {step.attempt}"
        )
    _move(record, event.step, _RUNNING)
    step.has_older_effect = step.effect is not _NONE
    step.attempt, step.intent, step.task = event.attempt, event, _EXECUTE
    step.consequences = step.asked_about if step.asked_about_n == record.n - 2 else ()
    step.keeps = tuple(one for consequence in step.consequences for one in consequence.counted)
    step.capability, step.version, step.risk = event.capability, event.version, event.risk
    step.asked_version = event.asked_version
    step.decision, step.rule = event.decision, event.rule
    # From here on a crash leaves it open whether anything happened.
    step.effect = _NONE if event.undo is _NOT_NEEDED else Effect.UNKNOWN
    step.retry_at_ms, step.code, step.error, step.was_interrupted = None, None, None, False
    _use_grant(step)


def _use_grant(step: StepRecord) -> None:
    if step.approval is not None and step.approval.has_quorum:
        step.approval.status = "used"


def _use_signal(record: RunRecord, wait: ev.WaitStarted) -> None:
    """Of those with its name the oldest signal is the step's: each counts once, in the order in which they came."""
    if wait.signal is not None:
        heard = next((one for one in record.signals if one.name == wait.signal), None)
        if heard is None:
            raise _illegal(record, f"no signal `{wait.signal}` came")
        record.signals.remove(heard)


def _fail(record: RunRecord, code: str, step: StepKey) -> None:
    # In a session a failed or denied step is recorded and the session goes on. The first failure names the run's.
    if record.mode is Mode.WORKFLOW and record.phase is _FORWARD and not record.is_stopping:
        record.failure_code, record.failed_step = code, step
    elif record.phase is _FINALLY and record.final is not None and record.final.code is None:
        record.final.code, record.final.step = code, step


def _evolve_step(
    record: RunRecord,
    event: ev.StepAdded
    | ev.StepsExpanded
    | ev.StepResumed
    | ev.StepDenied
    | ev.StepSkipped
    | ev.WaitStarted
    | ev.StepUnsettled
    | ev.StepReconciled
    | ev.StepInDoubt
    | ev.StepResolved,
    n: int,
    at_ms: int,
) -> None:
    match event:
        case ev.StepAdded():
            step = record.step(event.step)
            step.call, step.asked = event.call, event.inputs
            step.request, step.request_digest = event.request, event.request_digest
        case ev.StepsExpanded():
            step = _move(record, event.step, StepState.RUNNING)
            step.children, step.items, step.task = event.count, event.items, Task.GATHER
            record.gathering += 1
            for index in range(event.count):
                record.step(iteration_key(event.step, index))
        case ev.StepResumed():
            step = _move(record, event.step, StepState.RUNNING)
            step.task, step.was_interrupted = Task.EXECUTE, False
        case ev.StepDenied():
            step = _move(record, event.step, StepState.DENIED)
            step.capability, step.version, step.risk = event.capability, event.version, event.risk
            step.asked_version = event.asked_version
            step.decision, step.rule, step.code, step.error = (
                event.decision,
                event.rule,
                event.code,
                event.reason,
            )
            step.order = n
            _fail(record, event.code, event.step)
        case ev.StepSkipped():
            _move(record, event.step, StepState.SKIPPED).order = n
        case ev.WaitStarted():
            step = _move(record, event.step, _WAITING)
            step.wait, step.waiting_since_ms = event, at_ms
        case ev.StepUnsettled():
            step = _move(record, event.step, StepState.RUNNING)
            step.task, step.code, step.error = Task.RECONCILE, event.code, event.error
        case ev.StepReconciled():
            _evolve_verdict(record.step(event.step), event.verdict)
        case ev.StepInDoubt():
            step = _move(record, event.step, StepState.IN_DOUBT)
            step.code, step.task, step.order = event.code, None, n
        case ev.StepResolved():
            _resolve(record, event, n)
        case _:
            assert_never(event)


def _evolve_verdict(step: StepRecord, verdict: Verdict) -> None:
    step.effect = {Verdict.YES: Effect.DONE, Verdict.NO: Effect.NONE, Verdict.UNKNOWN: Effect.UNKNOWN}[
        verdict
    ]


def _resolve(record: RunRecord, event: ev.StepResolved, n: int) -> None:
    step = record.step(event.step)
    match event.resolution:
        case Resolution.HAPPENED:
            _move(record, event.step, StepState.SUCCEEDED)
            step.effect, step.output, step.order, step.code = Effect.DONE, event.output, n, None
        case Resolution.NOT_HAPPENED:
            # What follows (run the intent, or count as failed) is the next event's to say.
            _move(record, event.step, StepState.RUNNING)
            step.effect, step.task, step.has_older_effect = Effect.NONE, None, False
        case Resolution.COMPENSATED:
            _move(record, event.step, StepState.COMPENSATED)
            step.effect, step.code = Effect.NONE, None
            _fail(record, "STEP_TAKEN_BACK", event.step)
        case Resolution.ABANDON:
            step.is_abandoned = True
            if step.state is StepState.IN_DOUBT:
                _move(record, event.step, StepState.FAILED)
                step.code, step.order = "STEP_ABANDONED", n
            _fail(record, "STEP_ABANDONED", event.step)
        case _:
            assert_never(event.resolution)
    if event.step in record.rollback:
        record.rollback.remove(event.step)  # it was to be tried once more
    record.state = _moving_state(record.phase)


def _evolve_approval(
    record: RunRecord,
    event: ev.ApprovalRequested | ev.ApprovalGranted | ev.ApprovalRejected | ev.ApprovalVoided,
    n: int,
    at_ms: int,
) -> None:
    if isinstance(event, ev.ApprovalRequested):
        approval = ApprovalRecord(request=event, requested_at_ms=at_ms)
        if event.step == UNDO_STEP:
            undo = _undo_of(record)
            _settle(record, undo.approval)
            undo.approval = approval
        else:
            step = _move(record, event.step, StepState.AWAITING_APPROVAL)
            _settle(record, step.approval)
            step.approval = approval
            step.capability, step.version, step.risk = event.capability, event.version, event.risk
            step.asked_version = event.asked_version
            step.decision, step.rule = event.decision, event.rule
        record.dirty.add(event.step)
        return
    asked = _undo_of(record).approval if event.step == UNDO_STEP else record.step(event.step).approval
    if asked is None or asked.request.digest != event.digest:
        raise _illegal(record, f"`{event.step}` has no approval `{event.digest}`")
    record.dirty.add(event.step)
    match event:
        case ev.ApprovalGranted():
            asked.granted_by.append(event.by)
            if len(asked.granted_by) >= asked.request.count:
                asked.status, asked.decided_at_ms = "granted", at_ms
        case ev.ApprovalRejected():
            asked.status = "expired" if event.code == "APPROVAL_EXPIRED" else "rejected"
            asked.decided_at_ms = at_ms
            if event.step != UNDO_STEP:
                step = _move(record, event.step, StepState.DENIED)
                step.code, step.error, step.order = event.code, event.reason, n
                _fail(record, event.code, event.step)
        case ev.ApprovalVoided():
            asked.status, asked.decided_at_ms = "voided", at_ms
            if event.step != UNDO_STEP:
                _move(record, event.step, StepState.PENDING)
        case _:
            assert_never(event)


def _settle(record: RunRecord, approval: ApprovalRecord | None) -> None:
    """Keep a question that another takes the place of: its last change may not have been projected yet."""
    if approval is not None:
        record.settled_approvals.append(approval)


def _evolve_compensation(
    record: RunRecord, event: ev.CompensationStarted | ev.StepCompensated | ev.CompensationFailed
) -> None:
    match event:
        case ev.CompensationStarted():
            step = record.step(event.step)
            _move(record, event.step, StepState.COMPENSATING)
            step.compensation_attempt = event.attempt
        case ev.StepCompensated():
            step = _move(record, event.step, StepState.COMPENSATED)
            step.effect, step.code, step.error = Effect.NONE, None, None
        case ev.CompensationFailed():
            step = _move(record, event.step, StepState.COMPENSATION_FAILED)
            step.code, step.error = event.code, event.error
        case _:
            assert_never(event)
    if event.step in record.rollback and not isinstance(event, ev.CompensationStarted):
        record.rollback.remove(event.step)


def _evolve_run(record: RunRecord, event: ev.AnyEvent, n: int, at_ms: int) -> None:
    match event:
        case ev.RunRecovered():
            _recover(record, retry=event.retry)
            for key in event.again:
                _read_again(record, key, at_ms)
        case ev.CancelRequested():
            record.cancelled_in = event.request
            if event.step is not None:
                record.rollback.append(event.step)
                record.step(event.step).compensation_attempt = 0
                return
            record.replaced_by = record.replaced_by or event.replaced_by
            if record.final is not None:
                record.final.call_off(RUN_CANCELLED)
            else:
                record.is_cancelling = True
        case ev.RunTimedOut():
            if record.final is not None:
                record.final.call_off(RUN_TIMEOUT, event.error)
            elif not record.is_stopping:
                record.failure_code, record.error = RUN_TIMEOUT, event.error
        case ev.RollbackStarted():
            if not record.is_stopping:  # no step failed: the run's outputs did
                record.failure_code, record.error = event.code, event.error
            record.phase, record.state = Phase.ROLLBACK, RunState.ROLLING_BACK
            record.rollback = to_take_back(record)
        case ev.FinallyStarted():
            if not record.is_stopping:  # as above
                record.failure_code, record.error = event.code, event.error
            record.phase, record.state = _FINALLY, RunState.RUNNING
            record.final = FinallyRecord(event, n, at_ms)
        case ev.RunSucceeded():
            _end(record, RunState.SUCCEEDED)
            record.outputs = event.outputs
        case ev.RunFailed():
            _end(record, RunState.FAILED)
            record.failure_code, record.error = event.code, event.error or record.error
            record.failed_step = record.failed_step or event.step
        case ev.RunRolledBack():
            _end(record, RunState.ROLLED_BACK)
        case ev.RunCancelled():
            _end(record, RunState.CANCELLED)
        case ev.RunNeedsAttention():
            record.state = RunState.NEEDS_ATTENTION
        case ev.UndoRequested():
            if record.undo is not None:
                _settle(record, record.undo.approval)
            record.undo = UndoRecord(request=event)
        case ev.UndoStarted():
            for kept in event.keeps:
                record.step(kept.step).keeps = kept.counted
            record.phase, record.state = Phase.UNDO, RunState.UNDOING
            record.rollback = to_take_back(record, reversible_only=_undo_of(record).request.partial)
        case ev.UndoRefused():
            _undo_of(record).is_over = True
            _end(record, record.ended)
        case ev.RunUndone():
            _undo_of(record).is_over = True
            _end(record, RunState.UNDONE)
        case ev.SessionClosed():
            record.is_closed = True
        case ev.RunErased():
            pass  # where the run stands is known from its events alone, which stay
        case _:
            raise _illegal(record, f"`{event.kind}` is no event of a run under way")


def _end(record: RunRecord, state: RunState) -> None:
    record.phase, record.state, record.ended = _DONE, state, state


def _doubt(record: RunRecord, start: int, n: int, at_ms: int) -> None:
    """Nobody knows whether the events from number `start` on are true: what they say of a step is in doubt.

    Answers of people have to be given again, a step that only they know of never begins, and an end that they tell is none. A run
    that only they know of goes no further.
    """
    undo = record.undo
    if undo is not None and not undo.is_over:
        undo.is_over = True
        _void(undo.approval, at_ms)
        record.dirty.add(UNDO_STEP)
    doubted = [step for step in record.steps.values() if step.spoken_of >= start]
    for step in doubted:
        record.dirty.add(step.key)
        _void(step.approval, at_ms)
        if step.intent is not None:
            _put(record, step, StepState.IN_DOUBT)
            step.effect, step.code, step.error, step.task = Effect.UNKNOWN, TAIL_ACCEPTED, None, None
            step.order, step.is_abandoned = n, False
        elif step.state in (StepState.PENDING, StepState.AWAITING_APPROVAL) and record.mode is Mode.SESSION:
            _put(record, step, StepState.DENIED)
            step.code, step.order = TAIL_ACCEPTED, n
        elif step.state in (StepState.AWAITING_APPROVAL, StepState.WAITING):
            _put(record, step, StepState.PENDING)
    record.signals = [one for one in record.signals if one.n < start]
    if record.said >= start or doubted or not start:
        if record.final is not None and record.final.n >= start:
            record.final = None
        record.phase = _FORWARD if record.final is None else _FINALLY
        record.outputs, record.rollback = None, []
        record.state = RunState.NEEDS_ATTENTION if record.has(StepState.IN_DOUBT) else RunState.RUNNING
    if not start:
        record.failure_code = record.failure_code or TAIL_ACCEPTED


def _void(approval: ApprovalRecord | None, at_ms: int) -> None:
    if approval is not None and approval.status in ("pending", "granted"):
        approval.status, approval.decided_at_ms = "voided", at_ms


def _recover(record: RunRecord, *, retry: bool) -> None:
    for step in record.steps.values():
        if step.state is StepState.RUNNING and step.task is Task.EXECUTE:
            step.task, step.was_interrupted = Task.RECONCILE, True
        elif retry and step.state is StepState.IN_DOUBT:
            _move(record, step.key, StepState.RUNNING)
            step.task, step.was_interrupted = Task.RECONCILE, True
        elif retry and step.state is StepState.COMPENSATION_FAILED and not step.is_abandoned:
            step.compensation_attempt = 0
            if step.key not in record.rollback:  # Two people may ask for another try at the same time.
                record.rollback.append(step.key)
    record.rollback.sort(key=lambda key: -(record.steps[key].order or 0))
    if retry and record.state is RunState.NEEDS_ATTENTION:
        record.state = _moving_state(record.phase)


def _read_again(record: RunRecord, key: StepKey, at_ms: int) -> None:
    if record.step(key).children is not None:
        _move(record, key, _RUNNING).task = Task.GATHER
        record.gathering += 1
    else:
        step = _move(record, key, _PENDING)
        step.reads_again, step.retry_at_ms, step.failed_at_ms, step.order = True, at_ms, at_ms, None


def _moving_state(phase: Phase) -> RunState:
    return {
        Phase.FORWARD: RunState.RUNNING,
        Phase.FINALLY: RunState.RUNNING,
        Phase.ROLLBACK: RunState.ROLLING_BACK,
        Phase.UNDO: RunState.UNDOING,
        Phase.DONE: RunState.SUCCEEDED,
    }[phase]


def to_take_back(record: RunRecord, *, reversible_only: bool = False) -> list[StepKey]:
    """The steps whose effect is not known to be none, latest outcome first.

    A read has nothing to take back, also where a person has said that it happened.
    """
    left = (Undo.NOT_NEEDED, Undo.NONE) if reversible_only else (Undo.NOT_NEEDED,)
    affected = [
        step
        for step in record.steps.values()
        if step.effect is not Effect.NONE
        and step.state in (StepState.SUCCEEDED, StepState.FAILED, StepState.DENIED)
        and not step.is_abandoned
        and not (step.intent is not None and step.intent.undo in left)
    ]
    affected.sort(key=lambda step: -(step.order or 0))
    return [step.key for step in affected]


def to_take_back_alone(record: RunRecord) -> list[StepKey]:
    """The steps of a session that can be taken back while it goes on, latest outcome first; also one where that failed."""
    failed = [
        step.key
        for step in record.steps.values()
        if step.state is StepState.COMPENSATION_FAILED and not step.is_abandoned
    ]
    found = {*to_take_back(record, reversible_only=True), *failed}.difference(record.rollback)
    return sorted(found, key=lambda key: -(record.steps[key].order or 0))


def kept_for(record: RunRecord, step: StepRecord) -> tuple[ev.Counted, ...]:
    """What is kept of limits for taking a step back: nothing where that is not needed, was let go, or can't come any more."""
    is_needed = step.effect is not Effect.NONE and step.checked is None and not step.is_abandoned
    if not is_needed or record.phase in (_FINALLY, _DONE):
        return ()
    return step.keeps


def _undo_of(record: RunRecord) -> UndoRecord:
    if record.undo is None:
        raise _illegal(record, "nobody asked for an undo")
    return record.undo


def _move(record: RunRecord, key: StepKey, target: StepState) -> StepRecord:
    step = record.step(key)
    current = step.state
    if target not in STEP_TRANSITIONS[current]:
        raise _illegal(record, f"step `{key}` cannot go from `{current}` to `{target}`")
    return _put(record, step, target)


def _put(record: RunRecord, step: StepRecord, target: StepState) -> StepRecord:
    key, current = step.key, step.state
    record.counts[current] -= 1
    record.counts[target] = record.counts.get(target, 0) + 1
    step.state = target
    if target is _AWAITING_APPROVAL:
        record.awaiting[key] = None
    elif current is _AWAITING_APPROVAL:
        del record.awaiting[key]
    elif target is _WAITING:
        record.waiting[key] = None
    elif current is _WAITING:
        del record.waiting[key]
    elif current is _RUNNING and step.task is Task.GATHER:
        record.gathering -= 1
    return step


def _illegal(record: RunRecord, what: str) -> InternalError:
    return InternalError("ILLEGAL_TRANSITION", f"run `{record.run}`, event {record.n - 1}: {what}")


def _derive_state(record: RunRecord) -> None:
    """`running` and `waiting` follow from the steps; every other state was said by an event."""
    if record.phase is _DONE:
        asked = record.undo.approval if record.undo is not None else None
        record.state = RunState.WAITING if asked is not None and asked.is_open else record.ended
        return
    if not record.is_going_forward or record.state is _NEEDS_ATTENTION:
        return
    record.state = _RUN_RUNNING
    awaiting = record.counts.get(_AWAITING_APPROVAL, 0)
    if (awaiting or record.waiting) and not record.is_moving and len(record.open_approvals()) == awaiting:
        record.state = RunState.WAITING
