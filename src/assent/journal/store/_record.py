"""What is stored, exactly as it is stored: the raw rows that `verify`, `prove` and `export` work on.

Everybody else reads through `JournalReader`, which trusts the columns and decodes the leaves. Here nothing is decoded and
nothing is trusted, because finding out whether it may be is the purpose.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, Self

import apsw

from assent.errors import WorldError
from assent.journal.ports import Cell
from assent.journal.store._connection import connect_reader, translated
from assent.journal.store._projections import Projection, Tables
from assent.journal.store._rows import has_table
from assent.journal.store._schema import COMMITS_SINCE, applied_areas, check_ledger, has_own_schema
from assent.journal.tree._commits import Commit
from assent.journal.tree._heads import HeadList
from assent.spec.ids import Commitment
from assent.spec.values.merkle import EMPTY_ROOT, Frontier

CHUNK_ROWS: Final = 256
"""Leaves that are read and checked together: enough that the cost per chunk vanishes, few enough to stay in the cache."""

_SEQ_MIN: Final = -(2**63)  # Not 0: a row that somebody numbered -1 must be met, not skipped.
_SEQ_MAX: Final = 2**63 - 1


_EVENTS: Final = "SELECT seq, {}, n, hash, leaf FROM events WHERE seq >= ? ORDER BY seq LIMIT ?"


@dataclass(frozen=True, slots=True)
class Columns:
    """What stands beside each leaf of a chunk; a record that stores leaves alone has none."""

    seqs: tuple[int, ...]
    runs: tuple[str | None, ...]
    ns: tuple[int | None, ...]
    hashes: tuple[bytes, ...]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some leaves in log order, as bytes, and what stands beside them."""

    leaves: tuple[bytes, ...]
    columns: Columns | None


class StoredTree(NamedTuple):
    """Where the ledger says it stands."""

    size: int
    frontier: bytes
    root: bytes


class PayloadRow(NamedTuple):
    """One stored payload; `seq` is the leaf that binds it. `commitment` is 32 bytes, or whatever somebody made of it."""

    seq: int
    tag: int
    commitment: bytes
    salt: bytes
    body: bytes


class Record(Protocol):
    """The raw content of one ledger, of one moment. Every method may raise `WorldError` `RECORD_CORRUPT`."""

    def damage(self) -> str | None:
        """What is wrong with the container itself, in one sentence; None when it is sound."""
        ...

    def chunks(self) -> Iterator[Chunk]:
        """All leaves, in log order."""
        ...

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        """Sizes and signed notes, the smallest first."""
        ...

    def tree(self) -> StoredTree | None:
        """The stored head; None when this record is of a kind that has none."""
        ...

    def commits(self) -> Iterator[Commit] | None:
        """What vouches for the entries, oldest first; None when this record is of a kind, or a format, that has no such rows."""
        ...

    def heads(self) -> Iterator[HeadList]:
        """The lists of newest entries, oldest first; asked for where there are commits."""
        ...

    def payloads(self) -> Iterator[PayloadRow] | None:
        """Payloads, oldest first; None when this record carries none at all."""
        ...

    def blob_refs(self) -> Iterator[tuple[bytes, str]] | None:
        """Which payload (its commitment) refers to which blob (its digest); None for one without blobs."""
        ...

    def is_blob_needed(self, digest: str) -> bool:
        """Whether a payload refers to a blob now, whatever was so in the moment of this record: it may be erased meanwhile."""
        ...

    def with_payload(self, commitments: AbstractSet[Commitment]) -> set[Commitment]:
        """Those of which a payload is stored, in one pass; whether it is the right one is not looked at."""
        ...

    @property
    def tables(self) -> Tables | None:
        """The projections that this record carries; None when it carries none at all."""
        ...

    def rows(self, table: str, run: str | None = None) -> Iterator[tuple[Cell, ...]]:
        """All rows of a projection, or those whose first column is `run`; columns in the order of `tables`."""
        ...


