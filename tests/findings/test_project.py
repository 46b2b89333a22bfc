"""Projects, runs and resources: read strictly, written as they were read, and as their published schemas say."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jsonschema_rs
import msgspec
import pytest

from assent.errors import InputError
from assent.findings import (
    Location,
    Project,
    Resource,
    Run,
    project_schema,
    read_project,
    read_resource,
    read_run,
    resource_id,
    resource_schema,
    run_schema,
)
from assent.findings.parsing import About, Discovered, resource_of
from assent.findings.project import FACTS_BYTES_MAX, ResourceType

ID = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a11"
OTHER_ID = "0b9d7c52-5d5e-4f6e-8f0a-6f0f3f1f2a12"
WHEN = "2026-11-23T09:30:00Z"
LATER = "2026-11-23T09:30:00.125Z"

PROJECT: dict[str, Any] = {
    "project_schema_version": "1.0.0",
    "project_id": ID,
    "name": "shop",
    "created_at": WHEN,
}
RUN: dict[str, Any] = {
    "run_schema_version": "1.0.0",
    "run_id": "run_1",
    "project_id": ID,
    "tool": "nmap",
    "kind": "scan",
    "started_at": WHEN,
}
RESOURCE: dict[str, Any] = {
    "resource_schema_version": "1.0.0",
    "resource_id": OTHER_ID,
    "project_id": ID,
    "type": "port",
    "resource": "shop.example:443",
    "location": {"host": "shop.example", "port": 443, "protocol": "tcp"},
    "created_at": WHEN,
}
MORE: list[dict[str, Any]] = [
    {**PROJECT, "name": "n" * 128, "description": ""},
    {
        **RUN,
        "tool_version": "7.95",
        "kind": "import",
        "finished_at": LATER,
        "dataset": "a" * 64,
        "counts": {"records": 4, "findings": 1, "resources": 2, "skipped": 1},
    },
    {
        **RESOURCE,
        "facts": {"service": {"name": "https", "cpe": ["a", None, 1, 0.5, True]}},
        "run_id": "run_1",
        "provenance": {"tool": "nmap", "begin": 0, "end": 9},
    },
]
READ: dict[str, Callable[[Any], Project | Run | Resource]] = {
    "project": read_project,
    "run": read_run,
    "resource": read_resource,
}
VALIDATORS = {
    "project": jsonschema_rs.Draft202012Validator(project_schema(), validate_formats=True),
    "run": jsonschema_rs.Draft202012Validator(run_schema(), validate_formats=True),
    "resource": jsonschema_rs.Draft202012Validator(resource_schema(), validate_formats=True),
}


def kind_of(document: dict[str, Any]) -> str:
    return next(name for name in READ if f"{name}_schema_version" in document)


def refused(document: Any, kind: str) -> InputError:
    with pytest.raises(InputError) as caught:
        READ[kind](document)
    return caught.value


@pytest.mark.parametrize("document", [PROJECT, RUN, RESOURCE, *MORE])
def test_a_document_comes_back_as_it_was(document: dict[str, Any]) -> None:
    kind = kind_of(document)
    found = READ[kind](document)
    assert msgspec.json.decode(found.to_json()) == document
    assert READ[kind](found.to_json()) == found
    VALIDATORS[kind].validate(document)


@pytest.mark.parametrize("document", [PROJECT, RUN, RESOURCE])
def test_what_must_be_there_must_and_nothing_else_may(document: dict[str, Any]) -> None:
    kind = kind_of(document)
    for name in document:
        less = {key: value for key, value in document.items() if key != name}
        assert not VALIDATORS[kind].is_valid(less)
        error = refused(less, kind)
        assert (error.code, f"`{name}`" in error.message) == ("PROJECT_INVALID", True)
    assert refused({**document, "more": 1}, kind).code == "PROJECT_INVALID"
    assert not VALIDATORS[kind].is_valid({**document, "more": 1})


@pytest.mark.parametrize(
    ("document", "name", "value"),
    [
        *((PROJECT, "name", one) for one in ("", "n" * 129, "a\nb", "a\x00", None)),
        (PROJECT, "project_id", ID.upper()),
        (PROJECT, "description", 1),
        *((RUN, "kind", one) for one in ("", "Scan", None)),
        *((RUN, "dataset", one) for one in ("a" * 63, "A" * 64)),
        (RUN, "counts", {"records": 1}),
        (RUN, "counts", {"records": -1, "findings": 0, "resources": 0, "skipped": 0}),
        (RUN, "tool", ""),
        (RESOURCE, "type", "file"),
        (RESOURCE, "location", {"host": "a", "port": 70000}),
        (RESOURCE, "facts", []),
    ],
)
def test_what_is_of_another_form_is_refused(document: dict[str, Any], name: str, value: Any) -> None:
    kind = kind_of(document)
    error = refused({**document, name: value}, kind)
    assert (error.code, name in error.message) == ("PROJECT_INVALID", True)
    assert not VALIDATORS[kind].is_valid({**document, name: value})


def deep(levels: int) -> dict[str, Any]:
    return {"a": deep(levels - 1)} if levels else {}


@pytest.mark.parametrize(
    ("document", "name", "value"),
    [
        (PROJECT, "name", "shop\n"),
        (PROJECT, "created_at", "2026-02-29T09:30:00Z"),
        (RUN, "started_at", "2026-11-23T25:30:00Z"),
        (RUN, "finished_at", "2026-11-23T09:29:59.999Z"),
        (RESOURCE, "location", {"port": 1}),
        (RESOURCE, "facts", {"a": "x" * FACTS_BYTES_MAX}),
        (RESOURCE, "facts", deep(30)),
        (RESOURCE, "facts", {"a": float("nan")}),
        (RESOURCE, "facts", {"a": object()}),
        (RESOURCE, "facts", {"a": "\ud800"}),
    ],
)
def test_what_a_schema_cannot_say_is_refused_too(document: dict[str, Any], name: str, value: Any) -> None:
    assert refused({**document, name: value}, kind_of(document)).code == "PROJECT_INVALID"


@pytest.mark.parametrize("kind", READ)
@pytest.mark.parametrize("data", [b"", b"{", b"\xff", b"[]", "null", None, []])
def test_what_is_no_object_is_refused(kind: str, data: Any) -> None:
    assert refused(data, kind).code == "PROJECT_INVALID"


@pytest.mark.parametrize("document", [PROJECT, RUN, RESOURCE])
def test_a_later_schema_is_said_to_be_later(document: dict[str, Any]) -> None:
    kind = kind_of(document)
    error = refused({**document, f"{kind}_schema_version": "1.0.1", "more": 1}, kind)
    assert (error.code, "1.0.1" in error.message) == ("PROJECT_TOO_NEW", True)


def named(kind: ResourceType, resource: str, project: str = ID, **at: Any) -> str:
    return resource_id(project, kind, resource, Location(**at))


def test_one_resource_has_one_id_however_it_is_spelled() -> None:
    spellings: list[tuple[ResourceType, dict[str, Any], dict[str, Any]]] = [
        ("url", {"url": "https://SHOP.example:443/a/../b?x=1"}, {"url": "https://shop.example/b?y=2"}),
        (
            "port",
            {"host": "Shop.example.", "port": 53},
            {"host": "shop.example", "port": 53, "protocol": "TCP"},
        ),
        ("host", {"host": "Shop.example."}, {"host": "shop.example"}),
        ("package", {"package": "a", "version": "1"}, {"package": "a", "version": "1", "path": "go.mod"}),
    ]
    for kind, one, other in spellings:
        assert named(kind, "text", **one) == named(kind, "another text", **other), kind


def test_two_resources_have_two_ids() -> None:
    ids = [
        named("url", "u", url="https://shop.example/a"),
        named("url", "u", url="https://shop.example/b"),
        named("url", "u", url="http://shop.example/a"),
        named("port", "p", host="shop.example", port=53),
        named("port", "p", host="shop.example", port=53, protocol="udp"),
        named("port", "p", host="shop.example", port=54),
        named("host", "p", host="shop.example"),
        named("package", "p", package="a", version="1"),
        named("package", "p", package="a", version="2"),
        named("package", "p", package="a", version="1", project=OTHER_ID),
    ]
    assert len(set(ids)) == len(ids)


def test_what_a_tool_discovered_is_a_resource() -> None:
    at = Location(host="shop.example", port=443, protocol="tcp")
    found = Discovered("port", "shop.example:443", at, {"service": "https"})
    about = About(ID, WHEN, run_id="run_1", raw_sha256="a" * 64, tool_version="7.95")
    made = resource_of(found, about, tool="nmap", begin=3, end=9)
    assert made == read_resource(made.to_json())
    assert made.resource_id == resource_id(ID, "port", "shop.example:443", at)
    assert (made.facts, made.run_id, made.location) == ({"service": "https"}, "run_1", at)
    assert msgspec.to_builtins(made.provenance) == {
        "tool": "nmap",
        "tool_version": "7.95",
        "parser_version": "1.0.0",
        "raw_sha256": "a" * 64,
        "begin": 3,
        "end": 9,
    }


def test_more_facts_than_a_resource_may_have_are_refused() -> None:
    found = Discovered("host", "a", Location(host="a"), {"page": "x" * FACTS_BYTES_MAX})
    with pytest.raises(InputError) as told:
        resource_of(found, About(ID, WHEN), tool="nmap", begin=0, end=1)
    assert told.value.code == "PROJECT_INVALID"
