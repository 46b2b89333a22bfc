"""The journal in memory: the same promises but durability, inline and deterministic, for simulations and tests."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from hashlib import sha256

from assent.errors import InternalError, WorldError
from assent.journal._followers import Followers
from assent.journal.ports import Batch, Cell, Head, News, Payload, Projector, Where
from assent.journal.store._projections import Folding, Projection, Tables
from assent.journal.store._reader import decode_entry
from assent.journal.store._rows import Entry, Selection, checked_body
from assent.journal.store._sqlite import commitments_of, new_origin
from assent.journal.store._tail import Draft, Tail
from assent.journal.tree._note import Signer
from assent.spec.events.kinds import Leaf, LedgerCreated, PayloadErased, Who
from assent.spec.ids import Commitment, RunId
from assent.spec.ports import Clock, Entropy
from assent.spec.values.canonical import INTEGER_MAX
from assent.spec.values.merkle import Frontier


class MemoryJournal:
    """A `Journal` that lives as long as its object. Each append is done when the call begins to wait."""

    def __init__(
        self,
        *,
        signer_for: Callable[[str], Signer],
        clock: Clock,
        entropy: Entropy,
        areas: Sequence[Projection] = (),
    ) -> None:
        self._tables = tables = Tables(areas)
        self.blobs = MemoryBlobs()
        self._entries: list[Entry] = []
        self._runs: dict[RunId | None, list[Entry]] = {}
        self._payloads: dict[Commitment, Payload] = {}
        self._blob_refs: set[tuple[Commitment, str]] = set()
        self._checkpoints: list[tuple[int, str]] = []
        self._rows: dict[str, dict[tuple[Cell, ...], tuple[Cell, ...]]] = {
            table: {} for table in tables.columns
        }
        self._followers = Followers()
        self._is_closed = False
        origin = new_origin(entropy)
        self._tail = Tail(
            origin=origin,
            signer=signer_for(origin),
            frontier=Frontier(),
            signed=0,
            count_events=lambda run: len(self._runs.get(run, ())),
            tables=tables,
            stored=lambda table, key: self._rows[table].get(key),
        )
        created = LedgerCreated(origin=origin)
        self._commit(Batch(run=None, expected_n=0, at_ms=clock.now_ms(), events=(created,), seal=True))

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return self._tail.origin

    async def append(self, batch: Batch) -> Head:
        """Take a batch, all or nothing; refused as by `SqliteJournal.append`."""
        self._refuse_if_closed()
        return self._commit(batch)

    async def erase(
        self, run: RunId, *, who: Who, at_ms: int, act: RunId | None = None, said: Batch | None = None
    ) -> int:
        """Erase a finished run's payloads and blobs; how many payloads."""
        self._refuse_if_closed()
        bound = commitments_of(leaf.event for leaf in await self.events(run))
        erased = [commitment for commitment in bound if commitment in self._payloads]
        if not erased:
            return 0
        event = PayloadErased(target=run, count=len(erased), act=act, **who)
        draft = Draft(self._tail)
        draft.add(Batch(run=None, expected_n=0, at_ms=at_ms, events=(event,)))
        if said is not None:
            draft.add(said)
        self._settle(draft, seal=True)
        for commitment in erased:
            del self._payloads[commitment]
        self._blob_refs = {ref for ref in self._blob_refs if ref[0] not in erased}
        self.blobs.collect({digest for _, digest in self._blob_refs})
        return len(erased)

    async def forget(self) -> None:
        """There is no file that could still hold anything."""
        self._refuse_if_closed()

    async def compact(self) -> int:
        """Nothing is kept of what was erased."""
        self._refuse_if_closed()
        return 0

    async def rebuild(self, projector: Projector) -> int:
        """Drop all projections and fold them from the events again; how many rows."""
        self._refuse_if_closed()
        folding = Folding(self._tables)
        rows = list(projector.replay(folding.passing(map(decode_entry, self._entries))))
        self._rows = {table: {} for table in self._tables.columns}
        for row in rows:
            self._rows[row.table][row.key] = row.values
        self._rows |= folding.rows
        return len(rows) + sum(map(len, folding.rows.values()))

    async def close(self) -> None:
        """Seal what is unsigned. Calling it twice is harmless; reading goes on."""
        if not self._is_closed:
            self._is_closed = True
            self._settle(Draft(self._tail), seal=True)
            self._followers.close()

    @property
    def keys(self) -> Mapping[str, int]:
        """How many of the first columns of each projection are its key."""
        return self._tables.keys

    async def head(self) -> Head:
        """Where the ledger stands."""
        return self._tail.head

    async def leaves(self, *, start: int = 0, limit: int) -> list[Leaf]:
        """At most so many leaves in log order, from entry `start` on; fewer only at the end of the log."""
        return [decode_entry(entry) for entry in self._entries[start : start + limit]]

    async def events(self, run: RunId | None, *, since: int = 0, limit: int | None = None) -> list[Leaf]:
        """The leaves of one run from its event number `since` on, oldest first; empty for an unknown run."""
        stop = None if limit is None else since + limit
        return [decode_entry(entry) for entry in self._runs.get(run, ())[since:stop]]

    async def payload(self, commitment: Commitment) -> bytes | None:
        """The payload's bytes after checking them; None when it was erased."""
        stored = self._payloads.get(commitment)
        return None if stored is None else checked_body(commitment, stored.salt, stored.body)

    async def rows(
        self,
        table: str,
        where: Where | None = None,
        *,
        after: tuple[Cell, ...] | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> list[dict[str, Cell]]:
        """At most so many rows of a projection, ordered by key, or by key backwards: those that come after the key `after`."""
        chosen = Selection.of(self._tables, table, where, after, limit, newest_first=newest_first)
        stored = self._rows[table]
        found: list[dict[str, Cell]] = []
        bound = None if after is None else _sortable(after)
        for key in sorted(stored, key=_sortable, reverse=newest_first):
            if bound is not None and (_sortable(key) >= bound if newest_first else _sortable(key) <= bound):
                continue
            row = dict(zip(chosen.columns, stored[key], strict=True))
            if len(found) < limit and chosen.matches(row):
                found.append(row)
        return found

    def follow(self, run: RunId) -> AbstractContextManager[News]:
        """To hear, until the block ends, that more events of a run are durable."""
        return self._followers.follow(run)

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Size and signed note of the largest checkpoint; None when nothing was signed."""
        return self._checkpoints[-1] if self._checkpoints else None

    def _commit(self, batch: Batch) -> Head:
        draft = Draft(self._tail)
        draft.add(batch)
        return self._settle(draft)

    def _settle(self, draft: Draft, *, seal: bool = False) -> Head:
        draft.finish(seal=seal)
        self._tail.accept(draft)
        self._entries += draft.entries
        for entry in draft.entries:
            self._runs.setdefault(entry.run, []).append(entry)
        for _, payload in draft.payloads:
            self._payloads[payload.commitment] = payload
            self._blob_refs.update((payload.commitment, digest) for digest in payload.blobs)
        for table, rows in draft.rows.items():
            self._rows[table].update(rows)
        if draft.note is not None:
            self._checkpoints.append((draft.head.size, draft.note))
        self._followers.tell(draft.runs)
        return draft.head

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise InternalError("JOURNAL_CLOSED", "the journal was closed")


def _sortable(key: tuple[Cell, ...]) -> list[tuple[int, str]]:
    """Numbers before texts, as SQLite has it; a column holds one kind."""
    return [(cell, "") if isinstance(cell, int) else (INTEGER_MAX, str(cell)) for cell in key]


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
