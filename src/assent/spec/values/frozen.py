"""JSON that cannot be changed: mappings become read-only views over private copies, lists become tuples."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType, NoneType
from typing import TYPE_CHECKING, Annotated, Any, Final, TypeAlias

from assent.errors import Json

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema

Frozen: TypeAlias = "None | bool | int | float | str | tuple[Frozen, ...] | Mapping[str, Frozen]"


LEAVES: Final = frozenset({str, int, float, bool, NoneType})
"""The types of JSON values that hold no others."""


def freeze(
    value: Any,
) -> Any:  # `Any`: JSON of any depth in, the same depth out; the aliases cannot express it both ways
    """A deeply immutable copy of JSON data; later changes to `value` do not show in it."""
    # Asking an abstract class costs more than everything else here, and so does a call for each leaf of a document.
    kind = type(value)
    if kind is dict:
        # Copied as a whole, then mended where something lies deeper: a third faster than building it key by key.
        frozen = value.copy()
        for key, item in value.items():
            if type(item) not in LEAVES:
                frozen[key] = freeze(item)
        return MappingProxyType(frozen)
    if kind in LEAVES:
        return value
    if kind is list or kind is tuple or isinstance(value, list | tuple):
        return tuple([item if type(item) in LEAVES else freeze(item) for item in value])
    return freeze(dict(value)) if isinstance(value, Mapping) else value


def thaw(value: Any) -> Any:  # `Any`: see `freeze`
    """A plain, mutable copy of frozen JSON data."""
    kind = type(value)
    if kind in LEAVES:
        return value
    if kind is MappingProxyType or kind is dict or isinstance(value, Mapping):
        return {key: item if type(item) in LEAVES else thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value


class _FrozenJsonSchema:
    """Teaches pydantic to accept any JSON object and keep it frozen."""

    def __get_pydantic_core_schema__(self, source: object, handler: GetCoreSchemaHandler) -> CoreSchema:
        from pydantic_core import core_schema  # whoever asks for a schema has loaded it

        return core_schema.no_info_plain_validator_function(
            _accept, serialization=core_schema.plain_serializer_function_ser_schema(thaw)
        )


def _accept(value: object) -> Mapping[str, Frozen]:
    if not isinstance(value, Mapping):
        message = "must be an object"
        raise ValueError(message)  # noqa: TRY004  # pydantic reports ValueError as a fault; TypeError would escape it
    frozen: Mapping[str, Frozen] = freeze(value)
    return frozen


FrozenJson = Annotated[Mapping[str, Json], _FrozenJsonSchema()]
