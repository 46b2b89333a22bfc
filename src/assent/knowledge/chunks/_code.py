"""Where code is cut: at the definitions that tree-sitter's grammars find in it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.resources import files
from itertools import pairwise
from typing import TYPE_CHECKING, Final

import msgspec

from assent.spec.values.typed import convert

if TYPE_CHECKING:
    from tree_sitter import Node, Parser, Query, Tree

SYMBOL_MAX: Final = 256
"""Characters of a symbol; a longer name is cut."""

DEPTH_MAX: Final = 100
"""Definitions deeper in the tree are not looked for: what a query takes grows with the square of the depth."""

NESTED_MAX: Final = 500
"""Brackets within each other: a text with more is cut as plain text, since a parser may end its process over ten thousands."""
ERROR_NODES_MAX: Final = 1_000
"""Children of one faulty node: a text with more is cut as plain text."""
_OPENING: Final = frozenset(b"([{")
_NO_BRACKETS: Final = bytes(sorted({*range(256)} - {*b"()[]{}"}))

Mark = tuple[int, str]
"""Where a piece begins, in bytes, and what it is called; it ends where the next one begins."""


class Language(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How a language is cut (`languages.toml`)."""

    extensions: tuple[str, ...]
    grammar: str
    language: str = "language"
    like: str | None = None
    query: str = ""
    holders: frozenset[str] = frozenset()
    wrappers: frozenset[str] = frozenset()


@cache
def languages() -> dict[str, Language]:
    """Every language that code is cut by."""
    said = tomllib.loads(files("assent.knowledge.chunks").joinpath("languages.toml").read_text("utf-8"))
    found = convert(said, dict[str, Language])
    return {
        name: one
        if one.like is None
        else msgspec.structs.replace(
            found[one.like], extensions=one.extensions, grammar=one.grammar, language=one.language
        )
        for name, one in found.items()
    }


@cache
def _grammar(name: str) -> tuple[Parser, Query]:
    from tree_sitter import Language as Grammar
    from tree_sitter import Parser, Query

    said = languages()[name]
    grammar = Grammar(getattr(import_module(said.grammar), said.language)())
    return Parser(grammar), Query(grammar, said.query)


class _Definition(msgspec.Struct, frozen=True):
    begin: int
    """Of its first line, with what is written above it and belongs to it."""
    end: int
    """After its last line."""
    name: str
    is_holder: bool


def code_marks(data: bytes, language: str, whole_bytes_max: int) -> list[Mark]:
    """The pieces of a source text: each definition, and what stands between them.

    A definition inside another one is a piece of its own where the outer one is a holder (a class, a module) or has more bytes
    than `whole_bytes_max`.
    """
    marks: list[Mark] = [(0, "")]
    open_: list[_Definition] = []

    def called() -> str:
        return ".".join(one.name for one in open_)[:SYMBOL_MAX]

    def close(until: int) -> None:
        while open_ and open_[-1].end <= until:
            end = open_.pop().end
            marks.append((end, called()))

    for one in _definitions(data, language):
        close(one.begin)
        if one.begin < marks[-1][0]:
            continue  # It begins in the last line of the one before.
        if open_:
            outer = open_[-1]
            if one.end > outer.end or not (outer.is_holder or outer.end - outer.begin > whole_bytes_max):
                continue
        open_.append(one)
        marks.append((one.begin, called()))
    close(len(data))
    # Of several marks at one place the last says what begins there.
    return [mark for mark, following in pairwise([*marks, (len(data), "")]) if mark[0] < following[0]]


def _definitions(data: bytes, language: str) -> Iterator[_Definition]:
    from tree_sitter import QueryCursor

    parser, query = _grammar(language)
    said = languages()[language]
    if _is_nested_deep(data):
        return
    tree = parser.parse(data)
    if tree.root_node.has_error and _is_tangled(tree):
        return
    cursor = QueryCursor(query)
    cursor.set_max_start_depth(DEPTH_MAX)
    matches = [found for _, found in cursor.matches(tree.root_node)]
    # The outer one comes first, and of two patterns that found the same the first.
    matches.sort(key=lambda found: (found["definition"][0].start_byte, -found["definition"][0].end_byte))
    for found in matches:
        (node, *_), (name, *_) = found["definition"], found["name"]
        of = found.get("of")
        text = ".".join(_text(part) for part in (of[0] if of else None, name) if part is not None)
        is_holder = node.type in said.holders
        while node.parent is not None and node.parent.type in said.wrappers:
            node = node.parent
        begin = _with_what_is_above(data, node)
        line_end = data.find(b"\n", max(node.end_byte - 1, 0))
        yield _Definition(begin, len(data) if line_end < 0 else line_end + 1, text, is_holder)


def _is_nested_deep(data: bytes) -> bool:
    depth = 0
    for one in data.translate(None, _NO_BRACKETS):
        depth += 1 if one in _OPENING else -1 if depth else 0
        if depth > NESTED_MAX:
            return True
    return False


def _is_tangled(tree: Tree) -> bool:
    """Whether the parser gave up on so much at one place that a query would take its square."""
    cursor = tree.walk()
    while True:
        node = cursor.node
        if node is not None and node.type == "ERROR" and node.child_count > ERROR_NODES_MAX:
            return True
        if cursor.depth < DEPTH_MAX and node is not None and node.has_error and cursor.goto_first_child():
            continue
        while not cursor.goto_next_sibling():
            if not cursor.goto_parent():
                return False


def _text(node: Node) -> str:
    return " ".join((node.text or b"").decode().split())


def _with_what_is_above(data: bytes, node: Node) -> int:
    """The begin of the line of a definition, or of the comments and attributes that stand right above it."""
    begin = _line_begin(data, node.start_byte)
    above = node.prev_sibling
    while above is not None and ("comment" in above.type or "attribute" in above.type):
        start = _line_begin(data, above.start_byte)
        if data[above.end_byte : begin].strip() or data.count(b"\n", above.end_byte, begin) > 1:
            break
        if data[start : above.start_byte].strip():
            break  # It is the end of another line.
        begin = start
        above = above.prev_sibling
    return begin


def _line_begin(data: bytes, at: int) -> int:
    return data.rfind(b"\n", 0, at) + 1
