"""JSON Schema (2020-12): derived from Python types, which then say all; or from outside, which is not trusted."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pydantic import PydanticUserError, TypeAdapter

from assent.errors import InputError, Json
from assent.spec.schemas._foreign import short
from assent.spec.schemas.references import referred, subschemas
from assent.spec.values.frozen import thaw

DEPTH_MAX: Final = 20
"""References and branches that are followed to what a schema says of one value."""


def schema_of(
    source: Any,  # `Any`: a type expression such as `list[int] | None` has no type of its own
) -> object:
    """The JSON Schema of a type, closed where the type does not say that it takes more; or the schema itself when one is given.

    Raises `InputError` SPEC_INVALID when no schema can be derived, when a pattern could take more than linear time, and when one
    class says that it takes keys it does not know while another leaves that open: which of the two was meant can't be known.
    """
    if isinstance(source, Mapping):
        return source
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(source)
        schema = adapter.json_schema()
    except (PydanticUserError, TypeError, NameError, ValueError, AttributeError, SyntaxError) as error:
        raise InputError(
            "SPEC_INVALID", f"no schema can be derived: {short(error)}", path="parameters"
        ) from None
    if adapter.core_schema["type"] == "call":
        raise InputError(
            "SPEC_INVALID", "no schema can be derived: a function is not a type", path="parameters"
        )
    _require_linear(adapter.core_schema)
    _close(schema)
    return schema


def takes_more(schema: Mapping[str, Json]) -> bool:
    """Whether a schema of `schema_of` has an object that takes keys beyond those it names."""
    return any(
        "properties" in one and one.get("additionalProperties") is not False for one in subschemas(schema)
    )


def completed(
    value: Json, schema: Json | Mapping[str, Json], root: Mapping[str, Json] | None = None
) -> Any:  # `Any`: JSON
    """A valid value with the defaults of its schema filled in, where it leaves out what has one; `value` itself stays as it is.

    Of several branches (`anyOf`, `oneOf`) the one that takes an object, or a list, is meant when there is but one.
    """
    if not isinstance(schema, Mapping) or not isinstance(value, dict | list):
        return value
    whole = schema if root is None else root
    found = _meant(schema, value, whole)
    if isinstance(value, list):
        return [completed(item, found.get("items"), whole) for item in value]
    properties = found.get("properties")
    known: Mapping[str, Any] = properties if isinstance(properties, Mapping) else {}  # `Any`: schemas
    filled = {name: completed(item, known.get(name), whole) for name, item in value.items()}
    for name, one in known.items():
        if name not in filled and isinstance(one, Mapping) and "default" in one:
            filled[name] = completed(thaw(one["default"]), one, whole)
    return filled


def _meant(
    schema: Mapping[str, Any], value: object, root: Mapping[str, Any], depth: int = 0
) -> Mapping[str, Any]:  # `Any`: schemas
    """The schema that speaks of a value, behind references and branches."""
    if depth > DEPTH_MAX:
        return {}
    reference = schema.get("$ref")
    if isinstance(reference, str):
        target = referred(root, reference)
        return _meant(target, value, root, depth + 1) if isinstance(target, Mapping) else {}
    wanted = "object" if isinstance(value, dict) else "array"
    for word in ("anyOf", "oneOf", "allOf"):
        branches = [
            _meant(one, value, root, depth + 1) for one in schema.get(word) or () if isinstance(one, Mapping)
        ]
        fitting = [one for one in branches if one.get("type") == wanted]
        if len(fitting) == 1:
            return fitting[0]
    return schema


def _close(schema: dict[str, Json]) -> None:
    # A class that says nothing ignores what it does not know, silently: nobody would learn of a mistyped name.
    named = [one for one in subschemas(schema) if "properties" in one]
    open_ones = [one for one in named if "additionalProperties" not in one]
    if open_ones and any(one.get("additionalProperties", False) is not False for one in named):
        title = str(open_ones[0].get("title", "?"))
        raise InputError(
            "SPEC_INVALID",
            f"`{title}` does not say whether it takes keys that it does not know, while another class does",
            path="parameters",
            hint="say `extra='forbid'` or `extra='allow'` in the configuration of every class",
        )
    for one in open_ones:
        one["additionalProperties"] = False


def _require_linear(core: object) -> None:
    """Refuse a pattern that Python's own engine would run: it takes exponential time for some of them."""
    waiting = [core]
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            # A node has a kind. What has none is a table of a model's fields, and `type` may be the name of one.
            kind = node.get("type")
            if not isinstance(kind, str):
                waiting += node.values()
                continue
            pattern, config = node.get("pattern"), node.get("config")
            engine = node.get("regex_engine") or (
                config.get("regex_engine") if isinstance(config, Mapping) else None
            )
            if kind in {"str", "model", "typed-dict"} and (
                engine == "python-re" or not isinstance(pattern, str | None)
            ):
                raise InputError(
                    "SPEC_INVALID",
                    f"a pattern is run by Python's own engine, which may take exponential time{_named(pattern)}",
                    path="parameters",
                    hint="give the pattern as text, and leave `regex_engine` at `rust-regex`",
                )
            waiting += [value for key, value in node.items() if key not in {"cls", "metadata"}]
        elif isinstance(node, list | tuple):
            waiting += node


def _named(pattern: object) -> str:
    text = getattr(pattern, "pattern", pattern)
    return f": `{text}`" if isinstance(text, str) else ""
