"""Folders and files that only their owner may touch, made so that they survive a power loss."""

from __future__ import annotations

import errno
import io
import os
import stat
from pathlib import Path
from typing import Final

from assent.errors import InputError, WorldError, disk_full, exhausted, is_full

DIR_MODE: Final = 0o700
PLAIN_BYTES_MAX: Final = 64 << 20
"""What a plan, a delivery or the description of a capture may have: eight times what a request may."""

FILE_MODE: Final = 0o600


def ensure_private_dir(path: Path, *, may_be_link: bool = False) -> None:
    """Make the folder (and its parents) if it is missing, durably; refuse one that others may enter.

    Raises `InputError` `STATE_UNSAFE` when the folder belongs to somebody else or is open to group or others: what is in it
    would prove nothing; and when it is a link, unless it may be: what is removed behind it would be somebody else's.
    """
    if not may_be_link and path.is_symlink():
        raise _is_link(path)
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


def refuse_links(state_dir: Path) -> None:
    """`InputError` `STATE_UNSAFE` where a link stands in a state directory: nothing of ours is one, and we clear up behind it."""
    with os.scandir(state_dir) as entries:
        for entry in entries:
            if entry.is_symlink():
                raise _is_link(Path(entry))


def _is_link(path: Path) -> InputError:
    return InputError(
        "STATE_UNSAFE",
        f"`{path}` is a link, and what a state directory has lies in it",
        path=str(path),
        hint="find out who made it, and remove it; to keep the state elsewhere, say so with `--state`",
    )


def open_plain(path: Path) -> io.FileIO:
    """A file to be read; `OSError` also where something else stands there, and at once: a FIFO would have us wait for ever."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return io.FileIO(descriptor)
    os.close(descriptor)
    raise OSError(errno.EINVAL, "not a plain file", str(path))


def read_plain(path: Path) -> bytes:
    """All of a small file of the state; `OSError` also for what is no file, or has more than `PLAIN_BYTES_MAX`."""
    with open_plain(path) as file:
        data = file.read(PLAIN_BYTES_MAX + 1)
    if len(data) > PLAIN_BYTES_MAX:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG), str(path))
    return data


def is_there(path: Path) -> bool:
    """Whether anything has this name in a state directory, were it a link that leads nowhere. `STATE_UNUSABLE`."""
    try:
        path.lstat()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise state_unusable(path.parent, error) from error
    return True


def state_unusable(state_dir: Path, error: OSError) -> WorldError:
    """What is told where the state directory can't be read or written: `DISK_FULL`, `MACHINE_EXHAUSTED`, `STATE_UNUSABLE`."""
    if (lacking := exhausted(error)) is not None:
        return lacking
    if is_full(error):
        return disk_full("the state")
    return WorldError(
        "STATE_UNUSABLE",
        f"the state directory `{state_dir}` can't be used: {(error.strerror or str(error)).lower()}",
        path=place_of(error),
        hint="check the disk, who may write there, and what has been put in this place",
    )


def place_of(error: OSError) -> str | None:
    """The file that a failure is about."""
    where = error.filename2 or error.filename
    return None if where is None else os.fsdecode(where)


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


def write_plain(path: Path, how: int = os.O_TRUNC) -> int:
    """A descriptor of a file to be written anew, or on with `O_APPEND`; `OSError` where a link or a FIFO stands there."""
    flags = os.O_WRONLY | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    return os.open(path, flags | how, FILE_MODE)
