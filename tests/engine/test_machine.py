"""Single decisions of the machine: what a close, a doubt, a stop and a failed way back lead to, and what they do not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

import msgspec
import pytest

from assent.engine.machine._commands import (
    Abort,
    Actor,
    Admit,
    Approve,
    BeginUndo,
    Cancel,
    Close,
    Command,
    Compensated,
    Compensating,
    Doubted,
    Failed,
    Finish,
    NotCompensated,
    Recover,
    RequestUndo,
    Resolve,
    Succeeded,
)
from assent.engine.machine._machine import advance
from assent.engine.record._readiness import FinallyStep, Readiness
from assent.engine.record._record import UNDO_STEP, Phase, RunRecord, begin, evolve
from assent.engine.record.projection import changed_rows
from assent.engine.waiting._timers import Timers
from assent.errors import InputError
from assent.spec.events import kinds as ev
from assent.spec.ids import StepKey, iteration_key
from assent.spec.principal import Principal
from assent.spec.states import Effect, Mode, Resolution, RunState, StepState
from tests.support.bodies import FakeClock
from tests.support.machine import BOUND, PEOPLE, REQUESTER, RUN, question, started

A, B = StepKey("a"), StepKey("b")
ASKER = Actor(Principal.parse("user:asks"))


class Driven:
    """A run of two independent steps without a shell: commands in, kinds of events out."""

    def __init__(self, mode: Mode = Mode.WORKFLOW, *, last: Sequence[StepKey] = ()) -> None:
        created = ev.RunCreated(
            mode=mode,
            principal=str(REQUESTER),
            document=BOUND,
            inputs=BOUND,
            policy="p" * 64,
            has_finally=bool(last),
        )
        self.record: RunRecord = begin(RUN, created, 0)
        self._readiness = Readiness({A: [], B: []}, self.record, dict.fromkeys(last, FinallyStep()))
        self._at_ms = 0
        self._told: Sequence[ev.AnyEvent] = ()
        self.told: list[ev.AnyEvent] = []

    def give(self, command: Command) -> list[str]:
        self._at_ms += 1
        self._told = advance(self.record, self._readiness, command, self._at_ms)
        self.told += self._told
        return [event.kind for event in self._told]

    def last(self) -> ev.AnyEvent:
        """The last event of the last command."""
        return self._told[-1]

    def states(self) -> tuple[RunState, StepState]:
        """Of the run, and of its step A."""
        return self.record.state, self.record.steps[A].state

    def start(self, key: StepKey, kind: str = "effect") -> None:
        self.give(Admit((started(key, self.record.steps.get(key), kind),)))
        assert self.record.steps[key].state is StepState.RUNNING

    def succeed(self, key: StepKey, kind: str = "effect") -> list[str]:
        self.start(key, kind)
        return self.give(Succeeded(key, 1, BOUND, Effect.DONE))

    def doubt(self, key: StepKey) -> list[str]:
        self.start(key)
        return self.give(Doubted(key, 1, "CAPABILITY_CHANGED"))

    def fail(self, key: StepKey) -> list[str]:
        self.start(key)
        return self.give(Failed(key, 1, "BROKEN", Effect.NONE))


def test_a_session_is_closed_once_and_only_while_it_goes_forward() -> None:
    """A second close, or one of a run that has ended, is no event."""
    run = Driven(Mode.SESSION)
    assert run.give(Close())[0] == "run.session_closed"
    assert run.give(Close()) == []
    ended = Driven(Mode.SESSION)
    assert ended.give(Cancel(ASKER)) == ["run.cancel_requested", "run.cancelled"]
    assert ended.record.phase is Phase.DONE
    assert ended.give(Close()) == []


class StoppedClock(FakeClock):
    """Shows what a test sets."""

    def now_ms(self) -> int:
        return 1_800_000_000_000 + self.ms

    def monotonic_ms(self) -> int:
        return 5_000 + self.ms


async def test_a_moment_has_come_in_its_very_millisecond_and_not_before() -> None:
    """An answer to a question is in time until then."""
    clock = StoppedClock()
    timers = Timers(clock, lambda _run: None)
    now = clock.now_ms()
    assert timers.is_due(RUN, B, set_ms=now - 10, due_ms=now)
    assert not timers.is_due(RUN, A, set_ms=now, due_ms=now + 10)
    clock.ms = 9
    assert not timers.is_due(RUN, A, set_ms=now, due_ms=now + 10)
    clock.ms = 10
    assert timers.is_due(RUN, A, set_ms=now, due_ms=now + 10)
    timers.stop()


def test_a_doubt_calls_a_person_once_nothing_moves() -> None:
    """In a workflow; while another step runs, nobody is called yet."""
    run = Driven()
    run.start(B)
    assert run.doubt(A) == ["step.in_doubt"]
    assert run.give(Succeeded(B, 1, BOUND, Effect.DONE)) == ["step.succeeded", "run.needs_attention"]
    assert run.last() == ev.RunNeedsAttention(code="CAPABILITY_CHANGED", step=A)


def test_a_doubt_in_a_session_waits_for_its_close() -> None:
    """An open session goes on with other calls; a closed one can't end with it."""
    run = Driven(Mode.SESSION)
    assert run.doubt(A) == ["step.in_doubt"]
    assert run.succeed(B) == ["step.succeeded"]
    assert run.give(Close()) == ["run.session_closed", "run.needs_attention"]
    closed = Driven(Mode.SESSION)
    closed.start(A)
    closed.give(Close())
    assert closed.give(Doubted(A, 1, "EFFECT_UNKNOWN")) == ["step.in_doubt", "run.needs_attention"]


