"""The admissions of one run that came to wait for something: which there are, what is told of them, who waits for them.

An admission is begun in the task that drives the run, and nearly always it ends there at once. One that waits keeps that task,
because a limit or a group of tasks that was opened in it is bound to it, and another task drives the run on.
"""

from __future__ import annotations

import asyncio
from asyncio import Task, TimerHandle
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from assent.engine.machine._commands import Command
from assent.engine.steps._scope import RunScope
from assent.invocation import Rest
from assent.invocation.context.telling import Listener, Preparing
from assent.spec.ids import StepKey

LONG_S: Final = 5.0
"""After this long an admission is told of and no longer waited for, although it was not expected to take long."""


class Admitted(NamedTuple):
    """An admission that waited has ended; without a command it was withdrawn."""

    step: StepKey
    command: Command | None


async def ended(key: StepKey, work: Awaitable[Command | None]) -> Admitted | BaseException:
    """What an admission came to; an exception is a failure of our own, which stops the run where it is."""
    try:
        return Admitted(key, await work)
    except asyncio.CancelledError:
        return Admitted(key, None)
    except BaseException as error:  # noqa: BLE001  # as above
        return error


class AdmissionWaitsError(Exception):
    """A step's admission was begun and waits for something; `rest` is what is left of it."""

    def __init__(self, key: StepKey, rest: Rest) -> None:
        super().__init__(key)
        self.key = key
        self.rest = rest


class Preparations:
    """Keeps the tasks of admissions that wait. `look` has the run look again, when one turns out to take long; `heard_by` says
    who is told that.

    `is_fresh`: one came to wait since the run was last told anything. What was decided with it waits for it, to share a commit.
    """

    def __init__(
        self, scope: RunScope, look: Callable[[], None], heard_by: Callable[[StepKey], Listener | None]
    ) -> None:
        self._scope = scope
        self.tasks: Final[dict[StepKey, Task[None]]] = {}
        self.is_fresh = False
        self._look = look
        self._heard_by = heard_by
        self._timers: dict[StepKey, TimerHandle] = {}
        self._untold: dict[StepKey, None] = {}
        self._withdrawn: set[StepKey] = set()

    def announce(self, key: StepKey) -> None:
        """An admission that has just begun may take long: nothing waits for it, and it is told of."""
        self._untold[key] = None

    def add(self, key: StepKey, task: Task[None]) -> None:
        """An admission waits, in its task."""
        self.tasks[key] = task
        if key not in self._untold:
            self.is_fresh = True
            self._timers[key] = asyncio.get_running_loop().call_later(LONG_S, self._take_long, key)

    def add_end(self, key: StepKey, task: Task[None]) -> None:
        """An admission came too late, and a task ends its call."""
        self.tasks[key] = task
        self._withdrawn.add(key)

    def remove(self, key: StepKey) -> None:
        """An admission has ended."""
        self.tell()
        del self.tasks[key]
        self._withdrawn.discard(key)
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()

    def withdraw(self) -> None:
        """Nothing can come of any of them any more: each is cancelled, once, so that what ends its call is let be."""
        for key, task in self.tasks.items():
            if key not in self._withdrawn:
                self._withdrawn.add(key)
                task.cancel()

    async def end(self) -> None:
        """The same, and wait until all have ended."""
        self.withdraw()
        for timer in self._timers.values():
            timer.cancel()
        if self.tasks:
            await asyncio.wait(self.tasks.values())

    def tell(self) -> None:
        """Tell of those that take long, each once. One that was announced and did not wait after all is no news."""
        if not self._untold:
            return
        untold, self._untold = self._untold, {}
        for key in untold:
            if key in self.tasks and (listener := self._heard_by(key)) is not None:
                reference = self._scope.blueprint.step_of(key).capability or ""
                news = Preparing(step=key, capability=reference.partition("@")[0])
                listener(self._scope.record.run, None, self._scope.services.clock.now_ms(), news)

    def _take_long(self, key: StepKey) -> None:
        self._untold[key] = None
        self._look()
