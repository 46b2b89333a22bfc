"""What stands within a JSON Schema: the schemas in it, and what a `$ref` names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from assent._lazy import compiled_when_asked

_ESCAPED: Final = compiled_when_asked(r"(?:%[0-9A-Fa-f]{2})+")
_IN_SCHEMA: Final = (
    "items", "additionalProperties", "unevaluatedProperties", "contains", "not", "if", "then", "else",
)  # fmt: skip
_IN_LIST: Final = ("anyOf", "oneOf", "allOf", "prefixItems")
_IN_MAP: Final = ("properties", "patternProperties", "$defs", "dependentSchemas")


def referred(document: object, reference: object) -> object:
    """The part that `#` or a `#/…` pointer (RFC 6901, §6) names; None for one that leads nowhere, or out of the document."""
    if not isinstance(reference, str) or not reference.startswith("#"):
        return None
    reference = _ESCAPED.sub(
        lambda found: bytes.fromhex(found[0].replace("%", "")).decode(errors="replace"), reference
    )
    first, *steps = reference.removeprefix("#").split("/")
    place = document if not first else None
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        if isinstance(place, Mapping) and name in place:
            place = place[name]
        elif isinstance(place, list | tuple) and name.isdecimal() and int(name) < len(place):
            place = place[int(name)]
        else:
            return None
    return place


def subschemas(schema: object) -> Iterator[Any]:  # `Any`: a schema, frozen or not
    """A schema and every one within it; what stands in the place of one and is none is passed over."""
    if not isinstance(schema, Mapping):
        return
    yield schema
    for key in _IN_SCHEMA:
        yield from subschemas(schema.get(key))
    for key in _IN_LIST:
        branches = schema.get(key)
        for one in branches if isinstance(branches, list | tuple) else ():
            yield from subschemas(one)
    for key in _IN_MAP:
        members = schema.get(key)
        for one in members.values() if isinstance(members, Mapping) else ():
            yield from subschemas(one)
