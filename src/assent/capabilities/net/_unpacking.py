"""`Content-Encoding` taken off while the answer comes in, in small pieces that are counted, so that a bomb stops at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from assent.capabilities.archive._streams import Gzip, Inflater, Zstandard
from assent.capabilities.net._failure import HttpFailure
from assent.capabilities.net._limits import RATIO_FREE_BYTES

ACCEPTED: Final = "gzip, zstd"
"""What we ask for. Brotli is not among it: its decoder would be one more library in C for the same texts."""

_PIECE_BYTES: Final = 64 << 10

PARTS_FREE: Final = 1000
"""Packed parts that one answer may have, whatever is in them."""

PART_BYTES: Final = 256
"""What the parts beyond these have to give on average: to begin one takes fifty microseconds, to send one next to nothing."""


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
            if self._decoder.is_over:
                # Several packed parts, one after the other, are one answer (RFC 1952 §2.2, RFC 8878 §3.1).
                assert self._make is not None
                self._decoder = self._make()
                self._count_part()
            try:
                piece = self._decoder.feed(data, _PIECE_BYTES)
            except Exception as error:
                raise HttpFailure("HTTP_BROKEN", "the answer's packed content is damaged") from error
            self._is_inside = not self._decoder.is_over
            data = b"" if self._is_inside else self._decoder.rest
            if piece:
                yield self._count(piece)

    def finish(self) -> None:
        """The answer has ended: raise HTTP_BROKEN when its packed content has not."""
        if self._is_inside:
            raise HttpFailure("HTTP_BROKEN", "the answer's packed content ends in the middle")

    def _is_full(self) -> bool:
        return self._decoder is not None and not self._decoder.is_over and not self._decoder.wants

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


def _maker(encoding: str) -> Callable[[], Inflater] | None:
    match encoding.strip().lower():
        case "" | "identity":
            return None
        case "gzip" | "x-gzip":
            return Gzip
        case "zstd":
            return Zstandard
        case other:
            raise HttpFailure(
                "HTTP_ENCODING",
                f"the answer is packed as `{other[:40]}`, which was not asked for",
                hint=f"the service has to answer with one of: {ACCEPTED}",
            )
