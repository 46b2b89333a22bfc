"""Folders and files that only their owner may touch, made so that they survive a power loss."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Final

from assent.errors import InputError

DIR_MODE: Final = 0o700
FILE_MODE: Final = 0o600


def ensure_private_dir(path: Path) -> None:
    """Make the folder (and its parents) if it is missing, durably; refuse one that others may enter.

    Raises `InputError` `STATE_UNSAFE` when the folder belongs to somebody else or is open to group or others: what is in it
    would prove nothing.
    """
    if not path.is_dir():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            path.mkdir(mode=DIR_MODE)
        except FileExistsError:
            if not path.is_dir():
                raise InputError("STATE_UNSAFE", f"`{path}` is not a folder") from None
        fsync_dir(path.parent)
    status = path.stat()
    if status.st_uid != os.geteuid():
        raise InputError("STATE_UNSAFE", f"the folder `{path}` belongs to another user")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise InputError(
            "STATE_UNSAFE",
            f"others may enter the folder `{path}`",
            hint=f"run `chmod 700 {path}` and try again",
        )


def fsync_dir(path: Path) -> None:
    """Make the folder's entries durable: a file that was created or renamed in it is found again after a power loss."""
    handle = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def create_private_file(path: Path) -> int:
    """A descriptor of a new, empty file for reading and writing; `FileExistsError` when there is one."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, FILE_MODE)
