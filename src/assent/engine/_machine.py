"""The rules of a run as a pure state machine: `decide(record, command)` gives the events that a command leads to.

Theory of operation. The shell performs effects and reports what came of them as commands; people's wishes are commands too.
`decide` answers with events or refuses with an `AssentError`; it has no clock, no I/O and no randomness (times and jitter arrive
inside commands). `advance` applies the events and then asks `conclude` what follows from the new record by itself: a failure
leads to a rollback once nothing is running, an empty rollback to the end of the run, a step in doubt to a person. `step_task`
says what the shell has to do next for one step, `next_compensation` which effect is to be taken back next.

Because commands may arrive twice (a crash, a distributed driver), a report about an attempt that is already settled is ignored
rather than refused.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

from assent.engine._readiness import Readiness
from assent.engine._record import (
    UNDO_STEP,
    ApprovalRecord,
    Phase,
    RunRecord,
    StepRecord,
    Task,
    evolve,
    to_take_back,
)
from assent.errors import InputError, RefusedError
from assent.spec import events as ev
from assent.spec.ids import Commitment, StepKey
from assent.spec.principal import Principal
from assent.spec.states import Effect, Mode, Resolution, RunState, StepState, Undo, Verdict


@dataclass(frozen=True, slots=True)
class Actor:
    """Who gives a command: the principal, whether it was merely asserted (`--as`), and the operating system's user id."""

    principal: Principal
    asserted: bool = False
    os_uid: int | None = None


@dataclass(frozen=True, slots=True)
class Admit:
    """The shell looked at a step that may begin; `events` say what the gate and the preparation led to."""

    events: tuple[ev.AnyEvent, ...]


@dataclass(frozen=True, slots=True)
class AddStep:
    """A session receives another step."""

    event: ev.StepAdded


@dataclass(frozen=True, slots=True)
class Succeeded:
    """An attempt's effect is done and its output is valid."""

    step: StepKey
    attempt: int
    output: Commitment
    effect: Effect


@dataclass(frozen=True, slots=True)
class Failed:
    """An attempt failed. `retry_at_ms`: the retry policy allows another one then. `is_alive`: its thread did not end."""

    step: StepKey
    attempt: int
    code: str
    effect: Effect
    error: Commitment | None = None
    retry_at_ms: int | None = None
    is_alive: bool = False


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The capability said whether an unsettled effect happened; `may_repeat`: the spec calls it idempotent."""

    step: StepKey
    attempt: int
    verdict: Verdict
    foreign: bool = False
    may_repeat: bool = False
    output: Commitment | None = None
    retry_at_ms: int | None = None


@dataclass(frozen=True, slots=True)
class Doubted:
    """Nobody can say what became of an attempt; `code` says why (`CAPABILITY_CHANGED`, `EFFECT_UNKNOWN`)."""

    step: StepKey
    attempt: int
    code: str


@dataclass(frozen=True, slots=True)
class Compensating:
    """The shell is about to take a step's effect back."""

    step: StepKey


@dataclass(frozen=True, slots=True)
class Compensated:
    """A step's effect is taken back."""

    step: StepKey


@dataclass(frozen=True, slots=True)
class NotCompensated:
    """Taking a step's effect back failed; `may_repeat`: trying again may help."""

    step: StepKey
    code: str
    error: Commitment | None
    may_repeat: bool


@dataclass(frozen=True, slots=True)
class Finish:
    """Every step has passed; `outputs` binds the run's outputs."""

    outputs: Commitment


@dataclass(frozen=True, slots=True)
class Abort:
    """The run can't finish although its steps passed (its outputs can't be computed)."""

    code: str


@dataclass(frozen=True, slots=True)
class Approve:
    """A principal agrees. `digest`: what the approver saw; None: not confirmed. `step` None: the only open question."""

    actor: Actor
    step: StepKey | None
    digest: str | None
    now_ms: int


@dataclass(frozen=True, slots=True)
class Reject:
    """A principal refuses."""

    actor: Actor
    step: StepKey | None
    reason: Commitment | None
    now_ms: int


