"""From parameters to a request: bodies as bytes, headers that can't frame anything, secrets put in at the last moment."""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from assent.capabilities.fs._shapes import place
from assent.capabilities.net._answer import is_credential
from assent.capabilities.net._client import Header, Http, Wire
from assent.capabilities.net._headers import can_be_value, fault_of_name
from assent.capabilities.net._url import Target, parse_url, with_query
from assent.errors import AssentError, Json
from assent.invocation import EntryKind, LocalContext, NoEffectError
from assent.secrets.revealing import names_in
from assent.spec.masking import MASK, masked_by_name, names_secret
from assent.spec.secret_text import SecretText
from assent.spec.words.legible import cut

if TYPE_CHECKING:
    from assent.invocation.context.outbound import Reveal

IDEMPOTENCY_KEY: Final = "idempotency-key"
SHOWN_CHARACTERS: Final = 64 << 10

_TRACE: Final = frozenset({"traceparent", "tracestate"})
_MEDIA: Final = {
    "json": "application/json",
    "text": "text/plain; charset=utf-8",
    "form": "application/x-www-form-urlencoded",
    "base64": "application/octet-stream",
    "file": "application/octet-stream",
}


@dataclass(frozen=True, slots=True)
class Draft:
    """A request as it was written, its secrets still by name."""

    method: str
    url: str
    headers: Mapping[str, str]
    query: Mapping[str, SecretText | list[SecretText]]
    body: Json = None
    body_type: str = "json"
    media_type: str | None = None
    key: str | None = None
    private: frozenset[str] = frozenset()
    """Headers whose secrets stand in them already; they are shown to nobody and go to no other origin."""

    @property
    def target(self) -> Target:
        """Where it goes, without what `query` adds. `NoEffectError` URL_INVALID."""
        return parse_url(self.url)

    @property
    def secrets(self) -> tuple[str, ...]:
        """The secrets that stand in it by name."""
        return names_in([dict(self.headers), self.pairs(), self.body])

    def pairs(self) -> list[tuple[str, str]]:
        """What `query` adds, one pair per value."""
        return [
            (name, value)
            for name, values in self.query.items()
            for value in ([values] if isinstance(values, str) else values)
        ]

    def show(self) -> str:
        """The request as text for people: credentials masked, secrets by their names."""
        shown = [
            (name, MASK if names_secret(name) and not holds_secret(value) else value)
            for name, value in self.pairs()
        ]
        lines = [f"{self.method} {with_query(self.target, shown)}".replace("secret%3A%2F%2F", "secret://")]
        lines += [f"{name}: {value}" for name, value in self._shown_headers()]
        body = self._shown_body()
        return "\n".join([*lines, *(("", body) if body else ())]) + "\n"

    def _shown_headers(self) -> list[tuple[str, str]]:
        return [
            (name, MASK if self._is_hidden(name, value) else value) for name, value in self.named_headers()
        ]

    def _is_hidden(self, name: str, value: str) -> bool:
        return name in self.private or (is_credential(name) and not holds_secret(value))

    def is_private(self, name: str, value: str) -> bool:
        """Whether a header goes to nobody but the first origin."""
        return name in self.private or is_credential(name) or holds_secret(value)

    def _shown_body(self) -> str:
        if self.body is None:
            return ""
        if self.body_type == "json":
            return cut(json.dumps(masked_by_name(self.body), indent=2, ensure_ascii=False), SHOWN_CHARACTERS)
        return cut(f"({self.body_type}) {self.body}", SHOWN_CHARACTERS)

    def named_headers(self) -> list[tuple[str, str]]:
        """The headers that are sent, in lower case, ours included."""
        headers = [(name.lower(), value) for name, value in self.headers.items()]
        named = {name for name, _ in headers}
        if self.body is not None and "content-type" not in named:
            headers.append(("content-type", self.media_type or _MEDIA[self.body_type]))
        if self.key is not None and IDEMPOTENCY_KEY not in named:
            headers.append((IDEMPOTENCY_KEY, self.key))
        return headers

    def require_sound(self) -> None:
        """Do nothing, or raise `NoEffectError` HTTP_REQUEST_INVALID or URL_INVALID, before anything is asked of anybody."""
        _ = self.target
        seen: set[str] = set()
        for name, value in self.named_headers():
            if (fault := fault_of_name(name)) is not None:
                raise _invalid(fault, "headers", "leave it out of `headers`")
            if name in seen:
                raise _invalid(f"the header `{name}` is given twice", "headers")
            if not can_be_value(value):
                raise _invalid(
                    f"the header `{name}` has a value with a line break or a character outside of ASCII",
                    "headers",
                )
            seen.add(name)
        if self.body_type not in ("json", "file") and self.body is not None:
            _encoded(self.body, self.body_type)


async def wire_of(context: LocalContext, http: Http, draft: Draft, reveal: Reveal | None = None) -> Wire:
    """The request with its secrets in place, if it may leave at all. `reveal`: who gives them, unless the context does.

    Whatever it raises is a `NoEffectError`: EGRESS_DENIED, HTTP_REQUEST_TOO_LARGE, what `require_sound` raises, what secrets do.
    """
    draft.require_sound()
    http.egress.admit(draft.target, draft.method, str(context.principal))
    require_sealed(context, http, draft)
    try:
        wire = await _revealed(context, draft, http.limits.request_bytes, reveal or _by(context))
    except NoEffectError:
        raise
    except AssentError as error:
        # A secret that is not to be had; nothing was sent.
        raise NoEffectError.from_dict(error.to_dict()) from error
    return _traced(wire, http.tracing.headers(context))