def test_a_stop_beside_a_doubt_calls_a_person_once_and_goes_on_when_it_is_settled() -> None:
    run = Driven(Mode.SESSION)
    run.doubt(A)
    assert run.give(Cancel(ASKER)) == ["run.cancel_requested", "run.needs_attention"]
    assert run.give(Resolve(ASKER, A, Resolution.NOT_HAPPENED)) == [
        "step.resolved",
        "step.failed",
        "run.cancelled",
    ]
    called = Driven()
    assert called.doubt(A) == ["step.in_doubt", "run.needs_attention"]
    assert called.give(Cancel(ASKER)) == ["run.cancel_requested"], "a person is called already"


def test_a_failure_ends_a_run_that_left_nothing_and_rolls_back_one_that_did() -> None:
    nothing = Driven()
    assert nothing.fail(A) == ["step.failed", "run.failed"]
    assert nothing.record.failure_code == "BROKEN"
    something = Driven()
    something.succeed(A)
    assert something.fail(B) == ["step.failed", "run.rollback_started"]
    assert something.give(Compensating(A, 1)) == ["compensation.started"]
    assert something.give(Compensated(A)) == ["compensation.succeeded", "run.rolled_back"]


def test_outputs_that_cannot_be_computed_take_back_what_there_is() -> None:
    nothing = Driven()
    nothing.start(A, "read")
    nothing.give(Succeeded(A, 1, BOUND, Effect.NONE))
    assert nothing.give(Abort("EXPRESSION_FAILED")) == ["run.failed"]
    something = Driven()
    something.succeed(A)
    assert something.give(Abort("EXPRESSION_FAILED")) == ["run.rollback_started"]
    assert something.record.phase is Phase.ROLLBACK


def test_a_new_owner_goes_on_with_what_needs_a_person_only_when_one_says_so() -> None:
    called = Driven()
    called.doubt(A)
    assert called.give(Recover(retry=False)) == ["run.recovered"], "a person is called already"
    assert called.states() == (RunState.NEEDS_ATTENTION, StepState.IN_DOUBT)
    called.give(Recover(retry=True))
    assert called.states() == (RunState.RUNNING, StepState.RUNNING)


def test_a_stop_voids_a_question_that_is_open() -> None:
    """Nobody is asked about what will not be done."""
    run = Driven()
    run.give(Admit((question(B, "d" * 64),)))
    assert run.fail(A) == ["step.failed", "approval.voided", "run.failed"]


def test_a_stop_fails_what_waits_for_another_attempt() -> None:
    """What its last attempt left has to be taken back as well."""
    run = Driven()
    run.start(B)
    assert run.give(Failed(B, 1, "SLOW", Effect.NONE, retry_at_ms=99)) == ["step.attempt_failed"]
    assert run.record.steps[B].state is StepState.PENDING
    assert run.give(Cancel(ASKER)) == ["run.cancel_requested", "step.failed", "run.cancelled"]


@pytest.mark.parametrize("is_cancelled", [False, True])
def test_a_stop_ends_a_step_that_gathers_with_its_iterations(*, is_cancelled: bool) -> None:
    """It says why: one of them failed, or somebody cancelled. No attempt of its own was made."""
    run = Driven()
    run.give(Admit((ev.StepsExpanded(step=A, count=2, items=BOUND),)))
    run.start(iteration_key(A, 0))
    if is_cancelled:
        run.give(Cancel(ASKER))
    run.give(Failed(iteration_key(A, 0), 1, "BROKEN", Effect.NONE))
    code = "RUN_CANCELLED" if is_cancelled else "ITERATION_FAILED"
    assert ev.StepFailed(step=A, attempt=0, code=code, effect=Effect.NONE) in run.told


