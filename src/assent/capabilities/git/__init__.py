"""Hands on git repositories: `sys.git.*`. Libgit2 reads and builds; every change goes through the workspace's files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.git._home import GitHome as GitHome


__getattr__, __dir__ = resolved_when_asked(__name__, {"._home": "GitHome"})
