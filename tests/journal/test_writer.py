"""When the ledger's thread tells whoever waits: neither before their events are durable, nor later than it must."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from assent.journal.store._store import LedgerStore
from assent.journal.store._tail import Draft
from assent.spec.ids import Commitment
from tests.support.journals import ADA, NOW_MS, created, open_sqlite, run_id


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


class _SlowDisk:
    """A disk that each commit waits for until the test lets it go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._waits = threading.Semaphore(0)
        self._done = threading.Semaphore(0)
        self.before_telling: list[Callable[[], None]] = []
        write = LedgerStore.write

        def write_slowly(
            store: LedgerStore,
            draft: Draft,
            *,
            erased: Sequence[Commitment] = (),
            before_wait: Callable[[], None],
        ) -> None:
            def wait() -> None:
                for look in self.before_telling:
                    look()
                before_wait()
                self._waits.release()
                assert self._done.acquire(timeout=60)

            write(store, draft, erased=erased, before_wait=wait)

        monkeypatch.setattr(LedgerStore, "write", write_slowly)

    async def is_waited_for(self) -> bool:
        """Wait until the rows of a commit are in, and nothing is left but the disk; whether that came."""
        return await asyncio.to_thread(self._waits.acquire, timeout=60)

    def go_on(self, commits: int = 1) -> None:
        """Let this many commits have their disk."""
        self._done.release(commits)


async def test_group_is_told_once_the_next_one_only_waits_for_the_disk(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those told go to work while the next commit waits for the disk: not while its rows go in, and not after it is durable."""
    journal = open_sqlite(state)
    disk = _SlowDisk(monkeypatch)
    first = asyncio.create_task(journal.append(created(run_id(1))))
    assert await disk.is_waited_for()
    second = asyncio.create_task(journal.append(created(run_id(2))))
    await asyncio.sleep(0)

    told: list[bool] = []
    disk.before_telling = [lambda: time.sleep(0.05), lambda: told.append(first.done())]
    disk.go_on()
    assert await disk.is_waited_for()
    await asyncio.wait_for(first, timeout=60)
    assert told == [False]
    assert not second.done()

    disk.go_on(commits=9)
    await second
    await journal.close()


async def test_group_with_nobody_behind_it_is_told_at_once(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who is alone waits for no other commit; and a job that was asked for meanwhile holds nobody up."""
    journal = open_sqlite(state)
    disk = _SlowDisk(monkeypatch)
    alone = asyncio.create_task(journal.append(created(run_id(1))))
    assert await disk.is_waited_for()
    erasure = asyncio.create_task(journal.erase(run_id(1), who=ADA, at_ms=NOW_MS))
    await asyncio.sleep(0)
    disk.go_on()
    assert await disk.is_waited_for()
    await asyncio.wait_for(alone, timeout=60)
    assert not erasure.done()
    disk.go_on(commits=9)
    await erasure
    await journal.close()
