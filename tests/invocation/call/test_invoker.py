"""One part is called to its end: by its own return, by its exception, or because its time was up."""

from __future__ import annotations

import asyncio
import functools
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import pytest

from assent.capabilities.fs import Workspace
from assent.errors import AssentError
from assent.invocation import CallTimeoutError, CancelToken, Invoker, LocalContext
from assent.spec.ids import RunId, StepKey
from assent.spec.principal import Principal
from tests.support.hands import MemoryBlobs
from tests.support.patience import PATIENCE_S


@pytest.fixture
def invoker() -> Iterator[Invoker]:
    """One that waits 50 ms for a cancelled thread."""
    with ThreadPoolExecutor(2) as threads:
        yield Invoker(threads, grace_s=1)


@pytest.fixture
def context(tmp_path: Path) -> Iterator[LocalContext]:
    """A call of nothing in particular."""
    world = Workspace.open(tmp_path, hidden=[tmp_path / ".assent"], read_only=())
    yield LocalContext(
        run=RunId("run_1"),
        step=StepKey("a"),
        attempt=1,
        principal=Principal.parse("user:ann"),
        key="k",
        world=world,
        blobs=MemoryBlobs(),
        cancel=CancelToken(),
    )
    world.close()


async def a_coroutine(context: LocalContext, parameters: Any) -> Any:
    return [parameters, threading.get_ident()]


def a_function(context: LocalContext, parameters: Any) -> Any:
    return [parameters, threading.get_ident()]


def a_relay(context: LocalContext, parameters: Any) -> Any:
    """A sync function that hands back a coroutine, as a lambda around an async one does."""
    return a_coroutine(context, parameters)


class AnObject:
    async def __call__(self, context: LocalContext, parameters: Any) -> Any:
        return [parameters, threading.get_ident()]


@pytest.mark.parametrize("timeout_s", [None, 5.0])
@pytest.mark.parametrize(
    ("part", "in_thread"),
    [
        (a_coroutine, False),
        (functools.partial(a_coroutine), False),
        (AnObject(), False),
        (a_relay, False),
        (a_function, True),
    ],
    ids=["coroutine", "partial", "object", "relay", "function"],
)
async def test_every_shape_of_part_is_called(
    invoker: Invoker, context: LocalContext, part: Any, in_thread: bool, timeout_s: float | None
) -> None:
    """Async ones on the loop, sync ones in a worker thread, so that neither blocks the other steps."""
    value, thread = await invoker.invoke(part, context, 7, timeout_s=timeout_s)
    assert (value, thread != threading.get_ident()) == (7, in_thread)


async def test_its_own_exception_passes_through_also_a_timeout_of_its_own(
    invoker: Invoker, context: LocalContext
) -> None:
    """Only our own limit is a `CallTimeoutError`."""

    async def impatient(context: LocalContext, parameters: Any) -> None:
        raise TimeoutError("mine")

    with pytest.raises(TimeoutError, match="mine"):
        await invoker.invoke(impatient, context, None, timeout_s=5)


@pytest.mark.parametrize("relayed", [False, True])
async def test_an_async_part_past_its_limit_is_cancelled_and_awaited(
    invoker: Invoker, context: LocalContext, relayed: bool
) -> None:
    ended = []

    async def hang(context: LocalContext, parameters: Any) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(True)

    def relay(context: LocalContext, parameters: Any) -> Any:
        return hang(context, parameters)

    with pytest.raises(CallTimeoutError) as caught:
        await invoker.invoke(relay if relayed else hang, context, None, timeout_s=0.01)
    assert (ended, caught.value.is_alive, invoker.is_alive(context.key)) == ([True], False, False)


async def test_a_sync_part_that_heeds_the_token_is_waited_for(
    invoker: Invoker, context: LocalContext
) -> None:
    with pytest.raises(CallTimeoutError) as caught:
        await invoker.invoke(lambda c, p: c.cancel.wait(20), context, None, timeout_s=0.01)
    assert not caught.value.is_alive


async def test_a_thread_past_the_grace_is_known_to_live_until_it_ends(
    invoker: Invoker, context: LocalContext
) -> None:
    release = threading.Event()
    with pytest.raises(CallTimeoutError) as caught:
        await invoker.invoke(lambda c, p: release.wait(20), context, None, timeout_s=0.01)
    assert caught.value.is_alive
    assert invoker.is_alive(context.key)
    assert not invoker.is_alive("another")
    release.set()
    async with asyncio.timeout(PATIENCE_S):
        while invoker.is_alive(context.key):  # noqa: ASYNC110 - the thread ends it, not the loop
            await asyncio.sleep(0.001)


