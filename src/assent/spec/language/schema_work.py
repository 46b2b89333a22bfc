"""What checking data against a schema of strangers costs at most, counted before it begins.

Such a schema can take exponential time in few lines: `n` that asks twice for `n` of a child doubles its work with each level.
The validator holds the interpreter's lock and can't be stopped, so the work is counted beforehand: how often each part of the
schema is applied on each level of the data, at most. A name that must be there and a text that a pattern goes through are work
too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from assent.errors import Json
from assent.spec.language.work import matched
from assent.spec.schemas.references import referred

VISITS_MAX: Final = 5_000_000
"""Parts of a schema, times the values that they are applied to."""

TOO_COSTLY: Final = (
    "could take too long to check: the schema's parts ask too often for others, or its patterns are too large"
)
"""What is said of a value for which `visits_of` tells none."""

NOT_TOLD: Final = "is not as the schema asks, and what breaks it takes too long to tell: the schema's alternatives go too deep"
"""What is said of a value that breaks a schema of which no fault can be made in time."""

_STEPS_OF_A_VISIT: Final = 4
_CHARACTERS_OF_A_VISIT: Final = 16
"""Characters that a simple pattern, or a format, reads in the time of a visit."""

_HERE: Final = ("not", "if", "then", "else")
_HERE_LIST: Final = ("allOf", "anyOf", "oneOf")
_HERE_MAP: Final = ("dependentSchemas",)
_BELOW: Final = (
    "additionalProperties",
    "contains",
    "items",
    "propertyNames",
    "unevaluatedItems",
    "unevaluatedProperties",
)
_BELOW_LIST: Final = ("prefixItems",)
_BELOW_MAP: Final = ("patternProperties", "properties")
_DYNAMIC: Final = ("$dynamicRef", "$recursiveRef")


_COSTLY: Final = frozenset(
    {"pattern", "patternProperties", "$ref", "enum", "const", "multipleOf", *_HERE_LIST, *_DYNAMIC}
)

_ALTERNATIVES: Final = ("anyOf", "oneOf")
_ALTERNATIVES_VISITS_MAX: Final = 20_000
_ALTERNATIVES_SIZE_MAX: Final = 64_000_000
"""Visits times the characters of the value."""

_ASKING: Final = frozenset(
    {"$ref", *_DYNAMIC, *_HERE, *_HERE_LIST, *_HERE_MAP, *_BELOW, *_BELOW_LIST, *_BELOW_MAP}
)

_VISITS_OF_A_FRACTION: Final = 80
"""What dividing by a fraction takes, exactly."""


def may_be_costly(schema: object) -> bool:
    """Whether a schema has patterns, alternatives, or parts that ask for others; any other takes a few looks at each value."""
    if isinstance(schema, Mapping):
        return not _COSTLY.isdisjoint(schema) or any(map(may_be_costly, schema.values()))
    return isinstance(schema, list | tuple) and any(map(may_be_costly, schema))


def are_faults_large(schema: Mapping[str, Json], value: object, visits: int) -> bool:
    """Whether telling what breaks a schema may take long, where finding out that something does takes so many `visits`.

    The fault of alternatives holds all faults of each, with the value that they are in, and those of theirs again: a few lines
    make millions of them.
    """
    if not _has_deep_alternatives(schema):
        return False
    return visits > _ALTERNATIVES_VISITS_MAX or visits * len(repr(value)) > _ALTERNATIVES_SIZE_MAX


def _has_deep_alternatives(schema: object) -> bool:
    """Whether an alternative asks for more than the value itself: for what is in it, or for other parts."""
    if isinstance(schema, Mapping):
        alternatives = [one for key in _ALTERNATIVES for one in _items(schema.get(key))]
        return any(isinstance(one, Mapping) and not _ASKING.isdisjoint(one) for one in alternatives) or any(
            map(_has_deep_alternatives, schema.values())
        )
    return any(map(_has_deep_alternatives, _items(schema)))


def _items(value: object) -> list[object] | tuple[object, ...]:
    return value if isinstance(value, list | tuple) else ()


def visits_of(schema: dict[str, Json], value: object) -> int | None:
    """The visits that checking a JSON value may take; None when they are more than `VISITS_MAX`."""
    graph = _Graph(schema)
    counts: dict[int, int] = {id(schema): 1}
    visits = 0
    for width, size in _levels(value):
        counts = graph.spread(counts)
        visits += sum(count * _weight(graph.part(one), width, size) for one, count in counts.items())
        if visits > VISITS_MAX:
            return None
        below: dict[int, int] = defaultdict(int)
        for one, count in counts.items():
            for other in graph.below(one):
                below[other] += count
        counts = below
    return visits


def _levels(value: object) -> Iterator[tuple[int, int]]:
    """How many values there are on each level, and how many characters in its texts and in the keys of its objects.

    Patterns read keys as well. They count on their own level and on the one below: a schema may speak of them in either place.
    """
    level: list[object] = [value]
    above = 0
    while level:
        keys = sum(len(key) for one in level if isinstance(one, dict) for key in one)
        yield len(level), above + keys + sum(len(one) for one in level if isinstance(one, str))
        above = keys
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]


def _weight(part: Mapping[str, Any], width: int, characters: int) -> int:  # `Any`: a schema of strangers
    """The visits that a part is worth on a level with so many values and characters: itself, names, and patterns."""
    names = _count(part.get("required")) + _compared(part.get("enum")) + _compared([part.get("const")])
    if isinstance(part.get("multipleOf"), float):
        names += _VISITS_OF_A_FRACTION
    dependent = part.get("dependentRequired")
    if isinstance(dependent, Mapping):
        names += sum(map(_count, dependent.values()))
    members = part.get("patternProperties")
    patterns = [part.get("pattern"), *(members if isinstance(members, Mapping) else ())]
    visits = sum(
        max(characters // _CHARACTERS_OF_A_VISIT, matched(one, characters) // _STEPS_OF_A_VISIT)
        for one in patterns
        if isinstance(one, str)
    )
    if "format" in part:
        visits += characters // _CHARACTERS_OF_A_VISIT
    return (1 + names) * width + visits


def _compared(options: object) -> int:
    """What comparing a value with some others takes at most; plain ones are looked up."""
    if not isinstance(options, list | tuple):
        return 0
    return sum(_size(one) for one in options if isinstance(one, list | tuple | Mapping))


def _size(value: object) -> int:
    inner = value.values() if isinstance(value, Mapping) else value if isinstance(value, list | tuple) else ()
    return 1 + sum(map(_size, inner))


def _count(some: object) -> int:
    return len(some) if isinstance(some, list | Mapping) else 0


class _Graph:
    """Which parts of a schema are applied to the same value as a part, and which to the values in it."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._root = schema
        self._parts: dict[int, Any] = {id(schema): schema}
        self._here: dict[int, list[int]] = {}

    def part(self, one: int) -> Mapping[str, Any]:  # `Any`: a schema of strangers
        """The part itself."""
        found: Mapping[str, Any] = self._parts[one]
        return found

    def _known(self, part: object) -> Iterator[int]:
        if isinstance(part, Mapping):
            self._parts[id(part)] = part
            yield id(part)

    def below(self, one: int) -> Iterator[int]:
        """The parts for the values in a value."""
        part = self._parts[one]
        for key in _BELOW:
            yield from self._known(part.get(key))
        yield from self._listed(part, _BELOW_LIST, _BELOW_MAP)

    def here(self, one: int) -> list[int]:
        """The parts for the same value."""
        found = self._here.get(one)
        if found is None:
            part = self._parts[one]
            found = [other for key in _HERE for other in self._known(part.get(key))]
            found += self._listed(part, _HERE_LIST, _HERE_MAP)
            if "$ref" in part:
                # The whole for one that leads nowhere here, which is never less.
                named = referred(self._root, part["$ref"])
                found += self._known(self._root if named is None else named)
            if any(key in part for key in _DYNAMIC):
                found += self._known(self._root)
            self._here[one] = found
        return found

    def _listed(self, part: Any, lists: tuple[str, ...], maps: tuple[str, ...]) -> Iterator[int]:
        for key in lists:
            for inner in part.get(key) if isinstance(part.get(key), list) else ():
                yield from self._known(inner)
        for key in maps:
            for inner in part[key].values() if isinstance(part.get(key), Mapping) else ():
                yield from self._known(inner)

    def spread(self, counts: Mapping[int, int]) -> dict[int, int]:
        """How often each part is applied to one value, given how often the parts are that apply to it first."""
        order: list[int] = []
        state: dict[int, bool] = {}
        for start in counts:
            waiting: list[tuple[int, bool]] = [(start, False)]
            while waiting:
                one, is_done = waiting.pop()
                if is_done:
                    order.append(one)
                    continue
                if one in state:
                    continue
                state[one] = True
                waiting.append((one, True))
                waiting += [(other, False) for other in self.here(one) if other not in state]
        place = {one: index for index, one in enumerate(order)}
        spread: dict[int, int] = defaultdict(int, counts)
        for one in reversed(order):
            for other in self.here(one):
                # What leads back is a circle; the validator goes through one once.
                if place[other] < place[one]:
                    spread[other] = min(spread[other] + spread[one], VISITS_MAX + 1)
        return dict(spread)
