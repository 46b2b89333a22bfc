"""`/mcp/NAME`: one MCP server of somebody else as it is, behind the gate: its names, and its results as they were given."""

from __future__ import annotations

import asyncio
import json
import os
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx2
import mcp_types as wire
import pytest
import pytest_asyncio
from mcp.client.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from assent.mcp import _tasks
from tests.mcp.test_tasks import Handle, Tasks, Told, ask
from tests.support.patience import PATIENCE_S
from tests.support.suite import served

ERAS = ("legacy", "2026-07-28")
CALL = {
    "content-type": "application/json",
    "accept": "application/json, text/event-stream",
    "mcp-protocol-version": ERAS[1],
    "mcp-method": "tools/call",
}
META = {
    f"io.modelcontextprotocol/{key}": value
    for key, value in {
        "protocolVersion": ERAS[1],
        "clientInfo": {"name": "test", "version": "1"},
        "clientCapabilities": {},
    }.items()
}


@asynccontextmanager
async def come(url: str, key: str, era: str, **more: Any) -> AsyncIterator[Client]:
    """An agent at an address; `more` is said of its client."""
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=PATIENCE_S) as http,
        Client(streamable_http_client(url, http_client=http), mode=era, **more) as client,
    ):
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def suite() -> AsyncIterator[tuple[str, str]]:
    """Where the suite's server is served, and a key."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ASSENT_")}
    async with served(environ) as place:
        yield place


@pytest.mark.asyncio(loop_scope="module")
async def test_a_server_is_met_as_it_is(suite: tuple[str, str]) -> None:
    url, key = suite
    for era in ERAS:
        async with come(f"{url}/mcp/suite", key, era) as client:
            tools = {one.name: one for one in (await client.list_tools()).tools}
            theirs = {name for name in tools if not name.startswith("assent_")}
            assert "test_simple_text" in theirs
            assert "assent_undo" in tools
            assert {"$defs", "allOf", "if", "then", "else"} <= {
                *tools["json_schema_2020_12_tool"].input_schema
            }
            assert tools["test_image_content"].output_schema is None
            given = await client.call_tool("test_multiple_content_types", {})
            assert [one.type for one in given.content] == ["text", "image", "resource"]
            assert given.structured_content is None
            assert given.meta is not None
            assert {"assent/run", "assent/step"} <= {*given.meta}
            failed = await client.call_tool("test_error_handling", {})
            assert failed.is_error
            assert failed.structured_content["error"]["code"] == "EFFECT_UNKNOWN"
            with pytest.raises(MCPError) as refused:
                await client.call_tool("protocol_error_job", {})
            assert (refused.value.code, refused.value.message) == (-32603, "the job could not be run")
            assert {"assent/run", "assent/step"} <= {*refused.value.data}
    for name in ("nobody", "*", "s?ite"):  # a pattern is no server, nor several
        async with come(f"{url}/mcp/{name}", key, ERAS[1]) as client:
            with pytest.raises(MCPError, match="there is no tool of an MCP server"):
                await client.list_tools()
    async with come(f"{url}/mcp", key, ERAS[1]) as client:
        assert "mcp_suite_test_simple_text" in {one.name for one in (await client.list_tools()).tools}


@pytest.mark.asyncio(loop_scope="module")
async def test_a_task_holds_what_a_direct_answer_would(
    suite: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    url, key = suite

    async def answer(client: Client, tool: str, given: dict[str, Any]) -> str:
        """What a call is answered with, whatever its step is called."""
        try:
            result = await client.call_tool(tool, given)
            (result.meta or {}).pop(
                "io.modelcontextprotocol/serverInfo", None
            )  # of each answer, as of `tasks/get`
            told = result.model_dump(mode="json", by_alias=True)
        except MCPError as error:
            told = error.error.model_dump(mode="json", by_alias=True)
        for block in told.get("content", ()):
            with suppress(KeyError, ValueError):  # as text: keys may be in another order
                block["text"] = json.loads(block["text"])
        said = json.dumps(told, sort_keys=True)
        return re.sub(r"run_\w{26}|step_\d+", "*", said)

    known = Tasks()
    async with (
        come(f"{url}/mcp/suite", key, ERAS[1]) as direct,
        come(f"{url}/mcp/suite", key, ERAS[1], extensions=[known]) as client,
    ):
        for tool, given in (
            ("test_multiple_content_types", {}),
            ("assent_run", {"calls": [{"tool": "greet", "arguments": {"name": "Ann"}}]}),
            ("slow_compute", {"seconds": "long"}),
            ("test_error_handling", {}),
            ("protocol_error_job", {}),
        ):
            slow_s = 0.5 if tool.endswith("_job") else 0.0
            monkeypatch.setattr(_tasks, "SLOW_S", slow_s)
            known.seen.clear()
            assert await answer(client, tool, given) == await answer(direct, tool, given)
            assert known.seen, tool
        known.seen.clear()
        monkeypatch.setattr(_tasks, "SLOW_S", 30.0)
        await client.call_tool("greet", {"name": "Ann"})
        assert not known.seen


@pytest.mark.asyncio(loop_scope="module")
async def test_a_task_asks_its_own_client_and_is_cancelled(suite: tuple[str, str]) -> None:
    url, key = suite

    async def begun(client: Client, tool: str, given: dict[str, Any]) -> str:
        params = wire.CallToolRequestParams(name=tool, arguments=given)
        return (await client.session.send_request(wire.CallToolRequest(params=params), Handle)).task_id

    async def until(client: Client, task: str, status: str) -> Told:
        async with asyncio.timeout(PATIENCE_S):
            while (told := await ask(client, "tasks/get", task)).status != status:
                assert told.status == "working", told
                await asyncio.sleep(0.05)
        return told

    known = {"extensions": [Tasks()], "elicitation_callback": _nobody_asks}
    async with come(f"{url}/mcp/suite", key, ERAS[1], **known) as client:
        asks = await begun(client, "multi_input", {})
        wanted = (await until(client, asks, "input_required")).input_requests or {}
        assert {name: one["method"] for name, one in wanted.items()} == dict.fromkeys(
            ("name", "sure"), "elicitation/create"
        )
        accepted = {"action": "accept", "content": {"name": "Ann", "confirm": True}}
        none: list[Any] = [{"name": "Ann"}, {"other": accepted}, {"name": {"roots": []}}]
        for said in none:
            await ask(client, "tasks/update", asks, inputResponses=said)
            assert len((await ask(client, "tasks/get", asks)).input_requests or {}) == 2
        await ask(client, "tasks/update", asks, inputResponses={"name": accepted})
        assert [*((await ask(client, "tasks/get", asks)).input_requests or {})] == ["sure"]
        await ask(client, "tasks/update", asks, inputResponses={"sure": accepted})
        done = (await until(client, asks, "completed")).result
        assert done is not None
        assert done["content"][0]["text"] == "both answered"
        long = await begun(client, "slow_compute", {"seconds": 600})
        await ask(client, "tasks/cancel", long)
        ended = (await until(client, long, "completed")).result
        assert ended is not None
        assert ended["structuredContent"]["status"] == "in_doubt"  # what it did until then is not known


async def _nobody_asks(*_: object) -> wire.ElicitResult:
    raise AssertionError("a task is asked about, and does not ask")


@pytest.mark.asyncio(loop_scope="module")
async def test_a_header_says_what_the_arguments_say(suite: tuple[str, str]) -> None:
    """What a header repeats is compared without the blanks around it (RFC 9110 section 5.5)."""
    cases: list[tuple[dict[str, str], int]] = [
        ({"mcp-param-region": "north"}, 200),
        ({"mcp-param-region": "=?base64?bm9ydGg=?="}, 200),
        ({"mcp-param-region": "=?base64?bm9ydGg?="}, 400),
        ({"mcp-param-region": "south"}, 400),
        ({}, 400),
        ({"mcp-param-region": "north", "mcp-name": " test_custom_headers \t"}, 200),
        ({"mcp-param-region": "north", "mcp-name": "greet"}, 400),
    ]
    params = {"name": "test_custom_headers", "arguments": {"region": "north"}, "_meta": META}
    told = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
    body = json.dumps(told)
    url, key = suite
    for headers, status in cases:
        sent: dict[str, Any] = {
            **CALL,
            "authorization": f"Bearer {key}",
            "mcp-name": "test_custom_headers",
            **headers,
        }
        # A client's library would refuse to send such blanks.
        lines = [f"{name}: {value}" for name, value in {**sent, "content-length": str(len(body))}.items()]
        reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
        head = "\r\n".join(
            ["POST /mcp/suite HTTP/1.1", "host: localhost", "connection: close", *lines, "", ""]
        )
        writer.write((head + body).encode())
        answer = (await reader.read()).decode()
        writer.close()
        assert answer.startswith(f"HTTP/1.1 {status} "), (headers, answer)
        assert (status == 400) == ('"code":-32020' in answer)
