"""The capabilities that every runtime has."""

from __future__ import annotations

from types import ModuleType
from typing import Any, Final

from assent.capabilities.fs import _capabilities as fs
from assent.capabilities.sys import _capabilities as sys
from assent.invocation import Capability, capabilities_in

BUILTIN_MODULES: Final[tuple[ModuleType, ...]] = (fs, sys)
"""The modules that describe them."""


def builtin_capabilities() -> list[Capability[..., Any]]:  # `Any`: each has its own result
    """All of them, described; `rt.register` or a spec of theirs builds what it needs."""
    return [one for module in BUILTIN_MODULES for one in capabilities_in(module)]
