"""Reading JSON objects of which nothing is certain: each look-up has a type, and absence has a plain value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeAlias

from assent.errors import Json

Object: TypeAlias = "Mapping[str, Json]"


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
