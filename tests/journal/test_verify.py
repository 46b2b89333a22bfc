"""What `verify` reports: which fault, at which entry, and what was checked."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import closing
from dataclasses import dataclass, field, replace
from functools import cache
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.engine.record.projection import RunProjector
from assent.errors import InputError
from assent.journal.audit._verify import verify, verify_ledger
from assent.journal.audit._verify_record import decode_leaves
from assent.journal.ports import Batch, Cell, Row
from assent.journal.store._projections import Tables
from assent.journal.store._record import Chunk, Columns, PayloadRow, SqliteRecord, StoredTree
from assent.journal.store._schema import PROJECTIONS
from assent.journal.store._tail import SEAL_EVENTS_MAX
from assent.journal.tree._checkpoint import open_checkpoint, sign_checkpoint
from assent.journal.tree._commits import Commit
from assent.journal.tree._heads import HeadList
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._note import Ed25519Verifier, Verifier
from assent.spec.events.kinds import (
    ApprovalRequested,
    CapabilityLabelled,
    Leaf,
    LedgerRecovered,
    PolicyRecorded,
    RunCreated,
    RunRecovered,
    decode_leaf,
    decode_stored,
    is_sealed,
)
from assent.spec.ids import Commitment, RunId, StepKey
from assent.spec.states import Mode
from assent.spec.values.merkle import leaf_hash
from tests.support.ledgers import SIGNER, START_MS, LedgerFile, run_batch
from tests.support.living_ledger import LivingLedger, other_signer

EventRow = tuple[int, str | None, int | None, bytes, bytes]


@dataclass(frozen=True)
class ListedRecord:
    """A record in memory, whose rows a test may change and cut into chunks of any size."""

    events: tuple[EventRow, ...]
    notes: tuple[tuple[int, str], ...]
    head: StoredTree | None
    stored: tuple[PayloadRow, ...]
    refs: tuple[tuple[bytes, str], ...]
    lists: dict[str, tuple[tuple[Cell, ...], ...]]
    vouched: tuple[Commit, ...] = ()
    head_lists: tuple[HeadList, ...] = ()
    keys: Sequence[Verifier] = field(default=(), compare=False)
    chunk: int = 1_000

    @classmethod
    def of(cls, path: Path, keys: Sequence[Verifier]) -> ListedRecord:
        with SqliteRecord.open(path) as record:
            events: list[EventRow] = []
            for part in record.chunks():
                assert part.columns is not None
                columns = part.columns
                events += zip(
                    columns.seqs, columns.runs, columns.ns, columns.hashes, part.leaves, strict=True
                )
            return cls(
                tuple(events),
                tuple(record.checkpoints()),
                record.tree(),
                tuple(record.payloads() or ()),
                tuple(record.blob_refs()),
                {table: tuple(record.rows(table)) for table in PROJECTIONS},
                tuple(record.commits() or ()),
                tuple(record.heads()),
                keys,
            )

    def damage(self) -> str | None:
        return None

    def chunks(self) -> Iterator[Chunk]:
        for at in range(0, len(self.events), self.chunk):
            seqs, runs, ns, hashes, leaves = zip(*self.events[at : at + self.chunk], strict=True)
            yield Chunk(leaves, Columns(seqs, runs, ns, hashes))

    def checkpoints(self) -> Iterator[tuple[int, str]]:
        return iter(self.notes)

    def tree(self) -> StoredTree | None:
        return self.head

    def commits(self) -> Iterator[Commit]:
        return iter(self.vouched)

    def heads(self) -> Iterator[HeadList]:
        return iter(self.head_lists)

    def payloads(self) -> Iterator[PayloadRow]:
        return iter(self.stored)

    def blob_refs(self) -> Iterator[tuple[bytes, str]]:
        return iter(self.refs)

    def is_blob_needed(self, digest: str) -> bool:
        return any(digest == kept for _, kept in self.refs)

    def with_payload(self, commitments: AbstractSet[Commitment]) -> set[Commitment]:
        return {Commitment(row.commitment.hex()) for row in self.stored} & commitments

    @property
    def tables(self) -> Tables:
        return Tables()

    def rows(self, table: str, run: str | None = None) -> Iterator[tuple[Cell, ...]]:
        return (row for row in self.lists[table] if run is None or row[0] == run)

    def with_event(self, seq: int, change: Callable[[EventRow], EventRow]) -> ListedRecord:
        """The same record with one event changed."""
        return replace(self, events=(*self.events[:seq], change(self.events[seq]), *self.events[seq + 1 :]))


@cache
def listed() -> ListedRecord:
    """A sealed ledger of a few runs, one of them erased."""
    with TemporaryDirectory() as folder:
        ledger = LivingLedger(Path(folder) / "ledger.db")
        ledger.run("run_01", steps=3)
        erased = ledger.run("run_02")
        ledger.run("run_03", fails=True)
        ledger.erase(erased)
        ledger.waiting("run_04")
        ledger.close()
        return ListedRecord.of(ledger.path, ledger.keys)


LEAVES = [row[4] for row in listed().events]


def not_a_leaf(leaf: bytes) -> list[bytes]:
    """Bytes that hold this leaf, or parts of it, and are not as it is written."""
    pieces = [
        leaf + b" ", b" " + leaf, leaf + b"\n", b"\n", b"", leaf + b"\n" + leaf, leaf[: len(leaf) // 2],
        leaf[len(leaf) // 2 :], b"{}", leaf.replace(b'"v":2', b'"v":2.0'), leaf.replace(b'"v":2', b'"v":2,"w":1'),
        leaf.replace(b'"run', b'"\\u0072un'), leaf.replace(b"ada", "adá".encode()), leaf.replace(b"ada", b"a\x7fa"),
        leaf.replace(b'"stream":', b'"seq":null,"stream":'), leaf.replace(b'"v":2', b'"v":1'),
    ]  # fmt: skip
    return [piece for piece in pieces if piece != leaf]


PIECES = st.sampled_from(LEAVES).flatmap(lambda leaf: st.sampled_from([leaf, leaf, leaf, *not_a_leaf(leaf)]))


@pytest.mark.parametrize("leaf", LEAVES[:9])
def test_what_is_no_leaf_alone_is_none_among_others(leaf: bytes) -> None:
    for piece in not_a_leaf(leaf):
        for pieces in ([piece], [leaf, piece], [piece, leaf]):
            assert decode_leaves(pieces) is None, pieces


@given(st.lists(PIECES, min_size=1, max_size=8))
def test_leaves_checked_together_pass_exactly_when_each_passes_alone(pieces: list[bytes]) -> None:
    """No piece can borrow bytes from its neighbour, whatever line breaks it holds."""
    alone = [decode_leaves([piece]) for piece in pieces]
    together = decode_leaves(pieces)
    if all(found is not None for found in alone):
        assert together == [decode_stored(piece) for piece in pieces]
    else:
        assert together is None


def renumber_leaf(row: EventRow) -> EventRow:
    return (*row[:4], row[4].replace(b'"n":3,', b'"n":4,'))


RUN_1_END = 8
FAULTS: dict[str, tuple[Callable[[ListedRecord], ListedRecord], str, int | None]] = {
    "nothing": (lambda record: record, "", None),
    "leaf": (lambda record: record.with_event(4, lambda row: (*row[:4], row[4][:-1])), "ENTRY_CHANGED", 4),
    "number": (lambda record: record.with_event(4, renumber_leaf), "ENTRY_CHANGED", 4),
    "hash": (
        lambda record: record.with_event(9, lambda row: (*row[:3], bytes(32), row[4])),
        "ENTRY_CHANGED",
        9,
    ),
    "filed run": (
        lambda record: record.with_event(3, lambda row: (3, "run_9", *row[2:])),
        "ENTRY_INVALID",
        3,
    ),
    "filed n": (
        lambda record: record.with_event(3, lambda row: (3, row[1], 99, *row[3:])),
        "ENTRY_INVALID",
        3,
    ),
    "gone": (
        lambda record: replace(record, events=record.events[:5] + record.events[6:]),
        "ENTRY_MISSING",
        5,
    ),
    "first gone": (lambda record: replace(record, events=record.events[1:]), "ENTRY_MISSING", 0),
    "last gone": (
        lambda record: replace(record, events=record.events[:-1]),
        "ENTRY_MISSING",
        len(LEAVES) - 1,
    ),
    "all gone": (lambda record: replace(record, events=()), "ENTRY_MISSING", 0),
    "twice": (
        lambda record: replace(record, events=(*record.events[:5], *record.events[4:])),
        "ENTRY_INVALID",
        5,
    ),
    "head": (lambda record: replace(record, head=StoredTree(0, bytes(8), bytes(32))), "TREE_MISMATCH", None),
    "head's root": (
        lambda record: replace(record, head=record.head and record.head._replace(root=bytes(32))),
        "TREE_MISMATCH",
        None,
    ),
    "note": (
        lambda record: replace(record, notes=(*record.notes[:-1], (record.notes[-1][0], record.notes[0][1]))),
        "CHECKPOINT_INVALID",
        len(LEAVES) - 1,
    ),
    "note at 0": (lambda record: replace(record, notes=((0, ""), *record.notes)), "CHECKPOINT_INVALID", 0),
    "note, one more line": (
        lambda record: replace(
            record, notes=tuple((size, note + "— x AAAAAAA=\n") for size, note in record.notes)
        ),
        "CHECKPOINT_INVALID",
        0,
    ),
    "payload": (
        lambda record: replace(record, stored=(record.stored[0]._replace(body=b"x"), *record.stored[1:])),
        "PAYLOAD_CHANGED",
        1,
    ),
    "salt": (
        lambda record: replace(record, stored=(record.stored[0]._replace(salt=b""), *record.stored[1:])),
        "PAYLOAD_CHANGED",
        1,
    ),
    "payload gone": (lambda record: replace(record, stored=record.stored[1:]), "PAYLOAD_MISSING", 1),
    "payload twice": (
        lambda record: replace(record, stored=(record.stored[0], *record.stored)),
        "PAYLOAD_FOREIGN",
        1,
    ),
    "tag": (
        lambda record: replace(record, stored=(record.stored[0]._replace(tag=1), *record.stored[1:])),
        "PAYLOAD_FOREIGN",
        1,
    ),
    "blob": (
        lambda record: replace(record, refs=tuple((commitment, "0" * 64) for commitment, _ in record.refs)),
        "BLOB_REF_FOREIGN",
        2,
    ),
    "row": (
        lambda record: replace(record, lists={**record.lists, "runs": record.lists["runs"][1:]}),
        "PROJECTION_MISMATCH",
        None,
    ),
}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize("name", FAULTS)
def test_first_fault_and_its_entry_do_not_depend_on_chunks(name: str, chunk: int) -> None:
    change, code, seq = FAULTS[name]
    record = replace(change(listed()), chunk=chunk)
    report = verify(record, record.keys, projector=RunProjector())
    first = report.first_bad
    assert (first.code if first else "", first.seq if first else None) == (code, seq), report.faults
    if name in ("last gone", "all gone"):
        assert first is not None
        assert first.last == len(LEAVES) - 1, "up to the newest entry that was there"


def test_a_change_that_was_hashed_anew_is_narrowed_to_what_one_checkpoint_covers() -> None:
    """Signed roots can't tell more: the first run's end was signed, so the change lies within that run."""
    record = listed()
    leaf = decode_leaf(record.events[4][4], 4)
    data = record.events[4][4].replace(str(leaf.at_ms).encode(), str(leaf.at_ms + 1).encode())
    report = verify(
        record.with_event(4, lambda row: (*row[:3], leaf_hash(data), data)),
        record.keys,
        projector=RunProjector(),
    )
    assert report.first_bad is not None
    assert (report.first_bad.code, report.first_bad.seq, report.first_bad.last) == (
        "TREE_MISMATCH",
        1,
        RUN_1_END,
    )


def test_entry_that_skips_a_number_of_its_run_is_named(tmp_path: Path) -> None:
    """Signed and well-formed, but no run goes on like that: only a faulty or hostile keeper of the key writes it."""
    ledger = LedgerFile.create(tmp_path / "ledger.db")
    ledger.commit([run_batch(0)])
    run = RunId("run_000000")
    ledger.tail._next_n[run] = 5
    ledger.commit([Batch(run, 5, START_MS, (RunRecovered(),))], seal=True)
    ledger.close()
    report = verify_ledger(ledger.path, [Ed25519Verifier.from_vkey(SIGNER.vkey)], projector=None)
    assert [(fault.code, fault.seq) for fault in report.faults] == [("ENTRY_OUT_OF_ORDER", 5)]


def test_good_ledger_reports_what_was_checked() -> None:
    record = listed()
    report = verify(record, record.keys, projector=RunProjector())
    assert report.faults == ()
    assert report.to_json() == {
        "ok": True,
        "size": len(record.events),
        "root": record.notes[-1][1].splitlines()[2],
        "origin": "assent.local/ledger/test",
        "first_bad": None,
        "faults": [],
        "checkpoints": len(record.notes),
        "signed": len(record.events),
        "unsigned": 0,
        "tail": {"entries": 0, "authenticated": True},
        "kept_size": None,
        "payloads": len(record.stored),
        "blobs": None,
        "erased": 9,
        "rows": sum(len(rows) for rows in record.lists.values()),
        "seconds": None,
    }


def test_cpu_seconds_are_reported_apart() -> None:
    ticks = iter(range(100))
    record = listed()
    report = verify(record, record.keys, projector=RunProjector(), cpu_s=lambda: float(next(ticks)))
    assert report.seconds is not None
    assert (report.seconds.file, report.seconds.record, report.seconds.contents) == (1.0, 1.0, 1.0)


def test_unsigned_tail_is_reported_and_is_no_fault(tmp_path: Path) -> None:
    """A kill leaves such a tail; the next owner seals it."""
    ledger = LivingLedger(tmp_path / "ledger.db")
    ledger.run("run_01")
    ledger.run("run_02", ends=False)
    report = verify_ledger(ledger.path, ledger.keys, projector=RunProjector())
    assert (report.faults, report.unsigned) == ((), 5)
    ledger.close()


def test_verifying_sees_one_moment_while_a_writer_goes_on(tmp_path: Path) -> None:
    """The snapshot is taken when the record is opened; what is appended meanwhile is another moment's."""
    ledger = LivingLedger(tmp_path / "ledger.db")
    ledger.run("run_01")
    with SqliteRecord.open(ledger.path) as record:
        ledger.run("run_02")
        before = verify(record, ledger.keys, projector=RunProjector())
    after = verify_ledger(ledger.path, ledger.keys, projector=RunProjector())
    assert (before.faults, before.size) == ((), 7)
    assert (after.faults, after.size) == ((), 13)
    ledger.close()


