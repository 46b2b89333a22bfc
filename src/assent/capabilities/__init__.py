"""The hands: handlers that act on the world, with the specs that say what they may do.

What is built in is described in each area's `_capabilities` module, and written down in its `catalog.json`, so that no start
has to import and build it all: `python -m tools.write_catalog`, whenever a description changed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.capabilities._builtin import builtin_capabilities as builtin_capabilities
    from assent.capabilities._builtin import builtin_catalog as builtin_catalog

__all__ = ["builtin_capabilities", "builtin_catalog"]

__getattr__, __dir__ = resolved_when_asked(__name__, {"._builtin": "builtin_capabilities builtin_catalog"})
