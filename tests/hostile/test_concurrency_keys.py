"""Every way somebody could look for to keep others from a concurrency key, to cancel their runs for one, or to hear of them."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from assent.engine import Actor, RunResult
from assent.errors import InputError, RefusedError
from assent.journal import AuditLog, EventFilter, leaves_at_once
from assent.policy import PolicyEngine
from assent.runtime._ledger import reading
from assent.runtime.service._decisions import explained, simulated
from assent.spec.events import kinds as ev
from assent.spec.principal import BY_PROCESS, Principal
from assent.spec.states import OnBusy, RunState
from tests.engine.conftest import every_run_replays_equal
from tests.engine.test_concurrency import ASK, keyed, status_of
from tests.engine.test_starts import bound, queued
from tests.support.bodies import Bench, Pause, Place, code, policy, put, rule, workflow

pytestmark = pytest.mark.usefixtures(every_run_replays_equal.__name__)

ANN, EVE = Principal.parse("user:ann"), Principal.parse("user:eve")
CAME: dict[str, dict[str, Any]] = {
    "account": {"identified_by": BY_PROCESS},
    "key that stops": {"identified_by": "api_key:1", "may_stop_runs": True},
    "key": {"identified_by": "api_key:1"},
}
"""How the newest run's principal came in; the others were begun by accounts."""

EVERY: dict[str, Any] = {"concurrency": "*"}
RULES: dict[str, tuple[dict[str, Any], ...]] = {
    "none": (),
    "one that allows the key": (rule("key", when=EVERY),),
    "one that allows calls": (rule("calls", when={"principal": "*"}),),
    "one that lets cancel": (rule("others", when={**EVERY, "cancels_others": True}),),
    "one for another key": (rule("others", when={"concurrency": "l*", "cancels_others": True}),),
    "one for another principal": (
        rule("others", when={**EVERY, "cancels_others": True, "principal": "agent:*"}),
    ),
    "one against somebody else": (
        rule("no", "DENY", when={**EVERY, "cancels_others": True, "principal": "user:eve"}),
        rule("others", when={**EVERY, "cancels_others": True}),
    ),
}


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


async def begun_by(rt: Bench, document: dict[str, Any], who: Principal, **came: Any) -> RunResult:
    return await rt._core.run(document, principal=Actor(who, **came))


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("came", CAME)
@pytest.mark.parametrize("whose", [ANN, EVE], ids=str)
async def test_a_run_cancels_for_a_key_what_is_its_own_or_what_a_rule_lets_it(
    place: Place, whose: Principal, came: str, rules: str
) -> None:
    """In every mode: whose runs there are, how the newest one's principal came in, and what the policy says of it."""
    place.policy = policy(*RULES[rules])
    is_own = whose is ANN and came == "account"
    is_let = rules in ("one that lets cancel", "one against somebody else") and came != "key"
    async with place.open() as rt:
        for mode in OnBusy:
            older = await begun_by(rt, keyed("a", ASK, key=mode), whose, identified_by=BY_PROCESS)
            waits = await begun_by(rt, keyed("b", key=mode), whose, identified_by=BY_PROCESS)
            newest = begun_by(rt, keyed("c", ASK, key=mode, on_busy=mode), ANN, **CAME[came])
            if mode is OnBusy.REFUSE:
                with pytest.raises(RefusedError, match="others have the concurrency key"):
                    await newest
                continue
            created = rt.recorded((await newest).run_id)[0]
            may = is_own or is_let
            found = [(await rt.show(run.run_id)).status for run in (older, waits)]
            is_running, is_waiting = (
                mode is OnBusy.CANCEL_RUNNING,
                mode in (OnBusy.CANCEL_WAITING, OnBusy.CANCEL_RUNNING),
            )
            assert found == [
                RunState.CANCELLED if may and is_running else RunState.WAITING,
                RunState.CANCELLED if may and is_waiting else RunState.PENDING,
            ], mode
            assert isinstance(created, ev.RunCreated)
            asked = [one.cancels_others for one in created.key_answers]
            assert asked == [False, *([True] if is_waiting and came != "key" else [])]


