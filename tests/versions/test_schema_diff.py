"""Each construct of a schema: what its change is called, where it is, and whom it breaks."""

from __future__ import annotations

from typing import Any

import pytest

from assent.versions import schema_diff
from assent.versions.schema_diff import Change, ChangeKind

Schema = dict[str, Any]


def diff_schemas(old: Any, new: Any, direction: Any, *, path: str = "$") -> list[Change]:
    """The difference of two literals; `Any`, because a literal's type is narrower than JSON's."""
    return schema_diff.diff_schemas(old, new, direction, path=path)


TEXT: Schema = {"type": "string"}


def one(old: Schema, new: Schema, direction: Any = "input") -> Change:
    """The only change."""
    (change,) = diff_schemas(old, new, direction)
    return change


def of(**fields: Schema) -> Schema:
    """An object of these fields; a `!` key inside marks a required one."""
    required = [name for name, schema in fields.items() if "!" in schema]
    properties = {name: {k: v for k, v in schema.items() if k != "!"} for name, schema in fields.items()}
    return {"type": "object", "properties": properties, "required": required}


def needed(schema: Schema) -> Schema:
    return {**schema, "!": True}


def breaks(old: Schema, new: Schema) -> tuple[bool, bool]:
    """Whether the change breaks as an input, and as an output."""
    return (
        any(change.is_breaking for change in diff_schemas(old, new, "input")),
        any(change.is_breaking for change in diff_schemas(old, new, "output")),
    )


INTEGER: Schema = {"type": "integer"}
CLOSED: Schema = {"additionalProperties": False}
LEAF: Schema = {"type": "object", "properties": {"value": {"type": "integer"}}, "required": ["value"]}
NUMBER: Schema = {"type": "number"}
LIST: Schema = {"type": "array"}


def named(pattern: str) -> Schema:
    return {**of(), "patternProperties": {pattern: TEXT}}


OTHER = of(b=needed(TEXT))

