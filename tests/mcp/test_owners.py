"""An agent's process beside daemons that come and go: whoever owns the state, each of its calls is carried out once."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from assent.runtime import _answering
from assent.runtime._answering import Answering
from assent.runtime.service import answers, requests
from assent.runtime.service.requests import asker_of
from assent.runtime.settings.effective import Settings
from assent.system import spawn
from tests.support.serving import Serving, daemon


class Agent:
    """What an agent's process asks, as `assent mcp` does."""

    def __init__(self, door: Answering) -> None:
        self._door = door
        self.by = asker_of(door.settings)
        self.run = ""

    async def begin(self) -> None:
        self.run = (await self._door.perform(requests.OpenSession(), self.by)).run_id

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
