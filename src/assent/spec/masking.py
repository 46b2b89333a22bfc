"""What must not be seen of a value: everything that its schema calls `writeOnly`, and every field that is named like a secret.

Masking errs towards hiding. A value that fits several branches is hidden where any of them hides it, and a reference that leads
nowhere hides what stands under it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from assent._lazy import compiled_when_asked
from assent.errors import Json
from assent.spec.schemas.references import referred

MASK: Final = "***"

NAMES_REMEMBERED_MAX: Final = 4096
"""Names of fields that are known to name a secret or not. The same few are asked about in each refusal."""

REMEMBERED_CHARACTERS_MAX: Final = 64
"""Longer names are looked at anew each time: callers choose the keys of what is refused, and must not fill the memory."""

_KNOWN: Final[dict[str, bool]] = {}
_ABOUT_A_SECRET: Final = ("_max", "_min", "_count", "_length", "_name", "_type")
_IN_PLACE: Final = ("anyOf", "oneOf", "allOf")
_IN_PLACE_ONE: Final = ("if", "then", "else")
_SECRET_NAME: Final = compiled_when_asked(
    r"(?:^|_)(?:password|passwd|passphrase|pwd|secret|secrets|token|api_?key|private_?key|access_?key|credentials?|cookie|authorization)(?:_|$)"
)
_LETTERS: Final = compiled_when_asked(
    r"pass(?:w|phrase)|pwd|secret|token|key|credential|cookie|authorization", re.ASCII | re.IGNORECASE
)
"""What every name of a secret has in it, to be told in a fraction of the time: data may have a million names."""
_HUMP: Final = compiled_when_asked(r"(?<=[a-z0-9])(?=[A-Z])|[^A-Za-z0-9]+")


def masked(value: Json, schema: Mapping[str, object]) -> Json:
    """The value with `***` in every place that `schema` (2020-12) calls `writeOnly`; the same object when nothing is hidden.

    Follows `properties`, `patternProperties`, `additionalProperties`, `items`, `prefixItems`, `contains`, `$ref` within the
    document, `anyOf`, `oneOf`, `allOf`, `if`, `then`, `else` and `dependentSchemas`. Without effects; `value` is not changed.
    """
    return _Masking(schema).apply(value, [schema]) if hides(schema) else value


def hides(schema: object) -> bool:
    """Whether the schema calls anything `writeOnly`, or refers to what can't be looked at."""
    if isinstance(schema, Mapping):
        if schema.get("writeOnly") is True:
            return True
        reference = schema.get("$ref")
        if "$dynamicRef" in schema or (isinstance(reference, str) and not reference.startswith("#")):
            return True
        return any(hides(part) for part in schema.values())
    return isinstance(schema, list | tuple) and any(hides(part) for part in schema)


def hides_at(schema: Mapping[str, object], path: Sequence[str | int]) -> bool:
    """Whether what stands at `path` (names and indexes from the whole) is hidden, or lies inside of something that is."""
    masking = _Masking(schema)
    below: list[object] = [schema]
    for step in (*path, None):
        every = [*masking.applying(below)]
        if any(part is None or part.get("writeOnly") is True for part in every):
            return True
        parts = [part for part in every if part]
        if step is not None:
            below = [one for part in parts for one in _below(part, step)]
    return False


def parts_at(schema: Mapping[str, object], path: Sequence[str | int]) -> list[Mapping[str, object]]:
    """Every part of a schema that says something about what stands at `path` (names and indexes from the whole)."""
    masking = _Masking(schema)
    parts = [part for part in masking.applying([schema]) if part]
    for step in path:
        below = [one for part in parts for one in _below(part, step)]
        parts = [part for part in masking.applying(below) if part]
    return parts


def places(
    value: Json, schema: Mapping[str, object], wanted: Callable[[Mapping[str, object]], bool]
) -> Iterator[tuple[str | int, ...]]:
    """Where in the value a part of the schema applies that is `wanted`, outermost places only, as names and indexes."""
    yield from _places(_Masking(schema), value, [schema], wanted, ())


def names_secret(name: str) -> bool:
    """Whether a field's name says that it holds a secret: `password`, `apiKey`, `db-token`, … but not `tokens_max`."""
    known = _KNOWN.get(name)
    if known is None:
        if _LETTERS.search(name) is None:
            return False
        words = _HUMP.sub("_", name).lower()
        found = _SECRET_NAME.search(words)
        # `token_count` and `password_length` are numbers about a secret.
        known = found is not None and not words.endswith(_ABOUT_A_SECRET)
        if len(name) <= REMEMBERED_CHARACTERS_MAX and len(_KNOWN) < NAMES_REMEMBERED_MAX:
            _KNOWN[name] = known
    return known


