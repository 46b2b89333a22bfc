"""Third-party capabilities: read and understood before any of their code runs."""

from __future__ import annotations

from assent.plugins._agreement import agree
from assent.plugins._cache import ManifestCache
from assent.plugins._declaration import accepts, declared
from assent.plugins._reading import PluginText, read_plugin
from assent.plugins._scan import scan
from assent.plugins._warnings import warnings_of
from assent.plugins.manifest import (
    Declaration,
    Manifest,
    Permissions,
    PluginWarning,
    SourceKind,
    manifest_schema,
)

__all__ = [
    "Declaration",
    "Manifest",
    "ManifestCache",
    "Permissions",
    "PluginText",
    "PluginWarning",
    "SourceKind",
    "accepts",
    "agree",
    "declared",
    "manifest_schema",
    "read_plugin",
    "scan",
    "warnings_of",
]
