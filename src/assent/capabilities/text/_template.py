"""`text.template`: Jinja's language, read by Jinja, and carried out here node by node.

Theory of operation. Jinja compiles a template to Python and runs that; its sandbox then has to catch each way in which Python
leaks, and catches none of the ways in which a program runs for ever or fills the memory: `'x' * 10 ** 9`, a `for` in a `for`, a
macro that calls itself twice. A thread can't be killed, and a child process would cost more than the work. So only Jinja's
*parser* is used. Its tree is carried out by this interpreter, in which

- there are no objects, only JSON: `a.b` is a look-up in a mapping, and there is nothing to call, to import or to include;
- what is not in the tables below (`_filters.py`, `_TESTS`, `_Renderer`) is refused before anything is carried out;
- each node costs a step and each text or list that is made costs its length, so that a template ends within `STEPS_MAX`;
- an undefined name is an error, with its line.

Against it: what Jinja does beyond this (macros, inheritance, `{% call %}`) is not there, and the tables are ours to keep.
"""

from __future__ import annotations

import html
import operator
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final, NoReturn

from assent.capabilities.text._filters import FILTERS, Budget, Failure, Safe, is_number, same, text_of
from assent.capabilities.text._shapes import Rendered, Template
from assent.invocation import LocalContext, NoEffectError

if TYPE_CHECKING:
    from jinja2 import nodes

NODES_MAX: Final = 20_000
DEPTH_MAX: Final = 60
RANGE_MAX: Final = 10_000

_ALLOWED: Final = frozenset(
    {
        "Template", "Output", "TemplateData", "If", "For", "Assign", "With", "Const", "Name", "Getattr", "Getitem", "Slice",
        "List", "Tuple", "Dict", "Pair", "Concat", "Add", "Sub", "Mul", "Div", "FloorDiv", "Mod", "Neg", "Pos", "Compare",
        "Operand", "And", "Or", "Not", "CondExpr", "Filter", "Test", "Keyword", "Call",
    }
)  # fmt: skip
"""The kinds of Jinja's nodes that are carried out; `Call` for `range` alone."""

_WORDS: Final = {
    "AssignBlock": "`{% set %}` with a body",
    "Block": "`{% block %}`",
    "CallBlock": "`{% call %}`",
    "Extends": "`{% extends %}`",
    "FilterBlock": "`{% filter %}`",
    "FromImport": "`{% import %}`",
    "Import": "`{% import %}`",
    "Include": "`{% include %}`",
    "Macro": "macros",
    "NSRef": "namespaces",
    "Pow": "powers",
    "ScopedEvalContextModifier": "`{% autoescape %}`",
}


class _UndefinedError(Exception):
    """A name, key or index that is not there; `default` and `is defined` ask for it on purpose."""

    def __init__(self, what: str, line: int) -> None:
        super().__init__(what)
        self.what = what
        self.line = line


def render(context: LocalContext, parameters: Template) -> Rendered:
    """The template's text. `NoEffectError`: TEMPLATE_INVALID, TEMPLATE_UNDEFINED, TEMPLATE_FAILED, CALL_CANCELLED."""
    tree = _parse(parameters)
    _check(tree)
    renderer = _Renderer(parameters, Budget(context.cancel))
    try:
        renderer.statements(tree.body, dict(parameters.values))
    except _UndefinedError as error:
        raise _fault(
            "TEMPLATE_UNDEFINED", error.what, error.line, "give it a value, or use `| default(…)`"
        ) from None
    except RecursionError:
        raise _fault("TEMPLATE_FAILED", "a value is nested too deeply", 1) from None
    text = "".join(renderer.out)
    try:
        text.encode()
    except UnicodeEncodeError:
        raise _fault("TEMPLATE_FAILED", "the text holds half of a surrogate pair", 1) from None
    return Rendered(text=text)


