"""The one client of a runtime: every request of every capability goes through `Http.send`, and nothing else opens a connection.

A request is checked (rules), its host resolved once, every address checked, one of them connected to; a redirect begins all of it
anew. Nothing is taken from the environment: no proxy, no `.netrc`; cookies are kept by nobody.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from assent.capabilities.net._addresses import Address
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._limits import HEAD_BYTES_MAX, HEADER_BYTES_MAX, NetLimits
from assent.capabilities.net._resolver import Resolver, SystemResolver
from assent.capabilities.net._rules import Egress
from assent.capabilities.net._unpacking import ACCEPTED, Unpacker, too_large
from assent.capabilities.net._url import Target, join_url
from assent.invocation import NoEffectError
from assent.invocation.context.outbound import Tracing

if TYPE_CHECKING:
    import httpx2

    from assent.invocation.context.outbound import Admit

SAFE: Final = frozenset({"GET", "HEAD"})
REDIRECTS: Final = frozenset({301, 302, 303, 307, 308})
ADDRESSES_MAX: Final = 4
"""Addresses of one host that are tried; all of them are checked, however many there are."""
HEADERS_MAX: Final = 512
"""Headers of one answer, however short."""

Sink: TypeAlias = Callable[[bytes], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Header:
    """One header to send. A private one (a credential, a secret) never goes to another origin than the first."""

    name: str
    value: str
    is_private: bool = False


@dataclass(frozen=True, slots=True)
class Wire:
    """A request as it is sent. `shown` is its address as people may see it."""

    method: str
    target: Target
    headers: tuple[Header, ...]
    body: bytes
    shown: str

    @property
    def is_safe(self) -> bool:
        """Whether its method only asks (RFC 9110 §9.2.1)."""
        return self.method in SAFE


@dataclass(frozen=True, slots=True)
class Received:
    """An answer.

    `body` is empty when a sink took it; `size` counts it all the same. `redirects` are the addresses on the way, first in front.
    `fault`: an unsafe request was answered, and this code says why no more of the answer than its status could be read, or no
    more than its status and headers.
    """

    status: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    size: int
    url: str
    redirects: tuple[str, ...]
    fault: str | None = None

    def header(self, name: str) -> str:
        """The first header of that name; empty without one."""
        return next((value for found, value in self.headers if found == name), "")


class _Progress:
    """How far one attempt came, as the pool tells of it; `answered` is what has come of the answer to an unsafe request."""

    def __init__(self) -> None:
        self.was_sent = False
        self.was_reused = True
        self.answered: Received | None = None

    async def __call__(self, event: str, info: object) -> None:
        del info
        if event == "connection.connect_tcp.started":
            self.was_reused = False
        elif event == "http11.send_request_headers.started":
            self.was_sent = True


class Coming:
    """An answer whose head has come, and whose bytes come as they are asked for."""

    def __init__(self, wire: Wire, answer: httpx2.Response, head: Received, ratio: int) -> None:
        self.head: Final = head
        self._wire, self._answer, self._ratio = wire, answer, ratio

    async def pieces(self, bytes_max: int | None) -> AsyncGenerator[bytes]:
        """Its body, unpacked; no more than `bytes_max`, where that is said. `HttpFailure` as `Http.send` raises."""
        import httpcore2

        try:
            most = sys.maxsize if bytes_max is None else bytes_max
            async with aclosing(_pieces(self._answer, bytes_max=most, ratio=self._ratio)) as pieces:
                async for piece in pieces:
                    yield piece
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise _failure(self._wire, error, was_sent=True) from error


class Http:
    """Sends requests. Making one costs nothing: the client behind it, and its library, come with the first request."""

    def __init__(
        self,
        egress: Egress | None = None,
        limits: NetLimits | None = None,
        *,
        resolver: Resolver | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.egress: Final = egress or Egress()
        self.limits: Final = limits or NetLimits()
        self.tracing: Final = tracing or Tracing()
        self._resolver = resolver
        self._client: httpx2.AsyncClient | None = None

    async def close(self) -> None:
        """Close every connection; harmless when there is none."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()

    async def check(self, target: Target, method: str, principal: str) -> list[Address]:
        """The addresses that a request may be sent to, in the order they are to be tried.

        Raises `NoEffectError` EGRESS_DENIED, and `HttpFailure` HTTP_DNS_FAILED.
        """
        opened = self.egress.admit(target, method, principal)
        addresses = [target.address] if target.address is not None else await self._resolve(target)
        self.egress.require_reachable(target, method, principal, addresses, opened)
        return addresses[:ADDRESSES_MAX]

    async def _resolve(self, target: Target) -> list[Address]:
        if self._resolver is None:
            self._resolver = SystemResolver()
        found: list[Address] = []
        try:
            async with asyncio.timeout(self.limits.connect_timeout_ms / 1000):
                found = await self._resolver.addresses(target.host, target.port)
        except TimeoutError:
            why = "the resolver took too long"
        except OSError as error:
            why = (error.strerror or "no answer").lower()
        else:
            why = "it has no address"
        if not found:
            raise HttpFailure(
                "HTTP_DNS_FAILED",
                f"the host `{target.host}` can't be found: {why}",
                hint="look at the spelling, and at the machine's resolver",
                was_sent=False,
            )
        return found

    async def send(
        self,
        wire: Wire,
        *,
        principal: str,
        bytes_max: int,
        follow: bool = False,
        timeout_ms: int | None = None,
        take: Sink | None = None,
        admit: Admit | None = None,
    ) -> Received:
        """The answer, whatever its status. `take` gets the bytes of a success piece by piece; otherwise they are in the answer.

        `admit` is asked about each address on the way before the rules are, and may raise. `timeout_ms` is how long it may
        take where that is less than `[net]` allows.

        Raises `NoEffectError` EGRESS_DENIED, URL_INVALID (a redirect's too) and `HttpFailure` for everything else.
        """
        progress = _Progress()
        limit_ms = min(self.limits.timeout_ms, timeout_ms or self.limits.timeout_ms)
        if self._client is None:
            self._open()  # the library loads for the first request, which is no part of that request's time
        try:
            async with asyncio.timeout(limit_ms / 1000):
                return await self._follow(
                    wire,
                    progress,
                    principal=principal,
                    bytes_max=bytes_max,
                    follow=follow,
                    take=take,
                    admit=admit,
                )
        except TimeoutError:
            if progress.answered is not None:
                return replace(progress.answered, fault="HTTP_TIMEOUT")
            raise _too_slow(wire, limit_ms, was_sent=progress.was_sent) from None

    @asynccontextmanager
    async def coming(self, wire: Wire, *, principal: str) -> AsyncIterator[Coming]:
        """The answer as it comes, its head within `timeout_ms`; how long the rest may take is for whoever reads it to say.

        It leads nowhere else: a redirect is an answer like any other. Raises as `send` does.
        """
        progress = _Progress()
        if self._client is None:
            self._open()  # as above
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(self.limits.timeout_ms / 1000):
                    addresses = await self.check(wire.target, wire.method, principal)
                    answer = await stack.enter_async_context(self._answered(wire, progress, addresses))
            except TimeoutError:
                raise _too_slow(wire, self.limits.timeout_ms, was_sent=progress.was_sent) from None
            head = Received(answer.status_code, self._headers(answer), b"", 0, wire.shown, ())
            yield Coming(wire, answer, head, self.limits.ratio)

    async def _follow(
        self,
        wire: Wire,
        progress: _Progress,
        *,
        principal: str,
        bytes_max: int,
        follow: bool,
        take: Sink | None,
        admit: Admit | None,
    ) -> Received:
        gone: list[str] = []
        while True:
            with _told_of(gone):
                if admit is not None:
                    admit(wire.method, wire.target.scheme, wire.target.host, wire.target.port)
                addresses = await self.check(wire.target, wire.method, principal)
            async with self._answered(wire, progress, addresses) as answer:
                location = answer.headers.get("location")
                if not (follow and wire.is_safe and answer.status_code in REDIRECTS and location):
                    is_wanted = take is not None and answer.is_success
                    most = bytes_max if is_wanted else min(bytes_max, self.limits.answer_bytes)
                    head = Received(answer.status_code, (), b"", 0, wire.shown, tuple(gone))
                    return await self._received(
                        wire, answer, head, progress, bytes_max=most, take=take if is_wanted else None
                    )
                self._headers(answer)
            gone.append(wire.shown)
            if len(gone) > self.limits.redirects:
                raise HttpFailure(
                    "HTTP_REDIRECTS",
                    f"the answer leads on more than {self.limits.redirects} times",
                    hint="call the address that it should end at",
                    details={"redirects": [*gone]},
                )
            with _told_of(gone):
                wire = _redirected(wire, location)

    @asynccontextmanager
    async def _answered(
        self, wire: Wire, progress: _Progress, addresses: Sequence[Address]
    ) -> AsyncIterator[httpx2.Response]:
        """The head of one answer, its body still to come; the connection is given back at the end."""
        import httpcore2

        try:
            answer = await self._sent(wire, addresses, progress)
            try:
                yield answer
            finally:
                await answer.aclose()
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            raise _failure(wire, error, was_sent=progress.was_sent) from error

    async def _sent(self, wire: Wire, addresses: Sequence[Address], progress: _Progress) -> httpx2.Response:
        import httpcore2

        waiting = list(addresses)
        while True:
            progress.was_sent, progress.was_reused = False, True
            try:
                return await self._attempt(wire, waiting[0], progress)
            except (httpcore2.ConnectError, httpcore2.ConnectTimeout) as error:
                # Another address of the same host, checked like this one, may answer. A certificate would be the same.
                if len(waiting) == 1 or _tls_reason(error) is not None:
                    raise
                waiting.pop(0)
            except (httpcore2.RemoteProtocolError, httpcore2.ReadError, httpcore2.WriteError):
                # The service may have closed an idle connection just as it was used again. A safe request is sent anew.
                if not (wire.is_safe and progress.was_reused):
                    raise

    async def _attempt(self, wire: Wire, address: Address, progress: _Progress) -> httpx2.Response:
        client = self._client or self._open()
        import httpx2

        from assent.capabilities.net._transport import ADDRESS, ALONE, TARGET

        limits = self.limits
        timeout = {
            "connect": limits.connect_timeout_ms / 1000,
            "read": limits.idle_timeout_ms / 1000,
            "write": limits.idle_timeout_ms / 1000,
            "pool": limits.timeout_ms / 1000,
        }
        # The library logs this address and is told no more than may stand in a log.
        request = httpx2.Request(
            wire.method,
            httpx2.URL(scheme=wire.target.scheme, host=wire.target.host, port=wire.target.port, path="/"),
            headers=self._sent_headers(wire),
            content=wire.body,
            extensions={
                TARGET: wire.target,
                ADDRESS: address,
                # Whether an unsafe request arrived must not hang on a connection that the service was about to close.
                ALONE: not wire.is_safe,
                "timeout": timeout,
                "trace": progress,
            },
        )
        return await client.send(request, stream=True, follow_redirects=False)

    def _sent_headers(self, wire: Wire) -> list[tuple[str, str]]:
        headers = [("host", wire.target.netloc)]
        own = {header.name for header in wire.headers}
        defaults = {"accept": "*/*", "accept-encoding": ACCEPTED, "user-agent": "assent"}
        headers += [(name, value) for name, value in defaults.items() if name not in own]
        if wire.body or not wire.is_safe:
            headers.append(("content-length", str(len(wire.body))))
        if not wire.is_safe:
            headers.append(("connection", "close"))
        return headers + [(header.name, header.value) for header in wire.headers]

    def _open(self) -> httpx2.AsyncClient:
        from http.cookiejar import CookieJar, DefaultCookiePolicy

        import httpx2

        from assent.capabilities.net._transport import PinnedTransport

        _be_quiet()
        self._client = httpx2.AsyncClient(
            transport=PinnedTransport(self.limits),
            trust_env=False,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        )
        return self._client

    def _headers(self, answer: httpx2.Response) -> tuple[tuple[str, str], ...]:
        raw = answer.headers.raw
        if sum(len(name) + len(value) for name, value in raw) > self.limits.header_bytes:
            raise headers_too_large(self.limits.header_bytes)
        if len(raw) > HEADERS_MAX:
            raise HttpFailure(
                "HTTP_HEADERS_TOO_LARGE",
                f"the answer has more than {HEADERS_MAX} headers",
                details={"limit": HEADERS_MAX},
            )
        return tuple((name.decode("latin-1").lower(), value.decode("latin-1")) for name, value in raw)

    async def _received(
        self,
        wire: Wire,
        answer: httpx2.Response,
        head: Received,
        progress: _Progress,
        *,
        bytes_max: int,
        take: Sink | None,
    ) -> Received:
        """The whole answer that begins with `head`.

        The status of an unsafe request says what became of its effect: that is not lost over what comes after it.
        """
        import httpcore2

        try:
            if not wire.is_safe:
                progress.answered = head
            head = replace(head, headers=self._headers(answer))
            if not wire.is_safe:
                progress.answered = head
            body, size = await self._read(wire, answer, bytes_max, take)
        except HttpFailure as failure:
            if wire.is_safe:
                raise
            return replace(head, fault=failure.code)
        except (httpcore2.TimeoutException, httpcore2.NetworkError, httpcore2.ProtocolError) as error:
            if wire.is_safe:
                raise
            return replace(head, fault=_failure(wire, error, was_sent=True).code)
        return replace(head, body=body, size=size)

    async def _read(
        self, wire: Wire, answer: httpx2.Response, bytes_max: int, take: Sink | None
    ) -> tuple[bytes, int]:
        if wire.method == "HEAD":
            return b"", 0
        kept, size = bytearray(), 0
        async with aclosing(_pieces(answer, bytes_max=bytes_max, ratio=self.limits.ratio)) as pieces:
            async for piece in pieces:
                size += len(piece)
                if take is not None:
                    await take(piece)
                else:
                    kept += piece
        return bytes(kept), size


