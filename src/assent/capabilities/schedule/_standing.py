"""How a schedule stands, folded from the events of its stream, and the rows that follow: where to look, and no more.

Theory of operation. A schedule is a stream of its own, whose first event binds what it is: workflow, inputs, timing. Whoever acts
on one reads that stream. The rows say which there are, and which run each began last: the run's own first event, whose request is
`schedule:NAME:TICK`, says which tick it was for. So a tick is on record exactly when its run is, in one transaction.
"""

from __future__ import annotations

from collections.abc import Iterator
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import msgspec

from assent.journal import Row
from assent.spec.events import kinds as ev
from assent.spec.ids import OF_SCHEDULES, Commitment, RunId
from assent.spec.schedule import Timing
from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from assent.errors import Json
    from assent.journal.store._projections import Stored
else:
    Json = Any  # msgspec has no recursive types


class State(StrEnum):
    """Where a schedule stands."""

    ACTIVE = "active"
    PAUSED = "paused"
    REMOVED = "removed"


class Planned(msgspec.Struct, frozen=True, kw_only=True):
    """What a schedule does, as it was decided about: the payload of its first event."""

    workflow: dict[str, Json]
    inputs: dict[str, Json]
    environment: str | None
    timing: Timing


class Standing(msgspec.Struct, frozen=True, kw_only=True):
    """One schedule. Ticks count that come after `since_ms`: when it was added, resumed or restored."""

    schedule: RunId
    name: str
    state: State
    act: RunId
    """The run that added it: its runs act for whoever asked for that one."""
    document: Commitment
    events: int
    added_at_ms: int
    since_ms: int
    refused_ms: int | None = None
    """The last tick that began no run, and `refused_code` why."""
    refused_code: str | None = None


def stood(before: Standing | None, leaf: ev.Leaf) -> Standing | None:
    """How a schedule stands after one more event of its stream; None for events that are no schedule's."""
    event, events = leaf.event, (leaf.n or 0) + 1
    match event:
        case ev.ScheduleAdded():
            assert leaf.run is not None  # INVARIANT: it is the first event of a stream
            return Standing(
                schedule=leaf.run,
                name=event.name,
                state=State.ACTIVE,
                act=event.act,
                document=event.document,
                events=events,
                added_at_ms=leaf.at_ms,
                since_ms=leaf.at_ms,
            )
        case ev.ScheduleRemoved():
            changed: dict[str, object] = {"state": State.REMOVED}
        case ev.ScheduleRestored():
            changed = {"state": State.PAUSED if event.paused else State.ACTIVE, "since_ms": leaf.at_ms}
        case ev.SchedulePaused():
            changed = {"state": State.PAUSED}
        case ev.ScheduleResumed():
            changed = {"state": State.ACTIVE, "since_ms": leaf.at_ms}
        case ev.ScheduleTickRefused():
            changed = {"refused_ms": event.tick_ms, "refused_code": event.code}
        case _:
            return None
    return None if before is None else msgspec.structs.replace(before, events=events, **changed)


def standing_of(leaves: Iterable[ev.Leaf]) -> Standing | None:
    """How a schedule stands by its stream."""
    standing = None
    for leaf in leaves:
        standing = stood(standing, leaf)
    return standing


def rows(leaf: ev.Leaf, stored: Stored) -> Iterator[Row]:
    """The rows that an event changes."""
    event = leaf.event
    if isinstance(event, ev.RunCreated):
        tick = tick_of(event)
        if tick is not None:
            yield Row("schedule_runs", (tick[0],), (*tick, leaf.run))
        return
    values = stored("schedule_entries", (leaf.run,))
    named = zip(Standing.__struct_fields__, values, strict=True) if values is not None else None
    after = stood(None if named is None else convert(dict(named), Standing), leaf)
    if after is not None:
        yield Row("schedule_entries", (after.schedule,), tuple(msgspec.to_builtins(after).values()))


def tick_of(created: ev.RunCreated) -> tuple[str, int] | None:
    """The name of the schedule and the tick that a run was begun for; None for any other run."""
    if created.request is None or not created.request.startswith(OF_SCHEDULES):
        return None
    name, _, tick = created.request.removeprefix(OF_SCHEDULES).partition(":")
    return (name, int(tick)) if tick.isdecimal() else None


def request_of(name: str, tick_ms: int) -> str:
    """The id of the request that begins a tick's run."""
    return f"{OF_SCHEDULES}{name}:{tick_ms}"
