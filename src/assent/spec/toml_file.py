"""A TOML file that is read into a struct: what is wrong in it is told with its line, and with what was probably meant."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple, TypeVar

from assent.errors import InputError, Json
from assent.spec.checked_schema import read_struct, struct_schema
from assent.spec.documents.document import Path, dotted
from assent.spec.documents.toml import locate, parse_toml
from assent.spec.masking import parts_at

T = TypeVar("T")

_OTHERS_MAX: Final = 3
"""Faults beside the first that are told in words."""


class TomlFile:
    """One file. `source`: its name, for what is told; `what` it is: ``the manifest `x.toml` ``."""

    def __init__(self, data: bytes, source: str, *, code: str, what: str) -> None:
        """`InputError` with `code` and the place, for what is no TOML."""
        self._said, self._text = parse_toml(data, source, code=code)
        self._source, self._code, self._what = source, code, what

    def read(self, kind: type[T]) -> T:
        """The file as a struct. `InputError`: the first fault with its line and, where that helps, what must be there."""
        try:
            return read_struct(self._said, kind, code=self._code, what=f"{self._what} is")
        except InputError as error:
            faults = error.details["faults"]
            assert isinstance(faults, list)  # INVARIANT: as `read_struct` tells them
            # A name that is nearly a known one is why that one is missing.
            first, *others = sorted(map(_told, faults), key=lambda one: not one.hint.startswith("did you"))
            hint = first.hint or (_wanted(struct_schema(kind), first.path) if first.is_missing else "")
            more = "; ".join(one.message for one in others[:_OTHERS_MAX])
            hint = "; ".join(part for part in (hint, f"also: {more}" if more else "") if part)
            raise self.fault(first.path, first.message, hint=hint or None) from None

    def fault(self, path: Path, message: str, *, hint: str | None = None) -> InputError:
        """What is wrong at a place in it: names of keys, and numbers of tables."""
        line, column = locate(self._text, tuple(map(str, path)))
        return InputError(
            self._code,
            f"{self._what} is not valid: {message}",
            path=f"{self._source}:{line}:{column}",
            hint=hint,
            details={"key": dotted(path)},
        )

    def placed(self, error: InputError) -> InputError:
        """An error about what was read, whose `details.keys` lead to the place, as one of this file."""
        keys = error.details.get("keys")
        path = (
            tuple(one if isinstance(one, int) else str(one) for one in keys) if isinstance(keys, list) else ()
        )
        return self.fault(path, error.message, hint=error.hint)


class _Told(NamedTuple):
    path: Path
    message: str
    hint: str
    is_missing: bool


def _told(fault: Json) -> _Told:
    assert isinstance(fault, Mapping)  # INVARIANT: as `read_struct` tells them
    path = fault["path"]
    assert isinstance(path, list)  # INVARIANT: names and indexes
    return _Told(
        tuple(one if isinstance(one, int) else str(one) for one in path),
        str(fault["message"]),
        str(fault.get("hint", "")),
        fault["actual"] == "nothing",
    )


def _wanted(schema: Mapping[str, Json], path: Path) -> str:
    """What must be at a place, where a few words can say it: one of some words, or what its type is called."""
    for part in parts_at(schema, path):
        words = part.get("enum")
        if isinstance(words, list):
            return f"it must be {', '.join(f'`{one}`' for one in words)}"
        if "title" in part and part.get("type") == "string":
            return f"it must be {part['title']}"
    return ""
