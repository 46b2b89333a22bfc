"""What the operating system refuses, in the words and codes of Assent."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from assent.capabilities.fs.world._paths import escapes, refusal, shown
from assent.errors import AssentError, WorldError
from assent.invocation import NoEffectError

_KNOWN: Final[dict[int, tuple[str, str]]] = {
    errno.ENOENT: ("FILE_NOT_FOUND", "does not exist"),
    errno.EEXIST: ("FILE_EXISTS", "exists already"),
    errno.ENOTDIR: ("NOT_A_DIRECTORY", "is not a directory"),
    errno.EISDIR: ("IS_A_DIRECTORY", "is a directory"),
    errno.ENOTEMPTY: ("DIRECTORY_NOT_EMPTY", "is not empty"),
    errno.EXDEV: ("OTHER_DEVICE", "lies on another file system, so it cannot be moved in one step"),
    errno.EACCES: ("ACCESS_DENIED", "may not be touched by this user"),
    errno.EPERM: ("ACCESS_DENIED", "may not be touched by this user"),
    errno.EROFS: ("ACCESS_DENIED", "lies on a file system that is read-only"),
    errno.ENOSPC: ("DISK_FULL", "cannot be written: the disk is full"),
    errno.EDQUOT: ("DISK_FULL", "cannot be written: the disk quota is used up"),
    errno.EFBIG: ("FILE_TOO_LARGE", "would be larger than this system allows"),
    errno.ENAMETOOLONG: ("PATH_INVALID", "has a name that is too long for this file system"),
    errno.EINVAL: ("PATH_INVALID", "is not a place where this can be done"),
    errno.EILSEQ: ("PATH_INVALID", "has a name that this file system cannot store"),
}

_HINTS: Final = {
    "DISK_FULL": "free some space, then try again",
    "ACCESS_DENIED": "check the owner and the permissions of the file and its folder",
    "OTHER_DEVICE": "copy it, then delete the original",
}


def fault(error: OSError, path: str, *, effect: bool = False) -> AssentError:
    """The error that `error` means for `path`; a `NoEffectError` unless `effect` says that something may have changed."""
    if error.errno == errno.ELOOP:
        return escapes(path, "leads through a symbolic link")
    code, sentence = _KNOWN.get(
        error.errno or 0, ("FILE_FAILED", f"failed: {(error.strerror or 'unknown').lower()}")
    )
    kind = WorldError if effect else NoEffectError
    return kind(
        code,
        f"`{shown(path)}` {sentence}",
        path=shown(path),
        hint=_HINTS.get(code),
        details={"errno": errno.errorcode.get(error.errno or 0, "unknown")},
    )


@contextmanager
def faults(path: str, *, effect: bool = False) -> Iterator[None]:
    """Inside, failures of the operating system become ours."""
    try:
        yield
    except OSError as error:
        raise fault(error, path, effect=effect) from error


def missing(path: str) -> NoEffectError:
    """Nothing stands at `path`."""
    return refusal("FILE_NOT_FOUND", path, "does not exist")


def exists(path: str, hint: str | None = None) -> NoEffectError:
    """Something stands at `path` already."""
    return refusal("FILE_EXISTS", path, "exists already", hint)


def not_a_directory(path: str) -> NoEffectError:
    """Something else than a directory stands at `path`."""
    return refusal("NOT_A_DIRECTORY", path, "is not a directory")


def is_a_directory(path: str) -> NoEffectError:
    """A directory stands where a file was asked for."""
    return refusal("IS_A_DIRECTORY", path, "is a directory")


def not_empty(path: str) -> NoEffectError:
    """A directory with something in it, where an empty one was asked for."""
    return refusal("DIRECTORY_NOT_EMPTY", path, "is not empty")


def wrong_kind(path: str, what: str = "neither a file nor a directory") -> NoEffectError:
    """A device, socket or pipe: nothing that can be read, kept and restored."""
    return refusal("FILE_KIND_UNSUPPORTED", path, f"is {what}; it cannot be handled safely")


def whole_root(path: str) -> NoEffectError:
    """The workspace's root cannot be written, moved or removed."""
    return NoEffectError(
        "PATH_INVALID",
        "the workspace's root itself cannot be changed",
        path=shown(path),
        hint="name something inside it",
    )
