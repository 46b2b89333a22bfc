"""What is offered to an agent: each capability that it may call as a tool, and Assent's own tools before them."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, TypeAlias

import mcp_types as wire
from mcp_types import methods
from msgspec import UNSET

from assent.plugins.upstream import CONTENT, capability_id
from assent.runtime.service import answers
from assent.spec.ids import RUN_CAPABILITY, WHOLE, administers

OURS: Final = "assent_"
"""How the names of Assent's own tools begin."""

_PASSED: Final = re.compile(r"mcp\.\w+\.(resources|prompts|completions)\.\w+")
"""What goes through under the protocol's own requests."""

KNOWN_MAX: Final = 20_000
"""Tools that are kept as they were listed."""

Item: TypeAlias = dict[str, Any]
"""A tool of a list, as JSON."""

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


class Offer:
    """The tools that one caller may use, by name, in the order in which they are listed."""

    def __init__(self, tools: Iterable[answers.Tool], server: str | None = None) -> None:
        """`server`: the tools are those of this MCP server alone, each called as that calls it."""
        # Whoever comes in: no tool opens doors, or erases.
        shown = [
            one
            for one in tools
            if not administers(one.capability.id)
            and one.capability.id != RUN_CAPABILITY
            and _PASSED.fullmatch(one.capability.id) is None
        ]
        names = [_name(one.capability.id) if server is None else str(one.upstream) for one in shown]
        counts = Counter(names)
        self.capabilities: Final[Mapping[str, answers.Tool]] = {
            # Where two ids would have one name, or one of ours, each keeps its dots: ids are names too, and no two are alike.
            (name if counts[name] == 1 and not name.startswith(OURS) else one.capability.id): one
            for name, one in zip(names, shown, strict=True)
        }


class Listing:
    """Tools as clients of each revision are told of them, each made once: lists of thousands are asked for again and again."""

    def __init__(self, own: Sequence[wire.Tool]) -> None:
        """`own`: Assent's, which come first."""
        self._own = own
        self._known: dict[tuple[str, str, int], tuple[object, Item]] = {}

    def of(self, offer: Offer, version: str, *, only_objects: bool) -> list[Item]:
        """`only_objects`: an older revision takes no other results' schema."""
        theirs = offer.capabilities.items()
        found = [self._kept(version, one.name, one, only_objects=only_objects) for one in self._own]
        return found + [self._kept(version, name, one, only_objects=only_objects) for name, one in theirs]

    def _kept(self, version: str, name: str, of: wire.Tool | answers.Tool, *, only_objects: bool) -> Item:
        key = (version, name, id(of))
        known = self._known.get(key)
        if known is None:
            made = of if isinstance(of, wire.Tool) else _told(name, of, only_objects=only_objects)
            page = wire.ListToolsResult(tools=[made]).model_dump(
                mode="json", by_alias=True, exclude_none=True
            )
            # What the revision does not have is left out by the SDK.
            (told,) = methods.serialize_server_result("tools/list", version, page)["tools"]
            if len(self._known) >= KNOWN_MAX:
                self._known.clear()
            known = self._known[key] = of, told
        return known[1]


def pattern_of(name: str, server: str | None = None) -> str:
    """A pattern of the ids that a tool of this name may stand for, and of all ids that would have the same name."""
    if server is not None:
        return name if name.startswith(f"mcp.{server}.") else capability_id(server, name)
    return name.replace(".", "*").replace("_", "*")


def gives_content(tool: answers.Tool) -> bool:
    """Whether what it gives is a result of the protocol: an MCP server's own content, in which nothing is structured for sure."""
    return tool.upstream is not UNSET and tool.capability.returns == CONTENT


def _name(capability: str) -> str:
    return capability.replace(".", "_")


def _told(name: str, tool: answers.Tool, *, only_objects: bool) -> wire.Tool:
    spec = tool.capability
    gives: dict[str, Any] | None = dict(spec.returns) if spec.returns and not gives_content(tool) else None
    if gives is not None and WHOLE in gives.get("properties", {}):
        # It goes beside what is structured.
        gives["properties"] = {key: one for key, one in gives["properties"].items() if key != WHOLE}
    if gives is not None and only_objects and gives.get("type") != "object":
        gives = None
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
