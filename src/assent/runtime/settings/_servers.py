"""`[mcp]` of assent.toml: MCP servers of others, whose tools become capabilities once they are trusted.

[mcp.servers.tickets]
command = ["tickets-mcp", "--project", "core"]
env = { TICKETS_TOKEN = "secret://tickets/token" }
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from assent._lazy import compiled_when_asked
from assent.errors import AssentError, InputError, Json
from assent.spec.documents.settings import (
    DURATION,
    Named,
    Setting,
    Table,
    Texts,
    Whole,
    WithinError,
    flag,
    listed,
    tables,
)
from assent.spec.secret_text import SecretText
from assent.spec.values.typed import convert
from assent.spec.words.suggestions import did_you_mean

if TYPE_CHECKING:
    from assent.plugins.upstream import Server

SERVER_NAME: Final = compiled_when_asked(r"[a-z][a-z0-9_]{0,62}\Z")
_NETWORKS: Final = Texts('must be a list of networks: `["127.0.0.1/32"]`')
_URL: Final = compiled_when_asked(r"https?://[^\s/?#@\\]+(/[^\s#]*)?\Z")


def _url(value: object) -> Json:
    if not isinstance(value, str) or not _URL.match(value):
        raise ValueError('must be an address without a name and a password: `"https://mcp.example.org/mcp"`')
    from assent.capabilities.net._url import parse_url

    try:
        host = parse_url(value).host
    except AssentError as error:
        raise ValueError(f"must be an address that has one reading: {error.message}") from None
    # Who may have a secret is asked by the host as it is written, and requests go where it leads: both are the same.
    if (urlsplit(value).hostname or "").rstrip(".") != host:
        raise ValueError(f"must have its host written as `{host}`")
    return value


def _command(value: object) -> Json:
    if (
        not isinstance(value, list)
        or not value
        or not all(isinstance(one, str) and "\0" not in one for one in value)
    ):
        raise ValueError('must be a program and its arguments: `["tickets-mcp", "--stdio"]`')
    return value


def _networks(value: object) -> Json:
    import ipaddress

    written = _NETWORKS(value)
    try:
        return [str(ipaddress.ip_network(str(one))) for one in written]
    except ValueError as error:
        raise ValueError(f"{_NETWORKS.form}; {error}") from None


def _granted(value: object) -> Json:
    if not isinstance(value, dict) or not all(
        isinstance(one, str) and not re.search(r"[\0\r\n]", one) for one in value.values()
    ):
        raise ValueError('must be a table of texts: `{ TOKEN = "secret://tickets/token" }`')
    for text in value.values():
        SecretText.parse(text)
    return value


def _env(value: object) -> Json:
    granted: Any = _granted(value)  # `Any`: a table of texts
    for name in granted:
        if not re.fullmatch(r"[^\0=]+", name):
            raise ValueError(f"must have names without `=`: `{name[:80]}` is not a name of a variable")
    return granted  # type: ignore[no-any-return]  # as above


def _headers(value: object) -> Json:
    from assent.capabilities.net._headers import fault_of_name

    granted: Any = _granted(value)  # `Any`: as above
    seen: set[str] = set()
    for name in granted:
        fault = f"the header `{name}` is given twice" if name.lower() in seen else fault_of_name(name)
        if fault is not None:
            raise ValueError(f"must be headers of requests: {fault}")
        seen.add(name.lower())
    return granted  # type: ignore[no-any-return]  # as above


def _tools(value: object) -> Json:
    """The operator's word on tools, by name."""
    from assent.plugins.upstream import ToolSettings
    from assent.spec.checked_schema import read_struct

    if not isinstance(value, dict):
        raise ValueError("must be a table of tools: `[mcp.servers.NAME.tools.TOOL]`")  # noqa: TRY004  # as every reader
    for name, said in value.items():
        try:
            read_struct(
                said, ToolSettings, code="CONFIG_INVALID", what=f"what is said of the tool `{name}` is"
            )
        except InputError as error:
            faults: Any = error.details["faults"]  # `Any`: as `invalid` tells them, each with its place
            raise WithinError(error.message, (name, *map(str, faults[0]["path"])), error.hint) from None
    return value


_OF_A_PROGRAM: Final = ("env", "network", "read_only", "writes")
_OF_AN_ADDRESS: Final = ("headers", "private")


