"""One entry of an archive, as a reader hands it out."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ArchiveEntry:
    """A file or folder. `parts` is empty for the archive's own top; `chunks` are a file's bytes, counted as they come.

    INVARIANT: `chunks` is read to its end before the next entry is asked for: the end is where a checksum is compared.
    """

    parts: tuple[str, ...]
    is_folder: bool
    is_executable: bool
    chunks: Iterator[bytes]
