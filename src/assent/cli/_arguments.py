"""`key=value`, `key:=JSON` and `key=@FILE`: what a command line says to a parameter, read by the type it declares."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import InputError, Json

if TYPE_CHECKING:
    from assent.spec.capability import CapabilitySpec

FILE_BYTES_MAX: Final = 64 << 20
"""A value that is read from a file."""

Schemas = Callable[[str], "Mapping[str, Json] | None"]
"""The JSON Schema that a parameter declares, or None for a parameter that does not exist: it is refused further down, by name."""

_SHAPE: Final = re.compile(r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?P<sign>:=|=)(?P<value>.*)\Z", re.DOTALL)


def read_arguments(words: Iterable[str], schemas: Schemas, *, cwd: Path) -> dict[str, Json]:
    """The values of a command line, by name.

    Raises `InputError`: ARGUMENT_INVALID for a word of another shape, a name said twice or JSON that is none, INPUT_INVALID for a
    value that its parameter can't have, FILE_MISSING and FILE_UNREADABLE.
    """
    given: dict[str, Json] = {}
    for word in words:
        name, value = _read(word, schemas, cwd)
        if name in given:
            raise InputError(
                "ARGUMENT_INVALID", f"`{name}` is given twice", path=name, hint="keep one of the two"
            )
        given[name] = value
    return given


def _read(word: str, schemas: Schemas, cwd: Path) -> tuple[str, Json]:
    from assent.spec.canonical import parse_json
    from assent.spec.inputs import read_argument

    found = _SHAPE.match(word)
    if found is None:
        hint = "write `name=value`, `name:=JSON` or `name=@FILE`"
        raise InputError("ARGUMENT_INVALID", f"`{word[:80]}` names no parameter", hint=hint)
    name, value = found["name"], found["value"]
    if found["sign"] == ":=":
        try:
            return name, parse_json(value)
        except InputError as error:
            hint = f"for plain text write `{name}={value[:40]}`"
            raise InputError("ARGUMENT_INVALID", f"`{name}`: {error.message}", path=name, hint=hint) from None
    if value.startswith("@"):
        otherwise = "bytes go in as base64, to a parameter that takes it"
        value = read_text(cwd / value[1:], what=f"the value of `{name}`", otherwise=otherwise)
    return name, read_argument(schemas(name) or {}, value, name=name)


def parameter_schemas(spec: CapabilitySpec) -> Schemas:
    """The schemas of a capability's parameters; INPUT_UNKNOWN, with a suggestion, for a name that it does not have."""
    from assent.spec.documents import did_you_mean
    from assent.spec.frozen import thaw

    declared: Json = thaw(spec.parameters)
    schema = declared if isinstance(declared, dict) else {}
    properties = schema.get("properties")
    known = properties if isinstance(properties, dict) else {}

    def find(name: str) -> Mapping[str, Json] | None:
        if name not in known and schema.get("additionalProperties") is False:
            hint = did_you_mean(name, known, otherwise=f"parameters: {', '.join(known) or 'none'}")
            raise InputError("INPUT_UNKNOWN", f"`{spec.id}` has no parameter `{name}`", path=name, hint=hint)
        found = known.get(name)
        return found if isinstance(found, dict) else None

    return find


def read_text(path: Path, *, what: str, otherwise: str = "save the file as UTF-8") -> str:
    """A text file's content; FILE_MISSING, FILE_UNREADABLE. `otherwise`: what to do with one that is no text."""
    try:
        with path.open("rb") as file:
            data = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        raise InputError("FILE_MISSING", f"{what}: there is no file `{path}`", path=str(path)) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InputError(
            "FILE_UNREADABLE", f"{what}: `{path}` can't be read: {reason}", path=str(path)
        ) from None
    if len(data) > FILE_BYTES_MAX:
        raise InputError(
            "FILE_UNREADABLE", f"{what}: `{path}` is larger than {FILE_BYTES_MAX >> 20} MiB", path=str(path)
        )
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise InputError(
            "FILE_UNREADABLE",
            f"{what}: byte {error.start} of `{path}` is not UTF-8",
            path=str(path),
            hint=otherwise,
        ) from None
