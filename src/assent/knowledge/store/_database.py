"""A connection to a file of SQLCipher, or to one in memory, with errors of ours."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from threading import RLock
from typing import Any, Final

from sqlcipher3 import dbapi2 as sqlcipher

from assent.errors import InputError, WorldError
from assent.knowledge.store._faults import storage_failed

PAGE_BYTES: Final = 16_384
"""A third less time for large records than pages of 4096, and hardly more for small ones."""
_INCREMENTAL: Final = 2
_CACHE_KIB: Final = 32 << 10
BUSY_S: Final = 10
"""The longest that a writer is waited for."""

STEPS: Final = (
    """
CREATE TABLE meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
CREATE TABLE repositories (id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, sealed BLOB NOT NULL) STRICT;
CREATE TABLE generations (
  number INTEGER PRIMARY KEY, repository INTEGER NOT NULL, kind TEXT NOT NULL, root BLOB NOT NULL,
  undone INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE INDEX generations_by_repository ON generations (repository, number);
CREATE TABLE files (
  id INTEGER PRIMARY KEY, repository INTEGER NOT NULL, path BLOB NOT NULL, born INTEGER NOT NULL, died INTEGER,
  sealed BLOB NOT NULL
) STRICT;
CREATE INDEX files_by_path ON files (repository, path);
CREATE INDEX files_by_birth ON files (born);
CREATE INDEX files_by_death ON files (died) WHERE died IS NOT NULL;
CREATE TABLE cuts (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE chunks (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
CREATE TABLE pieces (
  id INTEGER PRIMARY KEY, repository INTEGER NOT NULL, kind TEXT NOT NULL, name BLOB NOT NULL, born INTEGER NOT NULL,
  died INTEGER, sealed BLOB NOT NULL
) STRICT;
CREATE INDEX pieces_by_kind ON pieces (repository, kind, id);
CREATE TABLE blocks (id INTEGER PRIMARY KEY, sealed BLOB NOT NULL) STRICT;
""",
)
"""The schema, step by step; one that was released is never changed."""

_BUSY: Final = ("locked", "busy")
_REFUSED: Final = (
    sqlcipher.SQLITE_FULL,
    sqlcipher.SQLITE_IOERR,
    sqlcipher.SQLITE_READONLY,
    sqlcipher.SQLITE_CANTOPEN,
)
"""What says nothing of what stands in the file."""
_PUT_THERE: Final = (errno.ELOOP, errno.EISDIR)
"""A link or a folder, in the place of the file."""


class DamagedError(InputError):
    """The file can't be read with its key."""


class Database:
    """One connection, which threads share by a lock. `key`: 32 bytes and a salt of 16; None: the file is not encrypted.

    `reads_only`: nothing of it gets into the file, not even from the log beside it when it is closed.
    """

    def __init__(
        self, path: Path | None, key: bytes | None, guard: RLock | None = None, *, reads_only: bool = False
    ) -> None:
        self._guard = RLock() if guard is None else guard
        self._path = path
        self.key: Final = key
        if path is not None:
            try:
                how = os.O_RDONLY if reads_only else os.O_RDWR | os.O_CREAT
                held = os.open(path, how | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
                self._file = os.fstat(held)
                os.close(held)
            except OSError as error:
                raise self._failed(error) from error
        with self._told():
            self._db: Any = sqlcipher.connect(  # `Any`: the library has no types
                ":memory:"
                if path is None
                else f"{path.absolute().as_uri()}?mode={'ro' if reads_only else 'rwc'}",
                uri=path is not None,
                timeout=BUSY_S,
                isolation_level=None,
                check_same_thread=False,
            )
        try:
            self._settle(path, key, reads_only=reads_only)
        except BaseException:
            self._db.close()
            raise

    def _settle(self, path: Path | None, key: bytes | None, *, reads_only: bool) -> None:
        # It writes to standard error of its own accord, whatever goes wrong.
        self.ask("PRAGMA cipher_log_level = NONE")
        if key is not None:
            self.ask(f"PRAGMA key = \"x'{key.hex()}'\"")
            self.ask("PRAGMA cipher_memory_security = OFF")
            self.ask(f"PRAGMA cipher_page_size = {PAGE_BYTES}")
        else:
            self.ask(f"PRAGMA page_size = {PAGE_BYTES}")
        # To say so again waits for whoever writes.
        if not reads_only and self.ask("PRAGMA auto_vacuum") != [(_INCREMENTAL,)]:
            self.ask(f"PRAGMA auto_vacuum = {_INCREMENTAL}")
        if path is not None and not reads_only:
            self.ask("PRAGMA journal_mode = WAL")
        for setting in (
            "synchronous = FULL",
            "secure_delete = ON",
            "temp_store = MEMORY",
            "trusted_schema = OFF",
            f"cache_size = -{_CACHE_KIB}",
        ):
            self.ask(f"PRAGMA {setting}")

    def ask(self, sql: str, values: Sequence[object] = ()) -> list[Any]:  # `Any`: as SQLite keeps it
        """All rows of a statement."""
        with self._guard, self._told():
            rows: list[Any] = self._db.execute(sql, values).fetchall()
            return rows

    def each(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        """A statement for each of many."""
        with self._guard, self._told():
            self._db.executemany(sql, values)

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A transaction that no other writer can come before."""
        with self._guard:
            self.ask("BEGIN IMMEDIATE")
            with self.ended():
                yield

    def is_in_place(self) -> bool:
        """Whether the file that is open still has its name: what is written to one that was removed or replaced is lost."""
        if self._path is None:
            return True
        try:
            return os.path.samestat(self._path.lstat(), self._file)
        except FileNotFoundError:
            return False
        except OSError as error:
            raise self._failed(error) from error

    def _require_place(self) -> None:
        if not self.is_in_place():
            raise WorldError(
                "KNOWLEDGE_STALE",
                "the file of the store was removed or replaced while it was written",
                path=str(self._path),
                hint="index again",
            )

    @contextmanager
    def ended(self) -> Iterator[None]:
        """The last statements of a transaction: other threads of this connection see nothing of them before they are durable."""
        with self._guard:
            try:
                yield
                self._require_place()
                self.ask("COMMIT")
            except BaseException:
                self.back()
                raise

    def back(self) -> None:
        """End the transaction, if there is one, without its changes."""
        if self.is_within():
            self.ask("ROLLBACK")

    def is_within(self) -> bool:
        """Whether a transaction is under way."""
        with self._told():
            return bool(self._db.in_transaction)

    def version(self) -> int:
        """The step of the schema that the file is at."""
        return int(self.ask("PRAGMA user_version")[0][0])

    def migrate(self) -> None:
        """Bring the file to the last step. `InputError` `KNOWLEDGE_STORE_TOO_NEW`: it is beyond that."""
        there = self.version()
        if there > len(STEPS):
            raise InputError(
                "KNOWLEDGE_STORE_TOO_NEW",
                f"the store is at step {there} of its schema, and this release knows {len(STEPS)}",
                hint="use the release of Assent that wrote it, or a later one",
            )
        for number, step in enumerate(STEPS[there:], there + 1):
            for statement in step.split(";\n"):
                self.ask(statement)
            self.ask(f"PRAGMA user_version = {number}")

    def close(self) -> None:
        """Let go of the file."""
        with self._guard:
            self._db.close()

    @contextmanager
    def _told(self) -> Iterator[None]:
        try:
            yield
        except sqlcipher.ProgrammingError:
            raise InputError("KNOWLEDGE_STORE_CLOSED", "the store was closed") from None
        except sqlcipher.DatabaseError as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> InputError | WorldError:
        cause, path = getattr(error, "strerror", None) or str(error), str(self._path)
        if any(one in cause for one in _BUSY):
            return WorldError(
                "STORAGE_BUSY",
                f"another program has held the store of knowledge for {BUSY_S} seconds",
                path=path,
                hint="end the program that has the file open and try again",
            )
        if getattr(error, "sqlite_errorcode", None) in _REFUSED or (
            isinstance(error, OSError) and error.errno not in _PUT_THERE
        ):
            return storage_failed(self._path, error)
        return DamagedError(
            "KNOWLEDGE_STORE_DAMAGED",
            "the store of knowledge can't be read: it was cut, or changed by something else",
            path=path,
            hint="remove it and index again; find out who could write to the state directory",
            details={"cause": cause},
        )
