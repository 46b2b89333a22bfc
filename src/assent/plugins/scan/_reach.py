"""Which functions can come to which, by name: what runs on import, and what each capability can reach.

An edge stands for every mention of a function of the source, called or not, because what is mentioned may be called elsewhere.
From the top of a module only calls count: there a mention (`@put.prepare` above a function, a table of functions) is usual.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Mapping
from typing import Final, TypeAlias

from assent.plugins.scan._names import ROUNDABOUT, Names, Package
from assent.plugins.scan._walk import AT_IMPORT, MAIN, TYPING, chain_of

Graph: TypeAlias = "Mapping[str, frozenset[str]]"
"""Full name of a function → those it mentions."""

_MADE: Final = (
    "__init__", "__post_init__", "__new__", "__call__", "__enter__", "__aenter__", "__exit__", "__aexit__",
)  # fmt: skip


def graph(package: Package) -> Graph:
    """Who mentions whom."""
    edges: dict[str, set[str]] = {}
    for names in package.modules.values():
        facts = names.facts
        called = ((call.scope, call.chain) for call in facts.calls if call.chain is not None)
        for scope, text in {*facts.chains, *facts.names, *called}:
            if scope in (AT_IMPORT, MAIN, TYPING):
                continue
            meanings = names.of_chain(text, scope)
            if meanings:
                found = functions_of(package, meanings)
                if found:
                    edges.setdefault(f"{facts.module}.{scope}", set()).update(found)
    return {name: frozenset(found) for name, found in edges.items()}


def run_on_import(package: Package, edges: Graph) -> frozenset[str]:
    """The functions that can run while the source is imported."""
    first: set[str] = set()
    for names in package.modules.values():
        facts = names.facts
        for call in facts.calls:
            if call.scope == AT_IMPORT:
                meanings = (
                    names.of_chain(call.chain, AT_IMPORT)
                    if call.chain
                    else names.of(call.node.func, AT_IMPORT)
                )
                first |= functions_of(package, meanings)
        for function, _, scope in facts.decorated:
            if scope == AT_IMPORT:
                first |= functions_of(package, _decorators(names, function.decorator_list))
        for node in facts.classes.values():
            first |= functions_of(package, _decorators(names, node.decorator_list))
            for base in node.bases:
                first |= functions_of(
                    package, [f"{meaning}.__init_subclass__" for meaning in names.of(base, AT_IMPORT)]
                )
    return reach(edges, first)


def _decorators(names: Names, decorators: Iterable[ast.expr]) -> list[str]:
    return [
        meaning
        for decorator in decorators
        if (chain := chain_of(decorator)) is not None
        for meaning in names.of_chain(chain, AT_IMPORT)
    ]


def functions_of(package: Package, meanings: Iterable[str]) -> set[str]:
    """The functions of the source that names stand for: a class stands for what makes and opens its objects."""
    found: set[str] = set()
    for meaning in meanings:
        own = package.split(meaning.removeprefix(ROUNDABOUT))
        if own is None:
            continue
        names, rest = own
        if rest in names.facts.functions:
            found.add(f"{names.facts.module}.{rest}")
        elif rest in names.facts.classes:
            found |= {
                f"{names.facts.module}.{rest}.{name}"
                for name in _MADE
                if f"{rest}.{name}" in names.facts.functions
            }
        elif "." in rest:
            owner, _, method = rest.rpartition(".")
            inherited = _inherited(names, owner, method)
            if inherited is not None:
                found.add(inherited)
    return found


def _inherited(names: Names, owner: str, method: str, depth: int = 0) -> str | None:
    """The full name of a method that a class takes from its bases."""
    names.package.spend()
    node = names.facts.classes.get(owner)
    if node is None or depth > 10:
        return None
    for base in node.bases:
        inner = base.value if isinstance(base, ast.Subscript) else base
        for meaning in names.of(inner, AT_IMPORT):
            own = names.package.split(meaning)
            if own is None:
                continue
            above, name = own
            if f"{name}.{method}" in above.facts.functions:
                return f"{above.facts.module}.{name}.{method}"
            found = _inherited(above, name, method, depth + 1)
            if found is not None:
                return found
    return None


def reach(edges: Graph, first: Iterable[str]) -> frozenset[str]:
    """Everything that can be come to, the beginnings included."""
    seen = set(first)
    waiting = [*seen]
    while waiting:
        for name in edges.get(waiting.pop(), ()):
            if name not in seen:
                seen.add(name)
                waiting.append(name)
    return frozenset(seen)
