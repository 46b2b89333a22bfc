"""Stores in files that a test opens, and what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from assent.errors import InputError, WorldError
from assent.knowledge.store import (
    MemoryKeys,
    Recorded,
    SqlCipherStore,
)
from assent.knowledge.store._sealing import digest_of
from assent.system import SystemEntropy

TREE = {"a.py": b"def first():\n    return 1\n", "b.txt": b"words of the other\n"}


class Stores:
    def __init__(self, folder: Path, keys: MemoryKeys | None) -> None:
        self.folder = folder
        self.keys = keys
        self.opened: list[SqlCipherStore] = []

    def __call__(
        self,
        tenant: str = "tenant",
        *,
        expected: Recorded | None = None,
    ) -> SqlCipherStore:
        store = SqlCipherStore(
            self.folder,
            tenant,
            keys=self.keys,
            encryption="off" if self.keys is None else "on",
            salt=SystemEntropy().salt,
            expected=expected,
        )
        self.opened.append(store)
        return store

    def close(self) -> None:
        for one in self.opened:
            one.close()

    def file(self, tenant: str, ending: str = "db") -> Path:
        return self.folder / f"{digest_of(tenant).hex()[:32]}.{ending}"


@pytest.fixture
def stores(tmp_path: Path) -> Iterator[Stores]:
    made = Stores(tmp_path / "knowledge", MemoryKeys())
    yield made
    made.close()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[Stores]:
    made = Stores(tmp_path / "plain", None)
    yield made
    made.close()


def refused(code: str, ask: Callable[[], object]) -> None:
    with pytest.raises((InputError, WorldError), match=code):
        ask()
