"""Whoever looks at the store for a run waits for its record, and for no loop that has ended: the process could not end."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from assent.errors import InputError
from assent.runtime.runs import _findings
from assent.runtime.runs._findings import FindingsStore
from tests.support.bodies import Place, policy, rule


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path, policy=policy(rule("all", without_approval=True)))


def look(store: FindingsStore) -> None:
    with store.looking("run_1") as book:
        assert book.projects() == []


def test_a_loop_that_is_closed_is_not_waited_for(place: Place) -> None:
    async def live() -> FindingsStore:
        async with place.open(box=False) as runtime:
            await asyncio.to_thread(look, runtime._core._findings)
            return runtime._core._findings

    store = asyncio.run(live())
    with pytest.raises(InputError, match="the runtime is closed") as told:
        look(store)
    assert told.value.code == "RUNTIME_CLOSED"


class Driver:
    """One whose run never comes to the record."""

    def __init__(self) -> None:
        self.is_asked = asyncio.Event()

    async def settle(self, run: str) -> None:
        """Wait for ever."""
        self.is_asked.set()
        await asyncio.Event().wait()


def test_a_loop_that_ends_meanwhile_is_waited_for_no_longer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It ends between two of its turns, so that nothing of it says so."""
    monkeypatch.setattr(_findings, "_LOOK_S", 0.01)
    store, driver, loop = FindingsStore(place.settings()), Driver(), asyncio.new_event_loop()

    async def live() -> None:
        store.open(driver)  # type: ignore[arg-type]  # of a driver it asks this alone

    loop.run_until_complete(live())
    with ThreadPoolExecutor(1) as pool:
        looking = pool.submit(look, store)
        with pytest.raises(TimeoutError):
            looking.result(0.1)
        loop.close()
        with pytest.raises(InputError, match="the runtime is closed"):
            looking.result(20)


def test_a_loop_that_cancels_what_is_waited_for_ends_the_wait(place: Place) -> None:
    store = FindingsStore(place.settings())
    pool = ThreadPoolExecutor(1)

    async def live() -> Any:
        driver = Driver()
        store.open(driver)  # type: ignore[arg-type]  # as above
        looking = pool.submit(look, store)
        await driver.is_asked.wait()
        return looking

    with pool:
        looking = asyncio.run(live())
        with pytest.raises(InputError, match="the runtime is closed"):
            looking.result(20)