TABLE: list[tuple[str, Schema, Schema, ChangeKind, bool, bool]] = [
    # what it is, old, new, its kind, breaks an input, breaks an output
    ("required field added", of(), of(a=needed(TEXT)), ChangeKind.FIELD_ADDED, True, False),
    ("optional field added", of(), of(a=TEXT), ChangeKind.FIELD_ADDED, False, False),
    ("field added to a closed one", {**of(), **CLOSED}, {**of(a=TEXT), **CLOSED}, ChangeKind.FIELD_ADDED, False, False),
    ("field where others may be", {**of(), "additionalProperties": True}, of(a=TEXT), ChangeKind.FIELD_ADDED, True, False),
    ("made required", of(a=TEXT), of(a=needed(TEXT)), ChangeKind.MADE_REQUIRED, True, False),
    ("made optional", of(a=needed(TEXT)), of(a=TEXT), ChangeKind.MADE_OPTIONAL, False, True),
    ("required field removed", of(a=needed(TEXT)), of(), ChangeKind.FIELD_REMOVED, False, True),
    ("optional field removed", of(a=TEXT), of(), ChangeKind.FIELD_REMOVED, False, False),
    ("field of a closed one removed", {**of(a=TEXT), **CLOSED}, {**of(), **CLOSED}, ChangeKind.FIELD_REMOVED, True, False),
    ("needed though undeclared", {"required": ["a"]}, {}, ChangeKind.MADE_OPTIONAL, False, True),
    ("type changed", TEXT, INTEGER, ChangeKind.TYPE_CHANGED, True, True),
    ("integer to number", INTEGER, NUMBER, ChangeKind.TYPE_CHANGED, False, True),
    ("number to integer", NUMBER, INTEGER, ChangeKind.TYPE_CHANGED, True, False),
    ("type widened", TEXT, {"type": ["string", "array"]}, ChangeKind.TYPE_CHANGED, False, True),
    ("made nullable", TEXT, {"anyOf": [TEXT, {"type": "null"}]}, ChangeKind.MADE_NULLABLE, False, True),
    ("made not nullable", {"type": ["string", "null"]}, TEXT, ChangeKind.MADE_NOT_NULLABLE, True, False),
    ("values narrowed", {"enum": ["a", "b"]}, {"enum": ["a"]}, ChangeKind.VALUES_NARROWED, True, False),
    ("values widened", {"enum": ["a"]}, {"enum": ["a", "b"]}, ChangeKind.VALUES_WIDENED, False, True),
    ("values changed", {"enum": ["a"]}, {"const": "b"}, ChangeKind.VALUES_CHANGED, True, True),
    ("values listed", TEXT, {"enum": ["a"]}, ChangeKind.VALUES_NARROWED, True, False),
    ("values listed no more", {"enum": ["a"]}, TEXT, ChangeKind.VALUES_WIDENED, False, True),
    ("one truth", {"type": "boolean"}, {"const": True}, ChangeKind.VALUES_NARROWED, True, False),
    ("values of arrays", {"enum": [[1], [2]]}, {"enum": [[1]]}, ChangeKind.VALUES_NARROWED, True, False),
    ("array listed", LIST, {"enum": [[1]]}, ChangeKind.VALUES_NARROWED, True, False),
    ("array listed no more", {"enum": [[1]]}, LIST, ChangeKind.VALUES_WIDENED, False, True),
    ("shorter", {**TEXT, "maxLength": 9}, {**TEXT, "maxLength": 5}, ChangeKind.LIMIT_TIGHTENED, True, False),
    ("longer", {**TEXT, "maxLength": 5}, TEXT, ChangeKind.LIMIT_LOOSENED, False, True),
    ("not empty", TEXT, {**TEXT, "minLength": 1}, ChangeKind.LIMIT_TIGHTENED, True, False),
    ("larger", {**INTEGER, "minimum": 1}, {**INTEGER, "minimum": 2}, ChangeKind.LIMIT_TIGHTENED, True, False),
    ("bound excluded", {**NUMBER, "minimum": 1}, {**NUMBER, "exclusiveMinimum": 1}, ChangeKind.LIMIT_TIGHTENED, True, False),
    ("smaller", {**NUMBER, "maximum": 1.5}, {**NUMBER, "maximum": 2}, ChangeKind.LIMIT_LOOSENED, False, True),
    ("steps halved", {**INTEGER, "multipleOf": 4}, {**INTEGER, "multipleOf": 2}, ChangeKind.LIMIT_LOOSENED, False, True),
    ("steps changed", {**INTEGER, "multipleOf": 2}, {**INTEGER, "multipleOf": 3}, ChangeKind.LIMIT_TIGHTENED, True, True),
    ("steps gone", {**INTEGER, "multipleOf": 2}, INTEGER, ChangeKind.LIMIT_LOOSENED, False, True),
    ("pattern added", TEXT, {**TEXT, "pattern": "a"}, ChangeKind.PATTERN_CHANGED, True, False),
    ("pattern changed", {**TEXT, "pattern": "b"}, {**TEXT, "pattern": "a"}, ChangeKind.PATTERN_CHANGED, True, True),
    ("format removed", {**TEXT, "format": "uri"}, TEXT, ChangeKind.FORMAT_CHANGED, False, True),
    ("fewer items", LIST, {**LIST, "maxItems": 3}, ChangeKind.LIMIT_TIGHTENED, True, False),
    ("items unique", LIST, {**LIST, "uniqueItems": True}, ChangeKind.LIMIT_TIGHTENED, True, False),
    ("items may repeat", {**LIST, "uniqueItems": True}, LIST, ChangeKind.LIMIT_LOOSENED, False, True),
    ("closed", of(), {**of(), **CLOSED}, ChangeKind.EXTRA_FIELDS, True, False),
    ("opened", {**of(), **CLOSED}, of(), ChangeKind.EXTRA_FIELDS, False, False),
    ("alternative added", {"anyOf": [LEAF]}, {"anyOf": [LEAF, OTHER]}, ChangeKind.ALTERNATIVE_ADDED, False, True),
    ("alternative gone", {"anyOf": [LEAF, OTHER]}, LEAF, ChangeKind.ALTERNATIVE_REMOVED, True, False),
    ("default", {**TEXT, "default": "a"}, TEXT, ChangeKind.DEFAULT_CHANGED, False, False),
    ("description", {**TEXT, "description": "a"}, TEXT, ChangeKind.DESCRIPTION_CHANGED, False, False),
    ("secret", TEXT, {**TEXT, "writeOnly": True}, ChangeKind.SECRECY_CHANGED, False, False),
    ("secret no more", {**TEXT, "writeOnly": True}, TEXT, ChangeKind.SECRECY_CHANGED, False, False),
    ("not kept", TEXT, {**TEXT, "kept": False}, ChangeKind.SECRECY_CHANGED, False, False),
    ("kept again", {**TEXT, "kept": False}, TEXT, ChangeKind.SECRECY_CHANGED, False, False),
    ("unknown construct", TEXT, {"not": {"const": 1}, **TEXT}, ChangeKind.NOT_COMPARABLE, True, True),
    ("unknown keyword", TEXT, {**TEXT, "sparkles": 1}, ChangeKind.NOT_COMPARABLE, True, True),
    ("pattern of names", of(), named("^x"), ChangeKind.EXTRA_FIELDS, True, False),
    ("no pattern of names", named("^x"), of(), ChangeKind.EXTRA_FIELDS, False, True),
    ("other patterns of names", named("^x"), named("^y"), ChangeKind.NOT_COMPARABLE, True, True),
    ("names of fields", of(), {**of(), "propertyNames": {"maxLength": 3}}, ChangeKind.LIMIT_TIGHTENED, True, False),
    ("reference to nowhere", {"$ref": "#/$defs/A"}, {"$ref": "#/$defs/B"}, ChangeKind.NOT_COMPARABLE, True, True),
]  # fmt: skip


