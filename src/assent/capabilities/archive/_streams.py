"""Compressed streams: gzip (RFC 1952) and Zstandard (RFC 8878), with every byte counted that comes out."""

from __future__ import annotations

import sys
import zlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import IO, Any, Final

from assent.capabilities.archive._faults import invalid
from assent.capabilities.archive._limits import Meter

_CHUNK: Final = 1 << 16
_WINDOW_LOG_MAX: Final = 27
"""128 MiB of window, as much as the `zstd` program takes without being asked for more memory."""

_GZIP: Final = b"\x1f\x8b"
_FRAME: Final = b"\x28\xb5\x2f\xfd"


def zstd_module() -> Any:  # `Any`: one module under two names, of which a type checker sees one at most
    """Zstandard, of the standard library where it has it."""
    if sys.version_info >= (3, 14):
        from compression import zstd
    else:
        from backports import zstd
    return zstd


class Inflater(ABC):
    """One member or frame under way, by an object of a library's, which tells what it did not need."""

    _inner: Any  # `Any`: each library's own

    @abstractmethod
    def feed(self, data: bytes, room: int) -> bytes:
        """Up to `room` bytes; `data` is empty while the inflater still holds input."""

    @property
    @abstractmethod
    def wants(self) -> bool:
        """Whether it needs more input to go on."""

    @property
    def is_over(self) -> bool:
        """Whether the member has ended."""
        return bool(self._inner.eof)

    @property
    def rest(self) -> bytes:
        """What was fed and belongs to whatever comes after the member."""
        return bytes(self._inner.unused_data)


def plain(source: IO[bytes], meter: Meter) -> Iterator[bytes]:
    """The bytes as they are, counted."""
    source.seek(0)
    while chunk := source.read(_CHUNK):
        meter.took(len(chunk))
        meter.gave(len(chunk))
        yield chunk


def gunzipped(source: IO[bytes], meter: Meter) -> Iterator[bytes]:
    """What is in a gzip file, all its members. Raises ARCHIVE_INVALID, and ARCHIVE_QUOTA while it comes out."""
    return _members(source, meter, Gzip, _GZIP, "gzip")


def unzstd(source: IO[bytes], meter: Meter) -> Iterator[bytes]:
    """What is in a zstd file, all its frames. Raises as `gunzipped`."""
    return _members(source, meter, Zstandard, _FRAME, "zstd")


def _members(
    source: IO[bytes], meter: Meter, start: Callable[[], Inflater], magic: bytes, name: str
) -> Iterator[bytes]:
    source.seek(0)
    pending = _more(source, meter)
    if not pending.startswith(magic):
        raise invalid(f"it does not begin as {name} does")
    while pending:
        if len(pending) < len(magic):
            pending += _more(source, meter)
        if not pending.startswith(magic):
            # A skippable frame, or anything else: programs differ in whether they look behind it.
            raise invalid(f"something that is not {name} follows its end")
        # Of a member without content nothing comes out, so nothing would be counted: there may be millions of them.
        meter.check()
        inflater = start()
        while not inflater.is_over:
            is_at_end = False
            if inflater.wants and not pending:
                pending = _more(source, meter)
                is_at_end = not pending
            # Fed with nothing at the end of the input: the last bytes may still be inside.
            chunk, pending = inflater.feed(pending, meter.room), b""
            if chunk:
                meter.gave(len(chunk))
                yield chunk
            elif is_at_end and not inflater.is_over:
                raise invalid("it is cut short")
        pending = inflater.rest or _more(source, meter)


def _more(source: IO[bytes], meter: Meter) -> bytes:
    data = source.read(_CHUNK)
    meter.took(len(data))
    return data


class Gzip(Inflater):
    """gzip, by zlib; what one of its objects has not taken stays here."""

    def __init__(self) -> None:
        self._inner = zlib.decompressobj(31)
        self._kept = b""
        self._is_full = False

    def feed(self, data: bytes, room: int) -> bytes:
        try:
            chunk: bytes = self._inner.decompress(self._kept or data, room)
        except zlib.error:
            raise invalid("its gzip data are damaged") from None
        self._kept = self._inner.unconsumed_tail
        # A full piece may leave more to come of what was taken.
        self._is_full = len(chunk) == room and not self._inner.eof
        return chunk

    @property
    def wants(self) -> bool:
        return not self._kept and not self._is_full


class Zstandard(Inflater):
    """Zstandard, which keeps what it has not taken."""

    def __init__(self) -> None:
        zstd = zstd_module()
        limit = {zstd.DecompressionParameter.window_log_max: _WINDOW_LOG_MAX}
        self._inner = zstd.ZstdDecompressor(options=limit)
        self._fault: type[Exception] = zstd.ZstdError

    def feed(self, data: bytes, room: int) -> bytes:
        try:
            return bytes(self._inner.decompress(data, room))
        except self._fault:
            why = f"its zstd data are damaged, or need a dictionary or a window of over {1 << _WINDOW_LOG_MAX} bytes"
            raise invalid(why) from None

    @property
    def wants(self) -> bool:
        return bool(self._inner.needs_input)
