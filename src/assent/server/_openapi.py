"""The description of the HTTP API (OpenAPI 3.1), made from the routes and the structs that travel."""

from __future__ import annotations

import json
from functools import cache
from typing import Any, Final

import msgspec

from assent import __version__
from assent.errors import Json
from assent.runtime.service import requests as ask
from assent.runtime.service.codec import answer_type
from assent.runtime.service.requests import Driving, Request
from assent.runtime.service.routes import KEY_PATTERN, MEDIA, ROUTES, WORKFLOW, Route
from assent.server._inputs import CALLS, VERSION_HEADER, parameters_of

_REF: Final = "#/components/schemas/{name}"
_SERVICE: Final = "assent.runtime.service."

_ONE_OF: Final[dict[type[Request[Any]], dict[str, Json]]] = {
    ask.Run: {
        "oneOf": [
            {"required": [WORKFLOW], "properties": {"plan": {"type": "null"}}},
            {"required": ["plan"], "properties": {"plan": {"type": "string"}, WORKFLOW: False}},
        ]
    },
    ask.Approve: {
        "oneOf": [
            {
                "required": ["digest"],
                "properties": {"digest": {"type": "string"}, "unseen": {"const": False}},
            },
            {"required": ["unseen"], "properties": {"unseen": {"const": True}, "digest": {"type": "null"}}},
        ]
    },
}
"""Of what a body must say one thing, which."""

_PROBLEM: Final[dict[str, Json]] = {
    "type": "object",
    "required": ["type", "title", "status", "detail", "instance", "family", "error"],
    "properties": {
        "type": {"type": "string", "pattern": "^urn:assent:error:[A-Z0-9_]+$"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string"},
        "instance": {"type": "string"},
        "run_id": {"type": "string"},
        "family": {"enum": ["input", "refused", "world", "internal"]},
        "error": {
            "type": "object",
            "required": ["code", "message", "path", "hint", "details"],
            "properties": {
                "code": {"type": "string"},
                "message": {"type": "string"},
                "path": {"type": ["string", "null"]},
                "hint": {"type": ["string", "null"]},
                "details": {"type": "object"},
            },
        },
    },
}


_PROBLEM_CONTENT: Final[dict[str, Json]] = {
    "application/problem+json": {"schema": {"$ref": _REF.format(name="Problem")}}
}

_TEXT: Final[dict[str, Json]] = {"schema": {"type": "string"}}
_HEADERS: Final[dict[str, Json]] = {
    "RateLimit-Policy": {
        "description": "The limits that this request counts for, where there are any.",
        **_TEXT,
    },
    "RateLimit": {"description": "What each of them leaves.", **_TEXT},
    "Retry-After": {
        "description": "The seconds after which it may be asked again.",
        "schema": {"type": "integer", "minimum": 1},
    },
}


def _headers(*names: str) -> dict[str, Json]:
    return {name: {"$ref": f"#/components/headers/{name}"} for name in names}


_LIMITS: Final = _headers("RateLimit-Policy", "RateLimit")
"""What every answer may tell."""


@cache
def description() -> bytes:
    """The document, as JSON."""
    return json.dumps(described(), separators=(",", ":")).encode()


def described() -> dict[str, Json]:
    """The document, as data."""
    kinds = [*dict.fromkeys(route.kind for route in ROUTES)]
    types = [*kinds, *(answer_type(kind) for kind in kinds)]
    refs, found = msgspec.json.schema_components(types, ref_template=_REF)
    components: dict[str, Any] = json.loads(json.dumps(found).replace(_SERVICE, ""))
    refs = json.loads(json.dumps(refs).replace(_SERVICE, ""))
    asked = {kind: components[_name(ref)] for kind, ref in zip(kinds, refs[: len(kinds)], strict=True)}
    answered = dict(zip(kinds, refs[len(kinds) :], strict=True))
    paths: dict[str, dict[str, Json]] = {}
    first: dict[tuple[str, ...], Route] = {}
    for route in ROUTES:
        # Two templates of one shape would be one path with two names.
        place = first.setdefault(route.shape, route)
        operation = _operation(route, place, asked[route.kind], answered[route.kind], components)
        paths.setdefault(place.path.replace(":path}", "}"), {})[route.method.lower()] = operation
    kept = _reached(paths, components)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Assent",
            "version": __version__,
            "description": "Typed, gated, durable, undoable and provable actions for agents and automation.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "security": [{"bearer": []}],
        "paths": paths,  # type: ignore[dict-item]  # of dictionaries of JSON
        "components": {
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
            "schemas": {**{name: components[name] for name in kept}, "Problem": _PROBLEM},
            "headers": _HEADERS,
            "responses": {
                "Problem": {
                    "description": "What was not admitted, and why.",
                    "headers": _LIMITS,
                    "content": _PROBLEM_CONTENT,
                },
                "Later": {
                    "description": "Too much at once: `RATE_LIMITED`, `QUEUE_FULL`, `STREAMS_FULL`, `SIGNALS_FULL`, "
                    "`UPLOADS_FULL`.",
                    "headers": {**_LIMITS, **_headers("Retry-After")},
                    "content": _PROBLEM_CONTENT,
                },
            },
        },
    }


