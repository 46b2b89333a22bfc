"""The ledger of a state directory: the one place that says that it is a SQLite file, and which areas bring projections to it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from assent.errors import InputError
from assent.journal import Projection, SqliteReader
from assent.runtime._areas import AREAS

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from assent.journal import Signer, SqliteJournal, SqliteRecord

LedgerReader = SqliteReader
"""A `JournalReader` beside whoever owns the state, with the bytes of its blobs."""


def projections() -> tuple[Projection, ...]:
    """Those that areas bring."""
    return tuple(area.PROJECTION for area in AREAS.values() if area.PROJECTION is not None)


def open_ledger(state: Path, signer_for: Callable[[str], Signer]) -> SqliteJournal:
    """The journal of a state directory, for its owner; raises what `SqliteJournal.open` raises."""
    from assent.journal import SqliteJournal
    from assent.system import SystemClock, SystemEntropy

    return SqliteJournal.open(
        state, signer_for=signer_for, clock=SystemClock(), entropy=SystemEntropy(), areas=projections()
    )


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


def ledger_file(state: Path) -> Path:
    """Where the ledger of a state directory stands."""
    from assent.journal import LEDGER_FILE

    return state / LEDGER_FILE
