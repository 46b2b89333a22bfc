"""A connection of HTTP/1.1: uvicorn's, bounded in what it may send and how long that takes, and with who is at its other end."""

from __future__ import annotations

import asyncio
import socket
import struct
from asyncio import TimerHandle
from email.utils import formatdate
from typing import Any, Final, NoReturn

from uvicorn import Config
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

from assent.errors import InputError
from assent.runtime.settings._serve import ServeSettings
from assent.server._problems import problem
from assent.server._streams import OtherEnd
from assent.server.who.tls import is_modern
from assent.system import SystemClock

HEADERS_MAX: Final = 128
PIPELINED_MAX: Final = 16
"""Requests of a connection that wait for the one before them."""

_CREDENTIALS: Final = struct.Struct("3i")
_REASONS: Final = {400: b"Bad Request", 408: b"Request Timeout", 431: b"Request Header Fields Too Large"}


class Connections(ServerState):
    """The connections of one door, with the date that answers bear."""

    def __init__(self) -> None:
        self._date: tuple[int, list[tuple[bytes, bytes]]] = (0, [])
        super().__init__()

    @property
    def default_headers(self) -> list[tuple[bytes, bytes]]:  # made anew once a second
        """What every answer bears."""
        now = SystemClock().now_ms() // 1000
        if self._date[0] != now:
            self._date = (now, [(b"date", formatdate(now, usegmt=True).encode())])
        return self._date[1]

    @default_headers.setter
    def default_headers(self, _value: object) -> None:
        """Nobody else has any."""


