"""Archives made byte by byte, so that each field can lie: what `zipfile` and `tarfile` would never write."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, kw_only=True)
class ZipEntry:
    """One entry. `local_…` and `central_…` change one of the two accounts only."""

    name: bytes
    data: bytes = b""
    method: int = 8
    flags: int = 0x0800
    mode: int = 0o100644
    system: int = 3
    dos: int = 0
    crc: int | None = None
    size: int | None = None
    packed: bytes | None = None
    extra: bytes = b""
    local_name: bytes | None = None
    local_size: int | None = None
    local_crc: int | None = None
    local_flags: int | None = None
    local_method: int | None = None
    local_extra: bytes | None = None
    central_extra: bytes | None = None
    central_size: int | None = None
    central_offset: int | None = None
    disk: int = 0
    descriptor: bytes | None = None
    before: bytes = b""
    after: bytes = b""

    @property
    def body(self) -> bytes:
        if self.packed is not None:
            return self.packed
        if self.method != 8:
            return self.data
        deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
        return deflate.compress(self.data) + deflate.flush()

    @property
    def true_crc(self) -> int:
        return zlib.crc32(self.data) if self.crc is None else self.crc

    @property
    def true_size(self) -> int:
        return len(self.data) if self.size is None else self.size


def extra(tag: int, data: bytes) -> bytes:
    """One extra field."""
    return struct.pack("<HH", tag, len(data)) + data


@dataclass(frozen=True, kw_only=True)
class Zip:
    """A whole archive; each field beside `entries` is one more way to lie."""

    entries: Sequence[ZipEntry] = ()
    prefix: bytes = b""
    before_central: bytes = b""
    before_end: bytes = b""
    comment: bytes = b""
    trailer: bytes = b""
    count: int | None = None
    count_here: int | None = None
    central_size: int | None = None
    central_offset: int | None = None
    disk: int = 0
    wide: Mapping[str, int] | None = None
    hidden: Sequence[int] = field(default=())

    def build(self) -> bytes:
        out = bytearray(self.prefix)
        central = bytearray()
        listed = 0
        for number, entry in enumerate(self.entries):
            out += entry.before
            offset = len(out)
            out += self._local(entry)
            out += entry.body
            out += entry.descriptor or b""
            out += entry.after
            if number not in self.hidden:
                central += self._central(entry, offset)
                listed += 1
        out += self.before_central
        start = len(out)
        out += central + self.before_end
        count = listed if self.count is None else self.count
        here = count if self.count_here is None else self.count_here
        size = len(central) if self.central_size is None else self.central_size
        offset = start if self.central_offset is None else self.central_offset
        if self.wide is not None:
            out += self._wide_end(len(out), count, len(central), start)
            here, count, size, offset = (
                self.wide.get("narrow_count", 0xFFFF),
                self.wide.get("narrow_count", 0xFFFF),
                self.wide.get("narrow_size", 0xFFFFFFFF),
                self.wide.get("narrow_offset", 0xFFFFFFFF),
            )
        out += struct.pack(
            "<4s4H2IH", b"PK\5\6", self.disk, self.disk, here, count, size, offset, len(self.comment)
        )
        return bytes(out + self.comment + self.trailer)

    def _wide_end(self, position: int, count: int, size: int, start: int) -> bytes:
        assert self.wide is not None
        told = self.wide
        record = struct.pack(
            "<4sQ2H2I4Q",
            told.get("signature", 0x06064B50).to_bytes(4, "little"),
            told.get("record_size", 44),
            45,
            45,
            told.get("disk", 0),
            0,
            told.get("count", count),
            told.get("count", count),
            told.get("size", size),
            told.get("offset", start),
        )
        locator = struct.pack(
            "<4sIQI", b"PK\6\7", told.get("locator_disk", 0), told.get("locator", position), 1
        )
        return b"" if told.get("missing") else record + locator

    @staticmethod
    def _local(entry: ZipEntry) -> bytes:
        name = entry.name if entry.local_name is None else entry.local_name
        fields = entry.extra if entry.local_extra is None else entry.local_extra
        size = entry.true_size if entry.local_size is None else entry.local_size
        crc = entry.true_crc if entry.local_crc is None else entry.local_crc
        flags = entry.flags if entry.local_flags is None else entry.local_flags
        method = entry.method if entry.local_method is None else entry.local_method
        packed = len(entry.body)
        if flags & 8 and entry.local_size is None:
            size = crc = packed = 0
        return (
            struct.pack(
                "<4s5H3I2H", b"PK\3\4", 20, flags, method, 0, 33, crc, packed, size, len(name), len(fields)
            )
            + name
            + fields
        )

    @staticmethod
    def _central(entry: ZipEntry, offset: int) -> bytes:
        fields = entry.extra if entry.central_extra is None else entry.central_extra
        size = entry.true_size if entry.central_size is None else entry.central_size
        attributes = entry.mode << 16 | entry.dos
        place = offset if entry.central_offset is None else entry.central_offset
        return (
            struct.pack(
                "<4s6H3I5H2I",
                b"PK\1\2",
                entry.system << 8 | 20,
                20,
                entry.flags,
                entry.method,
                0,
                33,
                entry.true_crc,
                len(entry.body),
                size,
                len(entry.name),
                len(fields),
                0,
                entry.disk,
                0,
                attributes,
                place,
            )
            + entry.name
            + fields
        )


def zip_of(*entries: ZipEntry, **lies: object) -> bytes:
    """The bytes of an archive."""
    return replace(Zip(entries=entries), **lies).build()  # type: ignore[arg-type]  # the fields of `Zip`


def overlapping(files: int, data: bytes) -> bytes:
    """Many entries that share one body: a bomb that one pass of deflate can't make (Fifield, "A better zip bomb", 2019)."""
    one = ZipEntry(name=b"a", data=data)
    local = Zip._local(one)
    central = bytearray()
    for number in range(files):
        central += Zip._central(replace(one, name=b"%04d" % number), 0)
    body = local + one.body
    return (
        body
        + bytes(central)
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, files, files, len(central), len(body), 0)
    )


