"""Tar archives, read block by block from a stream: names and sizes from one place each, nothing but files and folders.

A tar says a size or a name in a header, and perhaps again in an extended header before it, and programs have disagreed about
which one counts: whoever believes the wrong one reads an entry's content as further headers. So an extended header may add
what the plain one has no room for, and may not contradict it (ARCHIVE_AMBIGUOUS).

Source: POSIX.1-2017 pax Interchange Format (ustar, pax), and GNU tar's long names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from assent.capabilities.archive._faults import ambiguous, invalid, kind_refused, name_refused, unsupported
from assent.capabilities.archive._limits import Meter
from assent.capabilities.archive._names import ArchiveEntry, checked
from assent.capabilities.fs.world._paths import PATH_BYTES_MAX, shown

_BLOCK: Final = 512
_EMPTY: Final = bytes(_BLOCK)
_CHUNK: Final = 1 << 18
_EXTENDED_MAX: Final = 64 << 10
"""Bytes in one extended header; a longer one has names that no file may have, or is made to fill memory."""

_FILES: Final = (b"0", b"\0", b"7")
_FOLDER: Final = b"5"
_LONG_NAME: Final = b"L"
_PAX: Final = b"x"
_PAX_FOR_ALL: Final = b"g"
_KINDS: Final = {
    b"1": "a hard link",
    b"2": "a symbolic link",
    b"3": "a device",
    b"4": "a device",
    b"6": "a pipe",
    b"K": "a link with a long target",
    b"S": "a file with holes (sparse)",
    b"D": "a list of a folder's names (GNU incremental)",
    b"M": "a part of a file on another volume",
    b"V": "a volume's label",
}

_PAX_KNOWN: Final = frozenset(
    {"path", "size", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname", "comment"}
)
_PAX_HARMLESS: Final = ("SCHILY.xattr.", "SCHILY.acl.", "LIBARCHIVE.", "RHT.security.")
"""Attributes beside the content; they are left out."""

_PAX_ALL_KNOWN: Final = frozenset({"comment", "mtime", "atime", "ctime", "uid", "gid", "uname", "gname"})


@dataclass(frozen=True, slots=True)
class _Header:
    name: str
    mode: int
    size: int
    kind: bytes


class _Blocks:
    """A stream handed out in pieces of a chosen length."""

    def __init__(self, chunks: Iterator[bytes]) -> None:
        self._chunks = chunks
        self._kept = b""

    def up_to(self, count: int) -> bytes:
        """The next `count` bytes, or fewer at the end."""
        pieces: list[bytes] = []
        while count:
            chunk = self._kept or next(self._chunks, b"")
            if not chunk:
                break
            piece, self._kept = chunk[:count], chunk[count:]
            count -= len(piece)
            pieces.append(piece)
        return b"".join(pieces)

    def exactly(self, count: int) -> bytes:
        """The next `count` bytes. Raises ARCHIVE_INVALID when there are fewer."""
        data = self.up_to(count)
        if len(data) != count:
            raise invalid("it is cut short")
        return data


def read_tar(chunks: Iterator[bytes], meter: Meter) -> Iterator[ArchiveEntry]:
    """The entries in their order. `chunks` is the plain stream, counted. Raises `NoEffectError` ARCHIVE_…"""
    blocks = _Blocks(chunks)
    while True:
        meter.check()
        # A header bomb is a row of headers without any entry: each block of it has been counted as bytes that came out.
        long_name: str | None = None
        pax: dict[str, str] = {}
        block = blocks.exactly(_BLOCK)
        while block != _EMPTY and (kind := block[156:157]) in (_LONG_NAME, _PAX, _PAX_FOR_ALL):
            data = _extension(blocks, _header(block, {}))
            if kind == _LONG_NAME:
                if long_name is not None:
                    raise ambiguous("an entry has two long names")
                long_name = _text(data.rstrip(b"\0"))
            elif kind == _PAX:
                if pax:
                    raise ambiguous("an entry has two extended headers")
                pax = _records(data)
                _check_records(pax, _PAX_KNOWN)
            else:
                _check_records(_records(data), _PAX_ALL_KNOWN)
            block = blocks.exactly(_BLOCK)
        if block == _EMPTY:
            if long_name is not None or pax:
                raise invalid("it ends behind an extended header")
            _check_end(blocks)
            return
        yield from _entry(blocks, block, long_name, pax)


def _entry(
    blocks: _Blocks, block: bytes, long_name: str | None, pax: dict[str, str]
) -> Iterator[ArchiveEntry]:
    header = _header(block, pax)
    if long_name is not None and "path" in pax and long_name != pax["path"]:
        raise ambiguous(f"the entry `{shown(header.name)}` has two long names")
    name = pax.get("path", long_name if long_name is not None else header.name)
    if header.kind in _KINDS:
        raise kind_refused(name, _KINDS[header.kind])
    if header.kind != _FOLDER and header.kind not in _FILES:
        raise kind_refused(name, f"of the kind `{shown(_latin(header.kind))}`")
    # Before there was a kind for folders, a final slash said it; programs still differ in whether they believe it.
    is_folder = header.kind == _FOLDER
    if name.endswith("/") and not is_folder:
        raise ambiguous(f"the entry `{shown(name)}` is a folder by its name and a file by its kind")
    if is_folder and header.size:
        raise ambiguous(f"the folder `{shown(name)}` has content")
    parts = checked(name, dot_slash=True)
    if not parts and not is_folder:
        raise name_refused(name, "is a file in the place of the archive's top")
    yield ArchiveEntry(parts, is_folder, bool(header.mode & 0o100), _contents(blocks, header.size))


def _contents(blocks: _Blocks, size: int) -> Iterator[bytes]:
    left = size
    while left:
        chunk = blocks.exactly(min(left, _CHUNK))
        left -= len(chunk)
        yield chunk
    # What fills the last block may be anything: no program reads it.
    blocks.exactly(-size % _BLOCK)


def _check_end(blocks: _Blocks) -> None:
    """After the first empty block: nothing but zeros. Some programs read on behind it."""
    while chunk := blocks.up_to(_CHUNK):
        if chunk.count(0) != len(chunk):
            raise ambiguous("there is something behind its end")


def _header(block: bytes, pax: dict[str, str]) -> _Header:
    _check_sum(block)
    magic = block[257:265]
    if magic not in (b"ustar\x0000", b"ustar  \0") and magic[:5] == b"ustar":
        raise unsupported("an unknown kind of tar header")
    name = _text(_cut(block[:100])) if "path" not in pax else ""
    if magic == b"ustar\x0000" and "path" not in pax:
        prefix = _text(_cut(block[345:500]))
        name = f"{prefix}/{name}" if prefix else name
    size = _number(block[124:136], name)
    stated = pax.get("size")
    if stated is not None and stated != str(size):
        raise ambiguous(f"the entry `{shown(name)}` has two sizes")
    return _Header(name, _number(block[100:108], name) & 0o7777, size, block[156:157])


def _check_sum(block: bytes) -> None:
    told = block[148:156]
    plain = block[:148] + b" " * 8 + block[156:]
    digits = told.strip(b" \0")
    if not digits or digits.strip(b"01234567") or int(digits, 8) != sum(plain):
        raise invalid("a header's checksum is wrong")


def _number(field: bytes, name: str) -> int:
    if field[0] & 0x80:
        # GNU's binary form: a first bit that says so, then a signed number.
        value = int.from_bytes(bytes((field[0] & 0x7F,)) + field[1:], "big")
        if field[0] != 0x80:
            raise invalid(f"the entry `{shown(name)}` has a negative or absurd number in its header")
        return value
    digits = field.strip(b" \0")
    if digits.strip(b"01234567"):
        raise invalid(f"the entry `{shown(name)}` has a number in its header that is none")
    return int(digits or b"0", 8)


def _cut(field: bytes) -> bytes:
    name, _, rest = field.partition(b"\0")
    if rest.strip(b"\0"):
        raise ambiguous(f"the entry `{shown(_latin(name))}` has something behind the end of its name")
    return name


def _text(raw: bytes) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError:
        raise name_refused(_latin(raw), "has a name that is not UTF-8") from None


def _latin(raw: bytes) -> str:
    return raw.decode("latin-1")


def _extension(blocks: _Blocks, header: _Header) -> bytes:
    if header.size > _EXTENDED_MAX:
        raise invalid(f"an extended header has {header.size} bytes; at most {_EXTENDED_MAX} are read")
    return b"".join(_contents(blocks, header.size))


def _records(data: bytes) -> dict[str, str]:
    """The records of an extended header: `LENGTH KEY=VALUE` and a line feed, the length counting all of it."""
    found: dict[str, str] = {}
    position = 0
    while position < len(data):
        digits, space, _ = data[position : position + 12].partition(b" ")
        # Only plain digits: signs, blanks and other numerals have been ways to read a header in two ways, or for ever.
        if not space or not digits or digits.strip(b"0123456789"):
            raise invalid("an extended header has a record without a length")
        end = position + int(digits)
        record = data[position + len(digits) + 1 : end]
        key, equals, value = record.partition(b"=")
        if end > len(data) or not equals or not key or not record.endswith(b"\n"):
            raise invalid("an extended header has a broken record")
        name = _text(key)
        if name in found:
            raise ambiguous(f"an extended header says `{shown(name)}` twice")
        is_known = name in _PAX_KNOWN
        found[name] = _text(value[:-1]) if is_known else ""
        position = end
    return found


def _check_records(records: dict[str, str], known: frozenset[str]) -> None:
    for key in records:
        if key.startswith("GNU.sparse."):
            raise kind_refused(records.get("path", "?"), _KINDS[b"S"])
        if key == "linkpath":
            raise kind_refused(records.get("path", "?"), "a link")
        if key not in known and not key.startswith(_PAX_HARMLESS):
            raise unsupported(f"the extended header `{shown(key)}`")
    if len(records.get("path", "x")) > PATH_BYTES_MAX:
        raise name_refused(records["path"], f"has a name of more than {PATH_BYTES_MAX} bytes")
    if records.get("path") == "":
        raise ambiguous("an extended header takes an entry's name away")
