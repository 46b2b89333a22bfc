"""Workflows: compiled to flat steps, refused as a whole with places and suggestions, rebuilt from what is journaled."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError, Json
from assent.spec import (
    RiskLevel,
    WorkflowSpec,
)
from assent.spec.documents.document import load_yaml
from assent.spec.workflow.inputs import json_object
from tests.support.properties import holds
from tests.support.workflows import INNER, RELEASE, STEP, load, sequence, steps_of


def test_steps_without_depends_on_run_in_order_and_groups_join() -> None:
    """A step waits for the one before it; members of a group share what the group waits for; the next waits for all."""
    assert steps_of(load(RELEASE)) == {
        "read": (),
        "left": ("read",),
        "right": ("read",),
        "ask": ("left", "right"),
        "last": ("ask",),
    }


def test_an_empty_depends_on_means_none_and_groups_can_be_named() -> None:
    """`[]` waits for nothing; the name of a group stands for its members, also before it."""
    text = sequence(
        STEP.format("a") + "    depends_on: both\n",
        STEP.format("b") + "    depends_on: []\n",
        "  - name: both\n    depends_on: []\n    parallel:\n",
        *("    " + line for line in STEP.format("c").splitlines(keepends=True)),
        *("    " + line for line in STEP.format("d").splitlines(keepends=True)),
    )
    assert steps_of(load(text)) == {"a": ("c", "d"), "b": (), "c": (), "d": ()}


def test_a_step_of_finally_waits_for_what_it_names_and_else_until_the_one_before_it_has_ended() -> None:
    """Those of a workflow that it takes in wait for each other as ever; without `finally` a document is what it was."""
    text = (
        sequence(STEP.format("a")) + "finally:\n" + STEP.format("f") + STEP.format("g")
        + "  - {name: sub, workflow: sub.yaml, inputs: {target: x}}\n"
        + STEP.format("h") + STEP.format("needs") + "    depends_on: [f, sub]\n"
    )  # fmt: skip
    spec = load(text, sub=INNER)
    waits = {step.name: (step.depends_on, step.after) for step in spec.steps if step.in_finally}
    assert waits == {
        "f": ((), ()),
        "g": ((), ("f",)),
        "sub__one": ((), ("g",)),
        "sub__two": (("sub__one",), ()),
        "h": ((), ("sub__two",)),
        "needs": (("f", "sub__two"), ()),
    }
    again = WorkflowSpec.from_dict(spec.to_json())
    assert again == spec
    assert {step.name: (step.depends_on, step.after) for step in again.steps if step.in_finally} == waits
    assert "finally" not in load(RELEASE).to_json()


def test_the_fields_of_a_step_are_read() -> None:
    """Durations become milliseconds, closed sets become members, absent fields their defaults."""
    spec = load(RELEASE)
    left, right, ask, last = (spec.step(name) for name in ("left", "right", "ask", "last"))
    assert left is not None
    assert (left.timeout_ms, left.retry.max_attempts, left.retry.on) == (30_000, 4, ("STEP_TIMEOUT",))
    assert (left.retry.backoff.initial_ms, left.retry.backoff.max_ms) == (100, 5_000)
    assert left.keeps_undo
    assert right is not None
    assert right.foreach is not None
    assert right.retry.max_attempts == 1
    assert ask is not None
    assert ask.capability is None
    assert ask.approval is not None
    assert (ask.approval.approvers.count, ask.approval.approvers.expires_ms) == (2, 3_600_000)
    assert last is not None
    assert last.risk_level is RiskLevel.CRITICAL
    assert not last.keeps_undo
    assert (spec.environment, spec.metadata.owner, spec.metadata.tags) == ("prod", "alice", ("x",))


def test_references_are_filled_in_once_and_never_scanned_again() -> None:
    """A value that looks like a reference stays text; `$${{` writes `${{`; a whole reference keeps its type."""
    spec = load(RELEASE)
    context: dict[str, Any] = {
        "inputs": {"version": "${{ inputs.dry }}", "files": ["x"], "dry": False},
        "steps": {"read": {"output": {"content": ["a", 1], "path": "$${{ p }}"}}},
        "item": "${{ item }}",
        "index": 7,
    }
    rendered = {step.name: step.inputs.render(context) for step in spec.steps if step.name != "ask"}
    assert rendered == {
        "read": {"path": "v-${{ inputs.dry }}.txt"},
        "left": {"path": "a", "content": ["a", 1]},
        "right": {"path": "${{ item }}", "content": "${{ kept }} 7"},
        "last": {"path": "$${{ p }}"},
    }
    assert spec.outputs.render(context) == {"path": "$${{ p }}"}
    ask = spec.step("ask")
    assert ask is not None
    assert ask.when is not None
    assert ask.when.holds(context)


OUTER = """\
name: outer
inputs: {go: boolean}
steps:
  - name: first
    capability: io.fs.read_file
  - name: sub
    workflow: sub.yaml
    when: inputs.go
    inputs: {target: "${{ steps.first.output.content }}"}
  - name: last
    capability: io.fs.read_file
    inputs: {path: "${{ steps.sub.output.made.path }}"}
