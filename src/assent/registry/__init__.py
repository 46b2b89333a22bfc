"""Which capabilities exist, in which versions, and what a reference such as `io.fs.write_file@1.0.0` means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.registry._registry import CapabilityRegistry
    from assent.registry._resolution import CapabilityVersion, Resolution, VersionIndex
    from assent.registry._timeline import LabelChange, RecordedVersion
    from assent.registry._view import RegistryView

_HOMES = {
    "._registry": "CapabilityRegistry",
    "._resolution": "CapabilityVersion Resolution VersionIndex",
    "._timeline": "LabelChange RecordedVersion",
    "._view": "RegistryView",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
