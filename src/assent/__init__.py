"""Assent: typed, gated, durable, undoable and provable actions for agents and automation.

    from assent import Runtime

The public names are resolved when they are first asked for, so that importing one floor (`assent.spec`, say) loads no other.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assent.errors import AssentError as AssentError
    from assent.runtime import Runtime as Runtime

__version__ = "0.1.0"

# The one place each public name is reached from.
_HOMES = {"AssentError": "assent.errors", "Runtime": "assent.runtime"}

__all__ = ["AssentError", "Runtime", "__version__"]


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
