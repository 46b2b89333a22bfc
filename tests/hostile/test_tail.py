"""Whoever lacks the ledger's key can't have anything resumed or sealed that its keeper did not write.

The attacker of these tests may write the ledger's file, knows its format, and mends everything that needs no key: hashes,
columns, numbers, the tree, the newest commit. What lies behind the last checkpoint is the weakest part: nothing is signed there.
"""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import apsw
import msgspec
import pytest

from assent import Runtime
from assent.engine.record.projection import RunProjector
from assent.errors import AssentError
from assent.journal import Batch, Ed25519FileSigner, Ed25519Verifier, SqliteReader, verify_ledger
from assent.journal.audit._report import VerifyReport
from assent.journal.store._schema import LEDGER_FILE
from assent.journal.store._sqlite import SqliteJournal
from assent.runtime._ledger import projections
from assent.runtime.service import requests
from assent.runtime.service.answers import TailAccepted
from assent.runtime.service.process import perform
from assent.runtime.settings.effective import Settings
from assent.spec.events import kinds as ev
from assent.spec.ids import RunId
from assent.spec.states import Resolution, StepState
from assent.spec.values.merkle import Frontier, leaf_hash
from assent.system import SystemClock, SystemEntropy

REFUSALS = {"LEDGER_TAIL_CHANGED", "LEDGER_TAIL_UNSEALED", "RECORD_CORRUPT"}


