"""What the journal in a file promises beyond the port: other readers, other owners, other versions, permissions, erasure."""

from __future__ import annotations

import asyncio
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import apsw
import pytest

from assent.errors import AssentError, InputError, WorldError
from assent.journal import (
    Batch,
    Ed25519FileSigner,
    SqliteJournal,
    SqliteReader,
    at_once,
    leaves_at_once,
    rows_at_once,
)
from assent.journal.store import _schema as schema
from assent.journal.store._connection import connect_reader, connect_writer
from assent.journal.store._schema import (
    LEDGER_FILE,
    PROJECTION_KEYS,
    PROJECTIONS,
    check_ledger,
    prepare_ledger,
)
from assent.journal.store._store import LedgerStore
from assent.spec.events.kinds import LedgerRecovered
from tests.support.journals import (
    ADA,
    KEY,
    NOW_MS,
    CountedEntropy,
    SimpleProjector,
    StillClock,
    created,
    open_sqlite,
    payload,
    progressed,
    run_id,
    succeeded,
)
from tests.support.patience import PATIENCE_S


@pytest.fixture
def state(tmp_path: Path) -> Path:
    return tmp_path / "state"


def _ledger(state: Path) -> apsw.Connection:
    """A connection that may do anything to the file, as a vandal's would."""
    return apsw.Connection(str(state / LEDGER_FILE))


def _copy(state: Path) -> Path:
    """The ledger's files as they are at this moment."""
    copy = state.with_name("copy")
    copy.mkdir(mode=0o700)
    for path in state.glob("ledger.db*"):
        (copy / path.name).write_bytes(path.read_bytes())
    return copy


def _contents(state: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in state.rglob("*") if path.is_file()}


def _modes(state: Path) -> dict[str, tuple[bool, int]]:
    """Of the folder and all that is in it: whether it is a folder, and its mode."""
    return {
        str(path.relative_to(state.parent)): (path.is_dir(), stat.S_IMODE(path.stat().st_mode))
        for path in (state, *state.rglob("*"))
    }


async def test_reader_beside_a_living_writer_sees_what_is_durable(state: Path) -> None:
    """A reader on a connection of its own sees each append as soon as it returned, and a snapshot keeps to its moment."""
    journal = open_sqlite(state)
    with SqliteReader.open(state) as reader:
        await journal.append(created(run_id(1)))
        assert await reader.head() == await journal.head()
        with reader.snapshot() as frozen:
            await journal.append(progressed(run_id(1), 1))
            assert await reader.head() == frozen != await journal.head()
            assert len(at_once(reader.events(run_id(1)))) == 1
        assert len(at_once(reader.events(run_id(1)))) == 2
        await journal.close()
        assert next(rows_at_once(reader, "runs"))["events"] == 2


async def test_reader_who_pauses_does_not_hold_up_the_writer(state: Path) -> None:
    """A half-read iterator of leaves keeps no transaction open: the log can be emptied meanwhile."""
    journal = open_sqlite(state)
    for number in range(3):
        await journal.append(created(run_id(number)))
    with SqliteReader.open(state) as reader:
        leaves = leaves_at_once(reader)
        next(leaves)
        assert await journal.erase(run_id(1), who=ADA, at_ms=NOW_MS) == 2
        assert len(list(leaves)) == 3
    await journal.close()


async def test_reader_works_without_an_owner_and_changes_nothing(state: Path) -> None:
    """Reading a closed ledger leaves every byte of its files as it was."""
    journal = open_sqlite(state)
    await journal.append(created(run_id(1)))
    await journal.close()
    before = _contents(state)
    with SqliteReader.open(state) as reader:
        assert (await reader.head()).size == 2
    assert _contents(state).items() >= before.items()


def test_reader_of_nothing_says_so(state: Path) -> None:
    """Without a ledger there is nothing to read, and reading creates nothing."""
    with pytest.raises(InputError) as missing:
        SqliteReader.open(state)
    assert missing.value.code == "STATE_MISSING"
    assert not state.exists()


