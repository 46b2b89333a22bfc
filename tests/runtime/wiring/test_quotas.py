"""The limits of a policy in a whole runtime: denied at the gate, with the time when it opens, counted across processes."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assent.engine import RunResult
from assent.errors import Json
from assent.invocation import LocalContext
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from assent.spec import create_read_capability
from assent.spec.events import kinds as ev
from tests.engine.test_timers import JumpingClock
from tests.support.bodies import KEYED, Bench, FakeClock, Place, code, policy, put, rule, states, workflow

HOUR_MS = 3_600_000
TWO_AN_HOUR = {
    "id": "two",
    "when": {"capability": "box.*"},
    "window": "1h",
    "calls": 2,
    "reason": "two will do",
}


def limited(*limits: dict[str, Any], **fields: Any) -> dict[str, Any]:
    """A policy that allows everything, within limits."""
    return {**policy(**fields), "limits": [*limits]}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=limited(TWO_AN_HOUR), clock=FakeClock(), grace_s=5.0)


def details(result: RunResult) -> dict[str, Any]:
    """What a run's error tells programs."""
    assert result.error is not None
    found = result.error["details"]
    assert isinstance(found, dict)
    return found


async def explained(rt: Bench, run: str) -> list[Any]:
    """The answers of the gate about a run, each explained from the record."""
    asked = requests.ExplainDecisions(run=run)
    told = await Service(rt._core.settings, rt._core).perform(asked)
    return told.decisions


async def test_a_call_too_many_is_denied_and_told_when_it_opens(place: Place) -> None:
    """Nothing of it is prepared; other principals and capabilities are apart; refused ones keep nobody out."""
    assert place.clock is not None
    async with place.open() as rt:
        began_ms = place.clock.now_ms()
        for key in ("a", "b"):
            assert (await rt.call("box.put", {"key": key})).status == "succeeded"
        found = [await rt.call("box.put", {"key": "c"}) for _ in range(3)]
        assert [code(one) for one in found] == ["LIMIT_REACHED"] * 3
        refused = found[-1]
        opens_ms = details(refused)["opens_at_ms"]
        assert details(refused)["rule"] == "two"
        assert began_ms + HOUR_MS <= opens_ms <= place.clock.now_ms() + HOUR_MS
        assert refused.error is not None
        assert "two will do; 2 of 2 calls used, and it opens again at 20" in str(refused.error["message"])
        assert str(refused.error["hint"]).startswith("try again at 20")
        assert place.box.count("prepare", "c") == 0
        assert (await rt.call("box.put", {"key": "d"}, principal="agent:other")).status == "succeeded"
        assert (await rt.call("sys.noop")).status == "succeeded"
        place.clock.ms += opens_ms - place.clock.now_ms()
        assert (await rt.call("box.put", {"key": "c"})).status == "succeeded"


async def test_what_earlier_processes_called_counts(place: Place) -> None:
    """Each command is a process of its own; the next one knows what was used from the journal, denied calls apart."""
    assert place.clock is not None
    async with place.open() as rt:
        await rt.call("box.put", {"key": "a"})
    async with place.open() as rt:
        assert (await rt.call("box.put", {"key": "b"})).status == "succeeded"
        first = await rt.call("box.put", {"key": "c"})
    async with place.open() as rt:
        again = await rt.call("box.put", {"key": "c"})
        assert code(again) == "LIMIT_REACHED"
        assert abs(details(first)["opens_at_ms"] - details(again)["opens_at_ms"]) <= 1000
    place.clock.ms += HOUR_MS
    async with place.open() as rt:
        assert (await rt.call("box.put", {"key": "c"})).status == "succeeded"