@dataclass(frozen=True, slots=True)
class Expire:
    """The clock passed an approval's limit."""

    step: StepKey


@dataclass(frozen=True, slots=True)
class Cancel:
    """A principal wants the run to stop and be taken back."""

    actor: Actor


@dataclass(frozen=True, slots=True)
class Close:
    """No more steps will be added to a session."""


@dataclass(frozen=True, slots=True)
class Recover:
    """A new owner takes over; `retry`: a person wants another try of what needs attention."""

    retry: bool


@dataclass(frozen=True, slots=True)
class RequestUndo:
    """A principal wants a succeeded run taken back, and the gate answered; `approval` is set when people must be asked."""

    request: ev.UndoRequested
    approval: ev.ApprovalRequested | None = None


@dataclass(frozen=True, slots=True)
class BeginUndo:
    """Every conflict was looked for; None: there is none."""

    refusal: ev.UndoRefused | None = None


@dataclass(frozen=True, slots=True)
class Resolve:
    """A person says what became of a step."""

    actor: Actor
    step: StepKey
    resolution: Resolution
    output: Commitment | None = None


Command: TypeAlias = (
    Admit
    | AddStep
    | Succeeded
    | Failed
    | Reconciled
    | Doubted
    | Compensating
    | Compensated
    | NotCompensated
    | Finish
    | Abort
    | Approve
    | Reject
    | Expire
    | Cancel
    | Close
    | Recover
    | RequestUndo
    | BeginUndo
    | Resolve
)

COMPENSATION_ATTEMPTS_MAX = 3


def advance(record: RunRecord, readiness: Readiness, command: Command, at_ms: int) -> list[ev.AnyEvent]:
    """Apply a command and everything that follows from it by itself; the events, in order."""
    events: list[ev.AnyEvent] = []
    following: Sequence[ev.AnyEvent] = decide(record, command)
    while following:
        for event in following:
            evolve(record, event, at_ms)
            step = getattr(event, "step", None)
            if step is not None:
                readiness.observe(record, step)
                if isinstance(event, ev.StepsExpanded):
                    for index in range(event.count):
                        readiness.observe(record, StepKey(f"{event.step}[{index}]"))
        events += following
        following = conclude(record)
    return events


def decide(record: RunRecord, command: Command) -> Sequence[ev.AnyEvent]:
    """The events that a command leads to in this record, before anything that follows by itself."""
    match command:
        case Admit():
            return () if record.is_stopping or record.phase is not Phase.FORWARD else command.events
        case AddStep():
            return _add_step(record, command.event)
        case Succeeded() | Failed() | Reconciled() | Doubted():
            return _decide_report(record, command)
        case Compensating() | Compensated() | NotCompensated():
            return _decide_compensation(record, command)
        case Finish():
            return [ev.RunSucceeded(outputs=command.outputs)] if record.phase is Phase.FORWARD else []
        case Abort():
            return _abort(record, command.code)
        case Approve() | Reject() | Expire():
            return _decide_approval(record, command)
        case Cancel():
            return _cancel(record, command.actor)
        case Close():
            return [] if record.is_closed or record.phase is not Phase.FORWARD else [ev.SessionClosed()]
        case Recover():
            return [ev.RunRecovered(retry=command.retry)]
        case RequestUndo():
            return _request_undo(record, command)
        case BeginUndo():
            if not can_begin_undo(record):
                return []
            return [command.refusal] if command.refusal is not None else [ev.UndoStarted()]
        case Resolve():
            return _resolve(record, command)
        case _:
            assert_never(command)


def conclude(record: RunRecord) -> Sequence[ev.AnyEvent]:
    """What follows from the record by itself; empty when the next move is the shell's or a person's."""
    match record.phase:
        case Phase.FORWARD:
            return _conclude_forward(record)
        case Phase.ROLLBACK | Phase.UNDO:
            return _conclude_taking_back(record)
        case Phase.DONE:
            return ()
        case _:
            assert_never(record.phase)


