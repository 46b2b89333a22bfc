"""The store in a file of SQLCipher: one for each tenant, whose name is in no path."""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event as Signal
from typing import Any, Final, Literal, NamedTuple

from assent.errors import AssentError, InputError, WorldError
from assent.failpoints import FAILPOINTS
from assent.knowledge.store._database import BUSY_S, STEPS, DamagedError, Database
from assent.knowledge.store._faults import storage_failed, told
from assent.knowledge.store._rows import MemoryStore, checked_name, place_of
from assent.knowledge.store._sealing import Sealer, digest_of
from assent.knowledge.store.keys import KeyRing, KeySource
from assent.knowledge.store.ports import Recorded

_PLAIN_HEADER: Final = b"SQLite format 3\0"
_TRIES: Final = 2
"""Keys may be replaced once more while those that replaced the last are read."""
_PAUSE_S: Final = 0.05
_pause: Final = Signal().wait
_RESEALED: Final = (
    ("repositories", b"r", "t.digest", ""),
    ("files", b"h", "r.digest", "JOIN repositories r ON r.id = t.repository"),
    (
        "cuts",
        b"c",
        "r.digest",
        "JOIN files f ON f.id = t.id JOIN repositories r ON r.id = f.repository",
    ),
    (
        "chunks",
        b"t",
        "r.digest",
        "JOIN files f ON f.id = t.id >> 24 JOIN repositories r ON r.id = f.repository",
    ),
    ("pieces", b"p", "r.digest", "JOIN repositories r ON r.id = t.repository"),
    (
        "blocks",
        b"b",
        "r.digest",
        "JOIN pieces p ON p.id = t.id >> 24 JOIN repositories r ON r.id = p.repository",
    ),
)
"""What is sealed: each table, the kind of its places, and where the digest of its repository is."""


