"""Whoever lacks the key can change nothing in a ledger without `verify` finding it: 0 missed of many random mutations.

Each mutation is made to a fresh copy of one real SQLite state, by somebody who can write the file, knows the format, and keeps it
consistent where that does not need the key: hashes, tree, columns, indexes.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import TypeAlias

import apsw
import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assent.engine.record.projection import RunProjector
from assent.errors import AssentError, WorldError
from assent.journal.audit._report import VerifyReport
from assent.journal.audit._verify import verify_ledger
from assent.journal.store._schema import check_ledger
from assent.journal.tree._note import Verifier
from assent.spec.events.kinds import RunRecovered, decode_leaf, decode_stored
from assent.spec.ids import RunId
from assent.spec.values.canonical import commit
from assent.spec.values.merkle import Frontier, leaf_hash
from tests.support.ledgers import SIGNER
from tests.support.living_ledger import LivingLedger, other_signer
from tests.support.properties import holds
from tests.support.seeds import examples

RECORD = ("events", "payloads", "blob_refs", "checkpoints", "commits", "heads", "tree", "migrations")
PROJECTIONS = ("runs", "steps", "approvals")
Value: TypeAlias = "apsw.SQLiteValue"  # known to type checkers only


@dataclass(frozen=True)
class State:
    """A sealed ledger that is not changed any more, and what an honest verifier has."""

    path: Path
    keys: list[Verifier]
    size: int
    newest: str
    earlier: Path
    """The same ledger, copied when it had fewer entries."""


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> State:
    folder = tmp_path_factory.mktemp("ledger")
    ledger = LivingLedger(folder / "ledger.db")
    ledger.run("run_01", steps=3)
    ledger.run("run_02", fails=True)
    erased = ledger.run("run_03")
    ledger.store.forget_log()
    earlier = shutil.copy(ledger.path, folder / "earlier.db")
    ledger.erase(erased)
    ledger.run("run_04", steps=4)
    ledger.waiting("run_05")
    ledger.run("run_06", ends=False)
    ledger.close()
    newest = checkpoint_of(ledger.path)
    return State(ledger.path, list(ledger.keys), ledger.size, newest, Path(earlier))


@pytest.fixture
def copy(state: State, tmp_path: Path) -> Callable[[], Path]:
    """A fresh copy of the state to do harm to."""

    def fresh() -> Path:
        return Path(shutil.copy(state.path, tmp_path / "copy.db"))

    return fresh


@holds("tamper_detection")
@settings(max_examples=examples(300), suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**32))
def test_any_changed_cell_of_any_table_is_found(state: State, copy: Callable[[], Path], seed: int) -> None:
    """One flipped bit, one lost byte or one other value, in any column of any row: 300 of them."""
    path = copy()
    with changing(path) as db:
        harm = change_a_cell(db, Random(seed))
    assert is_found(verified(path, state)), harm


@pytest.mark.parametrize("seed", range(4))
def test_a_changed_cell_of_an_event_names_its_entry(
    state: State, copy: Callable[[], Path], seed: int
) -> None:
    """Whatever is changed beside or inside a leaf, the report names exactly that entry: 100 of them."""
    random = Random(seed)
    for _ in range(25):
        path = copy()
        seq = random.randrange(state.size)
        column = random.choice(["run", "n", "hash", "leaf"])
        with changing(path) as db:
            # Without its index: SQLite would refuse to file two entries under one number of one run, an editor would not.
            db.execute("DROP INDEX events_of_run")
            (before,) = db.execute(f"SELECT {column} FROM events WHERE seq = ?", (seq,)).fetchall()[0]
            after = altered(before, random)
            db.execute(f"UPDATE events SET {column} = ? WHERE seq = ?", (after, seq))
        report = verified(path, state)
        assert report is not None
        assert report.first_bad is not None, (seq, column, before, after)
        assert report.first_bad.seq == seq, (seq, column, before, after)


def test_a_text_that_is_no_utf8_is_found_like_any_other_change(
    state: State, copy: Callable[[], Path]
) -> None:
    """SQLite keeps whatever bytes a text has: one in each column of text is found, and beside an entry it names that entry."""
    broken = b"\xffrun"
    with closing(apsw.Connection(str(state.path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        texts = [
            (table, column[1])
            for table in (*RECORD, *PROJECTIONS)
            for column in db.execute(f"PRAGMA table_info({table})")
            if column[2] == "TEXT" and db.execute(f"SELECT count(*) FROM {table}").get
        ]
    assert {("events", "run"), ("checkpoints", "note"), ("runs", "status")} <= {*texts}
    for table, column in texts:
        path = copy()
        with changing(path) as db:
            where = "seq = 9" if table == "events" else "true"
            db.execute(f"UPDATE OR IGNORE {table} SET {column} = CAST(? AS TEXT) WHERE {where}", (broken,))
            assert db.changes(), (table, column)
        if table == "migrations":
            with pytest.raises(WorldError) as refused:
                check_ledger(path)
            assert refused.value.code == "RECORD_CORRUPT"
        report = verified(path, state)
        assert report is not None
        assert report.first_bad is not None, (table, column)
        if table == "events":
            assert report.first_bad.seq == 9
        if table == "checkpoints":
            assert (report.first_bad.code, report.first_bad.seq) == ("CHECKPOINT_INVALID", 0)


@pytest.mark.parametrize("seed", range(4))
def test_any_flipped_bit_of_the_file_is_found_or_means_nothing(
    state: State, copy: Callable[[], Path], seed: int
) -> None:
    """A bit that is not found is one that SQLite itself does not read: schema and rows are what they were. 240 of them."""
    random = Random(seed)
    original = dump(state.path)
    data = state.path.read_bytes()
    found = 0
    for _ in range(60):
        path = copy()
        place, bit = random.randrange(len(data)), 1 << random.randrange(8)
        path.write_bytes(data[:place] + bytes([data[place] ^ bit]) + data[place + 1 :])
        if is_found(verified(path, state)):
            found += 1
        else:
            assert dump(path) == original, f"byte {place}, bit {bit}"
    assert found > 6  # Most of a small file is free space; but this test must not pass by finding nothing.


@pytest.mark.parametrize("seed", range(2))
def test_any_flipped_bit_of_the_write_ahead_log_is_found_with_a_kept_checkpoint(
    tmp_path: Path, seed: int
) -> None:
    """SQLite drops a damaged frame and all that follow, which puts the state back to an earlier one. 60 of them."""
    random = Random(seed)
    ledger = LivingLedger(tmp_path / "ledger.db")
    ledger.run("run_01")
    ledger.store.forget_log()
    for index in range(2, 6):
        ledger.run(f"run_{index:02d}")
    kept, keys = ledger.checkpoint(), ledger.keys
    main, log = ledger.path.read_bytes(), ledger.path.with_name("ledger.db-wal").read_bytes()
    ledger.close()
    original, copied = dump(ledger.path), tmp_path / "copy" / "ledger.db"
    copied.parent.mkdir()
    for _ in range(30):
        for leftover in copied.parent.iterdir():
            leftover.unlink()
        place, bit = random.randrange(len(log)), 1 << random.randrange(8)
        copied.write_bytes(main)
        copied.with_name("ledger.db-wal").write_bytes(
            log[:place] + bytes([log[place] ^ bit]) + log[place + 1 :]
        )
        report = verify_ledger(copied, keys, projector=RunProjector(), kept=kept)
        assert not report.is_good or dump(copied) == original, f"byte {place}, bit {bit}"


@pytest.mark.parametrize("mend", [False, True], ids=["careless", "mends what needs no key"])
@pytest.mark.parametrize("harm", ["drop", "swap", "insert", "truncate", "rewrite", "renumber"])
def test_a_dropped_swapped_inserted_truncated_or_rewritten_event_is_found(
    state: State, copy: Callable[[], Path], harm: str, mend: bool
) -> None:
    """At every second place; the careful attacker also mends hashes, columns, run numbers and the tree: 270 in all."""
    for seq in range(mend, state.size, 2):
        path = copy()
        with changing(path) as db:
            events = list(db.execute("SELECT seq, run, n, hash, leaf FROM events ORDER BY seq"))
            changed = harm_events(events, harm, seq)
            if mend:
                changed = mended(changed)
            if changed == events:
                continue  # Swapping the last event with nothing.
            db.execute("DELETE FROM events")
            db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", changed)
            if mend:
                mend_tree(db, changed)
        assert is_found(verified(path, state)), (harm, seq)


def test_a_forged_event_at_the_end_is_never_taken_for_a_signed_one(
    state: State, copy: Callable[[], Path]
) -> None:
    """Nobody needs a key to add entries that no checkpoint covers; the report says how many there are, and the key tells."""
    path = copy()
    with changing(path) as db:
        events = list(db.execute("SELECT seq, run, n, hash, leaf FROM events ORDER BY seq"))
        last = decode_leaf(events[-1][4], len(events) - 1)
        forged = msgspec.structs.replace(last, seq=last.seq + 1, run=None, n=2, event=RunRecovered())
        events.append((forged.seq, None, 2, leaf_hash(forged.encode()), forged.encode()))
        db.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?)", events[-1])
        mend_tree(db, events)
    report = verify_ledger(path, state.keys, projector=RunProjector())
    assert (report.size, report.signed, report.unsigned) == (state.size + 1, state.size, 1)
    assert (report.is_good, report.is_tail_proven) == (True, None)
    with_key = verify_ledger(path, state.keys, projector=RunProjector(), signer=SIGNER)
    assert (with_key.is_good, with_key.is_tail_proven) == (False, False)
    assert [(fault.code, fault.seq) for fault in with_key.faults] == [("COMMIT_INVALID", state.size)]


@pytest.mark.parametrize("table", ["payloads", "blob_refs", *PROJECTIONS])
def test_a_dropped_row_beside_the_record_is_found(state: State, copy: Callable[[], Path], table: str) -> None:
    with closing(apsw.Connection(str(state.path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        rows = db.execute(f"SELECT * FROM {table}").fetchall()
    assert rows
    for row in rows:
        path = copy()
        with changing(path) as db:
            delete(db, table, row)
        assert is_found(verified(path, state)), row


def test_a_payload_exchanged_with_its_salt_is_found(state: State, copy: Callable[[], Path]) -> None:
    """A self-consistent forgery: the commitment column is made to fit the new body."""
    path = copy()
    salt, body = bytes(16), b'{"forged":true}'
    commitment = bytes.fromhex(commit(salt, body))
    with changing(path) as db:
        (seq,) = db.execute("SELECT seq FROM payloads ORDER BY rowid LIMIT 1").fetchall()[0]
        db.execute(
            "UPDATE payloads SET commitment = ?, tag = ?, salt = ?, body = ? WHERE rowid = (SELECT min(rowid) FROM payloads)",
            (commitment, int.from_bytes(commitment[:6], "big"), salt, body),
        )
    report = verified(path, state)
    assert report is not None
    assert report.first_bad is not None
    assert report.first_bad.seq == seq


def test_a_payload_that_is_no_text_any_more_is_found(state: State, copy: Callable[[], Path]) -> None:
    """Bytes that are no UTF-8 are reported like any other change, whatever the payload was for."""
    with closing(apsw.Connection(str(state.path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        rows = [row for (row,) in db.execute("SELECT rowid FROM payloads")]
    for row in rows:
        path = copy()
        with changing(path) as db:
            db.execute("UPDATE payloads SET body = x'7b22e5223a317d' WHERE rowid = ?", (row,))
        assert is_found(verified(path, state)), row


def test_an_inserted_payload_is_found(state: State, copy: Callable[[], Path]) -> None:
    for seq in (0, 3, state.size - 1, state.size, 10**9, -1):
        path = copy()
        commitment = bytes.fromhex(commit(bytes(16), b"{}"))
        with changing(path) as db:
            row = (int.from_bytes(commitment[:6], "big"), commitment, seq, bytes(16), b"{}")
            db.execute("INSERT INTO payloads VALUES (?, ?, ?, ?, ?)", row)
        assert is_found(verified(path, state)), seq


def test_an_inserted_projection_row_is_found(state: State, copy: Callable[[], Path]) -> None:
    for table in PROJECTIONS:
        path = copy()
        with changing(path) as db:
            row = list(db.execute(f"SELECT * FROM {table} LIMIT 1").fetchall()[0])
            row[0] = "run_99"
            db.execute(f"INSERT INTO {table} VALUES ({','.join('?' * len(row))})", row)
        assert is_found(verified(path, state)), table


def test_exchanged_checkpoints_are_found(state: State, copy: Callable[[], Path]) -> None:
    """A good signature under another size than the one it speaks of."""
    with closing(apsw.Connection(str(state.path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        notes = db.execute("SELECT size, note FROM checkpoints").fetchall()
    for (size, note), (_, other) in zip(notes, notes[1:] + notes[:1], strict=True):
        path = copy()
        with changing(path) as db:
            db.execute("UPDATE checkpoints SET note = ? WHERE size = ?", (other, size))
        assert note != other
        assert is_found(verified(path, state)), size


def test_a_changed_schema_is_found(state: State, copy: Callable[[], Path]) -> None:
    """A trigger, a view or another table would act or answer in the name of ours."""
    for statement in (
        "CREATE TRIGGER quiet AFTER INSERT ON events BEGIN DELETE FROM payloads; END",
        "CREATE VIEW extra AS SELECT * FROM runs",
        "CREATE TABLE extra(x)",
        "DROP INDEX events_of_run",
        "ALTER TABLE runs ADD COLUMN x TEXT",
    ):
        path = copy()
        with changing(path) as db:
            db.execute(statement)
        assert is_found(verified(path, state)), statement


def test_a_rolled_back_state_is_found_with_a_kept_checkpoint_only(state: State) -> None:
    """An old copy is a good ledger by itself; against a newer checkpoint it names the first entry that is gone."""
    alone = verified(state.earlier, state)
    assert alone is not None
    assert alone.is_good
    kept = verified(state.earlier, state, kept=state.newest)
    assert kept is not None
    assert kept.first_bad is not None
    assert (kept.first_bad.code, kept.first_bad.seq) == ("ENTRY_MISSING", alone.size)


def test_a_state_rewritten_with_the_key_is_found_with_a_kept_checkpoint(state: State, tmp_path: Path) -> None:
    """Even the keeper of the key can't show another history to somebody who kept a checkpoint of the first."""
    other = LivingLedger(tmp_path / "other.db")
    for index in range(12):
        other.run(f"run_{index:02d}", steps=3)
    other.close()
    report = verified(other.path, state, kept=state.newest)
    assert report is not None
    assert report.first_bad is not None
    assert report.first_bad.code == "HISTORY_REWRITTEN"


