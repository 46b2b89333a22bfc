"""JSON Schema over data: all faults, in the house's own words, each with its place; and a bound on what checking costs.

A schema of strangers can take exponential time in few lines: `n` that asks twice for `n` of a child doubles its work with each
level. The validator holds the interpreter's lock and can't be stopped, so the work is counted beforehand: how often each part of
the schema is applied on each level of the data, at most. A name that must be there and a text that a pattern goes through are
work too. What it finds it makes all at once, also where a hundred faults are told: a thousand names that a thousand objects must
have are a million. So where there may be too many to be made, data that is not as the schema asks is told by its first fault.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from assent.capabilities.data._formats import Loaded
from assent.capabilities.data._shapes import Fault, Validated
from assent.capabilities.data._sizes import measured
from assent.errors import InputError, Json
from assent.invocation import NoEffectError
from assent.spec.schemas.references import referred

VISITS_MAX: Final = 5_000_000
"""Parts of a schema, times the values that they are applied to."""

FAULTS_MADE_MAX: Final = 250_000
"""Faults that may be found at once. Each costs a kilobyte and some microseconds, also when it is not told."""

_CHARACTERS_OF_A_VISIT: Final = 16
"""Characters that a pattern reads in the time of a visit."""

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


def validate(loaded: Loaded, schema: dict[str, Json]) -> Validated:
    """Whether the data is as the schema asks. `NoEffectError`: SCHEMA_INVALID, DATA_TOO_LARGE."""
    from assent.spec.documents.faults import Telling
    from assent.spec.schemas.schema import compile_schema

    _, widths = measured(loaded.value)
    measured(schema, code="SCHEMA_INVALID")
    visits = _require_affordable(schema, widths, _characters(loaded.value))
    try:
        validator = compile_schema(schema, "`json_schema`")
    except InputError as error:
        raise NoEffectError.from_dict(error.to_dict()) from None
    errors: Iterable[Any]  # `Any`: their library is imported where schemas are compiled
    if visits <= FAULTS_MADE_MAX:
        errors = validator.iter_errors(loaded.value)
    else:
        errors = _first_of(validator, loaded.value)
    told = Telling(schema, shows_values=True).of_schema(errors)
    paths = [_path(fault["path"]) for fault in told]
    places = loaded.places(paths)
    return Validated(
        valid=not told,
        faults=[
            Fault(
                path=list(path),
                place=places.get(path),
                expected=str(fault["expected"]),
                actual=str(fault["actual"]),
                message=str(fault["message"]),
            )
            for fault, path in zip(told, paths, strict=True)
        ],
    )


def _first_of(validator: Any, value: Json) -> Iterator[Any]:  # `Any`: as above
    from jsonschema_rs import ValidationError

    try:
        validator.validate(value)
    except ValidationError as error:
        yield error


def _path(path: Json) -> tuple[str | int, ...]:
    assert isinstance(path, list), "a fault's path is a list"
    return tuple(part if isinstance(part, int) else str(part) for part in path)


def _characters(value: Json) -> list[int]:
    """How many characters there are on each level: of its texts, and of the keys of its objects, which patterns read as well.

    Keys count on their own level and on the one below, since a schema may speak of them in either place.
    """
    found: list[int] = []
    level: list[Json] = [value]
    above = 0
    while level:
        keys = sum(len(key) for one in level if isinstance(one, dict) for key in one)
        found.append(above + keys + sum(len(one) for one in level if isinstance(one, str)))
        above = keys
        level = [
            inner
            for one in level
            for inner in (one.values() if isinstance(one, dict) else one if isinstance(one, list) else ())
        ]
    return found


def _weight(part: Mapping[str, Any], width: int, characters: int) -> int:  # `Any`: a schema of strangers
    """The visits that a part is worth on a level with so many values and characters: itself, names, and patterns."""
    names = _count(part.get("required"))
    dependent = part.get("dependentRequired")
    if isinstance(dependent, Mapping):
        names += sum(map(_count, dependent.values()))
    patterns = ("pattern" in part) + ("format" in part) + _count(part.get("patternProperties"))
    return (1 + names) * width + patterns * characters // _CHARACTERS_OF_A_VISIT


def _count(some: object) -> int:
    return len(some) if isinstance(some, list | Mapping) else 0


def _require_affordable(schema: Mapping[str, Json], widths: list[int], characters: list[int]) -> int:
    """The visits that checking may take; SCHEMA_INVALID when they are too many.

    `widths` are the numbers of values on each level of the data, `characters` those of its texts.
    """
    graph = _Graph(schema)
    counts: dict[int, int] = {id(schema): 1}
    visits = 0
    for width, size in zip(widths, characters, strict=True):
        counts = graph.spread(counts)
        visits += sum(count * _weight(graph.part(one), width, size) for one, count in counts.items())
        if visits > VISITS_MAX:
            raise NoEffectError(
                "SCHEMA_INVALID",
                "checking this schema could take too long: its parts ask for one another too often",
                path="json_schema",
                hint="let each part refer to another once, or validate a smaller part of the data",
            )
        below: dict[int, int] = defaultdict(int)
        for one, count in counts.items():
            for other in graph.below(one):
                below[other] += count
        counts = below
    return visits


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
