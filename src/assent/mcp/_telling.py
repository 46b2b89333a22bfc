"""What a client hears of a call while it is carried out, and how it takes one back that it no longer wants."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeAlias, get_args

import mcp_types as wire
from mcp.server import ServerRequestContext
from mcp.server.connection import allowed_log_levels
from mcp_types.version import is_version_at_least

from assent import system
from assent.errors import AssentError, Json
from assent.invocation.context.companion import Answers, Questions
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

Asks: TypeAlias = Callable[[Questions], Awaitable[Answers | None]]
"""Carries questions to a client: its answers; None where it has gone."""

_UNSAID: Final = "info"
"""The least level of a server's messages for a client of the older revisions that did not say one."""

_LINE_MAX: Final = 1000
_PATIENCE_S: Final = 2.0
_TOLD_LATER_S: Final = 5.0


class Call:
    """One call on its way: hears what happens in its run, and tells a client that asked for progress.

    `step` is what the session calls its step, once there is one, `inner` the run that this has begun, if it runs a workflow, and
    `rests` whether that waits by now. Where an MCP server's tool is called, progress and messages are the server's own.
    """

    def __init__(self, context: Context, visit: Visit) -> None:
        self._context = context
        self._visit = visit
        self._said: asyncio.Queue[Mapping[str, Json]] = asyncio.Queue(_AHEAD)
        self._levels = _levels_of(context, visit)
        self._telling: asyncio.Task[None] | None = None
        self._last: float | None = None
        self._asks: Asks | None = None
        self._is_over = False
        self.asking: Final[set[asyncio.Task[None]]] = set()
        """What the server asks that the client has not answered yet."""
        self._ident = ""
        self._is_heard = True
        self._is_task = False
        self.step: Final[asyncio.Future[str]] = asyncio.get_running_loop().create_future()
        self.inner: str | None = None
        self.rests: Final = asyncio.Event()
        self.work: asyncio.Task[Any] | None = None
        """What carries it out, where that goes on between two requests of the client."""

    @property
    def asks_for_progress(self) -> bool:
        """The client wants to hear how it goes."""
        return "progress_token" in (self._context.meta or {})

    def accompany(self, asks: Asks) -> requests.Client:
        """The client as the server of this call may tell and ask it; `asks` carries a question to it."""
        self._asks, self._ident = asks, system.SystemIds().request_id()
        can = self._context.session.client_capabilities
        said: dict[str, Any] = {} if can is None else can.model_dump(by_alias=True, exclude_none=True)
        if not is_version_at_least(self._context.protocol_version, _LEVEL_IN_REQUEST_SINCE):
            said.pop("extensions", None)  # what they call so is something else
        least = next((one for one in get_args(wire.LoggingLevel) if one in self._levels), None)
        if least is None and not is_version_at_least(self._context.protocol_version, _LEVEL_IN_REQUEST_SINCE):
            least = _UNSAID
        return requests.Client(
            id=self._ident,
            can={
                name: said[name]
                for name in ("elicitation", "sampling", "roots", "extensions")
                if name in said
            },
            wants_progress=self.asks_for_progress,
            log_level=least,
        )

    def hear(self, report: Mapping[str, Json]) -> None:
        """Take in what the service tells while it carries out a request."""
        passed = report.get("passed")
        if isinstance(passed, dict):
            self._hear_server(passed)
            return
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
        if self.asks_for_progress or self._levels:
            self._put(event)

    def _hear_server(self, passed: Mapping[str, Any]) -> None:  # `Any`: JSON
        if "ask" not in passed:
            self._put(passed)
        elif self._asks is not None:
            work = self._reply(passed["ask"]) if self._is_over else self._answer(self._asks, passed)
            task = system.spawn(work, name="what a server asks")
            self.asking.add(task)
            task.add_done_callback(self.asking.discard)

    async def _answer(self, asks: Asks, passed: Mapping[str, Any]) -> None:  # `Any`: as above
        answer: Answers | None = None
        try:
            answer = await asks(
                {name: (one["method"], one["params"]) for name, one in passed["questions"].items()}
            )
        finally:
            # However that ends: the server waits for it.
            await self._reply(passed["ask"], answer)

    async def _reply(self, ask: int | None, answer: Answers | None = None) -> None:
        told = None if answer is None else {name: dict(one) for name, one in answer.items()}
        with suppress(AssentError):
            await self._visit.act(requests.Reply(client=self._ident, ask=ask, answer=told))

    def _put(self, said: Mapping[str, Any]) -> None:  # `Any`: as above
        with suppress(asyncio.QueueFull):
            self._said.put_nowait(said)
        if self._telling is None:
            self._telling = system.spawn(self._tell(), name="what a call's client hears")

    async def stop(self) -> None:
        """The client does not want it any more: the run of a workflow is stopped between effects and taken back, and an MCP
        server is told.

        Any other step of the session is carried out to its end, and all else that the session did stays.
        """
        if self._ident:
            await self._reply(None)
        if self.inner is not None:
            with suppress(AssentError):
                await self._visit.act(requests.Cancel(run=self.inner))

    async def told(self) -> None:
        """Returns when the client has heard what there was to tell, or does not listen: what comes after the answer is lost."""
        if self._telling is not None and not self._said.empty():
            with suppress(TimeoutError):
                async with asyncio.timeout(_PATIENCE_S):
                    await self._said.join()

    def move(self, context: Context) -> None:
        """The client asks for the same call once more: from now on it is told in that request."""
        self._context, self._is_heard = context, True

    def last(self, work: asyncio.Task[Any]) -> None:
        """The client has a task instead of an answer: its server may ask until this has ended."""
        self.work = work
        self._is_task = True
        work.add_done_callback(self._end_after)

    def _end_after(self, work: asyncio.Task[Any]) -> None:
        self.end()
        if not work.cancelled():
            work.exception()  # looked at: how it ended is on record

    def leave(self) -> None:
        """The request is answered: the call has ended, or nobody is told anything until the client asks once more."""
        if self.work is None or self.work.done():
            self.end()
        else:
            self._is_heard = False

    def end(self) -> None:
        """Tell no more, and ask no more."""
        self._is_over = True
        for task in (self._telling, *self.asking):
            if task is not None:
                task.cancel()

    async def _tell(self) -> None:
        """Pass on what was heard, for as long as the call takes."""
        while True:
            said = await self._said.get()
            try:
                if "method" in said:
                    await self._tell_of_server(said)
                else:
                    await self._tell_of_run(said)
            finally:
                self._said.task_done()

    async def _tell_of_run(self, event: Mapping[str, Json]) -> None:
        # Progress has to rise, and a server's own begins anywhere: ours comes between only where nothing else will for long.
        if self.asks_for_progress and (self._asks is None or event.get("kind") in _RESTS):
            await self._report((self._last or 0) + 1, None, _words(event))
        level = _level(event)
        if level in self._levels:
            await self._log({"level": level, "data": dict(event), "logger": "assent"})

    async def _tell_of_server(self, said: Mapping[str, Any]) -> None:  # `Any`: as above
        params: dict[str, Any] = said["params"]
        if said["method"] == "notifications/message":
            await self._log({key: params[key] for key in ("level", "data", "logger") if key in params})
            return
        progress = params.get("progress")
        if isinstance(progress, int | float) and (self._last is None or progress > self._last):
            await self._report(progress, params.get("total"), params.get("message"))

    async def _report(self, progress: float, total: float | None, message: str | None) -> None:
        self._last = progress
        session = self._context.session
        if self._is_heard:
            await session.report_progress(progress, total, message)
        elif self._is_task:  # its call has been answered, and its token counts on
            token = (self._context.meta or {})["progress_token"]
            await session.send_progress_notification(token, progress, total, message)

    async def _log(self, said: Mapping[str, Any]) -> None:  # `Any`: as above
        if not self._is_heard:
            return
        params = wire.LoggingMessageNotificationParams.model_validate(said)
        # Not by `send_log_message`, which warns that a later revision may have no more of these.
        await self._context.session.send_notification(
            wire.LoggingMessageNotification(params=params), related_request_id=self._context.request_id
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
    async def begun(self, context: Context, visit: Visit, again: Call | None = None) -> AsyncIterator[Call]:
        """One call, while a client waits for it; the same once more where it asks `again`."""
        call, key = again or Call(context, visit), (visit, context.request_id)
        call.move(context)
        self._under_way[key] = call
        forget_in_s = 0.0
        try:
            yield call
            await call.told()
        except asyncio.CancelledError:
            # The SDK ends whoever waits before it tells that the client has cancelled.
            forget_in_s = _TOLD_LATER_S
            raise
        finally:
            asyncio.get_running_loop().call_later(forget_in_s, self._forget, key, call)
            call.leave()

    async def stop(self, visit: Visit, ident: str | int) -> None:
        """Stop the call that was asked in this request, if it is still under way."""
        call = self._under_way.get((visit, ident))
        if call is not None:
            await call.stop()

    def _forget(self, key: tuple[Visit, str | int | None], call: Call) -> None:
        if self._under_way.get(key) is call:
            del self._under_way[key]
