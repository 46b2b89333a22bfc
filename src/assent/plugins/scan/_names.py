"""What a name means: imports, aliases and re-exports followed to the real name, without running anything.

A meaning is a dotted name: `os.system`, `httpx.Client.get`, `notes._store.save`. One expression may have several, because a name
that is bound twice may be either. A meaning that begins with `~` was reached in a roundabout way (`__import__("os")`,
`getattr(os, "system")`), which plain code has no reason for.
"""

from __future__ import annotations

import ast
import builtins
from collections.abc import Callable, Iterable, Mapping
from typing import Final, TypeAlias

from assent.plugins.scan._walk import AT_IMPORT, MAIN, TYPING, Facts, chain_of

Meanings: TypeAlias = tuple[str, ...]
Fold: TypeAlias = "Callable[[Names, ast.expr, str], object]"
"""The value of a constant expression, or something that is no text."""

DEPTH_MAX: Final = 60
"""Steps from a name to its meaning; what is further away is not known."""
MEANINGS_MAX: Final = 8
"""Meanings of one expression that are kept."""
STEPS_BASE: Final = 200_000
STEPS_PER_MODULE: Final = 4_000
"""Steps that all names, constants and types of a source together may take; real code needs a tenth. Without a limit, names that
refer to each other in two ways at each step would take longer than anybody can wait."""

ROUNDABOUT: Final = "~"

_MODULE_SCOPES: Final = frozenset({AT_IMPORT, TYPING, MAIN})

_BUILTINS: Final = frozenset(dir(builtins))
_IMPORTERS: Final = frozenset({"builtins.__import__", "importlib.import_module", "importlib.__import__"})
_SAME: Final = frozenset(
    {"functools.partial", "importlib.reload", "functools.cache", "functools.lru_cache", "staticmethod"}
)
NOTHING: Final[Meanings] = ()


class TangledError(Exception):
    """The names of a source refer to each other in more ways than can be followed."""


class Package:
    """All modules of one source, by dotted name, so that what one re-exports is followed into another."""

    def __init__(self, facts: Iterable[Facts], fold: Fold) -> None:
        self.modules: Mapping[str, Names] = {one.module: Names(one, self, fold) for one in facts}
        self._tops = {name.partition(".")[0] for name in self.modules}
        self._steps = STEPS_BASE + STEPS_PER_MODULE * len(self.modules)

    def spend(self) -> None:
        """Take one step; `TangledError` when there is none left."""
        self._steps -= 1
        if self._steps < 0:
            raise TangledError

    def is_own(self, dotted: str) -> bool:
        """Whether a name is of this source."""
        return dotted.partition(".")[0] in self._tops and self.split(dotted) is not None

    def split(self, dotted: str) -> tuple[Names, str] | None:
        """The module of this source that a name stands in, and the rest of the name; None for another's."""
        if dotted.partition(".")[0] not in self._tops:
            return None
        head = dotted
        while head not in self.modules:
            head = head.rpartition(".")[0]
            if not head:
                return None
        return self.modules[head], dotted[len(head) + 1 :]

    def real(self, dotted: str) -> Meanings:
        """The name with re-exports followed: `notes.store` is `notes._store.store` when `notes` only imports it."""
        found: dict[str, None] = {}
        self._follow(dotted, found, set(), 0)
        return tuple(found)[:MEANINGS_MAX] or (dotted,)

    def _follow(self, dotted: str, found: dict[str, None], seen: set[str], depth: int) -> None:
        """Put the ends of every way that leads on from a name into `found`; each name on the way is met once."""
        self.spend()
        mark = ROUNDABOUT if dotted.startswith(ROUNDABOUT) else ""
        plain = dotted.removeprefix(ROUNDABOUT)
        if plain in seen:
            return
        seen.add(plain)
        own = self.split(plain)
        if own is None or depth > DEPTH_MAX:
            found[dotted] = None
            return
        names, rest = own
        first, _, more = rest.partition(".")
        if not first or names.defines(first):
            found[dotted] = None
            return
        before = len(found)
        for meaning in names.of_name(first, AT_IMPORT, depth + 1):
            whole = f"{meaning}.{more}" if more else meaning
            if whole.removeprefix(ROUNDABOUT) == plain:
                found[dotted] = None
            else:
                self._follow(mark + whole.removeprefix(ROUNDABOUT) if mark else whole, found, seen, depth + 1)
        if len(found) == before and depth == 0:
            found[dotted] = None


