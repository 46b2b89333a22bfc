"""A run that has ended takes no memory, and what it took is free for the next one at once."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from assent.engine.drive._actor import RunActor
from assent.errors import InputError
from tests.support.bodies import Pause, Place, boom, put, workflow
from tests.support.patience import PATIENCE_S


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "is rolled back"])
async def test_ended_run_is_freed_without_the_collector(
    place: Place, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """What drove a run forms no cycle when the run is over."""
    if fails:
        place.box.before["b"] = boom
    async with place.open() as rt:
        made: list[weakref.ref[RunActor]] = []
        make = rt.engine.make_actor

        def remembered(*args: Any, **named: Any) -> RunActor:
            actor = make(*args, **named)
            made.append(weakref.ref(actor))
            return actor

        monkeypatch.setattr(rt.engine, "make_actor", remembered)
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            await rt.run(workflow(put("a"), put("b")))
            await asyncio.sleep(0)  # the loop lets go of the task that ended last
            assert [actor() for actor in made] == [None]
        finally:
            if was_enabled:
                gc.enable()


async def test_a_run_whose_caller_left_is_let_go_of_once_it_has_ended(place: Place) -> None:
    """A program that gives up waiting, and one that tells an ended run something, leave nothing behind."""
    pause = place.box.before["a"] = Pause()
    async with place.open() as rt:
        waiting = asyncio.ensure_future(rt.run(workflow(put("a"))))
        await pause.reached.wait()
        waiting.cancel()
        await asyncio.wait({waiting})
        [run] = await rt.unfinished()
        assert rt._core.running.under_way() == [run]
        pause.go_on.set()
        async with asyncio.timeout(PATIENCE_S):
            while await rt.unfinished():  # noqa: ASYNC110 - it goes on by itself, and nobody is told when it ends
                await asyncio.sleep(0.001)
        with pytest.raises(InputError, match="has already ended"):
            await rt.cancel(run)
        await rt.run(workflow(put("b")))
        assert rt.engine._actors == {}
