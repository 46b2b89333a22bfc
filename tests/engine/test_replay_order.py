"""What a `foreach` step comes to follows from the order of outcomes, however many of them are looked at at once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from assent.engine.steps._pending_events import PendingEvents
from assent.spec.states import RunState
from tests.support.bodies import Pause, Place, no_effect, put, workflow


def alone(key: str, **fields: Any) -> dict[str, Any]:
    return {**put(key), "depends_on": [], **fields}


STEPS = [alone("a", foreach=["x", "y"], inputs={"key": "a${{ item }}", "value": "a"}), alone("b"), alone("c")]


class HeldFlush:
    """Holds up the run in what it makes durable next, so that outcomes gather meanwhile."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.is_armed = False
        self.reached, self.go_on = asyncio.Event(), asyncio.Event()
        flush = PendingEvents.flush

        async def held(outbox: PendingEvents) -> Any:
            if self.is_armed:
                self.is_armed = False
                self.reached.set()
                await self.go_on.wait()
            return await flush(outbox)

        monkeypatch.setattr(PendingEvents, "flush", held)


@pytest.mark.parametrize("order", [["ax", "ay", "b"], ["ax", "b", "ay"], ["b", "ax", "ay"]])
@pytest.mark.parametrize("at_once", [True, False])
async def test_a_failure_beside_iterations_leaves_the_same_whenever_it_is_looked_at(
    place: Place, monkeypatch: pytest.MonkeyPatch, order: list[str], at_once: bool
) -> None:
    pauses = {key: Pause() for key in ("ax", "ay", "b", "c")}
    place.box.before |= pauses
    place.box.after["b"] = no_effect
    async with place.open() as rt:
        held = HeldFlush(monkeypatch)
        running = asyncio.ensure_future(rt.run(workflow(*STEPS)))
        for pause in pauses.values():
            await pause.reached.wait()
        if at_once:
            held.is_armed = True
            pauses["c"].go_on.set()
            await held.reached.wait()
        for key in order:
            pauses[key].go_on.set()
            for _ in range(50):  # its outcome is there before the next one's
                await asyncio.sleep(0)
        held.go_on.set()
        pauses["c"].go_on.set()
        result = await running
        assert result.status is RunState.ROLLED_BACK
        ends = [kind for kind in rt.kinds(result.run_id) if kind in ("step.succeeded", "step.failed")]
        whole = order.index("b") == 2
        assert ends.count("step.failed") == (1 if whole else 2), (
            "it was whole before the failure, or ended with it"
        )
        report = await rt.replay(result.run_id)
        assert report.is_equal, report.to_json()["differences"]
