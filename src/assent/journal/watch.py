"""Being woken when a state directory changes, whichever process changes it, so that who waits for a run need not look again.

Two things wake: a file of the directory is written or closed (every commit writes the log of SQLite, and an owner announces
itself by a file), and the owner that was there ends, however it ends: its end of a connection is closed by the kernel.
"""

from __future__ import annotations

import asyncio
import ctypes
import os
from contextlib import suppress
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Final, Self

from assent.journal.owner._owner import connect

_IN_MODIFY: Final = 0x2
_IN_CLOSE_WRITE: Final = 0x8
_IN_MOVED_TO: Final = 0x80
_IN_CREATE: Final = 0x100
_CHANGES: Final = _IN_MODIFY | _IN_CLOSE_WRITE | _IN_MOVED_TO | _IN_CREATE
_EVENTS_BYTES_MAX: Final = 1 << 16

LOOK_S: Final = 1.0
"""How often it is looked where the system gives no watch: it is another one than Linux, or has given as many as it may."""


class StateWatch:
    """Wakes whoever waits. To be entered before the first reading, and `meet_owner` to be called before each."""

    def __init__(self, state_dir: Path, *, runtime_dir: Path) -> None:
        self._state_dir = state_dir
        self._runtime_dir = runtime_dir
        self._changes: int | None = None
        self._owner: socket | None = None

    def __enter__(self) -> Self:
        self._changes = _watch(self._state_dir)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._changes is not None:
            os.close(self._changes)
        self._part()

    def meet_owner(self) -> None:
        """Notice the end of the owner that is there now. INVARIANT: what is read after this and said of it is told to change."""
        if self._owner is None:
            self._owner = connect(self._state_dir, runtime_dir=self._runtime_dir)

    async def changed(self, within_s: float | None = None) -> None:
        """Come back when something may have changed since the last time, or the time is up."""
        loop = asyncio.get_running_loop()
        woken = asyncio.Event()
        sources = [source for source in (self._changes, self._owner) if source is not None]
        if self._changes is None:
            within_s = LOOK_S if within_s is None else min(LOOK_S, within_s)
        for source in sources:
            loop.add_reader(source, woken.set)
        try:
            with suppress(TimeoutError):
                async with asyncio.timeout(within_s):
                    await woken.wait()
        finally:
            for source in sources:
                loop.remove_reader(source)
        if self._changes is not None:
            with suppress(BlockingIOError):
                os.read(self._changes, _EVENTS_BYTES_MAX)
        if self._owner is not None and _has_ended(self._owner):
            self._part()

    def _part(self) -> None:
        if self._owner is not None:
            self._owner.close()
            self._owner = None


def _has_ended(owner: socket) -> bool:
    """Whether its end of the connection is closed. What it says by itself is of no interest here."""
    owner.setblocking(False)
    try:
        return not owner.recv(_EVENTS_BYTES_MAX)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _watch(folder: Path) -> int | None:
    """A descriptor that becomes readable when something in the folder changes; None where the system gives none."""
    libc = ctypes.CDLL(None)
    try:
        descriptor: int = libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    except AttributeError:
        return None
    if descriptor < 0:
        return None
    if libc.inotify_add_watch(descriptor, os.fsencode(folder), _CHANGES) < 0:
        os.close(descriptor)
        return None
    return descriptor
