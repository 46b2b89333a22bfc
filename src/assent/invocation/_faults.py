"""What a validator found, in our own words: `path` is missing; `count` must be a whole number, not `many`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from assent.errors import Json
from assent.spec.documents import did_you_mean

if TYPE_CHECKING:
    import jsonschema_rs

Fault = dict[str, Json]

SHOWN_MAX: Final = 60
"""Characters of a refused value that a message shows."""

# What a value must be, by pydantic's name of the fault. The names are part of pydantic's documented interface.
_EXPECTED: Final[Mapping[str, str]] = {
    "string_type": "text",
    "bytes_type": "bytes",
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "list_type": "a list",
    "tuple_type": "a list",
    "set_type": "a list",
    "dict_type": "an object",
    "model_type": "an object",
    "dataclass_type": "an object",
    "none_required": "null",
    "literal_error": "{expected}",
    "enum": "{expected}",
    "greater_than": "more than {gt}",
    "greater_than_equal": "at least {ge}",
    "less_than": "less than {lt}",
    "less_than_equal": "at most {le}",
}
_LENGTHS: Final[Mapping[str, str]] = {
    "string_too_short": "must have at least {min_length} characters",
    "string_too_long": "must have at most {max_length} characters",
    "too_short": "must have at least {min_length} entries",
    "too_long": "must have at most {max_length} entries",
    "string_pattern_mismatch": "must match `{pattern}`",
}
_MISSING: Final = frozenset({"missing", "missing_argument", "missing_keyword_only_argument"})
_EXTRA: Final = frozenset({"extra_forbidden", "unexpected_keyword_argument"})

# The same kinds as JSON Schema names them.
_SCHEMA_TYPES: Final[Mapping[str, str]] = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}


def plain_fault(message: str) -> Fault:
    """A fault of the whole."""
    return {"path": "", "message": message}


def finite_faults(value: object, path: tuple[object, ...] = ()) -> list[Fault]:
    """The numbers that JSON does not have. The encoder would write them as null without a word."""
    if isinstance(value, float):
        return [] if math.isfinite(value) else [_sentence(_dotted(path), "must be a finite number")]
    if isinstance(value, Mapping):
        return [fault for key, part in value.items() for fault in finite_faults(part, (*path, key))]
    if isinstance(value, list | tuple):
        return [fault for index, part in enumerate(value) for fault in finite_faults(part, (*path, index))]
    return []


def model_faults(error: ValidationError, schema: Mapping[str, Json], *, shows_values: bool) -> list[Fault]:
    """Every finding of pydantic. `schema` knows the names that were meant; without `shows_values` only kinds are told."""
    found = []
    for one in error.errors(include_url=False):
        kind, path, context = one["type"], _dotted(one["loc"]), one.get("ctx", {})
        if kind in _MISSING:
            found.append(_missing(path))
        elif kind in _EXTRA:
            found.append(_extra(path, schema))
        elif kind in _EXPECTED:
            expected = _EXPECTED[kind].format_map(context)
            found.append(_other(path, expected, _actual(one["input"], shows_values=shows_values)))
        elif kind in _LENGTHS and context.get("min_length") == 1:
            found.append(_sentence(path, "must not be empty"))
        elif kind in _LENGTHS:
            found.append(_sentence(path, _LENGTHS[kind].format_map(context)))
        else:
            message = one["msg"].removeprefix("Value error, ")
            found.append(_foreign(path, message if shows_values else f"breaks `{kind}`"))
    return found


def schema_faults(
    errors: Iterable[jsonschema_rs.ValidationError], schema: Mapping[str, Json], *, shows_values: bool
) -> list[Fault]:
    """The same of JSON Schema's findings, for capabilities that have no Python types."""
    found: list[Fault] = []
    for error in errors:
        path, kind = _dotted(error.instance_path), error.kind.as_dict()
        match error.kind.name:
            case "required":
                found.append(_missing(_dotted([*error.instance_path, kind["property"]])))
            case "additionalProperties":
                found += [
                    _extra(_dotted([*error.instance_path, name]), schema) for name in kind["unexpected"]
                ]
            case "type":
                expected = " or ".join(
                    _SCHEMA_TYPES.get(name, name) for name in sorted(kind["types"], key="null".__eq__)
                )
                found.append(_other(path, expected, _actual(error.instance, shows_values=shows_values)))
            case _:
                found.append(_foreign(path, error.message if shows_values else f"breaks `{error.kind.name}`"))
    return found


def _missing(path: str) -> Fault:
    return _sentence(path, "is missing")


def _extra(path: str, schema: Mapping[str, Json]) -> Fault:
    properties = schema.get("properties")
    known = [*properties] if isinstance(properties, Mapping) and "." not in path else []
    listed = ", ".join(f"`{name}`" for name in known)
    hint = did_you_mean(path, known, otherwise=f"there are: {listed}" if listed else None)
    return _sentence(path, "is not a parameter") | ({"hint": hint} if hint else {})


def _other(path: str, expected: str, actual: str) -> Fault:
    said = _sentence(path, f"must be {expected}, not {actual}")
    return said | {"expected": expected, "actual": actual}


def _foreign(path: str, message: str) -> Fault:
    """A sentence of somebody else's, begun as ours are."""
    words = f"{message[:1].lower()}{message[1:]}"
    return {"path": path, "message": f"`{path}`: {words}" if path else words}


def _sentence(path: str, words: str) -> Fault:
    return {"path": path, "message": f"`{path}` {words}" if path else f"the whole {words}"}


def _actual(value: object, *, shows_values: bool) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return f"`{str(value).lower()}`" if shows_values else "true or false"
        case int() | float():
            return f"`{value}`" if shows_values else "a number"
        case str():
            return f"`{value[:SHOWN_MAX]}`" if shows_values else "text"
        case bytes():
            return "bytes"
        case list() | tuple() | set() | frozenset():
            return "a list"
        case _:
            return "an object"


def _dotted(path: Sequence[object]) -> str:
    return ".".join(str(part) for part in path)
