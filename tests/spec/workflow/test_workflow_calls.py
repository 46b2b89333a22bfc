"""A workflow is checked against the capabilities that it calls, and its inputs against their types."""

from __future__ import annotations

import subprocess
import sys

import pytest

from assent.errors import InputError, Json
from assent.registry import CapabilityRegistry
from assent.spec import (
    RiskLevel,
    create_delete_capability,
    create_read_capability,
    create_write_capability,
)
from assent.spec.workflow.definition import bind_inputs, check_capabilities
from assent.spec.workflow.inputs import read_argument
from tests.support.workflows import STEP, load, sequence


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
    ("  - {name: a, capability: io.fs.read_file, inputs: {path: 5}}\n", "INVALID_INPUT", "w.yaml:3:59", ""),
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
        ("INVALID_INPUT", "s"),
        ("INVALID_INPUT", "pick"),
        ("INVALID_INPUT", "deep.x"),
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
        ({"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]}, "5", 5),
        ({"anyOf": [{"type": "integer"}, {"type": "null"}]}, "null", None),
        ({"oneOf": [{"type": ["boolean", "null"]}, {"type": "array"}]}, "[]", []),
        ({"anyOf": [{"type": "integer"}, {"type": "string"}]}, "5", "5"),
        ({"anyOf": [{"type": "string"}, {"type": "null"}]}, "null", "null"),
        ({"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/Size"}]}, "5", "5"),
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
    assert (caught.value.code, caught.value.path) == ("INVALID_INPUT", "key")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("soon", "a whole number, not `soon`"),
        ("1.5", "a whole number, not `1.5`"),
        ("007", "a whole number, not `007`"),
        (f"-{2**53 + 1}", f"a whole number from -{2**53 - 1} to {2**53 - 1}, not `-{2**53 + 1}`"),
        (80 * "9", f"a whole number from -{2**53 - 1} to {2**53 - 1}, not `{80 * '9'}`"),
    ],
)
@pytest.mark.parametrize("schema", [{"type": "integer"}, {"anyOf": [{"type": "integer"}, {"type": "null"}]}])
def test_a_number_that_is_none_is_told_in_the_words_of_every_fault(
    schema: dict[str, Json], text: str, words: str
) -> None:
    with pytest.raises(InputError) as caught:
        read_argument(schema, text, name="since_ms")
    assert caught.value.message == f"`since_ms` must be {words}"


def test_who_writes_words_for_a_list_is_told_how_one_is_written() -> None:
    with pytest.raises(InputError) as caught:
        read_argument({"type": "array", "items": {"type": "string"}}, "ls -la", name="argv")
    assert (caught.value.message, caught.value.hint) == (
        "`argv` must be a list, not `ls -la`",
        'write JSON, e.g. `["a", "b"]`',
    )


def test_a_plain_workflow_loads_without_the_expression_library() -> None:
    """Paths are followed by our own code; CEL and the schema validator are loaded only where they are needed."""
    code = (
        "import sys; from assent.spec.workflow.definition import WorkflowSpec, bind_inputs;"
        "w = WorkflowSpec(name='w', inputs={'x': 'string'}, steps=[{'name': 'a', 'capability': 'a.b',"
        " 'inputs': {'p': '${{ inputs.x }}'}}]);"
        "assert w.steps[0].inputs.render({'inputs': bind_inputs(w, {'x': 'y'})}) == {'p': 'y'};"
        "print([name for name in ('cel', 'cel.cel', 'jsonschema_rs', 'yaml') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
