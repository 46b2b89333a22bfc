"""What every `Journal` owes its callers. A class of tests inherits these rules and says how to make a journal.

Durability is not among them: it is what the tests of `tests/crash` are about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import pytest

from assent.errors import AssentError, InputError, InternalError
from assent.journal import Batch, Blobs, Head, Journal, Projector, Row, leaf_hash, open_checkpoint, tree_root
from assent.journal._note import Ed25519Verifier
from assent.spec.events import Leaf, LedgerCreated, PayloadErased, RunCancelled, RunFailed, StepResumed
from assent.spec.ids import Commitment, RunId, StepKey
from tests.support.journals import KEY, NOW_MS, created, payload, progressed, run_id, run_row, succeeded


class CompleteJournal(Journal, Protocol):
    """A journal with what both implementations have besides the port."""

    @property
    def origin(self) -> str: ...

    @property
    def blobs(self) -> Blobs: ...

    def newest_checkpoint(self) -> tuple[int, str] | None: ...

    async def rebuild(self, projector: Projector) -> int: ...


class JournalContract:
    """The rules. `journal` is a fixture of the class that inherits them."""

    @pytest.fixture
    def journal(self) -> CompleteJournal:
        raise NotImplementedError

    # -- appending -----------------------------------------------------------------------------------------------------

    async def test_new_journal_begins_with_its_creation(self, journal: CompleteJournal) -> None:
        """The first event names the log, and a checkpoint covers it."""
        (first,) = journal.leaves()
        assert first.event == LedgerCreated(origin=journal.origin)
        assert (first.seq, first.run, first.n, first.at_ms) == (0, None, None, NOW_MS)
        assert self._signed_head(journal) == journal.head()

    async def test_appended_batch_is_read_back(self, journal: CompleteJournal) -> None:
        """What was appended is what is read: leaves in order with their numbers, payloads, rows."""
        run, batch = run_id(1), created(run_id(1))
        head = await journal.append(batch)
        await journal.append(progressed(run, 1))
        assert head.size == 2
        leaves = journal.run_leaves(run)
        assert [leaf.event for leaf in leaves] == [*batch.events, *progressed(run, 1).events]
        assert [(leaf.seq, leaf.run, leaf.n, leaf.at_ms) for leaf in leaves] == [
            (1, run, 0, NOW_MS),
            (2, run, 1, NOW_MS),
        ]
        assert list(journal.leaves(start=1)) == leaves
        assert list(journal.leaves(start=1, stop=2)) == leaves[:1]
        for stored in batch.payloads:
            assert journal.payload(stored.commitment) == stored.body
        (row,) = journal.rows("runs")
        assert (row["run_id"], row["status"], row["events"]) == (run, "running", 2)

    async def test_head_is_the_tree_over_all_leaves(self, journal: CompleteJournal) -> None:
        """Size and root are those of an RFC 9162 tree over the encoded leaves."""
        for number in range(20):
            await journal.append(created(run_id(number)))
        head = await journal.append(progressed(run_id(1), 1))
        hashes = [leaf_hash(leaf.encode()) for leaf in journal.leaves()]
        assert journal.head() == head == Head(len(hashes), tree_root(hashes))

    async def test_several_events_of_one_batch_are_numbered_on(self, journal: CompleteJournal) -> None:
        """A batch of several events takes that many numbers of its run."""
        run = run_id(1)
        first = created(run)
        second = StepResumed(step=StepKey("build"), attempt=1)
        await journal.append(Batch(run, 0, NOW_MS, (*first.events, second), first.payloads))
        await journal.append(progressed(run, 2))
        assert [leaf.n for leaf in journal.run_leaves(run)] == [0, 1, 2]

    async def test_batch_that_does_not_continue_its_run_is_refused(self, journal: CompleteJournal) -> None:
        """A stale or hasty writer meets `STALE_WRITER`, and nothing of its batch is kept."""
        run = run_id(1)
        await journal.append(created(run))
        before = journal.head()
        for n in (0, 2):
            with pytest.raises(InputError) as refused:
                await journal.append(progressed(run, n))
            assert refused.value.code == "STALE_WRITER"
            assert refused.value.details == {"run_id": run, "expected": n, "actual": 1}
        assert journal.head() == before
        assert journal.payload(progressed(run, 2).payloads[0].commitment) is None

    async def test_refused_batch_does_not_hurt_its_neighbours(self, journal: CompleteJournal) -> None:
        """Of batches appended together, exactly the stale ones fail."""
        run, other = run_id(1), run_id(2)
        outcomes = await asyncio.gather(
            journal.append(created(run)),
            journal.append(created(run)),
            journal.append(progressed(run, 7)),
            journal.append(created(other)),
            journal.append(progressed(run, 1)),
            return_exceptions=True,
        )
        codes = [outcome.code if isinstance(outcome, AssentError) else None for outcome in outcomes]
        assert codes == [None, "STALE_WRITER", "STALE_WRITER", None, None]
        assert [leaf.n for leaf in journal.run_leaves(run)] == [0, 1]
        assert len(journal.run_leaves(other)) == 1

    async def test_concurrent_appenders_all_get_their_place(self, journal: CompleteJournal) -> None:
        """64 runs that append at once lose and mix nothing."""

        async def drive(run: RunId) -> None:
            await journal.append(created(run))
            for n in range(1, 9):
                await journal.append(progressed(run, n))
            await journal.append(succeeded(run, 9))

        runs = [run_id(number) for number in range(64)]
        await asyncio.gather(*map(drive, runs))
        leaves = list(journal.leaves())
        assert [leaf.seq for leaf in leaves] == list(range(1 + 64 * 10))
        for run in runs:
            assert [leaf.n for leaf in leaves if leaf.run == run] == list(range(10))
        assert {row["status"] for row in journal.rows("runs")} == {"succeeded"}
        hashes = [leaf_hash(leaf.encode()) for leaf in leaves]
        assert journal.head() == Head(len(hashes), tree_root(hashes))

    # -- the door ------------------------------------------------------------------------------------------------------

    @pytest.mark.parametrize("code", ["naïve", 'say "no"', "a\\b", "line\nbreak", "\x7f"])
    async def test_leaf_holds_printable_ascii_only(self, journal: CompleteJournal, code: str) -> None:
        """Text outside the leaf's profile is refused at the door: it belongs into a payload."""
        run = run_id(1)
        await journal.append(created(run))
        with pytest.raises(InternalError) as refused:
            await journal.append(Batch(run, 1, NOW_MS, (RunFailed(code=code),)))
        assert refused.value.code == "LEAF_PROFILE"
        assert journal.head().size == 2

    @pytest.mark.parametrize("attempt", [2**53 + 1, -(2**53) - 1, 1.5, "1", True])
    async def test_leaf_holds_exact_integers_only(self, journal: CompleteJournal, attempt: object) -> None:
        """A number that not every reader keeps exactly, or of another type than its field, is refused at the door."""
        run = run_id(1)
        await journal.append(created(run))
        # The types forbid it; the door does not rely on them.
        event = StepResumed(step=StepKey("build"), attempt=attempt)  # type: ignore[arg-type]  # what is tested
        with pytest.raises(InternalError) as refused:
            await journal.append(Batch(run, 1, NOW_MS, (event,)))
        assert refused.value.code == "LEAF_PROFILE"
        assert journal.head().size == 2
        await journal.append(progressed(run, 1))

    async def test_payload_that_no_event_binds_is_refused(self, journal: CompleteJournal) -> None:
        """Bytes that no leaf vouches for are not stored."""
        run, stray = run_id(1), payload(b"stray")
        with pytest.raises(InternalError) as refused:
            await journal.append(Batch(run, 0, NOW_MS, (RunCancelled(),), (stray,)))
        assert refused.value.code == "PAYLOAD_UNBOUND"
        assert journal.run_leaves(run) == []
        assert journal.payload(stray.commitment) is None

    # -- reading -------------------------------------------------------------------------------------------------------

    async def test_unknown_things_are_empty(self, journal: CompleteJournal) -> None:
        """A run that does not exist has no leaves, and a payload that does not exist no bytes."""
        assert journal.run_leaves(run_id(9)) == []
        assert journal.payload(Commitment("0" * 64)) is None
        assert journal.rows("approvals") == []

    async def test_rows_are_the_last_ones_filtered_and_ordered(self, journal: CompleteJournal) -> None:
        """Of several rows of one key the last counts; filters compare columns, null included; order is by key."""
        for number in (3, 1, 2):
            await journal.append(created(run_id(number)))
        await journal.append(succeeded(run_id(2), 1))
        assert [row["run_id"] for row in journal.rows("runs")] == [run_id(1), run_id(2), run_id(3)]
        assert [row["run_id"] for row in journal.rows("runs", {"status": "running"})] == [
            run_id(1),
            run_id(3),
        ]
        assert len(journal.rows("runs", {"code": None, "status": "succeeded"})) == 1
        assert journal.rows("runs", {"code": "X"}) == []

    async def test_unknown_projection_is_refused(self, journal: CompleteJournal) -> None:
        """A table or column that is not of the schema never reaches the store."""
        with pytest.raises(AssentError) as table:
            journal.rows("events")
        with pytest.raises(AssentError) as column:
            journal.rows("runs", {"1=1; --": 1})
        assert table.value.code == column.value.code == "PROJECTION_UNKNOWN"

    # -- sealing -------------------------------------------------------------------------------------------------------

    async def test_batch_that_asks_for_it_is_sealed(self, journal: CompleteJournal) -> None:
        """The checkpoint of a sealed batch covers it when `append` returns."""
        await journal.append(created(run_id(1)))
        head = await journal.append(created(run_id(2), seal=True))
        assert self._signed_head(journal) == head

    async def test_long_unsigned_tail_is_sealed(self, journal: CompleteJournal) -> None:
        """After 1 024 events a checkpoint is signed, whoever asked for it."""
        run = run_id(1)
        await journal.append(created(run))
        events = tuple(StepResumed(step=StepKey("build"), attempt=1) for _ in range(1_100))
        head = await journal.append(Batch(run, 1, NOW_MS, events))
        assert self._signed_head(journal) == head

    # -- erasing and rebuilding ----------------------------------------------------------------------------------------

    async def test_erased_payloads_are_gone_and_the_tree_stands(self, journal: CompleteJournal) -> None:
        """Erasing takes a run's payloads and blobs, tells the ledger how many, and leaves every leaf and every other run."""
        blob, shared = journal.blobs.put([b"pre-image"]), journal.blobs.put([b"shared"])
        kept, gone = created(run_id(1), blobs=(shared,)), created(run_id(2), blobs=(blob, shared))
        await journal.append(kept)
        await journal.append(gone)
        await journal.append(succeeded(run_id(2), 1))
        before = list(journal.leaves())
        assert await journal.erase(run_id(2), by="user:ada", os_uid=1000, at_ms=NOW_MS + 1) == 3
        leaves = list(journal.leaves())
        assert leaves[:-1] == before
        assert leaves[-1].event == PayloadErased(target=run_id(2), count=3, by="user:ada", os_uid=1000)
        assert self._signed_head(journal) == journal.head()
        assert all(journal.payload(found.commitment) is None for found in gone.payloads)
        assert all(journal.payload(found.commitment) == found.body for found in kept.payloads)
        assert b"".join(journal.blobs.read(shared)) == b"shared"
        with pytest.raises(AssentError) as missing:
            list(journal.blobs.read(blob))
        assert missing.value.code == "RECORD_CORRUPT"

    async def test_erasing_twice_erases_once(self, journal: CompleteJournal) -> None:
        """A second erasure finds nothing and leaves no event."""
        await journal.append(created(run_id(1)))
        assert await journal.erase(run_id(1), by="user:ada", os_uid=None, at_ms=NOW_MS) == 2
        size = journal.head().size
        assert await journal.erase(run_id(1), by="user:ada", os_uid=None, at_ms=NOW_MS) == 0
        assert journal.head().size == size

    async def test_rebuilt_projections_are_what_the_projector_says(self, journal: CompleteJournal) -> None:
        """Rebuilding drops every row and stores those of the fold over all leaves."""

        class LastSeen:
            tables: Mapping[str, Sequence[str]] = MappingProxyType({"runs": ()})
            keys: Mapping[str, int] = MappingProxyType({"runs": 1})

            def replay(self, leaves: Iterable[Leaf]) -> Iterator[Row]:
                last = {leaf.run: leaf for leaf in leaves if leaf.run is not None}
                return (run_row(run, "rebuilt", (leaf.n or 0) + 1) for run, leaf in last.items())

        await journal.append(created(run_id(1)))
        await journal.append(progressed(run_id(1), 1))
        await journal.append(created(run_id(2)))
        assert await journal.rebuild(LastSeen()) == 2
        assert [(row["status"], row["events"]) for row in journal.rows("runs")] == [
            ("rebuilt", 2),
            ("rebuilt", 1),
        ]

    # -- closing -------------------------------------------------------------------------------------------------------

    async def test_closed_journal_takes_no_more(self, journal: CompleteJournal) -> None:
        """Closing twice is harmless; appending afterwards is refused."""
        await journal.close()
        await journal.close()
        with pytest.raises(InternalError) as refused:
            await journal.append(created(run_id(1)))
        assert refused.value.code == "JOURNAL_CLOSED"

    def _signed_head(self, journal: CompleteJournal) -> Head:
        newest = journal.newest_checkpoint()
        assert newest is not None
        key = Ed25519Verifier.from_vkey(KEY.named(journal.origin).vkey)
        checkpoint = open_checkpoint(newest[1], [key]).checkpoint
        assert (checkpoint.origin, checkpoint.size) == (journal.origin, newest[0])
        return Head(checkpoint.size, checkpoint.root)
