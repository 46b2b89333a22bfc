"""Requests of parts (`context.http`) through the one client: what holds for `net.http.*` holds for them."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from typing import Any, Final

from assent.capabilities.net._client import Http
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._request import Draft, too_large, wire_of
from assent.errors import InputError, Json, WorldError
from assent.invocation import LocalContext
from assent.invocation.context.http import ANSWER_BYTES_MAX, HttpAnswer, HttpRequest, headers_of
from assent.invocation.context.outbound import Admit, Outbound, Reveal, Shown

MARKS: Final = 2
"""The quotes around a text, which are not sent with it."""

_BODY_TYPES: Final = {"json": "json", "text": "text", "form": "form", "bytes": "base64"}


class Outgoing(Outbound):
    """Sends through a client, with its rules and limits."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def shown(self, request: HttpRequest) -> Shown:
        draft = self._draft(request)
        draft.require_sound()
        target = draft.target
        told = (
            draft.show()
            if request.is_body_told
            else f"{replace(draft, body=None).show()}\n(a body that is not kept)\n"
        )
        text: dict[str, Json] = {"request": told}
        return Shown(request.method, target.scheme, target.host, target.port, text)

    async def send(
        self, context: LocalContext, request: HttpRequest, *, admit: Admit, reveal: Reveal
    ) -> HttpAnswer:
        http = self._http
        wire = await wire_of(context, http, self._draft(request), reveal)
        # A part makes these up: nothing of them stands in the inputs of its call.
        context.count_sent(len(request.url) + len(wire.body))
        try:
            received = await http.send(
                wire,
                principal=str(context.principal),
                bytes_max=min(http.limits.answer_bytes, ANSWER_BYTES_MAX),
                follow=request.follow_redirects,
                timeout_ms=request.timeout_ms,
                admit=admit,
            )
        except HttpFailure as failure:
            hint = self._hint(failure.code) or failure.hint
            raise WorldError(failure.code, failure.message, hint=hint, details=failure.details) from failure
        if received.fault is not None:
            raise WorldError(
                received.fault,
                f"`{wire.method} {wire.target.origin}` was answered {received.status}, and the answer's body can't be read",
                hint=self._hint(received.fault),
                details={"status": received.status},
            )
        return HttpAnswer(
            received.status, received.url, headers_of(received.headers), received.redirects, received.body
        )

    def _hint(self, code: str) -> str | None:
        """What a part can do about an answer that is too much to hold."""
        if code == "HTTP_BOMB":
            return "raise `ratio` in `[net]`, if the service is to be trusted with that"
        if code != "HTTP_BODY_TOO_LARGE":
            return None
        may_grow = self._http.limits.answer_bytes < ANSWER_BYTES_MAX
        return "ask the service for less at a time" + (
            ", or raise `answer_bytes` in `[net]`" if may_grow else ""
        )

    def _draft(self, request: HttpRequest) -> Draft:
        """The request as the client's other callers write theirs. HTTP_REQUEST_INVALID, HTTP_REQUEST_TOO_LARGE for a body."""
        query: dict[str, Any] = {}
        for name, value in request.query:
            query.setdefault(name, []).append(value)
        body, kind = _body(request, self._http.limits.request_bytes)
        return Draft(request.method, request.url, dict(request.headers), query, body, kind)


def _body(request: HttpRequest, bytes_max: int) -> tuple[Json, str]:
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
    # Looked at before it is made into anything else: whoever wrote it may want it to be too large.
    if isinstance(body, bytes):
        size = len(body)
    else:
        try:
            size = len(json.dumps(body, allow_nan=False, ensure_ascii=False))
        except (TypeError, ValueError, RecursionError):
            raise InputError("HTTP_REQUEST_INVALID", "the body is not JSON", path="body") from None
    if size > bytes_max + MARKS:
        raise too_large(bytes_max)
    return base64.b64encode(body).decode("ascii") if isinstance(body, bytes) else body, _BODY_TYPES[kind]
