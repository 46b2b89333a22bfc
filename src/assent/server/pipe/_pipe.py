"""The door itself: frames come in at one descriptor, and answers go out at another, until the input ends or a signal says so.

Theory of operation. One task reads. Each request is carried out in a task of its own, so that answers come as they are found, and
not in the order in which they were asked for. Whoever does not read what is told is waited for, and then not read either: nothing
piles up but what may be under way.
"""

from __future__ import annotations

import asyncio
import os
import signal
import stat
from asyncio import Future, Task
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext, suppress
from threading import Event
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from assent import system
from assent.errors import AssentError, InputError, Json, WorldError
from assent.findings.book import waiting_until
from assent.runtime._answering import Answering
from assent.runtime.service.requests import Asker, Asking, Beginning, Driving, Stream, asker_of
from assent.runtime.service.routes import ANSWERED, told
from assent.server._inputs import ident_of
from assent.server._streams import coming_part, in_thread
from assent.server.pipe._frames import Decoder, Frame, encode
from assent.server.pipe._messages import Ask, Cancel, Ident, Unreadable, failure, notice, read, result
from assent.server.who import Caller, Gatehouse, Presented

if TYPE_CHECKING:
    from assent.runtime.settings.effective import Settings

DOOR: Final = "pipe"

UNDER_WAY_MAX: Final = 256
"""Requests at a time, streams among them."""

_READ_BYTES: Final = 1 << 16
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


class Ends(NamedTuple):
    """The descriptors of a pipe that nobody else in this process has."""

    source: int
    sink: int


