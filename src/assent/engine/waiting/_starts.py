"""How many runs are driven at once, and the line of those that may not begin yet.

Theory of operation. Only starts wait: what has begun goes on when it can, so that nobody's approval, rollback or last step
stands behind strangers' new work; but it counts, so starts wait for it. A run in line is its first entry in the journal and one
entry here: no task, no actor. When its turn comes, whoever waits for it drives it, else `begin` is told. A run that waits for a
person or a time is not at work, and a run that a handler begins never waits: its place would be the handler's.

The next is of the highest priority, and there in turn among principals. After a crash those in line are runs that have not
begun, as the journal says, and come into line again when somebody drives them on.
"""

from __future__ import annotations

import asyncio
from asyncio import Future
from collections.abc import Callable

import msgspec

from assent.errors import WorldError
from assent.invocation import Share
from assent.invocation.call.places import Line
from assent.spec.ids import RunId


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
    share: Share
    priority: int
    waiting: list[Future[None]] = []


class Starts:
    """The runs of one driver. To be used from one event loop."""

    def __init__(self, runs: int, queue: int, begin: Callable[[RunId], None]) -> None:
        """At most `runs` at work and `queue` in line; `begin` is told of a run whose turn has come and that nobody waits for."""
        self._runs_max = runs
        self._queue_max = queue
        self._begin = begin
        self._at_work: set[RunId] = set()
        self._queued: dict[RunId, _Queued] = {}
        self._lines: dict[int, Line[RunId]] = {}
        self._coming = 0
        self.is_draining = False

    def look(self) -> Admission:
        """How it stands."""
        return Admission(
            len(self._at_work),
            self._runs_max,
            len(self._queued) + self._coming,
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
            raise WorldError(
                "QUEUE_FULL",
                f"{len(self._at_work)} runs are at work and {len(self._queued)} wait to begin",
                hint="try again later; `[limits] runs` and `queue` say how many may",
            )

    def come(self) -> None:
        """A start is being put on record, to stand in line then: its room is kept until `came`."""
        self._coming += 1

    def came(self) -> None:
        """It stands in line now, or never will."""
        self._coming -= 1

    def wait(self, run: RunId, share: Share, priority: int) -> None:
        """Stand in line, once."""
        if run not in self._queued:
            self._queued[run] = _Queued(share, priority)
            self._lines.setdefault(priority, Line()).add(share, run)
            self._go_on()

    async def turn(self, run: RunId) -> None:
        """Return when the run may begin, or has ended; at once for one that is not in line."""
        queued = self._queued.get(run)
        if queued is None:
            return
        turn: Future[None] = asyncio.get_running_loop().create_future()
        queued.waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and not self.is_draining:
                self._begin(run)  # the place was given, and whoever was to use it has gone
            raise

    def work(self, run: RunId) -> None:
        """The run is driven, whoever said that it may."""
        self._at_work.add(run)
        queued = self._queued.pop(run, None)
        if queued is not None:
            line = self._lines[queued.priority]
            line.remove(queued.share, run)
            if not line:
                del self._lines[queued.priority]
            _tell(queued)

    def rest(self, run: RunId) -> None:
        """Nothing of the run moves. Harmless when it is said twice."""
        self._at_work.discard(run)
        self._go_on()

    def drain(self) -> None:
        """From now on nothing begins, and nobody waits for that: what is in line stays on record for the next owner."""
        self.is_draining = True
        for queued in self._queued.values():
            _tell(queued)

    def _go_on(self) -> None:
        while self._lines and len(self._at_work) < self._runs_max and not self.is_draining:
            priority = max(self._lines)
            line = self._lines[priority]
            run = line.next()
            if not line:
                del self._lines[priority]
            self._at_work.add(run)
            if not _tell(self._queued.pop(run)):
                self._begin(run)


def _tell(queued: _Queued) -> bool:
    """Let those go on who wait for a run's turn; whether there are any."""
    waiting = [turn for turn in queued.waiting if not turn.done()]
    for turn in waiting:
        turn.set_result(None)
    return bool(waiting)
