"""What an undo that is only tried has taken back so far, of what is no file: kept with the world that it is tried on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from assent.invocation import World

_TAKEN: Final[WeakKeyDictionary[World, set[tuple[str, str]]]] = WeakKeyDictionary()


def taken_back_in(world: World) -> set[tuple[str, str]]:
    """The runs and steps that were taken back in a simulated world; to be added to. What they did counts no more there."""
    return _TAKEN.setdefault(world, set())