async def _pieces(answer: httpx2.Response, *, bytes_max: int, ratio: int) -> AsyncGenerator[bytes]:
    """What the body of an answer means, as it comes."""
    unpacker = Unpacker(answer.headers.get("content-encoding", ""), bytes_max=bytes_max, ratio=ratio)
    announced = answer.headers.get("content-length", "")
    if announced.isdigit() and int(announced) > bytes_max:
        raise too_large(bytes_max)
    async for part in answer.aiter_raw():
        for piece in unpacker.feed(part):
            yield piece
    unpacker.finish()


def _be_quiet() -> None:
    """Keep the libraries beneath from logging requests and answers with their headers, where credentials stand.

    A program that gave their loggers a level of its own has asked for it, and keeps it.
    """
    for name in ("httpx2", "httpcore2"):
        logger = logging.getLogger(name)
        if logger.level == logging.NOTSET:
            logger.setLevel(logging.WARNING)


def headers_too_large(bytes_max: int) -> HttpFailure:
    """The failure of an answer with more in its head than it may have."""
    can_be_more = bytes_max < HEADER_BYTES_MAX
    return HttpFailure(
        "HTTP_HEADERS_TOO_LARGE",
        f"the answer's headers are larger than {bytes_max} bytes",
        hint="raise `header_bytes` in `[net]`, if the service is trusted" if can_be_more else None,
        details={"limit_bytes": bytes_max},
    )


