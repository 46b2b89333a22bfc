"""What a tool call of an agent costs behind MCP: `python -m benchmarks.agents [--quick]`.

The same LOW call (`data.json.query` of a small document) through `assent mcp` on standard input and output and through `/mcp` of
a daemon, beside a server that is nothing but the SDK's and answers the same, and a call in a session inside a program. Figures
are processor time of the serving process for each call, one caller at a time, as agents ask; the client's own work is in none.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final

import httpx2
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from assent.runtime import Runtime
from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show
from benchmarks.serve import cpu_s, daemon, free_port, until_listening

PARAMETERS: Final = {"value": {"a": [1, 2, 3]}, "query": "a[1]"}
NEWEST: Final = "2026-07-28"
STDIO: Final = "stdio"
HTTP: Final = "HTTP"
RATIO_MAX: Final = 1.5
"""Of a call inside and the protocol's own share: what is over is the door's."""

BARE: Final = """
import asyncio, json, sys
import jmespath, mcp_types as wire, uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server

SCHEMA = {"type": "object", "properties": {"value": {}, "query": {"type": "string"}}}

async def listed(context, params):
    return wire.ListToolsResult(tools=[wire.Tool(name="data_json_query", input_schema=SCHEMA)])

async def called(context, params):
    found = {"value": jmespath.search(params.arguments["query"], params.arguments["value"])}
    return wire.CallToolResult(content=[wire.TextContent(type="text", text=json.dumps(found))], structured_content=found)

server = Server("bare", on_list_tools=listed, on_call_tool=called)

async def on_stdio():
    async with stdio_server() as (source, sink):
        await server.run(source, sink, server.create_initialization_options())

if len(sys.argv) == 1:
    asyncio.run(on_stdio())
else:
    app = server.streamable_http_app()
    uvicorn.run(app, port=int(sys.argv[1]), http="httptools", loop="asyncio", access_log=False, log_level="critical")
"""


async def called(client: Client, pid: int, count: int) -> float:
    """Microseconds of the server's processor for each call."""
    for number in range(20 + count):
        if number == 20:
            used = cpu_s(pid)
        result = await client.call_tool("data_json_query", PARAMETERS)
        assert not result.is_error, result.content
    return (cpu_s(pid) - used) / count * 1e6


async def inside(folder: Path, count: int) -> float:
    """The same for a call in a session inside a program."""
    async with Runtime.open(folder) as rt:
        session = await rt.session()
        for number in range(20 + count):
            if number == 20:
                used = time.process_time()
            await session.call("data.json.query", PARAMETERS)
        return (time.process_time() - used) / count * 1e6


def children() -> set[int]:
    """The processes that this one has started."""
    text = Path(f"/proc/self/task/{os.getpid()}/children").read_text(encoding="ascii")
    return {int(word) for word in text.split()}


async def over_stdio(command: list[str], environment: dict[str, str], count: int) -> float:
    """What a server costs that is a process of the client's."""
    before = children()
    process = StdioServerParameters(command=command[0], args=command[1:], env=environment)
    async with Client(stdio_client(process), mode=NEWEST) as client:
        (pid,) = children() - before
        return await called(client, pid, count)


@asynccontextmanager
async def over_http(port: int, key: str | None) -> AsyncIterator[Client]:
    """A client of `/mcp`."""
    headers = {} if key is None else {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(
            streamable_http_client(f"http://127.0.0.1:{port}/mcp", http_client=http), mode=NEWEST
        ) as client,
    ):
        yield client


@contextmanager
def bare_http(environment: dict[str, str]) -> Iterator[tuple[int, int]]:
    """The SDK's server alone, on a port: its process and that."""
    port = free_port()
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)], env=environment)
    try:
        until_listening(port, process)
        yield process.pid, port
    finally:
        process.kill()
        process.wait()


async def http_figure(pid: int, port: int, key: str | None, count: int) -> float:
    """What a server costs behind a port."""
    async with over_http(port, key) as client:
        return await called(client, pid, count)


def measure(folder: Path, *, quick: bool) -> Part:
    """Everything, in one run."""
    count = 200 if quick else 2000
    environment = clean_environment(folder)
    for name in ("inside", "stdio"):
        (folder / name).mkdir()
        (folder / name / "assent.toml").write_text("", encoding="ascii")
    figures = {"inside": asyncio.run(inside(folder / "inside", count))}
    figures[f"bare {STDIO}"] = asyncio.run(over_stdio([sys.executable, "-c", BARE], environment, count))
    command = [sys.executable, "-m", "assent", "--workspace", str(folder / "stdio"), "mcp"]
    figures[f"assent {STDIO}"] = asyncio.run(over_stdio(command, environment, count))
    with bare_http(environment) as (pid, port):
        figures[f"bare {HTTP}"] = asyncio.run(http_figure(pid, port, None, count))
    with daemon(folder / "served", environment, tcp=True) as served:
        key = served.key("--for", "agent:bench")
        figures[f"assent {HTTP}"] = asyncio.run(http_figure(served.pid, served.port, key, count))
    show(
        "a LOW tool call, processor µs", ["", ""], [[name, f"{value:.0f}"] for name, value in figures.items()]
    )
    targets = [
        Target(
            f"{where}: processor time of (inside + the SDK's bare server)",
            figures[f"assent {where}"] / (figures["inside"] + figures[f"bare {where}"]),
            RATIO_MAX,
            at_least=False,
        )
        for where in (STDIO, HTTP)
    ]
    return Part("agents", {"figures": figures}, targets)


if __name__ == "__main__":
    run_part(measure, __doc__)
