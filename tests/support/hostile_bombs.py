"""Archives that are small and come out large, or never end: what has been published, by what each one stands for.

The facts behind them: "42.zip" and its kind (archives in archives, since 2001); Fifield's "A better zip bomb" (WOOT 2019: files
that overlap or quote one another); Cox's "Zip files all the way down" (2010); the collections of gzip, zstd and tar bombs that
fuzzers and scanners are tried with (one byte for ever, concatenated members, blocks that repeat one byte); advisories on readers
that trusted a declared size, a count of entries, a depth or a row of extended headers.
"""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from backports import zstd

from tests.support.archives import TarEntry, ZipEntry, overlapping, pax, quoted, tar_of, zip_of
from tests.support.unpacking import tar_named, zip_named

QUOTA: Final = "ARCHIVE_QUOTA"
AMBIGUOUS: Final = "ARCHIVE_AMBIGUOUS"
_MIB: Final = 1 << 20
_OUT: Final = 5 * _MIB
"""More than comes out free of the ratio."""


@dataclass(frozen=True)
class Bomb:
    """One archive: its name, its bytes, the limits that it meets, and how it is refused: the code, and what its path names."""

    name: str
    data: bytes
    code: str = QUOTA
    path: str | None = "ratio_max"
    limits: dict[str, Any] = field(default_factory=dict)


FILLS: Final = {
    "zeros": b"\0",
    "ones": b"\xff",
    "one letter": b"A",
    "empty lines": b"\n",
    "two bytes": b"\0\xff",
    "the longest match of deflate": bytes(range(256)) + b"\0\1",
    "a line of a log": b"127.0.0.1 - - [01/Jan/2026:00:00:00 +0000] GET / 200\n",
}
"""What repeats in a bomb. Each swells by more than a hundred."""


