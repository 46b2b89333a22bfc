"""A change of a repository made, or taken back, under git's own locks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

from assent.capabilities.git._change import GitChange, LogEdit, RefEdit
from assent.capabilities.git._faults import locked
from assent.capabilities.git._layout import Repository
from assent.capabilities.git._objects import write_object
from assent.capabilities.git._refs import Refs
from assent.errors import AssentError
from assent.invocation import EntryKind, LocalContext, NoEffectError

_KEPT_FOLDERS: Final = ("refs/heads", "refs/tags", "refs", "logs/refs/heads", "logs/refs", "logs")
"""Folders that stay when they are empty."""


class Hand:
    """Whoever makes one call's change in one repository; `refused` is the error for a world that is somebody else's."""

    def __init__(self, context: LocalContext, repository: Repository, change: GitChange) -> None:
        self._files = repository.files
        self._key = context.key
        self._repository = repository
        self._git = change.git
        self._change = change

    def has_leftovers(self) -> bool:
        """Whether a lock or a temporary name of this call stands, which nobody will take away but this call."""
        if any(self._is_own(path) for path in self._locks()):
            return True
        aside = (self._files.temporary(path, key=self._key) for path in self._touched())
        return any(self._files.stat(path) is not None for path in aside)

    def has_told(self) -> bool:
        """Whether a reflog says already what the change does."""
        for log in self._change.logs:
            path = f"{self._git}/logs/{log.name}"
            entry = self._files.stat(path)
            is_file = entry is not None and entry.kind is EntryKind.FILE
            if log.line is None:
                is_told = entry is None and log.kept is not None
            else:
                line = log.line.encode("utf-8", "surrogateescape")
                is_told = is_file and b"".join(self._files.read(path)).endswith(line)
            if is_told:
                return True
        return False

    def clear(self) -> None:
        """Remove what an interrupted attempt left: its locks, and its temporary names."""
        for path in self._locks():
            if self._is_own(path):
                self._files.remove_file(path)
        for path in self._touched():
            if self._files.stat(path.rpartition("/")[0]) is not None:
                self._files.remove_temporary(path, key=self._key)

    def _locks(self) -> list[str]:
        names = [edit.name for edit in self._change.edits if edit.moves]
        return [f"{self._git}/{name}.lock" for name in (*names, "packed-refs", "index")]

    def _touched(self) -> list[str]:
        logs = [f"{self._git}/logs/{log.name}" for log in self._change.logs]
        objects = [f"{self._git}/objects/{name[:2]}/{name[2:]}" for name in self._change.objects]
        return [*self._locks(), *logs, *objects]

    def _is_own(self, path: str) -> bool:
        entry = self._files.stat(path)
        if entry is None or entry.kind is not EntryKind.FILE:
            return False
        return b"".join(self._files.read(path)) in self._own_contents(path)

    def _own_contents(self, path: str) -> set[bytes]:
        name = path.removeprefix(f"{self._git}/").removesuffix(".lock")
        if name == "index" and self._change.index is not None:
            return {data or b"" for data in (self._change.index.old_data, self._change.index.new_data)}
        if name == "packed-refs":
            refs = Refs(self._repository)
            return {refs.without_packed(names) for names in (self._going(), self._coming())}
        edits = [edit for edit in self._change.edits if edit.name == name]
        return {self._lock_text(one) for edit in edits for one in (edit, edit.back)}

    def _lock_text(self, edit: RefEdit) -> bytes:
        # Git never reads a lock; what is written into it becomes the reference. Of one that goes, it says whose lock it is.
        return (
            f"{edit.new}\n".encode() if edit.new is not None else f"removed by assent {self._key}\n".encode()
        )

    def _going(self) -> frozenset[str]:
        return frozenset(edit.name for edit in self._change.edits if edit.moves and edit.new is None)

    def _coming(self) -> frozenset[str]:
        return frozenset(edit.name for edit in self._change.edits if edit.moves and edit.old is None)

    def make(self, refused: Callable[[], AssentError]) -> None:
        """Make the change from whatever part of it stands already. `refused` is raised when somebody else came between."""
        change, files = self._change, self._files
        for name, stored in change.objects.items():
            write_object(files, self._git, name, stored, self._key)
        held: list[str] = []
        try:
            moving = [edit for edit in change.edits if edit.moves]
            packed = Refs(self._repository).packed().keys() & self._going()
            if packed:
                rest = Refs(self._repository).without_packed(self._going())
                self._hold(f"{self._git}/packed-refs", rest, held)
            for edit in moving:
                self._hold(f"{self._git}/{edit.name}", self._lock_text(edit), held)
            index = change.index
            if index is not None and index.old != index.new:
                self._hold(f"{self._git}/index", index.new_data or b"", held, index.mtime_ns)
            found = change.find(self._repository)
            if not change.is_ours(found):
                raise refused()
        except AssentError:
            for path in reversed(held):
                files.remove_file(path)
                self._prune(path)
            raise
        if index is not None and index.old != index.new:
            self._put_index(index.new_data, is_new=found.index != index.new)
        self._write_logs()
        if packed:
            # Before the loose ones: a packed value would show again as soon as the loose one is gone.
            path = f"{self._git}/packed-refs"
            files.rename(f"{path}.lock", path, replace=True)
        for edit in moving:
            self._put(edit)

    def _hold(self, path: str, content: bytes, held: list[str], mtime_ns: int | None = None) -> None:
        lock = f"{path}.lock"
        entry = self._files.stat(path)
        if entry is not None and entry.kind is EntryKind.DIRECTORY:
            # Git leaves folders behind whose last branch is gone; an empty one gives way to a branch of its name.
            self._files.remove_dir(path)
        self._make_folders(lock)
        try:
            self._files.write(lock, [content], key=self._key, mtime_ns=mtime_ns, replace=False)
        except NoEffectError as error:
            if error.code != "FILE_EXISTS":
                raise
            raise locked(lock) from None
        held.append(lock)

    def _put_index(self, data: bytes | None, *, is_new: bool) -> None:
        path = f"{self._git}/index"
        if is_new and data is not None:
            self._files.rename(f"{path}.lock", path, replace=True)
            return
        if is_new and self._files.stat(path) is not None:
            self._files.remove_file(path)
        self._files.remove_file(f"{path}.lock")

    def _put(self, edit: RefEdit) -> None:
        path = f"{self._git}/{edit.name}"
        if edit.new is not None:
            self._files.rename(f"{path}.lock", path, replace=True)
            return
        if self._files.stat(path) is not None:
            self._files.remove_file(path)
        self._files.remove_file(f"{path}.lock")
        self._prune(path)

    def _write_logs(self) -> None:
        for log in self._change.logs:
            path = f"{self._git}/logs/{log.name}"
            found = self._files.stat(path)
            if log.line is None:
                if found is not None and found.kind is EntryKind.FILE:
                    self._files.remove_file(path)
                    self._prune(path)
                continue
            if found is not None and found.kind is EntryKind.DIRECTORY:
                self._files.remove_dir(path)
                found = None
            said = b"".join(self._files.read(path)) if found is not None else b""
            line = log.line.encode("utf-8", "surrogateescape")
            content = (said if log.base is None else log.base) + line
            is_said = said.endswith(line) if log.base is None else said == content
            if not is_said:
                self._make_folders(path)
                self._files.write(path, [content], key=self._key)

    def _make_folders(self, path: str) -> None:
        parts = path.removeprefix(f"{self._git}/").split("/")[:-1]
        for length in range(1, len(parts) + 1):
            folder = f"{self._git}/{'/'.join(parts[:length])}"
            if self._files.stat(folder) is None:
                try:
                    self._files.make_dir(folder)
                except NoEffectError as error:
                    if error.code != "FILE_EXISTS":
                        raise

    def _prune(self, path: str) -> None:
        """Remove the folders above a name that went, as far as they are empty, as git does."""
        folder = path.rpartition("/")[0]
        while (
            folder.startswith(f"{self._git}/") and folder.removeprefix(f"{self._git}/") not in _KEPT_FOLDERS
        ):
            if self._files.stat(folder) is not None:
                if self._files.list(folder):
                    return
                self._files.remove_dir(folder)
            folder = folder.rpartition("/")[0]


def logs_back(change: GitChange) -> GitChange:
    """The way back of a change with its reflogs: one that began with it ends, one that ended is back, others tell of the undo."""
    logs = []
    for log in change.logs:
        if log.line is None:
            logs.append(
                LogEdit(log.name, "", base=log.kept) if log.kept is not None else LogEdit(log.name, None)
            )
        elif log.is_new:
            logs.append(LogEdit(log.name, None))
        elif log.undo is not None:
            logs.append(LogEdit(log.name, log.undo))
    return replace(change.back, logs=tuple(logs))