@pytest.mark.parametrize(
    ("limit", "calls"),
    [
        (
            {"per": "all", "calls": 2},
            [("ann", "box.put", True), ("bea", "box.put", True), ("cas", "box.put", False)],
        ),
        ({"per": "run", "calls": 1}, [("ann", "box.put", True), ("ann", "box.put", True)]),
        (
            {"cost": 5, "prices": {"box.*": 2, "box.put": 3}},
            [
                ("ann", "box.put", True),
                ("ann", "box.put", False),
                ("ann", "box.set", True),
                ("ann", "sys.noop", False),
            ],
        ),
        (
            {"calls": 1, "when": {"not": {"capability": "box.set"}}},
            [("ann", "box.put", True), ("ann", "box.set", True), ("ann", "box.put", False)],
        ),
        ({"calls": 1, "when": {"roles": "ops"}}, [("ann", "box.put", True), ("ann", "box.put", True)]),
    ],
)
async def test_what_a_limit_counts_and_for_whom(
    place: Place, limit: dict[str, Any], calls: list[tuple[str, str, bool]]
) -> None:
    place.policy = limited({"id": "x", "window": "1h", **limit})
    async with place.open() as rt:
        for who, capability, passes in calls:
            given: dict[str, Json] = {} if capability == "sys.noop" else {"key": "k"}
            result = await rt.call(capability, given, principal=f"user:{who}")
            assert (code(result) is None) is passes, (who, capability)


async def test_a_plan_tells_which_of_its_calls_a_limit_would_stop(place: Place) -> None:
    """It counts nothing itself, and knows what others have used, in the process that owns the ledger and beside it."""
    steps = workflow(*(put(name) for name in "abcd"))
    async with place.open() as rt:
        await rt.call("box.put", {"key": "x"})
        for _ in range(2):
            plan = await rt.plan(steps)
            assert [(one.decision, one.rule) for one in plan.steps] == [
                ("ALLOW", "default"),
                *[("DENY", "two")] * 3,
            ]
    beside = Bench(place.settings(), policy=rt._core._policy)._core
    beside.prepare_to_plan()
    place.register(beside)  # type: ignore[arg-type]  # it registers as a runtime does
    assert [one.decision for one in (await beside.plan(steps)).steps] == ["ALLOW", "DENY", "DENY", "DENY"]
    explanation, _ = await beside.explain("box.put", {"key": "x"})
    assert [(one.limit, one.used, one.takes, one.most) for one in explanation.limits] == [("two", 1, 1, 2)]
    await beside.close()


async def test_a_question_is_asked_again_when_what_was_approved_begins(place: Place) -> None:
    """Waiting takes nothing of a limit, an approval is no way past it, and what was approved counts as any other call."""
    place.policy = limited(TWO_AN_HOUR, default="DENY") | {
        "rules": [
            rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.set"}),
            rule("rest", without_approval=True),
        ]
    }
    async with place.open() as rt:
        first = await rt.call("box.set", {"key": "first"})
        waiting = await rt.call("box.set", {"key": "w"})
        assert waiting.status == "waiting"
        assert (await rt.call("box.put", {"key": "a"})).status == "succeeded"
        assert (await rt.approve(str(first.run_id), principal="user:boss")).status == "succeeded"
        assert code(await rt.call("box.put", {"key": "b"})) == "LIMIT_REACHED"
        ended = await rt.approve(str(waiting.run_id), principal="user:boss")
        assert (code(ended), place.box.count("execute", "w")) == ("LIMIT_REACHED", 0)
        assert "approval.voided" in rt.kinds(str(waiting.run_id))


async def test_the_record_alone_explains_a_denial(place: Place) -> None:
    """Neither the clock nor what is used by then matters; an ALLOW has its own count, and a replay comes to the same."""
    assert place.clock is not None
    async with place.open() as rt:
        result = await rt.run(workflow(put("a"), put("b"), put("c")))
        assert states(result) == {"a": "compensated", "b": "compensated", "c": "denied"}
    place.clock.ms += 40 * 24 * HOUR_MS
    async with place.open() as rt:
        told = await explained(rt, str(result.run_id))
        assert [(one.rule, one.agrees, one.asked.limits["two"].used) for one in told] == [
            ("default", True, 0),
            ("default", True, 1),
            ("two", True, 2),
        ]
        assert (
            told[-1].explained.opens_at_ms
            == told[-1].asked.limits["two"].opens_at_ms
            == details(result)["opens_at_ms"]
        )
        assert (await rt.replay(str(result.run_id))).to_json()["differences"] == []
        wider = limited({**TWO_AN_HOUR, "calls": 3})
        request = requests.SimulatePolicy(text=str(wider).replace("'", '"'), path="draft.yaml", since_ms=0)
        draft = await Service(rt._core.settings, rt._core).perform(request)
        assert [(one.was_rule, one.to, one.count) for one in draft.changes] == [("two", "ALLOW", 1)]