def _parse(parameters: Template) -> nodes.Template:
    from jinja2 import Environment, TemplateSyntaxError

    # Nothing is ever compiled or run in this environment, so that it is no sandbox does not matter.
    environment = Environment(  # noqa: S701 - it parses and does not render
        keep_trailing_newline=True,
        trim_blocks=parameters.trim,
        lstrip_blocks=parameters.trim,
        extensions=(),
        loader=None,
    )
    try:
        return environment.parse(parameters.template)
    except TemplateSyntaxError as error:
        message = (error.message or "this is not a template").rstrip(".")
        raise _fault("TEMPLATE_INVALID", message[:1].lower() + message[1:], error.lineno) from None
    except (ValueError, RecursionError, OverflowError, MemoryError, SyntaxError):
        raise _fault(
            "TEMPLATE_INVALID", "the template holds a number or a nesting beyond what is read", 1
        ) from None


def _check(tree: nodes.Template) -> None:
    """Refuse what would not be carried out. Without recursion: a long sum is a deep tree."""
    waiting: list[tuple[Any, int]] = [(tree, 0)]
    count = 0
    while waiting:
        node, depth = waiting.pop()
        count += 1
        kind = type(node).__name__
        if count > NODES_MAX or depth > DEPTH_MAX:
            raise _fault(
                "TEMPLATE_INVALID", "the template is larger, or nested deeper, than allowed", node.lineno
            )
        if kind not in _ALLOWED:
            raise _fault(
                "TEMPLATE_INVALID", f"{_WORDS.get(kind, f'`{kind}`')} do not exist here", node.lineno, _SUBSET
            )
        if kind == "Filter" and node.name not in FILTERS:
            raise _fault(
                "TEMPLATE_INVALID", f"there is no filter `{node.name}`", node.lineno, _listed(FILTERS)
            )
        if kind == "Test" and node.name not in _TESTS:
            raise _fault("TEMPLATE_INVALID", f"there is no test `{node.name}`", node.lineno, _listed(_TESTS))
        if kind == "Call" and not (type(node.node).__name__ == "Name" and node.node.name == "range"):
            raise _fault("TEMPLATE_INVALID", "a template calls nothing", node.lineno, _SUBSET)
        if kind in ("Call", "Filter", "Test") and (node.dyn_args is not None or node.dyn_kwargs is not None):
            raise _fault("TEMPLATE_INVALID", "`*` and `**` in arguments do not exist here", node.lineno)
        if kind == "For" and node.recursive:
            raise _fault("TEMPLATE_INVALID", "recursive loops do not exist here", node.lineno)
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]


_SUBSET: Final = (
    "there are values, `if`, `for`, `set`, `with`, filters and tests; data is prepared before it is handed in"
)


def _listed(table: Mapping[str, object]) -> str:
    return "there are: " + ", ".join(f"`{name}`" for name in sorted(table))


def _fault(code: str, message: str, line: int, hint: str | None = None) -> NoEffectError:
    return NoEffectError(code, message, path=f"template:{line}", hint=hint)


_SUMS: Final[Mapping[str, Callable[[Any, Any], Any]]] = {
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.truediv,
    "FloorDiv": operator.floordiv,
    "Mod": operator.mod,
}
_SIGNS: Final = {"Neg": operator.sub, "Pos": operator.add}
_ORDERS: Final = {"lt": operator.lt, "lteq": operator.le, "gt": operator.gt, "gteq": operator.ge}

_Names = dict[str, Any]  # `Any`: JSON, and what `loop` says


