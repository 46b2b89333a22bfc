"""An agent's process is killed in a workflow that its session runs, or as a step is taken back: the session goes on with it."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from mcp import ClientSession, MCPError
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.support.crashing import Scene

CALLS: list[dict[str, Any]] = [
    {"tool": "io_fs_write_file", "arguments": {"path": name, "content": "brand new\n"}}
    for name in ("one.txt", "two.txt")
]


async def agent_that_dies(scene: Scene, kill: str, *calls: tuple[str, dict[str, Any]]) -> None:
    """Begins a session, writes a file, and makes these calls, until it dies. Its policy lets it."""
    allowed = scene.workspace / "policy.yaml"
    allowed.write_text(allowed.read_text().replace("user:*", "*"))
    words = ["-m", "assent", "--workspace", str(scene.workspace), "mcp"]
    process = StdioServerParameters(
        command=sys.executable, args=words, env=scene._armed(kill), cwd=str(scene.workspace)
    )
    async with stdio_client(process) as streams, ClientSession(*streams) as session:
        await session.initialize()
        await session.call_tool("io_fs_write_file", {"path": "zero.txt", "content": "brand new\n"})
        for name, arguments in calls:
            await session.call_tool(name, arguments)


@pytest.mark.parametrize("number", [26, 32, 38, 44, 54])
async def test_a_workflow_of_a_session_is_carried_out_once_and_undone_with_it(
    scene: Scene, number: int
) -> None:
    with pytest.raises((MCPError, ExceptionGroup)):
        await agent_that_dies(scene, f"any:{number}", ("assent_run", {"calls": CALLS}))
    # How many points there are is not the same each time; from here on the run has begun for certain.
    assert number < 38 or any(run.get("part_of") for run in scene.runs())
    scene.assent("resume", "--json")
    runs = scene.runs()
    session = next(str(run["run_id"]) for run in runs if run["mode"] == "session")
    inner = [run for run in runs if run.get("part_of")]
    assert len(inner) <= 1
    for run in runs:
        done = [event for event in scene.story(str(run["run_id"])).events if event[0] == "step.succeeded"]
        assert len(done) == len({*done})
        assert not run.get("part_of") or len(done) == 2
    assert scene.assent("cancel", session, "--json").json()["status"] == "cancelled"
    scene.assert_sound()
    assert not [*scene.workspace.glob("*o.txt"), *scene.workspace.glob("*e.txt")]


@pytest.mark.parametrize("kill", ["compensate.before:1", "compensate.after:1"])
async def test_the_last_step_is_taken_back_once_and_the_session_goes_on(scene: Scene, kill: str) -> None:
    with pytest.raises((MCPError, ExceptionGroup)):
        await agent_that_dies(
            scene, kill, ("io_fs_write_file", CALLS[0]["arguments"]), ("assent_undo", {"scope": "last"})
        )
    assert (scene.workspace / "one.txt").exists() == (kill == "compensate.before:1")
    scene.assent("resume", "--json")
    (run,) = scene.runs()
    session = str(run["run_id"])
    assert [one.name for one in (scene.workspace).glob("*o.txt")] == ["zero.txt"]
    assert not (scene.workspace / "one.txt").exists()
    assert scene.story(session).status == "interrupted"
    assert scene.assent("cancel", session, "--json").json()["status"] == "cancelled"
    scene.assert_sound()
    taken_back = [step for kind, step in scene.story(session).events if kind == "compensation.succeeded"]
    assert taken_back == ["step_2", "step_1"]
    assert not [*scene.workspace.glob("*o.txt"), *scene.workspace.glob("*e.txt")]