class Connection(HttpToolsProtocol):
    """One connection of a door. What its requests are told of it stands in their `state`."""

    def __init__(self, config: Config, connections: Connections, settings: ServeSettings, door: str) -> None:
        super().__init__(config, connections, {})
        self._settings = settings
        self._door = door
        self._head_bytes = 0
        self._head_of_one = 0
        self._is_in_head = True
        self._is_whole = True
        """Nothing but whole requests has come."""
        self._is_refused = False
        self._deadline: TimerHandle | None = None
        self._unread: TimerHandle | None = None
        self._refusal: InputError | None = None
        self._end = OtherEnd(self.loop.create_future(), self.loop.create_future())

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn's
        """Learn who is there."""
        super().connection_made(transport)
        tls = transport.get_extra_info("ssl_object")
        if tls is not None and not is_modern(tls):
            transport.abort()
            return
        self.app_state = {
            "door": self._door, **_peer_of(transport), "hang_up": self._hang_up, "end": self._end,
        }  # fmt: skip
        self._arm()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget every time that was set: a timer would keep all of this."""
        self._disarm()
        self._unset_keepalive_if_required()
        if self._unread is not None:
            self._unread.cancel()
        self._end.gone.set_result(None)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # uvicorn's says None, which closes
        """The other end says nothing more: what it asked for is answered, then the connection ends."""
        self._end.silent.set_result(None)
        if not self._is_answering or self.cycle.more_body or self.scheme == "https":
            return False
        self.cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """More of a request, which may have only so many bytes before its body."""
        if self._is_refused or self.transport.is_closing():
            return
        if self._is_in_head:
            self._head_bytes += len(data)
        self._is_whole = False
        super().data_received(data)
        if self._is_in_head and self._head_bytes > self._settings.head_bytes:
            self._refuse(InputError("HEAD_TOO_LARGE", "the headers are larger than they may be"))
        if self._deadline is None and not self._is_whole and not self._is_refused:
            self._arm()  # most requests come in one piece, and need no timer

    def on_url(self, url: bytes) -> None:
        """A piece of the first line. What raises here ends the connection with a refusal."""
        self._count(url)
        super().on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header, or one that follows the body: nobody who let the headers pass has seen that, so it counts for nothing."""
        self._count(name, value)
        if self._is_in_head:
            if len(self.headers) >= HEADERS_MAX:
                self._forbid("HEAD_TOO_LARGE", "there are more headers than there may be")
            # The parser leaves what follows a value, which is no part of it (RFC 9110 section 5.5).
            super().on_header(name, value.strip(b" \t"))

    def _count(self, *parts: bytes) -> None:
        self._head_of_one += sum(map(len, parts))
        if self._head_of_one > self._settings.head_bytes:
            self._forbid("HEAD_TOO_LARGE", "the headers are larger than they may be")

    def _forbid(self, code: str, message: str) -> NoReturn:
        self._refusal = InputError(code, message)
        raise ValueError(message)

    def on_message_begin(self) -> None:
        """A request begins; only so many may wait for those before them."""
        self._head_of_one = 0
        self._is_whole = False
        if len(self.pipeline) >= PIPELINED_MAX:
            self._forbid("REQUEST_INVALID", "too many requests were sent at once")
        super().on_message_begin()

    def on_headers_complete(self) -> None:
        """The head is there; the body has the rest of the time."""
        if self.parser.should_upgrade():
            # The parser would take what follows for another protocol, and its next bytes for a request.
            self._forbid("REQUEST_INVALID", "there is nothing to upgrade to")
        self._is_in_head = False
        self._head_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """All of the request is there."""
        self._disarm()
        self._is_in_head = self._is_whole = True
        self._head_bytes = 0
        super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no request, in the words of every other refusal."""
        del msg
        self._refuse(self._refusal or InputError("REQUEST_INVALID", "this is not a request of HTTP/1.1"))

    @property
    def _is_answering(self) -> bool:
        return getattr(self, "cycle", None) is not None and not self.cycle.response_complete

    def _refuse(self, error: InputError) -> None:
        if self._is_refused or self.transport.is_closing():
            return
        self._is_refused = True
        self._disarm()
        if not self._is_in_head and self.pipeline:
            self.pipeline.popleft()  # this very request
        elif not (self._is_in_head and self._is_answering):
            if not (self._is_answering and self.cycle.response_started):
                self._write(error)
            self._hang_up()
            return
        # What was asked before is answered first: this refusal would be read as its answer.
        self.flow.pause_reading()

    def _write(self, error: InputError) -> None:
        status, body, headers = problem(error, "/")
        head = [b"HTTP/1.1 %d %s" % (status, _REASONS.get(status, b""))]
        head += [b"%s: %s" % pair for pair in headers]
        head += [b"content-length: %d" % len(body), b"connection: close", b"", body]
        self.transport.write(b"\r\n".join(head))

    def on_response_complete(self) -> None:
        """An answer is out."""
        if self._is_refused and not self.pipeline:
            self._hang_up()
        super().on_response_complete()
        if self.transport.is_closing():
            self._expect_reading()

    def pause_writing(self) -> None:
        """The other end reads nothing at present, and is hung up on if that goes on."""
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        """It reads again."""
        super().resume_writing()
        if self._unread is not None and not self.transport.is_closing():
            self._unread.cancel()
            self._unread = None

    def _hang_up(self) -> None:
        """End the connection once the other end has read what was said, or does not for as long as an idle one is kept."""
        self.transport.close()
        self._expect_reading()

    def _expect_reading(self) -> None:
        if self._unread is None:
            self._unread = self.loop.call_later(self._settings.idle_ms / 1000, self.transport.abort)

    def _arm(self) -> None:
        self._deadline = self.loop.call_later(self._settings.request_ms / 1000, self._end_slow)

    def _disarm(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _end_slow(self) -> None:
        self._deadline = None
        if not self._is_in_head and self.cycle.response_complete:
            self._hang_up()  # the rest of what was answered long ago
        else:
            self._refuse(InputError("REQUEST_TOO_SLOW", "the request took longer to arrive than it may"))

    def timeout_keep_alive_handler(self) -> None:
        """Nothing was asked for long."""
        self._hang_up()


def _peer_of(transport: asyncio.Transport) -> dict[str, Any]:
    """Who is at the other end, as the system says."""
    place = transport.get_extra_info("socket")
    if place is not None and place.family == socket.AF_UNIX:
        credentials = place.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
        _, uid, _ = _CREDENTIALS.unpack(credentials)
        return {"peer": f"uid:{uid}", "os_uid": uid}
    address = transport.get_extra_info("peername") or ("unknown",)
    host = str(address[0])
    tls = transport.get_extra_info("ssl_object")
    certificate = tls.getpeercert(binary_form=True) if tls is not None else None
    return {"peer": f"[{host}]" if ":" in host else host, "certificate": certificate}
