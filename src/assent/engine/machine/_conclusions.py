"""What follows from a record by itself: a failure leads to a rollback once nothing runs, a step in doubt to a person.

However the steps of a run end, that is where those of its `finally` begin: `end` is the only way to the end of a run that was not
undone, and leads there once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from assent.engine.record._record import (
    RUN_CANCELLED,
    FinallyRecord,
    Phase,
    RunRecord,
    StepRecord,
    to_take_back,
)
from assent.errors import InternalError
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment
from assent.spec.states import Effect, Mode, RunState, StepState, Undo

# Asked after each event; see `_record.py` for what a look-up in the class costs.
_FORWARD: Final = Phase.FORWARD
_FINALLY: Final = Phase.FINALLY
_DONE: Final = Phase.DONE
_IN_DOUBT: Final = StepState.IN_DOUBT


def conclude(record: RunRecord) -> Sequence[ev.AnyEvent]:
    """What follows from the record by itself; empty when the next move is the shell's or a person's."""
    if record.phase is _FORWARD or record.phase is _FINALLY:
        return _conclude_forward(record)
    return () if record.phase is _DONE else _conclude_taking_back(record)


def _conclude_forward(record: RunRecord) -> Sequence[ev.AnyEvent]:
    in_doubt = record.has(_IN_DOUBT)
    if not in_doubt and not record.is_stopping:
        failed = _not_taken_back(record) if record.is_closed and not record.rollback else []
        if failed and record.state is not RunState.NEEDS_ATTENTION:
            # One that was to be taken back alone: as long as the session was open, whoever calls in it could try again.
            return [_asks_about(failed[0])]
        return _hear(record) if record.signals and record.waiting else ()
    if record.is_moving or record.rollback:
        return ()
    if not record.is_stopping:
        asks = record.mode is Mode.WORKFLOW or record.is_closed
        if asks and record.state is not RunState.NEEDS_ATTENTION:
            return [_needs_attention(record)]
        return ()
    if record.waiting:
        code = RUN_CANCELLED if record.is_cancelled else "RUN_STOPPED"
        return [ev.StepFailed(step=key, attempt=0, code=code, effect=Effect.NONE) for key in record.waiting]
    gathering = [step for step in record.steps.values() if step.state is StepState.RUNNING]
    if gathering:
        # A stopping run's `foreach` steps end with it once none of their iterations runs any more.
        code = RUN_CANCELLED if record.is_cancelled else "ITERATION_FAILED"
        return [ev.StepFailed(step=step.key, attempt=0, code=code, effect=Effect.NONE) for step in gathering]
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
    unsettled = [
        ev.StepFailed(
            step=step.key, attempt=step.attempt, code=step.code, effect=step.effect, error=step.error
        )
        for step in record.steps.values()
        if step.state is StepState.PENDING and step.code is not None
    ]
    if unsettled:
        # They waited for another attempt that will not come; what the last one left has to be taken back as well.
        return unsettled
    if in_doubt:
        if record.state is RunState.NEEDS_ATTENTION:
            return ()
        return [_needs_attention(record)]
    if record.final is not None:
        return [end_of_finally(record, record.final)]
    if to_take_back(record):
        return [ev.RollbackStarted(code=_code(record))]
    return [end(record, RunState.CANCELLED if record.is_cancelling else RunState.FAILED)]


def end(
    record: RunRecord,
    outcome: RunState,
    *,
    code: str | None = None,
    error: Commitment | None = None,
    outputs: Commitment | None = None,
) -> ev.AnyEvent:
    """The event with which the steps of a run have ended: the run's own end, or the beginning of its `finally`.

    `code` and `error` where no step failed; `outputs` of one that succeeded. A run of which no step had begun has nothing to end:
    it may never have had its turn, or the key that its steps need.
    """
    if outcome is not RunState.SUCCEEDED:
        code = code or _code(record)
    if record.created.has_finally and record.final is None and record.has_begun:
        return ev.FinallyStarted(outcome=outcome, code=code, error=error, outputs=outputs)
    return _end_as(record, outcome, code=code, error=error, outputs=outputs)


def end_of_finally(record: RunRecord, final: FinallyRecord) -> ev.AnyEvent:
    """The run's end, which its steps have decided: only one that had succeeded fails when a step of `finally` did."""
    body = final.started
    if body.outcome is RunState.SUCCEEDED and final.code is not None:
        return ev.RunFailed(code=final.code, step=final.step, error=final.error)
    return _end_as(record, body.outcome, code=body.code, error=None, outputs=body.outputs)


def _end_as(
    record: RunRecord,
    outcome: RunState,
    *,
    code: str | None,
    error: Commitment | None,
    outputs: Commitment | None,
) -> ev.AnyEvent:
    match outcome:
        case RunState.SUCCEEDED if outputs is not None:
            return ev.RunSucceeded(outputs=outputs)
        case RunState.CANCELLED:
            return ev.RunCancelled()
        case RunState.ROLLED_BACK if code is not None:
            return ev.RunRolledBack(code=code, step=record.failed_step)
        case RunState.FAILED if code is not None:
            return ev.RunFailed(code=code, step=record.failed_step, error=error)
        case _:
            raise InternalError("ILLEGAL_TRANSITION", f"no run ends as `{outcome}`, with the code `{code}`")


def _code(record: RunRecord) -> str:
    return RUN_CANCELLED if record.is_cancelling else record.failure_code or "STEP_FAILED"


def _hear(record: RunRecord) -> Sequence[ev.AnyEvent]:
    """The step that has waited longest for a signal that came ends with it."""
    for key in record.waiting:
        wait = record.steps[key].wait
        signal = next((one for one in record.signals if wait is not None and one.name == wait.signal), None)
        if signal is not None:
            return [ev.StepSucceeded(step=key, attempt=0, output=signal.payload, effect=Effect.NONE)]
    return ()


def _not_taken_back(record: RunRecord) -> list[StepRecord]:
    return [
        step
        for step in record.steps.values()
        if step.state is StepState.COMPENSATION_FAILED and not step.is_abandoned
    ]


def _asks_about(failed: StepRecord) -> ev.AnyEvent:
    return ev.RunNeedsAttention(code=failed.code or "COMPENSATION_FAILED", step=failed.key)


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
    failed = _not_taken_back(record)
    if failed:
        return () if record.state is RunState.NEEDS_ATTENTION else [_asks_about(failed[0])]
    if record.phase is Phase.UNDO:
        asked = record.undo is not None and record.undo.request.partial
        return [ev.RunUndone(partial=asked or _was_abandoned(record))]
    if record.is_cancelling:
        return [end(record, RunState.CANCELLED)]
    return [end(record, RunState.FAILED if _was_abandoned(record) else RunState.ROLLED_BACK)]


def _was_abandoned(record: RunRecord) -> bool:
    return any(step.is_abandoned for step in record.steps.values())


def _needs_attention(record: RunRecord) -> ev.RunNeedsAttention:
    step = next(step for step in record.steps.values() if step.state is StepState.IN_DOUBT)
    return ev.RunNeedsAttention(code=step.code or "EFFECT_UNKNOWN", step=step.key)
