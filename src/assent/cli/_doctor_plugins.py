"""What `assent doctor` says of what trusted plugins were granted: services that `[net]` shuts, and secrets by their values."""

from __future__ import annotations

from collections.abc import Iterator

from assent.cli._check import Check
from assent.cli._units import count_text
from assent.runtime._plugin_reach import shut_services, trusted_manifests
from assent.runtime.settings import Settings


def reach_checks(settings: Settings) -> Iterator[Check]:
    """For each trusted plugin that declares services, those that `[net]` would refuse. No host is looked up for it."""
    for plugin, manifest in trusted_manifests(settings).items():
        declared = manifest.declaration.permissions.network
        shut = shut_services(plugin, declared, settings)
        for one in shut:
            yield Check(f"plugin: {plugin}", "warning", f"`{one.what}` would be refused: {one.why}", one.hint)
        if declared and not shut:
            seen = f"{count_text(len(declared), 'service')} declared, and let out by `[net]`"
            yield Check(f"plugin: {plugin}", "ok", seen)
