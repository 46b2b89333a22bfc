"""`assent capability`: what can be called."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from assent.cli._command import command, group
from assent.cli._completion import complete_capability
from assent.cli._door import Door
from assent.cli._versions import activate, diff, history, label, retire, standing_words, unlabel
from assent.cli.terminal._style import RISK_STYLE, Paint
from assent.cli.terminal._table import flow, table
from assent.errors import Json
from assent.runtime import service
from assent.spec.values.frozen import thaw
from assent.spec.values.json_fields import Object, compact, mapping, text
from assent.spec.words.legible import safe, safe_line

if TYPE_CHECKING:
    from assent.runtime.service import answers


@command("list", watches=False, short_help="List the capabilities.")
@click.argument("pattern", required=False)
def list_(door: Door, pattern: str | None) -> None:
    """List the capabilities that are registered, with operation and risk; with PATTERN those whose id it matches.

    In PATTERN `*` stands for any characters (`net.http.*`); without one it is a part of the id (`git`).
    """
    door.out.listing(
        door.perform(service.requests.Capabilities(pattern=pattern)).capabilities,
        lambda one, paint: [
            one.id,
            one.version,
            one.standing.state,
            safe_line(standing_words(one.standing)),
            one.operation_type,
            paint(one.risk.level, RISK_STYLE.get(one.risk.level)),
            "asks" if one.risk.requires_approval else "",
            safe_line(one.description, 80),
        ],
        head=["capability", "version", "state", "named", "operation", "risk", "approval", ""],
        none="no such capability",
    )


@command("show", watches=False, short_help="Show one capability.")
@click.argument("capability", shell_complete=complete_capability)
def show(door: Door, capability: str) -> None:
    """Show one CAPABILITY (`id`, or a version of it as in `id@^1.2`): risk, undo, parameters and what it gives."""
    data = door.perform(service.requests.Capability(reference=capability))
    if door.out.is_json:
        door.out.object(data)
        return
    paint = door.out.paint()
    risk = data.risk
    facts = [
        ["operation", data.operation_type],
        ["risk", f"{paint(risk.level, RISK_STYLE.get(risk.level))}  {safe_line(risk.justification)}"],
        ["approval", "always asked for" if risk.requires_approval else "as the policy says"],
        ["undo", _undo(data)],
        ["idempotent", "yes" if data.idempotent else "no"],
        ["labels", safe_line(", ".join(data.labels))],
        ["fingerprint", data.fingerprint],
        ["version", safe_line(_standing(data))],
    ]
    blocks = [
        f"{paint(data.id, 'bold')} {data.version}  {safe_line(data.name)}",
        flow(safe(data.description).split(" "), paint=paint, gap=" "),
        table([fact for fact in facts if fact[1]], paint=paint, indent="  "),
        "parameters\n" + parameters_text(data.parameters, paint),
        "returns\n"
        + flow(
            safe_line(_type(data.returns, data.returns)).split(" "),
            paint=paint,
            gap=" ",
            first="  ",
            indent="  ",
        ),
        f"call it: {door.command('call', data.id, *_example(data.parameters))}",
    ]
    door.out.answer("\n\n".join(block for block in blocks if block))


def _standing(data: answers.Capability) -> str:
    """How the version was found and how it stands."""
    standing = data.standing
    since = standing.created_at
    found = f"found by {data.how}"
    named = standing_words(standing)
    parts = [standing.state, named, found, f"recorded {since}" if since else ""]
    return ", ".join(part for part in parts if part)


def _undo(data: answers.Capability) -> str:
    if data.operation_type == "READ":
        return "nothing to undo: reads only"
    if data.side_effects.scope == "none":
        return "nothing to undo: touches nothing"
    if data.side_effects.reversible:
        return "restores the earlier state exactly"
    if data.compensation.supported:
        return f"by compensation: {safe_line(data.compensation.strategy or '')}"
    return "not possible"


def parameters_text(schema: Object, paint: Paint) -> str:
    """What a call takes: a row for each parameter."""
    required = _list(schema.get("required"))
    rows = []
    for name, below in mapping(schema, "properties").items():
        part = below if isinstance(below, dict) else {}
        default = f"default {compact(part['default'])}" if "default" in part else ""
        need = "required" if name in required else default
        rows.append(
            [safe_line(name), safe_line(_type(part, schema)), need, safe_line(text(part, "description"))]
        )
    return table(rows, paint=paint, indent="  ") if rows else "  none"


def _meant(part: Json, whole: Object) -> Object:
    """A part of a schema, or the definition that it refers to."""
    found = part if isinstance(part, dict) else {}
    name = text(found, "$ref").removeprefix("#/$defs/")
    return mapping(mapping(whole, "$defs"), name) if name else found


def _type(part: Json, whole: Object) -> str:
    """What a value may be, in a few words; what a list or an object holds, and every choice."""
    schema = _meant(part, whole)
    if "enum" in schema:
        return " | ".join(
            one if isinstance(one, str) and one.strip() else compact(one) for one in _list(schema["enum"])
        )
    choices = [one for one in _list(schema.get("anyOf")) if isinstance(one, dict)]
    if choices:  # That it may be null is said by its default.
        kinds = dict.fromkeys(_type(one, whole) for one in choices if one.get("type") != "null")
        return "any" if "any" in kinds else " or ".join(kinds)
    from assent.spec.spelled_fields import HOST_PATH_FORMAT, PATH_FORMAT, TEMPLATE_FORMAT, URL_FORMAT, kind_of

    words: Object = {PATH_FORMAT: "path", HOST_PATH_FORMAT: "path", URL_FORMAT: "URL", TEMPLATE_FORMAT: "URL"}
    kind = words.get(kind_of(schema) or "", schema.get("type"))
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    names = mapping(schema, "properties")
    if names:
        return f"{kind} {{{', '.join(names)}}}"
    held = schema.get("items" if kind == "array" else "additionalProperties")
    below = _type(held, whole) if isinstance(held, dict) else "any"
    more = f" of {below}" if below != "any" else ""
    return f"{'list' if kind == 'array' else kind or 'any'}{more}"


def _example(schema: Object) -> list[str]:
    """What has to be given, each in the form that its type is read from."""
    whole: dict[str, Json] = {"type": "object", **schema}
    given = _sample(whole, whole)
    assert isinstance(given, dict)  # INVARIANT: the parameters of a call are an object
    return [
        f"{name}={one if isinstance(one, str) else json.dumps(one, ensure_ascii=False)}"
        for name, one in given.items()
    ]


def _sample(part: Json, whole: Object) -> Json:
    """A value of the shape that a schema asks for, with `…` where something is to be written."""
    schema = _meant(part, whole)
    if "enum" in schema:
        return _list(schema["enum"])[0]
    if schema.get("type") == "array":
        return [_sample(schema.get("items"), whole)]
    if schema.get("type") != "object":
        return "…"
    parts, needed = mapping(schema, "properties"), _list(schema.get("required"))
    if {"text", "path"} <= parts.keys() and "text" not in needed:
        # What is read as text or from a file needs one of the two, which `required` can't say.
        needed.append("path")
    if not parts and schema is not whole:
        return {"…": "…"}
    return {name: _sample(one, whole) for name, one in parts.items() if name in needed}


def _list(value: Json) -> list[Json]:
    found = thaw(value)
    return found if isinstance(found, list) else []


capability = group(
    "capability",
    list_,
    show,
    history,
    diff,
    label,
    unlabel,
    activate,
    retire,
    help="List and show capabilities, and govern their versions.",
)