def test_fault_in_an_early_payload_comes_before_one_in_a_late_entry() -> None:
    """The report begins with the lowest entry, whichever check found it."""
    record = listed()
    broken = replace(
        record.with_event(12, lambda row: (*row[:4], b"{}")),
        stored=(record.stored[0]._replace(body=b"x"), *record.stored[1:]),
    )
    report = verify(broken, record.keys, projector=RunProjector())
    assert [(fault.code, fault.seq) for fault in report.faults] == [
        ("PAYLOAD_CHANGED", 1),
        ("ENTRY_CHANGED", 12),
    ]


@pytest.mark.parametrize("wrong", [None, "digest", "circumstances_digest"])
def test_a_recorded_policy_is_the_one_that_its_entry_names(tmp_path: Path, wrong: str | None) -> None:
    """Its commitment alone would let whoever writes say that another policy had decided."""
    ledger = LivingLedger(tmp_path / "ledger.db")
    document, circumstances = ledger.payload(b"{}"), ledger.payload(b"[]")
    names = {"digest": sha256(b"{}").hexdigest(), "circumstances_digest": sha256(b"[]").hexdigest()}
    if wrong is not None:
        names[wrong] = "0" * 64
    event = PolicyRecorded(document=document.commitment, circumstances=circumstances.commitment, **names)
    ledger.append(None, [event], [document, circumstances])
    ledger.close()
    faults = verify_ledger(ledger.path, ledger.keys, projector=RunProjector()).faults
    expected = [] if wrong is None else [("PAYLOAD_CHANGED", 1)]
    assert [(fault.code, fault.seq) for fault in faults] == expected


