"""What a program without an event loop, and a loop that reads everything, ask of a `JournalReader`."""

from __future__ import annotations

from collections.abc import AsyncIterator, Coroutine, Iterator
from typing import TYPE_CHECKING, Any, Final, TypeVar

from assent.journal.ports import Cell, JournalReader, Where

if TYPE_CHECKING:
    from assent.spec.events.kinds import Leaf

T = TypeVar("T")

PAGE: Final = 1_024
"""How much is read at a time by whoever reads everything."""


# `Any`: what a coroutine sends and takes while it waits, which this one never does.
def at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """What a coroutine comes to that waits for nothing, as the reads of a journal on this machine. Needs no event loop."""
    try:
        coroutine.send(None)
    except StopIteration as end:
        found: T = end.value
        return found
    coroutine.close()
    raise AssertionError("INVARIANT: a journal on this machine answers at once")


def leaves_at_once(reader: JournalReader, *, start: int = 0) -> Iterator[Leaf]:
    """All leaves from entry `start` on, in log order; short readings, so that whoever pauses holds up nobody."""
    while True:
        leaves = at_once(reader.leaves(start=start, limit=PAGE))
        yield from leaves
        if len(leaves) < PAGE:
            return
        start = leaves[-1].seq + 1


async def each_leaf(reader: JournalReader, *, start: int = 0) -> AsyncIterator[Leaf]:
    """The same for whoever has an event loop."""
    while True:
        leaves = await reader.leaves(start=start, limit=PAGE)
        for leaf in leaves:
            yield leaf
        if len(leaves) < PAGE:
            return
        start = leaves[-1].seq + 1


def rows_at_once(
    reader: JournalReader, table: str, where: Where | None = None, *, newest_first: bool = False
) -> Iterator[dict[str, Cell]]:
    """All rows of a projection whose columns are as `where` says, ordered by key, or by key backwards."""
    after: tuple[Cell, ...] | None = None
    while True:
        rows = at_once(reader.rows(table, where, after=after, limit=PAGE, newest_first=newest_first))
        yield from rows
        if len(rows) < PAGE:
            return
        after = tuple(rows[-1].values())[: reader.keys[table]]


async def each_row(
    reader: JournalReader, table: str, where: Where | None = None
) -> AsyncIterator[dict[str, Cell]]:
    """The same for whoever has an event loop."""
    after: tuple[Cell, ...] | None = None
    while True:
        rows = await reader.rows(table, where, after=after, limit=PAGE)
        for row in rows:
            yield row
        if len(rows) < PAGE:
            return
        after = tuple(rows[-1].values())[: reader.keys[table]]
