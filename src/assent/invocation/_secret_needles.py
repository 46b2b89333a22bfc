"""Finds secret values in bytes: as they are, and in whatever usual encodings they were written, also in one within another.

Theory of operation. To write down every form of a value would take hundreds of texts for one level of encoding and tens of
thousands for two, and an automaton of these is slow to build and slow where a text is random. So it is turned round: the text is
decoded, in the few ways in which programs encode, and each decoding is searched for the values alone. What is found there is
traced back to where it stands. A decoding costs a pass in C, and is only made where the text holds what it would decode.

A text that was decoded is looked at again, `DEPTH` levels deep. Values below `ENCODED_BYTES_MIN` bytes leave too short a trace to
be told from words; of them the forms are written down.
"""

from __future__ import annotations

import base64
import html
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from assent.invocation._secret_decodings import DEPTH, ENCODED_BYTES_MIN, MARKS, decodings, unescaped

LOOPED_MAX: Final = 16
"""Needles that are looked for one by one; of more an automaton is made."""

AUTOMATON_NEEDLES: Final = 512
"""Needles of one automaton. With many more, its states on a random text fill the memory."""

LINE_CHARACTERS_MIN: Final = 12
"""Lines of a value that has several are looked for on their own from this length on."""

FORM_CHARACTERS_MIN: Final = 6
"""A part of an encoded text that is shorter stands in innocent texts too often."""

DECODED_BYTES_MIN: Final = 1 << 20
DECODED_TIMES_MAX: Final = 32
"""What is decoded of a text at most, beside the least, in times of its size. An honest one needs less than ten."""

_PLAIN_MIN: Final = 6
"""What a value would be without its escapes is looked for when it has as many letters and digits."""

_DIGITS_MIN: Final = 6
"""A shorter number stands in innocent data too often."""

_NUMBER: Final = re.compile(r"-?(?:0|[1-9][0-9]*|0[0-9]+)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,2})?")


@dataclass(slots=True)
class _Budget:
    """How many bytes may still be decoded: who writes a text decides what in it looks encoded."""

    left: int


class Hit(NamedTuple):
    """Where a secret stands in bytes, and which one."""

    start: int
    end: int
    name: str


class Needles:
    """The values that are looked for. Never changed: `with_value` gives others, and whoever is looking meanwhile has the old."""

    __slots__ = ("_automata", "_looped", "_names", "longest", "numbers")

    def __init__(
        self,
        names: Mapping[bytes, str],
        looped: tuple[bytes, ...] = (),
        automata: tuple[tuple[Any, tuple[bytes, ...]], ...] = (),  # `Any`: RE2's patterns
        numbers: Mapping[float, str] | None = None,
    ) -> None:
        self._names = names
        self._looped = looped
        self._automata = automata
        self.longest: Final = max(map(len, names), default=0)
        self.numbers: Final = numbers or {}

    def with_value(self, name: str, value: str) -> Needles:
        """These, and a value with all that is looked for of it."""
        new = tuple(one for one in needles_of(value) if one not in self._names)
        names = {**self._names, **dict.fromkeys(new, name)}
        numbers = {**dict.fromkeys(_numbers_of(value), name), **self.numbers}
        looped, automata = (*self._looped, *new), self._automata
        if len(looped) > LOOPED_MAX:
            if automata and len(automata[-1][1]) < AUTOMATON_NEEDLES:
                looped, automata = (*automata[-1][1], *looped), automata[:-1]
            looped, automata = (), (*automata, (_automaton(looped), looped))
        return Needles(names, looped, automata, numbers)

    def hits(self, data: bytes) -> Iterator[Hit]:
        """Every place where a value stands, in no order; places may overlap."""
        return self._hits(data, DEPTH, _Budget(DECODED_BYTES_MIN + DECODED_TIMES_MAX * len(data)))

    def _hits(self, data: bytes, depth: int, budget: _Budget) -> Iterator[Hit]:
        yield from self._direct(data)
        if not depth:
            return
        for decoding in decodings(data, is_decoded=depth < DEPTH):
            budget.left -= len(decoding.data)
            if budget.left < 0:
                return
            below = 0 if decoding.is_last else depth - 1
            for start, end, name in self._hits(decoding.data, below, budget):
                yield Hit(*decoding.source(start, end), name)

    def _direct(self, data: bytes) -> Iterator[Hit]:
        for needle in self._looped:
            at = data.find(needle)
            while at >= 0:
                yield Hit(at, at + len(needle), self._names[needle])
                at = data.find(needle, at + 1)
        for automaton, _ in self._automata:
            found = automaton.search(data)
            while found is not None:
                start, end = found.span()
                yield Hit(start, end, self._names[data[start:end]])
                # Another one may begin inside of it.
                found = automaton.search(data, start + 1)


def needles_of(value: str) -> tuple[bytes, ...]:
    """What is looked for of a value, longest first, each once."""
    lines = [line.strip() for line in value.splitlines()] if "\n" in value or "\r" in value else []
    # A line like `-----BEGIN …` says what follows, and is no secret.
    parts = [line for line in lines if len(line) >= LINE_CHARACTERS_MIN and not line.startswith("-----")]
    found = {one for part in dict.fromkeys([value, value.strip(), *parts]) for one in _needles(part)}
    return tuple(sorted(found, key=lambda needle: (-len(needle), needle)))


def _needles(value: str) -> Iterator[bytes]:
    data = value.encode()
    yield data
    if " " in value:
        # URL-encoded as forms are; a `+` of its own is `%2B` there.
        yield data.replace(b" ", b"+")
    # All escapes are read at once, so that those of the value itself are gone where it was escaped once more.
    plain = unescaped(data)
    if any(mark in data for mark in MARKS):
        # What of the value looks like the beginning of an escape goes on in what it is written in: one level is written down.
        yield from (form.encode() for form in _escaped(value))
    for _ in range(DEPTH):
        if sum(map(bytes.isalnum, (plain[at : at + 1] for at in range(len(plain))))) >= _PLAIN_MIN:
            yield plain
        plain, before = unescaped(plain), plain
        if plain == before:
            break
    if not value.isascii():
        yield value.encode("utf-16-le")
        yield value.encode("utf-16-be")
        # Python quotes characters below 256 as others quote bytes.
        yield b"".join(one.encode("latin-1" if one < "\u0100" else "utf-8") for one in value)
    if len(data) < ENCODED_BYTES_MIN:
        yield from (data.hex().encode(), data.hex().upper().encode())
        yield from _inner(data, base64.standard_b64encode, 6)
        yield from _inner(data, base64.urlsafe_b64encode, 6)
        yield from _inner(data, base64.b32encode, 5)


def _escaped(value: str) -> Iterator[str]:
    """The value as JSON, HTML, and Python or C have it within quotes."""
    for quoted in (json.dumps(value)[1:-1], json.dumps(value, ensure_ascii=False)[1:-1]):
        yield from (quoted, quoted.replace("/", "\\/"))
    yield from (html.escape(value), html.escape(value, quote=False))
    doubled = value.replace("\\", "\\\\")
    yield from (doubled, doubled.replace("'", "\\'"))


def _inner(data: bytes, encode: Callable[[bytes], bytes], bits: int) -> Iterator[bytes]:
    """The characters that a value alone decides, wherever in a longer encoded text it begins."""
    for offset in range(3 if bits == 6 else 5):
        first, end = -(-8 * offset // bits), 8 * (offset + len(data)) // bits
        inner = encode(bytes(offset) + data + bytes(5))[first:end]
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
