"""Answers about code of others: plugins, and MCP servers."""

from __future__ import annotations

from assent.runtime.service.answers._base import Answer, Fault, Json


class Plugin(Answer, frozen=True, kw_only=True):
    """One plugin, and how far it is trusted."""

    name: str
    status: str
    origin: str | None
    version: str | None
    digest: str | None
    required: bool
    capabilities: list[str]
    error: Fault | None
    in_process: bool


class Plugins(Answer, frozen=True, kw_only=True):
    """The plugins that were found or are trusted."""

    plugins: list[Plugin]


class PluginHealth(Answer, frozen=True, kw_only=True):
    """How a trusted plugin says that it is."""

    name: str
    status: str
    detail: str


class PluginsHealth(Answer, frozen=True, kw_only=True):
    """The same of several."""

    plugins: list[PluginHealth]


class PluginFaults(Answer, frozen=True, kw_only=True):
    """Why each trusted plugin that can't be loaded is left out, by name."""

    faults: dict[str, Fault]


class PluginInspected(Answer, frozen=True, kw_only=True):
    """What a plugin's code says of itself; `manifest` is as `docs/schemas/manifest-1.json` has it."""

    path: str
    fingerprint: str
    warnings: list[dict[str, Json]]
    manifest: dict[str, Json]


class PluginTrusted(Answer, frozen=True, kw_only=True):
    """A plugin that is trusted as it is, what was another way when it was trusted before, and what a person should know."""

    name: str
    digest: str
    trusted: bool
    lock: str
    differences: list[dict[str, Json]]
    warnings: list[dict[str, Json]]


class ShutService(Answer, frozen=True, kw_only=True):
    """A service that a plugin declares and that `[net]` would refuse."""

    what: str
    why: str
    hint: str


class PluginFound(PluginTrusted, frozen=True, kw_only=True):
    """A plugin as it stands, `trusted` where that is so exactly as it is; `is_new`: it never was."""

    is_new: bool
    manifest: dict[str, Json]
    dependencies: dict[str, str | None]
    shut: list[ShutService]


class PluginUntrusted(Answer, frozen=True, kw_only=True):
    """Whether the plugin had been trusted."""

    name: str
    trusted: bool
    was_trusted: bool


class Server(Answer, frozen=True, kw_only=True):
    """An MCP server of somebody else. `status`: `untrusted`, `trusted`, or `changed`, which is another program or address.

    `faults`: why the server, or a tool of it (`SERVER.TOOL`), is left out.
    """

    name: str
    status: str
    place: dict[str, Json]
    capabilities: list[str]
    secrets: list[str]
    trusted_by: str | None
    faults: dict[str, Fault]


class Servers(Answer, frozen=True, kw_only=True):
    """The MCP servers that assent.toml names."""

    servers: list[Server]


class ServerLog(Answer, frozen=True, kw_only=True):
    """The end of what a server's programs printed on their standard error; empty where no process that lives has started one."""

    name: str
    printed: str


class ServerNews(Answer, frozen=True, kw_only=True):
    """What an MCP server told has changed, by the protocol's notification: a list, or the resource `uri`."""

    server: str
    method: str
    uri: str | None = None


class ServerTool(Answer, frozen=True, kw_only=True):
    """A tool of a server, and the capability that it is or would be; `risk` is null for one that can't be."""

    name: str
    capability: str
    description: str
    risk: str | None
    definition: dict[str, Json]


class ServerFound(Answer, frozen=True, kw_only=True):
    """A server as it stands, `trusted` where that is so exactly as it is; `is_new`: it never was; `offers`: what can be read
    of it beside tools.
    """

    name: str
    digest: str
    trusted: bool
    is_new: bool
    lock: str
    place: dict[str, Json]
    tools: list[ServerTool]
    differences: list[dict[str, Json]]
    offers: list[str]
    warnings: list[dict[str, Json]]


class ServerWritten(Answer, frozen=True, kw_only=True):
    """A server that was written into assent.toml, or taken out of it."""

    name: str
    path: str
