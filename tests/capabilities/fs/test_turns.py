"""Calls that change the same files do so one after the other, and others do not wait for them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from types import SimpleNamespace
from typing import Any

import pytest

from assent.capabilities.fs.change._turns import in_turn, whole
from assent.invocation import CancelToken, NoEffectError
from tests.support.patience import PATIENCE_S

HERE, THERE = object(), object()


def context(world: object = HERE, cancel: CancelToken | None = None) -> Any:
    """What a turn asks of a call: its world, and whether it is still wanted."""
    return SimpleNamespace(world=SimpleNamespace(files=world), cancel=cancel or CancelToken())


def begin(work: Callable[[], None]) -> Future[None]:
    threads = ThreadPoolExecutor(1)
    try:
        return threads.submit(work)
    finally:
        threads.shutdown(wait=False)


@pytest.mark.parametrize(
    ("mine", "its"), [("a/b", "a/b"), ("a/b", "A/B"), ("a", "a/b/c"), ("a/b/c", "a"), (".", "a")]
)
def test_who_changes_the_same_waits_for_its_turn(mine: str, its: str) -> None:
    order: list[str] = []
    waits = threading.Event()

    class Watched(CancelToken):
        @property
        def is_cancelled(self) -> bool:
            waits.set()  # whoever waits asks whether it is still wanted
            return False

    def second() -> None:
        with in_turn(context(cancel=Watched()), ["other", its]):
            order.append("second")

    with in_turn(context(), [mine, "x"]):
        after = begin(second)
        assert waits.wait(PATIENCE_S)
        order.append("first")
    after.result(PATIENCE_S)
    assert order == ["first", "second"]


@pytest.mark.parametrize(("its", "world"), [("a/bc", HERE), ("b", HERE), ("a/b", THERE)])
def test_who_changes_something_else_does_not_wait(its: str, world: object) -> None:
    with in_turn(context(), ["a/b"]), in_turn(context(world), [its]):
        pass


def test_who_is_not_wanted_any_more_gives_up_its_turn() -> None:
    cancel = CancelToken()
    cancel.cancel()
    with (
        in_turn(context(), ["a"]),
        pytest.raises(NoEffectError) as caught,
        in_turn(context(cancel=cancel), ["a"]),
    ):
        pass
    assert caught.value.code == "CALL_CANCELLED"
    with in_turn(context(), ["a"]):
        pass


async def test_an_async_part_that_is_ended_twice_still_waits_for_its_thread() -> None:
    """Nothing goes on behind the back of whoever ended it, who may give the files up next."""
    begun, release, ended = threading.Event(), threading.Event(), []

    def work() -> None:
        begun.set()
        assert release.wait(PATIENCE_S)
        ended.append("thread")

    part = asyncio.ensure_future(whole(context(), work))
    async with asyncio.timeout(PATIENCE_S):
        while not begun.is_set():  # noqa: ASYNC110 - a thread says so
            await asyncio.sleep(0.001)
    for _ in range(2):
        part.cancel()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    assert not part.done()
    release.set()
    await asyncio.wait({part})
    assert part.cancelled()
    assert ended == ["thread"]
