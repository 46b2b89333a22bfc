"""The journal in one SQLite file: many readers, one writer, every append durable when it returns."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, suppress
from functools import partial
from pathlib import Path
from typing import Final, Self

import apsw

from assent.errors import InternalError, WorldError
from assent.journal._blobs import BLOBS_DIR, BlobStore
from assent.journal._files import ensure_private_dir
from assent.journal._followers import Followers
from assent.journal.ports import Batch, Cell, Head, News, Projector, Row, Where
from assent.journal.store._at_once import leaves_at_once
from assent.journal.store._connection import connect_reader, connect_writer, translated
from assent.journal.store._projections import Folding, Projection, Tables, bring_areas
from assent.journal.store._proven import ProvenEntries, adopt, own_checkpoint
from assent.journal.store._reader import SqliteReader, decode_entry
from assent.journal.store._schema import LEDGER_FILE, prepare_ledger
from assent.journal.store._store import LedgerStore
from assent.journal.store._tail import Draft, Tail
from assent.journal.store._writer import Writer
from assent.journal.tree._commits import CommitKey
from assent.journal.tree._note import Signer
from assent.spec.events.kinds import (
    LEDGER_STREAM,
    Event,
    Leaf,
    LedgerCreated,
    LedgerRecovered,
    PayloadErased,
    Who,
)
from assent.spec.ids import Commitment, RunId
from assent.spec.ports import Clock, Entropy

ORIGIN_PREFIX: Final = "assent/"

FORGET_MS_MAX: Final = 10_000
"""How long readers are waited for that keep the log from being emptied, looking again every `FORGET_APART_MS`."""
FORGET_APART_MS: Final = 50


class SqliteJournal:
    """A `Journal` over the ledger's file. Only the owner of the state directory may open one, and one at a time."""

    def __init__(
        self,
        *,
        writer: apsw.Connection,
        reader: apsw.Connection,
        blobs: BlobStore,
        signer_for: Callable[[str], Signer],
        clock: Clock,
        entropy: Entropy,
        areas: Sequence[Projection] = (),
    ) -> None:
        """Takes over both connections. See `open`."""
        tables = Tables(areas)
        self.blobs = blobs
        self._clock = clock
        self._reader = SqliteReader(reader, blobs, tables)
        self._store = LedgerStore(writer, tables)
        # The same connection as the store's: for the writer's thread alone.
        self._thread_reader = SqliteReader(writer, blobs, tables)
        self._is_closed = False
        stored_origin = self._store.origin()
        origin = new_origin(entropy) if stored_origin is None else stored_origin
        signer = signer_for(origin)
        key = CommitKey(signer.derive, origin)
        newest = own_checkpoint(self._reader.newest_checkpoint(), signer)
        self._proven = ProvenEntries(self._reader.select, key)
        last, heads = self._proven.require_tail(newest)
        frontier, signed = self._store.load(last)
        self._tail = Tail(
            origin=origin,
            signer=signer,
            frontier=frontier,
            signed=signed,
            count_events=self._count_events,
            tables=tables,
            stored=self._store.stored_row,
            mac=last.mac,
            heads=heads,
        )
        with translated():
            bring_areas(writer, tables, lambda: leaves_at_once(self._thread_reader))
        self._tables = tables
        self._followers = Followers()
        self._writer = Writer(self._store, self._tail, blobs=blobs, clock=clock, told=self._followers.tell)
        if stored_origin is None:
            self._record(LedgerCreated(origin=origin))
        elif self._tail.unsigned:
            self._record(LedgerRecovered(signed=signed, size=frontier.size))
        self._writer.start()

    @classmethod
    def open(
        cls,
        state_dir: Path,
        *,
        signer_for: Callable[[str], Signer],
        clock: Clock,
        entropy: Entropy,
        areas: Sequence[Projection] = (),
    ) -> Self:
        """The journal of this state directory, which is made if it is missing.

        `signer_for` gives the key that signs for the log of a name; `areas` are the projections that areas bring, made here if
        they are new or changed. What a kill left unsigned is sealed with a
        `ledger.recovered` event. Raises `InputError` `STATE_UNSAFE`, `STATE_FOREIGN`, `STATE_NEWER`,
        `KEY_FOREIGN`, `LEDGER_TAIL_UNSEALED`; `WorldError` `LEDGER_TAIL_CHANGED` when what was left unsigned is not what was
        written, `RECORD_CORRUPT`, `DISK_FULL`, `STORAGE_FAILED`.
        """
        ensure_private_dir(state_dir, may_be_link=True)
        path = state_dir / LEDGER_FILE
        prepare_ledger(path, partial(adopt, signer_for))
        blobs = BlobStore(state_dir / BLOBS_DIR)
        blobs.prepare()
        writer = connect_writer(path)
        try:
            reader = connect_reader(path)
            try:
                return cls(
                    writer=writer,
                    reader=reader,
                    blobs=blobs,
                    signer_for=signer_for,
                    clock=clock,
                    entropy=entropy,
                    areas=areas,
                )
            except BaseException:
                reader.close()
                raise
        except BaseException:
            writer.close()
            raise

    @property
    def origin(self) -> str:
        """The log's name in its checkpoints."""
        return self._tail.origin

    async def append(self, batch: Batch) -> Head:
        """Make a batch durable: events, payloads and rows, all or nothing. Durable when it returns.

        Raises `InputError` `STALE_WRITER` when `expected_n` is not the run's next event number, `InternalError` `LEAF_PROFILE`
        when an event can't stand in a leaf; `WorldError` `DISK_FULL` or `STORAGE_FAILED`, after which nothing more is taken until
        the journal is opened again, unless the ledger is known to be as it was. Cancelling the caller leaves open whether the
        batch is kept.
        """
        self._refuse_if_closed()
        return await self._writer.append(batch)

    async def erase(
        self, run: RunId, *, who: Who, at_ms: int, act: RunId | None = None, said: Batch | None = None
    ) -> int:
        """Erase a finished run's payloads and blobs for good; how many payloads. The caller has checked that it is finished.

        `act`: the run in which that was decided. `said`: what the run's own stream says of it, in the same transaction;
        `STALE_WRITER` as for `append`.

        They are erased from the record when this returns, and from the disk once `forget` has. Calling it twice is harmless.
        """
        self._refuse_if_closed()
        return await self._writer.call(lambda: self._erase(run, who, at_ms, act, said))

    async def forget(self) -> None:
        """See to it that what was erased stands in the file's log no more either: it is overwritten, and the log is empty.

        Copies that a file system or a backup keeps are beyond our reach. Raises `WorldError` `ERASE_UNFINISHED` when a reader has
        held on to the log for `FORGET_MS_MAX`: it is emptied by the next call then, at the latest when the journal is closed.
        Meanwhile others are written for.
        """
        self._refuse_if_closed()
        for _ in range(FORGET_MS_MAX // FORGET_APART_MS):
            if await self._writer.call(self._store.forget_log):
                return
            await asyncio.sleep(FORGET_APART_MS / 1000)
        raise WorldError(
            "ERASE_UNFINISHED",
            "a reader keeps the file's log, in which what was erased still stands, from being emptied",
            hint="end other `assent` commands that read this state",
        )

    async def compact(self) -> int:
        """Give back the room of what was erased; how many bytes.

        The file is written anew, in one transaction: its disk and the folder for temporary files need as much room again as what
        is left takes. Raises `WorldError`, `DISK_FULL` among others, and then the file is as it was. While a reader holds on to
        the log, the file shrinks once that is gone.
        """
        self._refuse_if_closed()
        return await self._writer.call(self._compact)

    async def rebuild(self, projector: Projector) -> int:
        """Drop all projections and fold them from the events again; how many rows."""
        self._refuse_if_closed()
        return await self._writer.call(lambda: self._rebuild(projector))

    async def close(self) -> None:
        """Seal what is unsigned, remove blobs that nothing refers to and release everything. Calling it twice is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        self._followers.close()
        # Before the writer's connection: the last one to close is the one that empties the log.
        self._reader.close()
        await self._writer.stop(self._close)

    @property
    def keys(self) -> Mapping[str, int]:
        """How many of the first columns of each projection are its key."""
        return self._tables.keys

    async def head(self) -> Head:
        """Where the ledger stands."""
        return self._writer.head

    async def leaves(self, *, start: int = 0, limit: int) -> list[Leaf]:
        """At most so many leaves in log order, from entry `start` on; fewer only at the end of the log."""
        return await self._reader.leaves(start=start, limit=limit)

    async def events(self, run: RunId | None, *, since: int = 0, limit: int | None = None) -> list[Leaf]:
        """The leaves of one run from its event number `since` on, oldest first; empty for an unknown run.

        `RECORD_CORRUPT` for an entry that the ledger's key does not vouch for, and where one is missing: the ledger's owner acts
        on what it reads here.
        """
        newest = self._tail.heads.newest(run or LEDGER_STREAM)
        entries = self._reader.run_entries(run, since=since, limit=limit)
        is_end = limit is None or len(entries) < limit
        if is_end and not entries and since and newest is not None:
            # Nothing from there on is right where the newest has a lower number.
            last = self._reader.entries(newest, 1)
            self._proven.require(last)
            is_end = [entry.seq for entry in last] != [newest] or (decode_entry(last[0]).n or 0) >= since
        self._proven.require_whole(run, entries, since=since, newest=newest if is_end else None)
        return [decode_entry(entry) for entry in entries]

    async def payload(self, commitment: Commitment) -> bytes | None:
        """The payload's bytes after checking them; None when it was erased; `RECORD_CORRUPT` when they do not match."""
        return await self._reader.payload(commitment)

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
        return await self._reader.rows(table, where, after=after, limit=limit, newest_first=newest_first)

    def follow(self, run: RunId) -> AbstractContextManager[News]:
        """To hear, until the block ends, that more events of a run are durable."""
        return self._followers.follow(run)

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Size and signed note of the largest checkpoint; None when nothing was signed."""
        return self._reader.newest_checkpoint()

    @property
    def reader(self) -> SqliteReader:
        """The reader that serves the methods above, with what verification and export need besides."""
        return self._reader

    def _count_events(self, run: RunId | None) -> int:
        """How many events a run has by its newest entry, which is proven; where the file knows none, it is a new run.

        On the writer's thread, or before it was started, as what follows.
        """
        count = self._store.count_events(run)
        if count:
            newest = self._tail.heads.newest(run or LEDGER_STREAM)
            last = self._reader.run_entries(run, since=count - 1, limit=1)
            self._proven.require_whole(run, last, since=count - 1, newest=newest)
        return count

    def _record(self, event: LedgerCreated | LedgerRecovered) -> None:
        draft = Draft(self._tail)
        draft.add(Batch(run=None, expected_n=0, at_ms=self._clock.now_ms(), events=(event,)))
        self._writer.commit(draft, seal=True)

    def _erase(self, run: RunId, who: Who, at_ms: int, act: RunId | None, said: Batch | None) -> int:
        erased = self._store.stored(
            commitments_of(leaf.event for leaf in self._thread_reader.run_leaves(run))
        )
        if erased:
            blobs = self._store.blobs_of(erased)
            draft = Draft(self._tail)
            event = PayloadErased(target=run, count=len(erased), act=act, **who)
            draft.add(Batch(run=None, expected_n=0, at_ms=at_ms, events=(event,)))
            if said is not None:
                draft.add(said)
            if blobs:
                self.blobs.foretell_orphans()
            self._writer.commit(draft, seal=True, erased=erased)
            self.blobs.discard(blobs - self._store.blobs_in_use())
        elif self.blobs.was_left:
            # Nobody knows any more which blobs an earlier call let go of.
            self.blobs.collect(self._store.blobs_in_use())
        # A log that grows with each run takes the room of a disk that is full. What prevents it now, `forget` tells.
        with suppress(WorldError):
            self._store.forget_log()
        return len(erased)

    def _compact(self) -> int:
        self._writer.refuse_if_failed()
        return self._store.compact()

    def _rebuild(self, projector: Projector) -> int:
        self._writer.refuse_if_failed()
        folding = Folding(self._tables)
        rows = list(projector.replay(folding.passing(leaves_at_once(self._thread_reader))))
        rows += [Row(table, key, row) for table, of in folding.rows.items() for key, row in of.items()]
        self._store.replace_projections(rows)
        return len(rows)

    def _close(self) -> None:
        try:
            if not self._writer.has_failed:
                self._writer.commit(Draft(self._tail), seal=True)
                # Nobody puts blobs any more, so those that no event took up are orphans.
                self.blobs.close(self._store.blobs_in_use)
        finally:
            self._store.close()

    def _refuse_if_closed(self) -> None:
        if self._is_closed:
            raise InternalError("JOURNAL_CLOSED", "the journal was closed")


def new_origin(entropy: Entropy) -> str:
    """A name for a new log, unique for all practical purposes: 128 random bits."""
    return ORIGIN_PREFIX + base64.b32encode(entropy.salt()).decode().rstrip("=").lower()


def commitments_of(events: Iterable[Event]) -> list[Commitment]:
    """What the events bind, each once, in order."""
    return list(dict.fromkeys(commitment for event in events for commitment in event.commitments()))
