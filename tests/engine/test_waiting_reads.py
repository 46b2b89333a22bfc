"""Nothing in the engine needs a journal that answers at once: one across a network gives way to other tasks at every reading."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import msgspec

from assent.engine import Services
from assent.journal import Blobs, Journal
from assent.policy import PolicyEngine
from assent.spec.states import RunState
from tests.support.bodies import Bench, BenchCore, Place, policy, put, rule, states, user, workflow

_READS = frozenset({"head", "leaves", "events", "payload", "rows"})
ASKING = policy(
    rule(
        "b",
        "REQUIRE_APPROVAL",
        when={"capability": "box.put_high"},
        approvers={"count": 2, "kinds": ["user"]},
    )
)
HIGH = workflow(put("a"), put("b", "box.put_high"), outputs={"last": "${{ steps.b.output }}"})


class FarJournal:
    """A journal whose every answer is waited for, while other tasks go on."""

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    # `Any`: whatever the journal's own method takes and gives.
    def __getattr__(self, name: str) -> Any:
        method = getattr(self._journal, name)
        return _waiting(method) if name in _READS else method


def _waiting(method: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
    async def read(*asked: Any, **how: Any) -> Any:
        for _ in range(3):
            await asyncio.sleep(0)
        return await method(*asked, **how)

    return read


class FarCore(BenchCore):
    """Its journal is far away."""

    def services(self, journal: Journal, blobs: Blobs) -> Services:
        services = super().services(journal, blobs)
        far: Any = FarJournal(journal)  # `Any`: it has the journal's methods, which no type says
        return msgspec.structs.replace(services, journal=far)


class FarBench(Bench):
    """A runtime around such a one."""

    _CORE = FarCore


async def _opened(place: Place, stack: AsyncExitStack) -> FarBench:
    rt = await stack.enter_async_context(FarBench(place.settings(), policy=PolicyEngine.from_dict(ASKING)))
    place.register(rt)
    return rt


async def test_commands_that_arrive_while_a_run_is_read_go_to_the_same_one(place: Place) -> None:
    """Two people answer at once, and the first reading of the run is still on its way: both are heard, by one actor."""
    async with AsyncExitStack() as stack:
        waiting = await (await _opened(place, stack)).run(HIGH)
    assert waiting.status is RunState.WAITING
    async with AsyncExitStack() as stack:
        rt = await _opened(place, stack)
        await asyncio.gather(*(rt.approve(waiting.run_id, principal=user(name)) for name in ("ann", "ben")))
        result = await rt.show(waiting.run_id)
        assert (result.status, place.box.count("execute", "b")) == (RunState.SUCCEEDED, 1)


async def test_a_run_is_driven_and_taken_back_over_readings_that_wait(place: Place) -> None:
    """Approval, outputs and undo after a restart come to the same."""
    async with AsyncExitStack() as stack:
        rt = await _opened(place, stack)
        waiting = await rt.run(HIGH)
        await rt.approve(waiting.run_id, principal=user("ann"))
        done = await rt.approve(waiting.run_id, principal=user("ben"))
        assert (done.status, done.outputs) == (RunState.SUCCEEDED, {"last": done.step("b").output})
    async with AsyncExitStack() as stack:
        rt = await _opened(place, stack)
        assert (await rt.undo(done.run_id)).status is RunState.WAITING
        undone = await rt.approve(done.run_id, principal=user("ann"))
    assert states(undone) == {"a": "compensated", "b": "compensated"}