def test_payload_bound_again_by_a_later_entry_is_stored_once(tmp_path: Path) -> None:
    ledger = LivingLedger(tmp_path / "ledger.db")
    run = RunId("run_01")
    both = ledger.payload(b"{}")
    created = RunCreated(
        mode=Mode.WORKFLOW, principal="user:ada", document=both.commitment, inputs=both.commitment, policy="p"
    )
    ledger.append(run, [created], [both])
    asked = ApprovalRequested(
        step=StepKey("a"),
        digest="d",
        capability="a.b",
        version="1.0.0",
        risk="HIGH",
        decision="REQUIRE_APPROVAL",
        rule="r",
        policy="p",
        inputs=both.commitment,
        preview=both.commitment,
        requester="user:ada",
    )
    ledger.append(run, [asked], seal=True)
    ledger.close()
    report = verify_ledger(ledger.path, ledger.keys, projector=RunProjector())
    assert (report.faults, report.payloads) == ((), 1)


def test_payload_that_comes_back_after_its_erasure_is_found() -> None:
    """Somebody put back what was promised to be gone."""
    with TemporaryDirectory() as folder:
        ledger = LivingLedger(Path(folder) / "ledger.db")
        run = ledger.run("run_01")
        before = ListedRecord.of(ledger.path, ledger.keys)
        ledger.erase(run)
        ledger.close()
        after = ListedRecord.of(ledger.path, ledger.keys)
    report = verify(replace(after, stored=before.stored[2:3]), after.keys, projector=RunProjector())
    assert [(fault.code, fault.seq) for fault in report.faults] == [("PAYLOAD_FOREIGN", before.stored[2].seq)]


