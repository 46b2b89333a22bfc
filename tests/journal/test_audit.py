"""The log and its filters, and proofs of single entries."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from assent.errors import AssentError, InputError
from assent.journal.audit._audit import AuditLog, prove, verify_proof
from assent.journal.ports import Batch, EventFilter
from assent.journal.store._record import Chunk, SqliteRecord
from assent.journal.tree._checkpoint import Checkpoint, sign_checkpoint
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._proof import InclusionProof
from assent.journal.tree._trust import TrustPolicy
from assent.spec.events import kinds as ev
from assent.spec.events.kinds import Leaf, decode_leaf
from assent.spec.ids import Fingerprint, RunId, StepKey
from assent.spec.values.merkle import leaf_hash
from tests.support.ledgers import ORIGIN, SIGNER, START_MS, LedgerFile, make_ledger, run_batch

TRUST = TrustPolicy.of_keys(SIGNER.vkey)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    make_ledger(tmp_path / "ledger.db")
    return tmp_path / "ledger.db"


def entries(path: Path) -> list[bytes]:
    with SqliteRecord.open(path) as record:
        return [leaf for chunk in record.chunks() for leaf in chunk.leaves]


def test_every_entry_can_be_proved_and_the_proof_carries_it(path: Path) -> None:
    leaves = entries(path)
    assert len(leaves) == 21
    for seq, data in enumerate(leaves):
        with SqliteRecord.open(path) as record:
            text = prove(record, seq)
        proven = verify_proof(text, TRUST)
        assert (proven.index, proven.data, proven.checkpoint.size) == (seq, data, 21)
        assert proven.leaf == decode_leaf(data, seq)
        assert proven.checkpoint.origin == ORIGIN


def test_a_proof_of_another_entry_or_with_another_key_is_refused(path: Path) -> None:
    leaves = entries(path)
    with SqliteRecord.open(path) as record:
        text = prove(record, 3)
    with pytest.raises(InputError) as caught:
        verify_proof(text, TRUST, entry=leaves[4])
    assert caught.value.code == "PROOF_INVALID"
    forged = InclusionProof.parse(text)
    with pytest.raises(InputError):
        verify_proof(InclusionProof(forged.index, forged.path, forged.checkpoint, leaves[4]).text(), TRUST)
    stranger = Ed25519FileSigner(ORIGIN, bytes(32))
    with pytest.raises(InputError) as caught:
        verify_proof(text, TrustPolicy.of_keys(stranger.vkey))
    assert caught.value.code == "SIGNATURE_MISSING"


def test_a_proof_without_the_entry_needs_it_given(path: Path) -> None:
    with SqliteRecord.open(path) as record:
        full = InclusionProof.parse(prove(record, 2))
    bare = InclusionProof(full.index, full.path, full.checkpoint).text()
    with pytest.raises(InputError) as caught:
        verify_proof(bare, TRUST)
    assert caught.value.code == "PROOF_MALFORMED"
    assert verify_proof(bare, TRUST, entry=entries(path)[2]).index == 2


def test_an_entry_that_is_not_there_or_not_signed_yet_is_not_proved(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    ledger = LedgerFile.create(path)
    run = RunId("run_unsigned")
    ledger.commit([Batch(run, 0, START_MS, run_batch(0).events[:1], run_batch(0).payloads[:2])])
    ledger.close()
    with SqliteRecord.open(path) as record:
        for seq, code in ((1, "ENTRY_UNSIGNED"), (2, "ENTRY_UNKNOWN"), (-1, "ENTRY_UNKNOWN")):
            with pytest.raises(InputError) as caught:
                prove(record, seq)
            assert caught.value.code == code


def test_nothing_is_proved_from_a_changed_ledger(path: Path) -> None:
    """A path to a root that nobody signed would be refused later; the keeper should hear of it now."""
    changed = entries(path)
    changed[7] = changed[7].replace(b'"build"', b'"built"')

    class Changed(SqliteRecord):
        def chunks(self) -> Iterator[Chunk]:
            yield Chunk(tuple(changed), None)

    with Changed.open(path) as record, pytest.raises(AssentError) as caught:
        prove(record, 3)
    assert caught.value.code == "RECORD_CORRUPT"


def test_an_entry_that_misstates_its_own_number_is_not_proved() -> None:
    """Whoever holds the key can sign any tree, but not one in which an entry stands at another's place."""
    data = Leaf(v=1, seq=5, at_ms=0, event=ev.LedgerCreated(origin=ORIGIN)).encode()
    note = sign_checkpoint(Checkpoint(ORIGIN, 1, leaf_hash(data)), SIGNER)
    with pytest.raises(InputError) as caught:
        verify_proof(InclusionProof(0, (), note, data).text(), TRUST)
    assert caught.value.code == "PROOF_INVALID"


