"""Where the newest entry of each stream stands: found in whichever part of the ledger it is, and in nobody's own lists."""

from __future__ import annotations

from hashlib import sha256

import pytest

from assent.errors import WorldError
from assent.journal.tree._heads import CAPABILITIES_STREAM, OWN_STREAMS, PART_ENTRIES, HeadList, Heads
from assent.spec.events.kinds import LEDGER_STREAM

PARTS = 4


def grown() -> tuple[Heads, dict[int, HeadList], dict[str, int]]:
    """The heads of a ledger of some parts and a little more, its lists by size, and where each stream's newest entry stands."""
    heads, lists, newest = Heads(), dict[int, HeadList](), dict[str, int]()
    for part in range(PARTS):
        first = part * PART_ENTRIES
        halves = {f"run_{part}": first + 1, "run_all": first + 2}, {f"late_{part}": first + PART_ENTRIES - 1}
        if part == 0:
            halves[0].update({LEDGER_STREAM: 0, CAPABILITIES_STREAM: 3})
        for half, size in zip(halves, (first + PART_ENTRIES - 1, first + PART_ENTRIES), strict=True):
            newest |= half
            completed = heads.completed(size, half)
            assert (completed is not None) == (size % PART_ENTRIES == 0)
            heads.add(half, completed)
            if completed is not None:
                lists[size] = completed
    rest = {"run_1": PARTS * PART_ENTRIES, "run_new": PARTS * PART_ENTRIES + 1}
    heads.add(rest, None)
    return heads, lists, newest | rest


def reopened(lists: dict[int, HeadList]) -> Heads:
    """What an owner begins with: the newest list, what stands behind it, and the others to be read."""
    since = {"run_1": PARTS * PART_ENTRIES, "run_new": PARTS * PART_ENTRIES + 1}
    older = sorted(lists.items(), reverse=True)
    return Heads(older[0][1], since, lambda size: next((row for at, row in older if at < size), None))


def test_the_newest_entry_of_each_stream_is_found_in_whichever_part_it_stands() -> None:
    """By who wrote them, and by the next owner, whatever it asks for first."""
    living, lists, newest = grown()
    assert len(lists) == PARTS
    for stream, seq in newest.items():
        assert reopened(lists).newest(stream) == living.newest(stream) == seq, stream
    again = reopened(lists)
    for heads in (living, again, reopened(lists), Heads()):
        assert heads.newest("run_unknown") is None
    assert {stream: again.newest(stream) for stream in newest} == newest


def test_the_ledgers_own_streams_stand_in_every_list() -> None:
    """So that nobody has to go back through the lists for them."""
    _, lists, newest = grown()
    for row in lists.values():
        alone = Heads(row._replace(before=b""))
        assert [alone.newest(stream) for stream in OWN_STREAMS] == [newest[stream] for stream in OWN_STREAMS]


@pytest.mark.parametrize("instead", [None, "another part's", "an older one"])
def test_a_list_that_does_not_hang_on_the_next_is_not_believed(instead: str | None) -> None:
    """Neither is one that is gone: nobody is told that a stream has no entry there."""
    _, lists, _ = grown()
    rows = [lists[size] for size in sorted(lists)]
    put = {None: None, "another part's": rows[1]._replace(size=rows[2].size), "an older one": rows[1]}
    heads = Heads(rows[3], load=lambda _: put[instead])
    assert heads.newest("run_3") is not None
    with pytest.raises(WorldError) as caught:
        heads.newest("run_0")
    assert (caught.value.code, caught.value.details) == (
        "RECORD_CORRUPT",
        {"seq": 3 * PART_ENTRIES + PART_ENTRIES - 1},
    )


def test_a_place_that_reads_like_a_name_is_none() -> None:
    name, other = (sha256(stream.encode()).digest()[:8] for stream in ("run_1", "run_2"))
    seven = (7).to_bytes(8, "big")
    assert Heads(HeadList(512, b"", other + name)).newest("run_1") is None
    assert Heads(HeadList(512, b"", other + name + name + seven)).newest("run_1") == 7


def test_what_the_key_vouches_for_in_a_list_is_written_as_ever() -> None:
    """The digest is under a commit's MAC: made otherwise, no older ledger would be believed."""
    first = HeadList.of(512, None, {LEDGER_STREAM: 3, "run_1": 511})
    assert first.digest.hex() == "1481b5943e07ca13559caba28821bae0d8a8f468f2a016eccefe799646ab3060"
    assert (
        HeadList.of(1024, first, {"run_2": 600}).digest.hex()
        == "168d6b1ba0c9adf04501dbcda7bb2f2b3d27f5995879fc0ee7116ab8c953311b"
    )