@contextmanager
def own_ends() -> Iterator[Ends]:
    """Standard input and output for frames alone: what else reads finds nothing there, and what else prints goes to stderr."""
    ends = Ends(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    try:
        os.dup2(nothing, 0)
        os.dup2(2, 1)
        yield ends
    finally:
        for number, end in enumerate(ends):
            os.dup2(end, number)
            os.close(end)
        os.close(nothing)


async def serve(settings: Settings, ends: Ends, fault: Callable[[Exception], AssentError]) -> None:
    """Answer until the input ends, and what was asked before is done; or until SIGTERM, SIGINT or SIGHUP.

    `fault` says what is told of an error of our own. Raises what keeps a runtime from starting.
    """
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()
    for number in _SIGNALS:
        loop.add_signal_handler(number, stopped.set)
    try:
        async with Answering(settings) as runtime:
            with _Sink(ends.sink) as sink:
                await _Pipe(runtime, sink, fault).serve(_chunks(ends.source), stopped)
    finally:
        for number in _SIGNALS:
            loop.remove_signal_handler(number)


class _Told(NamedTuple):
    """A stream that is told."""

    ends: Future[None]
    waits: bool
    """Also for what happens later, so that it may never end by itself."""


class _Pipe:
    """What is under way on one pipe."""

    def __init__(self, runtime: Answering, sink: _Sink, fault: Callable[[Exception], AssentError]) -> None:
        self._runtime = runtime
        self._gatehouse = Gatehouse(
            runtime.settings, note=runtime.note_stranger, is_offered=runtime.is_offered
        )
        self._peer = f"uid:{runtime.settings.os_uid}"
        self._sink = sink
        self._fault = fault
        self._under_way: set[Task[None]] = set()
        self._asked: set[Ident] = set()
        self._streams: dict[Ident | object, _Told] = {}
        self._over = Event()
        """What looks at something waits for no other process any more: it is in a thread, which no cancelling ends."""

    async def serve(self, chunks: AsyncIterator[bytes], stopped: asyncio.Event) -> None:
        """See `serve` above."""
        reading = system.spawn(self._read(chunks), name="frames")
        stop = system.spawn(stopped.wait(), name="signal")
        stop.add_done_callback(lambda _: self._over.set())
        try:
            await asyncio.wait({reading, stop}, return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()
            elif not stop.done():
                work = system.spawn(self._finish(streams=False), name="what is under way")
                await asyncio.wait({work, stop}, return_when=asyncio.FIRST_COMPLETED)
                work.cancel()
            if stop.done():
                with suppress(TimeoutError):
                    async with asyncio.timeout(self._runtime.settings.serve.drain_ms / 1000):
                        await self._finish(streams=True)
        finally:
            await _ended({reading, stop, *self._under_way})
        if not reading.cancelled():
            reading.result()

    async def _finish(self, *, streams: bool) -> None:
        """Wait for what is under way; what waits for later is told to end after it. With `streams`, each is, and at once."""
        if streams:
            self._end(self._streams.values())
        while len(self._under_way) > sum(one.waits for one in self._streams.values()):
            await asyncio.wait(self._under_way, return_when=asyncio.FIRST_COMPLETED)
        self._end(self._streams.values())
        if self._under_way:
            await asyncio.wait(self._under_way)

    def _end(self, streams: Iterable[_Told]) -> None:
        for one in streams:
            _set(one.ends)

    async def _read(self, chunks: AsyncIterator[bytes]) -> None:
        decoder = Decoder(self._runtime.settings.serve.body_bytes)
        async for data in chunks:
            for found in decoder.feed(data):
                if isinstance(found, Frame):
                    await self._take(found)
                else:
                    await self._sink.say(failure(None, found))
                if self._sink.is_gone:
                    return
        if (cut := decoder.end()) is not None:
            await self._sink.say(failure(None, cut))

    async def _take(self, frame: Frame) -> None:
        """Begin what a frame asks, or say at once why not."""
        try:
            asked = read(frame.message)
        except Unreadable as fault:
            if fault.is_told:
                await self._sink.say(failure(fault.id, fault.error))
            return
        if isinstance(asked, Cancel):
            # What acts is not ended by leaving: a run is cancelled by the operation of that name.
            if (stream := self._streams.get(asked.id)) is not None:
                _set(stream.ends)
            return
        if asked.id in self._asked:
            again = InputError("REQUEST_INVALID", f"a request with the id `{asked.id}` is under way")
            await self._sink.say(failure(None, again))
            return
        if len(self._under_way) >= UNDER_WAY_MAX:
            if asked.id is not None:
                await self._sink.say(failure(asked.id, _full()))
            return
        name = object() if asked.id is None else asked.id
        if isinstance(asked.request, Stream):
            ends = asyncio.get_running_loop().create_future()
            self._streams[name] = _Told(ends, asked.request.waits)
        if asked.id is not None:
            self._asked.add(asked.id)
        with nullcontext() if isinstance(asked.request, Driving) else waiting_until(self._over):
            work = system.spawn(self._answer(asked, name, frame.token), name="request of the pipe")
        self._under_way.add(work)
        work.add_done_callback(self._under_way.discard)

    async def _answer(self, asked: Ask, name: Ident | object, token: bytes) -> None:
        visit = self._gatehouse.rates.visit(DOOR, self._peer)
        try:
            visit.arrive()
            caller = await self._caller(token)
            visit.identify(caller.asker.principal)
            visit.ask(asked.request)
            if isinstance(asked.request, Stream):
                answer = await self._stream(asked.request, asked.id, self._streams[name].ends, caller)
            else:
                answer = await self._perform(asked, caller.asker)
            said = None if asked.id is None else result(asked.id, answer)
        except AssentError as error:
            said = None if asked.id is None else failure(asked.id, error)
        except Exception as error:  # noqa: BLE001 - the last door: no traceback may reach a caller
            said = None if asked.id is None else failure(asked.id, self._fault(error))
        finally:
            self._streams.pop(name, None)
            # Before it is told: whoever has the answer may ask under this id anew.
            if asked.id is not None:
                self._asked.discard(asked.id)
        if said is not None:
            await self._sink.say(said)

    async def _caller(self, token: bytes) -> Caller:
        """Who a token says is asking; without one the account, as whom the process was started."""
        if not token:
            return Caller(asker=asker_of(self._runtime.settings))
        shown = (f"Bearer {token.decode('latin-1')}",)
        return await self._gatehouse.authenticate(Presented(door=DOOR, peer=self._peer, authorization=shown))

    async def _perform(self, asked: Ask, by: Asker) -> object:
        request = asked.request
        ident = None if asked.key is None else ident_of(asked.key, by.principal)
        tell = self._begun(asked.id) if isinstance(request, Beginning) and asked.id is not None else None
        answer = await self._runtime.perform(request, by, tell=tell, ident=ident)
        if isinstance(request, Asking) and answer is None:
            raise WorldError("STATE_MISSING", "nobody owns the state")
        return told(ANSWERED.get(type(request), "object"), answer)

    def _begun(self, ident: Ident) -> Callable[[Mapping[str, Json]], None]:
        """Tells of the run of a request once it is on record, so that it can be watched and cancelled."""
        notices: list[Task[None]] = []

        def hear(report: Mapping[str, Json]) -> None:
            run, event = report.get("run"), report.get("event")
            if notices or not isinstance(event, dict) or event.get("kind") == "step.said":
                return
            notices.append(system.spawn(self._sink.say(notice("begun", ident, "run", run)), name="begun"))

        return hear

    async def _stream(
        self, request: Stream[Any], ident: Ident | None, ends: Future[None], caller: Caller
    ) -> object:
        """Tell each part, and in the answer how many there were."""
        parts = self._runtime.stream(request, caller.asker)
        if not request.waits:
            parts = in_thread(parts)
        expiry = None
        if caller.expires_at_ms is not None:
            left_s = (caller.expires_at_ms - system.SystemClock().now_ms()) / 1000
            expiry = asyncio.get_running_loop().call_later(max(0.0, left_s), _set, ends)
        count = 0
        try:
            while (part := await _next(parts, ends)) is not None:
                count += 1
                if ident is not None:
                    await self._sink.say(notice("part", ident, "part", part))
        finally:
            if expiry is not None:
                expiry.cancel()
            close = getattr(parts, "aclose", None)
            if close is not None:
                await close()
        return {"parts": count, "ended": not ends.done()}


def _full() -> WorldError:
    return WorldError(
        "PIPE_FULL", f"{UNDER_WAY_MAX} requests are under way", hint="ask again once some are answered"
    )


async def _next(parts: AsyncIterator[Any], ends: Future[None]) -> Any:  # `Any`: a part of any stream
    """The next part; None at the end, or when it is told to end."""
    if ends.done():
        return None
    coming = coming_part(parts)
    try:
        await asyncio.wait({coming, ends}, return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:
        await _ended({coming})


async def _ended(tasks: set[Task[Any]]) -> None:
    """What was spawned is over, whatever came of it."""
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks)


def _set(future: Future[None]) -> None:
    if not future.done():
        future.set_result(None)


async def _chunks(source: int) -> AsyncIterator[bytes]:
    """What comes, as it comes. The descriptor stays as it is: others may share what it stands for, such as a terminal."""
    while True:
        if not _is_file(source):
            await _ready(
                source, asyncio.get_running_loop().add_reader, asyncio.get_running_loop().remove_reader
            )
        data = os.read(source, _READ_BYTES)
        if not data:
            return
        yield data


class _Sink:
    """Where frames go out, one after the other. When nobody reads there any more, they go nowhere."""

    def __init__(self, sink: int) -> None:
        self._sink = sink
        self._saying = asyncio.Lock()
        self._was_blocking = os.get_blocking(sink)
        self.is_gone = False

    def __enter__(self) -> Self:
        os.set_blocking(self._sink, False)
        return self

    def __exit__(self, *_: object) -> None:
        os.set_blocking(self._sink, self._was_blocking)

    async def say(self, message: bytes) -> None:
        """Write a frame, and wait until it is taken."""
        async with self._saying:
            rest = memoryview(encode(Frame(message)))
            loop = asyncio.get_running_loop()
            while rest and not self.is_gone:
                try:
                    rest = rest[os.write(self._sink, rest) :]
                except BlockingIOError:
                    await _ready(self._sink, loop.add_writer, loop.remove_writer)
                except OSError:
                    self.is_gone = True


async def _ready(end: int, add: Callable[..., None], remove: Callable[[int], object]) -> None:
    ready: Future[None] = asyncio.get_running_loop().create_future()
    add(end, _set, ready)
    try:
        await ready
    finally:
        remove(end)


def _is_file(end: int) -> bool:
    """It never makes anybody wait, and can't be waited for."""
    return stat.S_ISREG(os.fstat(end).st_mode)
