"""Which capabilities exist, in which versions, and what a reference such as `io.fs.write_file@1.0.0` means."""

from assent.registry._registry import CapabilityRegistry
from assent.registry._resolution import CapabilityVersion, Resolution, VersionIndex, instant
from assent.registry._snapshot import RegistrySnapshot
from assent.registry._timeline import Activation, LabelChange, RecordedVersion
from assent.registry._traffic import (
    HealthLimits,
    Rate,
    Switch,
    Tally,
    VersionHealth,
    chosen,
    sharing,
    spoken,
    switch,
)

__all__ = [
    "Activation",
    "CapabilityRegistry",
    "CapabilityVersion",
    "HealthLimits",
    "LabelChange",
    "Rate",
    "RecordedVersion",
    "RegistrySnapshot",
    "Resolution",
    "Switch",
    "Tally",
    "VersionHealth",
    "VersionIndex",
    "chosen",
    "instant",
    "sharing",
    "spoken",
    "switch",
]
