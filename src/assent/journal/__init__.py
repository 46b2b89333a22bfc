"""The record: an append-only journal that is the audit ledger, its projections, payloads and pre-images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.journal._asking import SILENCE_S_MAX, Request, acquire_or_forward, forward, is_owned
    from assent.journal._at_once import PAGE, at_once, each_leaf, each_row, leaves_at_once, rows_at_once
    from assent.journal._audit import LogLine, ProvenEntry, audit_log, prove, verify_proof
    from assent.journal._blobs import BlobStore
    from assent.journal._checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
    from assent.journal._cosignature import verifier_from_vkey
    from assent.journal._export import Exported, export_key, export_ledger, verify_export
    from assent.journal._keys import Ed25519FileSigner
    from assent.journal._lines import Asked, Home
    from assent.journal._link import Link, OwnerGoneError, own_or_link
    from assent.journal._memory import MemoryBlobs, MemoryJournal
    from assent.journal._merkle import Frontier, leaf_hash, tree_root
    from assent.journal._note import Ed25519Verifier, Signer, Verifier
    from assent.journal._own_key import ledger_signer
    from assent.journal._owner import Ownership
    from assent.journal._projections import Projection
    from assent.journal._proof import InclusionProof
    from assent.journal._reader import SqliteReader
    from assent.journal._record import SqliteRecord
    from assent.journal._report import Fault, VerifyReport
    from assent.journal._schema import LEDGER_FILE, PROJECTION_KEYS, PROJECTIONS
    from assent.journal._serving import Handler
    from assent.journal._sqlite import SqliteJournal
    from assent.journal._trust import TrustPolicy
    from assent.journal._verify import verify, verify_ledger
    from assent.journal._witness import judge
    from assent.journal.ports import (
        Batch,
        Begins,
        Blobs,
        EventFilter,
        Head,
        Journal,
        JournalReader,
        OneOf,
        Payload,
        Projector,
        Row,
        Where,
    )

_HOMES = {
    "Asked": "._lines",
    "Batch": ".ports",
    "Begins": ".ports",
    "BlobStore": "._blobs",
    "Blobs": ".ports",
    "Checkpoint": "._checkpoint",
    "Ed25519FileSigner": "._keys",
    "Ed25519Verifier": "._note",
    "EventFilter": ".ports",
    "Exported": "._export",
    "Fault": "._report",
    "Frontier": "._merkle",
    "Handler": "._serving",
    "Head": ".ports",
    "Home": "._lines",
    "InclusionProof": "._proof",
    "Journal": ".ports",
    "JournalReader": ".ports",
    "LEDGER_FILE": "._schema",
    "Link": "._link",
    "LogLine": "._audit",
    "MemoryBlobs": "._memory",
    "MemoryJournal": "._memory",
    "OneOf": ".ports",
    "OwnerGoneError": "._link",
    "Ownership": "._owner",
    "PAGE": "._at_once",
    "PROJECTIONS": "._schema",
    "PROJECTION_KEYS": "._schema",
    "Payload": ".ports",
    "Projection": "._projections",
    "Projector": ".ports",
    "ProvenEntry": "._audit",
    "Request": "._asking",
    "Row": ".ports",
    "SILENCE_S_MAX": "._asking",
    "Signer": "._note",
    "SqliteJournal": "._sqlite",
    "SqliteReader": "._reader",
    "SqliteRecord": "._record",
    "TrustPolicy": "._trust",
    "Verifier": "._note",
    "VerifyReport": "._report",
    "Where": ".ports",
    "acquire_or_forward": "._asking",
    "at_once": "._at_once",
    "audit_log": "._audit",
    "each_leaf": "._at_once",
    "each_row": "._at_once",
    "export_key": "._export",
    "export_ledger": "._export",
    "forward": "._asking",
    "is_owned": "._asking",
    "judge": "._witness",
    "leaf_hash": "._merkle",
    "leaves_at_once": "._at_once",
    "ledger_signer": "._own_key",
    "open_checkpoint": "._checkpoint",
    "own_or_link": "._link",
    "prove": "._audit",
    "rows_at_once": "._at_once",
    "sign_checkpoint": "._checkpoint",
    "tree_root": "._merkle",
    "verifier_from_vkey": "._cosignature",
    "verify": "._verify",
    "verify_export": "._export",
    "verify_ledger": "._verify",
    "verify_proof": "._audit",
}

__all__ = [
    "LEDGER_FILE",
    "PAGE",
    "PROJECTIONS",
    "PROJECTION_KEYS",
    "SILENCE_S_MAX",
    "Asked",
    "Batch",
    "Begins",
    "BlobStore",
    "Blobs",
    "Checkpoint",
    "Ed25519FileSigner",
    "Ed25519Verifier",
    "EventFilter",
    "Exported",
    "Fault",
    "Frontier",
    "Handler",
    "Head",
    "Home",
    "InclusionProof",
    "Journal",
    "JournalReader",
    "Link",
    "LogLine",
    "MemoryBlobs",
    "MemoryJournal",
    "OneOf",
    "OwnerGoneError",
    "Ownership",
    "Payload",
    "Projection",
    "Projector",
    "ProvenEntry",
    "Request",
    "Row",
    "Signer",
    "SqliteJournal",
    "SqliteReader",
    "SqliteRecord",
    "TrustPolicy",
    "Verifier",
    "VerifyReport",
    "Where",
    "acquire_or_forward",
    "at_once",
    "audit_log",
    "each_leaf",
    "each_row",
    "export_key",
    "export_ledger",
    "forward",
    "is_owned",
    "judge",
    "leaf_hash",
    "leaves_at_once",
    "ledger_signer",
    "open_checkpoint",
    "own_or_link",
    "prove",
    "rows_at_once",
    "sign_checkpoint",
    "tree_root",
    "verifier_from_vkey",
    "verify",
    "verify_export",
    "verify_ledger",
    "verify_proof",
]

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
