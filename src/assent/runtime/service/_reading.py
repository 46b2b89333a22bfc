"""Looking back: the runs, approvals and ledger of a workspace, read beside a living owner or without one."""

from __future__ import annotations

import base64
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol, Self

import msgspec

from assent import engine, invocation
from assent import journal as ledgers
from assent.errors import AssentError, InputError, Json, RefusedError
from assent.journal import PAGE, Begins, OneOf, at_once, rows_at_once
from assent.journal.ports import Cell
from assent.runtime._find_run import (
    UNFINISHED,
    changed_row,
    find_run,
    get_run,
    state_of,
    undo_refusal,
    unknown_run,
)
from assent.runtime._ledger import LedgerReader, ledger_file, projections, raw_ledger, reading
from assent.runtime.service.answers import UnderWay
from assent.runtime.service.requests import Asker, principal_of
from assent.runtime.service.requests import UnderWay as AskUnderWay
from assent.runtime.settings.effective import Settings
from assent.spec.ids import (
    CALL_STEP,
    RUN_CAPABILITY,
    UNDO_CAPABILITY,
    RunId,
    StepKey,
    approval_id,
    plans_apart,
    request_of_step,
    step_of_request,
)
from assent.spec.states import Mode, RunState, StepState
from assent.spec.unkept_fields import is_marked, not_kept
from assent.spec.values.typed import decode
from assent.spec.words.durations import instant
from assent.system import SystemClock, cpu_seconds

if TYPE_CHECKING:
    from assent.engine import ApprovalRecord
    from assent.policy import PolicyEngine
    from assent.runtime.runs._schedule_list import Scene
    from assent.runtime.service._audit_log import Log
    from assent.runtime.service._told_steps import StepStory
    from assent.spec.events import kinds as ev

_MOVING: Final = frozenset(state.value for state in RunState if state.is_moving)
_MAY_MOVE: Final = _MOVING | {RunState.WAITING.value}
_NAMED_MAX: Final = 20
"""Steps that are named to somebody who asked for one that there is not."""

PRUNED_MAX: Final = 5_000
"""Runs and plans that are erased after one question: each of them is a line of it."""

_IDLE: Final = OneOf((*_MOVING, RunState.NEEDS_ATTENTION.value))
"""Where a run stands that nobody drives and that waits for no approval."""


class OwnerSays(Protocol):
    """What this process, which owns the state, says of runs."""

    def __call__(self, runs: Collection[str], *, texts: bool = False) -> UnderWay:
        """The answer to the request of that name."""
        ...


