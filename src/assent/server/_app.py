"""The HTTP API as an ASGI application: a request comes in, the service carries it out, its answer goes out.

Theory of operation. Each route is an operation of the service (`routes.py` there). What acts is carried out in a task of its own,
which nobody's leaving ends: whoever waits for it too long, or until the daemon drains, is told how the run stands (202) and
looks for it later. What only reads is read in a thread, because a reading may take long, and the loop serves everybody.
Watchers of runs are counted, and one that reads too slowly is hung up on.
"""

from __future__ import annotations

import asyncio
import logging
from asyncio import Task
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Protocol
from urllib.parse import parse_qsl

import msgspec
from starlette.responses import Response

from assent.errors import AssentError, InputError, WorldError
from assent.invocation.context.telling import Cause, News, telling
from assent.runtime.service import answers, process, requests
from assent.runtime.service.requests import Asking, Driving, Reading, Request, Stream
from assent.runtime.service.routes import MEDIA, Route, find, told
from assent.server._inputs import ident_of, read
from assent.server._looks import Looks
from assent.server._problems import problem
from assent.server._streams import Broken, Streams, in_thread, probed
from assent.server.who import METADATA_PATH, Presented
from assent.server.who.origins import Origins
from assent.spec.ids import RunId
from assent.spec.scopes import READ, SCOPES
from assent.spec.states import REFUSALS, RunState
from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from starlette.types import Message, Receive, Scope, Send

    from assent.invocation import Spawn
    from assent.runtime.service.service import Service
    from assent.runtime.settings._serve import ServeSettings
    from assent.server._figures import Measuring
    from assent.server.who import Caller, Gatehouse, Visit

LOGGER: Final = logging.getLogger("assent.server")

JSON_TYPE: Final = "application/json"
METRICS_DOOR: Final = "metrics"
AGENTS_PATH: Final = "/mcp"
WAIT_S_MAX: Final = 600.0
QUERY_FIELDS_MAX: Final = 200

_UNANSWERED: Final = frozenset({"pending", "running", "awaiting_approval", "in_doubt"})


class Agents(Protocol):
    """What answers agents in their own protocol, which no other door knows."""

    async def answer(self, scope: Scope, receive: Receive, send: Send, by: requests.Asker) -> None:
        """One request of a caller who was let in."""
        ...

    async def reloaded(self) -> None:
        """The policy, or what decides who may do what, was read anew."""
        ...

    async def settle(self) -> None:
        """Wait until what agents have begun has come to rest, and whoever waits for it was told."""
        ...

    async def close(self) -> None:
        """Hang up on every agent."""
        ...


class _Begun(NamedTuple):
    """What is carried out for whoever asked, and where its run is told of once something of that is durable."""

    work: Task[Any]
    begun: asyncio.Future[str]


