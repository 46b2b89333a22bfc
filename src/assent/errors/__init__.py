"""What can go wrong, as one family of errors that every floor shares.

    AssentError                a code, a sentence, where, and what to do next
    ├── InputError             the caller's side: fix the input, the file or the command
    ├── RefusedError           the gate's side: policy or a person said no
    ├── WorldError             the world's side: a file, a disk, another process; a retry may help
    └── InternalError          our side: a bug, please report it

Codes are stable and explained in `assent.errors.explanations`; people script against them. Doors alone turn an error into JSON
or an exit code. Every error survives a round trip through `to_dict` and `from_dict`, because errors are journaled and sent.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import ClassVar, Final, Self, TypeAlias

_FILES_AT_ONCE: Final = 4
"""What SQLite opens for one ledger: the file, its log, its index and its folder."""

Json: TypeAlias = "None | bool | int | float | str | list[Json] | dict[str, Json]"


class AssentError(Exception):
    """One failure: a stable `code`, one lower-case sentence, where it is and what to do about it.

    `path` names the place (`FILE:LINE:COLUMN` for files, a dotted path for data); `hint` is the next command or the mend;
    `details` is JSON data for programs.
    """

    # Most refusals live for a microsecond; making a dictionary for each costs as much as filling it.
    __slots__ = ("code", "details", "hint", "message", "path")

    family: ClassVar[str] = "error"
    retryable: ClassVar[bool] = False

    def __init__(
        self,
        code: str,
        message: str,
        *,
        path: str | None = None,
        hint: str | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> None:
        self.args = (
            message,
        )  # what `Exception.__init__` does, which costs twice as much to find and to call
        self.code = code
        self.message = message
        self.path = path
        self.hint = hint
        self.details: dict[str, Json] = {**details} if details else {}

    def __str__(self) -> str:
        where = f" at {self.path}" if self.path else ""
        return f"{self.message}{where} [{self.code}]"

    def __reduce__(self) -> tuple[object, ...]:
        # The default rebuilds from `args`, which lacks the keyword-only fields: errors cross process borders.
        return (_rebuild, (type(self), self.to_dict()))

    def to_dict(self) -> dict[str, Json]:
        """The error object of the design: always the same five keys."""
        return {
            "code": self.code,
            "message": self.message,
            "path": self.path,
            "hint": self.hint,
            "details": self.details,
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Json]) -> Self:
        """The error that `to_dict` described."""
        details = data.get("details")
        path, hint = data.get("path"), data.get("hint")
        return cls(
            str(data["code"]),
            str(data["message"]),
            path=path if isinstance(path, str) else None,
            hint=hint if isinstance(hint, str) else None,
            details=details if isinstance(details, dict) else None,
        )


def _rebuild(kind: type[AssentError], data: Mapping[str, Json]) -> AssentError:
    return kind.from_dict(data)


class InputError(AssentError):
    """The caller can mend this: an argument, a file, a reference, a permission of a file."""

    family = "input"


class RefusedError(AssentError):
    """Policy or a person said no; trying the same again gets the same answer."""

    family = "refused"


class WorldError(AssentError):
    """The world failed: a disk, a file, another process. The same call may work later."""

    family = "world"
    retryable = True


class InternalError(AssentError):
    """A fault of Assent itself."""

    family = "internal"


FAMILIES: Final[Mapping[str, type[AssentError]]] = {
    kind.family: kind for kind in (InputError, RefusedError, WorldError, InternalError)
}
"""The four, by what they are called where an error travels."""


def exhausted(error: Exception) -> WorldError | None:
    """What is told of a failure anywhere that says that the machine gives this process no more; None of any other."""
    number = error.errno if isinstance(error, OSError) else None
    if number in (errno.EMFILE, errno.ENFILE):
        lacking = "open files"
    elif number == errno.ENOMEM or isinstance(error, MemoryError):
        lacking = "memory"
    else:
        return None
    return WorldError(
        "MACHINE_EXHAUSTED",
        f"the machine gives this process no more {lacking}",
        hint="`ulimit -a` shows what it may have; a run that was under way can be resumed",
    )


def is_full(error: OSError) -> bool:
    """Whether a failure says that a disk, or what one may have of it, has no space left."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def disk_full(what: str) -> WorldError:
    """What is told where the disk that holds `what` has no space left."""
    return WorldError(
        "DISK_FULL", f"the disk that holds {what} is full", hint="free some space and try again"
    )


def out_of_files() -> WorldError | None:
    """`exhausted`, where few files can be opened now: for what fails of that without saying so, as SQLite."""
    try:
        with ExitStack() as probes:
            for _ in range(_FILES_AT_ONCE):
                probes.callback(os.close, os.open(os.devnull, os.O_RDONLY))
    except OSError as error:
        return exhausted(error)
    return None


__all__ = [
    "FAMILIES",
    "AssentError",
    "InputError",
    "InternalError",
    "Json",
    "RefusedError",
    "WorldError",
    "disk_full",
    "exhausted",
    "is_full",
    "out_of_files",
]
