"""The record: an append-only journal that is the audit ledger, its projections, payloads and pre-images."""

from assent.journal._audit import LogLine, ProvenEntry, audit_log, prove, verify_proof
from assent.journal._blobs import BlobStore
from assent.journal._checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from assent.journal._cosignature import verifier_from_vkey
from assent.journal._export import Exported, export_key, export_ledger, verify_export
from assent.journal._frames import Peer
from assent.journal._keys import Ed25519FileSigner
from assent.journal._memory import MemoryBlobs, MemoryJournal
from assent.journal._merkle import Frontier, leaf_hash, tree_root
from assent.journal._note import Ed25519Verifier, Signer, Verifier
from assent.journal._own_key import ledger_signer
from assent.journal._owner import Ownership, acquire_or_forward, forward, is_owned
from assent.journal._proof import InclusionProof
from assent.journal._reader import SqliteReader
from assent.journal._record import SqliteRecord
from assent.journal._report import Fault, VerifyReport
from assent.journal._schema import LEDGER_FILE, PROJECTION_KEYS, PROJECTIONS
from assent.journal._sqlite import SqliteJournal
from assent.journal._trust import TrustPolicy
from assent.journal._verify import verify, verify_ledger
from assent.journal._witness import judge
from assent.journal.ports import (
    Batch,
    Blobs,
    EventFilter,
    Head,
    Journal,
    JournalReader,
    Payload,
    Projector,
    Row,
)

__all__ = [
    "LEDGER_FILE",
    "PROJECTIONS",
    "PROJECTION_KEYS",
    "Batch",
    "BlobStore",
    "Blobs",
    "Checkpoint",
    "Ed25519FileSigner",
    "Ed25519Verifier",
    "EventFilter",
    "Exported",
    "Fault",
    "Frontier",
    "Head",
    "InclusionProof",
    "Journal",
    "JournalReader",
    "LogLine",
    "MemoryBlobs",
    "MemoryJournal",
    "Ownership",
    "Payload",
    "Peer",
    "Projector",
    "ProvenEntry",
    "Row",
    "Signer",
    "SqliteJournal",
    "SqliteReader",
    "SqliteRecord",
    "TrustPolicy",
    "Verifier",
    "VerifyReport",
    "acquire_or_forward",
    "audit_log",
    "export_key",
    "export_ledger",
    "forward",
    "is_owned",
    "judge",
    "leaf_hash",
    "ledger_signer",
    "open_checkpoint",
    "prove",
    "sign_checkpoint",
    "tree_root",
    "verifier_from_vkey",
    "verify",
    "verify_export",
    "verify_ledger",
    "verify_proof",
]
