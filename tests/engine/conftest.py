"""A place of its own for every test of the engine, and a fixture that replays every run when its runtime closes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from assent.errors import WorldError
from assent.journal import rows_at_once
from assent.spec.ids import RunId
from tests.support.bodies import Bench, Place


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A workspace, a state directory and a box of values."""
    return Place(tmp_path)


@pytest.fixture
def every_run_replays_equal(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a test does to a run, a replay of it comes to the same, under the same policy and with the same handlers."""
    close = Bench.close

    async def replaying(bench: Bench) -> None:
        if bench._core._services is not None:
            for row in rows_at_once(bench._core.ready.journal, "runs"):
                await _replay(bench, RunId(str(row["run_id"])))
        await close(bench)

    monkeypatch.setattr(Bench, "close", replaying)


async def _replay(bench: Bench, run: RunId) -> None:
    journal: Any = bench._core.ready.journal  # the store's own, which has a reader
    durable = journal.reader  # its owner learns of what is durable a moment later
    before = await durable.head()
    try:
        report = await bench.replay(run)
    except WorldError:  # Its data was erased.
        return
    assert await durable.head() == before, "a replay writes nothing"
    policies = {getattr(event, "policy", report.policy[1]) for event in bench.recorded(run)}
    is_same = policies == {report.policy[1]} and not report.capabilities and bench._core.gate.is_open
    was_shut = any(getattr(event, "code", None) == "POLICY_ERROR" for event in bench.recorded(run))
    if is_same and not was_shut:
        assert report.is_equal, report.to_json()
