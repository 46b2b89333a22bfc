"""`/mcp` of `assent serve`: agents over Streamable HTTP, each as whoever its key, token or certificate says.

Theory of operation. The daemon has let the caller in before anything here is asked. A client of the older revisions has a session
of the transport, which ends with it or after half an hour of silence; one of 2026-07-28 has none, and names its visit itself
(`_meta` `assent/session`). Either way a visit belongs to one caller and one way of being known: nobody adds to another's.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.auth.provider import AccessToken
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER

from assent import system
from assent.errors import AssentError, InputError, RefusedError
from assent.mcp._kept import RETRY_MS, Sessions
from assent.mcp._news import SINCE_NOW
from assent.mcp._reading import fault_in
from assent.mcp._server import Door
from assent.mcp._telling import Context
from assent.mcp._visit import Visit
from assent.runtime._core import SILENCE_S
from assent.runtime.service import requests
from assent.spec.ids import OF_CONNECTIONS, OF_NAMED
from assent.spec.principal import Principal, PrincipalKind

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from assent.runtime.service.requests import Asker, OnProgress, Request, Stream
    from assent.runtime.service.service import Service

A = TypeVar("A")

SESSION: Final = "assent/session"
"""The key in `_meta` by which a client without a session of the transport names its visit."""

SILENT_S: Final = SILENCE_S
"""A visit that nobody has called in for so long is closed; what it did stays, and can be undone."""

VISITS_MAX: Final = 1_000
"""Of all callers together."""


TOLD_S: Final = 1.0
"""So long those who wait have at the end to be told what came of their calls."""

SESSIONS_OF_ONE_MAX: Final = 100
"""Sessions of the transport that one principal has: past that its oldest ends, so that nobody keeps others out by theirs."""

_SESSION_HEADER: Final = MCP_SESSION_ID_HEADER.encode()


class _Whose(NamedTuple):
    """Whose visit it is. One with other scopes or roles, as another token of the same issuer may have, has one of its own."""

    by: Asker
    session: str


class _Checked:
    """The service, asked first whether a request can be carried out at all, as every door for others' programs does."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self.acting: Final[set[asyncio.Future[None]]] = set()
        """Of each request that acts and is under way, also where nobody waits for it any more: done when it is."""

    async def perform(
        self, request: Request[A], by: Asker, *, tell: OnProgress | None = None, ident: str | None = None
    ) -> A:
        self._service.check(request, by)
        if isinstance(request, requests.Reading):
            return await self._service.perform(request, by, tell=tell, ident=ident)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.acting.add(done)
        try:
            return await self._service.perform(request, by, tell=tell, ident=ident)
        finally:
            self.acting.discard(done)
            done.set_result(None)

    def stream(self, request: Stream[A], by: Asker) -> AsyncIterator[A]:
        return self._service.stream(request, by)


