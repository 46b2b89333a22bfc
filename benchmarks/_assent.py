"""Assent through its own public runtime: validated, gated by the built-in policy, journaled, hashed and signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

from benchmarks._contender import STEPS, Evidence, Load

WORKFLOW = {
    "name": "five_steps",
    "version": "1.0.0",
    "steps": [{"name": f"step_{number}", "capability": "sys.noop"} for number in range(1, STEPS + 1)],
}
READS = {
    "name": "five_reads",
    "version": "1.0.0",
    "steps": [
        {"name": f"read_{number}", "capability": "io.fs.exists", "inputs": {"path": "file.txt"}}
        for number in range(1, STEPS + 1)
    ],
}


def assent(folder: Path, concurrency: int) -> AbstractAsyncContextManager[Load]:
    """Five steps, of which each might have had an effect: what the peers do."""
    return _open(folder, concurrency, WORKFLOW)


def assent_reads(folder: Path, concurrency: int) -> AbstractAsyncContextManager[Load]:
    """Five looks at a file: what agents do most. No peer tells reading from acting."""
    return _open(folder, concurrency, READS)


@asynccontextmanager
async def _open(folder: Path, concurrency: int, document: dict[str, Any]) -> AsyncIterator[Load]:
    """One open runtime; the workflow is parsed once, as the peers define theirs once."""
    del concurrency
    from assent import Runtime
    from assent.spec import WorkflowSpec

    workspace = folder / "workspace"
    state = folder / "state"
    workspace.mkdir()
    (workspace / "file.txt").write_text("something to look at", encoding="utf-8")
    workflow = WorkflowSpec.from_dict(document)
    async with Runtime.open(workspace=workspace, state=state) as runtime:

        async def once() -> None:
            result = await runtime.run(workflow)
            assert result.status == "succeeded"

        yield Load(
            Evidence(state / "ledger.db", "SELECT count(*) FROM steps WHERE status = 'succeeded'", STEPS),
            "WAL, synchronous=FULL, the built-in policy, everything as shipped",
            in_task=once,
        )
