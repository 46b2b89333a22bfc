"""The value of a constant expression, found by a small evaluator that knows arithmetic, texts, collections and enums.

It runs no code of the plugin: what it evaluates it evaluates itself, within limits of size and steps, and everything else is
`UNKNOWN`. A value is never guessed.
"""

from __future__ import annotations

import ast
import base64
import binascii
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from assent.plugins.scan._names import ROUNDABOUT, Names
from assent.plugins.scan._walk import AT_IMPORT

STEPS_MAX: Final = 2000
"""Nodes of one expression, the constants that it names included."""
DEPTH_MAX: Final = 50
SIZE_MAX: Final = 64 * 1024
"""Characters, bytes or items of one value."""
INTEGER_BITS_MAX: Final = 256


class Unknown(Enum):
    """What only running would tell."""

    UNKNOWN = "unknown"


UNKNOWN: Final = Unknown.UNKNOWN


@dataclass(frozen=True, slots=True)
class Record:
    """A value of one of Assent's own types: its name and what it was given."""

    name: str
    args: tuple[object, ...] = ()
    fields: dict[str, object] = field(default_factory=dict)

    def get(self, name: str, position: int | None = None, default: object = None) -> object:
        """An argument by name or position."""
        if name in self.fields:
            return self.fields[name]
        if position is not None and position < len(self.args):
            return self.args[position]
        return default


class _CannotError(Exception):
    """The expression is not constant, or its value is larger than is worth knowing."""


def fold(names: Names, node: ast.expr, scope: str = AT_IMPORT) -> object:
    """The value of an expression as read in a scope of a module, or `UNKNOWN`."""
    try:
        if isinstance(node, ast.Constant):
            return _within(node.value)
        return _Evaluation().value(names, node, scope, 0)
    except (_CannotError, ArithmeticError, ValueError, TypeError, LookupError, UnicodeError, RecursionError):
        return UNKNOWN


_ARITHMETIC: Final[dict[type[ast.operator], Callable[[Any, Any], object]]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.Div: operator.truediv,
    ast.Mod: operator.mod,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.BitXor: operator.xor,
    ast.RShift: operator.rshift,
}
_UNARY: Final[dict[type[ast.unaryop], Callable[[Any], object]]] = {
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Not: operator.not_,
    ast.Invert: operator.invert,
}
_MAKERS: Final[dict[str, Callable[..., object]]] = {
    "builtins.frozenset": frozenset,
    "builtins.set": frozenset,
    "builtins.tuple": tuple,
    "builtins.list": list,
    "builtins.dict": dict,
    "builtins.str": str,
    "builtins.int": int,
    "builtins.float": float,
    "builtins.bool": bool,
    "builtins.chr": chr,
    "builtins.ord": ord,
    "builtins.bytes": lambda value: bytes(value) if isinstance(value, list | tuple | bytes) else UNKNOWN,
    "builtins.sorted": sorted,
    "builtins.bytes.fromhex": bytes.fromhex,
    "builtins.reversed": lambda value: list(reversed(value)),
    "base64.b64decode": base64.b64decode,
    "base64.b32decode": base64.b32decode,
    "base64.b16decode": base64.b16decode,
    "base64.b85decode": base64.b85decode,
    "base64.urlsafe_b64decode": base64.urlsafe_b64decode,
    "binascii.unhexlify": binascii.unhexlify,
    "binascii.a2b_base64": binascii.a2b_base64,
    "types.MappingProxyType": dict,
}
_TEXT_METHODS: Final = frozenset(
    """join lower upper title strip lstrip rstrip removeprefix removesuffix replace split format decode encode swapcase
    casefold""".split()
)
_OURS: Final = "assent."


