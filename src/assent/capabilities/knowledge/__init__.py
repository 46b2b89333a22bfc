"""Hands on knowledge: what the library `assent.knowledge` asks of the world, and the capabilities on what was indexed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.knowledge._archives import ArchiveMembers as ArchiveMembers
    from assent.capabilities.knowledge._archives import Quota as Quota
    from assent.capabilities.knowledge._events import FolderEvents as FolderEvents
    from assent.capabilities.knowledge._folder import ConfinedFolder as ConfinedFolder
    from assent.capabilities.knowledge._folder import ignores_of as ignores_of
    from assent.capabilities.knowledge._following import Following as Following
    from assent.capabilities.knowledge._library import Library as Library
    from assent.capabilities.knowledge._library import control_of as control_of

__getattr__, __dir__ = resolved_when_asked(
    __name__,
    {
        "._archives": "ArchiveMembers Quota",
        "._events": "FolderEvents",
        "._folder": "ConfinedFolder ignores_of",
        "._following": "Following",
        "._library": "Library control_of",
    },
)
