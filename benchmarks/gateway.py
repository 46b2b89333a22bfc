"""What a call of another server's tool costs behind the gateway: `python -m benchmarks.gateway [--quick]`.

One upstream with 20 tools, on standard input and output or over HTTP, is asked through `assent mcp` and `/mcp` of a daemon (the
pinned definition, 50 rules, the durable journal), through a gateway that is nothing but the SDK's server in front of one kept
client, and through FastMCP's proxy where that is installed. Figures are processor time of the gateway's process for each call,
one caller at a time; the upstream's and the client's own work is in none. And a list of 100 upstreams with 20 tools each.
"""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Final

from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from assent.plugins.upstream import Pinned, Server, save_pins
from benchmarks._measure import clean_environment
from benchmarks._part import Part, run_part
from benchmarks._table import Target, show
from benchmarks.agents import HTTP, NEWEST, STDIO, children, over_http
from benchmarks.serve import cpu_s, daemon, free_port, until_listening

TOOLS: Final = 20
UPSTREAMS: Final = 100
RULES: Final = 50
RATIO_MAX: Final = 1.5
LIST_MS_MAX: Final = 50.0
ARGUMENTS: Final = {"number": 20, "text": "some words"}

UPSTREAM: Final = f"""
import asyncio, sys
import mcp_types as wire, uvicorn
from mcp.server import Server
from mcp.server.stdio import stdio_server

GIVEN = {{"number": {{"type": "integer"}}, "text": {{"type": "string"}}}}
SCHEMA = {{"type": "object", "properties": GIVEN, "required": ["number"]}}
TOOLS = [wire.Tool(name=f"tool_{{at}}", description="Adds one and tells it. " * 4, input_schema=SCHEMA) for at in range({TOOLS})]

async def listed(context, params):
    return wire.ListToolsResult(tools=TOOLS)

async def called(context, params):
    told = str(params.arguments["number"] + 1)
    return wire.CallToolResult(content=[wire.TextContent(type="text", text=told)])

server = Server("upstream", on_list_tools=listed, on_call_tool=called)
"""
SERVED: Final = """
async def on_stdio():
    async with stdio_server() as (source, sink):
        await server.run(source, sink, server.create_initialization_options())

if __name__ == "__main__":
    if sys.argv[1] == "-":
        asyncio.run(on_stdio())
    else:
        app = server.streamable_http_app()
        uvicorn.run(app, port=int(sys.argv[1]), http="httptools", loop="asyncio", access_log=False, log_level="critical")
"""
"""Of any of these servers: `-` or a port."""

MINIMAL: Final = """
import asyncio, contextlib, json, sys
import uvicorn
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server import Server
from mcp.server.stdio import stdio_server

command = json.loads(sys.argv[2])

@contextlib.asynccontextmanager
async def kept(server):
    async with Client(
        streamable_http_client(command)
        if isinstance(command, str)
        else stdio_client(StdioServerParameters(command=command[0], args=command[1:]))
    ) as client:
        yield client

async def listed(context, params):
    return await context.lifespan_context.session.list_tools()

async def called(context, params):
    return await context.lifespan_context.session.call_tool(params.name, params.arguments)

server = Server("minimal", lifespan=kept, on_list_tools=listed, on_call_tool=called)
"""

FASTMCP: Final = """
import json, os, sys
os.environ["FASTMCP_LOG_LEVEL"] = "CRITICAL"
from fastmcp.client.transports import StdioTransport
from fastmcp.server import create_proxy

command = json.loads(sys.argv[2])
target = command if isinstance(command, str) else StdioTransport(command=command[0], args=command[1:])
proxy = create_proxy(target)
if sys.argv[1] == "-":
    proxy.run(show_banner=False)
else:
    proxy.run(transport="http", port=int(sys.argv[1]), show_banner=False,
              uvicorn_config={"http": "httptools", "loop": "asyncio", "access_log": False})
"""

Asked = Callable[[int, Client], Any]  # `Any`: an awaitable figure


async def called(pid: int, client: Client, tool: str, count: int) -> float:
    """Microseconds of the gateway's processor for each call."""
    for number in range(30 + count):
        if number == 30:
            used = cpu_s(pid)
        result = await client.call_tool(tool, ARGUMENTS)
        assert "21" in str(result.content), result
    return (cpu_s(pid) - used) / count * 1e6


