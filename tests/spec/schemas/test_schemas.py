"""Schemas of types say all that the types take and nothing else; schemas of strangers can do no harm."""

from __future__ import annotations

import json
import re
from types import GenericAlias
from typing import Annotated, Any, Literal

import jsonschema_rs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, JsonValue, TypeAdapter, create_model

from assent import capability
from assent.errors import InputError
from assent.invocation import BoundCapability, Handler
from assent.spec import CapabilitySpec, create_read_capability
from assent.spec.capability import SpecModel
from assent.spec.schemas._foreign import compile_schema
from assent.spec.schemas.schema import schema_of, takes_more
from tests.support.properties import holds
from tests.support.seeds import examples


class Silent(BaseModel):
    """Says nothing about keys it does not know."""

    a: int


class Closed(Silent):
    """Refuses them."""

    model_config = ConfigDict(extra="forbid")


class Open(BaseModel):
    """Takes them."""

    model_config = ConfigDict(extra="allow")
    b: int = 0


class Mixed(BaseModel):
    """One of each below."""

    model_config = ConfigDict(extra="forbid")
    silent: Silent
    open: Open


class Both(BaseModel):
    """Both say what they mean."""

    model_config = ConfigDict(extra="forbid")
    closed: Closed
    open: Open


def refusal(source: Any) -> InputError:
    with pytest.raises(InputError) as caught:
        schema_of(source)
    assert caught.value.code == "SPEC_INVALID"
    return caught.value


def taking(kind: Any, inputs: dict[str, Any]) -> dict[str, Any]:
    """What a capability with such inputs makes of these."""

    @capability("t.t", operation="READ", risk="LOW")
    def take(*, value: kind) -> None:
        return None

    plain = BoundCapability(take.spec, take.handler).parse({"value": inputs})[1]["value"]
    assert isinstance(plain, dict)
    return plain


def test_a_class_that_says_nothing_refuses_what_it_does_not_know() -> None:
    schema: Any = schema_of(Silent)
    assert schema["additionalProperties"] is False
    assert not takes_more(schema)
    with pytest.raises(InputError, match=r"`value\.b` is not a parameter"):
        taking(Silent, {"a": 1, "b": 2})


def test_a_class_that_says_so_takes_more_and_keeps_it() -> None:
    assert takes_more(schema_of(Open))  # type: ignore[arg-type]  # a schema
    assert taking(Open, {"b": 1, "c": [2]}) == {"b": 1, "c": [2]}


def test_classes_may_differ_when_each_says_what_it_means() -> None:
    good = {"closed": {"a": 1}, "open": {"x": 1}}
    assert taking(Both, good)["open"] == {"b": 0, "x": 1}
    with pytest.raises(InputError):
        taking(Both, good | {"closed": {"a": 1, "x": 1}})
    error = refusal(Mixed)
    assert "`Silent` does not say" in error.message
    assert "extra" in str(error.hint)


def test_a_mapping_of_anything_is_no_class() -> None:
    assert not takes_more(schema_of(dict[str, int]))  # type: ignore[arg-type]  # a schema
    assert taking(dict[str, int], {"x": 1}) == {"x": 1}


def test_types_that_are_no_classes_have_schemas_too() -> None:
    assert schema_of(JsonValue) == {}
    assert schema_of(Any) == {}
    assert schema_of(int | None) == {"anyOf": [{"type": "integer"}, {"type": "null"}]}
    given: dict[str, Any] = {"type": "object"}
    assert schema_of(given) is given


@pytest.mark.parametrize("source", [5, type, lambda: None, list["Missing"]])  # type: ignore[name-defined]  # noqa: F821
def test_what_has_no_schema_is_refused(source: Any) -> None:
    assert "no schema can be derived" in refusal(source).message


class Slow(BaseModel):
    """A pattern for Python's engine, by configuration."""

    model_config = ConfigDict(regex_engine="python-re")
    text: Annotated[str, Field(pattern="(a+)+$")]


class Named(BaseModel):
    """Fields that are called what the nodes of a schema are described by."""

    type: str = ""
    pattern: Annotated[str, Field(pattern="^a+$")] = ""
    config: str = ""


class SlowNamed(BaseModel):
    """The same with a pattern for Python's engine in one of them."""

    type: str = ""
    metadata: Annotated[str, Field(pattern=re.compile("(a+)+$"))] = ""


