"""An archive that two programs read apart is refused, and so is one that is damaged anywhere."""

from __future__ import annotations

import gzip
import random
import struct
import zlib

import pytest
from backports import zstd

from tests.support.archives import (
    TarEntry,
    Zip,
    ZipEntry,
    extra,
    overlapping,
    pax,
    quoted,
    record,
    tar_of,
    zip_of,
)
from tests.support.hands import Hands
from tests.support.unpacking import refused, unpacked

_BODY = b"content\n" * 4
_GOOD = ZipEntry(name=b"good", data=_BODY)
_CRC = zlib.crc32(_BODY)
_LEN = len(_GOOD.body)


def _good(**lies: object) -> ZipEntry:
    return ZipEntry(**{"name": b"good", "data": _BODY, **lies})  # type: ignore[arg-type]  # the fields of `ZipEntry`


_WIDE = struct.pack("<QQ", len(_BODY), _LEN)
_AMBIGUOUS_ZIPS = {
    "another name before the bytes": zip_of(_good(local_name=b"evil")),
    "a name that climbs, before the bytes only": zip_of(_good(local_name=b"../x")),
    "another size before the bytes": zip_of(_good(local_size=1)),
    "another checksum before the bytes": zip_of(_good(local_crc=1)),
    "another method before the bytes": zip_of(_good(local_method=0)),
    "a flag in one account only": zip_of(_good(local_flags=0)),
    "a size in the directory that is too small": zip_of(_good(central_size=1)),
    "a size in the directory that is too large": zip_of(_good(central_size=99)),
    "both sizes too small": zip_of(_good(size=3)),
    "both sizes too large": zip_of(_good(size=300)),
    "a second name in an extra field": zip_of(
        _good(extra=extra(0x7075, b"\1" + struct.pack("<I", zlib.crc32(b"good")) + b"evil"))
    ),
    "an extra field twice": zip_of(_good(extra=extra(0x5455, b"\0") * 2)),
    "a wide size that nothing announces": zip_of(_good(central_extra=extra(1, _WIDE))),
    "a wide size too many, before the bytes": zip_of(_good(local_extra=extra(1, b"12345678"))),
    "an announced wide size that is not there": zip_of(_good(central_size=0xFFFFFFFF)),
    "bytes before the first entry": zip_of(_GOOD, prefix=b"#!/bin/sh\n"),
    "bytes between entries": zip_of(_GOOD, ZipEntry(name=b"b", before=b"hidden")),
    "bytes behind the last entry": zip_of(_good(after=b"hidden")),
    "an entry that the directory leaves out": zip_of(_GOOD, ZipEntry(name=b"hidden"), hidden=[1]),
    "an entry in the middle that the directory leaves out": zip_of(
        _GOOD, ZipEntry(name=b"hidden"), ZipEntry(name=b"c"), hidden=[1]
    ),
    "bytes before the directory": zip_of(_GOOD, before_central=b"hidden"),
    "bytes behind the directory": zip_of(_GOOD, before_end=b"hidden"),
    "bytes behind the end": zip_of(_GOOD, trailer=b"hidden"),
    "a second archive behind the first": zip_of(_GOOD) + zip_of(ZipEntry(name=b"evil")),
    "an end record in the comment": zip_of(_GOOD, comment=b"PK\5\6" + bytes(18)),
    "an end record in the comment that reaches the end": zip_of(
        _GOOD, comment=struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, 0, 0, 0, 0, 0)
    ),
    "fewer entries than it claims": zip_of(_GOOD, count=2),
    "more entries than it claims": zip_of(_GOOD, ZipEntry(name=b"b"), count=1),
    "a directory of another length": zip_of(_GOOD, central_size=10),
    "a directory at another place": zip_of(_GOOD, central_offset=0),
    "a directory shorter than its own fields": zip_of(
        _GOOD, ZipEntry(name=b"b"), central_size=60, central_offset=_LEN + 30
    ),
    "wide and narrow counts that differ": zip_of(_GOOD, wide={"narrow_count": 7}),
    "wide and narrow sizes that differ": zip_of(_GOOD, wide={"narrow_size": 7}),
    "wide and narrow places that differ": zip_of(_GOOD, wide={"narrow_offset": 7}),
    "a wide directory at another place": zip_of(_GOOD, wide={"offset": 3}),
    "a wide directory of another length": zip_of(_GOOD, wide={"size": 3}),
    "a wide count that is a lie": zip_of(_GOOD, wide={"count": 2**60}),
    "a wide record at another place": zip_of(_GOOD, wide={"locator": 0}),
    "a wide record that is none": zip_of(_GOOD, wide={"signature": 1}),
    "a wide record of another length": zip_of(_GOOD, wide={"record_size": 2**63}),
    "a wide record that is missing": zip_of(_GOOD, wide={"missing": 1}),
    "a descriptor with another checksum": zip_of(
        _good(flags=0x0808, descriptor=b"PK\7\x08" + struct.pack("<3I", 1, _LEN, len(_BODY)))
    ),
    "a descriptor with other sizes": zip_of(
        _good(flags=0x0808, descriptor=struct.pack("<3I", _CRC, _LEN, 9))
    ),
    "a descriptor that is missing": zip_of(_good(flags=0x0808)),
    "something longer than a descriptor": zip_of(_good(flags=0x0808, descriptor=bytes(64))),
    "bytes behind the compressed content": zip_of(_good(packed=_GOOD.body + b"hidden")),
    "a folder by its name, a file by its kind": zip_of(ZipEntry(name=b"d/", mode=0o100644, method=0)),
    "a file by its name, a folder by its kind": zip_of(ZipEntry(name=b"d", mode=0o040755, method=0)),
    "a file by its name, a folder for DOS": zip_of(ZipEntry(name=b"d", mode=0, dos=0x10, system=0, method=0)),
    "many entries over one body": overlapping(40, b"0" * 5000),
    "entries that quote each other's headers": quoted(40, b"0" * 5000),
    "two directory records of one entry": zip_of(_GOOD, _good(central_offset=0)),
}


