"""The terms that a text is found by: its words, identifiers taken apart, in small letters and without a plural's `s`.

`getHTTPResponses` has the terms `get`, `http` and `response`; `snake_case2` has `snake`, `case` and `2`. A word with letters
beyond ASCII is taken apart at `_` alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from itertools import chain
from typing import Final

TERMS_VERSION: Final = 1
"""It grows when the same text has other terms: what was indexed before is indexed anew then."""
_WORDS_MAX: Final = 500_000
"""Words whose terms are remembered: of every text most are known, and taking them apart is what takes time."""

_SIGNS: Final = bytes(
    one if one >= 0x80 or chr(one).isalnum() or one == ord("_") else ord(" ") for one in range(256)
)
_PARTS: Final = re.compile(rb"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[0-9]+")


def terms_in(text: bytes) -> list[bytes]:
    """The terms of a UTF-8 text, in its order, as often as they stand there."""
    return [term for word in text.translate(_SIGNS).split() for term in _terms_of(word)]


def _terms_of(word: bytes) -> list[bytes]:
    if word.isascii():
        return [_plain(part) for part in _PARTS.findall(word)]
    return [part.encode() for part in word.decode("utf-8", "replace").casefold().split("_") if part]


def _plain(part: bytes) -> bytes:
    term = part.lower()
    if len(term) > 4 and term.endswith(b"ies"):
        return term[:-3] + b"y"
    if len(term) > 3 and term.endswith(b"s") and not term.endswith((b"ss", b"us", b"is")):
        return term[:-1]
    return term


def key_of(term: bytes) -> int:
    """A term as the index knows it: 64 bits of its digest, so that the index holds no words."""
    return int.from_bytes(blake2b(term, digest_size=8).digest(), "little")


class Terms:
    """Texts as numbers of their terms, with what words came to remembered: of a text most are known. For one thread."""

    def __init__(self) -> None:
        self._words = _Words()

    def numbers(self, text: bytes) -> Iterator[int]:
        """The numbers of a text's terms, as often as they stand there."""
        return chain.from_iterable(map(self._words.__getitem__, text.translate(_SIGNS).split()))

    def keys(self) -> list[int]:
        """The key of each number that was given."""
        return [key_of(term) for term in self._words.terms]

    def forget(self) -> None:
        """Give numbers anew, where too much is remembered."""
        if len(self._words) > _WORDS_MAX:
            self._words = _Words()


class _Words(dict[bytes, tuple[int, ...]]):
    def __init__(self) -> None:
        self.terms: dict[bytes, int] = {}

    def __missing__(self, word: bytes) -> tuple[int, ...]:
        terms = self.terms
        found = self[word] = tuple(terms.setdefault(term, len(terms)) for term in _terms_of(word))
        return found
