"""What is registered must be what was read; every difference is told."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

from assent.invocation import Handler, capabilities_in
from assent.invocation.context._hook_records import HookKind
from assent.invocation.describe.declaration import Capability
from assent.invocation.hooks.hook import Hook
from assent.plugins import Declaration, Manifest, SourceKind, agree, scan
from assent.plugins.loading._agreement import ANY, json_kinds
from assent.spec.capability import CapabilitySpec

SOURCE = '''
from datetime import timedelta
from typing import Annotated, Any, Literal, Optional
from enum import StrEnum

from pydantic import BaseModel, Field

from assent import capability, LocalContext
from assent.spec.types import Duration, Email, Size

class Colour(StrEnum):
    RED = "red"

class Line(BaseModel):
    text: str
    colour: Colour = Colour.RED

class Order(BaseModel):
    """An order."""
    lines: list[Line]
    note: Optional[str] = None
    paid: Annotated[bool, Field(description="already")] = False
    weight: float | int = Field(1, ge=0)
    extra: dict[str, Any] = Field(default_factory=dict)
    kind: Literal["a", 1, None] = None

@capability("shop.order", operation="WRITE", risk="MEDIUM", reversible=True, labels=["reads_private"], timeout=30)
async def order(context: LocalContext, order: Order) -> Order:
    """Place
    an order.

    With all its lines.
    """
    return order

@order.prepare
async def prepare(context: LocalContext) -> None: ...

@order.compensate
def compensate(order: Order) -> None: ...

@capability("shop.mail", operation="NETWORK", risk="CRITICAL", secrets=["mail"], name="Mail", scope="mail")
def mail(to: Email, copy: list[Email] = [], *, wait: Duration = timedelta(seconds=1), size: Size = 1) -> str:
    return ""

@capability("shop.find", operation="READ", risk="LOW", version="2.1.0", description="Find.")
def find(anything: Any, colour: Colour = Colour.RED) -> dict[str, int]:
    return {}

@capability("shop.plain", operation="DELETE", risk="HIGH", compensated_by="shop.order", parameters={
    "type": "object", "properties": {"a": {"type": "integer"}, "b": {"type": ["string", "null"]}}, "required": ["a"],
})
def plain(inputs: dict[str, Any]) -> None: ...
'''


def imported(source: str, name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The source as a module of this name."""
    path = folder / f"{name}.py"
    path.write_text(source)
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, name, module)
    spec.loader.exec_module(module)
    return module


# `Any` below: capabilities differ in what they take and give.
Registered = list[tuple[CapabilitySpec, Handler]]


@pytest.fixture
def read() -> Manifest:
    return scan({"shop.py": SOURCE.encode()}, Declaration(name="shop"), SourceKind.FILE)


@pytest.fixture
def registered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Registered:
    module = imported(SOURCE, "shop", tmp_path, monkeypatch)
    found: list[Capability[Any, Any]] = capabilities_in(module)
    return [(one.spec, one.handler) for one in found]


def test_what_was_read_is_what_is_registered(read: Manifest, registered: Registered) -> None:
    assert len(registered) == 4
    assert [str(one) for one in agree(read, registered)] == []
    assert all(not one.unknown for one in read.capabilities)


def test_a_capability_that_the_code_does_not_show_is_told(read: Manifest, registered: Registered) -> None:
    missing = msgspec.structs.replace(read, capabilities=read.capabilities[1:])
    (difference,) = agree(missing, registered)
    assert difference.change == "added"
    assert f"capability {read.capabilities[0].id}@" in difference.path


def test_a_capability_that_is_not_registered_is_told(read: Manifest, registered: Registered) -> None:
    (difference,) = agree(read, registered[1:])
    assert difference.change == "removed"
    assert "shop.order" in difference.path


