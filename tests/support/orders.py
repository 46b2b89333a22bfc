"""A capability in two versions that do not understand each other, and what leads from one to the other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from assent.invocation import Handler, LocalContext, Prepared, Transformer
from assent.spec.capability import CapabilitySpec, create_write_capability

ID: Final = "shop.order.place"


def closed(**types: str) -> dict[str, Any]:
    """The schema of an object with exactly these fields."""
    properties = {name: {"type": kind} for name, kind in types.items()}
    return {"type": "object", "properties": properties, "required": [*types], "additionalProperties": False}


def order_spec(version: str, parameters: Mapping[str, Any], returns: Mapping[str, Any]) -> CapabilitySpec:
    """A version of the capability."""
    return create_write_capability(ID, version=version, parameters=parameters, returns=returns)


ONE: Final = order_spec("1.0.0", closed(item="string"), closed(number="integer"))
TWO: Final = order_spec("2.0.0", closed(items="array"), closed(reference="string"))


def one_to_two(**instead: Any) -> Transformer:
    """What leads from version 1 to version 2, or wrongly so."""
    given: dict[str, Any] = {
        "inputs_forward": lambda old: {"items": [old["item"]]},
        "outputs_backward": lambda new: {"number": len(new["reference"])},
        **instead,
    }
    return Transformer(older="1.0.0", newer="2.0.0", **given)


@dataclass
class Shop:
    """Where orders go. `failing` names versions whose calls fail; `undone` are the outputs that compensations were given."""

    placed: list[tuple[str, Any]] = field(default_factory=list)
    undone: list[tuple[str, Any]] = field(default_factory=list)
    failing: set[str] = field(default_factory=set)

    def handler(self, version: str) -> Handler:
        """What performs a version."""

        async def execute(context: LocalContext, parameters: Mapping[str, Any]) -> dict[str, Any]:
            if version in self.failing:
                raise RuntimeError("the shop is closed")
            self.placed.append((version, dict(parameters)))
            if version == "1.0.0":
                return {"number": len(self.placed)}
            return {"reference": "#" * len(self.placed)}

        async def prepare(context: LocalContext, parameters: Mapping[str, Any]) -> Prepared:
            return Prepared({})

        async def compensate(context: LocalContext, parameters: Mapping[str, Any]) -> None:
            self.undone.append((version, context.output))

        return Handler(execute=execute, prepare=prepare, compensate=compensate, revision=version)
