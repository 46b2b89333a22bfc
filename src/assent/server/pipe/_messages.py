"""JSON-RPC 2.0 in the words of the service: what a frame asks, and what is told of it. Pure, as the frames are.

A method is an operation of the service, its parameters are what HTTP says in path, query and body, and a result is what `--json`
prints. A message holds one request: frames already hold many.
"""

from __future__ import annotations

from difflib import get_close_matches
from typing import Any, Final, TypeAlias

import msgspec

from assent.errors import AssentError, InputError, Json
from assent.runtime.service._hints import hint_at_door
from assent.runtime.service.requests import OPERATIONS, Request, operation_of
from assent.server._inputs import read_named
from assent.spec.values.canonical import parse_json

Ident: TypeAlias = str | int
"""What a request is called by whoever asks it."""

CANCEL: Final = "$/cancel"
"""Ends a stream."""

ID_CHARACTERS_MAX: Final = 255

_KINDS: Final = {operation_of(kind): kind for kind in OPERATIONS}
_MEMBERS: Final = frozenset({"jsonrpc", "id", "method", "params", "idempotency_key"})
_NUMBERS: Final = {
    "FRAME_INVALID": -32700,
    "FRAME_TOO_LARGE": -32700,
    "JSON_INVALID": -32700,
    "REQUEST_INVALID": -32600,
    "OPERATION_UNKNOWN": -32601,
    "INVALID_INPUT": -32602,
    "INTERNAL_ERROR": -32603,
}
_OTHERWISE: Final = -32000
"""The number of every other error; which one it is, its own code says."""


class Ask(msgspec.Struct, frozen=True, kw_only=True):
    """An operation is asked for. Without an id nobody waits for an answer."""

    request: Request[Any]  # `Any`: each has its own answer
    id: Ident | None = None
    key: str | None = None
    """Under which it happens once."""


class Cancel(msgspec.Struct, frozen=True):
    """The stream that was asked for under this id is to end."""

    id: Ident


class Unreadable(Exception):
    """What a message asks can't be told; `id` is its id where that can."""

    def __init__(self, id: Ident | None, error: AssentError, *, is_told: bool) -> None:  # noqa: A002 - its name everywhere
        super().__init__(error.message)
        self.id = id
        self.error = error
        self.is_told = is_told
        """False for a notification: JSON-RPC answers none."""


def read(message: bytes) -> Ask | Cancel:
    """What a frame asks. `Unreadable`."""
    try:
        said = parse_json(message)
    except AssentError as error:
        raise Unreadable(None, error, is_told=True) from None
    if not isinstance(said, dict):
        hint = "one request in each frame; a batch is several frames"
        fault = InputError("REQUEST_INVALID", "the message must be a JSON object", hint=hint)
        raise Unreadable(None, fault, is_told=True)
    is_named = "id" in said
    found = _ident(said.get("id"))
    try:
        if is_named and found is None:
            raise _invalid(f"`id` must be a whole number or a text of 1 to {ID_CHARACTERS_MAX} characters")
        return _read(said, found)
    except AssentError as error:
        # What is no request at all is answered; only a request without an id is a notification.
        is_told = is_named or error.code == "REQUEST_INVALID"
        raise Unreadable(found, error, is_told=is_told) from None


def _read(said: dict[str, Json], ident: Ident | None) -> Ask | Cancel:
    if said.get("jsonrpc") != "2.0":
        raise _invalid('`jsonrpc` must be "2.0"')
    for name in said:
        if name not in _MEMBERS:
            raise _invalid(f"there is no member `{name[:80]}`")
    method, params, key = said.get("method"), said.get("params", {}), said.get("idempotency_key")
    if not isinstance(method, str):
        raise _invalid("`method` must be text")
    if key is not None and not isinstance(key, str):
        raise _invalid("`idempotency_key` must be text")
    if not isinstance(params, dict):
        raise InputError("INVALID_INPUT", "parameters must be said by name", path="params")
    if method == CANCEL:
        whose = _ident(params.get("id"))
        if len(params) != 1 or whose is None:
            raise InputError("INVALID_INPUT", "`id` must be the id of a request", path="id")
        return Cancel(whose)
    kind = _KINDS.get(method)
    if kind is None:
        close = get_close_matches(method[:80], _KINDS, n=1)
        hint = f"did you mean `{close[0]}`?" if close else "docs/pipe.md says which there are"
        raise InputError("OPERATION_UNKNOWN", f"there is no operation `{method[:80]}`", hint=hint)
    return Ask(request=read_named(kind, {**params}), id=ident, key=key)


def _ident(value: Json) -> Ident | None:
    if isinstance(value, str):
        return value if 0 < len(value) <= ID_CHARACTERS_MAX else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _invalid(fault: str) -> InputError:
    return InputError(
        "REQUEST_INVALID", fault, hint='`{"jsonrpc": "2.0", "id": 1, "method": …, "params": {…}}`'
    )


def result(ident: Ident, answer: object) -> bytes:
    """The answer to a request."""
    return msgspec.json.encode({"jsonrpc": "2.0", "id": ident, "result": answer})


def failure(ident: Ident | None, error: AssentError) -> bytes:
    """What is told instead; of what could not be read, without an id."""
    number = _NUMBERS.get(error.code, _OTHERWISE)
    data = {**error.to_dict(), "family": error.family, "hint": hint_at_door(error, _said)}
    told = {"code": number, "message": error.message, "data": data}
    return msgspec.json.encode({"jsonrpc": "2.0", "id": ident, "error": told})


def _said(kind: type[Request[Any]]) -> str | None:
    """How an operation is asked for here."""
    name = operation_of(kind)
    return name if name in _KINDS else None


def notice(method: str, ident: Ident, name: str, value: object) -> bytes:
    """What is told of a request before its answer: `begun` with its `run`, or a `part` of a stream."""
    return msgspec.json.encode({"jsonrpc": "2.0", "method": method, "params": {"id": ident, name: value}})