@pytest.mark.parametrize("mode", OnBusy)
async def test_who_may_not_have_a_key_neither_has_it_nor_waits_for_it_nor_hears_of_others(
    place: Place, mode: OnBusy
) -> None:
    """Free or taken; what it said stays on record, with the rule and its reason; nothing of the run begins, `finally` neither."""
    place.policy = policy(rule("no", "DENY", when={"concurrency": "k", "principal": "user:eve"}))
    at_last = {"finally": [put("last")]}
    async with place.open() as rt:
        held = None
        for is_taken in (False, True):
            held = await rt.run(keyed("a", ASK)) if is_taken else None
            denied = await begun_by(rt, {**keyed("x", on_busy=mode), **at_last}, EVE)
            assert (denied.status, code(denied)) == (RunState.FAILED, "POLICY_DENIED")
            assert denied.error is not None
            assert denied.error["details"] == {"rule": "no"}
            assert str(denied.error["message"]).endswith("for the test")
            assert held is None or held.run_id not in str(denied.to_json())
            assert denied.concurrency is not None
            assert (denied.concurrency["state"], denied.concurrency["held_by"]) == ("over", [])
            assert status_of(rt, denied.run_id) == ["over"]
        assert held is not None
        assert (await rt.show(held.run_id)).status is RunState.WAITING
        assert (await rt.approve(held.run_id)).status is RunState.SUCCEEDED
        assert place.box.values == {}, "nothing began"
        assert (await rt.run(keyed("b"))).status is RunState.SUCCEEDED, "nobody waits for it"


async def test_a_run_that_was_denied_its_key_ends_so_whoever_goes_on_with_it(place: Place) -> None:
    """Its owner may end right after its first entry, and the policy may say something else by then."""
    place.policy = policy(rule("no", "DENY", when={**EVERY, "principal": "user:eve"}))
    bound(place, 1)
    pause = place.box.before["a"] = Pause()
    async with place.open() as rt:
        under_way = [asyncio.ensure_future(rt.run(workflow(put("a"))))]
        await pause.reached.wait()
        under_way.append(asyncio.ensure_future(begun_by(rt, keyed("x"), EVE)))
        await queued(rt, 1)
    await asyncio.gather(*under_way, return_exceptions=True)
    del place.box.before["a"]
    place.policy = policy()
    async with place.open() as rt:
        ended = [code(run) for run in await rt.resume()]
        assert ended == [None, "POLICY_DENIED"]
        assert place.box.values == {"a": "a"}


async def test_a_key_is_closed_while_the_policy_can_not_be_read(place: Place) -> None:
    async with place.open() as rt:
        rt._core.gate.shut(InputError("POLICY_INVALID", "broken"))
        denied = await rt.run(keyed("x", on_busy="cancel_running"))
        assert (denied.status, code(denied)) == (RunState.FAILED, "POLICY_ERROR")


LIMITED = (rule("narrow", "DENY", when={"concurrency": "k"}, **{"if": "inputs.limit < 3"}),)
MODES = (rule("modes", "DENY", when=EVERY, **{"if": "inputs.on_busy.startsWith('cancel')"}),)
NAMED = (rule("ours", when={"concurrency": "k"}), rule("no-others", "DENY", when=EVERY))
BROKEN = (rule("broken", when=EVERY, **{"if": "inputs.missing == 1"}),)


