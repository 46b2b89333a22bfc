"""Hands on programs: which may be run, for whom and with what, and what becomes of what they write."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assent.capabilities.exec._folders import FolderState as FolderState
    from assent.capabilities.exec._folders import look as look
    from assent.capabilities.exec._programs import Programs as Programs
    from assent.capabilities.exec._rules import ProgramRule as ProgramRule
    from assent.capabilities.exec._rules import place_of as place_of

_HOMES = {
    "FolderState": "_folders",
    "ProgramRule": "_rules",
    "Programs": "_programs",
    "look": "_folders",
    "place_of": "_rules",
}

__all__ = ["FolderState", "ProgramRule", "Programs", "look", "place_of"]


def __getattr__(name: str) -> object:
    """The public name, from the module where it lives: a runtime that runs no program imports none of them."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module `assent.capabilities.exec` has no attribute `{name}`")
    return getattr(import_module(f"assent.capabilities.exec.{home}"), name)
