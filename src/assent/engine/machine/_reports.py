"""What follows from the shell's reports: an effect succeeded, failed, could be told or could not, was taken back or was not.

A report about an attempt that is already settled changes nothing: commands may arrive twice.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, assert_never

from assent.engine.machine._commands import (
    Accessed,
    Compensated,
    Compensating,
    Doubted,
    Failed,
    NotCompensated,
    Reconciled,
    Succeeded,
)
from assent.engine.record._record import RunRecord, StepRecord, Task
from assent.errors import InputError
from assent.spec.events import kinds as ev
from assent.spec.ids import StepKey
from assent.spec.states import Effect, StepState, Undo, Verdict

COMPENSATION_ATTEMPTS_MAX: Final = 3
"""How often one compensation is tried before a person is asked."""

_RUNNING: Final = StepState.RUNNING  # see `_record.py` for what a look-up in the class costs


def decide_report(
    record: RunRecord, report: Succeeded | Failed | Reconciled | Doubted
) -> Sequence[ev.AnyEvent]:
    """What became of an attempt of a step."""
    step = record.steps.get(report.step)
    if isinstance(report, Failed) and report.attempt == 0:
        return _not_begun(record, step, report)
    if step is None or not _is_expected(record, step, report):
        return ()
    match report:
        case Succeeded():
            return [
                ev.StepSucceeded(
                    step=report.step,
                    attempt=report.attempt,
                    output=report.output,
                    effect=report.effect,
                    served=report.served,
                    sent=report.sent,
                    keeps=report.keeps,
                    inner=report.inner,
                )
            ]
        case Failed():
            return _fail(record, step, report)
        case Reconciled():
            return _reconcile(record, step, report)
        case Doubted():
            return [ev.StepInDoubt(step=report.step, attempt=report.attempt, code=report.code)]
        case _:
            assert_never(report)


def decide_access(record: RunRecord, access: Accessed) -> Sequence[ev.AnyEvent]:
    """Secrets that a call asked for, and its requests. A call whose attempt is settled gets none: `InputError` CALL_ENDED."""
    first = access.events[0]
    step = record.steps.get(first.step)
    under_way = (StepState.RUNNING, StepState.COMPENSATING)
    if step is None or step.state not in under_way or step.attempt != first.attempt:
        raise call_ended(first.step)
    return access.events


def call_ended(step: StepKey) -> InputError:
    """What a call is told that asks for something although it is over."""
    return InputError(
        "CALL_ENDED",
        f"the call of step `{step}` has ended and gets no secret, and sends no request",
        hint="a thread that outlives its call can't ask for more",
    )


def _is_expected(
    record: RunRecord, step: StepRecord, report: Succeeded | Failed | Reconciled | Doubted
) -> bool:
    if step.state is _RUNNING:
        if step.intent is not None and step.attempt != report.attempt:
            return False
        match report:
            case Failed():
                return step.task is Task.EXECUTE
            case Reconciled():
                return step.task is Task.RECONCILE
            case _:
                return True  # an outcome that is known ends the asking as well
    if step.wait is not None and step.state is StepState.WAITING:
        return isinstance(report, Succeeded) and step.wait.signal is None and not record.is_stopping
    # An `approval` step passes without an attempt: the answer itself is its outcome.
    asked = step.approval if step.state is StepState.AWAITING_APPROVAL else None
    is_answer = asked is not None and asked.has_quorum and step.intent is None
    return is_answer and isinstance(report, Succeeded) and not record.is_stopping


def _not_begun(record: RunRecord, step: StepRecord | None, report: Failed) -> Sequence[ev.AnyEvent]:
    """A step that could not begin, or a `foreach` step whose outputs can't be kept. Nothing happened now."""
    if not record.may_begin_steps:
        return ()
    waits = (StepState.PENDING, StepState.AWAITING_APPROVAL, StepState.WAITING)
    if step is not None and step.state not in waits and step.task is not Task.GATHER:
        return ()
    # What an earlier attempt may have left is still there.
    effect = step.effect if step is not None else Effect.NONE
    return [ev.StepFailed(step=report.step, attempt=0, code=report.code, effect=effect, error=report.error)]


