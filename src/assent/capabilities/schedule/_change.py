"""`assent.schedule.*`: the acts that decide about schedules. Each leaves an event in a schedule's stream, and can be taken back.

What a tick's run may do is asked when the tick comes, step by step; adding a schedule decides no more than that it comes.
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Mapping
from hashlib import sha256
from typing import Annotated, Final, Literal

import msgspec
from pydantic import Field, JsonValue

from assent.capabilities.schedule._standing import Planned, Standing, State
from assent.errors import Json, RefusedError
from assent.invocation import LocalContext, NoEffectError, Prepared, Preview, Reconciliation
from assent.spec.capability import SpecModel
from assent.spec.ids import RunId
from assent.spec.schedule import Timing, timing_of
from assent.spec.states import Verdict
from assent.spec.values.canonical import fingerprint
from assent.spec.values.frozen import thaw
from assent.spec.words.durations import instant

SHOWN_TICKS: Final = 3
"""Of a schedule that is to be added so many ticks are shown."""

Name = Annotated[
    str, Field(pattern=r"^[a-z][a-z0-9_-]*$", max_length=64, description="what the schedule is called")
]


class Add(SpecModel):
    """A workflow, and when it comes due: `cron`, in `zone`, or `every`."""

    name: Name
    workflow: dict[str, JsonValue] = Field(
        description="the document of the workflow, as it will run each time"
    )
    inputs: dict[str, JsonValue] = Field(default_factory=dict)
    cron: str | None = Field(
        default=None,
        max_length=200,
        description="minute, hour, day of month, month, day of week: `0 2 * * *`",
    )
    every: str | None = Field(default=None, max_length=20, description="an interval, from now on: `1h`")
    zone: str | None = Field(default=None, max_length=80, description="time zone of `cron`: `Europe/Berlin`")
    missed: Literal["skip", "one", "all"] = Field(
        default="skip", description="what becomes of ticks that nobody was there for"
    )
    overlap: Literal["skip", "queue", "cancel"] | None = Field(
        default=None,
        description="what becomes of a tick that comes before the former one's run has ended; left out: "
        "`skip`, or `queue` where all missed ticks are made up for",
    )
    environment: str | None = Field(default=None, max_length=128)


class Named(SpecModel):
    """Which schedule."""

    name: Name


class Changed(SpecModel):
    """How the schedule stands by then; `next_at`: its next tick, where it is active."""

    schedule: str
    state: Literal["active", "paused", "removed"]
    next_at: str | None


class Schedules(msgspec.Struct, frozen=True):
    """What the roof offers: the schedules of the record, looked at and changed."""

    zone: str
    """Where nobody says one."""
    now_ms: Callable[[], int]
    named: Callable[[str], Standing | None]
    """The one that stands under a name; none that was removed."""
    find: Callable[[RunId], Standing | None]
    """One by its own id, removed or not."""
    planned: Callable[[Standing], Planned]
    """What it does; `PAYLOAD_ERASED`."""
    check: Callable[[Planned], None]
    """Raise what of the workflow or its inputs can't be used here."""
    add: Callable[[RunId, str, Planned, RunId], Awaitable[None]]
    """Have a schedule stand: its id, name, what it does, and the run that decided it. `SCHEDULE_EXISTS`."""
    put: Callable[[RunId, State, State, RunId], Awaitable[None]]
    """Bring a schedule from one state to another, as the run that is named last. `SCHEDULE_CHANGED` from a third one."""


def _schedules(context: LocalContext) -> Schedules:
    return context.app.get(Schedules)


def _changed(schedules: Schedules, name: str, state: State, timing: Timing) -> Changed:
    next_ms = timing.next(schedules.now_ms()) if state is State.ACTIVE else None
    return Changed(schedule=name, state=state.value, next_at=None if next_ms is None else instant(next_ms))


