"""Writing without waiting for the disk: for every test that nobody pulls the plug of.

A commit waits for the disk, and thousands of tests commit. What the wait is for, that a machine may lose its power, is the
subject of `tests/journal`, and of `tests/crash` on disks of its own; SIGKILL loses nothing that was handed to the kernel.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from assent.journal.store._connection import connect_writer

_WAITS: Final = Path("tests/journal")


def waits_for_the_disk(path: Path, root: Path) -> bool:
    """Whether the tests of a file are about what is durable."""
    return path.is_relative_to(root / _WAITS)


@contextmanager
def without_waiting() -> Iterator[None]:
    """Inside, this process hands everything to the kernel and waits for nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda _descriptor: None)
        defaults = connect_writer.__kwdefaults__
        assert defaults is not None
        patch.setitem(defaults, "synchronous", "OFF")
        yield
