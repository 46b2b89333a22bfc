"""What happens to a run, for those who listen to it at its owner. As many as they are, it is read once for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from assent.runtime._find_run import get_run, state_of
from assent.runtime.service import answers
from assent.runtime.service._recorded import follow, told_events
from assent.spec.states import RunState
from assent.system import SystemClock

if TYPE_CHECKING:
    from assent.journal import News
    from assent.runtime._core import Core
    from assent.runtime.service import requests
    from assent.spec.ids import RunId

EVENTS_TOGETHER: Final = 16
"""So many are read at a time, and held by whoever takes them slowly."""

TAKEN_UP_MS: Final = 1_000
"""After this long a run that should move and that nobody drives here is interrupted."""


class Listened:
    """How a run stands and its newest events, since there last was news of it."""

    def __init__(self, runtime: Core, run: RunId) -> None:
        self._runtime = runtime
        self._run = run
        self._known = -1
        self._state = RunState.FAILED
        self._page = _Page()

    async def state(self, count: int) -> RunState:
        """How it stands after so much news of it."""
        if self._known != count:
            # Asked for each time: the journal may have been closed since.
            row = await get_run(self._runtime.ready.journal, self._run)
            self._known, self._state = count, state_of(row) if row is not None else RunState.FAILED
            # INVARIANT: what was read before is none of what was there when it stood so.
            self._page = _Page()
        return self._state

    async def events(self, since: int) -> list[answers.RunEvent]:
        """Some from a number on; none where there were no more when `state` was last asked."""
        page = self._page
        found = page.since(since)
        if found is None:
            leaves = await self._runtime.ready.journal.events(self._run, since=since, limit=EVENTS_TOGETHER)
            found = told_events(self._run, since, leaves)
            if since >= page.start:  # who lags reads for itself
                page.start, page.events = since, found
        return found


class _Page:
    """The events from a number on."""

    start = 0
    events: list[answers.RunEvent] | None = None

    def since(self, since: int) -> list[answers.RunEvent] | None:
        """Those from another number on; None where that takes a reading."""
        at = since - self.start
        if self.events is None or at < 0 or at > len(self.events):
            return None
        is_end = len(self.events) < EVENTS_TOGETHER
        return self.events[at:] if is_end or at < len(self.events) else None


async def server_news(
    runtime: Core, principal: str, request: requests.Listen
) -> AsyncIterator[answers.ServerNews]:
    """What servers tell of changes, to a client of this principal."""
    with runtime.companions.hearing(principal, request.client) as hearing:
        async with runtime.servers.heard_by(hearing):
            yield answers.ServerNews(server="", method="")
            async for news in hearing.news():
                yield answers.ServerNews(server=news.server, method=news.method, uri=news.uri)


async def events(
    runtime: Core, listened: MutableMapping[News, Listened], request: requests.Events
) -> AsyncIterator[answers.RunEvent]:
    """What the journal of this process makes durable of a run; woken by its writer.

    `listened`: what those share who listen at present.
    """
    run, clock = await runtime.find(request.run), SystemClock()
    undriven_ms: int | None = None
    heard = 0
    with runtime.ready.journal.follow(run) as news:
        shared = listened.setdefault(news, Listened(runtime, run))

        async def is_settled() -> bool:
            nonlocal undriven_ms, heard
            heard = news.count
            state = await shared.state(heard)
            if not state.is_moving or runtime.drives(run):
                undriven_ms = None
                return state.is_settled
            # This process may have just followed an owner that was killed: whoever resumes the run here has yet to do so.
            undriven_ms = clock.monotonic_ms() if undriven_ms is None else undriven_ms
            return clock.monotonic_ms() - undriven_ms >= TAKEN_UP_MS

        async def wait(within_s: float | None) -> None:
            if undriven_ms is not None:
                within_s = min(TAKEN_UP_MS / 1000, TAKEN_UP_MS / 1000 if within_s is None else within_s)
            with suppress(TimeoutError):
                await asyncio.wait_for(news.beyond(heard), within_s)

        async for event in follow(shared.events, request, is_settled, wait):
            yield event
