"""What a workflow asks to be given: declared types, defaults, and reading them from a caller or from a command line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec

from assent.errors import InputError, Json
from assent.spec.documents.document import Path, dotted
from assent.spec.documents.faults import TYPE_WORDS
from assent.spec.documents.sections import Faults, Section
from assent.spec.language.schema_work import NOT_TOLD, TOO_COSTLY, are_faults_large, visits_of
from assent.spec.masking import hides
from assent.spec.schemas._foreign import faults_in, validator_of
from assent.spec.secret_fields import STORE_IT, SecretFields
from assent.spec.unkept_fields import Salt, UnkeptFields
from assent.spec.values.canonical import INTEGER_MAX, parse_json, require_json
from assent.spec.values.frozen import freeze, thaw
from assent.spec.words.suggestions import did_you_mean
from assent.spec.workflow.names import name_fault

INPUTS_MAX: Final = 1_000
"""Inputs that one workflow may declare."""

_TYPES: Final = ("string", "integer", "number", "boolean", "array", "object", "null", "any")
_ALIASES: Final = {
    "text": "string",
    "str": "string",
    "int": "integer",
    "float": "number",
    "bool": "boolean",
    "list": "array",
    "map": "object",
    "dict": "object",
}
TYPE_NAMES: Final = (*_TYPES, *_ALIASES)
_OWN_KEYS: Final = ("type", "description", "default", "required", "enum")
SCHEMA_KEYS: Final = (
    "const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf minLength maxLength pattern format items prefixItems "
    "contains minContains maxContains minItems maxItems uniqueItems properties additionalProperties patternProperties "
    "propertyNames minProperties maxProperties dependentRequired anyOf oneOf allOf not if then else title examples writeOnly kept"
).split()
_REFERRING_KEYS: Final = frozenset({"$ref", "$dynamicRef", "$recursiveRef", "$id", "$schema"})


class InputSpec(msgspec.Struct, frozen=True):
    """One declared input. `schema` is JSON Schema (2020-12), frozen; without a default an optional input is null."""

    name: str
    schema: Mapping[str, Json]
    required: bool
    default: Json = None
    description: str = ""

    def to_json(self) -> dict[str, Json]:
        """The declaration in its long form."""
        data: dict[str, Json] = {**thaw(self.schema)}
        if self.description:
            data["description"] = self.description
        # `required` as a list is JSON Schema's own; then only the default says that the input may be left
        # out.
        is_schema_key = isinstance(data.get("required"), list)
        if self.default is not None or (is_schema_key and not self.required):
            data["default"] = thaw(self.default)
        if not is_schema_key:
            data["required"] = self.required
        return data


def read_inputs(section: Section | None) -> dict[str, InputSpec]:
    """The inputs that a document declares, in file order; faults go to the section."""
    found: dict[str, InputSpec] = {}
    if section is None:
        return found
    if len(section.data) > INPUTS_MAX:
        section.fault("WORKFLOW_TOO_LARGE", f"more than {INPUTS_MAX} inputs are declared")
        return found
    for name, value in section.data.items():
        fault = name_fault(name, "input")
        if fault is not None:
            section.fault("NAME_INVALID", fault.message, name, key=True, hint=fault.hint)
        spec = _read_input(section, name, value)
        if spec is not None:
            found[name] = spec
    return found


def _read_input(section: Section, name: str, value: Json) -> InputSpec | None:
    if isinstance(value, str):
        kind = _type_name(section, name, value)
        return None if kind is None else InputSpec(name, freeze(kind), required=True)
    below = Section.of(section.document, (*section.path, name), value, section.faults, f"input `{name}`")
    if below is None:
        return None
    below.known_keys((*_OWN_KEYS, *SCHEMA_KEYS))
    schema: dict[str, Json] = {
        key: item for key, item in below.data.items() if key not in ("description", "default", "required")
    }
    if isinstance(below.data.get("required"), list):
        schema["required"] = below.data["required"]
    if isinstance(schema.get("type"), str):
        kind = _type_name(section, name, str(schema["type"]), "type")
        if kind is None:
            return None
        del schema["type"]
        schema.update(kind)
    if not _is_schema(below, schema):
        return None
    has_default = "default" in below.data
    default = below.data.get("default")
    if has_default:
        for path, message in violations(schema, default):
            below.fault("INVALID_INPUT", f"the default of input `{name}` {message}", "default", *path)
    required = not has_default
    if not isinstance(below.data.get("required"), list):
        required = below.flag("required", default=not has_default)
    if required and has_default:
        below.fault("VALUE_INVALID", f"input `{name}` has a default, so it can't be required", "required")
    return InputSpec(
        name,
        freeze(schema),
        required=required,
        default=freeze(default),
        description=below.text("description"),
    )


def _type_name(section: Section, name: str, text: str, *keys: str) -> dict[str, Json] | None:
    kind = _ALIASES.get(text, text)
    if kind in _TYPES:
        return {} if kind == "any" else {"type": kind}
    hint = did_you_mean(text, TYPE_NAMES, otherwise=f"one of: {', '.join(_TYPES)}")
    section.fault("VALUE_INVALID", f"`{text}` is not a type of an input", name, *keys, hint=hint)
    return None


def _is_schema(section: Section, schema: dict[str, Json]) -> bool:
    for path in _referring(schema, ()):
        section.fault("VALUE_INVALID", f"`{path[-1]}` is not allowed in an input's schema", *path, key=True)
        return False
    if _is_simple(schema):
        return True
    import jsonschema_rs

    try:
        validator_of(schema)
    except jsonschema_rs.ValidationError as error:
        place = error.instance_path
        section.fault("VALUE_INVALID", f"not a JSON Schema: {_short(error.message)}", *place)
        return False
    return True


def _referring(value: Json, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, item in value.items():
            if key in _REFERRING_KEYS:
                yield (*path, key)
            yield from _referring(item, (*path, key))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _referring(item, (*path, index))


def violations(schema: Mapping[str, Json], value: Json) -> list[tuple[Path, str]]:
    """What the value breaks in the schema: (place within the value, sentence without a subject); empty when it fits."""
    if _is_simple(schema):
        kind = schema.get("type")
        fits = kind is None or _has_type(value, str(kind))
        return [] if fits else [((), f"must be of type {kind}")]
    plain = thaw(schema)
    visits = visits_of(plain, thaw(value))
    if visits is None:
        return [((), TOO_COSTLY)]
    large = are_faults_large(plain, value, visits)
    errors = faults_in(validator_of(plain), value, visits, are_large=large)
    if errors is None:
        return [((), NOT_TOLD)]
    return [(tuple(error.instance_path), f"is invalid: {_short(error.message)}") for error in errors]


def _is_simple(schema: Mapping[str, Json]) -> bool:
    # The validator takes 40 ms to load; a plain type, by far the most frequent declaration, needs none.
    return not schema or (len(schema) == 1 and isinstance(schema.get("type"), str))


def _has_type(value: Json, kind: str) -> bool:
    match kind:
        case "null":
            return value is None
        case "boolean":
            return isinstance(value, bool)
        case "integer":
            return not isinstance(value, bool) and (
                isinstance(value, int) or (isinstance(value, float) and value.is_integer())
            )
        case "number":
            return isinstance(value, int | float) and not isinstance(value, bool)
        case "string":
            return isinstance(value, str)
        case "array":
            return isinstance(value, list)
        case _:
            return isinstance(value, dict)


def _short(message: str) -> str:
    flat = " ".join(message.split())
    return flat if len(flat) <= 200 else flat[:199] + "…"


def json_object(given: object, *, code: str, of: str) -> dict[str, Json]:
    """What somebody hands over, if it can be recorded as it is: an error of this code for what is no object, JSON_INVALID."""
    if type(given) is not dict and not isinstance(given, Mapping):
        raise InputError(code, f"{of} must be an object", hint="give each value by its name")
    try:
        require_json(given)
    except InputError as error:
        error.hint = (
            f"a whole number is from -{INTEGER_MAX} to {INTEGER_MAX}"
            if "integer" in error.message
            else "JSON has no such value: give it as text, or hand on a path of a file instead of the content"
        )
        raise
    return dict(given)


def bind(inputs: Mapping[str, InputSpec], given: Mapping[str, Json]) -> dict[str, Json]:
    """Every declared input with the value given, its default, or null.

    Raises JSON_INVALID, INPUT_UNKNOWN, INPUT_MISSING or INVALID_INPUT: the first fault, all others in `details.faults`.
    """
    given = json_object(given, code="INVALID_INPUT", of="the inputs of the workflow")
    faults = Faults()
    for name in given:
        if name not in inputs:
            listed = ", ".join(inputs) or "none"
            hint = did_you_mean(name, inputs, otherwise=f"declared inputs: {listed}")
            faults.add(InputError("INPUT_UNKNOWN", f"there is no input `{name[:80]}`", path=name, hint=hint))
    bound: dict[str, Json] = {}
    for name, spec in inputs.items():
        if name not in given and spec.required:
            hint = f"give it as `{name}=…`"
            faults.add(InputError("INPUT_MISSING", f"input `{name}` is required", path=name, hint=hint))
        value = given.get(name, spec.default)
        bound[name] = thaw(value)
        # It would be journaled with the run's first event, and what it breaks of the schema would quote it.
        literals = _literals(name, spec, value) if hides(spec.schema) else []
        for message in literals:
            faults.add(InputError("INVALID_INPUT", f"input {message}", path=name, hint=STORE_IT))
        if name not in given or literals or (value is None and not spec.required):
            continue
        for path, message in violations(spec.schema, value):
            place = dotted((name, *path))
            faults.add(InputError("INVALID_INPUT", f"input `{place}` {message}", path=place))
    faults.raise_if_any()
    return bound


def kept(inputs: Mapping[str, InputSpec], given: Mapping[str, Json], salt: Salt) -> Mapping[str, Json]:
    """The inputs of a run as they may be kept: with marks for texts that are declared `kept: false`; `given` where none is."""
    schema: dict[str, Json] = {"properties": {name: thaw(one.schema) for name, one in inputs.items()}}
    veiled: Mapping[str, Json] = UnkeptFields(schema).veiled(given, salt)
    return veiled


def _literals(name: str, spec: InputSpec, value: Json) -> list[Json]:
    """What is to be said of values that stand where the schema takes only references to secrets."""
    fields = SecretFields({"properties": {name: thaw(spec.schema)}})
    return [fault["message"] for fault in fields.literals({name: value})]


def parameter_schema(of: str, schema: Mapping[str, Json], name: str) -> Mapping[str, Json] | None:
    """What a capability's schema says of one parameter; INPUT_UNKNOWN, with a suggestion, for one that it does not have."""
    properties = schema.get("properties")
    known = properties if isinstance(properties, Mapping) else {}
    if name not in known and schema.get("additionalProperties") is False:
        hint = did_you_mean(name, known, otherwise=f"parameters: {', '.join(known) or 'none'}")
        raise InputError("INPUT_UNKNOWN", f"`{of}` has no parameter `{name}`", path=name, hint=hint)
    found = known.get(name)
    return found if isinstance(found, Mapping) else None


