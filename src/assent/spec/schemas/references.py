"""What a `$ref` of a JSON Schema names within its own document."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from assent._lazy import compiled_when_asked

_ESCAPED: Final = compiled_when_asked(r"(?:%[0-9A-Fa-f]{2})+")


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
