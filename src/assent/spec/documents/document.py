"""YAML files that users write, read with one meaning and with the place of every key and value.

The reading is stricter than YAML, because a document here decides what a machine may do: the scalars of the
YAML 1.2 core schema (`yes`, `on` and dates stay strings), string keys only, no key twice, no tags but
`!!str`, no merge keys, nothing that JSON cannot hold, one document per file. Whatever the bytes, the only
exception is an `InputError` with line and column.

The tree is built from the parser's *events*, in a loop of our own. PyYAML's composer recurses in C without a
limit, so that a megabyte of `[` would end the process, and it expands aliases before anybody can count what
they expand to.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeAlias

import msgspec

from assent._lazy import compiled_when_asked
from assent.errors import InputError, Json
from assent.spec.documents._yaml_words import in_words_of_the_document
from assent.spec.values.canonical import INTEGER_MAX

if TYPE_CHECKING:
    import yaml

SIZE_MAX_BYTES: Final = 1024 * 1024
"""Larger files are refused before they are parsed."""

DEPTH_MAX: Final = 64
"""Levels of nesting."""

NODES_MAX: Final = 200_000
"""Keys and values, counted after aliases are expanded: a YAML bomb stops here."""

CHARACTERS_MAX: Final = 4 * 1024 * 1024
"""Characters of all keys and values, counted alike: one long text behind many aliases is a bomb as well."""

Path: TypeAlias = "tuple[str | int, ...]"


class Span(msgspec.Struct, frozen=True):
    """A place in a source text: line and column from 1, `length` in characters on that line (at least 1)."""

    line: int
    column: int
    length: int = 1


class Node(msgspec.Struct):
    """Where a value stands: character offsets, line and column from 0, and the same for what it contains.

    `style` is how it is written: a quote, `|` or `>`, `[` in brackets or braces, and empty otherwise; `name` is that of its
    anchor, or with `is_alias` of the anchor that it stands for, whose children are then its own. The end of a collection without
    brackets is where the next thing begins.
    """

    start: int
    end: int
    line: int
    column: int
    style: str = ""
    name: str | None = None
    is_alias: bool = False
    children: dict[str | int, Node] = msgspec.field(default_factory=dict)
    keys: dict[str, Node] = msgspec.field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Document:
    """Plain JSON data and where each part of it was written.

    `source` names the file in messages; `text` is what was read, empty when the data came from a program;
    `base` is where the data stands in it, for a document inside another; `root` has the places in `text`.
    """

    data: Json
    source: str
    text: str = field(default="", repr=False)
    base: Path = field(default=(), repr=False)
    root: Node | None = field(default=None, repr=False)

    @classmethod
    def of(cls, data: Json, *, source: str = "<dict>") -> Document:
        """A document that a program made: its places are dotted paths."""
        return cls(data, source)

    def position(self, path: Path = (), *, key: bool = False, text: str = "") -> str:
        """`FILE:LINE:COLUMN` of the value at `path`, or of its key.

        `text` asks for the first place inside that value where this text stands. A path that does not exist
        gets the place of the nearest part that does: a missing key is reported where it should have been.
        Without a file, the dotted path.
        """
        span = self.span(path, key=key, text=text)
        if span is None:
            return dotted((*self.base, *path)) or self.source
        return f"{self.source}:{span.line}:{span.column}"

    def span(self, path: Path = (), *, key: bool = False, text: str = "") -> Span | None:
        """The same place for drawing; None when the data came from a program."""
        node = self.root
        if node is None:
            return None
        found: Node | None = None
        for part in (*self.base, *path):
            found = node.keys.get(part) if isinstance(part, str) else None
            below = node.children.get(part)
            if below is None:
                found = None
                break
            node = below
        if key and found is not None:
            node = found
        raw = self.text[node.start : node.end]
        at = raw.find(text) if text else 0
        if text and at >= 0:
            before = _LINE_BREAK.split(raw[:at])
            column = node.column + len(before[-1]) if len(before) == 1 else len(before[-1])
            return Span(node.line + len(before), column + 1, len(text))
        return Span(
            node.line + 1, node.column + 1, max(1, len(_LINE_BREAK.split(raw, maxsplit=1)[0].rstrip()))
        )

    def fault(
        self,
        code: str,
        message: str,
        path: Path = (),
        *,
        key: bool = False,
        text: str = "",
        hint: str | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> InputError:
        """An error about the part at `path`, placed there; `details.length` is how much to underline."""
        span = self.span(path, key=key, text=text)
        merged: dict[str, Json] = dict(details or {})
        if span is not None:
            merged["length"] = span.length
        return InputError(
            code, message, path=self.position(path, key=key, text=text), hint=hint, details=merged
        )


def dotted(path: Path) -> str:
    """`("steps", 0, "inputs")` as `steps[0].inputs`."""
    text = ""
    for part in path:
        text = f"{text}[{part}]" if isinstance(part, int) else f"{text}.{part}" if text else part
    return text


def load_yaml(text: str | bytes, *, source: str) -> Document:
    """The one YAML document in `text`, with the place of every part; an empty text has the data None.

    Raises `InputError`: DOCUMENT_TOO_LARGE, DOCUMENT_TOO_COMPLEX (nesting, or size after aliases),
    DOCUMENT_SYNTAX, DUPLICATE_KEY (both places named), DOCUMENT_VALUE (something that JSON cannot hold, or a
    key that is not a string).
    """
    # Importing yaml takes about 20 ms: only a command that reads a file pays for it.
    import yaml

    content = _decode(text, source)
    loader_class = yaml.CSafeLoader if yaml.__with_libyaml__ else yaml.SafeLoader
    builder = _Builder(content, source)
    try:
        # The loader's constructor already reads ahead, so it can raise as well.
        loader = loader_class(content)
        try:
            while (event := loader.get_event()) is not None:
                builder.feed(event)
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        raise _syntax_error(error, content, source) from None
    return Document(builder.data, source, content, root=builder.root)


def _decode(text: str | bytes, source: str) -> str:
    if len(text) > SIZE_MAX_BYTES:
        raise _too_large(source)
    try:
        data = text.encode() if isinstance(text, str) else text
    except UnicodeEncodeError:
        raise InputError(
            "DOCUMENT_SYNTAX", "the text holds half of a surrogate pair", path=f"{source}:1:1"
        ) from None
    try:
        content = data.decode()
    except UnicodeDecodeError as error:
        before = data[: error.start].decode()
        line, column = _line_and_column(before, len(before))
        raise InputError(
            "DOCUMENT_SYNTAX",
            f"byte {error.start} is not UTF-8",
            path=f"{source}:{line}:{column}",
            hint="save the file as UTF-8",
        ) from None
    if len(data) > SIZE_MAX_BYTES:
        raise _too_large(source)
    content = content.removeprefix("\ufeff")
    odd = _ODD_LINE_BREAK.search(content)
    if odd is not None:
        line, column = _line_and_column(content, odd.start())
        raise InputError(
            "DOCUMENT_SYNTAX",
            f"the character U+{ord(odd[0]):04X} is a line break to some readers of YAML and text to others",
            path=f"{source}:{line}:{column}",
            hint=f"in double quotes, write it as `\\u{ord(odd[0]):04x}`",
        )
    return content


_SIMPLER: Final = "flatten it, or use fewer aliases"


def _too_large(source: str) -> InputError:
    return InputError(
        "DOCUMENT_TOO_LARGE",
        f"the document is larger than {SIZE_MAX_BYTES // 1024} KiB",
        path=f"{source}:1:1",
        hint="split it, or hand large data in as a run input",
        details={"limit_bytes": SIZE_MAX_BYTES},
    )


def _syntax_error(error: yaml.YAMLError, content: str, source: str) -> InputError:
    """YAML's own complaint in one lower-case sentence, placed where reading stopped."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        line, column = mark.line + 1, mark.column + 1
    else:  # A ReaderError (a control character) knows only its offset.
        offset = getattr(error, "position", 0)
        line, column = _line_and_column(content, offset if isinstance(offset, int) else 0)
    problem = getattr(error, "problem", None) or getattr(error, "reason", None) or "this is not YAML"
    hint: str | None
    if "'\\t'" in problem or _is_tab(content, line, column):
        message, hint = "a tab stands where YAML wants spaces", "indent with spaces"
    else:
        message, hint = in_words_of_the_document(problem, getattr(error, "context", None))
    return InputError("DOCUMENT_SYNTAX", message, path=f"{source}:{line}:{column}", hint=hint)


