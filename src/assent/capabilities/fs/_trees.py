"""Whole trees below an open folder: removed, or flushed. No link is followed; entries are reached by descriptor only."""

from __future__ import annotations

import os
import stat
from typing import Final

from assent.capabilities.fs._syscalls import flush, open_component

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
