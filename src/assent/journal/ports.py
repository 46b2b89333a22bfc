"""What the journal promises to the floors above, and what it asks of them.

Two implementations (`SqliteJournal`, `MemoryJournal`) pass one contract suite. An appended batch is durable when `append`
returns; a batch is all or nothing; batches of one run are refused unless they name the run's next event number.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol, TypeAlias

import msgspec

from assent.spec.ids import Commitment, RunId

if TYPE_CHECKING:
    from assent.spec.events.kinds import AnyEvent, Leaf, Who

Cell: TypeAlias = "str | int | None"


class OneOf(msgspec.Struct, frozen=True, gc=False):
    """A column whose cell is one of these; none of them may be None."""

    cells: tuple[str | int, ...]


class Begins(msgspec.Struct, frozen=True, gc=False):
    """A column whose text begins so, in ASCII."""

    text: str


Where: TypeAlias = "Mapping[str, Cell | OneOf | Begins]"
"""What columns have to be: equal to a cell (None matches an empty column), or what a condition says."""


class Payload(msgspec.Struct, frozen=True, gc=False):
    """Bytes stored beside the leaves, bound by `commit(salt, body)`.

    `blobs` are the digests that the body refers to. What a `step.started` binds as `prepared` is a JSON object that lists exactly
    these under its key `blobs`, so that `verify` can hold the stored references against it.
    """

    commitment: Commitment
    salt: bytes
    body: bytes
    blobs: tuple[str, ...] = ()


class Row(msgspec.Struct, frozen=True, gc=False):
    """One row of a projection (`runs`, `capabilities` …): its key columns and all columns, replacing any earlier row."""

    table: str
    key: tuple[Cell, ...]
    values: tuple[Cell, ...]


class Batch(msgspec.Struct, frozen=True, gc=False):
    """Events of one run that become durable together, with their payloads and the projection rows that follow from them.

    `seal`: sign a checkpoint in the same transaction (end of a run, before a CRITICAL effect).
    """

    run: RunId | None
    expected_n: int
    at_ms: int
    events: tuple[AnyEvent, ...]
    payloads: tuple[Payload, ...] = ()
    rows: tuple[Row, ...] = ()
    seal: bool = False


class Head(msgspec.Struct, frozen=True, gc=False):
    """Where the ledger stands: number of leaves and the tree's root."""

    size: int
    root: bytes


class Projector(Protocol):
    """The fold from events to projection rows. The engine supplies it, so that no rule is written twice."""

    tables: Mapping[str, Sequence[str]]
    """Column names of each projection table; the first `keys[table]` of them are the key."""
    keys: Mapping[str, int]

    def replay(self, leaves: Iterable[Leaf]) -> Iterator[Row]:
        """The rows that a live journal would hold after these leaves of all runs, in log order, each key once."""
        ...


class JournalReader(Protocol):
    """Reading: never takes the lock, never writes, sees only what is durable.

    Everything is ordered and can be limited, and goes on where the caller says: after a key or from a number, which no insert
    moves. Journals on this machine answer at once, without giving way to another task; who has no loop asks with `at_once`.
    """

    @property
    def keys(self) -> Mapping[str, int]:
        """How many of the first columns of each projection are its key."""
        ...

    async def head(self) -> Head: ...

    async def leaves(self, *, start: int = 0, limit: int) -> list[Leaf]:
        """At most so many leaves in log order, from entry `start` on; fewer only at the end of the log."""
        ...

    async def events(self, run: RunId | None, *, since: int = 0, limit: int | None = None) -> list[Leaf]:
        """The leaves of one run from its event number `since` on, oldest first; empty for an unknown run.

        None means the events of no run, which tell of the ledger, capabilities and deliveries; they are counted from 0 likewise.
        """
        ...

    async def payload(self, commitment: Commitment) -> bytes | None:
        """The payload's bytes after checking them; None when it was erased; `RECORD_CORRUPT` when they do not match."""
        ...

    async def rows(
        self,
        table: str,
        where: Where | None = None,
        *,
        after: tuple[Cell, ...] | None = None,
        limit: int,
        newest_first: bool = False,
    ) -> list[dict[str, Cell]]:
        """At most so many rows of a projection, ordered by key, or by key backwards: those that come after the key `after`."""
        ...


class News(Protocol):
    """How often events of one run became durable while it was followed."""

    @property
    def count(self) -> int:
        """Noted before the run is read: what became durable since is then beyond it."""
        ...

    async def beyond(self, count: int) -> bool:
        """Wait until there is news beyond that count; False when the journal has closed, and nothing comes any more."""
        ...


class Journal(JournalReader, Protocol):
    """Writing as well: at most one per state directory."""

    async def append(self, batch: Batch) -> Head:
        """Make a batch durable. `STALE_WRITER` when `expected_n` is not the run's next event number."""
        ...

    def follow(self, run: RunId) -> AbstractContextManager[News]:
        """To hear, until the block ends, that more events of a run are durable. What is appended wakes whoever waits for that.

        Any number may follow, from any event loop; those of one loop share what they hear.
        """
        ...

    async def erase(
        self, run: RunId, *, who: Who, at_ms: int, act: RunId | None = None, said: Batch | None = None
    ) -> int:
        """Erase a finished run's payloads and blobs, or those of a plan's reads; how many. The caller has checked that it may.

        `act`: the run in which that was decided. `said`: what the run's own stream says of it, durable with it. Nothing is said
        where nothing was left.
        """
        ...

    async def forget(self) -> None:
        """See to it that what was erased stands nowhere else either; once for any number of erasures. `ERASE_UNFINISHED`."""
        ...

    async def compact(self) -> int:
        """Give back the room of what was erased; how many bytes. Nothing of the record changes, and a crash leaves it whole."""
        ...

    async def close(self) -> None:
        """Seal what is unsigned and release everything. Calling it twice is harmless."""
        ...


class Blobs(Protocol):
    """Content-addressed bytes: pre-images for undo. A blob is durable (file and folder fsynced) when `put` returns."""

    def put(self, chunks: Iterable[bytes]) -> str:
        """Store bytes and return their address, 64 hex digits of SHA-256. Storing the same bytes twice keeps one copy."""
        ...

    def read(self, digest: str) -> Iterator[bytes]:
        """The bytes, in chunks, verified: `RECORD_CORRUPT` before the last chunk is handed out when they do not match."""
        ...


class EventFilter(msgspec.Struct, frozen=True):
    """Which events of the audit log to show; None means any."""

    run: RunId | None = None
    principal: str | None = None
    capability: str | None = None
    decision: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    kinds: frozenset[str] = frozenset()