@pytest.mark.parametrize(
    ("rules", "default", "said", "told"),
    [
        (LIMITED, "ALLOW", {"limit": 2}, "POLICY_DENIED"),
        (LIMITED, "ALLOW", {"limit": 3}, None),
        (MODES, "ALLOW", {"on_busy": "cancel_waiting"}, "POLICY_DENIED"),
        (MODES, "ALLOW", {"on_busy": "refuse"}, None),
        (NAMED, "ALLOW", {"key": "k"}, None),
        (NAMED, "ALLOW", {"key": "K"}, "POLICY_DENIED"),
        (NAMED, "ALLOW", {"key": "k "}, "POLICY_DENIED"),
        (NAMED, "ALLOW", {"key": "*"}, "POLICY_DENIED"),
        (BROKEN, "ALLOW", {}, "POLICY_ERROR"),
        ((rule("calls", "DENY", when={"capability": "assent.*"}),), "ALLOW", {}, None),
        ((rule("box", when={"capability": "box.*"}),), "DENY", {}, None),
        ((rule("key", when=EVERY),), "DENY", {}, "POLICY_DENIED"),
    ],
)
async def test_rules_about_keys_and_rules_about_calls_say_nothing_of_one_another(
    place: Place, rules: tuple[dict[str, Any], ...], default: str, said: dict[str, Any], told: str | None
) -> None:
    """The last: a rule that lets have every key opens no call. What is explained beforehand is what the run is told."""
    place.policy = policy(*rules, default=default)
    async with place.open() as rt:
        explanation, _ = await rt.explain("assent.concurrency", {"key": "k", **said})
        found = await rt.run(keyed("x", **{"key": "k", **said}))
        assert code(found) == told
        created = rt.recorded(found.run_id)[0]
        assert isinstance(created, ev.RunCreated)
        answer = created.key_answers[0]
        foreseen = explanation.to_json()
        assert (foreseen["decision"], foreseen["rule"]) == (answer.decision, answer.rule)


@pytest.mark.parametrize(
    "given",
    [{}, {"key": ""}, {"key": "k", "limit": 0}, {"key": "k", "on_busy": "shout"}, {"key": "k", "by": "me"}],
)
async def test_what_is_no_wish_for_a_key_is_not_explained(place: Place, given: dict[str, Any]) -> None:
    async with place.open() as rt:
        with pytest.raises(InputError, match="INVALID_INPUT"):
            await rt.explain("assent.concurrency", given)


async def test_what_was_answered_about_a_key_is_explained_and_put_to_a_draft(place: Place) -> None:
    """By the record alone, and by the policy of then: the run that was denied, and the one that may cancel others'."""
    place.policy = policy(
        rule("no", "DENY", when={"concurrency": "k", "principal": "user:eve"}),
        rule("others", when={**EVERY, "cancels_others": True}),
    )
    draft = PolicyEngine.from_dict(policy(rule("closed", "DENY", when={"concurrency": "k"}), default="ALLOW"))
    async with place.open() as rt:
        denied = await begun_by(rt, keyed("x"), EVE)
        allowed = await begun_by(rt, keyed("y", on_busy="cancel_running"), ANN)
    with reading(rt.settings.state) as reader:
        assert reader is not None
        told = [
            [one[name] for name in ("step", "capability", "decision", "rule", "agrees", "missing")]
            for run in (denied, allowed)
            for one in explained(reader, run.run_id, None)
            if one["kind"] == "run.created"
        ]
        key, others = "@concurrency", "@concurrency:others"
        asked = "assent.concurrency"
        assert told == [
            [key, asked, "DENY", "no", True, None],
            [key, asked, "ALLOW", "builtin.concurrency", True, None],
            [others, asked, "ALLOW", "others", True, None],
        ]
        for decision, runs in (("DENY", {denied.run_id}), ("ALLOW", {allowed.run_id})):
            wanted = EventFilter(decision=decision, capability=asked)
            lines = AuditLog(wanted).lines(leaves_at_once(reader))
            assert {(line.leaf.run, line.leaf.event.kind) for line in lines} == {
                (run, "run.created") for run in runs
            }
        found = simulated(reader, draft, 0)
        changes: Any = found["changes"]
        assert {(one["from_rule"], one["to_rule"]) for one in changes} == {
            ("builtin.concurrency", "closed"),
            ("others", "builtin.cancels_others"),
        }
