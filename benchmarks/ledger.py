"""What the record costs: appending to it, and verifying all of it, beside hashing the same bytes and nothing else.

    python -m benchmarks.ledger [--quick] [--json FILE]

The ledger is not made up: it is what real runs at concurrency 64 wrote. Verification runs in the process that was measured,
repeatedly, and is compared with one `sha256` over each stored leaf or payload, read from the same file in the same order.
"""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from contextlib import closing
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from statistics import median

from benchmarks._assent import WORKFLOW
from benchmarks._part import Part, run_part
from benchmarks._table import Target, number, show

CONCURRENCY = 64


@dataclass(frozen=True, slots=True)
class Written:
    """What the runs left, and what writing it cost."""

    events: int
    payloads: int
    leaf_bytes: int
    payload_bytes: int
    file_bytes: int
    writer_cpu_s: float | None
    """Processor seconds of the ledger's own thread; None where the system does not tell."""


def measure(folder: Path, *, quick: bool) -> Part:
    """Write a ledger by real runs, then verify it."""
    workflows, repetitions = (300, 3) if quick else (3_000, 7)
    workspace, state = folder / "workspace", folder / "state"
    workspace.mkdir()
    key = (
        folder / "ledger.key"
    )  # Beside the ledger for once: it goes with the folder, and nothing of the user's is touched.
    written = asyncio.run(_write(workspace, state, key, workflows))
    verified = _verify(state / "ledger.db", key, repetitions)
    hashed = _hash_alone(state / "ledger.db", repetitions)
    events = written.events
    per_s = {name: events / seconds for name, seconds in verified.items()}
    base = {name: events / seconds for name, seconds in hashed.items()}
    print(
        f"\nthe ledger of {workflows} five-step workflows at {CONCURRENCY}: {events} events, {written.payloads} payloads"
    )
    show(
        "bytes per event, as stored",
        ["what", "bytes"],
        [
            ["leaf", number(written.leaf_bytes / events)],
            ["payloads", number(written.payload_bytes / events)],
            ["file", number(written.file_bytes / events)],
        ],
    )
    append_us = None if written.writer_cpu_s is None else written.writer_cpu_s / events * 1e6
    hash_us = (hashed["leaves"] + hashed["payloads"]) / events * 1e6
    show(
        "append: CPU of the ledger's thread (encode, hash, tree, sign, SQLite) beside sha256 of the same bytes",
        ["what", "µs per event", "x sha256"],
        [
            ["append", number(append_us), number(None if append_us is None else append_us / hash_us)],
            ["sha256, read and hash only", number(hash_us), "1"],
        ],
    )
    show(
        f"verify: events per CPU second, medians of {repetitions}",
        ["what", "events per s", "sha256 alone", "ratio"],
        [
            [
                "leaves, tree, signatures",
                number(per_s["record"]),
                number(base["leaves"]),
                number(per_s["record"] / base["leaves"]),
            ],
            [
                "payloads, projections",
                number(per_s["contents"]),
                number(base["payloads"]),
                number(per_s["contents"] / base["payloads"]),
            ],
            ["structure of the file", number(per_s["file"]), "-", "-"],
        ],
    )
    targets = [
        Target(
            "verify leaves, tree, signatures: events per CPU second", per_s["record"], 300_000, at_least=True
        ),
        Target(
            "verify payloads, projections: events per CPU second", per_s["contents"], 60_000, at_least=True
        ),
    ]
    data = {
        "events": events,
        "verify_per_s": per_s,
        "sha256_per_s": base,
        "append_us": append_us,
        "sha256_us": hash_us,
    }
    return Part("ledger", data, targets)


async def _write(workspace: Path, state: Path, key: Path, workflows: int) -> Written:
    from assent import Runtime
    from assent.spec import WorkflowSpec

    workflow = WorkflowSpec.from_dict(WORKFLOW)
    (workspace / "assent.toml").write_text(f'[ledger]\nkey = "{key}"\n', encoding="utf-8")
    left = iter(range(workflows))
    async with Runtime.open(workspace=workspace, state=state) as runtime:

        async def work() -> None:
            for _ in left:
                result = await runtime.run(workflow)
                assert result.status == "succeeded"

        await asyncio.gather(*(work() for _ in range(CONCURRENCY)))
        writer_cpu_s = _thread_cpu_s("assent-ledger")
    with closing(sqlite3.connect(state / "ledger.db")) as connection:
        events, leaf_bytes = connection.execute("SELECT count(*), sum(length(leaf)) FROM events").fetchone()
        payloads, payload_bytes = connection.execute(
            "SELECT count(*), sum(length(body)) FROM payloads"
        ).fetchone()
    size = (state / "ledger.db").stat().st_size
    return Written(events, payloads, leaf_bytes, payload_bytes, size, writer_cpu_s)


def _thread_cpu_s(name: str) -> float | None:
    for thread in threading.enumerate():
        if thread.name == name:
            try:
                text = Path(f"/proc/self/task/{thread.native_id}/schedstat").read_text(encoding="ascii")
            except OSError:
                return None
            return int(text.split()[0]) / 1e9
    return None


def _verify(ledger: Path, key: Path, repetitions: int) -> dict[str, float]:
    """CPU seconds of each part of a verification, medians."""
    from assent.engine import RunProjector
    from assent.journal import Ed25519FileSigner, SqliteRecord, verifier_from_vkey, verify_ledger

    with SqliteRecord.open(ledger) as record:
        origin = next(record.checkpoints())[1].partition("\n")[0]
    keys = [verifier_from_vkey(Ed25519FileSigner.open(key).named(origin).vkey)]
    seconds: dict[str, list[float]] = {"file": [], "record": [], "contents": []}
    for _ in range(repetitions):
        report = verify_ledger(ledger, keys, projector=RunProjector(), cpu_s=time.process_time)
        assert report.is_good, report.faults
        assert report.seconds is not None
        for part, values in seconds.items():
            values.append(getattr(report.seconds, part))
    return {part: median(values) for part, values in seconds.items()}


def _hash_alone(ledger: Path, repetitions: int) -> dict[str, float]:
    """CPU seconds to read the same bytes and hash them once: what nobody could go below in Python."""
    queries = {
        "leaves": "SELECT leaf FROM events ORDER BY seq",
        "payloads": "SELECT body FROM payloads ORDER BY rowid",
    }
    seconds: dict[str, list[float]] = {name: [] for name in queries}
    with closing(sqlite3.connect(ledger)) as connection:
        for _ in range(repetitions):
            for name, query in queries.items():
                begun = time.process_time()
                for (data,) in connection.execute(query):
                    sha256(data).digest()
                seconds[name].append(time.process_time() - begun)
    return {name: median(values) for name, values in seconds.items()}


if __name__ == "__main__":
    run_part(measure, __doc__)
