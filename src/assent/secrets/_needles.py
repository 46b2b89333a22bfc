"""Finds secret values in bytes: as they are, and as programs write them in something longer: base64, base32, hex, URLs and JSON.

Theory of operation. To write down every form of a value would take dozens of texts, and an automaton of these is slow to build
and slow where a text is random. So it is turned round: the text is decoded in these few ways, one level deep, and each decoding
is searched for the value as it is and as JSON and URLs quote it, which are few and mostly the value itself. So JSON in base64 is
found, and base64 in base64 is not. What is found is traced back to where it stands. A decoding costs a pass in C, and is made
only where the text holds what it would decode, at every alignment, since what stands before a value may be in the alphabet too.
Decoded are runs of `RUN_MIN` characters. A text may also stand in shorter lines or in groups (`6875:6e74`), where everything
looks encoded, prose too. So there the separators are left out, and what a value alone decides of its base64, base32 and hex is
searched for; what colours a text or has no width is left out likewise, before all else.

Values below `ENCODED_BYTES_MIN` bytes leave too short a trace to be told from words; of them the forms are written down.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache
from itertools import accumulate
from typing import Any, Final, NamedTuple
from urllib.parse import quote, quote_plus

LOOPED_MAX: Final = 16
"""Needles that are looked for one by one; of more an automaton is made."""

AUTOMATON_NEEDLES: Final = 512
"""Needles of one automaton. With many more, its states on a random text fill the memory."""

LINE_CHARACTERS_MIN: Final = 12
"""Lines of a value that has several are looked for on their own from this length on."""

FORM_CHARACTERS_MIN: Final = 6
"""A part of an encoded text that is shorter stands in innocent texts too often."""

RUN_MIN: Final = 16
"""Characters of an encoded text that are taken for one."""

ENCODED_BYTES_MIN: Final = RUN_MIN * 3 // 4
"""Bytes that make so long a text in base64."""

SPREAD_BYTES_MIN: Final = 8
"""Shorter values would be found in tables of numbers, whose separators are left out too."""

_PLAIN_MIN: Final = 6
"""What a value would be without its escapes is looked for when it has as many letters and digits."""

_DIGITS_MIN: Final = 6
"""A shorter number stands in innocent data too often."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*|0[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")

_MARKS: Final = (b"\\", b"%")
"""What every escape begins with."""

