"""What came over the wire, as a result: headers without credentials, a body as JSON or text where it is that."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import math
import re
from typing import Final

from assent.capabilities.net._client import Received
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._shapes import Answer, AnsweredAs, Head
from assent.errors import Json
from assent.invocation import LocalContext
from assent.spec.masking import MASK, names_secret

DEPTH_MAX: Final = 64
"""Levels of lists and objects in a body that is given as JSON; a deeper one is given as text."""

EXCERPT_CHARACTERS: Final = 500
_CREDENTIALS: Final = frozenset(
    {"authorization", "proxy-authorization", "authentication-info", "proxy-authentication-info", "cookie"}
)
_INTEGER_BITS: Final = 63
_CHARSET: Final = re.compile(r"charset=\"?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)
_TEXTS: Final = ("xml", "javascript", "yaml", "toml", "csv", "x-www-form-urlencoded", "graphql", "sql")


def is_credential(header: str) -> bool:
    """Whether a header of this name holds something that nobody should read."""
    return header in _CREDENTIALS or header == "set-cookie" or names_secret(header)


def head_of(received: Received) -> Head:
    """The answer's head."""
    return Head(
        url=received.url,
        status=received.status,
        headers=shown_headers(received),
        redirects=list(received.redirects),
    )


async def attached(context: LocalContext, received: Received, inline_bytes: int) -> Answer:
    """The whole answer; a body with more than `inline_bytes` stands beside the output, secrets taken out of it."""
    if len(received.body) <= inline_bytes:
        return answer_of(received)
    kept = await asyncio.to_thread(context.attach, (received.body,))
    return _answer(received, kept.to_json(), "blob")


def answer_of(received: Received) -> Answer:
    """The whole answer, its body in it."""
    return _answer(received, *read_body(received))


def _answer(received: Received, body: Json, body_type: AnsweredAs) -> Answer:
    return Answer(
        **head_of(received).model_dump(),
        body=body,
        body_type=body_type,
        size=received.size,
        sha256=hashlib.sha256(received.body).hexdigest(),
        body_missing=received.fault,
    )


def shown_headers(received: Received) -> dict[str, str]:
    """The headers by name; one that came several times is joined with commas, a credential is masked."""
    found: dict[str, str] = {}
    for name, value in received.headers:
        shown = MASK if is_credential(name) else value
        found[name] = f"{found[name]}, {shown}" if name in found and shown != MASK else shown
    return found


def read_body(received: Received) -> tuple[Json, AnsweredAs]:
    """The body, and what it is given as."""
    if not received.body:
        return None, "none"
    kind = received.header("content-type").lower()
    media = kind.partition(";")[0].strip()
    if media == "application/json" or media.endswith("+json"):
        try:
            value = json.loads(received.body, parse_constant=_no_number)
        except (ValueError, RecursionError):
            pass
        else:
            if _is_plain(value):
                return value, "json"
    text = _text(received.body, kind, media)
    if text is not None:
        return text, "text"
    return base64.b64encode(received.body).decode("ascii"), "base64"


def refused(context: LocalContext, received: Received, *, was_sent: bool) -> HttpFailure:
    """The failure that a status from 400 on is. `was_sent`: the request may have been performed in spite of it."""
    body, body_type = read_body(received)
    said = body if body_type == "text" else json.dumps(body, ensure_ascii=False)
    excerpt: Json = excerpt_of(context, str(said)) if body_type in ("text", "json") else None
    return HttpFailure(
        "HTTP_STATUS",
        f"the service answered {received.status}",
        hint="`details.body` is what it said; list the status in `accept_status` where it is not a failure",
        details={"status": received.status, "body": excerpt, "headers": {**shown_headers(received)}},
        was_sent=was_sent,
    )


def excerpt_of(context: LocalContext, text: str, most: int = EXCERPT_CHARACTERS) -> str:
    """The beginning of what a service said.

    Secrets are taken out first: of one that the cut divides, nobody would know the rest as a secret any more.
    """
    return context.redact(text)[:most]


def _no_number(name: str) -> float:
    raise ValueError(name)


def _is_plain(value: object) -> bool:
    """Whether everybody can hold the value: not too deep, numbers finite and of 64 bits, no halves of characters."""
    waiting = [(value, 0)]
    while waiting:
        item, depth = waiting.pop()
        match item:
            case dict() | list() if depth >= DEPTH_MAX:
                return False
            case dict():
                waiting += [(part, depth + 1) for pair in item.items() for part in pair]
            case list():
                waiting += [(part, depth + 1) for part in item]
            case bool():
                pass
            case int() if item.bit_length() > _INTEGER_BITS:
                return False
            case float() if not math.isfinite(item):
                return False
            case str() if not _is_whole(item):
                return False
            case _:
                pass
    return True


def _is_whole(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _text(body: bytes, kind: str, media: str) -> str | None:
    charset = _CHARSET.search(kind)
    is_text = media.startswith("text/") or any(word in media for word in (*_TEXTS, "json"))
    if not is_text and charset is None and media:
        return None
    try:
        text = body.decode(charset[1] if charset else "utf-8")
    except (LookupError, ValueError):
        return None
    # Without a declared type, only what looks like text is taken for it.
    return text if _is_whole(text) and "\0" not in text else None
