"""What `assent mcp add|list|inspect|remove` does: MCP servers written into assent.toml, looked at, and told of.

Nothing here trusts: that is a governed call, `assent.mcp.trust`. A server that is looked at is started, confined as for a call,
and ended again.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from assent.errors import AssentError, InputError
from assent.runtime.service import answers, requests
from assent.runtime.service._project_file import ProjectFile, invalid
from assent.runtime.settings._servers import MCP, SERVER_NAME, one_way_to
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._servers import Servers, entry_of, told_of, unnamed
from assent.spec.documents.settings import Named, Setting, WithinError
from assent.spec.values.typed import convert
from assent.spec.words.legible import safe_line

if TYPE_CHECKING:
    from assent.plugins.upstream import Pinned, Server, Tool
    from assent.runtime._core import Core


def listed(settings: Settings, runtime: Core) -> answers.Servers:
    """The servers that assent.toml names, and how far each is trusted. None is asked."""
    from assent.runtime.wiring._servers import origin_of

    registry, faults = runtime.registry, runtime.servers.faults
    pins = runtime.servers.pins()
    found = []
    for name, server in settings.servers.items():
        pinned = pins.get(name)
        own = {key: fault for key, fault in faults.items() if key == name or key.startswith(f"{name}.")}
        status = "untrusted" if pinned is None else "changed" if pinned.place != server.place else "trusted"
        found.append(
            answers.Server(
                name=name,
                status=status,
                place=server.place,
                capabilities=[
                    spec.id
                    for spec in registry.installed()
                    if registry.origin(spec.reference) == origin_of(name)
                ],
                secrets=[*server.secrets],
                trusted_by=None if pinned is None else pinned.trusted_by,
                faults={key: convert(one.to_dict(), answers.Fault) for key, one in own.items()},
            )
        )
    return answers.Servers(servers=found)


async def look(settings: Settings, runtime: Core, name: str) -> answers.ServerFound:
    """What trusting a server's tools would agree to."""
    tools = await runtime.servers.look(name)
    return told(settings, runtime, name, tools, runtime.servers.pins().get(name))


def told(
    settings: Settings, runtime: Core, name: str, tools: list[Tool], before: Pinned | None
) -> answers.ServerFound:
    """A server that lists these tools, beside what was trusted of it before."""
    from assent.invocation import BoundCapability
    from assent.plugins import PluginWarning
    from assent.plugins._differences import manifest_differences
    from assent.plugins.upstream import capability_id, capability_of, warnings_of

    server = runtime.servers.server(name)
    warnings = warnings_of(tools, _others(runtime, runtime.servers.pins(), name))
    trusted = {tool.name: tool for tool in tools if tool.fault is None}
    shown: list[answers.ServerTool] = []
    for tool in trusted.values():
        risk: str | None = None
        try:
            spec, handler = capability_of(server, tool, trusted, runtime.servers.connection(name))
            BoundCapability(spec, handler)  # refuses schemas that are none
            risk = spec.risk.level.value
        except AssentError as error:
            warnings.insert(
                0, PluginWarning(code=error.code, message=error.message, path=tool.name, hint=error.hint)
            )
        shown.append(
            answers.ServerTool(
                name=tool.name,
                capability=capability_id(name, tool.name),
                description=str(tool.definition.get("description", "")),
                risk=risk,
                definition=tool.definition,
            )
        )
    for folder in server.open_in(settings.workspace):
        warnings.insert(
            0,
            PluginWarning(
                code="MCP_SERVER_OPEN",
                message=f"MCP server `{name}` reads `{safe_line(str(folder), 200)}`, which agents can change",
                path=name,
                hint="if its program runs what lies there, name the file in `command`, or keep it somewhere else",
            ),
        )
    for one in sorted(server.tools.keys() - trusted.keys()):
        fault = unnamed(name, one, trusted)
        warnings.append(PluginWarning(code=fault.code, message=fault.message, path=one, hint=fault.hint))
    entry = entry_of(server, tools, "", runtime.servers.connection(name).offers)
    return answers.ServerFound(
        name=name,
        digest=entry.digest,
        trusted=before is not None and before.digest == entry.digest,
        is_new=before is None,
        lock=str(settings.server_lock),
        place=server.place,
        tools=shown,
        offers=entry.offers,
        differences=[]
        if before is None
        else [one.to_json() for one in manifest_differences(told_of(before), told_of(entry))],
        warnings=[one.to_json() for one in warnings],
    )


