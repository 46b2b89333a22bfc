"""Records cut out of JSON as it comes: lines, arrays and documents of any size, with no more in memory than one record.

What a file holds is found by its brackets alone; only a record is decoded. So each has its bytes' place, and one that is broken
is told with that place while the others go on.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple, TypeAlias

import msgspec

from assent.spec.values.typed import decode, decoder

PIECE_BYTES: Final = 1 << 18
RECORD_BYTES_MAX: Final = 12 << 20
"""How long a record may be. What is longer is told and left out, and nothing of it is kept."""

GROUP_BYTES_MAX: Final = 48 << 20
"""How long a value may be that records stand in: its bytes alone are in memory, and one record at a time."""

VALUES_MAX: Final = 250_000
"""How many values a record may hold: each takes up to fifty times the bytes that it is written with."""

DEPTH_MAX: Final = 100
"""How deep lists and objects may stand in each other: what looks at them does so by calls within calls."""

BROKEN_MAX: Final = 1_000
"""Broken records that are looked behind for a next one; each costs a look at what follows."""

Read: TypeAlias = Callable[[int], bytes]
"""Gives up to so many of the next bytes; none at the end."""


class Cut(NamedTuple):
    """What stands at a place: a record, or why there is none. `names`: what each `*` of the path stood for."""

    begin: int
    end: int
    value: Any  # `Any`: JSON; beside a fault it is what came of a value that the file ends in
    names: tuple[str | int, ...] = ()
    fault: str | None = None
    is_last: bool = False
    """Whatever follows it can't be read."""
    document: int = 0
    """Which of the documents it stands in that follow one another."""


ENDED: Final = "the file ends in the middle of it"
BEFORE: Final = "it stands before the document"
BEHIND: Final = "what follows the document was not read"
EACH: Final = ("*",)
_SPACE: Final = re.compile(rb"[\s,\x00\x1e]*+")
_BOM: Final = b"\xef\xbb\xbf"
# From one bracket to the next; strings are leapt over whole. Possessive: what is incomplete is found so in one pass.
_TO_BRACKET: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+[{}\[\]]', re.DOTALL)
_TO_SIGN: Final = re.compile(rb'(?:[^"{}\[\],]++|"(?:[^"\\]++|\\.)*+")*+[{}\[\],]', re.DOTALL)
_STRING: Final = re.compile(rb'"(?:[^"\\]++|\\.)*+"', re.DOTALL)
_WITHOUT_BRACKETS: Final = re.compile(rb'(?:[^"{}\[\]]++|"(?:[^"\\]++|\\.)*+")*+', re.DOTALL)
_IN_STRING: Final = re.compile(rb'(?:[^"\\]++|\\.)*+', re.DOTALL)
_PLAIN: Final = re.compile(rb"[^\s,\]}]++")
_INDENT: Final = re.compile(rb"\n([ \t]*+)(?=\S)")
_INDENT_OF_OPENING: Final = re.compile(rb"\n([ \t]*+)(?=[{\[])")
_CLOSING_OF: Final = {0x7B: 0x7D, 0x5B: 0x5D}
_OPENING: Final = frozenset(b"{[")
_CLOSING: Final = frozenset(b"}]")
_QUOTE: Final = 0x22
_COMMA: Final = ord(",")
_COLON: Final = ord(":")
_MORE_BYTES_MAX: Final = 4 << 20
_DECODE: Final = decoder().decode
_CHECK: Final = decoder(msgspec.Raw).decode


class _EndedError(Exception):
    """The file ends where more was to come: `came` of the record that it ends in, and what the path up to there stood for."""

    def __init__(self, came: bytes | None = None, names: tuple[str | int, ...] = ()) -> None:
        super().__init__()
        self.came = came
        self.names = names


class BrokenError(Exception):
    """What stands there is not JSON, or not read."""


class Ended(dict[str, Any]):  # `Any`: JSON
    """An object that the file ends in: what it does not hold may have been to come."""

    def get(self, name: str, default: Any = None) -> Any:
        if name not in self:
            raise LookupError(f"what it stands in ends before its `{name}`")
        return super().get(name, default)


def ended(data: bytes) -> Any:  # `Any`: JSON
    """What JSON holds that ends in the middle, up to the last of its values that is whole. `BrokenError` as `decoded`."""
    at = end = 0
    closing = bytearray()
    while (found := _TO_SIGN.match(data, at)) is not None:
        at = found.end()
        sign = data[at - 1]
        end = at - (sign == _COMMA)
        if sign in _OPENING:
            closing.append(_CLOSING_OF[sign])
        elif sign != _COMMA:
            del closing[-1:]
    return _marked(decoded(data[:end] + closing[::-1]), len(closing))


