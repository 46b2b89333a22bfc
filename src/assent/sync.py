"""The same runtime for programs without an event loop: its methods wait, and return what the awaited ones give.

    from assent.sync import Runtime

    with Runtime.open("project") as rt:
        result = rt.call("io.fs.write_file", {"path": "note.txt", "content": "hello"})

The runtime has a loop in a thread of its own, so that it serves other processes also while the program does something else.
Ctrl-C ends the waiting: a run that was under way goes on until the `with` ends, which stops it where it is, to be resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator, Mapping
from concurrent.futures import Future, wait
from functools import wraps
from pathlib import Path
from threading import Thread, current_thread, main_thread
from types import TracebackType
from typing import Any, Concatenate, Final, ParamSpec, Protocol, Self, TypeVar, Unpack

from assent.client import Client as AsyncClient
from assent.client import Connecting, Paths, Server
from assent.client import connect as awaited_connect
from assent.errors import Json
from assent.policy import PolicyEngine
from assent.runtime import Runtime as AsyncRuntime
from assent.runtime import Session as AsyncSession
from assent.runtime._parts import Who
from assent.runtime._program import Program as AsyncProgram
from assent.runtime.capabilities._versions import Versions as AsyncVersions
from assent.runtime.runs._deliveries import Deliveries as AsyncDeliveries
from assent.runtime.service.answers import RunEvent
from assent.runtime.service.requests import Stream
from assent.spec.ids import RunId

LOOK_S: Final = 0.5
"""After this long at most Ctrl-C is noticed."""

P = ParamSpec("P")
T = TypeVar("T")


class _Waiting(Protocol):
    """What stands for an awaited object: its methods are carried out in the runtime's loop, and waited for."""

    @property
    def _awaited(self) -> object: ...

    def _wait(self, work: Coroutine[Any, Any, T]) -> T: ...


def _waited(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[_Waiting, P], T]:
    @wraps(method)
    def wait(self: _Waiting, /, *args: P.args, **kwargs: P.kwargs) -> T:
        work: Coroutine[Any, Any, T] = getattr(self._awaited, method.__name__)(*args, **kwargs)
        return self._wait(work)

    return wait


def _looked(method: Callable[Concatenate[Any, P], T]) -> Callable[Concatenate[_Waiting, P], T]:
    """The same of a method that is not awaited."""

    @wraps(method)
    def wait(self: _Waiting, /, *args: P.args, **kwargs: P.kwargs) -> T:
        async def look() -> T:
            found: T = getattr(self._awaited, method.__name__)(*args, **kwargs)
            return found

        return self._wait(look())

    return wait


