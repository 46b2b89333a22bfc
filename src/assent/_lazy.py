"""What is made when somebody asks for it, so that a command pays at its start for what it uses only: public names, patterns."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any, AnyStr, TypeAlias

_Resolve: TypeAlias = Callable[[str], object]
_List: TypeAlias = Callable[[], list[str]]


def resolved_when_asked(package: str, modules: Mapping[str, str]) -> tuple[_Resolve, _List]:
    """The `__getattr__` and `__dir__` (PEP 562) of a package: `modules` names its public names by where they are defined.

    A module is named as in an import statement of the package: `._child` is its own, `assent.errors` another's. Asking for
    a name that is in no module raises `AttributeError`, as for any other module.
    """
    homes = {name: module for module, names in modules.items() for name in names.split()}

    def resolve(name: str) -> object:
        home = homes.get(name)
        if home is None:
            raise AttributeError(f"module `{package}` has no attribute `{name}`")
        value: object = getattr(import_module(home, package), name)
        setattr(sys.modules[package], name, value)  # the next look-up finds it without asking here
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return resolve, names


def compiled_when_asked(text: AnyStr, flags: int = 0) -> re.Pattern[AnyStr]:
    """`re.compile`, for a module that commands load at their start: what a module has of them is most often not asked.

    A fault in the pattern shows at its first use.
    """
    return _Pattern(text, flags)  # type: ignore[return-value]  # whatever it is asked for is the pattern's


class _Pattern:
    def __init__(self, text: Any, flags: int) -> None:  # `Any`: text or bytes, as above
        self._said = text, flags

    def __getattr__(self, name: str) -> Any:  # `Any`: methods and fields of a pattern
        value = getattr(re.compile(*self._said), name)
        setattr(self, name, value)  # as above
        return value
