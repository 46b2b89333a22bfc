"""One connection to a server while it lasts: how it began, what the server lists on it, and what that asks by itself."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, suppress
from functools import cache
from itertools import count
from logging import CRITICAL, NOTSET, getLogger
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol

from assent.invocation import Spawn
from assent.plugins.upstream._talk import Wire, refusal
from assent.plugins.upstream._tools import TOOLS_MAX, Tool, tools_of

if TYPE_CHECKING:
    from mcp import Client, types
    from mcp.client._transport import TransportStreams
    from mcp.client.subscriptions import Subscription
    from mcp.types import LoggingLevel
    from pydantic import BaseModel, RootModel

CONNECT_S: Final = 30.0
"""How long a server may take until it can be asked for its tools, and again to list them."""

LISTED_S: Final = 60.0
"""How long a list counts of a server that tells of changes."""


class Link(Protocol):
    """A way to a server that was opened: `fault` and `printed` are what is known of its end.

    `has_changed`: whether the server told that it has other tools, since `heed_changes`; None where nobody would hear that.
    """

    @property
    def fault(self) -> str | None: ...

    @property
    def printed(self) -> str: ...

    @property
    def hint(self) -> str | None:
        """What to do where nothing came of it, as far as that is known."""
        ...

    @property
    def has_changed(self) -> bool | None: ...

    def heed_changes(self) -> None:
        """Forget what was told of changes so far."""
        ...

    async def hear(self, missed: Callable[[], object]) -> None:
        """Have what the server says unasked be heard from now on. `missed`: of that, something may not have been heard.

        To be done again and again, before each time that it matters.
        """
        ...

    async def list_again(self) -> bytes | None:
        """The result that its tools' list has now, as it came, asked for as the last time; None where it has to be asked anew."""
        ...

    def streams(self) -> AbstractAsyncContextManager[TransportStreams]:
        """Its transport, as long as the block lasts."""
        ...


class Wanted(NamedTuple):
    """What a server is to tell of: changes of these lists, and of these resources."""

    lists: frozenset[str]
    uris: frozenset[str]


