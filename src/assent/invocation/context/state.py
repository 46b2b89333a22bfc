"""What a call remembers for itself: values under typed keys, seen by the parts and hooks of this one call and by nobody else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, ValuesView
from typing import Any, Final, Generic, TypeVar, overload

import msgspec

from assent.errors import InputError

T = TypeVar("T")
D = TypeVar("D")

PLAIN_TYPES: Final[Mapping[str, type]] = {
    kind.__name__: kind for kind in (str, bool, int, float, list, dict, type(None), object)
}
"""A state's key is its name and its type; only these types mean the same in another process."""


class StateKey(msgspec.Struct, Generic[T], frozen=True):
    """A name with the type of what is kept under it. Two keys are the same when both are equal."""

    name: str
    type: type[T]


class CallState:
    """A call's private values. Made at its first use; gone with the call."""

    __slots__ = ("_values",)

    def __init__(self) -> None:
        # `Any`: each key has its own type, which `set` has checked.
        self._values: dict[StateKey[Any], Any] = {}

    @overload
    def get(self, key: StateKey[T]) -> T | None: ...
    @overload
    def get(self, key: StateKey[T], default: D) -> T | D: ...
    def get(self, key: StateKey[T], default: object = None) -> object:
        """The value under a key; `default` when there is none."""
        return self._values.get(key, default)

    def set(self, key: StateKey[T], value: T) -> None:
        """Keep a value, in the place of an earlier one. `STATE_TYPE` when it is not of the key's type, or the key is none."""
        if not isinstance(key, StateKey):
            raise InputError(
                "STATE_TYPE",
                f"`{key}` is no key of a call's state",
                hint='make one, with the type of its values: `SEEN = StateKey("seen", int)`',
            )
        if not isinstance(value, key.type):
            raise InputError(
                "STATE_TYPE",
                f"the state `{key.name}` is kept as another type than the value has",
                path=key.name,
                hint="use a key of the value's own type",
            )
        self._values[key] = value

    def delete(self, key: StateKey[Any]) -> bool:
        """Forget a value; whether there was one."""
        return self._values.pop(key, _NOTHING) is not _NOTHING

    def clear(self) -> None:
        """Forget everything."""
        self._values.clear()

    def values(self) -> ValuesView[Any]:
        """The values, in the order of their keys; a view of what is there now."""
        return self._values.values()

    def __contains__(self, key: StateKey[Any]) -> bool:
        return key in self._values

    def __iter__(self) -> Iterator[StateKey[Any]]:
        """The keys that have a value, oldest first."""
        return iter(tuple(self._values))

    def __len__(self) -> int:
        return len(self._values)


_NOTHING: Final = object()
