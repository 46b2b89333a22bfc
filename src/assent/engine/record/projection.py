"""The read models that follow from the events: rows for `runs`, `steps`, `approvals` and `waits`, made by the engine's own
fold, and those of capabilities (`_capability_rows.py`).

A projection holds no payload and no rule: a row is the record's state, written out in the columns of the journal's schema. The
live journal gets the rows of the steps that a batch touched; `RunProjector.replay` makes all of them again from the events
alone, and both must be equal.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from assent.engine.record._capability_rows import CapabilityRows
from assent.engine.record._record import (
    KEY_STEP,
    RUN_STEP,
    UNDO_STEP,
    ApprovalRecord,
    RunRecord,
    StepRecord,
    begin,
    evolve,
)
from assent.errors import InternalError
from assent.journal import PROJECTION_KEYS, PROJECTIONS
from assent.journal.ports import Row
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.states import StepState

KEY_KIND: Final = "turn"
"""The kind of what is waited for that is a concurrency key."""


def changed_rows(record: RunRecord) -> tuple[Row, ...]:
    """The rows of everything that changed since the last call."""
    rows = [_run_row(record)]
    if record.created.request is not None:
        rows.append(Row("run_requests", (record.run,), (record.run, record.created.request)))
    if record.ends_at_ms is not None:
        status = "waiting" if record.is_going_forward else "over"
        limit = (record.run, RUN_STEP, "limit", None, status, record.limited_from_ms, record.ends_at_ms)
        rows.append(Row("waits", (record.run, RUN_STEP), limit))
    if record.created.concurrency_key is not None:
        rows.append(_key_row(record, record.created.concurrency_key))
    rows += [_approval_row(record, approval) for approval in record.settled_approvals]
    record.settled_approvals.clear()
    for key in sorted(record.dirty):
        if key == UNDO_STEP:
            if record.undo is not None and record.undo.approval is not None:
                rows.append(_approval_row(record, record.undo.approval))
            continue
        step = record.steps[key]
        rows.append(_step_row(record, step))
        if step.approval is not None:
            rows.append(_approval_row(record, step.approval))
        if step.wait is not None:
            rows.append(_wait_row(record, step, step.wait))
    record.dirty.clear()
    return tuple(rows)


class RunProjector:
    """The `Projector` of the journal's port."""

    tables: Mapping[str, Sequence[str]] = PROJECTIONS
    keys: Mapping[str, int] = PROJECTION_KEYS

    def replay(self, leaves: Iterable[ev.Leaf]) -> Iterator[Row]:
        """The rows that a live journal would hold after these leaves, each key once."""
        records: dict[RunId, RunRecord] = {}
        rows: dict[tuple[object, ...], Row] = {}
        capabilities = CapabilityRows()
        for leaf in leaves:
            if isinstance(leaf.event, ev.NO_RUN):
                continue
            if leaf.run is None:
                for row in capabilities.apply(leaf.event, leaf.at_ms):
                    rows[(row.table, *row.key)] = row
                continue
            record = fold(records.get(leaf.run), leaf)
            assert record is not None, "every entry of a run makes or changes its record"
            records[record.run] = record
        # A row is the record's state, so that only the last one of each key has to be made.
        for record in records.values():
            for row in changed_rows(record):
                rows[(row.table, *row.key)] = row
        yield from rows.values()


def fold(record: RunRecord | None, leaf: ev.Leaf) -> RunRecord | None:
    """The record after one more leaf; None for leaves that belong to no run."""
    if leaf.run is None or isinstance(leaf.event, ev.NO_RUN):
        return None
    if record is None:
        if not isinstance(leaf.event, ev.RunCreated):
            raise InternalError("ILLEGAL_TRANSITION", f"run `{leaf.run}` begins with `{leaf.event.kind}`")
        return begin(leaf.run, leaf.event, leaf.at_ms)
    evolve(record, leaf.event, leaf.at_ms)
    return record


# `_value_` and not `value` in the two below: on Python 3.11 the latter is two calls, and each event writes some of these rows.


def _run_row(record: RunRecord) -> Row:
    return Row(
        "runs",
        (record.run,),
        (
            record.run,
            record.created.workflow,
            record.created.mode._value_,
            record.state._value_,
            record.created.principal,
            record.failure_code,
            record.started_at_ms,
            record.updated_at_ms,
            record.n,
            record.created.plan,
        ),
    )


def _step_row(record: RunRecord, step: StepRecord) -> Row:
    return Row(
        "steps",
        (record.run, step.key),
        (
            record.run,
            step.key,
            step.position,
            step.capability,
            step.version,
            step.state._value_,
            step.risk,
            step.decision,
            step.rule,
            step.attempt,
            step.effect._value_,
            step.code,
        ),
    )


def _wait_row(record: RunRecord, step: StepRecord, wait: ev.WaitStarted) -> Row:
    kind = "time" if wait.signal is None else "signal"
    status = "waiting" if step.state is StepState.WAITING else "over"
    values = (record.run, step.key, kind, wait.signal, status, step.waiting_since_ms, wait.due_ms)
    return Row("waits", (record.run, step.key), values)


def _key_row(record: RunRecord, name: str) -> Row:
    values = (record.run, KEY_STEP, KEY_KIND, name, key_state(record), record.started_at_ms, None)
    return Row("waits", (record.run, KEY_STEP), values)


def key_state(record: RunRecord) -> str:
    """How a run stands to its concurrency key: `waiting`, `held` or `over`.

    Whoever has begun and not ended has it, whatever it waits for; one that is being undone has it again. One that may not have
    it never waits for it.
    """
    if record.state.is_finished or record.created.key_denial is not None:
        return "over"
    return "held" if record.has_begun else "waiting"


def _approval_row(record: RunRecord, approval: ApprovalRecord) -> Row:
    request = approval.request
    return Row(
        "approvals",
        (record.run, request.step, request.digest),
        (
            record.run,
            request.step,
            request.digest,
            approval.status,
            request.capability,
            request.risk,
            request.rule,
            request.requester,
            approval.requested_at_ms,
            request.expires_at_ms,
            approval.decided_at_ms,
        ),
    )
