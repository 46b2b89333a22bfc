"""Idle workers wait for whoever needs one of their kind, and what a worker gives is read as nothing else than its part gives."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from assent import system
from assent.errors import AssentError
from assent.plugins.worker import Child, Needs
from assent.plugins.worker._frames import Done, WireError
from assent.plugins.worker._host import HostLoop
from assent.plugins.worker._pool import KINDS_MAX, Pool
from assent.plugins.worker._process import WorkerProcess
from assent.plugins.worker._remote import _read
from tests.support.patience import PATIENCE_S
from tests.support.workers import Nursery


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as found:
        yield found


async def filled(pool: Pool, count: int) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while pool.idle < count:  # noqa: ASYNC110  # another task starts them
            await asyncio.sleep(0.01)


async def test_an_idle_worker_is_taken_and_replaced(threads: ThreadPoolExecutor) -> None:
    nursery, needs = Nursery(), Needs(())
    pool = Pool(nursery.launch_thread, system.spawn, threads, spare=1, refill_s=0)
    first = await pool.take(needs, "first")
    await filled(pool, 1)
    second = await pool.take(needs, "second")
    assert (first.name, second.name, len(nursery.children)) == ("first", "second", 2)
    await filled(pool, 1)
    await pool.close()
    assert pool.idle == 0
    assert first.is_alive
    await first.end()
    await second.end()


async def test_a_worker_that_died_while_it_waited_is_not_given(threads: ThreadPoolExecutor) -> None:
    nursery, needs = Nursery(), Needs(())
    pool = Pool(nursery.launch_thread, system.spawn, threads, spare=1, refill_s=0)
    first = await pool.take(needs, "first")
    await filled(pool, 1)
    nursery.children[1].kill()
    (waiting,) = pool._idle[needs]
    await waiting.ended.wait()
    second = await pool.take(needs, "second")
    assert second.is_alive
    await pool.close()
    await first.end()
    await second.end()


async def test_what_a_refill_brings_while_another_is_started_is_kept(threads: ThreadPoolExecutor) -> None:
    """Nobody would end a worker that nobody knows."""
    nursery, needs, goes_on = Nursery(), Needs(()), asyncio.Event()

    async def launch(needs: Needs) -> Child:
        if asyncio.current_task() is slow:
            await goes_on.wait()
        return await nursery.launch_thread(needs)

    pool = Pool(launch, system.spawn, threads, spare=1, refill_s=0)
    slow: asyncio.Task[WorkerProcess] | None = None
    first = await pool.take(needs, "first")
    slow = asyncio.create_task(pool.take(needs, "second"))
    await filled(pool, 1)
    goes_on.set()
    second = await slow
    assert pool.idle == 1
    await pool.close()
    await first.end()
    await second.end()
    assert pool.idle == 0


async def test_only_the_last_kinds_have_idle_workers(threads: ThreadPoolExecutor) -> None:
    nursery = Nursery()
    pool = Pool(nursery.launch_thread, system.spawn, threads, spare=1, refill_s=0)
    taken = []
    for number in range(KINDS_MAX + 2):
        taken.append(await pool.take(Needs((str(number),)), "one"))
        await filled(pool, min(number + 1, KINDS_MAX))
    assert Needs(("0",)) not in pool._idle
    await pool.close()
    for worker in taken:
        await worker.end()


@pytest.mark.parametrize(
    ("part", "done"),
    [
        ("prepare", Done(1, b"[1]")),
        ("prepare", Done(1, b'{"state": {}, "blobs": [1]}')),
        ("preview", Done(1, b'["text", "diff"]')),
        ("reconcile", Done(1, b'["perhaps", null, false]')),
        ("execute", Done(1, b"1", WireError("refused", "SOME_CODE", "m"))),
    ],
)
def test_what_no_such_part_gives_is_refused(part: str, done: Done) -> None:
    with pytest.raises(AssentError) as refused:
        _read(part, done)
    assert refused.value.code == "PLUGIN_MISBEHAVED"


def test_a_loop_that_never_ran_is_stopped_without_harm() -> None:
    loop = HostLoop()
    loop.post(print, "nobody hears it")
    loop.stop()
    assert not loop.is_running