def read_argument(schema: Mapping[str, Json], text: str, *, name: str = "value") -> Json:
    """The value that `name=text` on a command line means for a parameter of this schema.

    Text stays text unless the schema asks for something else: `5` is a number only where a number is
    declared. Of several declared types the first that the text fits counts, text last; of branches, only where none
    of them takes text. Lists and mappings are read as JSON. INVALID_INPUT when nothing fits.
    """
    kinds = _kinds(schema) or _kinds_of_choices(schema) or _kinds_of_branches(schema)
    for kind in ("null", "boolean", "integer", "number", "array", "object"):
        if kind in kinds:
            value = _read_as(kind, text)
            if value is not None or (kind == "null" and text == "null"):
                return value
    if not kinds or "string" in kinds:
        return text
    # That null is allowed as well helps nobody who gave something.
    wanted = " or ".join(TYPE_WORDS.get(kind, kind) for kind in kinds if kind != "null" or kinds == ["null"])
    if "integer" in kinds and text.removeprefix("-").isdecimal() and abs(int(text[:30])) > INTEGER_MAX:
        wanted = f"a whole number from -{INTEGER_MAX} to {INTEGER_MAX}"
    items = schema.get("items")
    a_list = '["a", "b"]' if isinstance(items, Mapping) and items.get("type") == "string" else "[1, 2]"
    hints = {"array": f"write JSON, e.g. `{a_list}`", "object": 'write JSON, e.g. `{"a": 1}`'}
    raise InputError(
        "INVALID_INPUT", f"`{name}` must be {wanted}, not `{text[:80]}`", path=name, hint=hints.get(kinds[0])
    )


def _kinds(schema: Mapping[str, Json]) -> list[str]:
    declared = schema.get("type", [])
    return [str(kind) for kind in (declared if isinstance(declared, list | tuple) else [declared])]


def _kinds_of_branches(schema: Mapping[str, Json]) -> list[str]:
    """The types of `anyOf` or `oneOf`, as of what may be left out; none where one is not told, or is text."""
    branches = schema.get("anyOf", schema.get("oneOf", []))
    every = [
        _kinds(one) if isinstance(one, Mapping) else []
        for one in (branches if isinstance(branches, list | tuple) else [])
    ]
    return [] if [] in every or ["string"] in every else [kind for kinds in every for kind in kinds]


def _kinds_of_choices(schema: Mapping[str, Json]) -> list[str]:
    """The types among the values that `enum` or `const` allow."""
    allowed = schema.get("enum", [schema["const"]] if "const" in schema else [])
    values = allowed if isinstance(allowed, list | tuple) else []
    return [kind for kind in _TYPES[:-1] if any(_has_type(thaw(value), kind) for value in values)]


def _read_as(kind: str, text: str) -> Json:
    try:
        value = parse_json(text.strip())
    except InputError:
        return None
    return value if _has_type(value, kind) else None
