"""The folders of the state in which programs run: what one wrote, what it printed, and how it ended.

Whoever uses a folder holds its lock, which the kernel opens when a process ends, however it ends. So what a killed one left is
known by its open lock, and goes when the next program is run or the state is opened again.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from assent.journal import read_plain, write_plain
from assent.sandbox import bytes_on_disk, hold

CAPTURES_MAX: Final = 16
"""Captures that are kept until they are applied; the oldest go first."""

ENDED: Final = "ended.json"
"""What says of a folder that it is kept, and how its program ended. Its time is that at which it was last shown."""

LAYER: Final = "layer"
"""What the program wrote."""

_RUNS: Final = "runs"
"""The runs that a capture was shown for, a line for each."""


class FolderState(StrEnum):
    """Why a folder is there."""

    USED = "used"
    """A program runs in it, or what it wrote is being looked at."""
    KEPT = "kept"
    """It holds a capture that somebody may still apply."""
    LEFT = "left"
    """Whoever used it was killed."""


@dataclass(frozen=True, slots=True)
class Held:
    """A folder that is there, and what it takes on disk."""

    state: FolderState
    size_bytes: int


class Folders:
    """The folders below `home`, made with the first. `remove` takes one away, with all that is in it. All of it blocks.

    A capture goes once it was last shown `expiry_ms` ago, by `now_ms`, in milliseconds since 1970; also one that was shown so far
    in the future of that clock, which was set back since.
    """

    def __init__(
        self, home: Path, remove: Callable[[Path], None], *, now_ms: Callable[[], int], expiry_ms: int
    ) -> None:
        self._home = home
        self._remove = remove
        self._now_ms = now_ms
        self._expiry_ms = expiry_ms
        self._held: dict[Path, int] = {}

    def make(self, name: str | None = None) -> Path:
        """A new folder, held by this process; one with another name where this one is in use, or none is given."""
        self._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with _alone(self._home):
            self._sweep(CAPTURES_MAX - 1)
            folder = self._home / name if name is not None else None
            if folder is None or folder.exists():
                folder = Path(tempfile.mkdtemp(prefix="run-", dir=self._home))
            else:
                folder.mkdir(mode=0o700)
            held = hold(folder)
            assert held is not None  # INVARIANT: nobody else looks at folders now
            self._held[folder] = held
        return folder

    def hold(self, name: str) -> Path | None:
        """The capture of this name, held by this process; None where there is none, or somebody else holds it."""
        folder = self._home / name
        held = hold(folder)
        if held is None:
            return None
        if _kept_ns(folder) is None:  # gone, or never finished
            os.close(held)
            return None
        self._held[folder] = held
        return folder

    def keep(self, folder: Path, how: str | None, *, run: str) -> None:
        """Let a capture stay that was shown now and for this run, and let go of it. `how` it ended is told once."""
        if how is not None:
            _write(write_plain(folder / ENDED), how)
        _write(write_plain(folder / _RUNS, os.O_APPEND), f"{run}\n")
        now_ns = self._now_ms() * 1_000_000
        os.utime(folder / ENDED, ns=(now_ns, now_ns))
        self._let_go(folder)

    def discard(self, folder: Path) -> None:
        """Remove a folder. Harmless when it is gone."""
        try:
            self._remove(folder)
        finally:
            self._let_go(folder)

    def runs(self) -> set[str]:
        """The runs that captures which are kept were shown for; a plan that nobody has run yet stands for its own."""
        return {run for folder in self._home.glob("*/") for run in _shown_for(folder)}

    def sweep(self, has_ended: Callable[[str], bool]) -> None:
        """Remove what ended processes left half-done, captures shown too long ago, and those shown for runs that have ended."""
        if self._home.is_dir():
            with _alone(self._home):
                self._sweep(CAPTURES_MAX, has_ended)

    def _sweep(self, most: int, has_ended: Callable[[str], bool] = lambda _run: False) -> None:
        kept: list[tuple[int, Path]] = []
        now_ns, expiry_ns = self._now_ms() * 1_000_000, self._expiry_ms * 1_000_000
        for folder in self._home.iterdir():
            if folder in self._held:
                continue
            shown_ns = _kept_ns(folder)
            if shown_ns is None or abs(now_ns - shown_ns) >= expiry_ns or _is_over(folder, has_ended):
                self._clear(folder)
            else:
                kept.append((shown_ns, folder))
        for _, old in sorted(kept)[: max(0, len(kept) - most)]:
            self._clear(old)

    def _clear(self, folder: Path) -> None:
        """Remove a folder that nobody holds."""
        held = hold(folder)
        if held is not None:
            # What can't be removed keeps no program from running; it is tried again with the next one.
            with suppress(OSError):
                self._remove(folder)
            os.close(held)

    def _let_go(self, folder: Path) -> None:
        held = self._held.pop(folder, None)
        if held is not None:
            os.close(held)


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Nobody else makes, sweeps or looks meanwhile: a folder that was just made is not locked yet."""
    # Behind a link everything that is not ours would be removed.
    held = os.open(home, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        fcntl.flock(held, fcntl.LOCK_EX)
        yield
    finally:
        os.close(held)


def remove(folder: Path) -> None:
    """Take a folder away with all that is in it, whatever modes a program or the overlay has left there."""
    from assent.sandbox import Sandbox

    Sandbox.discard(folder / LAYER)
    shutil.rmtree(folder, ignore_errors=True)


def look(home: Path) -> Iterator[Held]:
    """What is there below `home`, in no order; nothing is changed."""
    found: list[tuple[Path, FolderState]] = []
    with suppress(FileNotFoundError), _alone(home):
        found = [(folder, _state(folder)) for folder in home.iterdir()]
    yield from (Held(state, bytes_on_disk(folder)) for folder, state in found)


def _state(folder: Path) -> FolderState:
    if _kept_ns(folder) is not None:
        return FolderState.KEPT
    held = hold(folder)
    if held is None:
        return FolderState.USED
    os.close(held)
    return FolderState.LEFT


def _kept_ns(folder: Path) -> int | None:
    """When a capture was last shown; None for a folder that is not kept."""
    try:
        return (folder / ENDED).stat().st_mtime_ns
    except OSError:
        return None


def _is_over(folder: Path, has_ended: Callable[[str], bool]) -> bool:
    """Whether all runs that a capture was shown for have ended. A plan that nobody has run yet may still want it."""
    runs = _shown_for(folder)
    return bool(runs) and all(map(has_ended, runs))


def _write(descriptor: int, text: str) -> None:
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)


def _shown_for(folder: Path) -> list[str]:
    try:
        return read_plain(folder / _RUNS).decode(errors="replace").split()
    except OSError:
        return []
