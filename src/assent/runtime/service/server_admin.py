"""What `assent mcp add|list|inspect|remove` does: MCP servers written into assent.toml, looked at, and told of.

Nothing here trusts: that is a governed call, `assent.mcp.trust`. A server that is looked at is started, confined as for a call,
and ended again.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from assent.errors import AssentError, InputError
from assent.runtime.service import answers, requests
from assent.runtime.settings._configuration import PROJECT_FILE
from assent.runtime.settings._servers import MCP, SERVER_NAME, one_way_to
from assent.runtime.settings.effective import Settings
from assent.runtime.wiring._servers import Servers, entry_of, told_of, unnamed
from assent.spec.documents.settings import Named, Setting, WithinError
from assent.spec.documents.toml import parse_toml
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
                faults={key: msgspec.convert(one.to_dict(), answers.Fault) for key, one in own.items()},
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
        raise _invalid("name", "must be lower-case letters, digits and `_`, beginning with a letter")
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
            raise _invalid(key, str(error)) from None
    try:
        one_way_to(said)
    except WithinError as error:
        raise InputError(
            "INVALID_INPUT",
            f"MCP server `{request.name}` {error}",
            path=".".join(error.below) or None,
            hint=error.hint or f"assent mcp add {request.name} -- COMMAND, or with `--url URL`",
        ) from None
    lines = [f"[mcp.servers.{request.name}]", *(f"{key} = {_toml(value)}" for key, value in said.items())]
    path = _file(settings)
    text = _text(path)
    new = "\n".join([*([text.rstrip("\n"), ""] if text.strip() else []), *lines, ""])
    wanted = _tables(text, path)
    wanted.setdefault("mcp", {}).setdefault("servers", {})[request.name] = said
    _write(path, new, wanted)
    return answers.ServerWritten(name=request.name, path=str(path))


def remove(settings: Settings, servers: Servers, request: requests.RemoveServer) -> answers.ServerWritten:
    """Take a server out of assent.toml. MCP_SERVER_UNKNOWN, CONFIG_INVALID."""
    name = request.name
    server: Server = servers.server(name)
    path = _file(settings)
    text = _text(path)
    kept: list[str] = []
    is_ours = False
    header = re.compile(rf"""\s*\[\s*mcp\s*\.\s*servers\s*\.\s*(["']?){server.name}\1\s*[.\]]""")
    for line in text.splitlines(keepends=True):
        if line.lstrip().startswith("["):
            is_ours = header.match(line) is not None
        if not is_ours:
            kept.append(line)
    wanted = _tables(text, path)
    del wanted["mcp"]["servers"][name]
    new = "".join(kept)
    if is_ours and new.strip():  # it was the last table: nor does the line stay that stood before it
        new = new.rstrip("\n") + "\n"
    _write(path, new, wanted)
    return answers.ServerWritten(name=name, path=str(path))


def _file(settings: Settings) -> Path:
    return settings.config_path or settings.workspace / PROJECT_FILE


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.exists() else ""


def _tables(text: str, path: Path) -> dict[str, Any]:  # `Any`: what TOML holds
    return parse_toml(text.encode(), str(path), code="CONFIG_INVALID")[0]


def _write(path: Path, text: str, wanted: Mapping[str, Any]) -> None:  # `Any`: as above
    """Write the file, if it then says what it said before but for the change; a person's file is edited, not made anew."""
    from assent.plugins._lock_file import replace_file

    try:
        now = _tables(text, path)
    except InputError:
        now = {}
    if _plain(now) != _plain(wanted):
        raise InputError(
            "CONFIG_INVALID",
            "assent.toml is written in a way that can't be edited safely",
            path=str(path),
            hint="change `[mcp.servers]` there by hand",
        )
    replace_file(path, text, "configuration", mode=0o644)


def _plain(tables: Mapping[str, Any]) -> Mapping[str, Any]:  # `Any`: as above
    """Without tables of ours that nothing is left in, which no file has to name."""
    mcp = {key: one for key, one in tables.get("mcp", {}).items() if key != "servers" or one}
    rest = {key: one for key, one in tables.items() if key != "mcp"}
    return {**rest, "mcp": mcp} if mcp else rest


def _toml(value: object) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return json.dumps(value, ensure_ascii=False)
        case list() | tuple():
            return f"[{', '.join(map(_toml, value))}]"
        case dict():
            inner = ", ".join(
                f"{json.dumps(key, ensure_ascii=False)} = {_toml(one)}" for key, one in value.items()
            )
            return f"{{ {inner} }}"
        case _:
            raise AssertionError("nothing else is written")


def _invalid(key: str, why: str) -> InputError:
    return InputError("INVALID_INPUT", f"`{key}` {why}", path=key)
