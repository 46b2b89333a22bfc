"""Values made from a schema fit it, are the same for the same seed, and reach what transformers get wrong."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import assume, given

from assent.errors import AssentError
from assent.versions.samples import samples
from tests.support.schemas import Schema, fits, roots


def made(schema: Schema, count: int = 20) -> list[Any]:
    return list(samples(schema, seed=b"seed", count=count))


@given(schema=roots)
def test_every_value_fits_and_the_same_seed_makes_the_same_ones(schema: Schema) -> None:
    """No value is made that the schema refuses."""
    try:
        values = made(schema, 8)
    except AssentError:
        assume(False)  # nothing fits it, or nothing was found
    assert all(fits(schema, value) for value in values)
    assert values == made(schema, 8)


ORDER: Schema = {
    "type": "object",
    "properties": {
        "email": {"type": "string", "format": "email"},
        "note": {"anyOf": [{"type": "string", "maxLength": 4}, {"type": "null"}], "default": None},
        "lines": {
            "type": "array",
            "minItems": 1,
            "items": {
                "type": "object",
                "properties": {
                    "sku": {
                        "type": "string",
                        "pattern": "^[A-Z]{2}-[0-9]{4}$",
                        "examples": ["AB-1234", "XY-0000"],
                    },
                    "count": {"type": "integer", "exclusiveMinimum": 0, "maximum": 99},
                    "price": {"type": "number", "minimum": 0, "multipleOf": 0.25},
                },
                "required": ["sku", "count"],
            },
        },
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
    },
    "required": ["lines"],
    "additionalProperties": False,
}


def test_the_first_value_is_the_smallest_and_the_second_the_fullest() -> None:
    """Missing and present optional fields are both seen, at once and among the others."""
    values = made(ORDER, 40)
    assert values[0].keys() == {"lines"}
    assert len(values[0]["lines"]) == 1
    assert values[1].keys() == {"email", "note", "lines", "labels"}
    assert {value.get("note") is None for value in values} == {True, False}
    assert len(values) == 40


def test_a_schema_that_contains_itself_comes_to_an_end() -> None:
    """Trees are made, of some depth."""
    tree: Schema = {
        "$defs": {
            "N": {"type": "object", "properties": {"sub": {"type": "array", "items": {"$ref": "#/$defs/N"}}}}
        },
        "$ref": "#/$defs/N",
    }
    assert len(made(tree)) > 3


def test_a_schema_that_nothing_fits_names_the_place() -> None:
    """Its author can give examples."""
    with pytest.raises(AssentError, match="pattern") as caught:
        made(
            {
                "type": "object",
                "properties": {"a": {"type": "string", "pattern": r"^\p{Lu}{7}$"}},
                "required": ["a"],
            }
        )
    assert caught.value.code == "SAMPLES_MISSING"
    with pytest.raises(AssentError):
        made({"not": {}})
    endless: Schema = {
        "$defs": {"N": {"type": "array", "minItems": 1, "items": {"$ref": "#/$defs/N"}}},
        "$ref": "#/$defs/N",
    }
    with pytest.raises(AssentError):
        made(endless, 1)


def test_examples_stand_in_for_what_can_not_be_made() -> None:
    """Of a text with a pattern; a pattern that no validator here reads is refused."""
    assert {*made({"type": "string", "pattern": r"^\p{Lu}$", "examples": ["Ä", "B", "b"]})} == {"Ä", "B"}
    with pytest.raises(AssentError, match="JSON Schema"):
        made({"type": "string", "pattern": "^a(?!b)"})
