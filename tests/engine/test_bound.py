"""So many steps are under way over all runs; what waits for its place waits in turn, and holds up nothing that settles."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from assent.invocation import LocalContext
from assent.spec.states import RunState
from tests.support.bodies import (
    Pause,
    Place,
    boom,
    code,
    fail,
    interrupted,
    no_effect,
    policy,
    put,
    rule,
    states,
    workflow,
)

pytestmark = pytest.mark.usefixtures("every_run_replays_equal")


def bound(place: Place, count: int) -> None:
    """At most so many steps at once, in runtimes that are opened from now on."""
    place.workspace.mkdir(exist_ok=True)
    place.workspace.joinpath("assent.toml").write_text(f"[limits]\nconcurrency_of_all = {count}\n")


async def turns(count: int = 20) -> None:
    """Let everything that can move do so, as far as it needs no commit."""
    for _ in range(count):
        await asyncio.sleep(0)


async def settled(rt: Any, runs: int) -> None:
    """Return when so many runs are on record, and the last has had its turns."""
    while len(await rt.unfinished()) < runs:  # noqa: ASYNC110 - the writing thread, not the loop, ends this
        await asyncio.sleep(0.001)
    await turns()


async def test_what_finds_no_place_is_not_begun_and_not_on_record(place: Place) -> None:
    """Of three runs whose first steps are ready, as many have begun as there are places; each begins when one ends."""
    bound(place, 2)
    pauses = {name: Pause() for name in "abc"}
    place.box.before |= pauses
    async with place.open() as rt:
        running = {name: asyncio.ensure_future(rt.run(workflow(put(name)))) for name in "abc"}
        await settled(rt, 3)
        assert place.box.log == ["prepare a", "prepare b", "execute a", "execute b"]
        third = (await rt.unfinished())[-1]
        assert rt.kinds(third) == ["run.created"]
        pauses["b"].go_on.set()
        assert (await running["b"]).status is RunState.SUCCEEDED
        await pauses["c"].reached.wait()
        pauses["a"].go_on.set()
        pauses["c"].go_on.set()
        results = await asyncio.gather(*running.values())
        assert {result.status for result in results} == {RunState.SUCCEEDED}


async def test_principals_have_places_in_turn_then_their_runs(place: Place) -> None:
    """Whoever begins many runs first keeps nobody waiting for longer than one of their steps."""
    bound(place, 1)
    first = Pause()
    place.box.before["ann0"] = first
    async with place.open() as rt:
        wanted = ["ann0", "ann1", "ann2", "bob0", "bob1"]
        running = []
        for number, name in enumerate(wanted):
            steps = (put(name), put(f"{name}_more"))
            principal = f"user:{name[:3]}"
            running.append(asyncio.ensure_future(rt.run(workflow(*steps), principal=principal)))
            await settled(rt, number + 1)
        first.go_on.set()
        await asyncio.gather(*running)
        begun = [line.partition(" ")[2] for line in place.box.log if line.startswith("execute")]
        assert begun[:6] == ["ann0", "ann1", "bob0", "ann2", "bob1", "ann0_more"]
        assert len(begun) == 10


async def test_who_waits_for_a_person_or_another_attempt_holds_no_place(place: Place) -> None:
    """With one place, a run goes on beside one that waits for an approval and one that pauses before it tries again."""
    bound(place, 1)
    place.policy = policy(rule("ask", "REQUIRE_APPROVAL", when={"capability": "box.put_high"}))
    place.box.before["again"] = no_effect
    retry = {"max_attempts": 2, "backoff": {"initial": "1h", "jitter": 0}}
    async with place.open() as rt:
        waiting = await rt.run(workflow(put("asked", "box.put_high")))
        assert waiting.status is RunState.WAITING
        retrying = asyncio.ensure_future(rt.run(workflow(put("again", retry=retry))))
        while not place.box.count("execute", "again"):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        assert (await rt.run(workflow(put("a"), put("b")))).status is RunState.SUCCEEDED
        approved = await rt.approve(waiting.run_id, principal="user:boss")
        assert approved.status is RunState.SUCCEEDED
        cancelled = await rt.cancel((await rt.unfinished())[0])
        assert (await retrying).status is cancelled.status is RunState.CANCELLED


async def test_what_takes_back_needs_no_place_of_what_goes_forward(place: Place) -> None:
    """While steps hold all places for as long as they like, a run is asked about and rolled back, and another undone."""
    bound(place, 2)
    first, second, breaking = Pause(), Pause(), Pause()

    async def breaks(context: LocalContext) -> None:
        await breaking(context)
        boom(context)

    place.box.before |= {"first": first, "second": second, "b": breaks}
    async with place.open() as rt:
        done = await rt.run(workflow(put("done")))
        holding = [asyncio.ensure_future(rt.run(workflow(put("first"))))]
        await first.reached.wait()
        failing = asyncio.ensure_future(rt.run(workflow(put("a"), put("b"))))
        await breaking.reached.wait()
        holding.append(asyncio.ensure_future(rt.run(workflow(put("second")))))
        await settled(rt, 3)
        breaking.go_on.set()
        result = await failing
        assert (result.status, code(result)) == (RunState.ROLLED_BACK, "HANDLER_FAILED")
        assert (await rt.undo(done.run_id)).status is RunState.UNDONE
        await second.reached.wait()
        first.go_on.set()
        second.go_on.set()
        assert {(await one).status for one in holding} == {RunState.SUCCEEDED}
        assert place.box.values == {"first": "first", "second": "second"}


async def test_a_run_in_line_is_cancelled_at_once_and_leaves_its_turn_to_others(place: Place) -> None:
    """Nothing of it had begun, so there is nothing to wait for; whoever stood behind it comes next."""
    bound(place, 1)
    hold = Pause()
    place.box.before["hold"] = hold
    async with place.open() as rt:
        held = asyncio.ensure_future(rt.run(workflow(put("hold"))))
        await hold.reached.wait()
        waiting = [asyncio.ensure_future(rt.run(workflow(put(name)))) for name in "ab"]
        await settled(rt, 3)
        cancelled = await rt.cancel((await rt.unfinished())[1])
        assert (cancelled.status, states(cancelled)) == (RunState.CANCELLED, {"a": "pending"})
        hold.go_on.set()
        results = await asyncio.gather(held, *waiting)
        assert [result.status for result in results] == [
            RunState.SUCCEEDED,
            RunState.CANCELLED,
            RunState.SUCCEEDED,
        ]


async def test_what_is_in_line_when_its_runtime_closes_begins_in_the_next(place: Place) -> None:
    """It is on record as ready and not begun."""
    bound(place, 1)
    hold = Pause()
    place.box.before["hold"] = hold
    async with place.open() as rt:
        running = [asyncio.ensure_future(rt.run(workflow(put(name)))) for name in ("hold", "late")]
        await settled(rt, 2)
        late = (await rt.unfinished())[1]
    for one in running:
        one.exception()
    async with place.open() as rt:
        [result] = await rt.resume(late)
        assert (result.status, result.steps[0].attempts) == (RunState.SUCCEEDED, 1)
        assert place.box.count("reconcile", "late") == 0


async def test_an_interrupted_step_is_asked_about_at_once_and_goes_on_in_its_turn(place: Place) -> None:
    """What settles has a place of its own; to act again needs one of those that go forward."""
    run = await interrupted(place, workflow(put("a")), "a", happened=False)
    bound(place, 1)
    hold = Pause()
    place.box.before["hold"] = hold
    async with place.open() as rt:
        held = asyncio.ensure_future(rt.run(workflow(put("hold"))))
        await hold.reached.wait()
        resumed = asyncio.ensure_future(rt.resume(run))
        while "step.resumed" not in rt.kinds(run):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
        await turns()
        assert (place.box.count("reconcile", "a"), place.box.count("execute", "a")) == (1, 1)
        hold.go_on.set()
        [result] = await resumed
        assert ((await held).status, result.status) == (RunState.SUCCEEDED, RunState.SUCCEEDED)
        assert place.box.count("execute", "a") == 2


async def test_a_run_that_a_handler_begins_needs_no_place_beside_the_handlers(place: Place) -> None:
    """Otherwise as many handlers as there are places would wait for each other for ever."""
    bound(place, 1)
    async with place.open() as rt:

        async def begin_another(context: LocalContext) -> None:
            assert (await rt.run(workflow(put("inner"), put("more")))).status is RunState.SUCCEEDED

        place.box.before["outer"] = begin_another
        assert (await rt.run(workflow(put("outer")))).status is RunState.SUCCEEDED
        assert (await rt.run(workflow(put("after")))).status is RunState.SUCCEEDED


async def test_no_place_is_lost_whatever_becomes_of_a_step(place: Place) -> None:
    """After runs that succeeded, failed, were denied, skipped, tried again, looped and cancelled, all places are free."""
    bound(place, 3)
    place.policy = policy(rule("never", "DENY", when={"capability": "box.put_low"}))
    chance, living, most = random.Random(7), 0, 0

    async def counted(context: LocalContext) -> None:
        nonlocal living, most
        living += 1
        most = max(most, living)
        await asyncio.sleep(0)
        living -= 1

    async def retried(context: LocalContext) -> None:
        await counted(context)
        if context.attempt == 1:
            no_effect(context)

    async with place.open() as rt:
        again: dict[str, Any] = {"retry": {"max_attempts": 2, "backoff": {"initial": "1ms", "jitter": 0}}}
        running: list[asyncio.Future[Any]] = []
        for number in range(30):
            names = [f"s{number}{letter}" for letter in "abc"]
            place.box.before |= dict.fromkeys(names, counted) | {names[1]: retried}
            last = chance.choice(
                [
                    put(names[2]),
                    put(names[2], "box.put_low"),
                    fail(names[2]),
                    put(names[2], when="false"),
                    {**put(names[2]), "foreach": "${{ [1, 2, 3, 4] }}"},
                ]
            )
            document = workflow(put(names[0], depends_on=[]), put(names[1], depends_on=[], **again), last)
            running.append(asyncio.ensure_future(rt.run(document)))
            if number % 4 == 3:
                await settled(rt, 1)
                running.append(asyncio.ensure_future(rt.cancel((await rt.unfinished())[-1])))
        await asyncio.gather(*running, return_exceptions=True)
        assert most == 3
        pauses = {f"free{number}": Pause() for number in range(3)}
        place.box.before |= pauses
        last_ones = [asyncio.ensure_future(rt.run(workflow(put(name)))) for name in pauses]
        for pause in pauses.values():
            await pause.reached.wait()
            pause.go_on.set()
        await asyncio.gather(*last_ones)
