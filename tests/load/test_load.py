"""Many of everything at once: nothing is in doubt, nothing piles up, and what waits costs next to nothing.

`make test` tries each with a few; `make load` with as many as a busy installation has, and prints what they took. The figures of
`docs/benchmarks.md` are from there.
"""

from __future__ import annotations

import asyncio
import gc
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from assent.invocation import Handler, LocalContext
from assent.runtime.service._reading import Reader
from assent.spec.states import RunState
from tests.support.bodies import Bench, Place, policy, put_spec, rule

WAITING_BYTES_MAX = 20_000
"""What a run that waits for a person may take, on disk and of memory."""

AT_ONCE = 200
"""Runs that a test begins together where they do not have to be under way together."""


@dataclass(frozen=True)
class Size:
    """How many there are of what a test has many of."""

    calls: int
    waiting: int
    entries: int


SMALL, FULL = Size(200, 300, 2_000), Size(2_000, 10_000, 200_000)


@pytest.fixture
def size(request: pytest.FixtureRequest) -> Size:
    """A few, or with `--load` as many as a busy installation has."""
    return FULL if request.config.getoption("load_full") else SMALL


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Whatever is HIGH waits for a person, for an hour at most; all else is allowed."""
    asks = rule("ask", "REQUIRE_APPROVAL", when={"risk_level": "HIGH"}, approvers={"expires": "1h"})
    return Place(tmp_path, policy=policy(asks))


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print what the work inside took; nothing is asserted about it, since machines differ."""
    wall, cpu = time.perf_counter(), time.process_time()
    yield
    print(f"{what}: {time.perf_counter() - wall:.1f} s, {time.process_time() - cpu:.1f} s of processor time")  # noqa: T201


def slow(rt: Bench, place: Place) -> None:
    """A handler that takes its time in a thread, and one that takes it on the loop; both change the world."""

    def in_a_thread(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        time.sleep(0.02)
        return {"key": parameters["key"]}

    async def on_the_loop(context: LocalContext, parameters: dict[str, Any]) -> dict[str, Any]:
        await asyncio.sleep(0.02)
        return {"key": parameters["key"]}

    for name, execute in (("load.thread", in_a_thread), ("load.loop", on_the_loop)):
        handler: Handler = place.box.handler(execute=execute, reconcile=None)
        rt.register(put_spec(name, timeout=60.0), handler)


async def test_many_slow_calls_at_once_all_succeed_and_none_is_in_doubt(place: Place, size: Size) -> None:
    """What waits for a thread, or for its turn, has not begun, and its time has not either."""
    async with place.open() as rt:
        slow(rt, place)
        with timed(f"{size.calls} calls at once"):
            results = await asyncio.gather(
                *(
                    rt.call(("load.thread", "load.loop")[number % 2], {"key": str(number)})
                    for number in range(size.calls)
                )
            )
        assert {result.status for result in results} == {RunState.SUCCEEDED}
        assert [result.outputs for result in results] == [{"key": str(n)} for n in range(size.calls)]
        assert rt.engine._actors == {}
        assert not await rt.unfinished()


async def test_many_runs_wait_on_disk_and_off_and_go_on_when_they_are_told(place: Place, size: Size) -> None:
    """None of them is in memory; each comes back from the journal, and what nobody answers in time is rejected."""
    async with place.open() as rt:
        await wait_for_a_person(rt, AT_ONCE)
    stored = on_disk(place)
    async with place.open() as rt:
        await wait_for_a_person(rt, 1)  # what is made once is made by the first, however many follow
        gc.collect()
        tracemalloc.start()
        before = tracemalloc.get_traced_memory()[0]
        with timed(f"{size.waiting} runs begun that wait"):
            runs = await wait_for_a_person(rt, size.waiting)
        gc.collect()
        taken = (tracemalloc.get_traced_memory()[0] - before) / size.waiting
        tracemalloc.stop()
        assert rt.engine._actors == {}
        assert taken < WAITING_BYTES_MAX
    kept = (on_disk(place) - stored) / size.waiting
    print(f"a waiting run takes {taken:.0f} bytes of memory and {kept:.0f} on disk")  # noqa: T201
    assert kept < WAITING_BYTES_MAX
    with timed(f"opened with {size.waiting} runs that wait"):
        opened = place.open()
        rt = await opened.__aenter__()
    try:
        with timed(f"{size.waiting} waiting runs resumed"):
            results = await rt.resume()
        assert {result.status for result in results} == {RunState.WAITING}
        with timed(f"{AT_ONCE} of them approved at once"):
            approved = await asyncio.gather(*(rt.approve(run) for run in runs[:AT_ONCE]))
        assert {result.status for result in approved} == {RunState.SUCCEEDED}
        assert rt.engine._actors == {}
    finally:
        await opened.__aexit__(None, None, None)
    with Reader.open(place.settings()) as reader:
        assert reader.verify()["ok"] is True


async def test_a_long_ledger_verifies_and_what_comes_after_it_is_as_quick(place: Place, size: Size) -> None:
    async with place.open() as rt:
        with timed(f"a ledger of {size.entries} entries written"):
            while (await rt._core.ready.journal.head()).size < size.entries:
                await asyncio.gather(*(rt.call("sys.noop") for _ in range(AT_ONCE)))
    with timed("opened, and a call"):
        async with place.open() as rt:
            assert (await rt.call("sys.noop")).status is RunState.SUCCEEDED
    with Reader.open(place.settings()) as reader:
        with timed("the newest five runs"):
            assert len(reader.runs(limit=5)) == 5
        with timed("verified"):
            assert reader.verify()["ok"] is True


async def wait_for_a_person(rt: Bench, count: int) -> list[str]:
    """So many calls that wait for an approval; their ids."""
    runs: list[str] = []
    for first in range(0, count, AT_ONCE):
        numbers = range(first, min(count, first + AT_ONCE))
        for result in await asyncio.gather(
            *(rt.call("box.put_high", {"key": str(number), "value": number}) for number in numbers)
        ):
            assert result.status is RunState.WAITING
            runs.append(result.run_id)
    return runs


def on_disk(place: Place) -> int:
    """The bytes of the state directory's files."""
    return sum(path.stat().st_size for path in (place.root / "state").rglob("*") if path.is_file())