def test_another_ledger_with_the_same_key_material_is_found(state: State, tmp_path: Path) -> None:
    """The key's name is the log's: a ledger of another origin does not verify under it."""
    other = LivingLedger(tmp_path / "other.db", signer=other_signer(name="assent.local/other"))
    other.run("run_01")
    other.close()
    assert is_found(verified(other.path, state))


def test_the_unchanged_state_verifies(state: State) -> None:
    """The control: everything above fails for its own reason."""
    report = verified(state.path, state, kept=state.newest)
    assert report is not None
    assert report.faults == ()
    assert (report.size, report.signed, report.kept_size) == (state.size, state.size, state.size)
    assert report.payloads
    assert report.erased
    assert report.rows


def verified(path: Path, state: State, *, kept: str | None = None) -> VerifyReport | None:
    """The report; None when the file is refused as no ledger at all, which is a finding as well."""
    try:
        return verify_ledger(path, state.keys, projector=RunProjector(), signer=SIGNER, kept=kept)
    except AssentError as error:
        assert error.code in {"STATE_FOREIGN", "STATE_NEWER"}  # noqa: PT017  # the refusal is the result here
        return None


def is_found(report: VerifyReport | None) -> bool:
    """The state was sealed at its end, so entries without a signature are a finding."""
    return report is None or not report.is_good or report.unsigned > 0


