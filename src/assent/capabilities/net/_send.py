"""What changes something at a service: `net.http.post`, `put`, `patch`, `delete`, and each of them with its compensation.

**What became of the effect.** Nothing sent: none. An answer below 400: done. An answer from 400 to 499: the service says that it
refused, so none, but only if no earlier attempt can have been performed (it would be the second one that was refused), and not
for 409, which also means "your first one is under way". Everything else, silence above all: unknown. Then `status` is asked, if
there is one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final, Generic, TypeVar

from assent.capabilities.net._answer import answer_of, attached, excerpt_of, refused
from assent.capabilities.net._client import Http, Received
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._request import (
    Draft,
    derived_key,
    foresee,
    holds_secret,
    read_file,
    wire_of,
)
from assent.capabilities.net._shapes import Answer, Offset, Send, SendCompensated, Status
from assent.capabilities.net._templates import (
    KEY,
    has_any,
    in_json,
    in_text,
    in_url,
    require_expressions,
    require_fixed_host,
    searched,
    unusable,
)
from assent.errors import Json, RefusedError
from assent.invocation import LeadsTo, LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.states import Verdict
from assent.spec.values.frozen import thaw

S = TypeVar("S", bound=Send)

_VERSION: Final = 1
_FIRST: Final = "net.http.first"
_SENT: Final = "send"
_UNDONE: Final = "undo"
_GONE: Final = frozenset({404, 410})
_MOVED: Final = frozenset({307, 308})
_CONFLICT: Final = 409


class Sending(Generic[S]):
    """The parts of one method's capabilities. It keeps nothing of a call."""

    def __init__(self, method: str) -> None:
        self._method = method

    def preview(self, context: LocalContext, parameters: S) -> Preview:
        """The request, and the one that would offset it, as text; nobody is asked."""
        draft, *others = self._drafts(context, parameters)
        foresee(context, draft, *others)
        shown = draft.show()
        digest = self._file(context, parameters)
        if digest is not None:
            shown += f"sha256 of the file: {digest}\n"
        if isinstance(parameters, SendCompensated):
            shown += f"\nto take it back:\n{_shown_offset(parameters.compensation)}"
        return Preview("text", shown, digest)

    async def prepare(self, context: LocalContext, parameters: S) -> Prepared:
        """Check all that can be known before the request is sent, the compensating one and the status question included."""
        http = context.app.get(Http)
        draft, *others = self._drafts(context, parameters)
        foresee(context, draft, *others)
        for one in (draft, *others):
            await _check(http, context, one)
        digest = await asyncio.to_thread(self._file, context, parameters)
        # Of this very call nothing has been sent. After a crash there is another call, without the mark.
        context.flags.add(_FIRST)
        return Prepared({"version": _VERSION, "key": draft.key, "file": digest})

    def _drafts(self, context: LocalContext, parameters: S) -> list[Draft]:
        """The request, the question about its status and the one that would offset it, as far as there are any."""
        drafts = [self._draft(context, parameters)]
        if parameters.status is not None:
            _require_status(parameters.status)
            drafts.append(_status_draft(parameters.status))
        if isinstance(parameters, SendCompensated):
            _require_offset(parameters.compensation)
            drafts.append(_offset_draft(parameters.compensation))
        return drafts

    def _draft(self, context: LocalContext, parameters: S) -> Draft:
        return Draft(
            self._method,
            parameters.url,
            parameters.headers,
            parameters.query,
            parameters.body,
            parameters.body_type,
            parameters.media_type,
            derived_key(context, _SENT),
        )

    def _file(self, context: LocalContext, parameters: S) -> str | None:
        """The digest of the file that is to be sent; None when the body is none."""
        if parameters.body is None or parameters.body_type != "file":
            return None
        limits = context.app.get(Http).limits
        return read_file(context, parameters.body, limits.request_bytes)[1]

    async def execute(self, context: LocalContext, parameters: S) -> Answer:
        """Send the request. What its failures say about the effect stands above."""
        http = context.app.get(Http)
        await self._require_same_file(context, parameters)
        draft = self._draft(context, parameters)
        wire = await wire_of(context, http, draft)
        try:
            received = await http.send(
                wire, principal=str(context.principal), bytes_max=http.limits.answer_bytes
            )
            self._require_success(context, received, parameters)
        except HttpFailure as failure:
            raise failure.to_error(is_safe=False) from failure
        return await attached(context, received, http.limits.inline_bytes)

    def _require_success(self, context: LocalContext, received: Received, parameters: S) -> None:
        status, is_first = received.status, _FIRST in context.flags
        if status in _MOVED:
            raise HttpFailure(
                "HTTP_REDIRECT_REFUSED",
                f"the service wants the request sent elsewhere ({status})",
                hint="call the address that `details.location` names, if it is the right one",
                details={"status": status, "location": excerpt_of(context, received.header("location"))},
                was_sent=not is_first,
            )
        if status < 400 or status in parameters.accept_status:
            return
        if self._method == "DELETE" and status in _GONE and not is_first:
            return  # it was there when the first attempt began, and now it is gone
        said_no = status < 500 and status != _CONFLICT
        raise refused(context, received, was_sent=not (said_no and is_first))

    async def _require_same_file(self, context: LocalContext, parameters: S) -> None:
        """What was shown and approved is what is sent."""
        kept = (context.prepared or {}).get("file")
        if kept is not None and kept != await asyncio.to_thread(self._file, context, parameters):
            raise NoEffectError(
                "FILE_CHANGED",
                f"`{parameters.body}` is not the file any more that the call was prepared with",
                path="body",
                hint="look at it, then run the step again",
            )

    async def reconcile(self, context: LocalContext, parameters: S) -> Reconciliation:
        """Ask the service where `status` says how; else nobody knows, but a key that is honoured lets it be repeated."""
        unknown = Reconciliation(Verdict.UNKNOWN, is_repeatable=parameters.honours_key)
        status = parameters.status
        if status is None:
            return unknown
        http = context.app.get(Http)
        values: dict[str, Json] = {KEY: derived_key(context, _SENT)}
        headers, private = await _headers(context, status.headers, status.url, values)
        draft = Draft(status.method, in_url(status.url, values), headers, {}, private=private)
        wire = await wire_of(context, http, draft)
        try:
            received = await http.send(
                wire, principal=str(context.principal), bytes_max=http.limits.answer_bytes, follow=True
            )
        except HttpFailure:
            return unknown
        answer: dict[str, Json] = answer_of(received).model_dump(mode="json")
        if await searched(status.happened_when, answer, context.cancel) is True:
            return Reconciliation(Verdict.YES, answer)
        negative = status.not_happened_when
        if negative is not None and await searched(negative, answer, context.cancel) is True:
            return Reconciliation(Verdict.NO)
        return unknown


