"""What importing a plugin did to the interpreter that everybody shares.

This finds accidents and clumsy attacks: a module put in another's place, a builtin replaced, a finder that answers first. It is
no sandbox. Code that runs in this process can do what the process can, which is why it is read and trusted before.
"""

from __future__ import annotations

import builtins
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Final

_OWN: Final = "assent"
_HOME: Final = str(Path(__file__).parents[1])


class InterpreterGuard:
    """The shared parts of the interpreter as they were; says what changed, and puts it back."""

    def __init__(self, tops: Collection[str]) -> None:
        self._tops = tops
        self._modules = dict(sys.modules)
        self._builtins = dict(vars(builtins))
        self._path = [*sys.path]
        self._hooks = [*sys.path_hooks]
        self._finders = [*sys.meta_path]

    def changes(self) -> list[str]:
        """One line per change; empty when there is none."""
        found = [f"`sys.modules`: {line}" for line in self._module_changes()]
        now = vars(builtins)
        names = sorted({*now, *self._builtins} - {"_"})
        found += [f"builtin `{name}`" for name in names if now.get(name) is not self._builtins.get(name)]
        if sys.path != self._path:
            found.append("`sys.path`")
        if sys.path_hooks != self._hooks:
            found.append("`sys.path_hooks`")
        # A library may add a finder behind the others; before them, it would answer for modules that are not its own.
        if sys.meta_path[: len(self._finders)] != self._finders:
            found.append("`sys.meta_path`")
        return found

    def _module_changes(self) -> list[str]:
        lines = []
        for name, module in self._modules.items():
            if name not in sys.modules:
                lines.append(f"`{name}` was removed")
            elif sys.modules[name] is not module:
                lines.append(f"`{name}` was replaced")
        for name in sorted(set(sys.modules) - set(self._modules)):
            top = name.partition(".")[0]
            # A library may make modules below its own name; nobody else's name is free for that.
            if _is_planted(name) and top not in self._tops and top in {name, _OWN}:
                lines.append(f"`{name}` was planted")
        return lines

    def restore(self) -> None:
        """Put everything back as it was. Modules that were imported as usual stay: others may hold them by now."""
        planted = [name for name in [*sys.modules] if name not in self._modules and _is_planted(name)]
        for name in planted:
            del sys.modules[name]
        sys.modules.update(self._modules)
        for name in set(vars(builtins)) - set(self._builtins):
            delattr(builtins, name)
        vars(builtins).update(self._builtins)
        sys.path[:] = self._path
        sys.path_hooks[:] = self._hooks
        sys.meta_path[:] = self._finders


def _is_planted(name: str) -> bool:
    """Whether a module came otherwise than by an import: that gives it a spec, and one of Assent's own comes from its folder."""
    spec = getattr(sys.modules[name], "__spec__", None)
    if name.partition(".")[0] != _OWN:
        return spec is None
    # Much of Assent is imported when it is first needed, the code behind the built-in capabilities above all.
    return not str(getattr(spec, "origin", None)).startswith(_HOME)
