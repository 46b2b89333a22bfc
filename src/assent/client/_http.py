"""One server over HTTP: requests that are repeated where that is safe, and streams that are listened to again."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

import httpx2
import msgspec

from assent.client._wire import (
    NOT_ADMITTED,
    Written,
    answer_of,
    fault_of,
    lines_of,
    not_open,
    parts_of,
    unreadable,
    written,
)
from assent.errors import AssentError, WorldError
from assent.runtime.service import requests
from assent.runtime.service.answers import RunEvent
from assent.runtime.service.requests import Driving, Request, Stream
from assent.spec.values.typed import decode
from assent.system import SystemClock, SystemEntropy

A = TypeVar("A")

CONNECT_S: Final = 5.0
WAIT_S: Final = 30
"""So long the server is to wait for a run that can be asked after again."""
WAIT_S_MAX: Final = 600
"""The same for what can't be asked twice."""
SLACK_S: Final = 15.0
"""By so much later than promised an answer may come."""
SILENCE_S_MAX: Final = 45.0
"""A stream says something every 15 seconds, also where nothing happens."""
PAUSE_S: Final = 0.1
PAUSE_S_MAX: Final = 5.0
CONNECTIONS_MAX: Final = 100

_ASKED_TWICE: Final = (
    requests.Run, requests.Call, requests.OpenSession, requests.Erase, requests.Approve, requests.Reject, requests.Cancel,
    requests.Signal, requests.Undo, requests.Resolve, requests.Resume,
)  # fmt: skip
"""What the record keeps from happening twice under one key, or by its nature."""


class Http:
    """The way to one server, for as long as it is open."""

    def __init__(self, where: str, key: str | None, tls: ssl.SSLContext | None) -> None:
        """`where`: an address, or the path of a socket, at which TLS is spoken where a context says how."""
        self._clock, self._entropy = SystemClock(), SystemEntropy()
        of_socket = "http://assent" if tls is None else "https://localhost"
        url = where if where.startswith(("http://", "https://")) else of_socket
        self._where = where
        limits = httpx2.Limits(max_connections=None, max_keepalive_connections=CONNECTIONS_MAX)
        transport = httpx2.AsyncHTTPTransport(
            uds=None if url == where else where,
            verify=tls or (_tls() if url.startswith("https:") else False),
            trust_env=False,
            limits=limits,
        )
        headers = {} if key is None else {"authorization": f"Bearer {key}"}
        self._client = httpx2.AsyncClient(
            transport=transport, base_url=url, headers=headers, trust_env=False, follow_redirects=False
        )

    async def close(self) -> None:
        """Hang up."""
        await self._client.aclose()

    def _is_over(self) -> bool:
        return self._client.is_closed

    async def ask(self, request: Request[Any], ident: str, patience_s: float) -> dict[str, Any]:
        """What the server answers, as it travels (hence `Any`); a run that is under way is waited for.

        For `patience_s` a request goes out again, under the same key `ident`, where it was not admitted, never arrived, or can't
        happen twice.
        `SERVER_UNREACHABLE` when it never arrived, `SERVER_LOST` when it may have been carried out.
        """
        out = written(request)
        is_repeatable = not isinstance(request, Driving) or isinstance(request, _ASKED_TWICE)
        patience = _Patience(self._clock, self._entropy, patience_s)
        was_sent = False
        while True:
            if self._is_over():
                raise self._lost("the client was closed") if was_sent else not_open()
            try:
                answer = await self._send(out, ident, WAIT_S if is_repeatable else WAIT_S_MAX)
            except httpx2.TransportError as error:
                was_sent = was_sent or not isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout)
                fault: AssentError = self._lost(error) if was_sent else self._unreachable(error)
                if not self._is_over() and ((was_sent and not is_repeatable) or not await patience.pause()):
                    raise fault from error
                continue
            if answer.status_code in (200, 202) or _is_run(out, answer):
                told = answer_of(out.route, answer.content, answer.headers)
                if answer.headers.get("preference-applied") != "respond-async":
                    return told
                if not is_repeatable:
                    raise self._lost("it is under way yet")
                patience.renew()
                was_sent = True
                continue
            fault = fault_of(answer.status_code, answer.content)
            if not _passes(answer, fault) or (fault.code not in NOT_ADMITTED and not is_repeatable):
                raise fault
            if not await patience.pause(_after_s(answer.headers)):
                # That this attempt began nothing says nothing of those before it.
                raise self._lost(fault) if was_sent and fault.code in NOT_ADMITTED else fault

    async def events(self, request: requests.Events, patience_s: float) -> AsyncIterator[RunEvent]:
        """Events as they come; a stream that breaks is taken up behind the last one that came, for `patience_s` from then on."""
        patience = _Patience(self._clock, self._entropy, patience_s)
        while True:
            try:
                async with self._streamed(request) as chunks:
                    async for name, data in _messages(_heard(lines_of(chunks), patience)):
                        if name == "end":
                            return
                        event = _event(data)
                        yield event
                        request = msgspec.structs.replace(request, since=event.n + 1)
                later = _Later(self._lost("the stream ended before the run"))
            except _Later as error:
                later = error
            if not await patience.pause(later.after_s):
                raise later.fault

    async def parts(self, request: Stream[A], patience_s: float) -> AsyncIterator[A]:
        """The parts of an answer as they come. What breaks before the first is asked for again, and later it is `SERVER_LOST`."""
        patience = _Patience(self._clock, self._entropy, patience_s)
        was_told = False
        while True:
            try:
                async with self._streamed(request) as chunks:
                    async for part in parts_of(request, chunks):
                        was_told = True
                        yield part
                    return
            except _Later as error:
                if was_told:
                    raise self._lost(error.__cause__) from error
                later = error
            if not await patience.pause(later.after_s):
                raise later.fault

    @asynccontextmanager
    async def _streamed(self, request: Stream[Any]) -> AsyncIterator[AsyncIterator[bytes]]:
        """The bytes of an answer in parts. Raises `_Later` where they may come another time, and `RUNTIME_CLOSED`."""
        if self._is_over():
            raise not_open()
        out = written(request)
        # Only a stream of events says something where nothing happens.
        silence_s = SILENCE_S_MAX if isinstance(request, requests.Events) or not request.waits else None
        timeout = httpx2.Timeout(CONNECT_S, read=silence_s)
        try:
            async with self._client.stream(
                out.route.method, out.path, params=out.query, timeout=timeout
            ) as answer:
                if answer.status_code != 200:
                    fault = fault_of(answer.status_code, await answer.aread())
                    raise _Later(fault, _after_s(answer.headers)) if _passes(answer, fault) else fault
                yield answer.aiter_bytes()
        except httpx2.TransportError as error:
            raise not_open() if self._is_over() else _Later(self._unreachable(error)) from error

    async def _send(self, out: Written, ident: str, wait_s: int) -> httpx2.Response:
        headers = {"prefer": f"wait={wait_s}"}
        if out.body is not None:
            headers |= {"content-type": "application/json", "idempotency-key": ident}
        timeout = httpx2.Timeout(wait_s + SLACK_S, connect=CONNECT_S)
        return await self._client.request(
            out.route.method, out.path, params=out.query, content=out.body, headers=headers, timeout=timeout
        )

    def _unreachable(self, why: object) -> WorldError:
        return WorldError(
            "SERVER_UNREACHABLE",
            f"nobody answers at `{self._where}`: {str(why) or type(why).__name__}",
            hint="`assent serve` says where it listens",
        )

    def _lost(self, why: object) -> WorldError:
        return WorldError(
            "SERVER_LOST",
            f"the request to `{self._where}` was sent, and no answer came: {str(why) or type(why).__name__}",
            hint="it may be carried out yet: look with `assent runs` before asking for it anew",
        )


