"""JSON Schemas, changes of them, and values that fit them, for tests: written apart from the code."""

from __future__ import annotations

import copy
from collections.abc import Callable
from itertools import product
from typing import Any, Final

import jsonschema_rs
from hypothesis import strategies as st

Schema = dict[str, Any]

NAMES: Final = ("a", "b", "c", "d")
PATTERNS: Final = {"^x+$": ("x", "xxx"), "^[ab]$": ("a", "b")}
_texts = st.text("abx", max_size=4)
_scalars: st.SearchStrategy[Any] = st.none() | st.booleans() | st.integers(-3, 6) | _texts


def fits(schema: Schema, value: Any) -> bool:
    """Whether the value is valid: the oracle."""
    return bool(jsonschema_rs.Draft202012Validator(schema).is_valid(value))


@st.composite
def _numbers(draw: st.DrawFn) -> Schema:
    schema: Schema = {"type": draw(st.sampled_from(["integer", "number"]))}
    for key in ("minimum", "exclusiveMinimum"):
        if draw(st.booleans()):
            schema[key] = draw(st.integers(-3, 1))
    for key in ("maximum", "exclusiveMaximum"):
        if draw(st.booleans()):
            schema[key] = draw(st.integers(2, 6))
    if draw(st.integers(0, 3)) == 0:
        schema["multipleOf"] = draw(st.sampled_from([1, 2, 4, 3]))
    return schema


@st.composite
def _strings(draw: st.DrawFn) -> Schema:
    schema: Schema = {"type": "string"}
    if draw(st.booleans()):
        schema["minLength"] = draw(st.integers(0, 2))
    if draw(st.booleans()):
        schema["maxLength"] = draw(st.integers(2, 4))
    if draw(st.integers(0, 4)) == 0:
        schema = {"type": "string", "pattern": draw(st.sampled_from([*PATTERNS]))}
    return schema


_enums = st.lists(_scalars, min_size=1, max_size=4, unique_by=repr).map(lambda values: {"enum": values})
_consts = _scalars.map(lambda value: {"const": value})
_plain = st.sampled_from([{"type": "boolean"}, {"type": "null"}, {}, {"type": ["string", "null"]}, True])
_leaves: st.SearchStrategy[Any] = _numbers() | _strings() | _enums | _consts | _plain


@st.composite
def _objects(draw: st.DrawFn, below: st.SearchStrategy[Any]) -> Schema:
    properties = draw(st.dictionaries(st.sampled_from(NAMES), below, max_size=3))
    schema: Schema = {"type": "object", "properties": properties}
    required = [name for name in properties if draw(st.booleans())]
    if required:
        schema["required"] = required
    extra = draw(st.sampled_from(["absent", "absent", False, True, {"type": "integer"}]))
    if extra != "absent":
        schema["additionalProperties"] = extra
    return schema


@st.composite
def _arrays(draw: st.DrawFn, below: st.SearchStrategy[Any]) -> Schema:
    schema: Schema = {"type": "array", "items": draw(below)}
    if draw(st.integers(0, 3)) == 0:
        schema["prefixItems"] = draw(st.lists(below, min_size=1, max_size=2))
    if draw(st.booleans()):
        schema["maxItems"] = draw(st.integers(2, 3))
    if draw(st.integers(0, 3)) == 0:
        schema["minItems"] = draw(st.integers(0, 2))
    return schema


def _unions(below: st.SearchStrategy[Any]) -> st.SearchStrategy[Schema]:
    return st.builds(
        lambda key, members: {key: members},
        st.sampled_from(["anyOf", "anyOf", "oneOf"]),
        st.lists(below, min_size=1, max_size=3),
    )


schemas: st.SearchStrategy[Any] = st.recursive(
    _leaves, lambda below: _objects(below) | _arrays(below) | _unions(below), max_leaves=6
)
"""Schemas of every construct that is taken apart."""

roots: st.SearchStrategy[Schema] = schemas.filter(lambda schema: isinstance(schema, dict))


def _places(schema: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at]
    if isinstance(schema, dict):
        for key in ("properties",):
            for name, item in schema.get(key, {}).items():
                found += _places(item, (*at, key, name))
        for key in ("items", "additionalProperties"):
            if isinstance(schema.get(key), dict):
                found += _places(schema[key], (*at, key))
        for key in ("anyOf", "oneOf", "prefixItems"):
            for index, item in enumerate(schema.get(key, [])):
                found += _places(item, (*at, key, index))
    return found


