"""One worker as Assent sees it: a process, the pipe to it, and what is under way there. Everything here runs on the host's loop.

Nothing that comes over the pipe is believed. Whatever does not belong there (a half frame at the end, an answer to nothing, a
question of a call that the worker has not) ends the worker; what was under way there ends with `PLUGIN_MISBEHAVED`, once the
process is known to be gone: until then it might still change the world.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from collections import deque
from collections.abc import Callable
from concurrent.futures import Executor
from contextlib import suppress
from itertools import count
from typing import Any, Final, Protocol

from assent.errors import AssentError, InputError, WorldError
from assent.invocation import CancelToken, Places, Spawn
from assent.plugins.worker import _frames as wire
from assent.plugins.worker._errors import from_wire, to_wire
from assent.plugins.worker._http import QUESTION, answer_to, from_args
from assent.plugins.worker._questions import RemoteCall

LOGGER: Final = logging.getLogger("assent.plugins")
# Whoever runs the program decides where its log goes. Without this the library would print to stderr, between the answers.
LOGGER.addHandler(logging.NullHandler())

START_S: Final = 60.0
"""How long a worker may take until it is ready, and again until it has imported its plugin."""

ASKED_MAX: Final = 64
"""Questions that are being answered at once; while there are so many, nothing more is read."""

REQUESTS_AT_ONCE_MAX: Final = 16
"""Requests of one plugin that are under way. So many answers are held at most, until its worker has read them."""

WAITING_BYTES_MAX: Final = 300 << 20
"""What may wait for a worker to read it; one that lets more come together is stuck."""

ROOM_BYTES: Final = 128 << 20
"""What may wait for a worker to read it before answers to requests, the largest that it is sent, wait for room."""

TOLD_IDLE_MAX: Final = 10_000
"""Messages about nothing (lines of calls that have ended) that one worker may send."""

PIPE_BYTES: Final = 1 << 20
"""What a pipe holds, if it may: with the usual 64 KiB both sides take turns all the time."""

PRINTED_MAX: Final = 4096
"""The end of what a worker printed, in bytes, that is shown when it dies."""

_READ_BYTES: Final = 1 << 20


class Child(Protocol):
    """A process that was started, with its ends of three pipes."""

    @property
    def stdin(self) -> int: ...

    @property
    def stdout(self) -> int: ...

    @property
    def stderr(self) -> int: ...

    def kill(self) -> None:
        """End it and whatever it started, at once; harmless when it has ended."""
        ...

    async def wait(self) -> str:
        """Wait until all of it is gone; how it ended, in a few words."""
        ...


class _Request:
    """Something that was begun in the worker."""

    __slots__ = ("call", "future")

    def __init__(self, call: RemoteCall | None, future: asyncio.Future[wire.Done]) -> None:
        self.call = call
        self.future = future


class WorkerProcess:
    """A worker. Made when its process has been started; `ended` is set when the process is gone."""

    def __init__(self, child: Child, *, spawn: Spawn, threads: Executor, name: str) -> None:
        self._child = child
        self._spawn = spawn
        self._threads = threads
        self.name = name
        self._loop = asyncio.get_running_loop()
        self._frames = wire.Frames()
        self._out: deque[memoryview] = deque()
        self._out_bytes = 0
        self._has_read = asyncio.Event()
        self._places = Places(REQUESTS_AT_ONCE_MAX)
        self._requests: dict[int, _Request] = {}
        self._calls: dict[int, RemoteCall] = {}
        self._numbers = count(1)
        self._latest = 0
        self._asked = 0
        self._idle_told = 0
        self._expected: asyncio.Future[Any] | None = None  # `Any`: `Ready`, or `Loaded`
        self._was_ready = False
        self._printed = bytearray()
        self._failure: AssentError | None = None
        self._ending: asyncio.Task[None] | None = None
        self._questions: set[asyncio.Task[None]] = set()
        self.ended = asyncio.Event()
        self.register: Callable[[WorkerProcess, RemoteCall, str, int], None] | None = None
        for descriptor in (child.stdin, child.stdout, child.stderr):
            os.set_blocking(descriptor, False)
            with suppress(OSError):  # a user may have only so much of them
                fcntl.fcntl(descriptor, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self._loop.add_reader(child.stdout, self._readable)
        self._loop.add_reader(child.stderr, self._printed_more)
        self._is_reading = True

    async def greet(self) -> None:
        """Wait until the worker is ready. PLUGIN_WORKER_DIED, PLUGIN_MISBEHAVED, and what kept its process from beginning."""
        ready = await self._expect(wire.Hello(wire.PROTOCOL, LOGGER.getEffectiveLevel()))
        if not isinstance(ready, wire.Ready) or ready.protocol != wire.PROTOCOL:
            raise self._misbehaved("it speaks another language")
        self._was_ready = True

    async def load(self, messages: list[wire.File | wire.Load]) -> wire.Loaded:
        """Have a plugin imported; what it brings. Raises what importing raised."""
        *files, load = messages
        for file in files:
            self._send(file)
        answer = await self._expect(load)
        if isinstance(answer, wire.Refused):
            error = from_wire(answer.error)
            if isinstance(error, AssentError):
                raise error
            reason = " ".join(str(error).split())[:500] or "no reason given"
            raise InputError("PLUGIN_FAILED", f"plugin `{self.name}` failed while it was imported: {reason}")
        if not isinstance(answer, wire.Loaded):
            raise self._misbehaved("it does not say what the plugin brings")
        return answer

    async def _expect(self, message: wire.ToWorker) -> wire.Ready | wire.Loaded | wire.Refused:
        if self._failure is not None:
            await self.ended.wait()
            raise _anew(self._failure)
        self._expected = self._loop.create_future()
        self._send(message)
        try:
            async with asyncio.timeout(START_S):
                answer: wire.Ready | wire.Loaded | wire.Refused = await self._expected
                return answer
        except TimeoutError:
            await self.end(self._died(f"it was not ready within {START_S:.0f} s"))
            assert self._failure is not None
            raise _anew(self._failure) from None
        finally:
            self._expected = None

    @property
    def is_alive(self) -> bool:
        """Whether it can still be asked for anything."""
        return self._failure is None

    @property
    def is_idle(self) -> bool:
        """Whether nothing is under way."""
        return not self._requests

    async def perform(
        self,
        begin: wire.Begin,
        call: RemoteCall | None,
        *,
        grace_s: float,
        part: str,
        token: CancelToken | None = None,
    ) -> wire.Done:
        """What was begun gives. When the caller gives up, the worker is asked to end it, and ended itself after the grace.

        `token`: when it is set already, the part is told; who sets it later says so with `nudge`.

        Raises what the part raised; PLUGIN_WORKER_DIED, PLUGIN_MISBEHAVED when the worker ended.
        """
        if self._failure is not None:
            raise _anew(self._failure)
        request = _Request(call, self._loop.create_future())
        self._requests[begin.n] = request
        if call is not None:
            self._calls[call.number] = call
            self._latest = max(self._latest, call.number)
            call.enter(begin.n, part)
        try:
            self._send(begin)
            if token is not None and token.is_cancelled:
                self.nudge(begin.n)
            try:
                return await asyncio.shield(request.future)
            except asyncio.CancelledError:
                await self._stopped(begin.n, request, grace_s)
                raise
        finally:
            self._requests.pop(begin.n, None)
            if call is not None:
                call.leave(begin.n)

    async def _stopped(self, n: int, request: _Request, grace_s: float) -> None:
        """Nobody wants the result. Afterwards nothing of the request runs any more."""
        self._send(wire.Stop(n, hard=True))
        if request.call is not None:
            request.call.stop()
        with suppress(asyncio.CancelledError):  # whoever gives up twice does not wait for the grace either
            await asyncio.wait({request.future}, timeout=grace_s)
        if not request.future.done():
            await self.end(
                WorldError(
                    "PLUGIN_WORKER_DIED",
                    f"the worker of plugin `{self.name}` was ended: a part went on after its time was up",
                    hint="let the part look at `context.cancel`, or await",
                )
            )
        if request.future.done() and not request.future.cancelled():
            request.future.exception()  # looked at, so that asyncio does not report it as never retrieved

    def nudge(self, n: int) -> None:
        """Set the token of a request; it may go on."""
        if n in self._requests:
            self._send(wire.Stop(n, hard=False))

    def tell(self, message: wire.ToWorker) -> None:
        """Send a message that has no answer."""
        self._send(message)

    def forget(self, call: int) -> None:
        """A call is over: what is remembered of it may go."""
        if self._calls.pop(call, None) is not None:
            self._send(wire.End(call))

    async def end(self, failure: AssentError | None = None) -> None:
        """End the process; what is under way there fails with `failure`. When this returns nothing of it changes anything."""
        self._fail(failure or self._died("it was ended"))
        await self.ended.wait()

    def _fail(self, failure: AssentError) -> None:
        if self._failure is not None:
            return
        self._failure = failure
        self._has_read.set()
        self._pause()
        self._loop.remove_writer(self._child.stdin)
        self._out.clear()
        self._child.kill()
        self._ending = self._spawn(self._gone(), name=f"end of worker {self.name}")

    async def _gone(self) -> None:
        try:
            how = await self._child.wait()
        except AssentError as error:
            # Its walls could not be put up, or nobody is left who could say how it ended. Either way nothing of it runs.
            how = error.message
            if not self._was_ready:
                self._failure = error
        # What it had asked for may be changing the world still: a file that is being written. No more of that is begun, and
        # nobody is told of the end before that has ended too.
        for call in self._calls.values():
            call.stop()
        if self._questions:
            await asyncio.wait(self._questions)
        self._printed_more()
        self._loop.remove_reader(self._child.stderr)
        for descriptor in (self._child.stdin, self._child.stdout, self._child.stderr):
            with suppress(OSError):
                os.close(descriptor)
        failure = self._failure
        assert failure is not None
        failure.details.update(ended=how, printed=self._printed[-PRINTED_MAX:].decode(errors="replace"))
        self.ended.set()
        waiting = [request.future for request in self._requests.values()]
        if self._expected is not None:
            waiting.append(self._expected)
        for future in waiting:
            if not future.done():
                future.set_exception(_anew(failure))
                future.exception()  # looked at: a caller that was cancelled does not look

    def _died(self, how: str) -> WorldError:
        return WorldError(
            "PLUGIN_WORKER_DIED",
            f"the worker of plugin `{self.name}` ended: {how}",
            hint="the next call starts another one; `details` holds the end of what it printed",
        )

    def _misbehaved(self, how: str) -> WorldError:
        failure = WorldError(
            "PLUGIN_MISBEHAVED",
            f"the worker of plugin `{self.name}` was ended: {how}",
            hint="do not use the plugin before its maker has explained that",
        )
        LOGGER.warning("%s", failure.message)
        self._fail(failure)
        return failure

    def _readable(self) -> None:
        try:
            data = os.read(self._child.stdout, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            how = "it broke off in the middle of a message" if self._frames.is_half else "its process is gone"
            self._fail(self._died(how))
            return
        try:
            for body in self._frames.feed(data):
                self._take(wire.from_worker(body))
                if self._failure is not None:
                    return
        except wire.BrokenFrameError as error:
            self._misbehaved(f"it broke the protocol ({error})")

    def _take(self, message: wire.FromWorker) -> None:
        match message:
            case wire.Done() | wire.Failed():
                self._settle(message)
            case wire.Ask():
                if message.call > self._latest:
                    raise wire.BrokenFrameError("it asks for a call that it was not given")
                self._asked += 1
                if self._asked >= ASKED_MAX:
                    self._pause()
                question = self._spawn(self._answer(message), name=f"question {message.op[:40]}")
                self._questions.add(question)
                question.add_done_callback(self._questions.discard)
            case wire.Progress() | wire.Log():
                call = self._calls.get(message.call)
                if call is not None and call.is_under_way:
                    call.tell(message)
                else:
                    self._idle_told += 1
                    if self._idle_told > TOLD_IDLE_MAX:
                        raise wire.BrokenFrameError("it talks of calls that have ended")
            case _:
                if self._expected is None or self._expected.done():
                    raise wire.BrokenFrameError("it answers what nobody asked")
                self._expected.set_result(message)

    def _settle(self, message: wire.Done | wire.Failed) -> None:
        request = self._requests.get(message.n)
        if request is None or request.future.done():
            raise wire.BrokenFrameError("it answers for a call that it was not given")
        if request.call is not None:
            request.call.keep(message.kept)
        if isinstance(message, wire.Done):
            request.future.set_result(message)
        else:
            request.future.set_exception(from_wire(message.error))
            request.future.exception()  # looked at: a caller that was cancelled does not look

    async def _answer(self, ask: wire.Ask) -> None:
        call = self._calls.get(ask.call)
        try:
            if ask.op == QUESTION and call is not None:
                request = await self._loop.run_in_executor(self._threads, lambda: from_args(ask.arguments()))
                await self._places.taken(call.share, call.waited)
                try:
                    answered = await call.send(request)
                    await self._room_for(len(answered.body))
                    self._tell(ask, wire.Answer(ask.r, answer_to(answered)))
                finally:
                    self._places.give_back()
                return
            value = await self._loop.run_in_executor(self._threads, self._asked_of, call, ask)
            answer = wire.Answer(ask.r, value)
        except wire.BrokenFrameError as error:
            self._misbehaved(f"it broke the protocol ({error})")
            return
        except Exception as error:  # noqa: BLE001  # whatever the world answers with is the plugin's to deal with
            answer = wire.Answer(ask.r, error=to_wire(error))
        finally:
            self._asked -= 1
            if self._asked < ASKED_MAX and self._failure is None:
                self._resume()
        self._tell(ask, answer)

    def _tell(self, ask: wire.Ask, answer: wire.Answer) -> None:
        try:
            self._send(answer)
        except (wire.BrokenFrameError, UnicodeEncodeError) as error:
            # Whoever asked waits for an answer, whatever it is.
            self._send(wire.Answer(ask.r, error=to_wire(_unsendable(ask.op, error))))

    async def _room_for(self, size: int) -> None:
        """Return when so many bytes may wait for the worker too. An honest one that reads slowly is no stuck one."""
        while self._out and self._out_bytes + size > ROOM_BYTES and self._failure is None:
            self._has_read.clear()
            await self._has_read.wait()

    def _asked_of(self, call: RemoteCall | None, ask: wire.Ask) -> object:
        if call is None or self._failure is not None:
            raise InputError("CALL_ENDED", "the call has ended and answers nothing any more")

        def register(kind: str, number: int) -> None:
            if self.register is not None:
                self.register(self, call, kind, number)

        return call.answer(ask.op, ask.arguments(), register)

    def _pause(self) -> None:
        if self._is_reading:
            self._is_reading = False
            self._loop.remove_reader(self._child.stdout)

    def _resume(self) -> None:
        if not self._is_reading:
            self._is_reading = True
            self._loop.add_reader(self._child.stdout, self._readable)

    def _printed_more(self) -> None:
        try:
            data = os.read(self._child.stderr, _READ_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._loop.remove_reader(self._child.stderr)
            return
        self._printed += data
        del self._printed[:-PRINTED_MAX]
        LOGGER.debug("plugin %s printed: %s", self.name, data[:PRINTED_MAX].decode(errors="replace"))

    def _send(self, message: wire.ToWorker) -> None:
        if self._failure is not None:
            return
        frame = memoryview(wire.framed(message))
        if not self._out:
            frame = self._written(frame)
            if not frame:
                return
            self._loop.add_writer(self._child.stdin, self._writable)
        self._out.append(frame)
        self._out_bytes += len(frame)
        if self._out_bytes > WAITING_BYTES_MAX:
            self._misbehaved("it does not read what it is sent")

    def _written(self, frame: memoryview) -> memoryview:
        """What is left of a frame after as much of it was written as the pipe takes."""
        try:
            while frame:
                frame = frame[os.write(self._child.stdin, frame) :]
        except BlockingIOError:
            pass
        except OSError:
            # Reading tells that the process has gone, and how far its answers came.
            return memoryview(b"")
        return frame

    def _writable(self) -> None:
        while self._out:
            before = self._out.popleft()
            left = self._written(before)
            self._out_bytes -= len(before) - len(left)
            self._has_read.set()
            if left:
                self._out.appendleft(left)
                return
        self._loop.remove_writer(self._child.stdin)


def _anew(failure: AssentError) -> AssentError:
    """The same failure for one more caller: an error that is raised collects the traceback of who raises it."""
    return type(failure).from_dict(failure.to_dict())


def _unsendable(op: str, error: wire.BrokenFrameError | UnicodeEncodeError) -> InputError:
    """What is told in place of an answer that does not go over the pipe."""
    if isinstance(error, wire.BrokenFrameError):
        return InputError(
            "PLUGIN_MESSAGE_TOO_LARGE",
            f"the answer to `{op}` is too large: {error}",
            hint="ask for less at once",
        )
    return InputError(
        "DATA_INVALID",
        f"the answer to `{op}` holds a name that is not UTF-8, which a plugin's worker can't be told",
        hint="rename it",
    )
