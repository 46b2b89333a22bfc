"""The shape of a CEL expression: which names it reads, which functions it calls, what it compares with what.

The Rust binding evaluates expressions but shows only the roots of the names they use. Rules have to be checked before they
run (unknown names, `risk_level > "LOW"`, a number compared with text), and only what an expression reads may be converted for it,
so this module reads the same grammar a second time, for its shape alone. It accepts a subset: what it does not know is refused.

Source: CEL language definition, "Syntax" (github.com/google/cel-spec, doc/langdef.md). Not supported: structures, a leading dot,
optional selection.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final, Literal, TypeAlias

import msgspec

from assent._lazy import compiled_when_asked

DEPTH_MAX: Final = 48
"""Levels of brackets; the binding's own parser stops somewhat later, and ours recurses on each."""

Path: TypeAlias = tuple[str, ...]
LiteralKind: TypeAlias = Literal["string", "bytes", "number", "bool", "null"]

MACROS: Final = frozenset({"all", "exists", "exists_one", "map", "filter"})
"""Methods whose first argument binds a variable for the others."""

RESERVED: Final = frozenset(
    "as break const continue else false for function if import in let loop namespace null package return true var void "
    "while".split()
)
"""Words that no name in an expression may be (CEL language definition, "Syntax")."""


class SyntaxFault(ValueError):
    """The source is no expression of the supported grammar; `at` is the offset of the first character that does not fit."""

    def __init__(self, message: str, at: int) -> None:
        super().__init__(message)
        self.at = at


class Constant(msgspec.Struct, frozen=True):
    """A literal. `value` is set for booleans and for strings without escapes, which are the ones that can be compared.

    `text` is how strings and bytes are written.
    """

    kind: LiteralKind
    at: int
    value: str | bool | None = None
    text: str = ""


class Name(msgspec.Struct, frozen=True):
    """An identifier that stands alone or begins a path."""

    name: str
    at: int


class Select(msgspec.Struct, frozen=True):
    """`operand.field`."""

    operand: Node
    field: str
    at: int


class Index(msgspec.Struct, frozen=True):
    """`operand[key]`."""

    operand: Node
    key: Node
    at: int


class Call(msgspec.Struct, frozen=True):
    """`function(arguments)` or `receiver.function(arguments)`."""

    function: str
    receiver: Node | None
    arguments: tuple[Node, ...]
    at: int


class Operation(msgspec.Struct, frozen=True):
    """An operator and its operands: one for `!` and `-`, three for `?:`, else two."""

    operator: str
    operands: tuple[Node, ...]
    at: int


class Collection(msgspec.Struct, frozen=True):
    """A list or map literal; keys and values of a map alternate."""

    items: tuple[Node, ...]
    at: int
    is_map: bool = False


Node: TypeAlias = "Constant | Name | Select | Index | Call | Operation | Collection"


def parse(source: str) -> Node:
    """The tree of an expression; `SyntaxFault` when it is none."""
    return _Parser(source).whole()


def walk(tree: Node) -> Iterator[tuple[Node, frozenset[str], int]]:
    """Every node with the variables that macros bind around it and how many macros enclose it, parents first."""
    # A stack and no recursion: `1+1+…` nests as deep as it is long.
    pending: list[tuple[Node, frozenset[str], int]] = [(tree, frozenset(), 0)]
    while pending:
        node, bound, depth = pending.pop()
        yield node, bound, depth
        match node:
            case Select(operand=operand):
                pending.append((operand, bound, depth))
            case Index(operand=operand, key=key):
                pending += [(operand, bound, depth), (key, bound, depth)]
            case Operation(operands=items) | Collection(items=items):
                pending += [(item, bound, depth) for item in items]
            case Call(receiver=receiver, arguments=arguments):
                if receiver is not None:
                    pending.append((receiver, bound, depth))
                variable = bound_variable(node)
                if variable is not None:
                    bound, arguments, depth = bound | {variable}, arguments[1:], depth + 1
                pending += [(item, bound, depth) for item in arguments]
            case Constant() | Name():
                pass


