"""The one client of a server: connected when it is first needed, and again when it was lost. It belongs to who owns the state.

A call asks a tool only while that is defined as somebody agreed to. What a server lists is looked at before each call, unless
it promised to tell of changes and has not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack, contextmanager, suppress
from functools import cache, partial
from itertools import count
from logging import CRITICAL, NOTSET, getLogger
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol, TypeAlias, cast, get_args

from assent.errors import AssentError, InputError, Json, WorldError
from assent.invocation import NoEffectError, Spawn
from assent.plugins.upstream._servers import OFFERS, Server
from assent.plugins.upstream._talk import KEY, LISTS, TASKS, UPDATED, Talk, Wire, refusal
from assent.plugins.upstream._tools import TOOLS_MAX, Tool, tools_of
from assent.spec.secret_text import SecretText

if TYPE_CHECKING:
    from anyio import CancelScope
    from mcp import Client, MCPError, types
    from mcp.client._transport import TransportStreams
    from mcp.client.subscriptions import Subscription
    from mcp.types import LoggingLevel
    from pydantic import BaseModel, RootModel

    from assent.invocation.context.companion import Companion

CONNECT_S: Final = 30.0
"""How long a server may take until it can be asked for its tools, and again to list them."""

LISTED_S: Final = 60.0
"""How long a list counts of a server that tells of changes."""


ROUNDS_MAX: Final = 20
"""How often a server may want a request once more, with what it asks for."""

POLL_MS: Final = 1_000
"""So often a task is asked about whose server says nothing of that, and within these bounds where it does."""

POLL_S_MIN: Final = 0.05
POLL_S_MAX: Final = 30.0

CALL_OFF_S: Final = 5.0
"""So long a server may take to hear that nobody waits for its task."""

WATCHED_MAX: Final = 1_000
"""Resources of one server that clients have subscribed to."""

QUIET_S: Final = 1.0
"""So long a change that was told is not told again; then once, if there were more."""

LISTEN_AGAIN_S: Final = 5.0
"""After so long a server is asked for its news again that has ended them."""

SAID_MAX: Final = 4096
"""Characters that are kept of what a server says of a failure."""

Reveal: TypeAlias = Callable[[Mapping[str, SecretText]], Awaitable[Mapping[str, str]]]
"""What a server is given, with the secrets in it. It is asked when the server is connected, and puts that on the record."""


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


Open: TypeAlias = Callable[[Server, Mapping[str, str]], Awaitable[Link]]
"""Opens a way to a server that is given these variables or headers. Raises what keeps it from being opened."""


class Wanted(NamedTuple):
    """What a server is to tell of: changes of these lists, and of these resources."""

    lists: frozenset[str]
    uris: frozenset[str]


class _Live:
    """One connection. The task that made it ends it too, as the SDK's scopes ask for; calls come from others."""

    def __init__(self, link: Link, changed: Callable[[str, Mapping[str, Any]], None], spawn: Spawn) -> None:
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
        self.is_stale = True
        self.listed_s = -1.0
        self.heard_s = 0.0
        self.listed: list[Any] | None = None  # `Any`: JSON
        self.as_listed: bytes | None = None
        """The result that is known to list just that."""
        self.tools: dict[str, Tool] = {}
        self.ready: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.ended = asyncio.Event()

    async def run(self) -> None:
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

    async def close(self) -> None:
        self.stop.set()
        await self.ended.wait()


