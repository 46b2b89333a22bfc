"""Programs that somebody without the key puts into the ledger's file never act: the file is refused, or they don't run."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

import apsw
import pytest

from assent.engine.record.projection import RunProjector
from assent.errors import WorldError
from assent.journal import Batch, Ed25519Verifier, SqliteJournal, SqliteReader, verify_ledger
from assent.journal.store._schema import LEDGER_FILE
from assent.spec.events.kinds import PayloadErased
from assent.spec.ids import RunId
from assent.system import SystemClock, SystemEntropy
from tests.support.ledgers import SIGNER
from tests.support.living_ledger import LivingLedger

_REWRITTEN = """
PRAGMA writable_schema = on;
UPDATE sqlite_schema SET sql = replace(sql, '{}', '{}') WHERE name = 'events';
PRAGMA writable_schema = reset
"""

PLANTED = {
    "a trigger that deletes": (
        "CREATE TRIGGER planted AFTER INSERT ON events BEGIN DELETE FROM events WHERE seq = 1; END"
    ),
    "a trigger that changes": (
        "CREATE TRIGGER planted AFTER INSERT ON tree BEGIN UPDATE runs SET status = 'succeeded'; END"
    ),
    "a trigger that stops a write": (
        "CREATE TRIGGER planted BEFORE INSERT ON events BEGIN SELECT RAISE(IGNORE); END"
    ),
    "a view in a table's place": (
        "ALTER TABLE runs RENAME TO hidden; CREATE VIEW runs AS SELECT * FROM hidden WHERE status = 'failed'"
    ),
    "an index that makes rows replace others": "CREATE UNIQUE INDEX planted ON run_requests(request)",
    "a table that leaves rows out": _REWRITTEN.format(
        "seq INTEGER PRIMARY KEY", "seq INTEGER PRIMARY KEY ON CONFLICT IGNORE"
    ),
    "a column that is computed": "ALTER TABLE events ADD COLUMN planted INT AS (abs(seq))",
    "a table of nobody's": "CREATE TABLE planted(one)",
    "a trigger of an area": """
        CREATE TABLE odd_rows(one); INSERT INTO areas VALUES ('odd', 1, 'odd', '');
        CREATE TRIGGER planted BEFORE DELETE ON areas BEGIN DELETE FROM events; END
    """,
    "an area that has the journal's tables": """
        CREATE UNIQUE INDEX planted ON run_requests(request); INSERT INTO areas VALUES ('run', 1, 'odd', '');
    """,
}


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A sealed ledger of a few runs."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    ledger = LivingLedger(state / LEDGER_FILE)
    for number in range(3):
        ledger.run(f"run_{number}")
    ledger.close()
    return state


def opened(state: Path) -> SqliteJournal:
    return SqliteJournal.open(state, signer_for=SIGNER.named, clock=SystemClock(), entropy=SystemEntropy())


def plant(state: Path, sql: str) -> None:
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        db.execute(sql)


def entries(state: Path) -> int:
    with closing(apsw.Connection(str(state / LEDGER_FILE), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return int(db.execute("SELECT count(*) FROM events").get or 0)


@pytest.mark.parametrize("sql", PLANTED.values(), ids=PLANTED)
def test_a_file_with_other_tables_than_ours_is_neither_read_nor_written(state: Path, sql: str) -> None:
    """Each would make a statement of ours do something else; nothing has happened when that is told."""
    before = entries(state)
    plant(state, sql)
    for use in (opened, SqliteReader.open):
        with pytest.raises(WorldError, match="tables") as refused:
            use(state)
        assert refused.value.code == "RECORD_CORRUPT"
    keys = [Ed25519Verifier.from_vkey(SIGNER.vkey)]
    report = verify_ledger(state / LEDGER_FILE, keys, projector=RunProjector(), signer=SIGNER)
    assert not report.is_good
    assert entries(state) == before


async def test_what_is_planted_beside_a_living_owner_does_not_run(state: Path) -> None:
    """The owner looked before; its connection runs no trigger."""
    journal = opened(state)
    before = entries(state)
    plant(state, PLANTED["a trigger that deletes"])
    event = PayloadErased(target=RunId("run_0"), count=1, by="user:ada")
    await journal.append(Batch(run=None, expected_n=0, at_ms=1, events=(event,)))
    await journal.close()
    assert entries(state) == before + 1


async def test_tables_of_an_area_that_is_gone_are_no_danger(state: Path) -> None:
    """The benign twin: a reader leaves them alone, and an owner drops them."""
    plant(state, "CREATE TABLE odd_rows(one); INSERT INTO areas VALUES ('odd', 1, 'odd', '')")
    SqliteReader.open(state).close()
    await opened(state).close()
    plant(state, "CREATE TABLE odd_rows(two)")
