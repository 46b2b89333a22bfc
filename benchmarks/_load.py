"""One measured process: opens a contender, warms it up, keeps it busy for a while, and writes down what that cost.

python -m benchmarks._load CONTENDER --concurrency 64 --seconds 3 --folder DIR --out FILE
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks._assent import assent, assent_reads
from benchmarks._contender import Contender, Evidence, Load
from benchmarks._dbos import dbos
from benchmarks._langgraph import langgraph_async, langgraph_sync
from benchmarks._measure import cpu_s, peak_memory_kib, percentile
from benchmarks._raw import raw_sqlite
from benchmarks._syncs import syncs_so_far

CONTENDERS: dict[str, Contender] = {
    "raw sqlite": raw_sqlite,
    "assent": assent,
    "assent, five reads": assent_reads,
    "dbos": dbos(wal=False),
    "dbos, wal": dbos(wal=True),
    "dbos, wal, pool 1": dbos(wal=True, pool_size=1),
    "langgraph async": langgraph_async,
    "langgraph sync": langgraph_sync,
}

PEERS = tuple(name for name in CONTENDERS if name not in ("raw sqlite", "assent", "assent, five reads"))

WARM_UP_SHARE = 0.25
"""Warm-up, as a share of the measured time."""


@dataclass(frozen=True, slots=True)
class Window:
    """What one process measured."""

    contender: str
    concurrency: int
    settings: str
    workflows: int
    per_s: float
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    """Processor time per workflow, all threads."""
    syncs: float | None
    """Waits for the disk per workflow; None where they could not be counted."""
    cold_ms: float
    """From the start of the process to the end of its first workflow, imports and the new database included."""
    peak_mib: float


def main() -> None:
    """Measure and write the window to a file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument(
        "--started-ns", type=int, default=time.monotonic_ns(), help="when this process was started"
    )
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    window = asyncio.run(
        _measure(given.contender, given.concurrency, given.seconds, given.folder, given.started_ns)
    )
    text = json.dumps(asdict(window))
    if given.out is None:
        print(text)
    else:
        given.out.write_text(text, encoding="utf-8")


async def _measure(name: str, concurrency: int, seconds: float, folder: Path, started_ns: int) -> Window:
    async with CONTENDERS[name](folder, concurrency) as load:
        done = await _work(load, 1, 0.0)
        cold_ms = (time.monotonic_ns() - started_ns) / 1e6
        workers = concurrency if load.per_call == 1 else 1
        done += await _work(load, workers, seconds * WARM_UP_SHARE)
        syncs, cpu, begun = syncs_so_far(), cpu_s(), time.perf_counter()
        latencies = await _work(load, workers, seconds)
        elapsed, cpu, syncs_after = time.perf_counter() - begun, cpu_s() - cpu, syncs_so_far()
        peak = peak_memory_kib()
    _check(load.evidence, (len(done) + len(latencies)) * load.per_call)
    latencies.sort()
    count = len(latencies) * load.per_call
    return Window(
        contender=name,
        concurrency=concurrency,
        settings=load.settings,
        workflows=count,
        per_s=count / elapsed,
        p50_ms=percentile(latencies, 0.5) * 1e3,
        p99_ms=percentile(latencies, 0.99) * 1e3,
        cpu_ms=cpu / count * 1e3,
        syncs=None if syncs is None or syncs_after is None else (syncs_after - syncs) / count,
        cold_ms=cold_ms,
        peak_mib=peak / 1024,
    )


async def _work(load: Load, workers: int, seconds: float) -> list[float]:
    """Keep this many workers busy, each with at least one call; how long each call took, in seconds."""
    latencies: list[float] = []
    until = time.perf_counter() + seconds

    def note(begun: float) -> bool:
        now = time.perf_counter()
        latencies.append(now - begun)
        return now < until

    if load.in_task is not None:
        call = load.in_task

        async def task() -> None:
            while True:
                begun = time.perf_counter()
                await call()
                if not note(begun):
                    return

        await asyncio.gather(*(task() for _ in range(workers)))
        return latencies

    assert load.in_thread is not None
    blocking = load.in_thread
    faults: list[BaseException] = []

    def thread() -> None:
        try:
            while True:
                begun = time.perf_counter()
                blocking()
                if not note(begun):
                    return
        except BaseException as fault:  # noqa: BLE001  # raised again by the thread that waits for this one
            faults.append(fault)

    if load.per_call > 1 or workers == 1:
        thread()
    else:
        threads = [threading.Thread(target=thread) for _ in range(workers)]
        for each in threads:
            each.start()
        for each in threads:
            each.join()
    if faults:
        raise faults[0]
    return latencies


def _check(evidence: Evidence, workflows: int) -> None:
    """Refuse a figure whose work is not on the disk."""
    with closing(sqlite3.connect(evidence.database)) as connection:
        (found,) = connection.execute(evidence.count).fetchone()
    expected = workflows * evidence.per_workflow
    if found != expected:
        raise SystemExit(
            f"{found} records on the disk, {expected} expected: this figure would be worth nothing"
        )


if __name__ == "__main__":
    main()
