"""Hands on the keys with which programs come in through the daemon's doors: made and revoked, each by a governed call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.keys._keys import CreateKey as CreateKey
    from assent.capabilities.keys._keys import KeyRing as KeyRing

__getattr__, __dir__ = resolved_when_asked(__name__, {"._keys": "CreateKey KeyRing"})
