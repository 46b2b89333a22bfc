"""An MCP server behind an address: the SDK's transport, whose requests our own client sends, its answers read as they come.

Theory of operation. Each request has its own exchange, whose answer is one message, or a stream of events with that at its end.
What a server says unasked comes on one more stream, which is read while anybody listens: to the SDK it is one that never ends,
beneath it is asked for anew, with the id of the last event, as often as it does. Events are handed on whole, once they are known
to be within bounds. Streams of news have a client of their own, so that they take no connection from a call.

Imported when the first such server is connected to, with the libraries that it needs.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INTERNAL_ERROR

from assent.capabilities.net import Egress, EgressRule, Http, NetLimits
from assent.capabilities.net._client import REDIRECTS, Coming, Header, Wire
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._headers import FRAMING, can_be_value
from assent.capabilities.net._url import parse_url
from assent.errors import AssentError, Json
from assent.plugins.upstream import Listing, Server, events, field

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

LEAVE_S: Final = 1.0
"""How long a server may take to hear that we leave: nobody waits for more."""

HEARD_S: Final = 1.0
"""How long a call waits for the stream on which the server may ask in it."""

NEWS_MS: Final = 3_600_000
"""A stream of news on which nothing comes for so long is asked for anew."""

AGAIN_S_MIN: Final = 0.1
AGAIN_S: Final = 1.0
AGAIN_S_MAX: Final = 60.0
"""After so long a stream that has ended is asked for again: within these bounds as it says, and ever later where it fails."""

RESUMED_MAX: Final = 50
"""How often the answer to one request may break off and be gone on with."""

_OURS: Final = FRAMING | {"user-agent"}
_OF_THE_BODY: Final = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection"})
_REFUSALS: Final = {
    401: "it wants to know who asks, or does not take the token that it was sent",
    403: "it knows who asks, and does not let them in",
}
"""What an answer means that leaves the SDK with no more to say than that there was one."""

_EVENTS: Final = "text/event-stream"
_SESSION: Final = "mcp-session-id"
_LAST: Final = "last-event-id"
_LATER: Final = frozenset({408, 409, 425, 429})
"""Refusals that say nothing of what a server offers; 409: it has not noticed yet that the stream before has ended."""
_DIGITS_MAX: Final = 10


class _Exchange:
    """One request, with all that its answer is read from: until when that may take, and how often it was gone on with."""

    def __init__(self, until_s: float | None) -> None:
        self.until_s = until_s
        self.resumed = 0


_EXCHANGE: Final[ContextVar[_Exchange | None]] = ContextVar("exchange", default=None)
"""The request that this task has sent: the SDK goes on with a broken answer in the same one."""


class Web:
    """A server behind an address: reached by the client that all requests go through, and nowhere but there."""

    printed: Final = ""
    has_changed: Final = None
    """A stream may break off, so that nobody can go by what was not told on it."""

    def __init__(self, server: Server, headers: Mapping[str, str]) -> None:
        self.fault: str | None = None
        self.hint: str | None = None
        self._server = server
        self._headers = {name.lower(): value for name, value in headers.items()}
        self._bounds = server.bounds
        self._listing: tuple[Listing, Wire] | None = None
        self._has_session = False
        self._missed: Callable[[], object] | None = None
        self._is_wanted = asyncio.Event()
        self._is_heard = asyncio.Event()
        assert server.url is not None, "a program has pipes"
        self._target = target = parse_url(server.url)
        rule = EgressRule(
            name=f"mcp server {server.name}",
            hosts=(target.host,),
            methods=frozenset({"GET", "POST", "DELETE"}),
            schemes=frozenset({target.scheme}),
            ports=frozenset({target.port}),
            private=tuple(map(ipaddress.ip_network, server.private)),
        )
        limits = NetLimits(
            timeout_ms=server.timeout_ms, idle_timeout_ms=server.timeout_ms, answer_bytes=server.answer_bytes
        )
        self._http = Http(Egress([rule]), limits)
        self._news_http = Http(Egress([rule]), replace(limits, idle_timeout_ms=NEWS_MS))

    def heed_changes(self) -> None:
        """Nothing: see `has_changed`."""

    async def hear(self, missed: Callable[[], object]) -> None:
        """Read what the server says unasked, if it offers that: it has begun when this returns, or takes too long."""
        self._missed = missed
        self._is_wanted.set()
        if self._has_session:  # the SDK asks for it in a session alone
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARD_S):
                    await self._is_heard.wait()
            self._is_heard.set()

    async def list_again(self) -> bytes | None:
        """What the last request for its tools is answered with now; None where that can't be asked so simply."""
        if self._listing is None:
            return None
        listing, wire = self._listing
        ident, body = listing.anew()
        try:
            async with self._http.coming(replace(wire, body=body), principal="") as coming:
                if coming.head.status != 200:
                    return None
                async with aclosing(self._messages(coming)) as messages:
                    async for one in messages:
                        found, result = Listing.answer_in(one)
                        if found == ident:
                            return result
        except (HttpFailure, AssentError, httpx2.TransportError):
            pass  # whoever asks in the usual way is told
        return None

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        server = self._server
        assert server.url is not None, "as above"
        try:
            async with (
                httpx2.AsyncClient(transport=_Sending(self.answer), trust_env=False) as client,
                streamable_http_client(
                    server.url, http_client=client, max_sse_event_size=2 * server.answer_bytes
                ) as streams,
            ):
                yield streams
        finally:
            await self._http.close()
            await self._news_http.close()

    async def answer(self, request: httpx2.Request) -> httpx2.Response:
        """The answer to a request of the SDK's, which may still be coming. `httpx2.TransportError`: there is none."""
        wire = self._wire(request, await request.aread())
        is_get = wire.method == "GET"
        if is_get and _LAST not in request.headers:
            return httpx2.Response(
                200, headers={"content-type": _EVENTS}, stream=_Stream(self._news(wire)), request=request
            )
        if (listing := Listing.of(wire.body)) is not None:
            self._listing = listing, wire
        is_news = request.headers.get("mcp-method") == "subscriptions/listen"
        exchange = _EXCHANGE.get() if is_get else None
        if exchange is None:
            wait_s = LEAVE_S if wire.method == "DELETE" else self._server.timeout_ms / 1000
            exchange = _Exchange(None if is_news else asyncio.get_running_loop().time() + wait_s)
            _EXCHANGE.set(exchange)
        else:
            await self._resumes(exchange)
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout_at(exchange.until_s):
                    opened = (self._news_http if exchange.until_s is None else self._http).coming(
                        wire, principal=""
                    )
                    coming = await stack.enter_async_context(opened)
                    head = coming.head
                    self._has_session = self._has_session or bool(head.header(_SESSION))
                    if head.status == 404 and _SESSION in request.headers and not is_get:
                        raise httpx2.ReadError("it does not know the session any more")
                    if head.status in REDIRECTS:
                        raise httpx2.ReadError("it leads on to another address, and no redirect is followed")
                    if head.status in _REFUSALS:
                        return httpx2.Response(head.status, json=self._refusal(head.status), request=request)
                    kept = [
                        (name, value)
                        for name, value in head.headers
                        if name not in _OF_THE_BODY and can_be_value(value)
                    ]
                    if _is_stream(coming):
                        self._bounds.answered()
                        # No other text than the one that was looked at is read from these bytes.
                        kept = [(name, value) for name, value in kept if name != "content-type"]
                        stream = _Stream(self._told(coming, exchange), stack.pop_all())
                        told = [*kept, ("content-type", _EVENTS)]
                        return httpx2.Response(head.status, headers=told, stream=stream, request=request)
                    whole = await self._whole(coming)
            except (HttpFailure, AssentError) as failure:
                if failure.code == "EGRESS_DENIED":
                    table = f"`[mcp.servers.{self._server.name}]`"
                    self.hint = f"if it is meant to be there, name its network under `private` of {table}"
                self.fault = failure.message
            except TimeoutError:
                self.fault = (
                    "it did not hear that we leave"
                    if wire.method == "DELETE"
                    else "it did not answer in time"
                )
            except httpx2.TransportError as error:
                self.fault = str(error)
            else:
                return httpx2.Response(head.status, headers=kept, content=whole, request=request)
        raise httpx2.ReadError(self.fault)

    def _refusal(self, status: int) -> dict[str, Json]:
        """What the SDK can tell of a refusal, as if the server had said it."""
        why = (
            f"it answered {status}: {_REFUSALS[status]}; Assent signs in nowhere by itself (OAuth): give it a token under "
            f'`headers` of `[mcp.servers.{self._server.name}]` (Authorization = "Bearer secret://NAME")'
        )
        return {"jsonrpc": "2.0", "id": None, "error": {"code": INTERNAL_ERROR, "message": why}}

    def _wire(self, request: httpx2.Request, body: bytes) -> Wire:
        sent = {
            name.lower(): value
            for name, value in request.headers.items()
            if name.lower() not in _OURS and name.lower() not in self._headers
        }
        headers = [Header(name, value) for name, value in sent.items()]
        headers += [Header(name, value, is_private=True) for name, value in self._headers.items()]
        if not all(map(can_be_value, self._headers.values())):
            self.fault = "a secret in its `headers` can't be sent in a header"
            raise httpx2.ReadError(self.fault)
        # Not where the SDK says: it follows what leads on to another path of the same host, which may be another's.
        return Wire(request.method, self._target, tuple(headers), body, self._target.origin)

    async def _resumes(self, exchange: _Exchange) -> None:
        """Go on with an answer that broke off: not at once, not for ever, and not longer than its request may take."""
        exchange.resumed += 1
        is_late = exchange.until_s is not None and asyncio.get_running_loop().time() > exchange.until_s
        if is_late or exchange.resumed > RESUMED_MAX:
            self.fault = "its answer broke off again and again"
            raise httpx2.ReadError(self.fault)
        await asyncio.sleep(AGAIN_S_MIN)

    async def _told(self, coming: Coming, exchange: _Exchange) -> AsyncGenerator[bytes]:
        """The events of the answer to one request."""
        try:
            async with aclosing(self._events(coming, exchange.until_s)) as told:
                async for event in told:
                    self.fault = None
                    yield event
        except httpx2.TransportError as error:
            if exchange.until_s is not None:
                self.fault = str(error)
            raise

    async def _news(self, wire: Wire) -> AsyncGenerator[bytes]:
        """What the server says unasked, as long as it offers that."""
        await self._is_wanted.wait()
        last, again_s, was_heard = b"", AGAIN_S, False
        while True:
            resumes = (Header(_LAST, last.decode("latin-1")),) if last else ()
            wire_now = replace(wire, headers=wire.headers + resumes)
            is_stream = is_refused = False
            with suppress(HttpFailure, AssentError, httpx2.TransportError):
                async with self._news_http.coming(wire_now, principal="") as coming:
                    self._is_heard.set()
                    is_stream = _is_stream(coming)
                    status = coming.head.status
                    is_refused = not is_stream and status < 500 and status not in _LATER
                    if is_stream:
                        if was_heard and not resumes:
                            self._tell_missed()
                        again_s, was_heard = AGAIN_S, True
                        async with aclosing(self._events(coming, None)) as told:
                            async for event in told:
                                last = field(event, b"id") or last
                                said = field(event, b"retry")
                                if said.isdigit() and len(said) < _DIGITS_MAX:
                                    again_s = min(max(int(said) / 1000, AGAIN_S_MIN), AGAIN_S_MAX)
                                yield event
            self._is_heard.set()
            if is_refused and not resumes:  # it offers none, or none any more
                if was_heard:
                    self._tell_missed()
                await asyncio.Event().wait()
            if is_refused:
                last = b""
            if not is_stream:
                again_s = min(2 * again_s, AGAIN_S_MAX)
            await asyncio.sleep(again_s)

    def _tell_missed(self) -> None:
        if self._missed is not None:
            self._missed()

    async def _whole(self, coming: Coming) -> bytes:
        whole = b"".join([piece async for piece in coming.pieces(self._server.answer_bytes)])
        self._require(self._bounds.fault_of(whole))
        return whole

    async def _messages(self, coming: Coming) -> AsyncGenerator[bytes]:
        """What an answer holds, however it is wrapped."""
        if not _is_stream(coming):
            yield await self._whole(coming)
            return
        async with aclosing(self._events(coming, None)) as told:
            async for event in told:
                yield field(event, b"data")

    async def _events(self, coming: Coming, until_s: float | None) -> AsyncGenerator[bytes]:
        """Events as they come, each of them whole. `httpx2.ReadError`: it broke off; `SSEError`: it is none that is read."""
        loop, buffer = asyncio.get_running_loop(), bytearray()
        async with aclosing(coming.pieces(None)) as pieces:
            while True:
                try:
                    async with asyncio.timeout_at(until_s):
                        piece = await anext(pieces, None)
                except TimeoutError:
                    raise httpx2.SSEError("it did not answer in time") from None
                except HttpFailure as failure:
                    raise httpx2.ReadError(failure.message) from failure
                if piece is None:
                    return
                for event in events(buffer, piece):
                    self._require(self._bounds.fault_of(field(event, b"data")))
                    self._require(self._bounds.fault_of_unasked(loop.time()))
                    yield event
                self._require(self._bounds.fault_of_size(len(buffer)))

    def _require(self, fault: str | None) -> None:
        if fault is not None:
            raise httpx2.SSEError(fault)


def _is_stream(coming: Coming) -> bool:
    kind = coming.head.header("content-type").partition(";")[0].strip().lower()
    return coming.head.status == 200 and kind == _EVENTS


class _Stream(httpx2.AsyncByteStream):
    """An answer that is still coming, with what ends when nobody reads it any more."""

    def __init__(self, parts: AsyncGenerator[bytes], opened: AsyncExitStack | None = None) -> None:
        self._parts, self._opened = parts, opened

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for part in self._parts:
            yield part

    async def aclose(self) -> None:
        await self._parts.aclose()
        if self._opened is not None:
            await self._opened.aclose()


class _Sending(httpx2.AsyncBaseTransport):
    """What the SDK's own client sends through."""

    def __init__(self, answer: Callable[[httpx2.Request], Awaitable[httpx2.Response]]) -> None:
        self._answer = answer

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        return await self._answer(request)
