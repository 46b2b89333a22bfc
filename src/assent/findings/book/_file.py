"""The file of a book: its tables, and how it is opened. What stands in it follows from elsewhere, so a wrong one is made anew."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any, Final

from assent.errors import WorldError
from assent.findings._sqlite import (
    BUSY,
    DAMAGED,
    LOOK_CACHE_KIB,
    WRITE_CACHE_KIB,
    Connection,
    alone,
    connected,
    connected_unchanging,
    emptied,
    require_wanted,
    schema_by,
    schema_of,
    told,
    whole,
)
from assent.findings.book._called import TABLE, Called

VERSION: Final = 6
"""Of the tables below, and of what is folded into them. A file of another version is made anew."""
_PAGE_BYTES: Final = 16_384
"""A finding has about 800 bytes: four of them fill a page of SQLite's usual 4096 badly. Folding takes a fifth less."""
BUSY_S_MAX: Final = 600
"""Who looks, or folds, waits so long for who is folding: a dataset of a million takes a minute, and without it one would look
at less than what was recorded."""
EMPTY_S_MAX: Final = 5
"""So long who empties a file waits for those who read it."""

# A finding has what its newest row of `seen` says of rank and detector. A dataset's rows of `seen` are those from `first` to
# `last` that are its own. A detector stands once for each tool that reports it, so that it also says whose a finding is.
_TABLES: Final = f"""
{TABLE}CREATE TABLE mark (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE detector (n INTEGER PRIMARY KEY, id TEXT NOT NULL, tool TEXT NOT NULL, UNIQUE (id, tool)) STRICT;
CREATE TABLE project (n INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, name TEXT UNIQUE, since_ms INTEGER NOT NULL) STRICT;
CREATE TABLE dataset (
    seq INTEGER PRIMARY KEY, project INTEGER NOT NULL, run TEXT NOT NULL, step TEXT NOT NULL, at_ms INTEGER NOT NULL,
    said BLOB NOT NULL, new INTEGER NOT NULL, known INTEGER NOT NULL, bits BLOB NOT NULL,
    first INTEGER NOT NULL, last INTEGER NOT NULL
) STRICT;
CREATE INDEX dataset_run ON dataset (run);
CREATE INDEX dataset_project ON dataset (project, seq);
CREATE TABLE finding (
    n INTEGER PRIMARY KEY, project INTEGER NOT NULL, id BLOB NOT NULL, rank INTEGER NOT NULL, detector INTEGER NOT NULL,
    closed INTEGER NOT NULL, muted_ms INTEGER NOT NULL, first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL,
    newest INTEGER NOT NULL, called INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX finding_id ON finding (id);
CREATE INDEX finding_rank ON finding (project, rank);
CREATE INDEX finding_open ON finding (project, closed, rank);
CREATE INDEX finding_detector ON finding (project, detector, rank);
CREATE INDEX finding_muted ON finding (project, rank) WHERE muted_ms > 0;
CREATE TABLE seen (
    n INTEGER PRIMARY KEY, finding INTEGER NOT NULL, dataset INTEGER NOT NULL, at_ms INTEGER NOT NULL, rank INTEGER NOT NULL,
    detector INTEGER NOT NULL, called INTEGER NOT NULL, body BLOB NOT NULL
) STRICT;
CREATE INDEX seen_finding ON seen (finding, dataset);
CREATE TABLE resource (
    n INTEGER PRIMARY KEY AUTOINCREMENT, project INTEGER NOT NULL, id BLOB NOT NULL UNIQUE, kind TEXT NOT NULL,
    first_ms INTEGER NOT NULL, last_ms INTEGER NOT NULL, newest INTEGER NOT NULL
) STRICT;
CREATE INDEX resource_project ON resource (project, n);
CREATE TABLE place (
    n INTEGER PRIMARY KEY, resource INTEGER NOT NULL, dataset INTEGER NOT NULL, at_ms INTEGER NOT NULL, body BLOB NOT NULL,
    UNIQUE (resource, dataset)
) STRICT;
CREATE INDEX place_dataset ON place (dataset);
CREATE TABLE triage (id BLOB PRIMARY KEY, project INTEGER NOT NULL, muted_ms INTEGER NOT NULL, body BLOB NOT NULL)
    STRICT, WITHOUT ROWID;
CREATE TABLE mute (
    id BLOB PRIMARY KEY, project INTEGER NOT NULL, kind TEXT NOT NULL, value TEXT NOT NULL, until_ms INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX mute_project ON mute (project);
CREATE INDEX triage_project ON triage (project);
CREATE TABLE change (seq INTEGER NOT NULL, id BLOB NOT NULL, before BLOB, after BLOB NOT NULL, PRIMARY KEY (seq, id))
    STRICT, WITHOUT ROWID;
"""

_WHAT: Final = "the store of findings"
_STEPS: Final = 100_000
"""After so many steps of a statement SQLite asks whether it is to go on: a few milliseconds, or a thousand findings folded."""


def _made(db: Connection) -> Connection:
    """A connection to a file with its tables, which are made where there are none."""
    try:
        _make(db)
        db.set_progress_handler(require_wanted, _STEPS)
    except BaseException:
        db.close(force=True)
        raise
    return db


