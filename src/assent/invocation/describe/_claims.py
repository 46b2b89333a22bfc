"""What a declaration holds until somebody builds a spec and a handler of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal, TypeAlias

import msgspec

from assent.errors import Json

if TYPE_CHECKING:
    from assent.spec.capability import OperationType, Risk, RiskLevel

Operation: TypeAlias = "OperationType | Literal['READ', 'WRITE', 'DELETE', 'EXECUTE', 'NETWORK']"
Level: TypeAlias = "RiskLevel | Literal['LOW', 'MEDIUM', 'HIGH', 'CRITICAL']"

RESTORES: Final = "restore_pre_image"
"""The strategy of a compensation that puts the state before back."""

CALLS_ANOTHER: Final = "other_capability"
"""The strategy of a compensation that another capability performs, where none is named."""


class Claims(msgspec.Struct, frozen=True):
    """What a declaration says of a capability, word for word; None where it says nothing."""

    id: str
    operation: Operation
    risk: Level | Risk
    version: str
    name: str
    description: str | None
    reversible: bool | None
    scope: str | None
    effect: str
    compensation: str | None
    compensated_by: str | None
    requires_approval: bool
    justification: str
    idempotent: bool | None
    timeout: float | None
    labels: tuple[str, ...] | str  # a text is a mistake, which the spec tells with all the others
    secrets: tuple[str, ...] | str
    sandbox: Mapping[str, Json]
    parameters: Mapping[str, Json] | None
    returns: Mapping[str, Json] | None
    revision: str | None
    rehearsable: bool
    without: object  # reasons by part; anything else is a mistake, as with `labels`


@dataclass(frozen=True, slots=True)
class DeclaredPart:
    """A function that performs one part, and the names that its annotations may mean."""

    kind: str
    function: Callable[..., Any]  # `Any`: what a part returns depends on its kind
    names: Mapping[str, object] = field(default_factory=dict, repr=False)

    @property
    def place(self) -> str:
        """`FILE:LINE` of the function."""
        code = getattr(inspect.unwrap(self.function), "__code__", None)
        return f"{code.co_filename}:{code.co_firstlineno}" if code else "?"
