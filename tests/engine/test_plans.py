"""What a plan tells of each step, and of all of them together."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from assent.errors import RefusedError
from assent.invocation import EXECUTE_CAPTURED, LocalContext, Preview
from tests.support.bodies import Bench, Place, policy, put, put_spec, rule, workflow

POLICY = policy(
    rule("no", "DENY", when={"capability": "box.burn"}),
    rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}, approvers={"roles": ["ops"]}),
    rule("hidden", "DENY", **{"if": 'inputs.key == "hidden"'}),
    rule("rest", without_approval=True),
)
INPUTS: dict[str, Any] = {"flag": 1, "items": [1, 2], "text": "letters"}
OUTPUT = "${{ steps.look.output }}"
ALLOWED, UNKNOWN = ("ALLOW", "rest"), ("UNKNOWN", None)


def look(name: str = "look", key: str = "a") -> dict[str, Any]:
    """A step that only reads."""
    return {"name": name, "capability": "box.look", "inputs": {"key": key}}


def plain(name: str, *, known: bool = True) -> tuple[Any, ...]:
    """What is told of a step that puts its name into an empty box."""
    return (name, *ALLOWED, f"{name}: None -> {name}", known)


LOOKED = ("look", *ALLOWED, "", True)
EACH: dict[str, Any] = {"foreach": "${{ inputs['items'] }}", "value": "${{ item }}"}
ASKED = {"reason": "why", "approvers": {"roles": ["ops"]}}

# What the steps are → of each that is planned: name, decision, rule, what would change, and whether that is known.
CASES: dict[str, tuple[list[dict[str, Any]], list[tuple[Any, ...]]]] = {
    "a read": ([look()], [LOOKED]),
    "a change": ([put("a"), put("b")], [plain("a"), plain("b")]),
    "asked": ([put("a", "box.put_high")], [("a", "REQUIRE_APPROVAL", "ask", "a: None -> a", True)]),
    "denied": ([put("a", "box.burn")], [("a", "DENY", "no", "", True)]),
    "behind a denied change": (
        [put("a", "box.burn"), put("b")],
        [("a", "DENY", "no", "", True), plain("b", known=False)],
    ),
    "an approval": ([{"name": "ok", "approval": ASKED}], [("ok", "REQUIRE_APPROVAL", "workflow", "", True)]),
    "when": ([put("a", when="inputs.flag == 1"), put("b", when="inputs.flag == 2")], [plain("a")]),
    "a when of an output": (
        [look(), put("a", when="steps.look.output == 1"), put("b")],
        [LOOKED, plain("a", known=False), plain("b", known=False)],
    ),
    "a read with a when of an output": (
        [look(), {**look("again"), "when": "steps.look.output == 1"}, put("b")],
        [LOOKED, ("again", *ALLOWED, "", False), plain("b")],
    ),
    "a when that fails": (
        [put("a", when="inputs.text > 1"), put("b")],
        [("a", *UNKNOWN, "", True), plain("b", known=False)],
    ),
    "foreach": ([put("a", **EACH)], [(f"a[{i}]", *ALLOWED, f"a: None -> {i + 1}", True) for i in range(2)]),
    "foreach of no list": (
        [put("a", **EACH | {"foreach": "${{ inputs.text }}"})],
        [("a", *UNKNOWN, "", True)],
    ),
    "foreach that fails": (
        [put("a", **EACH | {"foreach": "${{ inputs.text + 1 }}"}), put("b")],
        [("a", *UNKNOWN, "", True), plain("b", known=False)],
    ),
    "foreach of an output": (
        [look(), put("a", **EACH | {"foreach": OUTPUT}), put("b")],
        [LOOKED, ("a", *ALLOWED, "", False), plain("b", known=False)],
    ),
    "foreach and a when of an output": (
        [look(), put("a", when="steps.look.output == 1", **EACH)],
        [LOOKED, *((f"a[{i}]", *ALLOWED, f"a: None -> {i + 1}", False) for i in range(2))],
    ),
    "a value from an output": (
        [look(), put("a", value=OUTPUT), put("b"), look("again")],
        [LOOKED, ("a", *ALLOWED, "", False), plain("b", known=False), ("again", *ALLOWED, "", True)],
    ),
    "what a rule asks from an output": (
        [look(), look("next", OUTPUT), put("b")],
        [LOOKED, ("next", *UNKNOWN, "", False), plain("b")],
    ),
    "inputs that are refused": (
        [look(key="${{ inputs['items'] }}"), put("b")],
        [("look", *UNKNOWN, "", True), plain("b", known=False)],
    ),
    "a preview that fails": (
        [put("broken"), put("b")],
        [("broken", *ALLOWED, "", True), plain("b", known=False)],
    ),
    "a change that can't be shown": (
        [put("a", "box.blind"), put("b")],
        [("a", *ALLOWED, "", True), plain("b", known=False)],
    ),
    "a preview that does not know": (
        [put("a", "box.vague"), put("b")],
        [("a", *ALLOWED, "perhaps", False), plain("b", known=False)],
    ),
}


def registered(place: Place, rt: Bench) -> None:
    """Capabilities whose change can't be shown, or not for sure."""

    async def vague(_context: LocalContext, _parameters: dict[str, Any]) -> Preview:
        return Preview("text", "perhaps", known=False)

    async def captured(context: LocalContext, _parameters: dict[str, Any]) -> Preview:
        return Preview("text", "ran" if EXECUTE_CAPTURED in context.flags else "not run")

    async def broken(context: LocalContext, parameters: dict[str, Any]) -> Preview:
        if parameters["key"] == "broken":
            raise RefusedError("NOT_HERE", "it would fail")
        return await place.box.preview(context, parameters)

    for ident, part in [("blind", None), ("vague", vague), ("captured", captured), ("put", broken)]:
        rt.register(put_spec(f"box.{ident}", version="1.0.1"), place.box.handler(preview=part))