async def test_reader_cannot_write(state: Path) -> None:
    """A reader's connection refuses every change."""
    await open_sqlite(state).close()
    connection = connect_reader(state / LEDGER_FILE)
    with pytest.raises(apsw.ReadOnlyError):
        connection.execute("DELETE FROM events")
    connection.close()


async def test_damaged_leaf_is_not_handed_out(state: Path) -> None:
    """A leaf that is not one, or stands in another's place, stops the reader."""
    journal = open_sqlite(state)
    await journal.append(created(run_id(1)))
    await journal.append(created(run_id(2)))
    await journal.close()
    with _ledger(state) as connection:
        connection.execute("UPDATE events SET leaf = x'7b7d' WHERE seq = 1")
        connection.execute("UPDATE events SET leaf = (SELECT leaf FROM events WHERE seq = 0) WHERE seq = 2")
    connection.close()
    with SqliteReader.open(state) as reader:
        for seq in (1, 2):
            with pytest.raises(WorldError) as damaged:
                list(leaves_at_once(reader, start=seq))
            assert (damaged.value.code, damaged.value.details) == ("RECORD_CORRUPT", {"seq": seq})


async def test_payload_is_checked_before_every_use(state: Path) -> None:
    """A payload with another body or salt than the committed ones is not handed out."""
    journal = open_sqlite(state)
    batch = created(run_id(1))
    await journal.append(batch)
    first, second = (found.commitment for found in batch.payloads)
    await journal.close()
    with _ledger(state) as connection:
        connection.execute("UPDATE payloads SET body = x'00' WHERE commitment = ?", (bytes.fromhex(first),))
        connection.execute("UPDATE payloads SET salt = x'00' WHERE commitment = ?", (bytes.fromhex(second),))
    connection.close()
    with SqliteReader.open(state) as reader:
        for commitment in (first, second):
            with pytest.raises(WorldError) as damaged:
                at_once(reader.payload(commitment))
            assert damaged.value.code == "RECORD_CORRUPT"


async def test_old_payloads_are_found_in_any_epoch(state: Path) -> None:
    """A payload is found however many events were appended after it."""
    journal = open_sqlite(state)
    batch = created(run_id(1))
    await journal.append(batch)
    filler = progressed(run_id(1), 1).events[0]
    await journal.append(Batch(run_id(1), 1, NOW_MS, (filler,) * 9_000))
    late = created(run_id(2))
    await journal.append(late)
    for found in (*batch.payloads, *late.payloads):
        assert at_once(journal.payload(found.commitment)) == found.body
    await journal.close()


async def test_next_owner_goes_on_where_the_last_one_stopped(state: Path) -> None:
    """Leaves, origin, tree and run numbers survive closing and opening, without an event of their own."""
    first = open_sqlite(state)
    await first.append(created(run_id(1)))
    head, origin = await first.head(), first.origin
    await first.close()
    second = open_sqlite(state)
    assert (await second.head(), second.origin) == (head, origin)
    with pytest.raises(InputError):
        await second.append(created(run_id(1)))
    await second.append(progressed(run_id(1), 1))
    await second.close()


async def test_unsigned_tail_of_a_dead_owner_is_sealed_by_the_next(state: Path) -> None:
    """What a kill left unsigned is told by a `ledger.recovered` event and covered by a checkpoint."""
    first = open_sqlite(state)
    await first.append(created(run_id(1)))
    await first.append(progressed(run_id(1), 1))
    # The file as a kill would leave it: the log was not moved, nothing was signed.
    copy = _copy(state)
    await first.close()
    second = open_sqlite(copy)
    *_, last = leaves_at_once(second)
    assert last.event == LedgerRecovered(signed=1, size=3)
    newest = second.newest_checkpoint()
    assert newest is not None
    assert newest[0] == (await second.head()).size == 4
    await second.close()


