"""The journal in one SQLite file: many readers, one writer, every append durable when it returns."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final, Self

import apsw

from assent.errors import InputError, InternalError, WorldError
from assent.journal._blobs import BLOBS_DIR, BlobStore
from assent.journal._checkpoint import open_checkpoint
from assent.journal._connection import connect_reader, connect_writer
from assent.journal._files import ensure_private_dir
from assent.journal._note import Ed25519Verifier, Signer
from assent.journal._reader import SqliteReader
from assent.journal._schema import LEDGER_FILE, prepare_ledger
from assent.journal._store import LedgerStore
from assent.journal._tail import Draft, Tail
from assent.journal._writer import Writer
from assent.journal.ports import Batch, Cell, Head, Projector
from assent.spec.events import Event, Leaf, LedgerCreated, LedgerRecovered, PayloadErased
from assent.spec.ids import Commitment, RunId
from assent.spec.ports import Clock, Entropy

ORIGIN_PREFIX: Final = "assent/"


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
    ) -> None:
        """Takes over both connections. See `open`."""
        self.blobs = blobs
        self._clock = clock
        self._reader = SqliteReader(reader, blobs)
        self._store = LedgerStore(writer)
        # The same connection as the store's: for the writer's thread alone.
        self._thread_reader = SqliteReader(writer, blobs)
        self._is_closed = False
        frontier, signed = self._store.load()
        stored_origin = self._store.origin()
        origin = new_origin(entropy) if stored_origin is None else stored_origin
        signer = signer_for(origin)
        self._require_own_key(signer)
        self._tail = Tail(
            origin=origin,
            signer=signer,
            frontier=frontier,
            signed=signed,
            count_events=self._store.count_events,
        )
        self._writer = Writer(self._store, self._tail, blobs=blobs, clock=clock)
        if stored_origin is None:
            self._record(LedgerCreated(origin=origin))
        elif self._tail.unsigned:
            self._record(LedgerRecovered(signed=signed, size=frontier.size))
        self._writer.start()

    @classmethod
    def open(
        cls, state_dir: Path, *, signer_for: Callable[[str], Signer], clock: Clock, entropy: Entropy
    ) -> Self:
        """The journal of this state directory, which is made if it is missing.

        `signer_for` gives the key that signs for the log of a name. What a kill left unsigned is sealed with a
        `ledger.recovered` event. Raises `InputError` `STATE_UNSAFE`, `STATE_FOREIGN`, `STATE_NEWER`,
        `KEY_FOREIGN`; `WorldError` `RECORD_CORRUPT`,
        `DISK_FULL`, `STORAGE_FAILED`.
        """
        ensure_private_dir(state_dir)
        path = state_dir / LEDGER_FILE
        prepare_ledger(path)
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

    # -- writing -------------------------------------------------------------------------------------------------------

    async def append(self, batch: Batch) -> Head:
        """Make a batch durable: events, payloads and rows, all or nothing. Durable when it returns.

        Raises `InputError` `STALE_WRITER` when `expected_n` is not the run's next event number, `InternalError` `LEAF_PROFILE`
        when an event can't stand in a leaf; `WorldError` `DISK_FULL` or `STORAGE_FAILED`, after which nothing more is taken until
        the journal is opened again, unless the ledger is known to be as it was. Cancelling the caller leaves open whether the
        batch is kept.
        """
        self._refuse_if_closed()
        return await self._writer.append(batch)

    async def erase(self, run: RunId, *, by: str, os_uid: int | None, at_ms: int) -> int:
        """Erase a finished run's payloads and blobs for good; how many payloads. The caller has checked that it is finished.

        The bytes are overwritten in the file and gone from its log when this returns; copies that a file system or a backup
        keeps are beyond our reach. Raises `WorldError` `ERASE_UNFINISHED` when a reader kept the log from being emptied: they
        are erased from the record then, and from the disk at the latest when the journal is closed. Calling it twice is harmless.
        """
        self._refuse_if_closed()
        return await self._writer.call(lambda: self._erase(run, by=by, os_uid=os_uid, at_ms=at_ms))

    async def rebuild(self, projector: Projector) -> int:
        """Drop all projections and fold them from the events again; how many rows."""
        self._refuse_if_closed()
        return await self._writer.call(lambda: self._rebuild(projector))

    async def collect_blobs(self) -> int:
        """Remove blobs that nothing refers to; how many. Those put by this process wait for their event."""
        self._refuse_if_closed()
        return await self._writer.call(lambda: self.blobs.collect(self._store.blobs_in_use()))

    async def close(self) -> None:
        """Seal what is unsigned, remove blobs that nothing refers to and release everything. Calling it twice is harmless."""
        if self._is_closed:
            return
        self._is_closed = True
        self._reader.close()
        await self._writer.stop(self._close)

    # -- reading -------------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """Where the ledger stands."""
        return self._writer.head

    def leaves(self, *, start: int = 0, stop: int | None = None) -> Iterator[Leaf]:
        """Leaves in log order, `start` included, `stop` not."""
        return self._reader.leaves(start=start, stop=stop)

    def run_leaves(self, run: RunId) -> list[Leaf]:
        """The leaves of one run, oldest first; empty for an unknown run."""
        return self._reader.run_leaves(run)

    def payload(self, commitment: Commitment) -> bytes | None:
        """The payload's bytes after checking them; None when it was erased; `RECORD_CORRUPT` when they do not match."""
        return self._reader.payload(commitment)

    def rows(self, table: str, where: Mapping[str, Cell] | None = None) -> list[dict[str, Cell]]:
        """Rows of a projection whose columns equal `where`, ordered by key."""
        return self._reader.rows(table, where)

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Size and signed note of the largest checkpoint; None when nothing was signed."""
        return self._reader.newest_checkpoint()

    @property
    def reader(self) -> SqliteReader:
        """The reader that serves the methods above, with what verification and export need besides."""
        return self._reader

    def _require_own_key(self, signer: Signer) -> None:
        """Refuse a key that did not sign the newest checkpoint: a ledger that goes on with another one would look forged."""
        newest = self._reader.newest_checkpoint()
        if newest is None:
            return
        try:
            open_checkpoint(newest[1], [Ed25519Verifier.from_vkey(signer.vkey)])
        except InputError as error:
            raise InputError(
                "KEY_FOREIGN",
                f"the key `{signer.vkey}` is not the one that signed this ledger so far",
                hint="put the ledger's own key back, or begin a new ledger with another `--state`",
            ) from error

    # -- on the writer's thread, or before it was started --------------------------------------------------------------

    def _record(self, event: LedgerCreated | LedgerRecovered) -> None:
        draft = Draft(self._tail)
        draft.add(Batch(run=None, expected_n=0, at_ms=self._clock.now_ms(), events=(event,)))
        self._writer.commit(draft, seal=True)

    def _erase(self, run: RunId, *, by: str, os_uid: int | None, at_ms: int) -> int:
        erased = self._store.stored(
            commitments_of(leaf.event for leaf in self._thread_reader.run_leaves(run))
        )
        if erased:
            blobs = self._store.blobs_of(erased)
            event = PayloadErased(target=run, count=len(erased), by=by, os_uid=os_uid)
            draft = Draft(self._tail)
            draft.add(Batch(run=None, expected_n=0, at_ms=at_ms, events=(event,)))
            self._writer.commit(draft, seal=True, erased=erased)
            self.blobs.discard(blobs - self._store.blobs_in_use())
        # Also when nothing was left to erase: an earlier call may not have come this far.
        if not self._store.forget_log():
            raise WorldError(
                "ERASE_UNFINISHED",
                f"the payloads of `{run}` are erased from the record, but a reader keeps the file's log from being emptied",
                hint="end other `assent` commands that read this state, then run the command again",
            )
        return len(erased)

    def _rebuild(self, projector: Projector) -> int:
        self._writer.refuse_if_failed()
        rows = list(projector.replay(self._thread_reader.leaves()))
        self._store.replace_projections(rows)
        return len(rows)

    def _close(self) -> None:
        try:
            if not self._writer.has_failed:
                self._writer.commit(Draft(self._tail), seal=True)
                # Nobody puts blobs any more, so those that no event took up are orphans.
                self.blobs.forget_fresh()
                self.blobs.collect(self._store.blobs_in_use())
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
