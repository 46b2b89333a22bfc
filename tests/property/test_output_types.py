"""A reference that is told to be wrong is wrong in every run, whatever the step before it gives."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from jsonschema_rs import Draft202012Validator

from assent.errors import InputError
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.values.frozen import thaw
from assent.spec.workflow.definition import WorkflowSpec
from assent.versions.output_types import check_output_types

NAMES = ("a", "b")
LEAVES = st.sampled_from(
    [None, True, 0, 1.5, "x", "", [], {}, {"a": 1}, ["x"], {"a": {"b": "x"}}, {"b": [None]}]
)
VALUES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=2),
    max_leaves=6,
)
KINDS = ["null", "boolean", "number", "integer", "string", "array", "object"]


def nodes(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Schemas with others inside of them."""
    properties = st.dictionaries(st.sampled_from(NAMES), inner, max_size=2)
    some = st.lists(inner, min_size=1, max_size=3)
    return st.one_of(
        st.fixed_dictionaries(
            {"type": st.just("object")},
            optional={
                "properties": properties,
                "additionalProperties": inner,
                "patternProperties": st.fixed_dictionaries({"^b": inner}),
                "required": st.lists(st.sampled_from(NAMES), unique=True),
            },
        ),
        st.fixed_dictionaries({"type": st.just("array")}, optional={"items": inner, "prefixItems": some}),
        *(st.fixed_dictionaries({key: some}) for key in ("anyOf", "oneOf", "allOf")),
        st.builds(
            lambda one, other: {**one, **other},
            st.fixed_dictionaries({"not": inner}),
            properties.map(lambda one: {"properties": one}),
        ),
    )


SCHEMAS = st.recursive(
    st.booleans()
    | st.just({"$ref": "#/$defs/it"})
    | st.sampled_from(KINDS).map(lambda kind: {"type": kind})
    | st.lists(st.sampled_from(KINDS), min_size=1, unique=True).map(lambda kinds: {"type": kinds})
    | st.lists(LEAVES, min_size=1, max_size=3).map(lambda values: {"enum": values})
    | LEAVES.map(lambda value: {"const": value}),
    nodes,
    max_leaves=6,
)
PATHS = st.lists(st.sampled_from([*NAMES, 0, 1]), max_size=3)


class Two:
    """What gives and what takes."""

    def __init__(self, returns: Any, takes: Any) -> None:
        parameters = {"type": "object", "properties": {"p": takes}, "$defs": {"it": {"type": "string"}}}
        self.specs: dict[str, CapabilitySpec] = {
            "box.give": create_read_capability("box.give", returns=returns),
            "box.take": create_read_capability("box.take", parameters=parameters),
        }

    def resolve(self, reference: str) -> CapabilitySpec:
        return self.specs[reference]


def refused(two: Two, path: list[str | int], **fields: Any) -> str | None:
    """The code with which a reference to this part of the output is refused."""
    written = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path)
    give = {"name": "give", "capability": "box.give", "inputs": {}, **fields}
    take = {
        "name": "take",
        "capability": "box.take",
        "inputs": {"p": f"${{{{ steps.give.output{written} }}}}"},
    }
    try:
        check_output_types(WorkflowSpec(name="w", steps=[give, take]), two)
    except InputError as error:
        return error.code
    return None


def followed(value: Any, path: list[str | int]) -> tuple[bool, Any]:
    """Whether there is something at this path, and what."""
    for part in path:
        kind = dict if isinstance(part, str) else list
        is_there = isinstance(value, kind) and (part in value if kind is dict else int(part) < len(value))
        if not is_there:
            return False, None
        value = value[part]
    return True, value


@given(SCHEMAS, SCHEMAS, PATHS, VALUES, st.sampled_from(["once", "skipped", "each"]))
def test_what_is_refused_fails_whatever_is_given(
    returns: Any, takes: Any, path: list[str | int], value: Any, how: str
) -> None:
    root = {"allOf": [returns], "$defs": {"it": {"type": "string"}}}
    two = Two(root, takes)
    fields = {"once": {}, "skipped": {"when": "inputs.size() > 0"}, "each": {"foreach": "${{ [1] }}"}}[how]
    assume(refused(two, path, **fields) is not None)
    gives, accepts = (
        Draft202012Validator(root),
        Draft202012Validator(thaw(two.specs["box.take"].parameters)),
    )
    outputs = [value] if gives.is_valid(value) else []
    if how == "skipped":
        outputs.append(None)
    for output in outputs:
        is_there, found = followed([output] if how == "each" else output, path)
        assert not is_there or not accepts.is_valid({"p": found})


TEXT, NUMBER = {"type": "string"}, {"type": "number"}
FIELDS = {
    "type": "object",
    "properties": {"a": TEXT, "b": {"type": ["string", "null"]}},
    "additionalProperties": False,
}
# What is given, where, what is taken → the refusal. Each pair of kinds is tried below.
CASES: dict[str, tuple[Any, list[str | int], Any, str | None]] = {
    "an object for a text": (FIELDS, [], TEXT, "INVALID_INPUT"),
    "its text": (FIELDS, ["a"], TEXT, None),
    "perhaps null": (FIELDS, ["b"], TEXT, None),
    "no such field": (FIELDS, ["c"], TEXT, "REFERENCE_MISSING"),
    "an open object": ({"type": "object"}, ["c"], TEXT, None),
    "inside of a text": (FIELDS, ["a", "x"], TEXT, "REFERENCE_MISSING"),
    "an item": ({"type": "array", "items": NUMBER}, [0], TEXT, "INVALID_INPUT"),
    "behind the last item": (
        {"type": "array", "prefixItems": [TEXT], "items": False},
        [1],
        TEXT,
        "REFERENCE_MISSING",
    ),
    "either": ({"anyOf": [TEXT, NUMBER]}, [], TEXT, None),
    "neither": ({"anyOf": [TEXT, NUMBER]}, [], {"type": "boolean"}, "INVALID_INPUT"),
    "nothing is said": ({}, ["a"], TEXT, None),
    "anything is taken": (FIELDS, [], {}, None),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_known_to_be_wrong_is_refused(case: str) -> None:
    returns, path, takes, expected = CASES[case]
    assert refused(Two(returns, takes), path) == expected


@pytest.mark.parametrize("given_kind", KINDS)
@pytest.mark.parametrize("taken", KINDS)
def test_each_pair_of_types(given_kind: str, taken: str) -> None:
    """A number may be a whole one, and the other way round."""
    fits = given_kind == taken or {given_kind, taken} == {"number", "integer"}
    expected = None if fits else "INVALID_INPUT"
    two = Two({"type": given_kind}, {"type": taken})
    assert refused(two, []) == expected
    assert refused(two, [], when="inputs.size() > 0") == (None if taken == "null" else expected)
    assert refused(two, [], foreach="${{ [1] }}") == (None if taken == "array" else "INVALID_INPUT")
    assert refused(two, [0], foreach="${{ [1] }}") == expected


def test_a_step_that_may_not_run_is_let_be() -> None:
    two = Two(FIELDS, TEXT)
    give = {"name": "give", "capability": "box.give", "inputs": {}}
    take = {"name": "take", "capability": "box.take", "inputs": {"p": "${{ steps.give.output }}"}}
    for fields in ({"when": "inputs.size() > 0"}, {"foreach": "${{ [] }}"}):
        check_output_types(WorkflowSpec(name="w", steps=[give, {**take, **fields}]), two)
