"""One walk over a module's syntax tree: everything that later steps look at, gathered in a single pass.

Nothing is resolved or judged here, because a name may be used before it is bound (a function above an import). The walk therefore
only sorts what it meets, together with the *scope* it stands in: the outermost function or method, by its qualified name, or one
of these:

- `""`: code that runs when the module is imported, class bodies, decorators and default values included;
- `<typing>`: under `if TYPE_CHECKING:`, which never runs;
- `<main>`: under `if __name__ == "__main__":`, which does not run on import.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

AT_IMPORT: Final = ""
TYPING: Final = "<typing>"
MAIN: Final = "<main>"

Function: TypeAlias = "ast.FunctionDef | ast.AsyncFunctionDef"


@dataclass(slots=True)
class Imported:
    """One name that an import statement binds. `target` is absolute; `is_star`: every public name of it is bound."""

    name: str
    target: str
    module: str
    scope: str
    line: int
    is_star: bool = False


@dataclass(slots=True)
class Called:
    """One call. `chain` is what is called, as dotted text, where it is names and attributes only."""

    node: ast.Call
    chain: str | None
    scope: str


@dataclass(slots=True)
class Facts:
    """What one walk found. `module` is the dotted name; `path` is relative to the source's root."""

    module: str
    path: str
    is_package: bool
    docstring: str = ""
    imports: list[Imported] = field(default_factory=list)
    bindings: dict[tuple[str, str], list[ast.expr | None]] = field(default_factory=dict)
    """(scope, name) → what is assigned to it; None for anything that is not a plain assignment."""
    outer: set[tuple[str, str]] = field(default_factory=set)
    """(scope, name) declared `global` or `nonlocal` there."""
    functions: dict[str, Function] = field(default_factory=dict)
    """Functions and methods that have a scope of their own, by qualified name."""
    decorated: list[tuple[Function, str, str]] = field(default_factory=list)
    """Every function with decorators, its qualified name, and the scope that its decorators are called in."""
    classes: dict[str, ast.ClassDef] = field(default_factory=dict)
    names: dict[tuple[str, str], int] = field(default_factory=dict)
    """(scope, name) → line of the first place that reads the bare name without calling it."""
    chains: dict[tuple[str, str], int] = field(default_factory=dict)
    """(scope, `a.b.c`) → line of the first place that reads it without calling it."""
    computed: list[tuple[ast.Attribute, str]] = field(default_factory=list)
    """Attributes of what is no name: `f().x`, `a[0].x`."""
    calls: list[Called] = field(default_factory=list)
    subscripts: list[tuple[ast.Subscript, str]] = field(default_factory=list)
    stored: list[tuple[str, str, int]] = field(default_factory=list)
    """Attributes of names that are assigned or deleted: chain, scope, line."""
    texts: list[tuple[str, str, int]] = field(default_factory=list)
    """String constants that begin with `secret://`, and where."""
    formatted: list[tuple[ast.JoinedStr, str]] = field(default_factory=list)


_ABOUT_ATTRIBUTES: Final = frozenset(
    {"getattr", "hasattr", "setattr", "delattr", "vars", "dir", "isinstance"}
)
SECRET_SCHEME: Final = "secret://"  # noqa: S105  # the scheme of a reference, no secret


def chain_of(node: ast.expr) -> str | None:
    """`a.b.c` for names and attributes; None for anything else."""
    parts: list[str] = []
    while type(node) is ast.Attribute:
        parts.append(node.attr)
        node = node.value
    if type(node) is not ast.Name:
        return None
    if not parts:
        return node.id
    parts.append(node.id)
    parts.reverse()
    return ".".join(parts)


def walk(tree: ast.Module, module: str, path: str, *, is_package: bool) -> Facts:
    """The facts of one module."""
    facts = Facts(module, path, is_package, docstring=ast.get_docstring(tree) or "")
    _Walk(facts).run(tree)
    return facts


