"""Answers about the ledger: its entries, proofs, checkpoints and exports."""

from __future__ import annotations

from typing import Literal

import msgspec

from assent.runtime.service.answers._base import Answer, Json


class Ledger(Answer, frozen=True, kw_only=True):
    """The log at that moment: how many entries, and the tree's root in base64."""

    size: int
    root: str


class LogLine(Answer, frozen=True, kw_only=True):
    """One entry of the ledger: its place, who acted on which capability, and the event as it stands in the leaf."""

    seq: int
    at_ms: int
    run_id: str | None
    stream: str
    n: int | None
    kind: str
    principal: str | None
    capability: str | None
    policy: str | None
    """The digest of the policy that it was decided under."""
    event: dict[str, Json]
    inputs_line: str | None
    """The inputs that were decided on, in at most 240 characters, as they are stored (redacted)."""


class LedgerFault(Answer, frozen=True, kw_only=True):
    """One thing that is not as it was recorded, and the first entry that it touches."""

    code: str
    message: str
    seq: int | None
    last: int | None


class LedgerTail(Answer, frozen=True, kw_only=True):
    """Entries that no checkpoint covers yet; `authenticated` is null where the private key was not there to check them."""

    entries: int
    authenticated: bool | None


class Verified(Answer, frozen=True, kw_only=True):
    """What a verification has found; the ledger is what was recorded where `ok`."""

    ok: bool
    size: int
    root: str
    origin: str | None
    first_bad: LedgerFault | None
    faults: list[LedgerFault]
    checkpoints: int
    signed: int
    unsigned: int
    tail: LedgerTail
    kept_size: int | None
    payloads: int | None
    blobs: int | None
    erased: int
    rows: int | None
    seconds: dict[str, float] | None


class Proof(Answer, frozen=True, kw_only=True):
    """The text of a proof that an entry is in the ledger."""

    seq: int
    proof: str


class Bound(Answer, frozen=True, kw_only=True):
    """What shows that the ledger binds an outcome: the outcome (JSON) with the salt of its commitment, the proof of the entry
    that binds it, and that of the entry by which its step began, which says what it is one of.
    """

    outcome: str
    salt: str
    entry: int
    proof: str
    began: str


class KnowledgeProof(Bound, frozen=True, kw_only=True):
    """What shows that a chunk was indexed: what `knowledge.prove` gave, and the outcome that names its root, bound by the ledger.

    `assent audit verify-proof` checks it offline.
    """

    kind: Literal["knowledge"] = "knowledge"
    manifest: dict[str, Json]


class ProvenChunk(Answer, frozen=True, kw_only=True):
    """A chunk that was indexed: where, and what of it is proved. `digest`: SHA-256 of its text as it was kept."""

    tenant: str
    repository: str
    generation: int
    root: str
    path: str
    file_digest: str
    language: str
    label: str
    number: int
    """Of the chunk in its file, from 0."""
    chunks: int
    file: int
    """Of the file in the repository, from 0."""
    files: int
    digest: str
    line: int
    end_line: int
    symbol: str


class Proven(Answer, frozen=True, kw_only=True):
    """What a proof shows; of the proof of a finding or of a chunk, that too."""

    index: int
    stream: str | None
    n: int | None
    size: int
    root: str
    origin: str
    entry: Json
    finding: Json | msgspec.UnsetType = msgspec.UNSET
    chunk: ProvenChunk | msgspec.UnsetType = msgspec.UNSET


class ProvenExport(Proven, frozen=True, kw_only=True):
    """What a file of `assent knowledge export` shows: how many files can be read in it, how many are hidden, and their chunks."""

    files: int
    hidden: int
    chunks: int


class Exported(Answer, frozen=True, kw_only=True):
    """What was written to a folder."""

    path: str
    folder: str
    entries: int
    checkpoints: int
    payloads: int | None


class TailAccepted(Answer, frozen=True, kw_only=True):
    """How many entries were accepted without proof, and the runs of which something is in doubt now."""

    start: int
    entries: int
    runs: list[str]


class Checkpoint(Answer, frozen=True, kw_only=True):
    """A signed checkpoint."""

    note: str


class Tile(Answer, frozen=True, kw_only=True):
    """Hashes of 32 bytes each, or entries, each behind its length in two bytes."""

    data: bytes


class PublicKey(Answer, frozen=True, kw_only=True):
    """The key that the ledger's checkpoints are signed with, under the ledger's own name."""

    key: str
