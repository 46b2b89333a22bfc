"""The record of schedules: which there are, how each stands, and each change of one, durable with who decided it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

import msgspec

from assent import system
from assent.errors import Json, WorldError
from assent.failpoints import FAILPOINTS
from assent.invocation import NoEffectError
from assent.journal import Batch, OneOf, Payload, at_once, each_row
from assent.runtime._ledger import reading
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.principal import Principal, is_account
from assent.spec.values.canonical import canonical_json, commit
from assent.spec.values.typed import decode
from assent.spec.workflow.definition import WorkflowSpec

if TYPE_CHECKING:
    from assent.capabilities.schedule import Planned, Schedules, Standing, State
    from assent.engine import Services
    from assent.journal import JournalReader
    from assent.runtime.settings.effective import Settings

TABLE: Final = "schedule_entries"
STANDING: Final = OneOf(("active", "paused"))
"""The states of those that were not removed."""


class ScheduleRecords:
    """Looks at schedules beside whoever owns the state, and so also for a plan; changing one is for the owner, once open."""

    def __init__(
        self, settings: Settings, check: Callable[[WorkflowSpec, Mapping[str, Json]], object]
    ) -> None:
        """`check` raises what of a workflow and its inputs can't be used here."""
        self._settings = settings
        self._check_spec = check
        self._services: Services | None = None
        self.changing = asyncio.Lock()
        """Whoever changes a schedule holds it, and whoever begins a run of one: a pause that was answered is followed by none."""
        self.changed: Callable[[], object] = lambda: None
        """Told of each change."""

    def open(self, services: Services) -> None:
        """Schedules can be changed from now on."""
        self._services = services

    @property
    def _ready(self) -> Services:
        assert self._services is not None  # INVARIANT: a call is executed only where the runtime is open
        return self._services

    def offered(self) -> Schedules:
        """The same for `assent.schedule.*`."""
        from assent.capabilities.schedule import Schedules

        return Schedules(
            zone=str(self._settings.areas["schedule"]["zone"]),
            now_ms=self._now_ms,
            named=self.named,
            find=self.find,
            planned=self.planned,
            check=self._check,
            add=self.add,
            put=self.put,
        )

    def _now_ms(self) -> int:
        clock = system.SystemClock() if self._services is None else self._services.clock
        return clock.now_ms()

    def _check(self, planned: Planned) -> None:
        self._check_spec(WorkflowSpec.from_dict(planned.workflow), planned.inputs)

    def named(self, name: str) -> Standing | None:
        """The schedule that stands under a name; none that was removed."""
        with reading(self._settings.state) as journal:
            rows = [] if journal is None else at_once(_rows(journal, {"name": name, "state": STANDING}))
        return self.find(RunId(str(rows[0]["schedule"]))) if rows else None

    def find(self, schedule: RunId) -> Standing | None:
        """One by its own id, removed or not."""
        from assent.capabilities.schedule import standing_of

        with reading(self._settings.state) as journal:
            return None if journal is None else standing_of(journal.run_leaves(schedule))

    def planned(self, standing: Standing) -> Planned:
        """What a schedule does; `PAYLOAD_ERASED`."""
        with reading(self._settings.state) as journal:
            assert journal is not None  # INVARIANT: it was read there
            return at_once(planned_of(journal, standing))

    async def add(self, schedule: RunId, name: str, planned: Planned, act: RunId) -> None:
        """Have a schedule stand; nothing where it does already. `SCHEDULE_EXISTS` where another one has its name."""
        from assent.capabilities.schedule import exists

        services = self._ready
        async with self.changing:
            if await services.journal.events(schedule, limit=1):
                return
            if await _rows(services.journal, {"name": name, "state": STANDING}):
                raise exists(name)
            salt, body = services.entropy.salt(), canonical_json(msgspec.to_builtins(planned))
            payload = Payload(commit(salt, body), salt, body)
            who = await self._who(act)
            event = ev.ScheduleAdded(name=name, document=payload.commitment, act=act, **who)
            await self._append(schedule, 0, event, payload)

    async def put(self, schedule: RunId, before: State, after: State, act: RunId) -> None:
        """Bring a schedule from one state to another; nothing where it is there. `SCHEDULE_CHANGED` from a third one."""
        async with self.changing:
            found = await self.load(schedule)
            if found is not None and found.state is after:
                return
            if found is None or found.state is not before:
                raise NoEffectError(
                    "SCHEDULE_CHANGED",
                    "the schedule was changed meanwhile",
                    hint="look at it with `assent schedule list`, and ask again",
                )
            event = _change(before, after, act, await self._who(act))
            await self._append(schedule, found.events, event)

    async def refuse(self, standing: Standing, tick_ms: int, code: str) -> None:
        """Put on record that a tick began no run; whoever calls holds `changing`."""
        refused = ev.ScheduleTickRefused(tick_ms=tick_ms, code=code)
        await self._append(standing.schedule, standing.events, refused)

    async def load(self, schedule: RunId) -> Standing | None:
        """How a schedule stands by its own stream, which the ledger's key vouches for."""
        from assent.capabilities.schedule import standing_of

        return standing_of(await self._ready.journal.events(schedule))

    async def active(self) -> dict[RunId, int]:
        """The schedules that come due, each with how many events it has."""
        rows = await _rows(self._ready.journal, {"state": "active"})
        return {RunId(str(row["schedule"])): int(row["events"]) for row in rows}

    def added_by(self, identified_by: str) -> list[str]:
        """The names of those that stand and were added by whoever came in by this."""
        with reading(self._settings.state) as journal:
            rows = [] if journal is None else at_once(_rows(journal, {"state": STANDING}))
            return sorted(
                str(row["name"])
                for row in rows
                if journal is not None
                and at_once(began(journal, RunId(str(row["act"])))).identified_by == identified_by
            )

    async def forget(self, run: RunId, act: RunId) -> None:
        """Erase what schedules did that a run added and that stand no more, as whoever asked for the run `act`."""
        services = self._ready
        for row in await _rows(services.journal, {"act": run, "state": "removed"}):
            at_ms, who = services.clock.now_ms(), await self._who(act)
            await services.journal.erase(RunId(str(row["schedule"])), who=who, at_ms=at_ms, act=act)

    async def _who(self, act: RunId) -> ev.Who:
        return (await began(self._ready.journal, act)).who()

    async def _append(self, schedule: RunId, n: int, event: ev.AnyEvent, *payloads: Payload) -> None:
        services = self._ready
        at_ms = services.clock.now_ms()
        FAILPOINTS.hit("commit.before")
        await services.journal.append(
            Batch(run=schedule, expected_n=n, at_ms=at_ms, events=(event,), payloads=payloads)
        )
        FAILPOINTS.hit("commit.after")
        self.changed()


