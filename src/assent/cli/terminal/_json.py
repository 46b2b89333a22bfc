"""Reading JSON objects that come from the runtime: each look-up has a type, and absence has a plain value.

A door shows what it is given. A field that is missing is shown as nothing; it is never a reason to fail.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, TypeAlias

from assent.errors import Json

if TYPE_CHECKING:
    from msgspec import Struct

Object: TypeAlias = "Mapping[str, Json]"


def plain(answer: Struct) -> dict[str, Json]:
    """An answer of the service as the JSON object that it is documented to be."""
    from msgspec import to_builtins  # a command that asks for no answer does without it

    data: dict[str, Json] = to_builtins(answer)
    return data


def text(data: Object, key: str, default: str = "") -> str:
    """A field as text; numbers are written out, null and absence are the default."""
    value = data.get(key)
    return default if value is None else written(value)


def written(value: Json) -> str:
    """A text as it is, and everything else as JSON."""
    return value if isinstance(value, str) else compact(value)


def number(data: Object, key: str) -> int | None:
    """A whole number, or None."""
    value = data.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def mapping(data: Object, key: str) -> Object:
    """An object, empty when there is none."""
    value = data.get(key)
    return value if isinstance(value, dict) else {}


def objects(data: Object, key: str) -> list[Object]:
    """A list of objects, empty when there is none."""
    value = data.get(key)
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def texts(data: Object, key: str) -> list[str]:
    """A list of texts, empty when there is none."""
    value = data.get(key)
    return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []


def compact(value: Json | Object) -> str:
    """One line of JSON. ASCII only: it survives every locale, and nothing in it can drive a terminal."""
    return json.dumps(value, separators=(",", ":"))


def indented(value: Json | Object) -> str:
    """The same on lines of its own, for people to read."""
    return json.dumps(value, indent=2)
