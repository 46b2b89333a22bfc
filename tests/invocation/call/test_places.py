"""So many at once, and a fair line for whoever finds no place free."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.invocation import Places, Share

ANN_1, ANN_2, BOB = Share("user:ann", "run_1"), Share("user:ann", "run_2"), Share("user:bob", "run_3")


def queued(places: Places, *shares: Share) -> list[str]:
    """One more in line for each share; who has had a place so far is in the list."""
    served: list[str] = []
    for number, share in enumerate(shares):
        places.wait(share, partial(served.append, f"{share.run} {number}"))
    return served


def test_principals_are_served_in_turn_then_their_runs_then_who_came_first() -> None:
    """A hundred runs of one principal hold up nobody else's only one, and a run's hundred steps no other run."""
    places = Places(1)
    assert places.take()
    served = queued(places, ANN_1, ANN_1, ANN_1, ANN_2, ANN_2, BOB, BOB)
    for _ in range(7):
        places.give_back()
    assert served == ["run_1 0", "run_3 5", "run_2 3", "run_3 6", "run_1 1", "run_2 4", "run_1 2"]


def test_who_leaves_the_line_is_passed_over() -> None:
    """Whoever wants no place any more gets none, and nobody loses one by it."""
    places = Places(1)
    assert places.take()
    served = queued(places, ANN_1, BOB)
    gone = partial(served.append, "gone")
    places.wait(BOB, gone)
    places.leave(BOB, gone)
    places.leave(BOB, gone)
    places.leave(Share("user:eve", "run_9"), gone)
    for _ in range(3):
        places.give_back()
    assert (served, places.take(), places.take()) == (["run_1 0", "run_3 1"], True, False)


async def test_who_is_cancelled_in_line_or_right_when_served_has_no_place() -> None:
    """However the two meet, the place is there for the next."""
    places = Places(1)
    await places.taken(ANN_1)
    waits, served = (asyncio.ensure_future(places.taken(share)) for share in (ANN_2, BOB))
    await asyncio.sleep(0)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    places.give_back()
    served.cancel()
    with pytest.raises(asyncio.CancelledError):
        await served
    assert places.take()


@given(
    st.integers(1, 3),
    st.lists(st.tuples(st.sampled_from([ANN_1, ANN_2, BOB]), st.booleans()), max_size=40),
)
def test_no_place_is_lost_and_none_is_had_twice(count: int, moves: list[tuple[Share, bool]]) -> None:
    """As many hold one at any moment as there are, while anybody waits; and all are free again at the end."""
    places, held, waiting = Places(count), 0, 0

    def served() -> None:
        nonlocal held, waiting
        held, waiting = held + 1, waiting - 1

    for share, gives_back in moves:
        if gives_back and held:
            held -= 1
            places.give_back()
        elif places.take():
            held += 1
        else:
            waiting += 1
            places.wait(share, served)
        assert held == count if waiting else held <= count
    while held:
        held -= 1
        places.give_back()
    assert [places.take() for _ in range(count + 1)] == [True] * count + [False]


async def test_a_place_that_comes_to_who_was_just_cancelled_goes_on_to_the_next() -> None:
    """Whoever is cancelled stands in line until its task runs; a place that is given back meanwhile is none of its."""
    places = Places(1)
    await places.taken(ANN_1)
    gone, next_one = (asyncio.ensure_future(places.taken(share)) for share in (ANN_2, BOB))
    await asyncio.sleep(0)
    gone.cancel()
    places.give_back()
    with pytest.raises(asyncio.CancelledError):
        await gone
    await next_one
    places.give_back()
    assert places.take()


async def test_who_waits_in_line_leaves_it_when_nobody_wants_the_answer() -> None:
    places = Places(1)
    inside, all_wait, goes_on = (asyncio.Event() for _ in range(3))
    line: list[asyncio.Future[None]] = []

    async def wait(place: asyncio.Future[None]) -> None:
        line.append(place)
        if len(line) == 3:
            all_wait.set()
        await place

    async def stay() -> str:
        await places.taken(ANN_1, wait)
        inside.set()
        await goes_on.wait()
        places.give_back()
        return "was inside"

    async with asyncio.TaskGroup() as group:
        first = group.create_task(stay())
        await inside.wait()
        others = [group.create_task(stay()) for _ in range(3)]
        await all_wait.wait()
        line[0].cancel()
        goes_on.set()
    assert [others[0].cancelled(), first.result(), others[1].result(), others[2].result()] == [
        True,
        *["was inside"] * 3,
    ]
    assert places.take(), "the place is free again"
