"""What is offered to an agent: each capability that it may call as a tool, and Assent's own tools before them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

import mcp_types as wire

from assent.runtime.service import answers
from assent.spec.ids import RUN_CAPABILITY, administers

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Offer:
    """The tools that one caller may use, by name, in the order in which they are listed."""

    def __init__(self, tools: Iterable[answers.Tool]) -> None:
        # Whoever comes in: no tool opens doors, or erases.
        shown = [
            one for one in tools if not administers(one.capability.id) and one.capability.id != RUN_CAPABILITY
        ]
        names = [_name(one.capability.id) for one in shown]
        self.capabilities: Final[Mapping[str, answers.Tool]] = {
            # Where two ids would have one name, each keeps its dots: ids are names too, and no two are alike.
            (name if names.count(name) == 1 else one.capability.id): one
            for name, one in zip(names, shown, strict=True)
        }

    def listed(self, *, only_objects: bool) -> list[wire.Tool]:
        """As a client is told of them. `only_objects`: an older revision takes no other results' schema."""
        return [_told(name, one, only_objects=only_objects) for name, one in self.capabilities.items()]


def pattern_of(name: str) -> str:
    """A pattern of the ids that a tool of this name may stand for, and of all ids that would have the same name."""
    return name.replace(".", "*").replace("_", "*")


def _name(capability: str) -> str:
    return capability.replace(".", "_")


def _told(name: str, tool: answers.Tool, *, only_objects: bool) -> wire.Tool:
    spec = tool.capability
    gives = (
        spec.returns if spec.returns and (not only_objects or spec.returns.get("type") == "object") else None
    )
    return wire.Tool(
        name=name,
        title=spec.name or spec.id,
        description=tool.told,
        input_schema={"$schema": DIALECT, **spec.parameters},
        output_schema=None if gives is None else {"$schema": DIALECT, **gives},
        annotations=_hints(spec),
        meta={"assent/capability": f"{spec.id}@{spec.version}", "assent/risk": spec.risk.level},
    )


def _hints(spec: answers.Capability) -> wire.ToolAnnotations:
    """What a client may show of it; the gate believes none of this, it knows the spec."""
    looks = spec.operation_type == "READ" or spec.side_effects.scope == "none"
    return wire.ToolAnnotations(
        read_only_hint=looks,
        destructive_hint=not looks and not spec.side_effects.reversible,
        idempotent_hint=looks or spec.idempotent,
        open_world_hint=bool({"reads_untrusted", "sends_external"} & set(spec.labels)),
    )