def quoted(files: int, kernel: bytes) -> bytes:
    """Entries whose bytes quote the headers of the next ones in stored blocks, down to one shared kernel (the same paper)."""
    deflate = zlib.compressobj(9, zlib.DEFLATED, -15)
    packed = deflate.compress(kernel) + deflate.flush()
    parts: list[tuple[bytes, bytes, int, int]] = []  # name, header, crc and size of what is inside
    tail_packed, tail_plain = packed, kernel
    for number in reversed(range(files)):
        name = b"%04d" % number
        entry = ZipEntry(name=name, data=tail_plain, packed=tail_packed)
        header = Zip._local(entry)
        parts.insert(0, (name, header, zlib.crc32(tail_plain), len(tail_plain)))
        quote = struct.pack("<BHH", 0, len(header), len(header) ^ 0xFFFF) + header
        tail_packed, tail_plain = quote + tail_packed, header + tail_plain
    # The outermost entry is the first one; its quote of itself is not a part of the file.
    body = tail_packed[5:]
    central, offset = bytearray(), 0
    left = len(body)
    for name, header, crc, size in parts:
        entry = ZipEntry(name=name, crc=crc, size=size, packed=bytes(left - len(header)))
        central += Zip._central(entry, offset)
        offset += len(header) + 5
        left -= len(header) + 5
    return (
        body
        + bytes(central)
        + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, files, files, len(central), len(body), 0)
    )


@dataclass(frozen=True, kw_only=True)
class TarEntry:
    """One header block with what follows it."""

    name: bytes = b"f"
    data: bytes = b""
    kind: bytes = b"0"
    mode: int = 0o644
    link: bytes = b""
    magic: bytes = b"ustar\x0000"
    prefix: bytes = b""
    size: bytes | int | None = None
    checksum: bytes | None = None

    def build(self) -> bytes:
        size = len(self.data) if self.size is None else self.size
        number = size if isinstance(size, bytes) else b"%011o\0" % size
        head = bytearray(512)
        head[0 : len(self.name[:100])] = self.name[:100]
        head[100:108] = b"%07o\0" % self.mode
        head[108:116] = head[116:124] = b"0000000\0"
        head[124:136] = number.ljust(12, b"\0")
        head[136:148] = b"00000000000\0"
        head[148:156] = b" " * 8
        head[156:157] = self.kind
        head[157 : 157 + len(self.link)] = self.link
        head[257:265] = self.magic
        head[345 : 345 + len(self.prefix)] = self.prefix
        head[148:156] = self.checksum if self.checksum is not None else b"%06o\0 " % sum(head)
        return bytes(head) + self.data + bytes(-len(self.data) % 512)


def pax(kind: bytes = b"x", /, **records: str | bytes) -> TarEntry:
    """An extended header; a `_` in a name stands for `.`, as `GNU_sparse_major`."""
    body = b""
    for key, value in records.items():
        body += record(key.replace("_", ".").encode(), value if isinstance(value, bytes) else value.encode())
    return TarEntry(name=b"pax", kind=kind, data=body)


def record(key: bytes, value: bytes) -> bytes:
    """One record of an extended header, with the length that counts itself."""
    rest = b" " + key + b"=" + value + b"\n"
    length = len(rest)
    while len(b"%d" % length) + len(rest) != length:
        length = len(b"%d" % length) + len(rest)
    return b"%d" % length + rest


def tar_of(*entries: TarEntry, end: bytes = bytes(1024)) -> bytes:
    """The bytes of an archive."""
    return b"".join(entry.build() for entry in entries) + end
