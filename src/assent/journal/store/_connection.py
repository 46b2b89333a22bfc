"""Connections to the ledger's file, and what SQLite's failures mean to a user. Nobody is told that a "database is locked".

Whoever may write the file may put programs into it: triggers, views, expressions of a column. None of them runs on a connection
of ours (`_OFF`), and what a table itself would do otherwise is found before anything is written (`require_own_schema`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import apsw

from assent.errors import WorldError, disk_full, out_of_files

BUSY_MS_MAX: Final = 10_000
"""How long a connection waits for another one: readers are in each other's way only while a log is recovered or closed."""

WAL_PAGES_MAX: Final = 4_096
"""Pages in the write-ahead log before they move to the main file: 16 MiB. A hot page moves once, however often it changed."""

CACHE_KIB: Final = 32_768
"""Pages that a connection keeps in memory: a daemon's memory grows by as much with its ledger, and no further."""

_OFF: Final = (
    apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER,
    apsw.SQLITE_DBCONFIG_ENABLE_VIEW,
    apsw.SQLITE_DBCONFIG_TRUSTED_SCHEMA,
)


def connect_writer(
    path: Path, *, vfs: str | None = None, synchronous: Literal["FULL", "NORMAL"] = "FULL"
) -> apsw.Connection:
    """The one connection that writes. With anything but `FULL`, a commit may be lost; tests show that, nobody else asks."""
    with _opened(path, flags=apsw.SQLITE_OPEN_READWRITE, vfs=vfs) as connection:
        mode = connection.pragma("journal_mode", "wal")
        if mode != "wal":
            raise WorldError("STORAGE_FAILED", f"the file system of `{path}` can't hold a write-ahead log")
        connection.pragma("synchronous", synchronous)
        # Always, not only while erasing: pages are split and merged all the time, and would keep copies of what moved away.
        connection.pragma("secure_delete", "on")
        connection.pragma("cache_size", -CACHE_KIB)
        connection.pragma("temp_store", "memory")
        connection.wal_autocheckpoint(WAL_PAGES_MAX)
        return connection


@contextmanager
def maker(path: Path) -> Iterator[apsw.Connection]:
    """A connection that makes tables, for a file that no writer has open; closed when the block ends."""
    with _opened(path, flags=apsw.SQLITE_OPEN_READWRITE) as connection:
        connection.pragma("secure_delete", "on")
        yield connection
        connection.close()


def connect_reader(path: Path) -> apsw.Connection:
    """A connection that can't write, needs no lock of ours and leaves the write-ahead log as it is when it closes."""
    with _opened(path, flags=apsw.SQLITE_OPEN_READONLY) as connection:
        connection.config(apsw.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1)
        connection.pragma("query_only", "on")
        return connection


@contextmanager
def _opened(path: Path, *, flags: int, vfs: str | None = None) -> Iterator[apsw.Connection]:
    """A connection with the settings of every connection; closed when the block fails, and then the failure is one of ours."""
    with translated():
        connection = apsw.Connection(str(path), flags=flags, vfs=vfs)
        try:
            connection.set_busy_timeout(BUSY_MS_MAX)
            for setting in _OFF:
                connection.config(setting, 0)
            connection.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
            connection.pragma("cell_size_check", "on")
            yield connection
        except BaseException:
            connection.close(force=True)
            raise


@contextmanager
def translated() -> Iterator[None]:
    """SQLite's failures as `WorldError`s; a text that is no UTF-8 as well, which SQLite gives out as it stands in the file."""
    try:
        yield
    except apsw.Error as error:
        raise translate(error) from error
    except UnicodeDecodeError as error:
        raise _damaged() from error


def is_full(error: apsw.Error) -> bool:
    """Whether a failure says that the disk has no space."""
    # Readers and the writer meet in a small file that is laid out in full: no room for it is told as a failure to do so.
    return (
        isinstance(error, apsw.FullError) or getattr(error, "extendedresult", 0) == apsw.SQLITE_IOERR_SHMSIZE
    )


def translate(error: apsw.Error) -> WorldError:
    """What a failure of SQLite means: no space, no file to be had, a damaged file, one that others hold, or a failing disk."""
    match error:
        case apsw.FullError() | apsw.IOError() if is_full(error):
            return disk_full("the ledger")
        # Our statements fit our schema: one that SQLite can't make sense of means that the schema is not ours any more.
        case apsw.CorruptError() | apsw.NotADBError() | apsw.SQLError():
            return _damaged()
        case apsw.BusyError() | apsw.LockedError():
            return WorldError(
                "STORAGE_BUSY",
                f"another program has held the ledger's file for {BUSY_MS_MAX // 1000} seconds",
                hint="end the program that has the file open and try again",
            )
        case _:
            return out_of_files() or WorldError(
                "STORAGE_FAILED",
                "the ledger's file can't be read or written",
                hint="check the disk, then run `assent audit verify`",
                details={"cause": str(error)},
            )


def _damaged() -> WorldError:
    return WorldError("RECORD_CORRUPT", "the ledger's file is damaged", hint="run `assent audit verify`")
