"""Ledgers of every released format are kept for ever and must still verify, prove and read back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assent.journal.audit._audit import verify_proof
from assent.journal.audit._export import ExportRecord, verify_export
from assent.journal.audit._export_verifier import main
from assent.journal.tree._note import Ed25519Verifier
from assent.journal.tree._trust import TrustPolicy
from assent.spec.events.kinds import EVENT_TYPES, decode_leaf, decode_stored

FOLDERS = sorted(path for path in (Path(__file__).parent / "ledger").iterdir() if path.name.startswith("v"))

each_folder = pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: folder.name)


def vkey(folder: Path) -> str:
    return (folder / "ledger.vkey").read_text(encoding="utf-8").strip()


def leaves(folder: Path) -> list[bytes]:
    return [leaf for chunk in ExportRecord(folder).chunks() for leaf in chunk.leaves]


@each_folder
def test_the_ledger_still_verifies(folder: Path) -> None:
    """Entries, tree, signatures and payloads, against the key and against one of its own earlier checkpoints."""
    kept = json.loads((folder / "checkpoints.jsonl").read_text(encoding="utf-8").splitlines()[3])["note"]
    report = verify_export(folder, [Ed25519Verifier.from_vkey(vkey(folder))], kept=kept)
    assert report.is_good, report.first_bad
    assert report.size == report.signed == len(leaves(folder))


@each_folder
def test_the_checker_that_travels_with_exports_still_accepts_it(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--key", vkey(folder)], folder) == 0, capsys.readouterr().out


@each_folder
def test_every_entry_reads_back_byte_for_byte(folder: Path) -> None:
    assert [decode_leaf(data, seq).encode() for seq, data in enumerate(leaves(folder))] == leaves(folder)


def test_every_kind_of_event_has_a_sample() -> None:
    """A kind without a sample could change its form unnoticed; a new kind needs a new folder beside the released ones."""
    kinds = {decode_stored(data).event.kind for data in leaves(FOLDERS[-1])}
    assert kinds == set(EVENT_TYPES)


@each_folder
def test_the_proof_still_proves(folder: Path) -> None:
    proven = verify_proof((folder / "entry-7.tlog-proof").read_bytes(), TrustPolicy.of_keys(vkey(folder)))
    assert (proven.index, proven.data) == (7, leaves(folder)[7])
