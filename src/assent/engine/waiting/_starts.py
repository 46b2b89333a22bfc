"""How many runs are driven at once, and the line of those that may not begin yet.

Theory of operation. Only starts wait: what has begun goes on when it can, so that nobody's approval, rollback or last step
stands behind strangers' new work; but it counts, so starts wait for it. A run in line is its first entry in the journal and one
entry here: no task, no actor. When its turn comes, whoever waits for it drives it, else `begin` is told. A run that waits for a
person or a time is not at work, and a run that a handler begins never waits: its place would be the handler's.

The next is of the highest priority, and there in turn among principals. After a crash those in line are runs that have not
begun, as the journal says, and come into line again when somebody drives them on.

A run with a concurrency key waits for that first (`_keys.py`), and only then for a place. Whoever waits here for its turn is told
when that may not come by itself: when nothing moves, or is about to, of any run that has the key.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable, Sequence
from typing import Final

import msgspec

from assent.engine.waiting._keys import Claim, Keys
from assent.engine.waiting._lines import Lines, Rank
from assent.errors import RefusedError, WorldError
from assent.spec.ids import RunId

_TOLD_MAX: Final = 20
"""Of so many runs that have a key a refusal tells."""


class Admission(msgspec.Struct, frozen=True):
    """How many runs are at work, of how many, and how many wait to begin, of how many."""

    running: int
    runs: int
    queued: int
    queue: int
    is_draining: bool

    @property
    def is_full(self) -> bool:
        """A start would be refused for want of room."""
        return self.running >= self.runs and self.queued >= self.queue


class _Queued(msgspec.Struct):
    rank: Rank
    waiting: list[Future[None]] = []


class Starts:
    """The runs of one driver. To be used from one event loop."""

    def __init__(self, runs: int, queue: int, begin: Callable[[RunId], None]) -> None:
        """At most `runs` at work and `queue` in line; `begin` is told of a run whose turn has come and that nobody waits for."""
        self._runs_max = runs
        self._queue_max = queue
        self._begin = begin
        self._at_work: set[RunId] = set()
        self._pausing: set[RunId] = set()
        self._queued: dict[RunId, _Queued] = {}
        self._line = Lines[RunId]()
        self._coming: set[RunId] = set()
        self.keys = Keys()
        self.is_draining = False

    def look(self) -> Admission:
        """How it stands."""
        return Admission(
            len(self._at_work),
            self._runs_max,
            len(self._queued) + len(self._coming),
            self._queue_max,
            self.is_draining,
        )

    def is_at_work(self, run: RunId) -> bool:
        """Whether the run has a place."""
        return run in self._at_work

    def has_place(self, run: RunId) -> bool:
        """Whether the run is at work or may be, now."""
        return run in self._at_work or (len(self._at_work) < self._runs_max and not self.is_draining)

    def require_room(self) -> None:
        """Raise QUEUE_FULL, or DRAINING, for a start that could not even stand in line."""
        if self.is_draining:
            raise WorldError(
                "DRAINING",
                "the process that owns the state is about to end, and begins no runs",
                hint="ask again: the next owner begins it",
            )
        if self.look().is_full:
            raise self._full()

    def require_key(self, claim: Claim, *, may_wait: bool) -> None:
        """Raise CONCURRENCY_TAKEN for a key that can't be had now and won't be waited for, QUEUE_FULL where it can't be."""
        if self.keys.is_free(claim):
            return
        if not may_wait:
            raise taken(claim, self.keys.holders(claim.key))
        if self.look().queued >= self._queue_max:
            raise self._full()

    def _full(self) -> WorldError:
        return WorldError(
            "QUEUE_FULL",
            f"{len(self._at_work)} runs are at work and {len(self._queued)} wait to begin",
            hint="try again later; `[limits] runs` and `queue` say how many may",
        )

    def come(self, run: RunId) -> None:
        """A start is being put on record, to stand in line then: its room is kept until `came`."""
        self._coming.add(run)

    def came(self, run: RunId) -> None:
        """It stands in line now, or never will."""
        self._coming.discard(run)

    def claim(self, run: RunId, claim: Claim, rank: Rank) -> bool:
        """Whether the run has its key now; where not, it is in line for it."""
        return self.keys.take(run, claim) or self.keys.wait(run, claim, rank)

    def wait(self, run: RunId, rank: Rank) -> None:
        """Stand in line, once: for a place as soon as the run has its key, where it wants one."""
        if run not in self._queued:
            self._queued[run] = _Queued(rank)
            if not self.keys.is_wanted_by(run):
                self._line.add(rank, run)
            self._go_on()

    def is_stuck(self, run: RunId) -> bool:
        """Whether the run waits for a key that others have of whom nothing moves, as far as it is known here."""
        if not self.keys.is_wanted_by(run):
            return False
        moving = (self._at_work, self._pausing, self._queued, self._coming)
        return not any(other in some for other in self.keys.before(run) for some in moving)

    async def turn(self, run: RunId) -> None:
        """Return when the run may begin, has ended or is stuck; at once for one that is not in line."""
        queued = self._queued.get(run)
        if queued is None or self.is_stuck(run):
            return
        turn: Future[None] = asyncio.get_running_loop().create_future()
        queued.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and run in self._at_work and not self.is_draining:
                self._begin(run)  # the place was given, and whoever was to use it has gone
            raise

    def work(self, run: RunId) -> None:
        """The run is driven, whoever said that it may; one that waits for its key still does."""
        self._at_work.add(run)
        self._pausing.discard(run)
        if not self.keys.is_wanted_by(run):
            self._leave_line(run)

    def rest(self, run: RunId, *, goes_on: bool = False) -> None:
        """Nothing of the run moves, but that it `goes_on` by itself after a pause. Harmless when it is said twice."""
        self._at_work.discard(run)
        if goes_on:
            self._pausing.add(run)
        else:
            self._pausing.discard(run)
        for other in self.keys.behind(run):
            queued = self._queued.get(other)
            if queued is not None and queued.waiting and self.is_stuck(other):
                _tell(queued)
        self._go_on()

    def end(self, run: RunId) -> None:
        """The run has ended, or is not on record: who waits for its turn is told, and others may have its key."""
        self._leave_line(run)
        for other in self.keys.leave(run):
            queued = self._queued.get(other)
            if queued is not None:  # else it is still being put on record
                self._line.add(queued.rank, other)
        self._go_on()

    def drain(self) -> None:
        """From now on nothing begins, and nobody waits for that: what is in line stays on record for the next owner."""
        self.is_draining = True
        for queued in self._queued.values():
            _tell(queued)

    def _leave_line(self, run: RunId) -> None:
        queued = self._queued.pop(run, None)
        if queued is not None:
            self._line.remove(queued.rank, run)
            _tell(queued)

    def _go_on(self) -> None:
        while self._line and len(self._at_work) < self._runs_max and not self.is_draining:
            run = self._line.next()
            self._at_work.add(run)
            if not _tell(self._queued.pop(run)):
                self._begin(run)


def _tell(queued: _Queued) -> bool:
    """Let those go on who wait for a run's turn; whether there are any."""
    waiting = [turn for turn in queued.waiting if not turn.done()]
    queued.waiting = []
    for turn in waiting:
        turn.set_result(None)
    return bool(waiting)


def taken(claim: Claim, holders: Sequence[RunId]) -> RefusedError:
    """The refusal of what would need a concurrency key that others have."""
    what = "the concurrency key" if claim.text is None else f"the concurrency key `{claim.text}`"
    # Which runs these are stands in `details` and `hint` alone: it is not told to whoever may not read them.
    return RefusedError(
        "CONCURRENCY_TAKEN",
        f"others have {what}" if holders else f"others wait for {what}",
        hint=f"wait until it is free: `assent show {holders[0]}` tells of who has it" if holders else None,
        details={"runs": [*holders[:_TOLD_MAX]]},
    )
