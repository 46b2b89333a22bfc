"""Real ledger files for tests that read them: written by the journal's own store, without its thread and its clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from assent.journal.ports import Batch, Payload
from assent.journal.store._connection import connect_writer
from assent.journal.store._schema import prepare_ledger
from assent.journal.store._store import LedgerStore
from assent.journal.store._tail import Draft, Tail
from assent.journal.tree._keys import Ed25519FileSigner
from assent.spec.events import kinds as ev
from assent.spec.ids import Commitment, Fingerprint, RunId, StepKey
from assent.spec.states import Mode
from assent.spec.values.canonical import commit
from assent.spec.values.merkle import Frontier

ORIGIN = "assent.local/ledger/test"
SIGNER = Ed25519FileSigner(ORIGIN, bytes(range(32)))
"""A test key; never trust it."""

START_MS = 1_700_000_000_000


@dataclass
class LedgerFile:
    """A ledger that grows by transactions of the test's choice."""

    path: Path
    tail: Tail
    store: LedgerStore

    @classmethod
    def create(cls, path: Path) -> LedgerFile:
        """A new ledger with its first event, signed."""
        prepare_ledger(path)
        store = LedgerStore(connect_writer(path))
        tail = Tail(
            origin=ORIGIN, signer=SIGNER, frontier=Frontier(), signed=0, count_events=store.count_events
        )
        ledger = cls(path, tail, store)
        ledger.commit([Batch(None, 0, START_MS, (ev.LedgerCreated(origin=ORIGIN),))], seal=True)
        return ledger

    def commit(self, batches: Sequence[Batch], *, seal: bool = False) -> None:
        """One transaction."""
        draft = Draft(self.tail)
        for batch in batches:
            draft.add(batch)
        draft.finish(seal=seal)
        self.store.write(draft)
        self.tail.accept(draft)

    def close(self) -> None:
        """Let go of the file; everything is in it."""
        self.store.forget_log()
        self.store.close()


def run_batch(number: int, *, capability: str = "io.fs.write_file", principal: str = "user:ada") -> Batch:
    """A run of one step from its start to its end, with payloads."""
    run = RunId(f"run_{number:06d}")
    payloads = {
        name: payload(f"{name} of {run}".encode()) for name in ("document", "inputs", "output", "outputs")
    }
    bound = {name: found.commitment for name, found in payloads.items()}
    digest = Fingerprint("ab" * 32)
    step = StepKey("build")
    events: tuple[ev.AnyEvent, ...] = (
        ev.RunCreated(
            mode=Mode.WORKFLOW,
            principal=principal,
            document=bound["document"],
            inputs=bound["inputs"],
            policy=digest,
        ),
        ev.StepStarted(
            step=step,
            attempt=1,
            capability=capability,
            version="1.0.0",
            fingerprint=digest,
            handler="builtin",
            risk="MEDIUM",
            decision="ALLOW",
            rule="low-and-medium",
            policy=digest,
            inputs=bound["inputs"],
        ),
        ev.StepSucceeded(step=step, attempt=1, output=bound["output"]),
        ev.RunSucceeded(outputs=bound["outputs"]),
    )
    return Batch(run, 0, START_MS + number, events, tuple(payloads.values()), seal=True)


def payload(body: bytes) -> Payload:
    """A payload whose salt follows from its body, so that the same test makes the same ledger."""
    salt = commit(bytes(16), body)[:32]
    return Payload(Commitment(commit(bytes.fromhex(salt), body)), bytes.fromhex(salt), body)


def make_ledger(path: Path, *, runs: int = 5) -> LedgerFile:
    """A closed ledger of some runs, each signed at its end: `1 + 4 * runs` entries."""
    ledger = LedgerFile.create(path)
    for number in range(runs):
        ledger.commit([run_batch(number)])
    ledger.close()
    return ledger
