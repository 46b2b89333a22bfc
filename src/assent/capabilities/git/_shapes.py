"""What the git capabilities take, as users write it, and what they answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assent.capabilities.fs._shapes import Count
from assent.spec.capability import SpecModel
from assent.spec.types import WorkspacePath

Place = Annotated[
    WorkspacePath, Field(description="the folder that holds `.git`; folders above it are not searched")
]
Name = Annotated[str, Field(min_length=1, max_length=200)]
Start = Annotated[
    str, Field(min_length=1, max_length=250, description="`HEAD`, a branch, a tag, a full name or a full id")
]
# Neither may hold what git's own format of a person ends at.
Person = Annotated[str, Field(pattern=r"^[^<>\n\x00]*[^<>\s\x00][^<>\n\x00]*$", max_length=200)]
Address = Annotated[str, Field(pattern=r"^[^<>\s\x00]+$", max_length=200)]
Message = Annotated[str, Field(min_length=1, max_length=65536, pattern=r"^[^\x00]*\S[^\x00]*$")]


class Status(SpecModel):
    """Which repository to look at, and how much of it to list."""

    repository: Place = "."
    entries_max: Annotated[int, Field(ge=0, le=10_000, description="paths in each list")] = 200


class Commit(SpecModel):
    """What to commit, and what to say of it."""

    repository: Place = "."
    message: Message
    paths: Annotated[
        list[WorkspacePath] | None,
        Field(
            min_length=1,
            max_length=1000,
            description="files and folders, new ones too; without them all changes of what is tracked",
        ),
    ] = None
    author_name: Person | None = None
    author_email: Address | None = None
    allow_empty: Annotated[bool, Field(description="also when nothing changed")] = False


class Tag(SpecModel):
    """A tag to make; with a message it is an annotated one."""

    repository: Place = "."
    name: Name
    target: Start = "HEAD"
    message: Message | None = None
    author_name: Person | None = None
    author_email: Address | None = None


class Branch(SpecModel):
    """A branch to create, to delete or to rename."""

    repository: Place = "."
    action: Literal["create", "delete", "rename"]
    name: Name
    start: Start = "HEAD"
    new_name: Annotated[str | None, Field(min_length=1, max_length=200, description="for `rename`")] = None
    force: Annotated[bool, Field(description="delete also what the current branch does not hold")] = False


Id = Annotated[str, Field(pattern="^[0-9a-f]{40}$")]


class Change(SpecModel):
    """One changed path, relative to the repository."""

    path: str
    change: Literal["new", "modified", "deleted", "renamed", "type_changed", "conflicted"]


class GitStatus(SpecModel):
    """Where a repository stands. Counts are of everything; lists end at `entries_max`, and `truncated` says that one did."""

    repository: str
    branch: str | None
    head: Id | None
    is_clean: bool
    staged: list[Change]
    unstaged: list[Change]
    untracked: list[str]
    counts: dict[Literal["staged", "unstaged", "untracked", "ignored"], Count]
    truncated: bool


class Committed(SpecModel):
    """A made commit: its id, its tree and parent, and how much changed."""

    repository: str
    branch: str | None
    commit: Id
    tree: Id
    parent: Id | None
    files_changed: Count
    insertions: Count
    deletions: Count


class Tagged(SpecModel):
    """A made tag: what its name refers to, and the commit behind that."""

    repository: str
    name: str
    id: Id
    commit: Id
    annotated: bool


class Branched(SpecModel):
    """A changed branch: the commit it is, or was, on; `new_name` after a rename."""

    repository: str
    action: Literal["create", "delete", "rename"]
    name: str
    commit: Id
    new_name: str | None
