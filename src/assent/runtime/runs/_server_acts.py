"""What the capabilities that trust MCP servers do: the lock as it stands, servers looked at, and both put into force at once."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

import msgspec

from assent.errors import AssentError
from assent.invocation import NoEffectError
from assent.runtime.wiring._servers import Servers, entry_of, told_of
from assent.spec.values.frozen import thaw
from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from assent.capabilities.servers import ServerTrust
    from assent.plugins.upstream import Pinned


class ServerActs:
    """What `assent.mcp.trust` and `assent.mcp.untrust` do, as the owner of the state."""

    def __init__(self, servers: Servers, reload: Callable[[], Awaitable[None]]) -> None:
        """`reload` puts into force what assent.toml and the lock say."""
        self._servers = servers
        self._reload = reload

    def offered(self) -> ServerTrust:
        """The same for the capabilities."""
        from assent.capabilities.servers import ServerTrust  # for who decides about a server

        return ServerTrust(self.entry, self.look, self.put, differences)

    def entry(self, name: str) -> Mapping[str, Any] | None:  # `Any`: JSON
        """What the lock says of a server."""
        found = self._servers.pins().get(name)
        return None if found is None else msgspec.to_builtins(found)

    async def look(self, name: str, digest: str, by: str) -> Mapping[str, Any]:  # `Any`: as above
        """The entry that a server comes to now. MCP_TOOL_CHANGED where that is not what `digest` names."""
        try:
            tools = await self._servers.look(name)
        except AssentError as error:
            raise NoEffectError(error.code, error.message, hint=error.hint, details=error.details) from error
        server, offers = self._servers.server(name), self._servers.connection(name).offers
        found = entry_of(server, tools, by, offers)
        if found.digest != digest:
            raise NoEffectError(
                "MCP_TOOL_CHANGED",
                f"the tools of MCP server `{name}` are not what `{digest}` names",
                hint=f"look again: assent mcp trust {name}",
                details={"digest": found.digest},
            )
        return msgspec.to_builtins(found)  # type: ignore[no-any-return]  # a struct is an object

    async def put(self, name: str, entry: Mapping[str, Any] | None) -> None:  # `Any`: as above
        """Have the lock say this of a server, and put it into force."""
        from assent.plugins.upstream import Pinned

        pins = self._servers.pins()
        pins.pop(name, None)
        if entry is not None:
            pins[name] = convert(thaw(entry), Pinned)
        self._servers.save(pins)
        await self._reload()


def differences(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:  # `Any`: JSON
    """What changed from one entry of the lock to another, a line for each."""
    from assent.plugins._differences import SHOWN_MAX, manifest_differences

    found = manifest_differences(told_of(_pinned(before)), told_of(_pinned(after)))
    return [str(one) for one in found[:SHOWN_MAX]]


def _pinned(entry: Mapping[str, Any]) -> Pinned:  # `Any`: as above
    from assent.plugins.upstream import Pinned

    return convert(thaw(entry), Pinned)
