"""What a call acts on, in a few words: for people who read plans, questions and the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from assent.spec.ids import NAME
from assent.spec.words.legible import both_ends

_NAMING: Final = ("path", "destination", "source", "url", "target", "name")
"""Inputs that name what a call acts on, the most telling first."""


def name_of(inputs: Mapping[str, object]) -> str | None:
    """The one name that tells most of what a call acts on; None when no input names anything."""
    return next((value for key in _NAMING if isinstance(value := inputs.get(key), str)), None)


def target_of(inputs: Mapping[str, object]) -> str | None:
    """The same, with both ends where something moves: `source -> destination`."""
    source, destination = inputs.get("source"), inputs.get("destination")
    if isinstance(source, str) and isinstance(destination, str):
        return f"{source} -> {destination}"
    return name_of(inputs)


_VALUE_WIDTH: Final = 60
_LINE_WIDTH: Final = 240


def inputs_line(inputs: object) -> str:
    """Inputs on one line: `path="a.txt" count=2`, each value as JSON, so that none can pass for another input.

    What is long shows both its ends and how much is left out; what would drive a terminal or hide itself is written out.
    """
    if not isinstance(inputs, Mapping):
        return both_ends(_json(inputs), _LINE_WIDTH)
    told = [f"{_name(name)}={both_ends(_json(value), _VALUE_WIDTH)}" for name, value in inputs.items()]
    return both_ends(" ".join(told), _LINE_WIDTH)


def _name(name: str) -> str:
    return name if NAME.match(name) else both_ends(_json(name), _VALUE_WIDTH)


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
