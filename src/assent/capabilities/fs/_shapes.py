"""What the file capabilities take, as users write it, how their paths are read, and what they answer."""

from __future__ import annotations

from collections.abc import Callable
from hashlib import sha256
from typing import Annotated, Literal

import msgspec
from pydantic import Field, PrivateAttr

from assent.capabilities.fs.world._paths import is_temporary, normal, protected, split
from assent.spec.capability import SpecModel
from assent.spec.types import Duration, Size, WorkspacePath

Encoding = Annotated[str, Field(max_length=40, description="a text encoding, e.g. `utf-8` or `latin-1`")]
CreateDirs = Annotated[bool, Field(description="make the folders on the way that do not exist")]
Overwrite = Annotated[bool, Field(description="replace a file that stands there already")]


class ReadFile(SpecModel):
    """Which file to read, and how its bytes become text."""

    path: WorkspacePath
    encoding: Encoding = "utf-8"


class OnePath(SpecModel):
    """One path."""

    path: WorkspacePath


class ListDir(SpecModel):
    """Which folder to list, and how deep."""

    path: WorkspacePath = "."
    recursive: bool = False
    include_hidden: Annotated[bool, Field(description="also names that start with a dot")] = False


class Content(msgspec.Struct, frozen=True):
    """The bytes that a file will have, and their digest in hex."""

    data: bytes
    sha256: str


class _HasContent(SpecModel):
    """What a file will hold is made of the parameters once, however many parts of a call ask for it."""

    _content: Content | None = PrivateAttr(default=None)

    def made_of(self, data: Callable[[], bytes]) -> Content:
        """The content, whose bytes `data` makes."""
        if self._content is None:
            made = data()
            self._content = Content(made, sha256(made).hexdigest())
        return self._content


class WriteFile(_HasContent):
    """Text to put into a file; an existing one is replaced."""

    path: WorkspacePath
    content: str
    encoding: Encoding = "utf-8"
    create_dirs: CreateDirs = False


class WriteBytes(_HasContent):
    """Bytes to put into a file."""

    path: WorkspacePath
    content_base64: Annotated[str, Field(description="RFC 4648 base64 with padding")]
    create_dirs: CreateDirs = False
    overwrite: Overwrite = False


class MakeDir(SpecModel):
    """A folder to make."""

    path: WorkspacePath
    parents: Annotated[bool, Field(description="make the folders above it as well")] = False
    exist_ok: Annotated[bool, Field(description="an existing folder is no failure")] = False


class Delete(SpecModel):
    """A file, link or folder to delete."""

    path: WorkspacePath
    recursive: Annotated[bool, Field(description="also a folder that is not empty")] = False


class TwoPaths(SpecModel):
    """From where to where."""

    source: WorkspacePath
    destination: WorkspacePath
    overwrite: Overwrite = False


Glob = Annotated[str, Field(min_length=1, max_length=1000)]
Globs = Annotated[list[Glob], Field(max_length=200)]


class Selection(SpecModel):
    """Which entries below a folder are meant. Globs are written as in `.gitignore` and relative to `path`."""

    path: WorkspacePath = "."
    globs: Globs = Field(
        default_factory=list,
        description="only what one of these names, e.g. `*.py` or `/src/**/test_*`; everything when empty",
    )
    exclude: Globs = Field(
        default_factory=list, description="what one of these names is left out, a folder with all it holds"
    )
    gitignore: Annotated[
        bool, Field(description="leave out what `.gitignore` files ignore, and `.git` itself")
    ] = True
    include_hidden: Annotated[bool, Field(description="also names that start with a dot")] = False
    max_depth: Annotated[
        int | None, Field(ge=1, le=200, description="levels below `path`; 1 is what stands in it")
    ] = None


FoundKind = Literal["file", "directory", "symlink"]


def _files_only() -> list[FoundKind]:
    return ["file"]


class Find(Selection):
    """Which entries to find. Sizes are of files only; ages are counted from the time of the last change."""

    kinds: list[FoundKind] = Field(
        default_factory=_files_only, min_length=1, description="which kinds of entries; files when not said"
    )
    min_size: Annotated[Size | None, Field(description="only files of at least this size")] = None
    max_size: Annotated[Size | None, Field(description="only files of at most this size")] = None
    newer_than: Annotated[Duration | None, Field(description="changed within this time, e.g. `2h`")] = None
    older_than: Annotated[Duration | None, Field(description="not changed within this time, e.g. `7d`")] = (
        None
    )
    limit: Annotated[int, Field(ge=1, le=10_000, description="entries that are answered at most")] = 1_000


class Search(Selection):
    """What to search for, and in which files. A match lies within one line; `^` and `$` are its ends."""

    pattern: Annotated[
        str,
        Field(
            min_length=1, max_length=4_000, description="a regular expression as RE2 reads it, or plain text"
        ),
    ]
    literal: Annotated[bool, Field(description="take `pattern` as plain text")] = False
    ignore_case: Annotated[bool, Field(description="capital and small letters are the same")] = False
    context: Annotated[int, Field(ge=0, le=20, description="lines shown before and after each match")] = 0
    max_file_size: Annotated[
        Size, Field(description="larger files are skipped, and counted; at most 64 MiB")
    ] = 4 << 20
    limit: Annotated[int, Field(ge=1, le=10_000, description="lines that are answered at most")] = 500


class Patch(SpecModel):
    """A unified diff, as `diff -u` and `git diff` write it, and where it applies."""

    diff: Annotated[
        str, Field(min_length=1, description="the diff; several files are fine, binary ones are not")
    ]
    path: Annotated[WorkspacePath, Field(description="the folder that the diff's paths are relative to")] = (
        "."
    )
    strip: Annotated[
        int,
        Field(
            ge=0,
            le=10,
            description="leading components cut off the diff's paths: 1 for `a/` and `b/`, 0 for none",
        ),
    ] = 1
    deletions: Annotated[
        bool, Field(description="the diff may delete files; `false` refuses one that does")
    ] = True


def place(path: str) -> str:
    """A caller's path in its one spelling. Our own temporary names are none of a caller's business (PATH_PROTECTED)."""
    if any(map(is_temporary, split(path))):
        raise protected(path)
    return normal(path)


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
