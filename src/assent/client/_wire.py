"""A request of the service as one of HTTP, and the answer back from it: the other end of what the server reads and tells."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeVar
from urllib.parse import quote

import msgspec

from assent.errors import FAMILIES, AssentError, InputError, InternalError, Json, WorldError
from assent.runtime.service import requests as ask
from assent.runtime.service.codec import answer_type
from assent.runtime.service.requests import Request, Stream
from assent.runtime.service.routes import ANSWERED, OF_FILES, OF_WORKFLOWS, ROUTES, WORKFLOW, Route
from assent.spec.values.typed import convert, decode

A = TypeVar("A")

NOT_ADMITTED: Final = frozenset({"DRAINING", "QUEUE_FULL", "RATE_LIMITED", "STREAMS_FULL"})
"""Refusals that say: nothing has begun, come again."""

_NEXT: Final = re.compile(r"[?&]before=([^&>]+)")


@dataclass(frozen=True, slots=True)
class Written:
    """A request as it is sent."""

    route: Route
    path: str
    query: tuple[tuple[str, str], ...]
    body: bytes | None


def written(request: Request[Any]) -> Written:  # `Any`: each has its own answer
    """The request by the route whose path names the most of it. `ROUTE_UNKNOWN` for one that no path leads to."""
    kind = type(request)
    said: dict[str, Any] = msgspec.to_builtins(request)
    routes = [
        route
        for route in ROUTES
        if route.kind is kind and all(getattr(request, name) is not None for name in route.named)
    ]
    if not routes:
        raise InternalError(
            "ROUTE_UNKNOWN", f"no path leads to this: it {OF_FILES.get(kind, 'is not there')}"
        )
    route = max(routes, key=lambda one: len(one.named))
    given = {name: said[name] for name in route.given if name in said}
    path = "/".join(_segment(part, request) for part in route.path.split("/"))
    if route.method == "GET":
        return Written(route, path, tuple(_query(given)), None)
    if kind in OF_WORKFLOWS and "text" in given:
        given[WORKFLOW] = given.pop("text")
    if kind is ask.Approve and "digest" not in given:
        given["unseen"] = True
    return Written(route, path, (), msgspec.json.encode(given))


def _segment(part: str, request: Request[Any]) -> str:
    if not part.startswith("{"):
        return part
    name, _, how = part[1:-1].partition(":")
    return quote(str(getattr(request, name)), safe="/" if how == "path" else "")


def _query(given: Mapping[str, Any]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    for name, value in given.items():
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None:
                text = str(one).lower() if isinstance(one, bool) else str(one)
                found.append((name, text))
    return found


def answer_of(route: Route, body: bytes, headers: Mapping[str, str]) -> dict[str, Any]:
    """An answer as the service gives it, whatever of it travels. `SERVER_UNREADABLE`."""
    if route.answered in ("text", "data"):
        return {_first(route): body if route.answered == "data" else body.decode(errors="replace")}
    told = _told(route, _json(body), headers)
    try:
        convert(told, answer_type(route.kind))
    except msgspec.ValidationError:
        raise unreadable("what is no answer to this") from None
    return told


def _told(route: Route, found: Json, headers: Mapping[str, str]) -> dict[str, Any]:  # `Any`: as above
    if route.answered == "runs":
        return {"results": found}
    if route.answered == "list":
        told: dict[str, Any] = {_first(route): found}
        older = _NEXT.search(headers.get("link", ""))
        return told if older is None else {**told, "before": older[1]}
    if not isinstance(found, dict):
        raise unreadable("an answer that is no object")
    return found


def _first(route: Route) -> str:
    """The one field of an answer that travels as what that holds."""
    return str(answer_type(route.kind).__struct_fields__[0])


async def lines_of(chunks: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """What stands before each line feed, and before nothing else that some call the end of a line."""
    rest = b""
    async for chunk in chunks:
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


async def parts_of(request: Stream[A], chunks: AsyncIterator[bytes]) -> AsyncIterator[A]:
    """The parts of an answer that is told line by line, or as bytes. `SERVER_UNREADABLE`."""
    kind: Any = answer_type(type(request))  # `Any`: each has fields of its own
    if ANSWERED[type(request)] == "bytes":
        async for chunk in chunks:
            yield kind(data=chunk)
        return
    async for line in lines_of(chunks):
        try:
            yield decode(line, kind)
        except msgspec.DecodeError:
            raise unreadable("a line that is no part of this") from None


def fault_of(status: int, body: bytes) -> AssentError:
    """The error that a problem tells of, of its own family. `SERVER_UNREADABLE` for an answer that Assent didn't give."""
    try:
        found = decode(body)
        family, told = FAMILIES[found["family"]], found["error"]
        return family.from_dict(told)
    except (msgspec.DecodeError, KeyError, TypeError):
        return unreadable(f"status {status} without a problem of Assent's")


def not_open() -> InputError:
    """The error of a client that nobody entered, or that was closed."""
    return InputError(
        "RUNTIME_CLOSED", "the client is not open", hint="use it inside `async with connect(…)`"
    )


def unreadable(what: str) -> WorldError:
    """The error of an answer that nobody who serves Assent gives."""
    return WorldError(
        "SERVER_UNREADABLE",
        f"the server answered with {what}",
        hint="look whether it is `assent serve` that listens there, and of which release",
    )


def _json(body: bytes) -> Json:
    try:
        found: Json = decode(body)
    except msgspec.DecodeError:
        raise unreadable("what is not JSON") from None
    return found
