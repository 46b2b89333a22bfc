"""Assent through its own public runtime: validated, gated by the built-in policy, journaled, hashed and signed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from benchmarks._contender import STEPS, Evidence, Load

WORKFLOW = {
    "name": "five_steps",
    "version": "1.0.0",
    "steps": [{"name": f"step_{number}", "capability": "sys.noop"} for number in range(1, STEPS + 1)],
}


@asynccontextmanager
async def assent(folder: Path, concurrency: int) -> AsyncIterator[Load]:
    """One open runtime; the workflow is parsed once, as the peers define theirs once."""
    del concurrency
    from assent import Runtime
    from assent.spec import WorkflowSpec

    workspace = folder / "workspace"
    state = folder / "state"
    workspace.mkdir()
    workflow = WorkflowSpec.from_dict(WORKFLOW)
    async with Runtime.open(workspace=workspace, state=state) as runtime:

        async def once() -> None:
            result = await runtime.run(workflow)
            assert result.status == "succeeded"

        yield Load(
            Evidence(state / "ledger.db", "SELECT count(*) FROM steps WHERE status = 'succeeded'", STEPS),
            "WAL, synchronous=FULL, the built-in policy, everything as shipped",
            in_task=once,
        )