def changing(path: Path) -> closing[apsw.Connection]:
    connection = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)
    connection.pragma("journal_mode", "delete")
    connection.pragma("synchronous", "off")
    return closing(connection)


def checkpoint_of(path: Path) -> str:
    with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
        return str(db.execute("SELECT note FROM checkpoints ORDER BY size DESC LIMIT 1").get)


def dump(path: Path) -> list[object]:
    """Everything that SQLite reads from the file."""
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)) as db:
            schema = list(db.execute("SELECT type, name, tbl_name, sql FROM sqlite_schema ORDER BY name"))
            tables = sorted(name for kind, name, _, _ in schema if kind == "table")
            return [schema, *(list(db.execute(f"SELECT * FROM {table}")) for table in tables)]
    except apsw.Error as error:
        return [repr(error)]


def change_a_cell(db: apsw.Connection, random: Random) -> str:
    """Alter one cell of one row of one table; what was done, for the message of a failing test."""
    tables = [table for table in (*RECORD, *PROJECTIONS) if db.execute(f"SELECT count(*) FROM {table}").get]
    while True:
        table = random.choice(tables)
        columns = [row[1] for row in db.execute(f"PRAGMA table_info({table})")]
        row = random.choice(db.execute(f"SELECT {', '.join(columns)} FROM {table}").fetchall())
        column = random.randrange(len(columns))
        value = altered(row[column], random)
        where = " AND ".join(f"{name} IS ?" for name in columns)
        try:
            db.execute(f"UPDATE {table} SET {columns[column]} = ? WHERE {where}", (value, *row))
        except (apsw.ConstraintError, apsw.MismatchError):
            continue  # SQLite itself does not allow this one.
        if db.changes():
            return f"{table}.{columns[column]}: {row[column]!r} became {value!r}"


