"""Batches that come late keep their order and follow from what their repository is (CHECKLIST B 85-87, 89)."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from assent.errors import InputError
from assent.knowledge.manifest import Batch, Batches, Retention


def late(sequence: int, repository: str = "repo") -> Batch:
    return Batch(sequence, repository, 1, f"{sequence}", f"{sequence + 1}")


def fixture() -> list[Batch]:
    """As the sample of late batches has them."""
    return [
        Batch(1, "repo-alpha", 4200, "000000", "111aaa"),
        Batch(2, "repo-alpha", 3800, "111aaa", "222bbb"),
        Batch(3, "repo-beta", 9600, "111aaa", "333ccc"),
    ]


def test_the_buffered_ones_are_flushed_and_replay_as_the_golden_says() -> None:
    """The third is of another repository: its chain is its own, however it lies between those of the first."""
    batches = Batches(fixture(), heads={"repo-alpha": "000000", "repo-beta": "111aaa"})
    batches.emit("repo-alpha", before="222bbb", after="444ddd", applied_at_ms=5, now_ms=5)
    drained = batches.flush()
    assert [(one.sequence, one.status) for one in drained] == [(number, "drained") for number in (1, 2, 3, 4)]
    assert (drained[2].payload_checksum_before, drained[2].payload_checksum_after) == ("111aaa", "333ccc")
    assert batches.heads == {"repo-alpha": "444ddd", "repo-beta": "333ccc"}
    assert batches.waiting == ()
    assert batches.flush() == []
    assert batches.told(drained[2]) == (
        "sequence: 3\nrepo: repo-beta\nstatus: drained\nchecksum_before: 111aaa\nchecksum_after: 333ccc\nnotes:\n"
        "  - buffered entries flushed after offline window of 9.6s\n"
        "  - retention ceiling satisfied (max_age_ms = 120000, max_entries = 128)\n"
    )


def test_the_sample_replays_as_its_golden_says(samples: Path) -> None:
    folder = samples / "embednexus"
    lines = (folder / "fixtures/ingestion/delayed-ledger/placeholder.jsonl").read_bytes().splitlines()
    buffered = [msgspec.json.decode(one, type=Batch) for one in lines]
    assert buffered == fixture()
    batches = Batches(buffered)
    golden = (folder / "golden/ingestion/manifest-replay.log").read_text()
    assert golden.partition("\n")[2] == batches.told(batches.flush()[2])


@pytest.mark.parametrize("changed", [0, 1, 2])
def test_a_batch_that_does_not_follow_is_refused_and_none_is_taken(changed: int) -> None:
    batches = fixture()
    batches[changed] = msgspec.structs.replace(batches[changed], payload_checksum_before="999999")
    heads = {"repo-alpha": "000000", "repo-beta": "111aaa"}
    ledger = Batches(batches, heads=heads)
    with pytest.raises(InputError, match="KNOWLEDGE_BATCH_REFUSED") as caught:
        ledger.flush()
    assert f"batch {changed + 1} of" in str(caught.value)
    assert (ledger.heads, len(ledger.waiting)) == (heads, 3)


def test_the_third_does_not_follow_from_the_second_where_it_is_of_the_same_repository() -> None:
    batches = [msgspec.structs.replace(one, repo_id="repo-alpha") for one in fixture()]
    with pytest.raises(InputError, match="its repository is at 222bbb, not at 111aaa"):
        Batches(batches).flush()


@pytest.mark.parametrize(
    ("buffered", "start", "following"),
    [
        ((4, 5, 6), 42, 42),
        ((40, 41, 42), 50, 50),
        ((60, 61), 70, 70),
        ((10, 8, 9), 1, 11),
        ((), 7, 7),
        ((), 1, 1),
    ],
)
def test_numbers_only_grow(buffered: tuple[int, ...], start: int, following: int) -> None:
    batches = Batches([late(number) for number in buffered], start=start)
    assert batches.next == following
    emitted = batches.emit("other", before="a", after="b", applied_at_ms=0, now_ms=0)
    assert [one.sequence for one in batches.flush()] == [*sorted(buffered), following]
    assert (emitted.sequence, batches.next) == (following, following + 1)


def test_a_number_that_is_taken_is_refused() -> None:
    with pytest.raises(InputError, match="its number is taken"):
        Batches([late(1), late(1, "other")]).flush()


def test_delay_is_counted_from_when_it_was_made_and_is_never_less_than_none() -> None:
    batches = Batches()
    delays = [
        batches.emit("repo", before=f"{at}", after=f"{at + 1}", applied_at_ms=made, now_ms=100).delayed_ms
        for at, made in enumerate((40, 100, 900))
    ]
    assert delays == [60, 0, 0]


def test_what_waits_too_long_or_is_too_many_is_refused() -> None:
    batches = Batches(retention=Retention(max_age_ms=10, max_entries=2))
    with pytest.raises(InputError, match="11 ms late, of 10"):
        batches.emit("repo", before="1", after="2", applied_at_ms=0, now_ms=11)
    batches.emit("repo", before="1", after="2", applied_at_ms=0, now_ms=10)
    batches.emit("repo", before="2", after="3", applied_at_ms=0, now_ms=10)
    with pytest.raises(InputError, match="2 wait already"):
        batches.emit("repo", before="3", after="4", applied_at_ms=0, now_ms=10)
    assert batches.next == 3
    with pytest.raises(InputError, match="KNOWLEDGE_BATCH_REFUSED"):
        Batches(fixture(), retention=Retention(max_age_ms=4000)).flush()
