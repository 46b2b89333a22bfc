"""Puts values in place of references, in what a part is about to use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from assent.spec.secret_text import SecretText
from assent.spec.types import SecretReference


def names_in(value: Any) -> tuple[str, ...]:  # `Any`: what `filled` takes
    """The secrets that a value refers to, each once, in order."""
    found: dict[str, None] = {}
    _collect(value, found)
    return tuple(found)


def filled(value: Any, values: Mapping[str, str]) -> Any:  # `Any`: as above
    """The value with each reference as the value of its name.

    References are `SecretReference`s and what stands in a `SecretText`, at any depth of dictionaries, lists, tuples and models;
    a model comes back as a dictionary of its fields. Everything else stays as it is: in a plain text a reference is literal.
    """
    if isinstance(value, SecretText):
        return value.filled(values.__getitem__)
    if isinstance(value, SecretReference):
        return values[value.name]
    if isinstance(value, BaseModel):
        return {name: filled(getattr(value, name), values) for name in type(value).model_fields}
    if isinstance(value, Mapping):
        return {key: filled(item, values) for key, item in value.items()}
    if isinstance(value, list):
        return [filled(item, values) for item in value]
    return tuple(filled(item, values) for item in value) if isinstance(value, tuple) else value


def _collect(value: Any, found: dict[str, None]) -> None:
    if isinstance(value, SecretText):
        found.update(dict.fromkeys(value.names))
    elif isinstance(value, SecretReference):
        found[value.name] = None
    elif isinstance(value, BaseModel):
        for name in type(value).model_fields:
            _collect(getattr(value, name), found)
    elif isinstance(value, Mapping):
        for item in value.values():
            _collect(item, found)
    elif isinstance(value, list | tuple):
        for item in value:
            _collect(item, found)
