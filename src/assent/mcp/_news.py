"""What changes while agents are here: tools, and what they look at, told to those who asked for it.

Theory of operation. The ledger says what has changed, and one reader of it serves a whole door, from when somebody first asks. A
policy that is read anew may be on no record yet, so whoever reads it says so. A client of the older revisions is told over its
connection, of tools once it has listed them; one of 2026-07-28 over the stream that it opened for that.
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
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourceUpdated, ServerEvent, ToolsListChanged, event_to_notification

from assent import system
from assent.errors import AssentError
from assent.mcp import _looks as looks
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
    """A client of the older revisions, which is told each thing once until it has heard it: only that it changed matters."""

    def __init__(self, session: ServerSession) -> None:
        self.session = session
        self.lists_tools = False
        self.watched: set[str] = set()
        self._unheard: set[ServerEvent] = set()

    def tell(self, event: ServerEvent) -> None:
        wants = event.uri in self.watched if isinstance(event, ResourceUpdated) else self.lists_tools
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


class News:
    """The news of one door. `watch` reads the ledger for whoever asks first."""

    def __init__(self, watch: Callable[[Visit], AsyncIterator[answers.LogLine]]) -> None:
        self._watch = watch
        self._watching: asyncio.Task[None] | None = None
        self._bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self._bus)
        self._streams: Counter[str] = Counter()
        self._hearers: WeakKeyDictionary[Visit, _Hearer] = WeakKeyDictionary()

    async def tell(self, *events: ServerEvent) -> None:
        """Tell whoever asked for it."""
        for event in events:
            for hearer in [*self._hearers.values()]:
                hearer.tell(event)
            await self._bus.publish(event)

    async def tools_changed(self) -> None:
        """Another policy is in force, or none."""
        await self.tell(ToolsListChanged(), ResourceUpdated("assent://policy"))

    def listed(self, context: Context, visit: Visit) -> None:
        """The client knows tools now, and has to hear when they change."""
        self._hearer(context, visit).lists_tools = True

    async def subscribe(self, context: Context, visit: Visit, uri: str) -> None:
        """Tell the client of changes of a resource that it may read."""
        await _require_readable(visit, uri)
        watched = self._hearer(context, visit).watched
        if len(watched) >= WATCHED_MAX:
            raise MCPError(wire.INVALID_PARAMS, f"a client is told of {WATCHED_MAX} resources at most")
        watched.add(uri)

    def unsubscribe(self, visit: Visit, uri: str) -> None:
        """Tell it no more."""
        hearer = self._hearers.get(visit)
        if hearer is not None:
            hearer.watched.discard(uri)

    async def listen(
        self, context: Context, visit: Visit, params: wire.SubscriptionsListenRequestParams
    ) -> wire.SubscriptionsListenResult:
        """A stream of news, for as long as the client reads it."""
        wanted = params.notifications.resource_subscriptions or ()
        if self._streams[visit.by.principal] >= STREAMS_MAX or len(wanted) > WATCHED_MAX:
            raise MCPError(
                wire.INVALID_PARAMS,
                f"one caller has {STREAMS_MAX} streams of {WATCHED_MAX} resources at most",
            )
        for uri in wanted:
            await _require_readable(visit, uri)
        self._look_out(visit)
        self._streams[visit.by.principal] += 1
        try:
            return await self._listen(context, params)
        finally:
            self._streams[visit.by.principal] -= 1

    def close(self) -> None:
        """End every stream, and the reading."""
        self._listen.close()
        if self._watching is not None:
            self._watching.cancel()

    def _hearer(self, context: Context, visit: Visit) -> _Hearer:
        self._look_out(visit)
        return self._hearers.setdefault(visit, _Hearer(context.session))

    def _look_out(self, visit: Visit) -> None:
        if self._watching is None or self._watching.done():
            self._watching = system.spawn(self._read(visit), name="news of the ledger")

    async def _read(self, visit: Visit) -> None:
        is_new = False
        with suppress(AssentError):  # who may not read hears of what is told otherwise
            async for line in self._watch(visit):
                if is_new:
                    await self.tell(*_told_by(line))
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


async def _require_readable(visit: Visit, uri: str) -> None:
    if await looks.read(visit, uri) is None:
        raise MCPError(wire.INVALID_PARAMS, f"there is no resource `{uri}`")