def foresee(context: LocalContext, *drafts: Draft) -> None:
    """Do nothing, or raise what one of these requests is known to raise: no name is resolved, no secret's value looked at.

    URL_INVALID, HTTP_REQUEST_INVALID, EGRESS_DENIED, SECRET_NOT_GRANTED, SECRET_MISSING.
    """
    http = context.app.get(Http)
    for draft in drafts:
        draft.require_sound()
        require_sealed(context, http, draft)
    for draft in drafts:
        http.egress.foresee(draft.target, draft.method, str(context.principal))
        context.foresee_secrets(draft.secrets, host=draft.target.host)


def require_sealed(context: LocalContext, http: Http, draft: Draft) -> None:
    """Do nothing, or raise `NoEffectError` EGRESS_DENIED for secrets that anybody on the way could read."""
    if draft.private or draft.secrets:
        http.egress.require_sealed(draft.target, draft.method, str(context.principal))


def _by(context: LocalContext) -> Reveal:
    async def reveal(value: Any, host: str) -> Any:  # `Any`: whatever holds references
        return await context.reveal(value, host=host)

    return reveal


async def _revealed(context: LocalContext, draft: Draft, bytes_max: int, reveal: Reveal) -> Wire:
    target = draft.target
    host = target.host
    pairs: list[tuple[str, str]] = await reveal(draft.pairs(), host)
    headers: list[Header] = []
    for name, value in draft.named_headers():
        revealed: str = await reveal(value, host)
        if not can_be_value(revealed):
            raise _invalid(f"the secret in the header `{name}` can't be sent in a header", "headers")
        headers.append(Header(name, revealed, draft.is_private(name, value)))
    body = await _body(context, draft, host, bytes_max, reveal)
    shown = draft.show().partition("\n")[0].partition(" ")[2]
    return Wire(draft.method, with_query(target, pairs), tuple(headers), body, shown)


def _traced(wire: Wire, trace: Mapping[str, str]) -> Wire:
    """With what tells its trace, unless it says one itself. Like a credential, that is for the first origin alone."""
    if not trace or any(header.name in _TRACE for header in wire.headers):
        return wire
    added = (Header(name, value, is_private=True) for name, value in trace.items())
    return replace(wire, headers=(*wire.headers, *added))


async def _body(context: LocalContext, draft: Draft, host: str, bytes_max: int, reveal: Reveal) -> bytes:
    if draft.body is None:
        return b""
    if draft.body_type == "file":
        data, _ = await asyncio.to_thread(read_file, context, draft.body, bytes_max)
        context.count_sent(len(data))
        return data
    data = _encoded(await reveal(draft.body, host), draft.body_type)
    if len(data) > bytes_max:
        raise too_large(bytes_max)
    return data


def holds_secret(text: str) -> bool:
    """Whether the text refers to a secret, and so may be shown."""
    return isinstance(text, SecretText) and bool(text.names)


def derived_key(context: LocalContext, purpose: str) -> str:
    """The idempotency key of one request of a call: the same for every attempt at it, and for nothing else."""
    return hashlib.sha256(f"{context.key}\0{purpose}".encode()).hexdigest()[:32]


def read_file(context: LocalContext, path: Json, bytes_max: int) -> tuple[bytes, str]:
    """A workspace file that is to be sent: its bytes and their SHA-256. HTTP_REQUEST_TOO_LARGE, and what reading raises."""
    if not isinstance(path, str) or not path:
        raise _invalid("a body of type `file` is a path in the workspace", "body")
    files = context.world.files
    where = place(path)
    entry = files.stat(where)
    if entry is None or entry.kind is not EntryKind.FILE:
        raise NoEffectError("FILE_NOT_FOUND", f"`{path[:200]}` is not a file of the workspace", path="body")
    data = bytearray()
    for chunk in files.read(where):
        data += chunk
        if len(data) > bytes_max:
            raise too_large(bytes_max)
    return bytes(data), hashlib.sha256(data).hexdigest()


def _encoded(body: Json, body_type: str) -> bytes:
    if body_type == "json":
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()
    if body_type == "form":
        if not isinstance(body, dict) or not all(isinstance(value, str) for value in body.values()):
            raise _invalid("a body of type `form` is an object of texts", "body")
        return urlencode([(name, str(value)) for name, value in body.items()]).encode()
    if not isinstance(body, str):
        raise _invalid(f"a body of type `{body_type}` is text", "body")
    if body_type == "text":
        return body.encode()
    try:
        return base64.b64decode(body, validate=True)
    except (binascii.Error, ValueError):
        raise _invalid("the body is not base64", "body", "RFC 4648, padded with `=`") from None


def too_large(bytes_max: int) -> NoEffectError:
    """The refusal of a body with more bytes than may be sent."""
    return NoEffectError(
        "HTTP_REQUEST_TOO_LARGE",
        f"the body is larger than {bytes_max} bytes",
        path="body",
        hint="raise `request_bytes` in `[net]`",
    )


def _invalid(message: str, path: str, hint: str | None = None) -> NoEffectError:
    return NoEffectError("HTTP_REQUEST_INVALID", message, path=path, hint=hint)