def _change(before: State, after: State, act: RunId, who: ev.Who) -> ev.AnyEvent:
    from assent.capabilities.schedule import State

    if after is State.REMOVED:
        return ev.ScheduleRemoved(act=act, **who)
    if before is State.REMOVED:
        return ev.ScheduleRestored(act=act, paused=after is State.PAUSED, **who)
    return (ev.SchedulePaused if after is State.PAUSED else ev.ScheduleResumed)(act=act, **who)


async def _rows(journal: JournalReader, where: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [row async for row in each_row(journal, TABLE, where)]


async def began(journal: JournalReader, run: RunId) -> ev.RunCreated:
    """The first event of a run."""
    found = (await journal.events(run, limit=1))[0].event
    assert isinstance(found, ev.RunCreated)  # INVARIANT: a run begins so
    return found


def acting_for(settings: Settings, created: ev.RunCreated, now_ms: int) -> Principal:
    """Who the runs of a schedule act for that `created` added: with the roles of today, and only while they may act at all.

    A schedule outlives neither the key, token or certificate by which whoever added it came in, nor its principal's entry in
    the configuration. `IDENTITY_REFUSED`, `KEYS_INVALID`.
    """
    text, roles, by = created.principal, frozenset(created.roles or ()), created.identified_by
    if by is None or is_account(by):
        uid = settings.os_uid if created.os_uid is None else created.os_uid
        found = settings.principal_of(text, asserted=created.asserted, os_uid=uid)
    else:
        from assent.runtime.wiring.vouching import require_vouched

        require_vouched(settings, text, by, now_ms)
        found = settings.identities.vouched_for(text, roles)
    return Principal.parse(text, roles=roles) if roles else found


async def planned_of(journal: JournalReader, standing: Standing) -> Planned:
    """What a schedule does, out of the ledger; `PAYLOAD_ERASED`."""
    from assent.capabilities.schedule import Planned

    body = await journal.payload(standing.document)
    if body is None:
        raise WorldError(
            "PAYLOAD_ERASED",
            f"what the schedule `{standing.name}` did was erased",
            hint="add it again",
        )
    return decode(body, Planned)
