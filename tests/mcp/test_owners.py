"""An agent's process beside daemons that come and go: whoever owns the state, each of its calls is carried out once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assent.journal import claim, is_claimed
from assent.runtime import _answering, _core
from assent.runtime._answering import Answering
from assent.runtime.service import answers, requests
from assent.runtime.service.requests import asker_of
from assent.runtime.settings.effective import Settings
from assent.system import spawn
from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, daemon


class Agent:
    """What an agent's process asks, as `assent mcp` does."""

    def __init__(self, door: Answering) -> None:
        self._door = door
        self.by = asker_of(door.settings)
        self.run = ""

    async def begin(self, ident: str | None = None) -> str:
        self.run = (await self._door.perform(requests.OpenSession(), self.by, ident=ident)).run_id
        return self.run

    async def call(self, capability: str, **parameters: Any) -> Any:  # `Any`: its output is one of many
        asked = requests.AddStep(run=self.run, capability=capability, parameters=parameters)
        (step,) = (await self._door.perform(asked, self.by)).steps
        return step

    async def events(self) -> list[Mapping[str, Any]]:
        """All that happens in the session until it has ended."""
        return [told.event async for told in self._door.stream(requests.Events(run=self.run), self.by)]

    async def close(self) -> answers.Run:
        return await self._door.perform(requests.CloseSession(run=self.run), self.by)


async def _status(served: Serving, run: str) -> str:
    return str((await served.http.get(f"/v1/runs/{run}")).json()["status"])


@pytest.mark.parametrize("ending_s", [0.0, 30.0], ids=["a call is cut off", "a call ends"])
async def test_a_daemon_that_comes_has_the_state_and_goes_on_with_what_is_under_way(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch, ending_s: float
) -> None:
    monkeypatch.setattr(_answering, "ENDING_S", ending_s)
    monkeypatch.setattr(_answering, "LOOK_S", 0.02)
    monkeypatch.setattr(_answering, "DAEMON_S", 0.0)  # none comes after the last one
    settings = Settings.resolve(workspace=root, environ=env, cwd=root)
    async with Answering(settings, gives_way=True) as door:
        agent = Agent(door)
        await agent.begin()
        heard = spawn(agent.events(), name="events")
        for round_ in range(2):
            sleeps = spawn(agent.call("sys.sleep", seconds=0.6), name="a call")
            await asyncio.sleep(0.1)
            async with daemon(root, env) as served:
                assert (await sleeps).status == "succeeded"
                wrote = await agent.call("io.fs.write_file", path=f"{round_}.txt", content="")
                assert wrote.output["created"] is True
                assert await _status(served, agent.run) == "running"
            wrote = await agent.call("io.fs.write_file", path=f"{round_}.txt", content="here")
            assert wrote.output["created"] is False
        ended = await agent.close()
        kinds = [str(event["kind"]) for event in await heard]
    assert [step.status for step in ended.steps] == ["succeeded"] * 6
    assert kinds.count("step.added") == 6
    assert kinds[-1] == "run.succeeded"


async def test_a_session_that_nobody_can_call_any_more_is_closed_and_can_be_undone(
    root: Path, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever was killed: its process, the owner of its connection, or an owner after which nobody called by its name again."""
    monkeypatch.setattr(_core, "SILENCE_S", 0.1)
    settings = Settings.resolve(workspace=root, environ=env, cwd=root)
    beginnings = [
        "process:7:0",
        "process:8:0",
        "process:x",
        "connection:req_1:0",
        "mcp:ab:0",
        "a program's own",
        None,
    ]
    async with Answering(settings) as door:
        living, ended = claim(settings.state, 7), claim(settings.state, 8)
        agent = Agent(door)
        runs = {}
        for ident in beginnings:
            runs[await agent.begin(ident)] = ident
            await agent.call("io.fs.write_file", path=f"{len(runs)}.txt", content="")
        asked = [await door.perform(requests.Show(run=run), agent.by) for run in runs]
        assert [shown.status for shown in asked] == ["running"] * 7
    ended.release()
    monkeypatch.setattr(_core, "LEFT_S", 0.02)
    assert [is_claimed(settings.state, one) for one in (7, 8)] == [True, False]

    async def open_ones(served: Serving) -> list[str | None]:
        return [runs[run] for run in runs if await _status(served, run) == "running"]

    async with daemon(root, env) as served, asyncio.timeout(PATIENCE_S):
        while len(left := await open_ones(served)) > 3:  # noqa: ASYNC110 - the daemon sets no event
            await asyncio.sleep(0.02)
        assert left == ["process:7:0", "a program's own", None]
        living.release()
        while len(await open_ones(served)) > 2:  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.02)
        undone = await served.http.post(f"/v1/runs/{next(iter(runs))}/undo")
        assert undone.json()["status"] == "undone"
