"""A JSON Schema as what it allows, kind of value by kind of value: what `schema_diff` compares.

However a schema is written (a list of types, `anyOf`, a reference, a nullable field of pydantic's), it allows some
alternatives for each kind of JSON value. An `Alternative` is one conjunction of keywords for one kind. Keywords that do not
speak of that kind are left out, and those that can't be taken apart are kept whole, as `opaque`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from assent.spec.schemas.references import referred
from assent.spec.unkept_fields import KEPT
from assent.spec.values.canonical import canonical_json

KINDS: Final = ("null", "boolean", "number", "string", "array", "object")
"""The kinds of JSON values; integers are numbers."""

ALTERNATIVES_MAX: Final = 64
"""Alternatives that one schema may come to; one with more is kept whole."""

REFERENCES_MAX: Final = 32
"""References that may lead from one to the next."""

ANNOTATIONS: Final = frozenset({
    "title", "description", "examples", "example", "deprecated", "readOnly", "writeOnly", KEPT, "$comment",
    "discriminator", "contentEncoding", "contentMediaType", "contentSchema", "default",
})  # fmt: skip
"""Keywords that refuse no value."""

NOTES: Final = ("title", "description", "examples", "deprecated", "default", "writeOnly", KEPT)
"""Annotations whose changes are told."""

_NAME: Final = "x-name"
"""What a definition is called, carried along with its keywords."""

_DEFINITIONS: Final = frozenset({"$defs", "definitions", "$schema", "$id", "$anchor"})
_NUMBER: Final = frozenset({"minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"})
_STRING: Final = frozenset({"minLength", "maxLength", "pattern", "format"})
_ARRAY: Final = frozenset({"items", "prefixItems", "minItems", "maxItems", "uniqueItems"})
_OBJECT: Final = frozenset(
    {
        "properties",
        "required",
        "additionalProperties",
        "patternProperties",
        "propertyNames",
        "minProperties",
        "maxProperties",
    }
)
_OPAQUE: Final[dict[str, frozenset[str]]] = {
    "contains": frozenset({"array"}),
    "minContains": frozenset({"array"}),
    "maxContains": frozenset({"array"}),
    "unevaluatedItems": frozenset({"array"}),
    "dependentRequired": frozenset({"object"}),
    "dependentSchemas": frozenset({"object"}),
    "dependencies": frozenset({"object"}),
    "unevaluatedProperties": frozenset({"object"}),
}
"""Keywords that are compared as a whole, and the kinds that they speak of; every unknown keyword speaks of all."""

_SPOKEN_OF: Final[dict[str, str]] = {
    **dict.fromkeys(_NUMBER, "number"),
    **dict.fromkeys(_STRING, "string"),
    **dict.fromkeys(_ARRAY, "array"),
    **dict.fromkeys(_OBJECT, "object"),
}
_TOGETHER: Final = (_ARRAY, _OBJECT)
"""Keywords that read each other, so that they can't be moved from one part of an `allOf` into another."""


@dataclass(frozen=True, slots=True)
class Alternative:
    """What is asked of a value of one kind: `keywords` that are understood, `values` that it must be one of (as canonical
    JSON), and what is only understood as a whole. `notes` are the annotations, which refuse nothing.
    """

    kind: str
    keywords: dict[str, Any] = field(default_factory=dict)
    values: dict[bytes, Any] | None = None
    opaque: tuple[dict[str, Any], ...] = ()
    is_integer: bool = False
    name: str = ""
    notes: dict[str, Any] = field(default_factory=dict)