class _Evaluation:
    """One expression on its way to a value; it counts its steps."""

    def __init__(self) -> None:
        self._steps = 0

    def value(self, names: Names, node: ast.expr, scope: str, depth: int) -> object:
        names.package.spend()
        self._steps += 1
        if self._steps > STEPS_MAX or depth > DEPTH_MAX:
            raise _CannotError
        found = self._value(names, node, scope, depth + 1)
        if found is UNKNOWN:
            raise _CannotError
        return _within(found)

    def _value(self, names: Names, node: ast.expr, scope: str, depth: int) -> object:
        def below(part: ast.expr) -> object:
            return self.value(names, part, scope, depth)

        match node:
            case ast.Constant():
                return node.value
            case ast.Name():
                return self._name(names, node.id, scope, depth)
            case ast.Attribute():
                return self._attribute(names, node, scope, depth)
            case ast.Tuple():
                return tuple(self._items(names, node.elts, scope, depth))
            case ast.List():
                return self._items(names, node.elts, scope, depth)
            case ast.Set():
                return frozenset(self._items(names, node.elts, scope, depth))
            case ast.Dict():
                return self._mapping(names, node, scope, depth)
            case ast.JoinedStr():
                return "".join(self._piece(names, piece, scope, depth) for piece in node.values)
            case ast.UnaryOp():
                return _UNARY[type(node.op)](below(node.operand))
            case ast.BinOp():
                return self._arithmetic(node.op, below(node.left), below(node.right))
            case ast.IfExp():
                return below(node.body if below(node.test) else node.orelse)
            case ast.Subscript():
                return self._item(names, node, scope, depth)
            case ast.Call():
                return self._call(names, node, scope, depth)
            case _:
                raise _CannotError

    def _items(self, names: Names, nodes: list[ast.expr], scope: str, depth: int) -> list[object]:
        found: list[object] = []
        for node in nodes:
            if isinstance(node, ast.Starred):
                many = self.value(names, node.value, scope, depth)
                if not isinstance(many, list | tuple | frozenset):
                    raise _CannotError
                found += many
            else:
                found.append(self.value(names, node, scope, depth))
        return found

    def _mapping(self, names: Names, node: ast.Dict, scope: str, depth: int) -> dict[object, object]:
        found: dict[object, object] = {}
        for key, part in zip(node.keys, node.values, strict=True):
            value = self.value(names, part, scope, depth)
            if key is not None:
                found[self.value(names, key, scope, depth)] = value
            elif isinstance(value, dict):
                found |= value
            else:
                raise _CannotError
        return found

    def _piece(self, names: Names, node: ast.expr, scope: str, depth: int) -> str:
        if isinstance(node, ast.Constant):
            return str(node.value)
        if not isinstance(node, ast.FormattedValue):
            raise _CannotError
        value = self.value(names, node.value, scope, depth)
        if not isinstance(value, str | int | bool | None) or (
            isinstance(value, str) and node.conversion > 115
        ):
            raise _CannotError
        text = repr(value) if node.conversion == 114 else str(value)
        if node.format_spec is None:
            return text
        spec = self.value(names, node.format_spec, scope, depth)
        if not isinstance(spec, str) or any(
            int(part) > SIZE_MAX for part in spec.split(".") if part.isdigit()
        ):
            raise _CannotError
        return format(value, spec)

    def _arithmetic(self, op: ast.operator, left: object, right: object) -> object:
        if isinstance(op, ast.Mult):
            for one, other in ((left, right), (right, left)):
                if not isinstance(one, str | bytes | list | tuple) or not isinstance(other, int):
                    continue
                if len(one) * max(other, 0) > SIZE_MAX:
                    raise _CannotError
        elif isinstance(op, ast.Mod) and isinstance(left, str | bytes):
            # `"%999999999d"` would fill the memory before its size could be seen.
            if any(character.isdigit() or character == "*" for character in str(left)):
                raise _CannotError
        elif isinstance(op, ast.Pow | ast.LShift):
            if not isinstance(left, int) or not isinstance(right, int) or not 0 <= right <= INTEGER_BITS_MAX:
                raise _CannotError
            if left.bit_length() * max(right, 1) > INTEGER_BITS_MAX:
                raise _CannotError
            return left**right if isinstance(op, ast.Pow) else left << right
        return _ARITHMETIC[type(op)](left, right)

    def _name(self, names: Names, name: str, scope: str, depth: int) -> object:
        facts = names.facts
        where = scope if (scope, name) in facts.bindings else AT_IMPORT
        bound = facts.bindings.get((where, name))
        if bound is not None:
            # A name that is bound twice may have either value.
            if len(bound) != 1 or bound[0] is None:
                raise _CannotError
            return self.value(names, bound[0], where, depth)
        return self._meaning(names, names.of_chain(name, scope), depth)

    def _attribute(self, names: Names, node: ast.Attribute, scope: str, depth: int) -> object:
        meanings = names.of(node, scope)
        if meanings:
            try:
                return self._meaning(names, meanings, depth)
            except _CannotError:
                if node.attr not in ("value", "name"):
                    raise
        if node.attr in ("value", "name"):
            return self.value(names, node.value, scope, depth)
        raise _CannotError

    def _meaning(self, names: Names, meanings: tuple[str, ...], depth: int) -> object:
        """The value of a constant, or of an enum's member, by its real name."""
        if len(meanings) != 1:
            raise _CannotError
        dotted = meanings[0].removeprefix(ROUNDABOUT)
        own = names.package.split(dotted)
        if own is None:
            head, _, last = dotted.rpartition(".")
            # Assent's enums have their names as values, in capitals or not; what is none of them is no constant here.
            if dotted.startswith(_OURS) and head.rpartition(".")[2] in ENUMS_OF_OURS and last.isupper():
                return last
            raise _CannotError
        module, rest = own
        if "." not in rest:
            bound = module.facts.bindings.get((AT_IMPORT, rest))
            if bound is None or len(bound) != 1 or bound[0] is None or not rest:
                raise _CannotError
            return self.value(module, bound[0], AT_IMPORT, depth)
        owner, _, member = rest.rpartition(".")
        return self._member(module, owner, member, depth)

    def _member(self, module: Names, owner: str, member: str, depth: int) -> object:
        """The value of a class's constant: an enum's member, or a plain class attribute."""
        node = module.facts.classes.get(owner)
        bound = module.facts.bindings.get((f".{owner}.", member))
        if node is None:
            raise _CannotError
        if bound is None:
            for base in node.bases:
                for meaning in module.of(base, AT_IMPORT):
                    found = module.package.split(meaning)
                    if found is not None and found[1] in found[0].facts.classes:
                        return self._member(found[0], found[1], member, depth + 1)
            raise _CannotError
        if len(bound) != 1 or bound[0] is None or depth > DEPTH_MAX:
            raise _CannotError
        if isinstance(bound[0], ast.Call) and "enum.auto" in module.of(bound[0].func, AT_IMPORT):
            is_text = any("enum.StrEnum" in module.of(base, AT_IMPORT) for base in node.bases)
            return member.lower() if is_text else UNKNOWN
        return self.value(module, bound[0], f".{owner}.", depth)

    def _call(self, names: Names, node: ast.Call, scope: str, depth: int) -> object:
        if isinstance(node.func, ast.Attribute) and node.func.attr in _TEXT_METHODS:
            try:
                owner = self.value(names, node.func.value, scope, depth)
            except _CannotError:
                owner = None
            if isinstance(owner, str | bytes):
                return self._text(owner, node.func.attr, self._items(names, node.args, scope, depth))
        meanings = names.of(node.func, scope)
        if len(meanings) != 1 or any(keyword.arg is None for keyword in node.keywords):
            raise _CannotError
        name = meanings[0].removeprefix(ROUNDABOUT)
        args = self._items(names, node.args, scope, depth)
        fields = {str(k.arg): self.value(names, k.value, scope, depth) for k in node.keywords}
        if (name.startswith(_OURS) and name.rpartition(".")[2][:1].isupper()) or name == "datetime.timedelta":
            last = name.rpartition(".")[2]
            if last in ENUMS_OF_OURS and len(args) == 1:
                return args[0]
            return Record(last, tuple(args), fields)
        maker = _MAKERS.get(name)
        if maker is None or (fields and maker is not dict):
            raise _CannotError
        return maker(*args, **fields)

    def _text(self, owner: str | bytes, method: str, args: list[object]) -> object:
        """A method of a text. What it would make is measured before it is made."""
        size = len(owner)
        if method == "replace" and len(args) > 1 and isinstance(args[1], str | bytes):
            size *= len(args[1]) + 1
        elif method == "join" and args and isinstance(args[0], list | tuple):
            size *= len(args[0])
        elif method == "format" and any(
            character.isdigit() or character in ".[:" for character in str(owner)
        ):
            raise _CannotError  # Widths and attributes: more than a constant needs.
        if size > SIZE_MAX:
            raise _CannotError
        found: object = getattr(owner, method)(*args)
        return found

    def _item(self, names: Names, node: ast.Subscript, scope: str, depth: int) -> object:
        # `Any`: what an owner does not take as its key is a TypeError, which makes the value unknown.
        owner: Any = self.value(names, node.value, scope, depth)
        key: Any
        if isinstance(node.slice, ast.Slice):
            ends = (node.slice.lower, node.slice.upper, node.slice.step)
            # `Any`: as above
            bounds: list[Any] = [
                None if end is None else self.value(names, end, scope, depth) for end in ends
            ]
            key = slice(*bounds)
        else:
            key = self.value(names, node.slice, scope, depth)
        if not isinstance(owner, str | bytes | list | tuple | dict):
            raise _CannotError
        found: object = owner[key]
        return found


