"""The growing end of the ledger: batches become leaves, leaves grow the tree, the tree is signed.

Theory of operation. A `Tail` is what is durable. A `Draft` is what one transaction would add to it: batches join it one by one,
and one that is refused leaves no trace in it. `Draft.finish` computes the new tree, and `Tail.accept` makes the draft the tail
once its transaction is committed. A draft whose transaction failed is dropped, and the tail is as it was. No I/O here: both
journals share it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import msgspec

from assent.errors import AssentError, InputError, InternalError
from assent.journal.ports import Batch, Cell, Head, Payload
from assent.journal.store._projections import Key, Stored, Tables, Values
from assent.journal.store._rows import Entry
from assent.journal.tree._checkpoint import Checkpoint, sign_checkpoint
from assent.journal.tree._commits import NO_MAC, Commit, CommitKey
from assent.journal.tree._heads import (
    CAPABILITIES_STREAM,
    NO_DIGEST,
    HeadList,
    Heads,
    is_change_of_capabilities,
    streams_of,
)
from assent.journal.tree._note import Signer
from assent.spec.events.kinds import (
    EVENT_TYPES,
    LEAF_VERSION,
    LEDGER_STREAM,
    AnyEvent,
    Event,
    Leaf,
    StoredLeaf2,
    decode_stored,
    encode_stored,
    fields_naming,
    is_sealed,
)
from assent.spec.ids import Commitment, RunId
from assent.spec.values.canonical import INTEGER_MAX
from assent.spec.values.merkle import Frontier, leaf_hash

SEAL_EVENTS_MAX: Final = 1_024
"""Unsigned events after which a checkpoint is signed."""

SEAL_MS_MAX: Final = 1_000
"""Age of the oldest unsigned event at which a checkpoint is signed."""

_RUNS_REMEMBERED_MAX: Final = 16_384


class Tail:
    """What is durable: the tree, how much of it is signed, and where each run stands."""

    __slots__ = (
        "_count_events",
        "_next_n",
        "frontier",
        "head",
        "heads",
        "key",
        "mac",
        "origin",
        "signed",
        "signer",
        "stored",
        "tables",
    )

    def __init__(
        self,
        *,
        origin: str,
        signer: Signer,
        frontier: Frontier,
        signed: int,
        count_events: Callable[[RunId | None], int],
        mac: bytes = NO_MAC,
        heads: Heads | None = None,
        tables: Tables | None = None,
        stored: Stored = lambda _table, _key: None,
    ) -> None:
        """`signed`: the size of the newest checkpoint. `mac`: that of the newest commit. `stored`: the rows of `tables`.

        `count_events`: how many durable events a run has; of None, how many belong to no run.
        """
        self.origin = origin
        self.signer = signer
        self.frontier = frontier
        self.head = Head(frontier.size, frontier.root())
        self.signed = signed
        self.key = CommitKey(signer.derive, origin)
        self.mac = mac
        self.heads = heads or Heads()
        self.tables = tables or Tables()
        self.stored = stored
        self._count_events = count_events
        self._next_n: dict[RunId | None, int] = {}

    @property
    def unsigned(self) -> int:
        """How many of the newest events no checkpoint covers."""
        return self.head.size - self.signed

    def next_n(self, run: RunId | None) -> int:
        """The number of the next event of a run; of None, of those that belong to no run."""
        known = self._next_n.get(run)
        return self._count_events(run) if known is None else known

    def accept(self, draft: Draft) -> None:
        """The draft is durable now."""
        self.frontier = draft.frontier
        self.head = draft.head
        if draft.commit is not None:
            self.mac = draft.commit.mac
        if draft.note is not None:
            self.signed = draft.head.size
        self.heads.add(draft.newest, draft.completed)
        remembered = self._next_n
        remembered.update(draft.next_n)
        while len(remembered) > _RUNS_REMEMBERED_MAX:
            # Whoever was first seen longest ago goes; the run's next batch counts its events in the file again.
            del remembered[next(iter(remembered))]


class Draft:
    """What one transaction adds to the tail."""

    __slots__ = (
        "_hashes",
        "_seal",
        "_size",
        "_tail",
        "commit",
        "completed",
        "entries",
        "frontier",
        "head",
        "newest",
        "next_n",
        "note",
        "payloads",
        "rows",
    )

    def __init__(self, tail: Tail) -> None:
        self._tail = tail
        self._size = tail.head.size
        self._hashes: list[bytes] = []
        self._seal = False
        self.frontier = tail.frontier
        self.head = tail.head
        self.next_n: dict[RunId | None, int] = {}
        self.newest: dict[str, int] = {}
        """The newest entry of each stream that has one in this draft."""
        self.entries: list[Entry] = []
        self.payloads: list[tuple[int, Payload]] = []
        """Payloads, each with the number of the leaf that binds it."""
        self.rows: dict[str, dict[tuple[Cell, ...], tuple[Cell, ...]]] = {}
        """Projection rows by table and key: of several for one key, the last."""
        self.note: str | None = None
        """The signed checkpoint, when this draft is sealed."""
        self.commit: Commit | None = None
        """What vouches for the entries of this draft, once it is finished."""
        self.completed: HeadList | None = None
        """The list of newest entries that this draft completes, once it is finished."""

    def add(self, batch: Batch) -> None:
        """Take a batch in, wholly or not at all.

        Raises `STALE_WRITER` when the batch does not continue its run, `LEAF_PROFILE` when an event holds what a leaf may not,
        `PAYLOAD_UNBOUND` when a payload belongs to none of the events.
        """
        run = batch.run
        known = self.next_n.get(run)
        n = self._tail.next_n(run) if known is None else known
        # The ledger's own events are of many things at once, so whoever adds one can't know the number of the next.
        if run is not None and n != batch.expected_n:
            raise InputError(
                "STALE_WRITER",
                f"the run `{run}` stands at event {n}, not {batch.expected_n}: somebody else went on with it",
                hint=f"look at it with `assent show {run}`",
                details={"run_id": run, "expected": batch.expected_n, "actual": n},
            )
        stream = LEDGER_STREAM if run is None else run
        seq, at_ms, seal = self._size, batch.at_ms, self._seal or batch.seal
        entries: list[Entry] = []
        bound: dict[str, int] = {}
        for event in batch.events:
            data = encode_checked(StoredLeaf2(at_ms=at_ms, stream=stream, n=n, event=event))
            entries.append(Entry(seq, run, n, leaf_hash(data), data))
            for name in event.commitment_fields:
                bound.setdefault(getattr(event, name), seq)
            seal = seal or is_sealed(event)
            seq += 1
            n += 1
        payloads = [(_binding(bound, payload.commitment), payload) for payload in batch.payloads]
        folded = self._fold(batch, entries) if self._tail.tables.areas else {}

        # Nothing was changed so far; nothing can fail from here on.
        self._size = seq
        self.entries += entries
        self._hashes += [entry.hash for entry in entries]
        self.payloads += payloads
        self.next_n[run] = n
        if entries:
            self.newest[stream] = seq - 1
        if run is None:
            for entry, event in zip(entries, batch.events, strict=True):
                if is_change_of_capabilities(event.kind):
                    self.newest[CAPABILITIES_STREAM] = entry.seq
        for row in batch.rows:
            self.rows.setdefault(row.table, {})[row.key] = row.values
        for table, rows in folded.items():
            self.rows.setdefault(table, {}).update(rows)
        self._seal = seal

    def take_stored(self, entry: Entry) -> None:
        """Go on from an entry that stands in the file already, and that nothing vouches for yet."""
        self._hashes.append(leaf_hash(entry.data))
        self.newest |= dict.fromkeys(streams_of(entry.data), entry.seq)
        self.next_n[entry.run] = (entry.n or 0) + 1
        self._size = entry.seq + 1

    def _fold(self, batch: Batch, entries: list[Entry]) -> dict[str, dict[Key, Values]]:
        """The rows of areas that a batch changes, over those of the batches before it and what is stored."""
        folded: dict[str, dict[Key, Values]] = {}

        def stored(table: str, key: Key) -> Values | None:
            for rows in (folded, self.rows):
                found = rows.get(table, {}).get(key)
                if found is not None:
                    return found
            return self._tail.stored(table, key)

        for entry, event in zip(entries, batch.events, strict=True):
            leaf = Leaf(
                v=LEAF_VERSION, seq=entry.seq, at_ms=batch.at_ms, run=entry.run, n=entry.n, event=event
            )
            for row in self._tail.tables.folded(leaf, stored):
                folded.setdefault(row.table, {})[row.key] = row.values
        return folded

    @property
    def runs(self) -> list[RunId]:
        """The runs that have events in this draft."""
        return [run for run in self.next_n if run is not None]

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to write: no event, no signature."""
        return not self.entries and self.note is None

    @property
    def unsigned(self) -> int:
        """How many events no checkpoint would cover if this draft were not sealed."""
        return self._size - self._tail.signed

    def finish(self, *, seal: bool = False) -> None:
        """Grow the tree and vouch for it; sign it when a batch asked for it, or `seal` says so, or the unsigned tail is long."""
        if self._hashes:
            self.frontier = self._tail.frontier.copy()
            self.frontier.extend(self._hashes)
            self.head = Head(self.frontier.size, self.frontier.root())
            size, root = self.head.size, self.head.root
            self.completed = self._tail.heads.completed(size, self.newest)
            heads = NO_DIGEST if self.completed is None else self.completed.digest
            mac = self._tail.key.mac(self._tail.mac, size, root, self._hashes, heads)
            self.commit = Commit(size, root, mac, heads)
        if self.unsigned > 0 and (seal or self._seal or self.unsigned >= SEAL_EVENTS_MAX):
            checkpoint = Checkpoint(self._tail.origin, self.head.size, self.head.root)
            self.note = sign_checkpoint(checkpoint, self._tail.signer)


