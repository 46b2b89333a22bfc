"""The lock: which plugins are trusted, pinned to the last byte. It stands beside `assent.toml` and is a control file.

It is written by `assent plugin trust` and `untrust` alone, is plain JSON with sorted keys so that a change of it can be reviewed,
and holds each plugin's whole manifest, so that a later difference can be shown on any machine that has the lock.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Final, Self

import msgspec
from msgspec import Meta

from assent.plugins._lock_file import load_document, save_document

LOCK_FILE: Final = "assent-plugins.lock"
LOCK_VERSION: Final = 1

_WHAT: Final = "lock of plugins"
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
        document = load_document(path, _Document, _WHAT)
        return cls(path, {} if document is None else document.plugins)

    def with_entry(self, name: str, entry: LockEntry) -> Lock:
        """The lock with one plugin more, or with another entry for it."""
        return Lock(self.path, {**self.plugins, name: entry})

    def without(self, name: str) -> Lock:
        """The lock without a plugin."""
        return Lock(self.path, {known: entry for known, entry in self.plugins.items() if known != name})

    def save(self) -> None:
        """Write the lock in one step; it is durable when this returns. `WorldError` WORKSPACE_UNUSABLE."""
        save_document(self.path, _Document(lock_version=LOCK_VERSION, plugins=dict(self.plugins)), _WHAT)
