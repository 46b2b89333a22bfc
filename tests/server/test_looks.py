"""Readings in threads of their own: doctors have one, who has gone waits for no turn, and draining lets what is under way end."""

from __future__ import annotations

import asyncio
from threading import Event

import pytest

from assent.errors import InputError
from assent.findings._sqlite import require_wanted
from assent.server._looks import LOOKS_AT_ONCE, Looks
from tests.support.patience import PATIENCE_S


class Work:
    """What blocks until it is let go, or is to end."""

    def __init__(self) -> None:
        self.began = Event()
        self.ends = Event()

    def __call__(self) -> str:
        self.began.set()
        while not self.ends.wait(0.01):
            require_wanted()
        return "done"

    async def under_way(self) -> None:
        assert await asyncio.to_thread(self.began.wait, PATIENCE_S)


async def refused(asked: asyncio.Future[str]) -> None:
    with pytest.raises(InputError) as caught:
        await asyncio.wait_for(asked, PATIENCE_S)
    assert caught.value.code == "RUNTIME_CLOSED"


async def test_what_folds_all_takes_no_turn_of_others_and_whoever_has_gone_waits_for_none() -> None:
    loop = asyncio.get_running_loop()
    looks, gone = Looks(loop.create_future()), loop.create_future()
    first, never = Work(), Work()
    doctor = asyncio.ensure_future(looks.carry_out(first, loop.create_future(), folds=True))
    await first.under_way()
    left = [asyncio.ensure_future(looks.carry_out(never, gone, folds=True)) for _ in range(2 * LOOKS_AT_ONCE)]
    await asyncio.sleep(0)
    assert await asyncio.wait_for(looks.carry_out(lambda: "read", loop.create_future()), PATIENCE_S) == "read"
    gone.set_result(None)
    for one in left:
        await refused(one)
    first.ends.set()
    assert await doctor == "done"
    assert not never.began.is_set()
    looks.close()


async def test_draining_refuses_who_waits_for_a_turn_and_lets_the_rest_end_until_it_is_closed() -> None:
    loop = asyncio.get_running_loop()
    drains, nobody = loop.create_future(), loop.create_future()
    looks = Looks(drains)
    one, long, never = Work(), Work(), Work()
    going = asyncio.ensure_future(looks.carry_out(one, nobody))
    cut = asyncio.ensure_future(looks.carry_out(long, nobody, folds=True))
    await one.under_way()
    await long.under_way()
    waits = asyncio.ensure_future(looks.carry_out(never, nobody, folds=True))
    await asyncio.sleep(0)
    drains.set_result(None)
    await refused(waits)
    assert await asyncio.wait_for(looks.carry_out(lambda: "read", nobody), PATIENCE_S) == "read"
    settled = asyncio.ensure_future(looks.settle())
    one.ends.set()
    assert await going == "done"
    assert not settled.done()
    looks.close()
    await refused(cut)
    await settled
    assert not never.began.is_set()


async def test_a_fault_that_nobody_waits_for_is_nobodys() -> None:
    loop = asyncio.get_running_loop()
    looks, work = Looks(loop.create_future()), Work()
    asked = asyncio.ensure_future(looks.carry_out(work, loop.create_future()))
    await work.under_way()
    asked.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asked
    looks.close()
    await asyncio.wait_for(looks.settle(), PATIENCE_S)
