"""Archives written: the standard library's own writers, with everything fixed that would differ from one time to the next."""

from __future__ import annotations

import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import IO, Final, Protocol

from assent.capabilities.archive._formats import Format
from assent.capabilities.archive._streams import zstd_module
from assent.capabilities.fs.change._path_state import changed
from assent.capabilities.fs.world._paths import refusal

_TIME_OF_ZIP: Final = (1980, 1, 1, 0, 0, 0)
"""The earliest that zip can say."""

_LEVEL: Final = 6
_GZIP: Final = 31
"""What zlib calls a gzip file: without a name and without a time."""

_LEVEL_OF_ZSTD: Final = 3
_FILE: Final = 0o644
_PROGRAM: Final = 0o755
_KIND_FILE: Final = 0o100000
_KIND_FOLDER: Final = 0o040000
_DOS_FOLDER: Final = 0x10
_UNIX: Final = 3


@dataclass(frozen=True, slots=True)
class Member:
    """One thing to pack: its name in the archive, its path in the workspace, its size when it was found."""

    name: str
    path: str
    is_folder: bool
    is_executable: bool
    size: int

    @property
    def mode(self) -> int:
        """The permission bits that the archive says."""
        return _PROGRAM if self.is_folder or self.is_executable else _FILE


class _Sink(Protocol):
    """Where bytes go."""

    def write(self, data: bytes, /) -> object: ...


class _Compressor(Protocol):
    """What zlib and zstd have in common."""

    def compress(self, data: bytes, /) -> bytes: ...

    def flush(self) -> bytes: ...


Read = Callable[[Member], Iterator[bytes]]


def write_archive(form: Format, members: list[Member], read: Read, into: IO[bytes]) -> None:
    """Write `members` to `into`, an empty file that can seek. Raises what `read` raises."""
    for member in members:
        _check_name(member.name)
    if form == "zip":
        _write_zip(members, read, into)
        return
    write = _write_tar if form.startswith("tar") else _write_one
    if form == "tar":
        write(members, read, into)
        return
    is_zstd = form.endswith("zst")
    with _compressed(into, _zstd() if is_zstd else zlib.compressobj(_LEVEL, zlib.DEFLATED, _GZIP)) as out:
        write(members, read, out)


def _check_name(name: str) -> None:
    try:
        name.encode()
    except UnicodeEncodeError:
        why = "has a name that is not UTF-8, so no archive can say it for everybody"
        raise refusal("ARCHIVE_NAME_REFUSED", name, why, "rename it first") from None


def _write_one(members: list[Member], read: Read, out: _Sink) -> None:
    for member in members:
        for chunk in read(member):
            out.write(chunk)


def _write_zip(members: list[Member], read: Read, into: IO[bytes]) -> None:
    with zipfile.ZipFile(into, "w") as archive:
        for member in members:
            name = f"{member.name}/" if member.is_folder else member.name
            info = zipfile.ZipInfo(name, _TIME_OF_ZIP)
            info.create_system = _UNIX
            if member.is_folder:
                info.external_attr = (_KIND_FOLDER | member.mode) << 16 | _DOS_FOLDER
                archive.writestr(info, b"")
                continue
            info.file_size = member.size  # lets the writer choose wide sizes for large files
            info.external_attr = (_KIND_FILE | member.mode) << 16
            info.compress_type = zipfile.ZIP_DEFLATED
            with archive.open(info, "w") as entry:
                for chunk in read(member):
                    entry.write(chunk)


def _write_tar(members: list[Member], read: Read, out: _Sink) -> None:
    for member in members:
        info = tarfile.TarInfo(f"{member.name}/" if member.is_folder else member.name)
        info.type = tarfile.DIRTYPE if member.is_folder else tarfile.REGTYPE
        info.mode = member.mode
        if member.is_folder:
            out.write(info.tobuf(tarfile.PAX_FORMAT))
            continue
        info.size = member.size
        out.write(info.tobuf(tarfile.PAX_FORMAT))
        written = 0
        for chunk in read(member):
            written += len(chunk)
            out.write(chunk)
        if written != member.size:
            # The header, which comes first, has said another size.
            raise changed(member.path)
        out.write(bytes(-info.size % tarfile.BLOCKSIZE))
    out.write(bytes(2 * tarfile.BLOCKSIZE))


def _zstd() -> _Compressor:
    zstd = zstd_module()
    parameter = zstd.CompressionParameter
    made: _Compressor = zstd.ZstdCompressor(
        options={parameter.compression_level: _LEVEL_OF_ZSTD, parameter.checksum_flag: 1}
    )
    return made


@dataclass(frozen=True, slots=True)
class _Compressing:
    """A sink that hands on what comes out of a compressor."""

    compressor: _Compressor
    into: IO[bytes]

    def write(self, data: bytes, /) -> None:
        self.into.write(self.compressor.compress(data))


@contextmanager
def _compressed(into: IO[bytes], compressor: _Compressor) -> Iterator[_Sink]:
    yield _Compressing(compressor, into)
    into.write(compressor.flush())
