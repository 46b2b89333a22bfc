"""An MCP server of somebody else that talks while it carries out a call: as its own revision has it, it tells and it asks."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, cast

import anyio
import mcp_types as wire
from mcp.server import NotificationOptions, Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.streamable_http import EventMessage, EventStore
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.message import ServerMessageMetadata, SessionMessage
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
    event_to_notification,
)
from mcp_types.version import is_version_at_least
from pydantic import TypeAdapter
from starlette.responses import JSONResponse

Json = Any
Context = ServerRequestContext[Any, Any]
_RESULTS: dict[str, Any] = {
    "elicitation/create": wire.ElicitResult,
    "sampling/createMessage": wire.CreateMessageResult,
    "roots/list": wire.ListRootsResult,
}
SCHEMA = {"type": "object", "properties": {"name": {"type": "string"}}, "required": ["name"]}
ASKS: dict[str, Json] = {
    "elicitation": {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": "Who are you?", "requestedSchema": SCHEMA},
    },
    "secret": {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": "Your password?", "requestedSchema": SCHEMA},
    },
    "sampling": {
        "method": "sampling/createMessage",
        "params": {
            "messages": [{"role": "user", "content": {"type": "text", "text": "hello?"}}],
            "maxTokens": 9,
            "includeContext": "allServers",
        },
    },
    "roots": {"method": "roots/list", "params": {}},
}
WHOLE = wire.CallToolResult(
    content=[
        wire.TextContent(type="text", text="three", annotations=wire.Annotations(priority=1)),
        wire.ImageContent(type="image", data="iVBORw==", mime_type="image/png", meta={"of": "a picture"}),
    ],
    structured_content={"n": 3},
    meta={"example.org/seen": [1, 2]},
)
FAILS = wire.CallToolResult(
    content=[wire.ImageContent(type="image", data="iVBORw==", mime_type="image/png")], is_error=True
)


CHANGES = (
    ToolsListChanged(),
    PromptsListChanged(),
    ResourcesListChanged(),
    ResourceUpdated("talk://asks"),
    ResourceUpdated("talk://other"),
)


class Upstream:
    """What it saw of its calls."""

    def __init__(self) -> None:
        self.began = asyncio.Event()
        self.cancelled = asyncio.Event()
        self.bus = InMemorySubscriptionBus()
        self._listen = ListenHandler(self.bus)
        self.watched: set[str] = set()

    async def call(self, context: Context, params: wire.CallToolRequestParams) -> Any:
        """The result of a tool."""
        given = params.arguments or {}
        match params.name:
            case "tell":
                for done in (0, 50, 100):
                    await context.session.report_progress(done, 100, f"at {done}")
                said: Json = (("debug", "theirs"), ("warning", "theirs"), ("warning", " Assent"))
                for level, logger in said:
                    await log(context, level, logger)
                return text("told")
            case "ask":
                return await self._ask(context, params, given["what"], given.get("times", 1))
            case "wait":
                self.began.set()
                try:
                    await asyncio.sleep(60)
                except BaseException:
                    self.cancelled.set()
                    raise
            case "begun":
                await self.began.wait()
                return text("begun")
            case "was_cancelled":
                await asyncio.wait_for(self.cancelled.wait(), 10)
                return text("cancelled")
            case "can":
                can = context.session.client_capabilities
                return text(" ".join(sorted({} if can is None else can.model_dump(exclude_none=True))))
            case "fails":
                return FAILS
            case "change":
                for event in CHANGES:
                    await self.bus.publish(event)
                    if isinstance(event, ResourceUpdated):
                        if event.uri in self.watched:
                            await context.session.send_resource_updated(event.uri)
                    elif not is_version_at_least(context.protocol_version, "2026-07-28"):
                        await context.session.send_notification(event_to_notification(event, {}))
                return text("changed")
            case "watched":
                return text(" ".join(sorted(self.watched)) or "nothing")
            case "die":
                os._exit(1)
            case "breaks":
                for _ in range(2):
                    assert context.close_sse_stream is not None, "it is behind an address"
                    await context.close_sse_stream()
                    await asyncio.sleep(0.05)
                    await log(context, "warning", "theirs")
                return text("whole")
            case "asks_apart":
                # As some servers do: beside the answer to the call, on the stream for what nobody asked for.
                asked = TypeAdapter(wire.InputRequest).validate_python(ASKS["elicitation"])
                told = await context.session.send_request(asked, wire.ElicitResult)
                return text(told.model_dump_json(by_alias=True, exclude_none=True))
            case _:
                return WHOLE
        return None

    async def subscribe(self, _: Context, params: wire.SubscribeRequestParams) -> wire.EmptyResult:
        """In the older revisions."""
        self.watched.add(str(params.uri))
        return wire.EmptyResult()

    async def unsubscribe(self, _: Context, params: wire.UnsubscribeRequestParams) -> wire.EmptyResult:
        """As above."""
        self.watched.discard(str(params.uri))
        return wire.EmptyResult()

    async def listen(self, context: Context, params: wire.SubscriptionsListenRequestParams) -> Any:
        """In the newer one."""
        uris = {*(params.notifications.resource_subscriptions or ())}
        self.watched |= uris
        try:
            return await self._listen(context, params)
        finally:
            self.watched -= uris

    async def get_prompt(self, context: Context, params: wire.GetPromptRequestParams) -> Any:
        """A prompt that asks first."""
        given = await self._ask(context, params, "elicitation", 1)
        if not isinstance(given, wire.CallToolResult):
            return given
        return wire.GetPromptResult(messages=[wire.PromptMessage(role="user", content=given.content[0])])

    async def read_resource(self, context: Context, params: wire.ReadResourceRequestParams) -> Any:
        """A resource that asks first."""
        given = await self._ask(context, params, "elicitation", 1)
        if not isinstance(given, wire.CallToolResult):
            return given
        said = cast("wire.TextContent", given.content[0]).text
        return wire.ReadResourceResult(contents=[wire.TextResourceContents(uri=params.uri, text=said)])

    async def _ask(self, context: Context, params: Any, what: str, times: int) -> Json:
        asked = TypeAdapter(wire.InputRequest).validate_python(ASKS[what])
        if not is_version_at_least(context.protocol_version, "2026-07-28"):
            within = ServerMessageMetadata(related_request_id=context.request_id)
            told = [
                await context.session.send_request(asked, _RESULTS[asked.method], metadata=within)
                for _ in range(times)
            ]
            return text(told[-1].model_dump_json(by_alias=True, exclude_none=True))
        answered = params.input_responses or {}
        done = int(params.request_state or 0)
        if answered:
            done += 1
        if done < times:
            return wire.InputRequiredResult(input_requests={"it": asked}, request_state=str(done))
        return text(answered["it"].model_dump_json(by_alias=True, exclude_none=True))


async def log(context: Context, level: wire.LoggingLevel, logger: str) -> None:
    """Not by the SDK's own method, which warns that the newer revision is to do without."""
    params = wire.LoggingMessageNotificationParams(level=level, data={"is": level}, logger=logger)
    told = wire.LoggingMessageNotification(params=params)
    await context.session.send_notification(told, related_request_id=context.request_id)


