"""The rules of a run as a pure state machine: `decide(record, command)` gives the events that a command leads to.

Theory of operation. The shell performs effects and reports what came of them as commands; people's wishes are commands too.
`decide` answers with events or refuses with an `AssentError`; it has no clock, no I/O and no randomness (times and jitter arrive
inside commands). `advance` applies the events and then asks `conclude` what follows from the new record by itself: a failure
leads to a rollback once nothing is running, an empty rollback to the end of the run or to its `finally`, a step in doubt to a
person. `step_task`
says what the shell has to do next for one step, `next_compensation` which effect is to be taken back next.

The rules stand by who speaks: `_reports` (the shell), `_interventions` (people), `_conclusions` (what nobody has to say).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from assent.engine.machine._commands import (
    Abort,
    Accessed,
    AddStep,
    Admit,
    Approve,
    BeginUndo,
    Cancel,
    Close,
    Command,
    Compensated,
    Compensating,
    Doubted,
    EndFinally,
    Expire,
    Failed,
    Finish,
    NotCompensated,
    Receive,
    Reconciled,
    Recover,
    Reject,
    RequestUndo,
    Resolve,
    Succeeded,
    TimeOut,
)
from assent.engine.machine._conclusions import conclude, end, end_of_finally
from assent.engine.machine._interventions import (
    decide_approval,
    decide_cancel,
    decide_close,
    decide_resolution,
    decide_signal,
    decide_undo,
    not_a_session,
    session_closed,
)
from assent.engine.machine._reports import decide_access, decide_compensation, decide_report
from assent.engine.record._readiness import Readiness, iterations
from assent.engine.record._record import Phase, RunRecord, StepRecord, Task, evolve, to_take_back
from assent.spec.events import kinds as ev
from assent.spec.ids import StepKey
from assent.spec.states import Mode, RunState, StepState

# See `_record.py` for what a look-up in the class costs.
_FORWARD: Final = Phase.FORWARD
_TAKING_BACK: Final = (Phase.ROLLBACK, Phase.UNDO, Phase.FORWARD)
"""Phases in which there may be a step to take back; on the way forward, one of a session that goes on."""
_RUNNING: Final = StepState.RUNNING


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
                    for key in iterations(event.step, event.count):
                        readiness.observe(record, key)
            elif isinstance(event, ev.FinallyStarted):
                readiness.turn_to_finally(record)
            elif isinstance(event, ev.RunRecovered) and event.again:
                readiness.begin(record)
        events += following
        following = conclude(record)
    return events


def decide(record: RunRecord, command: Command) -> Sequence[ev.AnyEvent]:
    """The events that a command leads to in this record, before anything that follows by itself."""
    match command:
        case Admit():
            return command.events if _may_admit(record, command) else ()
        case Accessed():
            return decide_access(record, command)
        case AddStep():
            return _add_step(record, command.event)
        case Succeeded() | Failed() | Reconciled() | Doubted():
            return decide_report(record, command)
        case Compensating() | Compensated() | NotCompensated():
            return decide_compensation(record, command)
        case Finish():
            return _finish(record, command)
        case EndFinally():
            final = record.final if record.phase is Phase.FINALLY else None
            return [end_of_finally(record, final)] if final is not None and not record.is_stopping else []
        case Abort():
            return _abort(record, command)
        case Approve() | Reject() | Expire():
            return decide_approval(record, command)
        case TimeOut():
            return [ev.RunTimedOut(error=command.error)] if record.may_begin_steps else []
        case Cancel():
            return decide_cancel(record, command)
        case Close():
            return decide_close(record)
        case Recover():
            return [ev.RunRecovered(retry=command.retry, again=command.again)]
        case Receive():
            return decide_signal(record, command.event)
        case RequestUndo():
            return decide_undo(record, command)
        case BeginUndo():
            if not can_begin_undo(record):
                return []
            if command.asked_again is not None:
                return command.asked_again
            return [command.refusal or ev.UndoStarted(keeps=command.keeps)]
        case Resolve():
            return decide_resolution(record, command)
        case _:
            assert_never(command)


def step_task(step: StepRecord) -> Task | None:
    """What the shell has to do for a running step; a gathering one waits for its iterations first."""
    return step.task if step.state is _RUNNING else None


def next_compensation(record: RunRecord) -> StepKey | None:
    """The step whose effect is to be taken back next: one at a time, latest outcome first."""
    return record.rollback[0] if record.rollback and record.phase in _TAKING_BACK else None


def can_begin_undo(record: RunRecord) -> bool:
    """An undo was asked for and nobody has to be asked any more."""
    if record.undo is None or record.undo.is_over or record.phase is not Phase.DONE:
        return False
    approval = record.undo.approval
    return approval.has_quorum if approval is not None else record.undo.request.decision == "ALLOW"


def _may_admit(record: RunRecord, command: Admit) -> bool:
    """Whether an admission still fits: computed before the run stopped, or delivered twice, it does not."""
    if not record.may_begin_steps:
        return False
    event = command.events[0]
    step = record.steps.get(event.step)
    if step is None or step.state is StepState.PENDING:
        return True
    return (
        step.state is StepState.AWAITING_APPROVAL and step.approval is not None and step.approval.has_quorum
    )


def _add_step(record: RunRecord, event: ev.StepAdded) -> Sequence[ev.AnyEvent]:
    if event.step in record.steps:
        return []  # delivered twice
    if record.mode is not Mode.SESSION:
        raise not_a_session(record.run)
    if record.is_closed or not record.may_begin_steps:
        raise session_closed(record.run)
    return [event]


def _finish(record: RunRecord, command: Finish) -> Sequence[ev.AnyEvent]:
    if record.phase is not _FORWARD or record.is_stopping:
        return ()
    return [end(record, RunState.SUCCEEDED, outputs=command.outputs)]


def _abort(record: RunRecord, command: Abort) -> Sequence[ev.AnyEvent]:
    if record.phase is not _FORWARD or record.is_stopping:
        return ()
    if to_take_back(record):
        return [ev.RollbackStarted(code=command.code, error=command.error)]
    return [end(record, RunState.FAILED, code=command.code, error=command.error)]
