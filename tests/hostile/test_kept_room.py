"""Failing on purpose is no way past a limit: room for what a step may lead to is kept when it is admitted.

The kind: each way in which a call leads to another, each thing that a limit measures, each that it counts for, each way in which
a run takes back. What is tried is always the most that gets through: never more than the limit, and as much as it lets pass.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest

from assent.engine import RunResult
from assent.errors import RefusedError
from assent.invocation import LocalContext
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from assent.spec import Compensation, RiskLevel, SideEffects
from assent.spec.events import kinds as ev
from assent.spec.states import RunState
from tests.support.bodies import (
    Bench,
    FakeClock,
    Pause,
    Place,
    boom,
    code,
    fail,
    no_effect,
    policy,
    put,
    put_spec,
    rule,
    workflow,
)
from tests.support.services import Web
from tests.support.web import Reply, serving

HOUR_MS: Final = 3_600_000
SENDS: Final = {"capability": "box.send", "inputs": {"key": "way"}}

WAYS: Final[dict[str, dict[str, Any]]] = {
    "literal": put("a", value="way", compensation=SENDS),
    "own output": put(
        "a",
        value="way",
        compensation={"capability": "box.send", "inputs": {"key": "${{ steps.a.output.value }}"}},
    ),
    "iteration": put(
        "a",
        value="way",
        foreach=["way"],
        compensation={"capability": "box.send", "inputs": {"key": "${{ item }}"}},
    ),
    "named by the spec": put("a", "box.charge", value="way"),
}
"""Each step whose way back is a call of `box.send`."""

SIZE: Final = len('{"key":"way"}')
BOTH: Final = '{"key":"a","value":"way"}'
SIZES: Final = {"named by the spec": len(f'{{"inputs":{BOTH},"output":{BOTH}}}')}
"""Bytes of that call's inputs, where they are not those of `SENDS`."""

LATE: Final = {"own output", "named by the spec"}
"""Those of which the whole size is known once the step has its output."""


def limited(measure: str = "calls", *, size: int = SIZE, **fields: Any) -> dict[str, Any]:
    """A policy under which `box.send` may be called three times an hour."""
    amounts: dict[str, dict[str, Any]] = {
        "calls": {"calls": 3},
        "bytes_out": {"bytes_out": 3 * size},
        "cost": {"cost": 6, "prices": {"box.send": 2}},
    }
    limit = {"id": "few", "when": {"capability": "box.send"}, "window": "1h", **amounts[measure], **fields}
    return {**policy(rule("all", without_approval=True)), "limits": [limit]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=limited(), clock=FakeClock(), grace_s=5.0, concurrency=8)


