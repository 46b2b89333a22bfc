"""A daemon begins the runs of schedules, and is told of them over HTTP."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.support.patience import PATIENCE_S
from tests.support.serving import Serving, told_of

STEP = {
    "name": "write",
    "capability": "io.fs.write_file",
    "inputs": {"path": "a.txt", "content": "${{ inputs.text }}"},
}
WORKFLOW = {"name": "nightly", "inputs": {"text": {"type": "string"}}, "steps": [STEP]}
ADD = {"name": "nightly", "workflow": WORKFLOW, "inputs": {"text": "hi"}, "every": "1s"}


async def test_a_schedule_is_added_shown_paused_and_removed(served: Serving, root: Path) -> None:
    added = await served.http.post("/v1/schedules", json=ADD)
    assert (added.status_code, added.json()["status"]) == (200, "succeeded")
    shown = added.json()
    async with asyncio.timeout(PATIENCE_S):
        while shown.get("last_status") != "succeeded":  # a door is asked, as a program would
            await asyncio.sleep(0.05)
            (shown,) = (await served.http.get("/v1/schedules")).json()
    run = (await served.http.get(f"/v1/runs/{shown['last_run_id']}")).json()
    assert (run["workflow"], (root / "a.txt").read_text()) == ("nightly", "hi")
    assert (await served.http.post("/v1/schedules/nightly/pause", json={})).status_code == 200
    assert (await served.http.get("/v1/schedules/nightly")).json()["ticks"] == []
    again = await served.http.post("/v1/schedules", json=ADD)
    assert again.json()["error"]["code"] == "SCHEDULE_EXISTS"
    assert (await served.http.delete("/v1/schedules/nightly")).status_code == 200
    unknown = told_of(await served.http.get("/v1/schedules/nightly"))
    assert (unknown["status"], unknown["error"]["code"]) == (404, "SCHEDULE_UNKNOWN")
    assert (await served.http.get("/v1/schedules")).json() == []


async def test_while_it_drains_ticks_are_left_to_the_next_owner(served: Serving) -> None:
    """Nothing failed, and the next owner begins it: so no warning says that the tick began no run."""
    assert (await served.http.post("/v1/schedules", json=ADD)).status_code == 200
    sleep = {"capability": "sys.sleep", "parameters": {"seconds": 2.2}}
    going = await served.http.post("/v1/calls", json=sleep, headers={"prefer": "respond-async"})
    assert going.status_code == 202
    served.told.stop.set()
    await asyncio.sleep(2.4)  # a tick and more; the fixture waits for the rest
    assert "draining: nothing more is begun" in served.notes
    assert [note for note in served.notes if "tick" in note] == []