@contextmanager
def _told_of(gone: Sequence[str]) -> Iterator[None]:
    """Inside, a refusal of an address that nobody asked for tells who led there."""
    try:
        yield
    except NoEffectError as error:
        if gone:
            error.details["redirects"] = [*gone]
        raise


def _redirected(wire: Wire, location: str) -> Wire:
    """The request that a redirect asks for."""
    try:
        target = join_url(wire.target, location)
    except NoEffectError as error:
        # What the service wrote is not repeated: it may hold parts of what it was sent.
        raise NoEffectError(
            error.code,
            f"`{wire.target.origin}` leads on to what is not a `http://` or `https://` address",
            path="url",
        ) from None
    if wire.target.scheme == "https" and target.scheme != "https":
        raise HttpFailure(
            "HTTP_REDIRECT_REFUSED",
            f"`{wire.target.origin}` leads on to `{target.origin}`, without encryption",
            hint="call the last address that is encrypted, or ask the service to mend it",
        )
    headers = wire.headers
    if target.origin != wire.target.origin:
        headers = tuple(header for header in headers if not header.is_private)
    return replace(wire, target=target, headers=headers, shown=str(target))


def _too_slow(wire: Wire, limit_ms: int, *, was_sent: bool) -> HttpFailure:
    return HttpFailure(
        "HTTP_TIMEOUT",
        f"`{wire.method} {wire.target.origin}` took longer than {limit_ms / 1000:g} s",
        hint="try again later, or raise `timeout` in `[net]`",
        was_sent=was_sent,
    )