@dataclass(frozen=True)
class Attacked:
    """A workspace whose ledger has an unsigned tail: a run that waits for a person, and one that was under way."""

    workspace: Path
    key: Path
    waiting: RunId

    @property
    def ledger(self) -> Path:
        return self.workspace / ".assent" / LEDGER_FILE

    @property
    def victim(self) -> Path:
        """What the waiting run would delete."""
        return self.workspace / "victim.txt"

    def opened(self) -> SqliteJournal:
        """The journal, as an owner opens it."""
        return SqliteJournal.open(
            self.ledger.parent,
            signer_for=Ed25519FileSigner.open(self.key).named,
            clock=SystemClock(),
            entropy=SystemEntropy(),
        )

    @property
    def settings(self) -> Settings:
        return Settings.resolve(
            workspace=self.workspace, environ={"HOME": str(self.workspace)}, cwd=self.workspace
        )

    def copied(self, folder: Path) -> Attacked:
        """The same elsewhere, to do harm to."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.workspace, folder, ignore=shutil.ignore_patterns("lock", "*.sock"))
        return Attacked(folder, self.key, self.waiting)


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attacked]:
    """Copied while its owner lives, before the tail was sealed: what a kill leaves."""
    folder = tmp_path_factory.mktemp("attacked")
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("assent.journal.store._writer.SEAL_MS_MAX", 3_600_000)
        yield asyncio.run(_attacked(folder))


async def _attacked(folder: Path) -> Attacked:
    workspace, key = folder / "workspace", folder / "ledger.key"
    workspace.mkdir()
    (workspace / "assent.toml").write_text(f'[ledger]\nkey = "{key}"\n', encoding="utf-8")
    (workspace / "victim.txt").write_text("precious\n", encoding="utf-8")
    async with Runtime.open(workspace=workspace) as runtime:
        await runtime.call("io.fs.write_file", {"path": "a.txt", "content": "a"})
        session = await runtime.session()
        await session.call("sys.noop", {})
        asked = await runtime.call("io.fs.delete", {"path": "victim.txt"})
        assert asked.status == "waiting"
        await session.call("sys.noop", {})
        attacked = Attacked(workspace, key, RunId(asked.run_id)).copied(folder / "killed")
        await session.cancel()
    assert signed(attacked.ledger) < len(entries(attacked.ledger))
    return attacked


@pytest.fixture
def attacked(original: Attacked, tmp_path: Path) -> Attacked:
    return original.copied(tmp_path / "copy")


Row = tuple[int, str | None, int | None, bytes, bytes]


def connect(path: Path) -> closing[apsw.Connection]:
    return closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE))


def entries(path: Path) -> list[Row]:
    with connect(path) as db:
        return list(db.execute("SELECT seq, run, n, hash, leaf FROM events ORDER BY seq"))


def signed(path: Path) -> int:
    with connect(path) as db:
        return int(db.execute("SELECT max(size) FROM checkpoints").get or 0)


def leaf_of(row: Row) -> ev.Leaf:
    return ev.decode_leaf(row[4], row[0], row[2])


def written(leaves: list[ev.Leaf]) -> list[Row]:
    """The rows of these entries, with places, numbers and hashes put right."""
    numbers: dict[RunId | None, int] = {}
    rows: list[Row] = []
    for seq, leaf in enumerate(leaves):
        n = numbers.get(leaf.run, 0)
        numbers[leaf.run] = n + 1
        data = msgspec.structs.replace(leaf, seq=seq, n=n).encode()
        rows.append((seq, leaf.run, n, leaf_hash(data), data))
    return rows


def put(path: Path, rows: list[Row], *, mac: bytes | None = bytes(32), after: int | None = None) -> None:
    """Put these rows in the place of the ledger's, and mend what needs no key; `mac`: of the newest commit, None: of none.

    `after`: the size up to which commits stay; as far as a checkpoint covers them unless it is said.
    """
    tree = Frontier()
    tree.extend([row[3] for row in rows])
    with connect(path) as db:
        db.execute("DELETE FROM events")
        db.executemany("INSERT INTO events VALUES (?, ?, ?, ?, ?)", rows)
        db.execute(
            "UPDATE tree SET size = ?, frontier = ?, root = ?", (tree.size, tree.to_bytes(), tree.root())
        )
        db.execute("DELETE FROM commits WHERE size > ?", (signed(path) if after is None else after,))
        if mac is not None:
            db.execute("INSERT INTO commits VALUES (?, ?, ?, x'')", (tree.size, tree.root(), mac))


def approval_of(attacked: Attacked) -> ev.Leaf:
    """The grant that the waiting run waits for, as it would stand at the end of the ledger."""
    leaves = [leaf_of(row) for row in entries(attacked.ledger)]
    last = next(leaf for leaf in reversed(leaves) if leaf.run == attacked.waiting)
    asked = last.event
    assert isinstance(asked, ev.ApprovalRequested)
    granted = ev.ApprovalGranted(step=asked.step, digest=asked.digest, by="user:root", confirmed=True)
    return ev.Leaf(
        v=2, seq=len(leaves), at_ms=last.at_ms, run=attacked.waiting, n=(last.n or 0) + 1, event=granted
    )


def refused(attacked: Attacked) -> str:
    """The code with which an owner is refused; empty when it is not. Nothing was sealed by that, and nothing changed."""
    before = attacked.ledger.read_bytes()
    checkpoints = signed(attacked.ledger)
    code = ""
    try:
        attacked.opened()
    except AssentError as error:
        code = error.code
    if code:
        assert (attacked.ledger.read_bytes(), signed(attacked.ledger)) == (before, checkpoints)
    return code


async def test_a_forged_approval_is_never_resumed(attacked: Attacked) -> None:
    """An approval that was put behind the last checkpoint without the key opens nothing: the file is still there."""
    rows = entries(attacked.ledger)
    put(attacked.ledger, [*rows, *written([*map(leaf_of, rows), approval_of(attacked)])[-1:]])
    with pytest.raises(AssentError) as caught:
        async with Runtime.open(workspace=attacked.workspace) as runtime:
            await runtime.resume()
    assert caught.value.code == "LEDGER_TAIL_CHANGED"
    assert attacked.victim.exists()
    key = Ed25519FileSigner.open(attacked.key)
    created = leaf_of(rows[0]).event
    assert isinstance(created, ev.LedgerCreated)
    own = key.named(created.origin)
    verifier = [Ed25519Verifier.from_vkey(own.vkey)]
    report = verify_ledger(attacked.ledger, verifier, projector=None, signer=own, areas=projections())
    assert (report.is_good, report.is_tail_proven) == (False, False)
    without_key = verify_ledger(attacked.ledger, verifier, projector=None, areas=projections())
    assert (without_key.is_good, without_key.is_tail_proven) == (True, None)
    with SqliteReader.open(attacked.ledger.parent) as reader:
        assert len(reader.run_leaves(attacked.waiting)) > 0, "reading goes on"


async def test_a_forged_approval_in_the_place_of_a_signed_entry_is_never_acted_on(attacked: Attacked) -> None:
    """Also where everything is signed: an entry that was made one of another run is not what was written at its place."""
    journal = attacked.opened()
    await journal.close()
    forged = approval_of(attacked)
    rows = entries(attacked.ledger)
    other = next(row for row in rows if row[1] not in (None, attacked.waiting))
    data = forged.encode()
    with connect(attacked.ledger) as db:
        db.execute(
            "UPDATE events SET run = ?, n = ?, hash = ?, leaf = ? WHERE seq = ?",
            (forged.run, forged.n, leaf_hash(data), data, other[0]),
        )
    with pytest.raises(AssentError) as caught:
        async with Runtime.open(workspace=attacked.workspace) as runtime:
            await runtime.resume(attacked.waiting)
    assert caught.value.code == "RECORD_CORRUPT"
    assert attacked.victim.exists()


def test_a_forged_tree_is_never_grown_and_signed(attacked: Attacked) -> None:
    """A tree of a rewritten history is refused where all is signed: the next checkpoint would sign that history."""
    journal = attacked.opened()
    asyncio.run(journal.close())
    leaves = [leaf_of(row) for row in entries(attacked.ledger)]
    assert signed(attacked.ledger) == len(leaves)
    at = next(at for at, leaf in enumerate(leaves) if isinstance(leaf.event, ev.RunCreated))
    forged = written(_rewritten(leaves, at))
    tree = Frontier()
    tree.extend([row[3] for row in forged])
    with connect(attacked.ledger) as db:
        db.execute("UPDATE tree SET frontier = ?, root = ?", (tree.to_bytes(), tree.root()))
    assert refused(attacked) == "RECORD_CORRUPT"


def test_a_checkpoint_of_another_history_is_not_gone_on_from(attacked: Attacked, tmp_path: Path) -> None:
    """The same key signed both: one was restored from a backup and went on otherwise. What follows hangs on its own."""
    other = attacked.copied(tmp_path / "other")
    for one in (attacked, other):
        journal = one.opened()
        event = ev.CapabilityLabelled(
            capability="x.y", version=one.workspace.name, label="stable", by="user:ada"
        )
        asyncio.run(journal.append(Batch(run=None, expected_n=0, at_ms=1, events=(event,))))
        asyncio.run(journal.close())
    size = signed(attacked.ledger)
    assert size == signed(other.ledger) == len(entries(attacked.ledger))
    with connect(attacked.ledger) as db:
        db.execute("ATTACH ? AS other", (str(other.ledger),))
        db.execute("REPLACE INTO main.checkpoints SELECT * FROM other.checkpoints WHERE size = ?", (size,))
    with pytest.raises(AssentError) as caught:
        attacked.opened()
    assert (caught.value.code, caught.value.details) == ("RECORD_CORRUPT", {"seq": size - 1})


Change = Callable[[list[ev.Leaf], int], list[ev.Leaf] | None]


def _rewritten(leaves: list[ev.Leaf], at: int) -> list[ev.Leaf]:
    changed = msgspec.structs.replace(leaves[at], at_ms=leaves[at].at_ms + 1)
    return [*leaves[:at], changed, *leaves[at + 1 :]]


def _dropped(leaves: list[ev.Leaf], at: int) -> list[ev.Leaf]:
    return [*leaves[:at], *leaves[at + 1 :]]


def _doubled(leaves: list[ev.Leaf], at: int) -> list[ev.Leaf]:
    return [*leaves[: at + 1], *leaves[at:]]


def _swapped(leaves: list[ev.Leaf], at: int) -> list[ev.Leaf] | None:
    if at + 1 == len(leaves):
        return None
    return [*leaves[:at], leaves[at + 1], leaves[at], *leaves[at + 2 :]]


def _inserted(leaves: list[ev.Leaf], at: int) -> list[ev.Leaf]:
    cancelled = ev.CancelRequested(by="user:root")
    run = next(leaf.run for leaf in leaves if leaf.run is not None)
    return [*leaves[:at], msgspec.structs.replace(leaves[at], run=run, event=cancelled), *leaves[at:]]


def _of_another_run(leaves: list[ev.Leaf], at: int) -> list[ev.Leaf]:
    return [*leaves[:at], msgspec.structs.replace(leaves[at], run=RunId("run_other")), *leaves[at + 1 :]]


def _of_the_older_format(leaves: list[ev.Leaf], at: int) -> list[ev.Leaf]:
    older = [msgspec.structs.replace(leaf, v=1) for leaf in leaves[at:]]
    return [*leaves[:at], *older]


CHANGES: dict[str, Change] = {
    "rewritten": _rewritten,
    "dropped": _dropped,
    "doubled": _doubled,
    "swapped": _swapped,
    "inserted": _inserted,
    "of another run": _of_another_run,
    "of the older format": _of_the_older_format,
}


def newest_mac(path: Path) -> bytes:
    with connect(path) as db:
        return bytes(db.execute("SELECT mac FROM commits ORDER BY size DESC LIMIT 1").get)


@pytest.mark.parametrize("mac", ["none", "zeroes", "the newest"])
@pytest.mark.parametrize("change", CHANGES)
def test_any_change_of_the_tail_is_refused_by_its_next_owner(
    original: Attacked, tmp_path: Path, change: str, mac: str
) -> None:
    """At every place behind the last checkpoint, whatever stands in the place of the MAC that can't be made."""
    leaves = [leaf_of(row) for row in entries(original.ledger)]
    tried = 0
    for at in range(signed(original.ledger), len(leaves)):
        changed = CHANGES[change](leaves, at)
        if changed is None or written(changed) == entries(original.ledger):
            continue
        attacked = original.copied(tmp_path / "copy")
        macs = {"none": None, "zeroes": bytes(32), "the newest": newest_mac(attacked.ledger)}
        put(attacked.ledger, written(changed), mac=macs[mac])
        assert refused(attacked) in REFUSALS, (change, at)
        tried += 1
    assert tried > 3


