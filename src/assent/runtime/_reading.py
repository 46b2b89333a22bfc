"""Looking back: the runs, approvals and ledger of a workspace, read beside a living owner or without one."""

from __future__ import annotations

import base64
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, Self

import msgspec

from assent import system
from assent.engine import (
    CALL_STEP,
    Blueprint,
    RunProjector,
    RunRecord,
    describe_run,
    fold,
    load_json,
)
from assent.errors import InputError, Json
from assent.invocation import attached_in
from assent.journal import (
    LEDGER_FILE,
    Ed25519FileSigner,
    EventFilter,
    SqliteReader,
    SqliteRecord,
    TrustPolicy,
    Verifier,
    audit_log,
    export_key,
    export_ledger,
    is_owned,
    prove,
    verifier_from_vkey,
    verify_ledger,
)
from assent.journal import (
    verify_export as _verify_export,
)
from assent.journal import (
    verify_proof as _verify_proof,
)
from assent.runtime._deliveries import deliveries_in
from assent.runtime._runs import changed_row, find_run, unknown_run
from assent.runtime.settings import Settings
from assent.spec import events as ev
from assent.spec.ids import RunId
from assent.spec.states import Mode, RunState

_IDLE: Final = tuple(state for state in RunState if not state.is_finished and state is not RunState.WAITING)
"""Where a run stands that nobody drives and that waits for nobody."""