def one_way_to(said: Mapping[str, object]) -> None:
    """Raise `WithinError` where a server is not one of a program and an address, or has what only the other could use."""
    is_program = bool(said.get("command"))
    if is_program is bool(said.get("url")):
        raise WithinError("needs a `command` or a `url`, and not both", ())
    for key in _OF_AN_ADDRESS if is_program else _OF_A_PROGRAM:
        if said.get(key):
            what = "a `command` has no use for" if is_program else "a `url` has no use for"
            others = ", ".join(f"`{one}`" for one in (_OF_A_PROGRAM if is_program else _OF_AN_ADDRESS))
            raise WithinError(f"can't have `{key}`: {what} it", (key,), f"it may have {others}")
    headers: Any = said.get("headers") or {}  # `Any`: a checked table of texts
    is_open = str(said.get("url", "")).startswith("http://") and not said.get("private")
    if is_open and any(SecretText.parse(text).names for text in headers.values()):
        raise WithinError(
            "can't have secrets in `headers`: they could be read on the way to an `http` address",
            ("headers",),
            "use `https`, or name the network of your own that the address lies in under `private`",
        )


def _shown(said: Mapping[str, Json]) -> dict[str, Json]:
    """What people see: of variables and headers the names alone, because somebody may have written a value there."""
    return {
        name: [*value] if name in ("env", "headers") and isinstance(value, dict) else value
        for name, value in said.items()
    }


MCP: Final[Table] = {
    "servers": Named(
        "name of a server",
        {
            "command": Setting(_command, "the program and its arguments, where the server is one"),
            "url": Setting(_url, "its address, where it is not"),
            "env": Setting(_env, "variables of the program; values may hold [`secret://NAME`](secrets.md)"),
            "headers": Setting(_headers, "headers of each request, in the same way"),
            "network": Setting(flag, "whether the program may use the network", default=False),
            "read_only": Setting(
                Texts('must be a list of folders and files: `["/opt/tickets"]`'),
                "folders and files that the program can read",
            ),
            "writes": Setting(
                Texts('must be a list of folders: `["tickets-data"]`'),
                "folders that the program can change, and that are made where they are missing; none with a control file in it",
            ),
            "private": Setting(_networks, "private networks that the address may lie in"),
            "timeout": Setting(DURATION, "one call of a tool", 60_000),
            "answer_bytes": Setting(Whole(1024, 64 << 20), "one message of the server", 4 << 20),
            "tools": Setting(_tools, "[your word on its tools](mcp.md#your-word), by name"),
        },
        is_name=lambda name: SERVER_NAME.match(name) is not None,
        signs="_",
        check=one_way_to,
        shown=_shown,
    )
}
"""What `[mcp]` may hold."""


def require_server(servers: Mapping[str, Server], name: str) -> Server:
    """One of the servers. `InputError` MCP_SERVER_UNKNOWN."""
    if name not in servers:
        raise InputError(
            "MCP_SERVER_UNKNOWN",
            f"assent.toml names no MCP server `{name[:80]}`",
            hint=did_you_mean(name, servers, otherwise="see: assent mcp list"),
        )
    return servers[name]


def servers_of(said: Mapping[str, Json], workspace: Path) -> dict[str, Server]:
    """The servers from checked values, by name; a program in the workspace (`./…`) by its absolute path."""
    found = tables(said, "servers")
    if not found:
        return {}

    from assent.plugins.upstream import Server, ToolSettings

    servers: dict[str, Server] = {}
    for name, one in found.items():
        command = convert(one.get("command") or (), tuple[str, ...])
        if command and command[0].startswith("./"):
            command = (str(workspace / command[0]), *command[1:])
        url = one.get("url")
        servers[name] = Server(
            name=name,
            command=command,
            url=None if url is None else str(url),
            env=convert(one.get("env") or {}, dict[str, str]),
            headers=convert(one.get("headers") or {}, dict[str, str]),
            network=one.get("network") is True,
            read_only=tuple(workspace / Path(path).expanduser() for path in listed(one, "read_only")),
            writes=tuple(workspace / Path(path).expanduser() for path in listed(one, "writes")),
            private=listed(one, "private"),
            timeout_ms=convert(one.get("timeout", 60_000), int),
            answer_bytes=convert(one.get("answer_bytes", 4 << 20), int),
            tools=convert(one.get("tools") or {}, dict[str, ToolSettings]),
        )
    return servers
