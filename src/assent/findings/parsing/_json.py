"""Records cut out of JSON as it comes: lines, arrays and documents of any size, with no more in memory than one record.

What a file holds is found by its brackets alone; only a record is decoded. So each has its bytes' place, and one that is broken
is told with that place while the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

PIECE_BYTES: Final = 1 << 18
RECORD_BYTES_MAX: Final = 64 << 20
"""How long a record may be. What is longer is told and left out, and nothing of it is kept."""

BROKEN_MAX: Final = 1_000
"""Broken records that are looked behind for a next one; each costs a look at what follows."""

Read: TypeAlias = Callable[[int], bytes]
"""Gives up to so many of the next bytes; none at the end."""


class Cut(NamedTuple):
    """What stands at a place: a record, or why there is none. `names`: what each `*` of the path stood for."""

    begin: int
    end: int
    value: Any  # `Any`: JSON
    names: tuple[str | int, ...] = ()
    fault: str | None = None
    is_last: bool = False
    """Whatever follows it can't be read."""
    data: bytes = b""
    """The record's own bytes, where they were asked for."""


ENDED: Final = "the file ends in the middle of it"
EACH: Final = ("*",)
_SPACE: Final = re.compile(rb"[\s,\x00\x1e]*+")
_BOM: Final = b"\xef\xbb\xbf"
# From one bracket to the next; strings are leapt over whole. Possessive: what is incomplete is found so in one pass.
_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+[{}\[\]]', re.DOTALL)
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_WITHOUT_BRACKETS: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_IN_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_PLAIN: Final = re.compile(rb"[^\s,\]}]++")
_COLON: Final = re.compile(rb"\s*+:\s*+")
_OPENING: Final = frozenset(b"{[")
_CLOSING: Final = frozenset(b"}]")
_QUOTE: Final = 0x22
_DECODE: Final = msgspec.json.Decoder().decode


class _EndedError(Exception):
    """The file ends where more was to come."""


class _BrokenError(Exception):
    """What stands there is not JSON."""


