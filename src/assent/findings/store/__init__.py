"""Where findings are kept: the port of a store, one in memory, one in a file, one in a folder. Only the latter two do I/O."""

from assent.findings.store._folder import FolderStore
from assent.findings.store._memory import MemoryStore
from assent.findings.store._sqlite import SqliteStore
from assent.findings.store.ports import (
    PAGE_FINDINGS_MAX,
    STORE_SCHEMA_VERSION,
    BatchStoragePort,
    Page,
    Saved,
    StoragePort,
    Where,
)

__all__ = [
    "PAGE_FINDINGS_MAX",
    "STORE_SCHEMA_VERSION",
    "BatchStoragePort",
    "FolderStore",
    "MemoryStore",
    "Page",
    "Saved",
    "SqliteStore",
    "StoragePort",
    "Where",
]