async def on_stdio(command: Sequence[str], environment: dict[str, str], asked: Asked) -> Any:
    """A figure of a gateway that is a process of the client's."""
    before = children()
    process = StdioServerParameters(command=command[0], args=[*command[1:]], env=environment)
    async with Client(stdio_client(process), mode=NEWEST) as client:
        (pid,) = children() - before
        return await asked(pid, client)


async def on_http(pid: int, port: int, key: str | None, asked: Asked) -> Any:
    """A figure of one behind a port."""
    async with over_http(port, key) as client:
        return await asked(pid, client)


@contextmanager
def started(command: Sequence[str], port: int, environment: dict[str, str]) -> Iterator[int]:
    """A program that listens at a port, until the block ends."""
    process = subprocess.Popen(command, env=environment)
    try:
        until_listening(port, process)
        yield process.pid
    finally:
        process.kill()
        process.wait()


def workspace(folder: Path, said: str, pins: dict[str, Pinned]) -> str:
    """A folder with servers that are trusted, and a policy of 50 rules of which the last allows; its configuration."""
    folder.mkdir(exist_ok=True)
    rules: list[dict[str, Any]] = [
        {
            "id": f"no-{number}",
            "when": {"capability": f"some.other.thing_{number}"},
            "decision": "DENY",
            "reason": "a benchmark",
        }
        for number in range(RULES - 1)
    ]
    rules.append(
        {"id": "all", "when": {}, "decision": "ALLOW", "without_approval": True, "reason": "a benchmark"}
    )
    # JSON is YAML.
    (folder / "policy.yaml").write_text(json.dumps({"version": 1, "rules": rules}), encoding="ascii")
    configuration = f'policy = "policy.yaml"\n{said}'
    (folder / "assent.toml").write_text(configuration, encoding="ascii")
    save_pins(folder / "assent-mcp.lock", pins)
    return configuration


def server_of(name: str, at: list[str] | str, definitions: dict[str, Any]) -> tuple[str, Pinned]:
    """What assent.toml and the lock say of an upstream; every tool of it only reads, so that nothing is said of undoing it."""
    server = Server(name=name, url=at) if isinstance(at, str) else Server(name=name, command=tuple(at))
    where = (
        f"url = {json.dumps(at)}\nprivate = ['127.0.0.0/8']"
        if isinstance(at, str)
        else f"command = {json.dumps(at)}"
    )
    said = [f"[mcp.servers.{name}]", where]
    said += [f"[mcp.servers.{name}.tools.{tool}]\nreads_only = true\nrisk = 'LOW'" for tool in definitions]
    return "\n".join([*said, ""]), Pinned.of(server, definitions, "user:bench")


async def definitions_of(command: Sequence[str], environment: dict[str, str]) -> dict[str, Any]:
    """What an upstream lists, by name."""

    async def asked(_: int, client: Client) -> dict[str, Any]:
        page = await client.list_tools()
        return {one.name: one.model_dump(mode="json", by_alias=True, exclude_none=True) for one in page.tools}

    found: dict[str, Any] = await on_stdio(command, environment, asked)
    return found


def resident_mib(pid: int) -> float:
    """The memory that a process has now."""
    status = Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS:")) / 1024


async def listed(pid: int, client: Client, upstreams: int) -> dict[str, float]:
    """Milliseconds of processor time for all pages of the list, and for one, and the process's memory in MiB."""
    times: list[tuple[float, float]] = []
    for _ in range(6):
        begun, pages, cursor, count = cpu_s(pid), 0, None, 0
        waited = time.perf_counter()
        while True:
            page = await client.list_tools(cursor=cursor, cache_mode="bypass")
            pages, count, cursor = pages + 1, count + len(page.tools), page.next_cursor
            if cursor is None:
                break
        assert count >= upstreams * TOOLS, count
        times.append(((cpu_s(pid) - begun) * 1000, (time.perf_counter() - waited) * 1000 / pages))
    times = times[1:]
    return {
        "cpu_ms": sum(cpu for cpu, _ in times) / len(times),
        "page_ms": sum(clock for _, clock in times) / len(times),
        "MiB": resident_mib(pid),
    }