def test_what_has_no_way_back_calls_a_person_who_may_give_it_up() -> None:
    """Then the run has failed; it is not rolled back, because something stays."""
    run = Driven()
    run.succeed(A, "irreversible")
    assert run.fail(B) == [
        "step.failed",
        "run.rollback_started",
        "compensation.failed",
        "run.needs_attention",
    ]
    assert run.record.steps[A].code == "UNDO_IMPOSSIBLE"
    assert run.give(Resolve(ASKER, A, Resolution.ABANDON)) == ["step.resolved", "run.failed"]


@pytest.mark.parametrize(
    ("is_cancelled", "resolution", "last"),
    [
        (False, Resolution.COMPENSATED, "run.rolled_back"),
        (False, Resolution.ABANDON, "run.failed"),
        (True, Resolution.COMPENSATED, "run.cancelled"),
        (True, Resolution.ABANDON, "run.cancelled"),
    ],
)
def test_a_way_back_that_failed_ends_as_a_person_settles_it(
    *, is_cancelled: bool, resolution: Resolution, last: str
) -> None:
    run = Driven()
    run.succeed(A)
    if is_cancelled:
        run.give(Cancel(ASKER))
    else:
        run.fail(B)
    assert run.last() == ev.RollbackStarted(code="RUN_CANCELLED" if is_cancelled else "BROKEN")
    run.give(Compensating(A, 1))
    failed = NotCompensated(A, "BUSY", None, may_repeat=False)
    assert run.give(failed) == ["compensation.failed", "run.needs_attention"]
    assert run.last() == ev.RunNeedsAttention(code="BUSY", step=A)
    assert run.record.failure_code == (None if is_cancelled else "BROKEN")
    assert run.record.state is RunState.NEEDS_ATTENTION
    assert run.give(Resolve(ASKER, A, resolution)) == ["step.resolved", last]


@pytest.mark.parametrize("is_partial", [False, True])
def test_an_undo_ends_undone_and_says_when_it_was_in_part(*, is_partial: bool) -> None:
    """Because that was asked for, or because a person gave a step up."""
    run = finished()
    run.give(RequestUndo(wish(partial=is_partial)))
    run.give(BeginUndo())
    assert run.record.phase is Phase.UNDO
    run.give(Compensating(A, 1))
    assert run.give(Compensated(A)) == ["compensation.succeeded", "run.undone"]
    assert run.last() == ev.RunUndone(partial=is_partial)
    given_up = finished()
    given_up.give(RequestUndo(wish(partial=False)))
    given_up.give(BeginUndo())
    given_up.give(Compensating(A, 1))
    given_up.give(NotCompensated(A, "BUSY", None, may_repeat=False))
    assert given_up.give(Resolve(ASKER, A, Resolution.ABANDON)) == ["step.resolved", "run.undone"]
    assert given_up.last() == ev.RunUndone(partial=True)


def test_an_undo_asks_people_or_is_refused_as_the_gate_says() -> None:
    asked = finished()
    assert asked.give(RequestUndo(wish(partial=False), question(UNDO_STEP, "d" * 64))) == [
        "run.undo_requested",
        "approval.requested",
    ]
    no = msgspec.structs.replace(wish(partial=False), decision="DENY", code="POLICY_ERROR")
    denied = finished()
    assert denied.give(RequestUndo(no)) == ["run.undo_requested", "run.undo_refused"]
    assert denied.last() == ev.UndoRefused(code="POLICY_ERROR")


@pytest.mark.parametrize(("key", "about"), [(A, "step `a` of run"), (None, "run")])
def test_an_answer_to_nothing_is_refused(key: StepKey | None, about: str) -> None:
    with pytest.raises(InputError) as caught:
        Driven().give(Approve(PEOPLE[0], key, None))
    assert (caught.value.code, caught.value.message) == (
        "APPROVAL_NOT_OPEN",
        f"{about} `{RUN}` does not wait for an approval",
    )


def test_a_step_that_was_passed_over_stays_so_when_that_is_doubted() -> None:
    """Nothing happened, whoever wrote it; a question that is doubted beside it is asked again."""
    run = Driven()
    run.give(Admit((ev.StepSkipped(step=A),)))
    run.give(Admit((question(B, "d" * 64),)))
    evolve(run.record, ev.RunDoubted(start=1), 2)
    assert run.states() == (RunState.RUNNING, StepState.SKIPPED)
    assert run.record.steps[B].state is StepState.PENDING


