"""What an `if` may say: the names that exist, the types they have, and comparisons that can never hold refused at load.

CEL compares values of different types without complaint (`principal.id == 5` is just false), so a slip would sit in a policy as
a rule that never holds. Everything a rule can read except `inputs` has a known type, so slips are found before anything runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeAlias

import msgspec

from assent.errors import InputError
from assent.spec.capability import OperationType, RiskLevel
from assent.spec.language import syntax
from assent.spec.language.expression import Expression
from assent.spec.language.syntax import Call, Collection, Constant, Node, Operation
from assent.spec.principal import PrincipalKind
from assent.spec.states import Mode
from assent.spec.words.suggestions import did_you_mean

Kind: TypeAlias = str | None
"""The type of a value as messages name it, None when only evaluation can tell."""

Fields: TypeAlias = "dict[str, Fields | str | None]"

VARIABLES: Final[Fields] = {
    "principal": {"type": "text", "id": "text", "roles": "list"},
    "capability": {"id": "text", "version": "text", "operation_type": "text", "labels": "list"},
    "risk_level": "text",
    "risk_rank": "number",
    "inputs": None,
    "run": {
        "id": "text",
        "mode": "text",
        "requester": "text",
        "workflow": "text",
        "environment": "text",
        "labels": "list",
    },
    "now": "timestamp",
}
"""Every variable of an `if` with its fields; None where the fields are the caller's own."""

CHOICES: Final[dict[syntax.Path, frozenset[str]]] = {
    ("risk_level",): frozenset(RiskLevel),
    ("capability", "operation_type"): frozenset(OperationType),
    ("principal", "type"): frozenset(PrincipalKind),
    ("run", "mode"): frozenset(Mode),
}
"""Paths that have few possible values: comparing one with anything else is a slip."""

_SETS_OF_TEXT: Final = (("principal", "roles"), ("capability", "labels"), ("run", "labels"))
_ORDER: Final = frozenset({"<", "<=", ">", ">="})
_COMPARE: Final = _ORDER | {"==", "!="}
_COUNTED: Final = frozenset({"number", "timestamp", "duration"})
_TAKEN: Final = {
    **dict.fromkeys(_ORDER, _COUNTED | {"text", "bytes", "yes-or-no"}),
    **dict.fromkeys("*/%", frozenset({"number"})),
    "-": _COUNTED,
    "+": _COUNTED | {"text", "bytes", "list"},
}
"""What each operator can work on; with anything else it fails whenever it is evaluated."""
_LITERALS: Final = {
    "string": "text",
    "bytes": "bytes",
    "number": "number",
    "bool": "yes-or-no",
    "null": "null",
}
_RESULTS: Final = {
    **dict.fromkeys("has contains startsWith endsWith matches all exists exists_one".split(), "yes-or-no"),
    **dict.fromkeys("size int uint double".split(), "number"),
    **dict.fromkeys(
        "getFullYear getMonth getDate getDayOfMonth getDayOfWeek getDayOfYear getHours getMinutes getSeconds "
        "getMilliseconds".split(),
        "number",
    ),
    **dict.fromkeys("map filter".split(), "list"),
    "string": "text",
    "bytes": "bytes",
    "timestamp": "timestamp",
    "duration": "duration",
}


class Slip(msgspec.Struct, frozen=True):
    """One thing that cannot be meant. `at` is its offset in the expression."""

    message: str
    at: int
    hint: str | None = None


def compile_condition(source: str) -> Expression:
    """The checked expression of an `if`; for its first slip `InputError` EXPRESSION_INVALID with the offset in `details`."""
    expression = Expression(source)
    for slip in slips(expression):
        raise InputError(
            "EXPRESSION_INVALID",
            slip.message,
            hint=slip.hint,
            details={"offset": slip.at, "expression": source},
        )
    return expression


def slips(expression: Expression) -> Iterator[Slip]:
    """Everything wrong with the expression's names and types."""
    whole = _kind(expression.tree, frozenset())
    if whole not in (None, "yes-or-no"):
        yield Slip(f"an `if` must say yes or no; this one gives {_a(whole)}", expression.tree.at)
    within: set[int] = set()
    for node, bound, _ in syntax.walk(expression.tree):
        if id(node) not in within:
            yield from _names(node, bound, within)
        if isinstance(node, Operation):
            yield from _operation(node, bound)


def _names(node: Node, bound: frozenset[str], within: set[int]) -> Iterator[Slip]:
    path = syntax.path_of(node)
    if path is None or path[0] in bound:
        return
    inner = node
    while isinstance(inner, syntax.Select | syntax.Index):
        inner = inner.operand
        within.add(id(inner))
    level: Fields | str | None = VARIABLES
    for depth, part in enumerate(path):
        if isinstance(level, str):
            yield Slip(f"`{'.'.join(path[:depth])}` is {_a(level)} and has no field `{part}`", node.at)
            return
        if level is None:
            return
        if part not in level:
            name = ".".join(path[: depth + 1])
            nothing = f"`{name}` is nothing that an `if` can read" if depth == 0 else f"there is no `{name}`"
            known = ", ".join(f"`{key}`" for key in level)
            yield Slip(
                nothing,
                inner.at if depth == 0 else node.at,
                did_you_mean(part, level, otherwise=f"there are: {known}"),
            )
            return
        level = level[part]


