"""Assent: typed, gated, durable, undoable and provable actions for agents and automation.

    from assent import Runtime

The public names are resolved when they are first asked for, so that importing one floor (`assent.spec`, say) loads no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assent.errors import AssentError as AssentError
    from assent.invocation import LocalContext as LocalContext
    from assent.invocation import capability as capability
    from assent.runtime import Runtime as Runtime

__version__ = "0.1.0"

# The one place each public name is reached from.
_HOMES = {
    "AssentError": "assent.errors",
    "LocalContext": "assent.invocation",
    "Runtime": "assent.runtime",
    "capability": "assent.invocation",
}

__all__ = ["AssentError", "LocalContext", "Runtime", "__version__", "capability"]


def __getattr__(name: str) -> object:
    """The public name, from the floor where it lives."""
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module `assent` has no attribute `{name}`")
    value: object = getattr(import_module(home), name)
    globals()[name] = value  # the next look-up finds it without asking here
    return value


def __dir__() -> list[str]:
    """The public names, also those not yet resolved."""
    return sorted({*globals(), *__all__})
