"""Plugins for tests: files written from a table, distributions installed into a folder, an interpreter left as it was."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from assent.errors import AssentError

_LASTING = (sys.prefix, sys.base_prefix, str(Path(__file__).parents[2]), "built-in", "frozen")
"""Where modules come from that are no plugin's."""


def write(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """The folder, with these files in it."""
    for name, content in files.items():
        place = folder / name
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def install(
    site: Path,
    name: str,
    files: Mapping[str, str | bytes],
    *,
    entry_points: str = "",
    version: str = "1.0.0",
) -> Path:
    """The folder of installed distributions, with this one in it. `entry_points` are lines of the group `assent.plugins`."""
    info = f"{name.replace('-', '_')}-{version}.dist-info"
    about = {
        f"{info}/METADATA": f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n",
        f"{info}/entry_points.txt": f"[assent.plugins]\n{entry_points}\n" if entry_points else "",
    }
    record = "".join(f"{file},,\n" for file in [*files, *about, f"{info}/RECORD"])
    return write(site, {**files, **about, f"{info}/RECORD": record})


@contextmanager
def interpreter_kept() -> Iterator[None]:
    """What plugins import inside, and whoever answers imports, is forgotten afterwards.

    Modules of Python, of Assent and of what is installed stay: a second copy of one would have other classes than the first.
    """
    modules, finders, path = set(sys.modules), [*sys.meta_path], [*sys.path]
    try:
        yield
    finally:
        for name in set(sys.modules) - modules:
            spec = getattr(sys.modules[name], "__spec__", None)
            origin = str(getattr(spec, "origin", None) or "")
            if not origin.startswith(_LASTING):
                del sys.modules[name]
        sys.meta_path[:] = finders
        sys.path[:] = path


def refused(call: Callable[[], object]) -> AssentError:
    """The error that a call is refused with."""
    try:
        call()
    except AssentError as error:
        return error
    raise AssertionError("nothing was refused")