def _is_tab(content: str, line: int, column: int) -> bool:
    lines = _LINE_BREAK.split(content)
    return line <= len(lines) and lines[line - 1][column - 1 : column] == "\t"


def _line_and_column(content: str, offset: int) -> tuple[int, int]:
    lines = _LINE_BREAK.split(content[:offset])
    return len(lines), len(lines[-1]) + 1


_LINE_BREAK: Final = compiled_when_asked("\r\n|[\n\r]")

# Line breaks in YAML 1.1, which the parser follows (in a quoted text it would turn one into a space), text in 1.2 and JSON.
_ODD_LINE_BREAK: Final = compiled_when_asked("[\x85\u2028\u2029]")


class _Frame(msgspec.Struct):
    """A collection that is still open."""

    data: dict[str, Json] | list[Json]
    node: Node
    anchor: str | None
    before: tuple[int, int]
    key: str | None = None


class _Builder:
    """Turns parser events into data and places, counting as it goes."""

    def __init__(self, text: str, source: str) -> None:
        self.data: Json = None
        self.root: Node | None = None
        self._text = text
        self._source = source
        self._open: list[_Frame] = []
        # What each anchor stands for: data, place, and how many nodes and characters it expands to.
        self._anchors: dict[str, tuple[Json, Node, tuple[int, int]]] = {}
        self._nodes = 0
        self._characters = 0
        self._documents = 0

    def feed(self, event: yaml.Event) -> None:
        import yaml

        match event:
            case yaml.ScalarEvent():
                node = self._node(event)
                self._count((1, len(event.value)), node)
                value = self._scalar(event, node)
                self._anchor(event.anchor, value, node, (1, len(event.value)))
                self._add(value, node)
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                node = self._node(event)
                before = (self._nodes, self._characters)
                self._count((1, 0), node)
                if event.tag not in (None, "!"):
                    raise self._error("DOCUMENT_VALUE", f"tag `{event.tag}` is not allowed here", node)
                if len(self._open) >= DEPTH_MAX:
                    raise self._error(
                        "DOCUMENT_TOO_COMPLEX", f"nested deeper than {DEPTH_MAX} levels", node, hint=_SIMPLER
                    )
                empty: dict[str, Json] | list[Json] = {} if isinstance(event, yaml.MappingStartEvent) else []
                self._refuse_as_key(node)
                self._open.append(_Frame(empty, node, event.anchor, before))
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                frame = self._open.pop()
                frame.node.end = self._node(event).end
                nodes, characters = frame.before
                size = (self._nodes - nodes, self._characters - characters)
                self._anchor(frame.anchor, frame.data, frame.node, size)
                self._add(frame.data, frame.node)
            case yaml.AliasEvent():
                self._alias(event)
            case yaml.DocumentStartEvent():
                self._documents += 1
                if self._documents > 1:
                    raise self._error(
                        "DOCUMENT_SYNTAX",
                        "a second document starts here",
                        self._node(event),
                        hint="one per file",
                    )
            case _:
                pass  # Starts and ends of the stream and of documents carry nothing.

    def _alias(self, event: yaml.AliasEvent) -> None:
        node = self._node(event)
        known = self._anchors.get(event.anchor or "")
        if known is None:
            inside = any(frame.anchor == event.anchor for frame in self._open)
            fault = "refers to itself" if inside else "is not defined above"
            raise self._error("DOCUMENT_SYNTAX", f"alias `*{event.anchor}` {fault}", node)
        data, target, size = known
        self._count(size, node)
        node.is_alias, node.children, node.keys = True, target.children, target.keys
        if len(self._open) + _depth(data) > DEPTH_MAX:
            raise self._error(
                "DOCUMENT_TOO_COMPLEX", f"nested deeper than {DEPTH_MAX} levels", node, hint=_SIMPLER
            )
        # A copy, so that no two places of the document are the same mutable object.
        self._add(_copy(data), node)

    def _add(self, value: Json, node: Node) -> None:
        if not self._open:
            self.data, self.root = value, node
            return
        frame = self._open[-1]
        if isinstance(frame.data, list):
            frame.node.children[len(frame.data)] = node
            frame.data.append(value)
        elif frame.key is None:
            frame.key = self._key(value, node, frame)
        else:
            frame.data[frame.key] = value
            frame.node.children[frame.key] = node
            frame.key = None

    def _key(self, value: Json, node: Node, frame: _Frame) -> str:
        if not isinstance(value, str):
            written = self._text[node.start : node.end]
            raise self._error(
                "DOCUMENT_VALUE",
                f"key `{written[:40]}` is not a string",
                node,
                hint=f'write it in quotes: "{written[:40]}"',
            )
        first = frame.node.keys.get(value)
        if first is not None:
            places: dict[str, Json] = {"first": self._place(first), "second": self._place(node)}
            raise self._error(
                "DUPLICATE_KEY",
                f"key `{value}` stands twice in one mapping, first at {places['first']}",
                node,
                hint="keep one of the two",
                details=places,
            )
        frame.node.keys[value] = node
        return value

    def _refuse_as_key(self, node: Node) -> None:
        if self._open and isinstance(self._open[-1].data, dict) and self._open[-1].key is None:
            raise self._error(
                "DOCUMENT_VALUE",
                "a mapping or list stands where a key belongs",
                node,
                hint="put `{…}` or `[…]` in quotes",
            )

    def _scalar(self, event: yaml.ScalarEvent, node: Node) -> Json:
        text: str = event.value
        if event.tag not in (None, "!", "tag:yaml.org,2002:str"):
            raise self._error("DOCUMENT_VALUE", f"tag `{event.tag}` is not allowed here", node)
        if event.tag is not None or not event.implicit[0]:
            return text
        try:
            return plain_scalar(text)
        except ValueError as error:
            raise self._error(
                "DOCUMENT_VALUE", f"`{text[:40]}` {error}", node, hint="put it in quotes to keep it as text"
            ) from None

    def _anchor(self, name: str | None, data: Json, node: Node, size: tuple[int, int]) -> None:
        if name is not None:
            self._anchors[name] = (data, node, size)

    def _count(self, size: tuple[int, int], node: Node) -> None:
        self._nodes += size[0]
        self._characters += size[1]
        if self._nodes > NODES_MAX:
            what = f"more than {NODES_MAX} keys and values, aliases expanded"
            raise self._error("DOCUMENT_TOO_COMPLEX", what, node, hint=_SIMPLER)
        if self._characters > CHARACTERS_MAX:
            what = f"more than {CHARACTERS_MAX} characters, aliases expanded"
            raise self._error("DOCUMENT_TOO_COMPLEX", what, node, hint=_SIMPLER)

    def _node(self, event: yaml.Event) -> Node:
        start, end = event.start_mark, event.end_mark
        assert start is not None, "a parser's event says where it starts"
        assert end is not None, "a parser's event says where it ends"
        style = "[" if getattr(event, "flow_style", False) else getattr(event, "style", None) or ""
        return Node(start.index, end.index, start.line, start.column, style, getattr(event, "anchor", None))

    def _place(self, node: Node) -> str:
        return f"{self._source}:{node.line + 1}:{node.column + 1}"

    def _error(
        self,
        code: str,
        message: str,
        node: Node,
        *,
        hint: str | None = None,
        details: Mapping[str, Json] | None = None,
    ) -> InputError:
        return InputError(code, message, path=self._place(node), hint=hint, details=details)


