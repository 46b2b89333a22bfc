"""`assent plugin list|trust|untrust|health`: which plugins there are, which are trusted, and how they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from assent.cli._command import command
from assent.cli._completion import complete_plugin
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK, REFUSED
from assent.cli._plugin import manifest_text
from assent.cli._style import Paint, safe_line
from assent.cli._table import table
from assent.errors import AssentError, InputError, Json, RefusedError

if TYPE_CHECKING:
    from assent.plugins import Candidate, Difference, PluginLoader, PluginSource, PluginStatus

_STYLES: Final = {
    "trusted": "green",
    "loaded": "green",
    "untrusted": "yellow",
    "changed": "red",
    "refused": "red",
    "missing": "red",
}


@command("list", watches=False, short_help="List the plugins that were found, and how far each is trusted.")
def list_(door: Door) -> None:
    """List the plugins that were found or are trusted, and how each stands. Nothing of them is imported here."""
    found = _standing(door)
    if door.out.is_json:
        door.out.object([one.to_json() for one in found])
        return
    if not found:
        door.out.note("no plugin was found: name one under `[plugins] paths` in assent.toml, or install one")
        return
    paint = door.out.paint()
    rows = [
        [
            safe_line(one.name),
            paint(one.state.value, _STYLES.get(one.state.value)),
            safe_line(one.version or ""),
            safe_line(one.origin or ""),
            safe_line(", ".join(one.capabilities), 80),
            ", ".join(
                word
                for word, holds in (("required", one.is_required), ("in process", one.in_process))
                if holds
            ),
            safe_line(one.error.message, 120) if one.error is not None else "",
        ]
        for one in found
    ]
    head = ["plugin", "status", "version", "from", "capabilities", "", ""]
    door.out.answer(table(rows, head=head, paint=paint))


def _standing(door: Door) -> list[PluginStatus]:
    """How each plugin stands, with what only the ledger refuses.

    What a trusted one brings is known from its last load, or asked of its worker; one that would be imported into this process is
    not asked, nor is anybody where nothing was recorded yet.
    """
    from assent.plugins import PluginState
    from assent.runtime import api

    found = plugins_of(door).list()
    trusted = [one for one in found if one.state is PluginState.TRUSTED]
    if not trusted or any(one.in_process for one in trusted) or not door.settings.state.is_dir():
        return found
    try:
        faults = api.plugin_faults(door.settings)
    except AssentError as fault:
        # A required one keeps everything shut, so it is raised; what it says names what it would bring.
        told = {one.name for one in trusted if any(f"`{id_}" in fault.message for id_ in one.capabilities)}
        faults = dict.fromkeys(told, fault)
    return [
        replace(one, state=PluginState.REFUSED, error=faults[one.name])
        if one in trusted and one.name in faults
        else one
        for one in found
    ]


@command("trust", watches=False, short_help="Look at a plugin, and trust exactly what is there.")
@click.argument("plugin", metavar="NAME|PATH", shell_complete=complete_plugin)
@click.option("--digest", metavar="D", help="The fingerprint that was looked at; it answers the question.")
@click.option(
    "--native", is_flag=True, help="Also trust code that nobody can read: compiled, or made while it runs."
)
@click.option(
    "--in-process",
    is_flag=True,
    help="Let it run in Assent's own process, with all that Assent may do: no walls.",
)
def trust(door: Door, plugin: str, digest: str | None, *, native: bool, in_process: bool) -> int:
    """Show what the plugin NAME (or the one at PATH) is, can do and wants, and ask whether to trust exactly that.

    What was agreed to is pinned in `assent-plugins.lock`: any later change asks again. Without a terminal it takes `--digest`,
    as `assent plugin inspect` prints it. `--yes` does not answer this. Its code runs in a process of its own, confined to what it
    declares; `--in-process` lets it into Assent's own.
    """
    loader = plugins_of(door)
    candidate = loader.read(configured(door, loader, plugin).name)
    candidate.require_trustworthy(native=native)
    entry = loader.lock().plugins.get(candidate.name)
    differences = candidate.differences(entry) if entry is not None else []
    if entry is not None and not differences and (entry.native, entry.in_process) == (native, in_process):
        return _told(door, candidate, differences, note="is trusted already, exactly as it is")
    if digest is not None:
        if digest != candidate.digest:
            raise RefusedError(
                "PLUGIN_CHANGED",
                f"plugin `{candidate.name}` is not what `{digest[:64]}` names",
                hint=f"look again: {door.command('plugin', 'inspect', str(plugin))}",
                details={"digest": candidate.digest},
            )
    elif not door.can_ask:
        raise RefusedError(
            "PLUGIN_UNTRUSTED",
            f"plugin `{candidate.name}` was not trusted: there is nobody to ask",
            hint=f"look at it, then: {door.command('plugin', 'trust', candidate.name, '--digest', candidate.digest)}",
            details={"digest": candidate.digest},
        )
    elif not _agrees(door, candidate, differences, is_new=entry is None, in_process=in_process):
        door.out.note("nothing was trusted")
        return REFUSED
    loader.trust(candidate, native=native, trusted_by=str(door.settings.principal), in_process=in_process)
    return _told(door, candidate, differences, note="is trusted now")


def _told(door: Door, candidate: Candidate, differences: list[Difference], *, note: str) -> int:
    if door.out.is_json:
        door.out.object(
            {
                "name": candidate.name,
                "digest": candidate.digest,
                "trusted": True,
                "lock": str(door.settings.plugin_lock),
                "differences": [one.to_json() for one in differences],
                "warnings": [one.to_json() for one in candidate.warnings],
            }
        )
    else:
        door.out.answer(f"plugin `{candidate.name}` {note}: {candidate.digest}")
    from assent.runtime._plugin_reach import shut_services

    declared = candidate.manifest.declaration.permissions.network
    for one in shut_services(candidate.name, declared, door.settings):
        door.out.note(safe_line(f"`{one.what}` would be refused: {one.why}"))
        door.out.note(f"  {safe_line(one.hint)}")
    return OK


def _agrees(
    door: Door, candidate: Candidate, differences: list[Difference], *, is_new: bool, in_process: bool
) -> bool:
    paint = door.out.paint(stderr=True)
    door.out.note(manifest_text(candidate.manifest, candidate.warnings, paint=paint))
    if candidate.dependencies:
        rows = [
            [safe_line(name), version or "not installed"] for name, version in candidate.dependencies.items()
        ]
        door.out.note("\nimports from\n" + table(rows, paint=paint, indent="  "))
    if not is_new:
        door.out.note(f"\n{differences_text(differences, paint)}")
    if in_process:
        door.out.note("\nit will run in Assent's own process: no walls, whatever it declares")
    question = f"\ntrust exactly this, with the permissions that it asks for? type `{candidate.name}`"
    answer = click.prompt(question, default="", show_default=False, err=True)
    return str(answer).strip() == candidate.name


def differences_text(differences: list[Difference], paint: Paint) -> str:
    """What changed since it was trusted, a line for each."""
    styles = {"added": "green", "removed": "red", "changed": "yellow"}
    lines = [f"  {paint(safe_line(str(one), 200), styles[one.change])}" for one in differences]
    return "\n".join(
        ["changed since it was trusted", *(lines or ["  nothing but the word on code that can't be read"])]
    )


@command("untrust", watches=False, short_help="Trust a plugin no more.")
@click.argument("plugin", metavar="NAME", shell_complete=complete_plugin)
def untrust(door: Door, plugin: str) -> int:
    """Take the plugin NAME out of the lock: from the next start on it is not imported."""
    was_trusted = plugins_of(door).untrust(plugin)
    if door.out.is_json:
        door.out.object({"name": plugin, "trusted": False, "was_trusted": was_trusted})
    elif was_trusted:
        door.out.answer(f"plugin `{plugin}` is not trusted any more")
    else:
        door.out.note(f"plugin `{plugin}` was not trusted")
    return OK


@command("health", watches=False, short_help="Ask the trusted plugins how they are.")
@click.argument("plugin", metavar="[NAME]", required=False, shell_complete=complete_plugin)
def health(door: Door, plugin: str | None) -> int:
    """Load the trusted plugins (or the one called NAME) and ask each how it is; it has 5 seconds. Exit 1 when one failed."""
    from assent.runtime import api

    found = api.plugin_health(door.settings, plugin)
    if door.out.is_json:
        answer: list[Json] = [{"name": name, **one.to_json()} for name, one in found.items()]
        door.out.object(answer)
    else:
        paint = door.out.paint()
        styles = {"ok": "green", "degraded": "yellow", "failed": "red"}
        rows = [
            [safe_line(name), paint(one.status.value, styles[one.status.value]), safe_line(one.detail)]
            for name, one in found.items()
        ]
        door.out.answer(table(rows, paint=paint)) if rows else door.out.note("no plugin is trusted")
    return FAILED if any(one.status.value == "failed" for one in found.values()) else OK


def plugins_of(door: Door) -> PluginLoader:
    """The plugins of the workspace."""
    from assent.runtime import api

    return api.plugins(door.settings)


def configured(door: Door, loader: PluginLoader, plugin: str) -> PluginSource:
    """The plugin of this name, or at this path, among those that the workspace names or that are installed."""
    sources = loader.sources()
    if plugin in sources.plugins or plugin in sources.faults:
        return sources.get(plugin)
    place = door.cwd / plugin
    if not place.exists():
        return sources.get(plugin)
    here = [one for one in sources.plugins.values() if one.path is not None and one.path.samefile(place)]
    if len(here) == 1:
        return here[0]
    raise InputError(
        "PLUGIN_UNKNOWN",
        f"no plugin of this workspace is at `{plugin}`",
        hint=f'name it in assent.toml: `[plugins]`, `paths = ["{_relative(place, door.settings.workspace)}"]`',
    )


def _relative(place: Path, workspace: Path) -> str:
    return str(place.relative_to(workspace) if place.is_relative_to(workspace) else place)


def left_out(door: Door, error: AssentError) -> list[AssentError]:
    """Why each plugin that is trusted or required is not loaded, or would have brought what `error` misses, were it trusted."""
    from assent.runtime import api

    settings = door.settings if door.has_resolved else None
    if settings is None or not (settings.plugin_lock.exists() or settings.plugin_paths):
        return []
    try:
        found = plugins_of(door).list()
        faults = api.plugin_faults(settings)
    except AssentError as fault:
        return [_reworded(fault, f"no plugin was loaded: {fault.message}")]
    known = {one.name for one in found}
    missed = [
        fault
        if f"`{name}`" in fault.message or name not in known
        else _reworded(fault, f"plugin `{name}`: {fault.message}")
        for name, fault in faults.items()
    ]
    untrusted = [one for one in found if one.error is not None and one.state.value == "untrusted"]
    return missed + [
        one.error
        for one in untrusted
        if one.error is not None and any(f"`{id_}" in error.message for id_ in one.capabilities)
    ]


def _reworded(fault: AssentError, message: str) -> AssentError:
    return AssentError(fault.code, message, path=fault.path, hint=fault.hint, details=fault.details)
