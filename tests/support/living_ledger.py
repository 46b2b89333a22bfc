"""Ledgers as an engine leaves them: runs that succeed, fail, wait and are erased, with the rows of the engine's own fold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from assent.engine.record._record import RunRecord
from assent.engine.record.projection import changed_rows, fold
from assent.journal.ports import Batch, Payload, Row
from assent.journal.store._connection import connect_writer
from assent.journal.store._schema import prepare_ledger
from assent.journal.store._store import LedgerStore
from assent.journal.store._tail import Draft, Tail
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._note import Ed25519Verifier, Verifier
from assent.spec.events.kinds import (
    AnyEvent,
    ApprovalRequested,
    Leaf,
    LedgerCreated,
    PayloadErased,
    RunCreated,
    RunFailed,
    RunSucceeded,
    StepFailed,
    StepStarted,
    StepSucceeded,
)
from assent.spec.ids import Commitment, Fingerprint, RunId, StepKey
from assent.spec.states import Effect, Mode
from assent.spec.values.canonical import commit
from assent.spec.values.merkle import Frontier
from tests.support.ledgers import ORIGIN, SIGNER, START_MS

POLICY = "a" * 64


@dataclass
class LivingLedger:
    """Writes a ledger run by run, each batch a transaction. `close` seals it."""

    path: Path
    signer: Ed25519FileSigner = SIGNER
    at_ms: int = START_MS
    payloads: dict[RunId, list[Commitment]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        prepare_ledger(self.path)
        self.store = LedgerStore(connect_writer(self.path))
        self.tail = Tail(
            origin=self.signer.name,
            signer=self.signer,
            frontier=Frontier(),
            signed=0,
            count_events=self.store.count_events,
        )
        self._records: dict[RunId, RunRecord] = {}
        self._salts = 0
        self.append(None, [LedgerCreated(origin=self.signer.name)])

    @property
    def keys(self) -> list[Verifier]:
        """What verifies this ledger."""
        return [Ed25519Verifier.from_vkey(self.signer.vkey)]

    @property
    def size(self) -> int:
        """How many entries there are."""
        return self.tail.head.size

    def payload(self, body: bytes, *, blobs: tuple[str, ...] = ()) -> Payload:
        """A payload with a salt of its own."""
        self._salts += 1
        salt = self._salts.to_bytes(16, "big")
        return Payload(commit(salt, body), salt, body, blobs)

    def append(
        self,
        run: RunId | None,
        events: Sequence[AnyEvent],
        payloads: Sequence[Payload] = (),
        *,
        seal: bool = False,
        erased: Sequence[Commitment] = (),
    ) -> None:
        """One transaction, durable when this returns, with the rows that a live engine would write."""
        self.at_ms += 7
        first = 0 if run is None else self.tail.next_n(run)
        rows: list[Row] = []
        for offset, event in enumerate(events):
            if run is not None:
                leaf = Leaf(v=2, seq=0, at_ms=self.at_ms, run=run, n=first + offset, event=event)
                record = fold(self._records.get(run), leaf)
                assert record is not None
                self._records[run] = record
                rows += changed_rows(record)
        draft = Draft(self.tail)
        draft.add(Batch(run, first, self.at_ms, tuple(events), tuple(payloads), tuple(rows), seal=seal))
        draft.finish()
        self.store.write(draft, erased=erased)
        self.tail.accept(draft)
        if run is not None:
            self.payloads.setdefault(run, []).extend(payload.commitment for payload in payloads)

    def run(self, name: str, *, steps: int = 2, fails: bool = False, ends: bool = True) -> RunId:
        """A run of `2 + 2 * steps` entries, signed at its end; with `fails`, its last step fails without an effect.

        Without its end, nothing of it is signed.
        """
        run = RunId(name)
        document, inputs = self.payload(b'{"steps":[]}'), self.payload(f'{{"run":"{name}"}}'.encode())
        created = RunCreated(
            workflow="release",
            mode=Mode.WORKFLOW,
            principal="user:ada",
            document=document.commitment,
            inputs=inputs.commitment,
            policy=POLICY,
        )
        self.append(run, [created], [document, inputs])
        for index in range(steps):
            self._step(run, StepKey(f"step{index}"), fails=fails and index == steps - 1)
        if fails:
            self.append(run, [RunFailed(code="STEP_FAILED", step=StepKey(f"step{steps - 1}"))])
        elif ends:
            outputs = self.payload(b"{}")
            self.append(run, [RunSucceeded(outputs=outputs.commitment)], [outputs])
        return run

    def _step(self, run: RunId, step: StepKey, *, fails: bool) -> None:
        blob = commit(bytes(16), f"{run} {step}".encode())
        inputs = self.payload(f'{{"path":"{step}.txt"}}'.encode())
        prepared = self.payload(f'{{"blobs":["{blob}"],"state":{{}}}}'.encode(), blobs=(blob,))
        started = StepStarted(
            step=step,
            attempt=1,
            capability="io.fs.write_file",
            version="1.0.0",
            fingerprint=Fingerprint("f" * 64),
            handler="b" * 64,
            risk="MEDIUM",
            decision="ALLOW",
            rule="builtin.medium",
            policy=POLICY,
            inputs=inputs.commitment,
            prepared=prepared.commitment,
        )
        outcome = self.payload(b'{"code":"X"}' if fails else b'{"bytes":12}')
        ended: AnyEvent = (
            StepFailed(step=step, attempt=1, code="X", effect=Effect.NONE, error=outcome.commitment)
            if fails
            else StepSucceeded(step=step, attempt=1, output=outcome.commitment)
        )
        self.append(run, [started], [inputs, prepared])
        self.append(run, [ended], [outcome])

    def waiting(self, name: str) -> RunId:
        """A run that waits for a person."""
        run, step = RunId(name), StepKey("deploy")
        document, inputs, preview = (
            self.payload(b'{"steps":[]}'),
            self.payload(b"{}"),
            self.payload(b'{"diff":""}'),
        )
        created = RunCreated(
            mode=Mode.WORKFLOW,
            principal="agent:coder",
            document=document.commitment,
            inputs=inputs.commitment,
            policy=POLICY,
        )
        asked = ApprovalRequested(
            step=step,
            digest="d" * 64,
            capability="io.fs.delete",
            version="1.0.0",
            risk="HIGH",
            decision="REQUIRE_APPROVAL",
            rule="builtin.high",
            policy=POLICY,
            inputs=inputs.commitment,
            preview=preview.commitment,
            requester="agent:coder",
        )
        self.append(run, [created, asked], [document, inputs, preview], seal=True)
        return run

    def erase(self, run: RunId) -> None:
        """Erase a finished run's payloads, as `audit erase` does."""
        gone = self.payloads.pop(run)
        self.append(None, [PayloadErased(target=run, count=len(gone), by="user:ada")], erased=gone)

    def checkpoint(self) -> str:
        """The newest signed checkpoint: what a careful person keeps elsewhere."""
        return str(
            self.store._connection.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").get
        )

    def close(self) -> None:
        """Seal what is unsigned, move the write-ahead log into the file, and let go of it."""
        draft = Draft(self.tail)
        draft.finish(seal=True)
        if draft.note is not None:
            self.store.write(draft)
            self.tail.accept(draft)
        self.store.forget_log()
        self.store.close()


def other_signer(seed: bytes = b"o" * 32, *, name: str = ORIGIN) -> Ed25519FileSigner:
    """Another test key."""
    return Ed25519FileSigner(name, seed)