def calls(
    folder: Path, environment: dict[str, str], definitions: dict[str, Any], count: int
) -> dict[str, float]:
    """A call through each gateway, in microseconds; on standard input and output on both sides, and over HTTP on both."""
    figures: dict[str, float] = {}

    def asked(tool: str) -> Asked:
        return lambda pid, client: called(pid, client, tool, count)

    upstream = [sys.executable, "-c", UPSTREAM + SERVED]
    peers = {"minimal": MINIMAL + SERVED, **({"fastmcp": FASTMCP} if find_spec("fastmcp") else {})}
    workspace(folder / STDIO, *named(server_of("other", [*upstream, "-"], definitions)))
    assent = [sys.executable, "-m", "assent", "--workspace", str(folder / STDIO), "mcp"]
    for who, program in peers.items():
        command = [sys.executable, "-c", program, "-", json.dumps([*upstream, "-"])]
        figures[f"{who} {STDIO}"] = asyncio.run(on_stdio(command, environment, asked("tool_1")))
    figures[f"assent {STDIO}"] = asyncio.run(on_stdio(assent, environment, asked("mcp_other_tool_1")))
    behind = free_port()
    url = f"http://127.0.0.1:{behind}/mcp"
    with started([*upstream, str(behind)], behind, environment):
        for who, program in peers.items():
            port = free_port()
            with started(
                [sys.executable, "-c", program, str(port), json.dumps(url)], port, environment
            ) as pid:
                figures[f"{who} {HTTP}"] = asyncio.run(on_http(pid, port, None, asked("tool_1")))
        said, pins = named(server_of("other", url, definitions))
        more = workspace(folder / HTTP, said, pins)
        with daemon(folder / HTTP, environment, tcp=True, more=more) as served:
            key = served.key("--for", "agent:bench")
            figures[f"assent {HTTP}"] = asyncio.run(
                on_http(served.pid, served.port, key, asked("mcp_other_tool_1"))
            )
    return figures


def named(server: tuple[str, Pinned], name: str = "other") -> tuple[str, dict[str, Pinned]]:
    """One server as a workspace takes it."""
    return server[0], {name: server[1]}


def list_of(
    folder: Path, environment: dict[str, str], definitions: dict[str, Any], count: int
) -> dict[str, float]:
    """The same of a new workspace with so many upstreams, none of which is started."""
    place = folder / f"of-{count}"
    servers = {
        f"other_{at}": server_of(f"other_{at}", ["nothing", str(at)], definitions) for at in range(count)
    }
    said = "".join(said for said, _ in servers.values())
    workspace(place, said, {name: pins for name, (_, pins) in servers.items()})
    command = [sys.executable, "-m", "assent", "--workspace", str(place), "mcp"]
    found: dict[str, float] = asyncio.run(
        on_stdio(command, environment, lambda pid, client: listed(pid, client, count))
    )
    return found


def measure(folder: Path, *, quick: bool) -> Part:
    """Everything, in one run."""
    environment = clean_environment(folder)
    definitions = asyncio.run(definitions_of([sys.executable, "-c", UPSTREAM + SERVED, "-"], environment))
    figures = calls(folder, environment, definitions, 200 if quick else 1000)
    rows = [
        [
            who,
            *(
                f"{figures[key]:.0f}" if (key := f"{who} {where}") in figures else "-"
                for where in (STDIO, HTTP)
            ),
        ]
        for who in ("minimal", "fastmcp", "assent")
    ]
    show("a governed call of another server's tool, processor µs", ["", STDIO, HTTP], rows)
    lists = {count: list_of(folder, environment, definitions, count) for count in (0, UPSTREAMS)}
    show(
        f"a list of upstreams with {TOOLS} tools each",
        ["upstreams", *lists[0]],
        [[str(count), *map("{:.1f}".format, one.values())] for count, one in lists.items()],
    )
    targets = [
        Target(
            f"{where}: processor time of the minimal SDK gateway's",
            figures[f"assent {where}"] / figures[f"minimal {where}"],
            RATIO_MAX,
            at_least=False,
        )
        for where in (STDIO, HTTP)
    ]
    targets.append(
        Target(
            f"list of {UPSTREAMS} upstreams, processor ms",
            lists[UPSTREAMS]["cpu_ms"],
            LIST_MS_MAX,
            at_least=False,
        )
    )
    return Part("gateway", {"figures": figures, "lists": lists}, targets)


if __name__ == "__main__":
    run_part(measure, __doc__)
