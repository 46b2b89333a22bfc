"""The bound on steps over all runs, as one run meets it: which places its steps hold, and that it waits when none is free.

Theory of operation. A step takes its place before it is admitted, so what waits is only a step that is ready: nothing of it is
on record, and it costs no task and no timer. It gives the place back when its effect has ended, or when its admission led to
none: who waits for a person, for another attempt or for a sibling holds no place. So whoever holds one ends without needing
another, and nothing waits in a circle.

What asks about an effect or takes one back has places of its own, as many: steps that go on for hours keep no run from being
rolled back. A run that a handler begins itself is not counted, because its place is the handler's; counted, as many handlers as
there are places would wait for ever for a place each. A step of a session that runs a workflow holds none meanwhile: so the
steps of that workflow are counted as all others are, and one that waits for a person holds up nobody.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar
from typing import Final

import msgspec

from assent.invocation import Places, Share
from assent.spec.ids import StepKey

INSIDE: Final[ContextVar[bool]] = ContextVar("assent_inside_a_run", default=False)
"""Set in the tasks that drive a run, and so in all that a handler of it begins."""


class Bound(msgspec.Struct, frozen=True):
    """The places of all runs: of what goes forward, and of what settles effects that have begun."""

    forward: Places
    settling: Places

    @classmethod
    def of(cls, count: int) -> Bound:
        """As many for the one as for the other."""
        return cls(Places(count), Places(count))


class Turns:
    """The places of one run. `look` has it look again, once it was given one that it waited for."""

    __slots__ = ("_held", "_is_given", "_is_wanted", "_look", "_places", "_share", "is_waiting")

    def __init__(self, places: Places, share: Share, look: Callable[[], None], *, is_counted: bool) -> None:
        self._places = places if is_counted else None
        self._share = share
        self._look = look
        self._held: set[StepKey] = set()
        self._is_given = False
        self._is_wanted = False
        self.is_waiting = False

    def take(self, key: StepKey) -> bool:
        """Whether the step has a place now; where not, the run is in line for one."""
        if self._places is None or key in self._held:
            return True
        if self._is_given:
            self._is_given = False
        elif not self._places.take():
            self._is_wanted = True
            if not self.is_waiting:
                self.is_waiting = True
                self._places.wait(self._share, self._take_given)
            return False
        self._held.add(key)
        return True

    def _take_given(self) -> None:
        self.is_waiting = False
        self._is_given = True
        self._look()

    def give_back(self, key: StepKey) -> None:
        """The step holds a place no longer, if it did."""
        if key in self._held:
            self._held.remove(key)
            assert self._places is not None  # INVARIANT: only what was taken is held
            self._places.give_back()

    def sweep(self, is_under_way: Callable[[StepKey], bool]) -> None:
        """All that could be decided now is: give back what no step under way holds, and leave the line where nothing needs it."""
        for key in [key for key in self._held if not is_under_way(key)]:
            self.give_back(key)
        if not self._is_wanted:
            self._leave()
        self._is_wanted = False

    def end(self) -> None:
        """Nothing of the run is under way any more."""
        self._is_wanted = False
        self.sweep(frozenset[StepKey]().__contains__)

    def _leave(self) -> None:
        if self._places is None:
            return
        if self.is_waiting:
            self.is_waiting = False
            self._places.leave(self._share, self._take_given)
        if self._is_given:
            self._is_given = False
            self._places.give_back()