@pytest.mark.parametrize(
    ("old", "new", "kind", "input_breaks", "output_breaks"),
    [pytest.param(*row[1:], id=row[0]) for row in TABLE],
)
def test_a_change_is_called_by_its_kind_and_breaks_in_its_direction(
    old: Schema, new: Schema, kind: ChangeKind, *, input_breaks: bool, output_breaks: bool
) -> None:
    """An input breaks when it takes less, an output when it gives more."""
    assert kind in {change.kind for change in diff_schemas(old, new, "input")}
    assert breaks(old, new) == (input_breaks, output_breaks)
    if CLOSED.items() <= old.items() or CLOSED.items() <= new.items():
        return  # Whoever reads passes over what it does not know; whoever receives inputs does not.
    assert breaks(new, old) == (output_breaks, input_breaks)


def test_a_change_names_its_place() -> None:
    """Fields, items, places of a tuple, and other fields: each has its own way of being written."""
    old = of(
        lines={"type": "array", "items": of(price=INTEGER)},
        pair={"prefixItems": [TEXT, TEXT], "type": "array"},
    )
    new = of(
        lines={"type": "array", "items": of(price=TEXT)},
        pair={"prefixItems": [TEXT, INTEGER], "type": "array"},
    )
    assert [change.path for change in diff_schemas(old, new, "input", path="parameters")] == [
        "parameters.lines[].price",
        "parameters.pair[1]",
    ]
    change = one({**of(), "additionalProperties": TEXT}, {**of(), "additionalProperties": INTEGER})
    assert change.path == "$.*"
    assert change.reason == "it was string and is integer"


def test_a_required_field_says_so() -> None:
    """The reason is a sentence for whoever wrote the change."""
    assert one(of(), of(a=needed(TEXT))).reason == "a required field was added"
    assert one(of(a=needed(TEXT)), of()).to_json() == {
        "path": "$.a",
        "kind": "field_removed",
        "breaking": False,
        "reason": "the field is gone, and it was always there",
    }
    assert one({"type": "number", "exclusiveMinimum": 1}, {"type": "number"}).reason == (
        "the least value was 1 (excluded) and is not limited"
    )


