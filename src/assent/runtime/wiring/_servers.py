"""MCP servers of others in one runtime: their trusted tools registered, and the ways to them.

What is registered comes from the lock alone: no server is started, and the SDK is not imported, before a tool is called.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from assent import system
from assent.errors import AssentError, InputError, Json, WorldError
from assent.runtime.capabilities._registered import Capabilities
from assent.runtime.settings._servers import require_server
from assent.spec.words.legible import safe_line
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.invocation.context.companion import Companion
    from assent.plugins.upstream import Connection, Link, Pinned, Server, Tool
    from assent.runtime.settings.effective import Settings
    from assent.runtime.wiring._plugin_hosts import Launcher
    from assent.spec.secret_text import SecretText


def origin_of(name: str) -> str:
    """What the registry says of where a server's tools come from."""
    return f"mcp server {name}"


class Servers:
    """The servers of a runtime, by name. `faults`: why a server or a tool (`SERVER.TOOL`) is left out.

    `names`: what the servers themselves call their tools, by the ids that these have here. `looked`: what each listed when it was
    last looked at.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connections: dict[str, Connection] = {}
        self._retired: list[Connection] = []
        self._registered: dict[str, tuple[Server, Pinned]] = {}
        self._protected = _programs_of(settings)
        self._others_of: dict[str, frozenset[str]] = {}
        self._launcher: Launcher | None = None
        self.faults: dict[str, AssentError] = {}
        self.names: dict[str, str] = {}
        self.looked: dict[str, list[Tool]] = {}
        self._printed: dict[str, bytearray] = {}
        self._hearers: set[Companion] = set()

    def register(self, capabilities: Capabilities) -> None:
        """Register every tool that is trusted as it is written down. What can't be is left out, and `faults` says why."""
        try:
            self.refresh(capabilities)
        except AssentError as error:
            self.faults[self._settings.server_lock.name] = error

    def refresh(self, capabilities: Capabilities) -> None:
        """Register what is configured and trusted by now. PLUGIN_LOCK_INVALID, PLUGIN_LOCK_PERMISSIONS: then all stays as it is.

        A server that is as it was keeps its connection. One that was removed, or is configured otherwise, takes no more calls;
        those under way end as they are.
        """
        pins = self.pins() if self._settings.servers else {}
        self.faults.pop(self._settings.server_lock.name, None)
        servers = self._settings.servers
        known = {name: (server, pins[name]) for name, server in servers.items() if name in pins}
        for name in [name for name, held in self._registered.items() if known.get(name) != held]:
            self._take_out(name, capabilities)
        self._retired = [one for one in self._retired if not one.is_over]
        for name, connection in [*self._connections.items()]:
            if servers.get(name) != connection.server or name not in pins:
                self._retired.append(self._connections.pop(name))
                connection.retire()
        for name, (server, pinned) in known.items():
            if name not in self._registered:
                self._registered[name] = (server, pinned)
                self._others_of.clear()
                self._add(server, pinned, pins, capabilities)

    def pins(self) -> dict[str, Pinned]:
        """What the lock says, by server. PLUGIN_LOCK_INVALID, PLUGIN_LOCK_PERMISSIONS."""
        if not self._settings.server_lock.exists():
            return {}
        from assent.plugins.upstream import load_pins

        return load_pins(self._settings.server_lock)

    def save(self, pins: dict[str, Pinned]) -> None:
        """Write the lock; durable when this returns. `WorldError` WORKSPACE_UNUSABLE."""
        from assent.plugins.upstream import save_pins

        save_pins(self._settings.server_lock, pins)

    def _take_out(self, name: str, capabilities: Capabilities) -> None:
        del self._registered[name]
        self._others_of.clear()
        self.faults = {
            key: fault for key, fault in self.faults.items() if key != name and not key.startswith(f"{name}.")
        }
        registry = capabilities.registry
        gone = [spec for spec in registry.installed() if registry.origin(spec.reference) == origin_of(name)]
        capabilities.unregister(spec.reference for spec in gone)
        for spec in gone:
            self.names.pop(spec.id, None)

    def _add(
        self, server: Server, pinned: Pinned, pins: Mapping[str, Pinned], capabilities: Capabilities
    ) -> None:
        from assent.plugins.upstream import capability_of, passed_of, tools_of

        name = server.name
        if pinned.place != server.place:
            self.faults[name] = moved(server)
            return
        if not self._protected.issuperset(server.program_in(self._settings.workspace)):
            self.faults[name] = InputError(
                "MCP_SERVER_LATER",
                f"MCP server `{name}` is a program in the workspace, which is protected from the next start on",
                hint="end the process that owns the state, and start it anew",
            )
            return
        trusted = {tool.name: tool for tool in tools_of(name, [*pinned.tools.values()]) if tool.fault is None}
        others = partial(self._others, capabilities, pins, name)
        for tool in trusted.values():
            try:
                spec, handler = capability_of(server, tool, trusted, self.connection(name), others)
                # It is meant that a tool changes under one version: somebody looked at the change and agreed.
                capabilities.register(spec, handler, origin=origin_of(name), replace=True, breaking=True)
                self.names[spec.id] = tool.name
            except AssentError as error:
                self.faults[f"{name}.{tool.name}"] = error
        for tool_name in sorted(server.tools.keys() - trusted.keys()):
            self.faults[f"{name}.{tool_name}"] = unnamed(name, tool_name, trusted)
        for spec, handler in passed_of(server, pinned.offers, self.connection(name), others):
            capabilities.register(spec, handler, origin=origin_of(name), replace=True, breaking=True)

    def _others(self, capabilities: Capabilities, pins: Mapping[str, Pinned], name: str) -> frozenset[str]:
        """Capabilities and tools that are not this server's, as a model may name them; looked for once."""
        if name not in self._others_of:
            ids = {
                spec.id
                for spec in capabilities.registry.installed()
                if not spec.id.startswith(f"mcp.{name}.")
            }
            tools = {tool for other, pinned in pins.items() if other != name for tool in pinned.tools}
            # A word of the language says nothing of a tool that is called like it.
            self._others_of[name] = frozenset(
                {*ids, *(one.replace(".", "_") for one in ids), *(tool for tool in tools if "_" in tool)}
            )
        return self._others_of[name]

    def connection(self, name: str) -> Connection:
        """The one client of a server. `InputError` MCP_SERVER_UNKNOWN."""
        if name not in self._connections:
            from assent.plugins.upstream import Connection

            self._connections[name] = Connection(
                self.server(name), self._open, spawn=system.spawn, hearers=self._hearers
            )
        return self._connections[name]

    def server(self, name: str) -> Server:
        """What assent.toml says of a server. `InputError` MCP_SERVER_UNKNOWN."""
        return require_server(self._settings.servers, name)

    @asynccontextmanager
    async def heard_by(self, hearer: Companion) -> AsyncIterator[None]:
        """Inside, every server that tells of changes tells this one, too."""
        self._hearers.add(hearer)
        try:
            await asyncio.gather(*(one.follow() for one in self._connections.values()))
            yield
        finally:
            self._hearers.discard(hearer)

    async def look(self, name: str) -> list[Tool]:
        """The tools that a server lists now, whoever trusts it. `AssentError` as `Connection.list_tools` raises."""
        from assent.invocation import Metrics
        from assent.plugins.upstream import Tool
        from assent.runtime.wiring._secrets import runtime_secrets

        server = self.server(name)
        secrets = runtime_secrets(Metrics(), self._settings.secrets)

        async def reveal(given: Mapping[str, SecretText]) -> Mapping[str, str]:
            values = {
                one: (
                    await secrets.read(
                        one, capability=f"mcp.{name}", granted=server.secrets, host=server.host
                    )
                ).reveal()
                for one in server.secrets
            }
            return {key: text.filled(values.__getitem__) for key, text in given.items()}

        redactor = secrets.redactor
        try:
            tools = await self.connection(name).list_tools(reveal)
        except AssentError as error:
            hidden: Any = redactor.json(dict(error.to_dict()))  # `Any`: an object stays one
            raise type(error).from_dict(hidden) from None
        # What is trusted is written down and shown: a secret is given back by nobody who means well.
        why = "its definition holds a secret that it was given"
        shown: list[Any] = [redactor.json(tool.definition) for tool in tools]  # `Any`: as above
        self.looked[name] = [
            tool if tool.definition == told else Tool(tool.name, told, why)
            for tool, told in zip(tools, shown, strict=True)
        ]
        return self.looked[name]

    async def _open(self, server: Server, given: Mapping[str, str]) -> Link:
        if server.url is not None:
            from assent.runtime.wiring._server_web import Web

            return Web(server, given)
        from assent.plugins.upstream import Pipes
        from assent.runtime.wiring._plugin_hosts import Launcher

        if self._launcher is None:
            self._launcher = Launcher(self._settings)
        program = server.command[0]
        for folder in server.writes:
            self._make(server, folder)
        child = await self._launcher.start(
            server.command,
            readable=[*map(str, server.read_only), *([program] if program.startswith("/") else [])],
            writable=server.writes,
            environment=given,
            programs=True,
            network=server.network,
        )
        kept = self._printed.setdefault(server.name, bytearray())
        return Pipes(
            child,
            server.bounds,
            kept=kept,
            hint=_unseen(server),
        )

    def printed(self, name: str) -> str:
        """The end of what a server's programs printed on their standard error, since this process began. MCP_SERVER_UNKNOWN."""
        return bytes(self._printed.get(self.server(name).name, b"")).decode(errors="replace")

    def _make(self, server: Server, folder: Path) -> None:
        """A folder that a program can change. `InputError` PATH_PROTECTED, `WorldError` WORKSPACE_UNUSABLE.

        Nothing of Assent's own is in it, and no link below the workspace, which an agent may have made, leads to it.
        """
        settings, real, root = self._settings, folder.resolve(), self._settings.workspace
        own = [path.resolve() for path in (*settings.hidden_files, *settings.control_files)]
        is_led = folder.is_relative_to(root) and real != root.resolve() / folder.relative_to(root)
        if is_led or any(path.is_relative_to(real) or real.is_relative_to(path) for path in own):
            raise InputError(
                "PATH_PROTECTED",
                f"MCP server `{server.name}` can't be given `{folder}` to write: it is a link, or has to do with control files",
                hint=f"name a folder of its own under `writes` of `[mcp.servers.{server.name}]`",
            )
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise WorldError(
                "WORKSPACE_UNUSABLE", f"the folder `{folder}` can't be made: {error.strerror}"
            ) from error

    async def close(self) -> None:
        """End every connection and program; harmless when done twice."""
        # All at once: one that is slow to end holds up no other, and a hundred no longer than the slowest.
        await asyncio.gather(*(one.close() for one in (*self._connections.values(), *self._retired)))
        if self._launcher is not None:
            self._launcher.close()
            self._launcher = None


