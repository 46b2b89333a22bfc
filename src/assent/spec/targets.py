"""What a call acts on, in a few words: for people who read plans, questions and the record."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Final

from assent.spec.ids import NAME
from assent.spec.words.legible import both_ends
from assent.spec.words.sizes import count_text

_NAMING: Final = ("path", "destination", "source", "url", "endpoint", "target", "name", "run")
"""Inputs that name what a call acts on, the most telling first."""

_LISTING: Final = {"runs": "run", "plans": "plan", "sources": "source"}
"""Inputs that list the names of what a call acts on; what one of them is called."""


def name_of(inputs: Mapping[str, object]) -> str | None:
    """What tells most of what a call acts on: a name, the program, or how many: `2 runs and 1 plan`; None where nothing does."""
    named = next((value for key in _NAMING if isinstance(value := inputs.get(key), str)), None)
    if named is not None:
        return named
    program = _names(inputs, "argv")[:1]
    listed = [(one, {*names}) for key, one in _LISTING.items() if (names := _names(inputs, key))]
    alone = program or [name for _, names in listed for name in names]
    if len(alone) == 1:
        return alone[0]
    return " and ".join(count_text(len(names), one) for one, names in listed) or None


def _names(inputs: Mapping[str, object], key: str) -> list[str]:
    listed = inputs.get(key)
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list | tuple) else []


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
