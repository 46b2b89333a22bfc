"""Archives that were made to do harm: each is refused with one clear error, and nothing of it stays in the workspace."""

from __future__ import annotations

import gzip
import io
import struct
import tarfile
import zipfile

import pytest
from backports import zstd

from tests.support.archives import (
    TarEntry,
    ZipEntry,
    extra,
    pax,
    tar_of,
    zip_of,
)
from tests.support.hands import Hands
from tests.support.hostile_names import COLLIDING, FACTS, HARMLESS, PROTECTED, Fact
from tests.support.unpacking import refusal, refused, tar_named, unpacked, zip_named


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.text[:50])
def test_a_name_that_means_harm_is_refused(hands: Hands, fact: Fact) -> None:
    stood = set(hands.tree()) | {"x.zip", "x.tar"}
    for name in fact.names:
        for file, data in (("x.zip", zip_named("good", name)), ("x.tar", tar_named("good", name))):
            (hands.root / file).write_bytes(data)
            found = refusal(hands, file)
            assert found.code == fact.code, (file, name, found)
            assert found.hint
    assert set(hands.tree()) == stood


def test_there_are_hundreds_of_names() -> None:
    assert sum(len(fact.names) for fact in FACTS) > 400
    assert len({name for fact in FACTS for name in fact.names}) == sum(len(fact.names) for fact in FACTS)


@pytest.mark.parametrize(("fact", "names"), COLLIDING, ids=[fact for fact, _ in COLLIDING])
def test_two_names_that_are_one_file_somewhere_are_refused(
    hands: Hands, fact: str, names: tuple[str, str]
) -> None:
    for file, data in (("x.zip", zip_named(*names)), ("x.tar", tar_named(*names))):
        assert refused(hands, file, data).code == "ARCHIVE_NAMES_COLLIDE", fact


def test_control_files_are_out_of_reach(hands: Hands) -> None:
    for name in PROTECTED:
        assert refused(hands, "x.zip", zip_named(name)).code == "PATH_PROTECTED", name
        assert refused(hands, "x.tar", tar_named(name)).code == "PATH_PROTECTED", name


def test_a_bare_repository_does_not_come_out(hands: Hands) -> None:
    names = ("r/HEAD", "r/config", "r/objects/x", "r/refs/")
    assert refused(hands, "x.zip", zip_named(*names)).code == "PATH_PROTECTED"
    assert refused(hands, "x.tar", tar_named(*names)).code == "PATH_PROTECTED"
    assert "r/HEAD" in unpacked(hands, "x.zip", zip_named(*names[:3]))


def test_unusual_names_are_taken(hands: Hands) -> None:
    for name in HARMLESS:
        wanted = {"/".join(name.split("/")[: depth + 1]) for depth in range(name.count("/") + 1)}
        assert unpacked(hands, "x.zip", zip_named(name)) == wanted
        assert unpacked(hands, "x.tar", tar_named(name)) == wanted


def test_a_path_of_more_bytes_than_a_system_takes_is_refused(hands: Hands) -> None:
    name = "/".join("d" * 200 for _ in range(25))
    assert refused(hands, "x.zip", zip_named(name)).code == "ARCHIVE_NAME_REFUSED"
    assert refused(hands, "x.tar", tar_named(name)).code == "ARCHIVE_NAME_REFUSED"


@pytest.mark.parametrize(
    ("fact", "data"),
    [
        ("a name in code page 437 or anything else", zip_of(ZipEntry(name=b"caf\x82", flags=0))),
        ("UTF-8 that does not say so", zip_of(ZipEntry(name="é".encode(), flags=0))),
        ("UTF-8 that is none", zip_of(ZipEntry(name=b"\xff\xfe"))),
        ("an overlong form of a slash", zip_of(ZipEntry(name=b"..\xc0\xaf..\xc0\xafetc"))),
        ("half a surrogate pair", zip_of(ZipEntry(name=b"\xed\xa0\x80"))),
        ("no name at all", zip_of(ZipEntry(name=b""))),
    ],
)
def test_a_name_in_an_unknown_encoding_is_refused(hands: Hands, fact: str, data: bytes) -> None:
    assert refused(hands, "x.zip", data).code == "ARCHIVE_NAME_REFUSED", fact


