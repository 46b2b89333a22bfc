"""One owner per state directory: a lock that the kernel gives back, and a socket where the owner takes others' requests.

How it takes them is in `_serving.py`, how others ask in `_asking.py`, and what both say in `_frames.py`.

Theory of operation. Whoever holds the lock on `.assent/lock` is the owner; the kernel lets go of it when the process ends, in
whatever way. The lock file is never removed: two processes could then lock two files of one name. While it serves, the owner
listens on a socket in a private folder and says in the state directory where that is, so that every process finds it. An owner
removes its socket *before* it lets go of the lock, so a socket that stands there belongs to the owner or to nobody. A second
process first tries to become the owner, then forwards, and starts again when the owner has gone in between.

A daemon holds a second lock, on the directory itself, which it takes first (`hold_as_daemon`). So the next daemon is told at once
that there is one, and a daemon that finds only the first lock taken waits a moment: a command has it, and ends. Who stays and
can be a client as well (`assent mcp`) looks whether a daemon has its place (`has_daemon`), and lets it have the first lock, too.
"""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from hashlib import sha256
from math import ceil
from pathlib import Path
from struct import Struct
from threading import Event
from typing import TYPE_CHECKING, Final, Self
from weakref import WeakSet

from assent.errors import InternalError, WorldError
from assent.journal._files import (
    FILE_MODE,
    ensure_private_dir,
    is_there,
    open_plain,
    refuse_links,
    state_unusable,
    write_plain,
)

if TYPE_CHECKING:
    import socket

    # A command that only looks whether there is an owner pays for no event loop.
    from assent.journal.owner._lines import Home
    from assent.journal.owner._serving import Handler, Server

SILENCE_S_MAX: Final = 15.0
"""After this long without a word the owner counts as hung."""

RETRY_S: Final = 0.05

LOCK_FILE: Final = "lock"
SOCKET_FILE: Final = "socket"
"""Holds the path of the socket on which the newest owner listens or listened."""

CLAIMS: Final = 1 << 62
"""Numbers from 1 up to this may be claimed."""

_RANGE: Final = Struct("hhqqi4x")
"""`struct flock` of Linux on 64 bits."""

_LOOKS: Final = 5
_LOOK_S: Final = 0.01

_ADDRESS_BYTES_MAX: Final = 107
"""The path of a socket has 108 bytes at most, with the zero at its end."""


