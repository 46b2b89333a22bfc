"""Third-party capabilities: read and understood before any of their code runs."""

from __future__ import annotations

from assent.plugins._differences import Difference
from assent.plugins._scaffold import new_plugin
from assent.plugins._warnings import warnings_of
from assent.plugins.loading._agreement import agree
from assent.plugins.loading._host import InProcessHost
from assent.plugins.loading._loader import PluginLoader, PluginState, PluginStatus
from assent.plugins.loading._trial import try_plugin
from assent.plugins.manifest import (
    Declaration,
    Manifest,
    Permissions,
    PluginWarning,
    SourceKind,
    manifest_schema,
)
from assent.plugins.ports import LoadedPlugin, PluginHost
from assent.plugins.scan import scan
from assent.plugins.source._declaration import accepts, declared
from assent.plugins.source._lock import Lock, LockEntry
from assent.plugins.source._reading import ManifestCache, PluginText, read_candidate, read_plugin
from assent.plugins.source._sources import PluginSource, Sources, find_sources, sources_at
from assent.plugins.source._trust import Candidate, CheckedPlugin
