"""Sources of a plugin, scanned without being run."""

from __future__ import annotations

from textwrap import dedent

from assent.plugins import Declaration, Manifest, SourceKind, scan
from assent.plugins.manifest import Capability, Use


def read(source: str, **more: str) -> Manifest:
    """The manifest of a package `notes` with this `__init__.py` and more modules beside it."""
    files = {"notes/__init__.py": dedent(source).encode()}
    files |= {f"notes/{name}.py": dedent(text).encode() for name, text in more.items()}
    return scan(files, Declaration(name="notes"), SourceKind.PACKAGE)


def only(source: str, **more: str) -> Capability:
    (capability,) = read(source, **more).capabilities
    return capability


def uses(source: str, **more: str) -> dict[str, Use]:
    return {use.name: use for use in read(source, **more).uses}