def test_fields_may_be_called_like_the_parts_of_a_schema() -> None:
    schema: Any = schema_of(Named)
    assert [*schema["properties"]] == ["type", "pattern", "config"]


@pytest.mark.parametrize(
    "source", [Slow, SlowNamed, list[Slow], Annotated[str, Field(pattern=re.compile("(a+)+$"))]]
)
def test_a_pattern_of_pythons_engine_is_refused(source: Any) -> None:
    """It takes exponential time for some texts, and callers choose the text."""
    error = refusal(source)
    assert "exponential" in error.message
    assert "rust-regex" in str(error.hint)


@pytest.mark.parametrize(
    "schema",
    [
        {"pattern": "(?=a)b"},
        {"properties": {"a": {"pattern": r"(a)\1"}}},
        {"patternProperties": {"(?<!a)b": {}}},
        {"type": "objekt"},
        {"$ref": "https://example.org/schema"},
        {"properties": 5},
        {"$ref": "#/$defs/none"},
    ],
)
def test_a_strangers_schema_that_can_do_harm_is_refused_when_it_is_registered(schema: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        compile_schema(schema, "the schema")
    assert caught.value.code == "SCHEMA_INVALID"
    assert caught.value.hint
    spec = create_read_capability("t.t", parameters=schema)
    with pytest.raises(InputError) as caught:
        BoundCapability(spec, Handler(lambda _context, _inputs: None))
    assert caught.value.code == "SCHEMA_INVALID"


def test_a_strangers_schema_is_checked_in_linear_time() -> None:
    validator = compile_schema({"pattern": "^(a+)+$"}, "the schema")
    assert not validator.is_valid("a" * 50_000 + "b")


SCALARS = st.sampled_from(
    [
        str,
        int,
        bool,
        type(None),
        Literal["a", "b"],
        Annotated[int, Field(ge=0, le=9)],
        Annotated[str, Field(min_length=1, max_length=3)],
        Annotated[str, Field(pattern="^[ab]*$")],
    ]
)


def models(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    fields = st.dictionaries(st.sampled_from(["x", "y", "z"]), st.tuples(inner, st.booleans()), max_size=3)
    return fields.map(made)


def made(chosen: dict[str, tuple[Any, bool]]) -> Any:
    fields: dict[str, Any] = {
        name: (kind, ...) if needed else (kind | None, None) for name, (kind, needed) in chosen.items()
    }
    return create_model("Made", __base__=SpecModel, **fields)


def composed(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(
        inner.map(lambda kind: GenericAlias(list, kind)),
        inner.map(lambda kind: GenericAlias(dict, (str, kind))),
        st.tuples(inner, inner).map(lambda pair: pair[0] | pair[1]),
        models(inner),
    )


TYPES = models(st.recursive(SCALARS, composed, max_leaves=4))
# No whole floats: `1.0` is an integer to JSON Schema and none to Python.
JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 11) | st.sampled_from([0.5, "a", "ab", "abc", "abcd", ""]),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["x", "y", "z", "w"]), inner, max_size=3)
    ),
    max_leaves=6,
)


@holds("schema_generation")
@settings(max_examples=examples(150))
@given(TYPES, st.dictionaries(st.sampled_from(["x", "y", "z", "w"]), JSON, max_size=3))
def test_a_type_and_its_schema_take_the_same_values(kind: Any, value: dict[str, Any]) -> None:
    """Also after the schema went through a spec and JSON, as a caller elsewhere sees it; and what is dumped fits again."""
    spec = CapabilitySpec.from_json(
        json.loads(json.dumps(create_read_capability("t.t", parameters=kind).to_json()))
    )
    schema: Any = spec.to_json()["parameters"]
    fits = jsonschema_rs.validator_for(schema).is_valid(value)
    typed = BoundCapability(spec, Handler(lambda _context, _inputs: None, parameters=kind))
    untyped = BoundCapability(spec, Handler(lambda _context, _inputs: None))
    for bound in (typed, untyped):
        try:
            _, plain = bound.parse(value)
        except InputError:
            assert not fits
        else:
            assert fits
            assert bound.parse(plain)[1] == plain
    assert TypeAdapter(kind).json_schema()["title"] == "Made"
