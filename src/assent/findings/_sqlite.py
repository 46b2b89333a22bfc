"""A file of SQLite as this library keeps one: its owner's alone, durable, at a step of its schema, with errors of ours.

Every change is one transaction with a durable commit (`synchronous=FULL`), so that a killed process leaves all of it or nothing.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from contextvars import ContextVar
from itertools import count
from pathlib import Path
from threading import Event
from typing import Any, Final, TypeAlias

import apsw
import msgspec

from assent.errors import InputError, WorldError, disk_full, is_full

LOGGER: Final = logging.getLogger("assent.findings")

_BUSY_S_MAX: Final = 10
_PAUSE_S: Final = 0.05
_TELL_AFTER: Final = 100
"""So many pauses, five seconds, whoever waits for another process is told nothing of it."""
_pause: Final = Event().wait
LOOK_CACHE_KIB: Final = 2 << 10
"""What one who looks takes of memory: there may be many, and some are slow."""
WRITE_CACHE_KIB: Final = 64 << 10
_LOG_BYTES: Final = 64 << 20
"""As much of each, once a file is that large: a third more findings a second than by SQLite's own settings."""
_ENDS: Final[ContextVar[tuple[Event, ...]]] = ContextVar("ends", default=())
_WORK_ENDS: Final[ContextVar[tuple[Event, ...]]] = ContextVar("work ends", default=())


BUSY: Final = (apsw.BusyError, apsw.LockedError)


@contextmanager
def told(what: str, busy_s: int = _BUSY_S_MAX) -> Iterator[None]:
    """SQLite's failures as errors of ours: no space, a file that others hold for `busy_s`, a damaged one, or none to be had."""
    try:
        yield
    except apsw.FullError as error:
        raise disk_full(what) from error
    except BUSY as error:
        raise WorldError(
            "STORAGE_BUSY",
            f"another program has held {what} for {busy_s} seconds",
            hint="end the program that has the file open and try again",
        ) from error
    except apsw.Error as error:
        raise WorldError(
            "STORAGE_FAILED",
            f"{what} can't be read or written",
            hint="check the disk, and that the file is a plain one and undamaged",
            details={"cause": str(error)},
        ) from error


Connection: TypeAlias = apsw.Connection
DAMAGED: Final = (
    apsw.NotADBError, apsw.CorruptError, apsw.SQLError, apsw.ConstraintError, apsw.MismatchError,
    msgspec.MsgspecError, UnicodeDecodeError,
)  # fmt: skip
"""What is raised of a file that is none of SQLite's, or not whole, and of one that holds other things than what was written."""


def connected(
    path: Path | None,
    *,
    is_durable: bool = True,
    busy_s: int = _BUSY_S_MAX,
    page_bytes: int = 4096,
    cache_kib: int = WRITE_CACHE_KIB,
) -> apsw.Connection:
    """A connection to a file that only its owner may read, made where there is none; None for one that nobody
    else can open, in memory while it is small.

    `busy_s`: how long it waits for others who write. `is_durable`: what was committed outlives a loss of power; else what is
    there is whole then, and may be of some time before. Where nothing can be made, SQLite's own errors say so.
    """
    if path is None:
        return apsw.Connection("")
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
    except FileExistsError:
        pass
    except OSError as error:
        raise (apsw.FullError if is_full(error) else apsw.CantOpenError)(str(error)) from error
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    try:
        db.set_busy_handler(lambda tries: _wait(tries, busy_s))
        for setting in (apsw.SQLITE_DBCONFIG_ENABLE_TRIGGER, apsw.SQLITE_DBCONFIG_ENABLE_VIEW):
            db.config(setting, 0)
        db.config(apsw.SQLITE_DBCONFIG_DEFENSIVE, 1)
        db.pragma("page_size", page_bytes)
        _keep_log(db, busy_s)
        db.pragma("synchronous", "FULL" if is_durable else "NORMAL")
        # Ids are in no order, so each batch touches pages all over the indexes: kept at hand, and written back seldom.
        db.pragma("cache_size", -cache_kib)
        db.wal_autocheckpoint(_LOG_BYTES // page_bytes)
    except BaseException:
        db.close(force=True)
        raise
    return db


def _keep_log(db: apsw.Connection, busy_s: int) -> None:
    """Have the file written ahead. Where two do that to a new file, SQLite waits for neither, whatever it was told."""
    for tries in count():
        try:
            db.pragma("journal_mode", "wal")
        except apsw.BusyError:
            if not _wait(tries, busy_s):
                raise
        else:
            return


def schema_of(db: apsw.Connection) -> list[Any]:  # `Any`: as SQLite keeps it
    """All that is defined in a file: tables, indexes, and whatever else."""
    return [
        *db.execute("SELECT type, name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite%' ORDER BY name")
    ]


def schema_by(steps: tuple[str, ...]) -> list[Any]:  # `Any`: as above
    """What these statements define in a new file."""
    new = apsw.Connection(":memory:")
    try:
        for step in steps:
            new.execute(step)
        return schema_of(new)
    finally:
        new.close()


def connected_unchanging(path: Path) -> apsw.Connection:
    """A connection to a file that can only be read, and that nobody is writing. Raises SQLite's own errors."""
    log = path.with_name(f"{path.name}-wal")
    if log.exists() and log.stat().st_size:
        raise apsw.CantOpenError("there is more in its log, which can't be read without writing beside it")
    name = str(path).translate({ord(one): f"%{ord(one):02X}" for one in "%?#"})
    uri = f"file:{name}?immutable=1"
    return apsw.Connection(uri, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


@contextmanager
def alone(path: Path, what: str, busy_s: int) -> Iterator[None]:
    """Nobody else is in here by this file, which is made where there is none, and says whose process is in here.

    Others wait for `busy_s` at most, and are told so after a while: `WorldError` `STORAGE_BUSY`.
    """
    try:
        held = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        raise (apsw.FullError if is_full(error) else apsw.CantOpenError)(str(error)) from error
    try:
        for tries in count():
            with suppress(BlockingIOError):
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            if tries == _TELL_AFTER:
                LOGGER.warning("%s is bringing %s up to date, and is waited for", _holder(held), what)
            if not _wait(tries, busy_s):
                raise WorldError(
                    "STORAGE_BUSY",
                    f"{_holder(held)} is bringing {what} up to date, and has not finished within {busy_s} seconds",
                    hint="let that process go on if it is stopped, or end it, and try again",
                )
        with suppress(OSError):  # Who waits is told of it: nothing fails because of it.
            os.ftruncate(held, 0)
            os.pwrite(held, b"%d" % os.getpid(), 0)
        yield
    finally:
        os.close(held)


def _holder(held: int) -> str:
    """The process that the file says is in here."""
    number = os.pread(held, 20, 0)
    return f"process {int(number)}" if number.isdigit() else "another process"


def emptied(path: Path, busy_s: int = _BUSY_S_MAX) -> None:
    """Make a file as if nothing had been written to it, whatever it holds. Who has it open sees that as any other change."""
    db = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_NOFOLLOW)
    try:
        path.chmod(0o600)
        db.set_busy_handler(lambda tries: _wait(tries, busy_s))
        db.config(apsw.SQLITE_DBCONFIG_RESET_DATABASE, 1)
        db.execute("VACUUM")
        db.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_TRUNCATE)
    finally:
        db.close(force=True)