async def test_key_that_did_not_sign_the_ledger_is_refused(state: Path) -> None:
    """An owner with another key must not go on: its signatures would look forged."""
    await open_sqlite(state).close()
    other = Ed25519FileSigner(KEY.name, bytes(32))
    with pytest.raises(InputError) as refused:
        SqliteJournal.open(state, signer_for=other.named, clock=StillClock(), entropy=CountedEntropy())
    assert refused.value.code == "KEY_FOREIGN"
    await open_sqlite(state).close()


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE tree SET size = size - 1",
        "UPDATE tree SET root = zeroblob(32)",
        "UPDATE tree SET frontier = x'00'",
        "DELETE FROM events WHERE seq = 1",
        "DELETE FROM tree",
        "UPDATE checkpoints SET size = 99 WHERE size = 2",
        "UPDATE events SET leaf = x'00' WHERE seq = 0",
    ],
)
async def test_ledger_that_contradicts_itself_is_not_continued(state: Path, damage: str) -> None:
    """An owner does not build on a tree, a head or a first event that do not agree."""
    journal = open_sqlite(state)
    await journal.append(created(run_id(1)))
    await journal.close()
    with _ledger(state) as connection:
        connection.execute(damage)
    connection.close()
    with pytest.raises(WorldError) as refused:
        open_sqlite(state)
    assert refused.value.code == "RECORD_CORRUPT"


async def test_append_after_a_second_seals_the_tail(state: Path) -> None:
    """An unsigned tail older than a second is signed with the next append, which itself did not ask for it."""
    clock = StillClock()
    journal = open_sqlite(state, clock=clock)
    await journal.append(created(run_id(1)))
    assert journal.newest_checkpoint() == (1, (journal.newest_checkpoint() or (0, ""))[1])
    clock.at_ms += 1_000
    head = await journal.append(created(run_id(2)))
    assert (journal.newest_checkpoint() or (0, ""))[0] == head.size
    await journal.close()


async def test_tail_is_sealed_after_a_second_without_further_appends(state: Path) -> None:
    """Nobody has to append for the tail to be signed."""
    clock = StillClock()
    journal = open_sqlite(state, clock=clock)
    head = await journal.append(created(run_id(1)))
    clock.at_ms += 1_000
    async with asyncio.timeout(PATIENCE_S):
        while (journal.newest_checkpoint() or (0, ""))[0] != head.size:
            await journal._writer.call(lambda: 0)  # Wakes the writer, which then finds its tail too old.
    await journal.close()


async def test_close_seals_the_tail(state: Path) -> None:
    """A ledger that was closed has no unsigned event."""
    journal = open_sqlite(state)
    head = await journal.append(created(run_id(1)))
    await journal.close()
    with SqliteReader.open(state) as reader:
        newest = reader.newest_checkpoint()
    assert newest is not None
    assert newest[0] == head.size


def _removed(state: Path) -> None:
    """Each file taken away, and the folder."""
    shutil.rmtree(state)


def _restored(state: Path) -> None:
    """Another state where the journal's was, as a backup that is put back beneath a living owner."""
    shutil.copytree(state, state.with_name("backup"))
    state.rename(state.with_name("gone"))
    state.with_name("backup").rename(state)


@pytest.mark.parametrize(
    "taken",
    [
        lambda state: state.rename(state.with_name("gone")),
        _removed,
        lambda state: (state / LEDGER_FILE).rename(state / "gone"),
        _restored,
    ],
    ids=["moved", "removed", "file", "restored"],
)
async def test_nothing_is_recorded_in_a_file_that_nobody_will_find(
    state: Path, taken: Callable[[Path], object]
) -> None:
    """SQLite would go on in the file that it has open: what was done then would be on no record."""
    journal = open_sqlite(state)
    await journal.append(created(run_id(1)))
    taken(state)
    with pytest.raises(WorldError) as caught:
        await journal.append(created(run_id(2)))
    assert (caught.value.code, "removed" in caught.value.message) == ("STORAGE_FAILED", True)
    await journal.close()


async def test_a_ledger_that_is_put_back_is_gone_on_with(state: Path) -> None:
    journal = open_sqlite(state)
    state.rename(state.with_name("gone"))
    with pytest.raises(WorldError):
        await journal.append(created(run_id(1)))
    state.with_name("gone").rename(state)
    await journal.append(created(run_id(1)))
    await journal.close()


async def test_group_commits_sign_once(state: Path) -> None:
    """Many batches that ask for a checkpoint at once share a few signatures."""
    journal = open_sqlite(state)
    await asyncio.gather(*[journal.append(created(run_id(number), seal=True)) for number in range(200)])
    await journal.close()
    connection = connect_reader(state / LEDGER_FILE)
    assert 1 < connection.execute("SELECT count(*) FROM checkpoints").get < 50
    connection.close()