class Names:
    """The names of one module."""

    def __init__(self, facts: Facts, package: Package, fold: Fold) -> None:
        self.facts = facts
        self.package = package
        self._fold = fold
        self._imports: dict[tuple[str, str], list[str]] = {}
        self._stars: list[str] = []
        for one in facts.imports:
            if one.is_star:
                self._stars.append(one.target)
            else:
                is_global = one.scope in _MODULE_SCOPES or (one.scope, one.name) in facts.outer
                scope = AT_IMPORT if is_global else one.scope
                self._imports.setdefault((scope, one.name), []).append(one.target)
        for scope, name in facts.outer:
            values = facts.bindings.pop((scope, name), [])
            facts.bindings.setdefault((AT_IMPORT, name), []).extend(values)
        self._known: dict[tuple[str, str], Meanings] = {}
        self._busy: set[tuple[str, str]] = set()

    def defines(self, name: str) -> bool:
        """Whether the module itself has a function or class of this name."""
        return name in self.facts.functions or name in self.facts.classes

    def binds(self, name: str) -> bool:
        """Whether the module has anything of this name to give to others."""
        key = (AT_IMPORT, name)
        return self.defines(name) or key in self._imports or key in self.facts.bindings or bool(self._stars)

    def of_chain(self, chain: str, scope: str) -> Meanings:
        """The real names of `a.b.c` as read in a scope; empty when it is no import, no own definition and no builtin."""
        key = (scope, chain)
        known = self._known.get(key)
        if known is not None:
            return known
        root, _, rest = chain.partition(".")
        meanings = self._with_rest(self.of_name(root, scope), rest)
        self._known[key] = meanings
        return meanings

    def _with_rest(self, meanings: Meanings, rest: str) -> Meanings:
        if not meanings:
            return NOTHING
        real = self.package.real
        found: list[str] = []
        for meaning in meanings:
            found += real(f"{meaning}.{rest}" if rest else meaning)
        return tuple(dict.fromkeys(found))[:MEANINGS_MAX]

    def of_name(self, name: str, scope: str, depth: int = 0) -> Meanings:
        """The meanings of one bare name; re-exports are not followed yet."""
        key = (scope, name)
        if key in self._busy or depth > DEPTH_MAX:
            return NOTHING
        self._busy.add(key)
        try:
            return tuple(dict.fromkeys(self._lookup(name, scope, depth)))[:MEANINGS_MAX]
        finally:
            self._busy.discard(key)

    def _lookup(self, name: str, scope: str, depth: int) -> list[str]:
        self.package.spend()
        facts = self.facts
        found: list[str] = []
        local = facts.bindings.get((scope, name)) if scope else None
        imported = self._imports.get((scope, name)) if scope else None
        if local is not None or imported is not None:
            if name in ("self", "cls") and "." in scope:
                return [f"{facts.module}.{scope.rpartition('.')[0]}"]
            found += imported or ()
            for value in local or ():
                if value is not None:
                    found += self._of(value, scope, depth + 1)
            return found
        found += self._imports.get((AT_IMPORT, name), ())
        if self.defines(name):
            found.append(f"{facts.module}.{name}")
        bound = facts.bindings.get((AT_IMPORT, name))
        for value in bound or ():
            if value is not None:
                found += self._of(value, AT_IMPORT, depth + 1)
        if found or bound is not None:
            return found
        for star in self._stars:
            own = self.package.split(star)
            if own is None or (own[0] is not self and not own[1] and own[0].binds(name)):
                found.append(f"{star}.{name}")
        if name == "__builtins__":
            return [f"{ROUNDABOUT}builtins"]
        if name in _BUILTINS:
            return [*found, f"builtins.{name}"]
        if not found and f"{facts.module}.{name}" in self.package.modules:
            return [f"{facts.module}.{name}"]
        return found

    def of(self, node: ast.expr, scope: str) -> Meanings:
        """The real names that an expression can stand for."""
        chain = chain_of(node)
        if chain is not None:
            return self.of_chain(chain, scope)
        return self._with_rest(tuple(self._of(node, scope, 0)), "")

    def text(self, node: ast.expr, scope: str) -> str | None:
        """The text of a constant expression, or None."""
        value = self._fold(self, node, scope)
        return value if isinstance(value, str) else None

    def _of(self, node: ast.expr, scope: str, depth: int) -> Iterable[str]:
        if depth > DEPTH_MAX:
            return NOTHING
        match node:
            case ast.Name():
                return self.of_name(node.id, scope, depth + 1)
            case ast.Attribute():
                chain = chain_of(node)
                if chain is not None:
                    root, _, rest = chain.partition(".")
                    return self._with_rest(self.of_name(root, scope, depth + 1), rest)
                return [f"{one}.{node.attr}" for one in self._of(node.value, scope, depth + 1)]
            case ast.Call():
                return self._of_call(node, scope, depth + 1)
            case ast.Subscript():
                return self._of_item(node, scope, depth + 1)
            case ast.NamedExpr() | ast.Await():
                return self._of(node.value, scope, depth + 1)
            case ast.IfExp():
                return [*self._of(node.body, scope, depth + 1), *self._of(node.orelse, scope, depth + 1)]
            case ast.BoolOp():
                return [one for value in node.values for one in self._of(value, scope, depth + 1)]
            case _:
                return NOTHING

    def _of_call(self, node: ast.Call, scope: str, depth: int) -> Iterable[str]:
        found: list[str] = []
        args = node.args
        for func in self._with_rest(tuple(self._of(node.func, scope, depth)), ""):
            name = func.removeprefix(ROUNDABOUT)
            if name == "builtins.getattr" and len(args) > 1:
                attribute = self.text(args[1], scope)
                if attribute is not None:
                    found += [_roundabout(one, attribute) for one in self._of(args[0], scope, depth)]
            elif name in _IMPORTERS and args:
                module = self.text(args[0], scope)
                if module is not None:
                    # `__import__("a.b")` gives `a`, unless something is asked for from the list.
                    top = (
                        module.partition(".")[0] if name.endswith("__import__") and len(args) < 4 else module
                    )
                    found.append(f"{ROUNDABOUT}{top}")
            elif name == "builtins.vars" and args:
                found += [f"{one}.__dict__" for one in self._of(args[0], scope, depth)]
            elif name in ("builtins.globals", "builtins.locals", "builtins.vars"):
                found.append(f"{self.facts.module}.__dict__")
            elif name in _SAME and args:
                found += self._of(args[0], scope, depth)
            else:
                # What a class makes has the methods of the class; what a function gives keeps its name.
                found.append(func)
        return found

    def _of_item(self, node: ast.Subscript, scope: str, depth: int) -> Iterable[str]:
        bases = self._with_rest(tuple(self._of(node.value, scope, depth)), "")
        if not bases:
            return NOTHING
        key = self.text(node.slice, scope)
        if key is None:
            return NOTHING
        found: list[str] = []
        for base in bases:
            name = base.removeprefix(ROUNDABOUT)
            if name == "sys.modules":
                found.append(f"{ROUNDABOUT}{key}")
            elif name == "builtins":
                found.append(f"{ROUNDABOUT}builtins.{key}")
            elif name.endswith(".__dict__"):
                found.append(_roundabout(name.removesuffix(".__dict__"), key))
        return found


def _roundabout(base: str, attribute: str) -> str:
    return f"{ROUNDABOUT}{base.removeprefix(ROUNDABOUT)}.{attribute}"
