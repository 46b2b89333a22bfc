"""A person takes the end of a ledger as it is, although nothing vouches for it: from then on it is vouched for, and in doubt.

The entries stay, byte for byte. What vouches for them is made anew, with an entry that says who took them and one for each run of
theirs (`run.doubted`), after which the engine's fold believes none of them, and one for each label that they moved, which gives
it back to the version before; all projections are folded again. One transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import chain
from pathlib import Path

from assent.errors import AssentError, InputError, WorldError
from assent.journal._blobs import BLOBS_DIR, BlobStore
from assent.journal.ports import Batch, Projector
from assent.journal.store._at_once import leaves_at_once
from assent.journal.store._connection import connect_writer
from assent.journal.store._projections import Folding, Projection, Tables
from assent.journal.store._proven import ProvenEntries, adopt, own_checkpoint
from assent.journal.store._reader import SqliteReader, decode_entry
from assent.journal.store._rows import Entry
from assent.journal.store._schema import LEDGER_FILE, applied_areas, prepare_ledger
from assent.journal.store._store import LedgerStore
from assent.journal.store._tail import Draft, Tail, encode_checked
from assent.journal.tree._commits import CommitKey
from assent.journal.tree._note import Signer
from assent.spec.events.kinds import (
    LEAF_VERSION,
    LEDGER_STREAM,
    AnyEvent,
    CapabilityLabelled,
    CapabilityUnlabelled,
    Leaf,
    LedgerCreated,
    LedgerRecovered,
    PayloadErased,
    RunDoubted,
    StoredLeaf2,
    TailAccepted,
    Who,
    decode_stored,
)
from assent.spec.ids import RunId
from assent.spec.values.merkle import Frontier, leaf_hash

_CHUNK = 4096

_OF_WHAT_STANDS_BEFORE = LedgerCreated | LedgerRecovered | TailAccepted | PayloadErased | RunDoubted
"""Signed when written. One without proof would speak of entries that have it: a rejection that stands would be doubted."""


def accept_tail(
    state_dir: Path,
    start: int,
    *,
    signer_for: Callable[[str], Signer],
    projector: Projector,
    who: Who,
    at_ms: int,
    areas: Sequence[Projection] = (),
) -> tuple[int, list[RunId]]:
    """Accept the entries from `start` on, which must be the first that nothing vouches for; how many, and the runs in doubt.

    Only the owner of the state directory may. Raises `InputError` `TAIL_NOT_IN_DOUBT` where everything is vouched for, or only
    from another entry on; `WorldError` `TAIL_UNACCEPTABLE` where what stands there are no entries of runs. Nothing was changed
    then.
    """
    path = state_dir / LEDGER_FILE
    prepare_ledger(path, partial(adopt, signer_for))
    connection = connect_writer(path)
    try:
        applied = applied_areas(connection)
        # Tables that an area lacks here are made, and folded from all entries, by the next owner.
        tables = Tables([area for area in areas if applied.get(area.area) == area.applied])
        reader = SqliteReader(connection, BlobStore(state_dir / BLOBS_DIR), tables)
        store = LedgerStore(connection, tables)
        tail = _proven_part(reader, store, start, signer_for, tables)
        entries = reader.entries(start, -1)
        draft = Draft(tail)
        doubted = _take(draft, tail, entries)
        accepted = TailAccepted(start=start, size=start + len(entries), **who)
        draft.add(_batch(None, 0, at_ms, accepted, *_labels_as_before(leaves_at_once(reader), start, who)))
        for run, first in doubted.items():
            draft.add(_batch(run, draft.next_n[run], at_ms, RunDoubted(start=first)))
        _fold_again(draft, reader, tables, projector)
        draft.finish(seal=True)
        hashes = [(leaf_hash(entry.data), entry.seq) for entry in entries]

        def clear() -> None:
            for table in ("commits", "heads"):
                connection.execute(f"DELETE FROM {table} WHERE size > ?", (start,))  # noqa: S608 - of our own schema
            connection.executemany("UPDATE events SET hash = ? WHERE seq = ?", hashes)

        store.write(draft, clear=clear, replaces_projections=True)
        return len(entries), list(doubted)
    finally:
        connection.close()


def _batch(run: RunId | None, n: int, at_ms: int, *events: AnyEvent) -> Batch:
    return Batch(run=run, expected_n=n, at_ms=at_ms, events=events)


def _proven_part(
    reader: SqliteReader,
    store: LedgerStore,
    start: int,
    signer_for: Callable[[str], Signer],
    tables: Tables,
) -> Tail:
    """The ledger before `start`, after checking that it is what was written and that what follows is not."""
    origin = store.origin()
    if origin is None:
        raise _nothing(start)
    signer = signer_for(origin)
    proven = ProvenEntries(reader.select, CommitKey(signer.derive, origin))
    newest = own_checkpoint(reader.newest_checkpoint(), signer)
    try:
        proven.require_tail(newest)
    except WorldError as error:
        if error.code != "LEDGER_TAIL_CHANGED":
            raise
        if error.details.get("seq") != start:
            raise _nothing(start, error.details.get("seq")) from error
    else:
        raise _nothing(start)
    last, heads = proven.require_tail(newest, upto=start)
    frontier = Frontier()
    while frontier.size < start:
        part = reader.entries(frontier.size, min(_CHUNK, start - frontier.size))
        if not part:
            raise _unacceptable(frontier.size)
        frontier.extend([leaf_hash(entry.data) for entry in part])
    if start and frontier.root() != last.root:
        raise WorldError(
            "RECORD_CORRUPT",
            f"an entry before entry {start} is not what was written",
            hint="run `assent audit verify`; nothing more is done with this record",
        )
    return Tail(
        origin=origin,
        signer=signer,
        frontier=frontier,
        signed=0 if newest is None else newest.size,
        count_events=partial(_count, reader, heads.newest),
        mac=last.mac,
        heads=heads,
        tables=tables,
    )


def _count(reader: SqliteReader, newest: Callable[[str], int | None], run: RunId | None) -> int:
    """How many events a run has in the part that is proven."""
    seq = newest(run or LEDGER_STREAM)
    return 0 if seq is None else (decode_entry(reader.entries(seq, 1)[0]).n or 0) + 1


def _take(draft: Draft, tail: Tail, entries: Sequence[Entry]) -> dict[RunId, int]:
    """Let the draft go on from these entries, as they are; the first number of each run among them."""
    doubted: dict[RunId, int] = {}
    size = tail.head.size
    for seq, entry in enumerate(entries, size):
        try:
            leaf = decode_entry(entry)
            # What we would not write, others could read otherwise, or not at all.
            stored = decode_stored(entry.data)
            is_ours = isinstance(stored, StoredLeaf2) and encode_checked(stored) == entry.data
        except AssentError as error:
            raise _unacceptable(seq) from error
        known = draft.next_n.get(leaf.run)
        expected = tail.next_n(leaf.run) if known is None else known
        is_own = (leaf.v, leaf.seq, leaf.n) == (LEAF_VERSION, seq, expected)
        if not is_ours or not is_own or isinstance(leaf.event, _OF_WHAT_STANDS_BEFORE):
            raise _unacceptable(seq)
        if leaf.run is not None:
            doubted.setdefault(leaf.run, expected)
        draft.take_stored(entry)
    return doubted


def _labels_as_before(leaves: Iterable[Leaf], start: int, who: Who) -> list[AnyEvent]:
    """What gives each label that was moved since entry `start` back to the version that it named before."""
    before: dict[tuple[str, str], str | None] = {}
    after: dict[tuple[str, str], str | None] = {}
    for leaf in leaves:
        event = leaf.event
        if isinstance(event, CapabilityLabelled | CapabilityUnlabelled):
            named = before if leaf.seq < start else after
            named[event.capability, event.label] = getattr(event, "version", None)
    return [
        CapabilityUnlabelled(capability=capability, label=label, **who)
        if (version := before.get((capability, label))) is None
        else CapabilityLabelled(capability=capability, label=label, version=version, **who)
        for (capability, label), named in after.items()
        if named != before.get((capability, label))
    ]


def _fold_again(draft: Draft, reader: SqliteReader, tables: Tables, projector: Projector) -> None:
    folding = Folding(tables)
    leaves = chain(leaves_at_once(reader), map(decode_entry, draft.entries))
    draft.rows.clear()
    try:
        for row in projector.replay(folding.passing(leaves)):
            draft.rows.setdefault(row.table, {})[row.key] = row.values
    except AssentError as error:
        raise _unacceptable(None) from error
    draft.rows.update(folding.rows)


def _nothing(start: int, instead: object = None) -> InputError:
    return InputError(
        "TAIL_NOT_IN_DOUBT",
        "the ledger's key vouches for every entry"
        if instead is None
        else f"the first entry that nothing vouches for is {instead}, not {start}",
        hint=None
        if instead is None
        else f"look at it with `assent audit log`, then accept it with `--from {instead}`",
    )


def _unacceptable(seq: int | None) -> WorldError:
    what = (
        "the entries contradict each other"
        if seq is None
        else f"what stands at entry {seq} is not an entry that can follow"
    )
    return WorldError(
        "TAIL_UNACCEPTABLE",
        f"the end of the ledger can't be accepted: {what}",
        hint="restore the state from a backup, or begin a new ledger with another `--state`; nothing was changed",
        details={} if seq is None else {"seq": seq},
    )
