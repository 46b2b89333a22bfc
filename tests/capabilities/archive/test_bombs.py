"""What would come out without end is stopped at the first limit, while it comes out."""

from __future__ import annotations

import gzip

from backports import zstd

from tests.support.archives import (
    TarEntry,
    ZipEntry,
    pax,
    tar_of,
    zip_of,
)
from tests.support.hands import Hands
from tests.support.unpacking import refused, tar_named, unpacked, zip_named


def test_a_bomb_stops_at_the_ratio(hands: Hands) -> None:
    """Zeros swell a thousandfold in deflate and far more in zstd."""
    zeros = bytes(6 << 20)
    tar = tar_of(TarEntry(name=b"zeros", data=zeros))
    for name, data in (
        ("x.zip", zip_of(ZipEntry(name=b"zeros", data=zeros))),
        ("x.tar.gz", gzip.compress(tar)),
        ("x.tar.zst", zstd.compress(tar)),
        ("x.gz", gzip.compress(zeros)),
        ("x.zst", zstd.compress(zeros)),
    ):
        found = refused(hands, name, data)
        assert (found.code, found.path) == ("ARCHIVE_QUOTA", "ratio_max")


def test_a_bomb_stops_at_the_bytes(hands: Hands) -> None:
    """Counted where it comes out: the sizes that the archive declares are lies."""
    zeros = bytes(1 << 20)
    tar = tar_of(TarEntry(name=b"zeros", data=zeros))
    for name, data in (
        ("x.zip", zip_of(ZipEntry(name=b"zeros", data=zeros))),
        ("x.tar", tar),
        ("x.tar.gz", gzip.compress(tar)),
        ("x.tar.zst", zstd.compress(tar)),
        ("x.zst", zstd.compress(zeros)),
    ):
        found = refused(hands, name, data, bytes_max=1000)
        assert (found.code, found.path) == ("ARCHIVE_QUOTA", "bytes_max")
    lie = zip_of(ZipEntry(name=b"zeros", data=zeros, size=10))
    assert refused(hands, "x.zip", lie).code == "ARCHIVE_AMBIGUOUS"


def test_a_bomb_stops_at_the_entries(hands: Hands) -> None:
    """Folders that an entry only needs on its way count as well."""
    names = [f"f{number}" for number in range(50)]
    for file, data in (("x.zip", zip_named(*names)), ("x.tar", tar_named(*names))):
        found = refused(hands, file, data, entries_max=20)
        assert (found.code, found.path) == ("ARCHIVE_QUOTA", "entries_max")
    deep = "/".join("abcdefghij")
    assert refused(hands, "x.zip", zip_named(deep), entries_max=5).path == "entries_max"


def test_a_bomb_stops_at_the_depth(hands: Hands) -> None:
    deep = "/".join("d" for _ in range(60))
    for file, data in (("x.zip", zip_named(deep)), ("x.tar", tar_named(deep))):
        found = refused(hands, file, data)
        assert (found.code, found.path) == ("ARCHIVE_QUOTA", "depth_max")


def test_a_row_of_headers_without_an_entry_stops(hands: Hands) -> None:
    bomb = b"".join(pax(b"g", comment="c" * 400).build() for _ in range(3000)) + bytes(1024)
    found = refused(hands, "x.tar", bomb, bytes_max=1 << 20)
    assert (found.code, found.path) == ("ARCHIVE_QUOTA", "bytes_max")


def test_bombs_in_bombs_stay_packed(hands: Hands) -> None:
    """42.zip holds archives that hold archives: one call unpacks one layer, and each layer is counted."""
    layer = zip_of(ZipEntry(name=b"0.dll", data=bytes(8 << 20)))
    for _ in range(3):
        layer = zip_of(*(ZipEntry(name=b"lib %d.zip" % number, data=layer) for number in range(4)))
    assert len(layer) < 1 << 20
    assert unpacked(hands, "42.zip", layer) == {f"lib {number}.zip" for number in range(4)}


def test_a_quine_is_one_layer_like_any_other(hands: Hands) -> None:
    """An archive in itself would unpack for ever; nobody unpacks what comes out."""
    inner = zip_of(ZipEntry(name=b"r.zip", data=b"PK"))
    assert unpacked(hands, "x.zip", inner) == {"r.zip"}
