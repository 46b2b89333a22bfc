"""`assent serve`, `assent pipe` and `assent mcp` without more: let other programs, and agents, in."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Final

import click

from assent.cli._command import Group, Lazy, command, pass_door
from assent.cli._door import Door
from assent.cli._exit import OK
from assent.cli.terminal._output import is_a_terminal
from assent.errors import InputError, RefusedError
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.errors import AssentError
    from assent.runtime.service.service import Service
    from assent.server._app import Agents
    from assent.server._serve import Served


@command("serve", watches=False, short_help="Serve this state to other programs until told to end.")
def serve(door: Door) -> int:
    """Own the state directory, drive every run, and open the doors that `[serve]` of assent.toml names.

    SIGTERM and Ctrl-C let what is under way end, within `drain`; what waits stays. SIGHUP reads the policy, `[identity]`,
    `[serve.issuers]`, `[serve.rate]`, `[mcp]` and `[app]` again.
    """
    import asyncio

    from assent.cli._main import internal_fault
    from assent.server._serve import Outside, Told
    from assent.server._serve import serve as serve_doors

    def ready(doors: list[Served]) -> None:
        if door.out.is_json:
            door.out.object({"doors": doors})
            return
        for one in doors:
            door.out.answer(f"{one.door}  {safe_line(one.address)}")

    def fault(error: Exception) -> AssentError:
        return internal_fault(door, error)

    def agents(asked: Service, body_bytes: int) -> Agents:
        from assent.mcp._http import Agents as OverHttp

        return OverHttp(asked, fault, body_bytes=body_bytes)

    async def until_told() -> None:
        told = Told()
        told.by_signals()
        outside = Outside(
            environ=door.environ,
            resolve=door.resolve,
            ready=ready,
            note=door.out.aside,
            fault=fault,
            agents=agents,
        )
        await serve_doors(door.settings, told, outside)

    with asyncio.Runner() as runner:
        runner.run(until_told())
    return OK


@command("pipe", watches=False, short_help="Serve one program through standard input and output.")
def pipe(door: Door) -> int:
    """Answer JSON-RPC 2.0 in frames until the input ends (docs/pipe.md). Nothing but frames goes to stdout.

    What is asked before the end is carried out; SIGTERM and Ctrl-C end it as they end `assent serve`.
    """
    import asyncio

    from assent.cli._main import internal_fault
    from assent.server.pipe._pipe import own_ends, serve

    door.out.is_json = False  # what keeps it from starting is no frame
    if is_a_terminal(sys.stdin):
        raise InputError(
            "USAGE_INVALID", "`assent pipe` reads frames from a program", hint="see docs/pipe.md"
        )
    settings = door.settings
    with own_ends() as ends, asyncio.Runner() as runner:
        runner.run(serve(settings, ends, lambda error: internal_fault(door, error)))
    return OK


AGENT: Final = "agent:mcp"
"""Who acts behind `assent mcp` where nobody is named."""


@pass_door
def _serve_agent(door: Door, only: str | None) -> int:
    """Answer the Model Context Protocol until the input ends (docs/mcp.md): every call of the agent is a step of one session.

    The agent acts as `agent:mcp`, or as `--as` says; never as a person. `assent undo` takes the session back.

    The commands below name MCP servers of others, whose tools become capabilities.
    """
    if click.get_current_context().invoked_subcommand is not None:
        if only is not None:
            raise InputError("USAGE_INVALID", "`--only` is for the agent that `assent mcp` serves")
        return OK
    import asyncio

    from assent.cli._main import internal_fault
    from assent.mcp._stdio import serve
    from assent.runtime.settings._servers import require_server
    from assent.spec.principal import PrincipalKind

    door.out.is_json = False  # what keeps it from starting is no message of the protocol
    if is_a_terminal(sys.stdin):
        raise InputError(
            "USAGE_INVALID", "`assent mcp` is started by an agent's program", hint="see docs/mcp.md"
        )
    door.flags.principal = door.flags.principal or door.environ.get("ASSENT_PRINCIPAL") or AGENT
    settings = door.settings
    if settings.principal.type is PrincipalKind.USER:
        raise RefusedError(
            "IDENTITY_REFUSED",
            f"an agent acts as itself, and not as `{settings.principal}`",
            hint=f"leave `--as` out, or name an agent: `--as {AGENT}`",
        )
    if only is not None:
        require_server(settings.servers, only)  # now, and not as the error of every request of a client
    with asyncio.Runner() as runner:
        runner.run(serve(settings, lambda error: internal_fault(door, error), only))
    return OK


mcp = Group(
    "mcp",
    lazy={
        name: Lazy("assent.cli.plugins._servers", attribute, summary)
        for name, attribute, summary in (
            ("add", "add", "Write an MCP server into assent.toml."),
            ("list", "list_", "List the MCP servers, and how far each is trusted."),
            ("inspect", "inspect", "Show the tools of an MCP server as it lists them now."),
            ("trust", "trust", "Look at an MCP server's tools, and trust exactly these."),
            ("log", "log", "Show what an MCP server printed on its standard error."),
            ("remove", "remove", "Take an MCP server out of assent.toml and of the lock."),
        )
    },
    params=[
        click.Option(
            ["--only"],
            metavar="SERVER",
            help="Offer the tools of this MCP server alone, called as it calls them.",
        )
    ],
    help=_serve_agent.__doc__,
    short_help="Serve one agent through standard input and output; name MCP servers of others.",
    invoke_without_command=True,
    callback=_serve_agent,
)