def _make(db: Connection) -> None:
    """The tables, where there are none. Those of another release, or of anybody else, are as good as damaged."""
    if db.pragma("user_version") == 0:
        with whole(db):
            if db.pragma("user_version") == 0:  # Nobody was faster.
                db.execute(_TABLES)
                db.pragma("user_version", VERSION)
    if db.pragma("user_version") != VERSION or schema_of(db) != _schema():
        raise DAMAGED[0]("its tables are not those of this release")


@cache
def _schema() -> list[Any]:  # `Any`: as SQLite keeps it
    return schema_by((_TABLES,))


def forget(path: Path) -> None:
    """Empty a store, where there is one: nothing of what it held stands in its file then. Who looks next makes it anew.

    `WorldError` `ERASE_UNFINISHED` while somebody reads it, who is waited for briefly, because everybody else waits meanwhile.
    """
    if path.exists():
        with told(_WHAT, BUSY_S_MAX), alone(_lock_of(path), _WHAT, BUSY_S_MAX):
            try:
                emptied(path, EMPTY_S_MAX)
            except BUSY as error:
                raise WorldError(
                    "ERASE_UNFINISHED",
                    f"a reader keeps {_WHAT}, in which what was erased still stands, from being emptied",
                    hint="end other `assent` commands that read this state",
                ) from error


def _lock_of(path: Path) -> Path:
    return path.with_name(f"{path.name}-lock")


class BookFile:
    """An open file of SQLite that only its owner may read. For one thread."""

    def __init__(self, path: Path | None, *, is_fixed: bool = False) -> None:
        """`path`: None for a book in memory. A file that is damaged, or of another release, is emptied and made anew.

        `is_fixed`: it lies on what can only be read, and is opened as it is. `WorldError` `STORAGE_FAILED`.
        """
        self.path = None if is_fixed else path
        self._is_alone = False
        with told(_WHAT, BUSY_S_MAX):
            if is_fixed:
                assert path is not None  # INVARIANT: memory can be written
                self.db = _made(connected_unchanging(path))
                return
            try:
                self.db = self._opened()
            except DAMAGED:
                with self._alone():
                    self.db = self._opened_anew()

    def _opened(self) -> Connection:
        # Whatever the disk loses with the power is folded again: nothing waits for it.
        return _made(
            connected(
                self.path,
                is_durable=False,
                busy_s=BUSY_S_MAX,
                cache_kib=LOOK_CACHE_KIB,
                page_bytes=_PAGE_BYTES,
            )
        )

    def _opened_anew(self) -> Connection:
        try:
            return self._opened()  # Others have made it anew while this one waited.
        except DAMAGED:
            self._empty()
            return self._opened()

    def _empty(self) -> None:
        assert self.path is not None  # INVARIANT: memory is never damaged
        with told(_WHAT, EMPTY_S_MAX):
            emptied(self.path, EMPTY_S_MAX)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else folds, or empties the file."""
        if self.path is None or self._is_alone:
            yield
            return
        with alone(_lock_of(self.path), _WHAT, BUSY_S_MAX):
            self._is_alone = True
            try:
                yield
            finally:
                self._is_alone = False

    @contextmanager
    def folding(self) -> Iterator[None]:
        """Nobody else folds; who comes meanwhile waits, and would look at less than there is otherwise. `STORAGE_BUSY`."""
        with self._told(), self._alone():
            self.db.pragma("cache_size", -WRITE_CACHE_KIB)
            yield
            self.db.pragma("cache_size", -LOOK_CACHE_KIB)

    def close(self) -> None:
        """Let go of the file."""
        self.db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Failures as errors of ours. A file that turns out to be damaged is emptied: whoever opens it next makes it anew."""
        try:
            with told(_WHAT, BUSY_S_MAX):
                yield
        except (WorldError, *DAMAGED) as error:
            cause = error.__cause__ if isinstance(error, WorldError) else error
            if not isinstance(cause, DAMAGED) or self.path is None:
                raise
            self.db.close(force=True)  # What it has begun to read would be waited for.
            with told(_WHAT, BUSY_S_MAX), self._alone():
                self._empty()
            raise WorldError(
                "STORAGE_FAILED",
                f"{_WHAT} was damaged",
                hint="try again: it is made anew from the ledger",
                details={"cause": str(cause)},
            ) from error

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A transaction that no other writer can come before. A full disk has SQLite end it by itself."""
        with self._told(), whole(self.db):
            yield

    @contextmanager
    def looking(self) -> Iterator[None]:
        """All that is read inside is of one moment."""
        with self._told():
            self.db.execute("BEGIN")
            try:
                yield
            finally:
                if self.db.in_transaction:
                    self.db.execute("ROLLBACK")

    def clear(self) -> None:
        """Empty all tables, within a transaction."""
        Called(self.db).clear()
        # The index keeps tables of its own, `words_data` and the like.
        for (name,) in self.db.execute(
            "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite%' AND name NOT LIKE 'words%'"
        ).fetchall():
            self.db.execute(f'DELETE FROM "{name}"')  # noqa: S608 - a table of ours
