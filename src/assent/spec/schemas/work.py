"""How much work it is to hold data against a JSON Schema of a stranger, counted before it begins.

Such a schema can take exponential time in few lines: `n` that asks twice for `n` of a child doubles its work with each level.
The validator holds the interpreter's lock and can't be stopped, so it is counted how often each part of the schema is applied on
each level of the data, at most. What a part compares, looks up, hashes or goes through by a pattern is work too.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any, Final

from assent.errors import Json
from assent.spec.schemas.references import referred
from assent.spec.values.canonical import DEPTH_MAX
from assent.spec.values.weight import weight_of

VISITS_MAX: Final = 5_000_000
"""Parts of a schema, times the values that they are applied to: about a second."""

TOO_COSTLY: Final = (
    "checking this schema could take too long: it has too many parts, or they ask for one another too often"
)

_LITTLE: Final = 100_000
"""Visits that need no closer count."""
_CHARACTERS: Final = 16
"""Characters that a pattern reads in the time of a visit; `weight_of` has 256 in one."""
_DIVISION: Final = 20
"""Visits that `multipleOf` takes for a fraction."""

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


class SchemaWork:
    """What one schema takes."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._root = schema
        self._graph = _Graph(schema)
        self._each = self._of_each_value()

    def _of_each_value(self) -> int | None:
        """The visits for a value of weight one, at most; None where references may apply a part more than once."""
        total, pending = 0, [self._root]
        while pending:
            part = pending.pop()
            if any(key in part for key in ("$ref", *_DYNAMIC)):
                return None
            total += _weight(part, 1, _CHARACTERS * _CHARACTERS, DEPTH_MAX)
            if total > _LITTLE:
                return None
            pending += map(self._graph.part, (*self._graph.here(id(part)), *self._graph.below(id(part))))
        return total

    def visits(self, value: Json) -> int:
        """The visits that checking a value takes, at most; more than `VISITS_MAX` are not counted on."""
        if self._each is not None and (most := self._each * weight_of(value)) <= _LITTLE:
            return most
        graph = self._graph
        counts: dict[int, int] = {id(self._root): 1}
        levels = _levels(value)
        visits, below_here = 0, sum(width for width, _ in levels)
        for width, characters in levels:
            counts = graph.spread(counts)
            below_here -= width
            visits += sum(
                count * _weight(graph.part(one), width, characters, below_here)
                for one, count in counts.items()
            )
            if visits > VISITS_MAX:
                break
            below: dict[int, int] = defaultdict(int)
            for one, count in counts.items():
                for other in graph.below(one):
                    below[other] += count
            counts = below
        return visits


def _levels(value: Json) -> list[tuple[int, int]]:
    """Values and characters on each level: of its texts, and of the keys of its objects, which patterns read as well.

    Keys count on their own level and on the one below, since a schema may speak of them in either place.
    """
    found: list[tuple[int, int]] = []
    level: list[Json] = [value]
    above = 0
    while level:
        keys = sum(len(key) for one in level if isinstance(one, dict) for key in one)
        found.append((len(level), above + keys + sum(len(one) for one in level if isinstance(one, str))))
        above = keys
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]
    return found


def _weight(
    part: Mapping[str, Any], width: int, characters: int, below: int
) -> int:  # `Any`: a schema of strangers
    """The visits that a part is worth on a level with so many values and characters, and so many values below."""
    each = 1 + _count(part.get("required"))
    dependent = part.get("dependentRequired")
    if isinstance(dependent, Mapping):
        each += sum(map(_count, dependent.values()))
    each += weight_of(part.get("const"))
    options = part.get("enum")
    if isinstance(options, list | tuple) and any(isinstance(one, dict | list) for one in options):
        each += weight_of(options)  # One after another; plain values are looked up.
    if isinstance(part.get("multipleOf"), float):
        each += _DIVISION
    patterns = ("pattern" in part) + ("format" in part) + _count(part.get("patternProperties"))
    unique = below if part.get("uniqueItems") is True else 0
    return each * width + patterns * characters // _CHARACTERS + unique


def _count(some: object) -> int:
    return len(some) if isinstance(some, list | Mapping) else 0


class _Graph:
    """Which parts of a schema are applied to the same value as a part, and which to the values in it."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._root = schema
        self._parts: dict[int, Any] = {id(schema): schema}
        self._here: dict[int, list[int]] = {}
        self._order: dict[int, int] = {}

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
