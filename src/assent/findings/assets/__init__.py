"""What scans are made with, by reference: `res://TYPE/NAME:VERSION`. The port of a provider, one in memory, one in a file."""

from assent.findings.assets._memory import MemoryProvider
from assent.findings.assets._provider import bounded, exists, read_exact, read_wider
from assent.findings.assets._sqlite import SqliteProvider
from assent.findings.assets.ports import AssetVersion, ResourceProvider
from assent.findings.assets.reference import (
    GLOBAL,
    AssetType,
    Context,
    Level,
    Reference,
    Scope,
    read_reference,
    read_scope,
)

__all__ = [
    "GLOBAL",
    "AssetType",
    "AssetVersion",
    "Context",
    "Level",
    "MemoryProvider",
    "Reference",
    "ResourceProvider",
    "Scope",
    "SqliteProvider",
    "bounded",
    "exists",
    "read_exact",
    "read_reference",
    "read_scope",
    "read_wider",
]
