"""Reading JSON objects that come from the runtime: each look-up has a type, and absence has a plain value.

A door shows what it is given. A field that is missing is shown as nothing; it is never a reason to fail.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from assent.errors import Json
from assent.spec.json_fields import Object, compact, mapping, number, objects, text, texts, written

if TYPE_CHECKING:
    from msgspec import Struct

__all__ = [
    "Object",
    "compact",
    "indented",
    "mapping",
    "number",
    "objects",
    "plain",
    "text",
    "texts",
    "written",
]


def plain(answer: Struct) -> dict[str, Json]:
    """An answer of the service as the JSON object that it is documented to be."""
    from msgspec import to_builtins  # a command that asks for no answer does without it

    data: dict[str, Json] = to_builtins(answer)
    return data


def indented(value: Json | Object) -> str:
    """The same on lines of its own, for people to read."""
    return json.dumps(value, indent=2)
