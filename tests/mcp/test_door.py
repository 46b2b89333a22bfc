"""What an agent meets behind the Model Context Protocol, in both of the protocol's eras: a real client, the real service."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import mcp_types as wire
import pytest
from mcp.client.client import Client
from mcp.client.extension import ClientExtension
from mcp.shared.exceptions import MCPError
from mcp.shared.memory import create_client_server_memory_streams
from msgspec.structs import replace

from assent.errors import AssentError, InternalError
from assent.mcp._server import Door
from assent.mcp._tools import Offer, pattern_of
from assent.mcp._visit import Visit
from assent.runtime._answering import Answering
from assent.runtime.service import requests
from assent.runtime.service.requests import asker_of
from assent.runtime.settings.effective import Settings
from assent.spec.words.globs import glob_matches
from assent.system import SystemIds, spawn

MODERN = "2026-07-28"
ERAS = ("legacy", MODERN)


class Met(NamedTuple):
    """An agent's client, and what it can't see: the runtime behind it and its own visit."""

    client: Client
    runtime: Answering
    visit: Visit

    async def call(self, name: str, /, **arguments: Any) -> Any:
        """What a call that works gives."""
        result = await self.client.call_tool(name, arguments)
        assert not result.is_error, result.content
        assert json.loads(_words(result)) == result.structured_content
        return result.structured_content

    async def refused(self, name: str, /, **arguments: Any) -> dict[str, Any]:
        """What a call is told that did not happen."""
        at_once: Any = {"assent/patience_ms": 0}
        result = await self.client.call_tool(name, arguments, meta=at_once)
        assert result.is_error
        told: dict[str, Any] = result.structured_content
        assert told["error"]["code"] in _words(result)  # who reads the text alone can act on it
        return told

    async def run(self) -> dict[str, Any]:
        """The session as it stands."""
        told: dict[str, Any] = await self.call("assent_status")
        return told


def _words(result: wire.CallToolResult) -> str:
    (block,) = result.content
    assert isinstance(block, wire.TextContent)
    return block.text


@asynccontextmanager
async def meeting(
    root: Path,
    env: Mapping[str, str],
    era: str = "legacy",
    agent: str = "agent:ann",
    extensions: Sequence[ClientExtension] = (),
    *,
    over: Callable[[Any], Any] = lambda server: server,
    **more: Any,
) -> AsyncIterator[Met]:
    """An agent that has come in; `over` says by which way, and `more` is said of its client."""
    settings = settings_of(root, env, agent)
    async with Answering(settings) as runtime:
        visit = Visit(runtime, asker_of(settings), SystemIds().request_id())
        failed: Exception | None = None
        door = Door(lambda _: visit, _fault)
        async with Client(over(door.server()), mode=era, extensions=extensions, **more) as client:
            try:
                yield Met(client, runtime, visit)
            except Exception as error:  # noqa: BLE001  # raised below: a group of exceptions hides what a test says
                failed = error
        if failed is not None:
            raise failed
        door.news.close()
        await visit.close()


@asynccontextmanager
async def wired(server: Any) -> AsyncIterator[Any]:  # `Any`: the SDK's own server, and streams
    """A way to a server by messages, as a pipe has it: what comes within one process by a call has a token here, and an order."""
    async with create_client_server_memory_streams() as (streams, (source, sink)):
        task = spawn(server.run(source, sink, server.create_initialization_options()), name="its server")
        yield streams
        task.cancel()


def settings_of(root: Path, env: Mapping[str, str], principal: str) -> Settings:
    """The workspace, as a principal comes to it."""
    return Settings.resolve(workspace=root, environ=env, cwd=root, principal=principal)


def _fault(error: Exception) -> AssentError:
    return InternalError("INTERNAL_ERROR", type(error).__name__)


Meet: TypeAlias = Callable[[], AbstractAsyncContextManager[Met]]


@pytest.fixture(params=ERAS)
def meet(request: pytest.FixtureRequest, root: Path, env: dict[str, str]) -> Meet:
    """Not the meeting itself: the SDK's client has to be left by the task that entered it."""
    return partial(meeting, root, env, request.param)


