"""The runtime of a daemon, as a program elsewhere has it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Iterable, Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, TypedDict, TypeVar, Unpack, cast

from assent.client._path_fields import PathFields
from assent.client._paths import Paths
from assent.client._wire import not_open
from assent.engine import RunResult
from assent.errors import AssentError, InputError, Json, RefusedError, WorldError
from assent.runtime._parts import Who
from assent.runtime._program import Program, as_request, require
from assent.runtime.runs._tools import tools_of
from assent.runtime.service import answers, requests
from assent.runtime.service.answers import RunEvent
from assent.runtime.service.codec import decode_answer
from assent.runtime.service.requests import Driving, Request, Stream, operation_of
from assent.runtime.service.routes import require_key
from assent.spec.values.typed import convert
from assent.spec.words.globs import glob_matches
from assent.system import SystemClock, SystemIds

if TYPE_CHECKING:
    import ssl

    from assent.client._deferring import Deferring
    from assent.client._http import Http
    from assent.client._spool import Deferred

A = TypeVar("A")
T = TypeVar("T")
R = TypeVar("R", bound=Request[Any])

PATIENCE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Server:
    """What a server said of itself: its release, what it can be asked, and by how much its clock is ahead of this one.

    `root` is the folder that it works in, and `wsl` the distribution of WSL that it runs in, if it does.
    """

    version: str
    operations: frozenset[str]
    clock_offset_ms: int
    root: str | None = None
    wsl: str | None = None


class Connecting(TypedDict, total=False):
    r"""What may be said besides where a daemon is.

    `key`: one of `assent key create`; a socket needs none, because the system says there who asks. `tls`: a context of your own,
    for a private authority, a certificate, or a socket that speaks TLS; without one the system's authorities are trusted, and
    TLS 1.3 is spoken. `patience_s`: for so long a server that is away or has too much to do is tried again, else 30 seconds.
    `spool`: the folder in which calls are kept that may be made later (`defer`). `told`: is told of what became of each; at least
    once, also when the program was killed meanwhile. `paths`: what the daemon calls folders that this program has under another
    name, by their full paths here, as `{r"C:\Users\me\project": "/workspace"}`.
    """

    key: str | None
    tls: ssl.SSLContext | None
    patience_s: float
    spool: Path | str | None
    told: Callable[[Deferred], None] | None
    paths: Mapping[str, str] | None


def connect(where: str | Path, **how: Unpack[Connecting]) -> Client:
    """A client of the daemon at an address (`https://HOST:PORT`) or the path of its socket, to be entered with `async with`.

    What may be said besides is in `Connecting`. `INVALID_INPUT`.
    """
    key = how.get("key")
    if key is not None and not (key.isascii() and key.isprintable() and key.strip() == key != ""):
        # It is refused here, because whatever would send it says which header was wrong, and so the key.
        raise InputError(
            "INVALID_INPUT",
            "`key` must be the text of a key alone",
            path="key",
            hint="the end of its line is none of it: `.strip()` what a file says",
        )
    return Client(_address_of(where), **how)


class Client(Program):
    """The methods of `Runtime`, carried out by a daemon.

        async with connect("http://127.0.0.1:8420", key=key) as rt:
            result = await rt.run("release.yaml", {"version": "1.2.0"})

    They take and give the same, and raise the same errors. Files of workflows are read here. A request that did not arrive is
    sent again, and one that arrived is not carried out twice. `principal` can't be said: who asks is who the key, the certificate
    or the account of the socket's other end is. What has no method here is asked with `perform`.
    """

    def __init__(self, where: str, **how: Unpack[Connecting]) -> None:
        """See `connect`."""
        self._where, self._how = where, how
        self._patience_s = how.get("patience_s", PATIENCE_S)
        self._exit = AsyncExitStack()
        self._ids = SystemIds()
        self._http: Http | None = None
        self._deferring: Deferring | None = None
        self._is_greeted = False
        self._path_fields = PathFields(how.get("paths"))
        self.server: Server | None = None
        """What the server said when it was reached; None before, and where the key may not ask."""

    async def __aenter__(self) -> Self:
        """Reach the server; with a spool it may be away. `SERVER_UNREACHABLE`, `NOT_IDENTIFIED`, `SPOOL_UNUSABLE`."""
        from assent.client._http import Http  # costs time, which a program that has no daemon should not pay

        try:
            how = self._how
            self._http = Http(self._where, how.get("key"), how.get("tls"))
            self._exit.push_async_callback(self._http.close)
            folder = how.get("spool")
            if folder is not None:
                from assent.client._deferring import Deferring

                self._deferring = await Deferring.open(
                    Path(folder), self._where, self._replay, how.get("told"), self._patience_s
                )
                self._exit.push_async_callback(self._deferring.close)
            else:
                await self._greet(self._patience_s)
        except BaseException:
            await self.close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Hang up; what was begun goes on, and what waits in the spool waits."""
        await self.close()

    async def close(self) -> None:
        """Hang up, as the end of `async with` does."""
        await self._exit.aclose()
        self._http = None

    async def _greet(self, patience_s: float) -> None:
        """Ask the server who it is; a key that may not read is told nothing."""
        clock = SystemClock()
        asked_ms = clock.now_ms()
        try:
            health = await self._learn(patience_s, requests.Health())
        except RefusedError as error:
            if error.code != "SCOPE_MISSING":
                raise
            self._is_greeted = True
            return
        self._is_greeted = True
        if health is not None:
            offset_ms = health.now_ms - (asked_ms + clock.now_ms()) // 2
            self.server = Server(
                health.version,
                frozenset(health.operations),
                offset_ms,
                health.root or None,
                health.wsl or None,
            )
            self._path_fields.greeted(self.server.wsl)

    async def _learn(self, patience_s: float, request: Request[A]) -> A:
        """What the server says of itself, or of what it can do."""
        return decode_answer(request, await self._open().ask(request, "", patience_s))

    @property
    def paths(self) -> Paths:
        """What paths are called there (`to_daemon`) and here (`from_daemon`), by the rules of `connect`."""
        return self._path_fields.paths

    async def perform(self, request: Request[A], *, id: str | None = None) -> A:  # noqa: A002 - as `--id`
        """Ask anything that `assent.runtime.service.requests` has a request for, as `requests.Approvals()`; its typed answer.

        What is answered in parts is asked for with `stream`.
        """
        if isinstance(request, Stream):
            raise InputError(
                "INVALID_INPUT",
                f"`{operation_of(type(request))}` is answered in parts",
                path="request",
                hint="ask for it with `stream`",
            )
        return decode_answer(request, await self._asked(request, id))

    def stream(self, request: Stream[A]) -> AsyncIterator[A]:
        """The same for what is answered in parts, as `requests.AuditLog()`. Events as `events` tells them."""
        http = self._open()
        if isinstance(request, requests.Events):
            return cast(
                "AsyncIterator[A]", http.events(request, self._patience_s)
            )  # what they are answered with
        return http.parts(request, self._patience_s)

    async def _asked(self, request: Request[Any], ident: str | None) -> dict[str, Any]:
        http = self._open()
        if ident is not None:
            require_key(ident)
        request = await self._mapped(request, self._patience_s)
        if self._deferring is not None and isinstance(request, Driving):
            await self._deferring.flush()  # nothing overtakes what waits for this server
        answer = await http.ask(request, self._ids.request_id() if ident is None else ident, self._patience_s)
        return await self._path_fields.told(request, answer, partial(self._learn, self._patience_s))

    async def _mapped(self, request: R, patience_s: float) -> R:
        """The request as it is sent, however often, and kept: with paths as the daemon calls them."""
        if not self._path_fields.concerns(request):
            return request
        if not self._is_greeted:
            await self._greet(patience_s)
        if self.server is None and not self.paths.has_rules:
            return request  # a key that may not read is told of no fields, and need not be where nothing is to be mapped
        return await self._path_fields.sent(request, partial(self._learn, patience_s))

    async def _carry_out(
        self,
        method: Callable[..., Coroutine[Any, Any, T]],
        kind: type[Request[Any]],
        told: Callable[[Any], T],
        said: Mapping[str, Any],
        ident: str | None,
    ) -> T:
        del method  # the daemon's to carry out
        require(kind, said)
        said = {**said}
        if said.pop("principal", None) is not None:
            raise RefusedError(
                "IDENTITY_REFUSED",
                "the daemon finds out for itself who asks",
                hint="connect with a key of that principal's, and leave `principal` out",
            )
        return told(await self._asked(as_request(kind, said), ident))

    async def tools(
        self,
        kind: str,
        *,
        capabilities: Iterable[str] = ("*",),
        principal: Who = None,
        environment: str | None = None,
    ) -> list[dict[str, Json]]:
        """As `Runtime.tools`, of what the daemon has, and of what whoever asks it may call."""
        wanted = tuple(capabilities)

        def listed(answer: Mapping[str, Any]) -> list[dict[str, Json]]:
            offered = [(one.capability, one.told) for one in convert(answer, answers.Tools).tools]
            return tools_of(
                kind,
                (
                    (one.id, told, one.parameters)
                    for one, told in offered
                    if any(glob_matches(glob, one.id) for glob in wanted)
                ),
            )

        said = {"principal": principal, "environment": environment}
        return await self._carry_out(self.tools, requests.Tools, listed, said, None)

    async def show(self, run: str) -> RunResult:
        """How a run stands, from the record."""
        require(requests.Show, {"run": run})
        return RunResult.from_json(await self._asked(requests.Show(run=run), None))

    async def runs(
        self, *, status: Collection[str] = (), limit: int | None = None, before: str | None = None
    ) -> answers.Runs:
        """As `Runtime.runs`; how many were left out is not told."""
        require(requests.Runs, {"status": status, "limit": limit, "before": before})
        return await self.perform(requests.Runs(status=tuple(status), limit=limit, before=before))

    async def schedules(self) -> answers.Schedules:
        """The schedules that stand, by name."""
        return await self.perform(requests.Schedules())

    def events(self, run: str, since: int = 0) -> AsyncIterator[RunEvent]:
        """As `Runtime.events`, each once, also where the connection broke meanwhile."""
        require(requests.Events, {"run": run, "since": since})
        return self._open().events(requests.Events(run=run, since=since), self._patience_s)

    async def defer(
        self, capability: str, parameters: Mapping[str, Json] | None = None, *, environment: str | None = None
    ) -> Deferred:
        """Have a call made as soon as the server can be reached; it is kept on the disk, sealed, when this returns.

        Calls are made in the order in which they were deferred, each once, and nothing that is asked of this server later
        overtakes them. What is not made within 120 seconds, or is pushed out by 128 younger ones, is `DROPPED`.
        """
        said: dict[str, Any] = {
            "capability": capability,
            "parameters": parameters,
            "environment": environment,
        }
        require(requests.Call, said)
        call = as_request(requests.Call, said)
        self._spooled()
        try:
            call = await self._mapped(call, 0.0)
        except (RefusedError, WorldError) as error:
            if self.paths.has_rules:
                raise WorldError(
                    "PATHS_UNKNOWN",
                    f"which parameters of `{capability}` are paths is not known before the daemon has said it",
                    hint="a path relative to its workspace needs no rule; else call it once while the daemon can be reached",
                ) from error
        return await self._spooled().defer(call, self._ids.request_id())

    async def flush(self) -> list[Deferred]:
        """Make the deferred calls now; those that were made or given up by this, in order. `SERVER_UNREACHABLE`."""
        return await self._spooled().flush()

    def deferred(self) -> list[Deferred]:
        """What the spool holds for this server, in order: calls that wait, and those that were `DROPPED` or are `DEAD`."""
        return self._spooled().entries()

    async def forget(self, sequence: int) -> None:
        """Remove what the spool keeps of a call that was dropped or is dead. KeyError for any other."""
        await self._spooled().forget(sequence)

    async def _replay(self, entry: Deferred, patience_s: float) -> RunResult:
        call = requests.Call(
            capability=entry.capability, parameters=entry.parameters, environment=entry.environment
        )
        answer = await self._open().ask(call, entry.id, patience_s)
        run = RunResult.from_json(await self._path_fields.told(call, answer, partial(self._learn, 0.0)))
        if not self._is_greeted:
            with suppress(AssentError):  # the call was made, whatever becomes of the greeting
                await self._greet(0.0)
        return run

    def _open(self) -> Http:
        if self._http is None:
            raise not_open()
        return self._http

    def _spooled(self) -> Deferring:
        self._open()
        if self._deferring is None:
            raise InputError(
                "SPOOL_UNUSABLE",
                "this client has no spool",
                hint="name its folder: `connect(…, spool=FOLDER)`",
            )
        return self._deferring


def _address_of(where: str | Path) -> str:
    """A URL as it is asked, or the absolute path of a socket. `INVALID_INPUT`."""
    if isinstance(where, str) and where.startswith(("http://", "https://")):
        return where.rstrip("/")
    if isinstance(where, str) and "://" in where:
        raise InputError(
            "INVALID_INPUT",
            f"`{where[:200]}` can't be connected to",
            path="where",
            hint="`https://HOST:PORT`, `http://HOST:PORT`, or the path of a socket",
        )
    return str(Path(where).absolute())
