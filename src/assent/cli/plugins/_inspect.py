"""`assent plugin`: third-party capabilities, understood before any of their code runs."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assent.cli._command import command
from assent.cli._door import Door
from assent.cli.terminal._style import RISK_STYLE, Paint
from assent.cli.terminal._table import table
from assent.runtime import service
from assent.spec.values.typed import convert
from assent.spec.words.legible import safe, safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.plugins import Manifest, PluginWarning
    from assent.plugins.manifest import Capability

SHOWN_MAX = 5
"""Places of one kind of warning that are shown."""

_GRAVE = frozenset(
    {"PLUGIN_CALL_HIDDEN", "PLUGIN_STARTS_WITH_PYTHON", "PLUGIN_ID_SHADOWS", "PLUGIN_CODE_PATCHES"}
)
_KINDS = {"file": "a file", "folder": "a project's folder", "package": "a package", "wheel": "a wheel"}


@command("inspect", watches=False, short_help="Show what a plugin is, can do and wants, without running it.")
@click.argument("path", type=click.Path(path_type=Path))
def inspect(door: Door, path: Path) -> None:
    """Read the plugin at PATH (a file, a package, a project's folder or a wheel) and show what its code says of itself.

    Nothing of it is imported. Warnings come first: where the code does more than it declares.
    """
    found = door.perform(service.requests.InspectPlugin(path=str(path), base=str(door.cwd)))
    door.out.tell(found, lambda: manifest_text(found, paint=door.out.paint()))


def manifest_text(
    found: service.answers.PluginInspected | service.answers.PluginFound, *, paint: Paint
) -> str:
    """A plugin for a person: the warnings, what it is, what it can do, and what it wants."""
    from assent.plugins import Manifest, PluginWarning

    manifest = convert(found.manifest, Manifest)
    warnings = convert(found.warnings, list[PluginWarning])
    declaration = manifest.declaration
    head = f"{paint(safe_line(manifest.name), 'bold')} {safe_line(declaration.version or '')}".rstrip()
    blocks = [
        "\n".join([head, *([safe(declaration.description)] if declaration.description else [])]),
        _warnings(warnings, paint),
        "what it is\n" + _identity(manifest),
        "what it can do\n" + _capabilities(manifest.capabilities, paint),
        _hooks(manifest),
        "what it wants\n" + _wishes(manifest),
        _reaches(manifest),
    ]
    return "\n\n".join(block for block in blocks if block)


def _warnings(warnings: list[PluginWarning], paint: Paint) -> str:
    if not warnings:
        return paint("no warnings", "green")
    count = count_text(len(warnings), "warning")
    lines = [paint(count, "yellow")]
    for code, several in groupby(warnings, key=lambda one: one.code):
        these = [*several]
        lines.append(f"  {paint(code, 'red' if code in _GRAVE else 'yellow')}")
        for one in these[:SHOWN_MAX]:
            place = f"{paint('-->', 'blue')} {safe_line(one.path)}  " if one.path else ""
            lines.append(f"    {place}{safe_line(one.message)}")
        if len(these) > SHOWN_MAX:
            lines.append(f"    and {len(these) - SHOWN_MAX} more places (--json tells all)")
        if these[0].hint:
            lines.append(f"    {paint('help:', 'cyan')} {safe_line(these[0].hint)}")
    return "\n".join(lines)


def _identity(manifest: Manifest) -> str:
    declaration = manifest.declaration
    size = sum(file.size for file in manifest.files)
    foreign = sorted(
        {
            one.name.partition(".")[0]
            for module in manifest.modules
            for one in module.imports
            if one.origin == "third_party"
        }
    )
    rows = [
        ["source", f"{_KINDS[manifest.kind]}, {len(manifest.files)} files, {size} bytes"],
        ["declared in", safe_line(declaration.file or "nothing")],
        ["for assent", safe_line(declaration.assent or "")],
        ["entry", safe_line(declaration.entry)],
        ["depends on", safe_line(", ".join(declaration.dependencies))],
        ["imports", safe_line(", ".join(foreign))],
        [
            "runs on import",
            safe_line(", ".join(name for module in manifest.modules for name in module.runs), 200),
        ],
        ["fingerprint", manifest.fingerprint],
    ]
    return table([row for row in rows if row[1]], paint=_plain(), indent="  ")


def _plain() -> Paint:
    from assent.cli.terminal._style import PLAIN

    return PLAIN


def _capabilities(capabilities: tuple[Capability, ...], paint: Paint) -> str:
    if not capabilities:
        return "  nothing that could be found"
    rows = [
        [
            safe_line(one.id or "?"),
            safe_line(one.version or "?"),
            safe_line(one.operation or "?"),
            paint(safe_line(one.risk or "?"), RISK_STYLE.get(one.risk or "")),
            safe_line(_undo(one)),
            safe_line("reaches " + ", ".join(one.reaches) if one.reaches else ""),
            safe_line(one.description or "", 80),
        ]
        for one in capabilities
    ]
    lines = [
        table(
            rows,
            head=["capability", "version", "operation", "risk", "undo", "", ""],
            paint=paint,
            indent="  ",
        )
    ]
    for one in capabilities:
        fields = one.parameters.fields if one.parameters is not None else None
        if fields:
            lines.append(f"  {safe_line(one.id or '?')} takes")
            lines.append(
                table(
                    [
                        [
                            safe_line(field.name),
                            safe_line(field.type, 60),
                            "required" if field.required else f"default {safe_line(field.default or '', 40)}",
                            safe_line(field.description, 80),
                        ]
                        for field in fields
                    ],
                    paint=paint,
                    indent="    ",
                )
            )
    return "\n".join(lines)


def _undo(one: Capability) -> str:
    if one.operation == "READ":
        return ""
    if "reversible" in one.unknown or "compensation" in one.unknown:
        return "?"
    if one.compensation is None:
        return "no undo"
    return "restores" if one.reversible else f"by {one.compensated_by or one.compensation}"


def _hooks(manifest: Manifest) -> str:
    rows = [
        [one.kind, safe_line(one.capability or "every call"), safe_line(one.id or "?"), one.at]
        for one in manifest.hooks
    ]
    return "hooks\n" + table(rows, paint=_plain(), indent="  ") if rows else ""


def _wishes(manifest: Manifest) -> str:
    from assent.spec.reach import Reach

    asked = manifest.declaration.permissions
    reached = [safe_line(str(service), 200) for service in Reach.of(manifest.name, asked.network).services]
    rows = [["network", reached[0] if reached else "none"], *([["", one] for one in reached[1:]])]
    rows += [
        [key, safe_line(", ".join(getattr(asked, key)) or "none")]
        for key in ("process", "files", "secrets", "environment")
    ]
    rows += [["policy", safe_line(need)] for need in manifest.declaration.policy]
    modules = sorted({one.name for one in manifest.app_modules if not one.is_registered})
    rows += [["modules", safe_line(", ".join(modules))]] if modules else []
    return table(rows, paint=_plain(), indent="  ")


def _reaches(manifest: Manifest) -> str:
    """Every use with its place, so that a reader can go and look."""
    rows = [
        [
            one.kind,
            safe_line(one.name),
            safe_line(one.target or "", 60),
            safe_line(f"in {one.scope}" if one.scope else "on import" if one.is_import_time else "", 60),
            safe_line(one.at),
        ]
        for one in manifest.uses
    ]
    rows += [
        ["secret", safe_line(one.name or "?"), "", safe_line(one.scope), one.at] for one in manifest.secrets
    ]
    return "what its code reaches for\n" + table(rows, paint=_plain(), indent="  ") if rows else ""