def text(said: str) -> wire.CallToolResult:
    return wire.CallToolResult(content=[wire.TextContent(type="text", text=said)])


def tools() -> list[wire.Tool]:
    what = {"type": "object", "properties": {"what": {"type": "string"}, "times": {"type": "integer"}}}
    gives = {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}
    empty: Json = {"type": "object"}
    names = (
        "tell",
        "wait",
        "begun",
        "was_cancelled",
        "can",
        "fails",
        "resources.list",
        "change",
        "watched",
        "die",
        "breaks",
        "asks_apart",
    )
    return [
        wire.Tool(name="ask", input_schema=what),
        wire.Tool(name="whole", input_schema=empty, output_schema=gives),
        *(wire.Tool(name=name, input_schema=empty) for name in names),
    ]


def made() -> Server[Any]:
    """The server, however it is reached."""
    upstream = Upstream()

    async def listed(*_: object) -> wire.ListToolsResult:
        return wire.ListToolsResult(tools=tools())

    async def listed_prompts(*_: object) -> wire.ListPromptsResult:
        return wire.ListPromptsResult(prompts=[wire.Prompt(name="asks")])

    async def listed_resources(*_: object) -> wire.ListResourcesResult:
        places = ("talk://asks", "talk://other")
        return wire.ListResourcesResult(resources=[wire.Resource(uri=one, name=one) for one in places])

    server = Server(
        "talking",
        on_list_tools=listed,
        on_list_prompts=listed_prompts,
        on_get_prompt=upstream.get_prompt,
        on_list_resources=listed_resources,
        on_read_resource=upstream.read_resource,
        on_subscribe_resource=upstream.subscribe,
        on_unsubscribe_resource=upstream.unsubscribe,
        on_subscriptions_listen=upstream.listen,
    )
    server.add_request_handler("tools/call", wire.CallToolRequestParams, upstream.call)
    return server


