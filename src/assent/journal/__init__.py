"""The record: an append-only journal that is the audit ledger, its projections, payloads and pre-images."""

from __future__ import annotations

from typing import TYPE_CHECKING

from assent._lazy import resolved_when_asked

if TYPE_CHECKING:
    from assent.journal._blobs import BlobStore
    from assent.journal._files import (
        create_private_file,
        ensure_private_dir,
        fsync_dir,
        is_there,
        open_plain,
        place_of,
        read_plain,
        state_unusable,
        write_plain,
    )
    from assent.journal.audit._acceptance import accept_tail
    from assent.journal.audit._audit import AuditLog, LogLine, ProvenEntry, prove, verify_proof
    from assent.journal.audit._export import Exported, export_key, export_ledger, verify_export
    from assent.journal.audit._report import Fault, VerifyReport
    from assent.journal.audit._tiles import checkpoint, tile
    from assent.journal.audit._verify import verify, verify_ledger
    from assent.journal.owner._asking import Request, acquire_or_forward, forward, owner_lost
    from assent.journal.owner._lines import Asked, Home
    from assent.journal.owner._link import Link, OwnerGoneError, own_or_link
    from assent.journal.owner._owner import (
        CLAIMS,
        SILENCE_S_MAX,
        Lock,
        Ownership,
        claim,
        has_daemon,
        hold_as_daemon,
        is_claimed,
        is_owned,
        owner_pid,
    )
    from assent.journal.owner._serving import Handler
    from assent.journal.ports import (
        Batch,
        Begins,
        Blobs,
        EventFilter,
        Head,
        Journal,
        JournalReader,
        News,
        OneOf,
        Payload,
        Projector,
        Row,
        Where,
    )
    from assent.journal.store._at_once import PAGE, at_once, each_leaf, each_row, leaves_at_once, rows_at_once
    from assent.journal.store._memory import MemoryBlobs, MemoryJournal
    from assent.journal.store._own_key import ledger_signer
    from assent.journal.store._projections import Projection
    from assent.journal.store._reader import SqliteReader
    from assent.journal.store._record import SqliteRecord
    from assent.journal.store._schema import LEDGER_FILE, PROJECTION_KEYS, PROJECTIONS, Migration
    from assent.journal.store._sqlite import SqliteJournal
    from assent.journal.tree._checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
    from assent.journal.tree._cosignature import verifier_from_vkey
    from assent.journal.tree._keys import Ed25519FileSigner
    from assent.journal.tree._note import Ed25519Verifier, Signer, Verifier
    from assent.journal.tree._proof import InclusionProof
    from assent.journal.tree._trust import TrustPolicy
    from assent.journal.tree._witness import judge
    from assent.spec.values.merkle import Frontier, inclusion_proof, leaf_hash, tree_root, verify_inclusion

_HOMES = {
    ".audit._acceptance": "accept_tail",
    ".owner._asking": "Request acquire_or_forward forward owner_lost",
    ".store._at_once": "PAGE at_once each_leaf each_row leaves_at_once rows_at_once",
    ".audit._audit": "AuditLog LogLine ProvenEntry prove verify_proof",
    ".audit._tiles": "checkpoint tile",
    "._blobs": "BlobStore",
    "._files": "ensure_private_dir fsync_dir is_there open_plain place_of read_plain state_unusable write_plain",
    ".tree._checkpoint": "Checkpoint open_checkpoint sign_checkpoint",
    ".tree._cosignature": "verifier_from_vkey",
    ".audit._export": "Exported export_key export_ledger verify_export",
    ".tree._keys": "Ed25519FileSigner",
    ".owner._lines": "Asked Home",
    ".owner._link": "Link OwnerGoneError own_or_link",
    ".store._memory": "MemoryBlobs MemoryJournal",
    "assent.spec.values.merkle": "Frontier inclusion_proof leaf_hash tree_root verify_inclusion",
    ".tree._note": "Ed25519Verifier Signer Verifier",
    ".store._own_key": "ledger_signer",
    ".owner._owner": "CLAIMS Lock Ownership SILENCE_S_MAX claim has_daemon hold_as_daemon is_claimed is_owned owner_pid",
    ".store._projections": "Projection",
    ".tree._proof": "InclusionProof",
    ".store._reader": "SqliteReader",
    ".store._record": "SqliteRecord",
    ".audit._report": "Fault VerifyReport",
    ".store._schema": "LEDGER_FILE Migration PROJECTIONS PROJECTION_KEYS",
    ".owner._serving": "Handler",
    ".store._sqlite": "SqliteJournal",
    ".tree._trust": "TrustPolicy",
    ".audit._verify": "verify verify_ledger",
    ".tree._witness": "judge",
    ".ports": "Batch Begins Blobs EventFilter Head Journal JournalReader News OneOf Payload Projector Row Where",
}

__getattr__, __dir__ = resolved_when_asked(__name__, _HOMES)