def finished() -> Driven:
    """A run that succeeded, with one effect."""
    run = Driven()
    run.succeed(A)
    run.give(Admit((ev.StepSkipped(step=B),)))
    assert run.give(Finish(BOUND)) == ["run.succeeded"]
    return run


def wish(*, partial: bool) -> ev.UndoRequested:
    """The wish to undo, which the policy allows."""
    return ev.UndoRequested(
        by="user:asks", partial=partial, decision="ALLOW", rule="r", policy="p", risk="MEDIUM"
    )


def _rolled_back() -> Driven:
    run = Driven()
    run.succeed(A)
    run.fail(B)
    run.give(Compensating(A, 1))
    run.give(Compensated(A))
    assert run.record.state is RunState.ROLLED_BACK
    return run


def test_an_undo_that_was_asked_for_twice_names_the_open_question() -> None:
    run = finished()
    run.give(RequestUndo(wish(partial=False), question(UNDO_STEP, "d" * 64)))
    with pytest.raises(InputError, match="asked for already") as refused:
        run.give(RequestUndo(wish(partial=False), question(UNDO_STEP, "d" * 64)))
    assert refused.value.code == "RUN_NOT_UNDOABLE"
    assert f"assent approve {run.record.run} {UNDO_STEP}" in str(refused.value.hint)


def _undone() -> Driven:
    run = Driven()
    run.succeed(A)
    run.succeed(B)
    run.give(Finish(BOUND))
    asked = ev.UndoRequested(decision="REQUIRE_APPROVAL", risk="HIGH", rule="r", policy="p", by="user:ann")
    run.give(RequestUndo(asked, question(UNDO_STEP, "d" * 64)))
    run.give(Approve(PEOPLE[0], UNDO_STEP, "d" * 64))
    run.give(BeginUndo(None))
    for key in (B, A):
        run.give(Compensating(key, 1))
        run.give(Compensated(key))
    assert run.record.state is RunState.UNDONE
    return run


def _approved(mode: Mode) -> Driven:
    run = Driven(mode)
    run.give(Admit((question(A, "d" * 64),)))
    run.give(Approve(PEOPLE[0], A, "d" * 64))
    run.succeed(A)
    run.doubt(B)
    run.give(Resolve(PEOPLE[0], B, Resolution.NOT_HAPPENED))
    run.give(Cancel(ASKER))
    return run


@pytest.mark.parametrize(
    "made",
    [_rolled_back, _undone, lambda: _approved(Mode.WORKFLOW), lambda: _approved(Mode.SESSION)],
    ids=["rolled back", "undone", "a workflow", "a session"],
)
def test_nothing_that_was_accepted_without_proof_is_believed(made: Callable[[], Driven]) -> None:
    """Whatever the run had come to, and from whichever event on: begun steps are in doubt, answers void, and a person goes on."""
    told = made().told
    for length in range(1, len(told) + 1):
        for start in range(length + 1):
            run = Driven(made().record.mode)
            record = run.record
            for event in told[:length]:
                evolve(record, event, 1)
            evolve(record, ev.RunDoubted(start=start), 2)
            doubted = [event for event in told[max(start - 1, 0) : length] if event.kind[:4] != "run."]
            spoken = {StepKey(str(event.step)) for event in doubted if hasattr(event, "step")}
            for key in spoken & record.steps.keys():
                step = record.steps[key]
                assert (step.state is StepState.IN_DOUBT) == (step.intent is not None), (length, start)
                assert step.approval is None or step.approval.status not in ("pending", "granted")
            assert record.undo is None or record.undo.is_over
            questions = [step.approval for step in record.steps.values()]
            questions += [record.undo.approval] if record.undo is not None else []
            written = {row.key[1:] for row in changed_rows(record) if row.table == "approvals"}
            assert written == {(one.request.step, one.request.digest) for one in questions if one is not None}
            counted = {state: count for state, count in record.counts.items() if count}
            assert counted == Counter(step.state for step in record.steps.values())
            if record.phase is Phase.DONE:
                assert not spoken & record.steps.keys()
                continue
            run.give(Recover(retry=False))
            for step in record.steps.values():
                if step.state is StepState.IN_DOUBT:
                    run.give(Resolve(PEOPLE[0], step.key, Resolution.HAPPENED, BOUND))
            run.give(Recover(retry=True))
