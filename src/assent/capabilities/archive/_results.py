"""What the archive capabilities answer."""

from __future__ import annotations

from assent.capabilities.archive._formats import Format
from assent.capabilities.fs._results import Count, Sha256
from assent.spec.capability import SpecModel


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
