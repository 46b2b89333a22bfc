"""One owner per state directory: a lock that the kernel gives back, and a socket where the owner takes others' requests.

Theory of operation. Whoever holds the lock on `.assent/lock` is the owner; the kernel lets go of it when the process ends, in
whatever way. The lock file is never removed: two processes could then lock two files of one name. While it serves, the owner
listens on a socket in a private folder and says in the state directory where that is, so that every process finds it. An owner
removes its socket *before* it lets go of the lock, so a socket that stands there belongs to the owner or to nobody. A second
process first tries to become the owner, then forwards, and starts again when the owner has gone in between.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import socket
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path
from threading import Event
from typing import Any, Final, Self, TypeAlias

from assent.errors import AssentError, InternalError, Json, WorldError
from assent.journal._files import FILE_MODE, ensure_private_dir
from assent.journal._frames import (
    FAMILIES,
    FRAME_BYTES_MAX,
    Peer,
    encode_frame,
    peer_of,
    read_frame,
    receive_frame,
)

LOCK_FILE: Final = "lock"
SOCKET_FILE: Final = "socket"
"""Holds the path of the socket on which the newest owner listens or listened."""

ALIVE_S: Final = 2.0
"""How often a working owner says that it lives."""

SILENCE_S_MAX: Final = 15.0
"""After this long without a word the owner counts as hung."""

_RETRY_S: Final = 0.05
_FLUSH_S_MAX: Final = 30.0

# `Any`: requests and answers are the doors' JSON objects.
Emit: TypeAlias = Callable[[dict[str, Any]], None]
Handler: TypeAlias = Callable[[dict[str, Any], Peer, Emit], Awaitable[dict[str, Any]]]


class Ownership:
    """The right to write in a state directory, as long as it is not released and the process lives."""

    def __init__(self, state_dir: Path, lock: int) -> None:
        """See `acquire`."""
        self.state_dir = state_dir
        self._lock: int | None = lock
        self._server: _Server | None = None

    @classmethod
    def acquire(cls, state_dir: Path) -> Self | None:
        """Become the owner, without waiting; None when another process is. Makes the directory if it is missing.

        Raises `InputError` `STATE_UNSAFE` for a directory that others may enter, `WorldError` `DISK_FULL` or `STATE_UNUSABLE` for
        one that can't be written.
        """
        try:
            ensure_private_dir(state_dir)
            lock = os.open(
                state_dir / LOCK_FILE, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE
            )
        except OSError as error:
            raise _unusable(state_dir, error) from error
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(lock)
            return None
        except BaseException:
            os.close(lock)
            raise
        return cls(state_dir, lock)

    async def serve(self, handler: Handler, *, runtime_dir: Path) -> None:
        """Listen for requests until `close` or `release`. `runtime_dir` is a short, private path (made if it is missing).

        `handler(request, peer, emit)` is called for each request, several at once, and returns the answer; `emit` sends progress.
        Its work goes on when the client goes away: only the client's own cancel request ends it.
        """
        if self._lock is None or self._server is not None:
            raise InternalError("OWNERSHIP_MISUSED", "only an owner can serve, and only once")
        ensure_private_dir(runtime_dir)
        path = socket_path(self.state_dir, runtime_dir)
        _announce(self.state_dir, path)
        self._server = await _Server.start(path, handler)

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
            self._server.stop_listening()
            self._server = None
        if self._lock is not None:
            # Closing gives the lock back, unless a child that was forked without `exec` still has the descriptor.
            fcntl.flock(self._lock, fcntl.LOCK_UN)
            os.close(self._lock)
            self._lock = None


def socket_path(state_dir: Path, runtime_dir: Path) -> Path:
    """Where the owner of a state directory listens. Short, because a socket's path has 108 bytes at most."""
    return runtime_dir / f"{sha256(os.fsencode(state_dir.resolve())).hexdigest()[:20]}.sock"


def _announce(state_dir: Path, socket: Path) -> None:
    """Leave the socket's path where every process of the state directory looks first.

    The private folder depends on the environment, and two terminals (cron, sudo, ssh) need not have the same one.
    """
    draft = state_dir / f".{SOCKET_FILE}"
    try:
        descriptor = os.open(
            draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW, FILE_MODE
        )
        with os.fdopen(descriptor, "wb") as file:
            file.write(os.fsencode(socket))
        draft.rename(state_dir / SOCKET_FILE)
    except OSError as error:
        raise _unusable(state_dir, error) from error


