"""What is told of calls while they run: well nested, bounded, and never to the cost of a call."""

from __future__ import annotations

import asyncio
import gc
import threading
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from assent.errors import AssentError, InputError
from assent.invocation import (
    BoundCapability,
    CallNames,
    CallPhase,
    Handler,
    HookedCall,
    HookLevel,
    Lifecycle,
    LifecycleEvent,
    LocalContext,
    NoEffectError,
    Prepared,
    Stage,
    Subject,
)
from assent.spec import create_write_capability
from assent.spec.decision import PolicyDecision
from assent.spec.ids import RunId, StepKey
from tests.support.calls import ANYTHING, Bed, bed, nothing
from tests.support.patience import PATIENCE_S
from tests.support.properties import holds

Told = list[tuple[str, str, str]]


def short(events: list[LifecycleEvent]) -> Told:
    """Subject, stage and name of each."""
    return [(event.subject.value, event.stage.value, event.name) for event in events]


def event(number: int) -> LifecycleEvent:
    """An event that can be told from others by its time."""
    return LifecycleEvent(
        Subject.CALL, Stage.START, CallNames("r", RunId("r"), StepKey("s"), 1, "a.b"), number
    )


async def fails(context: LocalContext, parameters: Any) -> Any:
    raise NoEffectError("NO", "not today")


@holds("lifecycle_events")
@given(
    calls=st.lists(
        st.tuples(
            st.sampled_from(["good", "fails", "bad output", "bad input", "denied", "waits", "hook refuses"]),
            st.integers(0, 3),
            st.booleans(),
        ),
        min_size=1,
        max_size=4,
    )
)
def test_what_starts_has_one_end_or_error_inside_what_started_around_it(
    calls: list[tuple[str, int, bool]],
) -> None:
    """Also of calls that run at once: each has its own request id."""

    async def one(made: Bed, kind: str, hooks: int, is_retry: bool) -> None:
        async def wait(context: LocalContext, parameters: Any) -> Any:
            context.progress(1, 2, "half")
            await asyncio.sleep(0)
            return {} if kind != "bad output" else 7

        def refuse(call: HookedCall) -> None:
            raise RuntimeError("no")

        local = [made.hook(f"h{number}") for number in range(hooks)]
        if kind == "hook refuses":
            local.append(made.hook("no", run=refuse))
        bound = made.bound(fails if kind == "fails" else wait, returns_schema={"type": "object"})
        call = made.receive(bound, local=tuple(local), attempt=1 + is_retry, is_retry=is_retry)
        made.gate.answer = {
            "denied": PolicyDecision.DENY,
            "waits": PolicyDecision.REQUIRE_APPROVAL,
        }.get(kind, PolicyDecision.ALLOW)
        try:
            await made.take(call, {"n": float("nan")} if kind == "bad input" else {})
        except AssentError:
            assert kind in ("fails", "bad output", "bad input", "hook refuses")

    async def body(made: Bed) -> list[LifecycleEvent]:
        with made.pipeline.lifecycle.subscribe() as events:
            await asyncio.gather(*(one(made, *call) for call in calls))
            return events.take()

    with bed() as made:
        events = asyncio.run(body(made))
    by_call: dict[str, list[LifecycleEvent]] = {}
    for told in events:
        by_call.setdefault(told.request_id, []).append(told)
    assert len(by_call) == len(calls)
    for mine in by_call.values():
        assert (mine[0].subject, mine[0].stage) == (Subject.CALL, Stage.START)
        assert mine[-1].subject is Subject.CALL
        open_now: list[tuple[Subject, str]] = []
        for told in mine:
            match told.stage:
                case Stage.START:
                    open_now.append((told.subject, told.name))
                    assert told.duration_us is None
                case Stage.END | Stage.ERROR:
                    subject, name = open_now.pop()
                    assert subject is told.subject
                    assert subject is not Subject.HOOK or name == told.name
                    assert told.duration_us is not None
                    assert told.duration_us >= 0
                    assert (told.code is None) == (told.stage is Stage.END)
                case Stage.RETRY | Stage.PROGRESS:
                    assert open_now
            assert (told.level is not None) == (told.subject is Subject.HOOK)
        assert open_now == []
        assert [told.at_us for told in mine] == sorted(told.at_us for told in mine)


