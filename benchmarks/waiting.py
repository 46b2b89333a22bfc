"""What runs that wait for a time cost the next owner: how long until it is ready, and what each takes of its memory.

    python -m benchmarks.waiting [--quick] [--json FILE]

One run waits; copies of it are appended to its ledger, as in `growth`. Then a runtime is opened, which learns of all of them.
"""

from __future__ import annotations

import asyncio
import os
import time
import tracemalloc
from pathlib import Path

from assent import Runtime
from assent.engine.waiting import _timers
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show
from benchmarks.growth import grow

READY_S_MAX = 3.0
BYTES_MAX = 20_000


def measure(folder: Path, *, quick: bool) -> Part:
    """Make the ledger, then open it twice: once for the time, once for the memory."""
    count = 1_000 if quick else 10_000
    os.environ["ASSENT_LEDGER_KEY"] = str(folder / "ledger.key")
    workspace = folder / "waiting"
    workspace.mkdir()
    asyncio.run(_wait(workspace))
    asyncio.run(grow(workspace / ".assent", folder / "ledger.key", count - 1))
    ready_s, cpu_s = asyncio.run(_open(workspace))
    tracemalloc.start()
    asyncio.run(_open(workspace))
    each = _Held.bytes / count
    tracemalloc.stop()
    show(
        f"{count} waiting runs",
        ["ready: s", "CPU: s", "bytes each"],
        [[*map(number, (ready_s, cpu_s, each))]],
    )
    targets = [
        Target(f"{count} waiting runs: ready, s", ready_s, READY_S_MAX, at_least=False),
        Target("a waiting run: bytes", each, BYTES_MAX, at_least=False),
    ]
    return Part("waiting", {"count": count, "ready_s": ready_s, "cpu_s": cpu_s, "bytes": each}, targets)


class _Held:
    bytes = 0


async def _wait(workspace: Path) -> None:
    async with Runtime.open(workspace=workspace) as rt:
        result = await rt.run({"name": "waits", "steps": [{"name": "day", "wait": "24h"}]})
        assert result.status == "waiting"


async def _open(workspace: Path) -> tuple[float, float]:
    began, worked = time.perf_counter(), time.process_time()
    async with Runtime.open(workspace=workspace):
        taken = time.perf_counter() - began, time.process_time() - worked
        if tracemalloc.is_tracing():
            mine = tracemalloc.take_snapshot().filter_traces([tracemalloc.Filter(True, _timers.__file__)])
            _Held.bytes = sum(one.size for one in mine.statistics("filename"))
    return taken


if __name__ == "__main__":
    run_part(measure, __doc__)