def _failure(wire: Wire, error: Exception, *, was_sent: bool) -> HttpFailure:
    import httpcore2

    where = f"`{wire.method} {wire.target.origin}`"
    tls = _tls_reason(error)
    if tls is not None:
        return HttpFailure(
            "HTTP_TLS_FAILED",
            f"{where} has no connection that can be trusted: {tls}",
            hint="a private authority is named by `ca_bundle` in `[net]`; nothing is sent unverified",
            was_sent=was_sent,
        )
    match error:
        case httpcore2.ConnectTimeout() | httpcore2.PoolTimeout():
            return HttpFailure("HTTP_CONNECT_FAILED", f"{where} took too long to connect", was_sent=False)
        case httpcore2.ConnectError():
            return HttpFailure(
                "HTTP_CONNECT_FAILED",
                f"{where} can't be connected to",
                hint="look whether the service runs, and at its port",
                was_sent=False,
            )
        case httpcore2.TimeoutException():
            return HttpFailure("HTTP_TIMEOUT", f"{where} went silent for too long", was_sent=was_sent)
        case httpcore2.LocalProtocolError():
            return HttpFailure(
                "HTTP_REQUEST_INVALID", f"{where} can't be sent as it is: {error}"[:300], was_sent=False
            )
        case httpcore2.RemoteProtocolError() if "buffer" in str(error):
            return headers_too_large(HEAD_BYTES_MAX)
        case _:
            return HttpFailure(
                "HTTP_BROKEN",
                f"{where} was answered by something that is not HTTP, or broke off",
                details={"cause": str(error).partition(":")[0][:200]},
                was_sent=was_sent,
            )


def _tls_reason(error: BaseException) -> str | None:
    """Why TLS failed, in the library's words; None when it was something else."""
    cause: Any = error  # `Any`: which attributes there are depends on the kind
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return str(cause.verify_message or cause.reason).lower()
        if isinstance(cause, ssl.SSLError):
            return (cause.reason or "its answer is none").replace("_", " ").lower()
        # The pool raises its error anew, "from nothing"; what it stands for is still its context.
        cause = cause.__cause__ or cause.__context__
    return None
