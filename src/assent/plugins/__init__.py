"""Third-party capabilities: read and understood before any of their code runs."""

from __future__ import annotations

from assent.plugins._declaration import accepts, declared
from assent.plugins._scan import scan
from assent.plugins.manifest import Declaration, Manifest, Permissions, SourceKind, manifest_schema

__all__ = [
    "Declaration",
    "Manifest",
    "Permissions",
    "SourceKind",
    "accepts",
    "declared",
    "manifest_schema",
    "scan",
]
