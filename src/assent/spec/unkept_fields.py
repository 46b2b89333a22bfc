"""The fields of a schema whose texts are told and not kept: whoever calls gets them, what is journaled has marks in their place.

A schema says so with `"kept": false` (`UnkeptText` in Python). What stands there may be any JSON: each text in it is replaced,
its numbers and keys stay. A **mark** is a text itself, so that what has one still fits its type: `not kept:` with 16 random bytes
of salt and the salted commitment of the text, in hex. It tells whether a text is the one that was there, and nothing else.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from assent._lazy import compiled_when_asked
from assent.errors import Json, WorldError
from assent.spec.masking import places
from assent.spec.schemas.references import subschemas
from assent.spec.values.canonical import canonical_json, commit

KEPT: Final = "kept"
"""The keyword; only `false` says anything."""

PREFIX: Final = "not kept:"
_MARK: Final = compiled_when_asked(rf"{PREFIX}([0-9a-f]{{32}}):([0-9a-f]{{64}})", re.ASCII)

Salt = Callable[[], bytes]


class UnkeptFields:
    """What one schema says about texts that are not kept; looked at once, because most say nothing."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._schema = schema
        self.some: Final = has_unkept(schema)
        """Whether there is any."""

    def veiled(self, value: Any, salt: Salt) -> Any:  # `Any`: JSON in and out
        """The value with a mark in place of each text that is not kept; the same object when there is none."""
        if not self.some:
            return value
        for place in [*places(value, self._schema, _is_unkept)]:
            value = _put(value, place, salt)
        known = self._schema.get("properties")
        if isinstance(value, Mapping) and isinstance(known, Mapping):
            # A mistyped name may have been meant to be one of them.
            value = {name: item if name in known else _veiled(item, salt) for name, item in value.items()}
        return value


def has_unkept(schema: object) -> bool:
    """Whether a schema has texts that are not kept."""
    return any(map(_is_unkept, subschemas(schema)))


def is_marked(value: Json) -> bool:
    """Whether a mark stands anywhere in a JSON value, also within a longer text: a text is missing that was not kept."""
    return any(PREFIX in text and _MARK.search(text) is not None for text in _texts(value))


def opens(kept: Json, value: Json) -> bool:
    """Whether a value is the very JSON that was kept, with the texts that the marks in it commit to. 1 is not 1.0, nor true."""
    match kept, value:
        case dict(), dict():
            return kept.keys() == value.keys() and all(opens(item, value[key]) for key, item in kept.items())
        case list(), list():
            return len(kept) == len(value) and all(map(opens, kept, value))
        case str(), _ if (found := _MARK.fullmatch(kept)) is not None and kept != value:
            salt, digest = found.groups()
            return hmac.compare_digest(commit(bytes.fromhex(salt), canonical_json(value)), digest)
        case _:
            return type(kept) is type(value) and kept == value


def veil_derived(value: Json, from_kept: Json, salt: Salt) -> Json:
    """What was made of texts that are not kept, as it may be kept; `from_kept` is what the same makes of their marks.

    What does not depend on them is equal in both and stays. A text that was handed on keeps its mark; all else is one itself.
    """
    match value, from_kept:
        case dict(), dict() if value.keys() == from_kept.keys():
            return {key: veil_derived(item, from_kept[key], salt) for key, item in value.items()}
        case list(), list() if len(value) == len(from_kept):
            return [veil_derived(one, other, salt) for one, other in zip(value, from_kept, strict=True)]
        case _, _ if opens(from_kept, value):
            return from_kept
        case _:
            return _mark(value, salt)


def not_kept(what: str, of: str) -> WorldError:
    """What a call ends with that needs a text which nobody has any more."""
    return WorldError(
        "TEXT_NOT_KEPT",
        f"{what} of `{of}` hold a text that is told and not kept, and the process that had it has ended",
        hint="ask again: nothing that changes anything was done with it",
    )


def _is_unkept(schema: Mapping[str, object]) -> bool:
    return schema.get(KEPT) is False


def _mark(value: Json, salt: Salt) -> str:
    random = salt()
    return f"{PREFIX}{random.hex()}:{commit(random, canonical_json(value))}"


def _put(value: Any, path: tuple[str | int, ...], salt: Salt) -> Any:  # `Any`: JSON
    if not path:
        return _veiled(value, salt)
    copy: Any = dict(value) if isinstance(value, Mapping) else list(value)  # `Any`: as above
    copy[path[0]] = _put(value[path[0]], path[1:], salt)
    return copy


def _veiled(value: Json, salt: Salt) -> Json:
    if isinstance(value, str):
        # A mark stays as it is: what is played again from a record comes to the same.
        return value if _MARK.fullmatch(value) else _mark(value, salt)
    if isinstance(value, Mapping):
        return {key: _veiled(item, salt) for key, item in value.items()}
    return [_veiled(item, salt) for item in value] if isinstance(value, list | tuple) else value


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)