def masked_by_name(value: Json, hidden: list[str] | None = None) -> Json:
    """The value with `***` in every field, at any depth, whose name says that it holds a secret; `hidden` gets these names.

    For values that have no schema. Without effects on `value`.
    """
    if isinstance(value, Mapping):
        found: dict[str, Json] = {}
        for name, item in value.items():
            if names_secret(name):
                found[name] = MASK
                if hidden is not None:
                    hidden.append(name)
            else:
                found[name] = masked_by_name(item, hidden)
        return found
    return [masked_by_name(item, hidden) for item in value] if isinstance(value, list | tuple) else value


class _Masking:
    """One walk of a value beside the schemas that apply to it."""

    def __init__(self, document: Mapping[str, object]) -> None:
        self._document = document

    def apply(self, value: Json, schemas: Sequence[object]) -> Json:
        every = [*self.applying(schemas)]
        if any(schema is None or schema.get("writeOnly") is True for schema in every):
            return MASK
        if isinstance(value, Mapping):
            return self._object(value, every)
        if isinstance(value, list | tuple):
            return self._array(value, every)
        return value

    def _object(self, value: Mapping[str, Json], schemas: list[Mapping[str, object] | None]) -> Json:
        found: dict[str, Json] = {}
        changed = False
        for name, item in value.items():
            below = [part for schema in schemas if schema for part in _of_member(schema, name)]
            found[name] = self.apply(item, below) if below else item
            changed = changed or found[name] is not item
        return found if changed else value  # type: ignore[return-value]  # a mapping is JSON's object here

    def _array(
        self, value: list[Json] | tuple[Json, ...], schemas: list[Mapping[str, object] | None]
    ) -> Json:
        found: list[Json] = []
        changed = False
        for index, item in enumerate(value):
            below = [part for schema in schemas if schema for part in _of_entry(schema, index)]
            found.append(self.apply(item, below) if below else item)
            changed = changed or found[-1] is not item
        return found if changed else value  # type: ignore[return-value]  # a tuple is JSON's array here

    def applying(self, schemas: Sequence[object]) -> Iterator[Mapping[str, object] | None]:
        """Every schema that says something about the same value; None for one that can't be found."""
        seen: set[int] = set()
        waiting: list[object] = list(schemas)
        while waiting:
            schema = waiting.pop()
            if not isinstance(schema, Mapping) or id(schema) in seen:
                continue
            seen.add(id(schema))
            yield schema
            if "$dynamicRef" in schema:
                yield None
            if "$ref" in schema:
                target = referred(self._document, schema["$ref"])
                if target is None:
                    yield None
                waiting.append(target)
            for key in _IN_PLACE:
                branches = schema.get(key)
                waiting += branches if isinstance(branches, list | tuple) else ()
            waiting += [schema[key] for key in _IN_PLACE_ONE if key in schema]
            dependent = schema.get("dependentSchemas")
            waiting += dependent.values() if isinstance(dependent, Mapping) else ()


def _places(
    masking: _Masking,
    value: Json,
    schemas: Sequence[object],
    wanted: Callable[[Mapping[str, object]], bool],
    path: tuple[str | int, ...],
) -> Iterator[tuple[str | int, ...]]:
    every = [schema for schema in masking.applying(schemas) if schema is not None]
    if any(map(wanted, every)):
        yield path
        return
    below: Iterator[tuple[str | int, Json, list[object]]] = iter(())
    if isinstance(value, Mapping):
        below = (
            (name, item, [part for one in every for part in _of_member(one, name)])
            for name, item in value.items()
        )
    elif isinstance(value, list | tuple):
        below = (
            (index, item, [part for one in every for part in _of_entry(one, index)])
            for index, item in enumerate(value)
        )
    for step, item, parts in below:
        if parts:
            yield from _places(masking, item, parts, wanted, (*path, step))


def _below(schema: Mapping[str, object], step: str | int) -> Iterator[object]:
    return _of_member(schema, step) if isinstance(step, str) else _of_entry(schema, step)


def _of_member(schema: Mapping[str, object], name: str) -> Iterator[object]:
    properties, patterns = schema.get("properties"), schema.get("patternProperties")
    known = isinstance(properties, Mapping) and name in properties
    if isinstance(properties, Mapping) and known:
        yield properties[name]
    if isinstance(patterns, Mapping):
        # Every pattern counts as matching: the engines that read patterns differ, and hiding too much is the safe mistake.
        yield from patterns.values()
    if not known:
        yield from (schema[key] for key in ("additionalProperties", "unevaluatedProperties") if key in schema)


def _of_entry(schema: Mapping[str, object], index: int) -> Iterator[object]:
    first = schema.get("prefixItems")
    if isinstance(first, list | tuple) and index < len(first):
        yield first[index]
    else:
        yield from (schema[key] for key in ("items", "unevaluatedItems") if key in schema)
    if "contains" in schema:
        yield schema["contains"]
