"""The journal in memory: the same promises but durability, inline and deterministic, for simulations and tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from hashlib import sha256

from assent.errors import InternalError, WorldError
from assent.journal._merkle import Frontier
from assent.journal._note import Signer
from assent.journal._reader import decode_entry
from assent.journal._rows import checked_body, projection_columns
from assent.journal._schema import PROJECTION_KEYS, PROJECTIONS
from assent.journal._sqlite import commitments_of, new_origin
from assent.journal._tail import Draft, Entry, Tail
from assent.journal.ports import Batch, Cell, Head, Payload, Projector
from assent.spec.canonical import INTEGER_MAX
from assent.spec.events import Leaf, LedgerCreated, PayloadErased
from assent.spec.ids import Commitment, RunId
from assent.spec.ports import Clock, Entropy


class MemoryJournal:
    """A `Journal` that lives as long as its object. Each append is done when the call begins to wait."""

    def __init__(self, *, signer_for: Callable[[str], Signer], clock: Clock, entropy: Entropy) -> None:
        self.blobs = MemoryBlobs()
        self._entries: list[Entry] = []
        self._runs: dict[RunId, list[Entry]] = {}
        self._payloads: dict[Commitment, Payload] = {}
        self._blob_refs: set[tuple[Commitment, str]] = set()
        self._checkpoints: list[tuple[int, str]] = []
        self._rows: dict[str, dict[tuple[Cell, ...], tuple[Cell, ...]]] = {table: {} for table in PROJECTIONS}
        self._is_closed = False
        origin = new_origin(entropy)
        self._tail = Tail(
            origin=origin,
            signer=signer_for(origin),
            frontier=Frontier(),
            signed=0,
            count_events=lambda run: len(self._runs.get(run, ())),
        )
        created = LedgerCreated(origin=origin)
        self._commit(Batch(run=None, expected_n=0, at_ms=clock.now_ms(), events=(created,), seal=True))

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return self._tail.origin

    # -- writing -------------------------------------------------------------------------------------------------------

    async def append(self, batch: Batch) -> Head:
        """Take a batch, all or nothing; refused as by `SqliteJournal.append`."""
        self._refuse_if_closed()
        return self._commit(batch)

    async def erase(self, run: RunId, *, by: str, os_uid: int | None, at_ms: int) -> int:
        """Erase a finished run's payloads and blobs; how many payloads."""
        self._refuse_if_closed()
        bound = commitments_of(leaf.event for leaf in self.run_leaves(run))
        erased = [commitment for commitment in bound if commitment in self._payloads]
        if not erased:
            return 0
        event = PayloadErased(target=run, count=len(erased), by=by, os_uid=os_uid)
        self._commit(Batch(run=None, expected_n=0, at_ms=at_ms, events=(event,), seal=True))
        for commitment in erased:
            del self._payloads[commitment]
        self._blob_refs = {ref for ref in self._blob_refs if ref[0] not in erased}
        self.blobs.collect({digest for _, digest in self._blob_refs})
        return len(erased)

    async def rebuild(self, projector: Projector) -> int:
        """Drop all projections and fold them from the events again; how many rows."""
        self._refuse_if_closed()
        rows = list(projector.replay(self.leaves()))
        self._rows = {table: {} for table in PROJECTIONS}
        for row in rows:
            self._rows[row.table][row.key] = row.values
        return len(rows)

    async def close(self) -> None:
        """Seal what is unsigned. Calling it twice is harmless; reading goes on."""
        if not self._is_closed:
            self._is_closed = True
            self._settle(Draft(self._tail), seal=True)

    # -- reading -------------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """Where the ledger stands."""
        return self._tail.head

    def leaves(self, *, start: int = 0, stop: int | None = None) -> Iterator[Leaf]:
        """Leaves in log order, `start` included, `stop` not."""
        return map(decode_entry, self._entries[start:stop])

    def run_leaves(self, run: RunId) -> list[Leaf]:
        """The leaves of one run, oldest first; empty for an unknown run."""
        return [decode_entry(entry) for entry in self._runs.get(run, ())]

    def payload(self, commitment: Commitment) -> bytes | None:
        """The payload's bytes after checking them; None when it was erased."""
        stored = self._payloads.get(commitment)
        return None if stored is None else checked_body(commitment, stored.salt, stored.body)

    def rows(self, table: str, where: Mapping[str, Cell] | None = None) -> list[dict[str, Cell]]:
        """Rows of a projection whose columns equal `where`, ordered by key."""
        columns = projection_columns(table, where)
        width = PROJECTION_KEYS[table]
        rows = [dict(zip(columns, values, strict=True)) for values in self._rows[table].values()]
        rows.sort(key=lambda row: [_sortable(row[column]) for column in columns[:width]])
        return [row for row in rows if all(row[column] == value for column, value in (where or {}).items())]

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Size and signed note of the largest checkpoint; None when nothing was signed."""
        return self._checkpoints[-1] if self._checkpoints else None

    # -- inside --------------------------------------------------------------------------------------------------------

    def _commit(self, batch: Batch) -> Head:
        draft = Draft(self._tail)
        draft.add(batch)
        return self._settle(draft)

    def _settle(self, draft: Draft, *, seal: bool = False) -> Head:
        draft.finish(seal=seal)
        self._tail.accept(draft)
        self._entries += draft.entries
        for entry in draft.entries:
            if entry.run is not None:
                self._runs.setdefault(entry.run, []).append(entry)
        for _, payload in draft.payloads:
            self._payloads[payload.commitment] = payload
            self._blob_refs.update((payload.commitment, digest) for digest in payload.blobs)
        for table, rows in draft.rows.items():
            self._rows[table].update(rows)
        if draft.note is not None:
            self._checkpoints.append((draft.head.size, draft.note))
        return draft.head

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise InternalError("JOURNAL_CLOSED", "the journal was closed")


def _sortable(cell: Cell) -> tuple[int, str]:
    """Numbers before texts, as SQLite has it; a column holds one kind."""
    return (cell, "") if isinstance(cell, int) else (INTEGER_MAX, str(cell))


class MemoryBlobs:
    """`Blobs` in memory."""

    def __init__(self) -> None:
        self._blobs: dict[str, bytes] = {}

    def put(self, chunks: Iterable[bytes]) -> str:
        """Store bytes and return their address, 64 hex digits of SHA-256."""
        content = b"".join(chunks)
        digest = sha256(content).hexdigest()
        self._blobs[digest] = content
        return digest

    def read(self, digest: str) -> Iterator[bytes]:
        """The bytes; `RECORD_CORRUPT` when there are none."""
        content = self._blobs.get(digest)
        if content is None:
            raise WorldError(
                "RECORD_CORRUPT", f"the blob `{digest[:16]}…` is missing", hint="run `assent audit verify`"
            )
        return iter((content,) if content else ())

    def collect(self, in_use: Collection[str]) -> int:
        """Remove every blob that is not in use; how many."""
        orphans = self._blobs.keys() - set(in_use)
        for digest in orphans:
            del self._blobs[digest]
        return len(orphans)