def altered(value: Value, random: Random) -> Value:
    """Another value of the same kind (a cell without one gets one)."""
    match value:
        case None:
            return random.choice([0, "x"])
        case int():
            return value ^ (1 << random.randrange(40))
        case str():
            return altered_bytes(value.encode(), random).decode(errors="replace")
        case bytes():
            return altered_bytes(value, random)
        case _:
            raise AssertionError(f"no table of ours holds {value!r}")


def altered_bytes(value: bytes, random: Random) -> bytes:
    if not value:
        return b"x"
    place = random.randrange(len(value))
    match random.randrange(4):
        case 0:
            return value[:place] + value[place + 1 :]
        case 1:
            return value[:place] + random.randbytes(1) + value[place:]
        case _:
            return value[:place] + bytes([value[place] ^ (1 << random.randrange(7))]) + value[place + 1 :]


Event = tuple[int, str | None, int | None, bytes, bytes]


def harm_events(events: list[Event], harm: str, seq: int) -> list[Event]:
    """The events after one act of a careless attacker."""
    match harm:
        case "drop":
            return events[:seq] + events[seq + 1 :]
        case "truncate":
            return events[:seq]
        case "swap":
            if seq + 1 == len(events):
                return events
            first, second = events[seq], events[seq + 1]
            if first[1:3] == second[1:3]:
                return events
            return [*events[:seq], (seq, *second[1:]), (seq + 1, *first[1:]), *events[seq + 2 :]]
        case "insert":
            later = [(number + 1, *rest) for number, *rest in events[seq:]]
            return [*events[:seq], (seq, None, None, *events[0][3:]), *later]  # type: ignore[list-item]  # rows, re-cut
        case "rewrite":
            leaf = decode_leaf(events[seq][4], seq)
            data = msgspec.structs.replace(leaf, at_ms=leaf.at_ms + 1).encode()
            return [*events[:seq], (*events[seq][:3], leaf_hash(data), data), *events[seq + 1 :]]
        case _:
            number, *rest = events[-1]
            return [*events[:-1], (number + 1 + seq, *rest)]  # type: ignore[list-item]  # rows, re-cut


