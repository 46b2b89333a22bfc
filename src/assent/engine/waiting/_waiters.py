"""Who waits for a run: until what was asked of it is durable, or until there is an answer about a step of a session."""

from __future__ import annotations

import asyncio
from asyncio import Future
from typing import Final

from assent.engine.record._record import SETTLED, RunRecord
from assent.spec.ids import StepKey
from assent.spec.states import StepState

_ANSWERED: Final = SETTLED | {StepState.AWAITING_APPROVAL, StepState.IN_DOUBT}
"""States in which a session's caller gets an answer about a step."""


class Callers:
    """Keeps whoever waits. `answer` comes after each commit."""

    __slots__ = ("_waiters", "_watchers")

    def __init__(self) -> None:
        self._waiters: list[tuple[Future[None], BaseException | None]] = []
        self._watchers: dict[StepKey, list[Future[None]]] = {}

    def add(self, waiter: Future[None], refusal: BaseException | None = None) -> None:
        """Somebody waits for the next commit, and is told of a refusal once that is on record."""
        self._waiters.append((waiter, refusal))

    def watch(self, key: StepKey) -> Future[None]:
        """Done when there is an answer about the step."""
        answer: Future[None] = asyncio.get_running_loop().create_future()
        self._watchers.setdefault(key, []).append(answer)
        return answer

    async def answered(self, key: StepKey, record: RunRecord) -> None:
        """Wait until there is an answer about a step that somebody else has asked for."""
        step = record.steps.get(key)
        if not record.state.is_finished and (step is None or step.state not in _ANSWERED):
            await self.watch(key)

    def forget(self, key: StepKey, why: BaseException) -> None:
        """The step was not taken, so there will be no answer about it."""
        for watcher in self._watchers.pop(key, ()):
            settle(watcher, why)

    def answer(self, record: RunRecord) -> None:
        """Everything that the record says is durable."""
        waiters, self._waiters = self._waiters, []
        for waiter, refusal in waiters:
            settle(waiter, refusal)
        if self._watchers:
            is_over = record.state.is_finished  # A step that had not begun by then will not.
            for key in list(self._watchers):
                step = record.steps.get(key)
                if is_over or (step is not None and step.state in _ANSWERED):
                    for watcher in self._watchers.pop(key):
                        settle(watcher, None)

    def refuse(self, error: BaseException) -> bool:
        """Nobody gets an answer any more. Whether anybody was there to be told."""
        waiting, self._waiters = [waiter for waiter, _ in self._waiters], []
        for watchers in self._watchers.values():
            waiting += watchers
        self._watchers.clear()
        is_told = any(not waiter.done() for waiter in waiting)
        for waiter in waiting:
            settle(waiter, error)
        return is_told


def settle(waiter: Future[None], error: BaseException | None) -> None:
    """Answer one of them, unless it has left."""
    if waiter.done():
        return
    if error is None:
        waiter.set_result(None)
    else:
        waiter.set_exception(error)
        waiter.exception()  # looked at, so that asyncio does not report one whose caller was cancelled
