"""Writing without waiting for the disk, and a new ledger without making one: for every test that nobody pulls the plug of.

A commit waits for the disk, and thousands of tests commit. What the wait is for, that a machine may lose its power, is the
subject of `tests/journal`, and of `tests/crash` on disks of its own; SIGKILL loses nothing that was handed to the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

import pytest

from assent.journal._files import create_private_file
from assent.journal.store import _schema
from assent.journal.store._connection import connect_writer

make_ledger: Final = _schema._create
_WAITS: Final = Path("tests/journal")


def waits_for_the_disk(path: Path, root: Path) -> bool:
    """Whether the tests of a file are about what is durable."""
    return path.is_relative_to(root / _WAITS)


@cache
def _new_ledger() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "ledger.db")
        make_ledger(path)
        return path.read_bytes()


def _copy(path: Path) -> None:
    """A new ledger: all are alike, and to make one takes a quarter of what it takes to open a runtime."""
    made = _new_ledger()
    with os.fdopen(create_private_file(path), "wb") as file:
        file.write(made)


@contextmanager
def without_waiting() -> Iterator[None]:
    """Inside, this process hands everything to the kernel and waits for nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        patch.setattr(_schema, "_create", _copy)
        defaults = connect_writer.__kwdefaults__
        assert defaults is not None
        patch.setitem(defaults, "synchronous", "OFF")
        yield