class Shape:
    """Reads the schemas of one document. Plain data in, never changed."""

    def __init__(self, root: Any) -> None:
        self.root = root

    def alternatives(self, schema: Any) -> dict[str, list[Alternative]]:
        """What the schema allows, by kind; a kind that it refuses is not there."""
        found: dict[str, list[Alternative]] = {}
        for part in self._parts(schema, 0):
            for kind in KINDS:
                alternative = self._alternative(part, kind)
                if alternative is not None:
                    found.setdefault(kind, []).append(alternative)
        return found

    def target(self, reference: str) -> Any:
        """What a local reference names; None when it names nothing here."""
        place = referred(self.root, reference)
        return place if isinstance(place, dict | bool) else None

    def _parts(self, schema: Any, depth: int) -> list[dict[str, Any]]:
        """The conjunctions of which a value has to fit one. One that can't be taken apart has an `allOf` left in it."""
        if schema is True or schema is None:
            return [{}]
        if schema is False:
            return []
        own = {key: value for key, value in schema.items() if key not in _DEFINITIONS}
        reference = own.pop("$ref", None)
        unions = [own.pop(key) for key in ("anyOf",) if key in own]
        if "oneOf" in own and self._are_apart(own["oneOf"], depth):
            unions.append(own.pop("oneOf"))
        conjunction = own.pop("allOf", [])
        parts = [own]
        if reference is not None:
            target = self.target(reference) if depth < REFERENCES_MAX else None
            if target is None:
                return [{**own, "$ref": reference}]
            named = [{_NAME: reference.rpartition("/")[2], **part} for part in self._parts(target, depth + 1)]
            parts = _product(parts, named)
        for member in conjunction:
            parts = _product(
                parts, self._parts(member, depth + 1) if depth < REFERENCES_MAX else [{"$ref": ""}]
            )
        for members in unions:
            if depth >= REFERENCES_MAX:
                return [{"$ref": ""}]
            ways = [part for member in members for part in self._parts(member, depth + 1)]
            parts = _product(parts, ways)
        return parts if len(parts) <= ALTERNATIVES_MAX else [dict(schema)]

    def _are_apart(self, members: Any, depth: int) -> bool:
        """Whether no value can fit two of the members, so that exactly one means any."""
        if not isinstance(members, list) or depth >= REFERENCES_MAX:
            return False
        shapes = [self._parts(member, depth + 1) for member in members]
        flat = [
            (index, kind, alternative)
            for index, parts in enumerate(shapes)
            for part in parts
            for kind in KINDS
            if (alternative := self._alternative(part, kind)) is not None
        ]
        return all(
            self._differ(one, other)
            for position, (index, kind, one) in enumerate(flat)
            for other_index, other_kind, other in flat[position + 1 :]
            if index != other_index and kind == other_kind
        )

    def _differ(self, one: Alternative, other: Alternative) -> bool:
        if one.values is not None and other.values is not None:
            return not (one.values.keys() & other.values.keys())
        if one.kind != "object":
            return False
        shared = {*one.keywords.get("required", ())} & {*other.keywords.get("required", ())}
        return any(
            not (first & second)
            for name in shared
            if (first := self._values_of(one, name)) and (second := self._values_of(other, name))
        )

    def _values_of(self, alternative: Alternative, name: str) -> set[bytes] | None:
        schema = alternative.keywords.get("properties", {}).get(name)
        if not isinstance(schema, dict):
            return None
        allowed = schema.get("enum", [schema["const"]] if "const" in schema else None)
        return {canonical_json(value) for value in allowed} if isinstance(allowed, list) else None

    def _alternative(self, part: dict[str, Any], kind: str) -> Alternative | None:
        types = _types(part.get("type"))
        if kind not in types and not (kind == "number" and "integer" in types):
            return None
        values = _values(part, kind, integers_only="number" not in types)
        if values is not None and not values:
            return None
        keywords: dict[str, Any] = {}
        opaque: list[dict[str, Any]] = []
        for key, value in part.items():
            if _is_note(key) or key in ("type", "enum", "const"):
                continue
            if key == "allOf":
                opaque.extend({"allOf": [member]} for member in value)
            elif key in _SPOKEN_OF:
                if _SPOKEN_OF[key] == kind:
                    keywords[key] = value
            elif kind in _OPAQUE.get(key, KINDS):
                opaque.append({key: value})
        return Alternative(
            kind,
            keywords,
            values,
            tuple(opaque),
            is_integer=kind == "number" and "number" not in types,
            name=str(part.get(_NAME, part.get("title", ""))),
            notes={key: part[key] for key in NOTES if key in part},
        )


def _is_note(key: str) -> bool:
    return key in ANNOTATIONS or key.startswith("x-")


def _types(declared: Any) -> set[str]:
    if declared is None:
        return set(KINDS)
    return {declared} if isinstance(declared, str) else {str(name) for name in declared}


def kind_of(value: Any) -> str:
    """The kind of a JSON value."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "boolean"
    if isinstance(value, int | float):
        return "number"
    if isinstance(value, str):
        return "string"
    return "array" if isinstance(value, list) else "object"


_FEW: Final[dict[str, list[Any]]] = {"null": [None], "boolean": [False, True]}


def _values(part: dict[str, Any], kind: str, *, integers_only: bool) -> dict[bytes, Any] | None:
    """The values of a kind that a part lists; None when it lists none."""
    listed: list[Any] | None = part.get("enum")
    if "const" in part:
        constant = part["const"]
        listed = (
            [constant] if listed is None or canonical_json(constant) in map(canonical_json, listed) else []
        )
    if listed is None:
        # So that `const: true` and `type: boolean` are compared by what they allow.
        listed = _FEW.get(kind)
        if listed is None:
            return None
    return {
        canonical_json(value): value
        for value in listed
        if kind_of(value) == kind and not (integers_only and kind == "number" and value != int(value))
    }


def _product(lefts: list[dict[str, Any]], rights: list[dict[str, Any]]) -> list[dict[str, Any]]:
    if len(lefts) * len(rights) > ALTERNATIVES_MAX:
        return [{"allOf": [{"anyOf": lefts}, {"anyOf": rights}]}]
    return [_both(left, right) for left in lefts for right in rights]


def _both(left: dict[str, Any], right: dict[str, Any]) -> dict[str, Any]:
    """A part that asks for both."""
    annotations = {key: value for key, value in (*right.items(), *left.items()) if _is_note(key)}
    one = {key: value for key, value in left.items() if not _is_note(key)}
    two = {key: value for key, value in right.items() if not _is_note(key)}
    shared = {key for key in one.keys() & two.keys() if canonical_json(one[key]) != canonical_json(two[key])}
    if "type" in one and "type" in two:
        types = _common(_types(one["type"]), _types(two["type"]))
        one, two = {**one, "type": types}, {**two, "type": types}
        shared -= {"type"}
    reads_across = any(one.keys() & group and two.keys() & group for group in _TOGETHER)
    if shared or (reads_across and canonical_json(one) != canonical_json(two)):
        # What can't be written as one part is kept as two: the smaller stands in an `allOf` of its own.
        small, large = sorted((one, two), key=len)
        if "type" in small:
            large = {**large, "type": small["type"]}
        return {**annotations, **large, "allOf": [*large.get("allOf", []), small]}
    return {**annotations, **one, **two}


def _common(one: set[str], two: set[str]) -> list[str]:
    """The types that both name; an integer is a number."""
    has_integers = any("integer" in mine and "number" in other for mine, other in ((one, two), (two, one)))
    return sorted((one & two) | ({"integer"} if has_integers else set()))
