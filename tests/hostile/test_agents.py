"""What is tried on agents and through them: each attack at the real door, and beside it the honest twin that has to pass.

Known by the names of SAFE-MCP (github.com/safe-agentic-framework/safe-mcp) and of the OWASP MCP Top 10. `docs/attacks.md` is
this table for readers.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx2
import mcp_types as wire
import pytest
import pytest_asyncio
from mcp.client.client import Client
from mcp.shared.exceptions import MCPError
from mcp.shared.inbound import encode_header_value

from assent.mcp._tasks import EXTENSION
from assent.plugins.upstream import Pinned, save_pins
from assent.runtime.service import answers, process, requests
from assent.runtime.settings.effective import Settings
from tests.conftest import ROOT
from tests.mcp.test_http import HELLO, agent
from tests.support.gateway import COMPENSATED, UPSTREAM
from tests.support.mcp_upstream import HIDDEN, ORDERS, Upstream
from tests.support.own_places import own_places
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon, key_for, over_tcp
from tests.support.web import Asked, Reply, Site, serving

POLICY: Final = """\
version: 1
rules:
  - id: private-data-stays
    when: { labels: [sends_external] }
    if: '"reads_private" in run.labels'
    decision: DENY
    reason: this session has read private data
  - id: strangers-words-start-nothing
    when: { capability: io.fs.make_dir }
    if: '"reads_untrusted" in run.labels'
    decision: DENY
    reason: what this session has read may have told it
  - { id: hers, when: { capability: "mcp.hers.*", principal: "agent:ann" }, decision: ALLOW, without_approval: true, reason: own }
  - { id: not-his, when: { capability: "mcp.hers.*" }, decision: DENY, reason: another's account }
  - { id: deletes, when: { operation_type: DELETE }, decision: REQUIRE_APPROVAL, reason: somebody has to look }
  - { id: rest, decision: ALLOW, without_approval: true, reason: harmless }
limits:
  - { id: no-loops, when: { capability: io.fs.exists }, window: 1h, calls: 2 }
"""
LINK_LOCAL: Final = "http://169.254.169.254/latest/meta-data/"
SECRETS: Final = {"hers": "a-token-of-hers", "his": "a-token-of-his", "notes": "a-token-of-notes"}
HONEST: Final = {one["name"]: one for one in Upstream().tools()}


class Web:
    """One address with a note book for each credential; `wrong` is what it answers to everything instead."""

    def __init__(self) -> None:
        self.books: dict[str, Upstream] = {}
        self.wrong: Reply | None = None

    def __call__(self, asked: Asked) -> Reply:
        if self.wrong is not None:
            return self.wrong
        message = json.loads(asked.body or b"{}")
        book = self.books.setdefault(asked.headers.get("authorization", ""), Upstream())
        answer = book.answer(message) if "method" in message else None
        if answer is None:
            return Reply(202)
        return Reply(200, [("content-type", "application/json")], json.dumps(answer).encode())


@dataclass
class World:
    """A daemon with servers behind it: `notes` does what it is told to, `good` is honest, `hers` and `his` are one address."""

    root: Path
    env: dict[str, str]
    served: Serving
    web: Web
    site: Site

    @asynccontextmanager
    async def come(
        self, name: str = "agent:ann", *, key: str | None = None, elicits: Any = None, **more: Any
    ) -> AsyncIterator[Client]:
        """An agent with a key of its own, in a session of its own; `elicits` is asked for it."""
        failed: Exception | None = None
        can = {"elicitation_callback": elicits}
        async with agent(self.served, key or self.key(name, **more), "legacy", **can) as client:
            try:
                yield client
            except Exception as error:  # noqa: BLE001  # raised below: a group of exceptions hides what a test says
                failed = error
        if failed is not None:
            raise failed

    def key(self, name: str = "agent:ann", **more: Any) -> str:
        """A key of an agent."""
        return key_for(self.root, self.env, name, **more)

    async def shown(self, waits: dict[str, Any]) -> dict[str, str]:
        """A step that waits, as a person names it who has seen what it would do."""
        asked = (await self.served.http.get("/v1/approvals")).json()
        (digest,) = [
            one["digest"]
            for one in asked
            if one["run_id"] == waits["run_id"] and one["step"] == waits["step"]
        ]
        return {"step": waits["step"], "digest": digest}

    async def approve(self, waits: dict[str, Any], shown: dict[str, str] | None = None) -> str:
        """What becomes of a step that a person agrees to who has seen it."""
        said = shown or await self.shown(waits)
        told = (await self.served.http.post(f"/v1/runs/{waits['run_id']}/approve", json=said)).json()
        if told.get("error"):
            return str(told["error"]["code"])
        return str(next(one["status"] for one in told["steps"] if one["name"] == waits["step"]))


async def call(client: Client, tool: str, /, **given: Any) -> Any:
    """What a call gives that works: its structure, or what it says."""
    result = await client.call_tool(tool, given)
    assert not result.is_error, result.content
    return result.structured_content or [*result.content]


async def refused(client: Client, tool: str, /, **given: Any) -> dict[str, Any]:
    """What is told of a call that did not happen, or of which nobody knows."""
    meta: Any = {"assent/patience_ms": 0}
    result = await client.call_tool(tool, given, meta=meta)
    assert result.is_error, result.structured_content
    told: dict[str, Any] = result.structured_content
    return {**told, "code": told["error"]["code"], "rule": told.get("rule")}


async def note(client: Client, title: str = "milk", server: str = "notes") -> Any:
    """A note that is kept."""
    return await call(client, f"mcp_{server}_add_note", title=title)


async def no_note(client: Client, title: str = "milk", server: str = "notes") -> dict[str, Any]:
    """A note that is not."""
    return await refused(client, f"mcp_{server}_add_note", title=title)


async def ends(client: Client, mode: str) -> None:
    """The server behind `notes` misbehaves: one clear error, no other server notices, and the next call meets an honest one."""
    failed = await no_note(client, f"@{mode}")
    assert failed["code"] == "MCP_SERVER_FAILED", failed
    assert len(json.dumps(failed)) < 8192
    assert (await note(client, server="good"))["id"]
    assert (await note(client))["id"] == 1


async def look_at(world: World, server: str) -> answers.ServerFound:
    """What somebody is shown who is asked to trust a server."""
    settings = Settings.resolve(workspace=world.root, environ=world.env, cwd=world.root)
    return await asyncio.to_thread(process.perform, requests.LookAtServer(name=server), settings)


# ---- the attacks -------------------------------------------------------------------------------------------------


async def changes_its_words(world: World) -> None:
    async with world.come() as client:
        for mode, how in (
            ("rug", "another `description`"),
            ("schema", "another `inputSchema`"),
            ("orders", "another `description`"),
            ("hidden", "nothing that can be trusted"),
        ):
            await note(client, f"@{mode}")
            told = await no_note(client)
            assert told["code"] == "MCP_TOOL_CHANGED"
            assert how in told["error"]["message"]
            # Nothing of what nobody trusted is before the model: not in the refusal, and not in what is on record of it.
            seen = json.dumps([told, await call(client, "assent_status", step=told["step"])])
            assert not [one for one in ("Always", ".key", ORDERS, HIDDEN) if json.dumps(one)[1:-1] in seen]
            await call(client, "mcp_notes_find_note", title="@plain")
        tools = {one.name: one.description for one in (await client.list_tools()).tools}
        assert tools["mcp_notes_add_note"] == "Adds a note. Risk MEDIUM."


async def changes_its_schema(world: World) -> None:
    async with world.come() as client:
        tools = {one.name: one for one in (await client.list_tools()).tools}
        assert "key" not in tools["mcp_notes_add_note"].input_schema["properties"]
        await note(client, "@schema")
        assert (await no_note(client))["code"] == "MCP_TOOL_CHANGED"
        await call(client, "mcp_notes_find_note", title="@plain")


async def is_itself(world: World) -> None:
    async with world.come() as client:
        assert (await note(client))["id"]
        assert (await note(client))["id"]


async def shadows(world: World) -> None:
    """Names that are one for an agent are none of either's, and what is called is what was named."""
    async with world.come() as client:
        names = {one.name for one in (await client.list_tools()).tools}
        assert {"mcp.a.b_add_note", "mcp.a_b.add_note"} <= names
        assert "mcp_a_b_add_note" not in names
        with pytest.raises(MCPError):
            await client.call_tool("mcp_a_b_add_note", {"title": "milk"})
        await call(client, "io_fs_write_file", path="mine.txt", content="x")
    assert (world.root / "mine.txt").exists()
    found = await look_at(world, "shadows")
    alike = {one["path"] for one in found.warnings if one["code"] == "MCP_TOOL_SHADOWS"}
    assert alike == {"io_fs_write_file", "IO.FS.delete", "assent_run", "Add-Note"}


async def is_called_by_its_name(world: World) -> None:
    async with world.come() as client:
        assert (await note(client, server="good"))["id"]


async def poisons_its_definition(world: World) -> None:
    found = await look_at(world, "poison")
    told = {one["path"]: one["code"] for one in found.warnings}
    assert told == {
        "hidden": "MCP_TOOL_REFUSED",
        "joined": "MCP_TOOL_REFUSED",
        "hidden_below": "MCP_TOOL_REFUSED",
        "\u0430dd_note": "MCP_TOOL_REFUSED",
        "orders": "MCP_TOOL_INSTRUCTS",
        "orders_below": "MCP_TOOL_INSTRUCTS",
        "speaks": "MCP_TOOL_REFERS",
    }
    assert {one.name for one in found.tools} == {"orders", "orders_below", "speaks", "emoji"}


async def says_it_is_harmless(world: World) -> None:
    """A hint lowers nothing: the policy still asks about the risk that nobody took away."""
    found = await look_at(world, "hints")
    assert {one.name: one.risk for one in found.tools} == {"believed": "CRITICAL", "said": "MEDIUM"}


async def gives_orders(world: World) -> None:
    async with world.come() as client:
        await note(client, "@poisons")
        assert "IMPORTANT" in str(await call(client, "mcp_notes_remove_note", id=9))
        told = await refused(client, "io_fs_make_dir", path="ordered")
        assert told["rule"] == "strangers-words-start-nothing"
    assert not (world.root / "ordered").exists()


async def makes_a_folder(world: World) -> None:
    async with world.come() as client:
        await call(client, "io_fs_make_dir", path="wanted", exist_ok=True)


async def unanswered(world: World, wrong: Reply) -> None:
    """An address that answers so: one clear error, and no other server notices."""
    world.web.wrong = wrong
    try:
        async with world.come() as client:
            told = await no_note(client, server="hers")
            assert told["code"] == "MCP_SERVER_UNREACHABLE"
            assert len(json.dumps(told)) < 8192
            assert (await note(client, server="good"))["id"]
    finally:
        world.web.wrong = None


async def leads_elsewhere(world: World) -> None:
    with serving(lambda _: Reply(200)) as other:
        own = other.url("/mcp")
        for status, place in (
            (307, own),
            (308, own),
            (302, own),
            (307, LINK_LOCAL),
            (307, "file:///etc/passwd"),
        ):
            await unanswered(world, Reply(status, [("location", place)]))
        async with world.come() as client:
            for url in (other.url("/latest/meta-data/"), LINK_LOCAL):
                assert (await refused(client, "net_http_get", url=url))["code"] == "EGRESS_DENIED"
        assert other.asked == []


async def bombs(world: World) -> None:
    json_ = ("content-type", "application/json")
    events = b'event: message\ndata: {"jsonrpc": "2.0", "method": "notifications/message"}\n\n'
    for headers, body in (
        ([json_, ("content-encoding", "gzip")], gzip.compress(bytes(64 << 20))),
        ([json_, ("content-encoding", "gzip")], b"no gzip"),
        (
            [json_, ("content-encoding", "gzip, gzip, gzip")],
            gzip.compress(gzip.compress(gzip.compress(b"{}"))),
        ),
        ([json_], b" " * (8 << 20)),
        ([json_], b"[" * 100_000),
        ([json_, ("x-huge", "x" * (1 << 20))], b"{}"),
        ([json_, *((f"x-{number}", "x") for number in range(5000))], b"{}"),
        ([("content-type", "text/event-stream")], events * 80_000),
        ([("content-type", "text/html")], b"<html>"),
    ):
        await unanswered(world, Reply(200, headers, body))


async def is_where_it_was_named(world: World) -> None:
    async with world.come() as client:
        assert (await note(client, server="hers"))["id"]


async def wants_a_token(world: World) -> None:
    world.site.asked.clear()
    key = world.key()
    async with world.come(key=key) as client:
        await note(client, server="hers")
        told = str(await call(client, "mcp_notes_env"))
    seen = told + "".join(str(one.headers) + one.body.decode() for one in world.site.asked)
    for kept in (key, "agent:ann", str(world.root), SECRETS["his"], "ASSENT_", "HOME"):
        assert kept not in seen


async def has_its_own_token(world: World) -> None:
    world.site.asked.clear()
    async with world.come() as client:
        await note(client, server="hers")
        env = json.loads((await call(client, "mcp_notes_env"))[0].text)
    assert {one.headers["authorization"] for one in world.site.asked} == {SECRETS["hers"]}
    assert env["TOKEN"] == "***"  # it has it, and whoever asks does not


async def acts_as_another(world: World) -> None:
    """Bob has Ann's credential neither by her server, nor in her session, nor by her task; and what is his stays his."""
    his = world.key("agent:bob")
    async with world.come() as hers, world.come(key=his) as client:
        await note(hers, server="hers")
        mine = (await call(hers, "assent_status"))["run_id"]
        with pytest.raises(MCPError):  # denied whatever it is given, so it is not there for him
            await note(client, server="hers")
        run = {
            "workflow": {
                "name": "w",
                "steps": [{"name": "a", "capability": "mcp.hers.add_note", "inputs": {"title": "milk"}}],
            }
        }
        assert "not-his" in str(await refused(client, "assent_run", **run))
        assert (await call(client, "assent_undo", scope="session"))["run_id"] != mine
    headers = {"accept": "application/json, text/event-stream"}
    async with httpx2.AsyncClient(
        base_url=world.served.doors["http"], headers=headers, timeout=PATIENCE_S
    ) as http:
        begun = await http.post("/mcp", json=HELLO, headers={"authorization": f"Bearer {world.key()}"})
        session = {"mcp-session-id": begun.headers["mcp-session-id"], "authorization": f"Bearer {his}"}
        said = {"jsonrpc": "2.0", "id": 2, "method": "tools/list"}
        assert (await http.post("/mcp", json=said, headers=session)).status_code == 404
    async with world.come(scopes=["call"]) as client:
        told = await refused(client, "assent_status", run=mine)
        assert told["code"] == "SCOPE_MISSING"


async def acts_as_itself(world: World) -> None:
    world.site.asked.clear()
    async with world.come() as hers, world.come("agent:bob") as his:
        await asyncio.gather(note(hers, server="hers"), note(his, server="his"))
    assert {one.headers["authorization"] for one in world.site.asked} == {SECRETS["hers"], SECRETS["his"]}


async def of_task(
    world: World, key: str, method: str, task: str, *, named: str | None = None, said: Any = None
) -> Any:
    """What is answered about a task: the result, or the code of the error. `named`: as the header has it, where that differs.

    `said`: what its question is answered with.
    """
    revision = "2026-07-28"
    about: dict[str, Any] = {
        "protocolVersion": revision,
        "clientCapabilities": {"extensions": {EXTENSION: {}}, "elicitation": {"form": {}}},
    }
    meta = {f"io.modelcontextprotocol/{one}": value for one, value in about.items()}
    params = {
        "taskId": task,
        "name": task,
        "arguments": {"title": "@asks"} if task.startswith("mcp_") else {"path": "task.txt"},
        "inputResponses": said or {},
        "_meta": meta,
    }
    headers = {
        "authorization": f"Bearer {key}",
        "accept": "application/json, text/event-stream",
        "mcp-protocol-version": revision,
        "mcp-method": method,
        "mcp-name": encode_header_value(task if named is None else named),
    }
    async with httpx2.AsyncClient(
        base_url=world.served.doors["http"], headers=headers, timeout=PATIENCE_S, verify=False
    ) as http:
        said = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
        told = (await http.post("/mcp", json=said)).json()
    return told["result"] if "result" in told else told["error"]["code"]


async def asks_for_tasks_of_others(world: World) -> None:
    """Who knows the id, or something like it, learns nothing and changes nothing, whatever becomes of the task."""
    (world.root / "task.txt").write_text("kept")
    hers, his = world.key(), world.key("agent:bob")
    task = (await of_task(world, hers, "tools/call", "io_fs_delete"))["taskId"]
    run, step = task.split("/")
    alike = [f"{run}/step_2", f"{run[:-1]}/{step}", f"{run}%2F{step}", f"{run}/../{run}/{step}", f"{run}/*"]
    signs = [task.upper(), f" {task}", f"{task}/", f"{task}\n", f"{task}\u200b", f"{task[:-1]}\uff11"]
    guesses = [task, run, step, "*", "", *alike, *signs]

    async def try_all() -> None:
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            for one in guesses:
                assert await of_task(world, his, method, one) == wire.INVALID_PARAMS, (method, one)
                if one != task:
                    assert await of_task(world, hers, method, one) == wire.INVALID_PARAMS, (method, one)
            assert await of_task(world, hers, method, task, named="step_1") == wire.HEADER_MISMATCH
        assert await of_task(world, his, "tasks/list", task) == wire.METHOD_NOT_FOUND

    await try_all()
    assert (await of_task(world, hers, "tasks/get", task))["status"] == "working"
    assert await world.approve({"run_id": run, "step": step}) == "succeeded"
    await try_all()
    assert (await of_task(world, hers, "tasks/get", task))["status"] == "completed"


async def until(world: World, key: str, task: str, is_so: Callable[[str], bool]) -> Any:
    """A task once its status is so."""
    async with asyncio.timeout(PATIENCE_S):
        while True:
            told = await of_task(world, key, "tasks/get", task)
            if is_so(told["status"]):
                return told
            await asyncio.sleep(0.05)


async def asking(world: World, key: str) -> tuple[str, str]:
    """A task that asks its client something: its id, and what the question is called."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assent.mcp._tasks.SLOW_S", 0.0)
        task = str((await of_task(world, key, "tools/call", "mcp_notes_add_note"))["taskId"])
    (name,) = (await until(world, key, task, "input_required".__eq__))["inputRequests"]
    return task, name


async def acts_by_a_key_that_only_looks(world: World) -> None:
    """A second key of an agent looks at a task as far as its scopes go; it answers nothing for the first, and stops nothing."""
    hers = world.key()
    task, name = await asking(world, hers)
    agrees = {name: {"action": "accept", "content": {}}}
    for scopes in (["read"], ["read", "call", "undo"]):
        other = world.key(scopes=scopes)
        for method in ("tasks/update", "tasks/cancel"):
            await of_task(world, other, method, task, said=agrees)
        assert (await of_task(world, other, "tasks/get", task))["status"] == "working"
        assert name in (await of_task(world, hers, "tasks/get", task))["inputRequests"]
    await of_task(world, hers, "tasks/cancel", task)
    told = await until(world, hers, task, "completed".__eq__)
    assert told["result"]["structuredContent"]["error"]["code"] == "MCP_CALL_CANCELLED"
    async with world.come(key=hers) as client:
        await call(client, "mcp_notes_find_note", title="@plain")


async def answers_its_own_task(world: World) -> None:
    key = world.key()
    task, name = await asking(world, key)
    await of_task(world, key, "tasks/update", task, said={name: {"action": "decline"}})
    told = await until(world, key, task, "completed".__eq__)
    assert told["result"]["structuredContent"] == {"id": 2}
    async with world.come(key=key) as client:
        await call(client, "mcp_notes_find_note", title="@plain")


async def stop(world: World, name: str, run: str, how: str = "cancel", **said: Any) -> tuple[int, str | None]:
    """How an agent is answered that wants a run stopped: the status, and what of its first step is by then, or the code."""
    headers = {"authorization": f"Bearer {world.key(name, scopes=['call', 'read', 'plan', 'undo'])}"}
    async with httpx2.AsyncClient(
        base_url=world.served.doors["http"], headers=headers, timeout=PATIENCE_S
    ) as http:
        told = await http.post(f"/v1/runs/{run}/{how}", json=said)
    body = told.json()
    return told.status_code, body["error"]["code"] if told.is_error else body["steps"][0]["status"]


async def stops_anothers_work(world: World) -> None:
    """What another one did is not taken back by whoever knows, or guesses, what its session is called."""
    async with world.come() as client:
        await call(client, "io_fs_write_file", path="hers.txt", content="kept")
        mine = (await call(client, "assent_status"))["run_id"]
        for last in (False, True):
            assert await stop(world, "agent:bob", mine, last=last) == (403, "IDENTITY_REFUSED")
        assert (await call(client, "assent_status"))["status"] == "running"
    assert await stop(world, "agent:bob", mine, "undo") == (403, "IDENTITY_REFUSED")
    assert (world.root / "hers.txt").read_text() == "kept"


async def stops_its_own(world: World) -> None:
    async with world.come() as client:
        await call(client, "io_fs_write_file", path="mine-too.txt", content="x")
        mine = (await call(client, "assent_status"))["run_id"]
        assert (await stop(world, "agent:ann", mine))[1] == "compensated"
        assert not (world.root / "mine-too.txt").exists()
        await call(client, "io_fs_write_file", path="mine-too.txt", content="x")
        mine = (await call(client, "assent_status"))["run_id"]
    assert (await stop(world, "agent:ann", mine, "undo"))[1] == "compensated"
    assert not (world.root / "mine-too.txt").exists()


async def asks_for_its_own_task(world: World) -> None:
    (world.root / "task.txt").write_text("not needed")
    key = world.key()
    task = (await of_task(world, key, "tools/call", "io_fs_delete"))["taskId"]
    run, step = task.split("/")
    assert await world.approve({"run_id": run, "step": step}) == "succeeded"
    told = await of_task(world, key, "tasks/get", task)
    assert not told["result"].get("isError"), told
    assert not (world.root / "task.txt").exists()


async def mixes_up_credentials(world: World) -> None:
    """Two servers of one program and two of one address, each lost and connected to anew, at once: none goes by another's."""
    async with world.come() as hers, world.come("agent:bob") as his:

        async def who(server: str) -> str:
            return str(json.loads((await call(hers, f"mcp_{server}_env"))[0].text)["WHO"])

        for _ in range(2):
            assert [*await asyncio.gather(who("ann"), who("bob"))] == ["ann", "bob"]
            for server in ("ann", "bob"):
                assert (await no_note(hers, "@crash", server))["code"] == "EFFECT_UNKNOWN"
        await unanswered(world, Reply(503))
        world.site.asked.clear()
        titles = {SECRETS["hers"]: "of hers", SECRETS["his"]: "of his"}
        await asyncio.gather(
            *(note(hers, "of hers", "hers") for _ in range(3)),
            *(note(his, "of his", "his") for _ in range(3)),
        )
    asked = [(one.headers["authorization"], json.loads(one.body or b"{}")) for one in world.site.asked]
    written = [
        (token, one["params"]["arguments"]["title"])
        for token, one in asked
        if one.get("method") == "tools/call"
    ]
    assert len(written) == 6
    assert {*written} == {*titles.items()}


async def replays_an_approval(world: World) -> None:
    for name in ("one.txt", "two.txt"):
        (world.root / name).write_text("kept")
    async with world.come() as client:
        waits = await refused(client, "io_fs_delete", path="one.txt")
        assert waits["code"] == "APPROVAL_REQUIRED"
        other = await refused(client, "io_fs_delete", path="two.txt")
        shown = await world.shown(other)
        assert await world.approve(waits) == "succeeded"
        assert (world.root / "two.txt").exists()
        (world.root / "one.txt").write_text("again")
        for path in ("one.txt", "two.txt"):
            assert (await refused(client, "io_fs_delete", path=path))["code"] == "APPROVAL_REQUIRED"
        (world.root / "two.txt").write_text("more than was shown")
        assert await world.approve(other, shown) == "awaiting_approval"  # asked anew, with what is there now
        assert (world.root / "two.txt").exists()


async def approves_for_itself(world: World) -> None:
    (world.root / "three.txt").write_text("kept")
    async with world.come() as client:
        waits = await refused(client, "io_fs_delete", path="three.txt")
        tools = {one.name for one in (await client.list_tools()).tools}
        assert not [
            name
            for name in tools
            if re.search("approve|reject|resolve|(?<!knowledge_)erase|policy|key_", name)
        ]
        for tool in ("assent_approve", "assent.erase", "assent_key_create"):
            with pytest.raises(MCPError):
                await client.call_tool(tool, {"run": waits["run_id"]})
    headers = {"authorization": f"Bearer {world.key()}"}
    async with httpx2.AsyncClient(
        base_url=world.served.doors["http"], headers=headers, timeout=PATIENCE_S
    ) as http:
        said = {"step": waits["step"], "unseen": True}
        told = await http.post(f"/v1/runs/{waits['run_id']}/approve", json=said)
        assert (told.status_code, told.json()["error"]["code"]) == (403, "APPROVER_REFUSED")
    assert (world.root / "three.txt").exists()


async def is_approved(world: World) -> None:
    (world.root / "four.txt").write_text("not needed")
    async with world.come() as client:
        assert await world.approve(await refused(client, "io_fs_delete", path="four.txt")) == "succeeded"
    assert not (world.root / "four.txt").exists()


async def floods(world: World) -> None:
    async with world.come() as client:
        for mode in ("huge", "endless", "flood", "deep", "nested"):
            await ends(client, mode)
        assert (await note(client, "@shouts"))[
            "id"
        ]  # megabytes without a line end on its standard error hold nothing up
        for mode in ("slow", "hang"):
            assert (await no_note(client, f"@{mode}", "late"))["code"] == "EFFECT_UNKNOWN"
            assert (await note(client, server="good"))["id"]


async def answers_for_another(world: World) -> None:
    async with world.come() as client:
        for mode in ("other", "text", "float", "twins", "noise", "half"):
            await ends(client, mode)
        assert (await no_note(client, "@nan"))["code"] == "INVALID_OUTPUT"
        await call(client, "mcp_notes_find_note", title="@plain")


async def answers_many(world: World) -> None:
    async with world.come() as client:
        first = (await note(client, server="good"))["id"]
        told = await asyncio.gather(*(note(client, server="good") for _ in range(4)))
        assert sorted(one["id"] for one in told) == [first + 1, first + 2, first + 3, first + 4]


async def asks_the_model(world: World) -> None:
    """It asks whose call it is, and only what that client can be asked; a person reads who asks for what, in a terminal too."""
    asked: list[str] = []

    async def hear(_: object, params: Any) -> wire.ElicitResult:
        asked.append(params.message)
        return wire.ElicitResult(action="decline")

    async with world.come(elicits=hear) as person, world.come() as client:
        assert (await note(client, "@asks")) == {"id": 2}  # sampling and roots: there is no such method
        assert not asked
        assert (await note(person, "@asks")) == {"id": 2}
        warned = "MCP server `notes` asks for what may be a secret (give it none here): "
        assert asked == [f"{warned}\n> \\x0d\\x1b[2KAssent asks:\n> the p\u0430ss\\u200bWord?"]
        await call(client, "mcp_notes_find_note", title="@plain")


async def says_it_is_another(world: World) -> None:
    """What a server calls itself, and tells the model at the beginning, reaches nobody, also where it is offered alone."""
    found = await look_at(world, "another")
    async with world.come() as client:
        assert (await note(client, server="another"))["id"]
        told = [str(client.instructions), str(await client.list_tools())]
    headers = {"accept": "application/json, text/event-stream", "authorization": f"Bearer {world.key()}"}
    async with httpx2.AsyncClient(
        base_url=world.served.doors["http"], headers=headers, timeout=PATIENCE_S
    ) as http:
        told += [(await http.post(f"/mcp{place}", json=HELLO)).text for place in ("", "/another")]
    assert not [text for text in (*told, str(found)) if "IMPORTANT" in text]


async def carries_out(world: World) -> None:
    """What was read stays, whichever way it is to leave: by a server, by a workflow, by a plan of both."""
    (world.root / "private.txt").write_text("the key is under the mat")
    send = {"tool": "mcp_good_add_note", "arguments": {"title": "the key is under the mat"}}
    async with world.come() as client:
        text = (await call(client, "io_fs_read_file", path="private.txt"))["content"]
        assert (await no_note(client, text, "good"))["rule"] == "private-data-stays"
        told = await refused(client, "assent_run", calls=[send])
        assert "private-data-stays" in str(told)
    async with world.come() as client:
        read = {"tool": "io_fs_read_file", "arguments": {"path": "private.txt"}}
        assert "private-data-stays" in str(await refused(client, "assent_run", calls=[read, send]))


async def tells_nothing_private(world: World) -> None:
    async with world.come() as client:
        assert (await note(client, server="good"))["id"]
        await call(client, "assent_run", calls=[{"tool": "mcp_good_add_note", "arguments": {"title": "x"}}])
        await call(client, "io_fs_read_file", path="assent.toml")


async def reaches_out_of_the_workspace(world: World) -> None:
    async with world.come() as client:
        for path in (
            "../../etc/passwd",
            "/etc/passwd",
            ".assent/ledger.db",
            "x/../.assent/lock",
            "../ledger.key",
        ):
            assert (await refused(client, "io_fs_read_file", path=path))["code"] in {
                "PATH_ESCAPES", "PATH_PROTECTED", "INVALID_INPUT"
            }  # fmt: skip
        for path in ("assent.toml", "policy.yaml", "assent-mcp.lock", "server/tool.py", "server/json.py"):
            told = await refused(client, "io_fs_write_file", path=path, content="")
            assert told["code"] == "PATH_PROTECTED", path


async def stays_in_the_workspace(world: World) -> None:
    async with world.come() as client:
        await call(client, "io_fs_write_file", path="b.txt", content="x")
        assert (await call(client, "io_fs_read_file", path="./b.txt"))["content"] == "x"


async def loops(world: World) -> None:
    async with world.come("agent:loop") as client:
        told = [await client.call_tool("io_fs_exists", {"path": "a"}) for _ in range(4)]
        assert [one.is_error for one in told] == [False, False, True, True]
        assert "LIMIT_REACHED" in str(told[-1].content)


async def takes_it_back(world: World) -> None:
    """Whatever an agent was led to do is taken back as one; it is all on the record."""
    async with world.come() as client:
        await call(client, "io_fs_write_file", path="led.txt", content="x")
        assert (await note(client, server="back"))["id"] == 1
        run = (await call(client, "assent_status"))["run_id"]
        assert (await call(client, "assent_undo", scope="session"))["status"] == "cancelled"
    assert not (world.root / "led.txt").exists()
    steps = (await world.served.http.get(f"/v1/runs/{run}")).json()["steps"]
    assert [(one["capability"], one["status"]) for one in steps] == [
        ("io.fs.write_file", "compensated"),
        ("mcp.back.add_note", "compensated"),
    ]


async def comes_without_a_key(world: World) -> None:
    async with httpx2.AsyncClient(base_url=world.served.doors["http"], timeout=PATIENCE_S) as http:
        for headers, code in (
            ({}, "NOT_IDENTIFIED"),
            ({"authorization": f"Bearer {world.key()[:-4]}aaaa"}, "NOT_IDENTIFIED"),
            ({"authorization": f"Bearer {world.key()}", "origin": "https://evil.example"}, "ORIGIN_REFUSED"),
            ({"authorization": f"Bearer {world.key()}", "host": "evil.example"}, "HOST_REFUSED"),
        ):
            told = await http.post("/mcp", json=HELLO, headers=headers)
            assert told.json()["error"]["code"] == code


class Attack(NamedTuple):
    """One way to attack. `known_as`: in SAFE-MCP and the OWASP MCP Top 10. `holds`: what keeps it out, as the docs say it."""

    name: str
    known_as: str
    holds: str
    attack: Callable[[World], Awaitable[None]]
    twin: Callable[[World], Awaitable[None]]


ATTACKS: Final = (
    Attack(
        "rug pull",
        "SAFE-T1201 MCP Rug Pull Attack; MCP03 Tool Poisoning",
        "a tool is called only while it is defined as it was trusted; agents are shown the definition that was trusted",
        changes_its_words,
        is_itself,
    ),
    Attack(
        "a schema that changes between list and call",
        "SAFE-T1205 Persistent Tool Redefinition; MCP03 Tool Poisoning",
        "the same: both schemas are part of what was trusted",
        changes_its_schema,
        is_itself,
    ),
    Attack(
        "shadowing, and names that look alike",
        "SAFE-T1301 Cross-Server Tool Shadowing, SAFE-T1008 Tool Shadowing Attack, SAFE-T1004 "
        "Name-Collision; MCP03 Tool Poisoning",
        "each tool has its server in its name, a name of two tools is neither's, and who trusts is told "
        "which names are like others",
        shadows,
        is_called_by_its_name,
    ),
    Attack(
        "a poisoned definition",
        "SAFE-T1001 Tool Poisoning Attack, SAFE-T1501 Full-Schema Poisoning, SAFE-T1402 Instruction "
        "Steganography; MCP03 Tool Poisoning",
        "what nobody can see is refused, in every part of a definition; orders and words about others' tools are pointed out",
        poisons_its_definition,
        is_itself,
    ),
    Attack(
        "hints that are lies",
        "SAFE-T1406 Metadata Manipulation; MCP02 Privilege Escalation via Scope Creep",
        "a hint raises a risk and never lowers one; assent.toml may",
        says_it_is_harmless,
        is_itself,
    ),
    Attack(
        "a poisoned result",
        "SAFE-T1102 Prompt Injection, SAFE-T1703 Tool-Chaining Pivot; MCP06 Intent Flow Subversion",
        "the session has `reads_untrusted` from then on, and rules say what it may still do",
        gives_orders,
        makes_a_folder,
    ),
    Attack(
        "requests forged through a server (SSRF)",
        "SAFE-T1306 Rogue Authorization Server, SAFE-T1407 Server Proxy Masquerade; MCP05 Command Injection & Execution",
        "a server is reached at its address and nowhere else, no redirect is followed; agents reach what `[net]` names",
        leads_elsewhere,
        is_where_it_was_named,
    ),
    Attack(
        "bombs and endless answers over HTTP",
        "SAFE-T2102 Service Disruption; MCP04 Software Supply Chain Attacks & Dependency Tampering",
        "an answer is bounded as it comes and as it is unpacked, and so are its headers; what is no message is no answer",
        bombs,
        is_where_it_was_named,
    ),
    Attack(
        "tokens passed on",
        "SAFE-T1304 Credential Relay Chain, SAFE-T1503 Env-Var Scraping, SAFE-T1504 Token Theft via API Response; "
        "MCP01 Token Mismanagement & Secret Exposure",
        "nothing of the caller's goes to a server, and of the owner's only what assent.toml says; what it "
        "gives back is masked",
        wants_a_token,
        has_its_own_token,
    ),
    Attack(
        "a confused deputy between two credentials",
        "SAFE-T1307 Confused Deputy Attack, SAFE-T1706 OAuth Token Pivot Replay; MCP07 Insufficient "
        "Authentication & Authorization",
        "one connection for each server and credential; a session belongs to one caller; the policy knows who calls which",
        acts_as_another,
        acts_as_itself,
    ),
    Attack(
        "tasks by guessed ids, or by another caller's",
        "SAFE-T1307 Confused Deputy Attack; MCP07 Insufficient Authentication & Authorization",
        "a task is a step of its caller's session: to anybody else, and by any other spelling, it is not there",
        asks_for_tasks_of_others,
        asks_for_its_own_task,
    ),
    Attack(
        "a task of the same agent, by a key that was made for less",
        "SAFE-T1307 Confused Deputy Attack; MCP02 Privilege Escalation via Scope Creep",
        "what an MCP server asks in a task is answered, and its call cancelled, by the key, token or certificate that began it",
        acts_by_a_key_that_only_looks,
        answers_its_own_task,
    ),
    Attack(
        "stopping what another one does",
        "SAFE-T1307 Confused Deputy Attack; MCP07 Insufficient Authentication & Authorization",
        "an agent's key stops and takes back what this agent began, and no other's run",
        stops_anothers_work,
        stops_its_own,
    ),
    Attack(
        "credentials mixed up when connections are lost",
        "SAFE-T1706 OAuth Token Pivot Replay, SAFE-T1304 Credential Relay Chain; MCP01 Token Mismanagement & Secret Exposure",
        "each server has a connection, and a program a process, of its own, made anew with the credential of that server",
        mixes_up_credentials,
        acts_as_itself,
    ),
    Attack(
        "an approval replayed, or for other arguments",
        "SAFE-T1403 Consent-Fatigue Exploit, SAFE-T1404 Response Tampering; MCP02 Privilege Escalation via Scope Creep",
        "it counts once, for the arguments and the state of the world that were shown",
        replays_an_approval,
        is_approved,
    ),
    Attack(
        "an agent that agrees with itself",
        "SAFE-T1309 Privileged Tool Invocation via Prompt Manipulation, SAFE-T1103 Fake Tool Invocation; MCP07 Insufficient "
        "Authentication & Authorization",
        "no tool decides, makes keys or changes a policy, and no agent's key approves",
        approves_for_itself,
        is_approved,
    ),
    Attack(
        "oversized, endless and slow frames",
        "SAFE-T2102 Service Disruption; MCP04 Software Supply Chain Attacks & Dependency Tampering",
        "bounds on each message, on what nobody asked for, and on time: the server is ended, no other notices",
        floods,
        answers_many,
    ),
    Attack(
        "an answer for another's call",
        "SAFE-T1103 Fake Tool Invocation; MCP03 Tool Poisoning",
        "an answer to nothing that was asked ends the server; one that is no JSON, or not of its schema, is no result",
        answers_for_another,
        answers_many,
    ),
    Attack(
        "a server that says it is another",
        "SAFE-T1407 Server Proxy Masquerade, SAFE-T1102 Prompt Injection; MCP03 Tool Poisoning",
        "a server is known by the name in assent.toml; what it calls itself, and its instructions, are shown to nobody",
        says_it_is_another,
        is_called_by_its_name,
    ),
    Attack(
        "a server that asks the model or its user",
        "SAFE-T1112 Sampling Request Abuse; MCP06 Intent Flow Subversion",
        "it asks the client whose call it is and no other; a person reads who asks, whatever the question hides, and no answer "
        "approves anything",
        asks_the_model,
        is_itself,
    ),
    Attack(
        "data carried out in small honest steps",
        "SAFE-T1914 Tool-to-Tool Exfil, SAFE-T1911 Parameter Exfiltration, SAFE-T1913 HTTP POST Exfil; MCP10 Context Injection & "
        "Over-Sharing",
        "what a session has read is known to every later call of it, also in the workflows that it runs",
        carries_out,
        tells_nothing_private,
    ),
    Attack(
        "files out of reach, and a trusted server rewritten",
        "SAFE-T1105 Path Traversal via File Tool, SAFE-T1502 File-Based Credential Harvest, SAFE-T1203 Backdoored Server Binary, "
        "SAFE-T1206 Credential Implant in Config; MCP05 Command Injection & Execution",
        "no policy opens a way out of the workspace, keys, settings, locks, or the program of a server",
        reaches_out_of_the_workspace,
        stays_in_the_workspace,
    ),
    Attack(
        "an endless loop",
        "SAFE-T1106 Autonomous Loop Exploit; MCP02 Privilege Escalation via Scope Creep",
        "limits of the policy count across sessions and restarts",
        loops,
        makes_a_folder,
    ),
    Attack(
        "destruction",
        "SAFE-T2101 Data Destruction, SAFE-T1302 High-Privilege Tool Abuse; MCP08 Lack of Audit and Telemetry",
        "what can't be taken back needs a person; all else is taken back as one, others' tools too, and "
        "every step is on record",
        takes_it_back,
        is_approved,
    ),
    Attack(
        "coming in without a key, or by a page in a browser",
        "SAFE-T1005 Exposed Endpoint Exploit; MCP07 Insufficient Authentication & Authorization, MCP09 Shadow MCP Servers",
        "every request needs a key, token or certificate, an expected host, and no foreign origin",
        comes_without_a_key,
        acts_as_itself,
    ),
)


def _program(name: str, mode: str = "plain", more: str = "") -> str:
    command = json.dumps([sys.executable, "-ISE", str(UPSTREAM), mode])
    return f'\n[mcp.servers.{name}]\ncommand = {command}\nread_only = ["{UPSTREAM}"]\n{more}'


def _settings(port: int) -> str:
    """Everybody behind the daemon, in assent.toml."""
    said = [
        'policy = "policy.yaml"\n',
        _program("notes", more='answer_bytes = 65536\nenv = { TOKEN = "secret://notes" }\n'),
        "[mcp.servers.notes.tools.add_note]\nreads_only = true\n",
        _program("good"),
        _program("late", more='timeout = "2s"\n'),
        _program("back", more=COMPENSATED.replace("servers.notes", "servers.back")),
        _program("a"),
        _program("a_b"),
        _program("another", "another"),
        *(_program(who, more=f'env = {{ WHO = "{who}" }}\n') for who in ("ann", "bob")),
        *(_program(mode, mode) for mode in ("shadows", "poison", "hints")),
        "[mcp.servers.hints.tools.said]\nreads_only = true\n",
        '\n[mcp.servers.own]\ncommand = ["./server/tool.py"]\nread_only = ["server"]\n',
    ]
    said += [
        f'\n[mcp.servers.{name}]\nurl = "http://127.0.0.1:{port}/mcp"\nprivate = ["127.0.0.1/32"]\n'
        f'headers = {{ Authorization = "secret://{name}" }}\n'
        for name in ("hers", "his")
    ]
    return "".join(said)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Path, dict[str, str], Web, Site]]:
    root = tmp_path_factory.mktemp("agents") / "work"
    (root / "server").mkdir(parents=True)
    (root / "server/tool.py").write_text("#!/usr/bin/env python3\n")
    (root / "policy.yaml").write_text(POLICY)
    (root / "policy.yaml").chmod(0o600)
    web = Web()
    with own_places(root.parent, {"PATH": os.environ["PATH"]}) as env, serving(web) as site:
        (root / "assent.toml").write_text(_settings(site.port))
        over_tcp(root)
        settings = Settings.resolve(workspace=root, environ=env, cwd=root)
        trusted = dict.fromkeys(
            ("notes", "good", "late", "back", "hers", "his", "a_b", "another", "ann", "bob"), HONEST
        )
        trusted["a"] = {"b_add_note": {**HONEST["add_note"], "name": "b_add_note"}}
        save_pins(
            settings.server_lock,
            {name: Pinned.of(settings.servers[name], tools, "test") for name, tools in trusted.items()},
        )
        yield root, env, web, site


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(place: tuple[Path, dict[str, str], Web, Site]) -> AsyncIterator[World]:
    root, env, web, site = place
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("assent.plugins.upstream._frames.UNASKED_MAX", 500)
        for name, value in SECRETS.items():
            patch.setenv(f"ASSENT_SECRET_{name.upper()}", value)
        async with daemon(root, env) as served:
            yield World(root, env, served, web, site)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda one: one.name)
@pytest.mark.asyncio(loop_scope="module")
async def test_an_attack_leads_nowhere_and_its_honest_twin_passes(attack: Attack, world: World) -> None:
    async with asyncio.timeout(300):
        await attack.attack(world)
        await attack.twin(world)


def test_the_docs_tell_what_is_tried_and_what_holds() -> None:
    page = (ROOT / "docs/attacks.md").read_text()
    rows = [f"| {one.name} | {one.known_as} | {one.holds} |" for one in ATTACKS]
    told = [line for line in page.splitlines() if line.startswith("| ")][1:]
    assert told == rows, "\n".join(rows)
