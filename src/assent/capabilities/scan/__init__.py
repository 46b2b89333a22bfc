"""Hands on scanners: which there are, what they may reach, and what becomes of what they find."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.scan._looks import Look as Look
    from assent.capabilities.scan._looks import all_of as all_of
    from assent.capabilities.scan._scanners import Scanners as Scanners
    from assent.capabilities.scan._scanners import recipes as recipes
    from assent.capabilities.scan._scope import Scope as Scope
    from assent.capabilities.scan._scope import Window as Window
    from assent.capabilities.scan._scope import moment_of as moment_of
    from assent.capabilities.scan._scope import zone_of as zone_of

_HOMES = {
    "._looks": "Look all_of",
    "._scanners": "Scanners recipes",
    "._scope": "Scope Window moment_of zone_of",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
