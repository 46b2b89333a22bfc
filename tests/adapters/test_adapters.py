"""Agents with scripted models: what is refused, what waits for a person, and the session that is undone whole."""

from __future__ import annotations

import asyncio
import importlib
import json
import sys
from collections.abc import Awaitable, Callable
from functools import partial
from pathlib import Path

import pytest

from assent import Runtime, sync
from assent.client import connect
from assent.engine import RunResult
from assent.errors import AssentError
from tests.server.conftest import env, root, served
from tests.support.serving import Serving

__all__ = ["env", "root", "served"]


def waiting(run: RunResult) -> list[str]:
    return [step.name for step in run.steps if step.status == "awaiting_approval"]


async def asked(look: Callable[[], Awaitable[RunResult]]) -> str:
    """The step that waits for a person, once one does."""
    while not (found := waiting(await look())):  # noqa: ASYNC110 - one that is sync has no events to await
        await asyncio.sleep(0.01)
    return found[0]


def files(root: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in root.glob("*.txt")}


async def test_agents_of_a_runtime(root: Path) -> None:
    """One session each: calls that succeed, that are refused with what helps, that a person decides; undone whole."""
    from tests.support.agents import TURNS, WAYS, judge

    (root / "old.txt").write_text("old")
    async with Runtime.open(root) as rt:

        async def decide(run: str) -> None:
            await rt.approve(run, await asked(partial(rt.show, run)), principal="user:ann")

        tools = rt.tools("json-schema", capabilities=["io.fs.*"], principal="agent:helper")
        for drive, kind in WAYS.values():
            session = await rt.session(principal="agent:helper")
            judge(await drive(session, tools, decide, kind))
            assert files(root) == {"a.txt": "a"}
            await session.close()
            steps = (await rt.show(session.run_id)).steps
            assert len(steps) == sum(map(len, TURNS)), "nothing was asked twice"
            assert (await rt.undo(session.run_id)).status == "waiting"
            assert (await rt.approve(session.run_id, principal="user:ann")).status == "undone"
            assert files(root) == {"old.txt": "old"}


def test_agents_of_a_runtime_without_a_loop(root: Path) -> None:
    """The session lives in the runtime's own loop, and is awaited in the framework's, or called where that has none."""
    from tests.support.agents import WAYS, by_langgraph, judge

    (root / "old.txt").write_text("old")
    with sync.Runtime.open(root) as rt:

        async def decide(run: str) -> None:
            step = await asked(partial(asyncio.to_thread, rt.show, run))
            rt.approve(run, step, principal="user:ann")

        tools = rt.tools("json-schema", capabilities=["io.fs.*"], principal="agent:helper")
        ways = [WAYS["responses"], WAYS["langgraph"], WAYS["pydantic_ai"], (by_langgraph, "sync")]
        for drive, kind in ways:
            session = rt.session(principal="agent:helper")
            judge(asyncio.run(drive(session, tools, decide, kind)))
            assert files(root) == {"a.txt": "a"}
            assert session.cancel().status == "cancelled"
            assert files(root) == {"old.txt": "old"}


async def test_agents_of_a_daemon(root: Path, served: Serving) -> None:
    """The same over a connection; the tools are those that the daemon has."""
    from tests.support.agents import WAYS, judge

    (root / "old.txt").write_text("old")
    async with connect(served.doors["socket"], patience_s=5) as rt:

        async def decide(run: str) -> None:
            await rt.approve(run, await asked(partial(rt.show, run)))

        tools = await rt.tools("json-schema", capabilities=["io.fs.*"])
        for way in ("responses", "langgraph", "pydantic_ai"):
            drive, kind = WAYS[way]
            session = await rt.session()
            judge(await drive(session, tools, decide, kind))
            assert files(root) == {"a.txt": "a"}
            assert (await session.cancel()).status == "cancelled"
            assert files(root) == {"old.txt": "old"}
        with pytest.raises(AssentError, match="finds out for itself"):
            await rt.tools("openai", principal="agent:helper")


async def test_tools_of_a_daemon_are_those_of_its_runtime(root: Path, served: Serving) -> None:
    """Name for name, schema for schema, in every kind; also without a loop."""
    async with connect(served.doors["socket"], patience_s=5) as rt, Runtime.open(root) as own:
        for kind in ("openai", "openai-chat", "anthropic", "json-schema"):
            assert await rt.tools(kind, capabilities=["io.fs.*", "sys.noop"]) == own.tools(
                kind, capabilities=["io.fs.*", "sys.noop"]
            )

    def waited() -> object:
        with sync.connect(served.doors["socket"], patience_s=5) as rt:
            return rt.tools("openai", capabilities=["io.fs.delete"])[0]["name"]

    assert await asyncio.to_thread(waited) == "io-fs-delete"


