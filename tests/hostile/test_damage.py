"""Whatever is damaged in a state is told in the ledger's words: by `verify` as a fault, by reading as a refusal."""

from __future__ import annotations

import shutil
from contextlib import closing, suppress
from pathlib import Path
from random import Random

import apsw
import pytest

from assent import Runtime
from assent.engine.record.projection import RunProjector
from assent.errors import InputError, WorldError
from assent.journal import (
    Ed25519FileSigner,
    Ed25519Verifier,
    SqliteReader,
    SqliteRecord,
    at_once,
    leaves_at_once,
    rows_at_once,
    verify_ledger,
)
from assent.journal._blobs import BlobStore
from assent.journal.audit._report import VerifyReport
from assent.journal.audit._verify import verify
from assent.journal.store._schema import LEDGER_FILE, PROJECTIONS
from assent.runtime._ledger import projections
from assent.spec.values.merkle import leaf_hash
from tests.support.ledgers import SIGNER
from tests.support.living_ledger import LivingLedger

PAGE_BYTES = 4096
KEYS = [Ed25519Verifier.from_vkey(SIGNER.vkey)]


@pytest.fixture(scope="module")
def state(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A sealed ledger of some runs, in one file."""
    state = tmp_path_factory.mktemp("state")
    ledger = LivingLedger(state / LEDGER_FILE)
    for number in range(12):
        ledger.run(f"run_{number:02d}", steps=4, fails=number % 3 == 0)
    ledger.waiting("run_99")
    ledger.close()
    return state


@pytest.fixture
def copied(state: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(state, tmp_path / "copy"))


def verified(state: Path) -> VerifyReport | None:
    """The report; None where the file is refused as no ledger of ours."""
    try:
        return verify_ledger(state / LEDGER_FILE, KEYS, projector=RunProjector(), signer=SIGNER)
    except (InputError, WorldError):
        return None


def read_everything(state: Path) -> None:
    """Read all that a command may read; a refusal that is none of our faults ends it."""
    with suppress(InputError, WorldError), SqliteReader.open(state) as reader:
        for leaf in leaves_at_once(reader):
            for commitment in leaf.event.commitments():
                at_once(reader.payload(commitment))
                reader.blobs_of(commitment)
        for table in PROJECTIONS:
            list(rows_at_once(reader, table))
        reader.newest_checkpoint()


@pytest.mark.parametrize("seed", range(3))
def test_pages_in_the_place_of_others_are_told_as_damage(state: Path, copied: Path, seed: int) -> None:
    """A disk that gives one page for another makes rows of any form: 40 pairs each."""
    random, original = Random(seed), (state / LEDGER_FILE).read_bytes()
    pages = len(original) // PAGE_BYTES
    for _ in range(40):
        first, second = random.sample(range(1, pages), 2)
        data = bytearray(original)
        one = slice(first * PAGE_BYTES, (first + 1) * PAGE_BYTES)
        other = slice(second * PAGE_BYTES, (second + 1) * PAGE_BYTES)
        data[one], data[other] = original[other], original[one]
        (copied / LEDGER_FILE).write_bytes(data)
        report = verified(copied)
        assert report is None or not report.is_good or original[one] == original[other], (first, second)
        read_everything(copied)


@pytest.mark.parametrize("seed", range(3))
def test_a_cell_of_another_kind_is_told_as_damage(copied: Path, seed: int) -> None:
    """An editor that forgets the tables' types may put anything anywhere: text for bytes, nothing for a number."""
    random = Random(seed)
    columns = {
        "events": ("run", "n", "hash", "leaf"),
        "payloads": ("tag", "commitment", "seq", "salt", "body"),
        "blob_refs": ("commitment", "digest"),
        "checkpoints": ("note",),
        "commits": ("root", "mac", "heads"),
        "tree": ("size", "frontier", "root"),
        "runs": ("status", "started_at_ms"),
        "steps": ("attempts", "risk_level"),
    }
    original = (copied / LEDGER_FILE).read_bytes()
    for table, names in columns.items():
        for name in names:
            (copied / LEDGER_FILE).write_bytes(original)
            value = random.choice(["text", 7, b"\xff\x00", ""])
            with closing(apsw.Connection(str(copied / LEDGER_FILE))) as db:
                db.pragma("journal_mode", "delete")
                db.pragma("writable_schema", "on")
                db.execute("UPDATE sqlite_schema SET sql = replace(replace(sql, ' STRICT', ''), ') ,', '),')")
                db.pragma("writable_schema", "reset")
            with closing(apsw.Connection(str(copied / LEDGER_FILE))) as db:
                row = db.execute(f"SELECT {name} FROM {table} LIMIT 1").get
                db.execute(f"UPDATE OR IGNORE {table} SET {name} = ? WHERE {name} IS ?", (value, row))
            report = verified(copied)
            assert report is None or not report.is_good, (table, name, value)
            read_everything(copied)


def test_an_entry_that_binds_by_no_commitment_is_told_as_damage(copied: Path) -> None:
    """Whatever stands where a commitment should: no digits, too few, or something else of the right length."""
    with closing(apsw.Connection(str(copied / LEDGER_FILE))) as db:
        seq = db.execute("SELECT min(seq) FROM events WHERE run IS NOT NULL").get
        leaf = bytes(db.execute("SELECT leaf FROM events WHERE seq = ?", (seq,)).get)
    inputs = leaf.partition(b'"inputs":"')[2][:64]
    for instead in (b"z" * 64, b"0" * 63, b"", inputs.upper(), b" " * 64):
        changed = leaf.replace(inputs, instead)
        with closing(apsw.Connection(str(copied / LEDGER_FILE))) as db:
            db.execute(
                "UPDATE events SET leaf = ?, hash = ? WHERE seq = ?", (changed, leaf_hash(changed), seq)
            )
        report = verified(copied)
        assert report is not None
        assert not report.is_good
        read_everything(copied)


async def test_a_pre_image_that_is_lost_or_changed_is_a_finding(tmp_path: Path) -> None:
    """Without it an undo is impossible, and that is found before somebody needs it; the entry that needs it is named."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "assent.toml").write_text(f'[ledger]\nkey = "{tmp_path / "key"}"\n', encoding="utf-8")
    (workspace / "a.txt").write_text("before\n" * 1000, encoding="utf-8")
    async with Runtime.open(workspace=workspace) as runtime:
        assert (
            await runtime.call("io.fs.write_file", {"path": "a.txt", "content": "after"})
        ).status == "succeeded"
    ledger = workspace / ".assent" / LEDGER_FILE
    (blob,) = [path for path in (workspace / ".assent" / "blobs").rglob("*") if path.is_file()]
    content = blob.read_bytes()

    def looked() -> VerifyReport:
        with SqliteRecord.open(ledger) as record:
            origin = next(record.checkpoints())[1].partition("\n")[0]
        key = Ed25519FileSigner.open(tmp_path / "key").named(origin)
        with SqliteReader.open(ledger.parent) as reader:
            return verify_ledger(
                ledger,
                [Ed25519Verifier.from_vkey(key.vkey)],
                projector=RunProjector(),
                areas=projections(),
                signer=key,
                blobs=reader.blobs,
            )

    assert (looked().faults, looked().blobs) == ((), 1)
    harms = {
        "changed": content[:-1] + b"x",
        "cut off": content[:-1],
        "empty": b"",
        "gone": None,
        "a folder": b"/",
    }
    for harm, data in harms.items():
        blob.unlink()
        if harm == "a folder":
            blob.mkdir()
        elif data is not None:
            blob.write_bytes(data)
        else:
            assert not blob.exists()
        report = looked()
        assert [fault.code for fault in report.faults] == ["BLOB_DAMAGED"], harm
        assert report.faults[0].seq is not None
        if not blob.exists():
            blob.write_bytes(content)


async def test_a_run_that_is_erased_while_its_ledger_is_verified_is_no_damage(tmp_path: Path) -> None:
    """Verification sees one moment of the ledger; the blobs of a run that is erased meanwhile are gone, and not lost."""
    workspace = tmp_path / "workspace"
    workspace.mkdir()
    (workspace / "assent.toml").write_text(f'[ledger]\nkey = "{tmp_path / "key"}"\n', encoding="utf-8")
    (workspace / "a.txt").write_text("before\n" * 1000, encoding="utf-8")
    async with Runtime.open(workspace=workspace) as runtime:
        written = await runtime.call("io.fs.write_file", {"path": "a.txt", "content": "after"})
        with SqliteRecord.open(workspace / ".assent" / LEDGER_FILE, areas=projections()) as record:
            asked = await runtime.erase([written.run_id])
            stopped = await runtime.approve(asked.run_id, principal="user:somebody-else")
            assert (stopped.error or {})["code"] == "ERASE_UNFINISHED"
            origin = next(record.checkpoints())[1].partition("\n")[0]
            key = Ed25519FileSigner.open(tmp_path / "key").named(origin)
            blobs = BlobStore(workspace / ".assent" / "blobs")
            verifier = [Ed25519Verifier.from_vkey(key.vkey)]
            report = verify(record, verifier, projector=RunProjector(), signer=key, blobs=blobs)
    assert report.is_good, report.faults
    assert report.blobs == 0
