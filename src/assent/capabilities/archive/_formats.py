"""The formats of archives, known by the ends of names and checked by what is inside."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from typing import IO, Final, Literal, get_args

from assent.capabilities.archive._faults import invalid
from assent.capabilities.archive._limits import ARCHIVE_BYTES_MAX, Meter, go_on
from assent.capabilities.archive._names import ArchiveEntry, Names
from assent.capabilities.archive._streams import gunzipped, plain, unzstd
from assent.capabilities.archive._tar import read_tar
from assent.capabilities.archive._zip import read_zip
from assent.capabilities.fs.world._paths import refusal, shown
from assent.invocation import Files, LocalContext, NoEffectError

Format = Literal["zip", "tar", "tar.gz", "tar.zst", "gz", "zst"]

FORMATS: Final[tuple[Format, ...]] = get_args(Format)

_ENDINGS: Final[dict[str, Format]] = {
    ".tar.gz": "tar.gz",
    ".tgz": "tar.gz",
    ".tar.zst": "tar.zst",
    ".tzst": "tar.zst",
    ".tar": "tar",
    ".zip": "zip",
    ".gz": "gz",
    ".zst": "zst",
}
"""Longer endings first: `.tar.gz` is no gzipped single file."""

_MEMORY_BYTES_MAX: Final = 8 << 20


def format_of(path: str, chosen: Format | None) -> Format:
    """The format that was chosen, or else the one that the name's ending says. Raises ARCHIVE_FORMAT_UNKNOWN."""
    if chosen is not None:
        return chosen
    folded = path.casefold()
    for ending, known in _ENDINGS.items():
        if folded.endswith(ending):
            return known
    raise NoEffectError(
        "ARCHIVE_FORMAT_UNKNOWN",
        f"the name `{shown(path)}` does not say which kind of archive it is",
        path="format",
        hint=f"pass `format`: one of {', '.join(FORMATS)}",
    )


def holds_one_file(form: Format) -> bool:
    """Whether the format is of one file's bytes, without a name or a tree."""
    return form in ("gz", "zst")


def scratch() -> IO[bytes]:
    """A place without a name for one archive's bytes: in memory while it is short, and gone with the process however it ends."""
    return tempfile.SpooledTemporaryFile(_MEMORY_BYTES_MAX)


def fetch(context: LocalContext, path: str, into: IO[bytes]) -> int:
    """Copy a file of the workspace into a scratch place; its size. What is checked there is then what is unpacked."""
    files: Files = context.world.files
    size = 0
    for chunk in files.read(path):
        go_on(context.cancel)
        size += len(chunk)
        if size > ARCHIVE_BYTES_MAX:
            why = f"has more than {ARCHIVE_BYTES_MAX} bytes, the most that is read as an archive"
            raise refusal("FILE_TOO_LARGE", path, why)
        into.write(chunk)
    if size == 0:
        raise invalid("it is empty")
    return size


def contents(source: IO[bytes]) -> Iterator[bytes]:
    """What stands in a scratch place, from its beginning."""
    source.seek(0)
    while chunk := source.read(1 << 20):
        yield chunk


def entries_in(source: IO[bytes], size: int, form: Format, meter: Meter) -> Iterator[ArchiveEntry]:
    """The entries of an archive, and before each the folders on its way that no earlier one brought. ARCHIVE_…"""
    if form in ("gz", "zst"):
        chunks = gunzipped(source, meter) if form == "gz" else unzstd(source, meter)
        yield ArchiveEntry((), is_folder=False, is_executable=False, chunks=chunks)
        return
    names = Names(meter)
    for entry in _read(source, size, form, meter):
        new = names.admit(entry.parts, is_folder=entry.is_folder)
        own = "/".join(entry.parts)
        for path in new:
            if path != own:
                parts = tuple(path.split("/"))
                yield ArchiveEntry(parts, is_folder=True, is_executable=False, chunks=iter(()))
        if own in new:
            yield entry
        else:
            # The archive's own top, or a folder that stands already.
            for _ in entry.chunks:
                pass


def _read(source: IO[bytes], size: int, form: Format, meter: Meter) -> Iterator[ArchiveEntry]:
    match form:
        case "zip":
            return read_zip(source, size, meter)
        case "tar":
            return read_tar(plain(source, meter), meter)
        case "tar.gz":
            return read_tar(gunzipped(source, meter), meter)
        case _:
            return read_tar(unzstd(source, meter), meter)