class Live:
    """One connection. The task that made it ends it too, as the SDK's scopes ask for; calls come from others."""

    def __init__(
        self, name: str, link: Link, changed: Callable[[str, Mapping[str, Any]], None], spawn: Spawn
    ) -> None:
        self._name = name
        self.link = link
        self._spawn = spawn
        self.stop = asyncio.Event()
        self.wire = Wire(changed=changed, ended=self.stop.set)
        self._news: tuple[Wanted, AsyncExitStack] | None = None
        self._listening = asyncio.Lock()
        self.log_level: LoggingLevel | None = None
        self._asks = count(1)
        self.client: Client | None = None
        self.is_over = False
        self._is_stale = True
        self._listed_s = -1.0
        self.heard_s = 0.0
        self._listed: list[Any] | None = None  # `Any`: JSON
        self._as_listed: bytes | None = None
        """The result that is known to list just that."""
        self.tools: dict[str, Tool] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()

    async def run(self) -> None:
        """Keep it until it ends, or is to."""
        from mcp import Client
        from mcp_types import SamplingCapability, SamplingToolsCapability

        # What the SDK logs of a server is the server's own text, as it came: in a terminal it would drive that. Whoever waits is
        # told by an error; an application that wants these lines sets a level of its own.
        for logger in map(getLogger, ("mcp.client", "mcp.shared")):
            if logger.level == NOTSET:
                logger.setLevel(CRITICAL + 1)
        failure: BaseException | None = None
        try:
            # Its own answers are not kept: a list that it calls good for an hour would hide what it changed.
            async with Client(
                self.wire.over(self.link.streams()),
                cache=None,
                elicitation_callback=self._asked_by("elicitation/create"),
                sampling_callback=self._asked_by("sampling/createMessage"),
                sampling_capabilities=SamplingCapability(tools=SamplingToolsCapability()),
                list_roots_callback=self._asked_by("roots/list"),
            ) as client:
                self.client = client
                self.ready.set_result(None)
                await self.stop.wait()
                if self._news is not None:
                    await self._news[1].aclose()
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001  # groups of them too: whatever ended it is how it ended
            failure = error
        finally:
            self.is_over = True
            self.ended.set()
            if not self.ready.done():
                self.ready.set_exception(failure or ConnectionError("it ended"))
                self.ready.exception()  # looked at: a caller that was cancelled does not look

    @property
    def is_modern(self) -> bool:
        """Its revision has news on a stream that is asked for, and no messages unasked."""
        return self.client is not None and self.client.protocol_version >= "2026"

    async def listen(self, wanted: Wanted, lost: Callable[[], object]) -> None:
        """Have a server of the newer revision tell of this, and of nothing else, from now on; `lost`: it ended that.

        `MCPError` where it does not.
        """
        async with self._listening:
            if self._news is not None and self._news[0] == wanted:
                return
            assert self.client is not None, "a connection is handed out when it is ready"
            opened = AsyncExitStack()
            if wanted.lists or wanted.uris:
                lists: dict[str, Any] = {f"{one}_list_changed": True for one in wanted.lists}
                stream = await opened.enter_async_context(
                    self.client.listen(**lists, resource_subscriptions=sorted(wanted.uris))
                )
                self._spawn(self._until_over(stream, opened, lost), name="news of a server")
            # Only now is the one before closed: nothing is missed in between.
            before, self._news = self._news, (wanted, opened)
            if before is not None:
                await before[1].aclose()

    async def _until_over(
        self, stream: Subscription, opened: AsyncExitStack, lost: Callable[[], object]
    ) -> None:
        with suppress(Exception):
            async for _ in stream:
                pass  # heard as it came
        if self._news is not None and self._news[1] is opened and not self.stop.is_set():
            self._news = None
            await opened.aclose()
            lost()

    def _asked_by(self, method: str) -> Any:  # `Any`: for each question the SDK has a type of its own
        """What answers a server that asks this, for the call that is under way."""
        from mcp import MCPError, types

        results: dict[str, type[BaseModel]] = {
            "elicitation/create": types.ElicitResult,
            "sampling/createMessage": types.CreateMessageResultWithTools,
            "roots/list": types.ListRootsResult,
        }

        async def answer(_: object, params: BaseModel | None = None) -> BaseModel:
            asked = {} if params is None else params.model_dump(mode="json", by_alias=True, exclude_none=True)
            talk = self.wire.here
            try:
                if talk is None:
                    given = refusal(method)
                else:
                    name = f"ask_{next(self._asks)}"
                    given = (await talk.ask({name: (method, asked)}))[name]
            except MCPError as error:
                return error.error
            return results[method].model_validate(given, by_name=False)

        return answer

    def must_list(self, came_s: float) -> bool:
        """Whether its tools may be others by now, for a call that came then."""
        assert self.client is not None, "as above"
        tools = self.client.server_capabilities.tools
        # A promise counts where the protocol has the server keep it unasked, and it would be heard.
        tells = tools is not None and bool(tools.list_changed) and self.client.protocol_version < "2026"
        if self._is_stale or self.link.has_changed:
            return True
        if self._listed_s > came_s:  # by another call, since this one came
            return False
        counts_s = LISTED_S if tells and self.link.has_changed is False else 0.0
        return asyncio.get_running_loop().time() - self._listed_s >= counts_s

    async def lists_the_same(self) -> bool:
        """Whether it is known that the tools are those that were listed before. `TimeoutError`: it does not answer."""
        if self._is_stale:
            return False
        asked_s = asyncio.get_running_loop().time()
        self._is_stale = True
        self.link.heed_changes()  # before it is asked: a change that is told meanwhile counts
        try:
            async with asyncio.timeout(CONNECT_S):
                result = await self.link.list_again()
            if result is None:
                return False
            if result != self._as_listed:
                page = json.loads(result)
                if page.get("nextCursor") is not None or _exactly(page["tools"]) != _exactly(self._listed):
                    return False
                self._as_listed = result
        except (ValueError, KeyError, AttributeError, RecursionError):
            return False  # what is wrong with it is told by whoever asks in the usual way
        self._is_stale = False
        self._listed_s = asked_s
        self.heard_s = asyncio.get_running_loop().time()
        return True

    async def list_tools(self) -> None:
        """Read which tools there are. Raises what the SDK does, or its transport."""
        from mcp import types

        assert self.client is not None, "as above"
        session = self.client.session

        # As it came: what is the same as before, as nearly always, need not be read and judged again.
        async def raw(params: types.PaginatedRequestParams | None) -> tuple[list[Any], str | None]:
            page = (await session.send_request(types.ListToolsRequest(params=params), as_it_came())).root
            return page["tools"], page.get("nextCursor")

        # In the SDK's own way, which keeps what the headers of later calls need.
        async def read(params: types.PaginatedRequestParams | None) -> tuple[list[Any], str | None]:
            page = await session.list_tools(params=params)
            told = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in page.tools]
            return told, page.next_cursor

        self._is_stale = True
        self.link.heed_changes()  # as above
        asked_s = asyncio.get_running_loop().time()
        async with asyncio.timeout(CONNECT_S):
            listed = await _all_of(raw)
            if listed != self._listed:
                found = tools_of(self._name, await _all_of(read))
                self._listed, self.tools = listed, {one.name: one for one in found}
        self._is_stale = False
        self._listed_s = asked_s
        self.heard_s = asyncio.get_running_loop().time()

    async def close(self) -> None:
        """End it, and wait until it has."""
        self.stop.set()
        await self.ended.wait()


async def _all_of(
    page: Callable[[types.PaginatedRequestParams | None], Awaitable[tuple[list[Any], str | None]]],
) -> list[Any]:  # `Any`: JSON
    """What all pages of a list of tools hold. `ValueError` where that is too much."""
    from mcp import types

    items: list[Any] = []
    cursor: str | None = None
    while True:
        found, following = await page(types.PaginatedRequestParams(cursor=cursor) if cursor else None)
        items += found
        if len(items) > TOOLS_MAX:
            raise ValueError(f"it lists more than {TOOLS_MAX} tools")
        if not following or following == cursor:
            return items
        cursor = following


@cache
def as_it_came() -> type[RootModel[dict[str, Any]]]:  # `Any`: JSON
    """What leaves a result alone."""
    from pydantic import RootModel

    return RootModel[dict[str, Any]]


def _exactly(listed: Any) -> str:  # `Any`: JSON
    """What 1, 1.0 and true are not the same in."""
    return json.dumps(listed, sort_keys=True)
