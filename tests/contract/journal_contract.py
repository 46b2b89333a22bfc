"""What every `Journal` owes its callers. A class of tests inherits these rules and says how to make a journal.

Durability is not among them: it is what the tests of `tests/crash` are about.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol

import pytest
from msgspec.structs import replace

from assent.errors import AssentError, InputError, InternalError
from assent.journal import (
    Batch,
    Begins,
    Blobs,
    Head,
    Journal,
    OneOf,
    Projector,
    Row,
    leaf_hash,
    open_checkpoint,
    tree_root,
)
from assent.journal.ports import Cell
from assent.journal.tree._note import Ed25519Verifier
from assent.spec.events.kinds import Leaf, LedgerCreated, PayloadErased, RunCancelled, RunFailed, StepResumed
from assent.spec.ids import Commitment, RunId, StepKey
from tests.support.journals import ADA, KEY, NOW_MS, created, payload, progressed, run_id, run_row, succeeded


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

    async def test_new_journal_begins_with_its_creation(self, journal: CompleteJournal) -> None:
        """The first event names the log, and a checkpoint covers it."""
        (first,) = await journal.leaves(limit=2)
        assert first.event == LedgerCreated(origin=journal.origin)
        assert (first.seq, first.run, first.n, first.at_ms) == (0, None, 0, NOW_MS)
        assert self._signed_head(journal) == await journal.head()

    async def test_appended_batch_is_read_back(self, journal: CompleteJournal) -> None:
        """What was appended is what is read: leaves in order with their numbers, payloads, rows."""
        run, batch = run_id(1), created(run_id(1))
        head = await journal.append(batch)
        await journal.append(progressed(run, 1))
        assert head.size == 2
        leaves = await journal.events(run)
        assert [leaf.event for leaf in leaves] == [*batch.events, *progressed(run, 1).events]
        assert [(leaf.seq, leaf.run, leaf.n, leaf.at_ms) for leaf in leaves] == [
            (1, run, 0, NOW_MS),
            (2, run, 1, NOW_MS),
        ]
        assert await journal.leaves(start=1, limit=10) == leaves
        assert await journal.leaves(start=1, limit=1) == leaves[:1]
        for stored in batch.payloads:
            assert await journal.payload(stored.commitment) == stored.body
        (row,) = await journal.rows("runs", limit=100)
        assert (row["run_id"], row["status"], row["events"]) == (run, "running", 2)

    async def test_head_is_the_tree_over_all_leaves(self, journal: CompleteJournal) -> None:
        """Size and root are those of an RFC 9162 tree over the encoded leaves."""
        for number in range(20):
            await journal.append(created(run_id(number)))
        head = await journal.append(progressed(run_id(1), 1))
        hashes = [leaf_hash(leaf.encode()) for leaf in await journal.leaves(limit=100)]
        assert await journal.head() == head == Head(len(hashes), tree_root(hashes))

    async def test_several_events_of_one_batch_are_numbered_on(self, journal: CompleteJournal) -> None:
        """A batch of several events takes that many numbers of its run."""
        run = run_id(1)
        first = created(run)
        second = StepResumed(step=StepKey("build"), attempt=1)
        await journal.append(Batch(run, 0, NOW_MS, (*first.events, second), first.payloads))
        await journal.append(progressed(run, 2))
        assert [leaf.n for leaf in await journal.events(run)] == [0, 1, 2]

    async def test_batch_that_does_not_continue_its_run_is_refused(self, journal: CompleteJournal) -> None:
        """A stale or hasty writer meets `STALE_WRITER`, and nothing of its batch is kept."""
        run = run_id(1)
        await journal.append(created(run))
        before = await journal.head()
        for n in (0, 2):
            with pytest.raises(InputError) as refused:
                await journal.append(progressed(run, n))
            assert refused.value.code == "STALE_WRITER"
            assert refused.value.details == {"run_id": run, "expected": n, "actual": 1}
        assert await journal.head() == before
        assert await journal.payload(progressed(run, 2).payloads[0].commitment) is None

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
        assert [leaf.n for leaf in await journal.events(run)] == [0, 1]
        assert len(await journal.events(other)) == 1

    async def test_concurrent_appenders_all_get_their_place(self, journal: CompleteJournal) -> None:
        """64 runs that append at once lose and mix nothing."""

        async def drive(run: RunId) -> None:
            await journal.append(created(run))
            for n in range(1, 9):
                await journal.append(progressed(run, n))
            await journal.append(succeeded(run, 9))

        runs = [run_id(number) for number in range(64)]
        await asyncio.gather(*map(drive, runs))
        leaves = await journal.leaves(limit=1_000)
        assert [leaf.seq for leaf in leaves] == list(range(1 + 64 * 10))
        for run in runs:
            assert [leaf.n for leaf in leaves if leaf.run == run] == list(range(10))
        assert {row["status"] for row in await journal.rows("runs", limit=100)} == {"succeeded"}
        hashes = [leaf_hash(leaf.encode()) for leaf in leaves]
        assert await journal.head() == Head(len(hashes), tree_root(hashes))

    @pytest.mark.parametrize("code", ["naïve", 'say "no"', "a\\b", "line\nbreak", "\x7f"])
    async def test_leaf_holds_printable_ascii_only(self, journal: CompleteJournal, code: str) -> None:
        """Text outside the leaf's profile is refused at the door: it belongs into a payload."""
        run = run_id(1)
        await journal.append(created(run))
        with pytest.raises(InternalError) as refused:
            await journal.append(Batch(run, 1, NOW_MS, (RunFailed(code=code),)))
        assert refused.value.code == "LEAF_PROFILE"
        assert (await journal.head()).size == 2

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
        assert (await journal.head()).size == 2
        await journal.append(progressed(run, 1))

    async def test_payload_that_no_event_binds_is_refused(self, journal: CompleteJournal) -> None:
        """Bytes that no leaf vouches for are not stored."""
        run, stray = run_id(1), payload(b"stray")
        with pytest.raises(InternalError) as refused:
            await journal.append(Batch(run, 0, NOW_MS, (RunCancelled(),), (stray,)))
        assert refused.value.code == "PAYLOAD_UNBOUND"
        assert await journal.events(run) == []
        assert await journal.payload(stray.commitment) is None

    async def test_unknown_things_are_empty(self, journal: CompleteJournal) -> None:
        """A run that does not exist has no leaves, and a payload that does not exist no bytes."""
        assert await journal.events(run_id(9)) == []
        assert await journal.payload(Commitment("0" * 64)) is None
        assert await journal.rows("approvals", limit=100) == []

    async def test_rows_are_the_last_ones_filtered_and_ordered(self, journal: CompleteJournal) -> None:
        """Of several rows of one key the last counts; filters compare columns, null included; order is by key."""
        for number in (3, 1, 2):
            await journal.append(created(run_id(number)))
        await journal.append(succeeded(run_id(2), 1))
        assert [row["run_id"] for row in await journal.rows("runs", limit=100)] == [
            run_id(1),
            run_id(2),
            run_id(3),
        ]
        assert [row["run_id"] for row in await journal.rows("runs", {"status": "running"}, limit=100)] == [
            run_id(1),
            run_id(3),
        ]
        assert len(await journal.rows("runs", {"code": None, "status": "succeeded"}, limit=100)) == 1
        assert await journal.rows("runs", {"code": "X"}, limit=100) == []

    async def test_reading_goes_on_where_it_stopped(self, journal: CompleteJournal) -> None:
        """A limit cuts a reading, and the last key is where the next one begins, in both directions, whatever was added since."""
        for number in range(1, 8):
            await journal.append(created(run_id(number)))
        first = await journal.rows("runs", limit=3)
        assert [row["run_id"] for row in first] == [run_id(1), run_id(2), run_id(3)]
        await journal.append(created(run_id(0)))
        rest = await journal.rows("runs", after=(run_id(3),), limit=100)
        assert [row["run_id"] for row in rest] == [run_id(number) for number in range(4, 8)]
        newest = await journal.rows("runs", limit=2, newest_first=True)
        assert [row["run_id"] for row in newest] == [run_id(7), run_id(6)]
        await journal.append(created(run_id(8)))
        older = await journal.rows("runs", after=(run_id(6),), limit=2, newest_first=True)
        assert [row["run_id"] for row in older] == [run_id(5), run_id(4)]
        assert await journal.rows("runs", after=(run_id(8),), limit=2) == []

    async def test_cursor_is_the_whole_key(self, journal: CompleteJournal) -> None:
        """Where a key has several columns, a reading goes on in the middle of those that share the first ones."""
        steps = [(run_id(run), f"step_{step}") for run in (1, 2) for step in (1, 2, 3)]
        rows = tuple(Row("steps", key, (*key, *[None] * 10)) for key in steps)
        await journal.append(replace(created(run_id(1)), rows=rows))
        after: tuple[Cell, ...] | None = None
        for way, expected in ((False, steps), (True, steps[::-1])):
            found: list[tuple[Cell, Cell]] = []
            after = None
            while page := await journal.rows("steps", after=after, limit=2, newest_first=way):
                after = (page[-1]["run_id"], page[-1]["step"])
                found += [(row["run_id"], row["step"]) for row in page]
            assert found == expected
        assert await journal.rows("steps", {"step": "step_2"}, after=(run_id(1), "step_2"), limit=9) == [
            row
            for row in await journal.rows("steps", {"run_id": run_id(2)}, limit=9)
            if row["step"] == "step_2"
        ]

    async def test_conditions_select_rows(self, journal: CompleteJournal) -> None:
        """A column is one of several cells, or begins with a text; a limit counts what the conditions let through."""
        for number in (1, 2, 3, 10):
            await journal.append(created(run_id(number)))
        await journal.append(succeeded(run_id(2), 1))
        ended = OneOf(("succeeded", "failed"))
        assert [row["run_id"] for row in await journal.rows("runs", {"status": ended}, limit=9)] == [
            run_id(2)
        ]
        both = OneOf(("succeeded", "running"))
        assert len(await journal.rows("runs", {"status": both, "code": None}, limit=9)) == 4
        begins = Begins(run_id(1)[:-1])
        found = await journal.rows("runs", {"run_id": begins, "status": "running"}, limit=2)
        assert [row["run_id"] for row in found] == [run_id(1), run_id(3)]
        assert await journal.rows("runs", {"run_id": Begins(run_id(10))}, limit=9) != []
        assert await journal.rows("runs", {"run_id": Begins("run_%")}, limit=9) == []
        assert await journal.rows("runs", {"status": OneOf(())}, limit=9) == []

    async def test_events_of_a_run_are_read_from_any_number(self, journal: CompleteJournal) -> None:
        """Whoever knows some events of a run reads the others alone."""
        run = run_id(1)
        await journal.append(created(run))
        for n in range(1, 5):
            await journal.append(progressed(run, n))
        assert [leaf.n for leaf in await journal.events(run, since=3)] == [3, 4]
        assert [leaf.n for leaf in await journal.events(run, since=1, limit=2)] == [1, 2]
        assert await journal.events(run, since=5) == []

    async def test_events_of_no_run_are_read_likewise(self, journal: CompleteJournal) -> None:
        """They are a stream of their own, whose places in the log have gaps."""
        run = run_id(1)
        await journal.append(created(run))
        await journal.erase(run, who=ADA, at_ms=NOW_MS)
        await journal.append(progressed(run, 1))
        first, erased = await journal.events(None)
        assert (first.seq, erased.seq) == (0, 2)
        assert isinstance(erased.event, PayloadErased)
        assert await journal.events(None, since=1) == [erased]
        assert await journal.events(None, limit=1) == [first]

    # `journal` is opened with the projection of a small area, `TALLY`.

    async def test_an_areas_rows_follow_each_entry(self, journal: CompleteJournal) -> None:
        """What an area folds is stored with the entry, also where two entries of one batch change the same row."""
        await journal.append(created(run_id(1)))
        await journal.append(created(run_id(2)))
        twice = progressed(run_id(1), 1)
        await journal.append(replace(twice, events=twice.events * 2))
        rows = await journal.rows("tally_kinds", limit=9)
        assert rows == [
            {"kind": "run.created", "events": 2, "newest": 2},
            {"kind": "step.succeeded", "events": 2, "newest": 4},
        ]
        assert await journal.rows("tally_kinds", {"newest": 4}, limit=9) == rows[1:]
        assert await journal.rows("tally_kinds", after=("run.created",), limit=9) == rows[1:]

    async def test_a_batch_that_is_refused_changes_no_row_of_an_area(self, journal: CompleteJournal) -> None:
        """Nothing of it is kept, and what is appended afterwards counts as if it had not been tried."""
        await journal.append(created(run_id(1)))
        with pytest.raises(InputError):
            await journal.append(created(run_id(1)))
        await asyncio.gather(*(journal.append(created(run_id(number))) for number in (2, 3)))
        (row,) = await journal.rows("tally_kinds", limit=9)
        assert (row["events"], row["newest"]) == (3, 3)

    async def test_an_areas_rows_are_rebuilt_as_they_were(self, journal: CompleteJournal) -> None:
        """They are a fold: made again from all entries they are the same."""

        class Nothing:
            tables: Mapping[str, Sequence[str]] = MappingProxyType({})
            keys: Mapping[str, int] = MappingProxyType({})

            def replay(self, leaves: Iterable[Leaf]) -> Iterator[Row]:
                for _ in leaves:
                    pass
                return iter(())

        for number in (1, 2):
            await journal.append(created(run_id(number)))
            await journal.append(progressed(run_id(number), 1))
        live = await journal.rows("tally_kinds", limit=9)
        assert await journal.rebuild(Nothing()) == len(live) == 2
        assert await journal.rows("tally_kinds", limit=9) == live

    async def test_who_follows_misses_nothing(self, journal: CompleteJournal) -> None:
        """What is durable once it was counted is news, of that run alone; several may follow, also in a loop of their own."""
        run = run_id(1)
        await journal.append(created(run))
        has_begun, loop = asyncio.Event(), asyncio.get_running_loop()

        async def heard(since: int) -> list[int | None]:
            found: list[int | None] = []
            with journal.follow(run) as news:
                while found[-1:] != [9]:
                    count = news.count
                    leaves = await journal.events(run, since=since + len(found))
                    found += [leaf.n for leaf in leaves]
                    loop.call_soon_threadsafe(has_begun.set)
                    assert leaves or await news.beyond(count)
                assert news.count <= 9  # nothing of what was there before
            return found

        following = [asyncio.create_task(heard(since)) for since in (0, 0, 5)]
        following.append(asyncio.create_task(asyncio.to_thread(asyncio.run, heard(0))))
        await asyncio.sleep(0)
        await has_begun.wait()
        for n in range(1, 10):
            await journal.append(progressed(run, n))
            await journal.append(created(run_id(n + 1)))
        assert await asyncio.gather(*following) == [[*range(since, 10)] for since in (0, 0, 5, 0)]

    async def test_who_follows_ends_with_the_journal(self, journal: CompleteJournal) -> None:
        """Closing ends whoever waits for events that will not come, or begins to."""
        await journal.append(created(run_id(1)))
        with journal.follow(run_id(1)) as news:
            following = asyncio.create_task(news.beyond(news.count))
            await asyncio.sleep(0)
            await journal.close()
            assert not await following
        with journal.follow(run_id(1)) as news:
            assert not await news.beyond(news.count)

    async def test_unknown_projection_is_refused(self, journal: CompleteJournal) -> None:
        """A table or column that is not of the schema never reaches the store."""
        with pytest.raises(AssentError) as table:
            await journal.rows("events", limit=100)
        with pytest.raises(AssentError) as column:
            await journal.rows("runs", {"1=1; --": 1}, limit=100)
        assert table.value.code == column.value.code == "PROJECTION_UNKNOWN"

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

    async def test_erased_payloads_are_gone_and_the_tree_stands(self, journal: CompleteJournal) -> None:
        """Erasing takes a run's payloads and blobs, tells the ledger how many, and leaves every leaf and every other run."""
        blob, shared = journal.blobs.put([b"pre-image"]), journal.blobs.put([b"shared"])
        kept, gone = created(run_id(1), blobs=(shared,)), created(run_id(2), blobs=(blob, shared))
        await journal.append(kept)
        await journal.append(gone)
        await journal.append(succeeded(run_id(2), 1))
        before = await journal.leaves(limit=100)
        assert await journal.erase(run_id(2), who=ADA, at_ms=NOW_MS + 1) == 3
        leaves = await journal.leaves(limit=100)
        assert leaves[:-1] == before
        assert leaves[-1].event == PayloadErased(target=run_id(2), count=3, **ADA)
        assert self._signed_head(journal) == await journal.head()
        assert [await journal.payload(found.commitment) for found in gone.payloads] == [None] * 2
        assert [await journal.payload(found.commitment) for found in kept.payloads] == [
            found.body for found in kept.payloads
        ]
        assert b"".join(journal.blobs.read(shared)) == b"shared"
        with pytest.raises(AssentError) as missing:
            list(journal.blobs.read(blob))
        assert missing.value.code == "RECORD_CORRUPT"

    async def test_erasing_twice_erases_once(self, journal: CompleteJournal) -> None:
        """A second erasure finds nothing and leaves no event."""
        await journal.append(created(run_id(1)))
        assert await journal.erase(run_id(1), who=ADA, at_ms=NOW_MS) == 2
        size = (await journal.head()).size
        assert await journal.erase(run_id(1), who=ADA, at_ms=NOW_MS) == 0
        assert (await journal.head()).size == size

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
        assert await journal.rebuild(LastSeen()) == 2 + 2, "and the two of the area"
        assert [(row["status"], row["events"]) for row in await journal.rows("runs", limit=100)] == [
            ("rebuilt", 2),
            ("rebuilt", 1),
        ]

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