def _filled(fill: bytes, size: int) -> bytes:
    return (fill * (size // len(fill) + 1))[:size]


def _packed(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The same content in each format that can hold it."""
    tar = tar_of(TarEntry(name=b"f", data=data))
    yield "x.zip", zip_of(ZipEntry(name=b"f", data=data))
    yield "x.tar.gz", gzip.compress(tar, 6, mtime=0)
    yield "x.tar.zst", zstd.compress(tar)
    yield "x.gz", gzip.compress(data, 6, mtime=0)
    yield "x.zst", zstd.compress(data)


def one_thing_for_ever() -> Iterator[Bomb]:
    """One file of one thing over and over."""
    for fill in FILLS.values():
        yield from (Bomb(name, data) for name, data in _packed(_filled(fill, _OUT)))


def many_small_ones() -> Iterator[Bomb]:
    """Each of them is harmless; together they are not."""
    piece = bytes(_MIB // 2)
    for count in (10, 16):
        members = [gzip.compress(piece, 9, mtime=0)] * count
        yield Bomb("x.gz", b"".join(members))
        yield Bomb("x.zst", zstd.compress(piece) * count)
        names = [b"f%d" % number for number in range(count)]
        yield Bomb("x.zip", zip_of(*(ZipEntry(name=name, data=piece) for name in names)))
        tar = tar_of(*(TarEntry(name=name, data=piece) for name in names))
        yield Bomb("x.tar.gz", gzip.compress(tar, 6, mtime=0))
        yield Bomb("x.tar.zst", zstd.compress(tar))


def more_than_was_allowed() -> Iterator[Bomb]:
    """Counted where it comes out: one byte too many is one."""
    for allowed in (1, 100, 4096, 65_536):
        for fill in (b"\0", b"all of it\n"):
            limits = {"bytes_max": allowed}
            for name, data in _packed(_filled(fill, allowed + 1)):
                yield Bomb(name, data, QUOTA, "bytes_max", limits)
            yield Bomb("x.tar", tar_of(TarEntry(data=_filled(fill, allowed + 1))), QUOTA, "bytes_max", limits)


def entries_without_end() -> Iterator[Bomb]:
    """Nothing in any of them, and no inode left: files, folders, folders on the way, one in many."""
    for count in (21, 50, 200):
        files = [f"f{number}" for number in range(count)]
        for names in (
            files,
            [f"{name}/" for name in files],
            [f"{name}/x" for name in files],
            [f"d/{name}" for name in files],
        ):
            tar = tar_named(*names)
            for name, data in (
                ("x.zip", zip_named(*names)),
                ("x.tar", tar),
                ("x.tar.gz", gzip.compress(tar, 6, mtime=0)),
                ("x.tar.zst", zstd.compress(tar)),
            ):
                yield Bomb(name, data, QUOTA, "entries_max", {"entries_max": 20})


def folders_in_folders() -> Iterator[Bomb]:
    """A tree that nobody can walk or remove: deeper than is allowed, by one and by many."""
    for depth, allowed in ((33, None), (34, None), (60, None), (150, None), (6, 5), (3, 2), (2, 1)):
        limits = {} if allowed is None else {"depth_max": allowed}
        for names in (
            ["/".join("d" * depth)],
            ["/".join("d" * depth) + "/"],
            ["a", "/".join("e" * depth)],
        ):
            tar = tar_named(*names)
            for name, data in (
                ("x.zip", zip_named(*names)),
                ("x.tar", tar),
                ("x.tar.gz", gzip.compress(tar, 6, mtime=0)),
            ):
                yield Bomb(name, data, QUOTA, "depth_max", limits)


def headers_without_an_entry() -> Iterator[Bomb]:
    """Names, comments and headers that only announce: they are read, and counted as what comes out."""
    limits = {"bytes_max": 1 << 18}
    rows = {
        "global": pax(b"g", comment="c" * 400).build(),
        "mtime": pax(b"g", mtime="1.5").build(),
        "vendor": pax(b"g", SCHILY_xattr_user="x" * 100).build(),
    }
    for row in rows.values():
        tar = row * (2 * (1 << 18) // len(row)) + bytes(1024)
        for name, data in (
            ("x.tar", tar),
            ("x.tar.gz", gzip.compress(tar, 6, mtime=0)),
            ("x.tar.zst", zstd.compress(tar)),
        ):
            yield Bomb(name, data, QUOTA, "bytes_max", limits)


def files_that_overlap() -> Iterator[Bomb]:
    """Many entries over one body, or each quoting the headers of the next: refused before anything is inflated."""
    for files in (2, 3, 10, 40, 100, 250):
        for kernel in (b"0" * 1000, b"0" * 50_000, bytes(10_000)):
            yield Bomb("x.zip", overlapping(files, kernel), AMBIGUOUS, None)
            yield Bomb("x.zip", quoted(files, kernel), AMBIGUOUS, None)


def sizes_that_are_lies() -> Iterator[Bomb]:
    """A reader that makes room for what is declared, or stops where it says, is wrong in both directions."""
    data = bytes(_MIB)
    for size in (0, 1, 10, _MIB - 1, _MIB + 1, 1 << 30, 0xFFFF_FFFE):
        yield Bomb("x.zip", zip_of(ZipEntry(name=b"f", data=data, size=size)), AMBIGUOUS, None)
        yield Bomb("x.zip", zip_of(ZipEntry(name=b"f", data=data, local_size=size)), AMBIGUOUS, None)
    member = gzip.compress(data, 6, mtime=0)
    for said in (0, 1, _MIB + 1, 0xFFFF_FFFF):
        yield Bomb("x.gz", member[:-4] + struct.pack("<I", said), "ARCHIVE_INVALID", None)
    yield Bomb(
        "x.gz", member[:-8] + struct.pack("<I", zlib.crc32(b"")) + member[-4:], "ARCHIVE_INVALID", None
    )
    for size in (1 << 33, 1 << 40, 1 << 62):
        huge = b"\x80" + size.to_bytes(11, "big")
        yield Bomb("x.tar", tar_of(TarEntry(data=b"x", size=huge)), QUOTA, "bytes_max", {"bytes_max": 1000})


def by_other_programs() -> Iterator[Bomb]:
    """What the common writers make of much of the same is no less of it."""
    for layout in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = io.BytesIO()
        with tarfile.open(fileobj=made, mode="w:gz", format=layout) as archive:
            entry = tarfile.TarInfo("f")
            entry.size = _OUT
            archive.addfile(entry, io.BytesIO(bytes(_OUT)))
        yield Bomb("x.tar.gz", made.getvalue())
    for level in (1, 9):
        yield Bomb("x.gz", gzip.compress(bytes(_OUT), level, mtime=0))
    for level in (1, 19):
        yield Bomb("x.zst", zstd.compress(bytes(_OUT), level))


BOMBS: Final = {
    one_thing_for_ever: 35,
    many_small_ones: 10,
    more_than_was_allowed: 48,
    entries_without_end: 48,
    folders_in_folders: 63,
    headers_without_an_entry: 9,
    files_that_overlap: 36,
    sizes_that_are_lies: 22,
    by_other_programs: 7,
}
"""By what they stand for, with how many there are; each is made when it is asked for, and none is kept."""
