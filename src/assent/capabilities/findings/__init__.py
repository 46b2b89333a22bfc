"""Hands on findings: what tools wrote is imported, what people decide of it is kept, and what is old is removed.

Nothing here writes the store: an act leaves its outcome in the ledger, and the store is folded from those (`_following.py`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities.findings._desk import Desk as Desk
    from assent.capabilities.findings._desk import ProjectName as ProjectName
    from assent.capabilities.findings._desk import known_tools as known_tools
    from assent.capabilities.findings._desk import project_of as project_of
    from assent.capabilities.findings._desk import read_manifest as read_manifest
    from assent.capabilities.findings._following import BOOK as BOOK
    from assent.capabilities.findings._following import follow as follow
    from assent.capabilities.findings._following import is_followed as is_followed
    from assent.capabilities.findings._following import seq_of as seq_of
    from assent.capabilities.findings._following import standing as standing

__getattr__, __dir__ = resolved_when_asked(
    __name__,
    {
        "._desk": "Desk ProjectName known_tools project_of read_manifest",
        "._following": "BOOK follow is_followed seq_of standing",
    },
)