class Reader:
    """Reads the state of a workspace beside a living owner or without one; takes no lock, writes nothing."""

    def __init__(
        self,
        settings: Settings,
        journal: LedgerReader | None,
        owner_says: OwnerSays | None,
        by: Asker | None = None,
    ) -> None:
        self._settings = settings
        self._journal = journal
        self._owner_says = owner_says
        self._by = by

    @classmethod
    @contextmanager
    def open(
        cls, settings: Settings, owner_says: OwnerSays | None = None, by: Asker | None = None
    ) -> Iterator[Self]:
        """A reader for `by`; a workspace in which nothing was recorded yet reads as empty.

        With `owner_says` nobody else is asked.
        """
        with reading(settings.state) as journal:
            yield cls(settings, journal, owner_says, by)

    def runs(
        self, *, status: Collection[str] = (), limit: int | None = None, before: str | None = None
    ) -> list[dict[str, Json]]:
        """The newest `limit` runs, or all of them, oldest first; one that is a single call names its capability.

        Only those shown with one of these statuses, and only older ones than the run `before`: `RUN_UNKNOWN`, `RUN_AMBIGUOUS`.
        """
        where: dict[str, Cell | OneOf | Begins] = {}
        if status:
            # One that should move may be shown as interrupted.
            where["status"] = OneOf(tuple(_MAY_MOVE.union(status) if "interrupted" in status else {*status}))
        after: tuple[Cell, ...] | None = None
        if before is not None:
            after = (at_once(find_run(self._recorded(before), before)),)
        found: list[dict[str, Json]] = []
        while self._journal is not None and (limit is None or len(found) < limit):
            page = PAGE if limit is None else min(PAGE, limit - len(found))
            rows = at_once(self._journal.rows("runs", where, after=after, limit=page, newest_first=True))
            lines = self._run_lines(self._journal, rows)
            found += [line for line in lines if not status or line["status"] in status]
            if len(rows) < page:
                break
            after = (rows[-1]["run_id"],)
        return found[::-1]

    def _run_lines(self, journal: LedgerReader, rows: list[dict[str, Cell]]) -> list[dict[str, Json]]:
        calls = OneOf(tuple(str(row["run_id"]) for row in rows if _is_call(row)))
        called = rows_at_once(journal, "steps", {"run_id": calls, "step": CALL_STEP}) if calls.cells else ()
        capabilities: dict[Cell, Json] = {row["run_id"]: row["capability"] for row in called}
        for run in calls.cells:
            if capabilities.get(run) is None:  # It ended before a step knew of it.
                capabilities[run] = _asked_for(journal, RunId(str(run)))
        shown, stopped = self._looked_at({str(row["run_id"]): str(row["status"]) for row in rows})
        keys, sessions = self._keys_of(journal, rows), _sessions_of(journal, rows)
        return [
            {
                **self._run_line(row, shown, capabilities),
                "code": row["code"] or stopped.get(str(row["run_id"])),
                **keys.get(row["run_id"], {}),
                **_part_of(sessions.get(row["run_id"])),
            }
            for row in rows
        ]

    def _keys_of(self, journal: LedgerReader, rows: list[dict[str, Cell]]) -> dict[Cell, dict[str, Json]]:
        """The concurrency keys that runs have or wait for."""
        going_on = OneOf(tuple(str(row["run_id"]) for row in rows if row["status"] in UNFINISHED.cells))
        if not going_on.cells:
            return {}
        held = rows_at_once(journal, "waits", {"run_id": going_on, "kind": engine.KEY_KIND})
        runs = [RunId(str(row["run_id"])) for row in held]
        keys = {run: at_once(engine.key_text(run, journal)) for run in runs}
        return {run: {"concurrency_key": key} for run, key in keys.items() if key is not None}

    def _run_line(
        self, row: Mapping[str, Any], shown: Mapping[str, str], called: Mapping[Any, Any]
    ) -> dict[str, Json]:
        return {
            "run_id": row["run_id"],
            "workflow": row["workflow"],
            "capability": called.get(row["run_id"]) if _is_call(row) else None,
            "status": shown[row["run_id"]],
            "started_at": _instant_in(row, "started_at_ms"),
            "started_at_ms": row["started_at_ms"],
            "updated_at": _instant_in(row, "updated_at_ms"),
            "updated_at_ms": row["updated_at_ms"],
            "principal": row["principal"],
            "mode": row["mode"],
        }

    def _shown_statuses(self, stored: Mapping[str, str]) -> Mapping[str, str]:
        """How each run is shown."""
        return self._looked_at(stored)[0]

    def _looked_at(self, stored: Mapping[str, str]) -> tuple[dict[str, str], Mapping[str, str]]:
        """How each run is shown: as it stands, but `interrupted` where it should move and nobody drives it; and why, if known.

        One that waits should move, too, where something kept it from that when its time had come.
        """
        asked = tuple(run for run, status in stored.items() if status in _MAY_MOVE)
        if not asked:
            return {**stored}, {}
        said = self._owner_on(asked)
        driven = {*said.runs}
        undriven = {
            run for run in asked if run in said.stopped or (stored[run] in _MOVING and run not in driven)
        }
        # One that has moved since it was read was driven then: it may have ended before its owner was asked.
        now = self._stored(undriven)
        shown = {
            run: status
            if run not in undriven
            else "interrupted"
            if now.get(run, status) == status
            else now[run]
            for run, status in stored.items()
        }
        return shown, said.stopped

    def _stored(self, runs: Collection[str]) -> dict[str, str]:
        if not runs or self._journal is None:
            return {}
        rows = rows_at_once(self._journal, "runs", {"run_id": OneOf(tuple(sorted(runs)))})
        return {str(row["run_id"]): str(row["status"]) for row in rows}

    def _owner_on(self, runs: tuple[str, ...], *, texts: bool = False) -> UnderWay:
        """What the owner says of them; where it lives and does not say, that it drives all."""
        if self._owner_says is not None:
            return self._owner_says(runs, texts=texts)
        if not self.owner_alive():
            return UnderWay(runs=[])
        from assent.runtime.service._asking import OWNER_S_MAX, ask

        try:
            by = self._by if texts else None
            answer = ask(AskUnderWay(runs=runs, texts=texts), self._settings, by, within_s=OWNER_S_MAX)
        except AssentError:
            return UnderWay(runs=[*runs])
        return answer or UnderWay(runs=[])

    def owner_alive(self) -> bool:
        """Whether a process owns the state directory now."""
        from assent.journal import is_owned

        return is_owned(self._settings.state, runtime_dir=self._settings.runtime_dir())

    def unfinished(self) -> int:
        """How many runs have not ended and wait for `assent resume`; those that wait for a person or a time are not counted.

        A living owner drives all of them but those that need attention: these a person has to look at.
        """
        if self._journal is None:
            return 0
        # Every command asks, and most runs have ended: reading their rows too would cost more than the command itself.
        idle = [row["status"] for row in rows_at_once(self._journal, "runs", {"status": _IDLE})]
        return idle.count(RunState.NEEDS_ATTENTION.value) if idle and self.owner_alive() else len(idle)

    def count(self) -> int:
        """How many runs there are."""
        return 0 if self._journal is None else int(self._journal.select("SELECT count(*) FROM runs")[0][0])

    def backlog(self) -> dict[str, Json]:
        """How many runs have not ended, by status, how many approvals wait, and how large the record is."""
        assert self._journal is not None  # INVARIANT: an owner asks, and has made one
        open_now = [state.value for state in RunState if not state.is_finished]
        ledger = ledger_file(self._settings.state)
        files = ledger.parent.glob(f"{ledger.name}*")  # and what SQLite keeps beside it
        # Only what has not ended, by an index: most runs have, and this is asked again and again.
        marks = ", ".join("?" * len(open_now))
        sql = f"SELECT status, count(*) FROM runs WHERE status IN ({marks}) GROUP BY status"  # noqa: S608 - marks
        asked = self._journal.select("SELECT count(*) FROM approvals WHERE status = 'pending'")
        return {
            "runs": {**dict.fromkeys(open_now, 0), **dict(self._journal.select(sql, open_now))},
            "approvals": int(asked[0][0]),
            "entries": at_once(self._journal.head()).size,
            "bytes": sum(one.stat().st_size for one in files),
        }

    def count_before(self, run: str, status: Collection[str] = ()) -> int | None:
        """How many runs are older, of these statuses; None where only a look at each would tell: it may be interrupted."""
        if self._journal is None or not _MOVING.union({"interrupted"}).isdisjoint(status):
            return None
        wanted = f"AND status IN ({', '.join('?' * len(status))})" if status else ""
        sql = f"SELECT count(*) FROM runs WHERE run_id < ? {wanted}"  # noqa: S608 - marks for what is bound
        return int(self._journal.select(sql, (run, *status))[0][0])

    def prunable(self, before_ms: int) -> dict[str, Json]:
        """Ended runs, and plans never run, of which nothing was recorded since then and that hold something; and what is left."""
        from assent.runtime.runs._erasing import Prunable
        from assent.runtime.runs._saved_plans import PlanStore

        plans = PlanStore(self._settings.state, expiry_ms=self._settings.limits.plan_expiry_ms)
        needed: frozenset[str] = frozenset()
        if self._journal is not None and at_once(self._journal.rows("findings_acts", {}, limit=1)):
            from assent.runtime.runs._findings import FindingsStore

            needed = FindingsStore(self._settings).needed()
        found = Prunable.before(before_ms, self._journal, plans, needed)
        chosen = [*found.runs, *found.plans][:PRUNED_MAX]
        runs, never_run = plans_apart(chosen)
        return {
            "runs": [*runs],
            "plans": [*never_run],
            "more": len(found.runs) + len(found.plans) - len(chosen),
            "left": [
                {"run_id": run, "status": status} for run, status in self._shown_statuses(found.left).items()
            ],
        }

    def find(self, run_id: str) -> RunId:
        """The run whose id begins so. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        return at_once(find_run(self._recorded(run_id), run_id))

    async def events(self, run: RunId, since: int) -> list[ev.Leaf]:
        """The next events of a run from number `since` on; none when there are no more yet."""
        assert self._journal is not None  # INVARIANT: the run was found in it
        return await self._journal.events(run, since=since, limit=PAGE)

    def is_settled(self, run: RunId) -> bool:
        """Nothing more comes of the run by itself: it has ended, needs attention, or nobody drives it."""
        assert self._journal is not None  # INVARIANT: the run was found in it
        row = at_once(get_run(self._journal, run))
        state = state_of(row) if row is not None else RunState.FAILED
        # A living owner is not asked at each change whether it drives the run: it may do so at any time.
        return not self.owner_alive() if state.is_moving else state.is_settled

    def show(self, run_id: str, step: str | None = None) -> dict[str, Json]:
        """A run, or one step of it, with its events. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`, `STEP_UNKNOWN`."""
        from assent.runtime.service._told_steps import (  # a list of runs needs none
            StepStory,
            step_of,
            step_stories,
        )

        journal = self._recorded(run_id)
        run = at_once(find_run(journal, run_id))
        record: engine.RunRecord | None = None
        leaves = journal.run_leaves(run)
        for leaf in leaves:
            record = engine.fold(record, leaf)
        if record is None:
            raise changed_row({"run_id": run})  # Nothing was recorded of it.
        stored = record.state.value
        status = self._shown_statuses({run: stored})[run]
        if status not in (stored, "interrupted"):
            return self.show(run_id, step)  # it has moved on meanwhile
        head = at_once(journal.head())
        document = at_once(engine.load_json(journal, record.created.document))
        planned = engine.outline(document) if document is not None else {}
        ledger: dict[str, Json] = {"size": head.size, "root": base64.b64encode(head.root).decode()}
        described = at_once(engine.describe_run(record, planned, journal, ledger))
        if any(is_marked(one.output) for one in described.steps):
            described = described.telling(self._owner_on((run,), texts=True).told.get(run, {}))
        stories = step_stories(leaves)
        steps = {one.name: one for one in described.steps}
        undo = record.undo
        if step is not None:
            known = [*steps, *([] if undo is None else [engine.UNDO_STEP])]
            if step not in known:
                raise _unknown_step(run, step, known)
            steps = {name: one for name, one in steps.items() if name == step}
            undo = undo if step == engine.UNDO_STEP else None
            leaves = [leaf for leaf in leaves if step_of(leaf.event) == step]
        return {
            **described.to_json(),
            "steps": [
                {
                    **one.to_json(),
                    **stories.get(StepKey(name), StepStory()).to_json(journal),
                    **_inner_run(journal, run, one),
                }
                for name, one in steps.items()
            ],
            "undo": None if undo is None else _told_undo(journal, record, undo.request, stories),
            "status": status,
            "started_at": instant(record.started_at_ms),
            "started_at_ms": record.started_at_ms,
            "principal": record.created.principal,
            "owner_alive": self.owner_alive(),
            "inputs": at_once(engine.load_json(journal, record.created.inputs)),
            "events": [
                {"seq": leaf.seq, "n": leaf.n, "at_ms": leaf.at_ms, "event": msgspec.to_builtins(leaf.event)}
                for leaf in leaves
            ],
            **_part_of(record.created.request),
        }

    def attachment(self, run_id: str, digest: str) -> Iterator[bytes]:
        """The bytes beside an output or an error of a run, in chunks; the beginning of their digest is enough.

        Raises `InputError` RUN_UNKNOWN, RUN_AMBIGUOUS, ATTACHMENT_UNKNOWN, and `RECORD_CORRUPT` before the last chunk.
        """
        journal = self._recorded(run_id)
        run = at_once(find_run(journal, run_id))
        told = {commitment for leaf in journal.run_leaves(run) for commitment in leaf.event.commitments()}
        # What an output says is a stranger's word: a service may name what another run has kept. Only what was kept for this
        # payload is its attachment.
        known = sorted(
            {
                name
                for commitment in told
                for name in journal.blobs_of(commitment).intersection(
                    invocation.attached_in(at_once(engine.load_json(journal, commitment)))
                )
            }
        )
        found = [name for name in known if digest and name.startswith(digest)]
        if len(found) != 1:
            what = "more than one attachment begins" if found else "nothing is attached"
            raise InputError(
                "ATTACHMENT_UNKNOWN",
                f"{what} with `{digest[:80]}` in `{run}`",
                hint=f"it has `{'`, `'.join(name[:12] for name in known[:5])}`"
                if known
                else "it has none; outputs name theirs as `blob`",
            )
        return journal.blob(found[0])

    def explained(self, run_id: str, step: str | None) -> tuple[RunId, list[dict[str, Json]]]:
        """What the gate answered about a run, or one step of it, and why. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`, `STEP_UNKNOWN`."""
        from assent.runtime.service._decisions import explained

        run = self.find(run_id)
        return run, explained(self._recorded(run_id), run, step)

    def simulated(self, engine: PolicyEngine, since_ms: int) -> dict[str, Json]:
        """What a policy would have answered to the calls on record since a moment."""
        from assent.runtime.service._decisions import simulated

        return simulated(self._recorded(""), engine, since_ms)

    def suggested(self, engine: PolicyEngine, least: int, since_ms: int) -> dict[str, Json]:
        """Rules for what was approved at least so often, and never refused."""
        from assent.runtime.service._decisions import suggested

        return suggested(self._recorded(""), engine, least, since_ms)

    def approvals(self, run_id: str | None, by: Asker) -> list[dict[str, Json]]:
        """Everything that waits for a person, oldest first, with what would be approved; of one run where that is named.

        Each says why `by` may not decide it, where they may not. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`.
        """
        of_run = {"run_id": self.find(run_id)} if run_id is not None else {}
        if self._journal is None:
            return []
        asked: dict[str, set[object]] = {}
        for row in rows_at_once(self._journal, "approvals", {"status": "pending", **of_run}):
            asked.setdefault(str(row["run_id"]), set()).add(row["digest"])
        waiting: list[dict[str, Json]] = []
        for run, digests in asked.items():
            record: engine.RunRecord | None = None
            for leaf in self._journal.run_leaves(RunId(run)):
                record = engine.fold(record, leaf)
            open_now = record.open_approvals() if record is not None else []
            waiting += [
                self._approval(run, approval, by)
                for approval in open_now
                if approval.request.digest in digests
            ]
        return sorted(waiting, key=lambda item: str(item["requested_at"]))

    def _approval(self, run_id: str, approval: ApprovalRecord, by: Asker) -> dict[str, Json]:
        from assent.runtime.runs._notices import approvers_of, notified

        assert self._journal is not None  # INVARIANT: `approvals` looked
        request: ev.ApprovalRequested = approval.request
        inputs, refused = (
            at_once(engine.load_json(self._journal, request.inputs)),
            self._refusal(approval, by),
        )
        if is_marked(inputs):
            said = self._owner_on((run_id,)).asked.get(run_id, {})
            inputs = said.get(request.step, inputs)
            if request.step not in said:
                refused = (
                    f"{not_kept('the inputs', request.capability).message}: nobody can see what it would do"
                )
        return {
            "approval_id": approval_id(run_id, request.step, request.digest, approval.requested_at_ms),
            "run_id": run_id,
            "step": request.step,
            "capability": request.capability,
            "version": request.version,
            "risk_level": request.risk,
            "rule": request.rule,
            "requester": request.requester,
            "digest": request.digest,
            "preview": at_once(engine.load_json(self._journal, request.preview)),
            "inputs": inputs,
            "approvers": approvers_of(request),
            "requested_at": instant(approval.requested_at_ms),
            "requested_at_ms": approval.requested_at_ms,
            "expires_at_ms": request.expires_at_ms,
            "expires_at": instant(request.expires_at_ms) if request.expires_at_ms is not None else None,
            "granted_by": [*approval.granted_by],
            "notified": [*notified(self._settings)],
            "refused": refused,
        }

    def _refusal(self, approval: ApprovalRecord, by: Asker) -> str | None:
        """What somebody who decided this question would be refused with; None for who may decide it."""
        try:
            engine.check_approver(approval, principal_of(self._settings, by))
        except RefusedError as error:
            return error.message
        return None

    def deliveries(self, *, status: str | None = None, limit: int | None = None) -> list[dict[str, Json]]:
        """Webhooks on their way and those that have ended, newest last; of one status, and at most so many of the newest."""
        from assent.runtime.runs._deliveries import deliveries_in

        return deliveries_in(self._settings.state, status=status, limit=limit)

    def schedules(self) -> list[dict[str, Json]]:
        """The schedules that stand, by name."""
        looked = self._schedules()
        return [] if looked is None else looked.all()

    def schedule(self, name: str) -> dict[str, Json]:
        """One of them, with what it does. `SCHEDULE_UNKNOWN`."""
        from assent.capabilities.schedule import unknown

        looked = self._schedules()
        found = None if looked is None else looked.named(name)
        if found is None:
            raise InputError.from_dict(unknown(name).to_dict())  # nobody called anything
        return found

    def _schedules(self) -> Scene | None:
        from assent.runtime.runs._schedule_list import Scene

        if self._journal is None:
            return None
        return Scene(self._journal, self._settings, self._shown_statuses, SystemClock().now_ms())

    def log(self, wanted: ledgers.EventFilter, *, follow: bool = False) -> Log | None:
        """The entries that pass a filter; None where nothing was recorded yet. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`.

        `follow`: somebody waits for those to come, so that there must be a ledger: `STATE_MISSING`.
        """
        from assent.runtime.service._audit_log import Log

        if self._journal is None and wanted.run is None and not follow:
            return None
        return Log(self._recorded(wanted.run or ""), wanted)

    def verify(self, checkpoint: str | None = None, key: str | None = None) -> dict[str, Json]:
        """Whether the ledger is what was recorded: `checkpoint` is the text of one kept elsewhere, `key` a public key.

        With a public key alone, entries that no checkpoint covers yet are not checked.
        """
        self._recorded("")
        signer = self._signer() if key is None else None
        report = ledgers.verify_ledger(
            ledger_file(self._settings.state),
            [ledgers.verifier_from_vkey(signer.vkey if signer is not None else str(key))],
            projector=engine.RunProjector(),
            kept=checkpoint,
            signer=signer,
            blobs=self._recorded("").blobs,
            areas=projections(),
            cpu_s=cpu_seconds,
        )
        return report.to_json()

    def prove(self, seq: int) -> str:
        """A self-contained proof that an entry is in the ledger."""
        self._recorded("")
        with raw_ledger(self._settings.state) as record:
            return ledgers.prove(record, seq)

    def checkpoint(self) -> str:
        """The newest signed checkpoint."""
        return ledgers.checkpoint(self._recorded(""))

    def tile(self, place: str) -> bytes:
        """A tile of the tree, or of entries."""
        return ledgers.tile(self._recorded(""), place)

    def export(self, folder: Path, *, payloads: bool) -> dict[str, Json]:
        """Write the whole ledger to a folder, verifiable elsewhere; with what its entries bind where that is asked for."""
        self._recorded("")
        with raw_ledger(self._settings.state) as record:
            exported = ledgers.export_ledger(record, folder, vkey=self.vkey(), payloads=payloads)
        return {"folder": str(folder), **msgspec.to_builtins(exported)}

    def vkey(self) -> str:
        """The public key that the ledger's checkpoints are signed with, under the ledger's own name."""
        return self._signer().vkey

    def _signer(self) -> ledgers.Ed25519FileSigner:
        """The key that signs this ledger, under the ledger's own name."""
        from assent.spec.events.kinds import LedgerCreated

        leaves = at_once(self._recorded("").leaves(limit=1))
        if not leaves:  # Who made it was killed before its first entry.
            raise self._nothing_recorded()
        first = leaves[0].event
        assert isinstance(first, LedgerCreated)  # INVARIANT: every ledger begins with it
        return ledgers.Ed25519FileSigner.open(self._settings.key_path).named(first.origin)

    def _recorded(self, run_id: str) -> LedgerReader:
        if self._journal is None:
            raise unknown_run(run_id) if run_id else self._nothing_recorded()
        return self._journal

    def _nothing_recorded(self) -> InputError:
        return InputError(
            "STATE_MISSING",
            f"nothing was recorded yet in `{self._settings.state}`",
            hint="run something with `assent run` first",
        )