def _name(ref: dict[str, Any]) -> str:
    return str(ref["$ref"]).rpartition("/")[2]


def _operation(
    route: Route,
    place: Route,
    request: dict[str, Any],
    answer: dict[str, Any],
    components: dict[str, Any],
) -> dict[str, Json]:
    properties: dict[str, Any] = {name: one for name, one in request["properties"].items() if name != "op"}
    required = {name for name in request.get("required", ()) if name != "op"}
    told: dict[str, Json] = {
        "operationId": route.operation,
        "summary": (route.kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " "),
        "tags": [route.path.split("/")[2]],
    }
    parameters: list[Json] = [
        {"name": called, "in": "path", "required": True, "schema": _plain(properties[name])}
        for called, name in zip(place.named, route.named, strict=True)
    ]
    given = parameters_of(route)
    if route.method == "GET":
        parameters += [
            {"name": name, "in": "query", "required": name in required, "schema": _plain(properties[name])}
            for name in given
        ]
    else:
        body, needed = _body(given, properties, required)
        if body:
            told["requestBody"] = {
                "required": bool(needed),
                "content": {
                    "application/json": {
                        "schema": {
                            "type": "object",
                            "properties": body,
                            "required": [*sorted(needed)],
                            "additionalProperties": False,
                            **_ONE_OF.get(route.kind, {}),
                        }
                    }
                },
            }
    parameters += [_header(name) for name in _headers_of(route)]
    told["parameters"] = parameters
    told["responses"] = _responses(route, answer, components)
    return told


def _body(
    given: tuple[str, ...], properties: dict[str, Any], required: set[str]
) -> tuple[dict[str, Json], set[str]]:
    body: dict[str, Json] = {}
    for name in given:
        if name == WORKFLOW:
            body[name] = {"type": ["object", "string"], "description": "the document, or its text in YAML"}
        elif name == "unseen":
            body[name] = {"type": "boolean", "description": "nothing was shown; instead of `digest`"}
        else:
            body[name] = properties[name]
    if WORKFLOW in body and "plan" not in body:
        required = {*required, WORKFLOW}
    return body, required & body.keys()


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of what a path or query can say: whatever may be left out is, and never null."""
    options = schema.get("anyOf")
    if isinstance(options, list):
        rest: list[dict[str, Any]] = [one for one in options if one != {"type": "null"}]
        if len(rest) == 1:
            return rest[0]
    return {key: value for key, value in schema.items() if key != "default"}


def _headers_of(route: Route) -> list[str]:
    names = []
    if issubclass(route.kind, Driving):
        names += ["Idempotency-Key", "Prefer"]
    if route.kind in CALLS:
        names.append(VERSION_HEADER.title())
    if route.answered == "events":
        names.append("Last-Event-ID")
    return names


def _header(name: str) -> Json:
    schema: dict[str, Json] = {"type": "string"}
    if name == "Idempotency-Key":
        schema["pattern"] = KEY_PATTERN
    return {"name": name, "in": "header", "required": False, "schema": schema}


def _responses(route: Route, answer: dict[str, Any], components: dict[str, Any]) -> dict[str, Json]:
    ref = answer
    problems: dict[str, Json] = {
        "429": {"$ref": "#/components/responses/Later"},
        "default": {"$ref": "#/components/responses/Problem"},
    }
    if route.answered in MEDIA:
        media = MEDIA[route.answered]
        ok: dict[str, Json] = {
            "description": "As it is, or its parts one after the other.",
            "headers": _LIMITS,
            "content": {media: {}},
        }
        return {"200": ok, **problems}
    if route.answered in ("list", "runs"):
        first = next(iter(components[_name(answer)]["properties"].values()))
        ref = first
    content: Json = {"application/json": {"schema": ref}}
    found: dict[str, Json] = {"200": {"description": "Done.", "headers": _LIMITS, "content": content}}
    if route.answered == "run":
        found["202"] = {
            "description": "Under way, or waiting for somebody.",
            "headers": _LIMITS,
            "content": content,
        }
        found["403"] = {
            "description": "Refused by the policy or a person: a run; or not admitted: a problem.",
            "headers": _LIMITS,
            "content": {"application/json": {"schema": ref}, **_PROBLEM_CONTENT},
        }
    return {**found, **problems}


def _reached(paths: object, components: dict[str, Any]) -> list[str]:
    """The components that something refers to."""
    text, seen = json.dumps(paths), set[str]()
    waiting = [name for name in components if f'"{_REF.format(name=name)}"' in text]
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        inside = json.dumps(components[name])
        waiting += [other for other in components if f'"{_REF.format(name=other)}"' in inside]
    return sorted(seen)
