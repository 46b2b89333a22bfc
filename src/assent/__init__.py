"""Assent: typed, gated, durable, undoable and provable actions for agents and automation.

    from assent import Runtime

The public names are resolved when they are first asked for, so that importing one floor (`assent.spec`, say) loads no other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.errors import AssentError as AssentError
    from assent.invocation import LocalContext as LocalContext
    from assent.invocation import capability as capability
    from assent.runtime import Runtime as Runtime

__version__ = "0.2.0"

# The one place each public name is reached from.
_HOMES = {
    "assent.errors": "AssentError",
    "assent.invocation": "LocalContext capability",
    "assent.runtime": "Runtime",
}

__all__ = ["AssentError", "LocalContext", "Runtime", "__version__", "capability"]

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