def mended(events: list[Event]) -> list[Event]:
    """The same events with everything put right that needs no key: numbers, run numbers, columns, hashes."""
    counts: dict[RunId | None, int] = {}
    right: list[Event] = []
    for seq, (_, _, _, _, data) in enumerate(events):
        leaf = decode_leaf(data, seq)
        event = leaf.event if seq == 0 or leaf.event != decode_stored(events[0][4]).event else RunRecovered()
        run = leaf.run if event is leaf.event else None
        n = counts.get(run, 0)
        counts[run] = n + 1
        mended_leaf = msgspec.structs.replace(leaf, seq=seq, run=run, n=n, event=event).encode()
        right.append((seq, run, n, leaf_hash(mended_leaf), mended_leaf))
    return right


def mend_tree(db: apsw.Connection, events: list[Event]) -> None:
    """Make the stored head and the newest commit fit the events; signatures and MACs can't be made to."""
    tree = Frontier()
    tree.extend([hash_ for _, _, _, hash_, _ in events])
    db.execute("UPDATE tree SET size = ?, frontier = ?, root = ?", (tree.size, tree.to_bytes(), tree.root()))
    db.execute("DELETE FROM commits WHERE size >= ?", (tree.size,))
    db.execute("INSERT INTO commits VALUES (?, ?, ?, x'')", (tree.size, tree.root(), bytes(32)))


def delete(db: apsw.Connection, table: str, row: tuple[Value, ...]) -> None:
    columns = [info[1] for info in db.execute(f"PRAGMA table_info({table})")]
    db.execute(f"DELETE FROM {table} WHERE {' AND '.join(f'{name} IS ?' for name in columns)}", row)
