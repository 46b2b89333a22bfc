"""Data as a type, by msgspec, also where two threads are the first to ask for one.

msgspec looks at the fields of a struct when it first meets its type, and shows what it has before that is whole: a thread that
comes in between ends the process (0.22). So each type is looked at once, behind one lock, before it is used.
"""

from __future__ import annotations

from threading import RLock
from typing import Any, Final, TypeAlias, TypeVar, overload

import msgspec

T = TypeVar("T")
Text: TypeAlias = "bytes | bytearray | memoryview | str"

_LOOKING: Final = RLock()
"""To look at annotations may import what makes a decoder of its own."""
_seen: Final = set[object]()


def _look(kind: object) -> None:
    with _LOOKING:
        msgspec.json.Decoder(kind)
        _seen.add(kind)


@overload
def convert(value: object, kind: type[T], *, strict: bool = True, from_attributes: bool = False) -> T: ...


# `Any`: what a union or another form of type stands for, the type checker can't say.
@overload
def convert(value: object, kind: Any, *, strict: bool = True, from_attributes: bool = False) -> Any: ...


def convert(value: object, kind: Any, *, strict: bool = True, from_attributes: bool = False) -> Any:
    """A value of JSON, or one with the attributes, as a type. `msgspec.ValidationError` where it does not fit."""
    if kind not in _seen:
        _look(kind)
    return msgspec.convert(value, kind, strict=strict, from_attributes=from_attributes)


@overload
def decode(data: Text, kind: type[T]) -> T: ...


@overload
def decode(data: Text, kind: Any = Any) -> Any: ...  # `Any`: as above


def decode(data: Text, kind: Any = Any) -> Any:
    """A text of JSON, as a type where one is given. `msgspec.DecodeError` where it is none, or does not fit."""
    if kind not in _seen:
        _look(kind)
    try:
        return msgspec.json.decode(data, type=kind)
    except RecursionError:
        raise msgspec.DecodeError("it is nested too deeply") from None


@overload
def decoder(kind: type[T]) -> msgspec.json.Decoder[T]: ...


@overload
def decoder(kind: Any = Any) -> msgspec.json.Decoder[Any]: ...  # `Any`: as above


def decoder(kind: Any = Any) -> msgspec.json.Decoder[Any]:
    """What reads texts of JSON, as a type where one is given."""
    with _LOOKING:
        return msgspec.json.Decoder(kind)


@overload
def unpacker(kind: type[T]) -> msgspec.msgpack.Decoder[T]: ...


@overload
def unpacker(kind: Any) -> msgspec.msgpack.Decoder[Any]: ...  # `Any`: as above


def unpacker(kind: Any) -> msgspec.msgpack.Decoder[Any]:
    """What reads MessagePack as a type."""
    with _LOOKING:
        return msgspec.msgpack.Decoder(kind)
