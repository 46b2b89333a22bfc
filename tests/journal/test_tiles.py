"""The ledger's tree in tiles: from them alone the root of the checkpoint is computed, and each entry is found in it."""

from __future__ import annotations

import pytest

from assent.errors import InputError
from assent.journal import checkpoint, tile, tree_root
from assent.journal.store._rows import Entry
from assent.spec.values.merkle import leaf_hash

HASH = 32


class Leaves:
    """A ledger of so many entries, of which a checkpoint covers some."""

    def __init__(self, count: int, covered: int) -> None:
        self.leaves = [b'{"n":%d}' % number for number in range(count)]
        self.covered = covered

    def entries(self, start: int, limit: int) -> list[Entry]:
        taken = self.leaves[start : start + limit]
        return [Entry(start + at, None, 0, leaf_hash(leaf), leaf) for at, leaf in enumerate(taken)]

    def newest_checkpoint(self) -> tuple[int, str] | None:
        return (self.covered, "note") if self.covered else None


def parts(data: bytes) -> list[bytes]:
    return [data[at : at + HASH] for at in range(0, len(data), HASH)]


def whole(leaves: Leaves, level: int) -> list[bytes]:
    """Every hash of a level that the checkpoint covers, read tile by tile, the last one partial."""
    count = leaves.covered // 256**level
    found: list[bytes] = []
    for index in range(-(-count // 256)):
        width = min(256, count - index * 256)
        place = f"{level}/{index:03}" + (f".p/{width}" if width < 256 else "")
        found += parts(tile(leaves, place))
    return found


@pytest.mark.parametrize("covered", [1, 255, 256, 257, 600, 1000])
def test_the_root_follows_from_any_level(covered: int) -> None:
    leaves = Leaves(covered + 3, covered)
    hashes = whole(leaves, 0)
    assert hashes == [leaf_hash(leaf) for leaf in leaves.leaves[:covered]]
    above = whole(leaves, 1)
    assert above == [tree_root(hashes[at : at + 256]) for at in range(0, covered // 256 * 256, 256)]
    bundle, entries = tile(leaves, "entries/000" + (f".p/{covered}" if covered < 256 else "")), []
    while bundle:
        size = int.from_bytes(bundle[:2], "big")
        entries.append(bundle[2 : 2 + size])
        bundle = bundle[2 + size :]
    assert entries == leaves.leaves[: min(covered, 256)]


@pytest.mark.parametrize(
    "place",
    ["", "0", "0/0", "0/0000", "/0/000", "0/000/", "10/000", "6/000", "0/002", "0/000.p/0", "0/000.p/257", "0/x1/000",
     "1/000.p/3", "entries/000.p/601", "0/003", "0/000.p/", "0/-01", "entries", "x/000", "0/x000/x000/x000/x000/x000/000"],
)  # fmt: skip
def test_what_is_no_place_or_not_covered_is_refused(place: str) -> None:
    with pytest.raises(InputError) as refused:
        tile(Leaves(900, 600), place)
    assert refused.value.code == "TILE_UNKNOWN"


def test_nothing_is_told_before_anything_was_signed() -> None:
    with pytest.raises(InputError, match="ENTRY_UNSIGNED"):
        checkpoint(Leaves(5, 0))
