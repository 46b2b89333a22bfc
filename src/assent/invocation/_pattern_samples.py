"""Texts that match a regular expression: enough of the syntax for the patterns that people write into schemas.

Literals, escapes, classes, groups, alternatives, repetitions and the anchors at both ends. What is not known here (look-around,
back-references, named properties) raises `UnknownPatternError`; the caller then needs examples.
"""

from __future__ import annotations

import string
from collections.abc import Callable
from typing import Final

Below = Callable[[int], int]
"""A number from 0 to below n."""

_REPEATS_MORE: Final = 3
"""How many more than the least an open repetition makes, at most."""

_DIGITS: Final = string.digits
_WORD: Final = string.ascii_letters + string.digits + "_"
_PRINTABLE: Final = string.ascii_letters + string.digits + " -_.:/@#!é"
_CLASSES: Final = {"d": _DIGITS, "w": _WORD, "s": " \t", "D": string.ascii_letters, "W": " -.", "S": _WORD}
_CONTROLS: Final = {"n": "\n", "t": "\t", "r": "\r", "f": "\f", "v": "\v"}


class UnknownPatternError(ValueError):
    """The pattern uses what is not known here."""


def matching_text(pattern: str, below: Below) -> str:
    """A text that the pattern matches, different ones for different draws."""
    reader = _Reader(pattern, below)
    text = reader.alternatives()
    if reader.at < len(pattern):
        raise UnknownPatternError(pattern)
    return text


class _Reader:
    """Reads a pattern from left to right and writes a text that fits what it read."""

    def __init__(self, pattern: str, below: Below) -> None:
        self.pattern = pattern
        self.below = below
        self.at = 0

    def _peek(self) -> str:
        return self.pattern[self.at : self.at + 1]

    def _take(self) -> str:
        character = self._peek()
        if not character:
            raise UnknownPatternError(self.pattern)
        self.at += 1
        return character

    def alternatives(self) -> str:
        """One of several sequences; all are read."""
        texts = [self._sequence()]
        while self._peek() == "|":
            self.at += 1
            texts.append(self._sequence())
        return texts[self.below(len(texts))]

    def _sequence(self) -> str:
        out: list[str] = []
        while self._peek() not in ("", "|", ")"):
            start = self.at
            text = self._atom()
            end = self.at
            least, most = self._repetition()
            if (least, most) == (1, 1):
                out.append(text)
                continue
            after = self.at
            for _ in range(least + self.below(most - least + 1)):
                # Read again, so that each repetition draws its own.
                self.at = start
                out.append(self._atom())
                assert self.at == end, "an atom ends where it ended before"
            self.at = after
        return "".join(out)

    def _repetition(self) -> tuple[int, int]:
        least, most = 1, 1
        match self._peek():
            case "?":
                self.at, least = self.at + 1, 0
            case "*":
                self.at, least, most = self.at + 1, 0, _REPEATS_MORE
            case "+":
                self.at, most = self.at + 1, 1 + _REPEATS_MORE
            case "{":
                end = self.pattern.find("}", self.at)
                low, comma, high = self.pattern[self.at + 1 : end].partition(",")
                if end < 0 or not low.isdigit() or (high and not high.isdigit()):
                    raise UnknownPatternError(self.pattern)
                self.at = end + 1
                least = int(low)
                most = min(int(high), least + _REPEATS_MORE) if high else least
                if comma and not high:
                    most = least + _REPEATS_MORE
            case _:
                return least, most
        if self._peek() in ("?", "+"):  # lazy or possessive: the same texts
            self.at += 1
        return least, most

    def _atom(self) -> str:
        character = self._take()
        match character:
            case "^" | "$":
                return ""
            case ".":
                return _PRINTABLE[self.below(len(_PRINTABLE))]
            case "(":
                return self._group()
            case "[":
                return self._class()
            case "\\":
                return self._escape()
            case "*" | "+" | "?" | "{":
                raise UnknownPatternError(self.pattern)
            case _:
                return character

    def _group(self) -> str:
        if self._peek() == "?":
            if self.pattern[self.at : self.at + 2] != "?:":
                raise UnknownPatternError(self.pattern)
            self.at += 2
        text = self.alternatives()
        if self._take() != ")":
            raise UnknownPatternError(self.pattern)
        return text

    def _escape(self) -> str:
        character = self._take()
        if character in _CLASSES:
            choices = _CLASSES[character]
            return choices[self.below(len(choices))]
        if character in "zZAbB":
            return ""
        if character in _CONTROLS:
            return _CONTROLS[character]
        if character.isalnum():
            raise UnknownPatternError(self.pattern)
        return character

    def _class(self) -> str:
        is_negated = self._peek() == "^"
        if is_negated:
            self.at += 1
        members: list[str] = []
        is_first = True
        while (character := self._take()) != "]" or is_first:
            is_first = False
            if character == "\\":
                escaped = self._take()
                if escaped in _CLASSES:
                    members.extend(_CLASSES[escaped])
                    continue
                character = _CONTROLS.get(escaped, escaped)
            if self._peek() == "-" and self.pattern[self.at + 1 : self.at + 2] not in ("]", ""):
                self.at += 1
                last = self._take()
                last = self._take() if last == "\\" else last
                members.extend(chr(code) for code in range(ord(character), ord(last) + 1))
            else:
                members.append(character)
        if is_negated:
            refused = {*members}
            members = [character for character in _PRINTABLE if character not in refused]
        if not members:
            raise UnknownPatternError(self.pattern)
        return members[self.below(len(members))]
