"""So many runs are driven at once; what may not begin yet is on record, costs next to nothing, and begins in a fair order."""

from __future__ import annotations

import asyncio
import tracemalloc
from typing import Any

import pytest

from assent.cli import main
from assent.engine import Actor, Blueprint
from assent.errors import AssentError, WorldError
from assent.invocation import LocalContext
from assent.invocation.context.telling import telling
from assent.runtime.service import requests
from assent.runtime.service.service import Service
from assent.spec.ids import RunId
from assent.spec.principal import Principal
from assent.spec.states import RunState
from tests.support.bodies import Pause, Place, policy, put, rule, workflow

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")

QUEUED_BYTES_MAX = 20_000


def bound(place: Place, runs: int, queue: int = 10_000) -> None:
    """At most so many runs at work and in line, in runtimes that are opened from now on."""
    place.workspace.mkdir(exist_ok=True)
    place.workspace.joinpath("assent.toml").write_text(f"[limits]\nruns = {runs}\nqueue = {queue}\n")


async def queued(rt: Any, count: int) -> None:
    """Return when so many runs are on record that have not begun."""
    rows = rt._core.ready.journal.rows
    while len(await rows("runs", {"status": "pending"}, limit=count + 1)) != count:  # noqa: ASYNC110 - a thread ends it
        await asyncio.sleep(0.001)


async def ended(rt: Any) -> None:
    """Return when every run has ended."""
    while await rt.unfinished():  # noqa: ASYNC110 - as above
        await asyncio.sleep(0.001)


def begun(place: Place) -> list[str]:
    return [line.partition(" ")[2] for line in place.box.log if line.startswith("execute")]


async def test_the_next_is_of_the_highest_priority_and_there_in_turn_among_principals(place: Place) -> None:
    bound(place, 1)
    first = place.box.before["first"] = Pause()
    wanted = [("ann", 5), ("ann", 5), ("bob", 5), ("ann", 9), ("bob", 0), ("bob", 9)]
    async with place.open() as rt:
        running = [asyncio.ensure_future(rt.run(workflow(put("first"))))]
        await first.reached.wait()
        for number, (who, priority) in enumerate(wanted):
            step = put(f"{who}{priority}_{number}")
            running.append(
                asyncio.ensure_future(rt.run(workflow(step), principal=f"user:{who}", priority=priority))
            )
            await queued(rt, number + 1)
        first.go_on.set()
        assert {one.status for one in await asyncio.gather(*running)} == {RunState.SUCCEEDED}
        assert begun(place) == ["first", "ann9_3", "bob9_5", "ann5_0", "bob5_2", "ann5_1", "bob0_4"]
        assert rt._core.running.admission().running == 0


async def test_what_finds_no_room_in_line_leaves_nothing_on_record(place: Place) -> None:
    bound(place, 1, queue=1)
    first = place.box.before["first"] = Pause()
    async with place.open() as rt:
        running = [asyncio.ensure_future(rt.run(workflow(put("first"))))]
        await first.reached.wait()
        # Two at once, while the first of them is being put on record.
        racing = [asyncio.ensure_future(rt.run(workflow(put(name)))) for name in "ab"]
        await queued(rt, 1)
        with pytest.raises(WorldError) as caught:
            await racing[1]
        assert caught.value.code == "QUEUE_FULL"
        assert len(await rt.unfinished()) == 2
        health = await Service(rt._core.settings, rt._core).perform(requests.Health())
        assert health is not None
        assert (health.admission.running, health.admission.queued, health.admission.queue) == (1, 1, 1)
        rt._core.running.drain()
        with pytest.raises(WorldError) as caught:
            await rt.call("box.put", {"key": "c"})
        assert caught.value.code == "DRAINING"
        assert (await racing[0]).status is RunState.PENDING, "who waits is told how it stands"
        first.go_on.set()
        assert (await running[0]).status is RunState.SUCCEEDED
        await asyncio.sleep(0)
        assert begun(place) == ["first"], "what drains begins nothing"
    place.box.before.clear()
    async with place.open() as rt:
        (result,) = await rt.resume()
        assert result.status is RunState.SUCCEEDED
    assert begun(place) == ["first", "a"]


async def test_a_run_in_line_is_some_bytes_and_no_task(place: Place) -> None:
    """None of them is waited for, as by a door that answers at once; who listens to the run before them hears of that alone."""
    bound(place, 1)
    heard: set[RunId] = set()
    first = place.box.before["first"] = Pause()
    async with place.open() as rt:
        with telling(lambda run, *_: heard.add(run)):
            running = asyncio.ensure_future(rt.run(workflow(put("first"))))
        await first.reached.wait()
        driver, who = rt._core.running, Actor(Principal.parse("user:ann"))

        async def start(name: str) -> RunId:
            return await driver.start(Blueprint.of_call("box.put", {"key": name}), {"key": name}, who)

        await asyncio.gather(*(start(f"warm{number}") for number in range(50)))
        tasks = len(asyncio.all_tasks())
        tracemalloc.start()
        before, _ = tracemalloc.get_traced_memory()
        await asyncio.gather(*(start(f"n{number}") for number in range(200)))
        after, _ = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        assert len(asyncio.all_tasks()) == tasks
        assert (after - before) / 200 < QUEUED_BYTES_MAX
        first.go_on.set()
        done = await running
        await queued(rt, 0)
        await ended(rt)
    assert len(begun(place)) == 251
    assert heard == {done.run_id}


async def test_only_what_has_not_begun_waits(place: Place) -> None:
    """A run that is approved, one that is cancelled in line, and one that a handler begins go on though none may begin."""
    bound(place, 1)
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}))
    first = Pause()
    inner: list[RunState] = []
    async with place.open() as rt:

        async def begins(context: LocalContext) -> None:
            inner.append((await rt.run(workflow(put("inner")))).status)
            await first(context)

        place.box.before["first"] = begins
        waiting = await rt.run(workflow(put("asked", "box.put_high")))
        running = asyncio.ensure_future(rt.run(workflow(put("first"))))
        await first.reached.wait()
        assert inner == [RunState.SUCCEEDED]
        left, cancelled = (asyncio.ensure_future(rt.run(workflow(put(name)))) for name in ("left", "never"))
        await queued(rt, 2)
        assert (await rt.approve(waiting.run_id, principal="user:boss")).status is RunState.SUCCEEDED
        last = (await rt.unfinished())[-1]
        assert (await rt.cancel(last)).status is (await cancelled).status is RunState.CANCELLED
        left.cancel()  # who asked goes away: what is on record goes on
        first.go_on.set()
        await running
        await ended(rt)
    assert begun(place) == ["first", "inner", "asked", "left"]


@pytest.mark.parametrize("priority", [-1, 11, "high", 1.5])
async def test_a_priority_is_from_0_to_10(
    place: Place, priority: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    async with place.open() as rt:
        with pytest.raises(AssentError, match="priority"):
            await rt.call("box.put", {"key": "a"}, priority=priority)
    assert main(["call", "sys.noop", "--priority", str(priority)]) == 2
    assert "--priority" in capsys.readouterr().err
