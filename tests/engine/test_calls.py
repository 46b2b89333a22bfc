"""What hooks, outputs and ends of calls mean for the run around them."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import threading
import types
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.errors import RefusedError
from assent.invocation import Handler, Hook, HookedCall, HookKind, LocalContext, NoEffectError, StateKey
from assent.spec import create_read_capability
from tests.support.bodies import (
    Bench,
    Pause,
    Place,
    boom,
    code,
    no_effect,
    policy,
    put,
    put_spec,
    states,
    workflow,
)
from tests.support.properties import holds

ANYTHING: dict[str, Any] = {"type": "object"}
MINE = StateKey("mine", int)

AT_ONCE = 50
THREADED_EVERY = 100
"""One call in so many runs in a worker thread: threads are slow to start, and two of them tell as much as a thousand."""


def refuse(call: HookedCall) -> None:
    raise RefusedError("OFFICE_CLOSED", "the office is closed")


async def test_a_hooks_refusal_is_the_steps_error_and_nothing_happened(place: Place) -> None:
    async with place.open() as rt:
        rt.hooks.before(id="hours")(refuse)
        result = await rt.run(workflow(put("a")))
        kinds = rt.kinds(result.run_id)
    assert (code(result), result.status, place.box.log) == ("HOOK_REFUSED", "failed", [])
    assert "step.started" not in kinds
    error = result.steps[0].error
    assert error is not None
    assert error["details"]["hook"] == "hours"  # type: ignore[index, call-overload]  # JSON of the design's shape


async def test_a_refusal_takes_back_what_earlier_steps_did(place: Place) -> None:
    async with place.open() as rt:
        hook = Hook(HookKind.BEFORE, refuse, id="no")
        rt.register(put_spec("box.guarded"), place.box.handler(hooks=(hook,)))
        result = await rt.run(workflow(put("a"), put("b", "box.guarded")))
    assert states(result) == {"a": "compensated", "b": "failed"}
    assert place.box.values == {}


async def test_an_after_hooks_refusal_takes_the_effect_back(place: Place) -> None:
    async with place.open() as rt:
        rt.hooks.after(id="no")(refuse)
        result = await rt.run(workflow(put("a")))
    assert (code(result), states(result)) == ("HOOK_REFUSED", {"a": "compensated"})
    assert place.box.log == ["prepare a", "execute a", "compensate a"]


@holds("output_validation")
@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    output=st.one_of(st.none(), st.booleans(), st.dictionaries(st.sampled_from(["key", "x"]), st.integers()))
)
async def test_a_bad_output_counts_as_an_effect_and_is_taken_back(
    tmp_path_factory: pytest.TempPathFactory, output: Any
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    returns: dict[str, Any] = {
        "type": "object",
        "properties": {"key": {"type": "string"}},
        "required": ["key"],
    }
    place.box.outputs["a"] = output
    async with place.open() as rt:
        rt.register(put_spec("box.typed", returns=returns), place.box.handler())
        result = await rt.run(workflow(put("a", "box.typed")))
    assert (code(result), states(result)) == ("INVALID_OUTPUT", {"a": "compensated"})
    assert place.box.values == {}


async def test_hooks_of_one_call_never_touch_another(place: Place) -> None:
    seen: list[str] = []

    def note(call: HookedCall) -> None:
        seen.append(str(call.inputs["key"]))

    async with place.open() as rt:
        await rt.call("box.put", {"key": "a"}, hooks=[Hook(HookKind.BEFORE, note, id="n")])
        await rt.call("box.put", {"key": "b"})
        session = await rt.session()
        await session.call("box.put", {"key": "c"}, hooks=[Hook(HookKind.AFTER, note, id="n")])
        await session.call("box.put", {"key": "d"})
        await session.close()
    assert seen == ["a", "c"]


async def test_what_is_continued_after_a_crash_was_let_in_before_it(place: Place) -> None:
    """`before` had its say before the intent; `after` and `finally` see what the continued call gives."""
    ran: list[str] = []

    def attach(rt: Bench) -> None:
        for attach_one, name in (
            (rt.hooks.before, "before"),
            (rt.hooks.after, "after"),
            (rt.hooks.finally_, "f"),
        ):
            attach_one(id=name)(lambda call, name=name: ran.append(name))

    pause = Pause()
    place.box.before["a"] = pause
    async with place.open() as rt:
        attach(rt)
        running = asyncio.ensure_future(rt.run(workflow(put("a"))))
        await pause.reached.wait()
        run = (await rt.unfinished())[-1]
    await asyncio.wait({running})
    running.exception()
    del place.box.before["a"]
    assert ran == ["before", "f"]
    ran.clear()
    async with place.open() as rt:
        attach(rt)
        [result] = await rt.resume(run)
    assert (result.status, ran) == ("succeeded", ["after", "f"])


async def test_neither_compensation_nor_preview_nor_plan_runs_a_hook(place: Place) -> None:
    ran: list[str] = []
    place.policy = policy(default="REQUIRE_APPROVAL")
    async with place.open() as rt:
        for attach in (rt.hooks.before, rt.hooks.after, rt.hooks.catch, rt.hooks.finally_):
            attach(id=f"{attach}")(lambda call: ran.append(call.phase.value))
        await rt.plan(workflow(put("a")))
        result = await rt.run(workflow(put("a")))
        assert ran == []
        await rt.approve(result.run_id, principal="user:boss")
        done = len(ran)
        await rt.undo(result.run_id)
    assert (done, len(ran)) == (3, 3)


async def test_whoever_listens_is_told_of_every_attempt_and_of_nothing_else(place: Place) -> None:
    """Neither the question whether an effect happened nor the rehearsal of an undo is an attempt of anything."""
    box = place.box
    box.before["a"] = lambda context: no_effect(context) if context.attempt < 3 else None
    box.after["b"] = boom
    box.on_compensate["a"] = lambda context: boom(context) if box.count("compensate", "a") == 1 else None
    again = {"max_attempts": 3, "backoff": {"initial": "1ms"}}
    write = {"name": "c", "capability": "io.fs.write_file", "inputs": {"path": "f", "content": "text"}}
    async with place.open() as rt:
        heard = rt._core.lifecycle.subscribe()
        result = await rt.run(workflow(put("a", retry=again), put("b"), write))
        assert (await rt.undo(result.run_id)).status == "undone"
        told = Counter((event.subject.value, event.stage.value) for event in heard.take())
    assert [told["call", stage] for stage in ("start", "retry")] == [5, 2]
    assert [told["compensation", stage] for stage in ("start", "retry")] == [4, 1]


async def test_a_call_that_was_prepared_when_its_run_stopped_is_cleaned_up(place: Place) -> None:
    """Another step's `prepare` is under way when the process ends: the first one's effect never begins."""
    ran: list[str] = []
    reached = asyncio.Event()

    async def prepare(context: LocalContext, parameters: dict[str, Any]) -> Any:
        found = await place.box.prepare(context, parameters)
        context.on_cleanup(lambda: ran.append(parameters["key"]))
        if parameters["key"] == "b":
            reached.set()
            await asyncio.Event().wait()
        return found

    async with place.open() as rt:
        rt.register(put_spec("box.slow"), place.box.handler(prepare=prepare))
        steps = [put(name, "box.slow", depends_on=[]) for name in "ab"]
        running = asyncio.ensure_future(rt.run(workflow(*steps)))
        await reached.wait()
    await asyncio.wait({running})
    running.cancelled() or running.exception()
    assert sorted(ran) == ["a", "b"]
    assert place.box.count("execute", "a") == 0


@holds("audit_completeness")
@settings(max_examples=15, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    kinds=st.lists(
        st.sampled_from(["good", "fails", "boom", "denied", "refused", "bad input"]), min_size=1, max_size=5
    )
)
async def test_every_call_leaves_its_decision_its_intent_and_its_outcome(
    tmp_path_factory: pytest.TempPathFactory, kinds: list[str]
) -> None:
    place = Place(tmp_path_factory.mktemp("place"))
    place.policy = policy(
        {"id": "never", "when": {"capability": "box.denied"}, "decision": "DENY", "reason": "for the test"}
    )

    async def execute(context: LocalContext, parameters: dict[str, Any]) -> Any:
        if parameters["kind"] == "fails":
            raise NoEffectError("NO", "no")
        if parameters["kind"] == "boom":
            raise ValueError("boom")
        return {}

    async with place.open() as rt:
        for ident in ("box.run", "box.denied"):
            spec = create_read_capability(
                ident, parameters={"type": "object", "properties": {"kind": {"type": "string"}}}
            )
            rt.register(spec, Handler(execute, revision="1"))
        session = await rt.session()
        for kind in kinds:
            hooks = [Hook(HookKind.BEFORE, refuse, id="no")] if kind == "refused" else []
            inputs: dict[str, Any] = {"kind": 7 if kind == "bad input" else kind}
            await session.call("box.denied" if kind == "denied" else "box.run", inputs, hooks=hooks)
        await session.close()
        events = [event for event in rt.recorded(session.run_id) if getattr(event, "step", None)]
        decisions = rt.metrics.snapshot()["decisions"]
    trail: dict[str, list[str]] = {}
    for event in events:
        trail.setdefault(str(getattr(event, "step", "")), []).append(event.kind)
    outcome = {
        "good": ["step.added", "step.started", "step.succeeded"],
        "fails": ["step.added", "step.started", "step.failed"],
        "boom": ["step.added", "step.started", "step.failed"],
        "denied": ["step.added", "step.denied"],
        "refused": ["step.added", "step.failed"],
        "bad input": ["step.added", "step.failed"],
    }
    assert list(trail.values()) == [outcome[kind] for kind in kinds]
    decided = [event for event in events if event.kind in ("step.started", "step.denied")]
    assert all(getattr(event, "decision", None) and getattr(event, "policy", None) for event in decided)
    asked = Counter("DENY" if kind == "denied" else "ALLOW" for kind in kinds if kind != "bad input")
    assert decisions == dict(sorted(asked.items()))


def open_files() -> set[str]:
    """What this process has open, the listing itself apart."""
    return {name for name in os.listdir("/proc/self/fd") if Path("/proc/self/fd", name).exists()}  # noqa: PTH208  # names


def hand_threads() -> list[threading.Thread]:
    """The threads that run parts of capabilities, those of other tests' runtimes included."""
    return [thread for thread in threading.enumerate() if thread.name.startswith("assent-hand")]


