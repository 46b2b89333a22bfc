"""What may be called, as the lists of tools that the APIs of models take."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, Final

from assent.errors import InputError, Json
from assent.spec.capability import CapabilitySpec
from assent.spec.decision import PolicyDecision
from assent.spec.values.frozen import thaw

NAME_LENGTH_MAX: Final = 64
"""The APIs take names of so many letters, digits, `_` and `-`."""


def tool_name(capability: str) -> str:
    """The name of a capability as a tool: no API takes dots, and no capability's id has a `-`."""
    return capability.replace(".", "-")


def capability_of(name: str) -> str:
    """The capability that a tool's name stands for."""
    return name.replace("-", ".")


def _openai(name: str, description: str, schema: dict[str, Json]) -> dict[str, Json]:
    # `strict` is true there unless it is said, and then allows a small part of JSON Schema only. Assent checks every call itself.
    return {
        "type": "function",
        "name": name,
        "description": description,
        "parameters": schema,
        "strict": False,
    }


def _openai_chat(name: str, description: str, schema: dict[str, Json]) -> dict[str, Json]:
    return {
        "type": "function",
        "function": {"name": name, "description": description, "parameters": schema, "strict": False},
    }


def _anthropic(name: str, description: str, schema: dict[str, Json]) -> dict[str, Json]:
    return {"name": name, "description": description, "input_schema": schema}


def _json_schema(name: str, description: str, schema: dict[str, Json]) -> dict[str, Json]:
    dialect = "https://json-schema.org/draft/2020-12/schema"
    return {**schema, "$schema": dialect, "title": name, "description": description}


_KINDS: Final[Mapping[str, Callable[[str, str, dict[str, Json]], dict[str, Json]]]] = {
    "openai": _openai,
    "openai-chat": _openai_chat,
    "anthropic": _anthropic,
    "json-schema": _json_schema,
}


def tools_of(kind: str, offered: Iterable[tuple[str, str, Mapping[str, Any]]]) -> list[dict[str, Json]]:
    """One tool for each capability: its id, what is told of it, and the schema of its parameters (`Any`: a schema's JSON)."""
    make = _KINDS.get(kind)
    if make is None:
        raise InputError(
            "INVALID_INPUT", f"there is no kind of tools `{kind}`", hint=f"one of {', '.join(_KINDS)}"
        )
    tools: list[dict[str, Json]] = []
    for ident, told, schema in offered:
        name = tool_name(ident)
        if len(name) <= NAME_LENGTH_MAX:
            tools.append(make(name, told, thaw(schema)))
    return tools


def told_of(spec: CapabilitySpec, answers: Collection[PolicyDecision]) -> str:
    """What it does, how risky that is, whether a person is asked, and whether it can be taken back."""
    said = [f"{spec.description or spec.id}.".replace("..", "."), f"Risk {spec.risk.level.value}."]
    if len(answers) > 1:
        said.append("Whether it is allowed, denied or waits for a person depends on the inputs.")
    elif PolicyDecision.REQUIRE_APPROVAL in answers:
        said.append("Each call waits until a person has approved it.")
    if spec.has_effect:
        undone = spec.side_effects.reversible or spec.compensation.supported
        said.append("It can be undone." if undone else "It can't be undone.")
    return " ".join(said)