def _within(value: object) -> object:
    """The value, or `_CannotError` when it is larger than is worth knowing."""
    if isinstance(value, str | bytes | list | tuple | dict | frozenset):
        if len(value) > SIZE_MAX:
            raise _CannotError
    elif isinstance(value, int) and value.bit_length() > INTEGER_BITS_MAX:
        raise _CannotError
    return value


ENUMS_OF_OURS: Final = frozenset({"OperationType", "RiskLevel"})


class Arguments:
    """The arguments of one call, each folded when it is asked for; what can't be folded is remembered as unknown."""

    def __init__(self, names: Names, call: ast.Call | None, scope: str) -> None:
        self._names = names
        self._scope = scope
        self._args = call.args if call is not None else []
        self.nodes = {k.arg: k.value for k in call.keywords if k.arg} if call is not None else {}
        self.has_more = call is not None and (
            any(k.arg is None for k in call.keywords) or any(isinstance(a, ast.Starred) for a in call.args)
        )
        self.unknown: set[str] = set()

    def node(self, name: str, position: int | None) -> ast.expr | None:
        """The expression given for an argument."""
        if name in self.nodes:
            return self.nodes[name]
        if (
            position is not None
            and position < len(self._args)
            and not isinstance(self._args[position], ast.Starred)
        ):
            return self._args[position]
        return None

    def value(self, name: str, position: int | None, default: object = None) -> object:
        """The argument's value: the default when it is not given, `UNKNOWN` when only running would tell."""
        node = self.node(name, position)
        if node is None:
            if self.has_more:
                self.unknown.add(name)
                return UNKNOWN
            return default
        found = fold(self._names, node, self._scope)
        if found is UNKNOWN:
            self.unknown.add(name)
        return found

    def text(self, name: str, position: int | None) -> str | None:
        """A text, or None."""
        found = self.value(name, position)
        return found if isinstance(found, str) else None

    def is_unknown(self, name: str) -> bool:
        """Whether it is given and can't be known."""
        return name in self.unknown