def step_task(step: StepRecord) -> Task | None:
    """What the shell has to do for a running step; a gathering one waits for its iterations first."""
    return step.task if step.state is StepState.RUNNING else None


def next_compensation(record: RunRecord) -> StepKey | None:
    """The step whose effect is to be taken back next: one at a time, latest outcome first."""
    if record.phase not in (Phase.ROLLBACK, Phase.UNDO) or not record.rollback:
        return None
    return record.rollback[0]


def can_begin_undo(record: RunRecord) -> bool:
    """An undo was asked for and nobody has to be asked any more."""
    if record.undo is None or record.undo.is_over or record.phase is not Phase.DONE:
        return False
    approval = record.undo.approval
    return approval.has_quorum if approval is not None else record.undo.request.decision == "ALLOW"


def _add_step(record: RunRecord, event: ev.StepAdded) -> Sequence[ev.AnyEvent]:
    if (
        record.mode is not Mode.SESSION
        or record.is_closed
        or record.is_stopping
        or record.phase is not Phase.FORWARD
    ):
        raise InputError(
            "SESSION_CLOSED",
            f"run `{record.run}` takes no more steps",
            hint="open a new session for further calls",
        )
    return [event]


# -- reports of the shell -------------------------------------------------------------------------------------------------


def _decide_report(
    record: RunRecord, report: Succeeded | Failed | Reconciled | Doubted
) -> Sequence[ev.AnyEvent]:
    step = record.steps.get(report.step)
    if isinstance(report, Succeeded) and (step is None or step.state is not StepState.RUNNING):
        # An approval step or a gathered `foreach` passes without an attempt of its own.
        waiting = step is None or step.state in (StepState.PENDING, StepState.AWAITING_APPROVAL)
        if not waiting or record.is_stopping:
            return ()
    elif isinstance(report, Failed) and report.attempt == 0:
        if step is not None and step.state not in (StepState.PENDING, StepState.AWAITING_APPROVAL):
            return ()
    elif (
        step is None
        or step.state is not StepState.RUNNING
        or (step.intent and step.attempt != report.attempt)
    ):
        return ()
    match report:
        case Succeeded():
            return [
                ev.StepSucceeded(
                    step=report.step, attempt=report.attempt, output=report.output, effect=report.effect
                )
            ]
        case Failed():
            return _fail(record, report)
        case Reconciled():
            assert step is not None  # INVARIANT: the guard above returned for unknown steps
            return _reconcile(record, step, report)
        case Doubted():
            return [ev.StepInDoubt(step=report.step, attempt=report.attempt, code=report.code)]
        case _:
            assert_never(report)


def _fail(record: RunRecord, report: Failed) -> Sequence[ev.AnyEvent]:
    if report.effect is Effect.UNKNOWN:
        if report.is_alive:
            # Nothing is taken back under a living effect, and nobody can say when it ends.
            return [ev.StepInDoubt(step=report.step, attempt=report.attempt, code=report.code)]
        return [
            ev.StepUnsettled(step=report.step, attempt=report.attempt, code=report.code, error=report.error)
        ]
    if report.retry_at_ms is not None and report.effect is Effect.NONE and not record.is_stopping:
        return [
            ev.AttemptFailed(
                step=report.step,
                attempt=report.attempt,
                code=report.code,
                effect=report.effect,
                error=report.error,
                retry_at_ms=report.retry_at_ms,
            )
        ]
    return [
        ev.StepFailed(
            step=report.step,
            attempt=report.attempt,
            code=report.code,
            effect=report.effect,
            error=report.error,
        )
    ]