async def test_a_caller_that_is_cancelled_waits_for_the_thread(
    invoker: Invoker, context: LocalContext
) -> None:
    """Whoever stops a run may rely on it: no effect goes on behind its back within the grace."""
    begun, ended = threading.Event(), []

    def work(context: LocalContext, parameters: Any) -> None:
        begun.set()
        context.cancel.wait(20)
        ended.append(True)

    task = asyncio.ensure_future(invoker.invoke(work, context, None))
    await asyncio.to_thread(begun.wait)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert ended == [True]


async def test_a_part_that_cancels_itself_has_failed(invoker: Invoker, context: LocalContext) -> None:
    async def give_up(context: LocalContext, parameters: Any) -> None:
        raise asyncio.CancelledError

    with pytest.raises(AssentError) as caught:
        await invoker.invoke(give_up, context, None)
    assert caught.value.code == "HANDLER_FAILED"


@pytest.mark.parametrize("raised", [StopIteration, SystemExit, KeyboardInterrupt])
async def test_what_no_future_can_hold_fails_the_call_at_once(
    invoker: Invoker, context: LocalContext, raised: type[BaseException]
) -> None:
    """`next` of nothing, or `sys.exit`, in a sync part ends the part: not the wait for it never, and not the loop."""

    def part(context: LocalContext, parameters: Any) -> None:
        raise raised

    with pytest.raises(RuntimeError, match=raised.__name__):
        await invoker.invoke(part, context, None)
    assert not invoker.is_alive(context.key)


async def test_what_no_thread_has_begun_has_no_limit_and_never_begins_once_it_is_given_up(
    context: LocalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where others than the invoker keep a part from its thread: its time is its own, and so is its end."""
    release, performed, ahead_s = threading.Event(), list[str](), 0.0
    loop = asyncio.get_running_loop()
    real = loop.time
    monkeypatch.setattr(loop, "time", lambda: real() + ahead_s)
    with ThreadPoolExecutor(1) as threads:
        invoker = Invoker(threads, grace_s=30)
        holding = threads.submit(release.wait, 30)
        patient, given_up = (
            asyncio.ensure_future(
                invoker.invoke(lambda c, p: performed.append(p), context, name, timeout_s=60)
            )
            for name in ("patient", "given up")
        )
        await asyncio.sleep(0)
        ahead_s += 600
        for _ in range(5):
            await asyncio.sleep(0)
        given_up.cancel()
        with pytest.raises(asyncio.CancelledError):
            await given_up
        release.set()
        assert holding.result()
        await patient
    assert (performed, invoker.is_alive(context.key)) == (["patient"], False)


async def test_a_part_begins_where_its_time_does(invoker: Invoker, context: LocalContext) -> None:
    """Beginning and end are told right there, on the loop or in the part's own thread; of a part on the loop, its beginning."""
    told: list[object] = []

    class Heard:
        def begin(self) -> None:
            told.extend(["begins", threading.get_ident()])

        def end(self) -> None:
            told.extend(["ended", threading.get_ident()])

    for part in (a_coroutine, a_function):
        _, thread = await invoker.invoke(part, context, 7, at=Heard())
        assert told == ["begins", thread] + ["ended", thread] * (part is a_function)
        told.clear()


async def test_a_context_variable_that_a_sync_part_sets_is_gone_with_its_call(context: LocalContext) -> None:
    """Calls that share a thread share nothing else, and a part sees the variables of its caller."""
    seen: ContextVar[str] = ContextVar("seen", default="nothing")
    seen.set("the caller's")

    def part(context: LocalContext, parameters: Any) -> str:
        found = seen.get()
        seen.set("another call's")
        return found

    with ThreadPoolExecutor(1) as threads:
        invoker = Invoker(threads)
        assert [await invoker.invoke(part, context, None) for _ in range(2)] == ["the caller's"] * 2


async def test_a_coroutine_that_a_sync_part_hands_back_has_what_is_left_of_its_time(
    invoker: Invoker, context: LocalContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One limit holds for both: what the thread took is gone."""
    limits: list[float | None] = []

    async def within(work: Any, timeout_s: float | None) -> Any:
        limits.append(timeout_s)
        return await work

    def part(context: LocalContext, parameters: Any) -> Any:
        threading.Event().wait(0.02)
        return a_coroutine(context, parameters)

    monkeypatch.setattr("assent.invocation.call._invoker.within", within)
    await invoker.invoke(part, context, None, timeout_s=30)
    assert [limit is not None and 0 < limit <= 30 - 0.02 for limit in limits] == [True]
