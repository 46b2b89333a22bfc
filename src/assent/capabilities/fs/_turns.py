"""Turns at paths: calls of one process that change the same files do so one after the other.

A call looks whether everything still stands as it did when it was prepared, and then makes its change. Between the two nobody
else may make one, or it would be written over unseen. Of other processes nothing is known: against them the look is all there is.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from assent.capabilities.fs._change import Change
from assent.capabilities.fs._paths import ROOT, parent_of, shown
from assent.invocation import Files, LocalContext, NoEffectError

_LOOK_S: Final = 0.2
"""How often a call that waits looks whether it is still wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """The paths of one world that a call is changing, and the folders above them."""

    files: Files
    paths: frozenset[str]
    above: frozenset[str]

    @classmethod
    def of(cls, files: Files, change: Change) -> _Turn:
        # Names that differ in case only may be one file.
        paths = frozenset(target.path.casefold() for target in change.targets)
        above: set[str] = set()
        for path in paths:
            while path != ROOT and (path := parent_of(path)) not in above:
                above.add(path)
        return cls(files, paths, frozenset(above))

    def meets(self, other: _Turn) -> bool:
        """Whether any path of one is the other's, or within it."""
        return self.files is other.files and not (
            self.paths.isdisjoint(other.paths)
            and self.paths.isdisjoint(other.above)
            and self.above.isdisjoint(other.paths)
        )


_CHANGED: Final = threading.Condition()
_TAKEN: Final[list[_Turn]] = []


@contextmanager
def in_turn(context: LocalContext, change: Change) -> Iterator[None]:
    """Inside, nobody else of this process changes what the change is about. CALL_CANCELLED when the call is given up before."""
    mine = _Turn.of(context.world.files, change)
    with _CHANGED:
        while any(mine.meets(other) for other in _TAKEN):
            if context.cancel.is_cancelled:
                raise NoEffectError(
                    "CALL_CANCELLED",
                    "the call was cancelled while another one changed the same files",
                    path=shown(change.targets[0].path),
                )
            _CHANGED.wait(_LOOK_S)
        _TAKEN.append(mine)
    try:
        yield
    finally:
        with _CHANGED:
            _TAKEN.remove(mine)
            _CHANGED.notify_all()