def _reconcile(record: RunRecord, step: StepRecord, report: Reconciled) -> Sequence[ev.AnyEvent]:
    answer = ev.StepReconciled(
        step=report.step, attempt=report.attempt, verdict=report.verdict, foreign=report.foreign
    )
    code = step.code or "STEP_INTERRUPTED"
    if report.verdict is Verdict.YES and report.output is not None:
        return [answer, ev.StepSucceeded(step=report.step, attempt=report.attempt, output=report.output)]
    repeatable = report.verdict is Verdict.NO or (
        report.verdict is Verdict.UNKNOWN and report.may_repeat and not report.foreign
    )
    if not repeatable:
        return [answer, ev.StepInDoubt(step=report.step, attempt=report.attempt, code="EFFECT_UNKNOWN")]
    effect = Effect.NONE if report.verdict is Verdict.NO else Effect.UNKNOWN
    if record.is_stopping:
        return [answer, _failure(step, report.attempt, code, effect)]
    if step.was_interrupted:
        return [answer, ev.StepResumed(step=report.step, attempt=report.attempt)]
    if report.retry_at_ms is not None:
        return [
            answer,
            ev.AttemptFailed(
                step=report.step,
                attempt=report.attempt,
                code=code,
                effect=effect,
                error=step.error,
                retry_at_ms=report.retry_at_ms,
            ),
        ]
    return [answer, _failure(step, report.attempt, code, effect)]


def _failure(step: StepRecord, attempt: int, code: str, effect: Effect) -> ev.StepFailed:
    return ev.StepFailed(step=step.key, attempt=attempt, code=code, effect=effect, error=step.error)


def _decide_compensation(
    record: RunRecord, report: Compensating | Compensated | NotCompensated
) -> Sequence[ev.AnyEvent]:
    step = record.steps.get(report.step)
    if step is None or report.step not in record.rollback:
        return ()
    match report:
        case Compensating():
            return [ev.CompensationStarted(step=report.step, attempt=step.compensation_attempt + 1)]
        case Compensated():
            return [ev.StepCompensated(step=report.step)]
        case NotCompensated():
            if report.may_repeat and step.compensation_attempt < COMPENSATION_ATTEMPTS_MAX:
                return ()
            return [
                ev.CompensationFailed(
                    step=report.step, attempt=step.compensation_attempt, code=report.code, error=report.error
                )
            ]
        case _:
            assert_never(report)


def _abort(record: RunRecord, code: str) -> Sequence[ev.AnyEvent]:
    if record.phase is not Phase.FORWARD:
        return ()
    return [ev.RollbackStarted(code=code)] if to_take_back(record) else [ev.RunFailed(code=code)]


# -- people ---------------------------------------------------------------------------------------------------------------


def _decide_approval(record: RunRecord, command: Approve | Reject | Expire) -> Sequence[ev.AnyEvent]:
    key, asked = _open_approval(record, command.step)
    request = asked.request
    if isinstance(command, Expire):
        rejection = ev.ApprovalRejected(step=key, digest=request.digest, code="APPROVAL_EXPIRED")
        return _end_of_question(key, rejection)
    if request.expires_at_ms is not None and command.now_ms >= request.expires_at_ms:
        rejection = ev.ApprovalRejected(step=key, digest=request.digest, code="APPROVAL_EXPIRED")
        return _end_of_question(key, rejection)
    actor = command.actor
    check_approver(asked, actor.principal)
    if isinstance(command, Reject):
        rejection = ev.ApprovalRejected(
            step=key,
            digest=request.digest,
            code="APPROVAL_REJECTED",
            by=str(actor.principal),
            asserted=actor.asserted,
            os_uid=actor.os_uid,
            reason=command.reason,
        )
        return _end_of_question(key, rejection)
    if command.digest is not None and command.digest != request.digest:
        raise RefusedError(
            "APPROVAL_STALE",
            f"`{command.digest}` is not what waits for approval",
            path=key,
            hint=f"look again: `assent show {record.run}`; the digest is now {request.digest}",
            details={"digest": request.digest},
        )
    return [
        ev.ApprovalGranted(
            step=key,
            digest=request.digest,
            by=str(actor.principal),
            asserted=actor.asserted,
            os_uid=actor.os_uid,
            confirmed=command.digest is not None,
        )
    ]


def _end_of_question(key: StepKey, rejection: ev.ApprovalRejected) -> Sequence[ev.AnyEvent]:
    if key == UNDO_STEP:
        return [rejection, ev.UndoRefused(code=rejection.code)]
    return [rejection]


