"""Values that fit a JSON Schema, made from a seed: what transformers are tried on before anybody depends on them.

The same seed and schema give the same values on every machine: what was accepted once is accepted at the next start. The first
values are the smallest and the fullest that the schema allows, because these are where transformers are wrong.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from typing import Any, Final

from assent.errors import InputError, Json
from assent.spec.values.canonical import canonical_json
from assent.spec.values.frozen import thaw
from assent.spec.workflow.inputs import violations
from assent.versions._schema_shape import Alternative, Shape

TRIES_MAX: Final = 20
"""Values that are made, for each that is wanted, before giving up."""

DEPTH_MAX: Final = 6
"""Levels at which optional parts are still added: a schema that contains itself could go on for ever."""

DEPTH_LIMIT: Final = 24
"""Levels at which a value is given up."""

_EXTRA_ITEMS: Final = 3
_LETTERS: Final = "abcdefghijklmnopqrstuvwxyz ABC019-_é"
_NUMBERS: Final = (0, 1, -1, 2, 7, 10, 42, 100, 1000, -1000)

_FORMATS: Final[Mapping[str, tuple[str, ...]]] = {
    "email": ("ada@example.org", "a.b@sub.example.org"),
    "uri": ("https://example.org/a?b=c", "http://example.org"),
    "url": ("https://example.org/a?b=c", "http://example.org"),
    "uuid": ("3f2504e0-4f89-41d3-9a0c-0305e82c3301", "00000000-0000-4000-8000-000000000000"),
    "date": ("2026-01-31", "2000-02-29"),
    "date-time": ("2026-01-31T12:00:00Z", "2000-02-29T23:59:59.5+02:00"),
    "time": ("12:00:00Z", "23:59:59Z"),
    "duration": ("PT90S", "P1DT2H"),
    "ipv4": ("192.0.2.1", "10.0.0.0"),
    "ipv6": ("2001:db8::1", "::"),
    "hostname": ("example.org", "localhost"),
    "binary": ("YQ==", ""),
}


class _Unmakeable(Exception):  # a signal inside this module, never seen outside
    """No value was found along this way."""


def samples(schema: Mapping[str, Json], *, seed: bytes, count: int) -> Iterator[Json]:
    """Up to `count` different valid values, the smallest and the fullest first.

    Raises `InputError` SAMPLES_MISSING, with the place, when none can be made: the schema then needs `examples`.
    """
    plain: dict[str, Any] = thaw(schema)
    try:
        violations(plain, None)
    except ValueError as error:
        raise InputError("SAMPLES_MISSING", f"not a JSON Schema: {str(error).splitlines()[0]}") from None
    maker = _Maker(plain, seed)
    seen: set[bytes] = set()
    for attempt in range(count * TRIES_MAX):
        if len(seen) >= count:
            return
        try:
            value = maker.make(plain, fullness=(0, 2, 1)[min(attempt, 2)])
        except _Unmakeable:
            continue
        encoded = canonical_json(value)
        if encoded not in seen and not violations(plain, value):
            seen.add(encoded)
            yield value
    if not seen:
        where = maker.stuck or "the schema"
        raise InputError(
            "SAMPLES_MISSING",
            f"no values could be made for {where}, so nothing can be tried on them",
            hint="give that part of the schema `examples`",
        )


class _Maker:
    """Makes values from a stream of draws. Fullness 0: only what is required; 2: everything; 1: as it is drawn."""

    def __init__(self, root: dict[str, Any], seed: bytes) -> None:
        self._shape = Shape(root)
        self._seed = seed
        self._drawn = 0
        self._fullness = 1
        self.stuck = ""

    def _below(self, n: int) -> int:
        self._drawn += 1
        block = hashlib.sha256(self._seed + self._drawn.to_bytes(8, "big")).digest()
        return int.from_bytes(block[:8], "big") % n

    def make(self, schema: Any, *, fullness: int) -> Json:
        """One value, probably valid."""
        self._fullness = fullness
        return self._value(schema, 0, "the value")

    def _value(self, schema: Any, depth: int, where: str) -> Json:
        if depth > DEPTH_LIMIT:
            raise _Unmakeable
        if isinstance(schema, dict):
            given = [*schema.get("examples", ()), *([schema["default"]] if "default" in schema else ())]
            # Examples are used often, but not always: they show what is usual, and faults live elsewhere.
            if given and self._below(3) == 0:
                return thaw(given[self._below(len(given))])  # type: ignore[no-any-return]  # examples are JSON
        found = [alternative for group in self._shape.alternatives(schema).values() for alternative in group]
        if not found:
            self.stuck = self.stuck or f"`{where}`"
            raise _Unmakeable
        if depth > DEPTH_MAX:
            # What contains itself must come to an end: a null or an empty list, where the schema has one.
            flat = [one for one in found if one.kind not in ("object", "array")] or found
            found = flat
        chosen = found[{0: 0, 2: -1}.get(self._fullness, self._below(len(found)))]
        return self._made(chosen, schema, depth, where)

    def _made(self, alternative: Alternative, schema: Any, depth: int, where: str) -> Json:
        if alternative.values is not None:
            values = [*alternative.values.values()]
            return thaw(values[self._below(len(values))])  # type: ignore[no-any-return]  # listed values are JSON
        match alternative.kind:
            case "number":
                return self._number(alternative)
            case "string":
                return self._string(alternative, schema, where)
            case "array":
                return self._array(alternative, depth, where)
            case _:
                return self._object(alternative, depth, where)

    def _number(self, alternative: Alternative) -> Json:
        keys = alternative.keywords
        low = keys.get("minimum", keys.get("exclusiveMinimum"))
        high = keys.get("maximum", keys.get("exclusiveMaximum"))
        step = keys.get("multipleOf", 1 if alternative.is_integer else None)
        base: float = _NUMBERS[self._below(len(_NUMBERS))]
        if low is not None and high is not None:
            base = low + self._below(max(1, int(high - low) + 1))
        elif low is not None:
            base = low + abs(base)
        elif high is not None:
            base = high - abs(base)
        if step is None:
            return base if self._below(2) else base + 0.5 * (high is None or base + 0.5 <= high)
        multiple = int(base // step) + (low is not None and base % step != 0)
        value = multiple * step
        if low is not None and value <= low and "exclusiveMinimum" in keys:
            value += step
        if high is not None and value >= high and "exclusiveMaximum" in keys:
            value -= step
        return int(value) if value == int(value) else value

    def _string(self, alternative: Alternative, schema: Any, where: str) -> Json:
        keys = alternative.keywords
        if "pattern" in keys:
            given = schema.get("examples") if isinstance(schema, dict) else None
            if given:
                return thaw(given[self._below(len(given))])  # type: ignore[no-any-return]  # examples are JSON
            # Any text may fit, as where only NUL is refused; if none does, this is why.
            self.stuck = f"`{where}` (its pattern `{keys['pattern']}`)"
        if keys.get("format") in _FORMATS:
            usual = _FORMATS[str(keys["format"])]
            return usual[self._below(len(usual))]
        least = int(keys.get("minLength", 0))
        most = min(int(keys.get("maxLength", least + 12)), least + 12)
        size = {0: least, 2: most}.get(self._fullness, least + self._below(most - least + 1))
        return "".join(_LETTERS[self._below(len(_LETTERS))] for _ in range(size))

    def _array(self, alternative: Alternative, depth: int, where: str) -> Json:
        keys = alternative.keywords
        prefix = keys.get("prefixItems", [])
        least = int(keys.get("minItems", 0))
        most = min(int(keys.get("maxItems", least + _EXTRA_ITEMS)), least + _EXTRA_ITEMS)
        if depth > DEPTH_MAX or keys.get("items") is False:
            most = max(least, min(most, len(prefix)))
        size = {0: least, 2: most}.get(self._fullness, least + self._below(most - least + 1))
        items: list[Json] = []
        for index in range(size):
            below = prefix[index] if index < len(prefix) else keys.get("items", True)
            items.append(self._value(below, depth + 1, f"{where}[{index}]"))
        return items

    def _object(self, alternative: Alternative, depth: int, where: str) -> Json:
        keys = alternative.keywords
        required = {*keys.get("required", ())}
        made: dict[str, Json] = {}
        for name, below in keys.get("properties", {}).items():
            if name in required or self._wants(depth):
                try:
                    made[name] = self._value(below, depth + 1, f"{where}.{name}")
                except _Unmakeable:
                    if name in required:
                        raise
        for name in required - made.keys():
            extra = keys.get("additionalProperties", True)
            made[name] = self._value(extra, depth + 1, f"{where}.{name}")
        extra = keys.get("additionalProperties")
        if extra not in (None, False) and self._wants(depth):
            names = keys.get("propertyNames", {"type": "string", "minLength": 1, "maxLength": 8})
            for _ in range(1 + self._below(2)):
                name = self._value({"type": "string", **names}, depth + 1, f"{where}'s names")
                if isinstance(name, str) and name not in keys.get("properties", {}):
                    made[name] = self._value(extra, depth + 1, f"{where}.*")
        return made

    def _wants(self, depth: int) -> bool:
        if self._fullness == 0 or depth > DEPTH_MAX:
            return False
        return self._fullness == 2 or self._below(2) == 0  # 2 is the fullest, see the class
