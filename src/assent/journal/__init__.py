"""The record: an append-only journal that is the audit ledger, its projections, payloads and pre-images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.journal._acceptance import accept_tail
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
    from assent.journal._owner import Ownership, state_unusable
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
    "._acceptance": "accept_tail",
    "._asking": "Request SILENCE_S_MAX acquire_or_forward forward is_owned",
    "._at_once": "PAGE at_once each_leaf each_row leaves_at_once rows_at_once",
    "._audit": "LogLine ProvenEntry audit_log prove verify_proof",
    "._blobs": "BlobStore",
    "._checkpoint": "Checkpoint open_checkpoint sign_checkpoint",
    "._cosignature": "verifier_from_vkey",
    "._export": "Exported export_key export_ledger verify_export",
    "._keys": "Ed25519FileSigner",
    "._lines": "Asked Home",
    "._link": "Link OwnerGoneError own_or_link",
    "._memory": "MemoryBlobs MemoryJournal",
    "._merkle": "Frontier leaf_hash tree_root",
    "._note": "Ed25519Verifier Signer Verifier",
    "._own_key": "ledger_signer",
    "._owner": "Ownership state_unusable",
    "._projections": "Projection",
    "._proof": "InclusionProof",
    "._reader": "SqliteReader",
    "._record": "SqliteRecord",
    "._report": "Fault VerifyReport",
    "._schema": "LEDGER_FILE PROJECTIONS PROJECTION_KEYS",
    "._serving": "Handler",
    "._sqlite": "SqliteJournal",
    "._trust": "TrustPolicy",
    "._verify": "verify verify_ledger",
    "._witness": "judge",
    ".ports": "Batch Begins Blobs EventFilter Head Journal JournalReader OneOf Payload Projector Row Where",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
