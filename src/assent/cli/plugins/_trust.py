"""`assent plugin list|trust|untrust|health`: which plugins there are, which are trusted, and how they are."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

import click
import msgspec

from assent.cli._command import command
from assent.cli._completion import complete_plugin
from assent.cli._door import Door
from assent.cli._exit import FAILED, OK, REFUSED
from assent.cli.plugins._inspect import manifest_text
from assent.cli.terminal._line import read_line
from assent.cli.terminal._style import Paint
from assent.cli.terminal._table import table
from assent.errors import AssentError, Json, RefusedError
from assent.runtime import service
from assent.spec.values.typed import convert
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from assent.plugins import Difference

    T = TypeVar("T", service.answers.PluginTrusted, service.answers.ServerFound)

_WORST: Final = (
    *("MCP_TOOL_REFUSED", "MCP_TOOL_INSTRUCTS", "MCP_TOOL_SHADOWS", "MCP_SERVER_OPEN", "MCP_TOOL_REFERS"),
    *("MCP_TOOL_UNMARKED", "MCP_TOOL_LONG"),
)
"""Warnings about a server, the worst first; those about a plugin have the order in which they are found."""

_TOOL: Final = re.compile(r"`mcp\.([a-z0-9_]+)\.([^`@]*)")
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
    door.out.listing(
        door.perform(service.requests.Plugins(with_ledger=True)).plugins,
        lambda one, paint: [
            safe_line(one.name),
            paint(one.status, _STYLES.get(one.status)),
            safe_line(one.version or ""),
            safe_line(one.origin or ""),
            safe_line(", ".join(one.capabilities), 80),
            ", ".join(
                word for word, holds in (("required", one.required), ("in process", one.in_process)) if holds
            ),
            safe_line(one.error.message, 120) if one.error is not None else "",
        ],
        head=["plugin", "status", "version", "from", "capabilities", "", ""],
        none="no plugin was found: name one under `[plugins] paths`, or install one",
    )


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
    asked = {"native": native, "in_process": in_process}
    found = door.perform(service.requests.LookAtPlugin(plugin=plugin, base=str(door.cwd), **asked))
    trusted = trust_exactly(
        door,
        _PLUGIN,
        found,
        digest,
        lambda paint: _text(found, paint, in_process=in_process),
        asks=lambda digest: service.requests.TrustPlugin(name=found.name, digest=digest, **asked),
    )
    if trusted is None:
        return REFUSED
    if door.out.is_json:
        fields = service.answers.PluginTrusted.__struct_fields__
        door.out.object({name: getattr(trusted, name) for name in fields})
    for one in found.shut:
        door.out.note(safe_line(f"`{one.what}` would be refused: {one.why}"))
        door.out.note(f"  {safe_line(one.hint)}")
    return OK


class Kind(NamedTuple):
    """What can be trusted, in the words of its command."""

    called: str
    group: str
    refused: str
    """The code where nobody is there who could agree."""
    what: str
    """What a person is asked to trust."""
    look: tuple[str, ...] = ()
    """The command that shows it by its name, where there is one."""


_PLUGIN: Final = Kind(
    "plugin", "plugin", "PLUGIN_UNTRUSTED", "exactly this, with the permissions that it asks for"
)


def trust_exactly(
    door: Door,
    kind: Kind,
    found: T,
    digest: str | None,
    text: Callable[[Paint], str],
    *,
    asks: Callable[[str], service.requests.Request[T]],
) -> T | None:
    """Trust what was found, if `digest` says that it was looked at, or a person who is shown its `text` agrees; tell people so.

    None where they do not agree.
    """
    name = found.name
    trusted = found
    if not found.trusted or digest not in {None, found.digest}:
        if digest is None and not door.can_ask:
            look = f" with `{door.command(*kind.look, name)}`" if kind.look else ""
            raise RefusedError(
                kind.refused,
                f"{kind.called} `{name}` was not trusted: there is nobody to ask",
                hint=f"look at it{look}, then: {door.command(kind.group, 'trust', name, '--digest', found.digest)}",
                details={"digest": found.digest},
            )
        if digest is None:
            door.out.note(text(door.out.paint(stderr=True)))
            for line in _repeated(found.warnings):
                door.out.note(line)
            if (read_line(f"\ntrust {kind.what}? type `{name}`: ") or "").strip() != name:
                door.out.note("nothing was trusted")
                return None
        trusted = door.perform(asks(digest or found.digest))
    if not door.out.is_json:
        how = "already, exactly as it is" if trusted is found else "now"
        door.out.answer(f"{kind.called} `{name}` is trusted {how}: {found.digest}")
    return trusted


def _repeated(warnings: Sequence[Mapping[str, Json]]) -> list[str]:
    """The number of warnings and the worst, where who decides looks: the list of them is far above a long text."""
    if not warnings:
        return []
    worst = min(warnings, key=lambda one: _WORST.index(one["code"]) if one["code"] in _WORST else len(_WORST))
    counted = "a warning" if len(warnings) == 1 else f"{len(warnings)} warnings, the worst"
    return [f"\n{counted} (all are above): {worst['code']}  {safe_line(str(worst['message']), 300)}"]


def _text(found: service.answers.PluginFound, paint: Paint, *, in_process: bool) -> str:
    """A plugin for whoever decides: what it is, what it takes along, and what is another way than it was."""
    from assent.plugins import Difference

    blocks = [manifest_text(found, paint=paint)]
    if found.dependencies:
        rows = [[safe_line(name), version or "not installed"] for name, version in found.dependencies.items()]
        blocks.append("imports from\n" + table(rows, paint=paint, indent="  "))
    if not found.is_new:
        blocks.append(differences_text(convert(found.differences, list[Difference]), paint))
    if in_process:
        blocks.append("it will run in Assent's own process: no walls, whatever it declares")
    return "\n\n".join(blocks)


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
    told = door.perform(service.requests.UntrustPlugin(name=plugin))
    if door.out.is_json:
        door.out.object(told)
    elif told.was_trusted:
        door.out.answer(f"plugin `{plugin}` is not trusted any more")
    else:
        door.out.note(f"plugin `{plugin}` was not trusted")
    return OK


@command("health", watches=False, short_help="Ask the trusted plugins how they are.")
@click.argument("plugin", metavar="[NAME]", required=False, shell_complete=complete_plugin)
def health(door: Door, plugin: str | None) -> int:
    """Load the trusted plugins (or the one called NAME) and ask each how it is; it has 5 seconds. Exit 1 when one failed."""
    found = door.perform(service.requests.PluginsHealth(name=plugin)).plugins
    styles = {"ok": "green", "degraded": "yellow", "failed": "red"}
    door.out.listing(
        found,
        lambda one, paint: [
            safe_line(one.name),
            paint(one.status, styles[one.status]),
            safe_line(one.detail),
        ],
        none="no plugin is trusted",
    )
    return FAILED if any(one.status == "failed" for one in found) else OK


def left_out(door: Door, error: AssentError) -> list[AssentError]:
    """Why each plugin that is trusted or required is not loaded, or would have brought what `error` misses, were it trusted.

    Of MCP servers only the one is told of that would bring it.
    """
    settings = door.settings if door.has_resolved else None
    if settings is None:
        return []
    tool = _TOOL.search(error.message)
    if tool is not None:
        return _server_left_out(door, tool[1], tool[2]) if tool[1] in settings.servers else []
    if not (settings.plugin_lock.exists() or settings.plugin_paths):
        return []
    try:
        found = door.perform(service.requests.Plugins()).plugins
        faults = door.perform(service.requests.PluginFaults()).faults
    except AssentError as fault:
        return [_reworded(fault, f"no plugin was loaded: {fault.message}")]
    known = {one.name for one in found}
    missed = [
        error_of(fault)
        if f"`{name}`" in fault.message or name not in known
        else _reworded(error_of(fault), f"plugin `{name}`: {fault.message}")
        for name, fault in faults.items()
    ]
    untrusted = [one for one in found if one.error is not None and one.status == "untrusted"]
    return missed + [
        error_of(one.error)
        for one in untrusted
        if one.error is not None and any(f"`{id_}" in error.message for id_ in one.capabilities)
    ]


def _server_left_out(door: Door, name: str, tool: str) -> list[AssentError]:
    (server,) = (one for one in door.perform(service.requests.Servers()).servers if one.name == name)
    if server.status == "untrusted":
        hint = f"look at its tools, and decide: {door.command('mcp', 'trust', name)}"
        return [RefusedError("MCP_UNTRUSTED", f"nobody has trusted MCP server `{name}`", hint=hint)]
    return [error_of(server.faults[key]) for key in (name, f"{name}.{tool}") if key in server.faults]


def error_of(fault: service.answers.Fault) -> AssentError:
    """An error that the service told of."""
    return AssentError.from_dict(msgspec.to_builtins(fault))


def _reworded(fault: AssentError, message: str) -> AssentError:
    return AssentError(fault.code, message, path=fault.path, hint=fault.hint, details=fault.details)