async def test_a_call_tells_its_whole_way_and_its_hooks_their_level() -> None:
    with bed() as made, made.pipeline.lifecycle.subscribe() as events:
        made.pipeline.hooks.before(id="g")(lambda call: None)
        await made.call(made.bound(hooks=(made.hook("c"),)), local=(made.hook("l"),))
        told = events.take()
    assert short(told) == [
        ("call", "start", ""),
        ("validation", "start", "input"),
        ("validation", "end", "input"),
        ("policy", "start", ""),
        ("policy", "end", "ALLOW"),
        *(("hook", stage, name) for name in "gcl" for stage in ("start", "end")),
        ("validation", "start", "output"),
        ("validation", "end", "output"),
        ("call", "end", "succeeded"),
    ]
    levels = [each.level for each in told if each.subject is Subject.HOOK and each.stage is Stage.END]
    assert levels == [HookLevel.GLOBAL, HookLevel.CAPABILITY, HookLevel.LOCAL]


async def test_a_retried_hook_tells_each_retry_and_ends_once() -> None:
    async def never(call: HookedCall) -> None:
        raise RuntimeError("no")

    with bed() as made, made.pipeline.lifecycle.subscribe() as events:
        with pytest.raises(AssentError):
            await made.call(local=(made.hook("h", run=never, retries=2, backoff_s=0),))
        told = [each.stage.value for each in events.take() if each.subject is Subject.HOOK]
    assert told == ["start", "retry", "retry", "error"]


async def test_a_compensation_is_told_as_one() -> None:
    spec = create_write_capability("a.write", "writes", parameters=ANYTHING)

    async def compensate(context: LocalContext, parameters: Any) -> Any:
        assert (context.prepared, context.output, context.phase) == ({"x": 1}, 7, CallPhase.COMPENSATING)

    async def bad(context: LocalContext, parameters: Any) -> Any:
        raise AssentError("COMPENSATION_CONFLICT", "somebody was here")

    async def prepare(context: LocalContext, parameters: Any) -> Prepared:
        return Prepared()

    with bed() as made, made.pipeline.lifecycle.subscribe() as events:
        for part in (compensate, bad):
            bound = BoundCapability(spec, Handler(nothing, prepare, part))
            call = made.receive(bound, entry=CallPhase.COMPENSATING, is_retry=part is bad)
            made.pipeline.validate(call, {})
            work = made.pipeline.compensate(call, timeout_s=None, prepared={"x": 1}, output=7)
            if part is bad:
                with pytest.raises(AssentError):
                    await work
            else:
                await work
        told = [(e.stage.value, e.name, e.code) for e in events.take() if e.subject is Subject.COMPENSATION]
        counted: Any = made.pipeline.metrics.snapshot()["calls"]
    assert told == [
        ("start", "", None),
        ("end", "compensated", None),
        ("start", "", None),
        ("retry", "", None),
        ("error", "compensation_failed", "COMPENSATION_CONFLICT"),
    ]
    assert counted["a.write"]["outcomes"] == {"compensated": 1, "compensation_failed": 1}


@holds("backpressure")
class Channel(RuleBasedStateMachine):
    """Each subscriber is a bounded queue of its own that drops the oldest and counts it."""

    def __init__(self) -> None:
        super().__init__()
        self.lifecycle = Lifecycle()
        self.count = 0
        self.models: dict[Any, tuple[int, list[int], int]] = {}

    @rule(capacity=st.integers(1, 4))
    def subscribe(self, capacity: int) -> None:
        self.models[self.lifecycle.subscribe(capacity)] = (capacity, [], 0)

    @rule(times=st.integers(1, 6))
    def emit(self, times: int) -> None:
        for _ in range(times):
            self.count += 1
            self.lifecycle.emit(event(self.count))
            for subscription, (capacity, waiting, dropped) in self.models.items():
                kept = [*waiting, self.count][-capacity:]
                lost = dropped + (len(waiting) == capacity)
                self.models[subscription] = (capacity, kept, lost)

    @rule(data=st.data())
    def take(self, data: st.DataObject) -> None:
        if self.models:
            subscription = data.draw(st.sampled_from(list(self.models)))
            capacity, waiting, dropped = self.models[subscription]
            assert [told.at_us for told in subscription.take()] == waiting
            self.models[subscription] = (capacity, [], dropped)

    @rule(data=st.data())
    def close(self, data: st.DataObject) -> None:
        if self.models:
            subscription = data.draw(st.sampled_from(list(self.models)))
            subscription.close()
            del self.models[subscription]

    @invariant()
    def as_the_models(self) -> None:
        assert self.lifecycle.subscribers == len(self.models)
        assert self.lifecycle.is_heard == bool(self.models)
        for subscription, (capacity, waiting, dropped) in self.models.items():
            assert (subscription.pending, subscription.dropped) == (len(waiting), dropped)
            assert subscription.pending <= capacity