def _marked(value: Any, depth: int) -> Any:
    """The same, with each object as `Ended` that was open: so many, each the last in the one before."""
    if not depth or not isinstance(value, dict | list):
        return value
    if value:
        last = next(reversed(value)) if isinstance(value, dict) else -1
        value[last] = _marked(value[last], depth - 1)
    return Ended(value) if isinstance(value, dict) else value


def _checked(data: bytes) -> bytes:
    """The same bytes. `BrokenError` for what is not JSON."""
    try:
        _CHECK(data)
    except (msgspec.DecodeError, RecursionError) as error:
        raise BrokenError(f"it is not JSON: {error}") from None
    return data


def values_in(data: bytes) -> int:
    """How many values JSON holds, at most: signs within its texts are counted, too."""
    return data.count(b"[") + data.count(b"{") + data.count(b",")


def decoded(data: bytes) -> Any:  # `Any`: JSON
    """`BrokenError` for what is not JSON, or more than may be in memory."""
    # Few records have so many signs; only in those that have is it looked at where they stand.
    if len(data) > VALUES_MAX and values_in(data) > VALUES_MAX:
        _require_modest(data, _TO_SIGN)
    elif _openings(data) > DEPTH_MAX:
        _require_modest(data, _TO_BRACKET)
    try:
        return _DECODE(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise BrokenError(f"it is not JSON: {error}") from None


def _openings(data: bytes) -> int:
    """How many brackets open, within texts too; of many it counts just more than may stand in each other."""
    most = DEPTH_MAX + 1
    # `count` goes byte by byte and takes six times as long: a tenth of all the time that a record takes.
    return 2 * len(data) - len(data.replace(b"[", b"", most)) - len(data.replace(b"{", b"", most))


def _require_modest(data: bytes, to_sign: re.Pattern[bytes]) -> None:
    depth = at = values = 0
    while (found := to_sign.match(data, at)) is not None:
        at = found.end()
        sign = data[at - 1]
        if sign in _OPENING or sign == _COMMA:
            values += 1
            if values > VALUES_MAX:
                raise BrokenError(f"it holds more than {VALUES_MAX} values")
        if sign != _COMMA:
            depth += 1 if sign in _OPENING else -1
            if depth > DEPTH_MAX:
                raise BrokenError(f"its values stand more than {DEPTH_MAX} deep")


class Cutter:
    """Cuts one stream. `path`: where records stand in a document; empty for values one after another.

    Of the path's parts `*` is each member, and `a|b` either of these; what they stood for is in the cut's `names`. Without
    `decodes` a cut's value is its bytes, and those of the one that the file ends in are there, too.
    """

    def __init__(
        self,
        read: Read,
        path: tuple[str, ...] = (),
        *,
        decodes: bool = True,
        record_bytes: int = RECORD_BYTES_MAX,
    ) -> None:
        self._read = read
        self._path = tuple(tuple(one.split("|")) for one in path)
        self._decodes = decodes
        self._made = decoded if decodes else _checked
        self._most = record_bytes
        self._data = b""
        self._at = 0
        self._offset = 0
        self._is_over = False
        self._number = 0
        """Of the document that is read."""
        self._many_until = 0
        """Up to here a line holds more than one value, or does not end."""

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
        self._data, self._at, self._offset = self._data[self._at :], 0, self._offset + self._at
        piece = self._read(max(PIECE_BYTES, min(len(self._data), _MORE_BYTES_MAX)))
        self._is_over = not piece
        self._data += piece
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
                    raise BrokenError(f"it is longer than {self._most} bytes")
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
            if found is None and form is _PLAIN:
                raise BrokenError("a value must stand there")
            if len(self._data) - self._at > self._most:
                raise BrokenError(f"it is longer than {self._most} bytes")
            # Where it matched is not where it does now: what has been cut is gone.
            if not self._more() and found is None:
                raise _EndedError

    def _end_of_value(self, first: int) -> int:
        end = (
            self._end_of_brackets()
            if first in _OPENING
            else self._end_of_match(_STRING if first == _QUOTE else _PLAIN)
        )
        if end - self._at > self._most:
            raise BrokenError(f"it is longer than {self._most} bytes")
        return end

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
                if cut.is_last:
                    return
                broken += cut.fault is not None
                if broken > BROKEN_MAX:
                    yield self._rest(f"more than {BROKEN_MAX} records are broken, and the rest was not read")
                    return
        if is_array and not broken:
            # No record has begun where it ends between them. The line of a broken one may have closed the array.
            yield self._rest(ENDED)

    def _line(self) -> Cut | None:
        """A value that is the line from here on; None where the line is no one value."""
        if self._offset + self._at < self._many_until:
            return None
        end = self._data.find(b"\n", self._at)
        if end < 0 and not (self._more() and (end := self._data.find(b"\n", self._at)) >= 0):
            if not self._is_over:
                # No line ends up to here: the next value in it does not look for more.
                self._many_until = self._offset + len(self._data)
                return None
            end = len(self._data)
        data = self._data[self._at : end].rstrip(b", \t\r")
        try:
            value = self._made(data)
        except BrokenError:
            self._many_until = self._offset + end
            return None
        begin, self._at = self._at, end
        return Cut(self._offset + begin, self._offset + begin + len(data), value)

    def _value(self, first: int) -> Cut:
        """The value from here on, over lines or in the middle of one; what is broken ends with its line."""
        begin = self._offset + self._at
        try:
            end = self._end_of_value(first)
            value = self._made(self._data[self._at : end])
        except _EndedError:
            at = self._at
            self._to_next_opening()
            came = None if self._decodes else self._data[at : self._at]
            return Cut(begin, self._offset + self._at, came, (), ENDED, self._at == len(self._data))
        except BrokenError as error:
            self._to_next_line()
            return Cut(begin, self._offset + self._at, None, (), str(error))
        self._at = end
        return Cut(begin, self._offset + end, value)

    def _to_next_opening(self) -> None:
        """Go to where a value begins behind one that does not end: at a line that stands less deep than the lines in that one."""
        first = _INDENT.search(self._data, self._at)
        deep = len(first[1]) if first is not None else 0
        for found in _INDENT_OF_OPENING.finditer(self._data, self._at):
            if len(found[1]) < (deep or 1):
                self._at = found.end()
                return
        self._at = len(self._data)

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
        """A document, and those that were written behind it (`scanner >> file`)."""
        while (first := self._peek()) is not None:
            if self._number and first not in _OPENING:
                yield self._rest(BEHIND)
                return
            try:
                if first not in _OPENING:
                    yield from self._before()
                    continue
                yield from self._within(self._path, ())
            except _EndedError as error:
                rest = self._rest(ENDED)
                self._data = b""
                # No record has begun where it ends between them.
                yield rest._replace(
                    begin=rest.end if error.came is None else rest.begin,
                    value=None if self._decodes else error.came,
                    names=error.names,
                    document=self._number,
                )
                return
            except BrokenError as error:
                yield self._rest(str(error))
                return
            self._number += 1

    def _before(self) -> Iterator[Cut]:
        """What stands before the first document and is none: a word, a text. `null` alone is a tool that found nothing."""
        begin = end = self._offset + self._at
        last = b""
        while (first := self._peek()) is not None and first not in _OPENING:
            self._skip()
            end = self._offset + self._at
            last = self._data[max(self._at - 4, 0) : self._at]
        if not (first is None and end - begin == 4 and last == b"null"):
            yield Cut(begin, end, None, (), BEFORE)

    def _within(self, path: tuple[tuple[str, ...], ...], names: tuple[str | int, ...]) -> Iterator[Cut]:
        """What the path leads to from the value that begins here, which is behind it then."""
        try:
            yield from self._led(path, names)
        except _EndedError as error:
            error.names = error.names or names
            raise

    def _led(self, path: tuple[tuple[str, ...], ...], names: tuple[str | int, ...]) -> Iterator[Cut]:
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
            raise BrokenError("a name must stand there, in quotes")
        end = self._end_of_match(_STRING)
        try:
            name: str = decode(self._data[self._at : end], str)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise BrokenError(f"it is not JSON: {error}") from None
        self._at = end
        following = self._peek()
        if following is None:
            raise _EndedError
        if following != _COLON:
            raise BrokenError("a colon must stand there")
        self._at += 1
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
        try:
            end = self._end_of_value(first)
        except _EndedError:
            raise _EndedError(self._data[self._at :], names) from None
        begin = self._offset + self._at
        data = self._data[self._at : end]
        self._at = end
        if len(data) > PIECE_BYTES:
            # A large one is in memory once while it is looked at.
            self._data, self._at, self._offset = self._data[end:], 0, self._offset + end
        end = begin + len(data)
        try:
            return Cut(begin, end, self._made(data), names, document=self._number)
        except BrokenError as error:
            return Cut(begin, end, None, names, str(error), document=self._number)
