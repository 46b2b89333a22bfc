"""The record as `assent.erase` has it: what stands to be erased of a run or a plan, and its erasure with all that is its own."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Self

from assent.engine import (
    Driver,
    RunRecord,
    fold,
    is_undoable,
    load_json,
    outline,
    require_ended,
    to_take_back,
)
from assent.errors import InputError
from assent.journal import at_once, rows_at_once
from assent.runtime._find_run import state_of, unknown_run
from assent.runtime._ledger import LedgerReader, each_of_no_run, reading
from assent.runtime.runs._saved_plans import unknown_plan
from assent.spec.events.kinds import PayloadErased
from assent.spec.ids import PlanId, RunId

if TYPE_CHECKING:
    from pathlib import Path

    from assent.capabilities.record import Held, Records
    from assent.journal import Journal, JournalReader
    from assent.runtime.runs._deliveries import Deliveries
    from assent.runtime.runs._findings import FindingsStore
    from assent.runtime.runs._saved_plans import PlanStore
    from assent.runtime.runs._schedules import ScheduleRecords
    from assent.spec.events.kinds import Leaf


class RunRecords:
    """Looks at the record beside whoever owns it, and so also for a plan; erasing is for the owner, once it is open."""

    def __init__(
        self,
        state: Path,
        plans: PlanStore,
        deliveries: Deliveries,
        schedules: ScheduleRecords,
        findings: FindingsStore,
    ) -> None:
        self._state = state
        self._findings = findings
        self._has_findings = False
        self._plans = plans
        self._deliveries = deliveries
        self._schedules = schedules
        self._driver: Driver | None = None
        self._journal: Journal | None = None

    def open(self, driver: Driver, journal: Journal) -> None:
        """Runs can be erased from now on."""
        self._driver, self._journal = driver, journal

    def offered(self) -> Records:
        """The same for `assent.erase`."""
        from assent.capabilities.record import Records  # for who erases

        return Records(self.held, self.erase_run, self.erase_plan, self.forget, self.compact)

    def held(self, runs: Sequence[str], plans: Sequence[str]) -> list[Held]:
        """What each of these runs, and then of these plans, holds."""
        if not runs and not plans:
            raise InputError(
                "INVALID_INPUT", "neither a run nor a plan is named", hint="name at least one to erase"
            )
        with reading(self._state) as journal:
            return [
                *(self._held_by_run(journal, RunId(run)) for run in runs),
                *(self._held_by_plan(journal, PlanId(plan)) for plan in plans),
            ]

    async def erase_run(self, run: str, act: str) -> None:
        """Erase a run; the saved plan that it came from first, because that holds the same inputs: it can be tried again."""
        assert self._driver is not None  # INVARIANT: a call is executed only where the runtime is open
        assert self._journal is not None
        record = (await self._driver.look(RunId(run))).record
        require_ended(record)
        if record.created.plan is not None:
            self._plans.discard(record.created.plan)
        await self._deliveries.forget(run)
        await self._schedules.forget(RunId(run), RunId(act))
        await self._driver.erase(RunId(run), RunId(act))
        self._has_findings |= self._findings.is_of(self._journal, run)

    async def erase_plan(self, plan: str, act: str) -> None:
        """Erase a plan and what it has read; nobody runs it meanwhile."""
        assert self._driver is not None  # INVARIANT: as for `erase_run`
        assert self._journal is not None
        with self._plans.claimed(plan):
            _require_unused(self._journal, PlanId(plan))
            self._plans.discard(plan)
            await self._driver.erase_reads(PlanId(plan), RunId(act))

    async def forget(self) -> None:
        """See to it that what was erased stands nowhere else either."""
        assert self._journal is not None  # INVARIANT: as for `erase_run`
        if self._has_findings:
            await asyncio.to_thread(self._findings.forget)
            self._has_findings = False
        await self._journal.forget()

    async def compact(self) -> int:
        """Give back the room of what was erased; how many bytes."""
        assert self._journal is not None  # INVARIANT: as for `erase_run`
        return await self._journal.compact()

    def _held_by_run(self, journal: LedgerReader | None, run: RunId) -> Held:
        from assent.capabilities.record import Held  # for who erases

        record: RunRecord | None = None
        leaves = () if journal is None else journal.run_leaves(run)
        for leaf in leaves:
            record = fold(record, leaf)
        if journal is None or record is None:
            raise unknown_run(run)
        require_ended(record)
        plan = record.created.plan
        saved = None if plan is None else self._plans.look(plan)
        payloads, size = _weigh(journal, leaves, () if plan is None else journal.run_leaves(RunId(plan)))
        return Held(
            ident=run,
            what=record.created.workflow or _called(journal, record),
            status=record.state.value,
            events=record.n,
            payloads=payloads,
            bytes=size + (0 if saved is None else saved[1]),
            undoable=bool(payloads)
            and is_undoable(record)
            and bool(to_take_back(record, reversible_only=True)),
        )

    def _held_by_plan(self, journal: LedgerReader | None, plan: PlanId) -> Held:
        from assent.capabilities.record import Held  # for who erases

        leaves = () if journal is None else journal.run_leaves(RunId(plan))
        saved = self._plans.look(plan)
        if saved is None and not leaves:
            raise unknown_plan(plan)
        payloads, size = 0, 0
        if journal is not None:
            _require_unused(journal, plan)
            payloads, size = _weigh(journal, leaves)
        what, kept = saved or ("", 0)
        return Held(
            ident=plan,
            what=what or "a plan",
            status="never run",
            events=len(leaves),
            payloads=payloads,
            bytes=size + kept,
            undoable=False,
        )


class Prunable(NamedTuple):
    """Ended runs and plans never run that hold something, the oldest first; and the states of runs that have not ended."""

    runs: list[str]
    plans: list[str]
    left: dict[str, str]

    @classmethod
    def before(
        cls, before_ms: int, journal: LedgerReader | None, store: PlanStore, needed: frozenset[str]
    ) -> Self:
        """Those of which nothing was recorded since then, but the runs that findings are folded from (`needed`)."""
        last_ms: dict[str, int] = dict(store.ids())
        if journal is None:
            return cls([], [plan for plan in sorted(last_ms) if last_ms[plan] < before_ms], {})
        erased = {
            leaf.event.target: leaf
            for leaf in each_of_no_run(journal)
            if isinstance(leaf.event, PayloadErased)
        }
        for leaf in journal.newest_of("plan_"):
            assert leaf.run is not None  # INVARIANT: it is a stream's
            if leaf.run not in erased or erased[leaf.run].seq < leaf.seq:
                last_ms[leaf.run] = leaf.at_ms
        ended, left = dict[str, int](), dict[str, str]()
        for row in rows_at_once(journal, "runs"):
            run, at_ms = RunId(str(row["run_id"])), int(row["updated_at_ms"] or 0)
            last_ms.pop(str(row["plan_id"]), None)
            if at_ms >= before_ms or run in needed:
                continue
            if not state_of(row).is_finished:
                left[run] = str(row["status"])
            # What an erased run said later, it said of an end that nothing is kept of.
            elif run not in erased or erased[run].at_ms < at_ms:
                ended[run] = at_ms
        plans = [plan for plan, at_ms in last_ms.items() if at_ms < before_ms]
        return cls(sorted(ended, key=ended.__getitem__), sorted(plans), left)


def _weigh(journal: LedgerReader, *streams: Sequence[Leaf]) -> tuple[int, int]:
    events = (leaf.event for leaves in streams for leaf in leaves)
    return journal.weigh(dict.fromkeys(commitment for event in events for commitment in event.commitments()))


def _require_unused(journal: JournalReader, plan: PlanId) -> None:
    """Raise PLAN_USED for a plan that is a run's: what it has read is erased with that."""
    rows = at_once(journal.rows("runs", {"plan_id": plan}, limit=1))
    if rows:
        raise InputError(
            "PLAN_USED",
            f"plan `{plan}` was run, as `{rows[0]['run_id']}`, and is erased with that run",
            hint=f"`assent audit erase {rows[0]['run_id']}`",
        )


def _called(journal: LedgerReader, record: RunRecord) -> str:
    """What a run without a workflow called; a session by that name."""
    document = at_once(load_json(journal, record.created.document))
    planned = outline(document).values() if isinstance(document, dict) else ()
    return next(
        (str(step.capability) for step in planned), record.created.mode.value if document else "erased"
    )