def log_leaves() -> list[Leaf]:
    """Two runs by different principals with different capabilities, and an approval by a third."""
    leaves: list[Leaf] = []
    batches = [run_batch(0), run_batch(1, capability="net.http.get", principal="agent:bot")]
    for batch in batches:
        for n, event in enumerate(batch.events):
            leaves.append(Leaf(v=1, seq=len(leaves), at_ms=batch.at_ms, run=batch.run, n=n, event=event))
    granted = ev.ApprovalGranted(step=StepKey("build"), digest="cd" * 32, by="user:eve")
    leaves.append(Leaf(v=1, seq=8, at_ms=START_MS + 9, run=RunId("run_000001"), n=4, event=granted))
    leaves.append(Leaf(v=1, seq=9, at_ms=START_MS + 10, event=ev.LedgerRecovered(signed=1, size=2)))
    release = ev.ReleaseRegistered(
        release="1.0.0",
        versions=("text.extract@1.0.0", "text.replace@1.0.0"),
        fingerprints=(Fingerprint("12" * 32), Fingerprint("34" * 32)),
    )
    leaves.append(Leaf(v=1, seq=10, at_ms=START_MS + 11, event=release))
    label = ev.CapabilityLabelled(capability="text.extract", version="1.0.0", label="stable", by="user:eve")
    recovered = ev.LedgerRecovered(signed=1, size=12)
    for event in (label, recovered):
        leaves.append(Leaf(v=1, seq=len(leaves), at_ms=START_MS + 12, event=event))
    return leaves


@pytest.mark.parametrize(
    ("wanted", "seqs"),
    [
        (EventFilter(), list(range(13))),
        (EventFilter(run=RunId("run_000001")), [4, 5, 6, 7, 8]),
        (EventFilter(principal="agent:bot"), [4, 5, 6, 7]),
        (EventFilter(principal="user:eve"), [8, 11]),
        (EventFilter(capability="net.http.get"), [5, 6, 8]),
        (EventFilter(capability="io.fs.*"), [1, 2]),
        # A pattern means here what it means to the gate: nothing but `*` stands for anything else.
        (EventFilter(capability="io.[f]s.*"), []),
        (EventFilter(capability="text.replace"), [10]),
        (EventFilter(capability="text.extract"), [10, 11]),
        (EventFilter(decision="ALLOW"), [1, 5]),
        (EventFilter(decision="DENY"), []),
        (EventFilter(since_ms=START_MS + 9), [8, 9, 10, 11, 12]),
        (EventFilter(kinds=frozenset({"run.created", "ledger.recovered"})), [0, 4, 9, 12]),
        (EventFilter(run=RunId("run_000000"), kinds=frozenset({"step.succeeded"})), [2]),
    ],
)
def test_a_filter_shows_what_it_names_and_nothing_else(wanted: EventFilter, seqs: list[int]) -> None:
    assert [line.leaf.seq for line in AuditLog(wanted).lines(log_leaves())] == seqs


def test_a_line_says_who_acted_and_on_what() -> None:
    """The leaf of a later event does not name the capability or the requester; the line does."""
    line = list(AuditLog(EventFilter()).lines(log_leaves()))[6].to_json()
    assert (line["seq"], line["kind"], line["run_id"], line["n"]) == (6, "step.succeeded", "run_000001", 2)
    assert (line["principal"], line["capability"]) == ("agent:bot", "net.http.get")
    event = line["event"]
    assert isinstance(event, dict)
    assert event["kind"] == "step.succeeded"
