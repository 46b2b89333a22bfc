"""Where knowledge is kept: one encrypted file for each tenant, in generations that can be taken back and proved."""

from assent.knowledge.store._file import SqlCipherStore, erase, recover
from assent.knowledge.store._rows import BLOCK_BYTES, NAME_BYTES_MAX, MemoryStore
from assent.knowledge.store.keys import KeySource, MemoryKeys, master_of
from assent.knowledge.store.ports import (
    Generation,
    Held,
    Piece,
    Recorded,
    Rewriter,
    Run,
    Store,
)

__all__ = [
    "BLOCK_BYTES",
    "NAME_BYTES_MAX",
    "Generation",
    "Held",
    "KeySource",
    "MemoryKeys",
    "MemoryStore",
    "Piece",
    "Recorded",
    "Rewriter",
    "Run",
    "SqlCipherStore",
    "Store",
    "erase",
    "master_of",
    "recover",
]