def _programs_of(settings: Settings) -> frozenset[Path]:
    """What of the workspace the servers run: control files, which are protected from the start of a process on."""
    programs = (server.program_in(settings.workspace) for server in settings.servers.values())
    return frozenset(path for one in programs for path in one)


def _unseen(server: Server) -> str | None:
    """What to do about a command that names what its program can't see inside the sandbox; None where it sees all of it."""
    from assent.runtime.wiring._plugin_hosts import OURS, PATH
    from assent.sandbox import SYSTEM_FOLDERS

    program, *words = server.command
    table = f"`[mcp.servers.{server.name}]`"
    if "/" not in program:
        if shutil.which(program, path=PATH) is not None:
            program = ""
        elif (found := shutil.which(program)) is not None:
            return f"inside the sandbox `PATH` is `{PATH}`: name the program as `{found}` in `command` of {table}"
        else:
            return f"there is no program `{safe_line(program, 80)}`: look at `command` of {table}"
    seen: list[str | Path] = [*SYSTEM_FOLDERS, *OURS, *server.read_only, *server.writes]
    named = [Path(word) for word in (program, *words) if word.startswith("/") and Path(word).exists()]
    hidden = [path for path in named if not any(path.is_relative_to(one) for one in seen)]
    if not hidden:
        return None
    # A program is shown by itself, and what it was installed with is not.
    needs = [_installed(path) if str(path) == program else path for path in hidden]
    told = ", ".join(f"`{safe_line(str(path), 120)}`" for path in needs if str(path) != program)
    if not told:  # it is alone there, and may need nothing else
        return f"its program sees nothing beside itself: name what it needs under `read_only` of {table}"
    return f"its program sees no {told}: name what it needs under `read_only` of {table}"