def _unusable(state_dir: Path, error: OSError) -> WorldError:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return WorldError(
            "DISK_FULL", "the disk that holds the state is full", hint="free some space and try again"
        )
    return WorldError(
        "STATE_UNUSABLE",
        f"the state directory `{state_dir}` can't be written: {os.strerror(error.errno or 0).lower()}",
        hint="check the disk and who may write there",
    )


def _address(state_dir: Path, runtime_dir: Path) -> Path:
    """Where the owner said that it listens; else where this process would. A dead owner's word leads to a dead socket."""
    try:
        return Path(os.fsdecode((state_dir / SOCKET_FILE).read_bytes()))
    except (FileNotFoundError, NotADirectoryError):
        return socket_path(state_dir, runtime_dir)


def is_owned(state_dir: Path, *, runtime_dir: Path) -> bool:
    """Whether a living owner listens. Only connects: it neither takes the lock nor disturbs anybody."""
    connection = _connect(_address(state_dir, runtime_dir))
    if connection is None:
        return False
    connection.close()
    return True


def forward(
    state_dir: Path,
    request: Mapping[str, Any],
    on_progress: Callable[[dict[str, Any]], None] | None = None,
    *,
    runtime_dir: Path,
    silence_s: float = SILENCE_S_MAX,
) -> dict[str, Any] | None:
    """The owner's answer to a request; None when there is no owner, or one that ended before it took the request.

    Waits as long as the owner works and says so. Raises the owner's own error; `WorldError` `STATE_OWNED` when it is silent for
    `silence_s` seconds, `OWNER_LOST` when it ended while it worked: the journal then knows how far it came.
    """
    frame = encode_frame(request)
    connection = _connect(_address(state_dir, runtime_dir))
    if connection is None:
        return None
    was_accepted = False
    with connection:
        connection.settimeout(silence_s)
        try:
            peer_of(connection)
            connection.sendall(frame)
            while (message := receive_frame(connection)) is not None:
                if "accepted" in message:
                    was_accepted = True
                elif "progress" in message and on_progress is not None:
                    on_progress(message["progress"])
                elif "error" in message:
                    raise FAMILIES[message["family"]].from_dict(message["error"])
                elif "result" in message:
                    result: dict[str, Any] = message["result"]
                    return result
        except TimeoutError as error:
            raise state_owned(state_dir, "does not answer") from error
        except (ConnectionResetError, BrokenPipeError):
            pass  # The same as the end of the stream.
    if not was_accepted:
        return None
    raise WorldError(
        "OWNER_LOST",
        f"the process that owns `{state_dir}` ended before it answered",
        hint="see how far it came with `assent runs`, then `assent resume`",
    )


def acquire_or_forward(
    state_dir: Path,
    request: Mapping[str, Any],
    on_progress: Callable[[dict[str, Any]], None] | None = None,
    *,
    runtime_dir: Path,
    silence_s: float = SILENCE_S_MAX,
) -> Ownership | dict[str, Any]:
    """Become the owner, or let the owner answer; tried again while owners come and go.

    Raises what `forward` raises; `STATE_OWNED` also when somebody holds the lock for `silence_s` seconds without listening.
    """
    pause = Event()
    for _ in range(max(1, round(silence_s / _RETRY_S))):
        ownership = Ownership.acquire(state_dir)
        if ownership is not None:
            return ownership
        answer = forward(state_dir, request, on_progress, runtime_dir=runtime_dir, silence_s=silence_s)
        if answer is not None:
            return answer
        pause.wait(_RETRY_S)  # It starts or ends at this moment.
    raise state_owned(state_dir, "takes no requests")


def state_owned(state_dir: Path, fault: str) -> WorldError:
    """The error of a state directory whose owner can't be reached (exit code 75)."""
    return WorldError(
        "STATE_OWNED",
        f"another process owns `{state_dir}` and {fault}",
        hint="wait for it or end it, then try again",
    )


