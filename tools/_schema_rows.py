"""A JSON Schema as rows of a table: one for each value, those inside of lists and objects included."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from assent.spec.schemas.schema import schema_of
from assent.spec.types import Duration, Size
from assent.spec.values.frozen import thaw

Schema: TypeAlias = "Mapping[str, Any]"  # `Any`: whatever JSON Schema allows

_WORDS: Final = {
    "string": "text",
    "integer": "whole number",
    "number": "number",
    "boolean": "true or false",
    "null": "null",
    "array": "list",
    "object": "object",
}
_MEASURES: Final = (
    (thaw(schema_of(Duration))["anyOf"], "duration, like `90s`, or seconds"),
    (thaw(schema_of(Size))["anyOf"], "size, like `10MB`, or bytes"),
)
_DEPTH_MAX: Final = 4
"""Deeper than this a type is named and not told."""


@dataclass(frozen=True)
class Row:
    """One value: `a.b` is inside of `a`, `a[].b` inside of its entries, `a.*.b` inside of its values."""

    name: str
    kind: str
    is_required: bool
    default: str
    limits: str
    description: str


def rows(schema: Schema) -> Iterator[Row]:
    """Each property, and after it those that are inside of it."""
    yield from _rows(schema, schema, "", 0)


def _rows(schema: Schema, root: Schema, prefix: str, depth: int) -> Iterator[Row]:
    for name, below in schema.get("properties", {}).items():
        part = _resolved(below, root)
        yield Row(
            name=f"`{prefix}{name}`",
            kind=_type(part, root),
            is_required=name in schema.get("required", ()),
            default=f"`{json.dumps(part['default'], ensure_ascii=False)}`" if "default" in part else "none",
            limits="; ".join(dict.fromkeys(_limits(part, root))),
            description=part.get("description", ""),
        )
        if depth < _DEPTH_MAX:
            for inner, mark in _inside(part, root):
                yield from _rows(inner, root, f"{prefix}{name}{mark}.", depth + 1)


def _resolved(schema: Schema, root: Schema) -> Schema:
    """The schema that a reference means; what stands beside the reference goes before what it means."""
    reference = schema.get("$ref")
    if reference is None:
        return schema
    found = root
    for part in reference.removeprefix("#/").split("/"):
        found = found[part]
    return {**found, **{key: value for key, value in schema.items() if key != "$ref"}}


def _inside(schema: Schema, root: Schema) -> Iterator[tuple[Schema, str]]:
    """The objects inside of a value, each with what its names get before them."""
    for branch in schema.get("anyOf") or schema.get("oneOf") or ():
        yield from _inside(_resolved(branch, root), root)
    if schema.get("properties"):
        yield schema, ""
    if isinstance(items := schema.get("items"), Mapping):
        for inner, mark in _inside(_resolved(items, root), root):
            yield inner, f"[]{mark}"
    if isinstance(values := schema.get("additionalProperties"), Mapping):
        for inner, mark in _inside(_resolved(values, root), root):
            yield inner, f".*{mark}"


def _type(schema: Schema, root: Schema) -> str:
    branches = schema.get("anyOf") or schema.get("oneOf")
    for measure, words in _MEASURES:
        if branches == measure:
            return words
    if branches:
        return " or ".join(dict.fromkeys(_type(_resolved(branch, root), root) for branch in branches))
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(_WORDS[one] for one in kind)
    if kind == "array" and isinstance(items := schema.get("items"), Mapping):
        return f"list of {_type(_resolved(items, root), root)}"
    if kind == "object" and isinstance(values := schema.get("additionalProperties"), Mapping):
        return f"object of {_type(_resolved(values, root), root)}"
    if kind is None and ("enum" in schema or "const" in schema):
        return "text"
    return _WORDS.get(str(kind), "any JSON")


def _choice(value: object) -> str:
    """A value as it stands; a line break, which a page would swallow, as JSON writes it."""
    return f"`{value if str(value).isprintable() else json.dumps(value)}`"


def _limits(schema: Schema, root: Schema) -> Iterator[str]:
    if any(schema.get("anyOf") == measure for measure, _ in _MEASURES):
        return  # the words of the type say them
    for branch in schema.get("anyOf") or schema.get("oneOf") or ():
        yield from _limits(_resolved(branch, root), root)
    if "enum" in schema:
        yield "one of " + ", ".join(map(_choice, schema["enum"]))
    if "const" in schema:
        yield f"`{schema['const']}`"
    for low, high, unit in (
        ("minLength", "maxLength", " characters"),
        ("minimum", "maximum", ""),
        ("minItems", "maxItems", " entries"),
        ("minProperties", "maxProperties", " names"),
    ):
        yield from _between(schema.get(low), schema.get(high), unit)
    if "exclusiveMinimum" in schema:
        yield f"more than {schema['exclusiveMinimum']}"
    if "exclusiveMaximum" in schema:
        yield f"less than {schema['exclusiveMaximum']}"
    if "pattern" in schema and "format" not in schema:
        yield f"matches `{schema['pattern']}`"
    if isinstance(items := schema.get("items"), Mapping):
        yield from (f"each {limit}" for limit in _limits(_resolved(items, root), root))


def _between(low: float | None, high: float | None, unit: str) -> Iterator[str]:
    if low and high is not None:
        yield f"{low} to {high}{unit}"
    elif high is not None:
        yield f"at most {high}{unit}"
    elif low is not None and (low or not unit):
        yield f"at least {low}{unit}"
