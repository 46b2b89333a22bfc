"""The door to the CEL binding: loads its Rust extension without the command line that the package drags in.

`import cel` costs 400 ms of CPU, because its `__init__` imports an interactive shell (typer, prompt_toolkit); the extension
itself loads in 11 ms. The extension can be initialised only once per process (it installs a logger and panics the second time),
so it is entered in `sys.modules` under its real name, where a later `import cel` by somebody else finds it.
"""

from __future__ import annotations

import importlib
import sys
from importlib.machinery import PathFinder
from importlib.util import find_spec, module_from_spec
from threading import Lock
from types import ModuleType

_NAME = "cel.cel"
_lock = Lock()


def binding() -> ModuleType:
    """The module with `compile` and `Context`; loaded on the first call, safe from any thread."""
    module = sys.modules.get(_NAME)
    if module is not None:
        return module
    with _lock:
        module = sys.modules.get(_NAME)
        return module if module is not None else _load()


def _load() -> ModuleType:
    package = find_spec("cel")
    spec = PathFinder.find_spec(_NAME, package.submodule_search_locations if package else None)
    if spec is None or spec.loader is None:
        return importlib.import_module("cel")  # Another layout of the package: slower, the same functions.
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    sys.modules[_NAME] = module
    return module
