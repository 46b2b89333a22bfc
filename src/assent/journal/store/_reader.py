"""Reading the ledger's file: beside a living owner or without one, never with its lock."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import Lock
from types import NoneType, TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

import apsw
import msgspec

from assent.errors import InputError, WorldError
from assent.journal._blobs import BLOBS_DIR, BlobStore
from assent.journal._files import is_there
from assent.journal.ports import Cell, Head, Where
from assent.journal.store._connection import connect_reader, translated
from assent.journal.store._projections import Projection, Tables, require_own_tables
from assent.journal.store._rows import (
    Entry,
    Selection,
    checked_body,
    commitment_bytes,
    find_payload,
    has_table,
    payload_tag,
)
from assent.journal.store._schema import COMMITS_SINCE, LEDGER_FILE, can_be_read, check_ledger, newest_format
from assent.spec.ids import Commitment, RunId
from assent.spec.values.merkle import EMPTY_ROOT

if TYPE_CHECKING:
    from assent.spec.events.kinds import Leaf


class SqliteReader:
    """A `JournalReader` over the ledger's file. Each call sees what is durable at that moment; `snapshot` freezes a moment.

    Every reading is one short query, so that a reader who pauses never keeps the write-ahead log from being emptied. Any thread
    may read; they take turns.
    """

    def __init__(self, connection: apsw.Connection, blobs: BlobStore, tables: Tables | None = None) -> None:
        self._tables = tables or Tables()
        self._connection = connection
        self._blobs = blobs
        self._lock = Lock()

    @classmethod
    def open(cls, state_dir: Path, *, areas: Sequence[Projection] = ()) -> Self:
        """A reader of the ledger in this state directory.

        Raises `InputError` `STATE_MISSING` when there is none, `STATE_FOREIGN`, `STATE_NEWER`, and `STATE_OLDER` when only an
        owner can bring it up to date; `WorldError` `RECORD_CORRUPT`.
        """
        path = state_dir / LEDGER_FILE
        if not is_there(path):
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
        connection = connect_reader(path)
        try:
            require_own_tables(connection, areas)
        except BaseException:
            connection.close()
            raise
        return cls(connection, BlobStore(state_dir / BLOBS_DIR), Tables(areas))

    def close(self) -> None:
        """Release the file, when whoever reads on another thread has what it asked for. Calling it twice is harmless."""
        with self._lock, translated():
            self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @property
    def blobs(self) -> BlobStore:
        """Where the pre-images and attachments of this ledger are."""
        return self._blobs

    def blob(self, digest: str) -> Iterator[bytes]:
        """A blob's bytes in chunks; `RECORD_CORRUPT` before the last one when they are missing or not the right ones."""
        return self._blobs.read(digest)

    @contextmanager
    def snapshot(self) -> Iterator[Head]:
        """Everything read inside sees one moment, whatever is appended meanwhile. To be left soon."""
        with translated():
            self._connection.execute("BEGIN")
        try:
            yield self._head()
        finally:
            with translated():
                self._connection.execute("ROLLBACK")

    @property
    def keys(self) -> Mapping[str, int]:
        """How many of the first columns of each projection are its key."""
        return self._tables.keys

    async def head(self) -> Head:
        """Where the ledger stands."""
        return self._head()

    async def leaves(self, *, start: int = 0, limit: int) -> list[Leaf]:
        """At most so many leaves in log order, from entry `start` on; fewer only at the end of the log."""
        return [decode_entry(entry) for entry in self.entries(start, limit)]

    def leaves_with(self, texts: tuple[bytes, bytes], *, limit: int = 1000) -> Iterator[Leaf]:
        """The leaves in which one of these stands, in log order: looked for as they are stored, and no other one is decoded."""
        return map(decode_entry, self.entries_with(texts, limit=limit))

    def entries_with(self, texts: tuple[bytes, bytes], *, limit: int = 1000) -> Iterator[Entry]:
        """The same as they are stored, unchecked."""
        sql = """SELECT seq, run, n, hash, leaf FROM events WHERE seq >= ? AND (instr(leaf, ?) OR instr(leaf, ?))
            ORDER BY seq LIMIT ?"""
        start = 0
        while found := [Entry._make(row) for row in self.select(sql, (start, *texts, limit))]:
            yield from found
            start = found[-1].seq + 1

    async def events(self, run: RunId | None, *, since: int = 0, limit: int | None = None) -> list[Leaf]:
        """The leaves of one run from its event number `since` on, oldest first; empty for an unknown run."""
        return self.run_leaves(run, since=since, limit=limit)

    async def payload(self, commitment: Commitment) -> bytes | None:
        """The payload's bytes after checking them; None when it was erased."""
        opened = self.opened(commitment)
        return None if opened is None else opened[1]

    def opened(self, commitment: Commitment) -> tuple[bytes, bytes] | None:
        """What opens a commitment to whoever has none of this: the salt, and the payload's bytes; None when it was erased."""
        with self._lock, translated():
            row = find_payload(self._connection, commitment)
        return None if row is None else (row[1], checked_body(commitment, row[1], row[2]))

    def payloads_of(self, bound: Mapping[Commitment, int]) -> dict[Commitment, bytes]:
        """The bodies of many payloads at once, checked, each by the entry that binds it first; those that are stored there.

        Of one that is missing nothing is said: an earlier entry may bind it, or it was erased.
        """
        tags = [payload_tag(commitment, seq) for commitment, seq in bound.items()]
        found: dict[Commitment, bytes] = {}
        for at in range(0, len(tags), _TAGS_MAX):
            part = tags[at : at + _TAGS_MAX]
            marks = ",".join("?" * len(part))
            sql = f"SELECT commitment, salt, body FROM payloads WHERE tag IN ({marks})"  # noqa: S608 - marks alone
            for stored, salt, body in self.select(sql, part):
                commitment = Commitment(stored.hex())
                if commitment in bound:
                    found[commitment] = checked_body(commitment, salt, body)
        return found

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
        with self._lock, translated():
            if not has_table(self._connection, table, self._tables):
                return []
        return [dict(zip(chosen.columns, row, strict=True)) for row in self.select(*chosen.sql())]

    def run_leaves(self, run: RunId | None, *, since: int = 0, limit: int | None = None) -> list[Leaf]:
        """The same as `events`, for who reads on a thread of its own."""
        return list(map(decode_entry, self.run_entries(run, since=since, limit=limit)))

    def run_entries(self, run: RunId | None, *, since: int = 0, limit: int | None = None) -> list[Entry]:
        """The same as they are stored, unchecked."""
        most = -1 if limit is None else limit
        if run is None and self._has_numbers():
            rows = self.select(
                "SELECT seq, run, n, hash, leaf FROM events WHERE run IS NULL AND n >= ? ORDER BY n LIMIT ?",
                (since, most),
            )
        elif run is None:
            rows = self.select(
                "SELECT seq, run, n, hash, leaf FROM events WHERE run IS NULL ORDER BY seq LIMIT ? OFFSET ?",
                (most, since),
            )
        else:
            rows = self.select(
                "SELECT seq, run, n, hash, leaf FROM events WHERE run = ? AND n >= ? ORDER BY n LIMIT ?",
                (run, since, most),
            )
        return list(map(Entry._make, rows))

    def newest_of(self, beginning: str) -> list[Leaf]:
        """The newest leaf of each run, or other stream, whose name begins so, by name; in ASCII."""
        # The other columns of a row with `max` are those of the row that has it.
        sql = """SELECT max(seq), run, n, hash, leaf FROM events WHERE run >= ? AND run < ? GROUP BY run"""
        return [decode_entry(Entry._make(row)) for row in self.select(sql, (beginning, f"{beginning}\x7f"))]

    def _has_numbers(self) -> bool:
        """Whether entries of no run are numbered, and so found without a look at all others."""
        with self._lock, translated():
            return int(self._connection.pragma("user_version")) >= COMMITS_SINCE

    def blobs_of(self, commitment: Commitment) -> set[str]:
        """The digests of the blobs that were kept for a payload; empty when it was erased."""
        rows = self.select(
            "SELECT digest FROM blob_refs WHERE commitment = ?", (commitment_bytes(commitment),)
        )
        return {str(row[0]) for row in rows}

    def weigh(self, commitments: Iterable[Commitment]) -> tuple[int, int]:
        """How many of these payloads are stored, and the bytes of them and of what was kept for them."""
        count, size, digests = 0, 0, set[str]()
        for commitment in commitments:
            with self._lock, translated():
                row = find_payload(self._connection, commitment)
            if row is not None:
                count, size, digests = count + 1, size + len(row[2]), digests | self.blobs_of(commitment)
        return count, size + sum(map(self._blobs.size, digests))

    def newest_checkpoint(self) -> tuple[int, str] | None:
        """Size and signed note of the largest checkpoint; None when nothing was signed."""
        rows = self.select("SELECT size, note FROM checkpoints ORDER BY size DESC LIMIT 1")
        return (int(rows[0][0]), rows[0][1]) if rows else None

    def _head(self) -> Head:
        rows = self.select("SELECT size, root FROM tree")
        return Head(rows[0][0], rows[0][1]) if rows else Head(0, EMPTY_ROOT)

    def entries(self, start: int, limit: int) -> list[Entry]:
        """At most so many entries from a place on, as they are stored, unchecked."""
        sql = "SELECT seq, run, n, hash, leaf FROM events WHERE seq >= ? ORDER BY seq LIMIT ?"
        return list(map(Entry._make, self.select(sql, (start, limit))))

    # `Any`: the columns' types are the schema's, which apsw can't know.
    def select(self, sql: str, bound: Sequence[Cell | bytes] = ()) -> list[tuple[Any, ...]]:
        with self._lock, translated():
            return self._connection.execute(sql, bound).fetchall()


_TAGS_MAX: Final = 500
"""Payloads that one statement asks for."""

_NUMBERS: Final = (int, NoneType)


def decode_entry(entry: Entry) -> Leaf:
    """The leaf of a stored entry; `WorldError` `RECORD_CORRUPT` when it is none, or not the one of its place."""
    from assent.spec.events.kinds import decode_leaf  # who only lists runs decodes none

    try:
        if type(entry.data) is not bytes or type(entry.n) not in _NUMBERS:
            raise _corrupt(entry)  # A damaged page has cells of any kind.
        leaf = decode_leaf(entry.data, entry.seq, entry.n)
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