def test_erasing_one_run_does_not_excuse_another_runs_payload() -> None:
    record = listed()
    [waiting] = [row for row in record.stored if row.body == b'{"diff":""}']
    report = verify(
        replace(record, stored=tuple(row for row in record.stored if row != waiting)),
        record.keys,
        projector=None,
    )
    assert [(fault.code, fault.seq) for fault in report.faults] == [("PAYLOAD_MISSING", waiting.seq)]


def test_runs_are_folded_one_after_the_other_and_let_go_of() -> None:
    """What verification keeps does not grow with the number of runs: each is folded by itself, when its last entry came by."""

    class Counting(RunProjector):
        folded: ClassVar[list[set[RunId | None]]] = []

        def replay(self, leaves: Iterable[Leaf]) -> Iterator[Row]:
            given = list(leaves)
            self.folded.append({leaf.run for leaf in given})
            return super().replay(given)

    report = verify(listed(), listed().keys, projector=Counting())
    assert report.is_good
    runs = [RunId("run_01"), RunId("run_02"), RunId("run_03"), RunId("run_04")]
    assert Counting.folded == [*({run} for run in runs), {None}]


def test_a_row_that_lies_about_the_length_of_its_run_is_found() -> None:
    """The row says when a run is whole, and is itself held against the entries."""
    record = listed()
    place = RunProjector.tables["runs"].index("events")
    for change in (-1, 1, 10**6, None):
        first, *others = record.lists["runs"]
        cell = None if change is None else int(first[place] or 0) + change
        lying = (*first[:place], cell, *first[place + 1 :])
        changed = replace(record, lists={**record.lists, "runs": (lying, *others)})
        report = verify(changed, record.keys, projector=RunProjector())
        assert [fault.code for fault in report.faults] == ["PROJECTION_MISMATCH"], change


