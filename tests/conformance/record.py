"""`assent.erase`: a run that has ended stands in the record; what is seen is what the record still holds of it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Final

from assent.errors import Json
from assent.runtime import Runtime
from assent.runtime._ledger import open_reader
from assent.runtime.settings.effective import Settings
from tests.conformance.case import Case, Cell, Escape, Inputs, Stage

_UNKNOWN: Final = "run_00000000000000000000000000"


def ended(stage: Stage) -> None:
    """A run that has written a file."""
    stage.things["ended"] = _called(stage, "io.fs.write_file", {"path": "a.txt", "content": "two"})
    stage.shown[stage.things["ended"]] = _UNKNOWN


def waiting(stage: Stage) -> None:
    """A run that waits for a person."""
    (stage.workspace / "assent.toml").rename(stage.root / "kept.toml")
    stage.things["waiting"] = _called(stage, "io.fs.delete", {"path": "a.txt"})
    (stage.root / "kept.toml").rename(stage.workspace / "assent.toml")


def _called(stage: Stage, capability: str, parameters: Mapping[str, Json]) -> str:
    settings = Settings.resolve(workspace=stage.workspace, environ=stage.env, cwd=stage.workspace)

    async def called() -> str:
        async with Runtime(settings) as runtime:
            return (await runtime.call(capability, parameters)).run_id

    with ThreadPoolExecutor(1) as pool:  # the test has a loop of its own
        return pool.submit(lambda: asyncio.run(called())).result()


def held(stage: Stage) -> object:
    """How many payloads stand of the run that has ended, and their bytes."""
    with open_reader(stage.workspace / ".assent") as journal:
        leaves = journal.run_leaves(stage.things["ended"])
        return journal.weigh(commitment for leaf in leaves for commitment in leaf.event.commitments())


def of(name: str) -> Inputs:
    def inputs(stage: Stage) -> Mapping[str, Json]:
        return {"runs": [stage.things[name]], "compact": True}

    return inputs


CASES = (
    Case(
        "assent.erase",
        inputs=of("ended"),
        files={"a.txt": "one\n"},
        arrange=ended,
        observe=held,
        bad=[{"runs": ["a run"]}, {"plans": ["run_1"]}],
        escapes=[
            Escape(of("waiting"), "RUN_UNFINISHED", waiting),
            Escape({"runs": [_UNKNOWN]}, "RUN_UNKNOWN"),
            Escape({"plans": ["plan_00000000000000000000000000"]}, "PLAN_UNKNOWN"),
            Escape({}, "INVALID_INPUT"),
        ],
        without={Cell.TIMEOUT: "each run is erased in one transaction"},
    ),
)
