"""A draft becomes durable: one transaction, few statements.

Rows go in by statements for up to 16 of them. A statement per row would let go of the interpreter's lock for every row: beside a
busy event loop the writer would then wait for it hundreds of times per commit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Final

import apsw

from assent.errors import WorldError
from assent.failpoints import FAILPOINTS
from assent.journal.ports import Cell, Row
from assent.journal.store._connection import BUSY_MS_MAX, is_full, translate, translated
from assent.journal.store._projections import Tables, require_own_tables
from assent.journal.store._rows import find_payload, payload_tag
from assent.journal.store._tail import Draft
from assent.journal.tree._commits import Commit
from assent.spec.events.kinds import LedgerCreated, decode_stored
from assent.spec.ids import Commitment, RunId
from assent.spec.values.merkle import Frontier

_ROWS_MAX: Final = 16
"""Rows in one statement. There is one statement for each number of rows up to it, all kept prepared."""


class LedgerStore:
    """Writing to the ledger's file. Used by one thread at a time.

    `is_sound` turns false when a commit failed in a way that leaves open whether it is durable. Nothing may be written from
    then on: the next owner reads the file and knows.
    """

    def __init__(self, connection: apsw.Connection, tables: Tables | None = None) -> None:
        """`RECORD_CORRUPT` for a file whose tables are not ours: its statements might do something else."""
        self._tables = tables or Tables()
        self._connection = connection
        self._file = _identity(connection.filename)
        self.is_sound = True
        require_own_tables(connection, self._tables.areas)

    def load(self, last: Commit) -> tuple[Frontier, int]:
        """The tree, and the size of the newest checkpoint. `RECORD_CORRUPT` when what stands in the file disagrees.

        `last`: the newest commit, which the key vouches for.
        """
        with translated():
            row = self._connection.execute("SELECT size, frontier, root FROM tree").fetchone()
            newest = self._connection.execute("SELECT max(seq) FROM events").get
            signed = self._connection.execute("SELECT max(size) FROM checkpoints").get
        size = 0 if newest is None else newest + 1
        try:
            frontier = Frontier() if row is None else Frontier.from_bytes(row[1])
        except ValueError as error:
            raise _disagreement() from error
        stated = (0, Frontier().root()) if row is None else (row[0], row[2])
        if stated != (size, frontier.root()) or frontier.size != size or (signed or 0) > size:
            raise _disagreement()
        if size != last.size or (size > 0 and frontier.root() != last.root):
            # INVARIANT: only a tree that the key vouches for grows. The next checkpoint signs all of it, entries that nobody
            # reads again too: a tree of other entries would make a forged history a signed one.
            raise _disagreement()
        return frontier, signed or 0

    def origin(self) -> str | None:
        """The log's name, from its first event; None for an empty ledger."""
        with translated():
            data = self._connection.execute("SELECT leaf FROM events WHERE seq = 0").get
        if data is None:
            return None
        try:
            event = decode_stored(data).event
        except ValueError as error:  # msgspec's errors are ValueErrors.
            raise _disagreement() from error
        if not isinstance(event, LedgerCreated):
            raise _disagreement()
        return event.origin

    def stored_row(self, table: str, key: tuple[Cell, ...]) -> tuple[Cell, ...] | None:
        """The row of a projection under its key; None when there is none."""
        columns = self._tables.columns[table]
        where = " AND ".join(f"{column} IS ?" for column in columns[: len(key)])
        sql = f"SELECT {', '.join(columns)} FROM {table} WHERE {where}"  # noqa: S608 - names of our own schema
        with translated():
            # `Any`: the columns' types are the schema's, which apsw can't know.
            row: Any = self._connection.execute(sql, key).fetchone()
        found: tuple[Cell, ...] | None = row
        return found

    def count_events(self, run: RunId | None) -> int:
        """How many events the run has; of None, how many belong to no run."""
        with translated():
            if run is None:
                newest = self._connection.execute("SELECT max(n) FROM events WHERE run IS NULL").get
            else:
                newest = self._connection.execute("SELECT max(n) FROM events WHERE run = ?", (run,)).get
        return 0 if newest is None else newest + 1

    def write(
        self,
        draft: Draft,
        *,
        erased: Sequence[Commitment] = (),
        before_wait: Callable[[], None] = lambda: None,
        clear: Callable[[], None] = lambda: None,
        replaces_projections: bool = False,
    ) -> None:
        """Make the draft durable, all or nothing; delete the payloads `erased` with it, and first of all what `clear` deletes.

        `before_wait` is called when all rows are in and nothing is left but to commit, which waits for the disk. Raises
        `WorldError`; `is_sound` then says whether the ledger is known to be as before.
        """
        connection = self._connection
        try:
            connection.execute("BEGIN IMMEDIATE")
            if draft.entries:  # a signature alone loses nothing
                self._require_there()
            clear()
            if replaces_projections:
                self._clear_projections()
            self._insert(draft)
            for commitment in erased:
                self._delete_payload(commitment)
            if draft.entries:  # A signature alone comes when a timer says so, and loses nothing.
                FAILPOINTS.hit("ledger.before")
            before_wait()
        except BaseException as error:
            self._roll_back()
            if isinstance(error, apsw.Error):
                raise translate(error) from error
            raise
        try:
            connection.execute("COMMIT")
        except BaseException as error:
            # The commit mark may have reached the disk although the sync after it failed: nobody can tell any more. Where there
            # was no space nothing was synced, and the next transaction goes over it; or the commit stands, and what it moves to
            # the main file afterwards found none.
            self.is_sound = isinstance(error, apsw.Error) and is_full(error)
            self._roll_back()
            if not (self.is_sound and self._holds(draft)):
                if isinstance(error, apsw.Error):
                    raise translate(error) from error
                raise
        if draft.entries:
            FAILPOINTS.hit("ledger.after")

    def _require_there(self) -> None:
        """SQLite goes on writing to a file that has no name any more: whatever was done then would be on no record."""
        if _identity(self._connection.filename) != self._file:
            raise WorldError(
                "STORAGE_FAILED",
                "the ledger's file was removed, moved or replaced while it was open: nothing more is recorded, or done",
                hint="put the state directory back, or end this process",
            )

    def stored(self, commitments: Iterable[Commitment]) -> list[Commitment]:
        """Those of the commitments whose payload is still there."""
        with translated():
            return [
                commitment
                for commitment in commitments
                if find_payload(self._connection, commitment) is not None
            ]

    def blobs_of(self, commitments: Iterable[Commitment]) -> set[str]:
        """The blobs that these payloads refer to."""
        digests: set[str] = set()
        with translated():
            for commitment in commitments:
                key = (bytes.fromhex(commitment),)
                digests.update(
                    row[0]
                    for row in self._connection.execute(
                        "SELECT digest FROM blob_refs WHERE commitment = ?", key
                    )
                )
        return digests

    def blobs_in_use(self) -> set[str]:
        """The blobs that any payload refers to."""
        with translated():
            return {row[0] for row in self._connection.execute("SELECT DISTINCT digest FROM blob_refs")}

    def replace_projections(self, rows: Iterable[Row]) -> None:
        """Drop all projection rows and store these, in one transaction."""
        by_table: dict[str, list[tuple[Cell, ...]]] = {}
        for row in rows:
            by_table.setdefault(row.table, []).append(row.values)
        connection = self._connection
        with translated():
            try:
                connection.execute("BEGIN IMMEDIATE")
                self._clear_projections()
                for table in self._tables.columns:
                    self._insert_many(f"INSERT OR REPLACE INTO {table}", by_table.get(table, ()))
                connection.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def forget_log(self) -> bool:
        """Move the write-ahead log to the main file and cut it to nothing; whether no reader prevented it. Waits for none."""
        with translated():
            self._connection.set_busy_timeout(0)
            try:
                self._connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
            except apsw.BusyError:
                return False
            finally:
                self._connection.set_busy_timeout(BUSY_MS_MAX)
        return True

    def compact(self) -> int:
        """Write the file anew without the pages that hold nothing; by how many bytes it is smaller."""
        connection = self._connection
        with translated():
            before = self._bytes()
            # The whole file, but for what is gone, passes through it: that may be more than there is memory.
            connection.pragma("temp_store", "file")
            try:
                FAILPOINTS.hit("ledger.before")
                connection.execute("VACUUM")
                FAILPOINTS.hit("ledger.after")
            finally:
                connection.pragma("temp_store", "memory")
            after = self._bytes()
        self.forget_log()
        return before - after

    def _bytes(self) -> int:
        return int(self._connection.pragma("page_count")) * int(self._connection.pragma("page_size"))

    def close(self) -> None:
        """Release the file."""
        with translated():
            self._connection.close()

    def _insert(self, draft: Draft) -> None:
        execute = self._connection.execute
        self._insert_many("INSERT INTO events", draft.entries)
        if draft.payloads:
            stored = [
                (
                    payload_tag(payload.commitment, seq),
                    bytes.fromhex(payload.commitment),
                    seq,
                    payload.salt,
                    payload.body,
                )
                for seq, payload in draft.payloads
            ]
            self._insert_many("INSERT INTO payloads", stored)
            refs = [
                (bytes.fromhex(payload.commitment), digest)
                for _, payload in draft.payloads
                for digest in payload.blobs
            ]
            self._insert_many("INSERT OR IGNORE INTO blob_refs", refs)
        for table, rows in draft.rows.items():
            self._insert_many(f"INSERT OR REPLACE INTO {table}", list(rows.values()))
        if draft.entries:
            execute(
                "INSERT OR REPLACE INTO tree VALUES (0, ?, ?, ?)",
                (draft.head.size, draft.frontier.to_bytes(), draft.head.root),
            )
        if draft.commit is not None:
            execute("INSERT INTO commits VALUES (?, ?, ?, ?)", draft.commit)
        if draft.completed is not None:
            execute("INSERT INTO heads VALUES (?, ?, ?)", draft.completed)
        if draft.note is not None:
            execute("INSERT OR REPLACE INTO checkpoints VALUES (?, ?)", (draft.head.size, draft.note))

    def _clear_projections(self) -> None:
        for table in self._tables.columns:
            self._connection.execute(f"DELETE FROM {table}")  # noqa: S608 - a name of our own schema

    def _insert_many(self, head: str, rows: Sequence[Sequence[Cell | bytes]]) -> None:
        execute = self._connection.execute
        for at in range(0, len(rows), _ROWS_MAX):
            chunk = rows[at : at + _ROWS_MAX]
            execute(
                _insert_statement(head, len(chunk[0]), len(chunk)), [value for row in chunk for value in row]
            )

    def _delete_payload(self, commitment: Commitment) -> None:
        row = find_payload(self._connection, commitment)
        if row is not None:
            self._connection.execute("DELETE FROM payloads WHERE rowid = ?", (row[0],))
        self._connection.execute("DELETE FROM blob_refs WHERE commitment = ?", (bytes.fromhex(commitment),))

    def _holds(self, draft: Draft) -> bool:
        try:
            newest = self._connection.execute("SELECT max(seq) FROM events").get
        except apsw.Error:
            self.is_sound = False
            return False
        return bool(draft.entries) and newest == draft.entries[-1].seq

    def _roll_back(self) -> None:
        try:
            # A failure of the disk may have rolled back already.
            if self._connection.in_transaction:
                self._connection.execute("ROLLBACK")
        except apsw.Error:
            self.is_sound = False


@cache
def _insert_statement(head: str, columns: int, rows: int) -> str:
    values = f"({','.join('?' * columns)})"
    return f"{head} VALUES {','.join([values] * rows)}"


def _identity(path: str) -> tuple[int, int] | None:
    """Which file a path leads to; None where it leads to none."""
    try:
        found = Path(path).stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _disagreement() -> WorldError:
    return WorldError(
        "RECORD_CORRUPT",
        "the ledger's events, tree and checkpoints disagree",
        hint="run `assent audit verify`; nothing more is done with this record",
    )
