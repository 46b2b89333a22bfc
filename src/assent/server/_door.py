"""A door: takes the connections of one listening socket, as many as it may have.

Not `loop.create_server`: it knows nothing of a limit, counts no connection before its TLS handshake, which a stranger need not
end, and where descriptors run out it tries again, and logs that, as often as it may accept at once.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from asyncio import Task
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Final

from assent.server._protocol import Connection, Connections
from assent.system import spawn

LOGGER: Final = logging.getLogger("assent.server")

ACCEPTED_TOGETHER: Final = 64
"""So many connections are taken before anything else gets its turn."""

FULL_S: Final = 0.05
"""After this long it is tried again where this process or its machine has no room for another connection."""

TOLD_S: Final = 60.0
"""So often at most that is told."""

NOTICED_S: Final = 1.0
"""So long an answer has to find out that nobody takes it."""

UNSENT_BYTES_MAX: Final = 64 << 10
"""What the kernel keeps for a connection of TCP that the other end has not asked for yet; it would be megabytes."""

_NO_ROOM: Final = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Door:
    """Open from `open` to `close`; its connections end by themselves, or by `hang_up`."""

    def __init__(
        self,
        listening: socket.socket,
        make: Callable[[Connections], Connection],
        *,
        most: int,
        tls: ssl.SSLContext | None,
        handshake_s: float,
    ) -> None:
        """`make` makes what speaks for a connection."""
        self._listening = listening
        self._make = make
        self._most = most
        self._tls = tls
        self._handshake_s = handshake_s if tls is not None else None
        self._connections = Connections()
        self._coming: set[Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None
        self._told_s = -TOLD_S

    @property
    def count(self) -> int:
        """How many connections there are, those whose handshake is under way included."""
        return len(self._connections.connections)

    def open(self) -> None:
        """Take connections."""
        if self._listening.family != socket.AF_UNIX:  # what is accepted inherits both
            self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, UNSENT_BYTES_MAX)
            # asyncio does so only where a socket says that it is TCP's; an answer's end waited 40 ms for its beginning.
            self._listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._listening.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listening, self._accept)

    def close(self) -> None:
        """Take no more, and end each as soon as it has its answer."""
        asyncio.get_running_loop().remove_reader(self._listening)
        if self._retry is not None:
            self._retry.cancel()
        for coming in self._coming:
            coming.cancel()
        for one in [*self._connections.connections]:
            if one.transport is not None:
                one.shutdown()

    @property
    def answering(self) -> set[Task[None]]:
        """What is being answered."""
        return {*self._connections.tasks, *self._coming}

    async def hang_up(self) -> None:
        """End what is left; whoever answered there finds out, or is stopped."""
        for one in [*self._connections.connections]:
            if one.transport is not None:
                one.transport.abort()
        if self.answering:
            await asyncio.wait(self.answering, timeout=NOTICED_S)
        for task in self.answering:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task

    def _accept(self) -> None:
        for _ in range(ACCEPTED_TOGETHER):
            try:
                taken, _address = self._listening.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:
                if error.errno not in _NO_ROOM:
                    raise
                self._wait_for_room(error)
                return
            if self.count >= self._most:
                taken.close()
                continue
            taken.setblocking(False)
            connection = self._make(self._connections)
            self._connections.connections.add(connection)
            coming = spawn(self._take(taken, connection), name="a connection")
            self._coming.add(coming)
            coming.add_done_callback(partial(self._come, taken, connection))

    def _come(self, taken: socket.socket, connection: Connection, coming: Task[None]) -> None:
        self._coming.discard(coming)
        if coming.cancelled():  # perhaps before it had begun, so that nothing in it could tidy up
            self._connections.connections.discard(connection)
            taken.close()

    def _wait_for_room(self, error: OSError) -> None:
        """Whoever comes waits in the kernel's queue meanwhile: it would be told again and again that somebody is there."""
        loop = asyncio.get_running_loop()
        loop.remove_reader(self._listening)
        self._retry = loop.call_later(FULL_S, loop.add_reader, self._listening, self._accept)
        if loop.time() - self._told_s >= TOLD_S:
            self._told_s = loop.time()
            LOGGER.warning("no connection can be taken at present: %s", error.strerror)

    async def _take(self, taken: socket.socket, connection: Connection) -> None:
        loop = asyncio.get_running_loop()
        with suppress(OSError):  # it left, or its handshake failed or took too long
            try:
                await loop.connect_accepted_socket(
                    lambda: connection, taken, ssl=self._tls, ssl_handshake_timeout=self._handshake_s
                )
            except BaseException:
                self._connections.connections.discard(connection)
                raise
