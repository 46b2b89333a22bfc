"""The end of a zip archive: where its directory is, said once and without a lie."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import IO, Final

from assent.capabilities.archive._faults import ambiguous, invalid, unsupported

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
