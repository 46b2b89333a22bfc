"""Looking up names: no more threads than there may be, and none that cannot be."""

from __future__ import annotations

import asyncio
import socket
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from assent.capabilities.net import _resolver
from tests.support.patience import PATIENCE_S


async def test_a_lookup_that_nobody_waits_for_keeps_its_place_until_it_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A resolver that hangs holds so many threads and no more: whoever comes next is not given another one."""
    monkeypatch.setattr(_resolver, "LOOKUPS_MAX", 2)
    ending, asked = threading.Event(), threading.Semaphore(0)

    def hang(*_: Any, **__: Any) -> list[Any]:
        asked.release()
        ending.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("192.0.2.1", 80))]

    monkeypatch.setattr(socket, "getaddrinfo", hang)
    resolver = _resolver.SystemResolver()
    begun: list[asyncio.Task[Any]] = []
    for _ in range(2):
        task = asyncio.ensure_future(resolver.addresses("hanging.test", 80))
        begun.append(task)
        await asyncio.to_thread(asked.acquire, timeout=PATIENCE_S)
        task.cancel()
        await asyncio.wait({task})
    later = asyncio.ensure_future(resolver.addresses("later.test", 80))
    for _ in range(20):
        await asyncio.sleep(0)
    assert not asked.acquire(blocking=False)
    ending.set()
    assert [str(address) for address in await asyncio.wait_for(later, PATIENCE_S)] == ["192.0.2.1"]
    assert all(task.cancelled() for task in begun)


async def test_no_thread_for_the_resolver_is_a_failure_to_find_the_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class NoThread(threading.Thread):
        def start(self) -> None:
            raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_resolver, "threading", SimpleNamespace(Thread=NoThread))
    resolver = _resolver.SystemResolver()
    for _ in range(_resolver.LOOKUPS_MAX + 1):
        with pytest.raises(OSError, match="no thread is left"):
            await resolver.addresses("some.test", 80)
