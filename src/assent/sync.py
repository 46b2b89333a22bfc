"""The same runtime for programs without an event loop: its methods wait, and return what the awaited ones give.

    from assent.sync import Runtime

    with Runtime.open("project") as rt:
        result = rt.call("io.fs.write_file", {"path": "note.txt", "content": "hello"})

The runtime has a loop in a thread of its own, so that it serves other processes also while the program does something else.
Ctrl-C ends the waiting: a run that was under way goes on until the `with` ends, which stops it where it is, to be resumed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import Future
from functools import wraps
from pathlib import Path
from threading import Thread
from types import TracebackType
from typing import Any, Concatenate, ParamSpec, Self, TypeVar

from assent.engine import RunResult
from assent.errors import Json
from assent.invocation import Hook
from assent.policy import PolicyEngine
from assent.runtime import Runtime as AsyncRuntime
from assent.runtime import Session as AsyncSession
from assent.runtime.service.answers import RunEvent

P = ParamSpec("P")
T = TypeVar("T")


def _waited(
    method: Callable[Concatenate[AsyncRuntime, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Runtime, P], T]:
    @wraps(method)
    def wait(self: Runtime, /, *args: P.args, **kwargs: P.kwargs) -> T:
        return self._wait(method(self.runtime, *args, **kwargs))  # a part of the class

    return wait


class Runtime:
    """A runtime whose methods wait. Any thread may call them; `runtime` is the awaited one, to register capabilities with."""

    def __init__(self, runtime: AsyncRuntime) -> None:
        """See `open`."""
        self.runtime = runtime
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: Thread | None = None

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

    def __enter__(self) -> Self:
        """As `async with`: the owner of the state, or a client of the process that is."""
        self._loop = asyncio.new_event_loop()
        # A daemon, so that a program that ends without leaving the `with` ends.
        self._thread = Thread(target=self._loop.run_forever, name="assent-runtime", daemon=True)
        self._thread.start()
        try:
            self._wait(self.runtime.__aenter__())
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop every run where it is, seal the ledger, release the state directory."""
        try:
            self._wait(self.runtime.close())
        finally:
            self._end()

    def _end(self) -> None:
        assert self._loop is not None
        assert self._thread is not None
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._loop = self._thread = None

    def _wait(self, work: Coroutine[Any, Any, T]) -> T:
        if self._loop is None:
            work.close()
            raise RuntimeError("the runtime is not open: use it inside `with Runtime.open(…)`")
        waiting: Future[T] = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return waiting.result()
        except KeyboardInterrupt:
            waiting.cancel()
            raise

    run = _waited(AsyncRuntime.run)
    call = _waited(AsyncRuntime.call)
    approve = _waited(AsyncRuntime.approve)
    reject = _waited(AsyncRuntime.reject)
    cancel = _waited(AsyncRuntime.cancel)
    undo = _waited(AsyncRuntime.undo)
    resolve = _waited(AsyncRuntime.resolve)
    resume = _waited(AsyncRuntime.resume)
    erase = _waited(AsyncRuntime.erase)
    show = _waited(AsyncRuntime.show)
    wait = _waited(AsyncRuntime.wait)
    unfinished = _waited(AsyncRuntime.unfinished)
    plan = _waited(AsyncRuntime.plan)
    snapshot = _waited(AsyncRuntime.snapshot)
    replay = _waited(AsyncRuntime.replay)
    explain = _waited(AsyncRuntime.explain)
    runs = _waited(AsyncRuntime.runs)

    def session(self, *, principal: str | None = None, environment: str | None = None) -> Session:
        """A run whose steps arrive one at a time."""
        return Session(self, self._wait(self.runtime.session(principal=principal, environment=environment)))

    def events(self, run: str, since: int = 0) -> Iterator[RunEvent]:
        """What happens to a run, each event once it is durable; waits for those to come."""
        coming = self.runtime.events(run, since)

        async def next_event() -> RunEvent | None:
            return await anext(coming, None)

        while (event := self._wait(next_event())) is not None:
            yield event


class Session:
    """A session whose methods wait."""

    def __init__(self, runtime: Runtime, session: AsyncSession) -> None:
        self._runtime = runtime
        self._session = session
        self.run_id = session.run_id

    def call(
        self, capability: str, parameters: Mapping[str, Json] | None = None, *, hooks: Iterable[Hook] = ()
    ) -> RunResult:
        """Add a step and wait for its outcome, or until it waits for a person; the session with this step alone."""
        return self._runtime._wait(self._session.call(capability, parameters, hooks=hooks))  # noqa: SLF001

    def close(self) -> RunResult:
        """No more steps: the session succeeds once all are settled, and can be undone."""
        return self._runtime._wait(self._session.close())  # noqa: SLF001

    def cancel(self) -> RunResult:
        """Take back everything the session did."""
        return self._runtime._wait(self._session.cancel())  # noqa: SLF001


__all__ = ["Runtime", "Session"]
