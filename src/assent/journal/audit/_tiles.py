"""The ledger's tree in tiles, as C2SP's tlog-tiles names them: what a mirror, a witness or a browser reads to check it by itself.

`0/x001/067` is the tile of level 0 with the hashes of entries 256·1067 to 256·1067+255, `0/x001/067.p/8` its first 8, `1/000` the
roots of 256 such tiles each, and `entries/000` the entries themselves. Only what the newest checkpoint covers is told, so that
every tile is what it will always be.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final, Protocol

from assent.errors import InputError
from assent.spec.values.merkle import leaf_hash, tree_root

if TYPE_CHECKING:
    from assent.journal.store._rows import Entry

WIDTH: Final = 256
LEVEL_MAX: Final = 5
ENTRY_BYTES_MAX: Final = (1 << 16) - 1
READ_TOGETHER: Final = 4096
ENTRIES: Final = "entries"

_PLACE: Final = re.compile(r"(entries|[0-9])/((?:x[0-9]{3}/){0,4}[0-9]{3})(?:\.p/([1-9][0-9]{0,2}))?\Z")


class Entries(Protocol):
    """Where entries are read, and how many of them a checkpoint covers."""

    def entries(self, start: int, limit: int) -> list[Entry]: ...

    def newest_checkpoint(self) -> tuple[int, str] | None: ...


def checkpoint(record: Entries) -> str:
    """The newest signed checkpoint. `ENTRY_UNSIGNED` where nothing was signed yet."""
    newest = record.newest_checkpoint()
    if newest is None:
        raise InputError(
            "ENTRY_UNSIGNED",
            "no checkpoint was signed yet",
            hint="one is signed when a run ends, and at the latest after a second",
        )
    return newest[1]


def tile(record: Entries, place: str) -> bytes:
    """The tile of a place: hashes of 32 bytes each, or of `entries` each entry behind its length in two bytes.

    `TILE_UNKNOWN` for what is no place, and for one that the newest checkpoint does not cover.
    """
    found = _PLACE.match(place)
    if found is None:
        raise _unknown(place, "is not the place of a tile", "`0/000`, `0/x001/067.p/8`, `entries/000`")
    is_entries = found[1] == ENTRIES
    level = 0 if is_entries else int(found[1])
    index = int(found[2].replace("x", "").replace("/", ""))
    width = int(found[3] or WIDTH)
    size, _ = record.newest_checkpoint() or (0, "")
    span = WIDTH**level
    if level > LEVEL_MAX or width > WIDTH or (index * WIDTH + width) * span > size:
        covers = f"the newest checkpoint covers {size} entries"
        raise _unknown(place, "is not there yet", covers)
    first = index * WIDTH
    if is_entries:
        return b"".join(_framed(leaf) for leaf in _leaves(record, first, width))
    return b"".join(_hashes(record, first, width, level))


def _hashes(record: Entries, first: int, count: int, level: int) -> Iterator[bytes]:
    """The roots of `count` whole subtrees of 256^level entries each."""
    if level == 0:
        yield from map(leaf_hash, _leaves(record, first, count))
        return
    for number in range(first, first + count):
        yield tree_root([*_hashes(record, number * WIDTH, WIDTH, level - 1)])


def _leaves(record: Entries, start: int, count: int) -> Iterator[bytes]:
    end = start + count
    while start < end:
        entries = record.entries(start, min(READ_TOGETHER, end - start))
        for entry in entries:
            yield entry.data
        start += len(entries)
        if not entries:
            raise InputError("ENTRY_UNKNOWN", f"there is no entry {start}", hint="run `assent audit verify`")


def _framed(leaf: bytes) -> bytes:
    if len(leaf) > ENTRY_BYTES_MAX:
        raise InputError(
            "TILE_UNKNOWN",
            f"an entry of {len(leaf)} bytes is too large for a bundle of entries",
            hint="`assent audit export` writes every entry",
        )
    return len(leaf).to_bytes(2, "big") + leaf


def _unknown(place: str, fault: str, hint: str) -> InputError:
    return InputError("TILE_UNKNOWN", f"`{place[:80]}` {fault}", hint=hint)