STATEMENTS = {
    "no commits": "DELETE FROM commits",
    "no commit behind the checkpoint": "DELETE FROM commits WHERE size > (SELECT max(size) FROM checkpoints)",
    "no commit at the checkpoint": "DELETE FROM commits WHERE size = (SELECT max(size) FROM checkpoints)",
    "no newest commit": "DELETE FROM commits WHERE size = (SELECT max(size) FROM commits)",
    "no checkpoint, no commits": "DELETE FROM checkpoints; DELETE FROM commits",
    "the newest checkpoint gone with its commit": """
        DELETE FROM commits WHERE size = (SELECT max(size) FROM checkpoints);
        DELETE FROM checkpoints WHERE size = (SELECT max(size) FROM checkpoints)""",
    "a commit's root": "UPDATE commits SET root = zeroblob(32) WHERE size = (SELECT max(size) FROM commits)",
    "a commit's size": "UPDATE commits SET size = size + 1 WHERE size = (SELECT max(size) FROM commits)",
    "a commit of no entries": "INSERT INTO commits SELECT size + 1, root, mac, heads FROM commits ORDER BY size DESC LIMIT 1",
    "no entries for the newest commit": """
        DELETE FROM events WHERE seq >= (SELECT size FROM commits ORDER BY size DESC LIMIT 1 OFFSET 1)""",
    "one commit for another": """
        UPDATE commits SET mac = (SELECT mac FROM commits ORDER BY size LIMIT 1)
        WHERE size = (SELECT max(size) FROM commits)""",
    "an older format": """
        DROP TABLE commits; DROP TABLE heads; DROP INDEX events_of_ledger; DELETE FROM migrations WHERE number > 3;
        PRAGMA user_version = 3""",
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_what_vouches_for_the_tail_can_neither_be_changed_nor_left_out(attacked: Attacked, name: str) -> None:
    """A ledger without its commits, or with others, is refused; so is one that is made to look like an older one."""
    with connect(attacked.ledger) as db:
        db.execute(STATEMENTS[name])
    assert refused(attacked) in REFUSALS


def test_a_tail_that_nobody_changed_is_sealed(attacked: Attacked) -> None:
    """The benign twin: what a kill left is gone on with."""
    assert refused(attacked) == ""


def test_an_export_is_of_a_sealed_ledger(attacked: Attacked, tmp_path: Path) -> None:
    """Where nobody owns the state the export seals it first, so that whoever gets it can check all of it."""
    size = len(entries(attacked.ledger))
    perform(requests.Export(folder="out", base=str(tmp_path)), attacked.settings)
    report = perform(requests.VerifyExport(folder=str(tmp_path / "out")), attacked.settings)
    assert (report.ok, report.unsigned, report.size) == (True, 0, size + 1)


def test_a_tail_that_fails_is_not_exported(attacked: Attacked, tmp_path: Path) -> None:
    """What nothing vouches for is neither sealed nor handed on."""
    rows = entries(attacked.ledger)
    put(attacked.ledger, [*rows, *written([*map(leaf_of, rows), approval_of(attacked)])[-1:]])
    with pytest.raises(AssentError) as caught:
        perform(requests.Export(folder="out", base=str(tmp_path)), attacked.settings)
    assert caught.value.code == "LEDGER_TAIL_CHANGED"
    assert not (tmp_path / "out").exists()


def verified(attacked: Attacked) -> VerifyReport:
    key = Ed25519FileSigner.open(attacked.key)
    created = leaf_of(entries(attacked.ledger)[0]).event
    assert isinstance(created, ev.LedgerCreated)
    own = key.named(created.origin)
    keys = [Ed25519Verifier.from_vkey(own.vkey)]
    return verify_ledger(attacked.ledger, keys, projector=RunProjector(), signer=own, areas=projections())


def accepted(attacked: Attacked) -> TailAccepted:
    """What comes of accepting from the entry that the refusal names."""
    with pytest.raises(AssentError) as caught:
        attacked.opened()
    assert caught.value.code == "LEDGER_TAIL_CHANGED"
    start = caught.value.details["seq"]
    assert isinstance(start, int)
    return perform(requests.AcceptTail(start=start), attacked.settings)


async def test_an_approval_that_was_accepted_without_proof_has_to_be_given_again(attacked: Attacked) -> None:
    """A forged approval is on the record then, and opens nothing: the question is asked anew, and an answer counts."""
    rows = entries(attacked.ledger)
    put(
        attacked.ledger, [*rows, *written([*map(leaf_of, rows), approval_of(attacked)])[-1:]], after=len(rows)
    )
    with pytest.raises(AssentError) as caught:
        await asyncio.to_thread(perform, requests.AcceptTail(start=1), attacked.settings)
    assert caught.value.code == "TAIL_NOT_IN_DOUBT"
    assert f"is {len(rows)}, not 1" in caught.value.message
    assert f"--from {len(rows)}`" in (caught.value.hint or "")
    told = await asyncio.to_thread(accepted, attacked)
    assert (told.start, told.entries, told.runs) == (len(rows), 1, [attacked.waiting])
    async with Runtime.open(workspace=attacked.workspace) as runtime:
        result = await runtime.resume(attacked.waiting)
        assert [one.status for one in result] == ["waiting"]
        assert attacked.victim.exists()
        assert (await runtime.approve(attacked.waiting)).status == "succeeded"
    assert not attacked.victim.exists()
    report = verified(attacked)
    assert report.is_good, report.faults
    with pytest.raises(AssentError, match="vouches for every entry") as caught:
        await asyncio.to_thread(perform, requests.AcceptTail(start=told.start), attacked.settings)
    assert caught.value.hint is None


@pytest.mark.parametrize("before", [None, "1.0.0"])
async def test_a_label_that_accepted_entries_moved_names_what_it_did_before(
    attacked: Attacked, before: str | None
) -> None:
    """Nobody lets another version be called by an entry that nothing vouches for; whoever meant it moves the label again."""
    if before is not None:
        journal = attacked.opened()
        label = ev.CapabilityLabelled(capability="x.y", version=before, label="stable", by="user:ada")
        await journal.append(Batch(run=None, expected_n=0, at_ms=1, events=(label,)))
        await journal.close()
    leaves = [*map(leaf_of, entries(attacked.ledger))]
    own = [leaf for leaf in leaves if leaf.run is None]
    forged = ev.CapabilityLabelled(capability="x.y", version="6.6.6", label="stable", by="user:ada")
    leaf = msgspec.structs.replace(own[-1], seq=len(leaves), n=len(own), event=forged, at_ms=leaves[-1].at_ms)
    put(attacked.ledger, [*entries(attacked.ledger), *written([*leaves, leaf])[-1:]], after=len(leaves))
    await asyncio.to_thread(accepted, attacked)
    with SqliteReader.open(attacked.ledger.parent) as reader:
        labels = await reader.rows("capability_labels", limit=9)
    newest = max(labels, key=lambda row: int(str(row["change"])))
    assert newest["version"] == before
    assert "6.6.6" in [row["version"] for row in labels], "the entry stays"
    report = verified(attacked)
    assert report.is_good, report.faults


async def test_steps_that_are_known_from_accepted_entries_only_are_in_doubt(attacked: Attacked) -> None:
    """Honest entries whose MAC was lost are believed no more than forged ones: a person says of each step whether it happened."""
    with connect(attacked.ledger) as db:
        db.execute("UPDATE commits SET mac = zeroblob(32) WHERE size > (SELECT max(size) FROM checkpoints)")
    told = await asyncio.to_thread(accepted, attacked)
    kinds = [leaf_of(row).event.kind for row in entries(attacked.ledger)]
    assert kinds.count("ledger.tail_accepted") == 1
    assert kinds.count("run.doubted") == len(told.runs) > 1
    assert verified(attacked).is_good
    session = next(run for run in told.runs if run != attacked.waiting)
    async with Runtime.open(workspace=attacked.workspace) as runtime:
        shown = await runtime.show(session)
        assert {step.status for step in shown.steps} == {StepState.IN_DOUBT}
        for run in told.runs:
            replayed = await runtime.replay(run)
            assert (replayed.replayed_status, replayed.differences) == (replayed.recorded_status, ())
        for step in shown.steps:
            await runtime.resolve(session, step.name, Resolution.HAPPENED)
        assert (await runtime.replay(session)).is_equal, "also what a person then said"
        assert (await runtime.show(session)).status == "failed", (
            "a run that only accepted entries know of goes no further"
        )
    report = verified(attacked)
    assert report.is_good, report.faults


def test_what_can_not_follow_is_not_accepted(attacked: Attacked) -> None:
    """An end that contradicts itself, or is none, stays refused, and nothing was changed by trying."""
    leaves = [leaf_of(row) for row in entries(attacked.ledger)]
    created = next(leaf for leaf in leaves if isinstance(leaf.event, ev.RunCreated))
    twice = [*leaves, created]
    waiting = [leaf for leaf in leaves if leaf.run == attacked.waiting]
    answer_doubted = msgspec.structs.replace(
        waiting[-1], seq=len(leaves), n=len(waiting), event=ev.RunDoubted(start=1)
    )
    own = [leaf for leaf in leaves if leaf.run is None]
    labelled = ev.CapabilityLabelled(capability="x.y", version="1.0.0", label="\u202e", by="user:ada")
    no_letters = msgspec.structs.replace(own[-1], seq=len(leaves), n=len(own), event=labelled)
    newest = "WHERE seq = (SELECT max(seq) FROM events)"
    for changed, harm in (
        (twice, ""),
        ([*leaves, no_letters], ""),
        (
            leaves,
            f"UPDATE events SET leaf = CAST(replace(leaf, '{{\"at_ms\"', '{{ \"at_ms\"') AS BLOB) {newest}",
        ),
        (
            leaves,
            f'UPDATE events SET leaf = CAST(replace(leaf, \'"v":2\', \'"v":2,"v":2\') AS BLOB) {newest}',
        ),
        ([*leaves, answer_doubted], ""),
        (leaves, f"UPDATE events SET leaf = x'00' {newest}"),
        (leaves, f"UPDATE events SET n = n + 1 {newest}"),
        (leaves, f"UPDATE events SET seq = seq + 1 {newest}"),
    ):
        put(attacked.ledger, written(changed))
        with connect(attacked.ledger) as db:
            db.execute(harm)
        before = entries(attacked.ledger)
        with pytest.raises(AssentError) as caught:
            accepted(attacked)
        assert caught.value.code == "TAIL_UNACCEPTABLE", (harm, caught.value)
        assert entries(attacked.ledger) == before


async def test_a_tail_cut_off_between_commits_is_found_by_a_kept_checkpoint_alone(attacked: Attacked) -> None:
    """Whole commits taken from the end leave an earlier state of the same ledger, which nothing inside can tell from it."""
    whole = attacked.copied(attacked.workspace.with_name("whole"))
    journal = whole.opened()
    newest = journal.newest_checkpoint()
    await journal.close()
    assert newest is not None
    rows = entries(attacked.ledger)[: signed(attacked.ledger)]
    put(attacked.ledger, rows, mac=None)
    journal = attacked.opened()
    origin = journal.origin
    await journal.close()
    signer = Ed25519FileSigner.open(attacked.key).named(origin)
    keys = [Ed25519Verifier.from_vkey(signer.vkey)]
    kept = verify_ledger(attacked.ledger, keys, projector=None, signer=signer, kept=newest[1])
    assert not kept.is_good