class _Renderer:
    """Carries out one tree. `out` is what it has written."""

    def __init__(self, parameters: Template, budget: Budget) -> None:
        self.out: list[str] = []
        self._escapes = parameters.escape
        self._budget = budget

    def statements(self, body: list[Any], names: _Names) -> None:
        """Carry out statements one after the other."""
        for node in body:
            self._budget.spend(1, node.lineno)
            getattr(self, f"_do_{type(node).__name__.lower()}")(node, names)

    def _do_output(self, node: nodes.Output, names: _Names) -> None:
        for child in node.nodes:
            if type(child).__name__ == "TemplateData":
                piece = child.data  # type: ignore[attr-defined]  # its own kind of node
            else:
                value = self.value(child, names)
                piece = text_of(value, self._budget)
                if self._escapes and not isinstance(value, Safe):
                    piece = html.escape(piece)
            self._budget.spend_text(len(piece), child.lineno)
            self.out.append(piece)

    def _do_if(self, node: nodes.If, names: _Names) -> None:
        for branch in (node, *node.elif_):
            if self.value(branch.test, names):
                self.statements(branch.body, names)
                return
        self.statements(node.else_, names)

    def _do_for(self, node: nodes.For, names: _Names) -> None:
        items = self._items(self.value(node.iter, names), node.lineno)
        if node.test is not None:
            kept = []
            for item in items:
                inner = self._within(names, node.lineno)
                self._assign(node.target, item, inner)
                if self.value(node.test, inner):
                    kept.append(item)
            items = kept
        for index, item in enumerate(items):
            inner = self._within(names, node.lineno)
            self._assign(node.target, item, inner)
            inner["loop"] = {
                "index": index + 1,
                "index0": index,
                "revindex": len(items) - index,
                "revindex0": len(items) - index - 1,
                "first": index == 0,
                "last": index == len(items) - 1,
                "length": len(items),
            }
            self.statements(node.body, inner)
        if not items:
            self.statements(node.else_, names)

    def _do_assign(self, node: nodes.Assign, names: _Names) -> None:
        self._assign(node.target, self.value(node.node, names), names)

    def _do_with(self, node: nodes.With, names: _Names) -> None:
        inner = self._within(names, node.lineno)
        for target, value in zip(node.targets, node.values, strict=True):
            self._assign(target, self.value(value, names), inner)
        self.statements(node.body, inner)

    def _within(self, names: _Names, line: int) -> _Names:
        """The names inside a block, which may set some of their own. To copy them costs their number."""
        self._budget.spend(1 + len(names) // 16, line)
        return dict(names)

    def _assign(self, target: Any, value: Any, names: _Names) -> None:
        if type(target).__name__ == "Name":
            names[target.name] = value
            return
        if type(target).__name__ != "Tuple":
            self._fail("only names can be set", target.lineno)
        if not isinstance(value, list) or len(value) != len(target.items):
            self._fail(f"a list of {len(target.items)} is needed to be taken apart", target.lineno)
        for one, item in zip(target.items, value, strict=True):
            self._assign(one, item, names)

    def _items(self, value: Any, line: int) -> list[Any]:
        if isinstance(value, Mapping | str):
            value = list(value)
        if not isinstance(value, list):
            self._fail("only a list, a mapping or a text can be looped over", line)
        self._budget.spend_text(len(value), line)
        return value

    def value(self, node: Any, names: _Names) -> Any:
        """What an expression comes to."""
        self._budget.spend(1, node.lineno)
        kind = type(node).__name__
        try:
            if kind in _SIGNS:
                return self._numbers(0, self.value(node.node, names), _SIGNS[kind])
            if kind in _SUMS:
                return self._numbers(self.value(node.left, names), self.value(node.right, names), _SUMS[kind])
            return getattr(self, f"_of_{kind.lower()}")(node, names)
        except Failure as error:
            raise _fault("TEMPLATE_FAILED", str(error), node.lineno) from None

    def _of_const(self, node: nodes.Const, names: _Names) -> Any:
        del names
        return self._budget.number(node.value) if is_number(node.value) else node.value

    def _of_name(self, node: nodes.Name, names: _Names) -> Any:
        if node.name not in names:
            raise _UndefinedError(f"`{node.name}` is not defined", node.lineno)
        return names[node.name]

    def _of_getattr(self, node: nodes.Getattr, names: _Names) -> Any:
        return self._inside(self.value(node.node, names), node.attr, node.lineno)

    def _of_getitem(self, node: nodes.Getitem, names: _Names) -> Any:
        holder = self.value(node.node, names)
        if type(node.arg).__name__ == "Slice":
            return self._sliced(holder, node.arg, names)
        return self._inside(holder, self.value(node.arg, names), node.lineno)

    def _inside(self, holder: Any, key: Any, line: int) -> Any:
        if isinstance(holder, Mapping) and isinstance(key, str):
            if key in holder:
                return holder[key]
            raise _UndefinedError(f"there is no `{key[:60]}`", line)
        if isinstance(holder, list | str) and isinstance(key, int) and not isinstance(key, bool):
            if -len(holder) <= key < len(holder):
                return holder[key]
            raise _UndefinedError(f"there is no place {key}", line)
        if isinstance(key, str):
            raise _UndefinedError(f"there is no `{key[:60]}` in what is not a mapping", line)
        raise _fault("TEMPLATE_FAILED", "only a mapping has keys, and only a list or a text has places", line)

    def _sliced(self, holder: Any, node: Any, names: _Names) -> Any:
        if not isinstance(holder, list | str):
            self._fail("only a list or a text can be cut", node.lineno)
        parts = [
            None if one is None else self.value(one, names) for one in (node.start, node.stop, node.step)
        ]
        if (
            any(part is not None and (isinstance(part, bool) or not isinstance(part, int)) for part in parts)
            or parts[2] == 0
        ):
            self._fail("places are whole numbers, and a step is not 0", node.lineno)
        self._budget.spend_text(len(holder), node.lineno)
        return holder[slice(*parts)]

    def _of_list(self, node: nodes.List, names: _Names) -> list[Any]:
        return [self.value(item, names) for item in node.items]

    _of_tuple = _of_list

    def _of_dict(self, node: nodes.Dict, names: _Names) -> dict[str, Any]:
        pairs = [(self.value(pair.key, names), self.value(pair.value, names)) for pair in node.items]
        if not all(isinstance(key, str) for key, _ in pairs):
            self._fail("the keys of a mapping are texts", node.lineno)
        return dict(pairs)

    def _of_condexpr(self, node: nodes.CondExpr, names: _Names) -> Any:
        if self.value(node.test, names):
            return self.value(node.expr1, names)
        if node.expr2 is None:
            return ""
        return self.value(node.expr2, names)

    def _of_and(self, node: nodes.And, names: _Names) -> Any:
        return self.value(node.left, names) and self.value(node.right, names)

    def _of_or(self, node: nodes.Or, names: _Names) -> Any:
        return self.value(node.left, names) or self.value(node.right, names)

    def _of_not(self, node: nodes.Not, names: _Names) -> bool:
        return not self.value(node.node, names)

    def _of_concat(self, node: nodes.Concat, names: _Names) -> str:
        pieces = [text_of(self.value(one, names), self._budget) for one in node.nodes]
        self._budget.spend_text(sum(map(len, pieces)), node.lineno)
        return "".join(pieces)

    def _of_compare(self, node: nodes.Compare, names: _Names) -> bool:
        left = self.value(node.expr, names)
        for operand in node.ops:
            right = self.value(operand.expr, names)
            if not self._compared(operand.op, left, right):
                return False
            left = right
        return True

    def _compared(self, how: str, left: Any, right: Any) -> bool:
        if how in ("eq", "ne"):
            return same(left, right, self._budget) == (how == "eq")
        if how in ("in", "notin"):
            return self._holds(right, left) == (how == "in")
        if not (is_number(left) and is_number(right)) and not (
            isinstance(left, str) and isinstance(right, str)
        ):
            raise Failure("only two numbers or two texts have an order")
        self._budget.spend(1 + (len(left) // 64 if isinstance(left, str) else 0))
        return bool(_ORDERS[how](left, right))

    def _holds(self, holder: Any, item: Any) -> bool:
        if isinstance(holder, str):
            if not isinstance(item, str):
                raise Failure("only a text stands in a text")
            self._budget.spend(1 + (len(holder) + len(item)) // 16)
            return item in holder
        if isinstance(holder, Mapping):
            return isinstance(item, str) and item in holder
        if isinstance(holder, list):
            return any(same(item, one, self._budget) for one in holder)
        raise Failure("`in` needs a list, a mapping or a text")

    def _of_add(self, node: nodes.Add, names: _Names) -> Any:
        left, right = self.value(node.left, names), self.value(node.right, names)
        if isinstance(left, str) and isinstance(right, str):
            self._budget.spend_text(len(left) + len(right), node.lineno)
            return str(left) + str(right)
        if isinstance(left, list) and isinstance(right, list):
            self._budget.spend_text(len(left) + len(right), node.lineno)
            return left + right
        return self._numbers(left, right, operator.add)

    def _numbers(self, left: Any, right: Any, how: Callable[[Any, Any], Any]) -> Any:
        if not is_number(left) or not is_number(right):
            raise Failure(
                "only numbers can be reckoned with; `+` also joins two texts or two lists, and `~` any two values"
            )
        try:
            # Both are below 2^53, so that no result takes long.
            return self._budget.number(how(left, right))
        except ZeroDivisionError:
            raise Failure("nothing can be divided by zero") from None

    def _of_filter(self, node: nodes.Filter, names: _Names) -> Any:
        if node.node is None:
            self._fail("a filter needs a value", node.lineno)
        function, count_max, name = FILTERS[node.name]
        arguments, named = self._arguments(node, names, count_max, name)
        if node.name in ("default", "d"):
            try:
                value = self.value(node.node, names)
            except _UndefinedError:
                return arguments[0] if arguments else ""
            return (arguments or [""])[0] if len(arguments) > 1 and arguments[1] and not value else value
        return function(self._budget, self.value(node.node, names), *arguments, **named)

    def _arguments(
        self, node: Any, names: _Names, count_max: int, name: str | None = None
    ) -> tuple[list[Any], dict[str, Any]]:
        if len(node.args) + len(node.kwargs) > count_max:
            self._fail(f"`{node.name}` takes at most {count_max} arguments", node.lineno)
        named = {one.key: self.value(one.value, names) for one in node.kwargs}
        if unknown := [key for key in named if key != name]:
            self._fail(f"`{node.name}` has no argument `{unknown[0]}`", node.lineno)
        return [self.value(one, names) for one in node.args], named

    def _of_test(self, node: nodes.Test, names: _Names) -> bool:
        arguments, _ = self._arguments(node, names, 1)
        try:
            value = self.value(node.node, names)
        except _UndefinedError:
            if node.name in ("defined", "undefined"):
                return node.name == "undefined"
            raise
        if len(arguments) != (1 if node.name in ("divisibleby", "eq", "ne", "in") else 0):
            self._fail(f"`{node.name}` has another number of arguments", node.lineno)
        if node.name in ("eq", "ne", "in"):
            return self._compared(node.name, value, arguments[0])
        return _TESTS[node.name](value, *arguments)

    def _of_call(self, node: nodes.Call, names: _Names) -> list[int]:
        given = [self.value(one, names) for one in node.args]
        if (
            node.kwargs
            or not 1 <= len(given) <= 3
            or not all(type(one) is int for one in given)
            or given[2:] == [0]
        ):
            self._fail("`range` takes one to three whole numbers", node.lineno)
        numbers = range(*given)
        if len(numbers) > RANGE_MAX:
            self._fail(f"a range has at most {RANGE_MAX} numbers", node.lineno)
        self._budget.spend_text(len(numbers), node.lineno)
        return list(numbers)

    def _fail(self, message: str, line: int) -> NoReturn:
        raise _fault("TEMPLATE_FAILED", message, line)


def _divisible(value: Any, by: Any) -> bool:
    if type(value) is not int or type(by) is not int or by == 0:
        raise Failure("`divisibleby` needs two whole numbers, and the second is not 0")
    return value % by == 0


def _odd(value: Any) -> bool:
    if type(value) is not int:
        raise Failure("only whole numbers are odd or even")
    return value % 2 == 1


_TESTS: Final[Mapping[str, Callable[..., bool]]] = {
    "defined": lambda value: value is value,  # noqa: PLR0124 - what has a value is defined
    "undefined": lambda value: value is not value,  # noqa: PLR0124 - as above
    "none": lambda value: value is None,
    "string": lambda value: isinstance(value, str),
    "number": is_number,
    "integer": lambda value: type(value) is int,
    "float": lambda value: type(value) is float,
    "boolean": lambda value: isinstance(value, bool),
    "mapping": lambda value: isinstance(value, Mapping),
    "sequence": lambda value: isinstance(value, list | str),
    "true": lambda value: value is True,
    "false": lambda value: value is False,
    "odd": _odd,
    "even": lambda value: not _odd(value),
    "divisibleby": _divisible,
    "eq": bool,
    "ne": bool,
    "in": bool,
}
"""The tests; `eq`, `ne` and `in` are carried out as comparisons."""
