"""Reading the ledger's file: beside a living owner or without one, never with its lock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import apsw
import msgspec

from assent.errors import InputError, WorldError
from assent.journal._blobs import BLOBS_DIR, BlobStore
from assent.journal._connection import connect_reader, translated
from assent.journal._merkle import EMPTY_ROOT
from assent.journal._rows import checked_body, find_payload, has_table, projection_columns
from assent.journal._schema import LEDGER_FILE, PROJECTION_KEYS, can_be_read, check_ledger, newest_format
from assent.journal._tail import Entry
from assent.journal.ports import Cell, Head
from assent.spec.events import Leaf, decode_leaf
from assent.spec.ids import Commitment, RunId

_ENTRIES_PER_QUERY: Final = 1_024


class SqliteReader:
    """A `JournalReader` over the ledger's file. Each call sees what is durable at that moment; `snapshot` freezes a moment.

    Long readings are cut into short queries, so that a reader who pauses never keeps the write-ahead log from being emptied.
    For one thread at a time.
    """

    def __init__(self, connection: apsw.Connection, blobs: BlobStore) -> None:
        self._connection = connection
        self._blobs = blobs

    @classmethod
    def open(cls, state_dir: Path) -> Self:
        """A reader of the ledger in this state directory.

        Raises `InputError` `STATE_MISSING` when there is none, `STATE_FOREIGN`, `STATE_NEWER`, and `STATE_OLDER` when only an
        owner can bring it up to date.
        """
        path = state_dir / LEDGER_FILE
        if not path.exists():
            raise InputError(
                "STATE_MISSING",
                f"nothing was recorded yet in `{state_dir}`",
                hint="run something with `assent run` first",
            )
        version = check_ledger(path)
        if not can_be_read(version):
            raise InputError(
                "STATE_OLDER",
                f"`{path}` was written by an older Assent (format {version}, this one needs {newest_format()})",
                hint="run `assent doctor`, or anything that writes: it brings the file up to date",
            )
        return cls(connect_reader(path), BlobStore(state_dir / BLOBS_DIR))

    def close(self) -> None:
        """Release the file. Calling it twice is harmless."""
        with translated():
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def blob(self, digest: str) -> Iterator[bytes]:
        """A blob's bytes in chunks; `RECORD_CORRUPT` before the last one when they are missing or not the right ones."""
        return self._blobs.read(digest)

    @contextmanager
    def snapshot(self) -> Iterator[Head]:
        """Everything read inside sees one moment, whatever is appended meanwhile. To be left soon."""
        with translated():
            self._connection.execute("BEGIN")
        try:
            yield self.head()
        finally:
            with translated():
                self._connection.execute("ROLLBACK")

    # -- the port ------------------------------------------------------------------------------------------------------

    def head(self) -> Head:
        """Where the ledger stands."""
        with translated():
            row = self._connection.execute("SELECT size, root FROM tree").fetchone()
        return Head(0, EMPTY_ROOT) if row is None else Head(row[0], row[1])

    def leaves(self, *, start: int = 0, stop: int | None = None) -> Iterator[Leaf]:
        """Leaves in log order, `start` included, `stop` not."""
        for entry in self._entries(start, stop):
            yield decode_entry(entry)

    def run_leaves(self, run: RunId) -> list[Leaf]:
        """The leaves of one run, oldest first; empty for an unknown run."""
        with translated():
            rows = self._connection.execute(
                "SELECT seq, run, n, hash, leaf FROM events WHERE run = ? ORDER BY n", (run,)
            ).fetchall()
        return [decode_entry(Entry._make(row)) for row in rows]

    def payload(self, commitment: Commitment) -> bytes | None:
        """The payload's bytes after checking them; None when it was erased."""
        with translated():
            row = find_payload(self._connection, commitment)
        return None if row is None else checked_body(commitment, row[1], row[2])

    def blobs_of(self, commitment: Commitment) -> set[str]:
        """The digests of the blobs that were kept for a payload; empty when it was erased."""
        with translated():
            rows = self._connection.execute(
                "SELECT digest FROM blob_refs WHERE commitment = ?", (bytes.fromhex(commitment),)
            ).fetchall()
        return {str(row[0]) for row in rows}

    def rows(self, table: str, where: Mapping[str, Cell] | None = None) -> list[dict[str, Cell]]:
        """Rows of a projection whose columns equal `where` (None matches an empty column), ordered by key."""
        columns = projection_columns(table, where)
        # Table and columns are names of our own schema, checked just now; values are bound.
        sql = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - see above
        if where:
            sql += f" WHERE {' AND '.join(f'{column} IS ?' for column in where)}"
        sql += f" ORDER BY {', '.join(columns[: PROJECTION_KEYS[table]])}"
        with translated():
            if not has_table(self._connection, table):
                return []
            # The tables are STRICT and hold text and integers alone, which apsw's types can't say.
            rows: list[tuple[Any, ...]] = self._connection.execute(
                sql, tuple((where or {}).values())
            ).fetchall()
        return [dict(zip(columns, row, strict=True)) for row in rows]

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Size and signed note of the largest checkpoint; None when nothing was signed."""
        with translated():
            row = self._connection.execute(
                "SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1"
            ).fetchone()
        return None if row is None else (int(row[0]), row[1])

    def _entries(self, start: int, stop: int | None) -> Iterator[Entry]:
        at, end = start, (1 << 63) - 1 if stop is None else stop
        while True:
            with translated():
                rows = self._connection.execute(
                    "SELECT seq, run, n, hash, leaf FROM events WHERE seq >= ? AND seq < ? ORDER BY seq LIMIT ?",
                    (at, end, _ENTRIES_PER_QUERY),
                ).fetchall()
            entries = list(map(Entry._make, rows))
            yield from entries
            if len(entries) < _ENTRIES_PER_QUERY:
                return
            at = entries[-1].seq + 1


def decode_entry(entry: Entry) -> Leaf:
    """The leaf of a stored entry; `WorldError` `RECORD_CORRUPT` when it is none, or not the one of its place."""
    try:
        leaf = decode_leaf(entry.data)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise _corrupt(entry) from error
    if (leaf.seq, leaf.run, leaf.n) != (entry.seq, entry.run, entry.n):
        raise _corrupt(entry)
    return leaf


def _corrupt(entry: Entry) -> WorldError:
    return WorldError(
        "RECORD_CORRUPT",
        f"entry {entry.seq} of the ledger is damaged",
        hint="run `assent audit verify`; nothing more is done with this record",
        details={"seq": entry.seq},
    )
