"""Hands on the record itself: erasing what ended runs were given, gave and kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.record._erase import Held as Held
    from assent.capabilities.record._erase import Records as Records

__getattr__, __dir__ = resolved_when_asked(__name__, {"._erase": "Held Records"})
