"""The machine under whatever order of results, wishes and crashes, against an oracle that knows only what was asked and answered.

The shell is played by the rules below: it admits ready steps, reports outcomes, answers reconciliation, takes effects back. The
oracle is a `World` of counters: which effects may be there, which were taken back. It reads no engine state except what the shell
itself would look at.
"""

from __future__ import annotations

import copy
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count

from hypothesis import note, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)
from msgspec.structs import replace

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
    EndFinally,
    Expire,
    Failed,
    Finish,
    NotCompensated,
    Reconciled,
    Recover,
    Reject,
    RequestUndo,
    Resolve,
    Succeeded,
)
from assent.engine.machine._interventions import is_undoable
from assent.engine.machine._machine import advance, can_begin_undo, next_compensation, step_task
from assent.engine.record._readiness import FinallyStep, Readiness
from assent.engine.record._record import UNDO_STEP, Phase, RunRecord, StepRecord, Task, begin, evolve
from assent.engine.record.projection import RunProjector, changed_rows
from assent.errors import InputError, RefusedError
from assent.spec.events import kinds as ev
from assent.spec.ids import StepKey
from assent.spec.states import Effect, Mode, Resolution, RunState, StepState, Verdict
from tests.support.machine import BOUND, PEOPLE, REQUESTER, RUN, denied, question, started
from tests.support.properties import holds
from tests.support.seeds import examples

PARKED = {StepState.COMPENSATION_FAILED, StepState.IN_DOUBT}
ENDED_BADLY = {RunState.ROLLED_BACK, RunState.FAILED, RunState.CANCELLED}


@dataclass
class World:
    """What is really so: effects that are or may be there, how often each was taken back, what people took upon themselves.

    `older`: those of which an attempt before the current one may have left something, whatever the current one does.
    """

    maybe: set[StepKey] = field(default_factory=set)
    older: set[StepKey] = field(default_factory=set)
    taken_back: Counter[StepKey] = field(default_factory=Counter)
    vouched: set[StepKey] = field(default_factory=set)
    irreversible: set[StepKey] = field(default_factory=set)
    reads: set[StepKey] = field(default_factory=set)


