"""`assent plugin new|test`: a plugin of one's own, and whether it keeps the contract that every capability keeps."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from assent.cli._command import command
from assent.cli._completion import complete_plugin
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK
from assent.cli._json import objects, text
from assent.cli._plugin_trust import plugins_of
from assent.cli._style import safe, safe_line
from assent.cli._units import count_text
from assent.errors import AssentError, Json

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
def test(door: Door, plugin: str, *, untrusted: bool, native: bool, in_process: bool) -> int:
    """Run the contract suite on the plugin NAME, or the one at PATH, in a process of its own. Exit 1 when a promise is broken.

    The plugin has to be trusted, since this runs its code; `--untrusted` is for its author. Its parts are tried where they will
    run, in a confined worker. Its module `contract` may hold `CASES`: examples of calls for each capability. Without them some
    are made from the schema of the inputs.
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
    }
    try:
        answer = try_plugin(request)
    except AssentError as error:
        if error.code == "PLUGIN_UNTRUSTED":
            error.hint = f"when it is your own: {door.command('plugin', 'test', plugin, '--untrusted')}; else {error.hint}"
        raise
    outcomes = objects(answer, "outcomes")
    broken = [one for one in outcomes if one.get("fault") is not None]
    if door.out.is_json:
        door.out.object(answer)
    else:
        paint = door.out.paint()
        for one in broken:
            place = f"{text(one, 'capability')}, {text(one, 'clause')}, {text(one, 'case')}"
            door.out.answer(
                f"{paint('broken', 'red')}  {safe_line(text(one, 'promise'))}  ({safe_line(place)})"
            )
            door.out.answer(f"  {safe(text(one, 'fault'))}")
        capabilities = len({text(one, "capability") for one in outcomes})
        kept = len(outcomes) - len(broken)
        by = count_text(capabilities, "capability", "capabilities")
        door.out.answer(f"{kept} of {len(outcomes)} promises kept, by {by}")
    return FAILED if broken else OK


def _source(door: Door, plugin: str) -> PluginSource:
    """A plugin of the workspace, or whatever stands at the path: trying asks for no place in the configuration."""
    from assent.plugins import sources_at

    place = door.cwd / plugin
    loader = plugins_of(door)
    known = loader.sources()
    if plugin in known.plugins or plugin in known.faults or not place.exists():
        return known.get(plugin)
    here = [one for one in known.plugins.values() if one.path is not None and one.path.samefile(place)]
    return here[0] if len(here) == 1 else sources_at(door.settings.workspace, str(place))[0]