def _told_undo(
    journal: LedgerReader,
    record: engine.RunRecord,
    request: ev.UndoRequested,
    stories: Mapping[StepKey, StepStory],
) -> dict[str, Json]:
    """The newest undo of a run, told as a step."""
    refused = at_once(undo_refusal(journal, record.run))
    match record.state:
        case RunState.UNDONE:
            status = StepState.SUCCEEDED
        case RunState.UNDOING:
            status = StepState.RUNNING
        case RunState.WAITING:
            status = StepState.AWAITING_APPROVAL
        case RunState.NEEDS_ATTENTION:
            status = StepState.COMPENSATION_FAILED
        case _:
            status = StepState.DENIED if request.decision == "DENY" else StepState.FAILED
    return {
        "name": engine.UNDO_STEP,
        "capability": UNDO_CAPABILITY,
        "version": None,
        "status": status.value,
        "risk_level": request.risk,
        "decision": request.decision,
        "rule": request.rule,
        "attempts": 0,
        **({} if refused is None else {"error": refused.to_dict()}),
        **stories[engine.UNDO_STEP].to_json(journal),
    }


def _unknown_step(run: RunId, step: str, known: Collection[str]) -> InputError:
    named = ", ".join(f"`{name}`" for name in [*known][:_NAMED_MAX]) or "none"
    more = f" and {len(known) - _NAMED_MAX} more" if len(known) > _NAMED_MAX else ""
    return InputError("STEP_UNKNOWN", f"`{run}` has no step `{step}`", hint=f"steps: {named}{more}")