class Reader:
    """Reads the state of a workspace beside a living owner or without one; takes no lock, writes nothing."""

    def __init__(self, settings: Settings, journal: SqliteReader | None) -> None:
        self._settings = settings
        self._journal = journal

    @classmethod
    @contextmanager
    def open(cls, settings: Settings) -> Iterator[Self]:
        """A reader. A workspace in which nothing was recorded yet reads as empty."""
        try:
            journal = SqliteReader.open(settings.state)
        except InputError as error:
            if error.code != "STATE_MISSING":
                raise
            yield cls(settings, None)
            return
        with journal:
            yield cls(settings, journal)

    def runs(self) -> list[dict[str, Json]]:
        """All runs, oldest first; one that is a single call names its capability."""
        if self._journal is None:
            return []
        called = {
            row["run_id"]: row["capability"] for row in self._journal.rows("steps", {"step": CALL_STEP})
        }
        return [self._run_line(row, called) for row in self._journal.rows("runs")]

    def _run_line(self, row: Mapping[str, Any], called: Mapping[Any, Any]) -> dict[str, Json]:
        is_call = row["workflow"] is None and row["mode"] == Mode.WORKFLOW
        return {
            "run_id": row["run_id"],
            "workflow": row["workflow"],
            "capability": called.get(row["run_id"]) if is_call else None,
            "status": self._shown_status(str(row["status"])),
            "started_at": _instant_in(row, "started_at_ms"),
            "started_at_ms": row["started_at_ms"],
            "updated_at": _instant_in(row, "updated_at_ms"),
            "updated_at_ms": row["updated_at_ms"],
            "principal": row["principal"],
            "mode": row["mode"],
            "code": row["code"],
        }

    def _shown_status(self, status: str) -> str:
        moving = (RunState.RUNNING, RunState.PENDING, RunState.ROLLING_BACK, RunState.UNDOING)
        return "interrupted" if status in moving and not self.owner_alive() else status

    def owner_alive(self) -> bool:
        """Whether a process owns the state directory now."""
        return is_owned(self._settings.state, runtime_dir=self._settings.runtime_dir())

    def unfinished(self) -> int:
        """How many runs have not ended and wait for `assent resume`; those that wait for a person are not counted."""
        if self._journal is None:
            return 0
        # Every command asks, and most runs have ended: reading their rows too would cost more than the command itself.
        idle = sum(len(self._journal.rows("runs", {"status": state.value})) for state in _IDLE)
        return 0 if idle and self.owner_alive() else idle

    def show(self, run_id: str) -> dict[str, Json]:
        """A run with its events; an unambiguous beginning of its id is enough. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`."""
        journal = self._recorded(run_id)
        run = find_run(journal, run_id)
        record: RunRecord | None = None
        events: list[Json] = []
        for leaf in journal.run_leaves(run):
            record = fold(record, leaf)
            events.append(
                {"seq": leaf.seq, "n": leaf.n, "at_ms": leaf.at_ms, "event": msgspec.to_builtins(leaf.event)}
            )
        assert record is not None  # INVARIANT: a row of `runs` has events
        head = journal.head()
        document = load_json(journal, record.created.document)
        blueprint = Blueprint.of_document(document) if document is not None else None
        ledger: dict[str, Json] = {"size": head.size, "root": base64.b64encode(head.root).decode()}
        shown = describe_run(record, blueprint, journal, ledger).to_json()
        return {
            **shown,
            "status": self._shown_status(record.state.value),
            "started_at": _instant(record.started_at_ms),
            "started_at_ms": record.started_at_ms,
            "principal": record.created.principal,
            "owner_alive": self.owner_alive(),
            "inputs": load_json(journal, record.created.inputs),
            "events": events,
        }

    def attachment(self, run_id: str, digest: str) -> Iterator[bytes]:
        """The bytes beside an output or an error of a run, in chunks; the beginning of their digest is enough.

        Raises `InputError` RUN_UNKNOWN, RUN_AMBIGUOUS, ATTACHMENT_UNKNOWN, and `RECORD_CORRUPT` before the last chunk.
        """
        journal = self._recorded(run_id)
        run = find_run(journal, run_id)
        told = {commitment for leaf in journal.run_leaves(run) for commitment in leaf.event.commitments()}
        # What an output says is a stranger's word: a service may name what another run has kept. Only what was kept for this
        # payload is its attachment.
        known = sorted(
            {
                name
                for commitment in told
                for name in journal.blobs_of(commitment).intersection(
                    attached_in(load_json(journal, commitment))
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

    def approvals(self) -> list[dict[str, Json]]:
        """Everything that waits for a person, oldest first, with what would be approved."""
        if self._journal is None:
            return []
        waiting: list[dict[str, Json]] = []
        for row in self._journal.rows("approvals", {"status": "pending"}):
            record: RunRecord | None = None
            for leaf in self._journal.run_leaves(RunId(str(row["run_id"]))):
                record = fold(record, leaf)
            open_now = record.open_approvals() if record is not None else []
            waiting += [
                self._approval(str(row["run_id"]), approval)
                for approval in open_now
                if approval.request.digest == row["digest"]
            ]
        return sorted(waiting, key=lambda item: str(item["requested_at"]))

    def _approval(self, run_id: str, approval: Any) -> dict[str, Json]:
        assert self._journal is not None  # INVARIANT: `approvals` looked
        request: ev.ApprovalRequested = approval.request
        return {
            "run_id": run_id,
            "step": request.step,
            "capability": request.capability,
            "version": request.version,
            "risk_level": request.risk,
            "rule": request.rule,
            "requester": request.requester,
            "digest": request.digest,
            "preview": load_json(self._journal, request.preview),
            "inputs": load_json(self._journal, request.inputs),
            "approvers": {
                "roles": [*request.roles],
                "kinds": [*request.kinds],
                "count": request.count,
                "not_requester": request.not_requester,
            },
            "requested_at": _instant(approval.requested_at_ms),
            "requested_at_ms": approval.requested_at_ms,
            "expires_at_ms": request.expires_at_ms,
            "expires_at": _instant(request.expires_at_ms) if request.expires_at_ms is not None else None,
            "granted_by": [*approval.granted_by],
        }

    def deliveries(self, *, status: str | None = None, limit: int | None = None) -> list[dict[str, Json]]:
        """Webhooks on their way and those that have ended, newest last; of one status, and at most so many of the newest."""
        return deliveries_in(self._settings.state, status=status, limit=limit)

    def audit_log(self, wanted: EventFilter) -> Iterator[dict[str, Json]]:
        """The entries that pass a filter, in log order. `RUN_UNKNOWN`, `RUN_AMBIGUOUS`: a run is named as for `show`."""
        if wanted.run is not None:
            wanted = replace(wanted, run=find_run(self._recorded(wanted.run), wanted.run))
        if self._journal is None:
            return
        for line in audit_log(self._journal.leaves(), wanted):
            yield line.to_json()

    def verify(self, checkpoint: str | None = None, key: str | None = None) -> dict[str, Json]:
        """Whether the ledger is what was recorded: `checkpoint` is the text of one kept elsewhere, `key` a public key."""
        self._recorded("")
        report = verify_ledger(
            self._ledger_file,
            [self._key(key)],
            projector=RunProjector(),
            kept=checkpoint,
            cpu_s=system.cpu_seconds,
        )
        return report.to_json()

    def prove(self, seq: int) -> str:
        """A self-contained proof that an entry is in the ledger."""
        self._recorded("")
        with SqliteRecord.open(self._ledger_file) as record:
            return prove(record, seq)

    def export(self, folder: Path) -> dict[str, Json]:
        """Write the whole ledger to a folder, verifiable elsewhere."""
        self._recorded("")
        with SqliteRecord.open(self._ledger_file) as record:
            exported = export_ledger(record, folder, vkey=self.vkey())
        return {"folder": str(folder), **msgspec.to_builtins(exported)}

    def vkey(self) -> str:
        """The public key that the ledger's checkpoints are signed with, under the ledger's own name."""
        return self._signer().vkey

    def _key(self, key: str | None) -> Verifier:
        return verifier_from_vkey(key if key is not None else self.vkey())

    def _signer(self) -> Ed25519FileSigner:
        """The key that signs this ledger, under the ledger's own name."""
        first = next(self._recorded("").leaves(stop=1)).event
        assert isinstance(first, ev.LedgerCreated)  # INVARIANT: every ledger begins with it
        return Ed25519FileSigner.open(self._settings.key_path).named(first.origin)

    @property
    def _ledger_file(self) -> Path:
        return self._settings.state / LEDGER_FILE

    def _recorded(self, run_id: str) -> SqliteReader:
        if self._journal is None:
            if run_id:
                raise unknown_run(run_id)
            raise InputError(
                "STATE_MISSING",
                f"nothing was recorded yet in `{self._settings.state}`",
                hint="run something with `assent run` first",
            )
        return self._journal


def verify_proof(text: str, key: str) -> dict[str, Json]:
    """What a proof shows, checked with the ledger's public key alone."""
    proven = _verify_proof(text, TrustPolicy.of_keys(key))
    return {
        "index": proven.index,
        "size": proven.checkpoint.size,
        "root": base64.b64encode(proven.checkpoint.root).decode(),
        "origin": proven.checkpoint.origin,
        "entry": msgspec.json.decode(proven.data),
    }


def verify_export(folder: Path, key: str | None) -> dict[str, Json]:
    """Whether an export is what was recorded; the key that came with it is used when no other is given."""
    vkey = key if key is not None else export_key(folder)
    return _verify_export(folder, [verifier_from_vkey(vkey)]).to_json()


def _instant(at_ms: Any) -> str:
    moment = datetime.fromtimestamp(int(at_ms) / 1000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _instant_in(row: Mapping[str, Any], column: str) -> str:
    try:
        return _instant(row[column])
    except (TypeError, ValueError, OverflowError):
        raise changed_row(row) from None
