"""The fields of a schema that take references to secrets, and those that take nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from assent.errors import Json
from assent.spec.documents.document import dotted
from assent.spec.documents.faults import FAULTS_MAX, Fault, invalid
from assent.spec.masking import hides, places
from assent.spec.secret_text import REFERENCE_FORMAT, SCHEME, TEXT_FORMAT, marked

_FORMATS: Final = (TEXT_FORMAT, REFERENCE_FORMAT)
STORE_IT: Final = "store the value with `assent secrets set NAME` and write `secret://NAME` here"
_EXPECTED: Final = "a reference to a secret, like `secret://mail/token`"


class SecretFields:
    """What one schema says about secrets; looked at once, because most say nothing."""

    def __init__(self, schema: Mapping[str, Json]) -> None:
        self._schema = schema
        self.hides: Final = hides(schema)
        """Whether there is a field for references only."""
        self._refers = _mentions(schema)

    def literals(self, value: Json) -> list[Fault]:
        """A fault for each value that stands where only a reference may: a `writeOnly` field. None of them quotes it."""
        if not self.hides:
            return []
        found: dict[tuple[str | int, ...], None] = {}
        for place in places(value, self._schema, lambda schema: schema.get("writeOnly") is True):
            for path, item in _leaves(_at(value, place), place):
                is_plain = isinstance(item, str) and SCHEME not in item and item != ""
                if is_plain or (isinstance(item, int | float) and not isinstance(item, bool)):
                    found[path] = None
        return [_fault(path) for path in found]

    def are_references(self, value: Mapping[str, Json]) -> bool:
        """Whether nothing in the value stands where a reference should be."""
        return not self.literals(dict(value))

    def require_references(self, value: Json, of: str) -> None:
        """Raise `InputError` INVALID_INPUT with every fault of `literals`. `of` names what the value is the inputs of."""
        faults = self.literals(value)
        if faults:
            raise invalid("INVALID_INPUT", f"the inputs of `{of}` are", faults[:FAULTS_MAX])

    def marked(self, value: Any) -> Any:  # `Any`: JSON in, the same with marked texts out
        """JSON for a handler that has no types, with each text that may refer to secrets as a `SecretText`; ValueError."""
        if not self._refers:
            return value
        for place in places(value, self._schema, lambda schema: schema.get("format") in _FORMATS):
            value = _put(value, place, marked(_at(value, place)))
        return value


def _mentions(schema: object) -> bool:
    if isinstance(schema, Mapping):
        return schema.get("format") in _FORMATS or any(map(_mentions, schema.values()))
    return isinstance(schema, list | tuple) and any(map(_mentions, schema))


def _at(value: Any, path: tuple[str | int, ...]) -> Any:  # `Any`: JSON
    for step in path:
        value = value[step]
    return value


def _put(value: Any, path: tuple[str | int, ...], item: Any) -> Any:  # `Any`: as above
    if not path:
        return item
    copy: Any = dict(value) if isinstance(value, Mapping) else list(value)  # `Any`: as above
    copy[path[0]] = _put(value[path[0]], path[1:], item)
    return copy


def _leaves(value: Json, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], Json]]:
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _leaves(item, (*path, key))
    elif isinstance(value, list | tuple):
        for index, item in enumerate(value):
            yield from _leaves(item, (*path, index))
    else:
        yield path, value


def _fault(path: tuple[str | int, ...]) -> Fault:
    return {
        "path": [*path],
        "expected": _EXPECTED,
        "actual": "a value of its own",
        "message": f"`{dotted(path)}` must be {_EXPECTED}, and not the value itself",
        "hint": STORE_IT,
    }