async def test_without_limits_nothing_more_is_recorded(place: Place) -> None:
    place.policy = policy()
    async with place.open() as rt:
        result = await rt.call("box.put", {"key": "a"})
        (started,) = [one for one in rt.recorded(str(result.run_id)) if isinstance(one, ev.StepStarted)]
        assert started.counted == ()
        (told,) = await explained(rt, str(result.run_id))
        assert told.asked.limits == {}


async def test_bytes_are_refused_before_where_they_are_known_and_counted_after_where_not(
    place: Place,
) -> None:
    """The inputs are known; what a part sends beside them counts for the calls after it, in the next process too."""

    async def send(context: LocalContext, parameters: dict[str, Any]) -> str:
        context.count_sent(parameters["value"])
        return "sent"

    place.policy = limited({"id": "out", "window": "1h", "bytes_out": "1KiB"})
    spec = create_read_capability("box.send", parameters=KEYED, labels=frozenset({"sends_external"}))

    async def said(rt: Bench, key: str, value: Json) -> str | None:
        return code(await rt.call("box.send", {"key": key, "value": value}))

    async with place.open() as rt:
        rt.register(spec, send)
        never = await rt.call("box.send", {"key": "k" * 2000, "value": 0})
        assert details(never)["opens_at_ms"] is None
        assert never.error is not None
        assert "more than it ever lets pass" in str(never.error["message"])
        assert await said(rt, "k" * 900, 0) is None
        assert await said(rt, "k" * 200, 0) == "LIMIT_REACHED"
        assert await said(rt, "k", 5000) is None, "what it will send besides, nobody knows yet"
        assert await said(rt, "k", 0) == "LIMIT_REACHED"
        assert code(await rt.call("box.look", {"key": "k" * 2000})) is None, "it sends nothing"
    async with place.open() as rt:
        rt.register(spec, send)
        assert await said(rt, "k", 0) == "LIMIT_REACHED"


async def test_what_a_resumed_call_sends_counts_at_once(place: Place) -> None:
    """Its process died before it ended; the one that goes on with it holds the next call to what it sent."""

    async def send(context: LocalContext, parameters: dict[str, Any]) -> str:
        began.set()
        await going_on.wait()
        context.count_sent(5000)
        return "sent"

    place.policy = limited({"id": "out", "window": "1h", "bytes_out": "1KiB"})
    spec = create_read_capability("box.send", parameters=KEYED, labels=frozenset({"sends_external"}))
    began, going_on = asyncio.Event(), asyncio.Event()
    async with place.open() as rt:
        rt.register(spec, send)
        running = asyncio.ensure_future(rt.call("box.send", {"key": "k"}))
        await began.wait()
    await asyncio.wait({running})
    running.exception()
    going_on.set()
    async with place.open() as rt:
        rt.register(spec, send)
        (run,) = await rt.unfinished()
        assert [one.status.value for one in await rt.resume(run)] == ["succeeded"]
        assert code(await rt.call("box.send", {"key": "k"})) == "LIMIT_REACHED"


@pytest.mark.parametrize("days", [400, -400])
async def test_a_clock_that_is_set_moves_no_window_of_a_living_runtime(place: Place, days: int) -> None:
    clock = place.clock = JumpingClock()
    async with place.open() as rt:
        assert [(await rt.call("box.put", {"key": key})).status for key in "ab"] == ["succeeded"] * 2
        clock.wrong_ms = days * 86_400_000
        clock.ms += HOUR_MS // 2
        assert code(await rt.call("box.put", {"key": "c"})) == "LIMIT_REACHED"
        clock.ms += HOUR_MS // 2
        assert (await rt.call("box.put", {"key": "c"})).status == "succeeded"


async def test_what_was_counted_of_another_measure_says_nothing_of_a_limit_that_kept_its_id(
    place: Place,
) -> None:
    """Units of cost are no calls: a replay would tell that too many were made."""
    dear = {name: value for name, value in TWO_AN_HOUR.items() if name != "calls"} | {
        "cost": 50,
        "prices": {"box.*": 10},
    }
    place.policy = limited(dear)
    async with place.open() as rt:
        runs = [(await rt.call("box.put", {"key": key})).run_id for key in "ab"]
    place.policy = limited(TWO_AN_HOUR)
    async with place.open() as rt:
        for run in runs:
            assert (await rt.replay(run)).to_json()["differences"] == []
