"""Records cut out of XML as it comes, as JSON: attributes as `@name`, text as `#`, children by name, a list where they repeat.

An element with nothing but text is that text. Entities are not known but the five of XML itself, nothing outside the file is
looked at, and no more is kept than one record.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final
from xml.parsers import expat

from assent.findings.parsing._json import (
    DEPTH_MAX,
    ENDED,
    PIECE_BYTES,
    RECORD_BYTES_MAX,
    VALUES_MAX,
    Cut,
    Read,
)

_TOKEN_BYTES_MAX: Final = 1 << 20
"""How long a tag or a comment may be. Until it ends it is looked at again with each piece."""


class _RefusedError(Exception):
    """What stands there is not read."""


class XmlCutter:
    """Cuts one stream. `path`: the elements from the root to a record; `a|b` either, and `*` any."""

    def __init__(self, read: Read, path: tuple[str, ...], *, record_bytes: int = RECORD_BYTES_MAX) -> None:
        self._read = read
        self._path = tuple(tuple(one.split("|")) for one in path)
        self._most = record_bytes
        self._found: list[Cut] = []
        self._depth = 0
        self._matched = 0
        self._open: list[tuple[str, dict[str, Any], list[str]]] = []
        self._begin = self._nodes = 0
        self.root: str | None = None
        self.attributes: dict[str, str] = {}
        """The root's own."""

    def __iter__(self) -> Iterator[Cut]:
        parser = expat.ParserCreate()
        parser.buffer_text = True
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._text
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
            yield from self._taken()
        except (expat.ExpatError, _RefusedError, ValueError, LookupError) as error:
            yield from self._taken()
            fault = str(error)
            if isinstance(error, expat.ExpatError):
                # All that it can complain about behind the last byte is that there is no more.
                fault = ENDED if is_whole else f"it is not XML: {expat.errors.messages[error.code]}"
            begin = self._begin if self._open else min(max(parser.CurrentByteIndex, 0), size)
            # It is broken up to the end, in whatever pieces that comes.
            while piece := self._read(PIECE_BYTES):
                size += len(piece)
            yield Cut(begin, size, None, (), fault, is_last=True)

    def _require_short(self, size: int) -> None:
        if size - self._parser.CurrentByteIndex > _TOKEN_BYTES_MAX:
            raise _RefusedError(f"a tag or comment is longer than {_TOKEN_BYTES_MAX} bytes")
        if self._open and size - self._begin > self._most:
            raise _RefusedError(f"it is longer than {self._most} bytes")

    def _taken(self) -> list[Cut]:
        found, self._found = self._found, []
        return found

    def _refuse(self, *_: object) -> None:
        raise _RefusedError("it declares entities, which are not read")

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        name = name.rpartition(":")[2]
        if self._depth == 0:
            self.root, self.attributes = name, attributes
        if self._depth >= DEPTH_MAX:
            raise _RefusedError(f"its elements stand more than {DEPTH_MAX} deep")
        if not self._open and self._matched == self._depth < len(self._path):
            words = self._path[self._depth]
            self._matched += words == ("*",) or name in words
        self._depth += 1
        is_record = self._matched == self._depth == len(self._path)
        if is_record and not self._open:
            self._begin, self._nodes = self._parser.CurrentByteIndex, 0
        if is_record or self._open:
            self._nodes += 1 + len(attributes)
            if self._nodes > VALUES_MAX:
                raise _RefusedError(f"it has more than {VALUES_MAX} elements")
            self._open.append(
                (name, {f"@{key.rpartition(':')[2]}": value for key, value in attributes.items()}, [])
            )

    def _text(self, text: str) -> None:
        if self._open:
            self._open[-1][2].append(text)

    def _end(self, name: str) -> None:
        self._depth -= 1
        self._matched = min(self._matched, self._depth)
        if not self._open:
            return
        end = self._parser.CurrentByteIndex + len(name.encode()) + 3  # `</name>`
        name, members, said = self._open.pop()
        text = "".join(said).strip()
        if self._open:
            value: Any = text
            if members:
                value = {**members, "#": text} if text else members
            parent = self._open[-1][1]
            known = parent.get(name)
            if known is None:
                parent[name] = value
            elif isinstance(known, list):
                known.append(value)
            else:
                parent[name] = [known, value]
            return
        self._found.append(Cut(self._begin, end, {**members, "#": text} if text else members))
