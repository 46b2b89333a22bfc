"""A process that begins the runs of a schedule is killed wherever that can matter: each tick has one run in the end."""

from __future__ import annotations

from pathlib import Path

from assent.failpoints import VARIABLE
from assent.journal import rows_at_once
from assent.runtime._ledger import open_reader
from assent.runtime.service import process, requests
from tests.support.bodies import FakeClock, Place, policy, workflow
from tests.support.crashing import KILLED
from tests.support.nursery import Nursery

TICKS = 12

_LIVES = """
import asyncio, sys
from pathlib import Path
from assent.runtime.schedules import Scheduler
from tests.support.bodies import Place, policy

async def live():
    async with Place(Path(sys.argv[1]), policy=policy()).open(box=False) as rt:
        await rt.resume()
        scheduler = Scheduler(rt._core)
        await scheduler.start()
        while len(await rt._core.ready.journal.rows("run_requests", limit=99)) <= int(sys.argv[2]):
            await asyncio.sleep(0.01)
        await scheduler.close()
        await rt.resume()

asyncio.run(live())
"""

_STEP = {
    "name": "write",
    "capability": "io.fs.write_file",
    "inputs": {"path": "a.txt", "content": "x"},
}


async def test_a_process_killed_anywhere_leaves_each_tick_its_one_run(
    tmp_path: Path, nursery: Nursery, clean_env: dict[str, str], *, crash_complete: bool
) -> None:
    """They were missed, and are made up for one after the other; each process is killed a little later than the one before."""
    clock = FakeClock()
    clock.ms = -1000 * (TICKS + 1)
    place = Place(tmp_path, policy=policy(), clock=clock)
    async with place.open() as rt:
        await rt.add_schedule(workflow(_STEP), name="nightly", every="1s", missed="all")
    last = ("-c", _LIVES, str(tmp_path), str(TICKS))
    kills = 0
    for count in range(1, 120, 1 if crash_complete else 14):
        armed = {**clean_env, VARIABLE: f"any:{count}"}
        kills += nursery.run(*last, cwd=tmp_path, env=armed, kind="python").code == KILLED
    ended = nursery.run(*last, cwd=tmp_path, env=clean_env, kind="python")
    assert ended.code == 0, ended.err
    assert kills > 3
    settings = place.settings()
    with open_reader(settings.state) as journal:
        (schedule,) = rows_at_once(journal, "schedule_entries")
        began = {row["request"]: row["run_id"] for row in rows_at_once(journal, "run_requests")}
        statuses = {row["run_id"]: row["status"] for row in rows_at_once(journal, "runs")}
        runs = [row["run_id"] for row in rows_at_once(journal, "run_requests")]
    ticks = sorted(int(str(request).rpartition(":")[2]) for request in began)
    assert len(runs) == len(ticks) > TICKS
    assert [tick - ticks[0] for tick in ticks] == [1000 * n for n in range(len(ticks))]
    assert ticks[0] <= int(str(schedule["added_at_ms"])) + 1000
    assert {statuses[run] for run in runs} == {"succeeded"}
    report = process.perform(requests.VerifyLedger(), settings)
    assert report.ok, report.faults