def test_a_tar_name_that_is_no_utf_8_is_refused(hands: Hands) -> None:
    for entries in (
        [TarEntry(name=b"\xff")],
        [TarEntry(name=b"..\xc0\xafetc")],
        [TarEntry(kind=b"L", data=b"\xff" * 120 + b"\0"), TarEntry()],
        [pax(path=b"\xff\xfe"), TarEntry()],
        [TarEntry(name=b"f", prefix=b"\xff")],
    ):
        assert refused(hands, "x.tar", tar_of(*entries)).code == "ARCHIVE_NAME_REFUSED"


_KINDS = {
    "symbolic link": (0o120777, b"2"),
    "device": (0o020644, b"3"),
    "block device": (0o060644, b"4"),
    "pipe": (0o010644, b"6"),
    "hard link": (None, b"1"),
    "socket": (0o140644, None),
    "something": (0o110644, b"Z"),
    "sparse": (None, b"S"),
    "long link": (None, b"K"),
    "incremental": (None, b"D"),
    "multi-volume": (None, b"M"),
    "label": (None, b"V"),
}


@pytest.mark.parametrize("kind", _KINDS)
def test_only_files_and_folders_come_out(hands: Hands, kind: str) -> None:
    """Also where a link would stay inside the target, and also for makers that are no Unix: attributes are attributes."""
    mode, letter = _KINDS[kind]
    for target in (b"../../outside", b"/etc/passwd", b"good", b"."):
        if mode is not None:
            for system in (0, 3, 7, 10, 19):
                entry = ZipEntry(name=b"l", data=target, mode=mode, system=system)
                data = zip_of(ZipEntry(name=b"good"), entry)
                assert refused(hands, "x.zip", data).code == "ARCHIVE_KIND_REFUSED"
        if letter is not None:
            link = TarEntry(name=b"l", kind=letter, link=target)
            data = tar_of(TarEntry(name=b"good"), link, TarEntry(name=b"l/evil", data=b"x"))
            assert refused(hands, "x.tar", data).code == "ARCHIVE_KIND_REFUSED"


def test_links_in_extended_headers_are_refused(hands: Hands) -> None:
    for entries in (
        [pax(linkpath="/etc"), TarEntry(kind=b"2")],
        [pax(GNU_sparse_major="1", GNU_sparse_minor="0", GNU_sparse_name="../x"), TarEntry()],
        [pax(GNU_sparse_map="0,1", GNU_sparse_size="9"), TarEntry(data=b"x")],
    ):
        assert refused(hands, "x.tar", tar_of(*entries)).code == "ARCHIVE_KIND_REFUSED"


def test_an_extra_field_that_can_hold_a_link_is_refused(hands: Hands) -> None:
    for tag in (0x000D, 0x756E):
        data = zip_of(ZipEntry(name=b"l", extra=extra(tag, b"\0" * 14 + b"/etc")))
        assert refused(hands, "x.zip", data).code == "ARCHIVE_KIND_REFUSED"


@pytest.mark.parametrize(
    "entry",
    [
        ZipEntry(name=b"f", flags=0x0801),
        ZipEntry(name=b"f", flags=0x0841),
        ZipEntry(name=b"f", flags=0x2800),
        ZipEntry(name=b"f", method=99, extra=extra(0x9901, b"\x02\0AE\x03\x08\0")),
        ZipEntry(name=b"f", extra=extra(0x9901, b"\x02\0AE\x03\x08\0")),
        ZipEntry(name=b"f", local_extra=extra(0x9901, b"\x02\0AE\x03\x08\0")),
    ],
)
def test_what_is_encrypted_is_refused(hands: Hands, entry: ZipEntry) -> None:
    assert refused(hands, "x.zip", zip_of(entry)).code == "ARCHIVE_ENCRYPTED"


