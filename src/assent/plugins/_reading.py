"""A plugin at a path, whatever it is there: a file, a package, a project's folder or a wheel.

What is read is what an import could execute or read as its data: the modules and packages at the top of the source's import
folder. A project's other files (tests, documentation, its build) are no part of the plugin.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from assent.errors import InputError
from assent.plugins._code import PluginCode
from assent.plugins._declaration import DECLARATION_FILE, PROJECT_FILE, declared, script_metadata
from assent.plugins._wheel import TOTAL_BYTES_MAX, read_wheel
from assent.plugins.manifest import Declaration, SourceKind

DECLARATION_BYTES_MAX: Final = 1 << 20
WHEEL_BYTES_MAX: Final = TOTAL_BYTES_MAX

_NO_CODE: Final = frozenset(
    """tests test docs doc examples benchmarks build dist node_modules venv env site setup conftest noxfile tasks fabfile
    conf""".split()
)
"""Names at the top of a project that are no part of what it installs, unless its `src` folder holds them."""


@dataclass(frozen=True, slots=True)
class PluginText:
    """What a plugin is made of: its bytes by path below its import folder, and what it declares."""

    kind: SourceKind
    files: Mapping[str, bytes]
    declaration: Declaration


def read_plugin(path: Path) -> PluginText:
    """The plugin at a path; nothing of it is imported, unpacked or run.

    Raises `InputError`: FILE_MISSING, FILE_UNREADABLE, PLUGIN_INVALID (what is there is no plugin, holds links, or is too large),
    PLUGIN_WHEEL_INVALID, PLUGIN_DECLARATION_INVALID.
    """
    # The path itself may be a link, which is the caller's affair; below it none is followed.
    place = Path(os.path.realpath(path))
    if place.is_dir():
        return _package(place) if (place / "__init__.py").is_file() else _project(place)
    if place.suffix == ".whl":
        wheel = read_wheel(_bytes(place, WHEEL_BYTES_MAX), path.name)
        name = place.stem.partition("-")[0]
        return PluginText(
            SourceKind.WHEEL,
            wheel.files,
            declared(_declaring(wheel.files), name=name, metadata=wheel.metadata),
        )
    if place.suffix == ".py":
        code = PluginCode.read([place])
        return PluginText(SourceKind.FILE, code.files, declared(code.files, name=place.stem))
    if not place.exists():
        raise InputError("FILE_MISSING", f"there is nothing at `{path}`", path=str(path))
    raise InputError(
        "PLUGIN_INVALID",
        f"`{path.name}` is no plugin",
        path=str(path),
        hint="name a `.py` file, a package, a project's folder or a `.whl` file",
    )


def _package(place: Path) -> PluginText:
    """One package by itself; when it stands inside another one, under its full name."""
    above: list[str] = []
    parent = place.parent
    while (parent / "__init__.py").is_file():
        above.insert(0, parent.name)
        parent = parent.parent
    prefix = "".join(f"{name}/" for name in above)
    files = {prefix + name: data for name, data in PluginCode.read([place]).files.items()}
    return PluginText(SourceKind.PACKAGE, files, declared(_declaring(files), name=place.name))


def _project(place: Path) -> PluginText:
    """A project: what it installs, found in its `src` folder or, without one, beside its `pyproject.toml`."""
    base = place / "src" if (place / "src").is_dir() else place
    tops = [
        entry
        for entry in sorted(base.iterdir())
        if _is_top(entry) and (base != place or entry.name.partition(".")[0] not in _NO_CODE)
    ]
    if not tops:
        raise InputError(
            "PLUGIN_INVALID",
            f"`{place.name}` holds no package and no module",
            path=str(place),
            hint="name a `.py` file, a package, a project's folder or a `.whl` file",
        )
    files = dict(PluginCode.read(tops).files)
    outside = {
        name: _bytes(place / name, DECLARATION_BYTES_MAX)
        for name in (PROJECT_FILE, DECLARATION_FILE)
        if (place / name).is_file()
    }
    declaration = declared({**_declaring(files), **outside}, name=place.name)
    return PluginText(SourceKind.FOLDER, files, declaration)


def _is_top(entry: Path) -> bool:
    """Whether a file or folder at the top of an import folder is a module or a package."""
    if entry.name.startswith((".", "_pycache", "__pycache__")):
        return False
    if entry.is_dir() and not entry.is_symlink():
        return (entry / "__init__.py").is_file()
    return entry.suffix in (".py", ".pth") or entry.suffix in (".so", ".pyd")


def _declaring(files: Mapping[str, bytes]) -> dict[str, bytes]:
    """The files of a source that may declare it: at its top, or inside a package there."""
    return {
        path: data
        for path, data in files.items()
        if (path.rpartition("/")[2] == DECLARATION_FILE)
        or (path.endswith(".py") and "/" not in path and script_metadata(data) is not None)
    }


def _bytes(path: Path, limit: int) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(limit + 1)
    except OSError as error:
        reason = os.strerror(error.errno or 0).lower()
        raise InputError(
            "FILE_UNREADABLE", f"`{path.name}` can't be read: {reason}", path=str(path)
        ) from None
    if len(data) > limit:
        raise InputError("FILE_UNREADABLE", f"`{path.name}` is larger than {limit >> 20} MiB", path=str(path))
    return data