@pytest.mark.parametrize(
    ("before", "after", "path"),
    [
        ('risk="MEDIUM"', 'risk="HIGH"', "capability shop.order@1.0.0 risk"),
        ('operation="NETWORK"', 'operation="EXECUTE"', "capability shop.mail@1.0.0 operation"),
        ('labels=["reads_private"]', "labels=[]", "capability shop.order@1.0.0 labels"),
        ('secrets=["mail"]', 'secrets=["mail", "more"]', "capability shop.mail@1.0.0 secrets"),
        ("timeout=30", "timeout=31", "capability shop.order@1.0.0 timeout"),
        ("@order.prepare", "", "capability shop.order@1.0.0 parts"),
        (
            'compensated_by="shop.order"',
            'compensated_by="shop.find"',
            "capability shop.plain@1.0.0 compensated_by",
        ),
        ("note: Optional[str] = None", "note: str", "capability shop.order@1.0.0 parameters.note"),
        ("lines: list[Line]", "rows: list[Line]", "capability shop.order@1.0.0 parameters.lines"),
        ('"a": {"type": "integer"}', '"a": {"type": "number"}', "capability shop.plain@1.0.0 parameters.a"),
        ("to: Email", "to: int", "capability shop.mail@1.0.0 parameters.to"),
        ("-> dict[str, int]", "-> list[int]", "capability shop.find@2.1.0 returns"),
        ("Find.", "Delete.", "capability shop.find@2.1.0 description"),
        ('name="Mail"', 'name="E-mail"', "capability shop.mail@1.0.0 name"),
        ('scope="mail"', 'scope=""', "capability shop.mail@1.0.0 scope"),
    ],
)
def test_every_difference_is_told_by_its_place(
    registered: Registered, before: str, after: str, path: str
) -> None:
    assert before in SOURCE
    other = scan({"shop.py": SOURCE.replace(before, after).encode()}, Declaration(name="x"), SourceKind.FILE)
    found = agree(other, registered)
    assert path in [one.path for one in found], [str(one) for one in found]


def test_what_could_not_be_known_is_a_difference_where_safety_rests_on_it(registered: Registered) -> None:
    def with_unknown(before: str, after: str) -> list[str]:
        source = SOURCE.replace(before, after).encode()
        return [
            one.path
            for one in agree(scan({"shop.py": source}, Declaration(name="x"), SourceKind.FILE), registered)
        ]

    assert with_unknown('risk="MEDIUM"', "risk=pick()") == ["capability shop.order@1.0.0 risk"]
    assert with_unknown("timeout=30", "timeout=pick()") == []
    assert len(with_unknown('"shop.order", operation', "pick(), operation")) == 2


def test_hooks_are_compared_with_their_limits(read: Manifest, registered: Registered) -> None:
    (spec, handler), *others = registered
    hook = Hook(HookKind.BEFORE, print, id="shop.guard", timeout_s=2, retries=1)
    hooked = [(spec, replace(handler, hooks=(hook,))), *others]
    assert [one.change for one in agree(read, hooked)] == ["added"]
    assert [one.change for one in agree(read, registered, [hook])] == ["added"]
    source = SOURCE + "\n@order.before(timeout_s=2, retries=1)\ndef guard(call): ...\n"
    with_hook = scan({"shop.py": source.encode()}, Declaration(name="x"), SourceKind.FILE)
    assert agree(with_hook, hooked) == []
    assert [one.change for one in agree(with_hook, registered)] == ["removed"]


def test_a_handler_with_another_part_differs(read: Manifest, registered: Registered) -> None:
    spec, handler = registered[0]
    changed = [(spec, replace(handler, preview=handler.execute)), *registered[1:]]
    (difference,) = agree(read, changed)
    assert (difference.before, difference.after) == (
        "compensate, execute, prepare",
        "compensate, execute, prepare, preview",
    )


@pytest.mark.parametrize(
    ("schema", "kinds"),
    [
        ({"type": "string"}, {"string"}),
        ({"type": ["string", "null"]}, {"string", "null"}),
        ({"anyOf": [{"type": "integer"}, {"$ref": "#/$defs/A"}]}, {"integer", "array"}),
        ({"oneOf": [{"const": 1.5}, {"enum": [True, [], {}, "x", None, 1]}]}, ANY),
        ({}, ANY),
        ({"$ref": "#/$defs/Loop"}, ANY),
        ({"$ref": "#/$defs/Absent"}, ANY),
        (True, ANY),
    ],
)
def test_the_types_that_a_schema_lets_through(schema: Any, kinds: set[str]) -> None:
    root: dict[str, Any] = {"$defs": {"A": {"type": "array"}, "Loop": {"$ref": "#/$defs/Loop"}}}
    assert json_kinds(schema, root) == frozenset(kinds)
