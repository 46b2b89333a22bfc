"""Projections that an area brings: its tables, the migrations that make them, and the fold that fills them.

Theory of operation. A fold gives the rows that one entry changes, from the entry and the rows stored so far, so that it keeps
nothing in memory and can begin anywhere. The journal calls it for each entry of the kinds that it named, and stores what it gives
in the same transaction. So a row can't lag behind; rebuilding folds all entries again, and `verify` compares what that comes to.
An area that is new, or changed its tables, has them folded when an owner opens the ledger; the tables of one that is gone are
dropped. They are folds: nothing is lost with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeAlias

import apsw
import msgspec

from assent.journal.ports import Cell, Row
from assent.journal.store._connection import translated
from assent.journal.store._schema import (
    PROJECTION_KEYS,
    PROJECTIONS,
    Migration,
    applied_areas,
    require_own_schema,
)

if TYPE_CHECKING:
    from assent.spec.events.kinds import Leaf

Key: TypeAlias = "tuple[Cell, ...]"
Values: TypeAlias = "tuple[Cell, ...]"
Stored: TypeAlias = "Callable[[str, Key], Values | None]"
"""The row of a table under a key, as it stands before the entry; None when there is none."""


class Projection(msgspec.Struct, frozen=True):
    """What an area keeps at hand of the events. It holds no payload: what may have to be erased stays where it can be.

    The names of its tables begin with the area's: `findings_open` of `findings`. `tables` has the columns of each, in the order
    of `Row.values`; the first `keys[table]` of them are the key. Migrations are numbered from 1 and never edited once released.
    """

    area: str
    tables: Mapping[str, Sequence[str]]
    keys: Mapping[str, int]
    migrations: tuple[Migration, ...]
    kinds: frozenset[str]
    """The kinds of events that the fold looks at; others cost nothing."""
    fold: Callable[[Leaf, Stored], Iterable[Row]]
    """The rows that an entry changes. Pure: the same entry and rows give the same, at any time and in any process."""

    def __post_init__(self) -> None:
        """ValueError for tables that could be taken for others'."""
        prefix = f"{self.area}_"
        taken = [table for table in (*PROJECTIONS, "blob_refs") if table.startswith(prefix)]
        if taken or any(not table.startswith(prefix) for table in self.tables):
            message = f"the tables of `{self.area}` must begin with `{prefix}`, and no others may"
            raise ValueError(message)

    @property
    def applied(self) -> list[tuple[int, str, str]]:
        """Number, name and checksum of each migration, as the file keeps them."""
        return [(one.number, one.name, one.checksum) for one in self.migrations]


class Tables:
    """All projections of one journal: those of its own schema, whose rows come with a batch, and those of areas."""

    def __init__(self, areas: Sequence[Projection] = ()) -> None:
        self.areas: Final = tuple(areas)
        self.columns: dict[str, tuple[str, ...]] = {name: tuple(of) for name, of in PROJECTIONS.items()}
        self.keys: dict[str, int] = dict(PROJECTION_KEYS)
        self._of_kind: dict[str, list[Projection]] = {}
        for area in areas:
            self.columns |= {name: tuple(of) for name, of in area.tables.items()}
            self.keys |= area.keys
            for kind in area.kinds:
                self._of_kind.setdefault(kind, []).append(area)

    def folded(self, leaf: Leaf, stored: Stored) -> Iterator[Row]:
        """The rows of areas that an entry changes."""
        for area in self._of_kind.get(leaf.event.kind, ()):
            yield from area.fold(leaf, stored)


class Folding:
    """The rows of areas that a journal would hold after the leaves that passed."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables
        self.rows: dict[str, dict[Key, Values]] = {name: {} for area in tables.areas for name in area.tables}

    def passing(self, leaves: Iterable[Leaf]) -> Iterator[Leaf]:
        """The same leaves, each folded before it is handed on."""
        for leaf in leaves:
            for row in self._tables.folded(leaf, lambda table, key: self.rows[table].get(key)):
                self.rows[row.table][row.key] = row.values
            yield leaf


def require_own_tables(connection: apsw.Connection, areas: Iterable[Projection]) -> None:
    """Refuse, with `RECORD_CORRUPT`, a file whose tables are not those of the journal and of areas."""
    with translated():
        applied = applied_areas(connection)
    whole = {area.area: area for area in areas if applied.get(area.area) == area.applied}
    migrations = [one for area in whole.values() for one in area.migrations]
    require_own_schema(connection, migrations, applied.keys() - whole.keys())


def bring_areas(connection: apsw.Connection, tables: Tables, leaves: Callable[[], Iterable[Leaf]]) -> None:
    """See to it that the file has the tables of these areas and of no others, folded from all entries. All or nothing."""
    known = applied_areas(connection)
    missing = [area for area in tables.areas if known.pop(area.area, None) != area.applied]
    if not missing and not known:
        return
    connection.execute("BEGIN IMMEDIATE")
    try:
        for name in (*known, *(area.area for area in missing)):
            _drop(connection, name)
        for area in missing:
            for migration in area.migrations:
                connection.execute(migration.sql)
                connection.execute(
                    "INSERT INTO areas VALUES (?, ?, ?, ?)",
                    (area.area, migration.number, migration.name, migration.checksum),
                )
        folding = Folding(Tables(missing))
        for _ in folding.passing(leaves() if missing else ()):
            pass
        for table, rows in folding.rows.items():
            marks = ",".join("?" * len(tables.columns[table]))
            connection.executemany(f"INSERT INTO {table} VALUES ({marks})", rows.values())  # noqa: S608 - an area's own name
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _drop(connection: apsw.Connection, area: str) -> None:
    # INVARIANT: no table of the record begins with an area's name; a file that says otherwise was not written by us.
    prefix = f"{area}_"
    if any(table.startswith(prefix) for table in (*PROJECTIONS, "blob_refs")):
        return
    found = connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()
    for (name,) in found:
        if str(name).startswith(prefix):
            quoted = str(name).replace('"', '""')
            connection.execute(f'DROP TABLE "{quoted}"')
    connection.execute("DELETE FROM areas WHERE area = ?", (area,))
