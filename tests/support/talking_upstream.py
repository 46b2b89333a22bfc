"""An MCP server of somebody else that talks while it carries out a call: as its own revision has it, it tells and it asks."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import Any, cast

import anyio
import mcp_types as wire
from mcp.server import NotificationOptions, Server, ServerRequestContext
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.message import SessionMessage
from mcp.shared.subscriptions import (
    PromptsListChanged,
    ResourcesListChanged,
    ResourceUpdated,
    ToolsListChanged,
    event_to_notification,
)
from mcp_types.version import is_version_at_least
from pydantic import TypeAdapter

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
                    await context.session.send_log_message(
                        level, {"is": level}, logger=logger, related_request_id=context.request_id
                    )
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
            told = [await context.session.send_request(asked, _RESULTS[asked.method]) for _ in range(times)]
            return text(told[-1].model_dump_json(by_alias=True, exclude_none=True))
        answered = params.input_responses or {}
        done = int(params.request_state or 0)
        if answered:
            done += 1
        if done < times:
            return wire.InputRequiredResult(input_requests={"it": asked}, request_state=str(done))
        return text(answered["it"].model_dump_json(by_alias=True, exclude_none=True))


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
    )
    return [
        wire.Tool(name="ask", input_schema=what),
        wire.Tool(name="whole", input_schema=empty, output_schema=gives),
        *(wire.Tool(name=name, input_schema=empty) for name in names),
    ]


async def main() -> None:
    """Answer until the input ends."""
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
        changes = NotificationOptions(tools_changed=True, prompts_changed=True, resources_changed=True)
        await server.run(known, sink, server.create_initialization_options(changes))


if __name__ == "__main__":
    asyncio.run(main())