class Record(msgspec.Struct, frozen=True):
    """What is read, and by whom: the record of a workspace, beside its owner (no `owner_says`) or the owner's own."""

    settings: Settings
    by: Asker
    owner_says: OwnerSays | None = None

    def reader(self) -> AbstractContextManager[Reader]:
        """See `Reader.open`."""
        return Reader.open(self.settings, self.owner_says, self.by)


def verify_proof(text: str, key: str) -> dict[str, Json]:
    """What a proof shows, checked with the ledger's public key alone."""
    return told_entry(ledgers.verify_proof(text, ledgers.TrustPolicy.of_keys(key)))


def told_entry(proven: ledgers.ProvenEntry) -> dict[str, Json]:
    """An entry that was proved, as it is answered."""
    return {
        "index": proven.index,
        "stream": None if proven.leaf is None else proven.leaf.stream,
        "n": None if proven.leaf is None else proven.leaf.n,
        "size": proven.checkpoint.size,
        "root": base64.b64encode(proven.checkpoint.root).decode(),
        "origin": proven.checkpoint.origin,
        "entry": decode(proven.data),
    }


def verify_export(folder: Path, key: str | None) -> dict[str, Json]:
    """Whether an export is what was recorded; the key that came with it is used when no other is given."""
    vkey = key if key is not None else ledgers.export_key(folder)
    return ledgers.verify_export(folder, [ledgers.verifier_from_vkey(vkey)]).to_json()