class Agents:
    """The agents that have come in over HTTP."""

    def __init__(
        self, service: Service, fault: Callable[[Exception], AssentError], *, body_bytes: int
    ) -> None:
        self._service = _Checked(service)
        self._body_bytes = body_bytes
        self._visits: dict[_Whose, tuple[Visit, asyncio.TimerHandle]] = {}
        self._sessions: dict[str, Asker] = {}
        self._asking: set[asyncio.Task[Any]] = set()
        # One reader for all, who may read: what callers hear of is only what they may read themselves.
        self._door = Door(self._visit_of, fault, _admit, _only, watch=lambda _: service.stream(SINCE_NOW))
        self._manager = Sessions(
            self._door.server(),
            retry_interval=RETRY_MS,
            session_idle_timeout=SILENT_S,
            max_sessions=VISITS_MAX,
            max_request_body_size=body_bytes,
        )
        self._closing = asyncio.Event()
        self._open = asyncio.Event()
        self._hosting = system.spawn(self._host(), name="agents")

    async def _host(self) -> None:
        # In a task of its own: the SDK's groups of tasks are left by the task that entered them.
        async with self._manager.run():
            self._open.set()
            await self._closing.wait()

    async def answer(self, scope: Scope, receive: Receive, send: Send, by: Asker) -> None:
        """One request of a caller who was let in. `IDENTITY_REFUSED` for a person: an agent acts as itself."""
        if Principal.parse(by.principal).type is PrincipalKind.USER:
            raise RefusedError(
                "IDENTITY_REFUSED",
                f"an agent acts as itself, and not as `{by.principal}`",
                hint="give it a key of its own: `assent key create NAME --for agent:NAME`",
            )
        await self._open.wait()
        if scope["method"] == "POST":
            body, receive = await _ahead(receive, self._body_bytes)
            if body is not None and (fault := fault_in(body)) is not None:
                await _refuse(send, fault.encode())
                return
        session = dict(scope["headers"]).get(_SESSION_HEADER, b"").decode("latin-1")
        if session in self._sessions:
            self._sessions[session] = self._sessions.pop(session)  # the newest now
        elif not session:
            await self._make_room_for_session(by, scope)

        async def hear(message: Message) -> None:
            if message["type"] == "http.response.start":
                if scope["method"] == "DELETE":  # before whoever asked for that is told
                    await self._leave(by, session)
                begun = dict(message.get("headers", ())).get(_SESSION_HEADER)
                if begun is not None and not session:
                    self._sessions[begun.decode("latin-1")] = by
            await send(message)

        asking = asyncio.current_task()
        assert asking is not None  # INVARIANT: only a task runs this
        self._asking.add(asking)
        try:
            await self._ask_manager(scope, receive, hear, by)
        finally:
            self._asking.discard(asking)

    async def _ask_manager(self, scope: Scope, receive: Receive, send: Send, by: Asker) -> None:
        # What the SDK holds a session to: another caller gets `Session not found` for one that is not theirs.
        token = AccessToken(token="", client_id=by.principal, scopes=[], subject=by.identified_by)
        known = {**scope, "user": AuthenticatedUser(token), "assent.asker": by}
        await self._manager.handle_request(known, receive, send)

    async def _make_room_for_session(self, by: Asker, scope: Scope) -> None:
        """The manager bounds the sessions of all together, and ends silent ones without a word: one may have ended by now."""
        own = [one for one, whose in self._sessions.items() if whose.principal == by.principal]
        if len(own) < SESSIONS_OF_ONE_MAX:
            return
        whose = self._sessions[own[0]]
        ending = {**scope, "method": "DELETE", "headers": [(_SESSION_HEADER, own[0].encode("latin-1"))]}
        await self._ask_manager(ending, _nothing, _unheard, whose)
        await self._leave(whose, own[0])

    async def reloaded(self) -> None:
        """What rules, or who may, was read anew: tools may be others now."""
        self._door.news.tools_changed()

    def _visit_of(self, context: Context) -> Visit:
        request = context.request
        assert request is not None  # INVARIANT: this transport has one
        by: Asker = request.scope["assent.asker"]
        if (session := request.headers.get(MCP_SESSION_ID_HEADER)) is not None:
            return self._visit(by, session, is_named=False)
        name = (context.meta or {}).get(SESSION, "")
        if not isinstance(name, str) or len(name) > 200:
            raise InputError("INVALID_INPUT", f"`{SESSION}` must be a text of at most 200 characters")
        return self._visit(by, f"={name}", is_named=True)

    def _visit(self, by: Asker, session: str, *, is_named: bool) -> Visit:
        key = _Whose(by, session)
        found = self._visits.get(key)
        if found is not None:
            found[1].cancel()
            visit = found[0]
        else:
            if len(self._visits) >= VISITS_MAX:
                self._make_room()
            ident = _request_of(key) if is_named else f"{OF_CONNECTIONS}{system.SystemIds().request_id()}"
            visit = Visit(self._service, by, ident, is_named=is_named)
        silence = asyncio.get_running_loop().call_later(SILENT_S, self._silent, key)
        self._visits[key] = (visit, silence)
        return visit

    def _make_room(self) -> None:
        """Whoever has the most visits loses their oldest, so that nobody keeps others out by names of visits."""
        most, _ = Counter(key.by.principal for key in self._visits).most_common(1)[0]
        oldest = next(key for key in self._visits if key.by.principal == most)
        self._visits[oldest][1].cancel()
        self._end(oldest)

    def _silent(self, key: _Whose) -> None:
        visit, _ = self._visits[key]
        if visit.streams:  # it listens
            silence = asyncio.get_running_loop().call_later(SILENT_S, self._silent, key)
            self._visits[key] = (visit, silence)
        else:
            self._end(key)

    def _end(self, key: _Whose) -> None:
        visit, _ = self._visits.pop(key)
        self._sessions.pop(key.session, None)
        system.spawn(visit.close(), name="a silent agent's visit")

    async def _leave(self, by: Asker, session: str) -> None:
        if self._sessions.get(session) == by:  # nobody leaves for another
            del self._sessions[session]
        found = self._visits.pop(_Whose(by, session), None)
        if found is not None:
            found[1].cancel()
            await found[0].close()

    async def settle(self) -> None:
        """Wait until what agents have begun has come to rest; whoever waits for it is told then."""
        was_acting = bool(self._service.acting)
        while self._service.acting:
            await asyncio.wait({*self._service.acting})
        if was_acting and self._asking:
            # Some wait for what may never be: a person, news.
            await asyncio.wait({*self._asking}, timeout=TOLD_S)

    async def close(self) -> None:
        """Hang up on every agent. Their visits stay open: who named theirs goes on with it at the next owner."""
        for _, silence in self._visits.values():
            silence.cancel()
        self._door.news.close()
        self._closing.set()
        await asyncio.wait({self._hosting})
        self._hosting.result()


async def _ahead(receive: Receive, most: int) -> tuple[bytes | None, Receive]:
    """The body of a request, and what gives it once more; None where it has no end, or more than is read, as the SDK tells."""
    came: list[Message] = []
    size = 0
    while not came or (came[-1].get("more_body", False) and size <= most):
        came.append(await receive())
        size += len(came[-1].get("body", b""))
    is_whole = came[-1]["type"] == "http.request" and size <= most
    body = b"".join(one["body"] for one in came) if is_whole else None

    async def again() -> Message:
        return came.pop(0) if came else await receive()

    return body, again


async def _refuse(send: Send, said: bytes) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", str(len(said)).encode())]
    await send({"type": "http.response.start", "status": 400, "headers": headers})
    await send({"type": "http.response.body", "body": said})


async def _nothing() -> Message:
    return {"type": "http.request", "body": b"", "more_body": False}


async def _unheard(_: Message) -> None:
    """Nobody waits for this answer."""


def _admit(context: Context, capability: str) -> None:
    """Every message is a request of its own to the limits of `[serve.rate]`, and a call of a tool one of its capability."""
    assert context.request is not None  # INVARIANT: as above
    context.request.scope["state"]["visit"].ask(requests.Call(capability=capability))


def _only(context: Context) -> str | None:
    """`/mcp/NAME` offers the tools of one MCP server alone."""
    assert context.request is not None  # INVARIANT: as above
    path: str = context.request.scope["path"]
    return path.strip("/").partition("/")[2] or None


def _request_of(key: _Whose) -> str:
    """The id under which a named visit begins, so that the same name leads to the same session after a restart."""
    named = (key.by.principal, key.by.identified_by or "", key.session, *sorted(key.by.roles))
    return OF_NAMED + sha256("\0".join(named).encode()).hexdigest()[:32]
