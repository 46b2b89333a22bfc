"""Turns at paths: calls of one process that change the same files do so one after the other.

A call looks whether everything still stands as it did when it was prepared, and then makes its change. Between the two nobody
else may make one, or it would be written over unseen. Of other processes nothing is known: against them the look is all there is.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Final, TypeVar

from assent.capabilities.fs.world._git_guard import folders_of_parts, forbid_programs_of_git
from assent.capabilities.fs.world._paths import ROOT, parent_of, shown
from assent.invocation import Files, LocalContext, NoEffectError
from assent.invocation.call.threads import outlast

T = TypeVar("T")

_LOOK_S: Final = 0.2
"""How often a call that waits looks whether it is still wanted."""


@dataclass(frozen=True, slots=True, eq=False)
class _Turn:
    """The paths of one world that a call is changing, and the folders above them."""

    files: Files
    paths: frozenset[str]
    above: frozenset[str]

    @classmethod
    def at(cls, files: Files, paths: Iterable[str]) -> _Turn:
        # Names that differ in case only may be one file.
        folded = frozenset(path.casefold() for path in paths)
        above: set[str] = set()
        for path in folded:
            while path != ROOT and (path := parent_of(path)) not in above:
                above.add(path)
        return cls(files, folded, frozenset(above))

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
def in_turn(context: LocalContext, paths: Iterable[str]) -> Iterator[None]:
    """Inside, nobody else of this process changes what stands at these paths, below them, or in the place of a folder above.

    CALL_CANCELLED when the call is given up before. It blocks: an async part goes through `whole`.
    """
    paths = tuple(paths)
    mine = _Turn.at(context.world.files, paths)
    with _CHANGED:
        while any(mine.meets(other) for other in _TAKEN):
            if context.cancel.is_cancelled:
                raise NoEffectError(
                    "CALL_CANCELLED",
                    "the call was cancelled while another one changed the same files",
                    path=shown(paths[0]),
                )
            _CHANGED.wait(_LOOK_S)
        _TAKEN.append(mine)
    try:
        yield
    finally:
        with _CHANGED:
            _TAKEN.remove(mine)
            _CHANGED.notify_all()


@contextmanager
def changing(
    context: LocalContext, files: Files, changed: Collection[str], made: Collection[str]
) -> Iterator[None]:
    """Inside, one change of somebody who knows nothing of git may be made, and nobody else completes a repository meanwhile.

    As `forbid_programs_of_git`, which raises PATH_PROTECTED; CALL_CANCELLED as `in_turn`.
    """
    folders = folders_of_parts(changed)
    with in_turn(context, folders) if folders else nullcontext():
        forbid_programs_of_git(files, changed, made)
        yield


async def whole(context: LocalContext, function: Callable[[], T]) -> T:
    """What a function that blocks gives, in a thread. An async part that is ended meanwhile waits for it: half of it is no state.

    A function that waits for its turn gives up then.
    """
    thread = asyncio.get_running_loop().run_in_executor(None, function)
    try:
        return await asyncio.shield(thread)
    except asyncio.CancelledError:
        context.cancel.cancel()
        await outlast(thread)  # It may be ended twice: by a run that broke, and then by the close.
        raise