class SendingCompensated(Sending[SendCompensated]):
    """The same, with the request that offsets it."""

    async def leads_to(self, context: LocalContext, parameters: SendCompensated) -> list[LeadsTo]:
        """The compensating request, as a call of the capability that sends such a request and nothing else."""
        offset = parameters.compensation
        _require_offset(offset)
        is_open = context.output is None and bool(offset.from_answer)
        values = {KEY: derived_key(context, _SENT)} if is_open else await _values(context, offset)
        written: dict[str, Any] = {  # `Any`: JSON
            "url": offset.url,
            "headers": dict(offset.headers),
            "body": thaw(offset.body),
            "body_type": offset.body_type,
            "media_type": offset.media_type,
            "accept_status": list(offset.accept_status),
        }
        unknown = frozenset(
            name for name, value in written.items() if is_open and has_any(value, offset.from_answer)
        )
        inputs: dict[str, Json] = {
            name: in_url(value, values) if name == "url" else in_json(value, values)
            for name, value in written.items()
            if name not in unknown
        }
        return [LeadsTo("request", f"net.http.{offset.method.lower()}", inputs, unknown)]

    async def compensate(self, context: LocalContext, parameters: SendCompensated) -> None:
        """Send the compensating request, with the values of the answer that was journaled; harmless when it was sent before."""
        offset = parameters.compensation
        http = context.app.get(Http)
        values = await _values(context, offset)
        headers, private = await _headers(context, offset.headers, offset.url, values)
        revealed = await context.reveal(offset.body, host=_host(offset.url))
        draft = Draft(
            offset.method,
            in_url(offset.url, values),
            headers,
            {},
            in_json(revealed, values),
            offset.body_type,
            offset.media_type,
            derived_key(context, _UNDONE),
            private,
        )
        wire = await wire_of(context, http, draft)
        try:
            received = await http.send(
                wire, principal=str(context.principal), bytes_max=http.limits.answer_bytes
            )
            gone = offset.method == "DELETE" and received.status in _GONE
            is_fine = received.status < 400 and received.status not in _MOVED
            if not (is_fine or gone or received.status in offset.accept_status):
                raise refused(context, received, was_sent=True)
        except HttpFailure as failure:
            raise failure.to_error(is_safe=False) from failure


