"""What the file capabilities answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assent.spec.capability import SpecModel

Count = Annotated[int, Field(ge=0)]
Sha256 = Annotated[str, Field(pattern="^[0-9a-f]{64}$")]
Kind = Literal["file", "directory", "symlink", "other"]


class FileText(SpecModel):
    """A file's text; `size` and `sha256` are of its bytes."""

    path: str
    content: str
    encoding: str
    size: Count
    sha256: Sha256


class FileHash(SpecModel):
    """A file's digest."""

    path: str
    algorithm: Literal["sha256"]
    sha256: Sha256
    size: Count


class Listed(SpecModel):
    """One entry of a listing; `path` is relative to the listed folder, `modified_ms` since the Unix epoch."""

    path: str
    kind: Kind
    size: Count
    modified_ms: int


class Listing(SpecModel):
    """A folder's entries in walking order; `truncated` when there were more than one listing holds."""

    path: str
    entries: list[Listed]
    truncated: bool


class Existence(SpecModel):
    """Whether something stands at a path."""

    path: str
    exists: bool
    kind: Kind | None


class Written(SpecModel):
    """A written file; `changed` is false when it already held these bytes."""

    path: str
    size: Count
    sha256: Sha256
    created: bool
    changed: bool
    created_dirs: list[str]


class Made(SpecModel):
    """A made folder; `created` is false when it was there already."""

    path: str
    created: bool
    created_dirs: list[str]


class Deleted(SpecModel):
    """What was deleted: entries, the path itself included, and bytes in files."""

    path: str
    entries: Count
    size: Count


class Moved(SpecModel):
    """What was moved; `replaced` when a file had stood there."""

    source: str
    destination: str
    entries: Count
    replaced: bool


class Copied(SpecModel):
    """What was copied; `changed` is false when the same stood there already."""

    source: str
    destination: str
    replaced: bool
    changed: bool


class FoundEntry(SpecModel):
    """One entry that was found; `path` is relative to the workspace, `modified_ms` since the Unix epoch."""

    path: str
    kind: Kind
    size: Count
    modified_ms: int


class Found(SpecModel):
    """The entries in walking order; `truncated` when there may be more than are listed."""

    entries: list[FoundEntry]
    truncated: bool


class Position(SpecModel):
    """Where a match stands in its line: characters, the first column is 1."""

    column: Annotated[int, Field(ge=1)]
    length: Count


class Hit(SpecModel):
    """One line with matches. Long lines are cut, and end with `…` then."""

    path: str
    line: Annotated[int, Field(ge=1)]
    positions: list[Position]
    text: str
    before: list[str]
    after: list[str]


class Skipped(SpecModel):
    """How many files were not searched, and why."""

    binary: Count
    large: Count
    unreadable: Count


class Searched(SpecModel):
    """The lines in walking order; `files` were searched; `truncated` when there may be more matches."""

    hits: list[Hit]
    files: Count
    skipped: Skipped
    truncated: bool


class PatchedHunk(SpecModel):
    """One hunk as it was applied: the line where it was, and by how many lines that is not where the diff says."""

    line: Count
    offset: int


class PatchedFile(SpecModel):
    """What became of one file of a diff; `sha256` is of its new content, and null when it was deleted."""

    path: str
    change: Literal["added", "deleted", "modified", "renamed"]
    source: str | None
    added_lines: Count
    removed_lines: Count
    hunks: list[PatchedHunk]
    sha256: Sha256 | None


class Patched(SpecModel):
    """All files that a diff changed, in its order; `created_dirs` were made on the way."""

    files: list[PatchedFile]
    created_dirs: list[str]