@holds("compensation", "projections")
class MachineRules(RuleBasedStateMachine):
    """One run, from its first event to wherever the rules lead it."""

    record: RunRecord

    @initialize(
        shape=st.lists(st.lists(st.integers(0, 4), max_size=2), min_size=1, max_size=5),
        mode=st.sampled_from([Mode.WORKFLOW, Mode.WORKFLOW, Mode.SESSION]),
        kinds=st.lists(st.sampled_from(["effect", "effect", "read", "irreversible"]), min_size=8, max_size=8),
        last=st.lists(st.sampled_from(["needs", "after", "alone"]), max_size=3),
    )
    def start(self, shape: list[list[int]], mode: Mode, kinds: list[str], last: list[str]) -> None:
        keys = [StepKey(f"s{index}") for index in range(len(shape))]
        self.dependencies = {
            key: sorted({keys[other] for other in needed if other < index})
            for index, (key, needed) in enumerate(zip(keys, shape, strict=True))
        }
        self.finally_steps: dict[StepKey, FinallyStep] = {}
        if mode is Mode.SESSION:
            self.dependencies = {key: [] for key in keys}
        else:
            for how in last:
                before = list(self.finally_steps)[-1:]
                waits = FinallyStep(before if how == "needs" else (), before if how == "after" else ())
                self.finally_steps[StepKey(f"f{len(self.finally_steps)}")] = waits
        keys += self.finally_steps
        self.kinds = dict(zip(keys, kinds, strict=False))
        self.world = World()
        self.world.irreversible = {key for key in keys if self.kinds[key] == "irreversible"}
        self.world.reads = {key for key in keys if self.kinds[key] == "read"}
        self.ticks = count(1)
        created = ev.RunCreated(
            mode=mode,
            principal=str(REQUESTER),
            document=BOUND,
            inputs=BOUND,
            policy="p" * 64,
            has_finally=bool(self.finally_steps),
        )
        self.record, self.shadow = begin(RUN, created, 0), begin(RUN, created, 0)
        self.leaves = [ev.Leaf(v=1, seq=0, at_ms=0, run=RUN, n=0, event=created)]
        self.rows = {(row.table, *row.key): row for row in changed_rows(self.record)}
        self.readiness = Readiness(self.dependencies, self.record, self.finally_steps)

    def give(self, command: Command) -> bool:
        """Deliver a command, keep what became durable, and then deliver it once more: that must change nothing."""
        at_ms = next(self.ticks)
        try:
            events = advance(self.record, self.readiness, command, at_ms)
        except (InputError, RefusedError):
            return False
        note(f"{command} -> {[event.kind for event in events]}")
        for event in events:
            self.leaves.append(
                ev.Leaf(v=1, seq=len(self.leaves), at_ms=at_ms, run=RUN, n=len(self.leaves), event=event)
            )
        for row in changed_rows(self.record):
            self.rows[(row.table, *row.key)] = row
        for event in events:
            evolve(self.shadow, event, at_ms)
        self._again(command)
        return bool(events)

    def _again(self, command: Command) -> None:
        if isinstance(command, Recover):
            return  # a second owner really takes over a second time; that is an event of its own
        if isinstance(command, NotCompensated) and command.step in self.record.rollback:
            return  # it led to no event: it says that the same compensation is tried once more
        if isinstance(command, RequestUndo):
            return  # a second wish after a refusal is a wish of its own
        copied = copy.deepcopy((self.record, self.readiness))
        with suppress(InputError, RefusedError):
            assert advance(copied[0], copied[1], command, 0) == [], command

    def digest(self) -> str:
        return f"{len(self.leaves):064d}"

    def running(self, task: Task) -> list[StepRecord]:
        return [step for step in self.record.steps.values() if step_task(step) is task]

    def admissible(self) -> list[StepKey]:
        if not self.record.may_begin_steps:
            return []
        steps = self.record.steps
        again = [
            key
            for key, step in steps.items()
            if (step.state is StepState.PENDING and step.retry_at_ms is not None)
            or (
                step.state is StepState.AWAITING_APPROVAL
                and step.approval is not None
                and step.approval.has_quorum
            )
        ]
        return [*self.readiness.ready, *again]

    @precondition(lambda self: self.admissible())
    @rule(
        data=st.data(),
        what=st.sampled_from(["start"] * 5 + ["ask", "ask_two", "deny", "skip", "fail"]),
    )
    def admit(self, data: st.DataObject, what: str) -> None:
        key = data.draw(st.sampled_from(self.admissible()), label="step")
        step = self.record.steps.get(key)
        is_new = step is None or (step.attempt == 0 and step.approval is None)
        has_grant = step is not None and step.state is StepState.AWAITING_APPROVAL
        if what == "skip" and is_new:
            command: Command = Admit((ev.StepSkipped(step=key),))
        elif what == "deny":
            command = Admit((denied(key),))
        elif what.startswith("ask"):
            voided: tuple[ev.ApprovalVoided, ...] = ()
            if has_grant and step is not None and step.approval is not None:
                digest = step.approval.request.digest
                voided = (ev.ApprovalVoided(step=key, digest=digest, code="APPROVAL_STALE"),)
            command = Admit((*voided, question(key, self.digest(), people=2 if what == "ask_two" else 1)))
        elif what == "fail":
            command = Failed(key, 0, "INVALID_INPUT", Effect.NONE)
        else:
            command = Admit((started(key, step, self.kinds[key]),))
        assert self.give(command), "what may begin can be admitted"
        self.readiness.ready.pop(key, None)
        if self.record.steps[key].state is StepState.RUNNING and key not in self.world.reads:
            if key in self.world.maybe:
                self.world.older.add(key)
            self.world.maybe.add(key)

    @precondition(lambda self: self.running(Task.EXECUTE))
    @rule(
        data=st.data(),
        how=st.sampled_from(["done", "done", "done", "none", "unknown", "bad_output", "alive"]),
        retry=st.booleans(),
    )
    def outcome(self, data: st.DataObject, how: str, retry: bool) -> None:
        step = data.draw(st.sampled_from(self.running(Task.EXECUTE)), label="step")
        key, attempt = step.key, step.attempt
        reads = key in self.world.reads
        retry_at = next(self.ticks) if retry and attempt < 3 else None
        if how == "done":
            self.give(Succeeded(key, attempt, BOUND, Effect.NONE if reads else Effect.DONE))
        elif how == "none" or reads:
            if key not in self.world.older:
                self.world.maybe.discard(key)
            self.give(Failed(key, attempt, "F", Effect.NONE, None, retry_at))
        elif how == "bad_output":
            self.give(Failed(key, attempt, "INVALID_OUTPUT", Effect.DONE, None, retry_at))
        else:
            self.give(Failed(key, attempt, "F", Effect.UNKNOWN, None, retry_at, is_alive=how == "alive"))

    @precondition(lambda self: self.running(Task.RECONCILE))
    @rule(
        data=st.data(),
        answer=st.builds(
            Reconciled,
            st.just(StepKey("")),
            st.just(0),
            st.sampled_from(list(Verdict)),
            foreign=st.booleans(),
            may_repeat=st.booleans(),
            retry_at_ms=st.none() | st.just(1),
        ),
        changed=st.integers(0, 9),
    )
    def reconcile(self, data: st.DataObject, answer: Reconciled, changed: int) -> None:
        step = data.draw(st.sampled_from(self.running(Task.RECONCILE)), label="step")
        key, attempt = step.key, step.attempt
        if changed == 0:
            self.give(Doubted(key, attempt, "CAPABILITY_CHANGED"))
            return
        verdict = Verdict.NO if key in self.world.reads else answer.verdict
        if verdict is Verdict.NO and key not in self.world.older:
            self.world.maybe.discard(key)
        if verdict is not Verdict.NO:
            self.world.maybe.add(key)  # also after an earlier no: what may be there now has to be taken back
        output = BOUND if verdict is Verdict.YES else None
        retry_at_ms = answer.retry_at_ms if attempt < 3 else None
        self.give(
            replace(
                answer, step=key, attempt=attempt, verdict=verdict, output=output, retry_at_ms=retry_at_ms
            )
        )
        if step.state is StepState.RUNNING and key not in self.world.reads:
            self.world.maybe.add(key)  # resumed: the intent runs once more

    @precondition(lambda self: next_compensation(self.record) is not None)
    @rule(how=st.sampled_from(["done", "done", "done", "again", "conflict", "crash"]))
    def compensate(self, how: str) -> None:
        key = next_compensation(self.record)
        assert key is not None
        step = self.record.steps[key]
        assert not self.running(Task.EXECUTE), "nothing is taken back beside a running step"
        assert not self.record.count(StepState.IN_DOUBT), "nothing is taken back beside a step in doubt"
        assert key in self.world.maybe, "only what may be there is taken back"
        assert key not in self.world.irreversible
        assert self.give(Compensating(key, step.compensation_attempt + 1))
        if how == "done":
            self.world.taken_back[key] += 1
            self.world.maybe.discard(key)
            self.give(Compensated(key))
        elif how == "again":
            self.give(NotCompensated(key, "COMPENSATION_FAILED", None, may_repeat=True))
        elif how == "conflict":
            self.give(NotCompensated(key, "COMPENSATION_CONFLICT", None, may_repeat=False))

    @precondition(
        lambda self: (
            self.record.phase is Phase.FORWARD
            and not self.record.is_stopping
            and self.readiness.is_exhausted
            and (self.record.mode is Mode.WORKFLOW or self.record.is_closed)
        )
    )
    @rule(renders=st.booleans())
    def finish(self, renders: bool) -> None:
        self.give(Finish(BOUND) if renders else Abort("EXPRESSION_FAILED"))

    @precondition(
        lambda self: (
            self.record.phase is Phase.FINALLY and not self.record.is_stopping and self.readiness.is_exhausted
        )
    )
    @rule()
    def end_finally(self) -> None:
        assert self.give(EndFinally())

    @precondition(lambda self: can_begin_undo(self.record))
    @rule(conflict=st.integers(0, 3))
    def begin_undo(self, conflict: int) -> None:
        request = self.record.undo
        assert request is not None
        left = {key for key in self.world.maybe if key in self.world.irreversible}
        if left and not request.request.partial:
            self.give(BeginUndo(ev.UndoRefused(code="UNDO_IMPOSSIBLE", step=min(left))))
        elif conflict == 0:
            self.give(BeginUndo(ev.UndoRefused(code="COMPENSATION_CONFLICT")))
        else:
            self.give(BeginUndo())

    @precondition(lambda self: self.record.open_approvals())
    @rule(
        data=st.data(), who=st.sampled_from(PEOPLE), what=st.sampled_from(["yes", "yes", "yes", "no", "late"])
    )
    def decide(self, data: st.DataObject, who: Actor, what: str) -> None:
        asked = data.draw(st.sampled_from(self.record.open_approvals()), label="question")
        key = asked.request.step
        if what == "yes":
            self.give(Approve(who, key, asked.request.digest))
        elif what == "no":
            self.give(Reject(who, key, None))
        else:
            self.give(Expire(key))
        assert len(asked.granted_by) == len(set(asked.granted_by))
        assert str(REQUESTER) not in asked.granted_by

    @rule(who=st.sampled_from(PEOPLE), wish=st.integers(0, 7))
    def cancel(self, who: Actor, wish: int) -> None:
        if wish == 0:  # an assumption would throw away every example in which the rule is chosen
            self.give(Cancel(replace(who, request=f"request-{len(self.leaves)}")))

    @precondition(lambda self: self.record.mode is Mode.SESSION)
    @rule()
    def close(self) -> None:
        self.give(Close())

    @precondition(lambda self: is_undoable(self.record))
    @rule(partial=st.booleans(), decision=st.sampled_from(["ALLOW", "ALLOW", "DENY", "REQUIRE_APPROVAL"]))
    def undo(self, partial: bool, decision: str) -> None:
        request = ev.UndoRequested(
            by="user:ann", partial=partial, decision=decision, rule="r", policy="p", risk="LOW"
        )
        asked = question(UNDO_STEP, self.digest()) if decision == "REQUIRE_APPROVAL" else None
        self.give(RequestUndo(request, asked))

    @precondition(lambda self: any(s.state in PARKED for s in self.record.steps.values()))
    @rule(data=st.data(), who=st.sampled_from(PEOPLE), resolution=st.sampled_from(list(Resolution)))
    def resolve(self, data: st.DataObject, who: Actor, resolution: Resolution) -> None:
        parked = [step for step in self.record.steps.values() if step.state in PARKED]
        step = data.draw(st.sampled_from(parked), label="step")
        was = step.state
        output = BOUND if resolution is Resolution.HAPPENED else None
        if not self.give(Resolve(who, step.key, resolution, output)):
            assert was is StepState.COMPENSATION_FAILED
            return
        if resolution in (Resolution.COMPENSATED, Resolution.ABANDON):
            self.world.vouched.add(step.key)
            self.world.maybe.discard(step.key)
        elif resolution is Resolution.NOT_HAPPENED:
            self.world.maybe.discard(step.key)
            self.world.older.discard(step.key)
            if step.state is StepState.RUNNING and step.key not in self.world.reads:
                self.world.maybe.add(step.key)
        elif step.key not in self.world.reads:
            self.world.maybe.add(step.key)

    @precondition(lambda self: not self.record.state.is_finished)
    @rule(retry=st.booleans())
    def crash(self, retry: bool) -> None:
        """The process ends: the record is what the journal's events make of it, to the last field, and an owner takes over."""
        assert without_notes(self.shadow) == without_notes(self.record)
        self.record = copy.deepcopy(self.shadow)
        self.readiness = Readiness(self.dependencies, self.record, self.finally_steps)
        interrupted = bool(self.running(Task.EXECUTE))
        if interrupted or (retry and self.record.state is RunState.NEEDS_ATTENTION):
            self.give(Recover(retry and self.record.state is RunState.NEEDS_ATTENTION))

    @invariant()
    def rows_are_what_the_events_make(self) -> None:
        """A projection that was kept up live equals the one made from the ledger alone."""
        replayed = {(row.table, *row.key): row for row in RunProjector().replay(self.leaves)}
        assert replayed == self.rows

    @invariant()
    def every_effect_of_a_run_that_ended_badly_is_settled(self) -> None:
        """Compensated exactly once, or parked with a named reason, or vouched for by a person; nothing else may be there."""
        record, world = self.record, self.world
        assert all(times == 1 for times in world.taken_back.values())
        for step in record.steps.values():
            if step.state in PARKED:
                assert step.code is not None
        if record.state in ENDED_BADLY:
            assert world.maybe <= self.may_stand(), f"left behind: {world.maybe}"
            assert not any(step.state in PARKED and not step.is_abandoned for step in record.steps.values())
        if record.state is RunState.UNDONE:
            assert record.undo is not None
            assert world.maybe <= (world.irreversible if record.undo.request.partial else set())
        if record.state is RunState.NEEDS_ATTENTION:
            assert any(step.state in PARKED for step in record.steps.values())

    def may_stand(self) -> set[StepKey]:
        """What a run that ended badly may have left: what its `finally` did, and all where only that went wrong."""
        final = self.record.final
        if final is not None and final.started.outcome is RunState.SUCCEEDED:
            return set(self.kinds)
        return set(self.finally_steps)

    @invariant()
    def the_steps_of_finally_come_once_all_others_have_ended(self) -> None:
        """However these ended, which decides how the run does; but one that had succeeded fails with a step of `finally`."""
        record, final = self.record, self.record.final
        if final is None:
            assert not self.finally_steps.keys() & record.steps.keys()
            assert record.phase is not Phase.DONE or not self.finally_steps or not record.steps
            return
        ends = {final.started.outcome}
        if final.code is not None and RunState.SUCCEEDED in ends:
            ends = {RunState.FAILED}
        if record.phase is Phase.DONE:
            assert record.ended in ends | {RunState.UNDONE}
        for key in record.steps.keys() - self.finally_steps.keys():
            assert record.steps[key].state not in (StepState.RUNNING, StepState.AWAITING_APPROVAL), key

    @invariant()
    def a_run_that_ended_has_nothing_open(self) -> None:
        """No question, no running step and no compensation outlives its run."""
        if self.record.state.is_finished:
            assert not self.record.count(
                StepState.RUNNING, StepState.COMPENSATING, StepState.AWAITING_APPROVAL, StepState.IN_DOUBT
            )
            assert not self.record.rollback

    @invariant()
    def something_can_always_be_done_about_a_run_that_has_not_ended(self) -> None:
        """It moves by itself, or waits for a person whose word it will take: never stuck."""
        record = self.record
        if record.state.is_finished:
            return
        by_itself = (
            self.running(Task.EXECUTE)
            or self.running(Task.RECONCILE)
            or next_compensation(record) is not None
            or self.admissible()
            or can_begin_undo(record)
        )
        by_people = record.open_approvals() or any(s.state in PARKED for s in record.steps.values())
        can_end = self.readiness.is_exhausted or record.mode is Mode.SESSION
        assert by_itself or by_people or can_end


def without_notes(record: RunRecord) -> RunRecord:
    """The record without what only says which rows are still to be written."""
    copied = copy.deepcopy(record)
    copied.dirty.clear()
    copied.settled_approvals.clear()
    copied.counts = {state: number for state, number in copied.counts.items() if number}
    return copied


MachineRules.TestCase.settings = settings(max_examples=examples(150), stateful_step_count=40)
TestMachine = MachineRules.TestCase
