"""`assent.schedule.*`: what is seen is which schedules stand, and how."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from assent.errors import Json
from assent.runtime import Runtime
from assent.runtime.service import process, requests
from assent.runtime.settings.effective import Settings
from tests.conformance.case import Case, Cell, Escape, Stage

_STEP: Final[dict[str, Json]] = {
    "name": "write",
    "capability": "io.fs.write_file",
    "inputs": {"path": "day.txt", "content": "${{ inputs.text }}"},
}
_WORKFLOW: Final[dict[str, Json]] = {
    "name": "nightly",
    "inputs": {"text": {"type": "string"}},
    "steps": [_STEP],
}
_ADD: Final[dict[str, Json]] = {
    "name": "nightly",
    "workflow": _WORKFLOW,
    "inputs": {"text": "done"},
    "cron": "30 2 * * *",
    "zone": "Europe/Berlin",
}
_AT_ONCE: Final = {Cell.TIMEOUT: "it leaves one entry in the record"}


def _settings(stage: Stage) -> Settings:
    return Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)


def _called(stage: Stage, verb: str, parameters: Mapping[str, Json]) -> None:
    async def called() -> None:
        async with Runtime(_settings(stage)) as runtime:
            result = await runtime.call(f"assent.schedule.{verb}", parameters)
            assert result.status == "succeeded", result.error

    with ThreadPoolExecutor(1) as pool:  # the test has a loop of its own
        pool.submit(lambda: asyncio.run(called())).result()


def added(stage: Stage) -> None:
    """A schedule stands."""
    _called(stage, "add", _ADD)


def paused(stage: Stage) -> None:
    """It is paused."""
    added(stage)
    _called(stage, "pause", {"name": "nightly"})


def standing(stage: Stage) -> object:
    """The schedules that stand."""
    found = process.perform(requests.Schedules(), _settings(stage)).schedules
    return [(one.name, one.state, one.cron, one.zone, one.workflow) for one in found]


def changing(verb: str, arrange: Callable[[Stage], None]) -> Case:
    return Case(
        f"assent.schedule.{verb}",
        inputs={"name": "nightly"},
        arrange=arrange,
        observe=standing,
        bad=[{"name": "Nightly"}, {"name": ""}],
        escapes=[Escape({"name": "another"}, "SCHEDULE_UNKNOWN")],
        without=_AT_ONCE,
    )


CASES = (
    Case(
        "assent.schedule.add",
        inputs=_ADD,
        observe=standing,
        bad=[{**_ADD, "name": "night ly"}, {**_ADD, "missed": "some"}, {**_ADD, "workflow": "nightly.yaml"}],
        escapes=[
            Escape({**_ADD, "zone": "../../../outside/canary.txt"}, "SCHEDULE_INVALID"),
            Escape(
                {**_ADD, "workflow": {**_WORKFLOW, "steps": [{**_STEP, "capability": "no.such"}]}},
                "CAPABILITY_UNKNOWN",
            ),
        ],
        without=_AT_ONCE,
    ),
    changing("remove", added),
    changing("pause", added),
    changing("resume", paused),
)
