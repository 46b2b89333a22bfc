"""What changes while agents are here: tools, and what they look at, told to those who asked for it.

Theory of operation. The ledger says what has changed, and one reader of it serves a whole door, from when somebody first asks. A
policy that is read anew may be on no record yet, so whoever reads it says so. What MCP servers of others tell of changes comes by
a request of its own for each agent (`Listen`), whose steps subscribe to resources under the id that it has. A client of the older
revisions is told over its connection, of a list once it has asked for that; one of 2026-07-28 over the stream that it opened.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import suppress
from typing import Final
from weakref import WeakKeyDictionary

import mcp_types as wire
from mcp.server.session import ServerSession
from mcp.server.subscriptions import ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import (
    ResourceUpdated,
    ServerEvent,
    ToolsListChanged,
    event_from_wire,
    event_to_notification,
)

from assent import system
from assent.errors import AssentError
from assent.mcp import _looks as looks
from assent.mcp import _upstreams as upstreams
from assent.mcp._telling import Context
from assent.mcp._visit import Visit
from assent.runtime.service import answers, requests

STREAMS_MAX: Final = 16
"""Streams of news that one principal may have open."""

WATCHED_MAX: Final = 100
"""Resources that one client may be told of."""

_PATIENCE_S: Final = 10.0
_CHANGES_TOOLS: Final = ("capability.", "release.", "policy.")
_TRUSTS: Final = "assent.mcp."
"""What trusts a server, and what trusts it no more."""

SINCE_NOW: Final = requests.AuditLog(limit=1, follow=True)


class _Hearer:
    """One agent's client, told over its connection (the older revisions) or over the streams that it opened (`subscribe`). It is
    told each thing once until it has heard it: only that it changed matters. `only`: it is offered this server alone.

    What servers of others tell is heard from when the client first wants news of one.
    """

    def __init__(self, session: ServerSession, only: str | None) -> None:
        self.session = session
        self.lists: set[type[ServerEvent]] = set()
        self.watched: set[str] = set()
        self.streams: Final = ListenHandler(self)
        self.only: Final = only
        self._listeners: dict[object, Callable[[ServerEvent], None]] = {}
        self._unheard: set[ServerEvent] = set()
        self._ident = system.SystemIds().request_id()
        self._homes: dict[str, upstreams.Home] = {}
        self._wanted = Counter[str]()
        self._turn = asyncio.Lock()
        self._hearing: asyncio.Task[None] | None = None
        self._ready: asyncio.Future[None]

    def subscribe(self, listener: Callable[[ServerEvent], None]) -> Callable[[], None]:
        """As the SDK has a stream take part."""
        token = object()
        self._listeners[token] = listener
        return lambda: self._listeners.pop(token, None) and None

    async def publish(self, event: ServerEvent) -> None:
        """Tell the client."""
        self.tell(event)

    def tell(self, event: ServerEvent) -> None:
        """The same, in however many ways it asked for that."""
        for listener in [*self._listeners.values()]:
            listener(event)
        wants = event.uri in self.watched if isinstance(event, ResourceUpdated) else type(event) in self.lists
        if wants and event not in self._unheard:
            self._unheard.add(event)
            system.spawn(self._send(event), name="news for an agent")

    async def _send(self, event: ServerEvent) -> None:
        try:
            # Whoever reads nothing, or has gone, is told no more; they look again when they come back.
            with suppress(Exception):
                async with asyncio.timeout(_PATIENCE_S):
                    await self.session.send_notification(event_to_notification(event, {}))
        finally:
            self._unheard.discard(event)

    async def watch(self, visit: Visit, uri: str) -> None:
        """Have the client told of a resource that it may read. `MCPError` where there is none."""
        if await looks.read(visit, uri) is not None:
            return
        async with self._turn:
            if not self._wanted[uri]:
                await self.hear(visit)
                home = await upstreams.subscribe(visit, uri, self.only, self._ident)
                if home is None:
                    raise MCPError(wire.INVALID_PARAMS, f"there is no resource `{uri}`")
                self._homes[uri] = home
            self._wanted[uri] += 1

    async def unwatch(self, visit: Visit, uri: str) -> None:
        """The same no more, as often as it was asked for."""
        async with self._turn:
            self._wanted[uri] -= 1
            if self._wanted[uri] <= 0:
                del self._wanted[uri]
                home = self._homes.pop(uri, None)
                if home is not None and home not in self._homes.values():
                    await upstreams.unsubscribe(visit, home, self._ident)

    async def hear(self, visit: Visit) -> None:
        """Hear what servers tell of changes, from when this returns until the visit ends."""
        if self._hearing is None or self._hearing.done():
            self._ready = asyncio.get_running_loop().create_future()
            self._hearing = system.spawn(self._hear(visit, self._ready), name="what servers tell of changes")
            visit.leaving.append(self._hearing.cancel)
        await asyncio.shield(self._ready)

    async def _hear(self, visit: Visit, ready: asyncio.Future[None]) -> None:
        try:
            with suppress(AssentError):  # who may not read hears nothing
                async for news in visit.parts(requests.Listen(client=self._ident)):
                    if news.server:
                        self._tell_of(news)
                    elif ready.done():
                        await self._resubscribe(visit)
                    else:
                        ready.set_result(None)
        finally:
            if not ready.done():
                ready.set_result(None)

    async def _resubscribe(self, visit: Visit) -> None:
        """At another owner of the state, which knows nothing of it; what changed meanwhile nobody knows."""
        for uri in [*self._homes]:
            with suppress(AssentError, MCPError):
                await upstreams.subscribe(visit, uri, self.only, self._ident)
            self.tell(ResourceUpdated(uri))

    def _tell_of(self, news: answers.ServerNews) -> None:
        if self.only is not None and news.server != self.only:
            return
        event = event_from_wire(news.method, {"uri": news.uri})
        if not isinstance(event, ResourceUpdated):
            if event is not None:
                self.tell(event)
            return
        for uri, home in self._homes.items():
            if home == (news.server, news.uri):
                self.tell(ResourceUpdated(uri))

    def close(self) -> None:
        """End every stream."""
        self.streams.close()
        if self._hearing is not None:
            self._hearing.cancel()


class News:
    """The news of one door. `watch` reads the ledger for whoever asks first; `only` as for the door."""

    def __init__(
        self,
        watch: Callable[[Visit], AsyncIterator[answers.LogLine]],
        only: Callable[[Context], str | None],
    ) -> None:
        self._watch = watch
        self._only = only
        self._watching: asyncio.Task[None] | None = None
        self._streams: Counter[str] = Counter()
        self._hearers: WeakKeyDictionary[Visit, _Hearer] = WeakKeyDictionary()

    def tell(self, *events: ServerEvent) -> None:
        """Tell whoever asked for it."""
        for hearer in [*self._hearers.values()]:
            for event in events:
                hearer.tell(event)

    def tools_changed(self) -> None:
        """Another policy is in force, or none."""
        self.tell(ToolsListChanged(), ResourceUpdated("assent://policy"))

    async def listed(
        self, context: Context, visit: Visit, kind: type[ServerEvent], *, has_others: bool
    ) -> None:
        """The client knows a list now, and has to hear when it changes. `has_others`: what other servers have is in it."""
        hearer = self._hearer(context, visit)
        hearer.lists.add(kind)
        if has_others:
            await hearer.hear(visit)

    async def subscribe(self, context: Context, visit: Visit, uri: str) -> None:
        """Tell the client of changes of a resource that it may read."""
        hearer = self._hearer(context, visit)
        if uri in hearer.watched:
            return
        if len(hearer.watched) >= WATCHED_MAX:
            raise MCPError(wire.INVALID_PARAMS, f"a client is told of {WATCHED_MAX} resources at most")
        await hearer.watch(visit, uri)
        hearer.watched.add(uri)

    async def unsubscribe(self, visit: Visit, uri: str) -> None:
        """Tell it no more."""
        hearer = self._hearers.get(visit)
        if hearer is not None and uri in hearer.watched:
            hearer.watched.discard(uri)
            await hearer.unwatch(visit, uri)

    async def listen(
        self, context: Context, visit: Visit, params: wire.SubscriptionsListenRequestParams
    ) -> wire.SubscriptionsListenResult:
        """A stream of news, for as long as the client reads it."""
        wants = params.notifications
        wanted = wants.resource_subscriptions or []
        if self._streams[visit.by.principal] >= STREAMS_MAX or len(wanted) > WATCHED_MAX:
            raise MCPError(
                wire.INVALID_PARAMS,
                f"one caller has {STREAMS_MAX} streams of {WATCHED_MAX} resources at most",
            )
        hearer, watched = self._hearer(context, visit), list[str]()
        self._streams[visit.by.principal] += 1
        visit.streams += 1
        try:
            for uri in dict.fromkeys(wanted):
                await hearer.watch(visit, uri)
                watched.append(uri)
            if wants.tools_list_changed or wants.prompts_list_changed or wants.resources_list_changed:
                await hearer.hear(visit)
            return await hearer.streams(context, params)
        finally:
            self._streams[visit.by.principal] -= 1
            visit.streams -= 1
            for uri in watched:
                system.spawn(hearer.unwatch(visit, uri), name="a resource that is not watched any more")

    def close(self) -> None:
        """End every stream, and the reading."""
        for hearer in self._hearers.values():
            hearer.close()
        if self._watching is not None:
            self._watching.cancel()

    def _hearer(self, context: Context, visit: Visit) -> _Hearer:
        if self._watching is None or self._watching.done():
            self._watching = system.spawn(self._read(visit), name="news of the ledger")
        return self._hearers.setdefault(visit, _Hearer(context.session, self._only(context)))

    async def _read(self, visit: Visit) -> None:
        is_new = False
        with suppress(AssentError):  # who may not read hears of what is told otherwise
            async for line in self._watch(visit):
                if is_new:
                    self.tell(*_told_by(line))
                is_new = True  # the first is what was there


def _told_by(line: answers.LogLine) -> Iterator[ServerEvent]:
    """What an entry of the ledger changes for whoever looks."""
    yield ResourceUpdated(looks.LOG)
    if line.run_id is not None:
        yield ResourceUpdated(f"assent://runs/{line.run_id}")
        if line.kind.startswith("run."):
            yield ResourceUpdated("assent://runs")
    if line.kind.startswith(("approval.", "run.undo")):
        yield ResourceUpdated("assent://approvals")
    if line.kind.startswith("policy."):
        yield ResourceUpdated("assent://policy")
    if line.kind.startswith(_CHANGES_TOOLS) or (line.capability or "").startswith(_TRUSTS):
        yield ToolsListChanged()
