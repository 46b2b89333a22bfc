"""What a schema calls `writeOnly` is shown to nobody, wherever it stands and however it is reached."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, SecretStr, TypeAdapter

from assent.errors import Json
from assent.spec import masking
from assent.spec.masking import MASK, hides, masked, masked_by_name, names_secret, parts_at
from assent.spec.types import SecretReference
from assent.spec.values.frozen import freeze

SECRET: dict[str, Any] = {"type": "string", "writeOnly": True}


@pytest.mark.parametrize(
    ("schema", "value", "shown"),
    [
        (SECRET, "s", MASK),
        ({"properties": {"a": SECRET}}, {"a": "s", "b": 1}, {"a": MASK, "b": 1}),
        ({"additionalProperties": SECRET, "properties": {"b": {}}}, {"a": "s", "b": 1}, {"a": MASK, "b": 1}),
        ({"patternProperties": {"^a": SECRET}}, {"a": "s"}, {"a": MASK}),
        ({"items": SECRET}, ["s", 1], [MASK, MASK]),
        ({"prefixItems": [{}, SECRET], "items": {}}, [0, "s", 2], [0, MASK, 2]),
        ({"contains": SECRET}, ["s"], [MASK]),
        ({"anyOf": [{"type": "object"}, {"properties": {"a": SECRET}}]}, {"a": 1}, {"a": MASK}),
        ({"oneOf": [SECRET, {}]}, {"deep": "s"}, MASK),
        ({"allOf": [{"properties": {"a": SECRET}}]}, {"a": None}, {"a": MASK}),
        ({"if": {}, "then": {"properties": {"a": SECRET}}}, {"a": 1}, {"a": MASK}),
        ({"dependentSchemas": {"b": {"properties": {"a": SECRET}}}}, {"a": 1}, {"a": MASK}),
        ({"$defs": {"S": SECRET}, "$ref": "#/$defs/S"}, "s", MASK),
        ({"$defs": {"a/b~": SECRET}, "items": {"$ref": "#/$defs/a~1b~0"}}, ["s"], [MASK]),
        ({"anyOf": [SECRET], "items": {"$ref": "#/anyOf/0"}}, ["s"], MASK),
        ({"prefixItems": [SECRET], "items": {"$ref": "#/prefixItems/0"}}, [0, "s"], [MASK, MASK]),
    ],
)  # fmt: skip
def test_a_secret_is_hidden_wherever_the_schema_puts_it(
    schema: dict[str, Any], value: Any, shown: Any
) -> None:
    assert masked(value, schema) == shown
    assert masked(value, freeze(schema)) == shown


@pytest.mark.parametrize(
    "schema",
    [{"$ref": "#/$defs/none"}, {"$ref": "#/$defs/0"}, {"$ref": "https://a.b"}, {"$dynamicRef": "#x"}],
)
def test_what_a_reference_to_nowhere_says_is_hidden(schema: dict[str, Any]) -> None:
    whole = {"properties": {"a": schema, "b": SECRET}, "$defs": []}
    assert masked({"a": {"b": 1}, "c": 2}, whole) == {"a": MASK, "c": 2}


def test_a_schema_that_refers_to_itself_is_followed_as_deep_as_the_value_goes() -> None:
    class Node(BaseModel):
        token: SecretReference | None = None
        password: SecretStr = SecretStr("x")
        children: list[Node] = []

    schema = TypeAdapter(Node).json_schema()
    value: Any = {"token": "t", "children": [{"password": "p", "children": [{"token": "u"}]}]}
    shown = {"token": MASK, "children": [{"password": MASK, "children": [{"token": MASK}]}]}
    assert masked(value, schema) == shown
    circle: dict[str, Any] = {"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}, "s": SECRET}}
    assert masked({"a": 1}, circle) == {"a": 1}


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(JSON)
def test_a_schema_without_secrets_changes_nothing(value: Any) -> None:
    schema: dict[str, Any] = {"additionalProperties": {"items": {"type": "string"}}, "items": {}}
    assert not hides(schema)
    assert masked(value, schema) is value


@given(JSON, st.text(max_size=2))
def test_masking_changes_a_copy_and_only_what_is_secret(value: Any, name: str) -> None:
    before = repr(value)
    shown = masked({"other": value, name: value}, {"properties": {name: SECRET}})
    assert shown == {"other": value, name: value} | {name: MASK}
    assert repr(value) == before


@pytest.mark.parametrize(
    "name", ["password", "PASSWORD", "apiKey", "api-key", "db_token", "clientSecret", "x.credentials"]
)
def test_a_name_that_says_secret_is_one(name: str) -> None:
    assert names_secret(name)


@pytest.mark.parametrize(
    "name", ["path", "tokens", "max_tokens", "token_count", "monkey", "key", "secretary"]
)
def test_a_name_that_only_sounds_like_one_is_none(name: str) -> None:
    assert not names_secret(name)


def test_without_a_schema_names_alone_hide_at_any_depth() -> None:
    value: dict[str, Json] = {"a": [{"db_token": {"x": 1}, "tokens_max": 2}], "password": None, "n": 1.5}
    hidden: list[str] = []
    assert masked_by_name(value, hidden) == {
        "a": [{"db_token": MASK, "tokens_max": 2}],
        "password": MASK,
        "n": 1.5,
    }
    assert hidden == ["db_token", "password"]
    assert value["password"] is None
    assert masked_by_name("text") == "text"


def test_a_long_name_is_looked_at_and_not_remembered() -> None:
    """Callers choose the keys of what is refused: as many and as long as they like."""
    before = dict(masking._KNOWN)
    long = "x" * 1_000
    assert names_secret(f"{long}_password")
    assert not names_secret(long)
    assert before == masking._KNOWN


def test_all_that_a_schema_says_of_a_place_is_found() -> None:
    schema = {
        "properties": {"a": {"$ref": "#/$defs/A"}},
        "$defs": {"A": {"items": {"anyOf": [{"title": "x"}, {"$ref": "#/none"}]}}},
    }
    assert {"title": "x"} in parts_at(schema, ("a", 0))
    assert parts_at(schema, ("a", 0, "b", "c")) == []
    assert parts_at(schema, ()) == [schema]