class _Program:
    """What a runtime and a client have in common. Any thread may call the methods."""

    def __init__(self, awaited: AsyncRuntime | AsyncClient) -> None:
        self._awaited = awaited
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

    def __enter__(self) -> Self:
        """As `async with`: the owner of the state, or a client of the process that is."""
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a program that ends without leaving the `with` ends.
        self._thread = Thread(target=self._loop.run_forever, name="assent-runtime", daemon=True)
        self._thread.start()
        try:
            self._wait(self._awaited.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every run where it is, seal the ledger, release the state directory."""
        try:
            self._wait(self._awaited.close())
        finally:
            self._end()

    def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def _begin(self, work: Coroutine[Any, Any, T]) -> Future[T]:
        if self._loop is None:
            work.close()
            raise RuntimeError(
                "the runtime is not open: use it inside `with Runtime.open(…)` or `with connect(…)`"
            )
        if current_thread() is self._thread:
            work.close()
            raise RuntimeError(
                "this would wait for itself: what the runtime calls (`told`, hooks, handlers) can't call it"
            )
        return asyncio.run_coroutine_threadsafe(work, self._loop)

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        waiting = self._begin(work)
        # Python notices a signal only between its own instructions: one that came right before a wait without an end, or that
        # another thread took, would be noticed when the wait ends. Only the main thread is ever interrupted.
        look_s = LOOK_S if current_thread() is main_thread() else None
        try:
            while not wait([waiting], look_s).done:
                pass
            return waiting.result()
        except KeyboardInterrupt:
            waiting.cancel()
            raise

    run = _waited(AsyncProgram.run)
    call = _waited(AsyncProgram.call)
    approve = _waited(AsyncProgram.approve)
    reject = _waited(AsyncProgram.reject)
    cancel = _waited(AsyncProgram.cancel)
    signal = _waited(AsyncProgram.signal)
    undo = _waited(AsyncProgram.undo)
    resolve = _waited(AsyncProgram.resolve)
    resume = _waited(AsyncProgram.resume)
    erase = _waited(AsyncProgram.erase)
    add_schedule = _waited(AsyncProgram.add_schedule)
    remove_schedule = _waited(AsyncProgram.remove_schedule)
    pause_schedule = _waited(AsyncProgram.pause_schedule)
    resume_schedule = _waited(AsyncProgram.resume_schedule)
    schedules = _waited(AsyncProgram.schedules)
    show = _waited(AsyncProgram.show)
    wait = _waited(AsyncProgram.wait)
    plan = _waited(AsyncProgram.plan)
    runs = _waited(AsyncProgram.runs)

    def session(
        self, run: str | None = None, *, principal: Who = None, environment: str | None = None
    ) -> Session:
        """A run whose steps arrive one at a time, or `run`, one that is open, taken up again."""
        opened = self._wait(self._awaited.session(run, principal=principal, environment=environment))
        return Session(opened, self._wait, self._begin)

    def events(self, run: str, since: int = 0) -> Iterator[RunEvent]:
        """What happens to a run, each event once it is durable; waits for those to come."""
        yield from self._drawn(self._awaited.events(run, since))

    def _drawn(self, parts: AsyncIterator[T]) -> Iterator[T]:
        """Each part once it has come."""

        async def next_part() -> T | None:
            return await anext(parts, None)

        try:
            while (part := self._wait(next_part())) is not None:
                yield part
        finally:
            close = getattr(parts, "aclose", None)
            if close is not None and self._loop is not None:
                self._wait(close())


class Runtime(_Program):
    """A runtime whose methods wait. Any thread may call them; `runtime` is the awaited one, to register capabilities with."""

    def __init__(self, runtime: AsyncRuntime) -> None:
        """See `open`."""
        super().__init__(runtime)
        self.runtime = runtime
        self.versions = Versions(runtime.versions, self._wait)
        self.deliveries = Deliveries(runtime.deliveries, self._wait)

    @classmethod
    def open(
        cls,
        workspace: Path | str | None = None,
        *,
        state: Path | str | None = None,
        policy: Path | str | Mapping[str, Json] | PolicyEngine | None = None,
    ) -> Self:
        """A runtime for a workspace, to be entered with `with`; the arguments are those of `assent.Runtime.open`."""
        return cls(AsyncRuntime.open(workspace, state=state, policy=policy))

    unfinished = _waited(AsyncRuntime.unfinished)
    plan_undo = _waited(AsyncRuntime.plan_undo)
    snapshot = _waited(AsyncRuntime.snapshot)
    replay = _waited(AsyncRuntime.replay)
    explain = _waited(AsyncRuntime.explain)
    tools = _looked(AsyncRuntime.tools)


class Client(_Program):
    """A daemon's runtime, over HTTP; see `assent.client.Client`."""

    def __init__(self, client: AsyncClient) -> None:
        """See `connect`."""
        super().__init__(client)
        self._client = client

    @property
    def server(self) -> Server | None:
        """What the server said of itself when it was reached."""
        return self._client.server

    @property
    def paths(self) -> Paths:
        """What paths are called there and here, by the rules of `connect`."""
        return self._client.paths

    perform = _waited(AsyncClient.perform)
    tools = _waited(AsyncClient.tools)

    def stream(self, request: Stream[T]) -> Iterator[T]:
        """What is answered in parts, each once it has come."""
        yield from self._drawn(self._client.stream(request))

    defer = _waited(AsyncClient.defer)
    flush = _waited(AsyncClient.flush)
    forget = _waited(AsyncClient.forget)

    deferred = _looked(AsyncClient.deferred)


def connect(where: Path | str, **how: Unpack[Connecting]) -> Client:
    """A client, to be entered with `with`; the arguments are those of `assent.client.connect`."""
    return Client(awaited_connect(where, **how))


class _Part:
    """A part of the runtime whose methods wait."""

    def __init__(self, awaited: object, wait: Callable[[Coroutine[Any, Any, Any]], Any]) -> None:
        self._awaited = awaited
        self._wait = wait


class Session(_Part):
    """A session whose methods wait. Threads may call it at the same time: each call answers for its own step."""

    def __init__(
        self,
        session: AsyncSession,
        wait: Callable[[Coroutine[Any, Any, Any]], Any],
        begin: Callable[[Coroutine[Any, Any, Any]], Future[Any]],
    ) -> None:
        super().__init__(session, wait)
        self._session, self._begin = session, begin

    @property
    def run_id(self) -> RunId:
        """The session's run."""
        return self._session.run_id

    def awaited(self) -> AsyncSession:
        """The same session for whoever has a loop of its own, such as an agent's framework: its methods are awaited there."""

        def elsewhere(asked: Callable[P, Awaitable[T]], /) -> Callable[P, Awaitable[T]]:
            async def carried_out(*args: P.args, **kwargs: P.kwargs) -> T:
                return await asked(*args, **kwargs)

            async def wait(*args: P.args, **kwargs: P.kwargs) -> T:
                done: T = await asyncio.wrap_future(self._begin(carried_out(*args, **kwargs)))
                return done

            return wait

        return self._session.through(elsewhere)

    call = _waited(AsyncSession.call)
    call_tool = _waited(AsyncSession.call_tool)
    wait = _waited(AsyncSession.wait)
    close = _waited(AsyncSession.close)
    cancel = _waited(AsyncSession.cancel)


class Versions(_Part):
    """What a runtime knows of versions, and the changes that it makes."""

    history = _looked(AsyncVersions.history)
    label_history = _looked(AsyncVersions.label_history)
    status = _looked(AsyncVersions.status)
    diff = _looked(AsyncVersions.diff)
    label = _waited(AsyncVersions.label)
    unlabel = _waited(AsyncVersions.unlabel)
    retire = _waited(AsyncVersions.retire)


class Deliveries(_Part):
    """Webhooks on their way and those that have ended."""

    list = _looked(AsyncDeliveries.list)
    retry = _waited(AsyncDeliveries.retry)
    cancel = _waited(AsyncDeliveries.cancel)


__all__ = ["Client", "Deliveries", "Runtime", "Session", "Versions", "connect"]
