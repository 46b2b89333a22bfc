"""Trusting, trusting anew and removing a server while a daemon lives: at once, on the record, and no call in flight is lost."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ToolsListChanged

from assent.runtime.service import process, requests
from assent.runtime.settings.effective import Settings
from tests.mcp.test_http import agent
from tests.mcp.test_news import Heard
from tests.support.gateway import ALLOW, UPSTREAM
from tests.support.serving import daemon, key_for, over_tcp

ADD = "mcp_notes_add_note"


async def test_who_decides_about_a_server_is_obeyed_at_once(root: Path, env: dict[str, str]) -> None:
    """In a session that began before, too; the record says who agreed to which definitions, and an undo takes it back."""
    over_tcp(root)
    (root / "policy.yaml").write_text(ALLOW)
    heard = Heard()

    async def ask(request: requests.Request[Any]) -> Any:
        settings = Settings.resolve(workspace=root, environ=env, cwd=root)
        return await asyncio.to_thread(process.perform, request, settings)

    async def trust() -> Any:
        digest = (await ask(requests.LookAtServer(name="notes"))).digest
        return await ask(requests.TrustServer(name="notes", digest=digest))

    async with (
        daemon(root, env) as served,
        agent(served, key_for(root, env, "agent:bot"), "legacy", message_handler=heard.hear) as client,
    ):

        async def offered() -> bool:
            return ADD in {one.name for one in (await client.list_tools()).tools}

        async def add(title: str) -> Any:
            return await client.call_tool(ADD, {"title": title})

        assert not await offered()
        await client.call_tool("sys_noop", {})  # the session has begun
        command = [sys.executable, "-ISE", str(UPSTREAM), "plain"]
        await ask(requests.AddServer(name="notes", command=command, read_only=[str(UPSTREAM)]))
        # Whoever comes with the new settings is no stranger to the daemon.
        assert (await ask(requests.Call(capability="sys.noop"))).status == "succeeded"
        first = await trust()
        assert first.trusted
        await heard.until(ToolsListChanged())
        assert await offered()
        assert (await add("milk")).structured_content["id"] == 1

        flying = asyncio.create_task(add("@pauses"))
        while "step.started" not in (await served.http.get("/v1/audit/log?limit=1")).text:  # noqa: ASYNC110 - nothing else tells
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.2)  # on record, it is sent
        written = (root / "assent.toml").read_text()
        (root / "assent.toml").write_text(f'{written}timeout = "50s"\n')
        served.told.reload.set()  # configured otherwise, and still trusted
        while "reloaded" not in "".join(served.notes):  # noqa: ASYNC110 - a note is all that tells of it
            await asyncio.sleep(0.01)
        assert (await add("bread")).structured_content["id"] == 1, "another process"
        assert (await flying).structured_content["id"] == 2, "ended as it was"

        await add("@crash")
        printed = (await ask(requests.ServerLog(name="notes"))).printed
        assert len(printed) == 64 << 10
        assert printed.endswith("x\nout of luck")

        await ask(requests.RemoveServer(name="notes"))
        await heard.until(ToolsListChanged())
        assert not await offered()
        with pytest.raises(MCPError):
            await add("butter")
        assert json.loads((root / "assent-mcp.lock").read_text())["servers"] == {}

        log = [json.loads(line) for line in (await served.http.get("/v1/audit/log")).text.splitlines()]
        acts = {
            one["capability"]: one["run_id"]
            for one in log
            if one["kind"] == "step.succeeded" and (one["capability"] or "").startswith("assent.mcp.")
        }
        assert [*acts] == ["assent.mcp.trust", "assent.mcp.untrust"]
        shown = (await served.http.get(f"/v1/runs/{acts['assent.mcp.trust']}")).json()
        assert shown["steps"][0]["output"] == {
            "name": "notes", "digest": first.digest, "before": None, "differences": []
        }  # fmt: skip