class Api:
    """The application of one owner, for all its doors."""

    def __init__(
        self,
        service: Service,
        gatehouse: Gatehouse,
        settings: ServeSettings,
        spawn: Spawn,
        fault: Callable[[Exception], AssentError],
    ) -> None:
        """`fault` says what is told of an error of our own."""
        self._service = service
        self._gatehouse = gatehouse
        self._settings = settings
        self._origins = Origins(settings.hosts)
        self._spawn = spawn
        self._fault = fault
        self.let_agents_in: Callable[[], Agents] | None = None
        """Makes what answers `/mcp`, when the first agent comes: what it is made of takes long to load."""
        self._agents: Agents | None = None
        self.measure: Measuring | None = None
        """What `/metrics` shows, where anybody may ask."""
        self._under_way: set[Task[Any]] = set()
        self._waiting: set[Callable[[], None]] = set()
        self._drains: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._looks = Looks(self._drains)
        self._streams = Streams(settings.streams, self._drains)

    def drain(self) -> None:
        """Begin nothing more, answer those who wait for runs with how these stand, and end every stream."""
        if not self._drains.done():
            self._drains.set_result(None)
        for wake in [*self._waiting]:
            wake()

    @property
    def streams(self) -> int:
        """How many are open."""
        return self._streams.count

    @property
    def is_draining(self) -> bool:
        """It begins nothing more."""
        return self._drains.done()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the lifespan that servers ask for and nobody needs here."""
        if scope["type"] != "http":
            return
        path, state = scope["path"], scope["state"]
        try:
            if path in ("/livez", "/readyz"):
                response = self._probe(path, _headers(scope).get("accept", ""))
            else:
                rates = self._gatehouse.rates
                visit = rates.visit(state["door"], state["peer"])
                send = _telling_rates(visit, send) if rates.are_any else send
                answer = await self._answer(scope, receive, visit)
                if not isinstance(answer, Response):
                    await answer(scope, send)
                    return
                response = answer
        except AssentError as error:
            response = self._refusal(error, scope)
        except Broken as broken:
            cause = broken.__cause__
            if isinstance(cause, Exception) and not isinstance(cause, AssentError):
                self._fault(cause)
            state["hang_up"]()
            return
        except asyncio.CancelledError:
            raise
        except Exception as error:  # noqa: BLE001 - the last door: no traceback may reach a caller
            response = self._refusal(self._fault(error), scope)
        await response(scope, receive, send)

    def _refusal(self, error: AssentError, scope: Scope) -> Response:
        status, body, headers = problem(error, scope["path"])
        response = Response(body, status)
        response.raw_headers += headers
        if status == 401:
            response.headers["www-authenticate"] = self._gatehouse.challenge(_base_of(scope))
        return response

    def _probe(self, path: str, accept: str) -> Response:
        """Alive as long as it answers; ready until it drains, and while another run may begin or wait for that."""
        admission = self._service.admission()
        status = "ok"
        if path == "/readyz":
            fault = self._service.fault()
            status = "draining" if self.is_draining else "queue full" if admission.is_full else fault or "ok"
        code = 200 if status == "ok" else 503
        if JSON_TYPE not in accept:
            return Response(f"{status}\n", code, media_type="text/plain")
        told = {"status": status, "running": admission.running, "queued": admission.queued}
        return Response(msgspec.json.encode(told), code, media_type=JSON_TYPE)

    async def _answer(
        self, scope: Scope, receive: Receive, visit: Visit
    ) -> Response | Callable[[Scope, Send], Awaitable[None]]:
        headers, state = _headers(scope), scope["state"]
        if state["door"] != "socket":
            self._origins.require(scope["headers"], address=scope["server"][0])
        if state["door"] == METRICS_DOOR:
            return await self._measured(scope)
        visit.arrive()
        if (
            scope["path"] == METADATA_PATH
            and scope["method"] == "GET"
            and (base := _base_of(scope)) is not None
        ):
            return Response(msgspec.json.encode(self._gatehouse.metadata(base)), media_type=JSON_TYPE)
        state["caller"] = caller = await self._gatehouse.authenticate(_presented(scope))
        visit.identify(caller.asker.principal)
        if scope["path"] == "/metrics" and self._settings.metrics is True:
            return await self._measured(scope, caller)
        if f"{scope['path']}/".startswith(f"{AGENTS_PATH}/") and self.let_agents_in is not None:
            state["visit"] = visit
            return self._for_agents(scope["method"], receive, state, caller, self.let_agents_in)
        if scope["path"] == "/v1/openapi.json" and scope["method"] == "GET":
            from assent.server._openapi import description

            return Response(description(), media_type=JSON_TYPE)
        route, named = _route(scope)
        state["operation"] = route.operation
        body = await self._body(receive, headers)
        _require_json(scope["method"], body, headers)
        request = read(route, named, _query(scope), body, headers)
        visit.ask(request)
        answer = await self._perform(route, request, caller, headers, state["end"].gone)
        state["run"] = answer.run if isinstance(answer, _OfRun) else getattr(request, "run", None)
        return answer

    def _for_agents(
        self,
        method: str,
        receive: Receive,
        state: dict[str, Any],
        caller: Caller,
        let_in: Callable[[], Agents],
    ) -> Callable[[Scope, Send], Awaitable[None]]:
        state["operation"] = "mcp"
        if self.is_draining:
            raise WorldError("DRAINING", "this owner ends and begins nothing more", hint="ask again soon")
        agents = self._agents = self._agents or let_in()

        async def answer(scope: Scope, send: Send) -> None:
            await probed(lambda scope, send: agents.answer(scope, receive, send, caller.asker), scope, send)

        # What a GET is answered with lasts as long as whoever asked listens.
        return self._streams.counting(answer) if method == "GET" else answer

    async def _measured(self, scope: Scope, caller: Caller | None = None) -> Response:
        """The figures, for somebody who may read, or at a door that shows nothing else."""
        if self.measure is None or scope["path"] != "/metrics" or scope["method"] not in ("GET", "HEAD"):
            raise _absent(scope)
        from assent.server._figures import CONTENT_TYPE

        scope["state"]["operation"] = "metrics"
        health = await self._service.perform(requests.Health(), None if caller is None else caller.asker)
        assert health is not None  # INVARIANT: an owner answers
        return Response(self.measure.page(health), headers={"content-type": CONTENT_TYPE})

    async def _body(self, receive: Receive, headers: dict[str, str]) -> bytes:
        most = self._settings.body_bytes
        length = headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > most:
            raise _too_large(most)
        parts: list[bytes] = []
        size = 0
        while True:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                raise InputError("REQUEST_INVALID", "the connection ended before the request did")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > most:
                raise _too_large(most)
            if not message.get("more_body", False):
                return b"".join(parts)

    async def _perform(
        self,
        route: Route,
        request: Request[Any],
        caller: Caller,
        headers: dict[str, str],
        gone: asyncio.Future[None],
    ) -> Response | Callable[[Scope, Send], Awaitable[None]]:
        if isinstance(request, Stream):
            return self._streamed(route, request, caller, headers, gone)
        if isinstance(request, Driving):
            return await self._driven(route, request, caller, headers)
        ident = None if route.method == "GET" else _ident(headers, caller)

        def look() -> Any:
            return process.at_once(self._service.perform(request, caller.asker, ident=ident))

        if isinstance(request, requests.OF_FINDINGS):
            folds = isinstance(request, requests.Doctor)
            answer = await self._looks.carry_out(look, gone, folds=folds)
        elif isinstance(request, Reading | requests.CheckPolicy | requests.TestPolicy):
            # Both of these take documents of strangers, and wait for nothing.
            answer = await asyncio.to_thread(look)
        else:
            answer = await self._service.perform(request, caller.asker, ident=ident)
        if isinstance(request, Asking) and answer is None:
            raise WorldError("STATE_MISSING", "nobody owns the state")
        return _told(route, request, answer)

    async def _driven(
        self, route: Route, request: Driving[Any], caller: Caller, headers: dict[str, str]
    ) -> Response:
        """Carry out what changes the record; how the run stands where that takes longer than whoever asked waits."""
        ident, known = _ident(headers, caller), getattr(request, "run", None)
        self._service.check(request, caller.asker)
        work, begun = self._begin(request, caller, ident, _cause_of(headers))
        await self._wait(work, _patience_s(headers, self._settings.wait_ms / 1000))
        if not work.done() and (known is None or READ not in (caller.scopes or SCOPES)):
            # Nobody could look for a run that is not durable yet. And who may not read is told of nothing but what they did.
            await asyncio.wait({work, begun}, return_when=asyncio.FIRST_COMPLETED)
            known = begun.result() if begun.done() else known
        if work.done():
            return _told(route, request, work.result())
        work.add_done_callback(_note_fault)  # nobody waits for it any more
        asker = msgspec.structs.replace(caller.asker, scopes=None)
        shown = await asyncio.to_thread(
            process.at_once, self._service.perform(requests.Show(run=str(known)), asker)
        )
        run = convert(msgspec.to_builtins(shown), answers.Run)
        return _run_told(await self._service.narrowed(run, caller.asker), is_under_way=True)

    def _begin(self, request: Driving[Any], caller: Caller, ident: str | None, cause: Cause | None) -> _Begun:
        """Have it carried out, also where nobody waits for it any more."""
        is_new = getattr(request, "run", None) is None
        if self.is_draining and is_new:
            raise WorldError("DRAINING", "this owner ends and begins nothing more", hint="ask again soon")
        begun: asyncio.Future[str] = asyncio.get_running_loop().create_future()

        def hear(run: RunId, _n: int | None, _at_ms: int, _event: News) -> None:
            if not begun.done():
                begun.set_result(run)

        operation = requests.operation_of(type(request))
        with telling(hear, cause):
            carried_out = self._service.perform(request, caller.asker, ident=ident)
            work = self._spawn(carried_out, name=f"request {operation}")
        self._under_way.add(work)

        def forget(_: Task[Any]) -> None:
            self._under_way.discard(work)
            if not work.cancelled():
                work.exception()  # what nobody waits for any more is on record as far as it counts

        work.add_done_callback(forget)
        return _Begun(work, begun)

    async def _wait(self, work: Task[Any], patience_s: float) -> None:
        """Until the work is done, the time is up, or the daemon drains. `asyncio.wait` would cost three times as much."""
        loop = asyncio.get_running_loop()
        waiter: asyncio.Future[None] = loop.create_future()

        def wake(_: object = None) -> None:
            if not waiter.done():
                waiter.set_result(None)

        work.add_done_callback(wake)
        timer = loop.call_later(0.0 if self.is_draining else patience_s, wake)
        self._waiting.add(wake)
        try:
            await waiter
        finally:
            self._waiting.discard(wake)
            timer.cancel()
            work.remove_done_callback(wake)

    def _streamed(
        self,
        route: Route,
        request: Stream[Any],
        caller: Caller,
        headers: dict[str, str],
        gone: asyncio.Future[None],
    ) -> Callable[[Scope, Send], Awaitable[None]]:
        if isinstance(request, requests.Events):
            last = headers.get("last-event-id", "")
            if last.isascii() and last.isdigit() and len(last) < 16:
                request = msgspec.structs.replace(request, since=int(last) + 1)
        parts = self._service.stream(request, caller.asker)
        if isinstance(request, requests.OF_FINDINGS):
            parts = in_thread(parts, lambda some: self._looks.carry_out(some, gone))
        elif not request.waits:
            parts = in_thread(parts)
        return self._streams.response(route, parts, caller.expires_at_ms, waits=request.waits)

    async def reloaded(self) -> None:
        """Tell the agents that what rules, or who may, was read anew."""
        if self._agents is not None:
            await self._agents.reloaded()

    async def hang_up(self) -> None:
        """Let the agents go, and end readings where they are."""
        self._looks.close()
        if self._agents is not None:
            await self._agents.close()

    async def settle(self) -> None:
        """Wait until everything that was begun has come to rest, also what nobody waits for any more."""
        while self._under_way:
            await asyncio.wait([*self._under_way])
        await self._looks.settle()
        if self._agents is not None:
            await self._agents.settle()


def _note_fault(work: Task[Any]) -> None:
    """Tell of what stopped a request that nobody waits for."""
    fault = None if work.cancelled() else work.exception()
    if isinstance(
        fault, WorldError
    ):  # what was wrong with the request itself is on record where it is a fact of a run
        LOGGER.warning("%s could not be carried out: %s", work.get_name(), fault)


class _OfRun(Response):
    """An answer that is a run."""

    run = ""


def _telling_rates(visit: Visit, send: Send) -> Send:
    """The answer with what the limits leave whoever asks, as draft-ietf-httpapi-ratelimit-headers-11 writes it."""

    async def sent(message: Message) -> None:
        if message["type"] == "http.response.start" and visit.allowances:
            # At least what holds: a part of a second can't be said.
            limits = ", ".join(
                f'"{rate.name}";q={rate.requests};w={-(-rate.window_ms // 1000)}'
                for rate, _, _ in visit.allowances
            )
            leaves = ", ".join(
                f'"{rate.name}";r={left};t={-(-more_ms // 1000)}' for rate, left, more_ms in visit.allowances
            )
            fields = ((b"ratelimit-policy", limits.encode()), (b"ratelimit", leaves.encode()))
            message["headers"] = [*message["headers"], *fields]
        await send(message)

    return sent


def _absent(scope: Scope) -> InputError:
    return InputError(
        "ROUTE_UNKNOWN",
        f"there is nothing at `{scope['path'][:200]}`",
        hint="`GET /v1/openapi.json` describes every path",
    )


def _route(scope: Scope) -> tuple[Route, dict[str, str]]:
    """What the path leads to, and what it names."""
    try:
        routes, said = find(scope["raw_path"].decode("ascii"))
    except ValueError:
        raise InputError("REQUEST_INVALID", "the path must be UTF-8") from None
    if not routes:
        raise _absent(scope)
    if scope["method"] not in routes:
        raise InputError(
            "METHOD_NOT_ALLOWED",
            f"`{scope['path'][:200]}` takes {', '.join(routes)}",
            details={"allow": [*routes]},
        )
    route = routes[scope["method"]]
    return route, dict(zip(route.named, said, strict=True))


def _query(scope: Scope) -> list[tuple[str, str]]:
    try:
        text = scope["query_string"].decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=QUERY_FIELDS_MAX, errors="strict")
    except ValueError:
        fault = f"the query must be UTF-8, with at most {QUERY_FIELDS_MAX} fields"
        raise InputError("REQUEST_INVALID", fault) from None


def _headers(scope: Scope) -> dict[str, str]:
    """The headers by lower-case name; of one that is repeated, the first, but for the one that is a list."""
    found: dict[str, str] = {}
    for raw_name, raw in scope["headers"]:
        name, value = raw_name.decode("latin-1"), raw.decode("latin-1")
        if name == "tracestate" and name in found:
            found[name] += f",{value}"
        found.setdefault(name, value)
    return found


def _cause_of(headers: dict[str, str]) -> Cause | None:
    traceparent = headers.get("traceparent")
    return None if traceparent is None else Cause(traceparent, headers.get("tracestate", ""))


def _base_of(scope: Scope) -> str | None:
    """Under which address the door was asked; None where the request may name any."""
    host = next((value.decode("latin-1") for name, value in scope["headers"] if name == b"host"), None)
    return (
        None if host is None or scope["state"]["door"] == "socket" else f"{scope['state']['door']}://{host}"
    )


def _presented(scope: Scope) -> Presented:
    state = scope["state"]
    return Presented(
        door=state["door"],
        peer=state["peer"],
        os_uid=state.get("os_uid"),
        authorization=tuple(
            value.decode("latin-1") for name, value in scope["headers"] if name == b"authorization"
        ),
        certificate=state.get("certificate"),
    )


def _require_json(method: str, body: bytes, headers: dict[str, str]) -> None:
    """A body is JSON and says so: what a foreign page can send without asking is refused by this alone."""
    if (
        body
        and method != "GET"
        and headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE
    ):
        raise InputError(
            "MEDIA_TYPE_UNSUPPORTED", "the body must be JSON", hint=f"send `Content-Type: {JSON_TYPE}`"
        )


def _ident(headers: dict[str, str], caller: Caller) -> str | None:
    """The id of the request that its `Idempotency-Key` makes, apart for each principal."""
    key = headers.get("idempotency-key")
    return None if key is None else ident_of(key, caller.asker.principal)


def _patience_s(headers: dict[str, str], otherwise: float) -> float:
    """How long whoever asks waits, as `Prefer: wait=N` or `respond-async` (RFC 7240) says."""
    for preference in headers.get("prefer", "").split(","):
        name, _, value = preference.strip().partition("=")
        if name == "respond-async":
            return 0.0
        if name == "wait" and value.isascii() and value.isdigit():
            return min(float(value[:6]), WAIT_S_MAX)
    return otherwise


def _told(route: Route, request: Request[Any], answer: Any) -> Response:
    """The answer as a response."""
    match route.answered:
        case "run":
            return _run_told(answer, is_step=isinstance(request, requests.AddStep))
        case "list":
            response = Response(msgspec.json.encode(told(route.answered, answer)), media_type=JSON_TYPE)
            before = getattr(answer, "before", None)
            if before is not None:
                response.headers["link"] = f'</v1/runs?before={before}>; rel="next"'
            return response
        case "text" | "data":
            only = getattr(answer, answer.__struct_fields__[0])
            return Response(only, media_type=MEDIA[route.answered])
        case _:
            return Response(msgspec.json.encode(told(route.answered, answer)), media_type=JSON_TYPE)


def _run_told(run: answers.Run, *, is_step: bool = False, is_under_way: bool = False) -> Response:
    """A run: 200 ended, 202 under way or waiting for somebody, 403 refused by the policy or a person."""
    refused = run.error is not None and run.error.code in REFUSALS
    goes_on = not RunState(run.status).is_finished
    if is_step:
        refused = any(
            isinstance(step.error, answers.Fault) and step.error.code in REFUSALS for step in run.steps
        )
        goes_on = any(step.status in _UNANSWERED for step in run.steps)
    status = 202 if goes_on or is_under_way else 403 if refused else 200
    response = _OfRun(msgspec.json.encode(run), status, media_type=JSON_TYPE)
    response.run = run.run_id
    if status == 202:
        response.headers["location"] = f"/v1/runs/{run.run_id}"
    if is_under_way:
        # Else the request has been carried out, and the run waits for somebody or for its next step.
        response.headers["preference-applied"] = "respond-async"
    return response


def _too_large(most: int) -> InputError:
    return InputError(
        "BODY_TOO_LARGE",
        f"the body has more than {most} bytes",
        hint="`body_bytes` of `[serve]` says how many there may be",
    )
