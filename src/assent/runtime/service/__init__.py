"""The application service: typed requests, typed answers, and one way in for every door.

`service.requests` and `service.answers` are imported when they are first asked for: who only prints help needs none of them.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from assent.runtime.service import answers, requests

__all__ = ["answers", "requests"]


def __getattr__(name: str) -> ModuleType:
    if name not in __all__:
        raise AttributeError(f"module `{__name__}` has no attribute `{name}`")
    found = import_module(f"{__name__}.{name}")
    setattr(sys.modules[__name__], name, found)
    return found
