"""The ways in which programs encode a text inside of another one, read backwards, with the way back to where it stood.

Escapes (of URLs, JSON, HTML, C and shells) are read all at once, one level of them. Base64, base32 and hex are found by their
alphabets: a run of as many characters is decoded at every alignment, since whatever stands before it may be in the alphabet too.
"""

from __future__ import annotations

import binascii
import html
import re
from bisect import bisect_right
from collections.abc import Callable, Iterator
from functools import cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

DEPTH: Final = 4
"""Encodings within one another that are read."""

RUN_MIN: Final = 16
"""Characters of an encoded text that are taken for one."""

ENCODED_BYTES_MIN: Final = RUN_MIN * 3 // 4
"""Bytes that make so long a text in the shortest encoding."""

_TEXT: Final = rb"[\t\n\r -~]{%d}" % RUN_MIN
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[0-7]{3}|[abfnrtv]|[^\w\s<>,;:)}\]])"
    rb"|%[0-9a-fA-F]{2}|&(?:#[0-9]{1,7}|#[xX][0-9a-fA-F]{1,6}|[A-Za-z][A-Za-z0-9]{1,31});"
)
_ALPHABET: Final = rb"[A-Za-z0-9+/_-]"
_RUN: Final = _ALPHABET + b"{%d}" % RUN_MIN
# Lines of one text; the last may be short.
_RUNS: Final = re.compile(rb"%b{%d,}(?:\r?\n[ \t]*%b{2,})*" % (_ALPHABET, RUN_MIN, _ALPHABET))
_LINE: Final = re.compile(_ALPHABET + b"+")
_BETWEEN: Final = b"\n"
_HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
_BITS_MAX: Final = 6
_DECODED_BITS_MIN: Final = 8 * 4
_MIXED_MIN: Final = 32
_SHORT: Final = 4096
MARKS: Final = (b"\\", b"%", b"&")
"""What every escape begins with."""

_CONTROLS: Final = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_OF_URLS: Final = bytes.maketrans(b"-_", b"+/")
_OF_DIGITS: Final = bytes.maketrans(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz234567",
    b"0123456789ABCDEFGHIJKLMNOP0123456789ABCDEFGHIJKLMNOPQRSTUV",
)


class Decoding(NamedTuple):
    """Bytes as they were before they were encoded; `source` tells which of the encoded ones a part of them came from.

    `is_last`: there is no text in them that could be encoded once more.
    """

    data: bytes
    source: Callable[[int, int], tuple[int, int]]
    is_last: bool = False


def decodings(data: bytes, *, is_decoded: bool = False) -> Iterator[Decoding]:
    """What the bytes, or parts of them, may have been; nothing where nothing in them looks encoded.

    `is_decoded`: they are a decoding themselves, which is mostly of what was never encoded. Then they must hold text.
    """
    has_nulls = b"\0" in data
    whole = data.replace(b"\0", b"") if has_nulls else data
    is_last = is_decoded and len(whole) >= RUN_MIN and not _stands_in(_TEXT, whole)
    if has_nulls:
        # UTF-16 and UTF-32 of ASCII.
        yield Decoding(whole, _WithoutNulls(data), is_last)
    if is_last:
        return
    plain = unescaped(data)
    if plain is not data:
        yield Decoding(plain, _Escapes(data))
    if len(data) >= RUN_MIN and _stands_in(_RUN, data):
        runs = _RUNS.findall(data)
        words = [b"".join(run.split()) for run in runs] if b"\n" in data else runs
        place = _Words(data)
        for code in _CODES:
            yield from _of_code(code, words, place)


def unescaped(data: bytes) -> bytes:
    """The bytes with one level of escapes read; the same object when there are none."""
    if not any(mark in data for mark in MARKS):
        return data
    plain, count = _ESCAPES.subn(_meant, data)
    return plain if count else data


def _meant(found: re.Match[bytes]) -> bytes:
    """What one escape stands for."""
    text = found[0]
    if text[:1] == b"%":
        return bytes((int(text[1:], 16),))
    if text[:1] == b"&":
        return html.unescape(text.decode()).encode(errors="replace")
    kind, rest = text[1:2], text[2:]
    if kind == b"u":
        units = bytes.fromhex(rest.replace(b"\\u", b"").decode())
        return units.decode("utf-16-be", errors="replace").encode()
    if kind == b"x":
        return bytes((int(rest, 16),))
    if kind.isdigit():
        return bytes((int(text[1:], 8) & 255,))
    return _CONTROLS.get(kind, kind)


class _Escapes:
    """The way back from bytes whose escapes were read. What is asked for the first time costs a pass."""

    __slots__ = ("_data", "_ends", "_starts", "_within")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._starts: list[int] = []  # where in the plain bytes the meaning of each escape begins
        self._ends: list[int] = []  # where it ends
        self._within: list[tuple[int, int]] = []  # where the escape stands

    def __call__(self, start: int, end: int) -> tuple[int, int]:
        if not self._starts:
            ahead = 0
            for found in _ESCAPES.finditer(self._data):
                size = len(_meant(found))
                self._starts.append(found.start() - ahead)
                self._ends.append(found.start() - ahead + size)
                self._within.append(found.span())
                ahead += len(found[0]) - size
        return self._at(start)[0], self._at(end - 1)[1]

    def _at(self, place: int) -> tuple[int, int]:
        number = bisect_right(self._starts, place) - 1
        if number < 0:
            return place, place + 1
        start, end = self._within[number]
        if place < self._ends[number]:
            return start, end
        at = end + place - self._ends[number]
        return at, at + 1


