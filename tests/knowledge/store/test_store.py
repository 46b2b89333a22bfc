"""Every store of knowledge keeps the contract of the port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from assent.knowledge.store import MemoryKeys, MemoryStore, SqlCipherStore, Store, _rows
from assent.system import SystemEntropy
from tests.knowledge.store.store_contract import StoreContract


def opening(folder: Path, **said: Any) -> Iterator[Callable[[], Store]]:  # `Any`: as a store takes it
    """What opens a store in a file, as often as it is asked; all are closed at the end."""
    with ExitStack() as ends:

        def opens() -> Store:
            store = SqlCipherStore(folder, "tenant", salt=SystemEntropy().salt, **said)
            ends.callback(store.close)
            return store

        yield opens


class TestMemoryStore(StoreContract):
    """The store in memory."""

    @pytest.fixture
    def opens(self, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], Store]]:
        monkeypatch.setattr(_rows, "CACHE_BYTES", 0)
        store = MemoryStore("tenant")
        yield lambda: store
        store.close()


class TestSqlCipherStore(StoreContract):
    """The store in an encrypted file."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        yield from opening(tmp_path, keys=MemoryKeys())


class TestPlainStore(StoreContract):
    """The store in a file that is not encrypted."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        yield from opening(tmp_path, keys=None, encryption="off")
