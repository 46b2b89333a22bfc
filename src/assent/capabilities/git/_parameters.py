"""The parameters of the git capabilities, as users write them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

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