def _binding(bound: dict[str, int], commitment: Commitment) -> int:
    seq = bound.get(commitment)
    if seq is None:
        raise InternalError("PAYLOAD_UNBOUND", f"no event of the batch binds the payload `{commitment}`")
    return seq


def _integers(event_type: type[Event], *, in_lists: bool) -> tuple[str, ...]:
    lists = fields_naming(event_type, "tuple")
    return tuple(name for name in fields_naming(event_type, "int") if (name in lists) is in_lists)


_INTEGER_FIELDS: Final = {kind: _integers(kind, in_lists=False) for kind in EVENT_TYPES.values()}
_INTEGER_LISTS: Final = {
    kind: names for kind in EVENT_TYPES.values() if (names := _integers(kind, in_lists=True))
}


def encode_checked(leaf: StoredLeaf2) -> bytes:
    """The leaf's bytes, after checking that they keep the restricted profile and can be read back.

    Raises `InternalError` LEAF_PROFILE. The bytes are looked at instead of the values, because that is several times cheaper: in
    JSON, every character outside printable ASCII shows up as a non-ASCII byte, a backslash or DEL.
    """
    event: AnyEvent = leaf.event
    for name in _INTEGER_FIELDS[type(event)]:
        value = getattr(event, name)
        if value is not None and (type(value) is not int or not -INTEGER_MAX <= value <= INTEGER_MAX):
            raise _out_of_profile(leaf, f"`{name}` is not an integer within 2^53")
    for name in _INTEGER_LISTS.get(type(event), ()):
        if any(type(value) is not int or abs(value) > INTEGER_MAX for value in getattr(event, name)):
            raise _out_of_profile(leaf, f"`{name}` holds something else than integers within 2^53")
    if not 0 <= leaf.at_ms <= INTEGER_MAX:
        raise _out_of_profile(leaf, "its time is out of range")
    data = encode_stored(leaf)
    if not data.isascii() or b"\\" in data or b"\x7f" in data:
        raise _out_of_profile(
            leaf,
            "it holds a character that a leaf may not: quotes, backslashes, control or non-ASCII characters",
        )
    try:
        # INVARIANT: what is appended can be read back. A value of another type than its field's would make the ledger unreadable
        # for ever; finding that out here costs a microsecond.
        decode_stored(data)
    except msgspec.MsgspecError as error:
        raise _out_of_profile(leaf, str(error)) from error
    return data


def _out_of_profile(leaf: StoredLeaf2, fault: str) -> AssentError:
    return InternalError(
        "LEAF_PROFILE", f"an event of kind `{leaf.event.kind}` can't stand in the ledger: {fault}"
    )