def unsign(record: ListedRecord, size: int) -> ListedRecord:
    """The record without its checkpoints beyond `size`: the first act of whoever wants to rewrite what they cover."""
    return replace(record, notes=tuple(entry for entry in record.notes if entry[0] <= size))


def test_end_of_a_run_without_its_checkpoint_is_found() -> None:
    """The end of a run is signed when it is recorded, so dropping the checkpoints over it frees nothing for rewriting."""
    record = listed()
    for size, _ in record.notes[
        :-2
    ]:  # The newest covers a run that waits: that may be unsigned after a kill.
        report = verify(unsign(record, size), record.keys, projector=RunProjector())
        assert report.first_bad is not None, size
        assert report.first_bad.code == "CHECKPOINT_MISSING", size
        assert is_sealed(decode_stored(record.events[report.first_bad.seq or 0][4]).event)


LIST_FAULTS: dict[str, tuple[Callable[[ListedRecord], tuple[HeadList, ...]], str]] = {
    "nothing": (lambda record: record.head_lists, ""),
    "a place": (
        lambda record: (record.head_lists[0]._replace(streams=bytes(16)), *record.head_lists[1:]),
        "COMMIT_INVALID",
    ),
    "the first gone": (lambda record: record.head_lists[1:], "COMMIT_INVALID"),
    "the last gone": (lambda record: record.head_lists[:-1], "COMMIT_INVALID"),
    "all gone": (lambda _: (), "COMMIT_INVALID"),
    "one more": (lambda record: (*record.head_lists, record.head_lists[-1]), "COMMIT_INVALID"),
}


