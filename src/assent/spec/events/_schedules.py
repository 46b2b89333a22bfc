"""The events of schedules. Each schedule is a stream of its own, like a run, and names the runs in which it was decided about."""

from assent.spec.events._event import Act, Event
from assent.spec.ids import Commitment, RunId


class ScheduleAdded(Act, frozen=True, kw_only=True, tag="schedule.added"):
    """A schedule stands. `document` binds its workflow, inputs and timing; its runs act for whoever asked for the run `act`."""

    name: str
    document: Commitment
    by: str
    act: RunId


class ScheduleRemoved(Act, frozen=True, kw_only=True, tag="schedule.removed"):
    """A schedule stands no more. `act`, here and below, is the run in which that was decided."""

    by: str
    act: RunId


class ScheduleRestored(Act, frozen=True, kw_only=True, tag="schedule.restored"):
    """The removal of a schedule was taken back. `paused`: it had been so before."""

    paused: bool = False
    by: str
    act: RunId


class SchedulePaused(Act, frozen=True, kw_only=True, tag="schedule.paused"):
    """No tick of a schedule begins a run from now on."""

    by: str
    act: RunId


class ScheduleResumed(Act, frozen=True, kw_only=True, tag="schedule.resumed"):
    """Ticks of a schedule begin runs again: those that come from now on."""

    by: str
    act: RunId


class ScheduleTickRefused(Event, frozen=True, kw_only=True, tag="schedule.tick_refused"):
    """A tick began no run, because of what `code` says: its workflow can't be used any more, or its principal may not act."""

    tick_ms: int
    code: str
