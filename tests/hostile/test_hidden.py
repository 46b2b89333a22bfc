"""How a run ends can't be hidden by who may write the file: which entry is a run's newest is vouched for."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import apsw
import pytest

from assent import Runtime
from assent.engine.record.projection import RunProjector
from assent.errors import AssentError, InputError
from assent.journal import Ed25519Verifier, SqliteJournal, verify_ledger
from assent.journal.store._schema import LEDGER_FILE
from assent.journal.tree._heads import PART_ENTRIES, HeadList
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId, StepKey
from assent.system import SystemClock, SystemEntropy
from tests.support.journals import ADA
from tests.support.ledgers import SIGNER
from tests.support.living_ledger import LivingLedger

KEYS = [Ed25519Verifier.from_vkey(SIGNER.vkey)]
WAITING, OTHER, CALM = RunId("run_waiting"), RunId("run_other"), RunId("run_calm")
ENDED = RunId("run_ended")
REJECTED = ev.ApprovalRejected(
    step=StepKey("deploy"), digest="d" * 64, code="APPROVAL_REJECTED", by="user:boss"
)

Attack = Callable[[apsw.Connection, Path], None]


@pytest.fixture(scope="module")
def older(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the attacker kept of the time before the rejection."""
    return tmp_path_factory.mktemp("older") / "state"


