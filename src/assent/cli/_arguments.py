"""`key=value`, `key:=JSON` and `key=@FILE`: what a command line says to a parameter, read by the type it declares."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from assent._lazy import compiled_when_asked
from assent.errors import InputError, Json

if TYPE_CHECKING:
    from assent.cli._door import Door

FILE_BYTES_MAX: Final = 64 << 20
"""A value that is read from a file."""

Schemas = Callable[[str], "Mapping[str, Json] | None"]
"""The JSON Schema that a parameter declares, or None for a parameter that does not exist: it is refused further down, by name."""

_SHAPE: Final = compiled_when_asked(
    r"(?P<name>[A-Za-z_][A-Za-z0-9_.-]*)(?P<sign>:=|=)(?P<value>.*)\Z", re.DOTALL
)


class OneOf(click.Choice[str]):
    """One of a few words; one that is none of them is told the nearest."""

    # `Any`: click's own arguments.
    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            from assent.spec.words.suggestions import suggest

            near = suggest(str(value), self.choices)
            if near is not None:
                error.hint = f"did you mean `{near}`?"  # type: ignore[attr-defined]  # as `NoSuchCommand` has one
            raise


def read_arguments(words: Iterable[str], schemas: Schemas, door: Door) -> dict[str, Json]:
    """The values of a command line, by name. Raises what `split_arguments` does, and INVALID_INPUT for one of another type."""
    from assent.spec.workflow.inputs import read_argument

    given, texts = split_arguments(words, door)
    return {
        **given,
        **{name: read_argument(schemas(name) or {}, value, name=name) for name, value in texts.items()},
    }


def split_arguments(words: Iterable[str], door: Door) -> tuple[dict[str, Json], dict[str, str]]:
    """The values of a command line, by name: those that are JSON, and those whose type is the parameter's affair.

    Raises `InputError`: ARGUMENT_INVALID for a word of another shape, a name said twice or JSON that is none, FILE_MISSING,
    FILE_UNREADABLE, and PATH_PROTECTED for what no capability may read: whoever chooses values need not be who owns the keys.
    """
    given: dict[str, Json] = {}
    texts: dict[str, str] = {}
    for word in words:
        name, value, is_text = _read(word, door)
        if name in given or name in texts:
            raise InputError(
                "ARGUMENT_INVALID", f"`{name}` is given twice", path=name, hint="keep one of the two"
            )
        if is_text:
            texts[name] = str(value)
        else:
            given[name] = value
    return given, texts


def _read(word: str, door: Door) -> tuple[str, Json, bool]:
    from assent.spec.values.canonical import parse_json

    found = _SHAPE.match(word)
    if found is None:
        hint = "write `name=value`, `name:=JSON` or `name=@FILE`"
        raise InputError("ARGUMENT_INVALID", f"`{word[:80]}` names no parameter", hint=hint)
    name, value = found["name"], found["value"]
    if found["sign"] == ":=":
        try:
            return name, parse_json(value), False
        except InputError as error:
            hint = f"for plain text write `{name}={value[:40]}`"
            raise InputError("ARGUMENT_INVALID", f"`{name}`: {error.message}", path=name, hint=hint) from None
    if value.startswith("@"):
        otherwise = "bytes go in as base64, to a parameter that takes it"
        value = read_text(door.cwd / value[1:], what=f"the value of `{name}`", otherwise=otherwise, door=door)
    return name, value, True


def read_text(
    path: Path, *, what: str, otherwise: str = "save the file as UTF-8", door: Door | None = None
) -> str:
    """A text file's content; FILE_MISSING, FILE_UNREADABLE. `otherwise`: what to do with one that is no text.

    `door`: the content goes into a run, so what is hidden from runs is refused: PATH_PROTECTED.
    """
    data = read_bytes(path, what=what, most=FILE_BYTES_MAX + 1, door=door)
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


def read_bytes(path: Path, *, what: str, most: int, door: Door | None = None) -> bytes:
    """The first so many bytes of a file; FILE_MISSING, FILE_UNREADABLE. `door`: as for `read_text`."""
    try:
        with path.open("rb") as file:
            if door is not None and door.settings.is_hidden(os.fstat(file.fileno())):
                raise InputError(
                    "PATH_PROTECTED",
                    f"{what}: `{path}` is hidden from every run",
                    path=str(path),
                    hint="the state, keys and secrets can be no value",
                )
            return file.read(most)
    except FileNotFoundError:
        raise InputError("FILE_MISSING", f"{what}: there is no file `{path}`", path=str(path)) from None
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InputError(
            "FILE_UNREADABLE", f"{what}: `{path}` can't be read: {reason}", path=str(path)
        ) from None


def time_ms(value: str) -> int:
    """The moment that `--since` and the like name: so long ago, or a time, which is in UTC where it does not say."""
    from contextlib import suppress
    from datetime import UTC, datetime

    from assent.spec.words.durations import DAY_MS, parse_duration_ms
    from assent.system import SystemClock

    with suppress(ValueError):
        return SystemClock().now_ms() - parse_duration_ms(value, most_ms=1_000_000 * DAY_MS)
    try:
        moment = datetime.fromisoformat(value)
    except ValueError:
        hint = "for example `2h`, `3d` or `2026-11-21T07:00`"
        raise InputError("USAGE_INVALID", f"`{value}` is not a time", hint=hint) from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return int(aware.timestamp() * 1000)