async def test_a_call_under_an_id_is_one_step_whoever_asks_again(root: Path) -> None:
    """Also through another process's runtime, and once it was decided; another call under it is refused."""
    (root / "old.txt").write_text("old")
    async with Runtime.open(root) as owner, Runtime.open(root) as client:
        session = await owner.session(principal="agent:helper")
        elsewhere = await client.session(session.run_id)
        first = await session.call("io.fs.delete", {"path": "old.txt"}, id="drop")
        assert (await elsewhere.call("io.fs.delete", {"path": "old.txt"}, id="drop")).name == first.name
        await owner.approve(session.run_id, first.name, principal="user:ann")
        again = await elsewhere.call_tool("io-fs-delete", {"path": "old.txt"}, id="drop")
        assert (again.name, again.status) == (first.name, "succeeded")
        other = await session.call("io.fs.delete", {"path": "a.txt"}, id="drop")
        assert (other.status, (other.error or {})["code"]) == ("failed", "REQUEST_REUSED")
        assert len((await owner.show(session.run_id)).steps) == 1


async def test_without_interrupts_a_model_is_told_that_its_call_waits(root: Path) -> None:
    """So too where nothing could resume the graph: a call without an id, or outside of one. Nothing is asked twice."""
    from assent.adapters.langgraph import tools_of
    from assent.adapters.model_apis import answer_calls

    (root / "old.txt").write_text("old")
    async with Runtime.open(root) as rt:
        session = await rt.session(principal="agent:helper")
        tools = rt.tools("json-schema", capabilities=["io.fs.delete"], principal="agent:helper")
        for delete in (*tools_of(session, tools), *tools_of(session, tools, interrupts=False)):
            told = json.loads(await delete.ainvoke({"path": "old.txt"}))
            assert (told["status"], "assent approve" in told["hint"]) == ("awaiting_approval", True)
            with pytest.raises(NotImplementedError, match="ainvoke"):
                delete.invoke({"path": "old.txt"})
        assert waiting(await rt.show(session.run_id)) == ["step_1", "step_2"]
        asked = {
            "type": "function_call",
            "call_id": "1",
            "name": "io-fs-delete",
            "arguments": '{"path": "old.txt"}',
        }
        (answer,) = await answer_calls(session, [asked], patience_s=0.01)
        assert json.loads(str(answer["output"]))["status"] == "awaiting_approval"


@pytest.mark.parametrize("kind", ["openai", "openai-chat", "anthropic", "json-schema"])
async def test_a_model_calls_only_what_it_was_offered(root: Path, kind: str) -> None:
    """Whatever it names, and in whatever form: nothing that a model can get wrong raises, and all others are answered."""
    from assent.adapters.model_apis import answer_calls

    async with Runtime.open(root) as rt:
        session = await rt.session(principal="agent:helper")
        tools = rt.tools(kind, capabilities=["io.fs.write_file"], principal="agent:helper")
        given = '{"path": "a.txt", "content": "a"}'
        names: list[object] = [
            "io-fs-write_file",
            "io-fs-make_dir",
            "io.fs.write_file",
            "io-fs-write_file@1.0.0",
            None,
            ["x"],
            {},
        ]
        asked = [
            {"type": "function_call", "call_id": str(at), "name": name, "arguments": given}
            for at, name in enumerate(names)
        ]
        odd = [{"type": "function", "id": "8", "function": None}, {"type": ["function"]}, {"type": {}}]
        done, *others = await answer_calls(session, [*asked, *odd], tools=tools)
        assert json.loads(str(done["output"]))["path"] == "a.txt"
        told = [json.loads(str(one.get("output", one.get("content")))) for one in others]
        assert [one["error"]["code"] for one in told] == ["CAPABILITY_UNKNOWN"] * 7
        assert len((await rt.show(session.run_id)).steps) == 1


@pytest.mark.parametrize("module", ["langgraph", "pydantic_ai"])
def test_a_framework_that_is_absent_is_named(module: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pydantic_ai", "langchain_core.tools", f"assent.adapters.{module}"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    for name in ("pydantic_ai", "langgraph.types"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(ModuleNotFoundError, match="not installed: pip install"):
        importlib.import_module(f"assent.adapters.{module}")