def _open_approval(record: RunRecord, key: StepKey | None) -> tuple[StepKey, ApprovalRecord]:
    waiting = record.open_approvals()
    found = [asked for asked in waiting if key is None or asked.request.step == key]
    if len(found) == 1:
        return found[0].request.step, found[0]
    if not found:
        about = f"step `{key}` of run `{record.run}`" if key is not None else f"run `{record.run}`"
        raise InputError(
            "APPROVAL_NOT_OPEN",
            f"{about} does not wait for an approval",
            hint="list what waits with `assent approvals`",
            details={"open": [asked.request.step for asked in waiting]},
        )
    steps = ", ".join(f"`{asked.request.step}`" for asked in found)
    raise InputError(
        "APPROVAL_AMBIGUOUS",
        f"run `{record.run}` waits for several approvals: {steps}",
        hint=f"name the step: `assent approve {record.run} {found[0].request.step}`",
        details={"open": [asked.request.step for asked in found]},
    )


def check_approver(asked: ApprovalRecord, principal: Principal) -> None:
    """Refuse a principal that may not decide this question: wrong kind or role, the requester, or one who already did."""
    request, who = asked.request, str(principal)
    why = None
    if principal.type.value not in request.kinds:
        why = f"only {' or '.join(request.kinds)} may decide"
    elif request.roles and not principal.roles.intersection(request.roles):
        why = f"one of the roles {', '.join(request.roles)} is needed"
    elif request.not_requester and who == request.requester:
        why = "somebody other than the requester must decide"
    elif who in asked.granted_by:
        why = "each principal counts once"
    if why is not None:
        raise RefusedError(
            "APPROVER_REFUSED",
            f"`{who}` may not decide on step `{request.step}`: {why}",
            path=request.step,
            hint="ask somebody whom the rule names; `assent approvals` shows it",
            details={"rule": request.rule, "requester": request.requester},
        )


def _cancel(record: RunRecord, actor: Actor) -> Sequence[ev.AnyEvent]:
    if record.phase is not Phase.FORWARD:
        if record.phase is Phase.DONE:
            raise InputError(
                "RUN_FINISHED",
                f"run `{record.run}` has already ended: {record.state.value}",
                hint=f"take its effects back with `assent undo {record.run}`"
                if record.state is RunState.SUCCEEDED
                else None,
            )
        return ()
    if record.is_cancelling:
        return ()
    return [ev.CancelRequested(by=str(actor.principal), os_uid=actor.os_uid)]


def _request_undo(record: RunRecord, command: RequestUndo) -> Sequence[ev.AnyEvent]:
    if record.state is not RunState.SUCCEEDED:
        raise InputError(
            "RUN_NOT_UNDOABLE",
            f"run `{record.run}` is {record.state.value}; only a succeeded run can be undone",
            hint=f"`assent show {record.run}` tells where it stands",
        )
    events: list[ev.AnyEvent] = [command.request]
    if command.approval is not None:
        events.append(command.approval)
    elif command.request.decision == "DENY":
        events.append(ev.UndoRefused(code=command.request.code or "POLICY_DENIED"))
    return events


def _resolve(record: RunRecord, command: Resolve) -> Sequence[ev.AnyEvent]:
    step = record.steps.get(command.step)
    allowed = {
        StepState.IN_DOUBT: frozenset(Resolution),
        StepState.COMPENSATION_FAILED: frozenset({Resolution.COMPENSATED, Resolution.ABANDON}),
    }.get(step.state if step is not None else StepState.PENDING, frozenset())
    if step is None or command.resolution not in allowed:
        state = step.state.value if step is not None else "not begun"
        choices = ", ".join(
            f"--{choice.value.replace('_', '-')}" for choice in Resolution if choice in allowed
        )
        raise InputError(
            "RESOLUTION_INVALID",
            f"step `{command.step}` is {state} and can't be resolved as {command.resolution.value}",
            hint=f"possible: {choices}"
            if choices
            else f"`assent show {record.run}` tells what needs attention",
        )
    events: list[ev.AnyEvent] = [
        ev.StepResolved(
            step=command.step,
            resolution=command.resolution,
            by=str(command.actor.principal),
            asserted=command.actor.asserted,
            os_uid=command.actor.os_uid,
            output=command.output,
        )
    ]
    if command.resolution is Resolution.NOT_HAPPENED:
        if record.is_stopping or record.phase is not Phase.FORWARD:
            events.append(_failure(step, step.attempt, step.code or "STEP_INTERRUPTED", Effect.NONE))
        else:
            events.append(ev.StepResumed(step=command.step, attempt=step.attempt))
    return events


