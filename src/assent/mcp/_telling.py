"""What a client hears of a call while it is carried out, and how it takes one back that it no longer wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias, get_args

import mcp_types as wire
from mcp.server import ServerRequestContext
from mcp.server.connection import allowed_log_levels
from mcp_types.version import is_version_at_least

from assent import system
from assent.errors import AssentError, Json
from assent.mcp._visit import Visit
from assent.runtime.service import requests

Context: TypeAlias = ServerRequestContext[Any, Any]  # `Any`: what a transport attaches

_AHEAD: Final = 64
"""Reports that a slow client may be behind; further ones are left out, since only the newest matter."""

_RESTS: Final = frozenset({"approval.requested", "wait.started", "step.in_doubt", "run.needs_attention"})
"""After these a run goes on when somebody says something, or a time comes."""

_GOES_WRONG: Final = frozenset(
    {
        "step.denied",
        "step.failed",
        "step.attempt_failed",
        "step.in_doubt",
        "run.needs_attention",
        "compensation.failed",
    }
)
_LEVEL_IN_REQUEST_SINCE: Final = "2026-07-28"

_LINE_MAX: Final = 1000
_TOLD_LATER_S: Final = 5.0


class Call:
    """One call on its way: hears what happens in its run, and tells a client that asked for progress.

    `step` is what the session calls its step, once there is one, `inner` the run that this has begun, if it runs a workflow, and
    `rests` whether that waits by now.
    """

    def __init__(self, context: Context, visit: Visit) -> None:
        self._context = context
        self._visit = visit
        self._said: asyncio.Queue[Mapping[str, Json]] = asyncio.Queue(_AHEAD)
        self._levels = _levels_of(context, visit)
        self.step: Final[asyncio.Future[str]] = asyncio.get_running_loop().create_future()
        self.inner: str | None = None
        self.rests: Final = asyncio.Event()

    @property
    def asks_for_progress(self) -> bool:
        """The client wants to hear how it goes."""
        return "progress_token" in (self._context.meta or {})

    @property
    def is_told(self) -> bool:
        """The client wants to hear anything while it goes on."""
        return self.asks_for_progress or bool(self._levels)

    def hear(self, report: Mapping[str, Json]) -> None:
        """Take in what the service tells while it carries out a request."""
        run, event = report.get("run"), report.get("event")
        if not isinstance(event, dict):
            return
        if isinstance(run, str) and run != self._visit.run:
            self.inner = run
            if event.get("kind") in _RESTS:
                self.rests.set()
            else:
                self.rests.clear()
        elif event.get("kind") == "step.added" and not self.step.done():
            self.step.set_result(str(event["step"]))
        with suppress(asyncio.QueueFull):
            self._said.put_nowait(event)

    async def stop(self) -> None:
        """The client does not want it any more: the run of a workflow is stopped between effects and taken back.

        Any other step of the session is carried out to its end, and all else that the session did stays.
        """
        if self.inner is not None:
            with suppress(AssentError):
                await self._visit.act(requests.Cancel(run=self.inner))

    async def tell(self) -> None:
        """Pass on what was heard, for as long as the call takes."""
        count, session = 0, self._context.session
        while True:
            event = await self._said.get()
            if self.asks_for_progress:
                count += 1
                await session.report_progress(count, message=_words(event))
            level = _level(event)
            if level in self._levels:
                said = wire.LoggingMessageNotificationParams(level=level, data=dict(event), logger="assent")
                # Not by `send_log_message`, which warns that a later revision may have no more of these.
                await session.send_notification(
                    wire.LoggingMessageNotification(params=said), related_request_id=self._context.request_id
                )


def _levels_of(context: Context, visit: Visit) -> frozenset[str]:
    """The levels of messages that a call is to be told of; none where the client did not say."""
    if is_version_at_least(context.protocol_version, _LEVEL_IN_REQUEST_SINCE):
        return frozenset(allowed_log_levels(context.protocol_version, context.meta))
    names = get_args(wire.LoggingLevel)
    return frozenset(() if visit.log_level is None else names[names.index(visit.log_level) :])


def _level(event: Mapping[str, Json]) -> wire.LoggingLevel:
    kind = str(event.get("kind", ""))
    if kind == "approval.requested":
        return "notice"
    return "warning" if kind in _GOES_WRONG else "info"


def _words(event: Mapping[str, Json]) -> str:
    said = event.get("line") or " ".join(str(event[word]) for word in ("kind", "step") if word in event)
    return str(said)[:_LINE_MAX]


class Calls:
    """The calls that are under way, by whose they are and the ids of their requests."""

    def __init__(self) -> None:
        self._under_way: dict[tuple[Visit, str | int | None], Call] = {}

    @asynccontextmanager
    async def begun(self, context: Context, visit: Visit) -> AsyncIterator[Call]:
        """One call, while it is carried out."""
        call, key = Call(context, visit), (visit, context.request_id)
        telling = None
        if call.is_told:
            telling = system.spawn(call.tell(), name="what a call's client hears")
        self._under_way[key] = call
        forget_in_s = 0.0
        try:
            yield call
        except asyncio.CancelledError:
            # The SDK ends whoever waits before it tells that the client has cancelled.
            forget_in_s = _TOLD_LATER_S
            raise
        finally:
            asyncio.get_running_loop().call_later(forget_in_s, self._forget, key, call)
            if telling is not None:
                telling.cancel()

    async def stop(self, visit: Visit, ident: str | int) -> None:
        """Stop the call that was asked in this request, if it is still under way."""
        call = self._under_way.get((visit, ident))
        if call is not None:
            await call.stop()

    def _forget(self, key: tuple[Visit, str | int | None], call: Call) -> None:
        if self._under_way.get(key) is call:
            del self._under_way[key]
