"""The folders of the state in which programs run: what one wrote, what it printed, and how it ended.

Whoever uses a folder holds its lock, which the kernel opens when a process ends, however it ends. So what a killed one left is
known by its open lock, and goes when the next program is run.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

CAPTURES_MAX: Final = 16
"""Captures that are kept until they are applied; the oldest go first."""

ENDED: Final = "ended.json"
"""What says of a folder that it is kept, and how its program ended."""


class Folders:
    """The folders below `home`, made with the first. `remove` takes one away, with all that is in it. All of it blocks."""

    def __init__(self, home: Path, remove: Callable[[Path], None]) -> None:
        self._home = home
        self._remove = remove
        self._held: dict[Path, int] = {}

    def named(self, name: str) -> Path:
        """Where the capture of this name is, or would be."""
        return self._home / name

    def make(self, name: str | None = None) -> Path:
        """A new folder, held by this process; one with another name where this one is in use, or none is given."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with self._alone():
            self._sweep()
            folder = self._home / name if name is not None else None
            if folder is None or folder.exists():
                folder = Path(tempfile.mkdtemp(prefix="run-", dir=self._home))
            else:
                folder.mkdir(mode=0o700)
            held = _lock(folder)
            assert held is not None  # INVARIANT: nobody else looks at folders now
            self._held[folder] = held
        return folder

    def keep(self, folder: Path, how: str) -> None:
        """Let a capture stay, with what is to be known of it."""
        (folder / ENDED).write_text(how, encoding="utf-8")
        self._let_go(folder)

    def discard(self, folder: Path) -> None:
        """Remove a folder. Harmless when it is gone."""
        try:
            self._remove(folder)
        finally:
            self._let_go(folder)

    def _sweep(self) -> None:
        """Remove what ended processes left half-done, and the oldest of what is kept."""
        kept: list[tuple[int, Path]] = []
        for folder in self._home.iterdir():
            if folder in self._held:
                continue
            with suppress(FileNotFoundError):
                kept.append(((folder / ENDED).stat().st_mtime_ns, folder))
                continue
            held = _lock(folder)
            if held is not None:
                os.close(held)
                self._clear(folder)
        for _, old in sorted(kept)[: -(CAPTURES_MAX - 1)]:
            self._clear(old)

    def _clear(self, folder: Path) -> None:
        # What can't be removed keeps no program from running; it is tried again with the next one.
        with suppress(OSError):
            self._remove(folder)

    def _let_go(self, folder: Path) -> None:
        held = self._held.pop(folder, None)
        if held is not None:
            os.close(held)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else makes or sweeps meanwhile: a folder that was just made is not locked yet."""
        home = os.open(self._home, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(home, fcntl.LOCK_EX)
            yield
        finally:
            os.close(home)


def _lock(folder: Path) -> int | None:
    """A descriptor that holds the folder; None where somebody else does, or it is gone."""
    try:
        held = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(held)
        return None
    return held
