"""A schema is told in rows: every value once, in words, with what is inside of lists, objects and choices."""

from __future__ import annotations

from assent.spec.schemas.schema import schema_of
from assent.spec.types import Duration, Size
from assent.spec.values.frozen import thaw
from tools._schema_rows import Row, rows

SCHEMA = {
    "properties": {
        "name": {"type": "string", "minLength": 1, "maxLength": 9, "description": "what it is called"},
        "count": {"type": "integer", "minimum": 0, "default": 3},
        "share": {"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1},
        "kind": {"enum": ["a", "b"]},
        "fixed": {"const": "x"},
        "break": {"enum": ["\n", "\r\n"]},
        "one": {"$ref": "#/$defs/One", "description": "said beside the reference"},
        "many": {"type": "array", "items": {"$ref": "#/$defs/One"}, "maxItems": 5},
        "named": {
            "type": "object",
            "additionalProperties": {"type": "string", "maxLength": 4},
            "minProperties": 1,
        },
        "mapped": {"type": "object", "additionalProperties": {"$ref": "#/$defs/One"}},
        "either": {"anyOf": [{"type": "string", "pattern": "^a|b$"}, {"type": "null"}], "default": None},
        "any": {},
        "mixed": {"type": ["string", "null"]},
    },
    "required": ["name", "one"],
    "$defs": {"One": {"type": "object", "properties": {"on": {"type": "boolean"}}}},
}


def test_every_value_has_a_row() -> None:
    found = [(row.name.strip("`"), row.kind, row.limits) for row in rows(SCHEMA)]
    assert found == [
        ("name", "text", "1 to 9 characters"),
        ("count", "whole number", "at least 0"),
        ("share", "number", "more than 0; less than 1"),
        ("kind", "text", "one of `a`, `b`"),
        ("fixed", "text", "`x`"),
        ("break", "text", 'one of `"\\n"`, `"\\r\\n"`'),
        ("one", "object", ""),
        ("one.on", "true or false", ""),
        ("many", "list of object", "at most 5 entries"),
        ("many[].on", "true or false", ""),
        ("named", "object of text", "at least 1 names"),
        ("mapped", "object of object", ""),
        ("mapped.*.on", "true or false", ""),
        ("either", "text or null", "matches `^a|b$`"),
        ("any", "any JSON", ""),
        ("mixed", "text or null", ""),
    ]


def test_a_row_tells_what_has_to_be_given() -> None:
    found = {row.name: row for row in rows(SCHEMA)}
    assert found["`name`"] == Row("`name`", "text", True, "none", "1 to 9 characters", "what it is called")
    assert (found["`count`"].is_required, found["`count`"].default) == (False, "`3`")
    assert found["`either`"].default == "`null`"
    assert found["`one`"].description == "said beside the reference"


def test_measures_have_words_of_their_own() -> None:
    found = [*rows({"properties": {"wait": thaw(schema_of(Duration)), "most": thaw(schema_of(Size))}})]
    assert [(row.kind, row.limits) for row in found] == [
        ("duration, like `90s`, or seconds", ""),
        ("size, like `10MB`, or bytes", ""),
    ]


def test_what_contains_itself_ends() -> None:
    tree = {"type": "object", "properties": {"below": {"$ref": "#/$defs/Tree"}}}
    assert len([*rows({**tree, "$defs": {"Tree": tree}})]) == 5