def _installed(program: Path) -> Path:
    """The virtual environment that a program is of, perhaps through links (`~/.local/bin`); else its own file.

    Never a folder by its place alone: what is two above `~/bin/server` is the whole home.
    """
    seen = {program}
    while (
        not (found := program.parents[1] if len(program.parents) > 1 else program)
        .joinpath("pyvenv.cfg")
        .is_file()
    ):
        if not program.is_symlink() or (program := program.parent / program.readlink()) in seen:
            return program
        seen.add(program)
    return found


def unnamed(server: str, tool: str, known: Iterable[str]) -> InputError:
    """Of a word on a tool that there is not: where it says what is secret, nothing is."""
    return InputError(
        "MCP_TOOL_INVALID",
        f"`[mcp.servers.{server}.tools.{safe_line(tool, 80)}]` speaks of a tool that is not there, or not trusted",
        path=tool,
        hint=did_you_mean(tool, known, otherwise="look at how it is written"),
    )


def moved(server: Server) -> InputError:
    """Of a server that was trusted as another program or address."""
    return InputError(
        "MCP_TOOL_CHANGED",
        f"MCP server `{server.name}` was trusted as another program or address than assent.toml names now",
        hint=f"look at it, and decide anew: assent mcp trust {server.name}",
    )


def entry_of(server: Server, tools: list[Tool], by: str, offers: Sequence[str]) -> Pinned:
    """What the lock says once somebody trusts these tools; those that nobody can trust stay out."""
    from assent.plugins.upstream import Pinned

    trusted = {tool.name: tool.definition for tool in tools if tool.fault is None}
    return Pinned.of(server, trusted, by, offers)


def told_of(entry: Pinned) -> dict[str, Json]:
    """What people agree to of an entry, for differences."""
    return {"place": entry.place, "tools": dict(entry.tools), "offers": [*entry.offers]}
