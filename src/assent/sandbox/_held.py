"""Folders that a process holds: its lock is opened by the kernel when the process ends, however it ends.

So what a killed one left is known by its open lock. A number of a process would tell less: it is soon another one's.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from contextlib import suppress
from pathlib import Path
from typing import Final

_BLOCK_BYTES: Final = 512


def hold(folder: Path) -> int | None:
    """A descriptor that holds the folder until it is closed; None where somebody else does, or it is gone."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held


def bytes_on_disk(folder: Path) -> int:
    """What a folder takes on disk, with all in it that may be looked at."""
    total = 0
    for place, _, files in os.walk(folder):
        for name in (*files, "."):
            with suppress(OSError):
                total += Path(place, name).lstat().st_blocks * _BLOCK_BYTES
    return total


def remove_tree(folder: Path) -> None:
    """Remove a folder with all that a program has left in it. Harmless when it is gone."""
    if folder.is_symlink() or not folder.is_dir():
        folder.unlink(missing_ok=True)
        return
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():
        _open_up(str(folder))
        shutil.rmtree(folder)


def _open_up(folder: str) -> None:
    """A program may leave folders that their owner can't list or change, one in the other."""
    os.chmod(folder, 0o700)
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir(follow_symlinks=False):
                _open_up(entry.path)
