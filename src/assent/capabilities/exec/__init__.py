"""Hands on programs: which may be run, for whom and with what, and what becomes of what they write."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.exec._folders import FolderState as FolderState
    from assent.capabilities.exec._folders import look as look
    from assent.capabilities.exec._programs import Programs as Programs
    from assent.capabilities.exec._rules import ProgramRule as ProgramRule
    from assent.capabilities.exec._rules import place_of as place_of

_HOMES = {
    "._folders": "FolderState look",
    "._programs": "Programs",
    "._rules": "ProgramRule place_of",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