def _others(runtime: Core, pins: Mapping[str, Pinned], name: str) -> dict[str, str]:
    """What a tool of this server should not speak of or be called like: tools of others, and capabilities."""
    from assent.plugins.upstream import capability_id

    found = {
        named: spec.id
        for spec in runtime.registry.installed()
        if not spec.id.startswith(f"mcp.{name}.")
        for named in (spec.id, spec.id.replace(".", "_"))  # the latter is what an agent is shown
    }
    for other, pinned in pins.items():
        if other != name:
            found |= {tool: capability_id(other, tool) for tool in pinned.tools}
    return found


def add(settings: Settings, request: requests.AddServer) -> answers.ServerWritten:
    """Write a server into assent.toml. `InputError` MCP_SERVER_EXISTS, INVALID_INPUT, CONFIG_INVALID."""
    if SERVER_NAME.match(request.name) is None:
        raise invalid("name", "must be lower-case letters, digits and `_`, beginning with a letter")
    if request.name in settings.servers:
        raise InputError(
            "MCP_SERVER_EXISTS",
            f"assent.toml names an MCP server `{request.name}` already",
            hint=f"change it there, or: assent mcp remove {request.name}",
        )
    given: dict[str, Any] = {  # `Any`: what TOML holds
        "command": request.command,
        "url": request.url,
        "env": request.env,
        "headers": request.headers,
        "read_only": request.read_only,
        "writes": request.writes,
        "private": request.private,
        "network": request.network,
    }
    said = {key: value for key, value in given.items() if value}
    servers = MCP["servers"]
    assert isinstance(servers, Named), "servers are named"
    for key, value in said.items():
        setting: Setting = servers.table[key]
        try:
            setting.read(value)
        except ValueError as error:
            raise invalid(key, str(error)) from None
    try:
        one_way_to(said)
    except WithinError as error:
        raise InputError(
            "INVALID_INPUT",
            f"MCP server `{request.name}` {error}",
            path=".".join(error.below) or None,
            hint=error.hint or f"assent mcp add {request.name} -- COMMAND, or with `--url URL`",
        ) from None
    file = ProjectFile(settings, "mcp.servers")
    file.tables.setdefault("mcp", {}).setdefault("servers", {})[request.name] = said
    file.write(file.with_table(file.text, f"mcp.servers.{request.name}", said))
    return answers.ServerWritten(name=request.name, path=str(file.path))


def remove(settings: Settings, servers: Servers, request: requests.RemoveServer) -> answers.ServerWritten:
    """Take a server out of assent.toml. MCP_SERVER_UNKNOWN, CONFIG_INVALID."""
    name = request.name
    server: Server = servers.server(name)
    file = ProjectFile(settings, "mcp.servers")
    kept: list[str] = []
    is_ours = False
    header = re.compile(rf"""\s*\[\s*mcp\s*\.\s*servers\s*\.\s*(["']?){server.name}\1\s*[.\]]""")
    for line in file.text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            is_ours = header.match(line) is not None
        if not is_ours:
            kept.append(line)
    del file.tables["mcp"]["servers"][name]
    new = "".join(kept)
    if is_ours and new.strip():  # it was the last table: nor does the line stay that stood before it
        new = new.rstrip("\n") + "\n"
    file.write(new)
    return answers.ServerWritten(name=name, path=str(file.path))
