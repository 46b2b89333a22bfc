"""How fast a draft is put to recorded calls, beside asking each call by itself: `python -m benchmarks.simulate`.

Every figure is CPU time of this process. The ledger is one that a runtime wrote: each call is a run of its own, so nothing
that was recorded is shared between two. "One by one" reads the run of each call, its inputs and what the gate was asked
with, and decides.
"""

from __future__ import annotations

import asyncio
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from assent import Runtime
from assent.errors import Json
from assent.journal import rows_at_once
from assent.policy import PolicyEngine
from assent.runtime._ledger import LedgerReader, open_reader
from assent.runtime.service._decisions import Decisions, simulated
from assent.spec.ids import RunId
from benchmarks.policy import report

CALLS = 4_000
TARGET_PER_S = 50_000
OTHERS: list[Json] = [
    {"id": f"other-{i}", "when": {"capability": f"other.group{i}.*"}, "decision": "DENY"} for i in range(100)
]
DRAFTS: dict[str, tuple[Json, float | None]] = {
    "100 rules by `when`": (
        {"id": "a", "when": {"operation_type": "READ"}, "decision": "DENY"},
        TARGET_PER_S,
    ),
    "the same and an `if` that reads an input": (
        {"id": "b", "if": 'inputs.path == "b.txt"', "decision": "DENY"},
        None,
    ),
}


def main() -> None:
    """Measure and print, one line per figure."""
    with tempfile.TemporaryDirectory() as folder:
        workspace = Path(folder)
        asyncio.run(write(workspace))
        with open_reader(workspace / ".assent") as reader:
            for title, (rule, target) in DRAFTS.items():
                engine = PolicyEngine.from_dict({"version": 1, "rules": [*OTHERS, rule]})
                alone = rate(one_by_one, reader, engine)
                together = max(rate(at_once, reader, engine) for _ in range(5))
                print(f"{title}, {CALLS:,} calls on record")
                report("one by one", alone, alone)
                report("simulate", together, alone, target)


async def write(workspace: Path) -> None:
    """A ledger of so many calls."""
    (workspace / "a.txt").write_text("content", encoding="utf-8")
    async with Runtime.open(workspace=workspace, policy=None) as runtime:
        for _ in range(CALLS // 50):
            calls = (runtime.call("io.fs.read_file", {"path": "a.txt"}) for _ in range(50))
            await asyncio.gather(*calls)


def one_by_one(reader: LedgerReader, engine: PolicyEngine) -> int:
    decisions = Decisions(reader)
    found = 0
    for row in rows_at_once(reader, "runs"):
        for answer in decisions.of_run(RunId(str(row["run_id"]))):
            question = decisions.question(answer, decisions.inputs(answer))
            assert not isinstance(question, str)
            engine.decide(question)
            found += 1
    return found


def at_once(reader: LedgerReader, engine: PolicyEngine) -> int:
    calls = simulated(reader, engine, 0)["calls"]
    assert isinstance(calls, int)
    return calls


def rate(
    work: Callable[[LedgerReader, PolicyEngine], int], reader: LedgerReader, engine: PolicyEngine
) -> float:
    began = time.process_time()
    found = work(reader, engine)
    assert found == CALLS
    return found / (time.process_time() - began)


if __name__ == "__main__":
    main()