class _Walk:
    """The pass itself. Bodies of functions and classes wait in `_later`, each with its scope, so that nothing recurses."""

    def __init__(self, facts: Facts) -> None:
        self._facts = facts
        self._later: list[tuple[str, str, Sequence[ast.AST]]] = []
        self._stack: list[ast.AST] = []
        self._scope = AT_IMPORT
        self._prefix = ""

    def run(self, tree: ast.Module) -> None:
        self._later.append((AT_IMPORT, "", tree.body))
        stack = self._stack
        for self._scope, self._prefix, nodes in self._later:  # noqa: B020 # it grows while it is walked
            stack.extend(reversed(nodes))
            while stack:
                node = stack.pop()
                handler = _HANDLERS.get(type(node))
                if handler is not None:
                    handler(self, node)
                    continue
                for value in node.__dict__.values():
                    if type(value) is list:
                        stack.extend([item for item in value if isinstance(item, ast.AST)])
                    elif isinstance(value, ast.AST):
                        stack.append(value)

    def name(self, node: ast.Name) -> None:
        if type(node.ctx) is ast.Load:
            self._facts.names.setdefault((self._scope, node.id), node.lineno)
        else:
            self._bind(node.id, None)

    def constant(self, node: ast.Constant) -> None:
        value = node.value
        if type(value) is str and value.startswith(SECRET_SCHEME):
            self._facts.texts.append((value, self._scope, node.lineno))

    def formatted(self, node: ast.JoinedStr) -> None:
        self._facts.formatted.append((node, self._scope))
        self._stack.extend([value for value in node.values if type(value) is ast.FormattedValue])

    def attribute(self, node: ast.Attribute) -> None:
        chain = chain_of(node)
        if chain is None:
            self._facts.computed.append((node, self._scope))
            value: ast.expr = node
            while isinstance(value, ast.Attribute):
                value = value.value
            self._stack.append(value)
            return
        if type(node.ctx) is not ast.Load:
            self._facts.stored.append((chain, self._scope, node.lineno))
        self._facts.chains.setdefault((self._scope, chain), node.lineno)

    def call(self, node: ast.Call) -> None:
        func, args, stack = node.func, node.args, self._stack
        chain = chain_of(func)
        self._facts.calls.append(Called(node, chain, self._scope))
        if chain is None:
            stack.append(func)
        elif chain in _ABOUT_ATTRIBUTES and args and type(args[0]) is ast.Name:
            # What is asked for its attributes is judged with the call; alone it would look as if it were handed on.
            args = args[1:]
        stack.extend(args)
        stack.extend([keyword.value for keyword in node.keywords])

    def subscript(self, node: ast.Subscript) -> None:
        self._facts.subscripts.append((node, self._scope))
        if type(node.value) is not ast.Name:
            self._stack.append(node.value)
        else:
            self._facts.names.setdefault((self._scope, node.value.id), node.lineno)
        self._stack.append(node.slice)

    def walrus(self, node: ast.NamedExpr) -> None:
        self._assign(node.target, node.value)

    def lambda_(self, node: ast.Lambda) -> None:
        self._stack.extend(_defaults(node.args))
        scope = self._scope or f"{self._prefix}<lambda>"
        self._parameters(node.args, scope)
        self._later.append((scope, "", [node.body]))

    def expression(self, node: ast.Expr) -> None:
        # A text that stands alone is a docstring or a comment.
        if type(node.value) is not ast.Constant:
            self._stack.append(node.value)

    def assign(self, node: ast.Assign) -> None:
        for target in node.targets:
            self._assign(target, node.value)

    def annotated(self, node: ast.AnnAssign) -> None:
        self._stack.append(node.annotation)
        if node.value is not None:
            self._assign(node.target, node.value)

    def _assign(self, target: ast.expr, value: ast.expr) -> None:
        """Bind what is assigned, pair by pair where both sides are written out; the value is walked in any case."""
        if isinstance(target, ast.Name):
            self._bind(target.id, value)
            # `x = os` is another name for it and no use of its own; the place where `x` is used will be one.
            if type(value) is not ast.Name or self._prefix:
                self._stack.append(value)
        elif (
            isinstance(target, ast.Tuple | ast.List)
            and isinstance(value, ast.Tuple | ast.List)
            and len(target.elts) == len(value.elts)
        ):
            for one, other in zip(target.elts, value.elts, strict=True):
                self._assign(one, other)
        else:
            self._stack += [target, value]

    def _bind(self, name: str, value: ast.expr | None) -> None:
        # Names of a class body are none of the module's.
        where = f"{self._scope}.{self._prefix}" if self._prefix and not self._scope else self._scope
        self._facts.bindings.setdefault((where, name), []).append(value)

    def global_(self, node: ast.Global | ast.Nonlocal) -> None:
        self._facts.outer.update((self._scope, name) for name in node.names)

    def captured(self, node: ast.MatchAs | ast.MatchStar) -> None:
        if node.name is not None:
            self._bind(node.name, None)
        if isinstance(node, ast.MatchAs) and node.pattern is not None:
            self._stack.append(node.pattern)

    def handler_(self, node: ast.ExceptHandler) -> None:
        if node.name:
            self._bind(node.name, None)
        self._stack += [*([node.type] if node.type else []), *node.body]

    def import_(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname:
                name, target = alias.asname, alias.name
            else:
                name = target = alias.name.partition(".")[0]
            self._facts.imports.append(Imported(name, target, alias.name, self._scope, node.lineno))

    def import_from(self, node: ast.ImportFrom) -> None:
        module = node.module or ""
        if node.level:
            parts = self._facts.module.split(".")
            kept = len(parts) - node.level + self._facts.is_package
            module = ".".join([*parts[: max(kept, 0)], *([module] if module else [])])
        for alias in node.names:
            star = alias.name == "*"
            target = module if star else f"{module}.{alias.name}"
            name = alias.asname or alias.name
            self._facts.imports.append(Imported(name, target, module, self._scope, node.lineno, star))

    def function(self, node: Function) -> None:
        facts, scope = self._facts, self._scope
        self._stack += [*node.decorator_list, *_defaults(node.args), *_annotations(node)]
        name = f"{self._prefix}{node.name}"
        if node.decorator_list:
            facts.decorated.append((node, name if not scope else f"{scope}.{node.name}", scope))
        if not scope:
            facts.functions.setdefault(name, node)
            inner = name
        else:
            self._bind(node.name, None)
            # A function inside another one is a part of it; under a condition at import it is one of its own.
            inner = node.name if scope in (TYPING, MAIN) else scope
        self._parameters(node.args, inner)
        self._later.append((inner, "", node.body))

    def _parameters(self, args: ast.arguments, scope: str) -> None:
        every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
        for arg in every:
            if arg is not None:
                self._facts.bindings.setdefault((scope, arg.arg), []).append(None)

    def class_(self, node: ast.ClassDef) -> None:
        self._stack += [*node.decorator_list, *node.bases, *(keyword.value for keyword in node.keywords)]
        name = f"{self._prefix}{node.name}"
        if not self._scope:
            self._facts.classes.setdefault(name, node)
        self._later.append((self._scope, f"{name}.", node.body))

    def if_(self, node: ast.If) -> None:
        scope = self._conditional(node.test) if not self._scope else None
        if scope is None:
            self._stack += [node.test, *reversed(node.body), *reversed(node.orelse)]
            return
        self._later.append((scope, self._prefix, node.body))
        self._stack += reversed(node.orelse)

    def _conditional(self, test: ast.expr) -> str | None:
        if chain_of(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING", "t.TYPE_CHECKING"):
            return TYPING
        if (
            isinstance(test, ast.Compare)
            and chain_of(test.left) == "__name__"
            and type(test.ops[0]) is ast.Eq
            and isinstance(test.comparators[0], ast.Constant)
            and test.comparators[0].value == "__main__"
        ):
            return MAIN
        return None

    def nothing(self, node: ast.AST) -> None:
        """A node that says nothing: the kind of an operator, `pass`."""


def _defaults(args: ast.arguments) -> list[ast.expr]:
    return [*args.defaults, *(value for value in args.kw_defaults if value is not None)]


def _annotations(node: Function) -> list[ast.expr]:
    """The annotations in which something is called: they may run when the function is defined. Plain ones only name types."""
    args = node.args
    every = [*args.posonlyargs, *args.args, *args.kwonlyargs, args.vararg, args.kwarg]
    found = [arg.annotation for arg in every if arg is not None and arg.annotation is not None]
    if node.returns is not None:
        found.append(node.returns)
    return [note for note in found if type(note) not in _PLAIN]


_PLAIN: Final = frozenset({ast.Name, ast.Attribute, ast.Constant})

# `Any`: each handler takes the one kind of node that it stands for.
_HANDLERS: Final[dict[type[ast.AST], Callable[[_Walk, Any], None]]] = {
    ast.Name: _Walk.name,
    ast.Constant: _Walk.constant,
    ast.JoinedStr: _Walk.formatted,
    ast.Attribute: _Walk.attribute,
    ast.Call: _Walk.call,
    ast.Subscript: _Walk.subscript,
    ast.NamedExpr: _Walk.walrus,
    ast.Lambda: _Walk.lambda_,
    ast.Expr: _Walk.expression,
    ast.Assign: _Walk.assign,
    ast.AnnAssign: _Walk.annotated,
    ast.Global: _Walk.global_,
    ast.Nonlocal: _Walk.global_,
    ast.MatchAs: _Walk.captured,
    ast.MatchStar: _Walk.captured,
    ast.ExceptHandler: _Walk.handler_,
    ast.Import: _Walk.import_,
    ast.ImportFrom: _Walk.import_from,
    ast.FunctionDef: _Walk.function,
    ast.AsyncFunctionDef: _Walk.function,
    ast.ClassDef: _Walk.class_,
    ast.If: _Walk.if_,
    **{
        kind: _Walk.nothing
        for base in (ast.operator, ast.unaryop, ast.cmpop, ast.boolop, ast.expr_context)
        for kind in base.__subclasses__()
    },
}