class Cutter:
    """Cuts one stream. `path`: where records stand in a document; empty for values one after another.

    Of the path's parts `*` is each member, and `a|b` either of these; what they stood for is in the cut's `names`. With `keeps`
    each record comes with its bytes.
    """

    def __init__(
        self,
        read: Read,
        path: tuple[str, ...] = (),
        *,
        keeps: bool = False,
        record_bytes: int = RECORD_BYTES_MAX,
    ) -> None:
        self._read = read
        self._path = tuple(tuple(one.split("|")) for one in path)
        self._keeps = keeps
        self._most = record_bytes
        self._data = b""
        self._at = 0
        self._offset = 0
        self._is_over = False
        self._many_until = 0
        """Up to here more than one value stands in a line."""

    def __iter__(self) -> Iterator[Cut]:
        while len(self._data) < len(_BOM) and self._more():
            pass
        if self._data.startswith(_BOM):
            self._at = len(_BOM)
        if self._path:
            yield from self._document()
        else:
            yield from self._values()

    # -- bytes ----------------------------------------------------------------------------------------------------------

    def _more(self) -> bool:
        """Have more bytes behind those that are there, letting go of what has been cut; False at the end."""
        if self._is_over:
            return False
        # Twice as many as are waiting: a long record is looked at again a few times, not once for each piece.
        piece = self._read(max(PIECE_BYTES, len(self._data) - self._at))
        self._is_over = not piece
        self._offset += self._at
        self._data = self._data[self._at :] + piece
        self._at = 0
        return bool(piece)

    def _peek(self) -> int | None:
        """The next byte that is no space; None at the end."""
        while True:
            found = _SPACE.match(self._data, self._at)
            assert found is not None, "it matches nothing, too"
            self._at = found.end()
            if self._at < len(self._data):
                return self._data[self._at]
            if not self._more():
                return None

    def _end_of_brackets(self) -> int:
        """Where what is opened here is closed, in `_data`. `_EndedError` where it is not."""
        depth, at = 0, self._at
        while True:
            found = _TO_BRACKET.match(self._data, at)
            if found is None:
                if len(self._data) - self._at > self._most:
                    raise _BrokenError(f"it is longer than {self._most} bytes")
                before = at - self._at
                if not self._more():
                    raise _EndedError
                at = self._at + before
                continue
            at = found.end()
            depth += 1 if self._data[at - 1] in _OPENING else -1
            if depth == 0:
                return at

    def _end_of_match(self, form: re.Pattern[bytes]) -> int:
        """The end of a string or plain word that begins here."""
        while True:
            found = form.match(self._data, self._at)
            if found is not None and (found.end() < len(self._data) or form is _STRING or self._is_over):
                return found.end()
            if len(self._data) - self._at > self._most:
                raise _BrokenError(f"it is longer than {self._most} bytes")
            if not self._more():
                if found is not None:
                    return found.end()
                raise _EndedError

    def _end_of_value(self, first: int) -> int:
        if first in _OPENING:
            return self._end_of_brackets()
        return self._end_of_match(_STRING if first == _QUOTE else _PLAIN)

    # -- values one after another -----------------------------------------------------------------------------------------

    def _values(self) -> Iterator[Cut]:
        """Values in lines or anyhow, and the members of arrays. A line that is broken is one broken record."""
        is_array = False
        broken = 0
        while (first := self._peek()) is not None:
            if first == 0x5B and not is_array:
                is_array = True
                self._at += 1
            elif first == 0x5D:
                is_array = False
                self._at += 1
            elif not is_array and (cut := self._line()) is not None:
                yield cut
            else:
                cut = self._value(first)
                yield cut
                broken += cut.fault is not None
                if broken > BROKEN_MAX:
                    yield self._rest(f"more than {BROKEN_MAX} records are broken, and the rest was not read")
                    return

    def _line(self) -> Cut | None:
        """A value that is the line from here on; None where the line is no one value."""
        if self._offset + self._at < self._many_until:
            return None
        end = self._data.find(b"\n", self._at)
        if end < 0 and not (self._more() and (end := self._data.find(b"\n", self._at)) >= 0):
            if not self._is_over:
                return None
            end = len(self._data)
        data = self._data[self._at : end].rstrip(b", \t\r")
        try:
            value = _DECODE(data)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            self._many_until = self._offset + end
            return None
        begin, self._at = self._at, end
        return Cut(
            self._offset + begin, self._offset + begin + len(data), value, data=data if self._keeps else b""
        )

    def _value(self, first: int) -> Cut:
        """The value from here on, over lines or in the middle of one; what is broken ends with its line."""
        begin, is_last = self._offset + self._at, False
        try:
            end = self._end_of_value(first)
            value = _DECODE(self._data[self._at : end])
        except _EndedError:
            is_last, fault = True, ENDED
        except _BrokenError as error:
            fault = str(error)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            fault = f"it is not JSON: {error}"
        else:
            data = self._data[self._at : end] if self._keeps else b""
            self._at = end
            return Cut(begin, self._offset + end, value, data=data)
        self._to_next_line()
        is_last = is_last and self._peek() is None
        return Cut(begin, self._offset + self._at, None, (), fault, is_last)

    def _to_next_line(self) -> None:
        while (end := self._data.find(b"\n", self._at)) < 0:
            self._at = len(self._data)
            if not self._more():
                return
        self._at = end + 1

    def _rest(self, fault: str) -> Cut:
        begin = self._offset + self._at
        while True:
            self._at = len(self._data)
            if not self._more():
                return Cut(begin, self._offset + self._at, None, (), fault, is_last=True)

    # -- a document ---------------------------------------------------------------------------------------------------------

    def _document(self) -> Iterator[Cut]:
        if self._peek() is None:
            return
        try:
            yield from self._within(self._path, ())
        except (_EndedError, _BrokenError) as error:
            begin = self._offset + self._at
            fault = str(error) or ENDED
            yield self._rest(fault)._replace(begin=begin)

    def _within(self, path: tuple[tuple[str, ...], ...], names: tuple[str | int, ...]) -> Iterator[Cut]:
        """What the path leads to from the value that begins here, which is behind it then."""
        first = self._peek()
        if first is None:
            raise _EndedError
        if not path:
            yield self._record(first, names)
        elif first == 0x7B:
            self._at += 1
            while (name := self._name()) is not None:
                if path[0] == (name,):
                    yield from self._within(path[1:], names)
                elif path[0] == EACH or name in path[0]:
                    yield from self._within(path[1:], (*names, name))
                else:
                    self._skip()
        elif first == 0x5B and path[0] == EACH:
            self._at += 1
            index = 0
            while (following := self._peek()) != 0x5D:
                if following is None:
                    raise _EndedError
                yield from self._within(path[1:], (*names, index))
                index += 1
            self._at += 1
        else:
            self._skip()

    def _name(self) -> str | None:
        """The next member's name, with its colon behind; None at the object's end."""
        first = self._peek()
        if first == 0x7D:
            self._at += 1
            return None
        if first is None:
            raise _EndedError
        if first != _QUOTE:
            raise _BrokenError("a name must stand there, in quotes")
        end = self._end_of_match(_STRING)
        try:
            name: str = msgspec.json.decode(self._data[self._at : end], type=str)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise _BrokenError(f"it is not JSON: {error}") from None
        self._at = end
        while (found := _COLON.match(self._data, self._at)) is None or found.end() == len(self._data):
            if not self._more():
                raise (
                    _EndedError
                    if found is not None or self._at == len(self._data)
                    else _BrokenError("a colon must stand there")
                )
        self._at = found.end()
        return name

    def _skip(self) -> None:
        """Pass a value, however long: only how deep it is at is kept of it."""
        depth = 0
        while True:
            first = self._peek()
            if first is None:
                raise _EndedError
            if first == _QUOTE:
                self._skip_string()
            elif first in _OPENING or (depth and first in _CLOSING):
                self._at += 1
                depth += 1 if first in _OPENING else -1
            elif depth == 0:
                self._at = self._end_of_match(_PLAIN)
            if not depth:
                return
            found = _WITHOUT_BRACKETS.match(self._data, self._at)
            assert found is not None, "it matches nothing, too"
            self._at = found.end()

    def _skip_string(self) -> None:
        self._at += 1
        while True:
            found = _IN_STRING.match(self._data, self._at)
            assert found is not None, "it matches nothing, too"
            self._at = found.end()
            if self._data[self._at : self._at + 1] == b'"':
                self._at += 1
                return
            if not self._more():
                raise _EndedError

    def _record(self, first: int, names: tuple[str | int, ...]) -> Cut:
        begin = self._offset + self._at
        end = self._end_of_value(first)
        data = self._data[self._at : end]
        self._at = end
        try:
            return Cut(begin, self._offset + end, _DECODE(data), names, data=data if self._keeps else b"")
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            return Cut(begin, self._offset + end, None, names, f"it is not JSON: {error}")
