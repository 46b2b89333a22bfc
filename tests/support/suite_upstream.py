"""What the official conformance suite expects of a server, written with the SDK: tools, resources and prompts of known names.

The suite calls it through Assent, which has it behind the gateway. What a tool needs of the client it asks for as the revision
has it: of a client of 2025-11-25 by a request, of one of 2026-07-28 by a result that asks (`InputRequiredResult`).
"""

# ruff: noqa: PT019 - these are the suite's tools, and no tests

from __future__ import annotations

import asyncio
import hashlib
import hmac
import json
import secrets
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, Final

import mcp_types as wire
from mcp.server import Server, ServerRequestContext
from mcp.server.lowlevel.server import NotificationOptions
from mcp.server.stdio import stdio_server
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import PromptsListChanged, ToolsListChanged
from mcp_types.version import is_version_at_least
from pydantic import TypeAdapter

Json = Any
PNG: Final = (
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
WAV: Final = "UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA="
BUS: Final = InMemorySubscriptionBus()
EXTENSION: Final = "io.modelcontextprotocol/tasks"
NEEDED: Final[Json] = {"requiredCapabilities": {"extensions": {EXTENSION: {}}}}
NEEDS_TASK: Final[dict[str, bool]] = {
    "failing_job": True,
    "slow_compute": False,
    "confirm_delete": False,
    "multi_input": False,
    "protocol_error_job": False,
}
"""Tools whose calls are tasks for a client that knows those, and whether they are for no other."""
KEY: Final = secrets.token_bytes(16)
EMPTY: Final[Json] = {"type": "object", "properties": {}}
_REQUEST: Final[TypeAdapter[wire.InputRequest]] = TypeAdapter(wire.InputRequest)
_RESULTS: Final[dict[str, Any]] = {
    "elicitation/create": wire.ElicitResult,
    "sampling/createMessage": wire.CreateMessageResult,
    "roots/list": wire.ListRootsResult,
}


class TaskParams(wire.RequestParams):
    """What each request about a task names."""

    task_id: str
    input_responses: dict[str, Any] | None = None


class Job:
    """One task. `asks` has the client asked by name."""

    def __init__(self, number: int) -> None:
        self.told: dict[str, Json] = {
            "taskId": f"job-{number}",
            "status": "working",
            "createdAt": "2026-01-01T00:00:00Z",
            "lastUpdatedAt": "2026-01-01T00:00:00Z",
            "ttlMs": None,
            "pollIntervalMs": 50,
        }
        self.answers: dict[str, asyncio.Future[Json]] = {}
        self.work: asyncio.Task[None]

    async def asks(self, **requests: Json) -> dict[str, Json]:
        """The client's answers."""
        for name in requests:
            self.answers[name] = asyncio.get_running_loop().create_future()
        self.told |= {"status": "input_required", "inputRequests": requests}
        given = {name: await self.answers[name] for name in requests}
        self.told["status"] = "working"
        del self.told["inputRequests"]
        return given

    async def run(self, work: Callable[[Job], Awaitable[wire.CallToolResult]]) -> None:
        """Carry it out, and keep what came of it."""
        try:
            result = await work(self)
        except MCPError as error:
            told = error.error.model_dump(mode="json", exclude_none=True)
            self.told |= {"status": "failed", "error": told}
        except asyncio.CancelledError:
            self.told["status"] = "cancelled"
        else:
            told = result.model_dump(mode="json", by_alias=True, exclude_none=True)
            self.told |= {"status": "completed", "result": told}


class Jobs:
    """The tasks of one server."""

    def __init__(self) -> None:
        self.all: dict[str, Job] = {}

    def join(self, server: Server[Any]) -> None:
        """Have a server answer what is asked about tasks."""
        for name, answer in (("get", self.get), ("update", self.update), ("cancel", self.cancel)):
            server.add_request_handler(f"tasks/{name}", TaskParams, answer)
        server.extensions[EXTENSION] = {}

    def begin(self, work: Callable[[Job], Awaitable[wire.CallToolResult]]) -> dict[str, Json]:
        """What answers the call."""
        job = Job(len(self.all))
        self.all[job.told["taskId"]] = job
        job.work = asyncio.ensure_future(job.run(work))
        return {**job.told, "resultType": "task"}

    async def get(self, _: Any, params: TaskParams) -> dict[str, Json]:
        """How a task stands."""
        return self._found(params).told

    async def update(self, _: Any, params: TaskParams) -> wire.EmptyResult:
        """Take what the client answers."""
        for name, one in (params.input_responses or {}).items():
            self._found(params).answers[name].set_result(one)
        return wire.EmptyResult()

    async def cancel(self, _: Any, params: TaskParams) -> wire.EmptyResult:
        """End it."""
        self._found(params).work.cancel()
        return wire.EmptyResult()

    def _found(self, params: TaskParams) -> Job:
        if params.task_id not in self.all:
            raise MCPError(wire.INVALID_PARAMS, "there is no such task")
        return self.all[params.task_id]


JOBS: Final = Jobs()


class Asks(Exception):
    """A round of a call: what the client is asked for."""


class Round:
    """One request, with what the client has answered so far."""

    def __init__(self, context: ServerRequestContext[Any, Any], params: Any) -> None:
        self.context = context
        self.arguments: dict[str, Any] = getattr(params, "arguments", None) or {}
        self.answered = params.input_responses or {}
        self.state: str | None = params.request_state
        self.job: Job | None = None

    @property
    def is_modern(self) -> bool:
        return is_version_at_least(self.context.protocol_version, "2026-07-28")

    async def ask(self, *, state: str | None = None, **requests: Json) -> dict[str, Any]:
        """The client's answers by key, when it has given all of them."""
        if self.job is not None:
            given = await self.job.asks(**requests)
            return {key: _RESULTS[one["method"]].model_validate(given[key]) for key, one in requests.items()}
        asked = {key: _REQUEST.validate_python(one) for key, one in requests.items()}
        if not self.is_modern:
            return {
                key: await self.context.session.send_request(one, _RESULTS[one.method])
                for key, one in asked.items()
            }
        missing = {key: one for key, one in asked.items() if key not in self.answered}
        if missing:
            raise Asks(wire.InputRequiredResult(input_requests=missing, request_state=state))
        return {key: self.answered[key] for key in asked}

    async def log(self, *lines: str) -> None:
        for line in lines:
            await self.context.session.send_log_message(
                "info", line, related_request_id=self.context.request_id
            )
            await asyncio.sleep(0.05)


def text(said: str) -> list[wire.ContentBlock]:
    return [wire.TextContent(type="text", text=said)]


def elicit(message: str, *required: str, **properties: Json) -> Json:
    schema = {"type": "object", "properties": properties, "required": [*required]}
    return {
        "method": "elicitation/create",
        "params": {"mode": "form", "message": message, "requestedSchema": schema},
    }


def sample(prompt: str, tokens: int = 100) -> Json:
    said = {"role": "user", "content": {"type": "text", "text": prompt}}
    return {"method": "sampling/createMessage", "params": {"messages": [said], "maxTokens": tokens}}


ROOTS: Final[Json] = {"method": "roots/list", "params": {}}
NAME: Final = elicit("What is your name?", "name", name={"type": "string"})
CONFIRM: Final = elicit("Please confirm", "ok", ok={"type": "boolean"})


def sealed(step: str) -> str:
    """A state that nobody else can make."""
    return f"{step}.{hmac.new(KEY, step.encode(), hashlib.sha256).hexdigest()}"


def opened(state: str | None) -> str | None:
    """The step that a state was made for. -32602 for one that is not ours."""
    if state is None:
        return None
    step = state.partition(".")[0]
    if not hmac.compare_digest(state, sealed(step)):
        raise MCPError(wire.INVALID_PARAMS, "this state is not ours")
    return step


def said(result: Any) -> str:
    return f"action={result.action}, content={json.dumps(result.content or {})}"


def embedded(uri: str, mime: str, said: str) -> wire.EmbeddedResource:
    contents = wire.TextResourceContents(uri=uri, mime_type=mime, text=said)
    return wire.EmbeddedResource(type="resource", resource=contents)


IMAGE: Final = wire.ImageContent(type="image", data=PNG, mime_type="image/png")
TOOLS: Final[dict[str, tuple[Json, Callable[[Round], Awaitable[Any]]]]] = {}


def tool(schema: Json = EMPTY) -> Callable[[Callable[[Round], Awaitable[Any]]], None]:
    def register(function: Callable[[Round], Awaitable[Any]]) -> None:
        TOOLS[function.__name__] = schema, function

    return register


def texts(*required: str) -> Json:
    return {
        "type": "object",
        "properties": {one: {"type": "string"} for one in required},
        "required": [*required],
    }


@tool()
async def test_simple_text(_: Round) -> Any:
    """Tells a simple text."""
    return text("This is a simple text response for testing.")


@tool()
async def test_image_content(_: Round) -> Any:
    """Gives an image."""
    return [IMAGE]


@tool()
async def test_audio_content(_: Round) -> Any:
    """Gives a sound."""
    return [wire.AudioContent(type="audio", data=WAV, mime_type="audio/wav")]


@tool()
async def test_embedded_resource(_: Round) -> Any:
    """Gives a resource."""
    return [embedded("test://embedded-resource", "text/plain", "This is an embedded resource content.")]


@tool()
async def test_multiple_content_types(_: Round) -> Any:
    """Gives a text, an image and a resource."""
    resource = embedded("test://mixed-content-resource", "application/json", '{"test":"data","value":123}')
    return [*text("Multiple content types test:"), IMAGE, resource]


@tool()
async def test_error_handling(_: Round) -> Any:
    """Fails."""
    return wire.CallToolResult(
        content=text("This tool intentionally returns an error for testing"), is_error=True
    )


@tool()
async def test_tool_with_logging(call: Round) -> Any:
    """Logs what it does."""
    await call.log("Tool execution started", "Tool processing data", "Tool execution completed")
    return text("Tool with logging executed successfully")


@tool()
async def test_logging_tool(call: Round) -> Any:
    """Logs one line."""
    await call.log("This is a log line")
    return text("logged")


@tool()
async def test_tool_with_progress(call: Round) -> Any:
    """Reports its progress."""
    for done in (0, 50, 100):
        await call.context.session.report_progress(done, 100, f"Completed step {done} of 100")
        await asyncio.sleep(0.05)
    return text("Tool with progress executed successfully")


@tool(texts("prompt"))
async def test_sampling(call: Round) -> Any:
    """Asks the client's model."""
    answered = await call.ask(answer=sample(call.arguments["prompt"]))
    return text(f"LLM response: {answered['answer'].content.text}")


@tool(texts("message"))
async def test_elicitation(call: Round) -> Any:
    """Asks the person at the client."""
    asks = elicit(
        call.arguments["message"],
        "username",
        "email",
        username={"type": "string", "description": "User's response"},
        email={"type": "string", "description": "User's email address"},
    )
    return text(f"User response: {said((await call.ask(user=asks))['user'])}")


@tool()
async def test_elicitation_sep1034_defaults(call: Round) -> Any:
    """Asks with a default for each kind of field."""
    asks = elicit(
        "Please provide user information",
        name={"type": "string", "default": "John Doe"},
        age={"type": "integer", "default": 30},
        score={"type": "number", "default": 95.5},
        status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
        verified={"type": "boolean", "default": True},
    )
    return text(f"Elicitation completed: {said((await call.ask(user=asks))['user'])}")


@tool()
async def test_elicitation_sep1330_enums(call: Round) -> Any:
    """Asks with every kind of choice."""
    options = ["option1", "option2", "option3"]
    titled = [{"const": f"value{n}", "title": f"Choice {n}"} for n in (1, 2, 3)]
    names = {"enum": ["opt1", "opt2", "opt3"], "enumNames": ["Option One", "Option Two", "Option Three"]}
    asks = elicit(
        "Please select",
        untitledSingle={"type": "string", "enum": options},
        titledSingle={"type": "string", "oneOf": titled},
        legacyEnum={"type": "string", **names},
        untitledMulti={"type": "array", "items": {"type": "string", "enum": options}},
        titledMulti={"type": "array", "items": {"anyOf": titled}},
    )
    return text(f"Elicitation completed: {said((await call.ask(user=asks))['user'])}")


@tool()
async def test_streaming_elicitation(call: Round) -> Any:
    """Reports its progress, and asks for a name."""
    await call.context.session.report_progress(0, 1, "asking")
    return text(f"Hello, {(await call.ask(user_name=NAME))['user_name'].content['name']}!")


@tool()
async def test_input_required_result_elicitation(call: Round) -> Any:
    """Asks for a name."""
    return text(f"Hello, {(await call.ask(user_name=NAME))['user_name'].content['name']}!")


@tool()
async def test_input_required_result_sampling(call: Round) -> Any:
    """Asks the client's model."""
    answered = await call.ask(capital_question=sample("What is the capital of France?"))
    return text(answered["capital_question"].content.text)


@tool()
async def test_input_required_result_list_roots(call: Round) -> Any:
    """Asks for the client's roots."""
    roots = (await call.ask(client_roots=ROOTS))["client_roots"].roots
    return text(f"Roots: {', '.join(str(one.uri) for one in roots)}")


@tool()
async def test_input_required_result_request_state(call: Round) -> Any:
    """Asks, and knows its own state again."""
    opened(call.state)
    await call.ask(state=sealed("confirm"), confirm=CONFIRM)
    return text("state-ok" if call.state else "no state")


@tool()
async def test_input_required_result_tampered_state(call: Round) -> Any:
    """Asks, and takes no state but its own."""
    opened(call.state)
    await call.ask(state=sealed("tampered"), confirm=CONFIRM)
    return text("confirmed")


@tool()
async def test_input_required_result_multiple_inputs(call: Round) -> Any:
    """Asks for three things at once."""
    opened(call.state)
    greeting = sample("Generate a greeting", 50)
    answered = await call.ask(state=sealed("many"), user_name=NAME, greeting=greeting, client_roots=ROOTS)
    return text(f"{answered['greeting'].content.text} {answered['user_name'].content['name']}")


@tool()
async def test_input_required_result_multi_round(call: Round) -> Any:
    """Asks twice."""
    step = opened(call.state)
    if step != "second":
        asks = elicit("Step 1: What is your name?", "name", name={"type": "string"})
        await call.ask(state=sealed("first"), step1=asks)
    asks = elicit("Step 2: What is your favorite color?", "color", color={"type": "string"})
    answered = await call.ask(state=sealed("second"), step2=asks)
    return text(f"Your color is {answered['step2'].content['color']}.")


@tool()
async def test_input_required_result_capabilities(call: Round) -> Any:
    """Asks only for what the client can give."""
    can = call.context.session.client_capabilities
    asks: dict[str, Any] = {}
    if can is not None and can.sampling is not None:
        asks["greeting"] = sample("Generate a greeting", 50)
    if can is not None and can.elicitation is not None:
        asks["user_name"] = NAME
    await call.ask(**asks)
    return text("asked")


@tool()
async def test_missing_capability(call: Round) -> Any:
    """Needs a client that can sample."""
    can = call.context.session.client_capabilities
    if can is None or can.sampling is None:
        needs: Json = {"requiredCapabilities": {"sampling": {}}}
        raise MCPError(wire.MISSING_REQUIRED_CLIENT_CAPABILITY, "the client can't sample", needs)
    return text("it can")


@tool()
async def test_reconnection(_: Round) -> Any:
    """Takes a moment."""
    await asyncio.sleep(0.2)
    return text("Reconnection test completed")


@tool(
    {
        "type": "object",
        "properties": {"region": {"type": "string", "x-mcp-header": "Region"}, "query": {"type": "string"}},
        "required": ["region"],
    }
)
async def test_custom_headers(call: Round) -> Any:
    """Has an argument that is sent in a header, too."""
    return text(call.arguments["region"])


@tool(texts("name"))
async def greet(call: Round) -> Any:
    """Greets."""
    return text(f"Hello, {call.arguments['name']}!")


@tool(
    {
        "type": "object",
        "properties": {"seconds": {"type": "number"}, "label": {"type": "string"}},
        "required": ["seconds"],
    }
)
async def slow_compute(call: Round) -> Any:
    """Takes its time."""
    # A task tells this, too, though its call has been answered by then.
    token = (call.context.meta or {}).get("progress_token")
    await asyncio.sleep(call.arguments["seconds"] / 2)
    if token is not None:
        await call.context.session.send_progress_notification(token, 50, 100, "half of it")
    await asyncio.sleep(call.arguments["seconds"] / 2)
    return text(f"{call.arguments.get('label', '')} done")


@tool()
async def failing_job(_: Round) -> Any:
    """Takes a moment, and fails."""
    await asyncio.sleep(1)
    return wire.CallToolResult(content=text("the job failed"), is_error=True)


@tool()
async def protocol_error_job(_: Round) -> Any:
    """Takes a moment, and fails with an error of the protocol."""
    await asyncio.sleep(1)
    raise MCPError(wire.INTERNAL_ERROR, "the job could not be run")


@tool(texts("filename"))
async def confirm_delete(call: Round) -> Any:
    """Takes a moment, and asks before it deletes."""
    await asyncio.sleep(1)
    asks = elicit(f"Delete {call.arguments['filename']}?", "confirm", confirm={"type": "boolean"})
    return text(f"deleted: {said((await call.ask(confirm=asks))['confirm'])}")


@tool()
async def multi_input(call: Round) -> Any:
    """Takes a moment, and asks two questions at once."""
    await asyncio.sleep(1)
    name = elicit("Your name?", "name", name={"type": "string"})
    sure = elicit("Sure?", "confirm", confirm={"type": "boolean"})
    await call.ask(name=name, sure=sure)
    return text("both answered")


@tool()
async def test_tool_with_task(call: Round) -> Any:
    """Asks for a name, and takes a moment then."""
    name = (await call.ask(user_name=NAME))["user_name"].content["name"]
    await asyncio.sleep(1)
    return text(f"Hello, {name}!")


@tool(
    {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "type": "object",
        "$defs": {
            "address": {
                "$anchor": "addressDef",
                "type": "object",
                "properties": {"street": {"type": "string"}, "city": {"type": "string"}},
            }
        },
        "properties": {
            "name": {"type": "string"},
            "address": {"$ref": "#/$defs/address"},
            "contactMethod": {"type": "string", "enum": ["phone", "email"]},
            "phone": {"type": "string"},
            "email": {"type": "string"},
        },
        "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
        "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
        "then": {"required": ["phone"]},
        "else": {"required": ["email"]},
        "additionalProperties": False,
    }
)
async def json_schema_2020_12_tool(_: Round) -> Any:
    """Tool with JSON Schema 2020-12 features"""
    return text("valid")


@tool()
async def test_trigger_tool_change(_: Round) -> Any:
    """Has one tool more for a moment."""
    TOOLS["more"] = TOOLS["test_simple_text"]
    await BUS.publish(ToolsListChanged())
    del TOOLS["more"]
    return text("there was one more")


@tool()
async def test_trigger_prompt_change(_: Round) -> Any:
    """Has one prompt more for a moment."""
    PROMPTS["more"] = PROMPTS["test_simple_prompt"]
    await BUS.publish(PromptsListChanged())
    del PROMPTS["more"]
    return text("there was one more")


@tool()
async def test_tell_tasks(_: Round) -> Any:
    """Tells how its tasks stand, for a test of ours."""
    return text(" ".join(one.told["status"] for one in JOBS.all.values()))


RESOURCES: Final = {
    "test://static-text": ("text/plain", "This is the content of the static text resource."),
    "test://watched-resource": ("text/plain", "Watched resource content"),
}
PROMPTS: Final[dict[str, tuple[str, tuple[str, ...]]]] = {
    "test_simple_prompt": ("A prompt without arguments", ()),
    "test_prompt_with_arguments": ("A prompt with two arguments", ("arg1", "arg2")),
    "test_prompt_with_embedded_resource": ("A prompt with a resource", ("resourceUri",)),
    "test_prompt_with_image": ("A prompt with an image", ()),
    "test_input_required_result_prompt": ("A prompt that asks", ()),
}


class Fixture:
    """The requests that the suite makes, answered."""

    async def list_tools(self, _: Any, __: Any) -> wire.ListToolsResult:
        return wire.ListToolsResult(
            tools=[
                wire.Tool(name=name, description=function.__doc__ or "", input_schema=schema)
                for name, (schema, function) in TOOLS.items()
            ]
        )

    async def call_tool(self, context: Any, params: wire.CallToolRequestParams) -> Any:
        if params.name not in TOOLS:
            raise MCPError(wire.INVALID_PARAMS, f"there is no tool {params.name}")
        can = context.session.client_capabilities
        knows_tasks = EXTENSION in ((can.extensions if can is not None else None) or {})
        if knows_tasks and params.name in NEEDS_TASK:
            return JOBS.begin(partial(self._carry_out, Round(context, params), params.name))
        if NEEDS_TASK.get(params.name):
            raise MCPError(wire.MISSING_REQUIRED_CLIENT_CAPABILITY, "this takes a client with tasks", NEEDED)
        try:
            return await self._carry_out(Round(context, params), params.name, None)
        except Asks as asks:
            return asks.args[0]

    async def _carry_out(self, call: Round, name: str, job: Job | None) -> wire.CallToolResult:
        call.job = job
        given = await TOOLS[name][1](call)
        return given if isinstance(given, wire.CallToolResult) else wire.CallToolResult(content=given)

    async def list_resources(self, _: Any, __: Any) -> wire.ListResourcesResult:
        mimes = {uri: mime for uri, (mime, _) in RESOURCES.items()} | {"test://static-binary": "image/png"}
        return wire.ListResourcesResult(
            resources=[
                wire.Resource(
                    uri=uri, name=uri.removeprefix("test://"), description="For tests.", mime_type=mime
                )
                for uri, mime in mimes.items()
            ]
        )

    async def list_templates(self, _: Any, __: Any) -> wire.ListResourceTemplatesResult:
        one = wire.ResourceTemplate(
            uri_template="test://template/{id}/data",
            name="template",
            description="A resource for each id.",
            mime_type="application/json",
        )
        return wire.ListResourceTemplatesResult(resource_templates=[one])

    async def read_resource(self, _: Any, params: wire.ReadResourceRequestParams) -> wire.ReadResourceResult:
        uri = str(params.uri)
        contents: wire.TextResourceContents | wire.BlobResourceContents
        if uri == "test://static-binary":
            contents = wire.BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
        elif uri in RESOURCES:
            mime, body = RESOURCES[uri]
            contents = wire.TextResourceContents(uri=uri, mime_type=mime, text=body)
        elif uri.startswith("test://template/") and uri.endswith("/data"):
            ident = uri.removeprefix("test://template/").removesuffix("/data")
            told = {"id": ident, "templateTest": True, "data": f"Data for ID: {ident}"}
            contents = wire.TextResourceContents(uri=uri, mime_type="application/json", text=json.dumps(told))
        else:
            raise MCPError(wire.INVALID_PARAMS, "Resource not found", {"uri": uri})
        return wire.ReadResourceResult(contents=[contents])

    async def accept(self, _: Any, __: Any) -> wire.EmptyResult:
        return wire.EmptyResult()

    async def list_prompts(self, _: Any, __: Any) -> wire.ListPromptsResult:
        return wire.ListPromptsResult(
            prompts=[
                wire.Prompt(
                    name=name,
                    description=told,
                    arguments=[
                        wire.PromptArgument(name=one, description="For tests.", required=True)
                        for one in needs
                    ],
                )
                for name, (told, needs) in PROMPTS.items()
            ]
        )

    async def get_prompt(self, context: Any, params: wire.GetPromptRequestParams) -> Any:
        given = params.arguments or {}
        parts: list[Any]
        match params.name:
            case "test_simple_prompt":
                parts = text("This is a simple prompt for testing.")
            case "test_prompt_with_arguments":
                parts = text(f"Prompt with arguments: arg1='{given['arg1']}', arg2='{given['arg2']}'")
            case "test_prompt_with_embedded_resource":
                resource = embedded(
                    given["resourceUri"], "text/plain", "Embedded resource content for testing."
                )
                parts = [resource, *text("Please process the embedded resource above.")]
            case "test_prompt_with_image":
                parts = [IMAGE, *text("Please analyze the image above.")]
            case "test_input_required_result_prompt":
                asks = elicit("What context should the prompt use?", "context", context={"type": "string"})
                try:
                    answered = await Round(context, params).ask(user_context=asks)
                except Asks as asked:
                    return asked.args[0]
                parts = text(f"Context: {answered['user_context'].content['context']}")
            case _:
                raise MCPError(wire.INVALID_PARAMS, f"there is no prompt {params.name}")
        return wire.GetPromptResult(
            messages=[wire.PromptMessage(role="user", content=part) for part in parts]
        )

    async def complete(self, _: Any, __: Any) -> wire.CompleteResult:
        return wire.CompleteResult(
            completion=wire.Completion(values=["paris", "park"], total=2, has_more=False)
        )


async def main() -> None:
    fixture = Fixture()
    server: Server[Any] = Server(
        "suite",
        version="1",
        on_list_tools=fixture.list_tools,
        on_list_resources=fixture.list_resources,
        on_list_resource_templates=fixture.list_templates,
        on_read_resource=fixture.read_resource,
        on_subscribe_resource=fixture.accept,
        on_unsubscribe_resource=fixture.accept,
        on_list_prompts=fixture.list_prompts,
        on_get_prompt=fixture.get_prompt,
        on_completion=fixture.complete,
        on_set_logging_level=fixture.accept,
        on_subscriptions_listen=ListenHandler(BUS),
    )
    server.add_request_handler("tools/call", wire.CallToolRequestParams, fixture.call_tool)
    JOBS.join(server)
    async with stdio_server() as (source, sink):
        await server.run(
            source, sink, server.create_initialization_options(NotificationOptions(True, True, True))
        )


if __name__ == "__main__":
    asyncio.run(main())
