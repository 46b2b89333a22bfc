"""Lock files: what is trusted in a workspace, as plain JSON with sorted keys that can be reviewed like code.

They are control files: nobody but their owner may be able to write them, and they are replaced in one step.
"""

from __future__ import annotations

import json
import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from assent.errors import InputError, Json, WorldError
from assent.spec.values.canonical import parse_json
from assent.spec.values.typed import convert

LOCK_BYTES_MAX: Final = 64 << 20

_SHARED: Final = stat.S_IWGRP | stat.S_IWOTH

Document = TypeVar("Document", bound=msgspec.Struct)


def load_document(path: Path, kind: type[Document], what: str) -> Document | None:
    """What a lock file holds; None where there is none. `what` says which lock it is.

    Raises `InputError` PLUGIN_LOCK_INVALID, PLUGIN_LOCK_PERMISSIONS when somebody else could have written it.
    """
    data = _read(path, what)
    if data is None:
        return None
    try:
        return convert(parse_json(data), kind)
    except InputError as error:
        raise _invalid(path, what, error.message) from None
    except msgspec.ValidationError as error:
        raise _invalid(path, what, str(error)) from None


def save_document(path: Path, document: msgspec.Struct, what: str) -> None:
    """Write a lock file in one step; it is durable when this returns. `WorldError` WORKSPACE_UNUSABLE."""
    told: Json = msgspec.to_builtins(document)
    text = json.dumps(told, indent=1, sort_keys=True) + "\n"
    replace_file(path, text, what)


def replace_file(path: Path, text: str, what: str, *, mode: int | None = None) -> None:
    """Write a control file in one step; it is durable when this returns. `WorldError` WORKSPACE_UNUSABLE.

    `mode`: what a new file gets, and one that is there keeps its own. Without it, the mode of a lock.
    """
    # A link is followed, as it is when the lock is read: the file itself is replaced, wherever it is.
    place = Path(os.path.realpath(path))
    fresh = place.with_name(f".{place.name}.new")
    try:
        # 0644 whatever the umask allows: a lock that its group may change is refused when it is loaded.
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
        with os.fdopen(os.open(fresh, flags, mode or 0o644), "w", encoding="utf-8") as file:
            if mode is not None and place.exists():
                os.fchmod(file.fileno(), stat.S_IMODE(place.stat().st_mode))
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(place)
        folder = os.open(place.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        with suppress(OSError):
            fresh.unlink()  # a part of it, on a full disk
        reason = os.strerror(error.errno or 0).lower()
        raise WorldError(
            "WORKSPACE_UNUSABLE", f"the {what} can't be written: {reason}", path=str(path)
        ) from error


def _read(path: Path, what: str) -> bytes | None:
    try:
        # O_NONBLOCK: a FIFO in the lock's place must not hang us before we have seen that it is no file.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _invalid(path, what, os.strerror(error.errno or 0).lower()) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)  # of the file that is open, not of whatever bears its name by now
        if not stat.S_ISREG(status.st_mode):
            raise _invalid(path, what, "it is not a plain file")
        if status.st_mode & _SHARED:
            raise InputError(
                "PLUGIN_LOCK_PERMISSIONS",
                f"others may change the {what} (mode {stat.S_IMODE(status.st_mode):04o})",
                path=str(path),
                hint=f"look at what it trusts, then: chmod go-w {path}",
            )
        data = file.read(LOCK_BYTES_MAX + 1)
    if len(data) > LOCK_BYTES_MAX:
        raise _invalid(path, what, f"it is larger than {LOCK_BYTES_MAX} bytes")
    return data


def _invalid(path: Path, what: str, reason: str) -> InputError:
    return InputError(
        "PLUGIN_LOCK_INVALID",
        f"the {what} can't be used: {reason[:1].lower()}{reason[1:]}",
        path=str(path),
        hint="restore it from your version control, or remove it and trust anew what it named",
    )
