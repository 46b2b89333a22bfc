"""What happens in the folders of a root, by `watchfiles`: inotify, FSEvents, or whatever the system has.

Each folder is watched by itself. A recursive watch would follow links out of the root, and what ignored folders hold as well.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import WorldError
from assent.knowledge.sources import ROOT

if TYPE_CHECKING:
    from watchfiles._rust_notify import RustNotify

_STEP_MS: Final = 50
"""How often `watchfiles`, which can't block, looks for events and signals: ten times as often is a hundredth of a core, idle."""

_GIT: Final = (".git", ".git/info")
"""Where git's list and its ignore file are: no walk goes in there."""


class FolderEvents:
    """The `Events` of a folder. Close it when nobody waits any more."""

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._notify: RustNotify | None = None

    def over(self, folders: Collection[str]) -> None:
        from watchfiles._rust_notify import RustNotify

        paths = [Path(self._root, folder, inner) for folder in folders for inner in ("", *_GIT)]
        self.close()
        while self._notify is None:
            # What became a link since it was walked is left out; of what becomes one now, names are told, and no more.
            there = [str(path) for path in paths if path.is_dir() and not path.is_symlink()]
            try:
                self._notify = RustNotify(there, False, False, 0, False, True)
            except FileNotFoundError:
                continue  # one of them went away meanwhile
            except OSError as error:
                raise WorldError(
                    "MACHINE_EXHAUSTED",
                    f"the machine lets this process watch no more folders: {error}",
                    hint="raise `fs.inotify.max_user_watches`, or leave folders out",
                ) from error

    def wait(self, timeout_ms: int) -> list[str]:
        assert self._notify is not None, "nothing is watched yet"
        found = self._notify.watch(_STEP_MS, _STEP_MS, timeout_ms, None)
        if found == "signal":
            raise KeyboardInterrupt
        return [] if isinstance(found, str) else [path[len(self._root) + 1 :] or ROOT for _, path in found]

    def close(self) -> None:
        """Watch nothing any more; harmless when done twice."""
        if self._notify is not None:
            self._notify.close()
            self._notify = None
