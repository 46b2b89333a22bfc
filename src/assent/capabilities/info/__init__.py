"""Hands that only look at the machine: its system, its clock, and the environment variables that may be told."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.info._machine import Machine as Machine


__getattr__, __dir__ = resolved_when_asked(__name__, {"._machine": "Machine"})
