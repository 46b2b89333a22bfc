"""A step that takes long to be admitted holds up nothing else of its run, and counts only if it still holds when it is."""

from __future__ import annotations

import asyncio
import dataclasses
import threading
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from typing import Any

import pytest

from assent.capabilities import builtin_catalog
from assent.engine.drive import _preparations
from assent.engine.record._values import load_json
from assent.errors import InputError, WorldError
from assent.invocation import LocalContext, Reconciliation
from assent.journal import rows_at_once
from assent.policy import PolicyEngine
from assent.spec import CapabilitySpec, OperationType
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.states import Resolution, RunState, Verdict
from tests.support.bodies import (
    KEYED,
    Bench,
    FakeClock,
    Pause,
    Place,
    code,
    fail,
    policy,
    put,
    put_spec,
    states,
    workflow,
)

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

ALLOW = policy({"id": "all", "decision": "ALLOW"})
DENY = policy({"id": "none", "decision": "DENY", "when": {"capability": "box.slow"}})
ASK = policy(
    {
        "id": "ask",
        "decision": "REQUIRE_APPROVAL",
        "when": {"capability": "box.slow"},
        "approvers": {"expires": "1h"},
    }
)


@dataclass
class Slow:
    """A capability `box.slow`, whose preparation goes through a hook of the test first; `ended` tells which have ended."""

    place: Place
    hooks: dict[str, Callable[[LocalContext], Awaitable[None]]] = field(default_factory=dict)
    ended: list[str] = field(default_factory=list)

    async def prepare(self, context: LocalContext, parameters: dict[str, Any]) -> Any:
        try:
            hook = self.hooks.get(parameters["key"])
            if hook is not None:
                await hook(context)
            return await self.place.box.prepare(context, parameters)
        finally:
            self.ended.append(parameters["key"])

    def register(self, rt: Bench, **spec: Any) -> None:
        handler = self.place.box.handler(prepare=self.prepare, completes=True)
        rt.register(put_spec("box.slow", **spec), handler)


@pytest.fixture
def slow(place: Place) -> Slow:
    return Slow(place)


def alone(key: str, capability: str = "box.slow", **fields: Any) -> dict[str, Any]:
    """A step that waits for no other."""
    return put(key, capability, depends_on=[], **fields)


class Told:
    """What whoever watches is told, in order; `until` waits for one of it."""

    def __init__(self) -> None:
        self.all: list[tuple[str, str]] = []
        self.unnumbered: list[str] = []
        self._awaited: dict[tuple[str, str], asyncio.Event] = {}

    def __call__(self, run: RunId, n: int | None, at_ms: int, event: Any) -> None:
        about = (event.kind, getattr(event, "step", None) or "")
        self.all.append(about)
        if n is None:
            self.unnumbered.append(event.kind)
        self._awaited.setdefault(about, asyncio.Event()).set()

    async def until(self, kind: str, step: str = "") -> None:
        await self._awaited.setdefault((kind, step), asyncio.Event()).wait()


async def test_others_end_and_begin_while_a_step_is_prepared(place: Place, slow: Slow) -> None:
    """A quick step ends, is recorded, and what depends on it runs to its end."""
    pause, told = Pause(), Told()
    slow.hooks["a"] = pause
    async with place.open() as rt:
        slow.register(rt)
        with rt.telling(told):
            running = asyncio.ensure_future(
                rt.run(workflow(alone("a"), alone("b", "box.put"), put("c", depends_on=["b"])))
            )
            await told.until("step.succeeded", "c")
        assert slow.ended == []
        pause.go_on.set()
        result = await running
        assert (result.status, place.box.values) == (RunState.SUCCEEDED, {"a": "a", "b": "b", "c": "c"})
        assert place.box.count("prepare", "a") == 1
        rt.require_sound_rows()


async def test_preparations_of_one_run_overlap(place: Place, slow: Slow) -> None:
    """Each waits until the other has begun."""
    pauses = {key: Pause() for key in "ab"}
    for key, other in ("ab", "ba"):

        async def meet(context: LocalContext, mine: Pause = pauses[key], its: Pause = pauses[other]) -> None:
            mine.reached.set()
            await its.reached.wait()

        slow.hooks[key] = meet
    async with place.open() as rt:
        slow.register(rt)
        result = await rt.run(workflow(alone("a"), alone("b")))
        assert result.status is RunState.SUCCEEDED