class _WithoutNulls:
    """The way back from bytes without their nulls."""

    __slots__ = ("_data", "_places")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._places: list[int] = []

    def __call__(self, start: int, end: int) -> tuple[int, int]:
        if not self._places:
            self._places = [place for place, byte in enumerate(self._data) if byte]
        return self._places[start], self._places[end - 1] + 1


class _Code(NamedTuple):
    """An alphabet: the bits of a character, how many make whole bytes, and a character of nothing but ones."""

    bits: int
    group: int
    ones: bytes
    run: bytes
    decode: Callable[[bytes], bytes]

    def runs_in(self, words: list[bytes]) -> Iterator[tuple[int, int, bytes]]:
        """What of the words can be of this alphabet: the number of a word, where in it, and the text."""
        if self.bits == _BITS_MAX:
            yield from ((number, 0, word) for number, word in enumerate(words) if not _is_of_another(word))
        elif _stands_in(self.run, _BETWEEN.join(words)):
            pattern = _slow(b"(?:%b)" % self.run.replace(b"}", b",}"))
            for number, word in enumerate(words):
                yield from ((number, found.start(), found[0]) for found in pattern.finditer(word))


def _is_of_another(text: bytes) -> bool:
    """Whether a text that could be base64 is hex digits, or a path: so much base64 has letters of both cases."""
    return len(text) >= _MIXED_MIN and (text.islower() or text.isupper() or not text.strip(_HEX_DIGITS))


def _of_base64(text: bytes) -> bytes:
    return binascii.a2b_base64(text.translate(_OF_URLS))


def _of_base32(text: bytes) -> bytes:
    # The library's own decoder takes a hundred times as long.
    return int(text.translate(_OF_DIGITS), 32).to_bytes(len(text) * 5 // 8)


_CODES: Final = (
    _Code(_BITS_MAX, 4, b"/", _RUN, _of_base64),
    _Code(4, 2, b"f", b"[0-9A-Fa-f]{%d}" % RUN_MIN, binascii.unhexlify),
    _Code(5, 8, b"7", b"[A-Z2-7]{%d}|[a-z2-7]{%d}" % (RUN_MIN, RUN_MIN), _of_base32),
)


def _of_code(code: _Code, words: list[bytes], place: _Words) -> Iterator[Decoding]:
    """The decodings at each alignment, those of all runs in one piece: to search each would cost more than to decode it."""
    runs = [*code.runs_in(words)]
    # What is left over is filled up, and two runs are kept apart, by bytes that stand in no text.
    filling = [code.ones * (code.group - over) for over in range(code.group)]
    for shift in range(code.group if runs else 0):
        pieces = [text[shift:] + filling[(len(text) - shift) % code.group] for _, _, text in runs]
        yield Decoding(code.decode(b"".join(pieces)), _Runs(code.bits, runs, pieces, shift, place))


class _Words:
    """Where the characters of words stand, of whose lines each was made one."""

    __slots__ = ("_data", "_lines", "_spans")

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._spans: list[tuple[int, int]] = []
        self._lines: dict[int, tuple[list[int], list[int]]] = {}

    def __call__(self, number: int, at: int) -> int:
        begins, places = self._lines.get(number) or self._look(number)
        line = bisect_right(begins, at) - 1
        # The last one goes on: what filled up the last group stands at its end.
        return min(places[line] + at - begins[line], self._spans[number][1] - 1)

    def _look(self, number: int) -> tuple[list[int], list[int]]:
        if not self._spans:
            self._spans = [found.span() for found in _RUNS.finditer(self._data)]
        lines = [found.span() for found in _LINE.finditer(self._data, *self._spans[number])]
        begins = [0, *accumulate(end - start for start, end in lines)][:-1]
        self._lines[number] = found = begins, [start for start, _ in lines]
        return found


class _Runs:
    """The way back from what was decoded of several runs, from this character of each on."""

    __slots__ = ("_bits", "_pieces", "_place", "_runs", "_shift", "_starts")

    def __init__(
        self, bits: int, runs: list[tuple[int, int, bytes]], pieces: list[bytes], shift: int, place: _Words
    ) -> None:
        self._bits, self._runs, self._pieces, self._shift, self._place = bits, runs, pieces, shift, place
        self._starts: list[int] = []

    def __call__(self, start: int, end: int) -> tuple[int, int]:
        if not self._starts:
            self._starts = [0, *accumulate(len(piece) * self._bits // 8 for piece in self._pieces)]
        number = bisect_right(self._starts, start) - 1
        word, at, _ = self._runs[number]
        begin, at = self._starts[number], at + self._shift
        first = at + (start - begin) * 8 // self._bits
        last = at + ((end - begin) * 8 - 1) // self._bits
        return self._place(word, first), self._place(word, last) + 1


def _stands_in(pattern: bytes, data: bytes) -> bool:
    """Whether there is a match. Over long stretches where there is none RE2 is ten times as fast, and slower to begin with."""
    find = (_slow if len(data) < _SHORT else _fast)(pattern)
    return find.search(data) is not None


@cache
def _slow(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)


@cache
def _fast(pattern: bytes) -> Any:  # `Any`: RE2's own
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes
    return re2.compile(pattern, options)
