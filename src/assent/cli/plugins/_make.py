"""`assent plugin new|test`: a plugin of one's own, and whether it keeps the contract that every capability keeps."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click

from assent.cli._command import command
from assent.cli._completion import complete_plugin
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK
from assent.errors import AssentError, Json
from assent.spec.values.json_fields import objects, text
from assent.spec.words.legible import hanging, safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from assent.plugins import PluginSource


@command("new", watches=False, short_help="Make a plugin to begin with.")
@click.argument("name")
@click.option(
    "--into", type=click.Path(path_type=Path), metavar="DIR", help="The new folder; by default NAME here."
)
def new(door: Door, name: str, into: Path | None) -> int:
    """Make the project of a plugin called NAME: two capabilities, one that reads and one that can be undone, and their tests."""
    from assent import __version__
    from assent.plugins import new_plugin

    folder = door.cwd / (into or Path(name))
    made = new_plugin(name, folder, version=__version__)
    if door.out.is_json:
        door.out.object({"name": name, "folder": str(folder), "created": [str(path) for path in made]})
        return OK
    for path in made:
        door.out.answer(f"created {path}")
    door.out.note(f"next: {door.command('plugin', 'test', str(into or name), '--untrusted')}")
    return OK


@command("test", watches=False, short_help="Try every promise of a plugin's capabilities.")
@click.argument("plugin", metavar="NAME|PATH", shell_complete=complete_plugin)
@click.option("--untrusted", is_flag=True, help="Run it although nobody trusted it: it is your own.")
@click.option("--native", is_flag=True, help="With --untrusted: also run code that nobody can read.")
@click.option(
    "--in-process", is_flag=True, help="Try its parts in the process of the tests, and not in a worker."
)
@click.option(
    "--send", is_flag=True, help="Let the calls of its examples send requests, to what it may reach."
)
def test(door: Door, plugin: str, *, untrusted: bool, native: bool, in_process: bool, send: bool) -> int:
    """Run the contract suite on the plugin NAME, or the one at PATH, in a process of its own. Exit 1 unless all is kept.

    The plugin has to be trusted, since this runs its code; `--untrusted` is for its author. Its parts are tried where they will
    run, in a confined worker. Its module `contract` may hold `CASES`: examples of calls for each capability. Without them some
    are made from the schema of the inputs.

    Nothing is sent anywhere, and what would have been is told, unless `--send` says so: each example is called a dozen times.
    """
    from assent.plugins import try_plugin

    source = _source(door, plugin)
    request: dict[str, Json] = {
        "workspace": str(door.settings.workspace),
        "lock": str(door.settings.plugin_lock),
        "name": source.name,
        "path": source.origin.removeprefix("path ") if source.path is not None else None,
        "untrusted": untrusted,
        "native": native,
        "in_process": in_process,
        "send": send,
        "principal": door.flags.principal,
    }
    try:
        answer = try_plugin(request)
    except AssentError as error:
        if error.code == "PLUGIN_UNTRUSTED":
            error.hint = f"when it is your own: {door.command('plugin', 'test', plugin, '--untrusted')}; else {error.hint}"
        raise
    if door.out.is_json:
        door.out.object(answer)
    else:
        flags = {"--untrusted": untrusted, "--native": native, "--in-process": in_process, "--send": True}
        said = [flag for flag, is_set in flags.items() if is_set]
        _tell(door, answer, door.command("plugin", "test", plugin, *said))
    return OK if answer["ok"] is True else FAILED


def _tell(door: Door, answer: Mapping[str, Json], send: str) -> None:
    """What came of it, for people; `send` is the command that has requests sent."""
    paint = door.out.paint()
    outcomes = objects(answer, "outcomes")
    held = [one for one in outcomes if one.get("needs") is not None]
    broken = [one for one in outcomes if one.get("fault") is not None and one.get("needs") is None]
    for one in broken:
        place = f"{text(one, 'capability')}, {text(one, 'clause')}, {text(one, 'case')}"
        door.out.answer(f"{paint('broken', 'red')}  {safe_line(text(one, 'promise'))}  ({safe_line(place)})")
        door.out.answer(f"  {hanging(text(one, 'fault'))}")
        if one.get("hint") is not None:
            door.out.answer(f"  {paint('help:', 'cyan')} {hanging(text(one, 'hint'))}")
    for capability, needs in dict.fromkeys((text(one, "capability"), text(one, "needs")) for one in held):
        mark = paint("untried", "yellow")
        if needs == "send":
            door.out.answer(f"{mark}  {safe_line(capability)} sends requests, and nobody said that it may")
            door.out.answer(f"  its examples are sent by: {send}")
        else:
            door.out.answer(f"{mark}  {safe_line(capability)} sends requests, and has no example")
            door.out.answer(
                f"  what is made up is sent to nobody; write `CASES` in its module `contract`, then: {send}"
            )
    for one in objects(answer, "requests"):
        to = safe_line(f"{text(one, 'method')} {text(one, 'origin')}")
        door.out.answer(f"sent {count_text(int(str(one['count'])), 'request', 'requests')}: {to}")
    capabilities = len({text(one, "capability") for one in outcomes})
    kept = len(outcomes) - len(broken) - len(held)
    untried = f", {len(held)} untried" if held else ""
    by = count_text(capabilities, "capability", "capabilities")
    door.out.answer(f"{kept} of {len(outcomes)} promises kept{untried}, by {by}")


def _source(door: Door, plugin: str) -> PluginSource:
    """A plugin of the workspace, or whatever stands at the path: trying asks for no place in the configuration."""
    from assent.plugins import sources_at
    from assent.runtime.wiring._plugins import plugin_loader

    place = door.cwd / plugin
    known = plugin_loader(door.settings).sources()
    if plugin in known.plugins or plugin in known.faults or not place.exists():
        return known.get(plugin)
    here = [one for one in known.plugins.values() if one.path is not None and one.path.samefile(place)]
    return here[0] if len(here) == 1 else sources_at(door.settings.workspace, str(place))[0]
