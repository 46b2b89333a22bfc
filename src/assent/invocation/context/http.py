"""Requests that a part sends through Assent: checked, limited and on the record, whichever process the part runs in.

`context.http` is all that a plugin has of a network. A request leaves only where the plugin's trusted manifest and `[net]` of the
configuration both let it, and its secrets stand in it by name until it does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias

from assent.errors import InputError, Json
from assent.spec.reach import ASKING, METHODS

BodyType: TypeAlias = Literal["json", "text", "form", "bytes"]
BODY_TYPES: Final = ("json", "text", "form", "bytes")

HEADERS_MAX: Final = 64
QUERY_MAX: Final = 256
HEAD_CHARACTERS_MAX: Final = 64 << 10

ANSWER_BYTES_MAX: Final = 64 << 20
"""The longest body of an answer, whatever the configuration says: it is held in memory, and crosses a pipe in one message."""

STOP_S: Final = 0.1
"""How long a thread that waits for an answer goes on waiting after its part was asked to stop."""


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """A request as a part wrote it: its secrets are references in `SecretText`, wherever they stand."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = ()
    query: tuple[tuple[str, str], ...] = ()
    body: Any = None  # `Any`: JSON with references in it, text, or bytes
    body_type: BodyType | None = None
    follow_redirects: bool = True
    is_body_told: bool = True
    """Whether the record may have the body; of one that it may not only the address is told."""
    timeout_ms: int | None = None
    """How long it may take, where that is less than `[net]` allows."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """An answer, whatever its status. Header names are in lower case; a secret that the request held is `***` in all of it."""

    status: int
    url: str
    headers: Mapping[str, str] = field(default_factory=dict)
    redirects: tuple[str, ...] = ()
    body: bytes = b""

    @property
    def is_success(self) -> bool:
        """Whether the status is one from 200 to 299."""
        return 200 <= self.status <= 299

    def text(self) -> str:
        """The body as UTF-8; what is none stands as `�`."""
        return self.body.decode(errors="replace")

    def json(self) -> Json:
        """The body as JSON. `InputError` JSON_INVALID when it is none."""
        from assent.spec.values.canonical import parse_json

        return parse_json(self.body)


class HttpAccess:
    """`context.http`: requests of one call. It is made of what the call has around it."""

    __slots__ = ("_is_stopped", "_send", "begin")

    def __init__(
        self,
        send: Callable[[HttpRequest], Awaitable[HttpAnswer]],
        begin: Callable[[HttpRequest], Future[HttpAnswer]],
        is_stopped: Callable[[], bool],
    ) -> None:
        self._send, self._is_stopped = send, is_stopped
        self.begin: Final = begin
        """The answer to come, which any thread can wait for and give up; for whoever serves parts elsewhere."""

    async def request(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | Sequence[str]] | None = None,
        body: Any = None,  # `Any`: JSON, text or bytes
        body_type: BodyType | None = None,
        follow_redirects: bool = True,
    ) -> HttpAnswer:
        """Send a request; the answer, whatever its status. For async parts that execute, reconcile or compensate.

        A `SecretText` (`SecretText("Bearer secret://mail/token")`) in a header, in `query` or in the body has its secrets put in
        on the way out. `body` is sent as its type says: bytes as they are, text as UTF-8, everything else as JSON; `body_type`
        `form` sends an object of texts. Only GET and HEAD follow redirects.

        What raises has no claim on the effect: an earlier request of the part may have had one. `RefusedError`
        PLUGIN_HOST_UNDECLARED (the plugin's manifest does not name it), EGRESS_DENIED (`[net]` does not), SECRET_NOT_GRANTED,
        HTTP_TOO_EARLY, HTTP_TOO_MANY, PLUGIN_DENIED; `InputError` URL_INVALID, HTTP_REQUEST_INVALID; `WorldError` HTTP_….
        """
        named = tuple((headers or {}).items())
        written = HttpRequest(method, url, named, _pairs(query), body, body_type, follow_redirects)
        return await self._send(written)

    def request_in_thread(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str] | None = None,
        query: Mapping[str, str | Sequence[str]] | None = None,
        body: Any = None,  # `Any`: as above
        body_type: BodyType | None = None,
        follow_redirects: bool = True,
        is_body_told: bool = True,
        timeout_ms: int | None = None,
    ) -> HttpAnswer:
        """The same for sync parts, which run in a thread of their own and wait in it.

        `is_body_told`: whether the record has the body; `timeout_ms`: how long it may take, where `[net]` allows more.
        """
        named = tuple((headers or {}).items())
        written = HttpRequest(
            method, url, named, _pairs(query), body, body_type, follow_redirects, is_body_told, timeout_ms
        )
        answer = self.begin(written)
        while not answer.done():
            wait((answer,), timeout=STOP_S)
            if self._is_stopped():
                answer.cancel()  # nobody wants the result, and the thread is waited for
        if answer.cancelled():
            raise InputError("CALL_ENDED", "the part was asked to stop while it waited for an answer")
        return answer.result()


def _pairs(query: Mapping[str, str | Sequence[str]] | None) -> tuple[tuple[str, str], ...]:
    return tuple(
        (name, value)
        for name, values in (query or {}).items()
        for value in ([values] if isinstance(values, str) else values)
    )


def require_form(request: HttpRequest) -> None:
    """Do nothing, or raise HTTP_REQUEST_INVALID for a request that no part may write; what stands in it is looked at later."""
    fault: str | None = None
    if request.method not in METHODS:
        fault = f"`{request.method[:20]}` is not a method that can be sent: {', '.join(METHODS)}"
    elif request.body_type is not None and request.body_type not in BODY_TYPES:
        fault = f"`{request.body_type[:20]}` is not a type of body: {', '.join(BODY_TYPES)}"
    elif request.body is not None and request.method in ASKING:
        fault = f"a {request.method} has no body"
    elif len(request.headers) > HEADERS_MAX or len(request.query) > QUERY_MAX:
        fault = f"a request has at most {HEADERS_MAX} headers and {QUERY_MAX} values in its query"
    elif sum(len(name) + len(value) for name, value in request.headers + request.query) > HEAD_CHARACTERS_MAX:
        fault = (
            f"the headers and the query of a request have at most {HEAD_CHARACTERS_MAX} characters together"
        )
    if fault is not None:
        raise InputError("HTTP_REQUEST_INVALID", fault)


def headers_of(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    """Headers by name; those of one name are joined with commas."""
    found: dict[str, str] = {}
    for name, value in pairs:
        found[name] = f"{found[name]}, {value}" if name in found else value
    return found