def bound_variable(call: Call) -> str | None:
    """The variable that a macro such as `list.exists(x, …)` binds, or None for any other call."""
    if call.receiver is not None and call.function in MACROS and call.arguments:
        first = call.arguments[0]
        return first.name if isinstance(first, Name) else None
    return None


def path_of(node: Node) -> Path | None:
    """The path that `a.b["c"]` names, or None when the node is no such chain."""
    fields: list[str] = []
    while True:
        match node:
            case Name(name=name):
                fields.append(name)
                return tuple(reversed(fields))
            case Select(operand=operand, field=field):
                fields.append(field)
                node = operand
            case Index(operand=operand, key=Constant(kind="string", value=str() as key)):
                fields.append(key)
                node = operand
            case _:
                return None


def paths(tree: Node) -> frozenset[Path]:
    """The paths from outside that the expression reads, each as long as it is known: `inputs.items[i].x` reads `inputs.items`."""
    found: set[Path] = set()
    inner: set[int] = set()
    for node, bound, _ in walk(tree):
        if id(node) in inner:
            inner.discard(id(node))
            if isinstance(node, Select) or (isinstance(node, Index) and path_of(node) is not None):
                inner.add(id(node.operand))
            continue
        if isinstance(node, Name | Select | Index):
            path = path_of(node)
            if path is None:
                continue
            if path[0] not in bound:
                found.add(path)
            if not isinstance(node, Name):
                inner.add(id(node.operand))
    return frozenset(found)


