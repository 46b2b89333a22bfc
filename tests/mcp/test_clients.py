"""Clients of others at one daemon, with scripted models: plan, a person's agreement, run, and the whole visit taken back."""

from __future__ import annotations

import asyncio
import json
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2
from mcp import ClientSession, StdioServerParameters
from mcp.client.stdio import stdio_client
from mcp.client.streamable_http import streamable_http_client

from assent.client import Client, connect
from assent.runtime.service import requests
from tests.support.patience import PATIENCE_S
from tests.support.serving import daemon, key_for, over_tcp

Call: TypeAlias = tuple[str, dict[str, Any]]
Model: TypeAlias = Generator[Call, str, None]
"""Yields the calls that it makes, and is sent what it is told of each."""

CALLS: Final = [
    {"tool": "io_fs_write_file", "arguments": {"path": "new.txt", "content": "new"}},
    {"tool": "io_fs_delete", "arguments": {"path": "old.txt"}},
]


POLICY: Final = """\
version: 1
rules:
  - {id: deletes, when: {operation_type: DELETE}, decision: REQUIRE_APPROVAL, reason: it is gone}
  - {id: work, when: {capability: [io.fs.write_file, workflow.run]}, decision: ALLOW, reason: harmless}
"""
"""Lets few tools go: frameworks read each of their schemas anew in every turn."""


def script(root: Path) -> Model:
    """Plans, runs what it has planned, looks at it, and takes it back."""
    told = yield "assent_plan", {"calls": CALLS}
    assert "REQUIRE_APPROVAL" in told
    assert files(root) == {"old.txt": "old"}
    told = yield "assent_run", {"plan": re.findall(r"plan_[0-9a-z]{26}", told)[0]}
    assert "succeeded" in told
    assert files(root) == {"new.txt": "new"}
    told = yield "assent_status", {}
    assert "workflow.run" in told
    told = yield "assent_undo", {"scope": "session"}
    assert "cancelled" in told


def files(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in root.glob("*.txt")}


def turn(model: Model, told: list[str]) -> Call | None:
    """What a model answers that was told of so many calls; None when it is done."""
    try:
        return model.send(told[-1]) if told else next(model)
    except StopIteration:
        return None


class Place:
    """Where a client finds the server."""

    def __init__(self, root: Path, env: dict[str, str], url: str) -> None:
        self.words = ["-m", "assent", "--workspace", str(root), "mcp"]
        self.env = env
        self.url = f"{url}/mcp"
        self.headers = {"authorization": f"Bearer {key_for(root, env, 'agent:bot')}"}


async def sdk_stdio(place: Place, model: Model) -> None:
    """The SDK's client and `assent mcp`, which is a client of the daemon itself."""
    process = StdioServerParameters(command=sys.executable, args=place.words, env=place.env)
    async with stdio_client(process) as streams:
        await _sdk(streams, model)


async def sdk_http(place: Place, model: Model) -> None:
    """The SDK's client over HTTP."""
    async with (
        httpx2.AsyncClient(headers=place.headers, timeout=PATIENCE_S) as http,
        streamable_http_client(place.url, http_client=http) as streams,
    ):
        await _sdk(streams, model)


async def _sdk(streams: Any, model: Model) -> None:
    told: list[str] = []
    async with ClientSession(*streams) as session:
        await session.initialize()
        while (call := turn(model, told)) is not None:
            told.append(json.dumps((await session.call_tool(*call)).structured_content))


async def pydantic_ai(place: Place, model: Model) -> None:
    """Pydantic AI, with the server among its agent's toolsets."""
    from pydantic_ai import Agent
    from pydantic_ai.mcp import MCPToolset
    from pydantic_ai.messages import ModelMessage, ModelResponse, TextPart, ToolCallPart
    from pydantic_ai.models.function import AgentInfo, FunctionModel

    async def hear(_: object) -> None:  # else each message of the server is printed, in colours
        return

    def answer(messages: list[ModelMessage], info: AgentInfo) -> ModelResponse:
        assert "io_fs_delete" in {one.name for one in info.function_tools}
        told = [json.dumps(part.content) for part in messages[-1].parts if part.part_kind == "tool-return"]
        call = turn(model, told)
        return ModelResponse([TextPart("done") if call is None else ToolCallPart(*call)])

    toolset = MCPToolset[None](place.url, headers=place.headers, log_handler=hear)
    async with Agent(FunctionModel(answer), toolsets=[toolset]) as agent:
        assert (await agent.run("go")).output == "done"


async def openai_agents(place: Place, model: Model) -> None:
    """OpenAI's Agents SDK, with the server among its agent's."""
    import agents
    from agents.mcp import MCPServerStreamableHttp
    from openai.types.responses import ResponseFunctionToolCall, ResponseOutputMessage, ResponseOutputText

    class Scripted(agents.Model):
        async def get_response(self, *said: Any, **named: Any) -> agents.ModelResponse:
            items = said[1] if len(said) > 1 else named["input"]
            told = [json.dumps(one["output"]) for one in items if one.get("type") == "function_call_output"]
            call = turn(model, told)
            text = ResponseOutputText(type="output_text", text="done", annotations=[])
            output: Any = ResponseOutputMessage(
                id="m", type="message", role="assistant", status="completed", content=[text]
            )
            if call is not None:
                output = ResponseFunctionToolCall(
                    type="function_call", call_id=f"c{len(told)}", name=call[0], arguments=json.dumps(call[1])
                )
            return agents.ModelResponse([output], agents.Usage(), None)

        def stream_response(self, *_: Any, **__: Any) -> AsyncIterator[Any]:
            raise NotImplementedError

    agents.set_tracing_disabled(True)
    where: Any = {"url": place.url, "headers": place.headers}
    async with MCPServerStreamableHttp(where, client_session_timeout_seconds=30) as server:
        agent = agents.Agent(name="a", model=Scripted(), mcp_servers=[server])
        assert (await agents.Runner.run(agent, "go")).final_output == "done"


DRIVES: Final[tuple[Callable[[Place, Model], Awaitable[None]], ...]] = (
    sdk_stdio,
    sdk_http,
    pydantic_ai,
    openai_agents,
)


@asynccontextmanager
async def person(rt: Client) -> AsyncIterator[list[str]]:
    """Agrees to whatever waits; who asked for it."""
    asked: list[str] = []

    async def decide() -> None:
        while True:
            for one in (await rt.perform(requests.Approvals())).approvals:
                await rt.approve(one.run_id, one.step)
                asked.append(one.requester)
            await asyncio.sleep(0.1)

    deciding = asyncio.create_task(decide())
    try:
        yield asked
    finally:
        deciding.cancel()


async def test_each_client_plans_waits_for_a_person_runs_and_takes_its_visit_back(
    root: Path, env: dict[str, str]
) -> None:
    (root / "old.txt").write_text("old")
    (root / "policy.yaml").write_text(POLICY)
    over_tcp(root)
    async with daemon(root, env) as served:
        url = served.doors["http"]
        place = Place(root, env, url)
        async with connect(url, key=key_for(root, env, "user:ann")) as ann, person(ann) as asked:
            for drive in DRIVES:
                model = script(root)
                await drive(place, model)
                assert next(model, None) is None, "it made all of its calls"
                assert files(root) == {"old.txt": "old"}
                inner, session = (await ann.runs()).runs[-2:]
                assert {inner.status, session.status} == {"cancelled", "undone"}
        assert asked == ["agent:mcp", "agent:bot", "agent:bot", "agent:bot"]