def test_a_reference_means_what_it_names() -> None:
    """Moving a schema into a definition changes nothing; changing the definition changes what refers to it."""
    inlined = of(leaf=LEAF)
    referring = {**of(leaf={"$ref": "#/$defs/Leaf"}), "$defs": {"Leaf": LEAF}}
    assert diff_schemas(inlined, referring, "input") == []
    changed = {**referring, "$defs": {"Leaf": of(value=needed(TEXT))}}
    assert one(referring, changed).path == "$.leaf.value"


TREE: Schema = {
    "$defs": {
        "Node": {
            "type": "object",
            "properties": {
                "value": INTEGER,
                "children": {"type": "array", "items": {"$ref": "#/$defs/Node"}},
            },
        }
    },
    "$ref": "#/$defs/Node",
}


def test_a_recursive_schema_is_compared_once_around() -> None:
    """Schemas that contain themselves come to an end, and their changes are found."""
    wider = {"$defs": {"Node": {**TREE["$defs"]["Node"], "required": ["value"]}}, "$ref": "#/$defs/Node"}
    assert diff_schemas(TREE, TREE, "input") == []
    assert {change.kind for change in diff_schemas(TREE, wider, "input")} == {ChangeKind.MADE_REQUIRED}
    assert diff_schemas({"$ref": "#"}, {"$ref": "#"}, "input") == []
    circle = {"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/B"}, "B": {"$ref": "#/$defs/A"}}}
    assert diff_schemas(circle, circle, "input") == []


def test_members_of_all_of_are_read_together() -> None:
    """An `allOf` of parts that do not disturb each other is one schema; another one is compared as a whole."""
    together = {"allOf": [TEXT, {"minLength": 2}]}
    assert diff_schemas(together, {**TEXT, "minLength": 2}, "input") == []
    assert one(together, {**TEXT, "minLength": 3}).kind is ChangeKind.LIMIT_TIGHTENED
    apart = {"allOf": [of(a=TEXT), of(b=TEXT)]}
    assert diff_schemas(apart, apart, "input") == []
    assert ChangeKind.NOT_COMPARABLE in {
        c.kind for c in diff_schemas(apart, {"allOf": [of(a=TEXT)]}, "input")
    }
    assert diff_schemas({"allOf": [{"type": "number"}, {"type": "integer"}]}, INTEGER, "input") == []
    assert breaks({"allOf": [TEXT, {"type": "integer"}]}, {"not": {}, "type": "string"}) != (False, False)


def test_exactly_one_of_distinct_alternatives_is_any_of_them() -> None:
    """A union told apart by a field may gain an alternative; one whose members overlap is compared as a whole."""

    def shape(kind: str, **fields: Schema) -> Schema:
        return of(kind=needed({"const": kind}), **fields)

    circle, square = shape("circle", radius=INTEGER), shape("square", side=INTEGER)
    assert breaks({"oneOf": [circle]}, {"oneOf": [circle, square]}) == (False, True)
    assert breaks({"oneOf": [circle, square]}, {"anyOf": [square, circle]}) == (False, False)
    overlapping = {"oneOf": [of(a=TEXT), of(b=TEXT)]}
    assert breaks(overlapping, {"oneOf": [of(a=TEXT), of(b=TEXT), of(c=TEXT)]}) == (True, True)
    assert breaks(overlapping, overlapping) == (False, False)
    assert breaks({"oneOf": [TEXT, INTEGER]}, {"type": ["string", "integer"]}) == (False, False)


def test_an_alternative_that_changed_is_compared_with_what_it_became() -> None:
    """Alternatives are matched by name first, so that a change inside one is told as that."""
    names: Schema = {"Circle": of(radius=needed(INTEGER)), "Square": of(side=needed(INTEGER))}
    union: Schema = {"anyOf": [{"$ref": "#/$defs/Circle"}, {"$ref": "#/$defs/Square"}]}
    old: Schema = {**union, "$defs": names}
    new = {**union, "$defs": {**names, "Square": of(side=needed(TEXT))}}
    assert [change.path for change in diff_schemas(old, new, "input")] == ["$.side"]
    gone = {"anyOf": [{"$ref": "#/$defs/Square"}], "$defs": names}
    assert diff_schemas(old, gone, "input")[0].reason == "alternative `Circle` is gone"
    unnamed: Schema = {"anyOf": [of(a=needed(TEXT)), of(b=needed(TEXT))]}
    assert len(diff_schemas(unnamed, {"anyOf": [of(a=needed(INTEGER)), of(b=needed(TEXT))]}, "input")) >= 1