def test_a_method_that_is_not_offered_is_refused(hands: Hands) -> None:
    for method in (1, 2, 5, 6, 9, 10, 12, 14, 18, 19, 93, 95, 96, 97, 98):
        data = zip_of(ZipEntry(name=b"f", data=b"x", method=method))
        assert refused(hands, "x.zip", data).code == "ARCHIVE_UNSUPPORTED"
    assert refused(hands, "x.zip", zip_of(ZipEntry(name=b"f", flags=0x0820))).code == "ARCHIVE_UNSUPPORTED"


@pytest.mark.parametrize(
    "data",
    [
        zip_of(ZipEntry(name=b"f"), disk=1),
        zip_of(ZipEntry(name=b"f", disk=3)),
        zip_of(ZipEntry(name=b"f"), count=1, count_here=0),
        zip_of(ZipEntry(name=b"f"), wide={"locator_disk": 1}),
        zip_of(ZipEntry(name=b"f"), wide={"disk": 1}),
        zip_of(ZipEntry(name=b"f", disk=0xFFFF, central_extra=extra(1, struct.pack("<I", 2)))),
    ],
)
def test_an_archive_over_several_disks_is_refused(hands: Hands, data: bytes) -> None:
    assert refused(hands, "x.zip", data).code == "ARCHIVE_UNSUPPORTED"


def test_headers_that_nobody_knows_are_refused(hands: Hands) -> None:
    for entries in (
        [pax(hdrcharset="BINARY"), TarEntry()],
        [pax(b"g", path="../x"), TarEntry()],
        [pax(b"g", size="0"), TarEntry()],
        [TarEntry(magic=b"ustar\x0001")],
        [TarEntry(magic=b"ustarXYZ")],
    ):
        assert refused(hands, "x.tar", tar_of(*entries)).code == "ARCHIVE_UNSUPPORTED"


def test_what_common_programs_write_is_read(hands: Hands) -> None:
    """Wide sizes, sizes behind the bytes, comments, times, long names of GNU, extended headers, several gzip members."""
    body = b"content\n" * 40
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        with archive.open("wide", "w", force_zip64=True) as entry:
            entry.write(body)
        archive.writestr("d/", b"")
        archive.comment = b"a comment"

    class Pipe(io.RawIOBase):
        def __init__(self) -> None:
            self.data = bytearray()

        def writable(self) -> bool:
            return True

        def write(self, data: object, /) -> int:
            self.data += bytes(data)  # type: ignore[call-overload]  # whatever `zipfile` hands over
            return len(bytes(data))  # type: ignore[call-overload]

    pipe = Pipe()
    with zipfile.ZipFile(pipe, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("piped", body)
        with archive.open("piped and wide", "w", force_zip64=True) as entry:
            entry.write(body)
    assert unpacked(hands, "x.zip", buffer.getvalue()) == {"wide", "d"}
    assert unpacked(hands, "x.zip", bytes(pipe.data)) == {"piped", "piped and wide"}
    for shape in (tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT):
        made = io.BytesIO()
        long = "d/" + "n" * 90 + "/" + "m" * 60
        with tarfile.open(fileobj=made, mode="w", format=shape) as tar:
            for name in ("./", "d/", long):
                info = tarfile.TarInfo(name)
                info.type = tarfile.DIRTYPE if name.endswith("/") else tarfile.REGTYPE
                info.size = 0 if name.endswith("/") else len(body)
                info.mtime = 1234567890.123 if shape == tarfile.PAX_FORMAT else 1234567890
                tar.addfile(info, io.BytesIO(body))
        parts = long.split("/")
        wanted = {"/".join(parts[:length]) for length in range(1, 4)}
        data = made.getvalue()
        assert unpacked(hands, "x.tar", data) == wanted
        members = gzip.compress(data[:700]) + gzip.compress(data[700:])
        assert unpacked(hands, "x.tgz", members) == wanted
        frames = zstd.compress(data[:700]) + zstd.compress(data[700:])
        assert unpacked(hands, "x.tar.zst", frames) == wanted
