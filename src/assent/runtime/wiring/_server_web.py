"""An MCP server behind an address: the SDK's transport, whose requests our own client sends.

Imported when the first such server is connected to, with the libraries that it needs.
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

import httpx2
from mcp.client.streamable_http import streamable_http_client
from mcp_types import INTERNAL_ERROR

from assent.capabilities.net import Egress, EgressRule, Http, NetLimits
from assent.capabilities.net._client import REDIRECTS, Header, Wire
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._headers import FRAMING, can_be_value
from assent.capabilities.net._url import Target, parse_url
from assent.errors import AssentError
from assent.plugins.upstream import Listing, Server
from assent.spec.values.crowds import has_more_values

if TYPE_CHECKING:
    from mcp.client._transport import TransportStreams

LEAVE_S: Final = 1.0
"""How long a server may take to hear that we leave: nobody waits for more."""

_OURS: Final = FRAMING | {"user-agent"}
_OF_THE_BODY: Final = frozenset({"content-length", "content-encoding", "transfer-encoding", "connection"})

_REFUSALS: Final = {
    401: "it wants to know who asks, or does not take the token that it was sent",
    403: "it knows who asks, and does not let them in",
}
"""What an answer means that leaves the SDK with no more to say than that there was one."""


@dataclass
class Web:
    """A server behind an address: reached by the client that all requests go through, and nowhere but there."""

    server: Server
    headers: Mapping[str, str]
    fault: str | None = None
    printed: str = ""
    hint: str | None = None
    has_changed: None = None
    has_back: bool = False
    """An answer is read when it is whole."""
    listing: tuple[Listing, Wire] | None = None
    _http: Http | None = None

    def heed_changes(self) -> None:
        """Nothing: there is no stream on which changes would be told."""

    async def list_again(self) -> bytes | None:
        """What the last request for its tools is answered with now; None where that can't be asked so simply."""
        if self.listing is None or self._http is None:
            return None
        listing, wire = self.listing
        ident, body = listing.anew()
        try:
            wire = replace(wire, body=body)
            got = await self._http.send(wire, principal="", bytes_max=self.server.answer_bytes)
        except (HttpFailure, AssentError):
            return None  # whoever asks in the usual way is told
        if got.fault is not None or got.status != 200:
            return None
        lines = got.body.splitlines()
        events = [line[5:] for line in lines if line.startswith(b"data:")]
        answers = (Listing.answer_in(one) for one in events or [got.body])
        return next((result for found, result in answers if found == ident), None)

    @asynccontextmanager
    async def streams(self) -> AsyncIterator[TransportStreams]:
        server = self.server
        assert server.url is not None, "a program has pipes"
        target = parse_url(server.url)
        rule = EgressRule(
            name=f"mcp server {server.name}",
            hosts=(target.host,),
            methods=frozenset({"POST", "DELETE"}),
            schemes=frozenset({target.scheme}),
            ports=frozenset({target.port}),
            private=tuple(map(ipaddress.ip_network, server.private)),
        )
        limits = NetLimits(
            timeout_ms=server.timeout_ms, idle_timeout_ms=server.timeout_ms, answer_bytes=server.answer_bytes
        )
        http = self._http = Http(Egress([rule]), limits)
        try:
            async with (
                httpx2.AsyncClient(transport=_sending(self, http, target), trust_env=False) as client,
                streamable_http_client(server.url, http_client=client) as streams,
            ):
                yield streams
        finally:
            await http.close()


def _sending(web: Web, http: Http, target: Target) -> httpx2.AsyncBaseTransport:
    """What carries the SDK's requests through our client, all to `target`. There is no stream of what a server says unasked."""

    class Sending(httpx2.AsyncBaseTransport):
        async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
            if request.method == "GET":
                return httpx2.Response(405, request=request)
            body = await request.aread()
            own = {name.lower(): value for name, value in web.headers.items()}
            sent = {
                name.lower(): value
                for name, value in request.headers.items()
                if name.lower() not in _OURS and name.lower() not in own
            }
            headers = [Header(name, value) for name, value in sent.items()]
            headers += [Header(name, value, is_private=True) for name, value in own.items()]
            if not all(map(can_be_value, own.values())):
                raise self._failed("a secret in its `headers` can't be sent in a header", request)
            # Not where the SDK says: it follows what leads on to another path of the same host, which may be another's.
            wire = Wire(request.method, target, tuple(headers), body, target.origin)
            if (listing := Listing.of(body)) is not None:
                web.listing = listing, wire
            try:
                async with asyncio.timeout(LEAVE_S if request.method == "DELETE" else None):
                    got = await http.send(wire, principal="", bytes_max=web.server.answer_bytes)
            except (HttpFailure, AssentError) as failure:
                if failure.code == "EGRESS_DENIED":
                    name = web.server.name
                    web.hint = f"if it is meant to be there, name its network under `private` of `[mcp.servers.{name}]`"
                raise self._failed(failure.message, request) from failure
            except TimeoutError as late:
                raise self._failed("it did not hear that we leave", request) from late
            if got.fault is not None:
                raise self._failed(f"its answer can't be read: {got.fault}", request)
            if has_more_values(got.body, web.server.answer_values):
                raise self._failed(f"its answer has more than {web.server.answer_values} values", request)
            if got.status in REDIRECTS:
                raise self._failed("it leads on to another address, and no redirect is followed", request)
            if got.status in _REFUSALS:
                why = f"it answered {got.status}: {_REFUSALS[got.status]}; {_signs_in(web.server.name)}"
                said = {"jsonrpc": "2.0", "id": None, "error": {"code": INTERNAL_ERROR, "message": why}}
                return httpx2.Response(got.status, json=said, request=request)
            kept = [
                (name, value)
                for name, value in got.headers
                if name.lower() not in _OF_THE_BODY and can_be_value(value)
            ]
            return httpx2.Response(got.status, headers=kept, content=got.body, request=request)

        def _failed(
            self, why: str, request: Any
        ) -> httpx2.TransportError:  # `Any`: the library's own request
            web.fault = why
            return httpx2.TransportError(why, request=request)

    return Sending()


def _signs_in(name: str) -> str:
    return (
        "Assent signs in nowhere by itself (OAuth): give it a token under `headers` of "
        f'`[mcp.servers.{name}]` (Authorization = "Bearer secret://NAME")'
    )
