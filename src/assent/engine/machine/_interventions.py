"""What follows from what people want: approving, refusing, cancelling, undoing, settling what could not be settled."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from assent.engine.machine._commands import Actor, Approve, Cancel, Expire, Reject, RequestUndo, Resolve
from assent.engine.record._record import (
    UNDO_STEP,
    ApprovalRecord,
    Phase,
    RunRecord,
    to_take_back,
    to_take_back_alone,
)
from assent.errors import InputError, RefusedError
from assent.spec.events import kinds as ev
from assent.spec.ids import SIGNAL_CAPABILITY, RunId, StepKey, names_digest
from assent.spec.principal import Principal
from assent.spec.states import SETTLED_BY, Effect, Mode, Resolution, RunState, StepState

SIGNALS_MAX: Final = 1_000
"""Signals of one run that no step has had yet."""


def decide_approval(record: RunRecord, command: Approve | Reject | Expire) -> Sequence[ev.AnyEvent]:
    """A person's answer to a question, or none in time. Whoever asked may always take the question back.

    `APPROVAL_NOT_OPEN`, `APPROVAL_AMBIGUOUS`, `APPROVAL_STALE`, `APPROVER_REFUSED`.
    """
    key, asked = _open_approval(record, command.step)
    request = asked.request
    if isinstance(command, Expire):
        rejection = ev.ApprovalRejected(step=key, digest=request.digest, code="APPROVAL_EXPIRED")
        return _end_of_question(key, rejection)
    actor = command.actor
    if isinstance(command, Approve) or str(actor.principal) != request.requester:
        check_approver(asked, actor.principal)
    if command.digest is not None and not names_digest(command.digest, request.digest):
        raise RefusedError(
            "APPROVAL_STALE",
            f"`{command.digest}` is not what waits for approval",
            path=key,
            hint="`assent approvals --diff` shows what waits by now, and its digest",
            details={"digest": request.digest},
        )
    if isinstance(command, Reject):
        rejection = ev.ApprovalRejected(
            step=key,
            digest=request.digest,
            code="APPROVAL_REJECTED",
            reason=command.reason,
            same_uid=_is_same_user(record, key, actor),
            **actor.who(),
        )
        return _end_of_question(key, rejection)
    return [
        ev.ApprovalGranted(
            step=key,
            digest=request.digest,
            confirmed=command.digest is not None,
            same_uid=_is_same_user(record, key, actor),
            **actor.who(),
        )
    ]


def _is_same_user(record: RunRecord, key: StepKey, actor: Actor) -> bool:
    """Whether who asked and who decides are one user of the operating system, whatever names they go by."""
    asked: ev.Act = record.undo.request if key == UNDO_STEP and record.undo is not None else record.created
    return actor.os_uid is not None and actor.os_uid == asked.os_uid


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
        why = f"only a principal of the kind {' or '.join(request.kinds)} may decide"
    elif request.roles and not principal.roles.intersection(request.roles):
        why = f"one of the roles {', '.join(request.roles)} is needed"
    elif missing := [roles for roles in request.further_roles if not principal.roles.intersection(roles)]:
        why = f"one of the roles {', '.join(missing[0])} is needed as well"
    elif request.not_requester and who == request.requester:
        why = "somebody other than the requester must decide"
    elif who in asked.granted_by:
        why = "each principal counts once"
    if why is not None:
        raise RefusedError(
            "APPROVER_REFUSED",
            f"`{who}` may not decide on step `{request.step}`: {why}",
            path=request.step,
            hint="ask somebody whom the rule names; `assent approvals --diff` shows whom",
            details={"rule": request.rule, "requester": request.requester},
        )


def decide_cancel(record: RunRecord, command: Cancel) -> Sequence[ev.AnyEvent]:
    """Stopping a run that still goes forward; one that is being taken back already needs no wish. `RUN_FINISHED`.

    Cancelled again, or only then, while the steps of its `finally` go on, it is these that stop, but not where another run
    waits for them. The same request is one wish. Steps of a session are taken back one at a time: `NOT_A_SESSION`,
    `RUN_UNFINISHED`.
    """
    if command.step is not None:
        return _take_back_alone(record, command)
    if not record.is_going_forward:
        if record.phase is Phase.DONE:
            ended, hint = record.state.value, None
            if is_undoable(record):
                hint = f"take its effects back with `assent undo {record.run}`"
            elif record.open_approvals():
                ended = "only its undo waits"
                hint = f"`assent reject {record.run}` leaves the run as it is"
            raise InputError("RUN_FINISHED", f"run `{record.run}` has already ended: {ended}", hint=hint)
        return ()
    request = command.actor.request
    if request is not None and request == record.cancelled_in:
        return ()
    if record.final is not None and (record.is_called_off or command.spares_finally):
        return ()
    if record.final is None and record.is_cancelling:
        return ()
    return [ev.CancelRequested(**command.actor.who(), replaced_by=command.replaced_by)]


def _take_back_alone(record: RunRecord, command: Cancel) -> Sequence[ev.AnyEvent]:
    """As where all is taken back, nothing may be under way."""
    require_open(record)
    if command.actor.request is not None and command.actor.request == record.cancelled_in:
        return ()
    unsettled = (StepState.RUNNING, StepState.IN_DOUBT, StepState.COMPENSATING)
    busy = [one.key for one in record.steps.values() if one.state in unsettled] + record.rollback
    if busy or command.step != next(iter(to_take_back_alone(record)), None):
        raise InputError(
            "RUN_UNFINISHED",
            f"a step of session `{record.run}` has no outcome yet, or had one a moment ago",
            path=busy[0] if busy else None,
            hint="ask again when it has ended: which step is the last is known then",
        )
    return [ev.CancelRequested(**command.actor.who(), step=command.step)]


def require_open(record: RunRecord) -> None:
    """Raise what keeps single steps from being taken back: `NOT_A_SESSION`, `RUN_FINISHED`."""
    if record.mode is not Mode.SESSION:
        raise not_a_session(record.run)
    if not record.may_begin_steps:
        raise InputError(
            "RUN_FINISHED",
            f"session `{record.run}` has ended, or is being taken back as a whole",
            hint=f"`assent undo {record.run}` takes back what it did",
        )


def decide_signal(record: RunRecord, event: ev.SignalReceived) -> Sequence[ev.AnyEvent]:
    """A signal for a run that goes forward, whether or not a step waits for it by now. `RUN_FINISHED`, `SIGNALS_FULL`."""
    require_hearing(record)
    return [event]


def require_hearing(record: RunRecord) -> None:
    """Raise what keeps a run from hearing a signal: `RUN_FINISHED`, `SIGNALS_FULL`."""
    if not record.may_begin_steps:
        what = "has already ended" if record.phase is Phase.DONE else "is being taken back"
        raise InputError("RUN_FINISHED", f"run `{record.run}` {what}, and hears no signal")
    if len(record.signals) >= SIGNALS_MAX:
        raise InputError(
            "SIGNALS_FULL",
            f"run `{record.run}` has {SIGNALS_MAX} signals that no step waited for yet",
            hint=f"`assent show {record.run}` tells what it waits for",
        )


def signal_refusal(event: ev.SignalReceived) -> RefusedError | None:
    """What whoever sent a signal is told where the policy did not let it in; that it came is on record all the same."""
    if event.payload is not None:
        return None
    return RefusedError(
        event.code or "POLICY_DENIED",
        f"rule `{event.rule}` does not let `{event.by}` send the signal `{event.signal}`",
        hint=f"a rule that allows `{SIGNAL_CAPABILITY}` lets it in; nobody is asked about a signal",
    )


def decide_close(record: RunRecord) -> Sequence[ev.AnyEvent]:
    """Adding no more steps to a session; one that is closed or over needs no wish. `NOT_A_SESSION`."""
    if record.mode is not Mode.SESSION:
        raise not_a_session(record.run)
    return [] if record.is_closed or record.phase is not Phase.FORWARD else [ev.SessionClosed()]


def not_a_session(run: RunId) -> InputError:
    """The refusal of what only a session can do."""
    return InputError(
        "NOT_A_SESSION",
        f"run `{run}` is not a session: its steps were known when it began",
        hint=f"`assent resume {run}` goes on with it, `assent cancel {run}` ends it",
    )


def session_closed(run: RunId) -> InputError:
    """The refusal of another step."""
    return InputError(
        "SESSION_CLOSED", f"run `{run}` takes no more steps", hint="open a new session for further calls"
    )


def is_undoable(record: RunRecord) -> bool:
    """The run has succeeded, or ended otherwise and left something: the steps of its `finally` did."""
    if record.phase is not Phase.DONE or record.state in (RunState.WAITING, RunState.UNDONE):
        return False
    return record.state is RunState.SUCCEEDED or (record.final is not None and bool(to_take_back(record)))


def require_undoable(record: RunRecord) -> None:
    """Raise RUN_NOT_UNDOABLE for a run of which there is nothing to take back, or whose undo waits for people."""
    if any(asked.request.step == UNDO_STEP for asked in record.open_approvals()):
        raise InputError(
            "RUN_NOT_UNDOABLE",
            f"an undo of run `{record.run}` was asked for already, and waits for an approval",
            hint=f"`assent approve {record.run} {UNDO_STEP}` decides it, or `assent reject {record.run} {UNDO_STEP}`",
            details={"open": [UNDO_STEP]},
        )
    if not is_undoable(record):
        raise InputError(
            "RUN_NOT_UNDOABLE",
            f"run `{record.run}` is {record.state.value}; only a succeeded run can be undone",
            hint=f"`assent cancel {record.run}` ends the session, and takes back what it did"
            if record.mode is Mode.SESSION and record.phase is Phase.FORWARD
            else f"`assent show {record.run}` tells where it stands",
        )


def decide_undo(record: RunRecord, command: RequestUndo) -> Sequence[ev.AnyEvent]:
    """Beginning an undo, refusing it, or asking people, as the gate answered. `RUN_NOT_UNDOABLE`."""
    require_undoable(record)
    events: list[ev.AnyEvent] = [command.request]
    if command.refusal is not None:
        events.append(command.refusal)
    elif command.approval is not None:
        events.append(command.approval)
    elif command.request.decision == "DENY":
        events.append(ev.UndoRefused(code=command.request.code or "POLICY_DENIED"))
    return events


def decide_resolution(record: RunRecord, command: Resolve) -> Sequence[ev.AnyEvent]:
    """Settling a step by a person's word. `RESOLUTION_INVALID` when there is nothing of that kind to settle."""
    step = record.steps.get(command.step)
    allowed = () if step is None or step.is_abandoned else SETTLED_BY.get(step.state.value, ())
    if step is None or command.resolution not in allowed:
        state = step.state.value if step is not None else "not begun"
        choices = ", ".join(f"--{choice.value.replace('_', '-')}" for choice in allowed)
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
            output=command.output,
            **command.actor.who(),
        )
    ]
    if command.resolution is Resolution.NOT_HAPPENED:
        if not record.may_begin_steps:
            events.append(
                ev.StepFailed(
                    step=step.key,
                    attempt=step.attempt,
                    code=step.code or "STEP_INTERRUPTED",
                    effect=Effect.NONE,
                    error=step.error,
                )
            )
        else:
            events.append(ev.StepResumed(step=command.step, attempt=step.attempt))
    return events