class _Place(NamedTuple):
    """The files of a tenant."""

    tenant: bytes
    store: Path
    keys: Path
    lock: Path

    @classmethod
    def of(cls, folder: Path, tenant: str) -> _Place:
        digest = digest_of(checked_name(tenant, "tenant"))
        with told(folder):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        name = digest.hex()[:32]
        return cls(digest, *(folder / f"{name}.{ending}" for ending in ("db", "keys", "lock")))

    @contextmanager
    def alone(self) -> Iterator[None]:
        """No other writer is in here, of whatever process."""
        with told(self.lock):
            held = os.open(self.lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            tries = 0
            while not _is_locked(held):
                if tries * _PAUSE_S >= BUSY_S:
                    raise WorldError(
                        "STORAGE_BUSY",
                        f"another program has been writing the store of knowledge for {BUSY_S} seconds",
                        path=str(self.store),
                        hint="let it finish, or end it, and try again",
                    )
                _pause(_PAUSE_S)
                tries += 1
            yield
        finally:
            os.close(held)


def _is_locked(held: int) -> bool:
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


class SqlCipherStore(MemoryStore):
    """A store that lasts. Without `keys` nothing is encrypted, which must be said by name, each time: `encryption="off"`.

    `expected`: a generation that the record knows; a file without it, or without its undo, was rolled back, and one that
    has none was made anew. `salt` gives 16 bytes that nobody can know, and never twice: keys and nonces are made of them.
    Raises, besides what keys raise, `InputError` `KNOWLEDGE_STORE_FOREIGN`, `KNOWLEDGE_STORE_DAMAGED`,
    `KNOWLEDGE_STORE_ROLLED_BACK`, `KNOWLEDGE_STORE_TOO_NEW` and `KNOWLEDGE_ENCRYPTION_DIFFERS`.
    """

    def __init__(
        self,
        folder: Path,
        tenant: str,
        *,
        keys: KeySource | None,
        salt: Callable[[], bytes],
        encryption: Literal["on", "off"] = "on",
        expected: Recorded | None = None,
    ) -> None:
        if (keys is None) != (encryption == "off"):
            raise InputError(
                "KNOWLEDGE_ENCRYPTION_DIFFERS",
                "a store is encrypted with keys, or without them only where `encryption` is `off`",
                hint='give `keys`, or say `encryption="off"`',
            )
        self._place = _Place.of(folder, tenant)
        self._keys = keys
        self._new_salt = salt
        self._ring: KeyRing | None = None
        self._is_spoiled = False
        self._is_judged = False
        super().__init__(tenant)
        try:
            self._judge_first(expected)
            if self._db.version() != len(STEPS):
                with self._place.alone(), self._db.whole():
                    self._migrate()
            self._judge(expected)
        except BaseException:
            self.close()
            raise

    def _judge_first(self, expected: Recorded | None) -> None:
        """Refuse it before anything is written: who closes a store has its log in it, also one that somebody put there."""
        if self._is_judged:
            return  # nothing is there
        if self._db.version() == len(STEPS):
            self._judge(expected)
        self._is_judged = True
        self._reconnect(self._ring)

    def _migrate(self) -> None:
        is_new = not self._db.version()
        self._db.migrate()
        if is_new:
            self._set("tenant", self._tenant.hex())

    def _judge(self, expected: Recorded | None) -> None:
        if self._meta("tenant", "") != self._tenant.hex():
            raise self._foreign()
        self._require_keys()
        if expected is None or not self.head().number:
            return
        number, root, is_undone = expected
        if not self._ask(
            "SELECT 1 FROM generations WHERE number = ? AND root = ? AND undone >= ?",
            (number, bytes.fromhex(root), is_undone),
        ):
            raise InputError(
                "KNOWLEDGE_STORE_ROLLED_BACK",
                f"the store is older than the record: it does not have generation {number}, or not as it was left",
                path=str(self._place.store),
                hint="remove it and index again; find out who could write to the state directory",
            )

    # -- opening ----------------------------------------------------------------------------------

    def _opened(self) -> tuple[Database, Sealer]:
        if self._keys is None:
            self._is_judged = not self._require_header(_PLAIN_HEADER)
            return self._connected(None), Sealer(self._tenant, {}, bytes)
        if not self._require_header(self._salt):
            with self._place.alone():
                if not self._place.keys.exists() and not self._require_header(self._salt):
                    self._ring = KeyRing.create(self._place.keys, self._tenant, self._keys, self._new_salt)
        if self._ring is None:
            self._ring = KeyRing.open(self._place.keys, self._tenant, self._keys, self._new_salt)
        self._is_judged = not self._require_header(self._salt)
        return self._connected(self._ring), Sealer(self._tenant, self._ring.records, self._new_salt)

    @property
    def _salt(self) -> bytes:
        """The first bytes of an encrypted file: whose it is can be told from what it is encrypted with."""
        return self._tenant[:16]

    def _connected(self, ring: KeyRing | None) -> Database:
        database = partial(Database, self._place.store, guard=self._guard, reads_only=not self._is_judged)
        if ring is None:
            return database(key=None)
        # While it is replaced, the file is encrypted with either, and may change from the earlier to the later between two tries.
        *tries, last = (*ring.file, *ring.file[:0:-1])
        for key in reversed(tries):
            with suppress(DamagedError):
                return database(key=key + self._salt)
        return database(key=last + self._salt)

    def is_in_place(self) -> bool:
        """Whether the file that was opened is still the one of the tenant; else the store must be opened anew."""
        return self._db.is_in_place()

    def _reconnect(self, ring: KeyRing | None) -> None:
        before, self._db = self._db, self._connected(ring)
        before.close()
        self._is_spoiled = False

    def _require_header(self, header: bytes) -> bool:
        """Whether there is a file with anything in it; it must begin as it should."""
        try:
            # A pipe in the file's place must not hold us up before it is seen that it is none.
            held = os.open(self._place.store, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
            with os.fdopen(held, "rb") as file:
                found = file.read(16) if stat.S_ISREG(os.fstat(held).st_mode) else b"?"
        except FileNotFoundError:
            return False
        except OSError as error:
            raise storage_failed(self._place.store, error) from error
        if found in (b"", header):
            return bool(found)
        if len(found) < 16:
            raise DamagedError(
                "KNOWLEDGE_STORE_DAMAGED",
                "the store of knowledge was cut, or is no file",
                path=str(self._place.store),
                hint="remove it and index again",
            )
        if found in (_PLAIN_HEADER, self._salt):
            is_plain = found == _PLAIN_HEADER
            raise InputError(
                "KNOWLEDGE_ENCRYPTION_DIFFERS",
                f"the store of knowledge is {'not ' if is_plain else ''}encrypted, and was to be opened as one that is"
                + (" not" if not is_plain else ""),
                path=str(self._place.store),
                hint="open it as it was made; to change that, erase the tenant (`assent knowledge erase`) and index again",
            )
        raise self._foreign()

    def _foreign(self) -> InputError:
        return InputError(
            "KNOWLEDGE_STORE_FOREIGN",
            "the store of knowledge belongs to another tenant, or is no store",
            path=str(self._place.store),
            hint="put the file of this tenant back, or remove this one and index again",
        )

    def _is_renewed(self, *, fails: bool = False) -> bool:
        """Whether another process replaced the keys, or is about to where something fails; they are those of now then."""
        with self._guard:
            is_new = self._ring is not None and self._ring.reload()
            if self._ring is None or not (is_new or (fails and self._ring.is_rotating)):
                return False
            self._sealer = Sealer(self._tenant, self._ring.records, self._new_salt)
            self._reconnect(self._ring)
            if is_new:
                self._require_keys()
            return True

    def _require_keys(self) -> None:
        """Refuse keys of before: a rotation that began with them would take the number of a key that is lost for its own."""
        if self._ring is None or int(self._meta("key", "0")) <= max(self._ring.records):
            return
        if not self._is_renewed():  # else they were replaced meanwhile
            raise self._ring.older()

    def _ask(self, sql: str, values: Sequence[object] = ()) -> list[Any]:  # `Any`: rows
        with self._guard:
            if self._is_spoiled and not self._db.is_within():
                self._reconnect(self.require_keys())
            for _ in range(_TRIES):
                try:
                    return super()._ask(sql, values)
                except DamagedError as error:
                    if self._ring is None or self._db.is_within():
                        raise self._judged(error) from error
                    if not self._is_renewed(fails=True):
                        self._reconnect(self._ring)
            return super()._ask(sql, values)

    def _each(self, sql: str, values: Iterable[Sequence[object]]) -> None:
        with self._guard:
            try:
                super()._each(sql, values)
            except DamagedError as error:
                raise self._judged(error) from error

    def _judged(self, error: DamagedError) -> AssentError:
        """What is told of a page that can't be read, in the midst of a transaction: of damage only if it stays so.

        SQLCipher takes what the disk would not give once for what was changed, and reads nothing more by that connection. Whoever
        is told of damage removes the store.
        """
        if self._ring is None:
            return error
        self._is_spoiled = True
        try:
            apart = Database(self._place.store, self._db.key, reads_only=True)
            try:
                is_damaged = bool(apart.ask("PRAGMA cipher_integrity_check"))
            finally:
                apart.close()
        except AssentError as failed:
            return failed
        return error if is_damaged else storage_failed(self._place.store, OSError("a page could not be read"))

    def _unseal(self, record: bytes, repository: bytes, place: bytes) -> bytes:
        if not self._sealer.is_known(record):
            self._is_renewed()
        return super()._unseal(record, repository, place)

    # -- writing ----------------------------------------------------------------------------------

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with self._place.alone():
            self._is_renewed()
            yield

    def _shrink(self) -> None:
        if self._ring is None:
            # Pages may have copies of what was moved from them before it was removed. In memory it would take too much.
            self._ask("PRAGMA temp_store = FILE")
            try:
                self._ask("VACUUM")
            finally:
                self._ask("PRAGMA temp_store = MEMORY")
        else:
            # VACUUM through a temporary file spoils an encrypted one of more than 1 GiB (SQLCipher 4.19).
            self._ask("PRAGMA incremental_vacuum")
        ((busy, _, _),) = self._ask("PRAGMA wal_checkpoint(TRUNCATE)")
        if busy:
            raise WorldError(
                "STORAGE_BUSY",
                "another program reads the store of knowledge, so that its log still has what was forgotten",
                path=str(self._place.store),
                hint="end that program and forget again",
            )

    # -- keys -------------------------------------------------------------------------------------

    @property
    def is_rotating(self) -> bool:
        """Whether a rotation was begun that is not at its end."""
        return self._ring is not None and self._ring.is_rotating

    def rotate(self, limit: int = 1000) -> bool:
        """Replace all keys, a step of at most `limit` records at each call, beginning with the first; False: that was the last.

        Everything can be read and written meanwhile. A process that was killed in it goes on where it was.
        """
        ring = self.require_keys()
        with self._writing():
            if not ring.is_rotating:
                self._set("resealed", "0 0")
                ring.begin_rotation()
                self._sealer = Sealer(self._tenant, ring.records, self._new_salt)
                FAILPOINTS.hit("knowledge.after")
            self._set("key", str(self._sealer.current))
            table, last = (int(one) for one in self._meta("resealed", "0 0").split())
            if table < len(_RESEALED):
                with self._whole():
                    last = self._reseal(table, last, limit)
                    self._set("resealed", f"{table} {last}" if last else f"{table + 1} 0")
                return True
            self._end_rotation(ring)
            return False

    def _reseal(self, table: int, last: int, limit: int) -> int:
        """Seal the next records of a table anew; the number of the last of them, 0 when there is none."""
        name, kind, digest, join = _RESEALED[table]
        rows = self._ask(
            f"SELECT t.id, {digest}, t.sealed FROM {name} t {join} WHERE t.id > ? ORDER BY t.id LIMIT ?",  # noqa: S608  # our own text
            (last, limit),
        )
        sealer = self._sealer
        self._each(
            f"UPDATE {name} SET sealed = ? WHERE id = ?",  # noqa: S608  # our own text
            [
                (sealer.seal(sealer.open(sealed, repository, place), repository, place), number)
                for number, repository, sealed in rows
                if sealer.key_of(sealed) != sealer.current
                for place in [place_of(kind, number)]
            ],
        )
        return int(rows[-1][0]) if rows else 0

    def _end_rotation(self, ring: KeyRing) -> None:
        assert self._sealer.current == max(ring.records), (
            "what is sealed with another key could be opened by none"
        )
        ring.destroy_former()
        key = ring.file[-1] + self._salt
        with self._guard:
            # SQLCipher can fail in it without a word: that connection then holds the file, and writes what nothing could read.
            apart = Database(self._place.store, self._db.key)
            try:
                apart.ask(f"PRAGMA rekey = \"x'{key.hex()}'\"")
            finally:
                apart.close()
            self._reconnect(ring)
        if self._db.key != key:
            cause = "the key of the pages could not be replaced, which needs as much room as the store takes"
            raise storage_failed(self._place.store, OSError(cause))
        FAILPOINTS.hit("knowledge.after")
        # Pages that are encrypted with the key of before are in the log until then.
        self._ask("PRAGMA wal_checkpoint(TRUNCATE)")
        self._set("resealed", "0 0")
        FAILPOINTS.hit("knowledge.before")
        ring.end_rotation()
        self._sealer = Sealer(self._tenant, ring.records, self._new_salt)

    def escrow(self, recipients: Sequence[str]) -> None:
        """Have recovery on for these X25519 public keys (hex) alone, whose private ones give the master key back; none: off.

        `InputError` `KNOWLEDGE_RECIPIENT_INVALID`, `KNOWLEDGE_ENCRYPTION_DIFFERS`. With every one nothing was changed.
        """
        ring = self.require_keys()
        with self._writing():
            ring.escrow(recipients)

    @property
    def recipients(self) -> list[str]:
        """For whom recovery is on."""
        return [] if self._ring is None else self._ring.recipients

    def require_keys(self) -> KeyRing:
        """Its keys. `InputError` `KNOWLEDGE_ENCRYPTION_DIFFERS` where it has none."""
        if self._ring is None:
            raise InputError(
                "KNOWLEDGE_ENCRYPTION_DIFFERS",
                "the store is not encrypted, so it has no keys",
                hint="erase the tenant (`assent knowledge erase`) and index again with encryption on",
            )
        return self._ring


def erase(folder: Path, tenant: str, *, keys: KeySource | None) -> None:
    """Forget a tenant: destroy its keys, then remove its files. It can be done without opening them, and again."""
    place = _Place.of(folder, tenant)
    with place.alone():
        if keys is not None:
            KeyRing.erase(place.keys, place.tenant, keys)
        FAILPOINTS.hit("knowledge.after")
        with told(place.store):
            for ending in ("-wal", "-shm", ""):
                place.store.with_name(place.store.name + ending).unlink(missing_ok=True)
            place.keys.unlink(missing_ok=True)


def recover(folder: Path, tenant: str, *, keys: KeySource, private: bytes) -> str:
    """Have the master key of a tenant in a source again, by the private key (32 bytes) of a recipient of `escrow`: which one."""
    place = _Place.of(folder, tenant)
    with place.alone():
        return KeyRing.recover(place.keys, place.tenant, keys, private)
