"""The tables of moves are reached and enforced: nothing stands in them that can't happen, and nothing else happens."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from random import Random

import pytest

from assent.engine.machine._commands import (
    Abort,
    Admit,
    Approve,
    BeginUndo,
    Cancel,
    Command,
    Compensated,
    Compensating,
    EndFinally,
    Failed,
    Finish,
    NotCompensated,
    Receive,
    Reconciled,
    Recover,
    Reject,
    RequestUndo,
    Resolve,
    StepEvent,
    Succeeded,
)
from assent.engine.machine._machine import advance
from assent.engine.record._readiness import FinallyStep, Readiness
from assent.engine.record._record import UNDO_STEP, Phase, RunRecord, Task, begin, evolve
from assent.engine.record._transitions import RUN_TRANSITIONS, STEP_TRANSITIONS
from assent.errors import InputError, InternalError, RefusedError
from assent.spec.events import kinds as ev
from assent.spec.ids import StepKey
from assent.spec.states import Effect, Mode, Resolution, RunState, StepState, Verdict
from tests.support.machine import BOUND, PEOPLE, RUN, denied, question, signal, started

SAME_STATE = (ev.StepUnsettled, ev.StepResumed, ev.CompensationStarted, ev.CompensationFailed)
"""Events about a step that may leave it in the state that it was in."""


def anything(record: RunRecord, key: StepKey, choose: Random, at_ms: int) -> list[Command]:
    """Every kind of command about one step and the run, sensible or not: the machine takes what fits."""
    step, ann = record.steps.get(key), PEOPLE[0]
    attempt = step.attempt if step is not None else 0
    compensation = step.compensation_attempt if step is not None else 0
    asked = question(key, f"{at_ms:064d}")
    kind = choose.choice(["effect", "irreversible"])
    retry = choose.choice([None, at_ms, at_ms])
    effect, verdict = choose.choice(list(Effect)), choose.choice(list(Verdict))
    request = ev.UndoRequested(
        by="a", decision=choose.choice(["ALLOW", "REQUIRE_APPROVAL"]), rule="r", policy="p", risk="LOW"
    )
    undo_asked = question(UNDO_STEP, asked.digest) if request.decision == "REQUIRE_APPROVAL" else None
    answers: list[tuple[StepEvent, ...]] = [(asked,), (asked,), (denied(key),), (ev.StepSkipped(step=key),)]
    answers.append((ev.StepsExpanded(step=key, count=0, items=BOUND),))
    answers.append((ev.WaitStarted(step=key, signal=choose.choice([None, "go"])),))
    if step is not None and step.state is StepState.AWAITING_APPROVAL and step.approval is not None:
        digest = step.approval.request.digest
        voided = ev.ApprovalVoided(step=key, digest=digest, code="APPROVAL_STALE")
        expired = ev.ApprovalRejected(step=key, digest=digest, code="APPROVAL_EXPIRED")
        answers = [(voided, asked), (voided, denied(key)), (expired,)]
    intent = Admit((started(key, step, kind),))
    commands: list[Command] = [
        intent,
        intent,
        intent,
        Admit(choose.choice(answers)),
        Admit(choose.choice(answers)),
        Succeeded(key, attempt, BOUND, Effect.DONE),
        Succeeded(key, attempt, BOUND, Effect.DONE),
        Succeeded(key, attempt, BOUND, Effect.NONE),
        Failed(key, attempt, "F", effect, None, retry, is_alive=choose.random() < 0.3),
        Failed(key, 0, "F", Effect.NONE),
        Reconciled(key, attempt, verdict, choose.random() < 0.3, True, BOUND, retry),
        Approve(ann, None, None),
        Reject(ann, None, None),
        Compensating(key, compensation + 1),
        Compensated(key),
        NotCompensated(key, "COMPENSATION_CONFLICT", None, may_repeat=False),
        Resolve(ann, key, choose.choice(list(Resolution)), BOUND),
        RequestUndo(request, undo_asked),
        BeginUndo(),
        Receive(signal("go", payload=choose.choice([None, BOUND]))),
    ]
    if choose.random() < 0.1:
        commands.append(Cancel(ann))
    # What is rare in a blind walk is offered often: a refusal between two attempts, a person's word about a step in doubt.
    if step is not None and step.task is Task.RECONCILE:
        commands += [Reconciled(key, attempt, Verdict.UNKNOWN, may_repeat=True, retry_at_ms=at_ms)] * 6
    if step is not None and step.retry_at_ms is not None:
        commands += [Admit((denied(key),))] * 6
    if step is not None and step.state is StepState.IN_DOUBT:
        commands += [Resolve(ann, key, Resolution.HAPPENED, BOUND)] * 6
    if record.phase is Phase.DONE:
        commands += [
            RequestUndo(request, undo_asked),
            BeginUndo(),
            Approve(ann, None, None),
            Reject(ann, None, None),
        ] * 4
    if not record.state.is_finished:
        commands.append(Recover(record.state is RunState.NEEDS_ATTENTION))
        steps = record.steps.items()
        read = [
            one
            for one, step in steps
            if step.state is StepState.SUCCEEDED and step.effect is Effect.NONE and step.wait is None
        ]
        if record.phase is Phase.FORWARD and not record.is_stopping:
            commands.append(Recover(retry=False, again=tuple(read)))
    return commands


Move = tuple[str, str, str]


def walk(choose: Random) -> Iterator[Move]:
    """A run under whatever commands come: every move that it, or a step of it, makes."""
    keys = [StepKey("a"), StepKey("b")][: choose.choice([1, 2])]
    created = ev.RunCreated(
        mode=Mode.WORKFLOW,
        principal="user:asks",
        document=BOUND,
        inputs=BOUND,
        policy="p",
        has_finally=choose.random() < 0.3,
    )
    record, shadow = begin(RUN, created, 0), begin(RUN, created, 0)
    last = {StepKey("f"): FinallyStep()} if created.has_finally else {}
    readiness = Readiness(dict.fromkeys(keys, ()), record, last)
    for at_ms in range(1, 40):
        able = keys if record.final is None else [*last]
        command: Command = choose.choice(anything(record, choose.choice(able), choose, at_ms))
        if readiness.is_exhausted and record.phase is Phase.FORWARD and choose.random() < 0.5:
            command = Finish(BOUND) if choose.random() < 0.5 else Abort("F")
        elif readiness.is_exhausted and record.phase is Phase.FINALLY:
            command = EndFinally()
        elif at_ms == 1 and len(keys) == 2 and not created.has_finally and choose.random() < 0.01:
            command = Abort("POLICY_DENIED")  # it may not have its concurrency key
        with suppress(InputError, RefusedError):
            for event in advance(record, readiness, command, at_ms):
                run_was, steps_were = shadow.state, {key: step.state for key, step in shadow.steps.items()}
                evolve(shadow, event, at_ms)
                yield "run", run_was, shadow.state
                for key, step in shadow.steps.items():
                    was = steps_were.get(key, StepState.PENDING)
                    if step.state is not was or (isinstance(event, SAME_STATE) and event.step == key):
                        yield "step", was, step.state


def test_every_transition_in_the_tables_can_be_reached() -> None:
    """A move that nothing leads to is no rule: it leaves its table."""
    left: set[Move] = {("step", was, now) for was, followers in STEP_TRANSITIONS.items() for now in followers}
    left |= {("run", was, now) for was, followers in RUN_TRANSITIONS.items() for now in followers}
    choose = Random(2018)  # One that meets the rarest move early: others need ten times its walks.
    for _ in range(20_000):
        if not left:
            break
        left.difference_update(walk(choose))
    assert left == set()


@pytest.mark.parametrize("target", list(StepState))
def test_an_event_that_no_transition_allows_is_refused(target: StepState) -> None:
    """The tables are enforced: an event that cannot follow is a fault of ours, or a damaged journal, and never folded."""
    created = ev.RunCreated(
        mode=Mode.WORKFLOW, principal="user:asks", document=BOUND, inputs=BOUND, policy="p"
    )
    record = begin(RUN, created, 0)
    evolve(record, ev.StepSkipped(step=StepKey("a")), 1)
    events: dict[StepState, ev.AnyEvent] = {
        StepState.RUNNING: started(StepKey("a"), None, "effect"),
        StepState.SUCCEEDED: ev.StepSucceeded(step=StepKey("a"), attempt=1, output=BOUND),
        StepState.FAILED: ev.StepFailed(step=StepKey("a"), attempt=1, code="F", effect=Effect.NONE),
        StepState.DENIED: denied(StepKey("a")),
        StepState.AWAITING_APPROVAL: question(StepKey("a"), "d"),
        StepState.WAITING: ev.WaitStarted(step=StepKey("a"), due_ms=1),
        StepState.IN_DOUBT: ev.StepInDoubt(step=StepKey("a"), attempt=1, code="EFFECT_UNKNOWN"),
        StepState.COMPENSATING: ev.CompensationStarted(step=StepKey("a"), attempt=1),
        StepState.COMPENSATED: ev.StepCompensated(step=StepKey("a")),
        StepState.COMPENSATION_FAILED: ev.CompensationFailed(step=StepKey("a"), attempt=1, code="C"),
        StepState.SKIPPED: ev.StepSkipped(step=StepKey("a")),
        StepState.PENDING: ev.AttemptFailed(
            step=StepKey("a"), attempt=1, code="F", effect=Effect.NONE, retry_at_ms=1
        ),
    }
    with pytest.raises(InternalError, match=r"cannot go|does not follow"):
        evolve(record, events[target], 2)


@pytest.mark.parametrize("event", [ev.RunUndone(), ev.RunRolledBack(code="C")], ids=lambda event: event.kind)
def test_a_run_that_never_began_to_take_back_cannot_have_taken_back(event: ev.AnyEvent) -> None:
    """The run's own table is enforced like that of its steps."""
    created = ev.RunCreated(
        mode=Mode.WORKFLOW, principal="user:asks", document=BOUND, inputs=BOUND, policy="p"
    )
    record = begin(RUN, created, 0)
    with pytest.raises(InternalError):
        evolve(record, event, 1)
