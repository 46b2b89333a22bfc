"""The arguments of a call, each evaluated when it is asked for."""

from __future__ import annotations

import ast

from assent.plugins.scan._names import Names
from assent.plugins.scan._values import UNKNOWN, fold


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