def _operation(node: Operation, bound: frozenset[str]) -> Iterator[Slip]:
    if node.operator in ("&&", "||", "!"):
        yield from _must_be_boolean(node.operands, node, bound)
    elif node.operator == "?:":
        yield from _must_be_boolean(node.operands[:1], node, bound)
    elif node.operator in _COMPARE:
        yield from _comparison(node, bound)
    elif node.operator == "in":
        yield from _membership(node, bound)
    else:
        yield from _operands(node, bound)


def _must_be_boolean(operands: tuple[Node, ...], node: Operation, bound: frozenset[str]) -> Iterator[Slip]:
    for operand in operands:
        kind = _kind(operand, bound)
        if kind not in (None, "yes-or-no"):
            yield Slip(f"`{node.operator}` needs yes or no, and gets {_a(kind)}", operand.at)


def _comparison(node: Operation, bound: frozenset[str]) -> Iterator[Slip]:
    left, right = node.operands
    if node.operator in _ORDER:
        for side in (left, right):
            if syntax.path_of(side) == ("risk_level",) and "risk_level" not in bound:
                yield Slip(
                    f"`{node.operator}` on `risk_level` compares letters: CRITICAL would come before LOW",
                    node.at,
                    "compare `risk_rank`: LOW is 0, MEDIUM 1, HIGH 2, CRITICAL 3",
                )
                return
    kinds = _kind(left, bound), _kind(right, bound)
    if None not in kinds and kinds[0] != kinds[1]:
        hint = (
            "`capability.id` is its name"
            if ("capability",) in (syntax.path_of(left), syntax.path_of(right))
            else None
        )
        yield Slip(f"`{node.operator}` compares {_a(kinds[0])} with {_a(kinds[1])}", node.at, hint)
    elif node.operator in _ORDER:
        yield from _operands(node, bound)
    else:
        yield from _choice(left, right, bound)
        yield from _choice(right, left, bound)


def _operands(node: Operation, bound: frozenset[str]) -> Iterator[Slip]:
    for operand in node.operands:
        kind = _kind(operand, bound)
        if kind is not None and kind not in _TAKEN[node.operator]:
            yield Slip(f"`{node.operator}` cannot take {_a(kind)}", operand.at)


def _membership(node: Operation, bound: frozenset[str]) -> Iterator[Slip]:
    left, right = node.operands
    container, kind = _kind(right, bound), _kind(left, bound)
    if container not in (None, "list", "object"):
        yield Slip(f"`in` looks into {_a(container)}, and only a list or an object holds something", node.at)
    path = syntax.path_of(right)
    if path is not None and path in _SETS_OF_TEXT and kind not in (None, "text"):
        yield Slip(f"`{'.'.join(path)}` holds text, never {_a(kind)}", node.at)
    if isinstance(right, Collection) and not right.is_map:
        for item in right.items:
            of_item = _kind(item, bound)
            if None not in (kind, of_item) and kind != of_item:
                yield Slip(f"`in` compares {_a(kind)} with {_a(of_item)}", item.at)
            else:
                yield from _choice(left, item, bound)


def _choice(read: Node, literal: Node, bound: frozenset[str]) -> Iterator[Slip]:
    path = syntax.path_of(read)
    if (
        path is None
        or path[0] in bound
        or not isinstance(literal, Constant)
        or not isinstance(literal.value, str)
    ):
        return
    choices = CHOICES.get(path)
    if choices is not None and literal.value not in choices:
        listed = "one of: " + ", ".join(sorted(choices))
        close = did_you_mean(literal.value.upper(), choices) or did_you_mean(literal.value.lower(), choices)
        yield Slip(f"`{'.'.join(path)}` is never `{literal.value}`", literal.at, close or listed)


def _a(kind: Kind) -> str:
    return kind if kind in ("text", "bytes", "null") else f"{'an' if kind == 'object' else 'a'} {kind}"


def _kind(node: Node, bound: frozenset[str]) -> Kind:
    match node:
        case Constant(kind=kind):
            return _LITERALS[kind]
        case Collection(is_map=is_map):
            return "object" if is_map else "list"
        case Call(function=function):
            return _RESULTS.get(function)
        case Operation(operator=operator):
            return "yes-or-no" if operator in _COMPARE or operator in ("&&", "||", "!", "in") else None
        case _:
            return _kind_of_path(syntax.path_of(node), bound)


def _kind_of_path(path: syntax.Path | None, bound: frozenset[str]) -> Kind:
    if path is None or path[0] in bound:
        return None
    level: Fields | str | None = VARIABLES
    for part in path:
        if not isinstance(level, dict):
            return None
        level = level.get(part)
    return "object" if isinstance(level, dict) else level