@pytest.mark.parametrize("fact", _AMBIGUOUS_ZIPS)
def test_a_zip_that_two_programs_read_apart_is_refused(hands: Hands, fact: str) -> None:
    found = refused(hands, "x.zip", _AMBIGUOUS_ZIPS[fact])
    assert found.code == "ARCHIVE_AMBIGUOUS", found


_AMBIGUOUS_TARS = {
    "two sizes: an extended header hides entries from some (CVE-2025-62518)": [
        pax(size="1024"),
        TarEntry(name=b"outer", size=0),
        TarEntry(name=b"hidden", data=b"x"),
    ],
    "two sizes: less in the extended header": [pax(size="0"), TarEntry(data=b"x" * 512)],
    "a size with a sign": [pax(size="+1"), TarEntry(data=b"x")],
    "a size with a leading zero": [pax(size="01"), TarEntry(data=b"x")],
    "a size with other digits": [pax(size="\u0661"), TarEntry(data=b"x")],
    "a negative size in an extended header": [pax(size="-512"), TarEntry(data=b"")],
    "a long name and another one": [TarEntry(kind=b"L", data=b"one\0"), pax(path="two"), TarEntry()],
    "two long names": [TarEntry(kind=b"L", data=b"one\0"), TarEntry(kind=b"L", data=b"two\0"), TarEntry()],
    "two extended headers": [pax(path="one"), pax(path="two"), TarEntry()],
    "a record twice": [
        TarEntry(kind=b"x", data=record(b"path", b"one") + record(b"path", b"two")),
        TarEntry(),
    ],
    "an empty path that takes the name away": [pax(path=""), TarEntry()],
    "something behind the end of a name": [TarEntry(name=b"safe\0/../evil")],
    "a folder by its name, a file by its kind": [TarEntry(name=b"d/", data=b"x")],
    "a folder with content, which some read as headers": [TarEntry(name=b"d", kind=b"5", data=b"x")],
}


@pytest.mark.parametrize("fact", _AMBIGUOUS_TARS)
def test_a_tar_that_two_programs_read_apart_is_refused(hands: Hands, fact: str) -> None:
    found = refused(hands, "x.tar", tar_of(*_AMBIGUOUS_TARS[fact]))
    assert found.code == "ARCHIVE_AMBIGUOUS", found


def test_a_tar_with_something_behind_its_end_is_refused(hands: Hands) -> None:
    """GNU tar with `--ignore-zeros`, and everything that reads concatenated tars, would find it."""
    hidden = TarEntry(name=b"hidden", data=b"x").build()
    for end in (bytes(1024) + hidden + bytes(1024), bytes(512) + hidden, bytes(10240) + b"x"):
        data = tar_of(TarEntry(name=b"good"), end=end)
        assert refused(hands, "x.tar", data).code == "ARCHIVE_AMBIGUOUS"