def living_contexts() -> list[LocalContext]:
    gc.collect()
    return [found for found in gc.get_objects() if isinstance(found, LocalContext)]


def holders_of(held: object, depth: int = 4) -> str:
    """What keeps `held` alive, from the nearest: for the message of a test that found something left."""
    path = []
    mine = {id(held)}
    for _ in range(depth):
        found = [
            holder
            for holder in gc.get_referrers(held)
            if id(holder) not in mine and not isinstance(holder, types.FrameType)
        ]
        path.append(" | ".join(f"{type(holder).__name__} {holder!r}"[:300] for holder in found[:5]))
        if not found:
            break
        mine |= {id(holder) for holder in found}
        held = found[0]
    return "\n held by ".join(path)


async def no_context_lives(but: Iterable[LocalContext]) -> None:
    """No call's context is left but those of other tests, which this process may still keep.

    A thread that gave its result may still have to drop what it was given, so it gets its turn.
    """
    others = {id(context) for context in but}

    def mine() -> list[LocalContext]:
        return [context for context in living_contexts() if id(context) not in others]

    for _ in range(300):
        if not mine():
            return
        await asyncio.sleep(0.1)
    pytest.fail(f"{len(mine())} contexts are left, the first of them\n held by {holders_of(mine()[0])}")


