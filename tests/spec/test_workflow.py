"""Workflows: compiled to flat steps, refused as a whole with places and suggestions, rebuilt from what is journaled."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import AssentError, InputError, Json
from assent.registry import CapabilityRegistry
from assent.spec import (
    RiskLevel,
    WorkflowSpec,
    create_delete_capability,
    create_read_capability,
    create_write_capability,
)
from assent.spec.documents import Document, load_yaml
from assent.spec.workflow import bind_inputs, check_capabilities, read_argument
from tests.support.properties import holds

RELEASE = """\
name: release
inputs:
  version: string
  files: {type: array, items: {type: string}, default: [a, b]}
  dry: {type: boolean, default: false}
environment: prod
metadata: {owner: alice, tags: [x]}
steps:
  - name: read
    capability: io.fs.read_file
    inputs: {path: "v-${{ inputs.version }}.txt"}
  - parallel:
      - name: left
        capability: io.fs.write_file@1.0.0
        inputs: {path: a, content: "${{ steps.read.output.content }}"}
        retry: {max_attempts: 4, backoff: {initial: 100ms, max: 5s, factor: 3, jitter: 0}, on: [STEP_TIMEOUT]}
        timeout: 30s
      - name: right
        capability: io.fs.write_file
        foreach: ${{ inputs.files }}
        inputs: {path: "${{ item }}", content: "$${{ kept }} ${{ index }}"}
  - name: ask
    approval: {reason: sure?, approvers: {count: 2, roles: [boss], expires: 1h}}
    when: "!inputs.dry"
  - name: last
    capability: io.fs.delete
    inputs: {path: "${{ steps.read.output.path }}"}
    risk_level: CRITICAL
    undo: none
    compensation: {capability: io.fs.write_file, inputs: {content: "${{ steps.last.output.old }}"}}
outputs:
  path: ${{ steps.read.output.path }}
"""

STEP = "  - name: {}\n    capability: io.fs.read_file\n"


def load(text: str, **files: str) -> WorkflowSpec:
    def resolve(path: str) -> Document:
        name = path.removesuffix(".yaml").replace("/", "_")
        if name not in files:
            raise InputError("FILE_MISSING", f"there is no file `{path}`")
        return load_yaml(files[name], source=path)

    return WorkflowSpec.load(text, source="w.yaml", resolve=resolve)


def refusal(text: str, **files: str) -> InputError:
    with pytest.raises(InputError) as caught:
        load(text, **files)
    return caught.value


def steps_of(spec: WorkflowSpec) -> dict[str, tuple[str, ...]]:
    return {step.name: step.depends_on for step in spec.steps}


def sequence(*steps: str) -> str:
    return "name: w\nsteps:\n" + "".join(steps)


# -- what a document means ---------------------------------------------------------------------------------------------


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


INNER = """\
name: inner
inputs: {target: string, more: {type: string, default: zz}}
steps:
  - name: one
    capability: io.fs.read_file
    inputs: {path: "${{ inputs.target + inputs.more }}"}
  - name: two
    capability: io.fs.read_file
    inputs: {path: "${{ steps.one.output.path }}"}
