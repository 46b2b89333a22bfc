"""The reference server of MCP, seen by a client directly and through Assent: every difference named, and those that are meant.

    python -m tools.mcp_reference

It is fetched from npm. What is compared: all that it lists (tools, resources, templates, prompts), and what it answers to each
question of a table, in both revisions of the protocol. Exit code 1 for a difference that nobody meant.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import shutil
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final, TypeAlias

import httpx2
import mcp_types as wire
from mcp.client.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError

from tests.support.suite import served

PACKAGE: Final = "@modelcontextprotocol/server-everything@2026.8.31"
ERAS: Final = ("legacy", "2026-07-28")
FETCH_S: Final = 300.0

Json: TypeAlias = Any

_SUM: Final = {"a": 1, "b": 2.5}
QUESTIONS: Final[Mapping[str, Callable[[Client], Awaitable[Any]]]] = {
    "echo": lambda client: client.call_tool("echo", {"message": "héllo"}),
    "a message with annotations": lambda client: client.call_tool(
        "get-annotated-message", {"messageType": "error", "includeImage": True}
    ),
    "links": lambda client: client.call_tool("get-resource-links", {"count": 4}),
    "a reference": lambda client: client.call_tool(
        "get-resource-reference", {"resourceType": "Blob", "resourceId": 1}
    ),
    "structure": lambda client: client.call_tool("get-structured-content", {"location": "Chicago"}),
    "a sum": lambda client: client.call_tool("get-sum", _SUM),
    "an image": lambda client: client.call_tool("get-tiny-image", {}),
    "a long operation": lambda client: client.call_tool(
        "trigger-long-running-operation", {"duration": 0.2, "steps": 2}
    ),
    "a question to a person": lambda client: client.call_tool("trigger-elicitation-request", {}),
    "a question to a model": lambda client: client.call_tool(
        "trigger-sampling-request", {"prompt": "hello", "maxTokens": 9}
    ),
    "a call that fails": lambda client: client.call_tool("get-resource-reference", {"resourceId": -1}),
    "arguments that do not fit": lambda client: client.call_tool("get-sum", {"a": "one"}),
    "a tool that there is not": lambda client: client.call_tool("nothing", {}),
    "a document": lambda client: client.read_resource("demo://resource/static/document/features.md"),
    "a resource of a family": lambda client: client.read_resource("demo://resource/dynamic/text/1"),
    "bytes of a family": lambda client: client.read_resource("demo://resource/dynamic/blob/1"),
    "a resource that there is not": lambda client: client.read_resource("demo://nothing"),
    "a prompt": lambda client: client.get_prompt("simple-prompt"),
    "a prompt with arguments": lambda client: client.get_prompt("args-prompt", {"city": "Bern"}),
    "a prompt with a resource": lambda client: client.get_prompt(
        "resource-prompt", {"resourceType": "Text", "resourceId": "1"}
    ),
    "a prompt that lacks an argument": lambda client: client.get_prompt("args-prompt"),
    "completion in a prompt": lambda client: client.complete(
        wire.PromptReference(name="completable-prompt"), {"name": "department", "value": "E"}
    ),
    "completion by what was chosen": lambda client: client.complete(
        wire.PromptReference(name="completable-prompt"),
        {"name": "name", "value": ""},
        context_arguments={"department": "Engineering"},
    ),
    "completion in a template": lambda client: client.complete(
        wire.ResourceTemplateReference(uri="demo://resource/dynamic/text/{resourceId}"),
        {"name": "resourceId", "value": "1"},
    ),
}

OURS: Final = "Assent's own, beside the server's"
MEANT: Final[Mapping[str, str]] = {
    "tool assent_*": OURS,
    "resource assent:*": OURS,
    "template assent:*": OURS,
    "prompt plan_first": OURS,
    "prompt ask_for_approval": OURS,
    "prompt undo_session": OURS,
    "*/_meta": "which session and step it is, which capability of which risk, and who answers",
    "tool */annotations/*": "follow from what the operator says: a hint lowers no risk",
    "tool */outputSchema/properties/assent/*": "what Assent may say of a result",
    "tool */execution": "tasks of 2025-11-25, which Assent does not ask servers for: what requires them can't be called",
    "* that there is not/error/data": "where it is on record",
    "* that lacks an argument/error/data": "where it is on record",
    "a call that fails/content*": "with what Assent knows of it, as text",
    "a call that fails/structuredContent": "what Assent knows of it",
    "arguments that do not fit/*": "Assent says what does not fit; the server is not asked",
    "a tool that there is not/*": "an error of the protocol, by its newer revision",
}
"""Differences by pattern, each with its reason."""

_RISK: Final = re.compile(r"\.?( Risk [A-Z]+\..*)?$")
_MOMENT: Final = re.compile(r"\d+:\d\d:\d\d [AP]M")


async def _elicited(_: Any, __: Any) -> wire.ElicitResult:
    return wire.ElicitResult(action="decline")


async def _sampled(_: Any, __: Any) -> wire.CreateMessageResult:
    said = wire.TextContent(type="text", text="good day")
    return wire.CreateMessageResult(role="assistant", content=said, model="none")


async def _rooted(_: Any) -> wire.ListRootsResult:
    return wire.ListRootsResult(roots=[wire.Root.model_validate({"uri": "file:///work", "name": "work"})])


ANSWERS: Final[Mapping[str, Any]] = {
    "elicitation_callback": _elicited,
    "sampling_callback": _sampled,
    "list_roots_callback": _rooted,
}
"""What each client says to what it is asked."""


async def seen(client: Client) -> dict[str, Json]:
    """What a client finds and is answered, by name."""
    found: dict[str, Json] = {}
    for tool in (await client.list_tools()).tools:
        # Ours says of each how dangerous it is, and whether it can be undone.
        found[f"tool {tool.name}"] = {**plain(tool), "description": _RISK.sub("", tool.description or "")}
    for resource in (await client.list_resources()).resources:
        found[f"resource {resource.uri}"] = plain(resource)
    for template in (await client.list_resource_templates()).resource_templates:
        found[f"template {template.uri_template}"] = plain(template)
    for prompt in (await client.list_prompts()).prompts:
        found[f"prompt {prompt.name}"] = plain(prompt)
    for name, ask in QUESTIONS.items():
        try:
            found[name] = plain(await ask(client))
        except MCPError as error:
            found[name] = {"error": plain(error.error)}
    return found


def plain(told: Any) -> Json:
    """An answer as JSON, in which what is written as text or bytes is what it says."""
    return _read(told.model_dump(mode="json", by_alias=True, exclude_none=True))


def _read(value: Json) -> Json:
    if isinstance(value, list):
        return [*map(_read, value)]
    if not isinstance(value, dict):
        return value
    found = {key: _read(part) for key, part in value.items()}
    if "blob" in found:
        found["blob"] = _MOMENT.sub("*", base64.b64decode(found["blob"]).decode("latin-1"))
    if isinstance(found.get("text"), str):
        found["text"] = _MOMENT.sub("*", found["text"])
        with suppress(ValueError):
            found["text"] = json.loads(found["text"])
    return found


def differences(then: Json, now: Json, at: str) -> Iterator[str]:
    """Where two values differ, by the path to each place, with both."""
    if isinstance(then, dict) and isinstance(now, dict):
        for key in sorted({*then, *now}):
            yield from differences(then.get(key), now.get(key), f"{at}/{key}")
    elif isinstance(then, list) and isinstance(now, list) and len(then) == len(now):
        for number, (one, other) in enumerate(zip(then, now, strict=True)):
            yield from differences(one, other, f"{at}/{number}")
    elif then != now:
        yield f"{at}: {str(then)[:200]!r} is {str(now)[:200]!r}"


@asynccontextmanager
async def directly(command: list[str]) -> Any:
    """A client of the server itself."""
    async with Client(
        stdio_client(StdioServerParameters(command=command[0], args=command[1:])), mode="legacy", **ANSWERS
    ) as client:
        yield client


@asynccontextmanager
async def through(url: str, key: str, era: str) -> Any:
    """A client of it through Assent."""
    headers = {"authorization": f"Bearer {key}"}
    async with (
        httpx2.AsyncClient(headers=headers, timeout=60) as http,
        Client(
            streamable_http_client(f"{url}/mcp/everything", http_client=http), mode=era, **ANSWERS
        ) as client,
    ):
        yield client


async def fetched(folder: Path) -> list[str]:
    """How the server is started, which is in this folder then."""
    install = ["npm", "install", "--silent", "--no-fund", "--no-audit", "--prefix", str(folder), PACKAGE]
    process = await asyncio.create_subprocess_exec(*install)
    if await asyncio.wait_for(process.wait(), FETCH_S):
        sys.exit(f"npm could not install {PACKAGE}")
    program = folder / "node_modules" / PACKAGE.rpartition("@")[0] / "dist" / "index.js"
    return [str(shutil.which("node")), str(program), "stdio"]


async def compare() -> int:
    """Compare, and tell; how many differences nobody meant."""
    environ = {name: value for name, value in os.environ.items() if not name.startswith("ASSENT_")}
    unmeant = 0
    with tempfile.TemporaryDirectory(prefix="assent-everything-") as name:
        command = await fetched(Path(name))
        async with directly(command) as client:
            then = await seen(client)
        async with served(environ, "everything", command, name) as (url, key):
            for era in ERAS:
                async with through(url, key, era) as client:
                    now = await seen(client)
                found = [
                    one
                    for each in sorted({*then, *now})
                    for one in differences(then.get(each), now.get(each), each)
                ]
                stray = [
                    one for one in found if not any(fnmatchcase(one, f"{pattern}: *") for pattern in MEANT)
                ]
                print(
                    f"== reference server, {era}: {len(then)} things seen, {len(found)} differences, {len(stray)} not meant"
                )
                for one in stray:
                    print(f"  {one}")
                unmeant += len(stray)
    return unmeant


if __name__ == "__main__":
    sys.exit(int(asyncio.run(compare()) > 0))
