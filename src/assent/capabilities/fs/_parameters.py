"""The parameters of the file capabilities, as users write them, and how their paths are read."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assent.capabilities.fs._paths import is_temporary, normal, protected, split
from assent.spec.capability import SpecModel
from assent.spec.types import WorkspacePath

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


class WriteFile(SpecModel):
    """Text to put into a file; an existing one is replaced."""

    path: WorkspacePath
    content: str
    encoding: Encoding = "utf-8"
    create_dirs: CreateDirs = False


class WriteBytes(SpecModel):
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


def place(path: str) -> str:
    """A caller's path in its one spelling. Our own temporary names are none of a caller's business (PATH_PROTECTED)."""
    if any(map(is_temporary, split(path))):
        raise protected(path)
    return normal(path)
