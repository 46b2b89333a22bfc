"""References as git keeps them in files: loose ones, packed ones, and `HEAD`; read and written through the `Files` port."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

from assent.capabilities.git._faults import bad_name, ref_exists, ref_missing, unreadable
from assent.capabilities.git._layout import Repository
from assent.invocation import EntryKind, Files

HEADS: Final = "refs/heads/"
TAGS: Final = "refs/tags/"
HEAD: Final = "HEAD"
_ID: Final = re.compile(r"[0-9a-f]{40}\Z")
_REF_BYTES_MAX: Final = 4096
_PACKED_BYTES_MAX: Final = 64 << 20
_HEADER: Final = "# pack-refs with: peeled fully-peeled sorted \n"


class Refs:
    """The references of one repository, as they are at each question."""

    def __init__(self, repository: Repository) -> None:
        self._files: Files = repository.files
        self._git = repository.git
        self._top = repository.top

    def get(self, name: str) -> str | None:
        """What a reference says: an id, or `ref: NAME` for a symbolic one; None when there is none."""
        entry = self._files.stat(f"{self._git}/{name}")
        if entry is None or entry.kind is not EntryKind.FILE:
            return self.packed().get(name)
        text = _read(self._files, f"{self._git}/{name}", _REF_BYTES_MAX).strip()
        if not _ID.match(text) and not (
            text.startswith("ref: refs/") and is_name(text.removeprefix("ref: "))
        ):
            raise unreadable(self._top, f"`{name}` says neither an id nor a name")
        return text

    def packed(self) -> dict[str, str]:
        """Name → id of the packed references."""
        return {
            line.partition(" ")[2]: line.partition(" ")[0]
            for line in self.packed_lines()
            if line[0] not in "#^"
        }

    def packed_lines(self) -> list[str]:
        """The lines of `packed-refs`; a line that begins with `^` belongs to the one before it."""
        path = f"{self._git}/packed-refs"
        if self._files.stat(path) is None:
            return []
        return [line for line in _read(self._files, path, _PACKED_BYTES_MAX).split("\n") if line]

    def without_packed(self, names: Collection[str]) -> bytes:
        """The content of `packed-refs` without some references."""
        kept, drops = [], False
        for line in self.packed_lines():
            drops = line.partition(" ")[2] in names if line[0] not in "#^" else drops and line[0] == "^"
            if not drops:
                kept.append(line)
        text = "".join(f"{line}\n" for line in kept) or _HEADER
        return text.encode("utf-8", "surrogateescape")

    def names(self, prefix: str) -> list[str]:
        """The full names below `refs/heads/` or `refs/tags/`, sorted."""
        loose: list[str] = []
        self._collect(prefix.rstrip("/"), loose)
        return sorted({*loose, *(name for name in self.packed() if name.startswith(prefix))})

    def _collect(self, folder: str, found: list[str]) -> None:
        if self._files.stat(f"{self._git}/{folder}") is None:
            return
        for name in self._files.list(f"{self._git}/{folder}"):
            entry = self._files.stat(f"{self._git}/{folder}/{name}")
            if entry is not None and entry.kind is EntryKind.DIRECTORY:
                self._collect(f"{folder}/{name}", found)
            elif entry is not None and not name.endswith(".lock"):
                found.append(f"{folder}/{name}")

    @property
    def branch(self) -> str | None:
        """The full name of the branch that `HEAD` is on, born or not; None when it is detached."""
        said = self.get(HEAD) or ""
        return said.removeprefix("ref: ") if said.startswith("ref: ") else None

    @property
    def head(self) -> str | None:
        """The id of the current commit; None before the first."""
        branch = self.branch
        return self.get(branch) if branch is not None else self.get(HEAD)

    def resolve(self, name: str) -> str:
        """The id that a person's word for a commit means: `HEAD`, a branch, a tag, a full name or a full id. GIT_REF_MISSING."""
        if _ID.match(name):
            return name
        if name == HEAD:
            if self.head is None:
                raise ref_missing(name)
            return self.head
        for full in (name if name.startswith("refs/") else "", TAGS + name, HEADS + name):
            if full and is_name(full):
                said = self.get(full)
                if said is not None and _ID.match(said):
                    return said
        raise ref_missing(name)

    def require_free(self, full: str) -> None:
        """Refuse a name that is taken, or that would be a folder and a file at once. GIT_REF_EXISTS."""
        for other in self.names(HEADS if full.startswith(HEADS) else TAGS):
            taken = other == full or other.startswith(f"{full}/") or full.startswith(f"{other}/")
            if taken:
                raise ref_exists(full, other)


def is_name(full: str) -> bool:
    """Whether git takes a full reference name."""
    import pygit2

    return bool(pygit2.reference_is_valid_name(full)) and not full.endswith(".lock")


def full_name(name: str, prefix: str) -> str:
    """The full name of a branch or tag. GIT_NAME_INVALID."""
    what = "branch" if prefix == HEADS else "tag"
    if name.startswith("-") or name == HEAD or not is_name(prefix + name):
        raise bad_name(name, what)
    return prefix + name


def _read(files: Files, path: str, most: int) -> str:
    size, pieces = 0, []
    for chunk in files.read(path):
        size += len(chunk)
        if size > most:
            raise unreadable(path, f"it has more than {most} bytes")
        pieces.append(chunk)
    return b"".join(pieces).decode("utf-8", "surrogateescape")