async def test_what_is_prepared_counts_among_the_steps_at_once(place: Place, slow: Slow) -> None:
    async def turn(context: LocalContext) -> None:
        await asyncio.sleep(0)

    place.concurrency = 1
    slow.hooks["a"] = turn
    async with place.open() as rt:
        slow.register(rt)
        await rt.run(workflow(alone("a"), alone("b")))
    assert place.box.log == ["prepare a", "execute a", "prepare b", "execute b"]


async def test_an_outcome_and_the_next_step_share_a_commit_when_that_is_prepared_soon(
    place: Place, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One thread's worth of waiting costs no commit of its own."""
    appended: list[list[str]] = []

    async def turn(context: LocalContext) -> None:
        await asyncio.get_running_loop().run_in_executor(None, threading.Event().is_set)

    slow.hooks["b"] = turn
    async with place.open() as rt:
        slow.register(rt)
        append = rt._core.ready.journal.append

        async def noting(batch: Any) -> Any:
            appended.append([event.kind for event in batch.events])
            return await append(batch)

        monkeypatch.setattr(rt._core.ready.journal, "append", noting)
        await rt.run(workflow(put("a"), put("b", "box.slow")))
    assert ["step.succeeded", "step.started"] in appended


async def test_a_program_that_runs_before_its_step_is_told_of_after_what_came_before(
    place: Place, slow: Slow
) -> None:
    pause, told = Pause(), Told()
    slow.hooks["b"] = pause
    async with place.open() as rt:
        slow.register(rt, operation_type=OperationType.EXECUTE)
        with rt.telling(told):
            running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b", "box.slow"))))
            await told.until("step.preparing", "b")
        assert told.all[-2:] == [("step.succeeded", "a"), ("step.preparing", "b")]
        assert told.unnumbered == ["step.preparing"]
        pause.go_on.set()
        result = await running
        assert told.all.count(("step.preparing", "b")) == 1
        assert "step.preparing" not in rt.kinds(result.run_id)


async def test_a_program_that_turns_out_quick_is_not_told_of(place: Place, slow: Slow) -> None:
    told = Told()
    async with place.open() as rt:
        slow.register(rt, operation_type=OperationType.EXECUTE)
        with rt.telling(told):
            await rt.run(workflow(put("a", "box.slow"), put("b")))
    assert told.unnumbered == []


async def test_whatever_turns_out_long_is_told_of_and_no_longer_waited_for(
    place: Place, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was decided before it is on record then."""
    monkeypatch.setattr(_preparations, "LONG_S", 0.0)
    pause, told = Pause(), Told()
    slow.hooks["b"] = pause
    async with place.open() as rt:
        slow.register(rt)
        with rt.telling(told):
            running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b", "box.slow"))))
            await told.until("step.preparing", "b")
        assert rt.kinds((await rt.unfinished())[0])[-1] == "step.succeeded"
        pause.go_on.set()
        assert (await running).status is RunState.SUCCEEDED


async def test_a_step_that_fails_ends_what_is_being_prepared_before_anything_is_taken_back(
    place: Place, slow: Slow
) -> None:
    pause, told = Pause(), Told()
    slow.hooks["a"] = pause

    async def wait(context: LocalContext) -> None:
        await pause.reached.wait()

    def look(context: LocalContext) -> None:
        assert slow.ended == ["a"]

    place.box.after["b"], place.box.on_compensate["b"] = wait, look
    async with place.open() as rt:
        slow.register(rt)
        with rt.telling(told):
            result = await rt.run(workflow(alone("a"), alone("b", "box.put"), fail(depends_on=["b"])))
        assert result.status is RunState.ROLLED_BACK
        assert states(result) == {"a": "pending", "b": "compensated", "end": "failed"}
        assert (slow.ended, place.box.values) == (["a"], {})
        rt.require_sound_rows()


async def test_a_preparation_that_will_not_be_stopped_leads_to_nothing(place: Place, slow: Slow) -> None:
    """It swallows its cancellation and ends as if nothing had been; its call ends, with its cleanups, and has no effect."""
    reached, cleaned = asyncio.Event(), list[str]()

    async def deaf(context: LocalContext) -> None:
        context.on_cleanup(lambda: cleaned.append(context.step))
        reached.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            return

    slow.hooks["a"] = deaf
    async with place.open() as rt:
        slow.register(rt)
        running = asyncio.ensure_future(rt.run(workflow(put("a", "box.slow"))))
        await reached.wait()
        [run] = rt._core.running.under_way()
        result = await rt.cancel(run)
        assert (result.status, (await running).status) == (RunState.CANCELLED, RunState.CANCELLED)
        assert (cleaned, place.box.values) == (["a"], {})
        assert "step.started" not in rt.kinds(run)


async def test_a_thread_that_prepares_is_asked_to_end(place: Place) -> None:
    reached, heard = threading.Event(), list[bool]()

    def prepare(context: LocalContext, parameters: dict[str, Any]) -> Any:
        reached.set()
        heard.append(context.cancel.wait(30))

    async with place.open() as rt:
        rt.register(put_spec("box.slow"), place.box.handler(prepare=prepare))
        running = asyncio.ensure_future(rt.run(workflow(put("a", "box.slow"))))
        await asyncio.get_running_loop().run_in_executor(None, reached.wait, 30)
        await rt.cancel(rt._core.running.under_way()[0])
        assert ((await running).status, heard) == (RunState.CANCELLED, [True])


async def test_a_preparation_has_its_steps_limit(place: Place, slow: Slow) -> None:
    slow.hooks["b"] = Pause()
    async with place.open() as rt:
        slow.register(rt, timeout=0.05)
        result = await rt.run(workflow(put("a"), put("b", "box.slow")))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "STEP_TIMEOUT")
        assert (slow.ended, place.box.values) == (["b"], {})


async def test_a_runtime_that_closes_ends_it_and_another_prepares_it_afresh(place: Place, slow: Slow) -> None:
    pause, told = Pause(), Told()
    slow.hooks["b"] = pause
    async with place.open() as rt:
        slow.register(rt, operation_type=OperationType.EXECUTE)
        with rt.telling(told):
            running = asyncio.ensure_future(rt.run(workflow(put("a"), put("b", "box.slow"))))
            await told.until("step.preparing", "b")
        run = (await rt.unfinished())[0]
    assert slow.ended == ["b"]
    await asyncio.wait({running})
    running.exception()
    del slow.hooks["b"]
    async with place.open() as rt:
        slow.register(rt, operation_type=OperationType.EXECUTE)
        [result] = await rt.resume(run)
        assert (result.status, place.box.values) == (RunState.SUCCEEDED, {"a": "a", "b": "b"})


async def test_a_session_that_is_cancelled_answers_whoever_waits_for_a_step(place: Place, slow: Slow) -> None:
    pause = Pause()
    slow.hooks["a"] = pause
    async with place.open() as rt:
        slow.register(rt)
        session = await rt.session()
        calling = asyncio.ensure_future(session.call("box.slow", {"key": "a"}))
        await pause.reached.wait()
        assert (await session.cancel()).status is RunState.CANCELLED
        told = await calling
        assert (told.status, (told.error or {})["code"]) == ("pending", "RUN_CANCELLED")


class BrokenError(BaseException):
    """Nothing that a handler should raise."""


async def test_a_failure_of_our_own_stops_the_run_where_it_is(place: Place, slow: Slow) -> None:
    async def broken(context: LocalContext) -> None:
        await asyncio.sleep(0)
        raise BrokenError

    slow.hooks["b"] = broken
    async with place.open() as rt:
        slow.register(rt)
        with pytest.raises(BrokenError):
            await rt.run(workflow(put("a"), put("b", "box.slow")))
        del slow.hooks["b"]
        [result] = await rt.resume((await rt.unfinished())[0])
        assert result.status is RunState.SUCCEEDED


async def test_a_run_that_breaks_ends_what_is_being_prepared(
    place: Place, slow: Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow.hooks["a"] = Pause()

    async def full(batch: Any) -> Any:
        raise WorldError("DISK_FULL", "no space")

    async with place.open() as rt:
        slow.register(rt)
        await rt.call("box.put", {"key": "first"})  # what is registered is on record
        with monkeypatch.context() as patch:
            patch.setattr(rt._core.ready.journal, "append", full)
            with pytest.raises(WorldError):
                await rt.run(workflow(alone("a"), alone("b", "box.put")))
        assert slow.ended == ["a"]


async def test_a_policy_that_changed_meanwhile_is_asked_afresh(place: Place, slow: Slow) -> None:
    """What was allowed by the old one does not begin under the new one; the call that was prepared has ended."""
    place.policy = ALLOW
    cleaned, pause = list[str](), Pause()

    async def prepare(context: LocalContext) -> None:
        context.on_cleanup(lambda: cleaned.append(context.step))
        await pause(context)

    slow.hooks["a"] = prepare
    async with place.open() as rt:
        slow.register(rt)
        running = asyncio.ensure_future(rt.run(workflow(put("a", "box.slow"))))
        await pause.reached.wait()
        rt._core.gate.replace(PolicyEngine.from_dict(DENY))
        pause.go_on.set()
        result = await running
        assert (states(result), cleaned, place.box.values) == ({"a": "denied"}, ["a"], {})
        assert "step.started" not in rt.kinds(result.run_id)


HANDED = {"key": "a", "value": "text"}
COMPLETED = {**KEYED, "properties": {"key": {"type": "string"}, "value": {"default": "text"}}}
ONE = workflow(
    {"name": "a", "capability": "box.slow", "inputs": {name: f"${{{{ inputs.{name} }}}}" for name in HANDED}},
    inputs={"key": "string", "value": "string"},
)


async def in_session(rt: Bench) -> None:
    await (await rt.session()).call("box.slow", HANDED)


@pytest.mark.parametrize(
    ("handing", "kind"),
    [
        (lambda rt: rt.call("box.slow", {"key": "a"}), ev.RunCreated),
        (lambda rt: rt.run(ONE, HANDED), ev.RunCreated),
        (in_session, ev.StepAdded),
    ],
    ids=["call", "workflow", "session"],
)
async def test_what_was_handed_over_is_kept_when_the_policy_changes_meanwhile(
    place: Place,
    slow: Slow,
    handing: Callable[[Bench], Coroutine[Any, Any, Any]],
    kind: type[ev.RunCreated | ev.StepAdded],
) -> None:
    """It is bound once, for the run and for the step; the step is not begun so, and the run is on record all the same."""
    place.policy, pause = ALLOW, Pause()
    slow.hooks["a"] = pause
    async with place.open() as rt:
        slow.register(rt, parameters=COMPLETED)
        running = asyncio.create_task(handing(rt))
        await pause.reached.wait()
        rt._core.gate.replace(PolicyEngine.from_dict(policy({"id": "another", "decision": "ALLOW"})))
        pause.go_on.set()
        await running
        *_, row = rows_at_once(rt._core.ready.journal, "runs")
        events = rt.recorded(str(row["run_id"]))
        [asked] = [event.inputs for event in events if isinstance(event, kind)]
        [started] = [event for event in events if isinstance(event, ev.StepStarted)]
        assert (started.rule, started.inputs) == ("another", asked)
        assert await load_json(rt._core.ready.journal, asked) == HANDED


async def test_what_was_prepared_while_the_gate_was_shut_is_prepared_again_after_it(
    place: Place, slow: Slow
) -> None:
    """The run pauses meanwhile."""
    place.policy = ALLOW
    pause, again = Pause(), Pause()
    slow.hooks["a"] = pause
    async with place.open() as rt:
        slow.register(rt)
        running = asyncio.ensure_future(rt.run(workflow(put("first"), put("a", "box.slow"))))
        await pause.reached.wait()
        rt._core.gate.shut(InputError("POLICY_INVALID", "it can't be read"))
        pause.go_on.set()
        assert (await running).status is RunState.RUNNING
        assert place.box.values == {"first": "first"}
        slow.hooks["a"] = again
        rt._core.gate.replace(PolicyEngine.from_dict(ALLOW))
        again.go_on.set()
        [result] = await rt.resume((await rt.unfinished())[0])
        assert (result.status, slow.ended) == (RunState.SUCCEEDED, ["a", "a"])


async def test_a_step_in_doubt_ends_what_is_being_prepared(place: Place, slow: Slow) -> None:
    """No step may begin before a person has said what became of that one; then the other is prepared afresh."""
    pause = Pause()
    slow.hooks["a"] = pause

    async def unknown(context: LocalContext) -> None:
        await pause.reached.wait()
        raise RuntimeError

    place.box.after["b"] = unknown
    place.box.on_reconcile["b"] = Reconciliation(Verdict.UNKNOWN)
    async with place.open() as rt:
        slow.register(rt)
        doubted = await rt.run(workflow(alone("a"), alone("b", "box.put")))
        assert (doubted.status, slow.ended) == (RunState.NEEDS_ATTENTION, ["a"])
        assert states(doubted) == {"a": "pending", "b": "in_doubt"}
        pause.go_on.set()
        result = await rt.resolve(doubted.run_id, "b", Resolution.HAPPENED)
        assert (result.status, slow.ended) == (RunState.SUCCEEDED, ["a", "a"])


async def test_a_gate_that_opens_lets_others_begin_while_an_effect_is_under_way(place: Place) -> None:
    place.policy = ALLOW
    long, short, told = Pause(), Pause(), Told()
    place.box.before["a"], place.box.after["b"] = long, short
    async with place.open() as rt:
        with rt.telling(told):
            running = asyncio.ensure_future(
                rt.run(workflow(alone("a", "box.put"), alone("b", "box.put"), put("c", depends_on=["b"])))
            )
            await short.reached.wait()
            rt._core.gate.shut(InputError("POLICY_INVALID", "it can't be read"))
            short.go_on.set()
            await told.until("step.succeeded", "b")
            rt._core.gate.replace(PolicyEngine.from_dict(ALLOW))
            rt._core.running.wake()
            await told.until("step.succeeded", "c")
        long.go_on.set()
        assert (await running).status is RunState.SUCCEEDED


async def test_an_approval_that_expired_meanwhile_is_not_used(place: Place, slow: Slow) -> None:
    place.policy, place.clock = ASK, FakeClock()
    pause = Pause()
    slow.hooks["a"] = pause
    async with place.open() as rt:
        slow.register(rt)
        waiting = await rt.run(workflow(put("a", "box.slow")))
        approving = asyncio.ensure_future(rt.approve(waiting.run_id))
        await pause.reached.wait()
        place.clock.ms += 3_600_000
        pause.go_on.set()
        result = await approving
        assert (code(result), place.box.values) == ("APPROVAL_EXPIRED", {})


async def test_a_retry_whose_policy_changed_while_it_was_prepared_is_tried_again(
    place: Place, slow: Slow
) -> None:
    place.policy = ALLOW
    pause = Pause()

    def first(context: LocalContext) -> None:
        if context.attempt == 1:
            slow.hooks["a"] = pause
            raise InputError("TRY_AGAIN", "not now")

    place.box.before["a"] = first
    async with place.open() as rt:
        slow.register(rt)
        retry = {"max_attempts": 2, "backoff": {"initial": "1ms"}}
        running = asyncio.ensure_future(rt.run(workflow(put("a", "box.slow", retry=retry))))
        await pause.reached.wait()
        rt._core.gate.replace(PolicyEngine.from_dict(policy({"id": "another", "decision": "ALLOW"})))
        pause.go_on.set()
        result = await running
        assert (result.status, len(slow.ended)) == (RunState.SUCCEEDED, 3)
        last = [event for event in rt.recorded(result.run_id) if isinstance(event, ev.StepStarted)][-1]
        assert (last.attempt, last.rule) == (2, "another")


@pytest.mark.parametrize(("read", "sent"), [("reads_private", "denied"), ("reads_untrusted", "succeeded")])
async def test_what_the_run_reads_while_a_step_is_prepared_is_asked_about(
    place: Place, slow: Slow, read: str, sent: str
) -> None:
    """A step that may send begins after another has read: what the gate says of that counts. Its own labels are not others'."""
    place.policy = policy(
        {
            "id": "stays",
            "decision": "DENY",
            "when": {"capability": "box.slow"},
            "if": '"reads_private" in run.labels',
        },
        {"id": "rest", "decision": "ALLOW"},
    )
    pause, told = Pause(), Told()
    slow.hooks["a"] = pause
    async with place.open() as rt:
        slow.register(rt, labels=frozenset({"reads_private"}))
        rt.register(put_spec("box.study", labels=frozenset({read})), place.box.handler())
        with rt.telling(told):
            running = asyncio.ensure_future(rt.run(workflow(alone("a"), alone("b", "box.study"))))
            await told.until("step.succeeded", "b")
        pause.go_on.set()
        result = await running
        assert states(result)["a"] == sent
        assert slow.ended == ["a"]


async def test_two_steps_that_were_prepared_at_once_do_not_overwrite_each_other(place: Place) -> None:
    """Both saw the file as it was before either wrote it; one of them is refused, and the other is taken back."""
    found = {spec.id: (spec, handler) for spec, handler in builtin_catalog()}
    spec, known = found["io.fs.write_file"]
    handler = known.loaded()
    both = asyncio.Barrier(2)

    async def prepare(context: LocalContext, parameters: Any) -> Any:
        assert handler.prepare is not None
        answer: Any = await asyncio.get_running_loop().run_in_executor(
            None, handler.prepare, context, parameters
        )
        await both.wait()
        return answer

    async with place.open() as rt:
        slow_spec = CapabilitySpec.from_json({**spec.to_json(), "id": "box.write"})
        rt.register(slow_spec, dataclasses.replace(handler, prepare=prepare))
        (place.workspace / "f").write_text("before")
        steps = [
            {
                "name": name,
                "capability": "box.write",
                "depends_on": [],
                "inputs": {"path": "f", "content": name},
            }
            for name in "ab"
        ]
        result = await rt.run(workflow(*steps))
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "FILE_CHANGED")
        assert sorted(states(result).values()) == ["compensated", "failed"]
        assert (place.workspace / "f").read_text() == "before"


@pytest.mark.parametrize("has_begun", [False, True])
@pytest.mark.parametrize(
    ("deed", "heard", "ends"),
    [
        ("approve", ("approval.granted", "b"), (RunState.SUCCEEDED, RunState.SUCCEEDED)),
        ("reject", ("approval.rejected", "b"), (RunState.FAILED, RunState.ROLLED_BACK)),
        ("cancel", ("run.cancel_requested", ""), (RunState.CANCELLED, RunState.CANCELLED)),
        ("undo", ("approval.granted", "b"), (RunState.UNDONE, RunState.UNDONE)),
    ],
)
async def test_what_people_say_after_a_step_was_approved_and_before_it_has_begun_is_replayed(
    place: Place,
    slow: Slow,
    deed: str,
    heard: tuple[str, str],
    ends: tuple[RunState, ...],
    *,
    has_begun: bool,
) -> None:
    """And what they say after it has begun. What replays it is a fixture of this module."""
    place.policy = ASK
    pause, told = Pause(), Told()
    (place.box.before if has_begun else slow.hooks)["a"] = pause
    async with place.open() as rt:
        slow.register(rt)
        run = (await rt.run(workflow(alone("a"), alone("b")))).run_id
        with rt.telling(told):
            approving = asyncio.ensure_future(rt.approve(run, "a"))
            await pause.reached.wait()
            words = {"reject": lambda: rt.reject(run, "b"), "cancel": lambda: rt.cancel(run)}
            saying = asyncio.ensure_future(words.get(deed, lambda: rt.approve(run, "b"))())
            await told.until(*heard)
        pause.go_on.set()
        await asyncio.gather(approving, saying)
        if deed == "undo":
            await rt.undo(run)
        assert (await rt.show(run)).status is ends[has_begun]


async def test_who_adds_steps_to_a_session_at_once_hears_of_their_own_alone(place: Place, slow: Slow) -> None:
    """Whoever came first has the session driven, and hears no more for that."""
    pause, first, second = Pause(), Told(), Told()
    slow.hooks["a"] = pause
    async with place.open() as rt:
        slow.register(rt)
        session = await rt.session()
        with rt.telling(first):
            adding = asyncio.ensure_future(session.call("box.slow", {"key": "a", "value": "a"}))
            await pause.reached.wait()
        with rt.telling(second):
            await session.call("box.put", {"key": "b", "value": "b"})
        pause.go_on.set()
        await adding
    for told, step in ((first, "step_1"), (second, "step_2")):
        steps = [kind for kind, of in told.all if of]
        assert (steps[0], steps[-1]) == ("step.added", "step.succeeded")
        assert {of for _, of in told.all if of} == {step}
