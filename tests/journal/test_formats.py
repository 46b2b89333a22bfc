"""A ledger of an older format is read and verified as it is, brought up to date by its next owner, and verified again."""

from __future__ import annotations

import asyncio
import gzip
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from assent.engine import CapabilityRows, RunProjector
from assent.errors import InputError, InternalError, WorldError
from assent.journal import (
    Batch,
    Ed25519Verifier,
    SqliteJournal,
    SqliteReader,
    VerifyReport,
    leaves_at_once,
    rows_at_once,
    verify_ledger,
)
from assent.journal.store import _schema as schema
from assent.journal.store._schema import LEDGER_FILE, check_ledger
from assent.journal.tree._commits import ADOPTED_ENTRIES, CommitKey
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.values.canonical import INTEGER_MAX
from tests.support.journals import NOW_MS, CountedEntropy, StillClock, new_memory
from tests.support.ledgers import SIGNER

STATES = Path(__file__).parent.parent / "golden" / "state"


@pytest.fixture(params=range(1, 4))
def state(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A state directory with a ledger of an older format, in which a run succeeded and another waits."""
    state = tmp_path / "state"
    state.mkdir(mode=0o700)
    packed = STATES / f"format-{request.param}.db.gz"
    (state / LEDGER_FILE).write_bytes(gzip.decompress(packed.read_bytes()))
    assert check_ledger(state / LEDGER_FILE) == request.param
    return state


def opened(state: Path) -> SqliteJournal:
    """The journal, as its owner opens it; the older one is brought up to date by that."""
    return SqliteJournal.open(state, signer_for=SIGNER.named, clock=StillClock(), entropy=CountedEntropy())


def verified(state: Path) -> VerifyReport:
    """What the ledger's owner finds."""
    keys = [Ed25519Verifier.from_vkey(SIGNER.vkey)]
    report = verify_ledger(state / LEDGER_FILE, keys, projector=RunProjector(), signer=SIGNER)
    assert report.is_good, report.first_bad
    return report


async def test_older_format_is_read_verified_migrated_and_verified_again(state: Path) -> None:
    before = (state / LEDGER_FILE).read_bytes()
    with SqliteReader.open(state) as reader:
        assert [row["run_id"] for row in list(rows_at_once(reader, "runs"))] == ["run_one", "run_two"]
        for table in schema.SINCE:
            assert list(rows_at_once(reader, table)) == []
        older = list(leaves_at_once(reader))
    found = verified(state)
    assert (found.size, found.is_tail_proven) == (len(older), True)
    assert (state / LEDGER_FILE).read_bytes() == before, "reading changes nothing"
    journal = opened(state)
    assert [leaf.event for leaf in await journal.events(RunId("run_two"))] == [
        leaf.event for leaf in older if leaf.run == "run_two"
    ]
    await journal.append(
        Batch(run=RunId("run_two"), expected_n=2, at_ms=NOW_MS, events=(ev.CancelRequested(by="user:ada"),))
    )
    await journal.close()
    assert check_ledger(state / LEDGER_FILE) == schema.newest_format()
    with SqliteReader.open(state) as reader:
        newer = list(leaves_at_once(reader))
    assert [leaf.encode() for leaf in newer[:-1]] == [leaf.encode() for leaf in older], (
        "older entries stay as they are"
    )
    assert [leaf.v for leaf in newer] == [1] * len(older) + [2]
    keys = [Ed25519Verifier.from_vkey(SIGNER.vkey)]
    record = verify_ledger(state / LEDGER_FILE, keys, projector=None, signer=SIGNER)
    assert (record.faults, record.size) == ((), len(newer))


@pytest.mark.parametrize("is_migrated", [False, True])
def test_the_number_of_an_entry_that_does_not_say_its_own_is_checked(state: Path, is_migrated: bool) -> None:
    """Format 1 gives no number to what belongs to no run; the file has none either, until it is brought up to date."""
    if is_migrated:
        asyncio.run(opened(state).close())
    keys = [Ed25519Verifier.from_vkey(SIGNER.vkey)]
    for number in (99, None if is_migrated else 0):
        with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
            db.execute("UPDATE events SET n = ? WHERE seq = 0", (number,))
        report = verify_ledger(state / LEDGER_FILE, keys, projector=None, signer=SIGNER)
        assert [(fault.code, fault.seq) for fault in report.faults] == [("ENTRY_INVALID", 0)], number


def test_an_older_tail_that_nobody_signed_is_refused_untouched(state: Path) -> None:
    """What no checkpoint covers could be anybody's: it is for the Assent that wrote it to seal."""
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        db.pragma("journal_mode", "delete")
        db.execute("DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)")
    before = (state / LEDGER_FILE).read_bytes()
    with pytest.raises(InputError) as caught:
        opened(state)
    assert caught.value.code == "LEDGER_TAIL_UNSEALED"
    assert (state / LEDGER_FILE).read_bytes() == before


def test_an_older_ledger_that_its_last_checkpoint_was_not_signed_for_is_refused_untouched(
    state: Path,
) -> None:
    """What the key vouches for from now on was looked at first."""
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        db.pragma("journal_mode", "delete")
        db.execute(
            "UPDATE events SET leaf = CAST(replace(leaf, 'user:ada', 'user:eve') AS BLOB) WHERE seq = 1"
        )
    before = (state / LEDGER_FILE).read_bytes()
    with pytest.raises(WorldError) as caught:
        opened(state)
    assert caught.value.code == "RECORD_CORRUPT"
    assert (state / LEDGER_FILE).read_bytes() == before


def test_an_older_ledger_without_its_first_entry_is_refused(state: Path) -> None:
    """Whose ledger it is stands nowhere else."""
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        db.execute("UPDATE events SET leaf = (SELECT leaf FROM events WHERE seq = 1) WHERE seq = 0")
    with pytest.raises(WorldError) as caught:
        opened(state)
    assert (caught.value.code, caught.value.details) == ("RECORD_CORRUPT", {"seq": 0})


def test_an_older_ledger_with_nothing_in_it_is_begun(state: Path) -> None:
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        for table in ("events", "payloads", "blob_refs", "checkpoints", "tree", *schema.PROJECTIONS):
            if table not in schema.SINCE:
                db.execute(f"DELETE FROM {table}")
    asyncio.run(opened(state).close())
    with SqliteReader.open(state) as reader:
        assert [leaf.event.kind for leaf in leaves_at_once(reader)] == ["ledger.created"]


@pytest.mark.parametrize("more", [0, 1])
def test_what_is_taken_over_is_vouched_for_in_parts(more: int) -> None:
    """So that whoever checks one entry reads a part, and not all that was ever taken over."""
    count = 2 * ADOPTED_ENTRIES + more
    key = CommitKey(SIGNER.derive, SIGNER.vkey)
    frontier, commits, _ = key.adopt((bytes(32), ["run_one"]) for _ in range(count))
    sizes = [ADOPTED_ENTRIES, 2 * ADOPTED_ENTRIES, *([count] if more else [])]
    assert ([commit.size for commit in commits], frontier.size) == (sizes, count)


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
    assert [row["change"] for row in list(rows_at_once(journal, "capability_weights"))] == list(range(12))


async def test_an_older_assent_refuses_a_state_that_was_brought_up_to_date(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no way back, and nothing is harmed by trying: what knows less formats touches nothing."""
    await opened(state).close()
    before = (state / LEDGER_FILE).read_bytes()
    monkeypatch.setattr(schema, "MIGRATIONS", schema.MIGRATIONS[:3])
    with pytest.raises(InputError) as caught:
        opened(state)
    assert caught.value.code == "STATE_NEWER"
    assert (state / LEDGER_FILE).read_bytes() == before