outputs: {all: "${{ steps.sub.output }}"}
"""


def test_an_inlined_workflow_becomes_steps_of_the_outer_one() -> None:
    """Names get the step's name in front; inputs, outputs, conditions and dependencies pass through."""
    spec = load(OUTER, sub=INNER)
    assert steps_of(spec) == {
        "first": (),
        "sub__one": ("first",),
        "sub__two": ("sub__one",),
        "last": ("sub__two",),
    }
    context: dict[str, Any] = {
        "inputs": {"go": True},
        "steps": {
            "first": {"output": {"content": "C"}},
            "sub__one": {"output": {"path": "P"}},
            "sub__two": {"output": {"p": "Q"}},
        },
    }
    rendered = {step.name: step.inputs.render(context) for step in spec.steps}
    assert rendered["sub__one"] == {"path": "Czz"}
    assert rendered["sub__two"] == {"path": "P"}
    assert rendered["last"] == {"path": "Q"}
    assert spec.outputs.render(context) == {"all": {"made": {"path": "Q", "from": "C"}}}
    two = spec.step("sub__two")
    assert two is not None
    assert two.when is not None
    assert two.when.names == {("inputs", "go")}
    assert two.inputs.names == {("steps", "sub__one", "output", "path")}


def test_a_journaled_document_rebuilds_the_spec_without_any_file() -> None:
    """`from_dict(to_json())` is the same workflow, inlined ones included; what it returns may be changed freely."""
    for spec in (load(RELEASE), load(OUTER, sub=INNER)):
        again = WorkflowSpec.from_dict(spec.to_json())
        assert again == spec
        assert again.to_json() == spec.to_json()
        assert steps_of(again) == steps_of(spec)
        spec.to_json().clear()
        assert spec.to_json() == again.to_json()


def test_a_workflow_can_be_written_in_python() -> None:
    """The keys of the document are the arguments; data that is no JSON is refused."""
    steps = [{"name": "a", "capability": "io.fs.read_file", "inputs": {"path": "x"}}]
    spec = WorkflowSpec(name="w", steps=steps)
    assert spec == WorkflowSpec.from_dict({"name": "w", "steps": steps})
    steps[0]["name"] = "b"
    assert spec.steps[0].name == "a"
    last = [{"name": "f", "capability": "io.fs.read_file", "inputs": {"path": "y"}}]
    assert WorkflowSpec(name="w", steps=steps, finally_=last).has_finally
    with pytest.raises(InputError) as caught:
        WorkflowSpec(name="w", steps=[{"name": "a", "capability": "a.b", "inputs": {"x": object()}}])
    assert caught.value.code == "JSON_INVALID"


@holds("fingerprints")
@given(st.randoms(use_true_random=False))
def test_a_fingerprint_does_not_depend_on_key_order(random: Any) -> None:
    """Keys shuffled at every level give the same fingerprint; one changed value gives another."""

    def shuffled(value: Json) -> Json:
        if isinstance(value, dict):
            keys = list(value)
            random.shuffle(keys)
            return {key: shuffled(value[key]) for key in keys}
        return [shuffled(item) for item in value] if isinstance(value, list) else value

    data = load_yaml(RELEASE, source="w.yaml").data
    mixed = shuffled(data)
    assert isinstance(mixed, dict)
    spec = WorkflowSpec.from_dict(mixed)
    assert spec.fingerprint == load(RELEASE).fingerprint
    assert WorkflowSpec.from_dict({**mixed, "description": "other"}).fingerprint != spec.fingerprint


def test_golden_workflows_keep_their_fingerprints(repository: Path) -> None:
    """Fingerprints stand in journals for ever: a change here is a format change and needs a version."""
    golden = json.loads((repository / "tests/golden/workflows.json").read_text(encoding="utf-8"))
    assert len(golden) >= 2
    for case in golden:
        spec = WorkflowSpec.from_dict(case["document"])
        assert spec.fingerprint == case["fingerprint"]
        assert steps_of(spec) == {name: tuple(names) for name, names in case["depends_on"].items()}


@pytest.mark.parametrize(
    ("value", "hint"),
    [(2**53, f"a whole number is from -{2**53 - 1} to {2**53 - 1}"), (b"x", "give it as text")],
)
def test_what_json_does_not_have_is_told_with_what_may_stand_there(value: Any, hint: str) -> None:
    with pytest.raises(InputError) as caught:
        json_object({"a": value}, code="INVALID_INPUT", of="it")
    assert caught.value.code == "JSON_INVALID"
    assert hint in (caught.value.hint or "")
