"""The record of runs as `assent.erase` has it: what stands to be erased of each, and its erasure with all that belongs to it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from assent.engine import Driver, RunRecord, fold, load_json, outline, require_ended, to_take_back
from assent.journal import at_once
from assent.runtime._find_run import unknown_run
from assent.runtime._ledger import LedgerReader, reading
from assent.spec.ids import RunId
from assent.spec.states import RunState

if TYPE_CHECKING:
    from pathlib import Path

    from assent.capabilities.record import Held, Records
    from assent.journal import Journal
    from assent.runtime.runs._deliveries import Deliveries
    from assent.runtime.runs._saved_plans import PlanStore


class RunRecords:
    """Looks at the record beside whoever owns it, and so also for a plan; erasing is for the owner, once it is open."""

    def __init__(self, state: Path, plans: PlanStore, deliveries: Deliveries) -> None:
        self._state = state
        self._plans = plans
        self._deliveries = deliveries
        self._driver: Driver | None = None
        self._journal: Journal | None = None

    def open(self, driver: Driver, journal: Journal) -> None:
        """Runs can be erased from now on."""
        self._driver, self._journal = driver, journal

    def offered(self) -> Records:
        """The same for `assent.erase`."""
        from assent.capabilities.record import Records  # for who erases

        return Records(self.held, self.erase, self.compact)

    def held(self, runs: Sequence[str]) -> list[Held]:
        """What each holds, in that order."""
        with reading(self._state) as journal:
            if journal is None and runs:
                raise unknown_run(runs[0])
            return [_held(journal, RunId(run)) for run in runs if journal is not None]

    async def erase(self, run: str, act: str) -> None:
        """Erase a run; the saved plan that it came from first, because that holds the same inputs: it can be tried again."""
        assert self._driver is not None  # INVARIANT: a call is executed only where the runtime is open
        record = (await self._driver.look(RunId(run))).record
        require_ended(record)
        if record.created.plan is not None:
            self._plans.discard(record.created.plan)
        await self._deliveries.forget(run)
        await self._driver.erase(RunId(run), RunId(act))

    async def compact(self) -> int:
        """Give back the room of what was erased; how many bytes."""
        assert self._journal is not None  # INVARIANT: as for `erase`
        return await self._journal.compact()


def _held(journal: LedgerReader, run: RunId) -> Held:
    from assent.capabilities.record import Held  # for who erases

    record: RunRecord | None = None
    leaves = journal.run_leaves(run)
    for leaf in leaves:
        record = fold(record, leaf)
    if record is None:
        raise unknown_run(run)
    require_ended(record)
    bound = dict.fromkeys(commitment for leaf in leaves for commitment in leaf.event.commitments())
    payloads, size = journal.weigh(bound)
    return Held(
        run=run,
        what=record.created.workflow or _called(journal, record),
        status=record.state.value,
        events=record.n,
        payloads=payloads,
        bytes=size,
        undoable=bool(payloads) and record.state is RunState.SUCCEEDED and bool(to_take_back(record)),
    )


def _called(journal: LedgerReader, record: RunRecord) -> str:
    """What a run without a workflow called; a session by that name."""
    document = at_once(load_json(journal, record.created.document))
    planned = outline(document).values() if isinstance(document, dict) else ()
    return next(
        (str(step.capability) for step in planned), record.created.mode.value if document else "erased"
    )
