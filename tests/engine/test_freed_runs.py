"""A run that has ended takes no memory, and what it took is free for the next one at once."""

from __future__ import annotations

import asyncio
import gc
import weakref
from typing import Any

import pytest

from assent.engine._actor import RunActor
from tests.support.bodies import Place, boom, put, workflow


@pytest.mark.parametrize("fails", [False, True], ids=["succeeds", "is rolled back"])
async def test_ended_run_is_freed_without_the_collector(
    place: Place, monkeypatch: pytest.MonkeyPatch, fails: bool
) -> None:
    """What drove a run forms no cycle when the run is over."""
    if fails:
        place.box.before["b"] = boom
    async with place.open() as rt:
        made: list[weakref.ref[RunActor]] = []
        make = rt._running.make_actor

        def remembered(*args: Any, **named: Any) -> RunActor:
            actor = make(*args, **named)
            made.append(weakref.ref(actor))
            return actor

        monkeypatch.setattr(rt._running, "make_actor", remembered)
        was_enabled = gc.isenabled()
        gc.disable()
        try:
            await rt.run(workflow(put("a"), put("b")))
            await asyncio.sleep(0)  # the loop lets go of the task that ended last
            assert [actor() for actor in made] == [None]
        finally:
            if was_enabled:
                gc.enable()