# -- what follows by itself -----------------------------------------------------------------------------------------------


def _conclude_forward(record: RunRecord) -> Sequence[ev.AnyEvent]:
    busy = record.count(StepState.RUNNING)
    in_doubt = record.count(StepState.IN_DOUBT)
    if not record.is_stopping:
        asks = record.mode is Mode.WORKFLOW or record.is_closed
        if in_doubt and not busy and asks and record.state is not RunState.NEEDS_ATTENTION:
            return [_needs_attention(record, StepState.IN_DOUBT)]
        return ()
    if busy:
        return _conclude_gathering(record, busy)
    unused = [
        step.approval.request
        for step in record.steps.values()
        if step.state is StepState.AWAITING_APPROVAL and step.approval is not None
    ]
    if unused:
        return [
            ev.ApprovalVoided(step=request.step, digest=request.digest, code="RUN_STOPPED")
            for request in unused
        ]
    if in_doubt:
        if record.state is RunState.NEEDS_ATTENTION:
            return ()
        return [_needs_attention(record, StepState.IN_DOUBT)]
    code = "RUN_CANCELLED" if record.is_cancelling else record.failure_code or "STEP_FAILED"
    if to_take_back(record):
        return [ev.RollbackStarted(code=code)]
    if record.is_cancelling:
        return [ev.RunCancelled()]
    return [ev.RunFailed(code=code, step=record.failed_step)]


def _conclude_gathering(record: RunRecord, busy: int) -> Sequence[ev.AnyEvent]:
    """A stopping run's `foreach` steps end with it once none of their iterations runs any more."""
    gathering = [
        step for step in record.steps.values() if step.state is StepState.RUNNING and step.task is Task.GATHER
    ]
    if len(gathering) < busy:
        return ()
    code = "RUN_CANCELLED" if record.is_cancelling else "ITERATION_FAILED"
    return [ev.StepFailed(step=step.key, attempt=0, code=code, effect=Effect.NONE) for step in gathering]


def _conclude_taking_back(record: RunRecord) -> Sequence[ev.AnyEvent]:
    if record.rollback:
        step = record.steps[record.rollback[0]]
        if step.intent is not None and step.intent.undo is Undo.NONE:
            return [
                ev.CompensationFailed(
                    step=step.key, attempt=step.compensation_attempt, code="UNDO_IMPOSSIBLE"
                )
            ]
        return ()
    failed = [
        step
        for step in record.steps.values()
        if step.state is StepState.COMPENSATION_FAILED and not step.is_abandoned
    ]
    if failed:
        if record.state is RunState.NEEDS_ATTENTION:
            return ()
        return [ev.RunNeedsAttention(code=failed[0].code or "COMPENSATION_FAILED", step=failed[0].key)]
    if record.phase is Phase.UNDO:
        partial = record.undo is not None and record.undo.request.partial
        return [ev.RunUndone(partial=partial)]
    if record.is_cancelling:
        return [ev.RunCancelled()]
    code = record.failure_code or "STEP_FAILED"
    if any(step.is_abandoned for step in record.steps.values()):
        return [ev.RunFailed(code=code, step=record.failed_step)]
    return [ev.RunRolledBack(code=code, step=record.failed_step)]


def _needs_attention(record: RunRecord, state: StepState) -> ev.RunNeedsAttention:
    step = next(step for step in record.steps.values() if step.state is state)
    return ev.RunNeedsAttention(code=step.code or "EFFECT_UNKNOWN", step=step.key)