@pytest.mark.parametrize("case", CASES)
async def test_a_plan_tells_what_is_known_of_each_step(place: Place, case: str) -> None:
    steps, told = CASES[case]
    place.policy = POLICY
    inputs = {name: {"type": "any"} for name in INPUTS}
    async with place.open() as rt:
        registered(place, rt)
        plan = await rt.plan(workflow(*steps, inputs=inputs), INPUTS)
        assert [(s.name, s.decision, s.rule, s.preview.diff, s.known) for s in plan.steps] == told
        assert plan.summary["unknown"] == [row[0] for row in told if row[1] == "UNKNOWN" or not row[-1]]
    assert not place.box.values


async def test_a_denied_step_is_not_looked_at(place: Place) -> None:
    """What a call would change holds what whoever plans it may not see; so nothing of ours even looks."""
    looked: list[str] = []

    async def preview(_context: LocalContext, parameters: dict[str, Any]) -> Preview:
        looked.append(parameters["key"])
        return Preview("text", f"secret {parameters['key']}")

    place.policy = POLICY
    async with place.open() as rt:
        rt.register(put_spec("box.burn", version="1.0.1"), place.box.handler(preview=preview))
        rt.register(put_spec("box.look_on", version="1.0.1"), place.box.handler(preview=preview))
        plan = await rt.plan(
            workflow(put("a", "box.burn"), put("hidden", "box.look_on"), put("b", "box.look_on"))
        )
    assert looked == ["b"]
    assert [one.preview.diff for one in plan.steps] == ["", "", "secret b"]
    assert [one.preview.changes for one in plan.steps] == [True, True, True]


async def test_a_plan_says_where_it_would_stop_and_what_stays(place: Place) -> None:
    place.policy = POLICY
    steps = [
        look(),
        put("a", "box.put_high"),
        put("b", undo="none"),
        put("broken"),
        put("c", "box.burn"),
        {"name": "gone", "capability": "io.fs.delete", "inputs": {"path": "x"}},
        {"name": "ok", "approval": ASKED},
    ]
    async with place.open() as rt:
        registered(place, rt)
        (place.workspace / "x").write_text("x")
        plan = (await rt.plan(workflow(*steps))).to_json()
        denied = await rt.plan(workflow(put("c", "box.burn"), put("broken")))
        assert denied.summary["stops_at"] == "c"
    assert plan["summary"] == {
        "reads": 2,
        "changes": 3,
        "deletes": 1,
        "external": 0,
        "approvals": ["a", "ok"],
        "denials": ["c", "gone"],
        "failures": ["broken"],
        "not_undoable": ["b", "c"],
        "unknown": ["c", "gone"],
        "stops_at": "broken",
    }
    assert plan["workflow"] == "w"
    told = {step["name"]: step for step in msgspec.to_builtins(plan["steps"])}
    assert [name for name, step in told.items() if step["changes"]] == ["a", "b", "c", "gone"]
    assert {name: step["error"]["code"] for name, step in told.items() if step["error"]} == {
        "broken": "NOT_HERE"
    }
    assert [name for name, step in told.items() if step["approvers"]] == ["a", "ok"]
    assert (told["b"]["risk_level"], told["b"]["undo"], told["b"]["reason"]) == (
        "CRITICAL",
        "none",
        "for the test",
    )


@pytest.mark.parametrize(("asked", "shown"), [(False, "not run"), (True, "ran")])
async def test_a_plan_runs_a_program_only_where_that_is_asked(
    place: Place, *, asked: bool, shown: str
) -> None:
    async with place.open() as rt:
        registered(place, rt)
        plan = await rt.plan(workflow(put("a", "box.captured")), execute_captured=asked)
        assert plan.steps[0].preview.diff == shown