class SqliteRecord:
    """The raw content of a ledger file, in one snapshot: a writer may go on meanwhile."""

    def __init__(self, connection: apsw.Connection, areas: Sequence[Projection] = ()) -> None:
        """`connection` is in a read transaction; `open` makes one."""
        self._connection = connection
        self._applied = applied_areas(connection)
        # Those of an area that no owner has brought yet are none of them.
        self.tables = Tables([area for area in areas if self._applied.get(area.area) == area.applied])
        self._rows_of = {
            table: f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608 - names of our own literals, never of data
            for table, columns in self.tables.columns.items()
            if has_table(connection, table, self.tables)
        }

    @classmethod
    @contextmanager
    def open(cls, path: Path, *, areas: Sequence[Projection] = ()) -> Iterator[Self]:
        """The record of the ledger at `path`, without taking the owner's lock.

        Raises `InputError` `STATE_FOREIGN` or `STATE_NEWER`, and `WorldError` `RECORD_CORRUPT` when the file is past reading.
        """
        check_ledger(path)
        connection = connect_reader(path)
        try:
            with translated():
                # The snapshot begins with the first read, not with BEGIN.
                connection.execute("BEGIN; SELECT count(*) FROM sqlite_schema")
                record = cls(connection, areas)
            yield record
        finally:
            connection.close()

    def damage(self) -> str | None:
        with translated():
            strange = sorted(self._applied.keys() - {area.area for area in self.tables.areas})
            if strange:
                return f"the ledger's file has tables of `{strange[0]}` that this Assent does not make"
            if not has_own_schema(
                self._connection, [one for area in self.tables.areas for one in area.migrations]
            ):
                return "the tables of the ledger's file are not those that its migrations made"
            # Also compares every index with its table: a run's events are found through one, so a changed index could hide them.
            (fault,) = self._connection.execute("PRAGMA integrity_check(1)").fetchall()[0]
        return (
            None if fault == "ok" else f"the ledger's file is damaged: {str(fault).splitlines()[-1].lower()}"
        )

    def chunks(self) -> Iterator[Chunk]:
        start = _SEQ_MIN
        while True:
            with translated():
                rows = self._events(start)
            if not rows:
                return
            seqs, runs, ns, hashes, leaves = zip(*rows, strict=True)
            yield Chunk(leaves, Columns(seqs, runs, ns, hashes))
            if seqs[-1] == _SEQ_MAX:
                return
            start = seqs[-1] + 1

    def _events(self, start: int) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(_EVENTS.format("run"), (start, CHUNK_ROWS)).fetchall()
        except UnicodeDecodeError:
            # One of these runs is no UTF-8. Read once more, as bytes: the entry shall be named that it stands beside.
            rows = self._connection.execute(_EVENTS.format("CAST(run AS BLOB)"), (start, CHUNK_ROWS))
            return [(seq, _readable(run), *rest) for seq, run, *rest in rows]

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        # As bytes: a note that is no UTF-8 is one bad checkpoint, not the end of the check.
        for size, note in self._select("SELECT size, CAST(note AS BLOB) FROM checkpoints ORDER BY size"):
            yield size, _readable(note) or ""

    def tree(self) -> StoredTree | None:
        row = next(self._select("SELECT size, frontier, root FROM tree", int, bytes, bytes), None)
        return StoredTree(0, Frontier().to_bytes(), EMPTY_ROOT) if row is None else StoredTree(*row)

    def commits(self) -> Iterator[Commit] | None:
        with translated():
            if int(self._connection.pragma("user_version")) < COMMITS_SINCE:
                return None
        rows = self._select(
            "SELECT size, root, mac, heads FROM commits ORDER BY size", int, bytes, bytes, bytes
        )
        return map(Commit._make, rows)

    def heads(self) -> Iterator[HeadList]:
        sql = "SELECT size, before, streams FROM heads ORDER BY size"
        return map(HeadList._make, self._select(sql, int, bytes, bytes))

    def payloads(self) -> Iterator[PayloadRow] | None:
        sql = "SELECT seq, tag, commitment, salt, body FROM payloads ORDER BY rowid"
        return map(PayloadRow._make, self._select(sql, int, int, bytes, bytes, bytes))

    def blob_refs(self) -> Iterator[tuple[bytes, str]]:
        return self._select("SELECT commitment, digest FROM blob_refs", bytes, str)

    def is_blob_needed(self, digest: str) -> bool:
        connection = connect_reader(Path(self._connection.filename))
        try:
            with translated():
                sql = "SELECT 1 FROM blob_refs WHERE digest = ? LIMIT 1"
                return connection.execute(sql, (digest,)).get is not None
        finally:
            connection.close()

    def with_payload(self, commitments: AbstractSet[Commitment]) -> set[Commitment]:
        # By no index: looking one up goes through all epochs of the ledger, and there may be as many as there are runs.
        found = self._select("SELECT commitment FROM payloads", bytes)
        return {known for row in found if (known := Commitment(row[0].hex())) in commitments}

    def rows(self, table: str, run: str | None = None) -> Iterator[tuple[Cell, ...]]:
        sql = self._rows_of.get(table)
        if sql is None:
            return iter(())
        if run is None:
            return self._select(sql)
        with translated():  # A few at once: they are asked for of each run.
            # `Any`: the columns' types are the schema's, which apsw can't know.
            rows: Any = self._connection.execute(f"{sql} WHERE {self.tables.columns[table][0]} = ?", (run,))
            return iter(rows.fetchall())

    def _select(self, sql: str, *kinds: type) -> Iterator[tuple[Any, ...]]:
        """The rows; `RECORD_CORRUPT` for a cell of another kind than its column, as a page in another's place has them."""
        with translated():
            for row in self._connection.execute(sql):
                if kinds and tuple(map(type, row)) != kinds:
                    raise WorldError(
                        "RECORD_CORRUPT",
                        f"a row of the ledger's file does not have the form of its table ({sql.split(' FROM ')[1]})",
                    )
                yield row


def _readable(text: object) -> str | None:
    """A text of the file, with a mark in the place of what is no UTF-8; such a text equals none that we wrote."""
    return text.decode(errors="replace") if isinstance(text, bytes) else None if text is None else repr(text)