@contextmanager
def waiting_until(end: Event) -> Iterator[None]:
    """Inside, nobody is waited for once `end` is set: `InputError` `RUNTIME_CLOSED`."""
    before = _ENDS.set((*_ENDS.get(), end))
    try:
        yield
    finally:
        _ENDS.reset(before)


@contextmanager
def working_until(*ends: Event) -> Iterator[None]:
    """Inside, work that looks at `require_wanted` ends, too, once one of these is set; without any, one of `waiting_until`."""
    before = _WORK_ENDS.set((*_WORK_ENDS.get(), *(ends or _ENDS.get())))
    try:
        yield
    finally:
        _WORK_ENDS.reset(before)


def require_wanted() -> bool:
    """Always False, as SQLite asks of what it calls now and then to go on; `InputError` `RUNTIME_CLOSED` once work is to end."""
    return _require_none(_WORK_ENDS.get())


def _require_none(ends: tuple[Event, ...]) -> bool:
    if any(end.is_set() for end in ends):
        raise InputError("RUNTIME_CLOSED", "the runtime is closing, or nobody waits for the answer any more")
    return False


def _wait(tries: int, busy_s: int) -> bool:
    """Wait a little for who writes; False: long enough. In Python, so that it can be interrupted, as SQLite's own can't."""
    _require_none(_ENDS.get())
    if tries * _PAUSE_S >= busy_s:
        return False
    _pause(_PAUSE_S)
    return True


@contextmanager
def whole(db: apsw.Connection) -> Iterator[None]:
    """A transaction that no other writer can come before. A full disk has SQLite end it by itself."""
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


class Database:
    """A file at the last step of its schema. `steps` lead there from an empty file; one that was released is never changed."""

    def __init__(self, path: Path, steps: tuple[str, ...], what: str) -> None:
        self._steps = steps
        self._what = what
        self.db = connected(path)
        try:
            self._migrate()
        except BaseException:
            self.db.close(force=True)
            raise

    def whole(self) -> AbstractContextManager[None]:
        """A transaction that no other writer can come before."""
        return whole(self.db)

    def _migrate(self) -> None:
        if self.db.pragma("user_version") == len(self._steps):
            return  # Who only looks takes no lock.
        with self.whole():
            there = self.db.pragma("user_version")
            if there > len(self._steps):
                raise InputError(
                    "STORE_TOO_NEW",
                    f"{self._what} is at step {there} of its schema, and this release knows {len(self._steps)}",
                    hint="use the release of Assent that wrote it, or a later one",
                )
            for number, step in enumerate(self._steps[there:], there + 1):
                self.db.execute(step)
                self.db.pragma("user_version", number)

    def has_valid_layout(self) -> bool:
        """Whether the file is whole and has the tables of its schema, as a new one has them."""
        return schema_of(self.db) == schema_by(self._steps) and self.db.pragma("quick_check") == "ok"