class AddEffect:
    """`assent.schedule.add`."""

    def preview(self, context: LocalContext, parameters: Add) -> Preview:
        """When it comes due, what it will run, and for whom."""
        planned = self._planned(context, parameters, _schedules(context).now_ms())
        return Preview("text", _text(context, parameters.name, planned), _base(None))

    def prepare(self, context: LocalContext, parameters: Add) -> Prepared:
        """Refuse what can't be, and settle what intervals are counted from."""
        now_ms = _schedules(context).now_ms()
        self._planned(context, parameters, now_ms)
        return Prepared({"anchor_ms": now_ms})

    async def execute(self, context: LocalContext, parameters: Add) -> Changed:
        """Have it stand; once, however often it is called."""
        schedules, planned = _schedules(context), self._said(context, parameters)
        await schedules.add(_id(context), parameters.name, planned, context.run)
        return _changed(schedules, parameters.name, State.ACTIVE, planned.timing)

    def reconcile(self, context: LocalContext, parameters: Add) -> Reconciliation:
        """It happened if its stream is there."""
        schedules = _schedules(context)
        found = schedules.find(_id(context))
        if found is None:
            return Reconciliation(Verdict.NO)
        timing = self._said(context, parameters).timing
        return _happened(_changed(schedules, found.name, found.state, timing))

    async def compensate(self, context: LocalContext, parameters: Add) -> None:
        """Remove it, unless somebody changed it since."""
        del parameters
        await _take_back(context, _id(context), State.REMOVED, State.ACTIVE)

    def _said(self, context: LocalContext, parameters: Add) -> Planned:
        anchor_ms = (context.prepared or {})["anchor_ms"]
        assert isinstance(anchor_ms, int)  # INVARIANT: `prepare` wrote it
        return _planned(parameters, anchor_ms, _schedules(context).zone)

    def _planned(self, context: LocalContext, parameters: Add, anchor_ms: int) -> Planned:
        """`NoEffectError`: SCHEDULE_INVALID, SCHEDULE_EXISTS, and whatever is wrong with the workflow."""
        schedules = _schedules(context)
        planned = _planned(parameters, anchor_ms, schedules.zone)
        schedules.check(planned)
        if schedules.named(parameters.name) is not None:
            raise exists(parameters.name)
        return planned


class ChangeEffect:
    """The other three: from one of some states to another."""

    def __init__(self, verb: str, to: State) -> None:
        self._verb = verb
        self._to = to

    def preview(self, context: LocalContext, parameters: Named) -> Preview:
        """What it is, and how it stands."""
        found, planned = self._found(context, parameters)
        text = f"{self._verb} the schedule `{found.name}`: {planned.timing.told}, {found.state.value} so far"
        return Preview("text", text, _base(found), changes=found.state is not self._to)

    def prepare(self, context: LocalContext, parameters: Named) -> Prepared:
        """Which schedule it is, and how it stands."""
        found, _ = self._found(context, parameters)
        return Prepared({"schedule": found.schedule, "state": found.state.value})

    async def execute(self, context: LocalContext, parameters: Named) -> Changed:
        """Have it stand so; once, however often it is called."""
        schedules, (schedule, before) = _schedules(context), _before(context)
        await schedules.put(schedule, before, self._to, context.run)
        return self._output(context, parameters.name, schedule)

    def reconcile(self, context: LocalContext, parameters: Named) -> Reconciliation:
        """It happened if the schedule stands so."""
        schedule, before = _before(context)
        found = _schedules(context).find(schedule)
        if found is not None and found.state is self._to:
            return _happened(self._output(context, parameters.name, schedule))
        is_before = found is not None and found.state is before
        return Reconciliation(Verdict.NO if is_before else Verdict.UNKNOWN)

    async def compensate(self, context: LocalContext, parameters: Named) -> None:
        """Have it stand as before, unless somebody changed it since."""
        del parameters
        schedule, before = _before(context)
        await _take_back(context, schedule, before, self._to)

    def _found(self, context: LocalContext, parameters: Named) -> tuple[Standing, Planned]:
        schedules = _schedules(context)
        found = schedules.named(parameters.name)
        if found is None:
            raise unknown(parameters.name)
        return found, schedules.planned(found)

    def _output(self, context: LocalContext, name: str, schedule: RunId) -> Changed:
        schedules = _schedules(context)
        found = schedules.find(schedule)
        assert found is not None  # INVARIANT: it was prepared, and no stream ends
        return _changed(schedules, name, self._to, schedules.planned(found).timing)


