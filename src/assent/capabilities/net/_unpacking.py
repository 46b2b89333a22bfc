"""`Content-Encoding` taken off while the answer comes in, in small pieces that are counted, so that a bomb stops at once."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator
from typing import Any, Final

from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._limits import RATIO_FREE_BYTES

ACCEPTED: Final = "gzip, zstd"
"""What we ask for. Brotli is not among it: its decoder would be one more library in C for the same texts."""

_PIECE_BYTES: Final = 64 << 10

PARTS_FREE: Final = 1000
"""Packed parts that one answer may have, whatever is in them."""

PART_BYTES: Final = 256
"""What the parts beyond these have to give on average: to begin one takes fifty microseconds, to send one next to nothing."""

_GZIP: Final = 16 + zlib.MAX_WBITS


class Unpacker:
    """Takes one answer's bytes as they come and gives what they mean. `counted` is the sum of what was given.

    Raises `HttpFailure`: HTTP_ENCODING, HTTP_BODY_TOO_LARGE, HTTP_BOMB, HTTP_BROKEN.
    """

    def __init__(self, encoding: str, *, bytes_max: int, ratio: int) -> None:
        self._make = _maker(encoding)
        self._decoder = self._make() if self._make is not None else None
        self._bytes_max, self._ratio = bytes_max, ratio
        self._received = 0
        self._parts = 1
        self._is_inside = False
        self.counted = 0

    def feed(self, data: bytes) -> Iterator[bytes]:
        """The pieces that `data` unpacks to."""
        self._received += len(data)
        if self._decoder is None:
            yield self._count(data)
            return
        while data or self._is_full():
            if self._decoder.eof:
                # Several packed parts, one after the other, are one answer (RFC 1952 §2.2, RFC 8878 §3.1).
                assert self._make is not None
                self._decoder = self._make()
                self._count_part()
            try:
                piece, data = self._decoder.unpack(data)
            except Exception as error:
                raise HttpFailure("HTTP_BROKEN", "the answer's packed content is damaged") from error
            self._is_inside = not self._decoder.eof
            if piece:
                yield self._count(piece)

    def finish(self) -> None:
        """The answer has ended: raise HTTP_BROKEN when its packed content has not."""
        if self._is_inside:
            raise HttpFailure("HTTP_BROKEN", "the answer's packed content ends in the middle")

    def _is_full(self) -> bool:
        return self._decoder is not None and self._decoder.has_more

    def _count_part(self) -> None:
        self._parts += 1
        most = PARTS_FREE + self.counted // PART_BYTES
        if self._parts > most:
            raise HttpFailure(
                "HTTP_BOMB",
                f"the answer is packed in more than {most} parts, with little or nothing in them",
                hint="have the service pack its answer in one part, or not at all",
                details={"received_bytes": self._received, "parts": most},
            )

    def _count(self, piece: bytes) -> bytes:
        self.counted += len(piece)
        if self.counted > self._bytes_max:
            raise too_large(self._bytes_max)
        if self.counted > RATIO_FREE_BYTES and self.counted > self._ratio * self._received:
            raise HttpFailure(
                "HTTP_BOMB",
                f"the answer unpacks to more than {self._ratio} times what was sent",
                details={"received_bytes": self._received, "ratio": self._ratio},
            )
        return piece


def too_large(bytes_max: int) -> HttpFailure:
    """The failure of an answer with more bytes than it may have."""
    return HttpFailure(
        "HTTP_BODY_TOO_LARGE",
        f"the answer is larger than {bytes_max} bytes",
        hint="fetch it into a file with `net.http.download`, or raise the limit in `[net]`",
        details={"limit_bytes": bytes_max},
    )


class _Gzip:
    """gzip. `Any`: zlib gives its decompressors no name."""

    def __init__(self) -> None:
        self._inner: Any = zlib.decompressobj(_GZIP)
        self.has_more = False

    @property
    def eof(self) -> bool:
        return bool(self._inner.eof)

    def unpack(self, data: bytes) -> tuple[bytes, bytes]:
        piece: bytes = self._inner.decompress(data, _PIECE_BYTES)
        # It gives back what it did not take, but a full piece may leave more to come of what it took.
        self.has_more = len(piece) == _PIECE_BYTES and not self._inner.eof
        return piece, self._inner.unused_data if self._inner.eof else self._inner.unconsumed_tail


class _Zstd:
    """Zstandard, which keeps what it did not take yet."""

    def __init__(self) -> None:
        import sys

        if sys.version_info >= (3, 14):
            from compression.zstd import ZstdDecompressor
        else:
            from backports.zstd import ZstdDecompressor
        self._inner = ZstdDecompressor()

    @property
    def eof(self) -> bool:
        return self._inner.eof

    @property
    def has_more(self) -> bool:
        return not self._inner.eof and not self._inner.needs_input

    def unpack(self, data: bytes) -> tuple[bytes, bytes]:
        piece = self._inner.decompress(data, _PIECE_BYTES)
        return piece, self._inner.unused_data if self._inner.eof else b""


def _maker(encoding: str) -> Callable[[], _Gzip | _Zstd] | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return _Gzip
        case "zstd":
            return _Zstd
        case other:
            raise HttpFailure(
                "HTTP_ENCODING",
                f"the answer is packed as `{other[:40]}`, which was not asked for",
                hint=f"the service has to answer with one of: {ACCEPTED}",
            )