async def test_every_capability_that_may_be_called_is_a_tool_and_ours_come_first(meet: Meet) -> None:
    async with meet() as met:
        tools = (await met.client.list_tools()).tools
        names = [one.name for one in tools]
        assert names[:5] == ["assent_plan", "assent_run", "assent_status", "assent_undo", "assent_explain"]
        assert not [name for name in names[5:] if name.startswith("assent")]  # no agent makes keys, or erases
        told = {one.name: one for one in tools}
        hints = {
            name: (at.read_only_hint, at.destructive_hint, at.idempotent_hint, at.open_world_hint)
            for name, at in ((name, one.annotations) for name, one in told.items())
            if at is not None
        }
        assert hints["io_fs_read_file"] == (True, False, True, False)
        assert hints["io_fs_write_file"] == (False, False, True, False)
        assert hints["net_http_post"] == (False, True, False, True)
        delete = told["io_fs_delete"]
        assert delete.description is not None
        assert "depends on the inputs. It can be undone." in delete.description
        assert delete.input_schema["type"] == "object"
        assert delete.output_schema is not None


async def test_calls_are_steps_of_one_run_that_is_undone_as_a_whole(meet: Meet, root: Path) -> None:
    async with meet() as met:
        for name in ("a.txt", "b.txt"):
            assert (await met.call("io_fs_write_file", path=name, content="hi"))["created"]
        run = await met.run()
        assert [step["capability"] for step in run["steps"]] == ["io.fs.write_file"] * 2
        assert run["principal"] == "agent:ann"
        undone = await met.call("assent_undo", scope="session")
        assert undone["status"] == "cancelled"
        assert not [*root.glob("?.txt")]
        await met.call(
            "io_fs_write_file", path="c.txt", content="hi"
        )  # a new session, since that one has ended
        assert (await met.run())["run_id"] != run["run_id"]


async def test_the_last_call_is_taken_back_and_the_session_goes_on(meet: Meet, root: Path) -> None:
    async with meet() as met:
        for name in ("a.txt", "b.txt"):
            await met.call("io_fs_write_file", path=name, content="hi")
        undone = await met.call("assent_undo", scope="last")
        assert [(step["name"], step["status"]) for step in undone["steps"]] == [("step_2", "compensated")]
        assert sorted(path.name for path in root.glob("?.txt")) == ["a.txt"]
        await met.call("io_fs_write_file", path="c.txt", content="hi")
        run = (await met.run())["run_id"]
        assert undone["run_id"] == run
        assert (await met.call("assent_undo", scope="session"))["status"] == "cancelled"
        assert not [*root.glob("?.txt")]
        await met.call("sys_noop")
        assert (await met.refused("assent_undo", scope="last"))["error"]["code"] == "RUN_NOT_UNDOABLE"


async def test_a_refusal_says_what_stands_in_the_way(meet: Meet) -> None:
    async with meet() as met:
        denied = await met.refused("io_fs_write_file", path="private/x", content="")
        assert (denied["error"]["code"], denied["rule"], denied["status"]) == (
            "POLICY_DENIED",
            "private",
            "denied",
        )
        wrong = await met.refused("io_fs_write_file", pth="x")
        assert wrong["error"]["details"]["faults"][-1]["hint"] == "did you mean `path`?"
        undo = (await met.refused("assent_undo", scope="all"))["error"]
        assert (undo["code"], undo["path"]) == ("INVALID_INPUT", "scope")
        run = (await met.refused("assent_run", plan_id="x"))["error"]
        assert (run["code"], run["hint"]) == ("INVALID_INPUT", "did you mean `plan`?")
        assert (await met.refused("assent_plan"))["error"]["code"] == "INVALID_INPUT"
        for name in ("no_such_tool", "assent_key_create", "assent.key.create"):
            with pytest.raises(MCPError, match=f"there is no tool `{name}`$"):
                await met.client.call_tool(name, {})
        for name in ("io.fs.write_file", "io_fs_writ_file"):
            with pytest.raises(MCPError, match=f"no tool `{name}`: did you mean `io_fs_write_file`"):
                await met.client.call_tool(name, {})


