"""What is told and not kept: marks stand in its place, which tell whether a text is the one that was there."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, TypeAdapter

from assent.errors import Json
from assent.spec.types import UnkeptText
from assent.spec.unkept_fields import (
    UnkeptFields,
    has_unkept,
    is_marked,
    not_kept,
    opens,
    veil_derived,
)

SCHEMA: dict[str, Json] = {
    "type": "object",
    "properties": {
        "text": {"type": "string", "kept": False},
        "free": {"kept": False},
        "place": {"type": "string", "kept": True},
        "rows": {"type": "array", "items": {"$ref": "#/$defs/row"}},
    },
    "$defs": {"row": {"type": "object", "properties": {"text": {"type": "string", "kept": False}}}},
}
FIELDS = UnkeptFields(SCHEMA)

VALUES: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.sampled_from([0.5, "", "a", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["x", "y"]), inner),
    max_leaves=8,
)


def salt() -> bytes:
    return b"s" * 16


def test_texts_are_replaced_and_the_rest_stays() -> None:
    value: Any = {
        "text": "a",
        "free": {"k": ["b", 1, None, True]},
        "place": "p",
        "rows": [{"text": "c", "n": 1}],
    }
    veiled = FIELDS.veiled(value, salt)
    assert veiled["place"] == "p"
    assert veiled["free"]["k"][1:] == [1, None, True]
    assert veiled["rows"][0]["n"] == 1
    for text in (veiled["text"], veiled["free"]["k"][0], veiled["rows"][0]["text"]):
        assert is_marked(text)
    assert opens(veiled, value)
    assert not opens(veiled, {**value, "text": "A"})
    assert not opens(veiled, {**value, "rows": []})
    assert value["text"] == "a"


def test_a_mark_fits_where_a_text_does_and_stays() -> None:
    """What is played again from a record comes to the same."""
    veiled = FIELDS.veiled({"text": "a"}, salt)
    assert FIELDS.veiled(veiled, salt) == veiled
    assert opens(veiled, veiled)


def test_what_the_schema_does_not_name_is_not_kept_either() -> None:
    assert is_marked(FIELDS.veiled({"txet": "a"}, salt))
    assert not is_marked(UnkeptFields({"kept": False}).veiled(1, salt))
    assert is_marked(UnkeptFields({"kept": False}).veiled({"any": ["a"]}, salt))


def test_a_schema_that_says_nothing_changes_nothing() -> None:
    plain = UnkeptFields({"properties": {"kept": {"type": "boolean"}}})
    value: Json = {"kept": False, "a": "b"}
    assert plain.veiled(value, salt) is value
    assert not plain.some
    assert has_unkept(SCHEMA)


def test_a_type_says_so() -> None:
    class Row(BaseModel):
        text: UnkeptText

    assert has_unkept(TypeAdapter(list[Row]).json_schema())


@given(VALUES)
def test_a_value_opens_as_itself_alone(value: Json) -> None:
    assert opens(value, value)
    veiled = UnkeptFields({"kept": False}).veiled(value, salt)
    assert opens(veiled, value)
    assert not opens(veiled, [value])


@pytest.mark.parametrize(
    ("value", "made", "kept"),
    [
        ({"a": [1, "x"]}, {"a": [1, "x"]}, {"a": [1, "x"]}),
        (1, 1.0, None),
        (True, 1, None),
        ([1], [1, 2], None),
        ({"a": 1}, {"b": 1}, None),
        ("x", None, None),
    ],
)
def test_what_is_derived_is_kept_where_it_does_not_depend_on_them(
    value: Json, made: Json, kept: Json
) -> None:
    found = veil_derived(value, made, salt)
    assert found == kept if kept is not None else is_marked(found)
    assert opens(found, value)


def test_a_text_that_is_handed_on_keeps_its_mark() -> None:
    mark = UnkeptFields({"kept": False}).veiled("x", salt)
    assert veil_derived({"a": "x"}, {"a": mark}, salt) == {"a": mark}
    assert veil_derived("y", mark, salt) != mark


def test_what_is_missing_is_said() -> None:
    error = not_kept("the inputs", "shelf.find")
    assert (error.code, "`shelf.find`" in error.message) == ("TEXT_NOT_KEPT", True)