def _is_call(row: Mapping[str, Cell]) -> bool:
    """A run of one call: no workflow, and no session either."""
    return row["workflow"] is None and row["mode"] == Mode.WORKFLOW


def _asked_for(journal: LedgerReader, run: RunId) -> Json:
    """The capability of a call that was refused before a step knew of it; None where that was erased or is damaged."""
    try:
        first = at_once(journal.events(run, limit=1))
        document = at_once(engine.load_json(journal, getattr(first[0].event, "document", None)))
    except (AssentError, IndexError):
        return None  # `show` and `verify` tell what is wrong; the other runs are listed all the same
    return document["call"]["capability"] if document is not None else None


def _instant_in(row: Mapping[str, Any], column: str) -> str:
    try:
        return instant(int(row[column]))
    except (TypeError, ValueError, OverflowError):
        raise changed_row(row) from None


def _sessions_of(journal: LedgerReader, rows: Sequence[Mapping[str, Cell]]) -> dict[Cell, str]:
    """The requests in which runs began, of those that steps of sessions began."""
    listed = OneOf(tuple(str(row["run_id"]) for row in rows))
    found = rows_at_once(journal, "run_requests", {"run_id": listed}) if listed.cells else ()
    return {row["run_id"]: str(row["request"]) for row in found}


def _part_of(request: str | None) -> dict[str, Json]:
    found = step_of_request(request)
    return {} if found is None else {"part_of": {"run_id": found[0], "step": found[1]}}


def _inner_run(journal: LedgerReader, run: RunId, step: engine.StepResult) -> dict[str, Json]:
    """The run that a step of a session has begun."""
    if step.capability != RUN_CAPABILITY:
        return {}
    begun = rows_at_once(journal, "run_requests", {"request": request_of_step(run, step.name)})
    row = next(iter(begun), None)
    return {} if row is None else {"inner_run": row["run_id"]}
