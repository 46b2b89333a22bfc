"""Which capabilities exist, in which versions, and what a reference such as `io.fs.write_file@1.0.0` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.registry._registry import CapabilityRegistry
    from assent.registry._resolution import CapabilityVersion, Resolution, VersionIndex, instant
    from assent.registry._timeline import LabelChange, RecordedVersion
    from assent.registry._view import RegistryView

_HOMES = {
    "CapabilityRegistry": "._registry",
    "CapabilityVersion": "._resolution",
    "LabelChange": "._timeline",
    "RecordedVersion": "._timeline",
    "RegistryView": "._view",
    "Resolution": "._resolution",
    "VersionIndex": "._resolution",
    "instant": "._resolution",
}

__all__ = [
    "CapabilityRegistry",
    "CapabilityVersion",
    "LabelChange",
    "RecordedVersion",
    "RegistryView",
    "Resolution",
    "VersionIndex",
    "instant",
]

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
