"""Requests of parts (`context.http`) through the one client: what holds for `net.http.*` holds for them."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from assent.capabilities.net._client import Http
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._request import Draft, wire_of
from assent.errors import InputError, Json, WorldError
from assent.invocation import LocalContext
from assent.invocation.http import HttpAnswer, HttpRequest, headers_of
from assent.invocation.outbound import Admit, Outbound, Reveal, Shown

_BODY_TYPES: Final = {"json": "json", "text": "text", "form": "form", "bytes": "base64"}


class Outgoing(Outbound):
    """Sends through a client, with its rules and limits."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def shown(self, request: HttpRequest) -> Shown:
        """See `Outbound.shown`."""
        draft = _draft(request)
        draft.require_sound()
        target = draft.target
        text: dict[str, Json] = {"request": draft.show()}
        return Shown(request.method, target.scheme, target.host, target.port, text)

    async def send(
        self, context: LocalContext, request: HttpRequest, *, admit: Admit, reveal: Reveal
    ) -> HttpAnswer:
        """See `Outbound.send`."""
        http = self._http
        wire = await wire_of(context, http, _draft(request), reveal)
        try:
            received = await http.send(
                wire,
                principal=str(context.principal),
                bytes_max=http.limits.answer_bytes,
                follow=request.follow_redirects,
                admit=admit,
            )
        except HttpFailure as failure:
            raise WorldError(
                failure.code, failure.message, hint=failure.hint, details=failure.details
            ) from failure
        if received.fault is not None:
            raise WorldError(
                received.fault,
                f"`{wire.method} {wire.target.origin}` was answered {received.status}, and the answer's body can't be read",
                details={"status": received.status},
            )
        return HttpAnswer(
            received.status, received.url, headers_of(received.headers), received.redirects, received.body
        )


def _draft(request: HttpRequest) -> Draft:
    """The request as the client's other callers write theirs. HTTP_REQUEST_INVALID for a body that is none."""
    query: dict[str, Any] = {}
    for name, value in request.query:
        query.setdefault(name, []).append(value)
    body, kind = _body(request)
    return Draft(request.method, request.url, dict(request.headers), query, body, kind)


def _body(request: HttpRequest) -> tuple[Json, str]:
    body = request.body
    kind = request.body_type
    if kind is None:
        kind = "bytes" if isinstance(body, bytes) else "text" if isinstance(body, str) else "json"
    if body is None:
        return None, "json"
    if (kind == "bytes") is not isinstance(body, bytes):
        raise InputError(
            "HTTP_REQUEST_INVALID", f"a body of type `{kind}` is not given like this", path="body"
        )
    if isinstance(body, bytes):
        return base64.b64encode(body).decode("ascii"), _BODY_TYPES[kind]
    try:
        json.dumps(body, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        raise InputError("HTTP_REQUEST_INVALID", "the body is no JSON", path="body") from None
    return body, _BODY_TYPES[kind]
