"""A coroutine is started at once and put under a limit only when it really waits; cancellation stays what it was."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

import pytest

from assent.invocation.call._waiting import LimitReachedError, Rest, is_own_cancel, within
from tests.support.patience import PATIENCE_S


async def at_once() -> str:
    return "now"


async def later() -> str:
    await asyncio.sleep(0)
    return "later"


async def for_ever() -> None:
    await asyncio.Event().wait()


@pytest.mark.parametrize("timeout_s", [None, 20.0])
async def test_what_it_gives_is_what_the_coroutine_gives(timeout_s: float | None) -> None:
    class Odd:
        def __await__(self) -> Generator[Any, None, str]:
            return later().__await__()

    future: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(future.set_result, "future")
    work: list[Awaitable[str]] = [at_once(), later(), Odd(), future]
    assert [await within(one, timeout_s) for one in work] == ["now", "later", "later", "future"]


async def test_no_timer_is_armed_for_one_that_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(delay: float | None) -> Any:
        raise AssertionError("a timer was armed")

    monkeypatch.setattr("assent.invocation.call._waiting.asyncio.timeout", refuse)
    assert await within(at_once(), 5) == "now"


async def test_its_first_step_runs_at_once_in_the_callers_task() -> None:
    tasks: list[object] = []

    async def look() -> None:
        tasks.append(asyncio.current_task())
        await asyncio.sleep(0)
        tasks.append(asyncio.current_task())

    await within(look(), 5)
    assert tasks == [asyncio.current_task()] * 2


async def test_at_the_limit_it_is_cancelled_and_awaited() -> None:
    ended = []

    async def slow() -> None:
        try:
            await for_ever()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    with pytest.raises(LimitReachedError):
        await within(slow(), 0.01)
    task = asyncio.current_task()
    assert (ended, task is not None and task.cancelling()) == ([True], 0)


async def test_a_result_given_in_spite_of_the_limits_cancel_is_kept() -> None:
    async def stubborn() -> str:
        try:
            await for_ever()
        except asyncio.CancelledError:
            return "anyway"
        return "never"

    assert await within(stubborn(), 0.01) == "anyway"


async def test_a_timeout_that_it_opened_before_ours_stays_its_own() -> None:
    async def inner() -> str:
        try:
            async with asyncio.timeout(0.01):
                await for_ever()
        except TimeoutError:
            return "mine"
        return "never"

    assert await within(inner(), 20) == "mine"


async def test_ours_passes_through_a_timeout_that_it_opened_before() -> None:
    async def inner() -> None:
        async with asyncio.timeout(PATIENCE_S):
            await for_ever()

    with pytest.raises(LimitReachedError):
        await within(inner(), 0.01)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0


async def test_when_both_pass_in_one_turn_both_take_their_own_cancel_back() -> None:
    """The outer wins, as it would if it had been opened first."""

    async def inner() -> None:
        async with asyncio.timeout(0):
            await for_ever()

    with pytest.raises((LimitReachedError, TimeoutError)):
        await within(inner(), 0)
    task = asyncio.current_task()
    assert task is not None
    assert task.cancelling() == 0
    await asyncio.sleep(0)


async def test_a_task_group_that_it_opened_before_ours_ends_its_tasks() -> None:
    ended = []

    async def child() -> None:
        try:
            await for_ever()
        finally:
            ended.append(True)

    async def inner() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(child())
            group.create_task(child())

    with pytest.raises(LimitReachedError):
        await within(inner(), 0.01)
    assert ended == [True, True]


async def test_its_own_timeout_error_is_not_ours() -> None:
    async def impatient() -> None:
        await asyncio.sleep(0)
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await within(impatient(), 20)


async def test_a_cancel_from_outside_reaches_it_and_goes_on() -> None:
    told: list[bool] = []

    async def work() -> None:
        try:
            await for_ever()
        except asyncio.CancelledError:
            told.append(is_own_cancel())
            raise

    task = asyncio.ensure_future(within(work(), 20))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (told, task.cancelled()) == ([False], True)


async def test_one_that_cancels_itself_is_told_from_one_that_is_cancelled() -> None:
    async def give_up() -> None:
        await asyncio.sleep(0)
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        await within(give_up(), 20)
    assert is_own_cancel()


async def test_errors_and_cleanups_after_the_first_step_pass_as_they_are() -> None:
    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("later")

    with pytest.raises(ValueError, match="later"):
        await within(fails(), 20)


def test_one_that_is_given_up_is_closed() -> None:
    closed = []

    async def work() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            closed.append(True)

    async def whole() -> None:
        steps = work()
        await Rest(steps, steps.send(None))

    coroutine = whole()
    coroutine.send(None)
    coroutine.close()
    assert closed == [True]
