"""What the archive capabilities take, as users write it, and what they answer."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from assent.capabilities.archive._formats import Format
from assent.capabilities.archive._limits import (
    BYTES_CEILING,
    BYTES_MAX,
    DEPTH_CEILING,
    DEPTH_MAX,
    ENTRIES_CEILING,
    ENTRIES_MAX,
    RATIO_CEILING,
    RATIO_MAX,
)
from assent.capabilities.fs._shapes import Count, CreateDirs, Overwrite, Sha256
from assent.spec.capability import SpecModel
from assent.spec.types import Size, WorkspacePath

ChosenFormat = Annotated[Format | None, Field(description="by the name's ending when it is left out")]


class Pack(SpecModel):
    """What to pack, and into which file."""

    sources: Annotated[
        list[WorkspacePath],
        Field(min_length=1, max_length=1000, description="files and folders; a folder with all it holds"),
    ]
    destination: WorkspacePath
    base: Annotated[
        WorkspacePath, Field(description="the folder that names in the archive are relative to")
    ] = "."
    format: ChosenFormat = None
    overwrite: Overwrite = False
    create_dirs: CreateDirs = False


class Unpack(SpecModel):
    """Which archive to unpack, where to, and how much may come out of it."""

    source: WorkspacePath
    destination: Annotated[
        WorkspacePath, Field(description="a folder (for `gz` and `zst`: a file) that does not exist yet")
    ]
    format: ChosenFormat = None
    create_dirs: CreateDirs = False
    bytes_max: Annotated[Size, Field(ge=1, le=BYTES_CEILING, description="bytes that may come out of it")] = (
        BYTES_MAX
    )
    entries_max: Annotated[
        int, Field(ge=1, le=ENTRIES_CEILING, description="files and folders that may come out of it")
    ] = ENTRIES_MAX
    depth_max: Annotated[int, Field(ge=1, le=DEPTH_CEILING, description="folders in folders")] = DEPTH_MAX
    ratio_max: Annotated[
        int, Field(ge=1, le=RATIO_CEILING, description="bytes out for each byte in, once 4 MiB have come out")
    ] = RATIO_MAX


class Packed(SpecModel):
    """A packed archive: its size and SHA-256, and what went in; `changed` is false when it already held these bytes."""

    path: str
    format: Format
    entries: Count
    bytes_in: Count
    size: Count
    sha256: Sha256
    replaced: bool
    changed: bool


class Unpacked(SpecModel):
    """What came out of an archive: files, folders (the target itself left out) and bytes in files."""

    path: str
    format: Format
    files: Count
    folders: Count
    size: Count