@pytest.fixture(scope="module", params=["in the newest part", "in an older part"])
def rejected(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, older: Path) -> Path:
    """A sealed ledger of several parts, in which a run that waited was rejected, and so was another."""
    state = tmp_path_factory.mktemp("state") / "state"
    state.mkdir(mode=0o700)
    ledger = LivingLedger(state / LEDGER_FILE)
    number = 0

    def grow() -> None:
        nonlocal number
        for _ in range(1 + PART_ENTRIES // 6):
            number += 1
            ledger.run(f"run_{number:04d}")

    grow()
    for run in (WAITING, OTHER, CALM, ENDED):
        ledger.waiting(run)
    ledger.append(CALM, [ev.CancelRequested(by="user:ada")])
    grow()
    ledger.store.forget_log()
    shutil.copytree(state, older, dirs_exist_ok=True)
    ledger.append(WAITING, [REJECTED])
    ledger.append(OTHER, [REJECTED])
    ledger.append(ENDED, [REJECTED, ev.RunFailed(code="APPROVAL_REJECTED", step=StepKey("deploy"))])
    ledger.append(None, [ev.PayloadErased(target=RunId("run_none"), count=1, by="user:ada")])
    if request.param == "in an older part":
        grow()
        grow()
    ledger.close()
    return state


def hide(db: apsw.Connection, run: RunId = WAITING) -> int:
    """File a run's last entry under another run; its place."""
    seq = newest(db, run)
    db.execute("UPDATE events SET run = 'run_elsewhere', n = 7 WHERE seq = ?", (seq,))
    return seq


def newest(db: apsw.Connection, run: RunId) -> int:
    found = db.execute("SELECT seq FROM events WHERE run = ? ORDER BY n DESC LIMIT 1", (run,)).get
    assert isinstance(found, int)
    return found


def without(row: HeadList, seq: int, instead: int | None) -> HeadList:
    """A list in which the stream whose newest entry stands at `seq` has it elsewhere, or isn't there."""
    lines = [row.streams[at : at + 16] for at in range(0, len(row.streams), 16)]
    place = seq.to_bytes(8, "big")
    moved = (
        []
        if instead is None
        else [line[:8] + instead.to_bytes(8, "big") for line in lines if line[8:] == place]
    )
    kept = [line for line in lines if line[8:] != place]
    return row._replace(streams=b"".join(sorted([*kept, *moved])))


def lists(db: apsw.Connection) -> list[HeadList]:
    return [HeadList(*row) for row in db.execute("SELECT size, before, streams FROM heads ORDER BY size")]


def put(db: apsw.Connection, rows: list[HeadList], *, digests: bool) -> None:
    """Put these lists in the place of those that there are, hung on each other; also in the commits, whose MACs stay."""
    db.execute("DELETE FROM heads")
    before = b""
    for row in rows:
        right = row._replace(before=before)
        before = right.digest
        db.execute("INSERT INTO heads VALUES (?, ?, ?)", right)
        if digests:
            db.execute("UPDATE commits SET heads = ? WHERE size = ?", (before, right.size))


def moved(db: apsw.Connection, _: Path) -> None:
    """Only filed elsewhere."""
    hide(db)


def nowhere(db: apsw.Connection, _: Path) -> None:
    """Filed as an event of no run."""
    seq = hide(db)
    db.execute(
        "UPDATE events SET run = NULL, n = (SELECT max(n) + 1 FROM events WHERE run IS NULL) WHERE seq = ?",
        (seq,),
    )


def deleted(db: apsw.Connection, _: Path) -> None:
    """Deleted."""
    seq = hide(db)
    db.execute("DELETE FROM events WHERE seq = ?", (seq,))


def swapped(db: apsw.Connection, _: Path) -> None:
    """The last entries of two runs, each filed under the other."""
    db.execute("UPDATE events SET run = 'x' WHERE run = ? AND n = 2", (WAITING,))
    db.execute("UPDATE events SET run = ? WHERE run = ? AND n = 2", (WAITING, OTHER))
    db.execute("UPDATE events SET run = ? WHERE run = 'x'", (OTHER,))


def exchanged(db: apsw.Connection, _: Path) -> None:
    """The whole of two runs, each filed under the other."""
    db.execute("UPDATE events SET run = 'x' WHERE run = ?", (WAITING,))
    db.execute("UPDATE events SET run = ? WHERE run = ?", (WAITING, CALM))
    db.execute("UPDATE events SET run = ? WHERE run = 'x'", (CALM,))


def skipped(db: apsw.Connection, _: Path) -> None:
    """An entry in the middle left out, and those behind it renumbered."""
    db.execute("DELETE FROM events WHERE run = ? AND n = 1", (WAITING,))
    db.execute("UPDATE events SET n = 1 WHERE run = ? AND n = 2", (WAITING,))


def all_of_it(db: apsw.Connection, _: Path) -> None:
    """The whole run."""
    db.execute("UPDATE events SET run = 'run_elsewhere' WHERE run = ?", (WAITING,))


def lists_deleted(db: apsw.Connection, _: Path) -> None:
    hide(db)
    db.execute("DELETE FROM heads")


def newest_list_deleted(db: apsw.Connection, _: Path) -> None:
    hide(db)
    db.execute("DELETE FROM heads WHERE size = (SELECT max(size) FROM heads)")


def older_lists_deleted(db: apsw.Connection, _: Path) -> None:
    hide(db)
    db.execute("DELETE FROM heads WHERE size < (SELECT max(size) FROM heads)")


def sizes_below_zero(db: apsw.Connection, _: Path) -> None:
    """Older lists of sizes that no ledger can have."""
    hide(db)
    db.execute("UPDATE heads SET size = -size WHERE size < (SELECT max(size) FROM heads)")


def rolled_back(db: apsw.Connection, older: Path) -> None:
    """The lists of the time before, in the place of those that there are."""
    hide(db)
    db.execute("DELETE FROM heads")
    with closing(apsw.Connection(str(older / LEDGER_FILE))) as old:
        db.executemany("INSERT INTO heads VALUES (?, ?, ?)", lists(old))


def an_old_list_as_the_newest(db: apsw.Connection, older: Path) -> None:
    """The newest list of the time before, under the place of the newest that there is."""
    hide(db)
    with closing(apsw.Connection(str(older / LEDGER_FILE))) as old:
        old_list = lists(old)[-1]
    put(db, [*lists(db)[:-1], lists(db)[-1]._replace(streams=old_list.streams)], digests=True)


def left_out(db: apsw.Connection, _: Path) -> None:
    seq = hide(db)
    put(db, [without(row, seq, None) for row in lists(db)], digests=False)


def left_out_of_commits(db: apsw.Connection, _: Path) -> None:
    seq = hide(db)
    put(db, [without(row, seq, None) for row in lists(db)], digests=True)


def named_lower(db: apsw.Connection, _: Path) -> None:
    """Each list that names the entry names the one before in its place."""
    seq = hide(db)
    last = newest(db, WAITING)
    put(db, [without(row, seq, last) for row in lists(db)], digests=True)


ATTACKS: list[Attack] = [
    moved,
    nowhere,
    deleted,
    swapped,
    exchanged,
    skipped,
    all_of_it,
    lists_deleted,
    newest_list_deleted,
    older_lists_deleted,
    sizes_below_zero,
    rolled_back,
    an_old_list_as_the_newest,
    left_out,
    left_out_of_commits,
    named_lower,
]


def opened(state: Path) -> SqliteJournal:
    return SqliteJournal.open(state, signer_for=SIGNER.named, clock=SystemClock(), entropy=SystemEntropy())


async def ended(state: Path) -> None:
    """Read the run that ended with two entries in one commit."""
    journal = opened(state)
    try:
        await journal.events(ENDED)
    finally:
        await journal.close()


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__)
async def test_a_rejection_that_was_hidden_is_missed_before_anything_is_done(
    rejected: Path, older: Path, tmp_path: Path, attack: Attack
) -> None:
    """Whatever is done to the file without the key: the run is not read without its rejection, and `verify` finds it too."""
    state = tmp_path / "state"
    shutil.copytree(rejected, state)
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        attack(db, older)
    code = ""
    try:
        journal = opened(state)
    except AssentError as error:
        code = error.code
    else:
        try:
            found = [leaf.event for leaf in await journal.events(WAITING)]
            assert found[-1:] == [REJECTED], "read without its rejection"
        except AssentError as error:
            code = error.code
        finally:
            await journal.close()
    assert code in {"RECORD_CORRUPT", "LEDGER_TAIL_CHANGED"}
    report = verify_ledger(state / LEDGER_FILE, KEYS, projector=RunProjector(), signer=SIGNER)
    assert not report.is_good


