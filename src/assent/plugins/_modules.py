"""Which modules the files of a plugin are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.machinery import EXTENSION_SUFFIXES
from typing import Final

from assent.errors import InputError
from assent.plugins._code import PluginCode

_SOURCE: Final = ".py"


@dataclass(frozen=True, slots=True)
class ModuleFile:
    """The file that one module is made of."""

    file: str
    is_package: bool
    is_native: bool


def modules_of(code: PluginCode) -> dict[str, ModuleFile]:
    """Every module of a plugin by its dotted name; `InputError` PLUGIN_INVALID when two files claim one name.

    A folder is a package when it has an `__init__.py` of its own. One without is none: Python would let any folder of that name,
    anywhere on its path, add modules to it.
    """
    found: dict[str, ModuleFile] = {}
    faults: list[str] = []
    for file in code.files:
        name = module_name(file)
        if name is None or not _is_inside_packages(file, code.files):
            continue
        if name in found:
            faults.append(f"`{found[name].file}` and `{file}` are both the module `{name}`")
            continue
        found[name] = ModuleFile(
            file, is_package=file.endswith("/__init__.py"), is_native=not file.endswith(_SOURCE)
        )
    if faults:
        more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
        raise InputError(
            "PLUGIN_INVALID",
            f"{faults[0]}{more}",
            hint="keep one of them",
            details={"faults": [*faults]},
        )
    return found


def module_name(file: str) -> str | None:
    """The dotted name of the module that a file would be, or None where it is none."""
    folder, _, last = file.rpartition("/")
    stem = next(
        (last.removesuffix(end) for end in (_SOURCE, *EXTENSION_SUFFIXES) if last.endswith(end)), None
    )
    parts = [*folder.split("/"), stem] if folder else [stem]
    if stem is None or not all(part is not None and part.isidentifier() for part in parts):
        return None
    if stem == "__init__" and folder:
        parts.pop()
    return ".".join(part for part in parts if part)


def native_files(code: PluginCode) -> list[str]:
    """The files of compiled modules, whose code nobody can read."""
    return [file for file in code.files if file.endswith(tuple(EXTENSION_SUFFIXES)) or ".so." in file]


def _is_inside_packages(file: str, files: Mapping[str, bytes]) -> bool:
    folder = file.rpartition("/")[0]
    while folder:
        if f"{folder}/__init__.py" not in files:
            return False
        folder = folder.rpartition("/")[0]
    return True
