"""The three system calls that Python does not wrap: opening beneath, renaming without replacing, flushing to the platter.

Each has a plain fallback, so that an older kernel, a sandbox that refuses new calls, and macOS all work.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import stat
import sys
from typing import Final

_OPENAT2: Final = 437  # The same number on every architecture that Linux 5.6 and later run on, but Alpha.
_RESOLVE_NO_MAGICLINKS: Final = 0x02
_RESOLVE_NO_SYMLINKS: Final = 0x04
_RESOLVE_BENEATH: Final = 0x08
_RENAME_NOREPLACE: Final = 1  # linux/fs.h
_RENAME_EXCL: Final = 4  # sys/stdio.h of macOS
_RACES_MAX: Final = 16
"""How often `openat2` may answer that a rename got in its way before we believe that it always will."""

_libc: Final = ctypes.CDLL(None, use_errno=True)
_rename_new: Final = getattr(_libc, "renameatx_np" if sys.platform == "darwin" else "renameat2", None)
_RENAME_NEW_FLAG: Final = _RENAME_EXCL if sys.platform == "darwin" else _RENAME_NOREPLACE


class _OpenHow(ctypes.Structure):
    """`struct open_how` of openat2(2)."""

    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


def open_beneath(name: str, flags: int, directory: int) -> int:
    """Open `name` below an open directory, following no link of any kind: openat2(2). Raises `OSError` as `os.open` does."""
    how = _OpenHow(
        flags=flags | os.O_CLOEXEC | os.O_NOFOLLOW,
        resolve=_RESOLVE_BENEATH | _RESOLVE_NO_SYMLINKS | _RESOLVE_NO_MAGICLINKS,
    )
    encoded, code = os.fsencode(name), 0
    for _ in range(_RACES_MAX):
        descriptor = int(_libc.syscall(_OPENAT2, directory, encoded, ctypes.byref(how), ctypes.sizeof(how)))
        if descriptor >= 0:
            return descriptor
        code = ctypes.get_errno()
        if code not in (errno.EAGAIN, errno.EINTR):
            break
    raise OSError(code, os.strerror(code), name)


def open_component(name: str, flags: int, directory: int) -> int:
    """Open one component without following a link: openat(2) with O_NOFOLLOW, on any POSIX system.

    INVARIANT: `name` is a single component and not `..`, so the kernel has nothing to resolve and nowhere to climb.
    """
    assert "/" not in name, "one component only"
    assert name != "..", "no climbing"
    return os.open(name, flags | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=directory)


def has_openat2(directory: int) -> bool:
    """Whether this kernel, and the sandbox around this process, answer openat2(2)."""
    if sys.platform != "linux":
        return False
    try:
        os.close(open_beneath(".", os.O_RDONLY | os.O_DIRECTORY, directory))
    except OSError:
        return False
    return True


def rename_new(source: str, source_fd: int, destination: str, destination_fd: int) -> None:
    """Rename onto a free name, atomically where the system can; `FileExistsError` when it is taken."""
    if _rename_new is not None:
        name, target = os.fsencode(source), os.fsencode(destination)
        if _rename_new(source_fd, name, destination_fd, target, _RENAME_NEW_FLAG) == 0:
            return
        code = ctypes.get_errno()
        if code not in (errno.ENOSYS, errno.EINVAL, errno.ENOTSUP):
            raise OSError(code, os.strerror(code), destination)
    # A file system without the flag: a name that appears between these two calls is replaced. Nothing better exists there.
    try:
        os.stat(destination, dir_fd=destination_fd, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(source, destination, src_dir_fd=source_fd, dst_dir_fd=destination_fd)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), destination)


def flush(descriptor: int) -> None:
    """Make a file's or folder's change survive power loss; on macOS only F_FULLFSYNC empties the drive's own cache."""
    if sys.platform == "darwin":
        try:
            fcntl.fcntl(descriptor, fcntl.F_FULLFSYNC)
        except OSError:
            # Network file systems lack it; the plain flush is then all that can be had.
            os.fsync(descriptor)
    else:
        os.fsync(descriptor)


def flush_directory(directory: int) -> None:
    """`flush` for a folder that may be open for walking only."""
    descriptor = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    try:
        flush(descriptor)
    finally:
        os.close(descriptor)


# No link is followed; entries are reached by descriptor only.

_LIST: Final = os.O_RDONLY | os.O_DIRECTORY


def remove_tree(name: str, folder: int) -> None:
    """Remove `name`, whatever it is. Folders without write permission are made writable first: they are about to go."""
    if not _is_directory(name, folder):
        os.unlink(name, dir_fd=folder)
        return
    descriptor = _open_usable(name, folder)
    try:
        for inner in os.listdir(descriptor):
            remove_tree(inner, descriptor)
    finally:
        os.close(descriptor)
    os.rmdir(name, dir_fd=folder)


def flush_tree(name: str, folder: int) -> None:
    """Flush every folder of a tree, children first; its files were flushed when they were written."""
    descriptor = open_component(name, _LIST, folder)
    try:
        for inner in os.listdir(descriptor):
            if _is_directory(inner, descriptor):
                flush_tree(inner, descriptor)
        flush(descriptor)
    finally:
        os.close(descriptor)


def _is_directory(name: str, folder: int) -> bool:
    return stat.S_ISDIR(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)


def _open_usable(name: str, folder: int) -> int:
    try:
        descriptor = open_component(name, _LIST, folder)
    except PermissionError:
        # The one change by name: a folder that may not be read cannot be opened to be changed by descriptor.
        os.chmod(name, stat.S_IRWXU, dir_fd=folder)
        descriptor = open_component(name, _LIST, folder)
    if os.fstat(descriptor).st_mode & stat.S_IRWXU != stat.S_IRWXU:
        os.fchmod(descriptor, stat.S_IRWXU)
    return descriptor
