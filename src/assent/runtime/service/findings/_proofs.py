"""That a finding is in the ledger: the proof that is made of it, and what one shows to whoever has the ledger's key alone.

Theory of operation. A finding is a line of a dataset, and the dataset's name is the root of a tree over its lines. The outcome of
the step that made it names that root, and the ledger binds the outcome (`_outcomes`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import msgspec
from msgspec import UNSET

from assent.capabilities.findings.area import DATASETS
from assent.errors import InputError, WorldError
from assent.findings.book import Kept, Looking, entered
from assent.findings.finding import Finding
from assent.findings.merging import merged
from assent.journal import inclusion_proof, leaf_hash, verify_inclusion
from assent.runtime.runs._findings import FindingsStore
from assent.runtime.service import answers, requests
from assent.runtime.service._outcomes import entries, from_hex, malformed, read, require, verified
from assent.runtime.service._reading import Record
from assent.spec.values.typed import decode

if TYPE_CHECKING:
    from assent.journal import ProvenEntry
    from assent.runtime._ledger import LedgerReader

SHOWN_BYTES_MAX: Final = 1 << 20
"""The largest record that a proof shows as text."""


class _Provenance(msgspec.Struct):
    raw_sha256: str | None = None
    begin: int | None = None
    end: int | None = None


class _Finding(msgspec.Struct):
    id: str
    provenance: _Provenance | None = None


class _Line(msgspec.Struct):
    """A line of a dataset, as far as it is looked at here."""

    finding: _Finding | None = None


class _Outcome(msgspec.Struct):
    dataset: str
    findings: int
    resources: int


async def _prove_finding(record: Record, request: requests.ProveFinding) -> answers.FindingProof:
    """That a finding is in the ledger."""
    with FindingsStore(record.settings).opened() as (file, journal):
        one = Looking(file, 0).one(request.finding)
        assert journal is not None  # INVARIANT: without a ledger there is no finding
        return _proved(record, journal, one)


def _proved(record: Record, journal: LedgerReader, one: Kept) -> answers.FindingProof:
    from assent.capabilities.findings import BOOK
    from assent.capabilities.findings.ingest import lines_in, said_in

    ident = one.reported.finding.id
    differs = WorldError(
        "FINDINGS_STORE_DIFFERS",
        f"the store of findings says something else of the finding `{ident}` than the ledger",
        hint=f"remove `{BOOK}` from the state directory: whoever looks next folds it anew from the ledger",
    )
    bound = entries(journal, one.dataset, DATASETS)
    if bound is None:
        raise differs
    begun, output = bound
    opened = journal.opened(output)
    if opened is None:
        raise InputError("FINDING_UNKNOWN", f"the finding `{ident}` was erased meanwhile")
    salt, body = opened
    said = decode(body)
    hashes: list[bytes] = []
    found: tuple[int, bytes] | None = None

    def its_records() -> Iterator[Finding]:
        nonlocal found
        for line in lines_in(journal.blob(said["normalised"]["blob"])):
            if ident.encode() in line:
                its = said_in(line)
                if isinstance(its, Finding) and its.id == ident:
                    found = found or (len(hashes), line)
                    yield its
            hashes.append(leaf_hash(line))

    records = its_records()
    first = next(records, None)
    if first is None or found is None or entered(merged(first, records), one.dataset) != one.reported.finding:
        raise differs
    with record.reader() as reader:
        proof, began = reader.prove(one.dataset), reader.prove(begun)
    index, line = found
    return answers.FindingProof(
        finding=ident,
        line=line.decode(),
        index=index,
        size=len(hashes),
        path=[node.hex() for node in inclusion_proof(hashes, index)],
        dataset=said["dataset"],
        outcome=body.decode(),
        salt=salt.hex(),
        entry=one.dataset,
        proof=proof,
        began=began,
        record=_record(journal, said["raw"]["blob"], first),
    )


def _record(journal: LedgerReader, raw: str, finding: Finding) -> answers.RawRecord | None:
    at = finding.provenance
    if not at or at.begin is UNSET or at.end is UNSET:
        return None
    text = None
    if at.end - at.begin <= SHOWN_BYTES_MAX:
        text = _cut(journal.blob(raw), at.begin, at.end).decode("utf-8", "replace")
    return answers.RawRecord(raw_sha256=raw, begin=at.begin, end=at.end, text=text)


def _cut(chunks: Iterable[bytes], begin: int, end: int) -> bytes:
    pieces, at = [], 0
    for chunk in chunks:  # to the end, where the whole is checked
        pieces.append(chunk[max(0, begin - at) : max(0, end - at)])
        at += len(chunk)
    return b"".join(pieces)


def proven(text: str, key: str) -> tuple[ProvenEntry, Any]:  # `Any`: the finding, JSON
    """What a finding's proof shows, checked with the ledger's public key alone: from the finding to the signed root.

    `InputError` `PROOF_MALFORMED`, `PROOF_INVALID`, and what the proof of an entry may raise. The text of the record is for
    people: only the tool's whole output, whose digest the finding has, shows that.
    """
    said = read(text, answers.FindingProof, "a finding")
    try:
        line, path = said.line.encode(), [*map(from_hex, said.path)]
        root = from_hex(said.dataset)
        counts, its = (
            decode(said.outcome, _Outcome),
            decode(line, _Line).finding,
        )
        if its is None:
            raise ValueError("its line is that of no finding")  # noqa: TRY301 - told as all that is malformed
    except ValueError as error:
        raise malformed("a finding", error) from None
    entry = verified(said, key, DATASETS, "an import or a scan")
    require(
        (
            verify_inclusion(index=said.index, size=said.size, leaf=leaf_hash(line), proof=path, root=root),
            "the finding is not in the dataset",
        ),
        (counts.dataset == said.dataset, "the outcome names another dataset"),
        # The proof of its first lines would fit other sizes, too.
        (counts.findings + counts.resources == said.size, "the dataset has another size"),
        (said.record is None or _is_from(its, said.record), "the finding was made of other bytes"),
        (its.id == said.finding, "it is about another finding than it says"),
    )
    return entry, decode(line)["finding"]


def _is_from(finding: _Finding, record: answers.RawRecord) -> bool:
    at = finding.provenance or _Provenance()
    return (at.raw_sha256, at.begin, at.end) == (record.raw_sha256, record.begin, record.end)
