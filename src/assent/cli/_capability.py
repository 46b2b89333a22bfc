"""`assent capability`: what can be called."""

from __future__ import annotations

import click

from assent.cli._command import command, group
from assent.cli._completion import complete_capability
from assent.cli._door import Door
from assent.cli._versions import activate, diff, history, label, retire, standing_words, unlabel
from assent.cli.terminal._json import Object, compact, mapping, plain, text
from assent.cli.terminal._style import RISK_STYLE, safe, safe_line
from assent.cli.terminal._table import table
from assent.errors import Json
from assent.runtime import service
from assent.spec.frozen import thaw


@command("list", watches=False, short_help="List the capabilities.")
@click.argument("pattern", required=False)
def list_(door: Door, pattern: str | None) -> None:
    """List the capabilities that are registered, with operation and risk; with PATTERN those whose id it matches.

    In PATTERN `*` stands for any characters (`net.http.*`); without one it is a part of the id (`git`).
    """
    found = [plain(one) for one in door.perform(service.requests.Capabilities(pattern=pattern)).capabilities]
    if door.out.is_json:
        door.out.object([*found])
        return
    paint = door.out.paint()
    rows = []
    for data in found:
        risk, standing = mapping(data, "risk"), mapping(data, "standing")
        level = text(risk, "level")
        rows.append(
            [
                text(data, "id"),
                text(data, "version"),
                text(standing, "state"),
                safe_line(standing_words(standing)),
                text(data, "operation_type"),
                paint(level, RISK_STYLE.get(level)),
                "asks" if risk.get("requires_approval") is True else "",
                safe_line(text(data, "description"), 80),
            ]
        )
    head = ["capability", "version", "state", "named", "operation", "risk", "approval", ""]
    door.out.answer(table(rows, head=head, paint=paint) if rows else "no such capability")


@command("show", watches=False, short_help="Show one capability.")
@click.argument("capability", shell_complete=complete_capability)
def show(door: Door, capability: str) -> None:
    """Show one CAPABILITY (`id`, or a version of it as in `id@^1.2`): risk, undo, parameters and what it gives."""
    data = plain(door.perform(service.requests.Capability(reference=capability)))
    if door.out.is_json:
        door.out.object(data)
        return
    paint = door.out.paint()
    risk, effects, undo = mapping(data, "risk"), mapping(data, "side_effects"), mapping(data, "compensation")
    level = text(risk, "level")
    facts = [
        ["operation", text(data, "operation_type")],
        ["risk", f"{paint(level, RISK_STYLE.get(level))}  {safe_line(text(risk, 'justification'))}"],
        ["approval", "always asked for" if risk.get("requires_approval") is True else "as the policy says"],
        ["undo", _undo(effects, undo)],
        ["idempotent", "yes" if data.get("idempotent") is True else "no"],
        ["labels", safe_line(", ".join(map(str, _list(data.get("labels")))))],
        ["fingerprint", text(data, "fingerprint")],
        ["version", safe_line(_standing(data))],
    ]
    blocks = [
        f"{paint(text(data, 'id'), 'bold')} {text(data, 'version')}  {safe_line(text(data, 'name'))}",
        safe(text(data, "description")),
        table([fact for fact in facts if fact[1]], paint=paint, indent="  "),
        "parameters\n" + _parameters(mapping(data, "parameters")),
        f"returns\n  {safe_line(_type(mapping(data, 'returns')))}",
        f"call it: {door.command('call', text(data, 'id'), *_example(mapping(data, 'parameters')))}",
    ]
    door.out.answer("\n\n".join(block for block in blocks if block))


def _standing(data: Object) -> str:
    """How the version was found and how it stands."""
    standing = mapping(data, "standing")
    since = text(standing, "created_at")
    found = f"found by {text(data, 'how')}"
    named = standing_words(standing)
    parts = [text(standing, "state"), named, found, f"recorded {since}" if since else ""]
    return ", ".join(part for part in parts if part)


def _undo(effects: Object, compensation: Object) -> str:
    if effects.get("reversible") is True:
        return "restores the earlier state exactly"
    if compensation.get("supported") is True:
        return f"by compensation: {safe_line(text(compensation, 'strategy'))}"
    return "not possible"


def _parameters(schema: Object) -> str:
    required = _list(schema.get("required"))
    rows = []
    for name, below in mapping(schema, "properties").items():
        part = below if isinstance(below, dict) else {}
        default = f"default {compact(part['default'])}" if "default" in part else ""
        need = "required" if name in required else default
        rows.append([safe_line(name), _type(part), need, safe_line(text(part, "description"), 80)])
    from assent.cli.terminal._style import PLAIN

    return table(rows, paint=PLAIN, indent="  ") if rows else "  none"


def _type(schema: Object) -> str:
    choices = [part for part in _list(schema.get("anyOf")) if isinstance(part, dict)]
    if choices:  # That it may be null is said by its default.
        kinds = dict.fromkeys(_type(part) for part in choices if part.get("type") != "null")
        return "any" if "any" in kinds else " or ".join(kinds)
    kind = schema.get("type")
    if isinstance(kind, list):
        return " or ".join(map(str, kind))
    names = mapping(schema, "properties")
    return f"{kind or 'any'}{' {' + ', '.join(names) + '}' if names else ''}"


def _example(schema: Object) -> list[str]:
    """What has to be given, each in the form that its type is read from."""
    forms = {"array": '=["…"]', "object": '={"…": "…"}'}
    parts = mapping(schema, "properties")
    return [
        f"{name}{forms.get(text(mapping(parts, name), 'type'), '=…')}"
        for name in _list(schema.get("required"))
        if isinstance(name, str)
    ]


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
