"""The ledger of a state directory: the one place that says that it is a SQLite file, and which areas bring projections to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Final

from assent.errors import InputError
from assent.journal import PAGE, Migration, Projection, Row, SqliteReader, at_once
from assent.runtime._areas import AREAS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from assent.journal import Signer, SqliteJournal, SqliteRecord
    from assent.spec.events.kinds import Leaf, Who
    from assent.spec.ids import RunId

LedgerReader = SqliteReader
"""A `JournalReader` beside whoever owns the state, with the bytes of its blobs."""


def _policy_row(leaf: Leaf, stored: object) -> Iterator[Row]:
    from assent.spec.events.kinds import PolicyRecorded

    del stored
    event = leaf.event
    assert isinstance(event, PolicyRecorded)  # INVARIANT: the one kind that is asked for
    key = (event.digest, event.circumstances_digest)
    yield Row("policies_kept", key, (*key, event.document, event.circumstances))


POLICIES: Final = Projection(
    area="policies",
    tables={"policies_kept": ("policy", "circumstances", "document", "said")},
    keys={"policies_kept": 2},
    migrations=(
        Migration(
            1,
            "kept",
            """
CREATE TABLE policies_kept(
  policy TEXT NOT NULL, circumstances TEXT NOT NULL, document TEXT, said TEXT, PRIMARY KEY(policy, circumstances)
) STRICT, WITHOUT ROWID;
""",
        ),
    ),
    kinds=frozenset({"policy.recorded"}),
    fold=_policy_row,
)
"""Which payloads are a recorded policy and the circumstances under which it held (`said`), by the digests of both."""


def projections() -> tuple[Projection, ...]:
    """The one of policies, and those that areas bring."""
    return (POLICIES, *(area.PROJECTION for area in AREAS.values() if area.PROJECTION is not None))


def open_ledger(state: Path, signer_for: Callable[[str], Signer]) -> SqliteJournal:
    """The journal of a state directory, for its owner; raises what `SqliteJournal.open` raises."""
    from assent.journal import SqliteJournal
    from assent.system import SystemClock, SystemEntropy

    return SqliteJournal.open(
        state, signer_for=signer_for, clock=SystemClock(), entropy=SystemEntropy(), areas=projections()
    )


def each_of_no_run(journal: LedgerReader) -> Iterator[Leaf]:
    """The entries of the ledger's own stream, in log order."""
    since = 0
    while leaves := journal.run_leaves(None, since=since, limit=PAGE):
        yield from leaves
        since += len(leaves)


def seal_ledger(state: Path, key_path: Path) -> None:
    """Sign what no checkpoint covers yet, where nobody owns the state; an owner signs its own within a second.

    Raises `WorldError` `LEDGER_TAIL_CHANGED` where nothing vouches for that.
    """
    with open_reader(state) as reader:
        newest = reader.newest_checkpoint()
        if newest is not None and at_once(reader.head()).size <= newest[0]:
            return
    import asyncio
    from concurrent.futures import ThreadPoolExecutor

    from assent.journal import Ed25519FileSigner

    async def seal() -> None:
        await open_ledger(state, Ed25519FileSigner.open(key_path).named).close()

    # On a thread: who asks may have an event loop or none, and need not know that the journal has one.
    with _owned(state) as is_owned, ThreadPoolExecutor(1) as pool:
        if is_owned:
            pool.submit(lambda: asyncio.run(seal())).result()


def accept_tail(state: Path, key_path: Path, start: int, who: Who) -> tuple[int, list[RunId]]:
    """Take the ledger's entries from `start` on as they are, as `assent.journal.accept_tail` says.

    `TAIL_NOT_IN_DOUBT` also beside an owner, whose ledger is in order.
    """
    from assent.engine import RunProjector
    from assent.journal import Ed25519FileSigner
    from assent.journal import accept_tail as accept
    from assent.system import SystemClock

    ledger_exists = has_ledger(state)
    with _owned(state) if ledger_exists else nullcontext(False) as is_owned:
        if not is_owned:
            why = "another process works with it" if ledger_exists else "nothing was recorded yet"
            raise InputError("TAIL_NOT_IN_DOUBT", f"the ledger has no entries to accept: {why}")
        return accept(
            state,
            start,
            signer_for=Ed25519FileSigner.open(key_path).named,
            projector=RunProjector(),
            who=who,
            at_ms=SystemClock().now_ms(),
            areas=projections(),
        )


@contextmanager
def _owned(state: Path) -> Iterator[bool]:
    """Own a state directory inside the block; False where somebody else does."""
    from assent.journal import Ownership

    ownership = Ownership.acquire(state)
    try:
        yield ownership is not None
    finally:
        if ownership is not None:
            ownership.release()


def open_reader(state: Path) -> LedgerReader:
    """A reader beside whoever owns the state; raises what `SqliteReader.open` raises."""
    return SqliteReader.open(state, areas=projections())


@contextmanager
def reading(state: Path) -> Iterator[LedgerReader | None]:
    """The same, until the block is left; None where nothing was recorded yet."""
    try:
        reader = open_reader(state)
    except InputError as error:
        if error.code != "STATE_MISSING":
            raise
        yield None
        return
    with reader:
        yield reader


def raw_ledger(state: Path) -> AbstractContextManager[SqliteRecord]:
    """The ledger's bytes in one moment, for proofs and exports."""
    from assent.journal import SqliteRecord

    return SqliteRecord.open(ledger_file(state), areas=projections())


def has_ledger(state: Path) -> bool:
    """Whether anything stands in the ledger's place; `STATE_UNUSABLE` where nobody can tell."""
    from assent.journal import is_there

    return is_there(ledger_file(state))


def ledger_file(state: Path) -> Path:
    """Where the ledger of a state directory stands."""
    from assent.journal import LEDGER_FILE

    return state / LEDGER_FILE
