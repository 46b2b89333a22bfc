"""Records cut out of XML as it comes, as JSON: attributes as `@name`, text as `#`, children by name, a list where they repeat.

An element with nothing but text is that text. Entities are not known but the five of XML itself, nothing outside the file is
looked at, and no more is kept than one record.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final
from xml.parsers import expat

import msgspec

from assent.findings.parsing._json import (
    DEPTH_MAX,
    ENDED,
    GROUP_BYTES_MAX,
    PIECE_BYTES,
    RECORD_BYTES_MAX,
    VALUES_MAX,
    Cut,
    Ended,
    Read,
)

_TOKEN_BYTES_MAX: Final = 1 << 20
"""How long a tag or a comment may be. Until it ends it is looked at again with each piece."""


_ASIDE_BYTES: Final = 200
"""What an element that is set aside takes beside its bytes."""


@dataclass(slots=True)
class Aside:
    """A record in a larger element: kept as JSON, so that all of them may be in memory at once."""

    begin: int
    end: int
    data: bytes
    fault: str | None = None


class _RefusedError(Exception):
    """What stands there is not read."""


class XmlCutter:
    """Cuts one stream. `path`: the elements from the root to a record; `a|b` either, and `*` any.

    `each`: where records stand in what is cut. They are in its value as `Aside`, and each may be as long as a record.
    """

    def __init__(
        self,
        read: Read,
        path: tuple[str, ...],
        *,
        each: tuple[tuple[str, ...], ...] = (),
        record_bytes: int = RECORD_BYTES_MAX,
        group_bytes: int = GROUP_BYTES_MAX,
    ) -> None:
        self._read = read
        self._path = tuple(tuple(one.split("|")) for one in path)
        self._each = tuple(tuple(frozenset(word.split("|")) for word in one) for one in each)
        self._depths = frozenset(len(one) for one in each)
        self._most = record_bytes
        self._most_of_group = group_bytes
        self._found: list[Cut] = []
        self._depth = 0
        self._matched = 0
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []
        self._begin = self._nodes = 0
        self._ended: Cut | Aside | None = None
        """What has ended: where, the next event tells."""
        self._fault: str | None = None
        """Why nothing is kept of the record that is open, up to where it ends."""
        self._until = 0
        self._inner: tuple[int, int, int] | None = None
        """Of the element that is to be set aside: how many were open before it, its begin, and the nodes before it."""
        self._passed = self._kept = 0
        """How long all that is set aside was, and is."""
        self.root: str | None = None
        self.attributes: dict[str, str] = {}
        """The root's own."""

    def __iter__(self) -> Iterator[Cut]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
        parser.DefaultHandlerExpand = self._event
        parser.EntityDeclHandler = self._refuse
        parser.SetParamEntityParsing(expat.XML_PARAM_ENTITY_PARSING_NEVER)
        self._parser = parser
        size = 0
        is_whole = False
        try:
            while piece := self._read(PIECE_BYTES):
                size += len(piece)
                parser.Parse(piece, False)
                yield from self._taken()
                self._require_short(size)
            is_whole = True
            if size:
                parser.Parse(b"", True)
            self._event()
            yield from self._taken()
        except (expat.ExpatError, _RefusedError, ValueError, LookupError) as error:
            self._event()
            yield from self._taken()
            fault = str(error)
            if self._fault is not None:
                fault = self._fault
            elif isinstance(error, expat.ExpatError):
                # All that it can complain about behind the last byte is that there is no more.
                fault = ENDED if is_whole else f"it is not XML: {expat.errors.messages[error.code]}"
            begin = min(max(parser.CurrentByteIndex, 0), size)
            # It is broken up to the end, in whatever pieces that comes.
            while piece := self._read(PIECE_BYTES):
                size += len(piece)
            if self._open or self._fault:
                begin = self._begin
            elif fault == ENDED:
                begin = size
            came = self._came(fault, size) if self._open and not self._fault else None
            yield Cut(begin, size, came, (), fault, is_last=True)

    def _came(self, fault: str, size: int) -> Ended:
        """What came of all that is open; of a record that is set aside it is only told where it begins."""
        if self._inner is not None:
            outer, begin, _ = self._inner
            name = self._open[outer][0]
            del self._open[outer:]
            self._put(name, Aside(begin, size, b"", fault))
        while len(self._open) > 1:
            name, members, _ = self._open.pop()
            if members:
                self._put(name, Ended(members))
        return Ended(self._open[0][1])

    def _require_short(self, size: int) -> None:
        if size - self._parser.CurrentByteIndex > _TOKEN_BYTES_MAX:
            raise _RefusedError(f"a tag or comment is longer than {_TOKEN_BYTES_MAX} bytes")
        begin = self._begin + self._passed if self._inner is None else self._inner[1]
        if self._open and not (self._ended or self._fault) and size - begin > self._most:
            self._let_go(f"it is longer than {self._most} bytes")

    def _let_go(self, fault: str) -> None:
        """Keep nothing of the record that is open; what follows it is read."""
        self._fault = fault
        kept = self._inner[0] if self._inner is not None else 0
        del self._open[kept:]
        self._until = len(self._path) + kept

    def _taken(self) -> list[Cut]:
        found, self._found = self._found, []
        return found

    def _refuse(self, *_: object) -> None:
        raise _RefusedError("it declares entities, which are not read")

    def _event(self, *_: object) -> None:
        """What comes begins where the record before it has ended."""
        if self._ended is None:
            return
        at = self._parser.CurrentByteIndex
        if isinstance(self._ended, Aside):
            self._ended.end = at
            self._passed += at - self._ended.begin
        else:
            self._found.append(self._ended._replace(end=at))
        self._ended = None
        self._parser.buffer_text = True

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        self._event()
        name = name.rpartition(":")[2]
        if self._depth == 0:
            self.root, self.attributes = name, attributes
        if self._depth >= DEPTH_MAX:
            raise _RefusedError(f"its elements stand more than {DEPTH_MAX} deep")
        if self._fault is not None:
            self._depth += 1
            return
        if not self._open and self._matched == self._depth < len(self._path):
            words = self._path[self._depth]
            self._matched += words == ("*",) or name in words
        self._depth += 1
        if not self._open:
            if not self._matched == self._depth == len(self._path):
                return
            self._begin, self._nodes, self._passed, self._kept = self._parser.CurrentByteIndex, 0, 0, 0
        elif self._inner is None and len(self._open) in self._depths and self._is_inner(name):
            self._inner = len(self._open), self._parser.CurrentByteIndex, self._nodes + 1
            self._nodes = 0
        self._nodes += 1 + len(attributes)
        if self._nodes > VALUES_MAX:
            self._let_go(f"it has more than {VALUES_MAX} elements")
            return
        self._open.append(
            (name, {f"@{key.rpartition(':')[2]}": value for key, value in attributes.items()}, [])
        )

    def _is_inner(self, name: str) -> bool:
        names = [*(one[0] for one in self._open[1:]), name]
        return any(
            len(one) == len(names) and all(said in words for said, words in zip(names, one, strict=True))
            for one in self._each
        )

    def _text(self, text: str) -> None:
        self._event()
        if self._open and self._fault is None:
            self._open[-1][2].append(text)

    def _end(self, name: str) -> None:
        self._event()
        self._depth -= 1
        self._matched = min(self._matched, self._depth)
        name = name.rpartition(":")[2]
        if self._fault is not None:
            if self._depth < self._until:
                fault, self._fault = self._fault, None
                if self._inner is None:
                    self._close(Cut(self._begin, 0, None, (), fault))
                else:
                    self._put(name, self._aside(b"", fault))
            return
        if not self._open:
            return
        _, members, said = self._open.pop()
        text = "".join(said).strip()
        # A long text is in memory once while it is written as JSON.
        said.clear()
        if self._open:
            value: Any = text
            if members:
                value = {**members, "#": text} if text else members
            if self._inner is not None and len(self._open) == self._inner[0]:
                value = self._aside(msgspec.json.encode(value))
            self._put(name, value)
            if self._kept > self._most_of_group:
                self._let_go(f"its records take more than {self._most_of_group} bytes")
            return
        self._close(Cut(self._begin, 0, {**members, "#": text} if text else members))

    def _aside(self, data: bytes, fault: str | None = None) -> Aside:
        assert self._inner is not None, "it was open"
        _, begin, self._nodes = self._inner
        self._inner = None
        self._kept += len(data) + _ASIDE_BYTES
        aside = Aside(begin, 0, data, fault)
        self._close(aside)
        return aside

    def _put(self, name: str, value: Any) -> None:
        parent = self._open[-1][1]
        known = parent.get(name)
        if known is None:
            parent[name] = value
        elif isinstance(known, list):
            known.append(value)
        else:
            parent[name] = [known, value]

    def _close(self, ended: Cut | Aside) -> None:
        self._ended = ended
        # Else the text behind it is told with what follows that.
        self._parser.buffer_text = False
