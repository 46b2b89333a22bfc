"""The application's configuration: JSON that nothing can change, read by key, and by dotted path with the expected type."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import Any, Final, TypeVar, overload

from assent.errors import InputError, Json
from assent.spec.values.frozen import Frozen, thaw
from assent.spec.words.durations import parse_duration_ms
from assent.spec.words.suggestions import did_you_mean

DEPTH_MAX: Final = 64
"""Levels of nesting of a configuration or a shared value."""

T = TypeVar("T")


class _Required:
    """What stands for no default, and for no value: equal to nothing that a configuration may hold."""


_REQUIRED: Final = _Required()
_ABSENT: Final = _Required()


class Config(Mapping[str, Frozen]):
    """A deeply frozen mapping: objects are read-only, lists are tuples, later changes of what it was made from do not show.

    Keys are read as in any mapping, or by the typed getters, which take dotted paths (`database.url`). A getter raises
    `InputError` CONFIG_INVALID when the value is of another type, or when it is missing and no default was given.
    """

    __slots__ = ("_path", "_values")

    _values: Mapping[str, Frozen]
    _path: str

    def __init__(self, values: Mapping[str, object] | None = None, *, path: str = "app") -> None:
        frozen = frozen_json(values if values is not None else {}, path)
        object.__setattr__(self, "_values", frozen)
        object.__setattr__(self, "_path", path)

    def __getitem__(self, key: str) -> Frozen:
        return self._values[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError(f"a configuration can't be changed: `{name}`")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"a configuration can't be changed: `{name}`")

    def __repr__(self) -> str:
        # Values may be anything the operator wrote, and a representation ends up in logs.
        return f"<configuration `{self._path}` with {', '.join(self) or 'no keys'}>"

    def to_json(self) -> dict[str, Json]:
        """A plain copy."""
        copy: dict[str, Json] = thaw(self._values)
        return copy

    @overload
    def text(self, key: str) -> str: ...
    @overload
    def text(self, key: str, default: T) -> str | T: ...
    def text(self, key: str, default: object = _REQUIRED) -> object:
        """A text."""
        return self._typed(key, default, str, "text")

    @overload
    def whole(self, key: str) -> int: ...
    @overload
    def whole(self, key: str, default: T) -> int | T: ...
    def whole(self, key: str, default: object = _REQUIRED) -> object:
        """A whole number."""
        return self._typed(key, default, int, "a whole number")

    @overload
    def number(self, key: str) -> float: ...
    @overload
    def number(self, key: str, default: T) -> float | T: ...
    def number(self, key: str, default: object = _REQUIRED) -> object:
        """A number; a whole one is given as it was written."""
        return self._typed(key, default, (int, float), "a number")

    @overload
    def flag(self, key: str) -> bool: ...
    @overload
    def flag(self, key: str, default: T) -> bool | T: ...
    def flag(self, key: str, default: object = _REQUIRED) -> object:
        """True or false."""
        return self._typed(key, default, bool, "true or false")

    @overload
    def texts(self, key: str) -> tuple[str, ...]: ...
    @overload
    def texts(self, key: str, default: T) -> tuple[str, ...] | T: ...
    def texts(self, key: str, default: object = _REQUIRED) -> object:
        """A list of texts."""
        found = self._typed(key, _optional(default), tuple, "a list of text")
        if found is _ABSENT:
            return default
        if not all(isinstance(item, str) for item in found):
            raise self._fault(key, f"`{key}` must be a list of text")
        return found

    @overload
    def duration_ms(self, key: str) -> int: ...
    @overload
    def duration_ms(self, key: str, default: T) -> int | T: ...
    def duration_ms(self, key: str, default: object = _REQUIRED) -> object:
        """A time in whole milliseconds, written in seconds (`30`) or with a unit (`500ms`, `30s`, `5m`, `2h`, `7d`)."""
        found = self._typed(key, _optional(default), (int, float, str), "a duration")
        if found is _ABSENT:
            return default
        try:
            return parse_duration_ms(found)
        except ValueError as error:
            raise self._fault(key, f"`{key}` {error}") from None

    def section(self, key: str) -> Config:
        """The configuration under a key; an empty one when it is absent."""
        found = self._typed(key, _ABSENT, Mapping, "a table")
        return Config({} if found is _ABSENT else found, path=f"{self._path}.{key}")

    def _typed(self, key: str, default: object, kinds: Any, what: str) -> Any:
        """The value at a dotted path. `Any`: a type or several in, a value of one of them out."""
        found: Any = self._values
        for part in key.split("."):
            if not isinstance(found, Mapping) or part not in found:
                if default is _REQUIRED:
                    known = found if isinstance(found, Mapping) else ()
                    raise self._fault(key, f"`{key}` is missing", did_you_mean(part, known))
                return default
            found = found[part]
        is_flag = isinstance(found, bool)
        if not isinstance(found, kinds) or (is_flag and kinds is not bool):
            raise self._fault(key, f"`{key}` must be {what}")
        return found

    def _fault(self, key: str, message: str, hint: str | None = None) -> InputError:
        path = f"{self._path}.{key}"
        return InputError(
            "CONFIG_INVALID",
            message,
            path=path,
            hint=hint or f"it is read from `[{path.rpartition('.')[0]}]` in assent.toml",
        )


def _optional(default: object) -> object:
    return _REQUIRED if default is _REQUIRED else _ABSENT


def frozen_json(value: object, path: str) -> Any:
    """A deeply frozen copy of JSON data; `InputError` CONFIG_INVALID with the place of what is not JSON.

    `Any`: JSON of any depth in, the same depth out. Unlike `freeze` it lets nothing through that is not JSON, because an object
    of somebody's own could be changed behind our back.
    """
    return _frozen(value, path, DEPTH_MAX)


def _frozen(value: object, path: str, depth: int) -> Any:
    if depth < 0:
        raise _no_json(path, f"is nested more than {DEPTH_MAX} levels deep")
    match value:
        case None | bool():
            return value
        case str():
            return str(value)
        case int():
            return int(value)
        case float():
            if not math.isfinite(value):
                raise _no_json(path, "must be a finite number")
            return float(value)
        case Mapping():
            for key in value:
                if not isinstance(key, str):
                    raise _no_json(path, "may have keys of text only")
            return MappingProxyType(
                {str(key): _frozen(item, f"{path}.{key}", depth - 1) for key, item in value.items()}
            )
        case list() | tuple():
            return tuple(_frozen(item, f"{path}.{index}", depth - 1) for index, item in enumerate(value))
        case _:
            raise _no_json(path, "must be text, a number, true or false, a list or a table")


def _no_json(path: str, message: str) -> InputError:
    return InputError("CONFIG_INVALID", f"`{path}` {message}", path=path)
