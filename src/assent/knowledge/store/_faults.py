"""What the disk under the store refuses, as errors of ours: it says nothing of what stands in the files."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from assent.errors import WorldError, disk_full, exhausted, is_full, out_of_files

_SAYS_FULL: Final = "disk is full"
_LEAST_BYTES: Final = 64 << 10
"""SQLite needs some room for a small file that readers and the writer share, and tells of none there as of a disk that fails."""


def storage_failed(path: Path | None, error: Exception) -> WorldError:
    """`DISK_FULL`, `MACHINE_EXHAUSTED`, else `STORAGE_FAILED`."""
    says_full = is_full(error) if isinstance(error, OSError) and error.errno else _is_full(path)
    if says_full or _SAYS_FULL in str(error):
        return disk_full("the store of knowledge")
    return (
        exhausted(error)
        or out_of_files()
        or WorldError(
            "STORAGE_FAILED",
            "the store of knowledge can't be read or written",
            path=str(path),
            hint="check the disk, and who may write there, then try again: what was indexed is still there",
            details={"cause": getattr(error, "strerror", None) or str(error)},
        )
    )


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system refuses inside is raised as `storage_failed` has it."""
    try:
        yield
    except OSError as error:
        raise storage_failed(path, error) from error


def _is_full(path: Path | None) -> bool:
    if path is None:
        return False
    try:
        found = os.statvfs(path.parent)
    except OSError:  # it was taken away
        return False
    return found.f_bavail * found.f_frsize < _LEAST_BYTES