def _fail(record: RunRecord, step: StepRecord, report: Failed) -> Sequence[ev.AnyEvent]:
    if report.effect is Effect.UNKNOWN:
        if report.is_alive:
            # Nothing is taken back under a living effect, and nobody can say when it ends.
            return [ev.StepInDoubt(step=report.step, attempt=report.attempt, code=report.code)]
        return [
            ev.StepUnsettled(
                step=report.step,
                attempt=report.attempt,
                code=report.code,
                error=report.error,
                sent=report.sent,
            )
        ]
    effect = _with_older(step, report.effect)
    if report.effect is Effect.NONE and report.retry_at_ms is not None and not record.is_stopping:
        return [
            ev.AttemptFailed(
                step=report.step,
                attempt=report.attempt,
                code=report.code,
                effect=effect,
                error=report.error,
                retry_at_ms=report.retry_at_ms,
                sent=report.sent,
                begun=report.begun,
            )
        ]
    if effect is Effect.UNKNOWN and record.final is not None:
        return [ev.StepInDoubt(step=report.step, attempt=report.attempt, code=report.code)]
    return [
        ev.StepFailed(
            step=report.step,
            attempt=report.attempt,
            code=report.code,
            effect=effect,
            error=report.error,
            sent=report.sent,
            begun=report.begun,
            inner=report.inner,
        )
    ]


def _reconcile(record: RunRecord, step: StepRecord, report: Reconciled) -> Sequence[ev.AnyEvent]:
    answer = ev.StepReconciled(
        step=report.step,
        attempt=report.attempt,
        verdict=report.verdict,
        foreign=report.foreign,
        repeatable=report.repeatable,
    )
    code = step.code or "STEP_INTERRUPTED"
    if report.verdict is Verdict.YES and report.output is not None:
        done = ev.StepSucceeded(
            step=report.step, attempt=report.attempt, output=report.output, served=report.served
        )
        return [answer, done]
    # Running the intent again over somebody else's change would overwrite it, whatever became of ours.
    is_repeatable = not report.foreign and (
        report.verdict is Verdict.NO or (report.verdict is Verdict.UNKNOWN and report.may_repeat)
    )
    if not is_repeatable:
        return [answer, ev.StepInDoubt(step=report.step, attempt=report.attempt, code="EFFECT_UNKNOWN")]
    effect = _with_older(step, Effect.NONE if report.verdict is Verdict.NO else Effect.UNKNOWN)
    if not record.is_stopping and step.was_interrupted and not report.begins_anew:
        return [answer, ev.StepResumed(step=report.step, attempt=report.attempt)]
    if not record.is_stopping and report.retry_at_ms is not None:
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
    has_no_undo = step.intent is not None and step.intent.undo is Undo.NONE and not record.is_stopping
    if effect is Effect.UNKNOWN and (has_no_undo or record.final is not None):
        # A rollback could take nothing of it back, and only be stuck with it; after the steps of `finally` none comes. In doubt,
        # `resume` has it tried again.
        return [answer, ev.StepInDoubt(step=report.step, attempt=report.attempt, code=code)]
    return [
        answer,
        ev.StepFailed(step=step.key, attempt=report.attempt, code=code, effect=effect, error=step.error),
    ]


def _with_older(step: StepRecord, effect: Effect) -> Effect:
    """What is known of the step's effect: an attempt without one does not settle what an earlier attempt left open."""
    return Effect.UNKNOWN if effect is Effect.NONE and step.has_older_effect else effect


def decide_compensation(
    record: RunRecord, report: Compensating | Compensated | NotCompensated
) -> Sequence[ev.AnyEvent]:
    """What became of taking a step's effect back."""
    step = record.steps.get(report.step)
    if step is None or report.step not in record.rollback:
        return ()
    if not isinstance(report, Compensating) and step.state is not StepState.COMPENSATING:
        return ()
    match report:
        case Compensating():
            if report.attempt != step.compensation_attempt + 1:
                return ()
            return [ev.CompensationStarted(step=report.step, attempt=report.attempt)]
        case Compensated():
            return [ev.StepCompensated(step=report.step, counted=report.counted)]
        case NotCompensated():
            if report.may_repeat and step.compensation_attempt < COMPENSATION_ATTEMPTS_MAX:
                return ()
            return [
                ev.CompensationFailed(
                    step=report.step,
                    attempt=step.compensation_attempt,
                    code=report.code,
                    error=report.error,
                    counted=report.counted,
                )
            ]
        case _:
            assert_never(report)
