"""Where findings are kept: the port of a store, one in memory and one in a file. Only the file's adapter does I/O."""

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
    "MemoryStore",
    "Page",
    "Saved",
    "SqliteStore",
    "StoragePort",
    "Where",
]
