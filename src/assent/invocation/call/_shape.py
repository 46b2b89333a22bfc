"""One end of a call: the Python type that a handler declares, or the schema that stands in its place."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, Final

import msgspec
from pydantic import TypeAdapter, ValidationError

from assent.errors import InputError, Json
from assent.spec.checked_schema import CheckedSchema
from assent.spec.documents._fault_places import FaultPlaces
from assent.spec.documents.faults import FAULTS_MAX, Fault, Telling, invalid, plain_fault
from assent.spec.schemas._foreign import compile_schema
from assent.spec.schemas._plain_copies import Read, copier, flat_reader
from assent.spec.schemas.schema import completed, schema_of, takes_more
from assent.spec.secret_fields import STORE_IT, SecretFields
from assent.spec.secret_text import SecretText
from assent.spec.values.frozen import thaw
from assent.spec.values.typed import decoder

_encode: Final = msgspec.json.Encoder().encode
_decode: Final = decoder().decode
_find_null: Final = re.compile(b"null").search
"""Asked of every input: `in` takes twice as long, because of bytes it first asks whether they are a number."""


class Shape:
    """What fits one end of a call. Strict: nothing is coerced from another type, NaN and infinity are refused, and so is every
    key that the type does not name, unless it says that it takes more.

    `of` names the end in messages, and `code` is that of a refusal. Without `shows_values` no fault quotes a value. Of a type and
    a schema that are known to belong together (`is_proved`) nothing is derived again, which costs more than building a validator.
    `completes`: what is read gets the defaults of its schema, as a type would give them.
    """

    def __init__(
        self,
        schema: Mapping[str, Json],
        declared: Any,  # `Any`: a type expression
        *,
        code: str,
        of: str,
        shows_values: bool,
        is_proved: bool = False,
        completes: bool = False,
    ) -> None:
        self._code, self._are = code, f"{of} are"
        self._completes = completes
        self._schema = schema
        self._shows_values = shows_values
        self._telling: Telling | None = None
        self._places: FaultPlaces | None = None
        self._checked: CheckedSchema | None = None
        self.is_typed = declared is not None
        if declared is not None:
            adapter: TypeAdapter[Any] = TypeAdapter(declared)
            # `Any`: a schema, since a type was given
            own: Any = schema if is_proved and schema else schema_of(declared)
            if schema and own is not schema and own != thaw(schema):
                raise InputError(
                    "HANDLER_INVALID",
                    f"{of} have another type than the spec says",
                    hint="derive the spec's schema from the handler's own type",
                )
            self._core = adapter.core_schema
            self._extra: Any = None if takes_more(own) else "forbid"
            # The adapter's own methods cost as much as small values do.
            self._validate_json: Callable[..., Any] = adapter.validator.validate_json
            self._validate_python: Callable[..., Any] = adapter.validator.validate_python
            self._dump: Callable[..., Any] = adapter.serializer.to_python
        elif schema:
            self._checked = CheckedSchema(schema, compile_schema(schema, f"the schema of {of}"))

    def read(self, value: Mapping[str, Json]) -> tuple[Any, Any]:
        """A JSON object as Python takes it, and as JSON with every default filled in. Raises its `InputError`."""
        infinite: Sequence[Fault] = ()
        faults: Sequence[Fault] = ()
        try:
            if self.is_typed and self._read_flat is not None:
                python = self._read_flat(value, self._extra)
                if python is not None:
                    return python, self._written(python)
            data = _encode(value)
            if _find_null(data):
                infinite = self._not_finite(data, value)
            if self.is_typed:
                python = self._validate_json(data, strict=True, extra=self._extra)
                if not infinite:
                    return python, self._written(python)
            else:
                plain = _decode(data)
                faults = self._broken(plain)
                if not infinite and not faults:
                    if self._completes:
                        # Its types are elsewhere, and mark there what is a secret's.
                        plain = completed(plain, self._schema)
                        return plain, plain
                    return self._secrets.marked(plain), plain
        except ValidationError as error:
            faults = (self._telling or self._tell()).of_model(error)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            faults = [plain_fault(str(error))]
        # Raised out here: inside of the handlers above every refusal would drag the other error along. And without a name of its
        # own, which would make a circle of the error, its traceback and this call, for the collector to find.
        raise self._refused(_joined(infinite, faults) if infinite else faults, value)

    @cached_property
    def _written(self) -> Callable[[Any], Any]:
        """What makes JSON of parameters that were read."""
        return copier(self._core) or partial(self._dump, mode="json")

    @cached_property
    def _read_flat(self) -> Read | None:
        return flat_reader(self._core)

    @cached_property
    def _secrets(self) -> SecretFields:
        return SecretFields(self._schema)

    def write(self, value: object) -> Json:
        """What Python gave, as JSON. Raises its `InputError`."""
        plain: Json
        infinite: Sequence[Fault] = ()
        faults: Sequence[Fault] = ()
        try:
            if self.is_typed:
                checked = self._validate_python(value, strict=True, extra=self._extra)
                plain = self._dump(checked, mode="json")
            else:
                plain = msgspec.to_builtins(value, enc_hook=_unmarked)
            data = _encode(plain)
            if _find_null(data):
                infinite = self._not_finite(data, plain)
            if not self.is_typed:
                # What was read back has null where a number was none, which the schema can be held against.
                faults = self._broken(_decode(data) if infinite else plain)
            if not infinite and not faults:
                return plain
        except ValidationError as error:
            infinite, faults = self._tell().finite(value), self._tell().of_model(error)
        except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
            faults = [plain_fault(str(error))]
        raise self._refused(_joined(infinite, faults))

    def _not_finite(self, data: bytes, value: object) -> list[Fault]:
        # The encoder writes NaN and infinity as null: then what is read back differs. Only a difference is looked into.
        return self._tell().finite(value) if _decode(data) != value else []

    def _broken(self, plain: object) -> list[Fault]:
        """What breaks a schema that came from outside."""
        return [] if self._checked is None else self._checked.faults(plain, self._tell)

    def _refused(self, faults: Sequence[Fault], inputs: Mapping[str, Json] | None = None) -> InputError:
        refusal = invalid(self._code, self._are, faults)
        if inputs is not None and self._secrets.hides and refusal.hint is None:
            refusal.hint = None if self._secrets.are_references(inputs) else STORE_IT
        return refusal

    def _tell(self) -> Telling:
        if self._telling is None:
            places = FaultPlaces(self._core) if self.is_typed else None
            self._telling = Telling(self._schema, shows_values=self._shows_values, places=places)
        return self._telling


def _unmarked(value: object) -> str:
    """A text that refers to secrets as the plain text that it is in JSON."""
    if isinstance(value, SecretText):
        return str(value)
    raise TypeError(f"objects of type {type(value).__name__}")


def _joined(infinite: Sequence[Fault], others: Sequence[Fault]) -> Sequence[Fault]:
    """All faults of a value. It was validated with null in place of each number that is none, so what that led to is left out."""
    if not infinite:
        return others[:FAULTS_MAX]
    places = [one["path"] for one in infinite]
    told = [
        one
        for one in others
        if one["expected"] == "nothing" or not any(_is_within(place, one["path"]) for place in places)
    ]
    return [*infinite, *told][:FAULTS_MAX]


def _is_within(place: Json, outer: Json) -> bool:
    assert isinstance(place, list)
    assert isinstance(outer, list)
    return place[: len(outer)] == outer