def register(place: Place, rt: Bench, *, beside: int = 0) -> None:
    """`box.send`, which sends out its inputs and so much `beside`; `box.charge`, which names it as its way back."""

    async def send(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        place.box.log.append("sent")
        context.count_sent(beside)
        hook = place.box.before.get("send")
        if hook is not None and asyncio.iscoroutine(waits := hook(context)):
            await waits
        return {}

    offset: dict[str, Any] = {
        "level": RiskLevel.HIGH,
        "side_effects": SideEffects(reversible=False),
        "compensation": Compensation(supported=True, strategy="offset", capability_id="box.send"),
    }
    rt.register(put_spec("box.charge", **offset), place.box.handler(compensate=None))
    parts = place.box.handler(execute=send, prepare=None, reconcile=None, preview=None)
    labels = frozenset({"sends_external"})
    rt.register(put_spec("box.send", parameters={"type": "object"}, labels=labels), parts)


def sent(place: Place) -> int:
    return place.box.log.count("sent")


async def said(waits: Any) -> str | None:
    """The code with which something ended, or was refused."""
    try:
        return code(await waits)
    except RefusedError as refusal:
        return refusal.code


async def one_by_one(rt: Bench, step: dict[str, Any]) -> list[str | None]:
    return [await said(rt.run(workflow(step, fail()))) for _ in range(5)]


async def at_once(rt: Bench, step: dict[str, Any]) -> list[str | None]:
    return await asyncio.gather(*(said(rt.run(workflow(step, fail()))) for _ in range(5)))


async def undone(rt: Bench, step: dict[str, Any]) -> list[str | None]:
    """Nothing is kept for a run that has ended; an undo begins where there is room for all of it."""
    runs = [await rt.run(workflow(step)) for _ in range(5)]
    return [await said(rt.undo(run.run_id)) for run in runs]


async def cancelled(rt: Bench, step: dict[str, Any]) -> list[str | None]:
    wait = {"name": "wait", "wait": {"signal": "never"}}
    runs = [await rt.run(workflow(step, wait)) for _ in range(5)]
    return [
        await said(rt.cancel(run.run_id)) if run.status is RunState.WAITING else code(run) for run in runs
    ]


CASES: Final = [
    (way, measure, turn)
    for way in WAYS
    for measure in ("calls", "bytes_out", "cost")
    for turn in (one_by_one, at_once, undone, cancelled)
    # Several at once find the room before any of them has an output.
    if not (way in LATE and measure == "bytes_out" and turn is at_once)
]


@pytest.mark.parametrize("per", ["principal", "all"])
@pytest.mark.parametrize(("way", "measure", "turn"), CASES)
async def test_no_more_is_sent_in_taking_back_than_a_limit_lets_pass(
    place: Place, way: str, measure: str, per: str, turn: Any
) -> None:
    """Nor less; in this process and the next, which both deny with the time when it opens, and then it does."""
    assert place.clock is not None
    place.policy = limited(measure, size=SIZES.get(way, SIZE), per=per)
    async with place.open() as rt:
        register(place, rt)
        codes = await turn(rt, WAYS[way])
        assert (sent(place), codes.count("LIMIT_REACHED")) == (3, 2)
    async with place.open() as rt:
        register(place, rt)
        assert code(await rt.call("box.send", {"key": "way"})) == "LIMIT_REACHED"
        place.clock.ms += HOUR_MS
        assert code(await rt.call("box.send", {"key": "way"})) is None


@pytest.mark.parametrize("measure", ["calls", "bytes_out", "cost"])
async def test_each_run_has_its_own_count_of_what_it_may_lead_to(place: Place, measure: str) -> None:
    """Of five steps one after the other, and at once, as many go as can all be taken back; another run has as many."""
    place.policy = limited(measure, per="run")
    shapes: list[dict[str, Any]] = [{}, {"depends_on": []}, {"foreach": [1, 2, 3, 4, 5]}]
    for fields in shapes:
        steps = [
            {**WAYS["literal"], "name": f"s{number}", **fields}
            for number in range(1 if "foreach" in fields else 5)
        ]
        place.box.log.clear()
        async with place.open() as rt:
            register(place, rt)
            for expected in (3, 6):
                ended = await rt.run(workflow(*steps))
                assert (code(ended), ended.status, sent(place)) == (
                    "LIMIT_REACHED",
                    RunState.ROLLED_BACK,
                    expected,
                )


@pytest.mark.parametrize("is_restarted", [False, True])
async def test_room_is_kept_for_as_long_as_it_may_be_needed(place: Place, *, is_restarted: bool) -> None:
    """However long ago the step was, and in another process; then it is used, or given back when the run ends without."""
    assert place.clock is not None
    signal = {"name": "wait", "wait": {"signal": "go"}}
    for how, expected in {"signal": (0, 3), "cancel": (3, 0)}.items():
        place.box.log.clear()
        place.clock.ms += HOUR_MS
        async with place.open() as rt:
            register(place, rt)
            runs = [await rt.run(workflow(WAYS["literal"], signal)) for _ in range(3)]
            found = None if is_restarted else await freed(place, rt, runs, how)
        if is_restarted:
            async with place.open() as rt:
                register(place, rt)
                found = await freed(place, rt, runs, how)
        assert found == expected


async def freed(place: Place, rt: Bench, runs: list[RunResult], how: str) -> tuple[int, int]:
    """How many ways back were gone, and how many calls fit once the runs have ended; before, a window later, none does."""
    assert place.clock is not None
    place.clock.ms += 2 * HOUR_MS
    refused = await rt.call("box.send", {"key": "x"})
    assert refused.error is not None
    assert code(refused) == "LIMIT_REACHED"
    assert "3 of 3 calls used, 3 calls of it kept" in str(refused.error["message"])
    assert "opens again" not in str(refused.error["message"])
    for run in runs:
        await (rt.cancel(run.run_id) if how == "cancel" else rt.signal(run.run_id, "go"))
    gone = sent(place)
    left = [code(await rt.call("box.send", {"key": "x"})) for _ in range(4)].count(None)
    place.clock.ms += HOUR_MS
    return gone, left


async def test_what_can_not_be_taken_back_any_more_keeps_no_room(place: Place) -> None:
    """In a session that goes on: a step without an effect, denied, refused by a hook; and each only once, tried again or not."""
    place.box.before["a"] = no_effect
    again = {"max_attempts": 3, "on": ["TRY_AGAIN"], "backoff": {"initial": "1ms", "jitter": 0}}
    async with place.open() as rt:
        register(place, rt)
        opened = await rt.session()
        for _ in range(5):
            await opened.call("box.charge", {"key": "a"})
            retried = await rt.run(workflow(put("a", compensation=SENDS, retry=again)))
            assert code(retried) == "TRY_AGAIN"
        assert [code(await rt.call("box.send", {"key": "x"})) for _ in range(4)].count(None) == 3
        await opened.close()


async def test_a_step_of_which_both_can_never_pass_is_told_so(place: Place) -> None:
    place.policy = limited(when={"capability": "box.*"}, calls=1)
    async with place.open() as rt:
        register(place, rt)
        denied = await rt.run(workflow(WAYS["literal"]))
        assert denied.error is not None
        assert "this call and what comes with it take 2 calls, which is more than it ever lets pass" in str(
            denied.error["message"]
        )
        assert place.box.log == []
        plan = await rt.plan(workflow(WAYS["literal"]))
        assert [(one.decision, one.rule) for one in plan.steps] == [("DENY", "few")]


async def test_a_plan_keeps_the_room_that_its_steps_would(place: Place) -> None:
    """It counts nothing itself, and a rollback uses no more than its plan foresaw."""
    steps = workflow(*({**WAYS["literal"], "name": f"s{number}"} for number in range(5)))
    async with place.open() as rt:
        register(place, rt)
        for _ in range(2):
            plan = await rt.plan(steps)
            assert [one.decision for one in plan.steps] == ["ALLOW"] * 3 + ["DENY"] * 2
        ended = await rt.run(steps)
        assert [one.status.value for one in ended.steps] == ["compensated"] * 3 + ["denied", "pending"]


@pytest.mark.parametrize("is_resumed", [False, True])
async def test_another_try_at_a_way_back_is_another_call(place: Place, *, is_resumed: bool) -> None:
    """What failed is tried again where there is room, and needs attention where there is none: until there is."""
    assert place.clock is not None
    place.box.before["send"] = boom
    async with place.open() as rt:
        register(place, rt)
        first = await rt.run(workflow(WAYS["literal"], fail()))
        assert (first.status, sent(place)) == (RunState.NEEDS_ATTENTION, 3), "three tries"
        assert code(await rt.run(workflow(WAYS["literal"], fail()))) == "LIMIT_REACHED"
        for _ in range(2):
            (stuck,) = await rt.resume(first.run_id)
            assert (code(stuck), sent(place)) == ("LIMIT_REACHED", 3)
        replayed = await rt.replay(first.run_id)
        assert replayed.to_json()["differences"] == []
    place.clock.ms += HOUR_MS
    del place.box.before["send"]
    async with place.open() as rt:
        register(place, rt)
        (ended,) = await rt.resume(first.run_id)
        assert (ended.status, sent(place)) == (RunState.ROLLED_BACK, 4)


async def test_a_process_that_ends_in_a_way_back_holds_none_up(place: Place) -> None:
    """The next one goes on with it, though nothing is left: it was let go before."""
    pause = Pause()
    place.policy = limited(calls=1)
    place.box.before["send"] = pause
    async with place.open() as rt:
        register(place, rt)
        running = asyncio.ensure_future(rt.run(workflow(WAYS["literal"], fail())))
        await pause.reached.wait()
        run = (await rt.unfinished())[-1]
    await asyncio.wait({running})
    running.exception()
    del place.box.before["send"]
    async with place.open() as rt:
        register(place, rt)
        (ended,) = await rt.resume(run)
        assert ended.status is RunState.ROLLED_BACK
        assert code(await rt.call("box.send", {"key": "x"})) == "LIMIT_REACHED"


async def test_bytes_that_a_way_back_sends_beside_its_inputs_count(place: Place) -> None:
    """In this process and the next, of each try once; by another call and by the capability's own `compensate`."""

    async def beside(context: LocalContext) -> None:
        context.count_sent(5000)

    place.policy = limited("bytes_out", bytes_out="20KiB", when={"capability": ["box.send", "box.own"]})
    place.box.on_compensate["own"] = beside
    for number, step in enumerate((WAYS["literal"], put("own", "box.own")), start=1):
        async with place.open() as rt:
            register(place, rt, beside=5000)
            rt.register(put_spec("box.own", labels=frozenset({"sends_external"})), place.box.handler())
            ended = await rt.run(workflow(step, fail()))
            assert ended.status is RunState.ROLLED_BACK
            used = await used_of(rt)
            assert 0 <= used - number * 5000 < 100
        async with place.open() as rt:
            register(place, rt)
            assert await used_of(rt) == used


async def test_each_try_counts_what_it_sent(place: Place) -> None:
    """On record once, with what came of the last."""
    place.policy = limited("bytes_out", bytes_out="20KiB")
    place.box.before["send"] = boom
    for _ in range(2):
        async with place.open() as rt:
            register(place, rt, beside=5000)
            if not place.box.log:
                ended = await rt.run(workflow(WAYS["literal"], fail()))
                assert ended.status is RunState.NEEDS_ATTENTION
            assert await used_of(rt) == 3 * (5000 + SIZE)


async def used_of(rt: Bench) -> int:
    """What is used of the limit."""
    explanation, _ = await rt._core.explain("box.send", {"key": "x"})
    return explanation.limits[0].used


@pytest.mark.parametrize("way", WAYS)
async def test_the_record_alone_tells_why_and_what_was_kept(place: Place, way: str) -> None:
    """Explained and replayed to the same, whatever is used by then; where nothing is limited nothing more is recorded."""
    place.policy = limited("bytes_out", size=SIZES.get(way, SIZE))
    async with place.open() as rt:
        register(place, rt)
        runs = [await rt.run(workflow(WAYS[way], fail())) for _ in range(4)]
        assert code(runs[-1]) == "LIMIT_REACHED"
        for run in runs:
            told = await Service(rt._core.settings, rt._core).perform(
                requests.ExplainDecisions(run=run.run_id)
            )
            assert [one.rule for one in told.decisions if one.agrees is False] == []
            assert (await rt.replay(run.run_id)).to_json()["differences"] == []
        [kept] = [
            one.keeps
            for one in rt.recorded(runs[0].run_id)
            if isinstance(one, ev.StepSucceeded) and one.keeps
        ]
        assert kept == (ev.Counted("few", "bytes_out", SIZES.get(way, SIZE)),)
    place.policy = policy(rule("all", without_approval=True))
    async with place.open() as rt:
        register(place, rt)
        run = await rt.run(workflow(WAYS[way], fail()))
        recorded = rt.recorded(run.run_id)
        assert [one.counted for one in recorded if isinstance(one, ev.ConsequenceDecided)] == [()]
        assert [one.keeps for one in recorded if isinstance(one, ev.StepSucceeded) and one.keeps] == []


async def test_a_refused_undo_replays_to_the_same(place: Place) -> None:
    async with place.open() as rt:
        register(place, rt)
        runs = [await rt.run(workflow(WAYS["literal"])) for _ in range(4)]
        found = [await said(rt.undo(run.run_id)) for run in runs]
        assert found == [None, None, None, "LIMIT_REACHED"]
        for run in runs:
            assert (await rt.replay(run.run_id)).to_json()["differences"] == []
        obstacle = (await rt.plan_undo(runs[-1].run_id)).rehearsal.obstacle
        assert obstacle is not None
        assert obstacle.failure is not None
        assert obstacle.failure.code == "LIMIT_REACHED"
        assert (
            "is held up: limit `few` lets 3 calls pass within 1h for each principal; 3 of 3"
            in obstacle.failure.message
        )


@pytest.mark.parametrize("turn", [one_by_one, undone])
@pytest.mark.parametrize("amount", [{"calls": 3}, {"cost": 6, "prices": {"net.http.delete": 2}}])
async def test_compensating_requests_are_held_to_limits(
    place: Place, amount: dict[str, Any], turn: Any
) -> None:
    """What a capability tells that its own `compensate` comes to."""
    place.policy = {
        **limited(),
        "limits": [{"id": "few", "when": {"capability": "net.http.delete"}, "window": "1h", **amount}],
    }
    with serving(lambda _: Reply(200, [("content-type", "application/json")], b'{"id": 7}')) as site:
        web = Web(place, site.port)
        offset = {"method": "DELETE", "url": web.url("/items/{id}"), "from_answer": {"id": "body.id"}}
        send = {
            "name": "a",
            "capability": "net.http.post_compensated",
            "inputs": {"url": web.url("/items"), "compensation": offset},
        }
        async with web.open() as rt:
            codes = await turn(rt, send)
        asked = [one.method for one in site.asked]
        assert (asked.count("DELETE"), codes.count("LIMIT_REACHED")) == (3, 2)


async def test_the_webhook_of_an_undo_is_held_to_limits(place: Place) -> None:
    """With the first one: both are of the same capability."""
    place.policy = {
        **limited(),
        "limits": [{"id": "few", "when": {"capability": "notify.webhook"}, "window": "1h", "calls": 1}],
    }
    async with place.open() as rt:
        result = await rt.call("notify.webhook", {"endpoint": "ops", "type": "invoice.paid"})
        assert result.error is not None
        assert code(result) == "LIMIT_REACHED"
        assert "this call and what comes with it take 2 calls" in str(result.error["message"])
        [decided] = [one for one in rt.recorded(result.run_id) if isinstance(one, ev.ConsequenceDecided)]
        assert (decided.role, decided.rule, decided.counted) == ("webhook", "few", ())
