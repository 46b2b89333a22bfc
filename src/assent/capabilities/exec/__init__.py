"""Hands on programs: which may be run, for whom and with what, and what becomes of what they write."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assent.capabilities.exec._programs import Programs as Programs
    from assent.capabilities.exec._rules import ProgramRule as ProgramRule

__all__ = ["ProgramRule", "Programs"]


def __getattr__(name: str) -> object:
    """The public name, from the module where it lives: a runtime that runs no program imports neither."""
    if name == "Programs":
        from assent.capabilities.exec._programs import Programs

        return Programs
    if name == "ProgramRule":
        from assent.capabilities.exec._rules import ProgramRule

        return ProgramRule
    raise AttributeError(f"module `assent.capabilities.exec` has no attribute `{name}`")