async def test_what_needs_a_person_waits_and_is_asked_for_later(
    meet: Meet, root: Path, env: dict[str, str]
) -> None:
    async with meet() as met:
        (root / "a.txt").write_text("hi")
        waits = await met.refused("io_fs_delete", path="a.txt")
        assert (waits["status"], waits["error"]["code"]) == ("awaiting_approval", "APPROVAL_REQUIRED")
        assert (root / "a.txt").exists()
        (question,) = (await met.runtime.perform(requests.Approvals(), met.visit.by)).approvals
        assert (question.run_id, question.step) == (waits["run_id"], waits["step"])
        own = requests.Approve(run=waits["run_id"], digest=question.digest)
        with pytest.raises(AssentError):  # who asked can't agree, and no tool would let it
            await met.runtime.perform(own, met.visit.by)
        async with Answering(
            settings_of(root, env, "user:bob")
        ) as person:  # another program of the same machine
            agreed = requests.Approve(run=waits["run_id"], step=waits["step"], digest=question.digest)
            await person.perform(agreed, asker_of(person.settings))
        step = (await met.run())["steps"][0]
        assert step["status"] == "succeeded"
        assert not (root / "a.txt").exists()


async def test_plans_and_runs_of_calls_and_workflows(meet: Meet, root: Path) -> None:
    async with meet() as met:
        calls = [
            {"tool": "io_fs_write_file", "arguments": {"path": "a.txt", "content": "${{ no reference }}"}}
        ]
        plan = await met.call("assent_plan", calls=calls)
        assert [step["decision"] for step in plan["steps"]] == ["ALLOW"]
        assert not (root / "a.txt").exists()
        assert (await met.call("assent_run", plan=plan["plan_id"]))["status"] == "succeeded"
        assert (root / "a.txt").read_text() == "${{ no reference }}"
        workflow = {"name": "w", "inputs": {"n": {"type": "string"}}, "steps": [
            {"name": "s", "capability": "io.fs.write_file", "inputs": {"path": "${{ inputs.n }}", "content": ""}}]}  # fmt: skip
        assert (await met.call("assent_run", workflow=workflow, inputs={"n": "b.txt"}))["workflow"] == "w"
        assert (root / "b.txt").exists()
        both = await met.refused("assent_run", plan=plan["plan_id"], inputs={"n": "x"})
        assert both["error"]["code"] == "INVALID_INPUT"


async def test_an_explanation_is_that_of_the_gate(meet: Meet) -> None:
    async with meet() as met:
        told = await met.call(
            "assent_explain", tool="io_fs_write_file", arguments={"path": "private/x", "content": ""}
        )
        assert (told["decision"], told["rule"], told["principal"]) == ("DENY", "private", "agent:ann")


async def test_what_there_is_to_look_at(meet: Meet) -> None:
    async with meet() as met:
        await met.call("io_fs_write_file", path="a.txt", content="hi")
        run = met.visit.run
        listed = {str(one.uri) for one in (await met.client.list_resources()).resources}
        assert listed == {"assent://runs", "assent://approvals", "assent://policy", "assent://audit/log"}
        (family,) = (await met.client.list_resource_templates()).resource_templates
        assert family.uri_template == "assent://runs/{run}"

        async def read(uri: str) -> Any:
            (found,) = (await met.client.read_resource(uri)).contents
            assert isinstance(found, wire.TextResourceContents)
            return [json.loads(line) for line in found.text.splitlines()]

        assert [one["run_id"] for one in (await read("assent://runs"))[0]["runs"]] == [run]
        assert (await read(f"assent://runs/{run}"))[0]["status"] == "running"
        assert (await read("assent://audit/log"))[0]["kind"] == "ledger.created"
        for uri in ("assent://runs/", "assent://runs/../x", "assent://nothing", "file:///etc/passwd"):
            with pytest.raises(MCPError, match="there is no resource"):
                await read(uri)
        with pytest.raises(MCPError) as error:
            await read("assent://runs/run_none")
        assert error.value.data["code"] == "RUN_UNKNOWN"
        begins = wire.ResourceTemplateReference(uri=family.uri_template)
        completed = await met.client.complete(begins, {"name": "run", "value": "run_"})
        assert completed.completion.values == [run]


async def test_prompts_show_the_way_and_take_arguments_as_text(meet: Meet) -> None:
    async with meet() as met:
        names = [one.name for one in (await met.client.list_prompts()).prompts]
        assert names == ["plan_first", "ask_for_approval", "undo_session"]
        (message,) = (await met.client.get_prompt("plan_first", {"task": "rm {reason} {0}"})).messages
        assert isinstance(message.content, wire.TextContent)
        assert "rm {reason} {0}" in message.content.text
        for name in ("plan_first", "nothing"):
            with pytest.raises(MCPError, match="there is no prompt"):
                await met.client.get_prompt(name, {})


