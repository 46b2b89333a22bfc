"""A plugin at a path, whatever it is there: a file, a package, a project's folder or a wheel.

What is read is what an import could execute or read as its data: the modules and packages at the top of the source's import
folder. A project's other files (tests, documentation, its build) are no part of the plugin.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Final

import msgspec

from assent.errors import InputError
from assent.plugins.manifest import SCANNER_REVISION, Declaration, Manifest, SourceKind
from assent.plugins.scan import scan
from assent.plugins.source._code import PluginCode
from assent.plugins.source._declaration import DECLARATION_FILE, PROJECT_FILE, declared, script_metadata
from assent.plugins.source._sources import PluginSource, require_own_modules
from assent.plugins.source._trust import Candidate
from assent.plugins.source._wheel import TOTAL_BYTES_MAX, read_wheel
from assent.spec.values.canonical import canonical_json

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
        f"`{path.name}` is not a plugin",
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


def read_candidate(source: PluginSource, *, assent: str) -> Candidate:
    """The plugin as it stands now; nothing of it is imported. `assent` is the version of Assent that it would run with.

    Raises what `read_plugin` raises, PLUGIN_SOURCE_INVALID, and `RefusedError` PLUGIN_SHADOWS when one of its modules takes the
    name of one that is not its own.
    """
    if source.path is None:
        code = PluginCode.read(source.roots)
        text = _installed(source, code)
    else:
        # What `assent plugin inspect PATH` reads, so that both speak of the same fingerprint.
        text = read_plugin(source.path)
        code = PluginCode(text.files, {name: str(source.base / name) for name in text.files})
    require_own_modules(source, code.tops)
    return Candidate(source, code, scan(text.files, text.declaration, text.kind), assent)


def _installed(source: PluginSource, code: PluginCode) -> PluginText:
    # Its folder is an unpacked wheel, and reads as the wheel did before it was installed.
    declaring = {
        name: data for name, data in code.files.items() if name.rpartition("/")[2] == DECLARATION_FILE
    }
    declaration = declared(declaring, name=source.name, metadata=source.metadata)
    return PluginText(SourceKind.WHEEL, code.files, declaration)


MANIFESTS_MAX: Final = 128
"""Manifests that one cache keeps; the one that was not asked for the longest goes first."""


@dataclass(frozen=True, slots=True)
class _Keyed:
    key: str
    text: PluginText = field(compare=False)


class ManifestCache:
    """Makes manifests, and keeps the last ones. Safe to share between threads.

    Equal bytes, declaration and kind give the same manifest; any changed byte gives a new one. Faults are not kept.
    """

    def __init__(self, limit: int = MANIFESTS_MAX) -> None:
        def made(one: _Keyed) -> Manifest:
            return scan(one.text.files, one.text.declaration, one.text.kind)

        self._made = lru_cache(maxsize=max(limit, 0))(made)
        self.statistics: Final = self._made.cache_info
        """How often it had the answer, and how many it holds."""
        self.clear: Final = self._made.cache_clear
        """Forget every manifest, and the counts with them."""

    def manifest(self, text: PluginText) -> Manifest:
        """The manifest of a plugin; raises what `scan` raises."""
        return self._made(_Keyed(content_key(text), text))


def content_key(text: PluginText) -> str:
    """64 hex digits that name everything a manifest follows from."""
    digest = hashlib.sha256(f"{SCANNER_REVISION}\0{text.kind}\0".encode())
    digest.update(hashlib.sha256(canonical_json(msgspec.to_builtins(text.declaration))).digest())
    for path in sorted(text.files):
        digest.update(hashlib.sha256(path.encode()).digest())
        digest.update(hashlib.sha256(text.files[path]).digest())
    return digest.hexdigest()
