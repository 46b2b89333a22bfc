"""Journals for tests: a still clock, counted salts, a fixed key, and small batches of one run after the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from assent.journal import Batch, Ed25519FileSigner, MemoryJournal, Payload, Row, SqliteJournal
from assent.journal.store._projections import Projection, Stored
from assent.journal.store._schema import PROJECTION_KEYS, PROJECTIONS, Migration
from assent.spec.events.kinds import Leaf, RunCreated, RunSucceeded, StepSucceeded, Who
from assent.spec.ids import Commitment, RunId, StepKey
from assent.spec.states import Mode
from assent.spec.values.canonical import commit

NOW_MS = 1_700_000_000_000
ADA: Who = {
    "by": "user:ada",
    "asserted": False,
    "os_uid": 1000,
    "identified_by": "process_uid",
    "request": None,
    "request_digest": None,
}
KEY = Ed25519FileSigner("assent.local/test", bytes(range(32)))
"""A test key; never trust it."""


@dataclass
class StillClock:
    """A clock that moves only when a test moves it."""

    at_ms: int = NOW_MS

    def now_ms(self) -> int:
        return self.at_ms

    def monotonic_ms(self) -> int:
        return self.at_ms


@dataclass
class CountedEntropy:
    """Salts that count up: the same test makes the same ledger."""

    count: int = 0

    def salt(self) -> bytes:
        self.count += 1
        return self.count.to_bytes(16, "big")

    def jitter(self) -> float:
        return 0.5


def open_sqlite(
    state_dir: Path, *, clock: StillClock | None = None, areas: Sequence[Projection] = ()
) -> SqliteJournal:
    """The journal of a state directory."""
    return SqliteJournal.open(
        state_dir, signer_for=KEY.named, clock=clock or StillClock(), entropy=CountedEntropy(), areas=areas
    )


def new_memory(*, areas: Sequence[Projection] = ()) -> MemoryJournal:
    """An empty journal in memory."""
    return MemoryJournal(signer_for=KEY.named, clock=StillClock(), entropy=CountedEntropy(), areas=areas)


def run_id(number: int) -> RunId:
    """The id of the test's run number `number`."""
    return RunId(f"run_{number:026d}")


def payload(body: bytes, *, blobs: tuple[str, ...] = ()) -> Payload:
    """A payload whose salt follows from its body."""
    salt = bytes.fromhex(commit(bytes(16), body))[:16]
    return Payload(Commitment(commit(salt, body)), salt, body, blobs)


def run_row(run: RunId, status: str, events: int) -> Row:
    """A row of `runs`."""
    values = (run, "release", "workflow", status, "user:ada", None, NOW_MS, NOW_MS, events, None)
    return Row("runs", (run,), values)


def created(
    run: RunId, *, body: bytes | None = None, blobs: tuple[str, ...] = (), seal: bool = False
) -> Batch:
    """The first event of a run, with two payloads and its row; `body` is the run's inputs."""
    document = payload(f"document of {run}".encode())
    inputs = payload(f"inputs of {run}".encode() if body is None else body, blobs=blobs)
    event = RunCreated(
        workflow="release",
        mode=Mode.WORKFLOW,
        principal="user:ada",
        document=document.commitment,
        inputs=inputs.commitment,
        policy="ab" * 32,
    )
    return Batch(run, 0, NOW_MS, (event,), (document, inputs), (run_row(run, "running", 1),), seal)


def progressed(run: RunId, n: int) -> Batch:
    """The outcome of a step, as event `n` of the run."""
    output = payload(f"output {n} of {run}".encode())
    event = StepSucceeded(step=StepKey("build"), attempt=1, output=output.commitment)
    return Batch(run, n, NOW_MS, (event,), (output,), (run_row(run, "running", n + 1),))


def succeeded(run: RunId, n: int) -> Batch:
    """The end of the run, as its event `n`."""
    outputs = payload(f"outputs of {run}".encode())
    event = RunSucceeded(outputs=outputs.commitment)
    return Batch(run, n, NOW_MS, (event,), (outputs,), (run_row(run, "succeeded", n + 1),), seal=True)


class SimpleProjector:
    """The fold that agrees with the rows of the batches above."""

    tables: Mapping[str, Sequence[str]] = PROJECTIONS
    keys: Mapping[str, int] = PROJECTION_KEYS

    def replay(self, leaves: Iterable[Leaf]) -> Iterator[Row]:
        last = {leaf.run: leaf for leaf in leaves if leaf.run is not None}
        for run, leaf in last.items():
            status = "succeeded" if isinstance(leaf.event, RunSucceeded) else "running"
            yield run_row(run, status, (leaf.n or 0) + 1)


def _counted(leaf: Leaf, stored: Stored) -> Iterator[Row]:
    key = (leaf.event.kind,)
    before = stored("tally_kinds", key)
    count = int(str(before[1])) if before is not None else 0
    yield Row("tally_kinds", key, (*key, count + 1, leaf.seq))


TALLY = Projection(
    area="tally",
    tables={"tally_kinds": ("kind", "events", "newest")},
    keys={"tally_kinds": 1},
    migrations=(
        Migration(
            1,
            "kinds",
            "CREATE TABLE tally_kinds(kind TEXT NOT NULL, events INTEGER, newest INTEGER, PRIMARY KEY(kind)) STRICT;",
        ),
    ),
    kinds=frozenset({"run.created", "step.succeeded"}),
    fold=_counted,
)
"""A small area: how many events of two kinds there are, and where the newest stands."""