class Lock:
    """A lock of the kernel's on a file or folder, as long as it is not released and the process lives."""

    def __init__(self, held: int) -> None:
        """See `take`."""
        self._held: int | None = held
        _HELD.add(self)

    @classmethod
    def take(cls, path: Path, flags: int, how: int = fcntl.LOCK_EX) -> Self | None:
        """Lock what is opened with these flags, without waiting; None when another process has."""
        held = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
        try:
            fcntl.flock(held, how | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(held)
            return None
        except BaseException:
            os.close(held)
            raise
        return cls(held)

    @property
    def descriptor(self) -> int:
        """The file or folder, for as long as it is held."""
        assert self._held is not None  # INVARIANT: nobody asks who let go of it
        return self._held

    @property
    def is_held(self) -> bool:
        """It was not let go of yet."""
        return self._held is not None

    def release(self) -> None:
        """Give it back. Calling it twice is harmless."""
        if self._held is not None:
            # Closing gives the lock back, unless a child that Python did not fork still has the descriptor.
            fcntl.flock(self._held, fcntl.LOCK_UN)
        self.disown()

    def disown(self) -> None:
        """Close it without unlocking: in a child that was forked it is one lock for both, and the parent's."""
        if self._held is not None:
            os.close(self._held)
            self._held = None


def hold_as_daemon(state_dir: Path) -> Lock | None:
    """The place of the one daemon of a state directory, which is there; None when another process has it."""
    pause = Event()
    for _ in range(_LOOKS):  # who only looks (`has_daemon`) has it for an instant
        place = _daemon_place(state_dir, fcntl.LOCK_EX)
        if place is not None:
            return place
        pause.wait(_LOOK_S)
    return None


def has_daemon(state_dir: Path) -> bool:
    """Whether a daemon owns a state directory, or waits until it does."""
    place = _daemon_place(state_dir, fcntl.LOCK_SH)
    if place is None:
        return True
    place.release()
    return False


def _daemon_place(state_dir: Path, how: int) -> Lock | None:
    try:
        # A link is followed, as everywhere else: the state's own path may be one.
        return Lock.take(Path(os.path.realpath(state_dir)), os.O_RDONLY | os.O_DIRECTORY, how)
    except OSError as error:
        raise state_unusable(state_dir, error) from error


def claim(state_dir: Path, number: int) -> Lock:
    """Say that this process is there, until it ends or lets go: a number of its choice, which others may ask about."""
    lock = Lock(
        os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    )
    _range(lock, fcntl.F_OFD_SETLK, number)
    return lock


def is_claimed(state_dir: Path, number: int) -> bool:
    """Whether a process is there that has said so under this number, whoever it is."""
    lock = Lock(
        os.open(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE)
    )
    try:
        return _range(lock, fcntl.F_OFD_GETLK, number) != fcntl.F_UNLCK
    finally:
        lock.disown()


def _range(lock: Lock, what: int, number: int) -> int:
    """Locks of one byte of the file, at this place: they belong to what is open, as `flock` does, and are none of its."""
    asked = _RANGE.pack(fcntl.F_WRLCK, os.SEEK_SET, number, 1, 0)
    kind: int = _RANGE.unpack(fcntl.fcntl(lock.descriptor, what, asked))[0]
    return kind


class Ownership:
    """The right to write in a state directory, as long as it is not released and the process lives."""

    def __init__(self, state_dir: Path, lock: Lock) -> None:
        """See `acquire`."""
        self.state_dir = state_dir
        self._lock = lock
        self._server: Server | None = None
        _SERVING.add(self)

    @classmethod
    def acquire(cls, state_dir: Path) -> Self | None:
        """Become the owner, without waiting; None when another process is. Makes the directory if it is missing.

        Raises `InputError` `STATE_UNSAFE` for a directory that others may enter or in which a link stands, `WorldError`
        `DISK_FULL` or `STATE_UNUSABLE` for one that can't be written.
        """
        try:
            ensure_private_dir(state_dir, may_be_link=True)
            refuse_links(state_dir)
            lock = Lock.take(state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT)
        except OSError as error:
            raise state_unusable(state_dir, error) from error
        return None if lock is None else cls(state_dir, lock)

    def serve(self, handler: Handler, *, runtime_dir: Path, home: Home) -> None:
        """Listen for requests until `close` or `release`. `runtime_dir` is a short, private path (made if it is missing).

        Called on the loop that requests are performed on: `handler(asked)` is called there for each one that is taken, several at
        once, and returns the answer. Its work goes on when the client goes away.
        """
        if not self._lock.is_held or self._server is not None:
            raise InternalError("OWNERSHIP_MISUSED", "only an owner can serve, and only once")
        ensure_private_dir(runtime_dir, may_be_link=True)
        path = socket_path(self.state_dir, runtime_dir)
        _announce(self.state_dir, path)
        from assent.journal.owner._serving import Server

        self._server = Server(path, handler, home)

    @property
    def serving(self) -> int:
        """How many requests of others are under way."""
        return self._server.busy if self._server is not None else 0

    async def drain(self) -> None:
        """Let the requests under way end, those that come meanwhile too, then take no more. Calling it twice is harmless.

        However long that takes: the run of another terminal is no less work than our own. Still the owner when it returns.
        """
        if self._server is not None:
            await self._server.close()

    def hang_up(self) -> None:
        """Break the connections of everybody who waits for an answer: we end before there is one, and they shall know.

        Otherwise what a request comes to while its run is being stopped would be told as its answer.
        """
        if self._server is not None:
            self._server.hang_up()

    async def close(self) -> None:
        """Take no more requests, let those under way end, and release. Calling it twice is harmless."""
        await self.drain()
        self.release()

    def release(self) -> None:
        """Stop being the owner at once. Calling it twice is harmless."""
        if self._server is not None:
            self._server.stop()
            self._server = None
        self._lock.release()

    def disown(self) -> None:
        """In a child that was forked: let go of the socket, which is the parent's until it ends."""
        if self._server is not None:
            self._server.disown()
            self._server = None


_HELD: Final = WeakSet[Lock]()
_SERVING: Final = WeakSet[Ownership]()
"""What this process owns. Its forks have the same descriptors, and would keep a dead owner's locks and socket."""


def _disown_all() -> None:
    for ownership in [*_SERVING]:
        ownership.disown()
    for lock in [*_HELD]:
        lock.disown()


os.register_at_fork(after_in_child=_disown_all)


def socket_path(state_dir: Path, runtime_dir: Path) -> Path:
    """Where the owner of a state directory listens. Short, see `_ADDRESS_BYTES_MAX`."""
    return runtime_dir / f"{sha256(os.fsencode(os.path.realpath(state_dir))).hexdigest()[:20]}.sock"


def _announce(state_dir: Path, socket: Path) -> None:
    """Leave the socket's path where every process of the state directory looks first.

    The private folder depends on the environment, and two terminals (cron, sudo, ssh) need not have the same one.
    """
    draft = state_dir / f".{SOCKET_FILE}"
    try:
        with os.fdopen(write_plain(draft), "wb") as file:
            file.write(os.fsencode(socket))
        draft.rename(state_dir / SOCKET_FILE)
    except OSError as error:
        raise state_unusable(state_dir, error) from error


def state_owned(state_dir: Path, fault: str) -> WorldError:
    """The error of a state directory whose owner can't be reached (exit code 75)."""
    return WorldError(
        "STATE_OWNED",
        f"another process owns `{state_dir}` and {fault}",
        hint="nothing was done, and won't be; wait for it or end it, then try again",
    )


def is_owned(state_dir: Path, *, runtime_dir: Path) -> bool:
    """Whether a living owner listens. Only connects: it neither takes the lock nor disturbs anybody."""
    if not is_there(address_of(state_dir, runtime_dir)):
        return False  # Nearly always, and then no sockets are imported.
    connection = connect(state_dir, runtime_dir=runtime_dir)
    if connection is None:
        return False
    connection.close()
    return True


def owner_pid(state_dir: Path, *, runtime_dir: Path) -> int | None:
    """The process that listens for a state directory, as the kernel names it; None where none does, or none can be reached."""
    import socket

    if not is_there(address_of(state_dir, runtime_dir)):
        return None
    try:
        connection = connect(state_dir, runtime_dir=runtime_dir, silence_s=RETRY_S)
    except WorldError:
        return None
    if connection is None:
        return None
    with connection:
        told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
    return int.from_bytes(told[:4], sys.byteorder) or None


def connect(state_dir: Path, *, runtime_dir: Path, silence_s: float = SILENCE_S_MAX) -> socket.socket | None:
    """A connection to the owner; None when nobody listens.

    `STATE_OWNED` when too many wait for one that takes none, `STATE_UNUSABLE` when what stands in the socket's place is none.
    """
    import socket

    path = os.fspath(address_of(state_dir, runtime_dir))
    pause = Event()
    for _ in range(ceil(silence_s / RETRY_S)):
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        connection.settimeout(silence_s)
        try:
            connection.connect(path)
        except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
            connection.close()
            return None
        except (BlockingIOError, TimeoutError):
            connection.close()  # Its queue of connections is full.
        except OSError as error:
            connection.close()
            error.filename = path
            raise state_unusable(state_dir, error) from error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
        pause.wait(RETRY_S)
    raise state_owned(state_dir, "does not answer")


def address_of(state_dir: Path, runtime_dir: Path) -> Path:
    """Where the owner said that it listens; else where this process would. A dead owner's word leads to a dead socket.

    `STATE_UNUSABLE` for what no owner can have written.
    """
    try:
        with open_plain(state_dir / SOCKET_FILE) as file:
            told = file.read(_ADDRESS_BYTES_MAX + 1)
    except (FileNotFoundError, NotADirectoryError):
        return socket_path(state_dir, runtime_dir)
    except OSError as error:
        raise state_unusable(state_dir, error) from error
    if not told.startswith(b"/") or b"\0" in told or len(told) > _ADDRESS_BYTES_MAX:
        fault = OSError(errno.EINVAL, "not the path of a socket", str(state_dir / SOCKET_FILE))
        raise state_unusable(state_dir, fault)
    return Path(os.fsdecode(told))
