"""What of a value breaks a schema that somebody else wrote, found with bounded work."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

from assent.errors import Json
from assent.spec.documents.faults import Fault, Telling, invalid, plain_fault
from assent.spec.language.schema_work import NOT_TOLD, TOO_COSTLY, are_faults_large, may_be_costly, visits_of
from assent.spec.schemas._foreign import faults_in, validator_of
from assent.spec.values.frozen import thaw
from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from jsonschema_rs import Draft202012Validator

T = TypeVar("T")


class CheckedSchema:
    """A schema with its validator. Checking takes no more than `schema_work` lets it; a value that would take more breaks it."""

    def __init__(self, schema: Mapping[str, Json], validator: Draft202012Validator) -> None:
        self._schema = schema
        self._validator = validator

    def faults(self, plain: object, telling: Callable[[], Telling]) -> list[Fault]:
        """Everything in JSON data that breaks the schema; empty when it fits."""
        visits = visits_of(self._counted, plain) if self._counted is not None else 0
        if visits is None:
            return [plain_fault(TOO_COSTLY)]
        large = are_faults_large(self._schema, plain, visits)
        found = faults_in(self._validator, plain, visits, are_large=large)
        return [plain_fault(NOT_TOLD)] if found is None else telling().of_schema(found)

    @cached_property
    def _counted(self) -> dict[str, Any] | None:  # `Any`: a schema
        """The schema, where checking may take more than a few looks at each value."""
        return thaw(self._schema) if may_be_costly(self._schema) else None


def struct_schema(kind: type) -> dict[str, Any]:  # `Any`: a JSON Schema
    """The schema of what a struct is read from, with what it refers to under `$defs`."""
    _, parts = msgspec.json.schema_components([kind], ref_template="#/$defs/{name}")
    root = parts.pop(kind.__name__)
    said = {word: value for word, value in root.items() if word not in {"title", "description"}}
    return {**said, **({"$defs": parts} if parts else {})}


def read_struct(value: object, kind: type[T], *, code: str, what: str) -> T:
    """Outside data as a struct. `InputError` with `code`: `what` are not valid, and each fault as those of inputs are told."""
    try:
        return convert(value, kind)
    except msgspec.ValidationError as error:
        schema = struct_schema(kind)
        found = CheckedSchema(schema, validator_of(schema)).faults(
            value, lambda: Telling(schema, shows_values=True)
        )
        raise invalid(code, what, found or [plain_fault(str(error))]) from None
