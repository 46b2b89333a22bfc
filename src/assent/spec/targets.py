"""What a call acts on, in a few words: for people who read plans and questions."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

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
