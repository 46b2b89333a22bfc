"""The one client of a server: connected when it is first needed, and again when it was lost. It belongs to who owns the state.

A call asks a tool only while that is defined as somebody agreed to. What a server lists is looked at before each call, unless
it promised to tell of changes and has not.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeAlias, cast, get_args

from assent.errors import AssentError, InputError, Json, WorldError
from assent.invocation import NoEffectError, Spawn
from assent.plugins.upstream._live import CONNECT_S, Link, Live, as_it_came
from assent.plugins.upstream._news import News
from assent.plugins.upstream._servers import OFFERS, Server
from assent.plugins.upstream._talk import KEY, Talk
from assent.plugins.upstream._tasks import Task, error_of, needs_tasks, task_request
from assent.plugins.upstream._tools import Tool
from assent.spec.secret_text import SecretText

if TYPE_CHECKING:
    from anyio import CancelScope
    from mcp import MCPError, types
    from mcp.types import LoggingLevel
    from pydantic import RootModel

    from assent.invocation.context.companion import Companion

ROUNDS_MAX: Final = 20
"""How often a server may want a request once more, with what it asks for."""

SAID_MAX: Final = 4096
"""Characters that are kept of what a server says of a failure."""

CALL_OFF_S: Final = 5.0
"""So long a server may take to hear that nobody waits for its task."""

Reveal: TypeAlias = Callable[[Mapping[str, SecretText]], Awaitable[Mapping[str, str]]]
"""What a server is given, with the secrets in it. It is asked when the server is connected, and puts that on the record."""

Open: TypeAlias = Callable[[Server, Mapping[str, str]], Awaitable[Link]]
"""Opens a way to a server that is given these variables or headers. Raises what keeps it from being opened."""


class Connection:
    """What asks one server. Making one costs nothing; the SDK is imported, and the server started, by the first who asks."""

    def __init__(
        self, server: Server, open_: Open, *, spawn: Spawn, hearers: Collection[Companion] = ()
    ) -> None:
        """`hearers`: whoever is told of other lists, as they are at that time."""
        self.server: Final = server
        self._news = News(server.name, hearers, spawn)
        self._open = open_
        self._spawn = spawn
        self._live: Live | None = None
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

    async def _listed(self, reveal: Reveal) -> Live:
        """A connection of which it is known what the server lists now. One that is lost by then is made anew, once."""
        came_s = asyncio.get_running_loop().time()
        async with self._lock:
            before = self._live
            live = await self._connected(reveal)
            try:
                if live.must_list(came_s):
                    await self._list(live, may_be_same=True)
            except NoEffectError:
                if live is not before:
                    raise
                live = await self._connected(reveal)
                await self._list(live)
        return live

    async def _list(self, live: Live, *, may_be_same: bool = False) -> None:
        try:
            if not (may_be_same and await live.lists_the_same()):
                await live.list_tools()
        except Exception as error:  # noqa: BLE001  # the SDK's own, pydantic's, or the transport's
            raise await self._failed(live, error, was_asked=False) from None

    async def _asked(
        self, live: Live, name: str, params: Mapping[str, Json], key: str | None, talk: Talk
    ) -> dict[str, Any]:  # `Any`: JSON
        """The answer to a request, with whatever the server asks of the call's client before it gives one."""
        if talk.companion is not None:
            await live.link.hear(self._news.doubt)
        try:
            await self._hear_messages(live, talk)
            return await self._answered(live, name, params, key, talk)
        finally:
            live.wire.forget(talk)

    async def _answered(
        self, live: Live, name: str, params: Mapping[str, Json], key: str | None, talk: Talk
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
        self, live: Live, told: Mapping[str, Any], key: str, talk: Talk
    ) -> dict[str, Any]:  # `Any`: JSON
        """What comes of a call that the server has made a task of. It is told when nobody wants that any more."""
        ident = str(told.get("taskId"))

        async def answered(request: Any) -> dict[str, Any]:  # `Any`: as above
            return (await self._answer(live, request, talk)).root

        left = None if talk.companion is None else talk.companion.left
        task = Task(self.server.name, ident, answered, partial(self._inputs, talk=talk), left)
        live.wire.tasks.add(key)
        try:
            ended = await task.end(told)
            if ended is None:
                raise self._cancelled()
        except asyncio.CancelledError:
            self._spawn(self._call_off(live, ident, talk), name="a task that nobody waits for")
            raise
        except WorldError:
            await self._call_off(live, ident, talk)
            raise
        live.wire.tasks.discard(key)
        if ended["status"] == "failed":
            raise self._refused(error_of(ended.get("error")))
        if ended["status"] == "cancelled":
            raise WorldError(
                "MCP_SERVER_FAILED", f"MCP server `{self.server.name}` cancelled the task of this call"
            )
        result: dict[str, Any] = ended["result"]
        return result

    async def _call_off(self, live: Live, ident: str, talk: Talk) -> None:
        if live.client is None or live.stop.is_set():
            return
        with suppress(Exception), talk.speaking():  # it was told, whether it answers or not
            async with asyncio.timeout(CALL_OFF_S):
                await live.client.session.send_request(
                    task_request("cancel", {"taskId": ident}), as_it_came()
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

    async def _hear_messages(self, live: Live, talk: Talk) -> None:
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
        self, live: Live, request: types.ClientRequest, talk: Talk
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
                given = await live.client.session.send_request(request, as_it_came())
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

    async def _connected(self, reveal: Reveal) -> Live:
        if self._live is not None and not self._live.is_over and not self._live.stop.is_set():
            return self._live
        if self._live is not None:
            await self._live.close()
            self._live = None
        server = self.server
        try:
            given = await reveal(server.granted)
            live = Live(server.name, await self._open(server, given), self._news.hear, self._spawn)
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
        task.add_done_callback(lambda _: self._news.doubt())
        await self._news.joined(live)
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
            await self._news.watch(uri, hearer, partial(self._subscribe, live, uri, talk))

    async def unwatch(self, uri: str, *, reveal: Reveal, talk: Talk) -> None:
        """Have it tell this client no more."""
        del reveal  # nobody is connected to for that
        if talk.companion is not None:
            self._news.leave(uri, talk.companion)

    async def _subscribe(self, live: Live, uri: str, talk: Talk) -> None:
        from mcp import types

        if live.is_modern:
            try:
                await self._news.subscribe(live, uri)
            except Exception as error:  # noqa: BLE001  # as above
                raise await self._failed(live, error, was_asked=True) from None
            return
        await live.link.hear(self._news.doubt)
        try:
            request = types.SubscribeRequest(params=types.SubscribeRequestParams(uri=uri))
            await self._answer(live, request, talk)
        finally:
            live.wire.forget(talk)

    async def follow(self) -> None:
        """Have the server tell of its lists, if it is connected to and can: from then on it is heard."""
        await self._news.follow()

    async def _failed(self, live: Live, error: BaseException, *, was_asked: bool) -> AssentError:
        """The error of a call that got no answer. The connection goes where that is what failed."""
        from mcp import MCPError

        if isinstance(error, MCPError) and not _is_of_lost_connection(live, error) and was_asked:
            refused = self._refused(error)
            if not needs_tasks(error):
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


def _bounded(data: Json) -> Json:
    return data if len(json.dumps(data)) <= SAID_MAX else None


_LOST: Final = (
    "Connection closed",
    "SSE stream ended without a response",
    "SSE stream ended and reconnection attempts were exhausted",
)
"""What the SDK says of a request that nobody can answer any more."""


def _is_of_lost_connection(live: Live, error: MCPError) -> bool:
    """Whether the connection is what failed. The SDK's code for that is one that servers have for faults of their own."""
    from mcp_types import CONNECTION_CLOSED

    return error.code == CONNECTION_CLOSED and (live.link.fault is not None or error.message in _LOST)


def _said(error: BaseException) -> str:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    told = error.message if isinstance(error, AssentError) else str(error)
    return " ".join(told.split())[:300] or type(error).__name__