@cache
def long() -> ListedRecord:
    """A sealed ledger with two lists of newest entries, in each of which a change of capabilities is one."""
    with TemporaryDirectory() as folder:
        ledger = LedgerFile.create(Path(folder) / "ledger.db")
        for part in range(2):
            label = CapabilityLabelled(capability="a.b", version=f"{part}.0.0", label="stable", by="user:ada")
            ledger.commit([Batch(None, 1 + part, START_MS, (label,))])
            ledger.commit([run_batch(number) for number in range(200 * part, 200 * part + 150)])
        ledger.close()
        record = ListedRecord.of(ledger.path, [Ed25519Verifier.from_vkey(SIGNER.vkey)])
    assert len(record.head_lists) == 2
    return record


@pytest.mark.parametrize("chunk", [100, 1000])
@pytest.mark.parametrize("name", LIST_FAULTS)
def test_lists_of_newest_entries_are_those_that_follow_from_the_entries(name: str, chunk: int) -> None:
    """Also for who lacks the key: an owner would otherwise be led past the end of a run."""
    change, code = LIST_FAULTS[name]
    record = replace(long(), chunk=chunk, head_lists=change(long()))
    for signer in (SIGNER, None):
        report = verify(record, record.keys, projector=None, signer=signer)
        assert [fault.code for fault in report.faults][:1] == ([code] if code else []), report.faults


def test_a_forged_erasure_excuses_no_missing_payload(tmp_path: Path) -> None:
    """Whoever lacks the key can't sign the event, and unsigned it is a fault itself."""
    ledger = LivingLedger(tmp_path / "ledger.db")
    run = ledger.run("run_01")
    note = ledger.checkpoint()
    ledger.erase(run)
    ledger.close()
    record = ListedRecord.of(ledger.path, ledger.keys)
    report = verify(unsign(record, 7), record.keys, projector=RunProjector(), kept=note)
    assert [(fault.code, fault.seq) for fault in report.faults] == [("CHECKPOINT_MISSING", 7)]


