"""What begins the runs of schedules, for as long as a process lives that owns the state.

Theory of operation. Nothing is kept but what can be read again. Whenever a tick comes, or the former one's run has ended, the
schedule's stream, its last run and the clock are looked at, and `decide` (`assent.spec.schedule`) says what is to be done. A
tick's run begins under the request `schedule:NAME:TICK`, which its first event keeps: a kill at any moment leaves a tick with its
run or without one, and never with two. The clock on the wall says what has come. It may be set at any time, so it is looked at
once in a minute at least; where it was set back, ticks come again that have had their run, and have no second one.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from assent.capabilities.schedule import Planned, Standing, State, request_of, tick_of
from assent.engine import Actor
from assent.errors import AssentError, InputError, RefusedError
from assent.invocation.context.telling import News, telling
from assent.runtime.runs._schedules import acting_for, began, planned_of
from assent.spec.events.kinds import RunCreated
from assent.spec.ids import RunId
from assent.spec.schedule import Begin, Former, Overlap, StopFormer, decide
from assent.spec.states import RunState
from assent.spec.words.durations import instant
from assent.spec.workflow.definition import WorkflowSpec

if TYPE_CHECKING:
    from collections.abc import Coroutine

    from assent.runtime._core import Core

LOOK_MS_MAX: Final = 60_000
"""The clock may be set, and the machine sleep: it is looked at as often as this."""

RETRY_MS: Final = 5_000
"""What failed is tried again after it, several times before a tick is late: with `skip` a late one has no run."""

BEGIN_S_MAX: Final = 10.0
"""A run that is not on record by then is given up, and its tick tried again."""

LOGGER: Final = logging.getLogger("assent.schedules")
LOGGER.addHandler(logging.NullHandler())


class _Active:
    """One schedule that comes due. What is kept of it besides is when it is worth looking at again."""

    def __init__(self, standing: Standing, planned: Planned, added: RunCreated) -> None:
        """`added` is the run that added it, and so says who its runs act for."""
        self.standing = standing
        self.planned = planned
        self.added = added
        self.look_ms = 0
        self.passed_ms = 0
        """The last tick that has its run already, or was refused one."""
        self.watched: RunId | None = None
        """The former run, while a tick waits for its end."""
        self.stopped: RunId | None = None
        """The last run that was cancelled for a tick."""


class Scheduler:
    """Begins the runs of schedules from `start` to `close`. To be used from the event loop of the open runtime."""

    def __init__(self, core: Core) -> None:
        """`core` is open."""
        self._core = core
        self._clock = core.ready.clock
        self._active: dict[RunId, _Active] = {}
        self._looked_ms = self._clock.now_ms()
        self._wake = asyncio.Event()
        self._looking: set[asyncio.Task[None]] = set()
        self._driving: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Begin what is due, and go on until `close`."""
        self._core.schedules.changed = self._wake.set
        self._spawn(self._run(), "schedules", self._looking)

    async def settle(self) -> None:
        """Begin no more runs, and wait until those that have begun have ended, or wait for somebody."""
        await _end(self._looking)
        if self._driving:
            await asyncio.wait(self._driving)

    async def close(self) -> None:
        """Begin no more runs; those that have begun are the runtime's. Harmless when it is said twice."""
        await _end(self._looking)
        await _end(self._driving)

    def _spawn(
        self, work: Coroutine[object, object, None], name: str, among: set[asyncio.Task[None]]
    ) -> asyncio.Task[None]:
        task = self._core.ready.spawn(work, name=name)
        among.add(task)
        task.add_done_callback(among.discard)
        return task

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            wait_ms = LOOK_MS_MAX
            try:
                wait_ms = await self.look()
            except Exception:
                # Whatever it is, schedules must not stop for good without a word.
                LOGGER.exception("the schedules could not be looked at")
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_ms / 1000):
                    await self._wake.wait()

    async def look(self) -> int:
        """Do what is due now; in how many milliseconds something is due again, at most `LOOK_MS_MAX`."""
        now_ms = self._clock.now_ms()
        await self._learn()
        was_set_back = now_ms < self._looked_ms
        for active in [*self._active.values()]:
            if was_set_back or active.look_ms <= now_ms:
                active.look_ms = active.planned.timing.next(now_ms) or now_ms + LOOK_MS_MAX
                try:
                    await self._attend(active, now_ms)
                except AssentError as error:
                    LOGGER.warning("schedule `%s` could not be looked at: %s", active.standing.name, error)
                    active.look_ms = min(active.look_ms, now_ms + RETRY_MS)
        self._looked_ms = now_ms
        next_ms = min((one.look_ms for one in self._active.values()), default=now_ms + LOOK_MS_MAX)
        return max(1, min(next_ms - self._clock.now_ms(), LOOK_MS_MAX))

    async def _learn(self) -> None:
        """Read those that were added or changed since."""
        records, known = self._core.schedules, self._active
        active = await records.active()
        self._active = {schedule: known[schedule] for schedule in active.keys() & known.keys()}
        for schedule, events in active.items():
            if schedule not in known or known[schedule].standing.events != events:
                try:
                    self._active[schedule] = await self._loaded(schedule)
                except AssentError as error:
                    self._active.pop(schedule, None)
                    LOGGER.warning("schedule `%s` can't be read: %s", schedule, error)

    async def _loaded(self, schedule: RunId) -> _Active:
        journal, known = self._core.ready.journal, self._active.get(schedule)
        standing = await self._core.schedules.load(schedule)
        assert standing is not None  # INVARIANT: its row follows from its stream
        if known is not None:
            known.standing, known.look_ms = standing, 0
            return known
        return _Active(standing, await planned_of(journal, standing), await began(journal, standing.act))

    async def _attend(self, active: _Active, now_ms: int) -> None:
        """Do what is to be done about one schedule, until that is nothing."""
        for _ in range(2):  # a run that ends at once is told by its end
            former = await self._former(active.standing.name)
            since_ms = max(active.standing.since_ms, active.standing.refused_ms or 0, active.passed_ms)
            timing = active.planned.timing
            told = decide(
                timing,
                since_ms=since_ms,
                former=None if former is None else former[1],
                now_ms=now_ms,
                looked_ms=self._looked_ms,
            )
            if former is not None and former[1].ended_ms is None and timing.overlap is not Overlap.SKIP:
                self._watch(active, former[0])
            match told:
                case Begin(tick_ms):
                    if not await self._begin(active, tick_ms):
                        return
                case StopFormer():
                    assert former is not None  # INVARIANT: there is one to be stopped
                    if active.stopped == former[0]:
                        return
                    active.stopped = former[0]
                    self._spawn(self._stop(former[0], active.added), f"stop {former[0]}", self._driving)
                    return
                case None:
                    return

    async def _former(self, name: str) -> tuple[RunId, Former] | None:
        """The run that the schedule of a name began last; None where it has begun none."""
        rows = await self._core.ready.journal.rows("schedule_runs", {"name": name}, limit=1)
        if not rows:
            return None
        run = RunId(str(rows[0]["run_id"]))
        record = (await self._core.running.look(run)).record
        tick = tick_of(record.created)
        assert tick is not None  # INVARIANT: the row follows from the run's first event
        ended_ms = record.updated_at_ms if record.state.is_finished else None
        return run, Former(tick[1], ended_ms, record.state is RunState.CANCELLED)

    async def _begin(self, active: _Active, tick_ms: int) -> bool:
        """Begin the run of a tick, unless it has one. Whether that was settled; if not, the tick is tried again later."""
        core, name = self._core, active.standing.name
        request = request_of(name, tick_ms)
        async with core.schedules.changing:
            standing = await core.schedules.load(active.standing.schedule)
            if standing is None or standing.state is not State.ACTIVE:
                return False
            if await core.ready.journal.rows("run_requests", {"request": request}, limit=1):
                active.passed_ms = tick_ms
                return True
            recorded: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            driving = self._spawn(self._drive(active, request, recorded), request, self._driving)
            both = {driving, recorded}
            await asyncio.wait(both, timeout=BEGIN_S_MAX, return_when=asyncio.FIRST_COMPLETED)
            if recorded.done():
                return True
            if not driving.done():
                driving.cancel()
                await asyncio.wait({driving})
            error = None if driving.cancelled() else driving.exception()
            if isinstance(error, AssentError) and error.code == "DRAINING":
                LOGGER.info(
                    "schedule `%s`: the tick at %s is the next owner's to begin", name, instant(tick_ms)
                )
            else:
                LOGGER.warning(
                    "schedule `%s`: the tick at %s began no run: %s", name, instant(tick_ms), error
                )
            if isinstance(error, InputError | RefusedError):
                active.passed_ms = tick_ms
                await core.schedules.refuse(standing, tick_ms, error.code)
                return True
            active.look_ms = self._clock.now_ms() + RETRY_MS
            return False

    async def _drive(self, active: _Active, request: str, recorded: asyncio.Future[None]) -> None:
        """Begin a run, and see it as far as it comes; `recorded` is done once it is durable."""

        def tell(_run: RunId, _n: int | None, _at_ms: int, event: News) -> None:
            if isinstance(event, RunCreated) and not recorded.done():
                recorded.set_result(None)

        core, planned = self._core, active.planned
        actor = self._actor(active.added, request)
        try:
            with telling(tell):
                await core.run_spec(
                    WorkflowSpec.from_dict(planned.workflow),
                    planned.inputs,
                    actor,
                    environment=planned.environment,
                )
        except AssentError as error:
            if not recorded.done():
                raise  # whoever began it waits for that
            LOGGER.warning("%s: its run could not go on: %s", request, error)
        active.look_ms = 0
        self._wake.set()

    def _actor(self, added: RunCreated, request: str | None = None) -> Actor:
        """Who a tick's run acts for. `IDENTITY_REFUSED`."""
        principal = acting_for(self._core.settings, added, self._clock.now_ms())
        return Actor(principal, added.asserted, added.os_uid, added.identified_by, request)

    async def _stop(self, run: RunId, added: RunCreated) -> None:
        with suppress(AssentError):  # it has ended meanwhile, or somebody else settles it
            await self._core.cancel(run, principal=self._actor(added), spares_finally=True)

    def _watch(self, active: _Active, run: RunId) -> None:
        """Look at a schedule again once a run has ended, whoever drives it."""
        if active.watched == run:
            return
        active.watched = run

        async def watch() -> None:
            core, is_open = self._core, True
            with core.ready.journal.follow(run) as news:
                while is_open:
                    heard = news.count
                    if (await core.running.look(run)).record.state.is_finished:
                        break
                    is_open = await news.beyond(heard)
            active.watched, active.look_ms = None, 0
            self._wake.set()

        self._spawn(watch(), f"watch {run}", self._looking)


async def _end(tasks: set[asyncio.Task[None]]) -> None:
    ending = {*tasks}
    for task in ending:
        task.cancel()
    if ending:
        await asyncio.wait(ending)