@pytest.mark.parametrize("is_shorter", [True, False], ids=["fewer entries", "as many"])
async def test_the_bytes_of_a_commit_are_not_cut_elsewhere(
    rejected: Path, tmp_path: Path, is_shorter: bool
) -> None:
    """A run's last two entries are of one commit: the first is put in the place of the second, whose hash passes for the digest
    of a list. The bytes under the commit's MAC stay the same, and still nobody takes the run for one that goes on."""
    state = tmp_path / "state"
    shutil.copytree(rejected, state)
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        last = newest(db, ENDED)
        gone = db.execute("SELECT hash FROM events WHERE seq = ?", (last,)).get
        db.execute("UPDATE events SET seq = -1, run = 'run_elsewhere' WHERE seq = ?", (last,))
        db.execute("UPDATE events SET seq = ? WHERE seq = ?", (last, last - 1))
        db.execute("UPDATE events SET seq = ?, hash = x'' WHERE seq = -1", (last - 1,))
        db.execute("UPDATE commits SET heads = ? WHERE size = ?", (gone, last + 1))
        if is_shorter:
            db.execute(
                "INSERT INTO commits SELECT ?, root, mac, heads FROM commits WHERE size = ?", (last, last - 1)
            )
    with pytest.raises(AssentError, match="not what was written"):
        await ended(state)
    assert not verify_ledger(state / LEDGER_FILE, KEYS, projector=RunProjector(), signer=SIGNER).is_good


async def test_what_was_not_touched_is_read(rejected: Path, tmp_path: Path) -> None:
    """The benign twin: runs that ended long ago, just now, or never were, and the ledger's own entries; and it verifies."""
    state = tmp_path / "state"
    shutil.copytree(rejected, state)
    journal = opened(state)
    assert [leaf.event for leaf in await journal.events(WAITING)][-1] == REJECTED
    for name in ("run_0001", CALM, OTHER):
        assert len(await journal.events(RunId(name))) > 2
    assert await journal.events(RunId("run_unknown")) == []
    assert await journal.events(WAITING, since=9) == []
    assert [leaf.n for leaf in await journal.events(None)] == [0, 1]
    await journal.close()
    report = verify_ledger(state / LEDGER_FILE, KEYS, projector=RunProjector(), signer=SIGNER)
    assert report.is_good, report.faults


async def test_the_end_of_the_ledger_s_own_entries_can_not_be_hidden(rejected: Path, tmp_path: Path) -> None:
    """An owner neither reads them without their end nor gives the next one a number that is taken."""
    state = tmp_path / "state"
    shutil.copytree(rejected, state)
    with closing(apsw.Connection(str(state / LEDGER_FILE))) as db:
        db.execute("UPDATE events SET run = 'run_elsewhere' WHERE run IS NULL AND n = 1")
    journal = opened(state)
    with pytest.raises(AssentError, match="newest"):
        await journal.events(None)
    with pytest.raises(AssentError, match="newest"):
        await journal.erase(RunId("run_0001"), who=ADA, at_ms=1)
    await journal.close()


async def test_a_living_owner_does_not_act_on_a_run_whose_rejection_was_hidden_meanwhile(
    tmp_path: Path,
) -> None:
    """The whole way: what was rejected is not approved, and the file that it would delete is still there."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "assent.toml").write_text(f'[ledger]\nkey = "{tmp_path / "key"}"\n', encoding="utf-8")
    victim = workspace / "victim.txt"
    victim.write_text("precious\n", encoding="utf-8")
    ledger = workspace / ".assent" / LEDGER_FILE
    async with Runtime.open(workspace=workspace) as runtime:
        asked = await runtime.call("io.fs.delete", {"path": "victim.txt"})
        await runtime.cancel(asked.run_id)
    with closing(apsw.Connection(str(ledger))) as db:
        db.execute("DELETE FROM events WHERE run = 'run_elsewhere'")
        for n in range(9, 1, -1):
            db.execute("UPDATE events SET run = 'run_elsewhere' WHERE run = ? AND n = ?", (asked.run_id, n))
        db.execute("UPDATE runs SET status = 'waiting'")
        db.execute("UPDATE approvals SET status = 'open'")
    async with Runtime.open(workspace=workspace) as runtime:
        for act in (runtime.approve, runtime.resume):
            with pytest.raises((AssentError, InputError)) as caught:
                await act(RunId(asked.run_id))
            assert caught.value.code == "RECORD_CORRUPT"
    assert victim.exists()
