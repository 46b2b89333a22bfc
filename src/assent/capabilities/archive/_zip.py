"""Zip archives, read so that no two programs can find different things in one.

A zip says everything twice: before each entry's bytes, and in a directory at the end. Programs believe one or the other, and
look for the end from the front or from the back; scanners have been led past what was then unpacked that way. So both accounts
must agree, and local entries, directory and end record must cover the file exactly, in this order: nothing before, between
or behind them, nothing twice. Whatever breaks that is refused (ARCHIVE_AMBIGUOUS), as package indexes do.

Source: PKWARE APPNOTE 6.3.10; only stored and deflated entries, no encryption, one disk.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO, Final

from assent.capabilities.archive._faults import (
    ambiguous,
    encrypted,
    invalid,
    kind_refused,
    name_refused,
    unsupported,
)
from assent.capabilities.archive._limits import Meter
from assent.capabilities.archive._names import ArchiveEntry, checked
from assent.capabilities.fs.world._paths import PATH_BYTES_MAX, shown

_END: Final = struct.Struct("<4s4H2IH")
_LOCATOR: Final = struct.Struct("<4sIQI")
_END64: Final = struct.Struct("<4sQ2H2I4Q")
_COMMENT_MAX: Final = 0xFFFF
_END_SIGNATURE: Final = b"PK\x05\x06"


@dataclass(frozen=True, slots=True)
class Directory:
    """Where the directory begins, its length in bytes, and how many entries it claims."""

    offset: int
    size: int
    count: int


def find_directory(source: IO[bytes], size: int) -> Directory:
    """The directory of an archive of `size` bytes. Raises ARCHIVE_INVALID, ARCHIVE_AMBIGUOUS, ARCHIVE_UNSUPPORTED."""
    length = min(size, _COMMENT_MAX + _END.size)
    source.seek(size - length)
    tail = source.read(length)
    ends = [place for place in _places(tail) if _reaches_end(tail, place)]
    if not ends:
        if _END_SIGNATURE in tail:
            raise ambiguous("its end record is not at its end")
        raise invalid("it has no end record")
    # Programs search from the front or from the back; a second record, also inside the comment, is for one of them.
    if len(ends) > 1 or tail.rfind(_END_SIGNATURE) != ends[0]:
        raise ambiguous("it has several end records")
    position = size - length + ends[0]
    fields = _END.unpack_from(tail, ends[0])
    _, disk, directory_disk, here, count, directory_size, offset, _ = fields
    wide = _wide_end(source, position)
    end = position
    if wide is not None:
        start, here64, count64, size64, offset64 = wide
        pairs = ((here, here64, 0xFFFF), (count, count64, 0xFFFF), (directory_size, size64, 0xFFFFFFFF))
        if any(
            narrow not in (truth, limit) for narrow, truth, limit in (*pairs, (offset, offset64, 0xFFFFFFFF))
        ):
            raise ambiguous("its two end records disagree")
        here, count, directory_size, offset, end = here64, count64, size64, offset64, start
    elif 0xFFFFFFFF in (directory_size, offset):
        raise ambiguous("its end record announces a second, wide one that is not there")
    if {disk, directory_disk} - {0, 0xFFFF} or here != count:
        raise unsupported("several disks")
    if offset + directory_size != end:
        raise ambiguous("its directory is not where the end record says: something stands before or after it")
    return Directory(offset, directory_size, count)


def _places(tail: bytes) -> list[int]:
    places: list[int] = []
    found = tail.find(_END_SIGNATURE)
    while found >= 0:
        places.append(found)
        found = tail.find(_END_SIGNATURE, found + 1)
    return places


def _reaches_end(tail: bytes, place: int) -> bool:
    if place + _END.size > len(tail):
        return False
    comment = int(_END.unpack_from(tail, place)[-1])
    return place + _END.size + comment == len(tail)


def _wide_end(source: IO[bytes], position: int) -> tuple[int, int, int, int, int] | None:
    """The wide end record before the narrow one: its own place, entries here, entries, size and offset of the directory."""
    if position < _LOCATOR.size:
        return None
    source.seek(position - _LOCATOR.size)
    signature, disk, offset, disks = _LOCATOR.unpack(source.read(_LOCATOR.size))
    if signature != b"PK\x06\x07":
        return None
    if disk or disks > 1:
        raise unsupported("several disks")
    if offset + _END64.size != position - _LOCATOR.size:
        # A longer record (with data of its own) is allowed by the format and used by nobody.
        raise ambiguous("its wide end record is not where its locator says")
    source.seek(offset)
    fields = _END64.unpack(source.read(_END64.size))
    if fields[0] != b"PK\x06\x06" or fields[1] != _END64.size - 12:
        raise ambiguous("its wide end record is not where its locator says")
    if fields[4] or fields[5]:
        raise unsupported("several disks")
    here, count, size, start = fields[6:]
    return offset, here, count, size, start


_CENTRAL: Final = struct.Struct("<4s6H3I5H2I")
_LOCAL: Final = struct.Struct("<4s5H3I2H")
_SIZE64: Final = 0xFFFFFFFF
_CHUNK: Final = 1 << 16

_ENCRYPTED: Final = 0x0001 | 0x0040 | 0x2000
_DESCRIPTOR: Final = 0x0008
_PATCHED: Final = 0x0020
_UTF8: Final = 0x0800
_SAME_FLAGS: Final = _ENCRYPTED | _DESCRIPTOR | _PATCHED | _UTF8

_STORED: Final = 0
_DEFLATED: Final = 8

_EXTRA_ZIP64: Final = 0x0001
_EXTRA_UNICODE_PATH: Final = 0x7075
_EXTRA_AES: Final = 0x9901
_EXTRA_LINKS: Final = {0x000D, 0x756E}
"""PKWARE's and ASi's Unix fields, which may carry the target of a link."""

_KINDS: Final = {
    0o120000: "a symbolic link",
    0o010000: "a pipe",
    0o020000: "a device",
    0o060000: "a device",
    0o140000: "a socket",
}
_MADE_ON_UNIX: Final = (3, 19)
_DOS_FOLDER: Final = 0x10


@dataclass(frozen=True, slots=True)
class _Record:
    """One entry as the directory at the end describes it."""

    raw_name: bytes
    name: str
    flags: int
    method: int
    crc: int
    packed: int
    size: int
    offset: int
    mode: int
    is_folder: bool


def read_zip(source: IO[bytes], size: int, meter: Meter) -> Iterator[ArchiveEntry]:
    """The entries in the order of their bytes. Raises `NoEffectError` ARCHIVE_… as soon as something is wrong."""
    directory = find_directory(source, size)
    records = sorted(_records(source, directory, meter), key=lambda record: record.offset)
    position = 0
    for number, record in enumerate(records):
        following = records[number + 1].offset if number + 1 < len(records) else directory.offset
        if record.offset < position:
            raise ambiguous(f"the entry `{shown(record.name)}` overlaps another one")
        if record.offset > position:
            raise ambiguous(f"there are bytes before the entry `{shown(record.name)}` that belong to none")
        start = _check_local(source, record)
        if start + record.packed > following:
            raise ambiguous(f"the entry `{shown(record.name)}` overlaps what comes after it")
        _check_descriptor(source, record, start + record.packed, following)
        meter.took(following - position)
        position = following
        parts = checked(record.name)
        chunks = _contents(source, record, start, meter)
        yield ArchiveEntry(parts, record.is_folder, bool(record.mode & 0o100), chunks)
    if position != directory.offset:
        raise ambiguous("there are bytes before the directory at its end that belong to no entry")


def _records(source: IO[bytes], directory: Directory, meter: Meter) -> Iterator[_Record]:
    source.seek(directory.offset)
    left = directory.size
    for number in range(directory.count):
        if left < _CENTRAL.size:
            raise ambiguous(f"its directory has room for {number} entries and claims {directory.count}")
        # All records are kept before the first entry is met, so they are counted here: each is an entry, or comes twice.
        meter.require_room(number + 1)
        fields = _CENTRAL.unpack(_exactly(source, _CENTRAL.size))
        signature, made_by, _, flags, method, _, _, crc, packed, size = fields[:10]
        name_length, extra_length, comment_length, disk, _, attributes, offset = fields[10:]
        if signature != b"PK\x01\x02":
            raise invalid("its directory is damaged")
        tail = name_length + extra_length + comment_length
        left -= _CENTRAL.size + tail
        if left < 0:
            raise ambiguous("its directory is longer than the end record says")
        if disk not in (0, 0xFFFF):
            raise unsupported("several disks")
        raw = _exactly(source, name_length)
        name = _decoded(raw, flags)
        if name_length > PATH_BYTES_MAX + 1:  # a folder's has a final slash
            raise name_refused(name, f"has a name of more than {PATH_BYTES_MAX} bytes")
        extra = _extras(_exactly(source, extra_length), name)
        source.seek(comment_length, 1)
        size, packed, offset = _wide(extra.get(_EXTRA_ZIP64), name, (size, packed, offset, disk))
        _check_features(name, raw, flags, method, extra)
        kind, folder = _kind(name, made_by >> 8, attributes)
        if folder and (size or packed not in (0, 2)):
            raise invalid(f"the folder `{shown(name)}` has content")
        yield _Record(raw, name, flags, method, crc, packed, size, offset, kind, folder)
    if left:
        raise ambiguous("its directory holds more than the end record says")


def _decoded(raw: bytes, flags: int) -> str:
    try:
        return raw.decode("utf-8" if flags & _UTF8 else "ascii")
    except UnicodeDecodeError:
        text = raw.decode("latin-1")
        raise name_refused(text, "does not say in which encoding its name is written") from None


def _extras(data: bytes, name: str) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    position = 0
    while position < len(data):
        if position + 4 > len(data):
            raise invalid(f"the entry `{shown(name)}` has a broken extra field")
        tag, length = struct.unpack_from("<HH", data, position)
        value = data[position + 4 : position + 4 + length]
        if len(value) != length:
            raise invalid(f"the entry `{shown(name)}` has a broken extra field")
        if tag in found:
            raise ambiguous(f"the entry `{shown(name)}` has an extra field twice")
        found[tag] = value
        position += 4 + length
    return found


def _wide(field: bytes | None, name: str, narrow: tuple[int, int, int, int]) -> tuple[int, int, int]:
    """Size, packed size and offset; those that 32 bits can't hold from the wide field, which holds these and nothing else.

    `narrow` are they and the number of the disk.
    """
    values = list(narrow)
    rest = field or b""
    for index, (value, limit, shape) in enumerate(
        zip(values, (_SIZE64, _SIZE64, _SIZE64, 0xFFFF), ("<Q", "<Q", "<Q", "<I"), strict=True)
    ):
        if value != limit:
            continue
        length = struct.calcsize(shape)
        if len(rest) < length:
            raise ambiguous(f"the entry `{shown(name)}` announces a wide size or offset and has none")
        (values[index],) = struct.unpack_from(shape, rest)
        rest = rest[length:]
    if rest:
        raise ambiguous(f"the entry `{shown(name)}` has a wide size or offset that nothing announces")
    if values[3]:
        raise unsupported("several disks")
    return values[0], values[1], values[2]


def _check_features(name: str, raw: bytes, flags: int, method: int, extra: dict[int, bytes]) -> None:
    if flags & _ENCRYPTED or _EXTRA_AES in extra:
        raise encrypted(name)
    if flags & _PATCHED:
        raise unsupported("patched data")
    if method not in (_STORED, _DEFLATED):
        raise unsupported(f"compression method {method}")
    if not _EXTRA_LINKS.isdisjoint(extra):
        raise kind_refused(name, "perhaps a link (it has an extra field that can hold a link's target)")
    other = extra.get(_EXTRA_UNICODE_PATH)
    if other is not None and other[5:] != raw:
        raise ambiguous(f"the entry `{shown(name)}` has a second name in an extra field")


def _kind(name: str, system: int, attributes: int) -> tuple[int, bool]:
    """The permission bits, and whether it is a folder; the two ways to say so must agree."""
    mode = attributes >> 16
    kind = mode & 0o170000
    if kind in _KINDS:
        raise kind_refused(name, _KINDS[kind])
    is_folder = name.endswith("/")
    if kind not in (0, 0o040000, 0o100000):
        raise kind_refused(name, "of an unknown kind")
    # Programs differ in what they believe: the name, the Unix kind, or the DOS attribute.
    says_folder = kind == 0o040000 or (not kind and bool(attributes & _DOS_FOLDER))
    says_file = kind == 0o100000
    if (says_folder and not is_folder) or (says_file and is_folder):
        raise ambiguous(
            f"the entry `{shown(name)}` is a folder by its name or by its attributes, not by both"
        )
    return (mode if system in _MADE_ON_UNIX else 0), is_folder


def _check_local(source: IO[bytes], record: _Record) -> int:
    """Hold the entry's own header to the directory's account of it; where its bytes begin."""
    source.seek(record.offset)
    fields = _LOCAL.unpack(_exactly(source, _LOCAL.size))
    signature, _, flags, method, _, _, crc, packed, size, name_length, extra_length = fields
    name = record.name
    if signature != b"PK\x03\x04":
        raise invalid(f"the entry `{shown(name)}` is not where the directory says")
    if _exactly(source, name_length) != record.raw_name:
        raise ambiguous(f"the entry `{shown(name)}` has another name before its bytes than in the directory")
    extra = _extras(_exactly(source, extra_length), name)
    if (flags ^ record.flags) & _SAME_FLAGS or method != record.method:
        raise ambiguous(f"the entry `{shown(name)}` is described in two ways")
    _check_features(name, record.raw_name, flags, method, extra)
    if _SIZE64 in (size, packed):
        size, packed, _ = _wide(extra.get(_EXTRA_ZIP64), name, (size, packed, 0, 0))
    elif len(extra.get(_EXTRA_ZIP64, b"")) not in (0, 16):
        raise ambiguous(f"the entry `{shown(name)}` has a wide size that nothing announces")
    told, wanted = (crc, packed, size), (record.crc, record.packed, record.size)
    later = bool(flags & _DESCRIPTOR)
    for value, truth in zip(told, wanted, strict=True):
        if value != truth and not (later and value == 0):
            raise ambiguous(f"the entry `{shown(name)}` has two sizes or checksums")
    return record.offset + _LOCAL.size + int(name_length) + int(extra_length)


def _check_descriptor(source: IO[bytes], record: _Record, end: int, following: int) -> None:
    """What stands between an entry's bytes and the next one: nothing, or the sizes that were not known before."""
    length = following - end
    source.seek(end)
    if not record.flags & _DESCRIPTOR:
        if length:
            raise ambiguous(f"there are bytes after the entry `{shown(record.name)}` that belong to none")
        return
    numbers = (record.crc, record.packed, record.size)
    fits = {
        signature + struct.pack(shape, *(value & (_SIZE64 if shape == "<3I" else -1) for value in numbers))
        for signature in (b"", b"PK\x07\x08")
        for shape in ("<3I", "<I2Q")
    }
    if length > 24 or _exactly(source, length) not in fits:
        raise ambiguous(f"what follows the entry `{shown(record.name)}` is not what its sizes promise")


