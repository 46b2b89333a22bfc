"""A plan is no way around the gate: what an agent may not read it learns from no plan, however the read is written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.capabilities import builtin_catalog
from assent.journal import leaves_at_once
from assent.spec.events import kinds as ev
from tests.support.bodies import Bench, Place, policy, rule, workflow

WORD = "TOPSECRET"
ASKED = {"approvers": {"roles": ["ops"]}}
DENIALS: dict[str, dict[str, Any]] = {
    "nobody allows it": policy(default="DENY"),
    "a rule denies it": policy(
        rule("no", "DENY", when={"operation_type": "READ"}), rule("rest", without_approval=True)
    ),
    "a person is asked": policy(rule("ask", "REQUIRE_APPROVAL", **ASKED), rule("rest")),
    "for this principal": policy(
        rule("no", "DENY", when={"principal": "user:*"}), rule("rest", without_approval=True)
    ),
    "by what it reads": policy(
        rule("no", "DENY", when={"labels": ["reads_private"]}), rule("rest", without_approval=True)
    ),
    "because a rule can't be worked out": policy(
        rule("broken", "ALLOW", **{"if": "inputs.path.size() / 0 == 1"}, without_approval=True)
    ),
}


def reads_of_files() -> dict[str, dict[str, Any]]:
    """Each capability that a plan may run and that can read a file, with inputs that have it read this one."""
    more: dict[str, dict[str, Any]] = {
        "query": {"query": "@"},
        "patch": {"patch": []},
        "merge": {"overlays": [{"value": {}}]},
        "data.csv.merge": {"on": ["a"], "overlays": [{"text": "a"}]},
        "validate": {"json_schema": {}},
        "find": {"path": "."},
        "list_dir": {"path": "."},
        "search": {"path": ".", "pattern": WORD},
    }
    return {
        spec.id: {
            "path": f"{WORD}.{spec.id.split('.')[1]}",
            **(more.get(spec.id) or more.get(spec.id.split(".")[-1], {})),
        }
        for spec, handler in builtin_catalog()
        if handler.in_plans and "reads_private" in spec.labels
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    place = Place(tmp_path)
    place.settings()
    for name, text in {
        "fs": WORD,
        "json": f'["{WORD}"]',
        "yaml": f"a: {WORD}",
        "toml": f'a = "{WORD}"',
        "csv": f"a\n{WORD}\n",
    }.items():
        (place.workspace / f"{WORD}.{name}").write_text(text)
    return place


def read_by(rt: Bench) -> list[str]:
    """The capabilities that plans have run, as the record says."""
    leaves = leaves_at_once(rt._core.ready.journal)
    return [leaf.event.capability for leaf in leaves if isinstance(leaf.event, ev.PlanRead)]


def planned(capability: str, inputs: dict[str, Any], *, each: bool) -> dict[str, Any]:
    """A workflow that reads with this capability, once or for a list, and shows what it read."""
    read: dict[str, Any] = {"name": "read", "capability": capability, "inputs": inputs}
    if each:
        read |= {"foreach": "${{ inputs['items'] }}"}
    shows = {"path": "b.txt", "content": "${{ steps.read.output }}."}
    write = {"name": "write", "capability": "io.fs.write_file", "inputs": shows}
    return workflow(read, write, inputs={"items": {"type": "array", "default": [1, 2]}})


@pytest.mark.parametrize("denial", DENIALS)
async def test_no_plan_reads_what_the_gate_does_not_allow(denial: str, place: Place) -> None:
    """Of every read, alone and in a `foreach`; the record is empty, and the plan holds nothing of the file."""
    place.policy = DENIALS[denial]
    async with place.open(box=False) as rt:
        for capability, inputs in reads_of_files().items():
            for each in (False, True):
                plan = await rt.plan(planned(capability, inputs, each=each))
                shown = [step.preview.diff for step in plan.steps]
                assert not any(WORD in diff for diff in shown), capability
                assert all(step.read is None for step in plan.steps)
        assert read_by(rt) == []


async def test_each_of_them_is_read_and_on_record_where_it_is_allowed(place: Place) -> None:
    """Otherwise the test above would be true of a plan that never reads."""
    place.policy = policy(rule("rest", without_approval=True))
    async with place.open(box=False) as rt:
        for capability, inputs in reads_of_files().items():
            plan = await rt.plan(planned(capability, inputs, each=False))
            assert plan.steps[0].read is not None, (capability, plan.steps[0])
        assert read_by(rt) == [*reads_of_files()]


@pytest.mark.parametrize("place_of_it", [".assent/identity", "../outside.txt", "/etc/hostname"])
async def test_a_plan_reaches_no_further_than_a_call(place_of_it: str, place: Place) -> None:
    """Neither control files nor what lies outside the workspace."""
    place.policy = policy(rule("rest", without_approval=True))
    (place.workspace.parent / "outside.txt").write_text(WORD)
    async with place.open(box=False) as rt:
        plan = await rt.plan(planned("io.fs.read_file", {"path": place_of_it}, each=False))
    assert plan.steps[0].error is not None
    assert WORD not in str(plan.to_json())
