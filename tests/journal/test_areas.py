"""Projections that areas bring: made, folded anew and dropped when an owner opens the file, and verified like the others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

import apsw
import msgspec
import pytest

from assent.errors import InternalError, WorldError
from assent.journal import Ed25519Verifier, SqliteReader, VerifyReport, rows_at_once, verify_ledger
from assent.journal.ports import Cell, Row
from assent.journal.store import _schema as schema
from assent.journal.store._projections import Projection, Stored
from assent.journal.store._schema import LEDGER_FILE, Migration
from assent.spec.events.kinds import Leaf, LedgerCreated
from tests.support.journals import KEY, TALLY, SimpleProjector, created, open_sqlite, progressed, run_id


@pytest.fixture
async def state(tmp_path: Path) -> Path:
    """A ledger that was written before there was any area."""
    state = tmp_path / "state"
    journal = open_sqlite(state)
    await journal.append(created(run_id(1)))
    await journal.append(progressed(run_id(1), 1))
    await journal.close()
    return state


async def _written(state: Path, *areas: Projection, number: int) -> list[dict[str, Cell]]:
    """One more run with these areas; the tally after it, where there is one."""
    journal = open_sqlite(state, areas=areas)
    await journal.append(created(run_id(number)))
    rows = [dict(row) for row in rows_at_once(journal, "tally_kinds")] if TALLY in areas else []
    await journal.close()
    return rows


def _verified(state: Path, *areas: Projection) -> VerifyReport:
    with SqliteReader.open(state) as reader:
        (first,) = reader.run_leaves(None, limit=1)
    assert isinstance(first.event, LedgerCreated)
    keys = [Ed25519Verifier.from_vkey(KEY.named(first.event.origin).vkey)]
    return verify_ledger(state / LEDGER_FILE, keys, projector=SimpleProjector(), areas=areas)


async def test_an_area_that_comes_later_is_folded_from_the_first_entry_on(state: Path) -> None:
    """Its rows are those that it would have had all the time; the ledger is not changed."""
    assert await _written(state, TALLY, number=2) == [
        {"kind": "run.created", "events": 2, "newest": 3},
        {"kind": "step.succeeded", "events": 1, "newest": 2},
    ]
    report = _verified(state, TALLY)
    assert (report.faults, report.rows) == ((), 4)


async def test_an_area_that_was_away_is_folded_anew(state: Path) -> None:
    """An owner without it drops its tables, since nobody would keep them up to date."""
    await _written(state, TALLY, number=2)
    await _written(state, number=3)
    with apsw.Connection(str(state / LEDGER_FILE)) as connection:
        assert connection.execute("SELECT name FROM sqlite_schema WHERE name LIKE 'tally%'").fetchall() == []
    rows = await _written(state, TALLY, number=4)
    assert rows[0] == {"kind": "run.created", "events": 4, "newest": 5}


async def test_an_area_that_changed_its_tables_is_folded_anew(state: Path) -> None:
    """What a migration of its own adds is filled for old entries as well."""
    await _written(state, TALLY, number=2)

    def counted(leaf: Leaf, stored: Stored) -> Iterator[Row]:
        before = stored("tally_kinds", (leaf.event.kind,))
        events = 0 if before is None else int(str(before[1]))
        yield Row("tally_kinds", (leaf.event.kind,), (leaf.event.kind, events + 1, leaf.seq, leaf.at_ms))

    later = msgspec.structs.replace(
        TALLY,
        tables={"tally_kinds": ("kind", "events", "newest", "at_ms")},
        migrations=(
            *TALLY.migrations,
            Migration(2, "times", "ALTER TABLE tally_kinds ADD COLUMN at_ms INTEGER;"),
        ),
        fold=counted,
    )
    journal = open_sqlite(state, areas=[later])
    times = [row["at_ms"] for row in rows_at_once(journal, "tally_kinds")]
    await journal.close()
    assert len(times) == 2
    assert all(times)
    assert _verified(state, later).faults == ()


async def test_a_changed_row_of_an_area_is_found(state: Path) -> None:
    """`verify` folds the entries again, as it does for the rows of runs."""
    await _written(state, TALLY, number=2)
    with apsw.Connection(str(state / LEDGER_FILE)) as connection:
        connection.execute("UPDATE tally_kinds SET events = 7 WHERE kind = 'run.created'")
    (fault,) = _verified(state, TALLY).faults
    assert fault.code == "PROJECTION_MISMATCH"
    assert "`events` is `7`, but its entries say `2`" in fault.message


async def test_tables_of_an_unknown_area_are_told(state: Path) -> None:
    """Whoever verifies without an area can't say whether its tables are what they should be."""
    await _written(state, TALLY, number=2)
    (fault,) = _verified(state).faults
    assert fault.code == "STORAGE_DAMAGED"
    assert "`tally`" in fault.message


async def test_a_reader_takes_an_area_that_no_owner_has_brought_as_empty(state: Path) -> None:
    """It can't make the tables; one that does not know the area knows no such table."""
    with SqliteReader.open(state, areas=[TALLY]) as reader:
        assert await reader.rows("tally_kinds", limit=1) == []
    await _written(state, TALLY, number=2)
    with SqliteReader.open(state, areas=[TALLY]) as reader:
        assert len(await reader.rows("tally_kinds", limit=9)) == 2
    with SqliteReader.open(state) as reader, pytest.raises(InternalError) as refused:
        await reader.rows("tally_kinds", limit=1)
    assert refused.value.code == "PROJECTION_UNKNOWN"


@pytest.mark.parametrize(
    ("area", "tables"), [("tally", ["other_kinds"]), ("capability", ["capability_more"])]
)
def test_an_areas_tables_carry_its_name_and_nobody_elses_do(area: str, tables: Sequence[str]) -> None:
    """What is dropped when an area goes is known by its name alone."""
    with pytest.raises(ValueError, match="must begin with"):
        Projection(
            area, dict.fromkeys(tables, ("key",)), dict.fromkeys(tables, 1), (), frozenset(), TALLY.fold
        )


async def test_an_older_ledger_with_tables_of_areas_is_migrated(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the areas as they were, changed, or gone; a table that nobody made is refused as ever."""
    await open_sqlite(state, areas=[TALLY]).close()
    number = schema.newest_format()
    for areas in ([TALLY], [], [TALLY]):
        number += 1
        later = Migration(number, f"later {number}", f"CREATE TABLE later{number}(a INTEGER) STRICT")
        monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
        await open_sqlite(state, areas=areas).close()
        assert schema.check_ledger(state / LEDGER_FILE) == number
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as connection:
        connection.execute("CREATE TABLE strange(a INTEGER)")
    later = Migration(number + 1, "last", "CREATE TABLE last(a INTEGER) STRICT")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
    with pytest.raises(WorldError) as refused:
        open_sqlite(state, areas=[TALLY])
    assert refused.value.code == "RECORD_CORRUPT"
