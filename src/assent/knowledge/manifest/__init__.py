"""What was indexed, so that it can be proved: the tree of chunks and files."""

from assent.knowledge.manifest.bundle import bundled, bundled_leaf, checked_bundle
from assent.knowledge.manifest.tree import (
    Cut,
    Line,
    Listed,
    Proof,
    chunk_leaf,
    file_leaf,
    prove,
    verify,
    workspace_root,
)

__all__ = [
    "Cut",
    "Line",
    "Listed",
    "Proof",
    "bundled",
    "bundled_leaf",
    "checked_bundle",
    "chunk_leaf",
    "file_leaf",
    "prove",
    "verify",
    "workspace_root",
]