_BINARY = b"\x80" + bytes(10) + b"\x05"
_BROKEN_TARS = {
    "a negative size": [TarEntry(size=b"\xff" * 12)],
    "a negative size of GNU, near zero": [TarEntry(size=b"\xff" * 11 + b"\x00")],
    "an absurd size": [TarEntry(size=b"\xbf" + b"\xff" * 11)],
    "a size beyond the file": [TarEntry(size=2**32 - 1)],
    "a binary size beyond the file": [TarEntry(size=b"\x80" + b"\x7f" * 11)],
    "a size with a sign": [TarEntry(size=b"-0000000001\0")],
    "a size that is not an octal number": [TarEntry(size=b"00000000009\0")],
    "a size in hexadecimal": [TarEntry(size=b"0x10\0")],
    "a wrong checksum": [TarEntry(checksum=b"000001\0 ")],
    "no checksum": [TarEntry(checksum=b"        ")],
    "a checksum that is none": [TarEntry(checksum=b"abcdef\0 ")],
    "a record of length zero (a loop without end)": [TarEntry(kind=b"x", data=b"0 path=x\n"), TarEntry()],
    "a record of a negative length": [TarEntry(kind=b"x", data=b"-9 path=x\n"), TarEntry()],
    "a record longer than its header": [TarEntry(kind=b"x", data=b"999 path=x\n"), TarEntry()],
    "a record without a length": [TarEntry(kind=b"x", data=b"path=x\n"), TarEntry()],
    "a record without a value": [TarEntry(kind=b"x", data=b"8 path\nx"), TarEntry()],
    "a record without a key": [TarEntry(kind=b"x", data=b"7 =abc\n"), TarEntry()],
    "a record that does not end in a line feed": [TarEntry(kind=b"x", data=b"10 path=xy"), TarEntry()],
    "a length with other digits": [TarEntry(kind=b"x", data="\u0661\u0662 path=x\n".encode()), TarEntry()],
    "a header bomb: a long name of a megabyte": [TarEntry(kind=b"L", data=b"n" * (1 << 20)), TarEntry()],
    "a header bomb: an extended header of a megabyte": [pax(comment="c" * (1 << 20)), TarEntry()],
    "a header bomb that only claims its size": [TarEntry(kind=b"x", size=2**33 - 1)],
    "an extended header with nothing behind it": [pax(path="x")],
    "a long name with nothing behind it": [TarEntry(kind=b"L", data=b"x\0")],
}


@pytest.mark.parametrize("fact", _BROKEN_TARS)
def test_a_broken_tar_is_refused(hands: Hands, fact: str) -> None:
    found = refused(hands, "x.tar", tar_of(*_BROKEN_TARS[fact]))
    assert found.code == "ARCHIVE_INVALID", found


_BROKEN_ZIPS = {
    "nothing": b"",
    "no zip": b"this is not an archive" * 9,
    "an end record alone, cut": b"PK\5\6" + bytes(10),
    "a wrong checksum": zip_of(_good(crc=1)),
    "a wrong checksum, in what is stored": zip_of(_good(crc=1, method=0)),
    "content that does not inflate": zip_of(_good(packed=b"\xff" * 20)),
    "content that is cut short": zip_of(_good(packed=_GOOD.body[:-3])),
    "an entry that is none": zip_of(_good(central_offset=1)).replace(b"PK\3\4", b"PK\3\5"),
    "a broken extra field": zip_of(_good(extra=b"\1\0\xff\xff")),
    "an extra field of three bytes": zip_of(_good(extra=b"\1\0\0")),
    "a directory that is none": zip_of(_GOOD).replace(b"PK\1\2", b"PK\1\3"),
    "a folder with content": zip_of(ZipEntry(name=b"d/", mode=0o40755, data=b"x" * 99, method=0)),
}


@pytest.mark.parametrize("fact", _BROKEN_ZIPS)
def test_a_broken_zip_is_refused(hands: Hands, fact: str) -> None:
    assert refused(hands, "x.zip", _BROKEN_ZIPS[fact]).code in {"ARCHIVE_INVALID", "ARCHIVE_AMBIGUOUS"}