def _contents(source: IO[bytes], record: _Record, start: int, meter: Meter) -> Iterator[bytes]:
    crc = size = 0
    for chunk in _inflated(source, record, start, meter):
        meter.gave(len(chunk))
        size += len(chunk)
        if size > record.size:
            raise ambiguous(f"the entry `{shown(record.name)}` holds more than it says")
        crc = zlib.crc32(chunk, crc)
        yield chunk
    if size != record.size:
        raise ambiguous(f"the entry `{shown(record.name)}` holds less than it says")
    if crc != record.crc:
        raise invalid(f"the checksum of `{shown(record.name)}` does not fit its content")


def _inflated(source: IO[bytes], record: _Record, start: int, meter: Meter) -> Iterator[bytes]:
    position, left = start, record.packed
    plain = zlib.decompressobj(-15)
    pending = b""
    while left or pending:
        if not pending:
            # Another entry may have been read meanwhile: the position is ours, not the file's.
            source.seek(position)
            pending = _exactly(source, min(left, _CHUNK))
            position, left = position + len(pending), left - len(pending)
        if record.method == _STORED:
            yield pending
            pending = b""
            continue
        if plain.eof:
            break
        try:
            chunk = plain.decompress(pending, meter.room)
        except zlib.error:
            raise invalid(f"the content of `{shown(record.name)}` is damaged") from None
        pending = plain.unconsumed_tail
        if chunk:
            yield chunk
    if record.method == _DEFLATED:
        if left or pending or plain.unused_data:
            raise ambiguous(f"there are bytes behind the content of `{shown(record.name)}`")
        if not plain.eof:
            # What is still inside comes out without further input.
            while chunk := plain.decompress(b"", meter.room):
                yield chunk
        if not plain.eof:
            raise invalid(f"the content of `{shown(record.name)}` is cut short")


def _exactly(source: IO[bytes], count: int) -> bytes:
    data = source.read(count)
    if len(data) != count:
        raise invalid("it is cut short")
    return data
