"""What asks a server of others, met by servers of the SDK in this process: whatever they do, who called is told what is known."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import anyio
import mcp_types as wire
import pytest
from mcp.server import Server as Theirs
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.message import SessionMessage

from assent.errors import AssentError, InputError
from assent.invocation import LocalContext
from assent.invocation.context.local import CallLife
from assent.plugins.upstream import Connection, Server, Talk
from assent.system import spawn
from tests.capabilities.net.test_outgoing import CONTEXT
from tests.mcp.test_door import wired
from tests.support import talking_upstream

PLACE = "talk://asks"
SERVER = Server(name="talk", command=("talk",))
"""How it is called; the way to it is the test's."""


class Listener:
    """An agent's client that hears on after its calls."""

    can: Mapping[str, Any] = {"elicitation": {}}
    wants_progress = False
    log_level: str | None = "info"

    def __init__(self) -> None:
        self.leaving: list[Callable[[], object]] = []
        self.left = asyncio.Event()
        self.told: list[tuple[str, object]] = []

    def tell(self, method: str, params: Mapping[str, Any]) -> None:
        self.told.append((method.removeprefix("notifications/"), params.get("uri")))

    async def ask(self, questions: Any) -> Any:
        return {name: {"result": {"action": "accept"}} for name in questions}


class Within:
    """A way to a server in this process; `is_old`: one that knows the older revisions alone."""

    fault: str | None = None
    printed = ""
    hint: str | None = None
    has_changed: bool | None = None

    def __init__(self, server: Any, *, is_old: bool = False) -> None:
        self._server, self._is_old = server, is_old
        self.missed: list[Callable[[], object]] = []

    def heed_changes(self) -> None:
        """Nobody goes by that."""

    async def hear(self, missed: Callable[[], object]) -> None:
        self.missed.append(missed)

    async def list_again(self) -> bytes | None:
        return None

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Any]:
        async with wired(self._server) as (source, sink):
            to_us, ours = anyio.create_memory_object_stream[Any](100)

            async def pump() -> None:
                async with to_us:
                    async for item in source:
                        await to_us.send(item)

            class Sink:
                async def send(self, item: Any) -> None:
                    if getattr(item.message, "method", "") == "server/discover":
                        error = wire.ErrorData(code=wire.METHOD_NOT_FOUND, message="no such method")
                        told = wire.JSONRPCError(jsonrpc="2.0", id=item.message.id, error=error)
                        await to_us.send(SessionMessage(told))
                    else:
                        await sink.send(item)

                async def aclose(self) -> None:
                    await sink.aclose()

            pumping = spawn(pump(), name="its messages")
            yield ours, (Sink() if self._is_old else sink)
            pumping.cancel()
            ours.close()


class Meeting:
    """A connection to servers of a test, in the order of `ways`; the last one stays."""

    def __init__(self, *ways: Any, listener: Listener | None = None) -> None:
        self._ways = [*ways]
        self.listener = listener or Listener()
        self.connection = Connection(SERVER, self._open, spawn=spawn, hearers=[self.listener])

    async def _open(self, server: Server, given: Mapping[str, str]) -> Any:
        way = self._ways.pop(0) if len(self._ways) > 1 else self._ways[0]
        if isinstance(way, Exception):
            raise way
        return way

    def talk(self, listener: Listener | None) -> Talk:
        life = CallLife()
        life.companion = listener
        context = LocalContext(
            run=CONTEXT.run,
            step=CONTEXT.step,
            attempt=1,
            principal=CONTEXT.principal,
            key=CONTEXT.key,
            world=CONTEXT.world,
            blobs=CONTEXT.blobs,
            life=life,
        )
        return Talk("talk", context)

    async def call(self, tool: str, *, is_alone: bool = False, **arguments: Any) -> Any:
        pinned = {one.name: one.definition for one in await self.connection.list_tools(_reveal)}
        return await self.connection.call(
            tool,
            arguments,
            pinned=pinned[tool],
            reveal=_reveal,
            key="one",
            talk=self.talk(None if is_alone else self.listener),
        )

    async def watch(self, uri: str = PLACE, listener: Listener | None = None) -> None:
        await self.connection.watch(uri, reveal=_reveal, talk=self.talk(listener or self.listener))

    async def text(self, tool: str, **arguments: Any) -> str:
        return str((await self.call(tool, **arguments))["content"][0]["text"])


