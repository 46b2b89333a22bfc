"""Every store of knowledge keeps the contract of the port."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assent.knowledge.store import MemoryKeys, MemoryStore, SqlCipherStore, Store
from assent.system import SystemEntropy
from tests.knowledge.store.store_contract import StoreContract


class TestMemoryStore(StoreContract):
    """The store in memory."""

    @pytest.fixture
    def opens(self) -> Iterator[Callable[[], Store]]:
        store = MemoryStore("tenant", now_ms=lambda: 7, cache_bytes=0)
        yield lambda: store
        store.close()


class TestSqlCipherStore(StoreContract):
    """The store in an encrypted file."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        keys, opened = MemoryKeys(), []

        def opens() -> Store:
            opened.append(
                SqlCipherStore(tmp_path, "tenant", keys=keys, now_ms=lambda: 7, salt=SystemEntropy().salt)
            )
            return opened[-1]

        yield opens
        for one in opened:
            one.close()


class TestPlainStore(StoreContract):
    """The store in a file that is not encrypted."""

    @pytest.fixture
    def opens(self, tmp_path: Path) -> Iterator[Callable[[], Store]]:
        opened = []

        def opens() -> Store:
            opened.append(
                SqlCipherStore(
                    tmp_path,
                    "tenant",
                    keys=None,
                    encryption="off",
                    now_ms=lambda: 7,
                    salt=SystemEntropy().salt,
                    cache_bytes=0,
                )
            )
            return opened[-1]

        yield opens
        for one in opened:
            one.close()
