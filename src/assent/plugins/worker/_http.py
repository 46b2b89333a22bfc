"""Requests and answers as they cross the pipe. A reference to a secret stays one, and text that only looks like it stays text."""

from __future__ import annotations

import math
from typing import Any, Final, Literal

import msgspec
from msgspec.msgpack import Ext

from assent.invocation.context.http import HttpAnswer, HttpRequest
from assent.plugins.worker._frames import BrokenFrameError
from assent.spec.secret_text import SecretText
from assent.spec.values.typed import convert

QUESTION: Final = "http"
"""The one question that is waited for without a thread: its answer comes from far away."""

DEPTH_MAX: Final = 64
"""Levels of lists and objects in a body."""

_REFERENCE: Final = 1
_INTEGER_BITS: Final = 64


class _Asked(msgspec.Struct, array_like=True, forbid_unknown_fields=True):
    """The question's arguments. `Any`: text or references, and in `body` whatever can be sent."""

    method: str
    url: str
    headers: list[tuple[str, Any]]
    query: list[tuple[str, Any]]
    body: Any
    body_type: Literal["json", "text", "form", "bytes"] | None
    follow_redirects: bool


def to_args(request: HttpRequest) -> list[object]:
    """The question's arguments."""
    return [
        request.method,
        request.url,
        [[name, _packed(value)] for name, value in request.headers],
        [[name, _packed(value)] for name, value in request.query],
        _packed(request.body),
        request.body_type,
        request.follow_redirects,
    ]


def from_args(args: list[Any]) -> HttpRequest:
    """The request that a worker asks for; `BrokenFrameError` for what is none."""
    try:
        asked = convert(args, _Asked)
    except (msgspec.ValidationError, ValueError) as error:
        raise BrokenFrameError(f"`http` has other arguments: {error}") from None
    return HttpRequest(
        asked.method,
        asked.url,
        _texts(asked.headers),
        _texts(asked.query),
        _unpacked(asked.body),
        asked.body_type,
        asked.follow_redirects,
    )


def answer_to(answer: HttpAnswer) -> list[object]:
    """An answer for the worker."""
    return [answer.status, answer.url, dict(answer.headers), [*answer.redirects], answer.body]


def answer_from(told: list[Any]) -> HttpAnswer:
    """The answer that Assent told."""
    status, url, headers, redirects, body = told
    return HttpAnswer(status, url, headers, tuple(redirects), body)


def _packed(value: object) -> object:
    """A value with each reference marked as one."""
    if isinstance(value, SecretText):
        return Ext(_REFERENCE, str(value).encode())
    if isinstance(value, dict):
        return {name: _packed(item) for name, item in value.items()}
    if isinstance(value, list | tuple):
        return [_packed(item) for item in value]
    return value


def _texts(pairs: list[tuple[str, Any]]) -> tuple[tuple[str, str], ...]:
    found = tuple((name, _unpacked(value)) for name, value in pairs)
    if not all(isinstance(value, str) for _, value in found):
        raise BrokenFrameError("`http` has headers or a query of something else than text")
    return found


def _unpacked(value: object, depth: int = 0) -> Any:  # `Any`: JSON, with references, or bytes
    if depth > DEPTH_MAX:
        raise BrokenFrameError("`http` has a body that is nested too deeply")
    match value:
        case Ext(code=1, data=data):
            try:
                return SecretText(bytes(data).decode())
            except ValueError as error:
                raise BrokenFrameError("`http` has a reference that is none") from error
        case dict() if all(isinstance(name, str) for name in value):
            return {name: _unpacked(item, depth + 1) for name, item in value.items()}
        case list():
            return [_unpacked(item, depth + 1) for item in value]
        case None | bool() | str() | bytes():
            return value
        case int() if value.bit_length() <= _INTEGER_BITS:
            return value
        case float() if math.isfinite(value):
            return value
        case _:
            raise BrokenFrameError("`http` has a body that is neither JSON nor bytes")