@pytest.mark.slow
async def test_thousands_of_calls_leave_nothing_behind(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, crash_complete: bool
) -> None:
    """Half of them fail, time out or are cancelled; no task, timer, thread, file or listener stays, and no state is shared."""
    count = 10_000 if crash_complete else 1_000
    # What pytest keeps of a log has the tracebacks of failed handlers in it, and with them their calls.
    caplog.set_level(logging.CRITICAL + 1, logger="assent.call")
    earlier, others = living_contexts(), hand_threads()
    strangers: list[object] = []
    cleaned: Counter[int] = Counter()
    cancels: set[asyncio.Task[Any]] = set()
    loop = asyncio.get_running_loop()
    place = Place(tmp_path, concurrency=8)
    place.policy = policy()

    def remember(context: LocalContext, number: int) -> None:
        strangers.extend(found for found in (context.state.get(MINE), *context.meta, *context.flags) if found)
        context.state.set(MINE, number)
        context.meta["number"] = number
        context.flags.add(str(number))
        context.on_cleanup(lambda: cleaned.update([number]))

    async def effect(context: LocalContext, parameters: dict[str, Any]) -> Any:
        number = parameters["number"]
        remember(context, number)
        match number % 8:
            case 1:
                raise NoEffectError("NO", "no")
            case 3:
                await asyncio.Event().wait()  # until its limit
            case 5:
                raise asyncio.CancelledError
            case 7:
                stopped = asyncio.Event()
                context.cancel.watch(lambda: loop.call_soon_threadsafe(stopped.set))
                cancels.add(asyncio.ensure_future(rt.cancel(context.run)))
                await stopped.wait()
                raise ValueError("was told to stop")
            case _:
                await asyncio.sleep(0)
        return {"number": context.state.get(MINE)}

    def in_thread(context: LocalContext, parameters: dict[str, Any]) -> Any:
        remember(context, parameters["number"])
        return {"number": context.state.get(MINE)}

    async with place.open(box=False) as rt:
        for ident, part, limit_s in (
            ("effect", effect, None),
            ("hang", effect, 0.01),
            ("thread", in_thread, None),
        ):
            spec = create_read_capability(f"t.{ident}", parameters=ANYTHING, timeout=limit_s)
            rt.register(spec, Handler(part, revision="1"))
        turns = asyncio.Semaphore(AT_ONCE)

        async def call(number: int) -> None:
            # Only what hangs has a limit: on a busy machine any other call might pass it too.
            ident = (
                "t.thread" if number % THREADED_EVERY == 0 else "t.hang" if number % 8 == 3 else "t.effect"
            )
            async with turns:
                result = await rt.call(ident, {"number": number})
            if result.status == "succeeded":
                assert result.outputs == {"number": number}
            else:
                assert number % 2 == 1

        await call(0)
        await call(3)
        files, tasks = open_files(), len(asyncio.all_tasks())
        await asyncio.gather(*(call(number) for number in range(1, count)))
        await asyncio.gather(*cancels)
        cancels.clear()
        gc.collect()
        assert len(asyncio.all_tasks()) == tasks
        assert (
            open_files() <= files
        )  # What other tests of this process had left open may have been closed meanwhile.
        timers = [timer for timer in vars(loop)["_scheduled"] if not timer.cancelled()]
        assert timers == []
        hands = [thread for thread in hand_threads() if thread not in others]
        # As many again may settle what others had begun.
        assert len(hands) <= 2 * max(4, rt.settings.limits.concurrency)
        assert (rt.lifecycle.subscribers, rt.hooks.all, await rt.unfinished()) == (0, (), [])
        await no_context_lives(but=earlier)
        counted: Any = rt.metrics.snapshot()["calls"]
        assert sum(entry["count"] for entry in counted.values()) == count + 1
    assert strangers == []
    assert set(cleaned.values()) == {1, 2}
    assert [number for number, times in cleaned.items() if times == 2] == [3]
    assert len(cleaned) == count
