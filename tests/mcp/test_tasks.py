"""A call that takes long or waits for a person, for a client that knows tasks: a handle, asked about until there is a result."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import mcp_types as wire
import pytest
from mcp.client.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, ResultClaim
from mcp.shared.exceptions import MCPError
from pydantic import ConfigDict

from assent.mcp._tasks import EXTENSION
from assent.runtime._answering import Answering
from assent.runtime.service import requests
from assent.runtime.service.requests import asker_of
from tests.mcp import test_talking as talking
from tests.mcp.test_door import MODERN, Met, meeting, settings_of, wired
from tests.mcp.test_talking import SAID
from tests.support import suite_upstream
from tests.support.gateway import Gateway
from tests.support.patience import PATIENCE_S


class Handle(wire.Result):
    """What a client is given in place of a result."""

    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"]
    task_id: str
    status: str


class Told(wire.Result):
    """A task as it stands."""

    model_config = ConfigDict(extra="allow")

    status: str = ""
    result: dict[str, Any] | None = None
    input_requests: dict[str, Any] | None = None
    error: dict[str, Any] | None = None


class _Request(wire.Request[dict[str, Any], str]):
    """A request of the extension."""

    name_param = "taskId"


async def ask(client: Client, method: str, task: str, **more: Any) -> Told:
    """The answer to a request about a task; `more` is said besides."""
    params = {"taskId": task, **more}
    return await client.session.send_request(_Request(method=method, params=params), Told)


class Tasks(ClientExtension):
    """A client that knows tasks: it asks until there is a result."""

    identifier = EXTENSION

    def __init__(self) -> None:
        self.seen: list[str] = []
        self.waits = asyncio.Event()

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Handle, resolve=self._resolve)]

    async def _resolve(self, handle: Handle, context: ClaimContext) -> wire.CallToolResult:
        while True:
            request = _Request(method="tasks/get", params={"taskId": handle.task_id})
            told = await context.session.send_request(request, Told)
            self.seen.append(told.status)
            if told.error is not None:
                raise MCPError(told.error["code"], told.error["message"], told.error.get("data"))
            if told.result is not None:
                return wire.CallToolResult.model_validate(told.result)
            self.waits.set()
            await asyncio.sleep(0.02)


async def _decide(root: Path, env: dict[str, str], kind: type[requests.Approve | requests.Reject]) -> None:
    """Another program of the same machine, in which a person decides about what waits."""
    async with Answering(settings_of(root, env, "user:bob")) as person:
        by = asker_of(person.settings)
        (question,) = (await person.perform(requests.Approvals(), by)).approvals
        await person.perform(kind(run=question.run_id, step=question.step, digest=question.digest), by)


@pytest.mark.parametrize(
    ("tool", "arguments"),
    [
        ("io_fs_delete", {"path": "a.txt"}),
        ("assent_run", {"calls": [{"tool": "io_fs_delete", "arguments": {"path": "a.txt"}}]}),
    ],
)
@pytest.mark.parametrize("agrees", [True, False])
async def test_a_call_ends_when_a_person_has_decided(
    root: Path, env: dict[str, str], tool: str, arguments: dict[str, Any], agrees: bool
) -> None:
    (root / "a.txt").write_text("")
    known = Tasks()
    async with meeting(root, env, MODERN, extensions=[known]) as met:
        calling = asyncio.ensure_future(met.client.call_tool(tool, arguments))
        await known.waits.wait()
        await _decide(root, env, requests.Approve if agrees else requests.Reject)
        result = await calling
        assert set(known.seen[:-1]) == {"working"}
        assert known.seen[-1] == "completed"
        assert (root / "a.txt").exists() is not agrees
        assert result.is_error is not agrees
        (session,) = (await met.client.read_resource("assent://runs")).contents[:1]
        assert isinstance(session, wire.TextResourceContents)
        runs = json.loads(session.text)["runs"]
        assert [run.get("part_of") for run in runs[1:]] == [
            {"run_id": met.visit.run, "step": "step_1"} for _ in runs[1:]
        ]


async def test_tasks_are_their_agents_own_and_for_clients_that_declare_them(
    root: Path, env: dict[str, str]
) -> None:
    async def refused(met: Met, task: str) -> int:
        with pytest.raises(MCPError) as error:
            await ask(met.client, "tasks/get", task)
        return error.value.code

    (root / "a.txt").write_text("")
    async with meeting(root, env, MODERN) as met:
        waits = await met.refused("io_fs_delete", path="a.txt")
        task = f"{waits['run_id']}/{waits['step']}"
        assert await refused(met, task) == -32021
        async with meeting(root, env, MODERN, "agent:bob", extensions=[Tasks()]) as other:
            for name in (task, waits["run_id"], "run_none", "", "../x", f"{task}x"):
                assert await refused(other, name) == wire.INVALID_PARAMS
        async with meeting(root, env, MODERN, extensions=[Tasks()]) as later:
            assert (await ask(later.client, "tasks/get", task)).status == "working"
            for method in ("tasks/update", "tasks/cancel"):  # neither decides for a person
                await later.client.session.send_request(
                    _Request(method=method, params={"taskId": task}), wire.EmptyResult
                )
            assert (await ask(later.client, "tasks/get", task)).status == "working"
            await met.call("assent_undo", scope="session")
            assert (await ask(later.client, "tasks/get", task)).status == "cancelled"


async def test_a_task_of_a_server_is_waited_for_and_called_off(tmp_path: Path, env: dict[str, str]) -> None:
    """For a client that knows tasks and for nobody's; one that does not know them is refused as the server refuses it."""
    gateway = Gateway(tmp_path / "work")
    gateway.say(SAID.replace("talk", "suite", 1).replace(str(talking.PROGRAM), suite_upstream.__file__))
    gateway.trust("suite")
    known, heard = Tasks(), asyncio.Queue[wire.ProgressNotificationParams]()

    async def hear(message: object) -> None:
        if isinstance(message, wire.ProgressNotification):
            heard.put_nowait(message.params)

    callbacks: Any = {"elicitation_callback": _unasked, "message_handler": hear, "over": wired}
    async with meeting(gateway.folder, env, MODERN, extensions=[known], **callbacks) as met:
        client = met.client

        async def begun(tool: str, **arguments: Any) -> tuple[str, asyncio.Future[wire.CallToolResult]]:
            known.waits.clear()
            calling = asyncio.ensure_future(client.call_tool(f"mcp_suite_{tool}", arguments))
            await known.waits.wait()
            return f"{met.visit.run}/{(await met.run())['steps'][-1]['name']}", calling

        failed, broken = await asyncio.gather(
            client.call_tool("mcp_suite_failing_job", {}),
            client.call_tool("mcp_suite_protocol_error_job", {}),
            return_exceptions=True,
        )
        assert isinstance(failed, wire.CallToolResult)
        assert failed.is_error
        assert "the job failed" in str(failed.content[0])
        assert isinstance(broken, MCPError)
        assert broken.error.message == "the job could not be run"
        task, calling = await begun("confirm_delete", filename="a.txt")
        while (told := await ask(client, "tasks/get", task)).status != "input_required":
            pass
        answered = {
            name: {"action": "accept", "content": {"confirm": True}} for name in told.input_requests or ()
        }
        await ask(client, "tasks/update", task, inputResponses=answered)
        assert 'deleted: action=accept, content={"confirm": true}' in str((await calling).content)
        task, calling = await begun("slow_compute", seconds=600)
        await ask(client, "tasks/cancel", task)
        assert "the agent cancelled this call" in str((await calling).content)
        token: Any = {"progressToken": "p"}
        calling = asyncio.ensure_future(
            client.call_tool("mcp_suite_slow_compute", {"seconds": 1}, meta=token)
        )
        async with asyncio.timeout(PATIENCE_S):
            half = await heard.get()
        assert (half.progress_token, half.progress, half.message) == ("p", 50, "half of it")
        assert not calling.done()
        await calling
        stand = await client.call_tool("mcp_suite_test_tell_tasks", {})
        assert stand.content == [
            wire.TextContent(type="text", text="completed failed completed cancelled completed")
        ]
        quick = {"tool": "mcp_suite_slow_compute", "arguments": {"seconds": 0.1}}
        assert " done" in str((await client.call_tool("assent_run", {"calls": [quick]})).content)
    async with meeting(gateway.folder, env, MODERN) as met:
        with pytest.raises(MCPError) as caught:
            await met.client.call_tool("mcp_suite_failing_job", {})
        assert caught.value.code == wire.MISSING_REQUIRED_CLIENT_CAPABILITY
        assert caught.value.error.data["requiredCapabilities"] == {"extensions": {EXTENSION: {}}}
        (step,) = (await met.run())["steps"]
        assert (step["status"], step["error"]["code"]) == ("failed", "MCP_TOOL_FAILED")  # nothing is in doubt
        assert "clients that know tasks" in step["error"]["hint"]


async def _unasked(*_: object) -> wire.ElicitResult:
    raise AssertionError("a task asks by itself")