_NULL: Final = frozenset({"", "~", "null", "Null", "NULL"})
_BOOL: Final = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INTEGER: Final = compiled_when_asked(r"[-+]?[0-9]+\Z|0o[0-7]+\Z|0x[0-9a-fA-F]+\Z")
_NUMBER: Final = compiled_when_asked(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?\Z")
_NOT_FINITE: Final = compiled_when_asked(r"[-+]?\.(inf|Inf|INF)\Z|\.(nan|NaN|NAN)\Z")


def plain_scalar(text: str) -> bool | int | float | str | None:
    """What an unquoted scalar means in the YAML 1.2 core schema (§10.3.2).

    ValueError says why JSON cannot hold it.
    """
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INTEGER.match(text):
        base = {"0o": 8, "0x": 16}.get(text[:2], 10)
        # Longer digit strings are beyond 2^53 anyway, and Python refuses to convert thousands of digits.
        value = int(text, base) if len(text.lstrip("+-0ox")) <= 54 else INTEGER_MAX + 1
        if not -INTEGER_MAX <= value <= INTEGER_MAX:
            message = "is a whole number beyond 2^53, which not every reader keeps exactly"
            raise ValueError(message)
        return value
    if _NUMBER.match(text):
        number = float(text)
        if number in (float("inf"), float("-inf")):
            message = "is too large for a number"
            raise ValueError(message)
        return number
    if _NOT_FINITE.match(text):
        message = "is not a finite number"
        raise ValueError(message)
    return text


def _copy(data: Json) -> Json:
    """A deep copy; recursion is bounded because every anchored value obeys DEPTH_MAX."""
    if isinstance(data, dict):
        return {key: _copy(value) for key, value in data.items()}
    if isinstance(data, list):
        return [_copy(value) for value in data]
    return data


def _depth(data: Json) -> int:
    if isinstance(data, dict):
        return 1 + max(map(_depth, data.values()), default=0)
    if isinstance(data, list):
        return 1 + max(map(_depth, data), default=0)
    return 0


_SNIPPET_WIDTH: Final = 110
"""Characters of a source line that are shown; a longer line is cut around the fault."""


def render_snippet(text: str, line: int, column: int, length: int = 1, note: str = "") -> str:
    """The faulty line with its number and the fault underlined; empty when the text has no such line.

    Line and column count from 1. Control characters are shown as spaces, so that a file cannot drive the
    terminal.
    """
    lines = _LINE_BREAK.split(text)
    if not 1 <= line <= len(lines):
        return ""
    shown = "".join(char if char.isprintable() else " " for char in lines[line - 1])
    start = max(0, column - 1)
    if len(shown) > _SNIPPET_WIDTH:
        cut = max(0, min(start - 30, len(shown) - _SNIPPET_WIDTH))
        shown, start = shown[cut : cut + _SNIPPET_WIDTH], start - cut
    carets = "^" * max(1, min(length, max(1, len(shown) - start)))
    gutter = " " * len(str(line))
    underline = f"{gutter} | {' ' * start}{carets} {note}".rstrip()
    return f"{gutter} |\n{line} | {shown.rstrip()}\n{underline}"