def _connect(path: Path) -> socket.socket | None:
    connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    connection.settimeout(SILENCE_S_MAX)
    try:
        connection.connect(os.fspath(path))
    except (FileNotFoundError, ConnectionRefusedError, ConnectionResetError):
        connection.close()
        return None
    except TimeoutError as error:
        connection.close()
        raise state_owned(path, "does not answer") from error
    except BaseException:
        connection.close()
        raise
    return connection


class _Server:
    """The listening side."""

    def __init__(self, path: Path, handler: Handler) -> None:
        self._path = path
        self._handler = handler
        self._server: asyncio.Server | None = None
        self.busy = 0
        self._clients: set[asyncio.StreamWriter] = set()
        self._idle = asyncio.Event()
        self._idle.set()

    @classmethod
    async def start(cls, path: Path, handler: Handler) -> Self:
        self = cls(path, handler)
        self._remove()  # The lock is ours, so a socket that stands there was left by an owner that is dead.
        # The folder is private, so nobody else can connect before the mode is set; the mode is a second door.
        self._server = await asyncio.start_unix_server(self._serve_client, path, limit=FRAME_BYTES_MAX + 4)
        self._restrict()
        return self

    def stop_listening(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
            self._remove()

    def _remove(self) -> None:
        self._path.unlink(missing_ok=True)

    def _restrict(self) -> None:
        self._path.chmod(FILE_MODE)

    async def close(self) -> None:
        # Who comes while we wait is served too: turned away, it could neither ask us nor become the owner itself.
        while self.busy:
            await self._idle.wait()
        self.stop_listening()

    def hang_up(self) -> None:
        for client in self._clients:
            client.transport.abort()

    async def _serve_client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # The client went away, or only looked whether somebody is here.
        finally:
            with suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            peer = peer_of(writer.get_extra_info("socket"))
            request = await read_frame(reader)
        except AssentError as error:
            writer.write(encode_frame({"error": error.to_dict(), "family": error.family}))
            await writer.drain()
            return
        if self._server is None:
            return  # Too late: nothing was taken, so the client goes to the next owner, or becomes it.
        # From here on the request is taken and `close` waits for its answer; whoever connects and stays silent is not waited for.
        self.busy += 1
        self._idle.clear()
        self._clients.add(writer)
        try:
            await self._work(request, peer, writer)
            # The answer must be on its way before we may end; a client that does not read it is not waited for.
            with suppress(ConnectionError, TimeoutError):
                writer.close()
                async with asyncio.timeout(_FLUSH_S_MAX):
                    await writer.wait_closed()
        finally:
            self._clients.discard(writer)
            self.busy -= 1
            if not self.busy:
                self._idle.set()

    async def _work(self, request: dict[str, Any], peer: Peer, writer: asyncio.StreamWriter) -> None:
        def send(message: dict[str, Any]) -> None:
            frame = encode_frame(message)
            if not writer.is_closing():
                writer.write(frame)

        def mention(message: dict[str, Any]) -> None:
            # A client that does not read must not fill our memory: what is only news is left out.
            if writer.transport.get_write_buffer_size() <= FRAME_BYTES_MAX:
                send(message)

        send({"accepted": 1})
        pulse = _Pulse(lambda: mention({"alive": 1}))
        try:
            send({"result": await self._handler(request, peer, lambda report: mention({"progress": report}))})
        except AssentError as error:
            send({"error": error.to_dict(), "family": error.family})
        except Exception as error:  # noqa: BLE001 - one client's bad luck must not end the owner
            fault: dict[str, Json] = {"cause": repr(error)}
            unexpected = InternalError(
                "INTERNAL_ERROR", "the state's owner failed on this request", details=fault
            )
            send({"error": unexpected.to_dict(), "family": unexpected.family})
        finally:
            pulse.stop()
        if not writer.is_closing():
            await writer.drain()


class _Pulse:
    """Calls `beat` again and again until it is stopped, from the loop itself: a hung loop has no pulse."""

    def __init__(self, beat: Callable[[], None]) -> None:
        self._beat = beat
        self._loop = asyncio.get_running_loop()
        self._timer = self._loop.call_later(ALIVE_S, self._tick)

    def stop(self) -> None:
        self._timer.cancel()

    def _tick(self) -> None:
        self._beat()
        self._timer = self._loop.call_later(ALIVE_S, self._tick)
