"""What one server tells of changes, whatever its revision and wherever it is: who hears of them, and what is watched for whom.

It is heard where the revision has it: on a stream that is asked for (2026-07-28), or as it comes. Whatever connection there is
watches what clients have subscribed to; between two of them nobody knows, and whoever watches looks again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from assent.errors import Json
from assent.invocation import NoEffectError, Spawn
from assent.plugins.upstream._live import CONNECT_S, Live, Wanted, as_it_came
from assent.plugins.upstream._talk import LISTS, UPDATED

if TYPE_CHECKING:
    from assent.invocation.context.companion import Companion

WATCHED_MAX: Final = 1_000
"""Resources of one server that clients have subscribed to."""

QUIET_S: Final = 1.0
"""So long a change that was told is not told again; then once, if there were more."""

LISTEN_AGAIN_S: Final = 5.0
"""After so long a server is asked for its news again that has ended them."""


class News:
    """The changes of one server. `hearers`: whoever is told of other lists, as they are at that time."""

    def __init__(self, server: str, hearers: Collection[Companion], spawn: Spawn) -> None:
        self._server = server
        self._hearers = hearers
        self._spawn = spawn
        self._live: Live | None = None
        self._watchers: dict[str, set[Companion]] = {}
        self._watching = asyncio.Lock()
        self._told: dict[tuple[str, str | None], bool] = {}

    async def joined(self, live: Live) -> None:
        """There is a new connection: what was watched on the one before is watched on this one."""
        from mcp import types

        self._live = live
        await self.follow()
        if live.is_modern:
            return
        with suppress(Exception):  # where it can't be asked, the next call finds that out
            async with asyncio.timeout(CONNECT_S):
                for uri in [*self._watchers]:
                    params = types.SubscribeRequestParams(uri=uri)
                    await _send(live, types.SubscribeRequest(params=params))

    async def follow(self) -> None:
        """Have the server tell of its lists, if it is connected to and can: from then on it is heard."""
        live = self._live
        if live is None or live.stop.is_set():
            return
        with suppress(Exception):  # one that does not tell is asked at each call as ever
            async with asyncio.timeout(CONNECT_S):
                if live.is_modern:
                    await self._listen(live, self._watchers)
                elif self._hearers or self._watchers:
                    await live.link.hear(self.doubt)

    async def watch(self, uri: str, hearer: Companion, subscribe: Callable[[], Awaitable[None]]) -> None:
        """Tell a client of changes of a resource until it leaves. `subscribe` has the server tell of it, if it does not yet."""
        async with self._watching:
            who = self._watchers.get(uri)
            if who is None:
                if len(self._watchers) >= WATCHED_MAX:
                    raise NoEffectError(
                        "MCP_SERVER_FAILED",
                        f"no more than {WATCHED_MAX} resources of MCP server `{self._server}` are subscribed to",
                    )
                await subscribe()
                who = self._watchers.setdefault(uri, set())
            if hearer.left.is_set():
                self.leave(uri, hearer)
                return
            who.add(hearer)
            if hearer.leaving is not None:
                hearer.leaving.append(partial(self.leave, uri, hearer))

    async def subscribe(self, live: Live, uri: str) -> None:
        """Have a server of the newer revision tell of a resource, too. Raises what the SDK does."""
        async with asyncio.timeout(CONNECT_S):
            await self._listen(live, {uri, *self._watchers})

    def leave(self, uri: str, hearer: Companion) -> None:
        """Tell a client no more of a resource. The last one to leave takes the subscription along."""
        who = self._watchers.get(uri, set())
        who.discard(hearer)
        if not who:
            self._watchers.pop(uri, None)
            if self._live is not None and not self._live.stop.is_set():
                self._spawn(self._unsubscribe(self._live, uri), name="a resource that nobody watches")

    async def _unsubscribe(self, live: Live, uri: str) -> None:
        from mcp import types

        # Where it can't be said the server tells what nobody hears.
        with suppress(Exception):
            async with self._watching, asyncio.timeout(CONNECT_S):
                if uri in self._watchers:
                    return
                if live.is_modern:
                    await self._listen(live, self._watchers)
                else:
                    params = types.UnsubscribeRequestParams(uri=uri)
                    await _send(live, types.UnsubscribeRequest(params=params))

    async def _listen(self, live: Live, uris: Collection[str]) -> None:
        assert live.client is not None, "a connection is handed out when it is ready"
        can = live.client.server_capabilities
        lists = [one for one in LISTS.values() if getattr(getattr(can, one), "list_changed", False)]
        wanted = Wanted(frozenset(lists if self._hearers else ()), frozenset(uris))
        await live.listen(wanted, partial(self._listen_later, live))

    def _listen_later(self, live: Live) -> None:
        async def again() -> None:
            await asyncio.sleep(LISTEN_AGAIN_S)
            if self._live is live:
                await self.follow()

        self.doubt()
        self._spawn(again(), name="news of a server")

    def doubt(self) -> None:
        """Changes may have been missed: whoever watches a resource looks at it again, which connects anew."""
        for uri in self._watchers:
            self._tell(UPDATED, uri)

    def hear(self, method: str, params: Mapping[str, Any]) -> None:  # `Any`: JSON
        """The server tells of a change."""
        if method != UPDATED:
            self._tell(method, None)
            return
        changed = str(params.get("uri"))
        for uri in self._watchers:
            # By the protocol it may be a part of what is watched.
            if changed == uri or changed.startswith(uri.rstrip("/") + "/"):
                self._tell(method, uri)

    def _tell(self, method: str, uri: str | None) -> None:
        key = (method, uri)
        if key in self._told:
            self._told[key] = True
            return
        self._told[key] = False
        asyncio.get_running_loop().call_later(QUIET_S, self._tell_rest, key)
        said: dict[str, Json] = {"server": self._server, **({} if uri is None else {"uri": uri})}
        for one in [*(self._hearers if uri is None else self._watchers.get(uri, ()))]:
            one.tell(method, said)

    def _tell_rest(self, key: tuple[str, str | None]) -> None:
        if self._told.pop(key):
            self._tell(*key)


async def _send(live: Live, request: Any) -> None:  # `Any`: as the SDK has it
    assert live.client is not None, "as above"
    await live.client.session.send_request(request, as_it_came())