def test_more_unsigned_entries_than_a_tail_may_have_are_found(tmp_path: Path) -> None:
    """A checkpoint is signed every 1 024 entries at the latest."""
    ledger = LivingLedger(tmp_path / "ledger.db")
    ledger.run("run_01", steps=SEAL_EVENTS_MAX // 2, ends=False)
    ledger.close()
    record = ListedRecord.of(ledger.path, ledger.keys)
    assert [size for size, _ in record.notes] == [1, SEAL_EVENTS_MAX + 1, SEAL_EVENTS_MAX + 2]
    report = verify(unsign(record, 1), record.keys, projector=RunProjector())
    assert [(fault.code, fault.seq) for fault in report.faults] == [("CHECKPOINT_MISSING", 1)]


@pytest.mark.parametrize(
    ("signed", "size", "code"), [(1, 5, ""), (5, 5, "CHECKPOINT_MISSING"), (1, 4, "ENTRY_INVALID")]
)
def test_recovery_must_speak_of_the_checkpoint_that_was_the_newest(
    tmp_path: Path, signed: int, size: int, code: str
) -> None:
    """A recovered tail names the checkpoint that it follows; when that one was dropped, the record contradicts itself."""
    ledger = LivingLedger(tmp_path / "ledger.db")
    ledger.run("run_01", steps=1, ends=False)
    ledger.append(None, [RunRecovered()])
    ledger.append(None, [LedgerRecovered(signed=signed, size=size)])
    ledger.close()
    report = verify_ledger(ledger.path, ledger.keys, projector=None)
    assert [fault.code for fault in report.faults] == ([code] if code else [])


def test_a_ledger_under_another_key_does_not_verify() -> None:
    """The same name with other key material."""
    record = listed()
    stranger = Ed25519Verifier.from_vkey(other_signer().vkey)
    report = verify(record, [stranger], projector=None)
    assert report.first_bad is not None
    assert report.first_bad.code == "CHECKPOINT_INVALID"


def test_any_earlier_checkpoint_of_the_ledger_may_be_the_kept_one() -> None:
    record = listed()
    for size, note in record.notes:
        report = verify(record, record.keys, projector=None, kept=note)
        assert (report.faults, report.kept_size) == ((), size)


def test_a_kept_checkpoint_of_another_log_is_none_of_this_ledger() -> None:
    """Though its tree is the same: whoever keeps that log signed these entries as its own."""
    record = listed()
    other = Ed25519FileSigner("example.com/other", bytes(32))
    keys = [*record.keys, Ed25519Verifier.from_vkey(other.vkey)]
    own = open_checkpoint(record.notes[-1][1], keys).checkpoint
    kept = sign_checkpoint(msgspec.structs.replace(own, origin=other.name), other)
    report = verify(record, keys, projector=None, kept=kept)
    assert [fault.code for fault in report.faults] == ["HISTORY_REWRITTEN"]


def test_a_kept_checkpoint_that_is_not_the_ledgers_is_an_input_error() -> None:
    """A file that nobody signed can't accuse the ledger."""
    record = listed()
    with pytest.raises(InputError) as caught:
        verify(record, record.keys, projector=None, kept=record.notes[-1][1].replace("\n7\n", "\n8\n") + "x")
    assert caught.value.code == "NOTE_MALFORMED"


def test_a_file_damaged_past_reading_gives_a_report(tmp_path: Path) -> None:
    ledger = LivingLedger(tmp_path / "ledger.db")
    for index in range(20):
        ledger.run(f"run_{index:02d}")
    ledger.close()
    data = bytearray(ledger.path.read_bytes())
    data[4096:] = bytes(len(data) - 4096)
    ledger.path.write_bytes(data)
    report = verify_ledger(ledger.path, ledger.keys, projector=RunProjector())
    assert "STORAGE_DAMAGED" in {fault.code for fault in report.faults}


def test_a_file_of_another_program_is_refused(tmp_path: Path) -> None:
    with closing(apsw.Connection(str(tmp_path / "other.db"))) as db:
        db.execute("CREATE TABLE t(x)")
    with pytest.raises(InputError) as caught:
        verify_ledger(tmp_path / "other.db", [], projector=None)
    assert caught.value.code == "STATE_FOREIGN"


def test_verifying_changes_no_byte(tmp_path: Path) -> None:
    """Also when the write-ahead log is full of what the main file lacks."""
    ledger = LivingLedger(tmp_path / "ledger.db")
    ledger.run("run_01")
    folder = Path(shutil.copytree(tmp_path, tmp_path.with_name(tmp_path.name + "-copy")))
    before = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert verify_ledger(folder / "ledger.db", ledger.keys, projector=RunProjector()).is_good
    after = {path.name: path.read_bytes() for path in folder.iterdir() if not path.name.endswith("-shm")}
    assert before == after
    ledger.close()