async def _take_back(context: LocalContext, schedule: RunId, before: State, after: State) -> None:
    """Bring a schedule back to the state before; nothing where it is so already. `COMPENSATION_CONFLICT`."""
    schedules = _schedules(context)
    found = schedules.find(schedule)
    if found is None or found.state is before:
        return
    another = schedules.named(found.name) if after is State.REMOVED else None
    if found.state is not after or another is not None:
        now = found.state.value if another is None else "removed, and another one has its name"
        raise RefusedError(
            "COMPENSATION_CONFLICT",
            f"the schedule `{found.name}` was changed since: it is {now}",
            hint="look at it with `assent schedule list`, and change it by hand",
            details={"schedule": found.name, "expected": after.value, "found": found.state.value},
        )
    if after is State.REMOVED:
        schedules.planned(found)  # what was erased can't come back
    await schedules.put(schedule, after, before, context.run)


def _id(context: LocalContext) -> RunId:
    """The id of the schedule that a call adds: the same for every attempt at the call, and for nothing else."""
    digest = sha256(f"{context.key}\0schedule".encode()).hexdigest()
    return RunId(f"sch_{digest[:26]}")


def _before(context: LocalContext) -> tuple[RunId, State]:
    prepared = context.prepared or {}
    return RunId(str(prepared["schedule"])), State(str(prepared["state"]))


def _happened(output: Changed) -> Reconciliation:
    told: dict[str, Json] = output.model_dump(mode="json")
    return Reconciliation(Verdict.YES, told)


def _planned(parameters: Add, anchor_ms: int, zone: str) -> Planned:
    timing = timing_of(
        cron=parameters.cron,
        every=parameters.every,
        zone=zone if parameters.zone is None and parameters.cron is not None else parameters.zone,
        missed=parameters.missed,
        overlap=parameters.overlap,
        anchor_ms=anchor_ms,
    )
    return Planned(
        workflow=_plain(parameters.workflow),
        inputs=_plain(parameters.inputs),
        environment=parameters.environment,
        timing=timing,
    )


def _plain(value: Mapping[str, JsonValue]) -> dict[str, Json]:
    plain: dict[str, Json] = thaw(value)  # an object stays one
    return plain


def _base(found: Standing | None) -> str:
    """What an approval is bound to: another schedule, or one in another state, makes it stale."""
    return fingerprint(None if found is None else [found.schedule, found.state.value])


def _text(context: LocalContext, name: str, planned: Planned) -> str:
    ticks = planned.timing.ticks(_schedules(context).now_ms())
    shown = [instant(tick_ms) for _, tick_ms in zip(range(SHOWN_TICKS), ticks, strict=False)]
    return "\n".join(
        [
            f"adds the schedule `{name}`: {planned.timing.told}",
            f"next: {', '.join(shown)}",
            f"missed ticks: {planned.timing.missed.value}; while a run has not ended: {planned.timing.overlap.value}",
            f"each run acts for {context.principal}, and each of its steps is decided about when it comes",
            f"workflow: {json.dumps(planned.workflow, indent=2, ensure_ascii=False)}",
            f"inputs: {json.dumps(planned.inputs, indent=2, ensure_ascii=False)}",
        ]
    )


def exists(name: str) -> NoEffectError:
    """The refusal of a name that is taken."""
    return NoEffectError(
        "SCHEDULE_EXISTS",
        f"there is a schedule `{name}` already",
        path="name",
        hint=f"take another name, or remove that one: `assent schedule remove {name}`",
    )


def unknown(name: str) -> NoEffectError:
    """The refusal of a name that no schedule has."""
    return NoEffectError(
        "SCHEDULE_UNKNOWN",
        f"there is no schedule `{name}`",
        path="name",
        hint="list them with `assent schedule list`",
    )