async def test_cancelled_waiter_does_not_disturb_the_others(state: Path) -> None:
    """A caller who gives up leaves the journal and its neighbours as they are; its batch may be kept."""
    journal = open_sqlite(state)
    tasks = [asyncio.create_task(journal.append(created(run_id(number)))) for number in range(10)]
    await asyncio.sleep(0)
    tasks[3].cancel()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert isinstance(outcomes[3], asyncio.CancelledError)
    assert [type(outcome).__name__ for outcome in outcomes].count("Head") == 9
    await journal.append(created(run_id(99)))
    await journal.close()


async def test_other_program_with_the_file_open_is_waited_for_then_named(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A database tool in a write transaction is a `STORAGE_BUSY`, in our words, and the journal goes on once it has ended."""
    monkeypatch.setattr("assent.journal.store._connection.BUSY_MS_MAX", 1)
    journal = open_sqlite(state)
    tool = _ledger(state)
    tool.execute("BEGIN IMMEDIATE")
    with pytest.raises(WorldError) as busy:
        await journal.append(created(run_id(1)))
    assert busy.value.code == "STORAGE_BUSY"
    assert "locked" not in str(busy.value)
    tool.execute("ROLLBACK")
    tool.close()
    await journal.append(created(run_id(1)))
    await journal.close()


async def test_erased_bytes_are_in_no_file_any_more(state: Path) -> None:
    """After erasing, a payload's bytes stand neither in the ledger's file nor in its log, nor does its blob."""
    journal = open_sqlite(state)
    secret = b"the secret that must go " * 400  # Also on overflow pages.
    digest = journal.blobs.put([secret])
    await journal.append(created(run_id(1)))
    await journal.append(created(run_id(2), body=secret, blobs=(digest,)))
    assert _files_with(state, secret[:24]) != []
    assert await journal.erase(run_id(2), who=ADA, at_ms=NOW_MS) == 2
    await journal.forget()
    assert _files_with(state, secret[:24]) == []
    await journal.close()


async def test_erasure_that_a_reader_holds_up_says_so_and_can_be_finished(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a reader's snapshot needs the log it can't be emptied: the caller waits, nobody else does, and finishes later."""
    monkeypatch.setattr("assent.journal.store._sqlite.FORGET_MS_MAX", 500)
    journal = open_sqlite(state)
    secret = b"the secret that must go"
    await journal.append(created(run_id(1), body=secret))
    with SqliteReader.open(state) as reader, reader.snapshot():
        assert await journal.erase(run_id(1), who=ADA, at_ms=NOW_MS) == 2
        forgetting = asyncio.create_task(journal.forget())
        for number in range(2, 22):
            await journal.append(created(run_id(number)))
            assert not forgetting.done()
        with pytest.raises(WorldError) as held_up:
            await forgetting
        assert held_up.value.code == "ERASE_UNFINISHED"
    assert at_once(journal.payload(payload(secret).commitment)) is None
    await journal.forget()
    assert _files_with(state, secret) == []
    await journal.close()


def _files_with(state: Path, needle: bytes) -> list[str]:
    return [str(path) for path in state.rglob("*") if path.is_file() and needle in path.read_bytes()]


async def test_orphaned_blobs_are_collected(state: Path) -> None:
    """A blob that no event took up is kept while its process may still do so, and removed at the end."""
    journal = open_sqlite(state)
    kept, orphan = journal.blobs.put([b"kept"]), journal.blobs.put([b"orphan"])
    await journal.append(created(run_id(1), blobs=(kept,)))
    assert journal.blobs.collect({kept}) == 0
    await journal.close()
    second = open_sqlite(state)
    assert b"".join(second.blobs.read(kept)) == b"kept"
    with pytest.raises(AssentError):
        list(second.blobs.read(orphan))
    await second.close()


async def test_blobs_that_a_killed_owner_left_are_collected_when_the_next_one_ends(state: Path) -> None:
    """Whoever was killed between a blob and its event left an orphan that no process remembers."""
    journal = open_sqlite(state)
    kept, orphan = journal.blobs.put([b"kept"]), journal.blobs.put([b"orphan"])
    await journal.append(created(run_id(1), blobs=(kept,)))
    copy = Path(shutil.copytree(state, state.with_name("copy")))
    await journal.close()
    second = open_sqlite(copy)
    assert b"".join(second.blobs.read(orphan)) == b"orphan", (
        "nobody knows yet that it is none of a living process"
    )
    await second.close()
    third = open_sqlite(copy)
    assert b"".join(third.blobs.read(kept)) == b"kept"
    with pytest.raises(AssentError):
        list(third.blobs.read(orphan))
    await third.close()


async def test_a_clean_end_does_not_look_at_the_blobs_that_are_kept(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There may be as many as there were runs, and every command ends."""
    journal = open_sqlite(state)
    await journal.append(created(run_id(1), blobs=(journal.blobs.put([b"kept"]),)))

    def asked(store: LedgerStore) -> set[str]:
        raise AssertionError(store)

    monkeypatch.setattr(LedgerStore, "blobs_in_use", asked)
    await journal.close()
    second = open_sqlite(state)
    await second.append(created(run_id(2), blobs=(second.blobs.put([b"more"]),)))
    await second.close()


def test_schema_has_the_projections_columns(state: Path) -> None:
    """The columns that `rows` and `verify` speak of are those of the tables, keys first."""
    state.mkdir()
    prepare_ledger(state / LEDGER_FILE)
    with _ledger(state) as connection:
        for table, columns in PROJECTIONS.items():
            found = connection.execute(f"PRAGMA table_info({table})").fetchall()
            assert [row[1] for row in found] == list(columns)
            assert [row[1] for row in found if row[5]] == list(columns[: PROJECTION_KEYS[table]])
    connection.close()


async def test_newer_ledger_is_refused_untouched(state: Path) -> None:
    """A file of a later version keeps every byte, for readers and owners."""
    await open_sqlite(state).close()
    with _ledger(state) as connection:
        connection.pragma("user_version", 99)
    connection.close()
    before = _contents(state)
    for attempt in (SqliteReader.open, open_sqlite):
        with pytest.raises(InputError) as refused:
            attempt(state)
        assert refused.value.code == "STATE_NEWER"
    assert _contents(state) == before


@pytest.mark.parametrize("kind", ["text", "empty", "other-database"])
def test_file_that_is_no_ledger_is_refused_untouched(state: Path, kind: str) -> None:
    """Whatever stands in the ledger's place and is not one keeps every byte."""
    state.mkdir(mode=0o700)
    path = state / LEDGER_FILE
    if kind == "other-database":
        with apsw.Connection(str(path)) as connection:
            connection.execute("CREATE TABLE events(a)")
        connection.close()
    else:
        path.write_bytes(b"notes " * 100 if kind == "text" else b"")
    before = path.read_bytes()
    for attempt in (SqliteReader.open, open_sqlite):
        with pytest.raises(InputError) as refused:
            attempt(state)
        assert refused.value.code == "STATE_FOREIGN"
    assert path.read_bytes() == before


async def test_older_ledger_is_migrated_by_an_owner_only(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbered migrations bring an older file up to date, once; a reader asks for an owner instead."""
    journal = open_sqlite(state)
    await journal.append(created(run_id(1)))
    await journal.close()
    later = schema.Migration(schema.newest_format() + 1, "later", "CREATE TABLE later(a INTEGER) STRICT")
    monkeypatch.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, later))
    with pytest.raises(InputError) as refused:
        SqliteReader.open(state)
    assert refused.value.code == "STATE_OLDER"
    for _ in range(2):
        journal = open_sqlite(state)
        assert (await journal.head()).size == 2
        await journal.close()
    assert check_ledger(state / LEDGER_FILE) == later.number


async def test_migration_that_fails_leaves_the_file_as_it_was(
    state: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A migration is all or nothing."""
    await open_sqlite(state).close()
    newest = schema.newest_format()
    broken = schema.Migration(
        newest + 1, "broken", "CREATE TABLE later(a INTEGER) STRICT; INSERT INTO nowhere VALUES (1)"
    )
    with monkeypatch.context() as patched:
        patched.setattr(schema, "MIGRATIONS", (*schema.MIGRATIONS, broken))
        with pytest.raises(WorldError):
            open_sqlite(state)
    await open_sqlite(state).close()
    assert check_ledger(state / LEDGER_FILE) == newest


async def test_edited_migration_is_noticed(state: Path) -> None:
    """The checksum of each migration is in the file: one that was edited after its release is not taken for the same."""
    await open_sqlite(state).close()
    with _ledger(state) as connection:
        connection.execute("UPDATE migrations SET checksum = 'other'")
    connection.close()
    with pytest.raises(WorldError) as refused:
        SqliteReader.open(state)
    assert refused.value.code == "RECORD_CORRUPT"


def test_half_made_ledger_is_made_anew(state: Path) -> None:
    """What a crash left of a file that was being made is no ledger and does not stand in the way."""
    half_made = state / f"{LEDGER_FILE}.new"
    half_made.parent.mkdir(mode=0o700)
    for suffix in ("", "-wal", "-journal"):
        half_made.with_name(half_made.name + suffix).write_bytes(b"half")
    prepare_ledger(state / LEDGER_FILE)
    assert list(state.glob("*.new*")) == []
    assert check_ledger(state / LEDGER_FILE) == schema.newest_format()


async def test_log_without_its_ledger_is_not_played_into_a_new_one(state: Path) -> None:
    """When only the ledger's file was removed, nothing new is begun beside its log."""
    journal = open_sqlite(state)
    await journal.append(created(run_id(1)))
    copy = _copy(state)
    await journal.close()
    ledger = copy / LEDGER_FILE
    ledger.unlink()
    with pytest.raises(WorldError) as refused:
        open_sqlite(copy)
    assert refused.value.code == "RECORD_CORRUPT"
    assert not ledger.exists()


async def test_state_is_its_owners_alone(state: Path) -> None:
    """Every folder is 0700 and every file 0600, whatever the umask."""
    before = os.umask(0)
    try:
        journal = open_sqlite(state)
        journal.blobs.put([b"pre-image"])
        await journal.append(created(run_id(1)))
        modes = _modes(state)
        await journal.close()
    finally:
        os.umask(before)
    assert "state/ledger.db-wal" in modes
    assert {mode for is_dir, mode in modes.values() if is_dir} == {0o700}
    assert {mode for is_dir, mode in modes.values() if not is_dir} == {0o600}


def test_state_that_others_may_enter_is_refused(state: Path) -> None:
    """A folder that group or others may enter is no place for a record."""
    state.mkdir()
    state.chmod(0o750)
    with pytest.raises(InputError) as refused:
        open_sqlite(state)
    assert refused.value.code == "STATE_UNSAFE"
    assert list(state.iterdir()) == []


async def test_rebuilt_projections_equal_the_live_ones(state: Path) -> None:
    """Folding the events again gives the rows that the batches brought."""
    journal = open_sqlite(state)
    for number in range(5):
        await journal.append(created(run_id(number)))
        await journal.append(succeeded(run_id(number), 1))
    live = list(rows_at_once(journal, "runs"))
    with connect_writer(state / LEDGER_FILE) as vandal:
        vandal.execute("UPDATE runs SET status = 'failed'")
    vandal.close()
    assert list(rows_at_once(journal, "runs")) != live
    assert await journal.rebuild(SimpleProjector()) == 5
    assert list(rows_at_once(journal, "runs")) == live
    await journal.close()


async def test_closing_waits_for_who_reads_on_another_thread(state: Path) -> None:
    """Whoever gave up waiting for a thread's reading leaves it at work: SQLite lets nobody close the file meanwhile."""
    journal = open_sqlite(state)
    numbers = "WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < 200000) SELECT max(x) FROM c"
    reading = asyncio.ensure_future(asyncio.to_thread(journal.reader.select, numbers))
    while not journal.reader._lock.locked():  # noqa: ASYNC110 - a thread takes it
        await asyncio.sleep(0)
    await journal.close()
    assert await reading == [(200_000,)]
