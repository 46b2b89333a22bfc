"""The capabilities on knowledge, described."""

from __future__ import annotations

from typing import Final

from assent.capabilities.describing import describe, reads
from assent.capabilities.knowledge._acts import (
    ForgetEffect,
    IndexEffect,
    erase_tenant,
    plan,
    prove,
    read_chunk,
    search,
    status,
    verify,
)

_LABELS: Final = ("reads_private",)

CAPABILITIES: Final = (
    describe(
        "knowledge.index",
        "Index a repository of the workspace, so that it can be searched: cleaned of secrets, encrypted, and provable",
        IndexEffect(),
        operation="WRITE",
        risk="MEDIUM",
        justification="adds to what can be searched, and can be taken back",
        effect="makes a generation of the store of knowledge",
        reversible=True,
        scope="knowledge",
        idempotent=True,
        labels=_LABELS,
        timeout=24 * 3600,
    ),
    reads(
        "knowledge.search",
        "Find the places of the workspace that answer a question, of those that the asker may see",
        search,
        labels=_LABELS,
    ),
    reads(
        "knowledge.read_chunk",
        "Read a chunk that a search has found",
        read_chunk,
        labels=_LABELS,
    ),
    reads(
        "knowledge.prove",
        "Show by hashes that a chunk is in the manifest whose root the ledger has",
        prove,
        labels=_LABELS,
    ),
    reads(
        "knowledge.status",
        "Tell what can be searched, and when that was indexed",
        status,
        labels=_LABELS,
    ),
    reads(
        "knowledge.plan",
        "Tell what indexing a repository would read, and what not",
        plan,
        labels=_LABELS,
        timeout=3600,
    ),
    reads(
        "knowledge.verify",
        "Read all that was indexed against the roots of its manifests",
        verify,
        labels=_LABELS,
        timeout=3600,
    ),
    describe(
        "knowledge.forget",
        "Remove files from what can be searched for good, with all that was replaced before",
        ForgetEffect(),
        operation="DELETE",
        risk="HIGH",
        justification="what is removed can be indexed again only while its source is there",
        effect="removes files from the store of knowledge for good",
        reversible=False,
        compensation="reindex",
        scope="knowledge",
        idempotent=True,
        timeout=3600,
        without={"reconcile": "forgetting again what is forgotten changes nothing"},
    ),
    describe(
        "knowledge.erase_tenant",
        "Erase all that was indexed: its keys are destroyed, so that no copy of it can be read ever again",
        erase_tenant,
        operation="DELETE",
        risk="CRITICAL",
        justification="nothing gives it back, and copies can't be read either",
        effect="destroys the keys and the store of knowledge",
        reversible=False,
        scope="knowledge",
        idempotent=True,
        without={
            "preview": "it is named in full",
            "compensate": "the keys are gone",
            "prepare": "there is nothing to keep",
            "reconcile": "erasing again what is erased changes nothing",
        },
    ),
)
