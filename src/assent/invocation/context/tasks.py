"""Tasks that a part begins beside itself: each has a name, a state that snapshots tell, and none outlives the part."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Generator
from typing import Any, Generic, Protocol, TypeVar

from assent.errors import InputError, Json
from assent.spec.values.canonical import canonical_json

T = TypeVar("T")


class Beginning(Protocol):
    """What tasks are begun for."""

    tasks: list[SpawnedTask[Any]] | None


class SpawnedTask(Generic[T]):
    """A task of a call, to be awaited as often as one likes, or not at all: its part does not end before it."""

    __slots__ = ("_is_awaited", "_task", "name")

    def __init__(self, name: str, task: asyncio.Task[T]) -> None:
        self.name = name
        self._task = task
        self._is_awaited = False

    def __await__(self) -> Generator[Any, None, T]:
        """What it gives; raises what it failed with, which is then its part's to deal with."""
        self._is_awaited = True
        return (yield from self._task.__await__())

    def cancel(self) -> None:
        """Ask it to end."""
        self._task.cancel()

    @property
    def status(self) -> str:
        """`running`, `succeeded`, `failed` or `cancelled`."""
        if not self._task.done():
            return "running"
        if self._task.cancelled():
            return "cancelled"
        return "succeeded" if self._task.exception() is None else "failed"

    def to_json(self) -> list[Json]:
        """Name, status, and the SHA-256 of what it gave as canonical JSON; None while there is nothing, or nothing of JSON."""
        digest = None
        if self.status == "succeeded":
            try:
                digest = hashlib.sha256(canonical_json(self._task.result())).hexdigest()
            except (InputError, RecursionError):
                digest = None
        return [self.name, self.status, digest]

    async def end(self) -> None:
        """Wait for its end, whatever it comes to."""
        await asyncio.wait({self._task})

    def unheard(self) -> BaseException | None:
        """What it failed with, if nobody knows yet: whoever awaited it does, and whoever asked here."""
        if self._is_awaited or self.status != "failed":
            return None
        self._is_awaited = True
        return self._task.exception()


async def with_tasks(work: Awaitable[T], life: Beginning) -> T:
    """What an async function of a call gives, once the tasks that it began have ended; else their first failure."""
    try:
        result = await work
    except BaseException:
        # Nothing of it shall go on, and its own error is the one that counts.
        await _end(life.tasks or [], cancels=True)
        raise
    failures = await _end(life.tasks, cancels=False) if life.tasks else []
    if failures:
        raise failures[0]
    return result


async def _end(tasks: list[SpawnedTask[Any]], *, cancels: bool) -> list[BaseException]:
    """Wait for all of them, those too that they begin meanwhile; the failures that nobody has heard of."""
    try:
        for task in tasks:  # grows while it is gone through
            if cancels:
                task.cancel()
            await task.end()
    except asyncio.CancelledError:
        await _end(tasks, cancels=True)
        raise
    return [failure for task in tasks if (failure := task.unheard()) is not None]