class Connection:
    """What asks one server. Making one costs nothing; the SDK is imported, and the server started, by the first who asks."""

    def __init__(
        self, server: Server, open_: Open, *, spawn: Spawn, hearers: Collection[Companion] = ()
    ) -> None:
        """`hearers`: whoever is told of other lists, as they are at that time."""
        self.server: Final = server
        self._hearers = hearers
        self._watchers: dict[str, set[Companion]] = {}
        self._watching = asyncio.Lock()
        self._told: dict[tuple[str, str | None], bool] = {}
        self._open = open_
        self._spawn = spawn
        self._live: _Live | None = None
        self._lock = asyncio.Lock()
        self._asking = 0
        self._is_retired = False

    @property
    def offers(self) -> list[str]:
        """What the server says that it has beside tools, of what goes through; nothing before it was connected to."""
        if self._live is None or self._live.client is None:
            return []
        said = self._live.client.server_capabilities.model_dump(exclude_none=True)
        return sorted(OFFERS & said.keys())

    async def list_tools(self, reveal: Reveal) -> list[Tool]:
        """The tools that there are now. `NoEffectError` MCP_SERVER_UNREACHABLE, MCP_SERVER_FAILED."""
        with self._in_use():
            async with self._lock:
                live = await self._connected(reveal)
                await self._list(live)
            return [*live.tools.values()]

    async def call(
        self,
        tool: str,
        arguments: Mapping[str, Json],
        *,
        pinned: Mapping[str, Json],
        reveal: Reveal,
        key: str,
        talk: Talk,
    ) -> dict[str, Any]:  # `Any`: JSON
        """The result of a tool, as it came, whether it says that it failed or not.

        `NoEffectError` MCP_SERVER_UNREACHABLE, MCP_TOOL_CHANGED: it was not asked. `WorldError` MCP_SERVER_FAILED,
        MCP_CALL_CANCELLED: it was, and what came of it is not known.
        """
        with self._in_use():
            live = await self._listed(reveal)
            self._require_same(live.tools.get(tool), tool, pinned)
            given: dict[str, Json] = {"name": tool, "arguments": dict(arguments)}
            return await self._asked(live, "CallToolRequest", given, key, talk)

    async def ask(
        self, request: str, params: Mapping[str, Json], *, reveal: Reveal, talk: Talk
    ) -> dict[str, Any]:  # `Any`: JSON
        """The answer to a request that changes nothing, by the SDK's name of it. Errors as of `call`.

        It lists nothing first, so it is this request that finds a server lost: then it is asked once more, of a new one.
        """
        with self._in_use():
            before = self._live
            async with self._lock:
                live = await self._connected(reveal)
            try:
                return await self._asked(live, request, params, None, talk)
            except WorldError as error:
                if live is not before or error.code != "MCP_SERVER_FAILED":
                    raise
            async with self._lock:
                live = await self._connected(reveal)
            return await self._asked(live, request, params, None, talk)

    async def settled(self, key: str) -> bool:
        """Whether nothing can happen any more by a call that was given up: what the server says of it then stays true.

        A program may be at work on it while it answers others. It is ended for that, if nobody waits for it.
        """
        async with self._lock:
            live = self._live
            if live is None or self.server.url is not None or not live.wire.is_unanswered(key):
                return True
            if self._asking:
                return False
            await self.close()
            return True

    async def _listed(self, reveal: Reveal) -> _Live:
        """A connection of which it is known what the server lists now. One that is lost by then is made anew, once."""
        came_s = asyncio.get_running_loop().time()
        async with self._lock:
            before = self._live
            live = await self._connected(reveal)
            try:
                if self._must_list(live, came_s) and not await self._lists_the_same(live):
                    await self._list(live)
            except NoEffectError:
                if live is not before:
                    raise
                live = await self._connected(reveal)
                await self._list(live)
        return live

    async def _asked(
        self, live: _Live, name: str, params: Mapping[str, Json], key: str | None, talk: Talk
    ) -> dict[str, Any]:  # `Any`: JSON
        """The answer to a request, with whatever the server asks of the call's client before it gives one."""
        if talk.companion is not None:
            await live.link.hear(self._doubt)
        try:
            await self._hear_messages(live, talk)
            return await self._answered(live, name, params, key, talk)
        finally:
            live.wire.forget(talk)

    async def _answered(
        self, live: _Live, name: str, params: Mapping[str, Json], key: str | None, talk: Talk
    ) -> dict[str, Any]:  # `Any`: as above
        from mcp import types

        kind: type[types.ClientRequest] = getattr(types, name)
        given: dict[str, Any] = dict(params)
        meta = {} if key is None else {"_meta": {KEY: key}}
        for _ in range(ROUNDS_MAX):
            asked = kind.model_validate({"params": {**given, **meta} or None}, by_name=False)
            # As it came: not by `call_tool`, which would try the answer by the schema of the list; ours is tried by the pinned
            # one, with patterns that take linear time.
            answer = (await self._answer(live, asked, talk)).root
            if answer.get("resultType") == "task":
                return await self._of_task(live, answer, key or "", talk)
            if answer.get("resultType") != "input_required":
                return answer
            given = {**params, **await self._inputs(answer, talk)}
        raise WorldError(
            "MCP_SERVER_FAILED",
            f"MCP server `{self.server.name}` wanted more than {ROUNDS_MAX} rounds of input for one call",
        )

    async def _of_task(
        self, live: _Live, task: Mapping[str, Any], key: str, talk: Talk
    ) -> dict[str, Any]:  # `Any`: JSON
        """What comes of a call that the server has made a task of. It is told when nobody wants that any more."""
        ident = str(task.get("taskId"))
        live.wire.tasks.add(key)
        try:
            told = await self._asked_about(live, ident, task, talk)
        except asyncio.CancelledError:
            self._spawn(self._call_off(live, ident, talk), name="a task that nobody waits for")
            raise
        except WorldError:
            await self._call_off(live, ident, talk)
            raise
        live.wire.tasks.discard(key)
        if told["status"] == "failed":
            raise self._refused(_error_of(told.get("error")))
        if told["status"] == "cancelled":
            raise WorldError(
                "MCP_SERVER_FAILED", f"MCP server `{self.server.name}` cancelled the task of this call"
            )
        result: dict[str, Any] = told["result"]
        return result

    async def _asked_about(
        self, live: _Live, ident: str, task: Mapping[str, Any], talk: Talk
    ) -> dict[str, Any]:  # `Any`: as above
        answered = set[str]()
        while True:
            poll_ms = task.get("pollIntervalMs")
            poll_s = (poll_ms if isinstance(poll_ms, int | float) else POLL_MS) / 1000
            await self._pause(min(max(poll_s, POLL_S_MIN), POLL_S_MAX), talk)
            task = await self._about_task(live, "get", {"taskId": ident}, talk)
            match task.get("status"):
                case "completed" if isinstance(task.get("result"), dict):
                    return task
                case "failed" | "cancelled":
                    return task
                case "input_required":
                    asked = task.get("inputRequests") or {}
                    asked = {name: one for name, one in asked.items() if name not in answered}
                    answered |= asked.keys()
                    if asked:
                        given = await self._inputs({"inputRequests": asked}, talk)
                        await self._about_task(live, "update", {"taskId": ident, **given}, talk)
                case "working":
                    pass
                case _:
                    raise WorldError(
                        "MCP_SERVER_FAILED",
                        f"MCP server `{self.server.name}` tells nothing that can be read of the task of this call",
                    )

    async def _about_task(
        self, live: _Live, what: str, params: dict[str, Any], talk: Talk
    ) -> dict[str, Any]:  # `Any`: JSON
        try:
            return (await self._answer(live, _task_request(what, params), talk)).root
        except WorldError as error:
            if error.code != "MCP_TOOL_FAILED":
                raise
            # That it does not answer this says nothing of what the call did.
            raise WorldError(
                "MCP_SERVER_FAILED",
                f"{error.message}; what came of its task is not known",
                details=error.details,
            ) from None

    async def _pause(self, for_s: float, talk: Talk) -> None:
        """Until a task is asked about again, or its client wants no outcome."""
        if talk.companion is None:
            await asyncio.sleep(for_s)
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(for_s):
                await talk.companion.left.wait()
            raise self._cancelled()

    async def _call_off(self, live: _Live, ident: str, talk: Talk) -> None:
        if live.client is None or live.stop.is_set():
            return
        with suppress(Exception), talk.speaking():  # it was told, whether it answers or not
            async with asyncio.timeout(CALL_OFF_S):
                await live.client.session.send_request(
                    _task_request("cancel", {"taskId": ident}), _as_it_came()
                )
        live.wire.forget(talk)

    def _cancelled(self) -> WorldError:
        return WorldError(
            "MCP_CALL_CANCELLED",
            f"the agent cancelled this call of MCP server `{self.server.name}`, which was told so",
            hint="what the call did until then is not known",
        )

    async def _inputs(self, answer: Mapping[str, Any], talk: Talk) -> dict[str, Any]:
        """What a server of the newer revision wants with the same request: what it asked, and its own state."""
        from mcp import MCPError

        asked = answer.get("inputRequests") or {}
        try:
            given = await talk.ask(
                {name: (one["method"], one.get("params") or {}) for name, one in asked.items()}
            )
        except MCPError as error:  # the client's own; the server has done nothing wrong
            raise self._refused(error) from None
        state = answer.get("requestState")
        return {
            **({"inputResponses": given} if given else {}),
            **({} if state is None else {"requestState": state}),
        }

    async def _hear_messages(self, live: _Live, talk: Talk) -> None:
        """Have a server of the older revisions tell the messages that this call's client wants; no other one wants fewer."""
        from mcp import types

        assert live.client is not None, "a connection is handed out when it is ready"
        least = None if talk.companion is None else talk.companion.log_level
        names = get_args(types.LoggingLevel)
        if (
            least not in names
            or live.client.server_capabilities.logging is None
            or live.client.protocol_version >= "2026"
            or (live.log_level is not None and names.index(live.log_level) <= names.index(least))
        ):
            return
        live.log_level = cast("LoggingLevel", least)
        params = types.SetLevelRequestParams(level=live.log_level)
        try:
            await self._answer(live, types.SetLevelRequest(params=params), talk)
        except WorldError as error:
            if error.code != "MCP_TOOL_FAILED":  # one that refuses this tells what it tells
                raise NoEffectError(error.code, error.message, details=error.details) from error

    async def _answer(
        self, live: _Live, request: types.ClientRequest, talk: Talk
    ) -> RootModel[dict[str, Any]]:
        import anyio

        assert live.client is not None, "as above"
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        leaving = None
        try:
            with talk.speaking(), anyio.CancelScope() as scope:
                if talk.companion is not None:
                    leaving = self._spawn(_left(talk.companion, scope), name="a client that may leave")
                given = await live.client.session.send_request(request, _as_it_came())
        except asyncio.CancelledError:
            if (
                live.heard_s <= began_s
            ):  # nothing came from it in all that time: the next call finds another one
                live.stop.set()
            raise
        except Exception as error:  # noqa: BLE001  # the SDK's own, pydantic's, or the transport's
            raise await self._failed(live, error, was_asked=True) from None
        finally:
            if leaving is not None:
                leaving.cancel()
        if scope.cancelled_caught:
            raise self._cancelled()
        live.heard_s = loop.time()
        return given

    def _must_list(self, live: _Live, came_s: float) -> bool:
        assert live.client is not None, "as above"
        tools = live.client.server_capabilities.tools
        # A promise counts where the protocol has the server keep it unasked, and it would be heard.
        tells = tools is not None and bool(tools.list_changed) and live.client.protocol_version < "2026"
        if live.is_stale or live.link.has_changed:
            return True
        if live.listed_s > came_s:  # by another call, since this one came
            return False
        counts_s = LISTED_S if tells and live.link.has_changed is False else 0.0
        return asyncio.get_running_loop().time() - live.listed_s >= counts_s

    async def _lists_the_same(self, live: _Live) -> bool:
        if live.is_stale:
            return False
        asked_s = asyncio.get_running_loop().time()
        live.is_stale = True
        live.link.heed_changes()  # before it is asked: a change that is told meanwhile counts
        try:
            async with asyncio.timeout(CONNECT_S):
                result = await live.link.list_again()
            if result is None:
                return False
            if result != live.as_listed:
                page = json.loads(result)
                if page.get("nextCursor") is not None or _exactly(page["tools"]) != _exactly(live.listed):
                    return False
                live.as_listed = result
        except TimeoutError as error:
            raise await self._failed(live, error, was_asked=False) from None
        except (ValueError, KeyError, AttributeError, RecursionError):
            return False  # what is wrong with it is told by whoever asks in the usual way
        live.is_stale = False
        live.listed_s = asked_s
        live.heard_s = asyncio.get_running_loop().time()
        return True

    async def _list(self, live: _Live) -> None:
        from mcp import types

        assert live.client is not None, "as above"
        session = live.client.session

        # As it came: what is the same as before, as nearly always, need not be read and judged again.
        async def raw(params: types.PaginatedRequestParams | None) -> tuple[list[Any], str | None]:
            page = (await session.send_request(types.ListToolsRequest(params=params), _as_it_came())).root
            return page["tools"], page.get("nextCursor")

        # In the SDK's own way, which keeps what the headers of later calls need.
        async def read(params: types.PaginatedRequestParams | None) -> tuple[list[Any], str | None]:
            page = await session.list_tools(params=params)
            told = [one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in page.tools]
            return told, page.next_cursor

        live.is_stale = True
        live.link.heed_changes()  # as above
        asked_s = asyncio.get_running_loop().time()
        try:
            async with asyncio.timeout(CONNECT_S):
                listed = await _all_of(raw)
                if listed != live.listed:
                    found = tools_of(self.server.name, await _all_of(read))
                    live.listed, live.tools = listed, {one.name: one for one in found}
        except Exception as error:  # noqa: BLE001  # as above
            raise await self._failed(live, error, was_asked=False) from None
        live.is_stale = False
        live.listed_s = asked_s
        live.heard_s = asyncio.get_running_loop().time()

    async def _connected(self, reveal: Reveal) -> _Live:
        if self._live is not None and not self._live.is_over and not self._live.stop.is_set():
            return self._live
        if self._live is not None:
            await self._live.close()
            self._live = None
        server = self.server
        try:
            given = await reveal(server.granted)
            live = _Live(await self._open(server, given), self._hear, self._spawn)
        except NoEffectError:
            raise
        except AssentError as error:
            raise NoEffectError(error.code, error.message, hint=error.hint, details=error.details) from error
        task = self._spawn(live.run(), name=f"mcp server {server.name}")
        try:
            async with asyncio.timeout(CONNECT_S):
                await asyncio.shield(live.ready)
        except BaseException as error:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await asyncio.wait({task})
            if isinstance(error, asyncio.CancelledError):
                raise
            raise await self._failed(live, error, was_asked=False) from None
        self._live = live
        task.add_done_callback(lambda _: self._doubt())
        await self._resume(live)
        return live

    async def watch(self, uri: str, *, reveal: Reveal, talk: Talk) -> None:
        """Have the server tell of changes of a resource, to the client of this call until it leaves. Errors as of `call`."""
        hearer = talk.companion
        if hearer is None or hearer.leaving is None:
            raise InputError(
                "INVALID_INPUT",
                "nobody is here who hears of changes",
                hint="an agent's client subscribes over MCP: `resources/subscribe`, `subscriptions/listen`",
            )
        with self._in_use():
            async with self._lock:
                live = await self._connected(reveal)
            async with self._watching:
                who = self._watchers.get(uri)
                if who is None:
                    if len(self._watchers) >= WATCHED_MAX:
                        raise NoEffectError(
                            "MCP_SERVER_FAILED",
                            f"no more than {WATCHED_MAX} resources of MCP server `{self.server.name}` are subscribed to",
                        )
                    await self._subscribe(live, uri, talk)
                    who = self._watchers.setdefault(uri, set())
                if hearer.left.is_set():
                    self._leave(uri, hearer)
                    return
                who.add(hearer)
                hearer.leaving.append(partial(self._leave, uri, hearer))

    async def unwatch(self, uri: str, *, reveal: Reveal, talk: Talk) -> None:
        """Have it tell this client no more."""
        del reveal  # nobody is connected to for that
        if talk.companion is not None:
            self._leave(uri, talk.companion)

    async def _subscribe(self, live: _Live, uri: str, talk: Talk) -> None:
        from mcp import types

        if not live.is_modern:
            await live.link.hear(self._doubt)
            request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
            try:
                await self._answer(live, request, talk)
            finally:
                live.wire.forget(talk)
            return
        try:
            async with asyncio.timeout(CONNECT_S):
                await self._listen(live, {uri, *self._watchers})
        except Exception as error:  # noqa: BLE001  # the SDK's own, or the transport's
            raise await self._failed(live, error, was_asked=True) from None

    def _leave(self, uri: str, hearer: Companion) -> None:
        """The last one to leave takes the subscription along."""
        who = self._watchers.get(uri, set())
        who.discard(hearer)
        if not who:
            self._watchers.pop(uri, None)
            if self._live is not None and not self._live.stop.is_set():
                self._spawn(self._unsubscribe(self._live, uri), name="a resource that nobody watches")

    async def _unsubscribe(self, live: _Live, uri: str) -> None:
        from mcp import types

        # Where it can't be said the server tells what nobody hears.
        with suppress(Exception):
            async with self._watching, asyncio.timeout(CONNECT_S):
                if uri in self._watchers or live.client is None:
                    return
                if live.is_modern:
                    await self._listen(live, self._watchers)
                else:
                    params = types.UnsubscribeRequestParams(uri=uri)
                    await live.client.session.send_request(
                        types.UnsubscribeRequest(params=params), _as_it_came()
                    )

    async def follow(self) -> None:
        """Have the server tell of its lists, if it is connected to and can: from then on it is heard."""
        if self._live is not None and not self._live.stop.is_set():
            await self._follow(self._live)

    async def _follow(self, live: _Live) -> None:
        with suppress(Exception):  # one that does not tell is asked at each call as ever
            async with asyncio.timeout(CONNECT_S):
                if live.is_modern:
                    await self._listen(live, self._watchers)
                elif self._hearers or self._watchers:
                    await live.link.hear(self._doubt)

    async def _listen(self, live: _Live, uris: Collection[str]) -> None:
        assert live.client is not None, "as above"
        can = live.client.server_capabilities
        lists = [one for one in LISTS.values() if getattr(getattr(can, one), "list_changed", False)]
        wanted = Wanted(frozenset(lists if self._hearers else ()), frozenset(uris))
        await live.listen(wanted, partial(self._listen_later, live))

    def _listen_later(self, live: _Live) -> None:
        async def again() -> None:
            await asyncio.sleep(LISTEN_AGAIN_S)
            if self._live is live:
                await self.follow()

        self._doubt()
        self._spawn(again(), name="news of a server")

    async def _resume(self, live: _Live) -> None:
        """What was watched on the connection before is watched on this one."""
        from mcp import types

        await self._follow(live)
        if live.is_modern:
            return
        with suppress(Exception):  # as above
            async with asyncio.timeout(CONNECT_S):
                assert live.client is not None, "as above"
                for uri in [*self._watchers]:
                    params = types.SubscribeRequestParams(uri=uri)
                    await live.client.session.send_request(
                        types.SubscribeRequest(params=params), _as_it_came()
                    )

    def _doubt(self) -> None:
        """Changes may be missed from now on: whoever watches a resource looks at it again, which connects anew."""
        for uri in self._watchers:
            self._tell(UPDATED, uri)

    def _hear(self, method: str, params: Mapping[str, Any]) -> None:  # `Any`: JSON
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
        said: dict[str, Json] = {"server": self.server.name, **({} if uri is None else {"uri": uri})}
        for one in [*(self._hearers if uri is None else self._watchers.get(uri, ()))]:
            one.tell(method, said)

    def _tell_rest(self, key: tuple[str, str | None]) -> None:
        if self._told.pop(key):
            self._tell(*key)

    async def _failed(self, live: _Live, error: BaseException, *, was_asked: bool) -> AssentError:
        """The error of a call that got no answer. The connection goes where that is what failed."""
        from mcp import MCPError
        from mcp_types import CONNECTION_CLOSED

        if isinstance(error, MCPError) and error.code != CONNECTION_CLOSED and was_asked:
            refused = self._refused(error)
            if not _needs_tasks(error):
                return refused
            # It made no task, and without one it does nothing.
            return NoEffectError(
                refused.code,
                refused.message,
                hint="only clients that know tasks can call this tool: call it from a workflow, or with such a client",
                details=refused.details,
            )
        await live.close()
        how = live.link.fault or (
            "it did not answer in time" if isinstance(error, TimeoutError) else _said(error)
        )
        printed = live.link.printed
        last = printed.rstrip().rpartition("\n")[2].strip()
        kind = WorldError if was_asked else NoEffectError
        return kind(
            "MCP_SERVER_FAILED" if was_asked else "MCP_SERVER_UNREACHABLE",
            f"MCP server `{self.server.name}` gave no answer: {how}{f'; it printed `{last[-200:]}`' if last else ''}",
            hint=live.link.hint or "the next call connects anew; `details` holds the end of what it printed",
            details={"printed": printed},
        )

    def _refused(self, error: MCPError) -> WorldError:
        return WorldError(
            "MCP_TOOL_FAILED",
            f"MCP server `{self.server.name}` refused the call: {_said(error)}",
            details={"code": error.code, "said": error.message[:SAID_MAX], "data": _bounded(error.data)},
        )

    def _require_same(self, found: Tool | None, name: str, pinned: Mapping[str, Json]) -> None:
        if found is not None and found.fault is None and found.definition == pinned:
            return
        # Whoever called is told where, and never what: a definition that nobody trusted is not for a model, and neither are the
        # names in its schemas. A person is shown all of it.
        if found is None:
            how = "is not there any more"
        elif found.fault is not None:
            how = "is defined now as nothing that can be trusted"
        else:
            keys = sorted(
                key
                for key in pinned.keys() | found.definition
                if pinned.get(key) != found.definition.get(key)
            )
            how = f"is not what was trusted: another {', '.join(f'`{key}`' for key in keys)}"
        raise NoEffectError(
            "MCP_TOOL_CHANGED",
            f"`{name}` of MCP server `{self.server.name}` {how}",
            hint=f"see every difference, and decide anew: assent mcp trust {self.server.name}",
        )

    @contextmanager
    def _in_use(self) -> Iterator[None]:
        if self._is_retired:
            raise NoEffectError(
                "MCP_TOOL_CHANGED",
                f"MCP server `{self.server.name}` is not the one any more that was trusted when this call was prepared",
                hint="see: assent mcp list",
            )
        self._asking += 1
        try:
            yield
        finally:
            self._asking -= 1
            self._end_if_idle()

    def retire(self) -> None:
        """Take no more calls, and end once those under way have ended. Harmless when done twice."""
        self._is_retired = True
        self._end_if_idle()

    @property
    def is_over(self) -> bool:
        """Nobody is being answered, and nothing runs behind it."""
        return not self._asking and self._live is None

    def _end_if_idle(self) -> None:
        if self._is_retired and not self._asking and self._live is not None:
            self._spawn(self.close(), name=f"the end of mcp server {self.server.name}")

    async def close(self) -> None:
        """End the connection, and the program behind it; harmless when there is none."""
        live, self._live = self._live, None
        if live is not None:
            await live.close()