_TOKEN: Final = compiled_when_asked(
    r"""
    (?P<space>(?:\s|//[^\n]*)+)
  | (?P<string>(?P<prefix>[rRbB]{0,2})(?:\"{3}(?:[^\\]|\\.)*?\"{3}|'{3}(?:[^\\]|\\.)*?'{3}
        |"(?:[^"\\\n]|\\.)*"|'(?:[^'\\\n]|\\.)*'))
  | (?P<number>(?:0[xX][0-9a-fA-F]+|(?:\d+\.\d+|\.\d+|\d+)(?:[eE][+-]?\d+)?)[uU]?)
  | (?P<word>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<mark>\|\||&&|==|!=|<=|>=|[-+*/%!<>?:.,()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)

_RELATIONS: Final = frozenset({"==", "!=", "<", "<=", ">", ">=", "in"})
_LEVELS: Final = (frozenset({"||"}), frozenset({"&&"}), _RELATIONS, frozenset("+-"), frozenset("*/%"))


class _Token(msgspec.Struct, frozen=True):
    kind: str
    text: str
    at: int
    prefix: str = ""


def _tokens(source: str) -> list[_Token]:
    tokens: list[_Token] = []
    position = 0
    while position < len(source):
        found = _TOKEN.match(source, position)
        if found is None:
            raise SyntaxFault(f"`{source[position]}` does not fit here", position)
        kind = found.lastgroup if found["string"] is None else "string"
        if kind is not None and kind != "space":
            tokens.append(_Token(kind, found[0], position, (found["prefix"] or "").lower()))
        position = found.end()
    tokens.append(_Token("end", "", len(source)))
    return tokens


class _Parser:
    """Precedence climbing over the token list, one method per level that differs."""

    def __init__(self, source: str) -> None:
        self.tokens = _tokens(source)
        self.position = 0
        self.depth = 0

    @property
    def next(self) -> _Token:
        return self.tokens[self.position]

    def take(self) -> _Token:
        token = self.next
        self.position += 1
        return token

    def accept(self, mark: str) -> bool:
        if self.next.kind == "mark" and self.next.text == mark:
            self.position += 1
            return True
        return False

    def expect(self, mark: str) -> None:
        if not self.accept(mark):
            raise SyntaxFault(f"expected `{mark}`" + self._instead(), self.next.at)

    def _instead(self) -> str:
        return " but it ends" if self.next.kind == "end" else f", not `{self.next.text}`"

    def whole(self) -> Node:
        tree = self.expression()
        if self.next.kind != "end":
            raise SyntaxFault(f"`{self.next.text}` does not fit here", self.next.at)
        return tree

    def expression(self) -> Node:
        self.depth += 1
        if self.depth > DEPTH_MAX:
            raise SyntaxFault(f"is nested deeper than {DEPTH_MAX} levels", self.next.at)
        condition = self.binary(0)
        if self.next.kind == "mark" and self.next.text == "?":
            at = self.take().at
            positive = self.binary(0)
            self.expect(":")
            condition = Operation("?:", (condition, positive, self.expression()), at)
        self.depth -= 1
        return condition

    def binary(self, level: int) -> Node:
        if level == len(_LEVELS):
            return self.unary()
        left = self.binary(level + 1)
        while self.next.kind in ("mark", "word") and self.next.text in _LEVELS[level]:
            operator = self.take()
            left = Operation(operator.text, (left, self.binary(level + 1)), operator.at)
        return left

    def unary(self) -> Node:
        operators: list[_Token] = []
        while self.next.kind == "mark" and self.next.text in "!-":
            operators.append(self.take())
        node = self.member()
        for operator in reversed(operators):
            if operator.text == "-" and isinstance(node, Constant) and node.kind == "number":
                continue  # A negative literal is still a literal.
            node = Operation(operator.text, (node,), operator.at)
        return node

    def member(self) -> Node:
        node = self.primary()
        while True:
            at = self.next.at
            if self.accept("."):
                word = self.take()
                if word.kind != "word" or word.text in RESERVED:
                    raise SyntaxFault("expected a name after `.`", word.at)
                if self.accept("("):
                    node = Call(word.text, node, self.items(")"), word.at)
                else:
                    node = Select(node, word.text, at)
            elif self.accept("["):
                node = Index(node, self.expression(), at)
                self.expect("]")
            else:
                return node

    def primary(self) -> Node:
        token = self.take()
        match token.kind:
            case "number":
                return Constant("number", token.at)
            case "string":
                return _string(token)
            case "word":
                return self.word(token)
            case "mark" if token.text == "(":
                node = self.expression()
                self.expect(")")
                return node
            case "mark" if token.text == "[":
                return Collection(self.items("]"), token.at)
            case "mark" if token.text == "{":
                return Collection(self.entries(), token.at, is_map=True)
            case "end":
                raise SyntaxFault("ends where a value is expected", token.at)
            case _:
                raise SyntaxFault(f"`{token.text}` stands where a value is expected", token.at)

    def word(self, token: _Token) -> Node:
        if token.text in ("true", "false"):
            return Constant("bool", token.at, token.text == "true")
        if token.text == "null":
            return Constant("null", token.at)
        if token.text in RESERVED:
            raise SyntaxFault(f"`{token.text}` is a reserved word", token.at)
        if self.accept("("):
            return Call(token.text, None, self.items(")"), token.at)
        return Name(token.text, token.at)

    def items(self, closing: str) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.accept(closing):
            if found:
                self.expect(",")
                if closing == "]" and self.accept(closing):
                    break
            found.append(self.expression())
        return tuple(found)

    def entries(self) -> tuple[Node, ...]:
        found: list[Node] = []
        while not self.accept("}"):
            if found:
                self.expect(",")
                if self.accept("}"):
                    break
            found.append(self.expression())
            self.expect(":")
            found.append(self.expression())
        return tuple(found)


def _string(token: _Token) -> Constant:
    if "b" in token.prefix:
        return Constant("bytes", token.at, text=token.text)
    body = token.text[len(token.prefix) :]
    width = 3 if body[:3] in ('"""', "'''") and len(body) >= 6 else 1
    body = body[width:-width]
    # With escapes the text is left unknown rather than decoded a second time: nothing that is checked needs it.
    value = body if "\\" not in body or "r" in token.prefix else None
    return Constant("string", token.at, value, token.text)