outputs: {made: {path: "${{ steps.two.output.p }}", from: "${{ inputs.target }}"}}
"""
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


# -- what is refused ---------------------------------------------------------------------------------------------------

BAD = [
    (
        "unknown key",
        sequence(STEP.format("a") + "    depend_on: [b]\n"),
        "UNKNOWN_KEY",
        "w.yaml:5:5",
        "`depends_on`",
    ),
    ("unknown top key", sequence(STEP.format("a")) + "step: 1\n", "UNKNOWN_KEY", "w.yaml:5:1", "`steps`"),
    ("no name", "steps:\n" + STEP.format("a"), "MISSING_KEY", "w.yaml:1:1", "name: "),
    ("no steps", "name: w\n", "MISSING_KEY", "w.yaml:1:1", "steps:"),
    ("nothing to do", sequence("  - name: a\n"), "MISSING_KEY", "w.yaml:3:5", "`capability`"),
    (
        "mistyped kind",
        sequence("  - name: a\n    capabilty: sys.noop\n"),
        "UNKNOWN_KEY",
        "w.yaml:4:5",
        "`capability`",
    ),
    ("two things", sequence(STEP.format("a") + "    approval: x\n"), "VALUE_INVALID", "w.yaml:5:5", ""),
    ("twice", sequence(STEP.format("a"), STEP.format("a")), "DUPLICATE_STEP", "w.yaml:5:11", "a_2"),
    ("odd name", sequence(STEP.format("Build-It")), "NAME_INVALID", "w.yaml:3:11", "`build_it`"),
    ("a CEL word", sequence(STEP.format("for")), "NAME_INVALID", "w.yaml:3:11", "`for_step`"),
    (
        "input name",
        "inputs: {Odd: string}\n" + sequence(STEP.format("a")),
        "NAME_INVALID",
        "w.yaml:1:10",
        "`odd`",
    ),
    (
        "no such step",
        sequence(STEP.format("a") + "    depends_on: [aa]\n"),
        "DEPENDENCY_UNKNOWN",
        "w.yaml:5:18",
        "`a`",
    ),
    ("itself", sequence(STEP.format("a") + "    depends_on: [a]\n"), "CYCLE", "w.yaml:5:17", "`a`"),
    ("version", "version: 1.0\n" + sequence(STEP.format("a")), "WRONG_TYPE", "w.yaml:1:10", '"1.0"'),
    ("capability", sequence("  - {name: a, capability: Write}\n"), "VALUE_INVALID", "w.yaml:3:27", ""),
    ("timeout", sequence(STEP.format("a") + "    timeout: soon\n"), "VALUE_INVALID", "w.yaml:5:14", "30s"),
    ("endless", sequence(STEP.format("a") + "    timeout: 32d\n"), "VALUE_INVALID", "w.yaml:5:14", ""),
    (
        "attempts",
        sequence(STEP.format("a") + "    retry: {max_attempts: 0}\n"),
        "VALUE_INVALID",
        "w.yaml:5:27",
        "",
    ),
    ("risk", sequence(STEP.format("a") + "    risk_level: HIHG\n"), "VALUE_INVALID", "w.yaml:5:17", "`HIGH`"),
    ("undo", sequence(STEP.format("a") + "    undo: maybe\n"), "VALUE_INVALID", "w.yaml:5:11", ""),
    ("foreach", sequence(STEP.format("a") + "    foreach: abc\n"), "WRONG_TYPE", "w.yaml:5:14", ""),
    (
        "wrapped when",
        sequence(STEP.format("a") + "    when: ${{ true }}\n"),
        "EXPRESSION_INVALID",
        "w.yaml:5:11",
        "when: true",
    ),
    ("broken when", sequence(STEP.format("a") + "    when: 1 +\n"), "EXPRESSION_INVALID", "w.yaml:5:11", ""),
    ("no mapping", "- a\n", "WRONG_TYPE", "w.yaml:1:1", ""),
    (
        "a type",
        "inputs: {a: strin}\n" + sequence(STEP.format("a")),
        "VALUE_INVALID",
        "w.yaml:1:13",
        "`string`",
    ),
    (
        "a default",
        "inputs: {a: {type: integer, default: x}}\n" + sequence(STEP.format("a")),
        "INPUT_INVALID",
        "w.yaml:1:38",
        "",
    ),
    (
        "a schema",
        "inputs: {a: {pattern: '['}}\n" + sequence(STEP.format("a")),
        "VALUE_INVALID",
        "w.yaml:1:23",
        "",
    ),
    (
        "a far schema",
        "inputs: {a: {items: {$ref: x}}}\n" + sequence(STEP.format("a")),
        "VALUE_INVALID",
        "w.yaml:1:22",
        "",
    ),
]


@pytest.mark.parametrize(
    ("text", "code", "place", "hint"), [case[1:] for case in BAD], ids=[case[0] for case in BAD]
)
def test_a_bad_document_is_refused_with_code_place_and_suggestion(
    text: str, code: str, place: str, hint: str
) -> None:
    """One fault each, found when the file is loaded."""
    error = refusal(text)
    assert (error.code, error.path) == (code, place)
    assert hint in (error.hint or "")


REFERENCES = [
    ("${{ inputs.y }}", "REFERENCE_UNKNOWN", "`x`"),
    ("${{ steps.aa.output }}", "REFERENCE_UNKNOWN", "`a`"),
    ("${{ steps.c.output }}", "REFERENCE_FORWARD", "depends_on"),
    ("${{ steps.b.output }}", "REFERENCE_FORWARD", ""),
    ("${{ steps.aside.output }}", "REFERENCE_FORWARD", "depends_on"),
    ("${{ steps.a }}", "REFERENCE_UNKNOWN", "steps.a.output"),
    ("${{ steps.a.result }}", "REFERENCE_UNKNOWN", "steps.a.output"),
    ("${{ a.output }}", "REFERENCE_UNKNOWN", "`steps.a.output`"),
    ("${{ x }}", "REFERENCE_UNKNOWN", "`inputs.x`"),
    ("${{ item }}", "REFERENCE_UNKNOWN", ""),
    ("${{ inputs.x + steps.c.output }}", "REFERENCE_FORWARD", ""),
    ("${{ inputs.x", "EXPRESSION_INVALID", "}}"),
    ("${{ }}", "EXPRESSION_INVALID", ""),
    ("${{ inputs.x + }}", "EXPRESSION_INVALID", ""),
    ("${{ now() }}", "EXPRESSION_INVALID", ""),
]


@pytest.mark.parametrize(("reference", "code", "hint"), REFERENCES)
def test_a_reference_names_only_what_exists_and_comes_before(reference: str, code: str, hint: str) -> None:
    """Unknown names, later steps, siblings, the step itself and broken expressions are refused at their own place."""
    text = "inputs: {x: string}\n" + sequence(
        STEP.format("a"),
        STEP.format("aside") + "    depends_on: [a]\n",
        STEP.format("b") + f"    depends_on: [a]\n    inputs: {{path: 'x {reference}'}}\n",
        STEP.format("c"),
    )
    error = refusal(text)
    assert error.code == code
    assert error.path is not None
    assert error.path.startswith("w.yaml:12:")
    assert int(error.path.rpartition(":")[2]) >= 21
    assert hint in (error.hint or "")


def test_a_cycle_is_named_with_its_steps() -> None:
    """The message lists the steps of the cycle and no others."""
    text = sequence(
        STEP.format("free"),
        STEP.format("a") + "    depends_on: [c]\n",
        STEP.format("b") + "    depends_on: [a]\n",
        STEP.format("c") + "    depends_on: [b]\n",
    )
    error = refusal(text)
    assert error.code == "CYCLE"
    assert all(f"`{name}`" in error.message for name in "abc")
    assert "free" not in error.message


def test_an_unknown_dependency_is_an_invalid_workflow() -> None:
    """The sentence that older tools look for stands in the message."""
    assert "Invalid workflow spec" in refusal(sequence(STEP.format("a") + "    depends_on: [b]\n")).message


def test_all_faults_of_a_document_are_reported_together() -> None:
    """The first is raised and the others stand in its details, each complete."""
    error = refusal(
        sequence(STEP.format("A") + "    timeout: x\n    colour: red\n", STEP.format("b") + "    undo: x\n")
    )
    others = error.details["faults"]
    assert isinstance(others, list)
    codes = [error.code, *(other["code"] for other in others if isinstance(other, dict))]
    assert sorted(map(str, codes)) == ["NAME_INVALID", "UNKNOWN_KEY", "VALUE_INVALID", "VALUE_INVALID"]
    assert all(isinstance(other, dict) and str(other["path"]).startswith("w.yaml:") for other in others)


def test_a_mistyped_kind_is_one_fault() -> None:
    """Whoever wrote `capabilty` did say what to do; a second error would send them looking for it."""
    assert "faults" not in refusal(sequence("  - name: a\n    capabilty: sys.noop\n")).details


@pytest.mark.parametrize(
    ("outer", "files", "code"),
    [
        ("sub.yaml", {}, "FILE_MISSING"),
        ("../sub.yaml", {}, "VALUE_INVALID"),
        ("/sub.yaml", {}, "VALUE_INVALID"),
        ("sub.yaml", {"sub": sequence("  - {name: again, workflow: sub.yaml}\n")}, "WORKFLOW_NESTED"),
        ("sub.yaml", {"sub": sequence("  - {name: a}\n")}, "MISSING_KEY"),
    ],
)
def test_a_workflow_that_cannot_be_inlined_is_refused(outer: str, files: dict[str, str], code: str) -> None:
    """Missing files, ways out of the folder, loops and faults inside all end in one error."""
    assert refusal(sequence(f"  - {{name: sub, workflow: {outer}}}\n"), **files).code == code


def test_inputs_of_an_inlined_workflow_are_checked() -> None:
    """An unknown, a missing and a wrongly typed one are refused where they are handed in."""
    for values, code in (
        ("{}", "INPUT_MISSING"),
        ("{target: a, tarbet: b}", "INPUT_UNKNOWN"),
        ("{target: 5}", "INPUT_INVALID"),
    ):
        text = sequence(f"  - {{name: sub, workflow: sub.yaml, inputs: {values}}}\n")
        assert refusal(text, sub=INNER).code == code


def test_inlining_cannot_multiply_without_end() -> None:
    """Ten times ten times ten … files are refused at the limit of steps, quickly."""
    files = {
        f"l{level}": sequence(*(f"  - {{name: s{i}, workflow: l{level + 1}.yaml}}\n" for i in range(10)))
        for level in range(1, 7)
    }
    files["l7"] = sequence(STEP.format("a"))
    assert refusal(sequence("  - {name: s, workflow: l1.yaml}\n"), **files).code == "WORKFLOW_TOO_LARGE"


def test_limits_are_errors_and_large_workflows_are_not() -> None:
    """Ten thousand steps in a row load; one more, or groups with millions of dependencies, do not."""
    steps = [{"name": f"s{i}", "capability": "a.b"} for i in range(10_000)]
    assert len(WorkflowSpec(name="w", steps=steps).steps) == 10_000
    with pytest.raises(InputError) as caught:
        WorkflowSpec(name="w", steps=[*steps, {"name": "more", "capability": "a.b"}])
    assert caught.value.code == "WORKFLOW_TOO_LARGE"
    with pytest.raises(InputError) as caught:
        WorkflowSpec(name="w", steps=[{"parallel": steps[:1000]}, {"parallel": steps[1000:2000]}])
    assert caught.value.code == "WORKFLOW_TOO_LARGE"


@holds("documents")
@given(
    st.lists(
        st.tuples(
            st.integers(0, len(RELEASE)), st.sampled_from([*"${}[]:-, \n'\"x5!.", "", "steps", "null"])
        ),
        max_size=4,
    )
)
def test_a_mutated_document_gives_a_workflow_or_one_of_our_errors(edits: list[tuple[int, str]]) -> None:
    """Characters replaced anywhere in a valid document never end in another exception."""
    text = RELEASE
    for at, piece in edits:
        text = text[:at] + piece + text[at + 1 :]
    try:
        spec = load(text)
    except AssentError as error:
        assert error.path is not None  # noqa: PT017  # either outcome is right; each has its own assertion
    else:
        assert WorkflowSpec.from_dict(spec.to_json()) == spec


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers(-9, 9)
        | st.sampled_from(["a", "a.b", "${{ inputs.a }}", "5m"]),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    "name steps inputs outputs capability parallel workflow approval reason when foreach retry backoff "
                    "depends_on metadata a type default".split()
                ),
                inner,
                max_size=5,
            )
        ),
        max_leaves=25,
    )
)
def test_no_shape_of_data_escapes_the_checks(data: Any) -> None:
    """Any JSON under any of our keys gives a workflow or an error of ours."""
    try:
        WorkflowSpec.from_document(Document.of(data))
    except AssentError as error:
        assert error.code  # noqa: PT017  # either outcome is right


# -- against a registry ------------------------------------------------------------------------------------------------


@pytest.fixture
def registry() -> CapabilityRegistry:
    registry = CapabilityRegistry()
    path = {
        "type": "object",
        "properties": {"path": {"type": "string"}},
        "required": ["path"],
        "additionalProperties": False,
    }
    registry.register_capability(create_read_capability("io.fs.read_file", parameters=path))
    registry.register_capability(create_write_capability("io.fs.write_file"))
    registry.register_capability(create_delete_capability("io.fs.delete"))
    return registry


CALLS = [
    (
        "  - {name: a, capability: io.fs.raed_file}\n",
        "CAPABILITY_UNKNOWN",
        "w.yaml:3:27",
        "`io.fs.read_file`",
    ),
    ("  - {name: a, capability: io.fs.delete@2.0.0}\n", "VERSION_NOT_FOUND", "w.yaml:3:27", "1.0.0"),
    (
        "  - {name: a, capability: io.fs.delete, risk_level: MEDIUM}\n",
        "RISK_LOWERED",
        "w.yaml:3:53",
        "never lower",
    ),
    (
        "  - {name: a, capability: io.fs.read_file, inputs: {paht: x}}\n",
        "INPUT_UNKNOWN",
        "w.yaml:3:53",
        "`path`",
    ),
    ("  - {name: a, capability: io.fs.read_file, inputs: {path: 5}}\n", "INPUT_INVALID", "w.yaml:3:59", ""),
    ("  - {name: a, capability: io.fs.read_file}\n", "INPUT_MISSING", "w.yaml:3:5", ""),
    (
        "  - {name: a, capability: io.fs.write_file, compensation: io.fs.delete}\n",
        "COMPENSATION_INVALID",
        "w.yaml:3:59",
        "",
    ),
]


@pytest.mark.parametrize(("step", "code", "place", "hint"), CALLS)
def test_what_capabilities_do_not_allow_is_refused(
    registry: CapabilityRegistry, step: str, code: str, place: str, hint: str
) -> None:
    """Unknown capabilities, lowered risks and wrong parameters have their code, place and suggestion."""
    spec = load(sequence(step))
    with pytest.raises(InputError) as caught:
        check_capabilities(spec, registry.snapshot())
    assert (caught.value.code, caught.value.path) == (code, place)
    assert hint in (caught.value.hint or "")


def test_raising_a_risk_and_values_known_only_later_are_allowed(registry: CapabilityRegistry) -> None:
    """A step may raise its risk; a reference is not checked against a type before it has a value."""
    spec = load(
        "inputs: {p: integer}\n"
        + sequence(
            "  - {name: a, capability: io.fs.write_file, risk_level: CRITICAL}\n",
            "  - {name: b, capability: io.fs.read_file, inputs: {path: '${{ inputs.p }}'}}\n",
        )
    )
    check_capabilities(spec, registry)
    assert spec.steps[0].risk_level is RiskLevel.CRITICAL


# -- inputs ------------------------------------------------------------------------------------------------------------

TYPED = (
    "inputs:\n  n: integer\n  s: {type: string, default: hello}\n  opt: {type: number, required: false}\n"
    "  pick: {enum: [a, b], default: a}\n  deep: {type: object, properties: {x: {type: integer}}, default: {}}\n"
) + sequence(STEP.format("a"))


def test_inputs_get_their_defaults_and_optional_ones_are_null() -> None:
    """Every declared input has a value afterwards, so no reference to one can miss."""
    assert bind_inputs(load(TYPED), {"n": 1}) == {"n": 1, "s": "hello", "opt": None, "pick": "a", "deep": {}}


def test_all_faults_of_given_inputs_are_reported_together() -> None:
    """Unknown, missing and invalid ones at once, the first raised."""
    with pytest.raises(InputError) as caught:
        bind_inputs(load(TYPED), {"m": 1, "s": 5, "pick": "c", "deep": {"x": "y"}})
    error = caught.value
    assert error.code == "INPUT_UNKNOWN"
    assert error.hint == "declared inputs: n, s, opt, pick, deep"
    others = error.details["faults"]
    assert isinstance(others, list)
    found = [(other["code"], other["path"]) for other in others if isinstance(other, dict)]
    assert found == [
        ("INPUT_MISSING", "n"),
        ("INPUT_INVALID", "s"),
        ("INPUT_INVALID", "pick"),
        ("INPUT_INVALID", "deep.x"),
    ]


def test_bound_inputs_are_copies() -> None:
    """Changing what was bound changes neither the declaration nor the caller's data."""
    spec = load(TYPED)
    given: dict[str, Json] = {"n": 1, "deep": {"x": 1}}
    first = bind_inputs(spec, given)
    deep = first["deep"]
    assert isinstance(deep, dict)
    deep["x"] = 2
    assert given["deep"] == {"x": 1}


