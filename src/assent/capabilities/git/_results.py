"""What the git capabilities answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from assent.capabilities.fs._results import Count
from assent.spec.capability import SpecModel

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
