"""The files of a plugin, read once: what is looked at, pinned and imported later are these bytes and no others.

Every file below a root counts, data included: a plugin may run what it reads. `__pycache__` alone is left out, because bytecode
is never used. Links are refused, also links to folders: where they lead can change without any byte here changing.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from importlib.machinery import EXTENSION_SUFFIXES
from pathlib import Path
from typing import Final

from assent.errors import InputError

FILES_MAX: Final = 5_000
"""Files of one plugin."""
FILE_BYTES_MAX: Final = 64 << 20
TOTAL_BYTES_MAX: Final = 256 << 20
DEPTH_MAX: Final = 32
"""Folders below one another."""

_UNUSED: Final = "__pycache__"
_FLAGS: Final = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
"""O_NONBLOCK: a FIFO in a file's place must not hang us before we have seen that it is no file."""


class PluginCode:
    """A plugin's bytes by their path below the folder that it is imported from: `notes/__init__.py`, `notes/_store.py`."""

    def __init__(self, files: Mapping[str, bytes], places: Mapping[str, str]) -> None:
        self.files: Mapping[str, bytes] = dict(sorted(files.items()))
        self._places = places

    @classmethod
    def read(cls, roots: Iterable[Path]) -> PluginCode:
        """The files of these packages (folders) and modules (files). `InputError` PLUGIN_INVALID lists every fault.

        What changes while it is read is read as it is met: the answer is one set of bytes, and only that is used later.
        """
        reading = _Reading()
        for root in roots:
            reading.read(root)
        if reading.faults:
            first, *others = reading.faults
            more = f" (and {len(others)} more)" if others else ""
            raise InputError(
                "PLUGIN_INVALID",
                f"{first}{more}",
                hint="a plugin is made of plain files; put the file itself in the link's place",
                details={"faults": [*reading.faults]},
            )
        return cls(reading.files, reading.places)

    @cached_property
    def digests(self) -> dict[str, str]:
        """SHA-256 in 64 hex digits of each file, recomputed from its bytes."""
        return {name: hashlib.sha256(data).hexdigest() for name, data in self.files.items()}

    @property
    def tops(self) -> frozenset[str]:
        """The names that the plugin takes among all modules: `notes` for `notes.py` and for `notes/__init__.py`."""
        importable = (".py", *EXTENSION_SUFFIXES)
        return frozenset(
            name.partition("/")[0].partition(".")[0]
            for name in self.files
            if "/" in name or name.endswith(importable)
        )

    def place(self, name: str) -> str:
        """Where a file was read, for tracebacks; it is never read there again."""
        return self._places[name]

    @cached_property
    def places(self) -> frozenset[str]:
        """Every place that a file was read at."""
        return frozenset(self._places.values())


class _Reading:
    """One pass over the roots; faults are gathered, so that a person sees all of them."""

    def __init__(self) -> None:
        self.files: dict[str, bytes] = {}
        self.places: dict[str, str] = {}
        self.faults: list[str] = []
        self._bytes = 0

    def read(self, root: Path) -> None:
        try:
            descriptor = os.open(root, _FLAGS)
        except OSError as error:
            self.faults.append(_refusal(str(root), error))
            return
        self._take(descriptor, root.name, str(root), 0)

    def _take(self, descriptor: int, name: str, place: str, depth: int) -> None:
        try:
            mode = os.fstat(descriptor).st_mode
            if stat.S_ISDIR(mode):
                self._take_folder(descriptor, name, place, depth)
            elif stat.S_ISREG(mode):
                self._take_file(descriptor, name, place)
            else:
                self.faults.append(f"`{place}` is not a plain file")
        finally:
            os.close(descriptor)

    def _take_folder(self, descriptor: int, name: str, place: str, depth: int) -> None:
        if depth >= DEPTH_MAX:
            self.faults.append(f"`{place}` is nested more than {DEPTH_MAX} folders deep")
            return
        for entry in _entries(descriptor):
            if not entry.isprintable():  # also every byte that is no UTF-8
                self.faults.append(f"`{place}` holds a file whose name is not plain text")
                continue
            inner = f"{place}/{entry}"
            try:
                below = os.open(entry, _FLAGS, dir_fd=descriptor)
            except OSError as error:
                self.faults.append(_refusal(inner, error))
                continue
            self._take(below, f"{name}/{entry}", inner, depth + 1)

    def _take_file(self, descriptor: int, name: str, place: str) -> None:
        with os.fdopen(descriptor, "rb", closefd=False) as file:
            data = file.read(FILE_BYTES_MAX + 1)
        self._bytes += len(data)
        if len(data) > FILE_BYTES_MAX or self._bytes > TOTAL_BYTES_MAX or len(self.files) >= FILES_MAX:
            self.faults.append(
                f"`{place}` is too much: a plugin has at most {FILES_MAX} files, {FILE_BYTES_MAX} bytes each, "
                f"{TOTAL_BYTES_MAX} bytes together"
            )
            return
        self.files[name] = data
        self.places[name] = place


def _entries(descriptor: int) -> Iterator[str]:
    with os.scandir(descriptor) as entries:
        names = sorted(entry.name for entry in entries if entry.name != _UNUSED)
    yield from names


def _refusal(place: str, error: OSError) -> str:
    if os.path.islink(place):  # noqa: PTH114 - a text that may be no path at all
        return f"`{place}` is a link"
    return f"`{place}` can't be read: {os.strerror(error.errno or 0).lower()}"


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