async def test_the_tools_that_a_name_could_mean_are_enough_to_find_the_one_it_means(meet: Meet) -> None:
    """As among all tools, also where ids differ in their dots alone: a call judges no others."""
    async with meet() as met:
        tools = (await met.visit.ask(requests.Tools())).tools
        ids = ("io.fs_stat", "io.fs.stat", "io_fs.stat", "noop", "sys.noop")
        twins = [replace(tools[0], capability=replace(tools[0].capability, id=ident)) for ident in ids]
    for every in (tools, twins):
        for name, tool in Offer(every).capabilities.items():
            few = [one for one in every if glob_matches(pattern_of(name), one.capability.id)]
            assert Offer(few).capabilities[name] is tool
            assert len(few) < len(every) / 2 or every is twins


async def test_a_call_judges_one_tool(meet: Meet, monkeypatch: pytest.MonkeyPatch) -> None:
    judged: list[str | None] = []
    ask = Visit.ask

    async def heard(visit: Visit, request: requests.Request[Any]) -> Any:
        judged.extend([request.pattern] if isinstance(request, requests.Tools) else [])
        return await ask(visit, request)

    monkeypatch.setattr(Visit, "ask", heard)
    async with meet() as met:
        # Before its first call the client itself lists them all, to know what the tool gives.
        await met.client.call_tool("sys_noop", {})
        judged.clear()
        await met.client.call_tool("sys_noop", {})
    assert judged == ["sys*noop"]


DELETES: dict[str, Any] = {"tool": "io_fs_delete", "arguments": {"path": "a.txt"}}


@pytest.mark.parametrize("within", ["a call", "a workflow"])
@pytest.mark.parametrize("is_patient", [True, False])
async def test_a_call_that_waits_has_its_result_if_somebody_decides_in_time(
    meet: Meet, root: Path, env: dict[str, str], within: str, *, is_patient: bool
) -> None:
    (root / "a.txt").write_text("hi")
    name, arguments = ("assent_run", {"calls": [DELETES]}) if within == "a workflow" else (*DELETES.values(),)
    patience: Any = {"assent/patience_ms": 30_000 if is_patient else 0}
    async with meet() as met:
        calling = asyncio.ensure_future(met.client.call_tool(str(name), arguments, meta=patience))
        if not is_patient:
            waits = (await calling).structured_content
            assert waits["error"]["code"] == "APPROVAL_REQUIRED"
            assert ("inner_run" in waits) == (within == "a workflow")
        async with Answering(settings_of(root, env, "user:bob")) as person:
            by = asker_of(person.settings)
            while not (  # noqa: ASYNC110 - another process asks
                found := (await person.perform(requests.Approvals(), by)).approvals
            ):
                await asyncio.sleep(0.02)
            agreed = requests.Approve(run=found[0].run_id, step=found[0].step, digest=found[0].digest)
            await person.perform(agreed, by)
        if is_patient:
            result = await calling
            assert not result.is_error, result.content
        while (await met.run())["steps"][0]["status"] != "succeeded":  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
        assert not (root / "a.txt").exists()
        assert (await met.call("assent_undo", scope="session"))["status"] == "cancelled"
        assert (root / "a.txt").exists()


async def test_patience_is_a_number_of_milliseconds(meet: Meet) -> None:
    async with meet() as met:
        for said in (-1, 3_600_001, "5s", True):
            meta: Any = {"assent/patience_ms": said}
            result = await met.client.call_tool("io_fs_list_dir", {"path": "."}, meta=meta)
            assert result.structured_content["error"]["code"] == "INVALID_INPUT"


async def test_a_model_reads_each_fault_of_its_inputs(meet: Meet) -> None:
    """Many clients hand it the text alone."""
    async with meet() as met:
        result = await met.client.call_tool("io_fs_write_file", {"pth": "a.txt", "content": 5})
        (said,) = [one.text for one in result.content if one.type == "text"]
        for fault in ("`path` is missing", "`content` must be text", "`pth` is not a parameter; "):
            assert f"\n{fault}" in said, said