@st.composite
def variants(draw: st.DrawFn, schema: Schema) -> Schema:
    """The schema with one or two of its parts replaced or changed."""
    changed = copy.deepcopy(schema)
    for _ in range(draw(st.integers(1, 2))):
        at = draw(st.sampled_from(_places(changed)))
        if not at:
            continue
        place = changed
        for key in at[:-1]:
            place = place[key]
        place[at[-1]] = draw(_leaves | st.just(place[at[-1]]).map(_nullable))
    if isinstance(changed.get("properties"), dict) and draw(st.booleans()):
        changed["properties"].pop(draw(st.sampled_from(NAMES)), None)
        changed["properties"][draw(st.sampled_from(NAMES))] = draw(_leaves)
        declared = [*changed["properties"]]
        changed["required"] = [name for name in changed.get("required", []) if name in declared]
    return changed


def _nullable(schema: Any) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


@st.composite
def pairs(draw: st.DrawFn) -> tuple[Schema, Schema]:
    """An older and a newer schema, mostly alike."""
    old = draw(roots)
    if draw(st.integers(0, 4)) == 0:
        return old, draw(roots)
    new = draw(variants(old))
    return (old, new) if draw(st.booleans()) else (new, old)


@st.composite
def values(draw: st.DrawFn, schema: Any) -> Any:
    """A value that somebody sends who was told this schema: fields that it does not offer are not sent. Mostly valid."""
    if schema is False:
        return None
    if schema is True or not schema:
        return draw(_scalars | st.lists(_scalars, max_size=2))
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return draw(values(draw(st.sampled_from(schema[key]))))
    if "enum" in schema:
        return draw(st.sampled_from(schema["enum"]))
    if "const" in schema:
        return schema["const"]
    kind = schema["type"]
    return draw(_BY_KIND[kind if isinstance(kind, str) else draw(st.sampled_from(kind))](schema))


def _number_values(schema: Schema) -> st.SearchStrategy[Any]:
    whole = st.integers(-8, 12)
    return whole if schema["type"] == "integer" else whole | st.sampled_from([0.5, 1.5, 2.5, 5.5])


def _string_values(schema: Schema) -> st.SearchStrategy[Any]:
    if "pattern" in schema:
        return st.sampled_from(PATTERNS[schema["pattern"]])
    low = schema.get("minLength", 0)
    return st.text("abx", min_size=low, max_size=schema.get("maxLength", low + 4))


@st.composite
def _object_values(draw: st.DrawFn, schema: Schema) -> Any:
    value = {
        name: draw(values(below))
        for name, below in schema.get("properties", {}).items()
        if name in schema.get("required", ()) or draw(st.booleans())
    }
    extra = schema.get("additionalProperties")
    if extra not in (None, False):
        for name in NAMES:
            if name not in schema.get("properties", {}) and draw(st.booleans()):
                value[name] = draw(values(extra))
    return value


@st.composite
def _array_values(draw: st.DrawFn, schema: Schema) -> Any:
    prefix = schema.get("prefixItems", [])
    low = schema.get("minItems", 0)
    size = draw(st.integers(low, schema.get("maxItems", max(low, len(prefix)) + 1)))
    return [
        draw(values(prefix[index] if index < len(prefix) else schema.get("items", True)))
        for index in range(size)
    ]


_BY_KIND: Final[dict[str, Callable[[Schema], st.SearchStrategy[Any]]]] = {
    "null": lambda _: st.none(),
    "boolean": lambda _: st.booleans(),
    "integer": _number_values,
    "number": _number_values,
    "string": _string_values,
    "object": _object_values,
    "array": _array_values,
}


@st.composite
def small_fields(draw: st.DrawFn) -> Schema:
    """A field with few values."""
    way = draw(st.integers(0, 3))
    if way == 0:
        low = draw(st.integers(0, 3))
        return {"type": "integer", "minimum": low, "maximum": draw(st.integers(low, 4))}
    if way == 1:
        return {"enum": draw(st.lists(st.sampled_from([0, 2, "a", "b", None]), min_size=1, unique_by=repr))}
    if way == 2:
        return {"anyOf": [{"type": "boolean"}, {"type": "null"}]}
    return {"type": "boolean"}


@st.composite
def small_objects(draw: st.DrawFn) -> Schema:
    """An object all of whose values can be written down."""
    properties = draw(st.dictionaries(st.sampled_from("ab"), small_fields(), max_size=2))
    schema: Schema = {"type": "object", "properties": properties}
    schema["required"] = [name for name in properties if draw(st.booleans())]
    return schema


def all_values(schema: Schema) -> list[dict[str, Any]]:
    """Every value of a small object that somebody sends who was told of it."""
    nothing = object()
    universe = [0, 1, 2, 3, 4, "a", "b", None, False, True]
    ways = [
        [
            *(value for value in universe if fits(below, value)),
            *(() if name in schema["required"] else (nothing,)),
        ]
        for name, below in schema["properties"].items()
    ]
    names = [*schema["properties"]]
    return [
        {name: value for name, value in zip(names, chosen, strict=True) if value is not nothing}
        for chosen in product(*ways)
    ]
