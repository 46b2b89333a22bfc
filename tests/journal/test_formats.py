"""A ledger of an older format is read and verified as it is, brought up to date by its next owner, and verified again."""

from __future__ import annotations

from pathlib import Path

import pytest

from assent.engine import CapabilityRows, RunProjector
from assent.errors import InternalError
from assent.journal import Batch, Ed25519Verifier, SqliteReader, verify_ledger
from assent.journal import _schema as schema
from assent.journal._schema import LEDGER_FILE, check_ledger, prepare_ledger
from assent.spec import events as ev
from assent.spec.canonical import INTEGER_MAX
from tests.support.journals import NOW_MS, new_memory
from tests.support.ledgers import SIGNER
from tests.support.living_ledger import LivingLedger


@pytest.fixture(params=range(1, schema.newest_format()))
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """A state directory with a ledger of an older format, in which a run succeeded and another waits."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[: request.param])
        ledger = LivingLedger(state / LEDGER_FILE)
        ledger.run("run_one")
        ledger.waiting("run_two")
        ledger.close()
        assert check_ledger(state / LEDGER_FILE) == request.param
    return state


def verified(state: Path) -> int:
    """How many rows were checked against the events."""
    keys = [Ed25519Verifier.from_vkey(SIGNER.vkey)]
    report = verify_ledger(state / LEDGER_FILE, keys, projector=RunProjector())
    assert report.is_good, report.first_bad
    assert report.rows is not None
    return report.rows


def test_older_format_is_read_verified_migrated_and_verified_again(state: Path) -> None:
    before = (state / LEDGER_FILE).read_bytes()
    with SqliteReader.open(state) as reader:
        assert [row["run_id"] for row in reader.rows("runs")] == ["run_one", "run_two"]
        for table in schema.SINCE:
            assert reader.rows(table) == []
    rows = verified(state)
    assert (state / LEDGER_FILE).read_bytes() == before, "reading changes nothing"
    prepare_ledger(state / LEDGER_FILE)
    assert check_ledger(state / LEDGER_FILE) == schema.newest_format()
    assert verified(state) == rows
    with SqliteReader.open(state) as reader:
        assert [row["run_id"] for row in reader.rows("runs")] == ["run_one", "run_two"]


def test_every_table_that_came_later_says_when() -> None:
    """Otherwise a reader would ask an older file for a table that it does not have."""
    made = {table for table in schema.PROJECTIONS if f"CREATE TABLE {table}(" in schema.MIGRATIONS[0].sql}
    assert made | set(schema.SINCE) == set(schema.PROJECTIONS)


@pytest.mark.parametrize("weights", [(1, INTEGER_MAX + 1), (1.5, 2), ("1", "2")])
async def test_what_is_no_integer_in_a_list_is_refused(weights: tuple[int, ...]) -> None:
    event = ev.CapabilityActivated(capability="a.b", versions=("1.0.0", "2.0.0"), weights=weights)
    journal = new_memory()
    with pytest.raises(InternalError) as caught:
        await journal.append(Batch(run=None, expected_n=0, at_ms=NOW_MS, events=(event,)))
    assert caught.value.code == "LEAF_PROFILE"


async def test_rows_come_in_the_order_of_their_numbers() -> None:
    """Change 10 comes after change 9, in memory as in the file."""
    journal, fold = new_memory(), CapabilityRows()
    for number in range(12):
        event = ev.CapabilityActivated(capability="a.b", versions=("1.0.0",), weights=(number + 1,))
        rows = fold.apply(event, NOW_MS)
        await journal.append(Batch(run=None, expected_n=0, at_ms=NOW_MS, events=(event,), rows=rows))
    assert [row["change"] for row in journal.rows("capability_weights")] == list(range(12))


def test_an_event_about_something_else_makes_no_row() -> None:
    fold = CapabilityRows()
    assert fold.apply(ev.LedgerCreated(origin="o"), NOW_MS) == ()
    # A ledger that somebody with the key wrote by hand: it folds, and the row says what is known.
    (retired,) = fold.apply(ev.CapabilityRetired(capability="a.b", version="1.0.0", by="user:ada"), NOW_MS)
    assert retired.values == ("a.b", "1.0.0", None, None, None, 0, 0, NOW_MS)
