"""What a call knows of itself and keeps for itself."""

from __future__ import annotations

import asyncio
import logging
import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from assent.errors import AssentError, InputError, InternalError
from assent.invocation import (
    CALL_ENTRIES,
    CALL_TRANSITIONS,
    CallPhase,
    CallState,
    HookedCall,
    LocalContext,
    NoEffectError,
    Prepared,
    StateKey,
)
from assent.invocation.app.application import GlobalContext
from assent.invocation.call._ending import enter
from assent.spec.ids import RunId, StepKey
from assent.system import SystemClock, SystemIds, spawn
from tests.support.calls import ANN, NOWHERE, Bed, bed
from tests.support.hands import MemoryBlobs
from tests.support.properties import holds

NAMES = ("run", "step", "attempt", "request_id", "trace_id", "principal", "capability", "version")

KEYS = (StateKey("number", int), StateKey("number", str), StateKey("text", str))


def by_hand() -> LocalContext:
    """A context that no pipeline made."""
    return LocalContext(
        run=RunId("r"),
        step=StepKey("s"),
        attempt=1,
        principal=ANN,
        key="k",
        world=NOWHERE,
        blobs=MemoryBlobs(),
    )


@holds("context_operations")
class StateOfTwoCalls(RuleBasedStateMachine):
    """Two calls' states behave as two dictionaries that know nothing of each other."""

    def __init__(self) -> None:
        super().__init__()
        self.states = (by_hand().state, by_hand().state)
        self.models: tuple[dict[StateKey[Any], Any], ...] = ({}, {})

    @rule(at=st.integers(0, 1), key=st.sampled_from(KEYS), number=st.integers(), text=st.text(max_size=3))
    def set(self, at: int, key: StateKey[Any], number: int, text: str) -> None:
        value: Any = number if key.type is int else text
        self.states[at].set(key, value)
        self.models[at][key] = value

    @rule(at=st.integers(0, 1), key=st.sampled_from(KEYS))
    def delete(self, at: int, key: StateKey[Any]) -> None:
        assert self.states[at].delete(key) == (self.models[at].pop(key, None) is not None)

    @rule(at=st.integers(0, 1))
    def clear(self, at: int) -> None:
        self.states[at].clear()
        self.models[at].clear()

    @invariant()
    def both_are_as_their_models(self) -> None:
        for state, model in zip(self.states, self.models, strict=True):
            assert list(state) == list(model)
            assert len(state) == len(model)
            assert all(state.get(key, "none") == model.get(key, "none") for key in KEYS)
            assert all((key in state) == (key in model) for key in KEYS)


TestStateOfTwoCalls = StateOfTwoCalls.TestCase


def test_a_value_of_another_type_is_refused() -> None:
    state = CallState()
    count: StateKey[Any] = StateKey("count", int)
    with pytest.raises(InputError) as caught:
        state.set(count, "one")
    assert (caught.value.code, caught.value.path, len(state)) == ("STATE_TYPE", "count", 0)
    with pytest.raises(InputError) as caught:
        state.set("count", 1)  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.message) == ("STATE_TYPE", "`count` is no key of a call's state")


def test_state_meta_and_flags_are_made_once_and_belong_to_one_call() -> None:
    one, other = by_hand(), by_hand()
    one.meta["a"] = 1
    one.flags.add("x")
    one.state.set(KEYS[0], 1)
    assert (one.meta, one.flags, one.state.get(KEYS[0])) == ({"a": 1}, {"x"}, 1)
    assert (other.meta, other.flags, other.state.get(KEYS[0])) == ({}, set(), None)


@holds("metadata")
@given(
    run=st.text("abc", min_size=1, max_size=5),
    step=st.sampled_from(["a", "b[3]"]),
    attempt=st.integers(1, 9),
    fails=st.booleans(),
)
def test_what_a_call_says_of_itself_is_complete_and_the_same_at_every_moment(
    run: str, step: str, attempt: int, fails: bool
) -> None:
    seen: list[tuple[Any, ...]] = []

    def look(at: LocalContext | HookedCall) -> None:
        seen.append(tuple(getattr(at, name) for name in NAMES))

    async def part(context: LocalContext, parameters: Any) -> dict[str, Any]:
        look(context)
        context.on_cleanup(lambda: look(context))
        if fails:
            raise NoEffectError("NO", "no")
        return {}

    async def prepare(context: LocalContext, parameters: Any) -> Prepared:
        look(context)
        return Prepared()

    async def body(made: Bed) -> None:
        bound = made.bound(part, prepare=prepare)
        for attach in (made.pipeline.hooks.before, made.pipeline.hooks.after, made.pipeline.hooks.catch):
            attach(id=f"{attach}")(look)
        made.pipeline.hooks.finally_(look)
        try:
            call, _ = await made.call(bound, run=RunId(run), step=StepKey(step), attempt=attempt)
            seen.append(tuple(getattr(call.context, name) for name in NAMES))
        except AssentError:
            assert fails

    with bed() as made:
        asyncio.run(body(made))
    assert len(seen) >= 6
    assert len(set(seen)) == 1
    assert seen[0][:3] == (run, step, attempt)
    assert seen[0][4:] == (run, ANN, "a.read", "1.0.0")
    assert all(name not in ("", None) for name in seen[0])


