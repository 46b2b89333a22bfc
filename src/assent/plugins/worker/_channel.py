"""The worker's end of the pipe: messages go out whole from any thread, questions wait for their answer."""

from __future__ import annotations

import os
from collections import deque
from contextlib import suppress
from itertools import count
from queue import SimpleQueue
from threading import Lock
from typing import Any, Final

from assent.errors import AssentError
from assent.plugins.worker import _frames as wire
from assent.plugins.worker._errors import from_wire

_READ_BYTES: Final = 1 << 20


class Channel:
    """What a worker says and hears. `receive` belongs to one thread, everything else to any."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._frames = wire.Frames()
        self._lock = Lock()
        self._numbers = count(1)
        self._waiting: dict[int, SimpleQueue[wire.Answer]] = {}
        self._unwanted: deque[tuple[int, int]] = deque()

    def receive(self) -> list[wire.ToWorker] | None:
        """The next messages; None when Assent has gone. `BrokenFrameError`."""
        data = os.read(self._reading, _READ_BYTES)
        return [wire.to_worker(body) for body in self._frames.feed(data)] if data else None

    def send(self, message: wire.FromWorker) -> None:
        """Send a message, and wait while the pipe is full. `BrokenFrameError` for one that is too large: nothing was sent."""
        view = memoryview(wire.framed(message))
        with self._lock:
            while view:
                view = view[os.write(self._writing, view) :]

    def ask(self, call: int, op: str, *args: object) -> Any:  # `Any`: as each question has it
        """The answer to a question about a call; its error is raised. Blocks the thread that asks."""
        while self._unwanted:
            with suppress(
                IndexError, AssentError
            ):  # another thread was first, or the call has ended and closed it
                whose, opened = self._unwanted.popleft()
                self._answer_to(whose, "bytes.close", (opened,))
        return self._answer_to(call, op, args)

    def let_go(self, call: int, opened: int) -> None:
        """Have something that a call has open closed, before the next question is asked: a call has only so many.

        Nothing is sent here: a reader that is dropped half-way may be collected in any thread, also in the one that all answers
        come through.
        """
        self._unwanted.append((call, opened))

    def _answer_to(self, call: int, op: str, args: tuple[object, ...]) -> Any:  # `Any`: as above
        number = next(self._numbers)
        answered: SimpleQueue[wire.Answer] = SimpleQueue()
        self._waiting[number] = answered
        try:
            self.send(wire.Ask.of(number, call, op, [*args]))
        except (wire.BrokenFrameError, UnicodeEncodeError):
            del self._waiting[number]
            raise
        answer = answered.get()
        if answer.error is not None:
            raise from_wire(answer.error)
        return answer.value

    def answer(self, answer: wire.Answer) -> None:
        """An answer came in."""
        waiting = self._waiting.pop(answer.r, None)
        if waiting is not None:
            waiting.put(answer)
