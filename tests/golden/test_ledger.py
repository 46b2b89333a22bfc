"""Ledgers of every released format are kept for ever and must still verify, prove and read back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assent.journal._audit import verify_proof
from assent.journal._export import ExportRecord, verify_export
from assent.journal._export_verifier import main
from assent.journal._note import Ed25519Verifier
from assent.journal._trust import TrustPolicy
from assent.spec.events import EVENT_TYPES, decode_leaf

FOLDER = Path(__file__).parent / "ledger" / "v1"
VKEY = (FOLDER / "ledger.vkey").read_text(encoding="utf-8").strip()


def leaves() -> list[bytes]:
    return [leaf for chunk in ExportRecord(FOLDER).chunks() for leaf in chunk.leaves]


def test_the_ledger_still_verifies() -> None:
    """Entries, tree, signatures and payloads, against the key and against one of its own earlier checkpoints."""
    kept = json.loads((FOLDER / "checkpoints.jsonl").read_text(encoding="utf-8").splitlines()[3])["note"]
    report = verify_export(FOLDER, [Ed25519Verifier.from_vkey(VKEY)], kept=kept)
    assert report.is_good, report.first_bad
    assert report.size == report.signed == len(leaves())


def test_the_checker_that_travels_with_exports_still_accepts_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--key", VKEY], FOLDER) == 0, capsys.readouterr().out


def test_every_kind_of_event_has_a_sample_and_reads_back_byte_for_byte() -> None:
    """A kind without a sample could change its form unnoticed; a new kind needs a new folder beside this one."""
    decoded = [decode_leaf(data) for data in leaves()]
    assert [leaf.encode() for leaf in decoded] == leaves()
    assert {leaf.event.kind for leaf in decoded} == set(EVENT_TYPES)


def test_the_proof_still_proves() -> None:
    proven = verify_proof((FOLDER / "entry-7.tlog-proof").read_bytes(), TrustPolicy.of_keys(VKEY))
    assert (proven.index, proven.data) == (7, leaves()[7])
