"""Hands on resources by reference: word lists, templates and the like are published, promoted, retired and read.

A capability whose parameter may be a reference asks `resolved_for_use` for what it means, and uses the content of that.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.resource._shelf import Shelf as Shelf
    from assent.capabilities.resource._shelf import resolved as resolved
    from assent.capabilities.resource._shelf import resolved_for_use as resolved_for_use

__getattr__, __dir__ = resolved_when_asked(__name__, {"._shelf": "Shelf resolved resolved_for_use"})