# JSON's, and what Python and C quote with a backslash; of URLs.
_ESCAPES: Final = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|x[0-9a-fA-F]{2}|[bfnrt]|[^\w\s<>,;:)}\]])"
    rb"|%[0-9a-fA-F]{2}"
)
_ALPHANUMERIC: Final = re.compile(rb"[0-9A-Za-z]")
_CONTROLS: Final = {b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t"}
_OF_URLS: Final = bytes.maketrans(b"-_", b"+/")
_HEX_DIGITS: Final = b"0123456789abcdefABCDEF"
# Colours and other orders to a terminal, and characters without a width.
_INVISIBLE: Final = re.compile(
    rb"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|[ -/]*[0-Z\\^-~])"
    rb"|\xe2\x80[\x8b-\x8f\xaa-\xae]|\xe2\x81[\xa0-\xaf]|\xef\xbb\xbf|\xc2\xad|\xcd\x8f|\xe1\xa0\x8e|\xef\xb8[\x80-\x8f]"
)
_SEPARATORS: Final = b" \t\r\n:,="
"""What stands between the lines or groups of an encoded text, and is in no alphabet."""
_SEPARATED: Final = re.compile(rb"[ \t\r\n:,=]+")
_MIXED_MIN: Final = 32
_SHORT: Final = 4096


class Hit(NamedTuple):
    """Where a secret stands in bytes, and which one."""

    start: int
    end: int
    name: str


class _Texts:
    """Texts to be found in bytes, each with a name. Never changed: `also` gives others."""

    __slots__ = ("_automata", "_looped", "names")

    def __init__(
        self,
        names: Mapping[bytes, str],
        looped: tuple[bytes, ...] = (),
        automata: tuple[tuple[Any, tuple[bytes, ...]], ...] = (),  # `Any`: RE2's patterns
    ) -> None:
        self.names: Final = names
        self._looped = looped
        self._automata = automata

    def also(self, name: str, texts: Iterable[bytes]) -> _Texts:
        """These, and more under one name."""
        new = tuple(one for one in texts if one not in self.names)
        looped, automata = (*self._looped, *new), self._automata
        if len(looped) > LOOPED_MAX:
            if automata and len(automata[-1][1]) < AUTOMATON_NEEDLES:
                looped, automata = (*automata[-1][1], *looped), automata[:-1]
            looped, automata = (), (*automata, (_automaton(looped), looped))
        return _Texts({**self.names, **dict.fromkeys(new, name)}, looped, automata)

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Every place where one stands, in no order; places may overlap."""
        for needle in self._looped:
            at = data.find(needle)
            while at >= 0:
                yield Hit(at, at + len(needle), self.names[needle])
                at = data.find(needle, at + 1)
        for automaton, _ in self._automata:
            found = automaton.search(data)
            while found is not None:
                start, end = found.span()
                yield Hit(start, end, self.names[data[start:end]])
                # Another one may begin inside of it.
                found = automaton.search(data, start + 1)


class Needles:
    """The values that are looked for. Never changed: `with_value` gives others, and whoever is looking meanwhile has the old."""

    __slots__ = ("_spread", "_whole", "longest", "numbers")

    def __init__(self, whole: _Texts, spread: _Texts, numbers: Mapping[float, str] | None = None) -> None:
        self._whole = whole
        self._spread = spread
        self.longest: Final = max(map(len, whole.names), default=0)
        self.numbers: Final = numbers or {}

    @classmethod
    def none(cls) -> Needles:
        """No values."""
        return cls(_Texts({}), _Texts({}))

    def with_value(self, name: str, value: str) -> Needles:
        """These, and a value with all that is looked for of it."""
        numbers = {**dict.fromkeys(_numbers_of(value), name), **self.numbers}
        return Needles(
            self._whole.also(name, needles_of(value)),
            self._spread.also(name, sorted(_spread_of(value))),
            numbers,
        )

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Every place where a value stands, in no order; places may overlap."""
        yield from self._visible(data)
        if b"\x1b" in data or not data.isascii():
            visible = _INVISIBLE.sub(b"", data)
            if len(visible) < len(data):
                yield from _traced(data, self._visible(visible), _INVISIBLE, _nothing)

    def _visible(self, data: bytes) -> Iterator[Hit]:
        """The same of bytes from which nothing is left out."""
        yield from self._whole.hits(data)
        plain = _unescaped(data)
        if plain is not data:
            yield from _traced(data, self._whole.hits(plain), _ESCAPES, _meant)
        for code in _CODES:
            yield from self._in(data, code)
        if self._spread.names and len(data) >= RUN_MIN:
            joined = data.translate(None, _SEPARATORS)
            yield from _traced(data, self._spread.hits(joined), _SEPARATED, _nothing)

    def _in(self, data: bytes, code: _Code) -> Iterator[Hit]:
        """What stands in the encoded parts of the bytes."""
        if len(data) < RUN_MIN or not _stands_in(code.run, data):
            return
        runs = [run for run in code.runs.finditer(data) if not _is_of_another(run[0], code)]
        words = [b"".join(run[0].split()) for run in runs]
        for shift in range(code.group if runs else 0):
            pieces = [code.whole(word[shift:]) for word in words]
            # All of them at once: to search each would cost more than to decode it, and nearly always nothing is there.
            if next(self._whole.hits(code.decode(b"".join(pieces))), None) is None:
                continue
            for run, piece in zip(runs, pieces, strict=True):
                found = [*self._whole.hits(code.decode(piece))]
                if found:
                    place = _places(run, code)
                    for start, end, name in found:
                        first, last = start * 8 // code.bits, (end * 8 - 1) // code.bits
                        yield Hit(place(shift + first), place(shift + last) + 1, name)


def needles_of(value: str) -> tuple[bytes, ...]:
    """What is looked for of a value, longest first, each once."""
    lines = [line.strip() for line in value.splitlines()]
    # A line like `-----BEGIN …` says what follows, and is no secret.
    parts = [line for line in lines if len(line) >= LINE_CHARACTERS_MIN and not line.startswith("-----")]
    found = {one for part in dict.fromkeys([value, value.strip(), *parts]) for one in _needles(part)}
    return tuple(sorted(found, key=lambda needle: (-len(needle), needle)))


def _needles(value: str) -> Iterator[bytes]:
    data = value.encode()
    for form in (value, *_quoted(value)):
        # URL-encoded as forms are, a blank is a `+`; a `+` of its own is `%2B` there.
        yield from (form.encode(), form.replace(" ", "+").encode())
    # All escapes are read at once, so that those of the value itself are gone where it was escaped.
    plain = _unescaped(data)
    if len(_ALPHANUMERIC.findall(plain)) >= _PLAIN_MIN:
        yield plain
    if len(data) < ENCODED_BYTES_MIN:
        yield from (data.hex().encode(), data.hex().upper().encode())
        yield from _inner(data, base64.standard_b64encode, 6)
        yield from _inner(data, base64.urlsafe_b64encode, 6)


def _spread_of(value: str) -> set[bytes]:
    """What is looked for of a value where the separators of an encoded text are left out."""
    data = value.encode()
    if len(data) < SPREAD_BYTES_MIN:
        return set()
    found = {data.hex().encode(), data.hex().upper().encode()}
    for encode in (base64.standard_b64encode, base64.urlsafe_b64encode):
        found |= {*_inner(data, encode, 6)}
    capitals = {*_inner(data, base64.b32encode, 5)}
    return found | capitals | {one.lower() for one in capitals}


def _quoted(value: str) -> Iterator[str]:
    """The value as URLs, JSON, Python and C have it."""
    yield from (quote(value), quote(value, safe=""), quote_plus(value))
    for quoted in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield from (quoted, quoted.replace("/", "\\/"))
    doubled = value.replace("\\", "\\\\")
    yield from (doubled, doubled.replace("'", "\\'"))


def _inner(data: bytes, encode: Callable[[bytes], bytes], bits: int) -> Iterator[bytes]:
    """The characters of an encoding that a value alone decides, wherever in a longer encoded text it begins."""
    for offset in range(bits // 2 if bits == 6 else bits):  # then the bits begin anew with a character
        first, end = -(-8 * offset // bits), 8 * (offset + len(data)) // bits
        inner = encode(bytes(offset) + data + bytes(4))[first:end]
        if len(inner) >= FORM_CHARACTERS_MIN:
            yield inner


def _numbers_of(value: str) -> Iterator[float]:
    """The number that a value reads as, if it does: JSON may tell it without its quotes."""
    text = value.strip()
    if _NUMBER.fullmatch(text) and sum(map(str.isdigit, text)) >= _DIGITS_MIN:
        if math.isfinite(number := float(text)):
            yield number
        if re.fullmatch("-?[0-9]+", text):
            yield int(text)


def _automaton(needles: Iterable[bytes]) -> Any:  # `Any`: as above
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes
    options.max_mem = 256 << 20
    options.log_errors = False
    # Longest first: the first that fits wins, and a shorter one may be the beginning of a longer one.
    ordered = sorted(needles, key=lambda needle: (-len(needle), needle))
    return re2.compile(b"|".join(map(re2.escape, ordered)), options)


def _unescaped(data: bytes) -> bytes:
    """The bytes with one level of escapes read; the same object when there are none."""
    if not any(mark in data for mark in _MARKS):
        return data
    plain, count = _ESCAPES.subn(_meant, data)
    return plain if count else data


def _meant(found: re.Match[bytes]) -> bytes:
    """What one escape stands for."""
    text = found[0]
    if text[:1] == b"%":
        return bytes((int(text[1:], 16),))
    kind, rest = text[1:2], text[2:]
    if kind == b"u":
        units = bytes.fromhex(rest.replace(b"\\u", b"").decode())
        return units.decode("utf-16-be", errors="replace").encode()
    if kind == b"x":
        return bytes((int(rest, 16),))
    return _CONTROLS.get(kind, kind)


def _nothing(_: re.Match[bytes]) -> bytes:
    """What something invisible stands for."""
    return b""


def _traced(
    data: bytes,
    hits: Iterator[Hit],
    pattern: re.Pattern[bytes],
    meaning: Callable[[re.Match[bytes]], bytes],
) -> Iterator[Hit]:
    """Hits in bytes in which every match was replaced with what it means, as places in the bytes themselves."""
    places = _Left(data, pattern, meaning)
    for start, end, name in hits:
        yield Hit(*places(start, end), name)


class _Left:
    """The way back from bytes in which every match was replaced with what it means. The first question costs a pass."""

    __slots__ = ("_data", "_ends", "_meaning", "_pattern", "_starts", "_within")

    def __init__(
        self, data: bytes, pattern: re.Pattern[bytes], meaning: Callable[[re.Match[bytes]], bytes]
    ) -> None:
        self._data, self._pattern, self._meaning = data, pattern, meaning
        self._starts: list[int] = []  # where in the plain bytes the meaning of each escape begins
        self._ends: list[int] = []  # where it ends
        self._within: list[tuple[int, int]] = []  # where the escape stands

    def __call__(self, start: int, end: int) -> tuple[int, int]:
        if not self._starts:
            ahead = 0
            for found in self._pattern.finditer(self._data):
                size = len(self._meaning(found))
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


class _Code:
    """An alphabet: the bits of a character, how many make whole bytes, and a character of nothing but ones."""

    def __init__(
        self, alphabet: bytes, bits: int, group: int, ones: bytes, decode: Callable[[bytes], bytes]
    ) -> None:
        self.bits, self.group, self.decode = bits, group, decode
        self.run = alphabet + b"{%d}" % RUN_MIN
        self.line = re.compile(alphabet + b"+")
        # Lines of one text; the last may be short.
        self.runs = re.compile(rb"%b{%d,}(?:\r?\n[ \t]*%b{2,})*" % (alphabet, RUN_MIN, alphabet))
        # What is left over is filled up, and two runs are kept apart, by bytes that stand in no text.
        self._filling = [ones * (group - over) for over in range(group)]

    def whole(self, text: bytes) -> bytes:
        """The text filled up, so that it decodes to whole bytes."""
        return text + self._filling[len(text) % self.group]


_CODES: Final = (
    _Code(b"[A-Za-z0-9+/_-]", 6, 4, b"/", lambda text: binascii.a2b_base64(text.translate(_OF_URLS))),
    _Code(b"[0-9A-Fa-f]", 4, 2, b"f", binascii.unhexlify),
)


def _is_of_another(text: bytes, code: _Code) -> bool:
    """Whether a text that could be base64 is hex digits, or a path: so much base64 has letters of both cases."""
    return (
        code is _CODES[0]
        and len(text) >= _MIXED_MIN
        and (text.islower() or text.isupper() or not text.strip(_HEX_DIGITS))
    )


def _places(run: re.Match[bytes], code: _Code) -> Callable[[int], int]:
    """Where the characters of a run stand, of whose lines one text was made."""
    lines = [found.span() for found in code.line.finditer(run.string, *run.span())]
    begins = [0, *accumulate(end - start for start, end in lines)][:-1]

    def place(at: int) -> int:
        line = bisect_right(begins, at) - 1
        # The last one goes on: what filled up the last group stands at its end.
        return min(lines[line][0] + at - begins[line], run.end() - 1)

    return place


def _stands_in(pattern: bytes, data: bytes) -> bool:
    """Whether there is a match. Over long stretches where there is none RE2 is ten times as fast, and slower to begin with."""
    find = _slow if len(data) < _SHORT else _fast
    return find(pattern).search(data) is not None


@cache
def _slow(pattern: bytes) -> re.Pattern[bytes]:
    return re.compile(pattern)


@cache
def _fast(pattern: bytes) -> Any:  # `Any`: RE2's own
    import re2

    options = re2.Options()
    options.encoding = re2.Options.Encoding.LATIN1  # bytes are bytes
    return re2.compile(pattern, options)
