"""What was indexed, so that it can be proved: the tree of chunks and files, and the order of what comes late."""

from assent.knowledge.manifest.batches import Batch, Batches, Retention
from assent.knowledge.manifest.bundle import Counts, bundled, bundled_leaf, checked_bundle
from assent.knowledge.manifest.tree import (
    MANIFEST_VERSION,
    Cut,
    Line,
    Listed,
    Proof,
    chunk_leaf,
    file_leaf,
    prove,
    read,
    verify,
    workspace_root,
    write,
)

__all__ = [
    "MANIFEST_VERSION",
    "Batch",
    "Batches",
    "Counts",
    "Cut",
    "Line",
    "Listed",
    "Proof",
    "Retention",
    "bundled",
    "bundled_leaf",
    "checked_bundle",
    "chunk_leaf",
    "file_leaf",
    "prove",
    "read",
    "verify",
    "workspace_root",
    "write",
]
