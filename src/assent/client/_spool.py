"""Calls that wait on the disk for a server that is away: sealed, bounded by count and age, in order.

    FOLDER/000000000012.waiting    a call that was not sent yet
    FOLDER/000000000011.sent       one that may have arrived: its answer is not known
    FOLDER/000000000009.dropped    one that was pushed out or grew too old
    FOLDER/000000000007.dead       one that the server refused for good

Theory of operation. A file is whole when it has its name, and changes its state by being renamed, so a kill leaves each call in
exactly one state. It leaves the folder when its answer has come; one that was killed before goes out again under the same key, by
which the server knows it. Each is encrypted with AES-256-GCM under a key that the system's keychain holds, or a file beside it
where there is none, and bound to its number: none can be changed, or put in another's place.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, Literal, Self

import msgspec

from assent.engine import RunResult
from assent.errors import InputError, Json, WorldError
from assent.failpoints import FAILPOINTS
from assent.runtime.wiring._secret_sources import keychain
from assent.spec.values.typed import decode

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    from assent.spec.ports import Clock, Entropy

COUNT_MAX: Final = 128
AGE_MS_MAX: Final = 120_000
KEY_BYTES: Final = 32
NONCE_BYTES: Final = 12
_MAGIC: Final = b"assent spool 1\n"
_SERVICE: Final = "assent"
_ENDED: Final = frozenset({".dropped", ".dead"})
_STATES: Final = frozenset({".waiting", ".sent", *_ENDED})


class Deferred(msgspec.Struct, frozen=True, kw_only=True):
    """One call that was to be made later. `DELIVERED` has its `run`; `DROPPED` and `DEAD`, which the server refused, the `error`.

    `was_sent`: it may have been carried out although it was dropped.
    """

    sequence: int
    id: str
    """The key under which it is sent: the id of the request."""
    target: str
    capability: str
    parameters: dict[str, Any]  # `Any`: JSON, which has no type here
    environment: str | None
    at_ms: int
    status: Literal["WAITING", "DELIVERED", "DROPPED", "DEAD"] = "WAITING"
    was_sent: bool = False
    error: dict[str, Any] | None = None
    run: RunResult | None = None


class Spool:
    """The calls of one folder, which one process at a time has. Its methods block; threads may call them."""

    def __init__(
        self, folder: Path, clock: Clock, entropy: Entropy, *, count_max: int, age_ms_max: int
    ) -> None:
        """See `open`."""
        if count_max < 1:
            raise InputError("INVALID_INPUT", "a spool must have room for one call", path="count_max")
        self._folder, self._clock, self._entropy = folder, clock, entropy
        self._count_max, self._age_ms_max = count_max, age_ms_max
        self._lock = Lock()
        self._held: int | None = None
        self._entries: dict[int, Deferred] = {}
        self._next = 1
        self._under_way: int | None = None

    @classmethod
    def open(
        cls,
        folder: Path,
        clock: Clock,
        entropy: Entropy,
        *,
        count_max: int = COUNT_MAX,
        age_ms_max: int = AGE_MS_MAX,
    ) -> Self:
        """The spool of a folder, which is made where it is missing. `SPOOL_UNUSABLE`."""
        spool = cls(folder, clock, entropy, count_max=count_max, age_ms_max=age_ms_max)
        try:
            spool._take()
        except BaseException:
            spool.close()
            raise
        return spool

    def close(self) -> None:
        """Let another process have it."""
        if self._held is not None:
            os.close(self._held)
            self._held = None

    def _take(self) -> None:
        folder = self._folder
        try:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
            found = os.fstat(self._held)
            fcntl.flock(self._held, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise self._unusable("another process uses it", "give each process a spool of its own") from None
        except OSError as error:
            raise self._unusable(error.strerror or str(error), "name another folder") from error
        if found.st_uid != os.geteuid() or stat.S_IMODE(found.st_mode) & 0o077:
            raise self._unusable("others may reach it", f"`chmod 700 {folder}`, and look whose it is")
        files = self._files()
        from cryptography.hazmat.primitives.ciphers.aead import (
            AESGCM,  # costs time, and only a spool needs it
        )

        self._cipher: AESGCM = AESGCM(self._key(has_files=bool(files)))
        for sequence, path in sorted(files, key=lambda one: (one[0], one[1].suffix in _ENDED)):
            if (
                sequence in self._entries
            ):  # killed after it was ended, and before what it was until then was removed
                self._path(self._entries[sequence]).unlink()
            self._entries[sequence] = self._unsealed(sequence, path)
            self._next = sequence + 1

    def _files(self) -> list[tuple[int, Path]]:
        found = []
        for path in self._folder.iterdir():
            if path.suffix == ".tmp":
                path.unlink()
            elif path.stem.isdigit() and path.suffix in _STATES:
                found.append((int(path.stem), path))
        return found

    # -- the key ------------------------------------------------------------------------------------------------------------

    def _key(self, *, has_files: bool) -> bytes:
        """The key of this folder: of a file where there is one, else of the keychain, which is asked to keep a new one."""
        path = self._folder / "key"
        if path.exists():
            return self._checked(path.read_bytes())
        made = self._entropy.salt() + self._entropy.salt()
        try:
            found = self._in_keychain(made, has_files=has_files)
        except Exception as error:  # a keychain is a foreign program: whatever it raises, it gives no key
            if has_files:
                raise self._unusable("the keychain does not give its key", "unlock it") from error
            self._write(path, made)
            return made
        return found

    def _in_keychain(self, made: bytes, *, has_files: bool) -> bytes:
        user = f"spool {self._folder}"
        chain = keychain(user)
        kept = chain.get_password(_SERVICE, user)
        if kept is None:
            if has_files:
                raise LookupError(user)
            chain.set_password(_SERVICE, user, made.hex())
            return made
        return self._checked(bytes.fromhex(kept))

    def _checked(self, key: bytes) -> bytes:
        if len(key) != KEY_BYTES:
            raise self._unusable("its key is not one", "put back the one that it had, or name another folder")
        return key

    # -- what waits ---------------------------------------------------------------------------------------------------------

    def entries(self, target: str | None = None) -> list[Deferred]:
        """Everything that is kept, in order; for one target only."""
        with self._lock:
            return [one for one in self._ordered() if target in (None, one.target)]

    def push(
        self, target: str, ident: str, capability: str, parameters: dict[str, Any], environment: str | None
    ) -> tuple[Deferred, list[Deferred]]:
        """Keep a call behind all others, durably, and what it pushed out. Where it raises, nothing of the call is kept."""
        with self._lock:
            entry = Deferred(
                sequence=self._next,
                id=ident,
                target=target,
                capability=capability,
                parameters=parameters,
                environment=environment,
                at_ms=self._clock.now_ms(),
            )
            self._next += 1
            self._keep(entry)
            FAILPOINTS.hit("spool.after")
            dropped = self._expired()
            waiting = [one for one in self._ordered() if one.status == "WAITING"]
            may_go = [one for one in waiting if one.sequence != self._under_way][:-1]
            too_many = may_go[: max(0, len(waiting) - self._count_max)]
            dropped += self._drop(too_many, f"{self._count_max} younger calls pushed it out")
            return entry, dropped

    def next(self, target: str) -> tuple[Deferred | None, list[Deferred]]:
        """The call that is to be sent to a target, marked as sent, and what grew too old meanwhile."""
        with self._lock:
            dropped = self._expired()
            waiting = (one for one in self._ordered() if one.status == "WAITING" and one.target == target)
            entry = next((one for one in waiting if not self._is_old(one)), None)
            if entry is None:
                return None, dropped
            marked = entry if entry.was_sent else self._renamed(entry, was_sent=True)
            self._under_way = entry.sequence
            FAILPOINTS.hit("spool.sent")
            return msgspec.structs.replace(marked, was_sent=entry.was_sent), dropped

    def left_s(self, entry: Deferred) -> float:
        """For how long it may wait yet. One that is of the future, because a clock was set back, has not waited."""
        waited_ms = max(0, self._clock.now_ms() - entry.at_ms)
        return max(0, self._age_ms_max - waited_ms) / 1000

    def put_back(self, entry: Deferred, *, was_sent: bool) -> None:
        """It waits on, in its place and as old as it is; `was_sent`: it may have arrived."""
        with self._lock:
            self._under_way = None
            self._renamed(self._entries[entry.sequence], was_sent=was_sent or entry.was_sent)

    def answered(self, entry: Deferred) -> None:
        """Its answer has come: nothing of it is kept."""
        with self._lock:
            FAILPOINTS.hit("spool.answered")
            self._under_way = None
            self._forget(entry.sequence)

    def refused(self, entry: Deferred, error: dict[str, Json]) -> Deferred:
        """The server will never take it: it is kept aside, and what comes behind it goes on."""
        with self._lock:
            self._under_way = None
            return self._end(self._entries[entry.sequence], "DEAD", error)

    def forget(self, sequence: int) -> None:
        """Remove what is kept of a call that was dropped or is dead. KeyError for any other."""
        with self._lock:
            if self._entries[sequence].status == "WAITING":
                raise KeyError(sequence)
            self._forget(sequence)

    # -- the files ----------------------------------------------------------------------------------------------------------

    def _ordered(self) -> Iterator[Deferred]:
        return (self._entries[sequence] for sequence in sorted(self._entries))

    def _expired(self) -> list[Deferred]:
        """End what is too old; also what a clock that was set back would keep for longer."""
        waiting = (one for one in self._ordered() if one.status == "WAITING")
        old = [one for one in waiting if self._is_old(one)]
        return self._drop(old, f"it waited for more than {self._age_ms_max} ms")

    def _is_old(self, entry: Deferred) -> bool:
        is_under_way = entry.sequence == self._under_way
        return not is_under_way and abs(self._clock.now_ms() - entry.at_ms) > self._age_ms_max

    def _drop(self, entries: Iterable[Deferred], why: str) -> list[Deferred]:
        """End those; the disk may refuse that, and then they are ended the next time: nobody else's call fails for it."""
        dropped = []
        with suppress(WorldError):
            for one in entries:
                dropped.append(self._end(one, "DROPPED", _dropped(why)))  # noqa: PERF401 - what was ended is told
        return dropped

    def _end(self, entry: Deferred, status: Literal["DROPPED", "DEAD"], error: dict[str, Json]) -> Deferred:
        """Keep why it was not made in its place, as many of these as there may be calls."""
        before = self._path(entry)
        ended = msgspec.structs.replace(entry, status=status, error=error)
        self._keep(ended)
        with self._on_disk():
            before.unlink()
        ends = [one.sequence for one in self._ordered() if one.status != "WAITING"]
        for sequence in ends[: max(0, len(ends) - self._count_max)]:
            self._forget(sequence)
        return ended

    def _path(self, entry: Deferred) -> Path:
        state = entry.status.lower() if entry.status != "WAITING" else "sent" if entry.was_sent else "waiting"
        return self._folder / f"{entry.sequence:012}.{state}"

    def _keep(self, entry: Deferred) -> None:
        """INVARIANT: the file is durable before the entry is known to anybody."""
        nonce = self._entropy.salt()[:NONCE_BYTES]
        text = msgspec.json.encode(msgspec.structs.asdict(entry))
        sealed = self._cipher.encrypt(nonce, text, _MAGIC + str(entry.sequence).encode())
        self._write(self._path(entry), _MAGIC + nonce + sealed)
        self._entries[entry.sequence] = entry

    def _renamed(self, entry: Deferred, *, was_sent: bool) -> Deferred:
        marked = msgspec.structs.replace(entry, was_sent=was_sent)
        if was_sent != entry.was_sent:
            with self._on_disk():
                self._path(entry).rename(self._path(marked))
                self._flush()
        self._entries[entry.sequence] = marked
        return marked

    def _forget(self, sequence: int) -> None:
        with self._on_disk():
            self._path(self._entries[sequence]).unlink()
            self._flush()
        del self._entries[sequence]

    def _unsealed(self, sequence: int, path: Path) -> Deferred:
        from cryptography.exceptions import InvalidTag

        sealed, start = path.read_bytes(), len(_MAGIC) + NONCE_BYTES
        try:
            # What it begins with is bound too: a file that begins otherwise can't be opened.
            bound = sealed[: len(_MAGIC)] + str(sequence).encode()
            text = self._cipher.decrypt(sealed[len(_MAGIC) : start], sealed[start:], bound)
            entry = Deferred(**decode(text))
        except (InvalidTag, TypeError, ValueError) as error:
            fault = f"`{path.name}` was changed, or sealed with another key"
            raise self._unusable(fault, "move that file away: what it says can't be known") from error
        # The name says how it stands, because renaming it is how that changes.
        return msgspec.structs.replace(entry, was_sent=entry.was_sent or path.suffix == ".sent")

    def _write(self, path: Path, content: bytes) -> None:
        """All of it under its name, durably, or nothing."""
        temporary = path.with_suffix(".tmp")
        with self._on_disk():
            try:
                with open(temporary, "wb", opener=lambda name, flags: os.open(name, flags, 0o600)) as file:
                    file.write(content)
                    file.flush()
                    os.fsync(file.fileno())
                temporary.rename(path)
                self._flush()
            except OSError:
                for half in (temporary, path):
                    half.unlink(missing_ok=True)
                raise

    @contextmanager
    def _on_disk(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._unusable(error.strerror or str(error), "make room, or put its files back") from error

    def _flush(self) -> None:
        assert self._held is not None  # INVARIANT: it is open
        os.fsync(self._held)

    def _unusable(self, why: str, hint: str) -> WorldError:
        return WorldError("SPOOL_UNUSABLE", f"the spool `{self._folder}` can't be used: {why}", hint=hint)


def _dropped(why: str) -> dict[str, Json]:
    return WorldError(
        "DROPPED", f"the call was not made: {why}", hint="defer it anew if it is wanted still"
    ).to_dict()