def test_what_is_too_large_to_compare_breaks_unless_it_is_equal() -> None:
    """Limits are on the safe side."""

    def deep(levels: int, leaf: Schema) -> Schema:
        schema = leaf
        for _ in range(levels):
            schema = {"type": "array", "items": schema}
        return schema

    assert diff_schemas(deep(60, TEXT), deep(60, TEXT), "input") == []
    assert breaks(deep(60, TEXT), deep(60, {**TEXT, "maxLength": 4})) == (True, True)
    many = {"allOf": [{"anyOf": [{"minLength": n}, {"maxLength": n}]} for n in range(8)]}
    assert diff_schemas(many, many, "input") == []
    assert breaks(many, TEXT) == (True, True)
    chain: Schema = {
        "$defs": {f"D{n}": {"$ref": f"#/$defs/D{n + 1}"} for n in range(40)},
        "$ref": "#/$defs/D0",
    }
    assert diff_schemas(chain, chain, "input") == []


def test_an_equal_whole_that_refers_to_something_changed_is_changed() -> None:
    """`not` is compared as it is written, and so is all that it refers to."""
    old: Schema = {"not": {"$ref": "#/$defs/A"}, "$defs": {"A": {"$ref": "#/$defs/B"}, "B": TEXT}}
    assert breaks(old, {**old, "$defs": {"A": {"$ref": "#/$defs/B"}, "B": INTEGER}}) == (True, True)
    assert breaks(old, {**old, "title": "other"}) == (False, False)
    elsewhere = {"not": {"$ref": "https://example.org/schema"}}
    assert breaks(elsewhere, {**elsewhere, "title": "other"}) == (True, True)
    assert breaks(elsewhere, elsewhere) == (False, False)


def test_values_are_held_against_the_limits_of_the_other_side() -> None:
    """A list of values fits limits that each of its values fits."""
    listed = {"enum": ["ab", "abc"]}
    assert breaks({**TEXT, "minLength": 2}, listed) == (True, False)
    assert breaks({**TEXT, "minLength": 3}, listed) == (True, True)
    assert breaks(listed, {**TEXT, "maxLength": 2}) == (True, True)
    assert breaks({"enum": [1, 2, 3]}, {**INTEGER, "minimum": 1, "maximum": 3}) == (False, False)
    assert breaks({"enum": ["ab", "abc"], "minLength": 3}, {"enum": ["abc"]}) == (False, False)


def test_truth_and_falsehood_are_schemas() -> None:
    """`true` allows everything and `false` nothing."""
    assert breaks(of(a=TEXT), {**of(), "properties": {"a": False}}) == (True, False)
    assert breaks(of(a=TEXT), {**of(), "properties": {"a": True}}) == (False, True)
    assert diff_schemas({**of(), "additionalProperties": True}, of(), "input") == []
    tuple_of_two = {"type": "array", "prefixItems": [TEXT, TEXT], "items": False}
    assert breaks(tuple_of_two, {**tuple_of_two, "prefixItems": [TEXT, TEXT, TEXT]}) == (False, True)


def test_a_pattern_of_names_may_speak_of_any_field() -> None:
    """A field that only one side declares is not told apart from what the other's patterns say."""
    patterned = {"type": "object", "patternProperties": {"^a": INTEGER}}
    assert breaks(patterned, {**patterned, "properties": {"a": TEXT}}) == (True, True)
    assert breaks({**patterned, "properties": {"a": TEXT}}, patterned) == (True, True)
    assert breaks(patterned, {"type": "object", "patternProperties": {"^a": TEXT}}) == (True, True)
