"""Validators of schemas that somebody else wrote: data, which must not reach the network or burn the processor.

They make all that they find at once, also where a hundred faults are told: a thousand names that a thousand objects must have are
a million. So where there may be too many to be made, a value that is not as the schema asks is told by its first fault.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from assent.errors import InputError, Json
from assent.spec.values.frozen import thaw

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator, ValidationError

FAULTS_MADE_MAX: Final = 250_000
"""Faults that may be found at once. Each costs a kilobyte and some microseconds, also when it is not told."""


def validator_of(schema: dict[str, Any]) -> Draft202012Validator:  # `Any`: a JSON Schema
    """The validator: offline, and with patterns run in linear time, so without look-around and back-references.

    Raises what jsonschema-rs does for what is no schema.
    """
    import jsonschema_rs  # 40 ms to load, and plain declarations need none

    return jsonschema_rs.Draft202012Validator(
        schema, offline=True, pattern_options=jsonschema_rs.RegexOptions()
    )


def compile_schema(schema: Mapping[str, Json], what: str) -> Draft202012Validator:
    """The validator of a schema that came from outside. `InputError` SCHEMA_INVALID when it is no schema.

    Nothing is fetched, and patterns run in linear time: look-around and back-references are refused.
    """
    import jsonschema_rs  # only schemas from outside need it

    try:
        return validator_of(thaw(schema))
    except (jsonschema_rs.ValidationError, jsonschema_rs.ReferencingError, ValueError) as error:
        place = getattr(error, "instance_path", [])
        pattern = bool(place) and place[-1] == "pattern"
        raise InputError(
            "SCHEMA_INVALID",
            f"{what} is not JSON Schema that can be used here: {short(error)}",
            path=".".join(map(str, place)) or None,
            hint="write the pattern without look-around and back-references, so that it takes linear time"
            if pattern
            else "JSON Schema 2020-12; `$ref` may only name a part of the same document",
        ) from None


def short(error: Exception) -> str:
    """What an error of a library says, in one line of at most 200 characters."""
    flat = " ".join(str(getattr(error, "message", error)).split())
    return flat if len(flat) <= 200 else f"{flat[:199]}…"


def faults_in(
    validator: Draft202012Validator, value: object, visits: int, *, are_large: bool
) -> Iterable[ValidationError] | None:
    """What breaks the schema, which takes so many `visits` to find out: all of it, or the first where that may be too much.

    None where even the first may take too long to make (`are_large`, `schema_work.are_faults_large`).
    """
    if are_large:
        return () if validator.is_valid(value) else None
    return validator.iter_errors(value) if visits <= FAULTS_MADE_MAX else _first_of(validator, value)


def _first_of(validator: Draft202012Validator, value: object) -> Iterator[ValidationError]:
    from jsonschema_rs import ValidationError

    try:
        validator.validate(value)
    except ValidationError as error:
        yield error