CHANGED = NotificationOptions(tools_changed=True, prompts_changed=True, resources_changed=True)


class Kept(EventStore):
    """What was said on the streams of all sessions, for who comes back."""

    def __init__(self) -> None:
        self._said: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        self._said.append((stream_id, message))
        return str(len(self._said))

    async def replay_events_after(self, last_event_id: str, send_callback: Any) -> str | None:
        last = int(last_event_id)
        stream = self._said[last - 1][0]
        for number, (of, message) in enumerate(self._said[last:], last + 1):
            if of == stream and message is not None:
                await send_callback(EventMessage(message, str(number)))
        return stream


class OverHttp:
    """The server behind an address: at `/legacy` one that knows the older revisions alone. `asked`: what of it, by method."""

    def __init__(self) -> None:
        server = made()
        server.create_initialization_options = partial(server.create_initialization_options, CHANGED)  # type: ignore[method-assign]
        self._app = server.streamable_http_app(event_store=Kept(), retry_interval=50)
        self.asked: list[tuple[str, bytes | None]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            path, scope["path"] = scope["path"], "/mcp"
            if scope["method"] != "POST":
                self.asked.append((scope["method"], dict(scope["headers"]).get(b"last-event-id")))
            elif path == "/legacy" and dict(scope["headers"]).get(b"mcp-method") == b"server/discover":
                await JSONResponse({"detail": "no such method"}, 404)(scope, receive, send)
                return
        await self._app(scope, receive, send)


@contextmanager
def over_http() -> Iterator[tuple[str, OverHttp]]:
    """The server at an address of this machine, as long as the block lasts, in a thread of its own."""
    import uvicorn  # a program with pipes has no need of it

    app = OverHttp()
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listening:
        thread = threading.Thread(target=server.run, args=([listening],), daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}", app
        server.should_exit = True
        thread.join()


async def main() -> None:
    """Answer until the input ends."""
    server = made()
    async with stdio_server() as (source, sink), anyio.create_task_group() as group:
        to_server, known = anyio.create_memory_object_stream[Any](0)

        async def pump() -> None:
            """Know nothing of the newer revision, where that is said."""
            async with to_server:
                async for item in source:
                    asked = item.message
                    if "legacy" in sys.argv and getattr(asked, "method", "") == "server/discover":
                        error = wire.ErrorData(code=wire.METHOD_NOT_FOUND, message="no such method")
                        unknown = wire.JSONRPCError(jsonrpc="2.0", id=asked.id, error=error)
                        await sink.send(SessionMessage(unknown))
                    else:
                        await to_server.send(item)

        group.start_soon(pump)
        await server.run(known, sink, server.create_initialization_options(CHANGED))


if __name__ == "__main__":
    asyncio.run(main())
