"""What the gate answered is explained by the policy that held then, and put to another one, out of the ledger alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from assent.errors import AssentError, InputError
from assent.policy import PolicyEngine
from assent.runtime.service import answers, process, requests
from assent.spec.ids import RunId
from tests.support.bodies import Place, policy, put, put_spec, rule, user, workflow

HELD = policy(
    rule("ops", when={"roles": "ops"}, without_approval=True),
    rule("read", "DENY", when={"labels": "sends_external"}, **{"if": '"reads_private" in run.labels'}),
    rule("bad", "DENY", **{"if": 'has(inputs.key) && inputs.key == "bad"'}),
    rule("late", "DENY", **{"if": 'now > timestamp("2200-01-01T00:00:00Z")'}),
    default="ALLOW",
)


@pytest.fixture
async def place(tmp_path: Path) -> Place:
    """A ledger in which several people were answered differently, and a policy that is another one since."""
    place = Place(tmp_path, policy=HELD)
    async with place.open() as rt:
        rt.register(put_spec("box.send", labels=frozenset({"sends_external"})), place.box.handler())
        rt.register(put_spec("box.study", labels=frozenset({"reads_private"})), place.box.handler())
        session = await rt.session()
        for capability, key in (("box.study", "a"), ("box.send", "b"), ("box.put", "bad"), ("box.put", "c")):
            await session.call(capability, {"key": key})
        await session.close()
        await rt.undo(session.run_id)
        await rt.call("box.put_high", {"key": "d"}, principal=user("ann", "ops"))
        waiting = await rt.call("box.put_high", {"key": "e"})
        await rt.approve(waiting.run_id, principal=user("bob"))
        steps = workflow(put("f"), {"name": "ask", "approval": {"reason": "?"}})
        await rt.run(steps, {})
    place.policy = policy(rule("nothing", "DENY"))
    return place


def runs(place: Place) -> list[str]:
    return [one.run_id for one in process.perform(requests.Runs(), place.settings()).runs]


def explained(place: Place, run: str, step: str | None = None) -> list[answers.DecisionExplained]:
    return process.perform(requests.ExplainDecisions(run=run, step=step), place.settings()).decisions


async def test_each_answer_is_explained_by_the_policy_and_the_roles_that_held_then(place: Place) -> None:
    session, ops, approved, with_question = runs(place)
    found = [
        (run, one.step, one.decision, one.rule)
        for run in (session, ops, approved, with_question)
        for one in explained(place, run)
    ]
    assert found == [
        (session, "step_1", "ALLOW", "default"),
        (session, "step_2", "DENY", "read"),
        (session, "step_3", "DENY", "bad"),
        (session, "step_4", "ALLOW", "default"),
        (session, "@undo", "ALLOW", "default"),
        (ops, "call", "ALLOW", "ops"),
        (approved, "call", "REQUIRE_APPROVAL", "default"),
        (approved, "call", "REQUIRE_APPROVAL", "default"),
        (with_question, "f", "ALLOW", "default"),
    ]
    for run in (session, ops, approved, with_question):
        for one in explained(place, run):
            assert (one.missing, one.agrees) == (None, True)
            assert one.explained is not None
            assert (one.explained.decision, one.explained.rule) == (one.decision, one.rule)
    (denied,) = explained(place, session[4:], "step_2")
    assert denied.asked is not None
    assert denied.asked.run_labels == ["reads_private"]
    assert denied.explained is not None
    assert denied.explained.rules[0].because == "roles are none, wanted any of `ops`"


async def test_what_can_not_be_explained_says_why(place: Place) -> None:
    """Erased with its run; a step that nothing was asked about; a run that there is not."""
    session = runs(place)[0]
    async with place.open() as rt:
        core = rt._core
        await core.ready.journal.erase(RunId(session), who=core.actor(None).who(), at_ms=1)
    assert {(one.missing, one.explained) for one in explained(place, session)} == {("erased", None)}
    for run, step, code in ((session, "step_9", "STEP_UNKNOWN"), ("run_zz", None, "RUN_UNKNOWN")):
        with pytest.raises(InputError) as refused:
            explained(place, run, step)
        assert refused.value.code == code


def simulated(place: Place, draft: dict[str, Any], **more: int) -> answers.Simulated:
    text = str(draft)
    return process.perform(requests.SimulatePolicy(text=text, path="draft.yaml", **more), place.settings())


async def test_the_same_policy_changes_nothing_and_nothing_is_touched(place: Place) -> None:
    before = {path: path.read_bytes() for path in (place.root / "state").rglob("*") if path.is_file()}
    told = simulated(place, HELD)
    assert (told.calls, told.changed, told.changes) == (8, 0, [])
    assert set(told.unknown.values()) == {0}
    assert {path: path.read_bytes() for path in before} == before


@pytest.mark.parametrize(
    ("draft", "changes"),
    [
        (rule("x", "DENY", when={"roles": "ops"}), {("ALLOW", "DENY", "x"): 1}),
        (
            rule("x", "DENY", when={"capability": "box.put*"}),
            {
                ("ALLOW", "DENY", "x"): 3,
                ("REQUIRE_APPROVAL", "DENY", "x"): 1,
                ("DENY", "ALLOW", "default"): 1,
            },
        ),
        (
            rule("x", "DENY", **{"if": 'has(inputs.key) && inputs.key in ["a", "d"]'}),
            {("ALLOW", "DENY", "x"): 2, ("DENY", "ALLOW", "default"): 2},
        ),
        (rule("x", "DENY", when={"capability": "assent.undo"}), {("ALLOW", "DENY", "x"): 1}),
        (
            rule("x", "DENY", when={"step": "step_*"}),
            {("ALLOW", "DENY", "x"): 2, ("DENY", "ALLOW", "default"): 0},
        ),
        (
            rule("x", "DENY", when={"step": ["call", "f"]}),
            {("ALLOW", "DENY", "x"): 2, ("REQUIRE_APPROVAL", "DENY", "x"): 1},
        ),
    ],
)
async def test_a_draft_is_asked_with_what_was_recorded(
    place: Place, draft: dict[str, Any], changes: dict[tuple[str, str, str], int]
) -> None:
    """By roles, inputs and labels of then; a call that was approved or tried again counts once."""
    told = simulated(place, policy(draft, rule("nothing", "DENY", when={"labels": "none"})))
    found: Counter[tuple[str, str, str]] = Counter()
    for one in told.changes:
        found[one.was, one.to, one.to_rule] += one.count
        assert len(one.examples) == min(one.count, 3)
    assert {key: found[key] for key in changes} == changes
    assert told.changed == found.total()


async def test_only_calls_since_a_moment_are_asked(place: Place) -> None:
    assert simulated(place, HELD, since_ms=2**50).calls == 0


async def test_each_signal_is_a_question_that_is_explained_and_put_to_a_draft(tmp_path: Path) -> None:
    """Who may send one is a rule like any other: also of one that was refused it is told by which."""
    eve = {"capability": "assent.signal", "principal": "user:eve", "workflow": "w"}
    place = Place(
        tmp_path, policy=policy(rule("no_eve", "DENY", when=eve, **{"if": 'inputs.signal == "go"'}))
    )
    async with place.open() as rt:
        run = (await rt.run(workflow({"name": "one", "wait": {"signal": "go"}}))).run_id
        for _ in range(2):
            with pytest.raises(AssentError, match="no_eve"):
                await rt.signal(run, "go", principal="user:eve")
        await rt.signal(run, "go", {"x": 1})
    told = explained(place, run)
    said = [(one.step, one.capability, one.principal, one.decision, one.rule, one.agrees) for one in told]
    me = told[-1].principal
    assert said == [
        ("@signal:go", "assent.signal", "user:eve", "DENY", "no_eve", True),
        ("@signal:go", "assent.signal", "user:eve", "DENY", "no_eve", True),
        ("@signal:go", "assent.signal", me, "ALLOW", "default", True),
    ]
    assert explained(place, run, "@signal:go") == told
    draft = policy(rule("nobody", "DENY", when={"capability": "assent.signal"}))
    changes = simulated(place, draft)
    assert (changes.calls, changes.changed) == (3, 1)
    assert changes.changes[0].examples[0].step == "@signal:go"


async def test_a_draft_that_is_no_policy_is_refused_with_its_place(place: Place) -> None:
    with pytest.raises(InputError) as refused:
        simulated(place, {"version": 1, "rules": [{"id": "x"}]})
    assert refused.value.code == "POLICY_INVALID"
    assert str(refused.value.path).startswith("draft.yaml:1")


async def test_an_answer_about_what_a_call_leads_to_is_not_told_as_one_about_the_call(place: Place) -> None:
    """The policy would answer otherwise about the call itself; what was asked about the other is told as it was asked."""
    place.policy = policy(rule("way", "DENY", when={"capability": "box.put_low"}))
    async with place.open() as rt:
        run = (await rt.run(workflow(taken_back_by("g")), {})).run_id
    way, told = explained(place, run)
    assert (told.decision, told.rule, told.missing) == ("DENY", "way", "consequence")
    assert (way.kind, way.capability, way.missing, way.agrees) == (
        "consequence.decided", "box.put_low", None, True,
    )  # fmt: skip
    assert way.explained is not None
    assert (way.explained.decision, way.explained.rule) == ("DENY", "way")
    assert simulated(place, place.policy).unknown["consequence"] == 1


def taken_back_by(key: str) -> dict[str, Any]:
    """A step that another capability takes back."""
    way = {"capability": "box.put_low", "inputs": {"key": key}}
    return {**put("g", "box.put_medium"), "compensation": way}


async def test_an_answer_that_depended_on_what_nobody_knew_says_so(place: Place) -> None:
    place.policy = policy(rule("way", "DENY", **{"if": 'inputs.key == "x"'}))
    async with place.open() as rt:
        run = (await rt.run(workflow(taken_back_by("${{ steps.g.output.key }}")), {})).run_id
    way, told = explained(place, run)
    assert (way.decision, way.missing, way.explained) == ("REQUIRE_APPROVAL", "unknown_inputs", None)
    assert told.missing == "consequence"


async def test_the_call_of_a_step_that_asks_by_the_rule_of_its_way_back_is_explained(place: Place) -> None:
    place.policy = policy(rule("both", "REQUIRE_APPROVAL"))
    async with place.open() as rt:
        run = (await rt.run(workflow(taken_back_by("g")), {})).run_id
    assert [(one.rule, one.missing) for one in explained(place, run)] == [("both", None), ("both", None)]


async def test_a_call_that_is_asked_about_again_counts_once(place: Place) -> None:
    """Another policy makes it another question, to which the first approval is no answer."""
    before = simulated(place, HELD).calls
    place.policy = policy(rule("first", "REQUIRE_APPROVAL"))
    async with place.open() as rt:
        run = (await rt.call("box.put", {"key": "g"})).run_id
    place.policy = policy(rule("second", "REQUIRE_APPROVAL"))
    async with place.open() as rt:
        await rt.approve(run, principal=user("bob"))
        await rt.approve(run, principal=user("bob"))
    assert [(one.kind, one.rule) for one in explained(place, run)] == [
        ("approval.requested", "first"), ("approval.requested", "second"), ("step.started", "second"),
    ]  # fmt: skip
    assert simulated(place, HELD).calls == before + 1
    suggested = process.perform(requests.SuggestPolicy(least=1), place.settings())
    assert {one.capability: one.approved for one in suggested.rules} == {"box.put": 1, "box.put_high": 1}


async def test_what_was_always_approved_becomes_a_rule_that_allows_no_more_than_that(tmp_path: Path) -> None:
    """Not what was refused once, what was asked too seldom, and what is CRITICAL."""
    place = Place(
        tmp_path, policy=policy(rule("asks", "REQUIRE_APPROVAL", approvers={"not_requester": False}))
    )
    async with place.open() as rt:
        for number in range(3):
            for capability, key in (
                ("box.put_high", "a"), ("box.put_critical", "b"), ("box.put", f"{number}"), ("box.set", "c"),
            ):  # fmt: skip
                run = (await rt.call(capability, {"key": key, "value": number})).run_id
                if (capability, number) == ("box.set", 1):
                    await rt.reject(run, reason="no")
                else:
                    await rt.approve(run, principal=user("bob"))
        run = (await rt.call("box.put_low", {"key": "d"})).run_id
        await rt.approve(run, principal=user("bob"))
    told = process.perform(requests.SuggestPolicy(), place.settings())
    assert [(one.capability, one.approved) for one in told.left_out] == [("box.put_critical", 3)]
    by_capability = {one.capability: one for one in told.rules}
    assert {*by_capability} == {"box.put_high", "box.put"}
    high = by_capability["box.put_high"]
    assert high.rule["if"] == 'run.workflow == "" && has(inputs.key) && inputs.key == "a"'
    assert high.calls == 13
    assert by_capability["box.put"].rule["if"] == 'run.workflow == ""'
    for one in told.rules:
        PolicyEngine.from_dict({"version": 1, "rules": [one.rule]})
    assert process.perform(requests.SuggestPolicy(least=4), place.settings()).rules == []
