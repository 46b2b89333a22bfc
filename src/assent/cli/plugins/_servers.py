"""`assent mcp add|list|inspect|trust|remove`: MCP servers of others, whose tools become capabilities."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from assent.cli._capability import parameters_text
from assent.cli._command import command
from assent.cli._completion import complete_server
from assent.cli._door import Door
from assent.cli._exit import OK, REFUSED
from assent.cli.plugins._trust import Kind, differences_text, trust_exactly
from assent.cli.terminal._style import RISK_STYLE, Paint
from assent.errors import InputError
from assent.runtime import service
from assent.spec.values.typed import convert
from assent.spec.words.legible import safe, safe_line
from assent.spec.words.sizes import count_text

if TYPE_CHECKING:
    from collections.abc import Iterable

_SERVER = Kind("MCP server", "mcp", "MCP_UNTRUSTED", "exactly these tools", ("mcp", "inspect"))
_STYLES = {"trusted": "green", "untrusted": "yellow", "changed": "red"}


def _pairs(given: Iterable[str], option: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for one in given:
        name, sign, value = one.partition("=")
        if not name or not sign:
            raise InputError(
                "USAGE_INVALID", f"`{option}` takes NAME=VALUE", hint=f"not `{safe_line(one, 60)}`"
            )
        found[name] = value
    return found


@command("add", watches=False, short_help="Write an MCP server into assent.toml.")
@click.argument("server", metavar="NAME")
@click.argument("program", metavar="[-- COMMAND...]", nargs=-1)
@click.option("--url", metavar="URL", help="The address of a server that is no program.")
@click.option(
    "--env",
    metavar="NAME=VALUE",
    multiple=True,
    help="A variable of the program; VALUE may hold `secret://NAME`.",
)
@click.option(
    "--header", metavar="NAME=VALUE", multiple=True, help="A header of each request, in the same way."
)
@click.option(
    "--read-only", metavar="PATH", multiple=True, help="A folder or file that the program can read."
)
@click.option("--writes", metavar="PATH", multiple=True, help="A folder that the program can change.")
@click.option("--network", is_flag=True, help="Let the program use the network.")
@click.option(
    "--private", metavar="NETWORK", multiple=True, help="A private network that the address may lie in."
)
def add(  # noqa: PLR0917  # click hands over each by its name
    door: Door,
    server: str,
    program: tuple[str, ...],
    url: str | None,
    env: tuple[str, ...],
    header: tuple[str, ...],
    read_only: tuple[str, ...],
    writes: tuple[str, ...],
    private: tuple[str, ...],
    *,
    network: bool,
) -> None:
    """Name a server NAME in assent.toml, by the COMMAND that starts it or by its `--url`. Nothing of it is trusted by that.

    Its program runs confined: no network, no workspace, no home, and of your environment nothing but what `--env` says.
    """
    written = door.perform(
        service.requests.AddServer(
            name=server,
            command=[*program],
            url=url,
            env=_pairs(env, "--env"),
            headers=_pairs(header, "--header"),
            read_only=[os.path.abspath(door.cwd / path) for path in read_only],  # noqa: PTH100  # links stay links
            writes=[os.path.abspath(door.cwd / path) for path in writes],  # noqa: PTH100  # as above
            private=[*private],
            network=network,
        )
    )
    if door.out.is_json:
        door.out.object(written)
        return
    door.out.answer(f"`[mcp.servers.{server}]` is written: {safe_line(written.path)}")
    door.out.note(f"look at its tools, and decide: {door.command('mcp', 'trust', server)}")


@command("list", watches=False, short_help="List the MCP servers, and how far each is trusted.")
def list_(door: Door) -> None:
    """List the servers that assent.toml names. None of them is started or asked."""
    door.out.listing(
        door.perform(service.requests.Servers()).servers,
        lambda one, paint: [
            safe_line(one.name),
            paint(one.status, _STYLES.get(one.status)),
            count_text(sum(id_.count(".") == 2 for id_ in one.capabilities), "tool"),
            safe_line(_place(one.place), 60),
            safe_line("; ".join(fault.message for fault in one.faults.values()), 160),
        ],
        head=["server", "status", "tools", "at", ""],
        none="assent.toml names no MCP server: assent mcp add NAME -- COMMAND",
    )


def _place(place: object) -> str:
    match place:
        case {"url": str() as url}:
            return url
        case {"command": list() as words}:
            return " ".join(map(str, words))
        case _:
            return "?"


@command("inspect", watches=False, short_help="Show the tools of an MCP server as it lists them now.")
@click.argument("server", metavar="NAME", shell_complete=complete_server)
def inspect(door: Door, server: str) -> None:
    """Start the server NAME, confined as for a call, and show its tools, and what changed since it was trusted."""
    found = door.perform(service.requests.LookAtServer(name=server))
    door.out.tell(found, lambda: _text(found, door.out.paint()))


@command("trust", watches=False, short_help="Look at an MCP server's tools, and trust exactly these.")
@click.argument("server", metavar="NAME", shell_complete=complete_server)
@click.option("--digest", metavar="D", help="The fingerprint that was looked at; it answers the question.")
def trust(door: Door, server: str, digest: str | None) -> int:
    """Show the tools of the server NAME, and ask whether to trust exactly these.

    What was agreed to is pinned in `assent-mcp.lock`, each definition whole: a tool that is another later is not called.
    Without a terminal it takes `--digest`, as `assent mcp inspect` prints it. `--yes` does not answer this.
    """
    found = door.perform(service.requests.LookAtServer(name=server))
    trusted = trust_exactly(
        door,
        _SERVER,
        found,
        digest,
        lambda paint: _text(found, paint),
        asks=lambda digest: service.requests.TrustServer(name=server, digest=digest),
    )
    if trusted is None:
        return REFUSED
    if door.out.is_json:
        door.out.object(trusted)
    for one in trusted.warnings:
        if one["code"] == "MCP_SERVER_LATER":
            door.out.note(f"warning: {safe_line(str(one['message']), 300)}")
    return OK


@command("log", watches=False, short_help="Show what an MCP server printed on its standard error.")
@click.argument("server", metavar="NAME", shell_complete=complete_server)
def log(door: Door, server: str) -> None:
    """Show the end of what the program of the server NAME printed on its standard error, as long as who started it lives."""
    found = door.perform(service.requests.ServerLog(name=server))
    if door.out.is_json:
        door.out.object(found)
    elif found.printed:
        door.out.answer(safe(found.printed).rstrip("\n"))
    else:
        door.out.note(
            "no process that lives has started it, or it printed nothing: "
            "what it prints is kept by whoever started it, such as `assent serve`"
        )


@command("remove", watches=False, short_help="Take an MCP server out of assent.toml and of the lock.")
@click.argument("server", metavar="NAME", shell_complete=complete_server)
def remove(door: Door, server: str) -> None:
    """Take the server NAME out of assent.toml, with all that is said of its tools, and trust it no more."""
    written = door.perform(service.requests.RemoveServer(name=server))
    door.out.tell(written, lambda: f"MCP server `{server}` is gone: {safe_line(written.path)}")


def _text(found: service.answers.ServerFound, paint: Paint) -> str:
    """A server for a person: warnings, its tools, and what changed."""
    from assent.plugins import Difference

    blocks = [f"{paint(safe_line(found.name), 'bold')}  {safe_line(_place(found.place))}\n{found.digest}"]
    if found.warnings:
        lines = [
            f"  {paint(str(one['code']), 'yellow')}  {safe_line(str(one['message']), 300)}"
            for one in found.warnings
        ]
        blocks.append("\n".join([paint("warnings", "yellow"), *lines]))
    for tool in found.tools:
        risk = tool.risk or "left out"
        head = f"{paint(tool.capability, 'bold')}  {paint(risk, RISK_STYLE.get(risk, 'red'))}"
        described = [f"  {line}" for line in safe(tool.description).splitlines()]
        takes = tool.definition.get("inputSchema")
        given = (
            parameters_text(takes, paint).splitlines()
            if isinstance(takes, dict) and takes.get("properties")
            else []
        )
        blocks.append("\n".join([head, *described, *(f"  {line}" for line in given)]))
    if not found.tools:
        blocks.append("it lists no tools")
    if found.offers:
        blocks.append(f"and it can be read: {', '.join(found.offers)}")
    if found.differences:
        blocks.append(differences_text(convert(found.differences, list[Difference]), paint))
    return "\n\n".join(blocks)
