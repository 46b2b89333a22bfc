"""Capabilities that are described with a decorator, bound and called."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel, Field

from assent import capability
from assent.errors import InputError
from assent.invocation import (
    BoundCapability,
    Capability,
)

CONTEXT: Any = types.SimpleNamespace(prepared={"old": 1})
Text = Annotated[str, Field(min_length=1)]


class Order(BaseModel):
    """Inputs as one model."""

    item: str
    count: int = 1


class Answer(BaseModel):
    """A result."""

    done: bool


def read(**fields: Any) -> Callable[[Callable[..., Any]], Capability[..., Any]]:
    """Describes a capability that reads."""
    return capability("t.read", operation="READ", risk="LOW", **fields)


def write(**fields: Any) -> Callable[[Callable[..., Any]], Capability[..., Any]]:
    """Describes one that changes something and takes it back."""
    return capability("t.write", operation="WRITE", **{"risk": "MEDIUM", "reversible": True, **fields})


def bound(one: Capability[..., Any]) -> BoundCapability:
    """The capability as the engine calls it."""
    return BoundCapability(one.spec, one.handler)


def called(one: Capability[..., Any], part: str = "execute", **inputs: Any) -> Any:
    """What a part gives for these inputs, as a caller would send them."""
    ready = bound(one)
    parameters, _ = ready.parse(inputs)
    return getattr(ready.handler, part)(CONTEXT, parameters)


def faults(one: Capability[..., Any]) -> list[str]:
    """What is wrong with a description; each fault has its place in the test."""
    with pytest.raises(InputError) as caught:
        _ = one.spec
    assert caught.value.code == "DECLARATION_INVALID"
    listed = caught.value.details["faults"]
    assert isinstance(listed, list)
    assert all(isinstance(fault, dict) and "test_declaration" in str(fault["path"]) for fault in listed)
    return [str(fault["message"]) for fault in listed if isinstance(fault, dict)]


def keep(key: str) -> None:
    """A function that a capability may be made of."""
