"""The same work for many, a bounded number of them at once."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TypeVar

from assent.invocation import Spawn

T = TypeVar("T")
R = TypeVar("R")


async def together(
    items: Sequence[T], work: Callable[[T], Awaitable[R]], spawn: Spawn, *, at_once: int
) -> list[R]:
    """What `work` gives for each item, in their order, at most `at_once` of them under way.

    One that fails keeps none of the others from being done; then the first failure, in the order of the items, is raised.
    Cancelled, it cancels what is under way and waits for it.
    """
    done: dict[int, R] = {}
    failed: dict[int, Exception] = {}
    ahead = iter(enumerate(items))

    async def some() -> None:
        for index, item in ahead:
            try:
                done[index] = await work(item)
            except Exception as error:  # noqa: BLE001  # it is raised once the others are done
                failed[index] = error

    if not items:
        return []
    workers = [spawn(some(), name=f"worker {number}") for number in range(min(at_once, len(items)))]
    try:
        await asyncio.wait(workers)
    finally:
        for worker in workers:
            worker.cancel()
        await asyncio.wait(workers)
    if failed:
        raise failed[min(failed)]
    return [done[index] for index in range(len(items))]