class _Patience:
    """Pauses between attempts, longer each time, until the time for them is over. It begins when something first goes wrong:
    an answer may have been waited for, or a stream been silent, for longer than this.
    """

    def __init__(self, clock: SystemClock, entropy: SystemEntropy, patience_s: float) -> None:
        self._clock, self._entropy, self._patience_s = clock, entropy, patience_s
        self.renew()

    def renew(self) -> None:
        """The server is there: what goes wrong from now on is another matter."""
        self._until_ms: float | None = None
        self._pause_s = PAUSE_S

    async def pause(self, least_s: float = 0.0) -> bool:
        """Whether another attempt is to be made now; False at once where the pause would last longer than the patience."""
        pause_s = max(least_s, self._pause_s * (0.5 + self._entropy.jitter() / 2))
        now_ms = self._clock.monotonic_ms()
        if self._until_ms is None:
            self._until_ms = now_ms + self._patience_s * 1000
        if now_ms + pause_s * 1000 > self._until_ms:
            return False
        await asyncio.sleep(pause_s)
        self._pause_s = min(self._pause_s * 2, PAUSE_S_MAX)
        return True


class _Later(Exception):
    """Nothing can be had now: the fault that says so, and after how long to come again at the least."""

    def __init__(self, fault: AssentError, after_s: float = 0.0) -> None:
        super().__init__(fault)
        self.fault, self.after_s = fault, after_s


def _passes(answer: httpx2.Response, fault: AssentError) -> bool:
    """Whether a refusal is one of this moment: of a server that has too much to do, or of what stands before one that is away."""
    return answer.status_code in (429, 502, 503, 504) and fault.code in {*NOT_ADMITTED, "SERVER_UNREADABLE"}


def _tls() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context


def _is_run(out: Written, answer: httpx2.Response) -> bool:
    """A run that was refused is an answer, with a status of its own."""
    return (
        answer.status_code == 403
        and out.route.answered == "run"
        and answer.headers.get("content-type", "").startswith("application/json")
    )


def _after_s(headers: Mapping[str, str]) -> float:
    with suppress(ValueError):
        return max(0.0, float(headers.get("retry-after", "0")))
    return 0.0


async def _heard(lines: AsyncIterator[bytes], patience: _Patience) -> AsyncIterator[bytes]:
    """The lines, also those that only say that the server is there."""
    async for line in lines:
        patience.renew()
        yield line


async def _messages(lines: AsyncIterator[bytes]) -> AsyncIterator[tuple[str, bytes]]:
    """Name and data of each message of a stream of server-sent events."""
    name, data = "message", b""
    async for line in lines:
        field, _, value = line.partition(b": ")
        if field == b"event":
            name = value.decode(errors="replace")
        elif field == b"data":
            data = value
        elif not line:
            if data:
                yield name, data
            name, data = "message", b""


def _event(data: bytes) -> RunEvent:
    try:
        return decode(data, RunEvent)
    except msgspec.DecodeError:
        raise unreadable("an event that is none") from None