async def _left(companion: Companion, scope: CancelScope) -> None:
    """End what is done inside once the client wants no outcome any more; the SDK tells the server."""
    await companion.left.wait()
    scope.cancel()


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
def _as_it_came() -> type[RootModel[dict[str, Any]]]:  # `Any`: JSON
    """What leaves a result alone."""
    from pydantic import RootModel

    return RootModel[dict[str, Any]]


def _task_request(
    what: str, params: dict[str, Any]
) -> Any:  # `Any`: JSON, and a request of no kind that the SDK knows
    return _task_kind()(method=f"tasks/{what}", params=params)


@cache
def _task_kind() -> Any:  # `Any`: as above
    from mcp_types import Request

    class TaskRequest(Request[dict[str, Any], str]):
        name_param = "taskId"  # what the header `Mcp-Name` names

    return TaskRequest


def _error_of(said: Any) -> MCPError:  # `Any`: JSON
    from mcp import MCPError
    from mcp_types import INTERNAL_ERROR

    told = said if isinstance(said, dict) else {}
    code = told.get("code")
    return MCPError(
        code if isinstance(code, int) else INTERNAL_ERROR,
        str(told.get("message", "it does not say why")),
        told.get("data"),
    )


def _needs_tasks(error: MCPError) -> bool:
    """Whether a server refuses to carry a call out as anything but a task."""
    from mcp_types import MISSING_REQUIRED_CLIENT_CAPABILITY

    data = error.data if isinstance(error.data, dict) else {}
    needed = data.get("requiredCapabilities")
    extensions = needed.get("extensions") if isinstance(needed, dict) else None
    is_missing = error.code == MISSING_REQUIRED_CLIENT_CAPABILITY
    return is_missing and isinstance(extensions, dict) and TASKS in extensions


def _exactly(listed: Any) -> str:  # `Any`: JSON
    """What 1, 1.0 and true are not the same in."""
    return json.dumps(listed, sort_keys=True)


def _bounded(data: Json) -> Json:
    return data if len(json.dumps(data)) <= SAID_MAX else None


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    told = error.message if isinstance(error, AssentError) else str(error)
    return " ".join(told.split())[:300] or type(error).__name__
