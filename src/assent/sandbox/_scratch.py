"""Private folders for temporary files, and what killed processes left of them.

A program that has no `/tmp` of its own is given such a folder, in the machine's. Whoever made it holds it; what nobody holds
goes when the next one is made, or a state is opened in which programs were run.
"""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from assent.errors import WorldError
from assent.sandbox._held import bytes_on_disk, hold, remove_tree

_PREFIX: Final = "assent-scratch-"
_INNER: Final = "tmp"
_ATTEMPTS: Final = 8


class Scratch:
    """A folder for one program, at `path`, held by this process until it is removed or the process ends. All of it blocks.

    It lies in another one, which is held: the program can reach neither that nor its lock, and as root it owns its own.
    """

    __slots__ = ("_folder", "_held", "path")

    def __init__(self, folder: Path, held: int) -> None:
        self._folder = folder
        self._held: int | None = held
        self.path: Final = folder / _INNER

    @classmethod
    def make(cls) -> Self:
        """A new one; what killed processes left goes first. `WorldError` SANDBOX_FAILED where none can be held."""
        cls.sweep()
        for _ in range(_ATTEMPTS):
            folder = Path(tempfile.mkdtemp(prefix=_PREFIX))
            held = hold(folder)
            if held is None:
                # It was taken for one that is left: nobody had held it yet.
                with suppress(OSError):
                    folder.rmdir()
                continue
            scratch = cls(folder, held)
            with suppress(FileNotFoundError):  # it was swept between its making and its holding
                scratch.path.mkdir(mode=0o700)
                return scratch
            scratch.remove()
        raise WorldError(
            "SANDBOX_FAILED",
            f"no folder for temporary files can be held in `{tempfile.gettempdir()}`",
            hint="check that its file system knows locks, and how many files this process may have open",
        )

    def remove(self) -> None:
        """Remove it, with all that is in it. Harmless when it is gone."""
        held, self._held = self._held, None
        if held is not None:
            _clear(self._folder)
            os.close(held)

    @staticmethod
    def sweep() -> None:
        """Remove what killed processes of this user left."""
        for folder in _ours():
            held = hold(folder)
            if held is not None:
                _clear(folder)
                os.close(held)

    @staticmethod
    def look() -> Iterator[tuple[bool, int]]:
        """Of each folder of this user's whether somebody holds it, and its bytes on disk; nothing is changed."""
        for folder in _ours():
            held = hold(folder)
            if held is not None:
                os.close(held)
            if held is not None or folder.exists():
                yield held is None, bytes_on_disk(folder)


def _ours() -> Iterator[Path]:
    """The folders of this user's; a link, or what somebody else has given such a name, is none."""
    with suppress(OSError), os.scandir(tempfile.gettempdir()) as entries:
        for entry in entries:
            if entry.name.startswith(_PREFIX):
                with suppress(OSError):
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode) and found.st_uid == os.geteuid():
                        yield Path(entry.path)


def _clear(folder: Path) -> None:
    # What can't be removed keeps no program from running; it is tried again with the next one.
    with suppress(OSError, RecursionError):
        remove_tree(folder)
