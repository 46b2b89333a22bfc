"""What travels through a pipe: frames, each with its length before and its checksum behind it. Pure: no file, no clock, no loop.

    u32  length: how many bytes follow, big-endian
    u16  token length, big-endian
    …    message: UTF-8 JSON, `length` - 18 - token length bytes
    …    token: what says who asks; empty for the account
    16   BLAKE2b-128 of everything before, the length included

Nothing marks where a frame begins, so a reader that finds one bad goes on where its length says that it ends. A wrong checksum,
message or token length costs that frame alone; behind a wrong length nothing is understood until frames begin where one is looked
for, which may be never.
"""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import blake2b
from struct import Struct as Layout
from typing import Final

import msgspec

from assent.errors import AssentError, InputError

CHECKSUM_BYTES: Final = 16
TOKEN_BYTES_MAX: Final = 0xFFFF

_LENGTH: Final = Layout(">I")
_HEAD: Final = Layout(">IH")
_LEAST: Final = 2 + CHECKSUM_BYTES
"""The length of a frame of nothing."""


class Frame(msgspec.Struct, frozen=True):
    """A frame whose checksum is right. What stands in it is not looked at."""

    message: bytes
    token: bytes = b""

    def __repr__(self) -> str:
        return f"Frame(message={self.message!r})"


def encode(frame: Frame) -> bytes:
    """The frame as it travels. ValueError for a token or a message that has no length in its field."""
    length = _LEAST + len(frame.message) + len(frame.token)
    if len(frame.token) > TOKEN_BYTES_MAX or length > 0xFFFFFFFF:
        raise ValueError("a frame can't be as large")
    whole = _HEAD.pack(length, len(frame.token)) + frame.message + frame.token
    return whole + _checksum(whole)


class Decoder:
    """Takes bytes as they come and gives frames, and for each that is bad what is wrong with it. It keeps one frame at most."""

    def __init__(self, most: int) -> None:
        """`most`: the largest length that is taken; what says more is thrown away unread."""
        self._most = most
        self._kept = bytearray()
        self._skips = 0

    def feed(self, data: bytes) -> Iterator[Frame | AssentError]:
        """What has become whole with these bytes; to be taken to its end."""
        rest = memoryview(data)
        while rest:
            if self._skips:
                taken = min(self._skips, len(rest))
                self._skips -= taken
            else:
                taken = min(self._wanted() - len(self._kept), len(rest))
                self._kept += rest[:taken]
                if len(self._kept) == self._wanted():
                    yield self._whole()
                    self._kept.clear()
            rest = rest[taken:]

    def end(self) -> AssentError | None:
        """What is wrong when nothing more comes."""
        if self._kept or self._skips:
            return _invalid("the input ended within a frame")
        return None

    def _wanted(self) -> int:
        """How many bytes are kept before more is known: the length, then the frame, if it is one that is taken."""
        if len(self._kept) < _LENGTH.size:
            return _LENGTH.size
        (length,) = _LENGTH.unpack_from(self._kept)
        return _LENGTH.size + (length if _LEAST <= length <= self._most else 0)

    def _whole(self) -> Frame | AssentError:
        if len(self._kept) == _LENGTH.size:
            (self._skips,) = _LENGTH.unpack(self._kept)
            if self._skips < _LEAST:
                return _invalid(f"a length of {self._skips} is less than the {_LEAST} of an empty frame")
            return InputError(
                "FRAME_TOO_LARGE",
                f"a frame has {self._skips} bytes, more than the {self._most} that are taken",
                hint="send large contents as files of the workspace, or raise `body_bytes` of `[serve]`",
            )
        length, token_length = _HEAD.unpack_from(self._kept)
        before = bytes(self._kept[:-CHECKSUM_BYTES])
        if self._kept[-CHECKSUM_BYTES:] != _checksum(before):
            return _invalid("the checksum is wrong")
        if token_length > length - _LEAST:
            return _invalid(f"a token of {token_length} bytes is longer than its frame")
        end = len(before) - token_length
        return Frame(before[_HEAD.size : end], before[end:])


def _checksum(before: bytes) -> bytes:
    return blake2b(before, digest_size=CHECKSUM_BYTES).digest()


def _invalid(fault: str) -> InputError:
    return InputError("FRAME_INVALID", fault, hint="the format is in docs/pipe.md, to the byte")
