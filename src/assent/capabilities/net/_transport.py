"""Connections that go to a checked address and nowhere else, whatever the name means a moment later.

The pool knows a connection by its scheme, by its port and by a label that holds the host's name *and* the checked address. So a
connection is used again only by requests whose own check came to this name at this address, and TLS is verified for the name.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from itertools import count
from typing import Any, Final

import httpcore2
import httpx2
from httpcore2 import AsyncNetworkBackend, AsyncNetworkStream

from assent.capabilities.net._addresses import Address
from assent.capabilities.net._limits import HEAD_BYTES_MAX, NetLimits
from assent.capabilities.net._url import Target
from assent.invocation import NoEffectError

TARGET: Final = "assent_target"
ADDRESS: Final = "assent_address"
ALONE: Final = "assent_alone"

KEEP_S: Final = 5.0
"""How long an idle connection is kept. Services close theirs soon, and a request on a closed one has to be sent again."""

_SEPARATOR: Final = "|"


class PinnedBackend(AsyncNetworkBackend):
    """Opens connections to the address in a label; names never come this far."""

    def __init__(self) -> None:
        self._inner = httpcore2.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,  # noqa: ASYNC109  # the port's own signature
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,  # `Any`: three shapes of tuples, handed through
    ) -> AsyncNetworkStream:
        address = host.split(_SEPARATOR)[1]
        stream = await self._inner.connect_tcp(address, port, timeout, local_address, socket_options)
        return _Heard(stream)

    async def connect_unix_socket(
        self,
        path: str,
        timeout: float | None = None,  # noqa: ASYNC109  # as above
        socket_options: Iterable[Any] | None = None,
    ) -> AsyncNetworkStream:
        del path, timeout, socket_options
        raise httpcore2.ConnectError("no request goes to a socket of this machine")

    async def sleep(self, seconds: float) -> None:
        await self._inner.sleep(seconds)


class _Heard(AsyncNetworkStream):
    """A connection on which no more than a head is read before the head is complete.

    The library's own bound is for one head: it begins anew with each `100 Continue`, of which a service may send any number.
    """

    def __init__(self, inner: AsyncNetworkStream) -> None:
        self._inner = inner
        self._before_head = 0
        self._is_in_head = True

    async def read(self, max_bytes: int, timeout: float | None = None) -> bytes:  # noqa: ASYNC109  # as above
        if self._is_in_head and self._before_head > HEAD_BYTES_MAX:
            raise httpcore2.RemoteProtocolError(f"no head within a buffer of {HEAD_BYTES_MAX} bytes")
        data = await self._inner.read(max_bytes, timeout)
        self._before_head += len(data)
        return data

    async def write(self, buffer: bytes, timeout: float | None = None) -> None:  # noqa: ASYNC109  # as above
        self._before_head, self._is_in_head = 0, True
        await self._inner.write(buffer, timeout)

    async def aclose(self) -> None:
        await self._inner.aclose()

    async def start_tls(
        self,
        ssl_context: ssl.SSLContext,
        server_hostname: str | None = None,
        timeout: float | None = None,  # noqa: ASYNC109  # as above
    ) -> AsyncNetworkStream:
        return _Heard(await self._inner.start_tls(ssl_context, server_hostname, timeout))

    def get_extra_info(self, info: str) -> Any:  # `Any`: as the port has it
        return self._inner.get_extra_info(info)

    def head_is_complete(self) -> None:
        """What is read from now on is a body."""
        self._is_in_head = False


class PinnedTransport(httpx2.AsyncBaseTransport):
    """What the client sends through. Each request carries its target and the address that was checked for it.

    The request's own URL is only what logs may show: the target may hold secrets. `ALONE` asks for a connection that no other
    request has used or will use.
    """

    def __init__(self, limits: NetLimits, backend: AsyncNetworkBackend | None = None) -> None:
        self._numbers = count()
        self._pool = httpcore2.AsyncConnectionPool(
            ssl_context=_tls(limits),
            max_connections=limits.connections,
            max_keepalive_connections=limits.connections,
            keepalive_expiry=KEEP_S,
            network_backend=backend or PinnedBackend(),
        )

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        extensions = request.extensions
        target: Target = extensions[TARGET]
        address: Address = extensions[ADDRESS]
        label = f"{target.host}{_SEPARATOR}{address}"
        if extensions.get(ALONE):
            label += f"{_SEPARATOR}{next(self._numbers)}"
        url = httpcore2.URL(scheme=target.scheme, host=label, port=target.port, target=target.path)
        answer = await self._pool.handle_async_request(
            httpcore2.Request(
                method=request.method,
                url=url,
                headers=request.headers.raw,
                content=request.stream,
                extensions={**extensions, "sni_hostname": target.host},
            )
        )
        heard = answer.extensions["network_stream"]
        assert isinstance(heard, _Heard), "every connection is opened here"
        heard.head_is_complete()
        return httpx2.Response(
            status_code=answer.status,
            headers=answer.headers,
            stream=_Stream(answer.stream, answer.aclose),
            extensions=answer.extensions,
        )

    async def aclose(self) -> None:
        await self._pool.aclose()


class _Stream(httpx2.AsyncByteStream):
    """An answer's body as it comes. `Any`: the pool's own stream has no public type."""

    def __init__(self, stream: Any, close: Callable[[], Any]) -> None:
        self._stream, self._close = stream, close

    async def __aiter__(self) -> Any:
        async for part in self._stream:
            yield part

    async def aclose(self) -> None:
        await self._close()


def _tls(limits: NetLimits) -> ssl.SSLContext:
    """TLS 1.2 or later, certificate and name always verified: by the system's authorities, and those that were configured."""
    context = ssl.create_default_context()
    if limits.ca_bundle is not None:
        try:
            context.load_verify_locations(cafile=limits.ca_bundle)
        except OSError as error:  # what is no certificate is one of them
            raise NoEffectError(
                "CONFIG_INVALID",
                f"the authorities in `{limits.ca_bundle}` can't be read: {(error.strerror or str(error)).lower()}",
                path="net.ca_bundle",
                hint="`ca_bundle` of `[net]` is a file of certificates in PEM form",
            ) from None
    return context