async def _values(context: LocalContext, offset: Offset) -> dict[str, Json]:
    values: dict[str, Json] = {KEY: derived_key(context, _SENT)}
    if offset.from_answer and context.output is None:
        raise RefusedError(
            "UNDO_IMPOSSIBLE",
            "the answer of the request was lost, and the compensating one needs values of it",
            path="compensation.from_answer",
            hint="offset the request by hand, and say so with `assent resolve`",
        )
    for name, expression in offset.from_answer.items():
        found = await searched(expression, context.output, context.cancel)
        if found is None:
            raise unusable(name)
        values[name] = found
    return values


async def _headers(
    context: LocalContext, headers: Mapping[str, str], url: str, values: Mapping[str, Json]
) -> tuple[dict[str, str], frozenset[str]]:
    """Headers with secrets and values in place, and which of them hold secrets.

    Secrets come first, so that a value of somebody else's can't ask for one.
    """
    private = frozenset(name.lower() for name, value in headers.items() if holds_secret(value))
    revealed: dict[str, str] = await context.reveal(dict(headers), host=_host(url))
    return {name: in_text(value, values) for name, value in revealed.items()}, private


def _host(url: str) -> str:
    return _fixed(url).target.host


def _fixed(url: str) -> Draft:
    """A request to a written address, for what is known of it before its values are: its host, port and scheme."""
    return Draft("GET", url, {}, {})


async def _check(http: Http, context: LocalContext, draft: Draft) -> None:
    try:
        await http.check(draft.target, draft.method, str(context.principal))
    except HttpFailure as failure:
        raise failure.to_error(is_safe=False) from failure


def _require_status(status: Status) -> None:
    require_fixed_host(status.url)
    expressions = {"happened_when": status.happened_when}
    if status.not_happened_when is not None:
        expressions["not_happened_when"] = status.not_happened_when
    require_expressions(expressions)
    _status_draft(status).require_sound()


def _status_draft(status: Status) -> Draft:
    return Draft(status.method, status.url, status.headers, {})


def _require_offset(offset: Offset) -> None:
    require_fixed_host(offset.url)
    require_expressions(offset.from_answer)
    if KEY in offset.from_answer:
        raise NoEffectError(
            "HTTP_REQUEST_INVALID",
            f"`{KEY}` is the key that was sent with the request, and no value of its answer",
            path=f"compensation.from_answer.{KEY}",
        )
    _offset_draft(offset).require_sound()


def _offset_draft(offset: Offset) -> Draft:
    # A body of base64 can hold no placeholder, and a form's values are texts before and after.
    body: Any = offset.body  # `Any`: JSON
    return Draft(offset.method, offset.url, offset.headers, {}, body, offset.body_type, offset.media_type)


def _shown_offset(offset: Offset) -> str:
    lines = _offset_draft(offset).show().replace("%7B", "{").replace("%7D", "}")
    named = "".join(
        f"where {{{name}}} is `{what}` of the answer\n" for name, what in offset.from_answer.items()
    )
    return lines + named