TestChannel = Channel.TestCase


async def test_a_subscriber_waits_for_events_also_from_other_threads_and_ends_when_closed() -> None:
    lifecycle = Lifecycle()
    got: list[int] = []

    async def listen() -> None:
        with lifecycle.subscribe() as events:
            ready.set()
            async for told in events:
                got.append(told.at_us)

    ready = asyncio.Event()
    listening = [asyncio.ensure_future(listen()) for _ in range(2)]
    await ready.wait()
    lifecycle.emit(event(1))
    await asyncio.to_thread(lifecycle.emit, event(2))
    async with asyncio.timeout(PATIENCE_S):
        while len(got) < 4:  # noqa: ASYNC110 - the listeners are tasks of this loop, and each turn lets them go on
            await asyncio.sleep(0)
        lifecycle.close()
        await asyncio.gather(*listening)
    assert sorted(got) == [1, 1, 2, 2]
    assert not lifecycle.is_heard


async def test_who_gave_up_waiting_is_woken_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """A listener that waits with a limit, again and again, costs the next call nothing and keeps nothing."""
    lifecycle, loop, woken = Lifecycle(), asyncio.get_running_loop(), []
    with lifecycle.subscribe() as events:
        for _ in range(3):
            waiting = asyncio.ensure_future(anext(events))
            await asyncio.sleep(0)
            waiting.cancel()
            await asyncio.wait({waiting})
        monkeypatch.setattr(loop, "call_soon_threadsafe", lambda *call: woken.append(call))
        lifecycle.emit(event(1))
        monkeypatch.undo()
        assert (woken, (await anext(events)).at_us) == ([], 1)


def test_a_listener_whose_loop_is_gone_harms_nobody() -> None:
    lifecycle = Lifecycle()
    events = lifecycle.subscribe()

    async def leave() -> Any:
        waiting = anext(events)
        waiting.send(None)  # No task: its loop ends without ending it.
        return waiting

    waiting = asyncio.run(leave())
    lifecycle.emit(event(1))
    assert events.pending == 1
    waiting.close()


def test_a_subscription_that_nobody_holds_closes_itself() -> None:
    lifecycle = Lifecycle()
    events = lifecycle.subscribe()
    assert lifecycle.is_heard
    del events
    gc.collect()
    assert (lifecycle.is_heard, lifecycle.subscribers) == (False, 0)


@pytest.mark.parametrize("capacity", [0, -1, 10**9])
def test_a_capacity_out_of_bounds_is_refused(capacity: int) -> None:
    with pytest.raises(InputError) as caught:
        Lifecycle().subscribe(capacity)
    assert caught.value.code == "CAPACITY_INVALID"


async def test_without_a_listener_no_event_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made_events: list[Any] = []
    monkeypatch.setattr("assent.invocation.call._lifecycle_events.LifecycleEvent", made_events.append)
    with bed() as made:
        await made.call(local=(made.hook("h"),))
        call = made.receive()
        call.context.progress(1)
    assert made_events == []


@holds("backpressure")
@given(writers=st.integers(1, 4), each=st.integers(1, 50), capacity=st.integers(1, 20))
def test_no_event_is_lost_uncounted_whoever_emits(writers: int, each: int, capacity: int) -> None:
    lifecycle = Lifecycle()
    with lifecycle.subscribe(capacity) as events:

        def write() -> None:
            for number in range(each):
                lifecycle.emit(event(number))

        threads = [threading.Thread(target=write) for _ in range(writers)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert events.pending + events.dropped == writers * each
        assert events.pending == min(capacity, writers * each)
