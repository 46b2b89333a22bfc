"""What plugins were seen to bring, so that a start needs no worker: a file for each, named by everything that decides it.

Nothing is trusted for standing there. What is read is held against the manifest again, and against what the first worker says.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from assent.journal import read_plain
from assent.plugins.worker._frames import PROTOCOL, Loaded
from assent.spec.values.canonical import canonical_json
from assent.spec.values.typed import unpacker

if TYPE_CHECKING:
    from assent.plugins.source._trust import CheckedPlugin

_UNPACK: Final = unpacker(Loaded).decode
FOLDER: Final = "plugins"
_OURS: Final = re.compile(r"[0-9a-f]{64}|\.[0-9a-f]{64}\.\d+\.new")
FILES_MAX: Final = 256
"""Files that are kept; the oldest go first."""


class KnownRegistrations:
    """The registrations that are known in one state directory. Without one, nothing is known and nothing kept."""

    def __init__(self, state: Path | None, *, assent: str) -> None:
        self._state = state
        self._assent = assent
        self._pending: dict[str, Loaded] = {}

    def find(self, plugin: CheckedPlugin) -> Loaded | None:
        """What a plugin brings, when exactly it was loaded before."""
        place = self._place(plugin)
        if place is None:
            return None
        try:
            return _UNPACK(read_plain(place))
        except (OSError, msgspec.MsgspecError, ValueError, RecursionError):
            return None

    def note(self, plugin: CheckedPlugin, loaded: Loaded) -> None:
        """Keep what a plugin brings, now or once the state directory is there. A full disk keeps nothing, and that is all."""
        self._pending[self._key(plugin)] = loaded
        self.write()

    def write(self) -> None:
        """Write what waits for the state directory to be made."""
        if self._state is None or not self._pending or not self._state.is_dir():
            return
        folder = self._state / FOLDER
        with suppress(OSError):
            folder.mkdir(mode=0o700, exist_ok=True)
            for key, loaded in self._pending.items():
                fresh = folder / f".{key}.{os.getpid()}.new"
                fresh.write_bytes(msgspec.msgpack.encode(loaded))
                fresh.replace(folder / key)
            ours = [file for file in folder.iterdir() if _OURS.fullmatch(file.name)]
            kept = sorted(ours, key=lambda file: file.lstat().st_mtime_ns)
            for file in kept[:-FILES_MAX]:
                file.unlink(missing_ok=True)
        self._pending.clear()

    def _place(self, plugin: CheckedPlugin) -> Path | None:
        return None if self._state is None else self._state / FOLDER / self._key(plugin)

    def _key(self, plugin: CheckedPlugin) -> str:
        # The manifest's fingerprint covers every byte of the plugin. The rest is what runs it.
        return hashlib.sha256(
            canonical_json(
                {
                    "assent": self._assent,
                    "dependencies": dict(plugin.dependencies),
                    "manifest": plugin.manifest.fingerprint,
                    "module": plugin.module,
                    "native": plugin.native,
                    "protocol": PROTOCOL,
                    "python": sys.version,
                }
            )
        ).hexdigest()
