"""JSON Schema over data: all faults, in the house's own words, each with its place; and a bound on what checking costs.

What the validator finds it makes all at once, also where a hundred faults are told: a thousand names that a thousand objects must
have are a million. So where there may be too many to be made, data that is not as the schema asks is told by its first fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Final

from assent.capabilities.data._formats import Loaded
from assent.capabilities.data._shapes import Fault, Validated
from assent.capabilities.data._sizes import measured
from assent.errors import InputError, Json
from assent.invocation import NoEffectError

FAULTS_MADE_MAX: Final = 250_000
"""Faults that may be found at once. Each costs a kilobyte and some microseconds, also when it is not told."""


def validate(loaded: Loaded, schema: dict[str, Json]) -> Validated:
    """Whether the data is as the schema asks. `NoEffectError`: SCHEMA_INVALID, DATA_TOO_LARGE."""
    from assent.spec.documents.faults import Telling
    from assent.spec.schemas.schema import compile_schema
    from assent.spec.schemas.work import TOO_COSTLY, VISITS_MAX, SchemaWork

    measured(loaded.value)
    measured(schema, code="SCHEMA_INVALID")
    visits = SchemaWork(schema).visits(loaded.value)
    if visits > VISITS_MAX:
        raise NoEffectError(
            "SCHEMA_INVALID",
            TOO_COSTLY,
            path="json_schema",
            hint="let each part refer to another once, or validate a smaller part of the data",
        )
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
