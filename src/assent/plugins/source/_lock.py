"""The lock: which plugins are trusted, pinned to the last byte. It stands beside `assent.toml` and is a control file.

It is written by `assent plugin trust` and `untrust` alone, is plain JSON with sorted keys so that a change of it can be reviewed,
and holds each plugin's whole manifest, so that a later difference can be shown on any machine that has the lock.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta

from assent.errors import InputError, Json, WorldError
from assent.spec.values.canonical import parse_json

LOCK_FILE: Final = "assent-plugins.lock"
LOCK_VERSION: Final = 1
LOCK_BYTES_MAX: Final = 64 << 20

_SHARED: Final = stat.S_IWGRP | stat.S_IWOTH
_Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]


class LockEntry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One trusted plugin.

    `origin` and `module` say where it was found and what is imported; `digest` is the manifest's fingerprint; `files` are the
    SHA-256 of everything that it is imported from; `dependencies` the versions of the distributions that it imports from, null
    for one that was not installed; `native` that code which nobody can read was allowed; `in_process` that it may run in Assent's
    own process; `trusted_by` who did it.
    """

    origin: str
    module: str
    version: str | None
    digest: _Digest
    manifest: dict[str, object]
    files: dict[str, _Digest]
    dependencies: dict[str, str | None]
    native: bool
    trusted_by: str
    in_process: bool = False


class _Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    lock_version: Annotated[int, Meta(ge=LOCK_VERSION, le=LOCK_VERSION)]
    plugins: dict[str, LockEntry]


class Lock:
    """The trusted plugins by name, as the file had them when it was read."""

    def __init__(self, path: Path, plugins: Mapping[str, LockEntry]) -> None:
        self.path = path
        self.plugins = plugins

    @classmethod
    def load(cls, path: Path) -> Self:
        """The lock in a file; an empty one where there is none.

        Raises `InputError` PLUGIN_LOCK_INVALID, PLUGIN_LOCK_PERMISSIONS when somebody else could have written it.
        """
        data = _read(path)
        if data is None:
            return cls(path, {})
        try:
            document = msgspec.convert(parse_json(data), _Document)
        except InputError as error:
            raise _invalid(path, error.message) from None
        except msgspec.ValidationError as error:
            raise _invalid(path, str(error)) from None
        return cls(path, document.plugins)

    def with_entry(self, name: str, entry: LockEntry) -> Lock:
        """The lock with one plugin more, or with another entry for it."""
        return Lock(self.path, {**self.plugins, name: entry})

    def without(self, name: str) -> Lock:
        """The lock without a plugin."""
        return Lock(self.path, {known: entry for known, entry in self.plugins.items() if known != name})

    def save(self) -> None:
        """Write the lock in one step; it is durable when this returns. `WorldError` WORKSPACE_UNUSABLE."""
        document: Json = msgspec.to_builtins(_Document(lock_version=LOCK_VERSION, plugins=dict(self.plugins)))
        text = json.dumps(document, indent=1, sort_keys=True) + "\n"
        # A link is followed, as it is when the lock is read: the file itself is replaced, wherever it is.
        place = Path(os.path.realpath(self.path))
        fresh = place.with_name(f".{place.name}.new")
        try:
            # 0644 whatever the umask allows: a lock that its group may change is refused when it is loaded.
            flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC | os.O_NOFOLLOW
            with os.fdopen(os.open(fresh, flags, 0o644), "w", encoding="utf-8") as file:
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
            reason = os.strerror(error.errno or 0).lower()
            raise WorldError(
                "WORKSPACE_UNUSABLE", f"the lock of plugins can't be written: {reason}", path=str(self.path)
            ) from error


def _read(path: Path) -> bytes | None:
    try:
        # O_NONBLOCK: a FIFO in the lock's place must not hang us before we have seen that it is no file.
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _invalid(path, os.strerror(error.errno or 0).lower()) from None
    with os.fdopen(descriptor, "rb") as file:
        status = os.fstat(descriptor)  # of the file that is open, not of whatever bears its name by now
        if not stat.S_ISREG(status.st_mode):
            raise _invalid(path, "it is not a plain file")
        if status.st_mode & _SHARED:
            raise InputError(
                "PLUGIN_LOCK_PERMISSIONS",
                f"others may change the lock of plugins (mode {stat.S_IMODE(status.st_mode):04o})",
                path=str(path),
                hint=f"look at what it trusts, then: chmod go-w {path}",
            )
        data = file.read(LOCK_BYTES_MAX + 1)
    if len(data) > LOCK_BYTES_MAX:
        raise _invalid(path, f"it is larger than {LOCK_BYTES_MAX} bytes")
    return data


def _invalid(path: Path, reason: str) -> InputError:
    return InputError(
        "PLUGIN_LOCK_INVALID",
        f"the lock of plugins can't be used: {reason[:1].lower()}{reason[1:]}",
        path=str(path),
        hint="restore it from your version control, or remove it and trust each plugin anew",
    )
