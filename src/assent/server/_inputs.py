"""A request of the service out of one of HTTP: what the path, the query and the body say, read by the types of its fields."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, get_origin, get_type_hints

from assent.errors import InputError, Json
from assent.runtime.service import requests as ask
from assent.runtime.service.codec import require_texts
from assent.runtime.service.routes import NOT_ASKED, OF_WORKFLOWS, WORKFLOW, Route, require_key
from assent.spec.values.canonical import parse_json
from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from assent.runtime.service.requests import Request

VERSION_HEADER: Final = "assent-version"
CALLS: Final = (ask.Call, ask.AddStep)


def parameters_of(route: Route) -> tuple[str, ...]:
    """The names by which a caller says what the path does not."""
    return _said_as(route.kind, route.given)


def _said_as(kind: type[Request[Any]], names: tuple[str, ...]) -> tuple[str, ...]:
    own = tuple(WORKFLOW if name == "text" and kind in OF_WORKFLOWS else name for name in names)
    return (*own, "unseen") if kind is ask.Approve else own


def read(
    route: Route,
    path: Mapping[str, str],
    query: Sequence[tuple[str, str]],
    body: bytes,
    headers: Mapping[str, str],
) -> Request[Any]:  # `Any`: whichever the route leads to
    """The request. `JSON_INVALID`, `REQUEST_INVALID` for what can't be read, `INVALID_INPUT` for wrong parameters."""
    said: dict[str, Any]
    if route.method == "GET":
        _refuse_body(body)
        said = _of_query(route, query)
    else:
        said = _of_body(body)
        _take(route.kind, said, parameters_of(route))
        if route.kind in CALLS:
            _take_version(said, query, headers)
    said |= {name: path[name] for name in route.named}
    if route.kind is ask.Prove and said["seq"].isascii() and said["seq"].isdigit():
        said["seq"] = int(said["seq"])
    return _request(route.kind, said, "`GET /v1/openapi.json`", is_text=route.method == "GET")


def read_named(kind: type[Request[Any]], said: dict[str, Any]) -> Request[Any]:
    """The request of a kind where everything is said by name: what HTTP says in path, query and body. `INVALID_INPUT`."""
    names = tuple(name for name in kind.__struct_fields__ if name not in NOT_ASKED)
    _take(kind, said, _said_as(kind, names))
    return _request(kind, said, "docs/schemas/service-1.json", is_text=False)


def _take(kind: type[Request[Any]], said: dict[str, Any], known: tuple[str, ...]) -> None:
    """What callers say in another way than the request's fields do, as these."""
    _require_known(known, said)
    if kind in OF_WORKFLOWS:
        _take_workflow(said)
    if kind is ask.Approve:
        _require_seen(said)


def _request(
    kind: type[Request[Any]], said: dict[str, Any], described: str, *, is_text: bool
) -> Request[Any]:
    try:
        found: Request[Any] = convert(said, kind, strict=not is_text)
        require_texts(found)
    except InputError:
        raise
    except ValueError as error:  # msgspec's errors are.
        message, _, place = str(error)[:300].partition(" - at `$")
        raise InputError(
            "INVALID_INPUT",
            message[:1].lower() + message[1:],
            path=place.strip("`.") or None,
            hint=f"{described} describes every parameter",
        ) from None
    for name in said if is_text else ():
        if getattr(found, name) is None:  # msgspec reads the word `null` so
            raise InputError("INVALID_INPUT", "must not be null", path=name, hint="leave it out")
    return found


def _refuse_body(body: bytes) -> None:
    if body:
        raise InputError("REQUEST_INVALID", "a GET has no body here", hint="say it in the query")


def _of_body(body: bytes) -> dict[str, Any]:
    found = parse_json(body) if body else {}
    if not isinstance(found, dict):
        raise InputError("REQUEST_INVALID", "the body must be a JSON object", hint='`{"capability": …}`')
    return found


def _of_query(route: Route, query: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """What a query says; a list is repeated, and of anything else only one may be said."""
    said: dict[str, Any] = {}
    lists = _lists_of(route.kind)
    for name, value in query:
        if name in lists:
            said.setdefault(name, []).append(value)
        elif name in said:
            raise InputError("INVALID_INPUT", f"`{name[:80]}` must be said once", path=name[:80])
        else:
            said[name] = value
    _require_known(parameters_of(route), said)
    return said


@cache
def _lists_of(kind: type[Request[Any]]) -> frozenset[str]:
    hints = get_type_hints(kind, vars(ask))
    return frozenset(name for name in kind.__struct_fields__ if get_origin(hints[name]) in (tuple, frozenset))


def _require_known(known: tuple[str, ...], said: Mapping[str, Any]) -> None:
    for name in said:
        if name not in known:
            hint = f"one of {', '.join(known)}" if known else "leave it out"
            raise InputError(
                "INVALID_INPUT", f"there is no parameter `{name[:80]}`", path=name[:80], hint=hint
            )


def _take_workflow(said: dict[str, Any]) -> None:
    """The document as text; one that came this way stands alone, because no file here is its neighbour."""
    if WORKFLOW in said:
        given = said.pop(WORKFLOW)
        if not isinstance(given, dict | str):
            raise InputError("INVALID_INPUT", "`workflow` must be a document or its text", path=WORKFLOW)
        if isinstance(given, dict):
            # Whoever sent data knows places in it, and no lines.
            given, said["source"] = json.dumps(given), ""
        said["text"] = given
    elif said.get("plan") is None:
        raise InputError("INVALID_INPUT", "`workflow` is missing", path=WORKFLOW)
    said["base"] = ""


def _take_version(said: dict[str, Any], query: Sequence[tuple[str, str]], headers: Mapping[str, str]) -> None:
    """The version that the query or the header asks for, where the reference itself names none."""
    asked: dict[str, str] = {}
    for name, value in query:
        if name not in ("version", "v"):
            raise InputError(
                "INVALID_INPUT", f"there is no parameter `{name[:80]}` of a query", path=name[:80]
            )
        asked.setdefault(name, value.strip())
    version = asked.get("version") or asked.get("v") or headers.get(VERSION_HEADER, "").strip()
    reference = said.get("capability")
    if version and isinstance(reference, str) and "@" not in reference:
        said["capability"] = f"{reference}@{version}"


def _require_seen(said: dict[str, Any]) -> None:
    """Who approves says what was shown, or that nothing was."""
    unseen: Json = said.pop("unseen", False)
    if not isinstance(unseen, bool):
        raise InputError("INVALID_INPUT", "`unseen` must be true or false", path="unseen")
    if unseen and said.get("digest") is not None:
        raise InputError("INVALID_INPUT", "`digest` and `unseen` exclude each other", path="unseen")
    if not unseen and said.get("digest") is None:
        raise InputError(
            "DIGEST_REQUIRED",
            "an approval must say what was shown",
            path="digest",
            hint='send the `digest` that `GET /v1/approvals` shows, or `"unseen": true`',
        )


def ident_of(key: str, principal: str) -> str:
    """The id of the request that an idempotency key makes, the same behind every door and apart for each principal."""
    require_key(key)
    whose = f"{principal}\0{key}"
    return f"http:{sha256(whose.encode()).hexdigest()[:40]}"