async def _reveal(given: Mapping[str, Any]) -> Mapping[str, str]:
    return {name: text.reveal() for name, text in given.items()}


async def failure(asked: Any) -> AssentError:
    with pytest.raises(AssentError) as caught:
        await asked
    return caught.value


async def until(held: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not held():  # noqa: ASYNC110 - another part of it settles it
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("is_old", [False, True])
async def test_what_is_watched_is_watched_on_the_next_connection_until_nobody_does(*, is_old: bool) -> None:
    ways = [Within(talking_upstream.made(), is_old=is_old) for _ in range(2)]
    met = Meeting(*ways)
    assert met.connection.offers == []
    await met.watch()
    assert met.connection.offers == ["prompts", "resources"]
    assert await met.text("watched") == PLACE
    await met.connection.close()
    await until(
        lambda: ("resources/updated", PLACE) in met.listener.told
    )  # nobody knows what changed meanwhile
    assert await met.text("watched") == PLACE
    met.listener.told.clear()
    await met.text("change")
    await until(lambda: ("tools/list_changed", None) in met.listener.told)
    await until(lambda: ("resources/updated", PLACE) in met.listener.told)
    assert ("resources/updated", "talk://other") not in met.listener.told
    assert bool(ways[1].missed) is is_old or not is_old
    met.listener.leaving[0]()
    async with asyncio.timeout(10):
        while await met.text("watched") != "nothing":
            pass
    await met.connection.close()


async def test_who_has_left_before_it_was_subscribed_is_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """And no more is watched than there is room for; what nobody waits for is no subscription."""
    met = Meeting(Within(talking_upstream.made()))
    gone = Listener()
    gone.left.set()
    await met.watch(listener=gone)
    assert not gone.leaving
    monkeypatch.setattr("assent.plugins.upstream._news.WATCHED_MAX", 1)
    await met.watch()
    await met.watch()
    error = await failure(met.watch("talk://other"))
    assert "no more than 1 resources" in error.message
    with pytest.raises(InputError, match="nobody is here"):
        await met.connection.watch(PLACE, reveal=_reveal, talk=met.talk(None))
    await met.connection.unwatch(PLACE, reveal=_reveal, talk=met.talk(met.listener))
    await met.watch("talk://other")
    await met.connection.close()


async def test_news_that_the_server_ends_are_asked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("assent.plugins.upstream._news.LISTEN_AGAIN_S", 0.01)
    monkeypatch.setattr("assent.plugins.upstream._news.QUIET_S", 0.01)
    listening = ListenHandler(InMemorySubscriptionBus())
    asked: list[set[str]] = []

    async def listen(context: Any, params: Any) -> Any:
        asked.append({*(params.notifications.resource_subscriptions or ())})
        if len(asked) > 4:
            raise MCPError(wire.INVALID_PARAMS, "no more")
        return await listening(context, params)

    server: Any = Theirs("ends", on_list_tools=_listed("one"), on_subscriptions_listen=listen)
    server.add_request_handler("resources/list", wire.PaginatedRequestParams, _listed())
    met = Meeting(Within(server))
    await met.watch()
    listening.close()
    await until(lambda: len(asked) == 3)
    listening.close()
    await until(lambda: len(asked) == 4)
    assert asked == [set(), {PLACE}, {PLACE}, {PLACE}]
    assert ("resources/updated", PLACE) in met.listener.told
    error = await failure(met.watch("talk://other"))
    assert (error.code, "no more" in error.message) == ("MCP_TOOL_FAILED", True)
    await met.connection.close()


def _listed(*names: str) -> Any:
    async def listed(*_: object) -> wire.ListToolsResult:
        return wire.ListToolsResult(
            tools=[wire.Tool(name=one, input_schema={"type": "object"}) for one in names]
        )

    return listed


class Jobs:
    """A server that makes a task of each call, and says of it what a test wants."""

    def __init__(self, *stands: Any) -> None:
        self._stands = [*stands]
        self.asked: list[str] = []
        self.server: Any = Theirs("jobs", on_list_tools=_listed("job"))
        self.server.add_request_handler("tools/call", wire.CallToolRequestParams, self._call)
        for what in ("get", "update", "cancel"):
            handler: Any = getattr(self, f"_{what}")
            self.server.add_request_handler(f"tasks/{what}", wire.RequestParams, handler)
        self.server.extensions["io.modelcontextprotocol/tasks"] = {}

    async def _call(self, *_: object) -> Any:
        return {"resultType": "task", "taskId": "t", "status": "working", "pollIntervalMs": 0}

    async def _get(self, *_: object) -> Any:
        stands = self._stands.pop(0) if len(self._stands) > 1 else self._stands[0]
        if isinstance(stands, Exception):
            raise stands
        return {"taskId": "t", "pollIntervalMs": 0, **stands}

    async def _update(self, *_: object) -> Any:
        self.asked.append("update")
        return wire.EmptyResult()

    async def _cancel(self, *_: object) -> Any:
        self.asked.append("cancel")
        return wire.EmptyResult()


QUESTION = {"a": {"method": "elicitation/create", "params": {"message": "?", "requestedSchema": {}}}}
NEEDS = {"status": "input_required", "inputRequests": QUESTION}
DONE = {"status": "completed", "result": {"content": []}}


@pytest.mark.parametrize(
    ("stands", "code", "told", "asked"),
    [
        ([{"status": "working"}, NEEDS, NEEDS, DONE], None, "", ["update"]),
        ([{"status": "cancelled"}], "MCP_SERVER_FAILED", "cancelled the task of this call", []),
        ([{"status": "failed", "error": {"message": "no"}}], "MCP_TOOL_FAILED", "refused the call: no", []),
        ([{"status": "failed"}], "MCP_TOOL_FAILED", "it does not say why", []),
        ([{"status": "lost"}], "MCP_SERVER_FAILED", "nothing that can be read", ["cancel"]),
        ([{"status": "completed"}], "MCP_SERVER_FAILED", "nothing that can be read", ["cancel"]),
        ([MCPError(-32603, "odd")], "MCP_SERVER_FAILED", "what came of its task is not known", ["cancel"]),
    ],
)
async def test_a_task_ends_as_its_server_says_or_what_came_of_it_is_not_known(
    stands: Any, code: str | None, told: str, asked: list[str]
) -> None:
    jobs = Jobs(*stands)
    met = Meeting(Within(jobs.server))
    if code is None:
        assert (await met.call("job", is_alone=True))["content"] == []
    else:
        error = await failure(met.call("job", is_alone=True))
        assert (error.code, told in error.message) == (code, True), error.message
    assert jobs.asked == asked
    await met.connection.close()


async def test_a_task_whose_client_leaves_is_called_off() -> None:
    jobs = Jobs({"status": "working"})
    listener = Listener()
    listener.can = {"extensions": {"io.modelcontextprotocol/tasks": {}}}
    met = Meeting(Within(jobs.server), listener=listener)
    calling = asyncio.ensure_future(met.call("job"))
    await until(lambda: met.connection._live is not None and met.connection._live.wire.tasks)
    assert not await met.connection.settled("one")  # it is at work on it, and somebody waits
    listener.left.set()
    assert (await failure(calling)).code == "MCP_CALL_CANCELLED"
    assert jobs.asked == ["cancel"]
    assert await met.connection.settled("one")
    assert met.connection._live is None  # ended for that
    calling = asyncio.ensure_future(met.call("job", is_alone=True))
    await until(lambda: met.connection._live is not None and met.connection._live.wire.tasks)
    calling.cancel()
    await until(lambda: len(jobs.asked) == 2)
    await met.connection.close()


async def test_one_that_always_wants_more_is_given_up_on() -> None:
    async def call(*_: object) -> Any:
        return wire.InputRequiredResult(request_state="again")

    server: Any = Theirs("asks", on_list_tools=_listed("more"))
    server.add_request_handler("tools/call", wire.CallToolRequestParams, call)
    met = Meeting(Within(server))
    assert "more than 20 rounds" in (await failure(met.call("more"))).message
    await met.connection.close()


@pytest.mark.parametrize("is_old", [False, True])
async def test_a_question_that_is_answered_with_an_error_is_one_of_the_call(*, is_old: bool) -> None:
    """Nobody can be asked for that, or the client itself says no in its own words."""
    met = Meeting(Within(talking_upstream.made(), is_old=is_old))
    error = await failure(met.call("ask", what="sampling"))
    assert (error.code, "nobody can answer" in error.message) == ("MCP_TOOL_FAILED", True)

    async def ask(questions: Any) -> Any:
        return {name: {"error": {"code": -1, "message": "not now"}} for name in questions}

    met.listener.ask = ask  # type: ignore[method-assign]  # as another client does
    error = await failure(met.call("ask", what="elicitation"))
    assert (error.code, "not now" in error.message) == ("MCP_TOOL_FAILED", True)
    await met.connection.close()


async def test_a_list_that_is_not_the_same_or_none_is_read_as_any_other() -> None:
    class Again(Within):
        async def list_again(self) -> bytes | None:
            asked.append(1)
            return told.pop() if told else None

    asked: list[int] = []
    told = [b"{", b'{"tools": 1}', b"{}", b'{"tools": [], "nextCursor": "2"}']
    met = Meeting(Again(talking_upstream.made()))
    pinned = {one.name: one.definition for one in await met.connection.list_tools(_reveal)}
    for count in range(1, 6):
        await met.connection.call(
            "can", {}, pinned=pinned["can"], reveal=_reveal, key="one", talk=met.talk(None)
        )
        assert len(asked) == count
    assert not told
    await met.connection.close()


async def test_a_tool_that_is_defined_as_nothing_to_be_trusted_is_not_called() -> None:
    async def listed(*_: object) -> wire.ListToolsResult:
        about = "Adds\u200b." if hides else "Adds."
        return wire.ListToolsResult(
            tools=[wire.Tool(name="add", description=about, input_schema={"type": "object"})]
        )

    hides: list[int] = []
    met = Meeting(Within(Theirs("hides", on_list_tools=listed)))
    (tool,) = await met.connection.list_tools(_reveal)
    hides.append(1)
    asked = met.connection.call(
        "add", {}, pinned=tool.definition, reveal=_reveal, key="one", talk=met.talk(None)
    )
    assert "as nothing that can be trusted" in (await failure(asked)).message
    await met.connection.close()


async def test_only_what_was_agreed_to_is_called_and_nothing_once_it_is_retired() -> None:
    met = Meeting(Within(talking_upstream.made()))
    (tool, *_) = await met.connection.list_tools(_reveal)
    for name, pinned, told in (
        ("nothing", tool.definition, "is not there any more"),
        (tool.name, {**tool.definition, "title": "other"}, "another `title`"),
    ):
        asked = met.connection.call(
            name, {}, pinned=pinned, reveal=_reveal, key="one", talk=met.talk(met.listener)
        )
        error = await failure(asked)
        assert (error.code, told in error.message) == ("MCP_TOOL_CHANGED", True)
    assert not met.connection.is_over
    met.connection.retire()
    await until(lambda: met.connection.is_over)
    assert "is not the one any more" in (await failure(met.watch())).message


class Mute(Within):
    """One that never says a word."""

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[Any]:
        to_us, ours = anyio.create_memory_object_stream[Any](0)
        theirs, from_us = anyio.create_memory_object_stream[Any](100)
        with to_us, ours, theirs, from_us:
            yield ours, theirs


async def test_a_server_that_does_not_come_about_is_told_and_the_next_one_is_met(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    odd = InputError("SECRET_UNKNOWN", "there is no secret `x`")
    good = Within(talking_upstream.made())
    met = Meeting(odd, Mute(None), Mute(None), good)
    assert (await failure(met.call("can"))).code == "SECRET_UNKNOWN"
    waiting = asyncio.ensure_future(met.call("can"))
    await asyncio.sleep(0.05)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    monkeypatch.setattr("assent.plugins.upstream._client.CONNECT_S", 0.05)
    error = await failure(met.call("can"))
    assert (error.code, "in time" in error.message) == ("MCP_SERVER_UNREACHABLE", True)
    monkeypatch.setattr("assent.plugins.upstream._client.CONNECT_S", 20.0)
    assert await met.text("can") == "elicitation"
    await met.connection.close()


async def test_a_server_that_lists_without_end_is_refused() -> None:
    async def listed(*_: object) -> wire.ListToolsResult:
        pages.append(1)
        tools = [
            wire.Tool(name=f"t{len(pages)}_{one}", input_schema={"type": "object"}) for one in range(200)
        ]
        return wire.ListToolsResult(tools=tools, next_cursor=str(len(pages)))

    pages: list[int] = []
    server: Any = Theirs("endless", on_list_tools=listed)
    error = await failure(Meeting(Within(server)).connection.list_tools(_reveal))
    assert (error.code, "it lists more than" in error.message) == ("MCP_SERVER_UNREACHABLE", True)