def _samples() -> dict[str, bytes]:
    tar = tar_of(
        TarEntry(name=b"d", kind=b"5"),
        pax(path="d/" + "n" * 120),
        TarEntry(data=b"text\n" * 300),
        TarEntry(name=b"d/b", data=bytes(range(256)) * 4),
    )
    return {
        "x.zip": zip_of(
            ZipEntry(name=b"d/", mode=0o40755, method=0), _GOOD, ZipEntry(name=b"d/x", data=b"x" * 99)
        ),
        "x.tar": tar,
        "x.tar.gz": gzip.compress(tar, mtime=0),
        "x.tar.zst": zstd.compress(tar, options={zstd.CompressionParameter.checksum_flag: 1}),
        "x.gz": gzip.compress(b"text\n" * 99, mtime=0),
    }


@pytest.mark.parametrize("name", _samples())
def test_an_archive_cut_anywhere_is_refused(hands: Hands, name: str) -> None:
    data = _samples()[name]
    chosen = random.Random(name).sample(range(len(data) - 1024 if name == "x.tar" else len(data)), 20)
    for length in chosen:
        assert refused(hands, name, data[:length]).code in {"ARCHIVE_INVALID", "ARCHIVE_AMBIGUOUS"}


@pytest.mark.parametrize("name", _samples())
def test_a_changed_byte_is_refused_or_harmless(hands: Hands, name: str) -> None:
    """Whatever a changed byte means, the answer is a refusal with a code of ours, or files inside the target."""
    data = _samples()[name]
    chance = random.Random(name)
    for _ in range(40):
        changed = bytearray(data)
        changed[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
        (hands.root / name).write_bytes(changed)
        before = hands.tree()
        step = hands.attempt("sys.archive.unpack", source=name, destination="out")
        if isinstance(step, str):
            assert step.startswith(("ARCHIVE_", "PATH_PROTECTED"))
        else:
            step.compensate()
        assert hands.tree() == before


def test_something_behind_a_compressed_stream_is_refused(hands: Hands) -> None:
    tar = tar_of(TarEntry(name=b"good"))
    for name, packed in (("x.tar.gz", gzip.compress(tar)), ("x.tar.zst", zstd.compress(tar))):
        for tail in (b"hidden", b"\0" * 9, b"\x1f", b"\x50\x2a\x4d\x18\x04\0\0\0abcd"):
            assert refused(hands, name, packed + tail).code == "ARCHIVE_INVALID"
        assert refused(hands, name, b"no " + packed).code == "ARCHIVE_INVALID"


def test_zstd_that_needs_a_dictionary_or_much_memory_is_refused(hands: Hands) -> None:
    shared = zstd.ZstdDict(b"a dictionary of some bytes " * 40, is_raw=True)
    needs = zstd.compress(b"a dictionary of some bytes " * 30, zstd_dict=shared)
    assert refused(hands, "x.zst", needs).code == "ARCHIVE_INVALID"
    wide = zstd.compress(
        bytes(1 << 20),
        options={zstd.CompressionParameter.window_log: 28, zstd.CompressionParameter.content_size_flag: 0},
    )
    # The header is changed to claim a window of 2 GiB: no sample of that size needs to be made.
    claimed = bytearray(wide)
    assert claimed[4] & 0x20 == 0
    claimed[5] = (31 - 10) << 3
    assert refused(hands, "x.zst", bytes(claimed)).code == "ARCHIVE_INVALID"


def test_wide_records_that_tell_the_truth_are_read(hands: Hands) -> None:
    assert unpacked(hands, "x.zip", Zip(entries=[_GOOD], wide={}).build()) == {"good"}
    offset = _good(central_offset=0xFFFFFFFF, central_extra=extra(1, struct.pack("<Q", 0)))
    assert unpacked(hands, "x.zip", zip_of(offset)) == {"good"}
    said = extra(0x7075, b"\1" + struct.pack("<I", zlib.crc32(b"good")) + b"good")
    assert unpacked(hands, "x.zip", zip_of(_good(extra=said))) == {"good"}
    binary = TarEntry(name=b"f", data=b"12345", size=_BINARY)
    assert unpacked(hands, "x.tar", tar_of(binary)) == {"f"}
    assert unpacked(
        hands,
        "x.tar",
        tar_of(pax(b"g", comment="from git"), pax(mtime="1.5", SCHILY_xattr_user="x"), TarEntry()),
    ) == {"f"}
