"""A plan asks what the run would ask."""

from __future__ import annotations

import asyncio

import pytest

from assent.engine import together
from tests.support.bodies import Place, policy, put, rule, states, workflow


@pytest.mark.parametrize(
    ("said", "asked", "decision"),
    [
        (None, None, "ALLOW"),
        ("prod", None, "DENY"),
        (None, "prod", "DENY"),
        ("prod", "test", "ALLOW"),
        ("test", "prod", "DENY"),
    ],
)
async def test_a_plan_is_made_for_the_environment_that_its_run_has(
    place: Place, said: str | None, asked: str | None, decision: str
) -> None:
    """The caller's before the workflow's own."""
    place.policy = policy(
        rule("no", "DENY", when={"environment": "prod"}), rule("rest", without_approval=True)
    )
    place.settings()
    source = workflow(put("a"), **({"environment": said} if said else {}))
    async with place.open() as rt:
        plan = await rt.plan(source, {}, environment=asked)
        assert [step.decision for step in plan.steps] == [decision]
        run = await rt.run(source, {}, environment=asked)
        assert states(run) == {"a": "succeeded" if decision == "ALLOW" else "denied"}


@pytest.mark.parametrize("count", [0, 1, 5])
async def test_work_is_done_together_as_far_as_it_may_be(count: int) -> None:
    at_once: list[int] = []
    going = 0

    async def work(item: int) -> int:
        nonlocal going
        going += 1
        at_once.append(going)
        await asyncio.sleep(0)
        going -= 1
        return item * 2

    done = await together(
        range(count), work, lambda job, *, name: asyncio.create_task(job, name=name), at_once=2
    )
    assert done == [item * 2 for item in range(count)]
    assert max(at_once, default=0) == min(2, count)


async def test_work_that_fails_keeps_no_other_from_being_done() -> None:
    """The failure that is raised is the first by the order of the items, not by time."""
    done: list[int] = []

    async def work(item: int) -> None:
        await asyncio.sleep(0.01 if item == 1 else 0)
        done.append(item)
        if item in (1, 2):
            raise ValueError(item)

    with pytest.raises(ValueError, match="1"):
        await together(range(5), work, lambda job, *, name: asyncio.create_task(job, name=name), at_once=2)
    assert sorted(done) == [0, 1, 2, 3, 4]


async def test_joint_work_that_is_cancelled_is_waited_for() -> None:
    ended: list[int] = []
    both = asyncio.Barrier(3)

    async def work(item: int) -> None:
        await both.wait()
        try:
            await asyncio.Event().wait()
        finally:
            await asyncio.sleep(0)
            ended.append(item)

    joint = asyncio.create_task(
        together(range(3), work, lambda job, *, name: asyncio.create_task(job, name=name), at_once=2)
    )
    await both.wait()
    await asyncio.sleep(0)
    joint.cancel()
    with pytest.raises(asyncio.CancelledError):
        await joint
    assert sorted(ended) == [0, 1]