@pytest.mark.parametrize(
    ("schema", "text", "value"),
    [
        ({"type": "string"}, "5", "5"),
        ({}, "5", "5"),
        ({"type": "integer"}, "5", 5),
        ({"type": "number"}, "0.5", 0.5),
        ({"type": "boolean"}, "true", True),
        ({"type": "array"}, "[1, 2]", [1, 2]),
        ({"type": "object"}, '{"a": null}', {"a": None}),
        ({"type": ["integer", "string"]}, "5", 5),
        ({"type": ["integer", "string"]}, "five", "five"),
        ({"type": ["string", "null"]}, "null", None),
        ({"enum": [1, 2]}, "1", 1),
        ({"const": "x"}, "x", "x"),
    ],
)
def test_an_argument_is_read_by_its_declared_type(schema: dict[str, Json], text: str, value: Json) -> None:
    """`key=5` is a number exactly where a number is declared."""
    got = read_argument(schema, text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"),
    [("integer", "5.5"), ("integer", "x"), ("boolean", "yes"), ("array", "a,b"), ("object", "")],
)
def test_an_argument_that_does_not_fit_is_refused(kind: str, text: str) -> None:
    """Nothing is guessed: another type is an error with the parameter's name."""
    with pytest.raises(InputError) as caught:
        read_argument({"type": kind}, text, name="key")
    assert (caught.value.code, caught.value.path) == ("INPUT_INVALID", "key")


def test_a_plain_workflow_loads_without_the_expression_library() -> None:
    """Paths are followed by our own code; CEL and the schema validator are loaded only where they are needed."""
    code = (
        "import sys; from assent.spec.workflow import WorkflowSpec, bind_inputs;"
        "w = WorkflowSpec(name='w', inputs={'x': 'string'}, steps=[{'name': 'a', 'capability': 'a.b',"
        " 'inputs': {'p': '${{ inputs.x }}'}}]);"
        "assert w.steps[0].inputs.render({'inputs': bind_inputs(w, {'x': 'y'})}) == {'p': 'y'};"
        "print([name for name in ('cel', 'cel.cel', 'jsonschema_rs', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