@holds("id_uniqueness")
@given(counts=st.lists(st.integers(1, 30), min_size=1, max_size=4))
def test_no_two_ids_are_equal_and_later_ones_sort_after_earlier_ones(counts: list[int]) -> None:
    makers = [SystemIds() for _ in counts]
    of_each = [
        [maker.request_id() for _ in range(count)] for maker, count in zip(makers, counts, strict=True)
    ]
    runs = [str(makers[0].run_id()) for _ in range(20)]
    every = [ident for ids in of_each for ident in ids]
    assert len(set(every)) == len(every)
    assert all(ids == sorted(ids) for ids in of_each)
    assert runs == sorted(set(runs))


@given(before=st.sampled_from(CallPhase), after=st.sampled_from(CallPhase))
def test_only_the_moves_of_the_table_are_legal(before: CallPhase, after: CallPhase) -> None:
    """Every other jump is refused with a code and leaves the call where it stood."""
    with bed() as made:
        call = made.receive()
        call.life.phase = before
        told: list[tuple[CallPhase, CallPhase]] = []
        call.context.on_phase_change(lambda *phases: told.append(phases))
        if after in CALL_TRANSITIONS[before]:
            enter(call, after)
            assert (call.context.phase, told) == (after, [(before, after)])
        else:
            with pytest.raises(InternalError) as caught:
                enter(call, after)
            assert caught.value.code == "ILLEGAL_TRANSITION"
            assert (call.context.phase, told) == (before, [])


@pytest.mark.parametrize("phase", CallPhase)
def test_a_call_begins_only_where_it_may(phase: CallPhase) -> None:
    with bed() as made:
        if phase in CALL_ENTRIES:
            assert made.receive(entry=phase).context.phase is phase
        else:
            with pytest.raises(InternalError):
                made.receive(entry=phase)


def test_every_phase_can_be_reached_and_ends_where_the_issue_says() -> None:
    reached = set(CALL_ENTRIES)
    for _ in CallPhase:
        reached |= {after for phase in reached for after in CALL_TRANSITIONS[phase]}
    assert reached == set(CallPhase)
    assert {phase for phase in CallPhase if not CALL_TRANSITIONS[phase]} == {
        CallPhase.SUCCEEDED,
        CallPhase.FAILED,
    }


def test_the_logger_carries_the_ids_beside_the_callers_extra(caplog: pytest.LogCaptureFixture) -> None:
    context = by_hand()
    with caplog.at_level(logging.INFO, "assent.call"):
        context.logger.info("hello %s", "there", extra={"mine": 1, "run": "forged"})
    record: Any = caplog.records[0]
    assert (record.getMessage(), record.mine, record.run, record.step) == ("hello there", 1, "r", "s")
    assert context.logger is context.logger


def test_a_call_made_by_hand_has_no_application_and_one_of_a_runtime_has_its_own() -> None:
    with pytest.raises(InputError) as caught:
        _ = by_hand().app
    assert caught.value.code == "APP_MISSING"
    by_hand().progress(1)
    app = GlobalContext(clock=SystemClock(), spawn=spawn)
    with bed(app=app) as made:
        assert made.receive().context.app is app


def test_the_page_of_calls_has_the_table_of_phases() -> None:
    page = (Path(__file__).resolve().parents[3] / "docs" / "calls.md").read_text(encoding="utf-8")
    written = {
        names[0]: set(names[1:])
        for line in page.partition("### Phases")[2].partition("A call begins")[0].splitlines()
        if (names := re.findall(r"`([a-z]+)`", line)) and line.startswith("|")
    }
    legal = {
        phase.value: {after.value for after in next_} for phase, next_ in CALL_TRANSITIONS.items() if next_
    }
    assert written == legal
