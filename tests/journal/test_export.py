"""An export is a faithful copy that can be checked anywhere, also without Assent."""

from __future__ import annotations

import json
import stat
import subprocess
import sys
from base64 import b64decode, b64encode
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from assent.errors import AssentError, InputError
from assent.journal.audit._export import ExportRecord, export_ledger, verify_export
from assent.journal.audit._export_verifier import ORDER, decompressed, ed25519_verifies, main
from assent.journal.store._record import SqliteRecord
from assent.journal.tree._checkpoint import Checkpoint, sign_checkpoint
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._note import Ed25519Verifier, sign_note
from assent.spec.events import kinds as ev
from assent.spec.events.kinds import Leaf, StoredLeaf1, encode_stored
from assent.spec.ids import RunId
from assent.spec.values.merkle import leaf_hash, tree_root
from tests.support.ledgers import ORIGIN, SIGNER, LedgerFile, make_ledger, run_batch

KEYS = [Ed25519Verifier.from_vkey(SIGNER.vkey)]
STRANGER = Ed25519FileSigner(ORIGIN, bytes(32))


@pytest.fixture
def exported(tmp_path: Path) -> Path:
    make_ledger(tmp_path / "ledger.db")
    with SqliteRecord.open(tmp_path / "ledger.db") as record:
        found = export_ledger(record, tmp_path / "export", vkey=SIGNER.vkey, payloads=True)
    assert (found.entries, found.checkpoints, found.payloads) == (21, 6, 20)
    return tmp_path / "export"


def standalone(folder: Path, *arguments: str) -> tuple[int, str]:
    """The exit code and the answer of the checker in the export, run as a stranger would run it: isolated from Assent."""
    command = [sys.executable, "-I", "-S", str(folder / "verify.py"), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


def test_an_export_verifies_here_and_with_its_own_checker(exported: Path) -> None:
    report = verify_export(exported, KEYS)
    assert report.is_good
    assert (report.size, report.checkpoints, report.payloads, report.unsigned) == (21, 6, 20, 0)
    code, answer = standalone(exported, "--key", SIGNER.vkey)
    assert code == 0, answer
    assert "21 entries, 6 signed checkpoints, 20 payloads: as they were recorded" in answer


def test_an_export_is_private_and_says_how_to_check_it(exported: Path) -> None:
    assert stat.S_IMODE(exported.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in exported.iterdir()} == {0o600}
    names = {path.name for path in exported.iterdir()}
    assert names == {
        "leaves.jsonl",
        "checkpoints.jsonl",
        "checkpoint",
        "payloads.jsonl",
        "ledger.vkey",
        "verify.py",
        "README.md",
    }
    assert all(name in (exported / "README.md").read_text() for name in names - {"README.md"})


def test_payloads_are_left_out_unless_they_are_asked_for(tmp_path: Path) -> None:
    """They may hold anything, a secret in a file's content included."""
    make_ledger(tmp_path / "ledger.db")
    with SqliteRecord.open(tmp_path / "ledger.db") as record:
        export_ledger(record, tmp_path / "export", vkey=SIGNER.vkey)
    assert not (tmp_path / "export" / "payloads.jsonl").exists()
    assert not any(b"of run_000000" in path.read_bytes() for path in (tmp_path / "export").iterdir())
    report = verify_export(tmp_path / "export", KEYS)
    assert report.is_good
    assert report.payloads is None
    code, answer = standalone(tmp_path / "export")
    assert (code, ", 0 payloads:" in answer) == (0, True), answer


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("leaves.jsonl", b'"attempt":1', b'"attempt":2'),
        ("leaves.jsonl", b'"n":3', b'"n":4'),
        ("checkpoint", b"\n", b"\n\n"),
        ("checkpoints.jsonl", b'"note":"' + ORIGIN.encode(), b'"note":"' + ORIGIN.encode() + b"x"),
        ("payloads.jsonl", b'"salt":"', b'"salt":"AA'),
        ("payloads.jsonl", b'{"body":"', b'{"body":"AAAA'),
    ],
)
def test_a_change_in_any_file_is_found_by_both_checkers(
    exported: Path, name: str, old: bytes, new: bytes
) -> None:
    data = (exported / name).read_bytes()
    assert old in data
    (exported / name).write_bytes(data.replace(old, new, 1))
    assert not verify_export(exported, KEYS).is_good
    assert standalone(exported, "--key", SIGNER.vkey)[0] == 6


def test_entries_that_were_rewritten_under_a_signature_are_found_by_both_checkers(exported: Path) -> None:
    """All that needs no key is mended: the tree of the rewritten entries stands in each checkpoint, and the signature stays."""
    leaves = (exported / "leaves.jsonl").read_bytes().replace(b"user:ada", b"user:eve").splitlines()
    notes = []
    for line in (exported / "checkpoints.jsonl").read_text().splitlines():
        size, note = (found := json.loads(line))["size"], found["note"]
        root = Checkpoint(ORIGIN, size, tree_root([*map(leaf_hash, leaves[:size])])).text()
        notes.append(root + note[note.index("\n\n") + 1 :])
    (exported / "leaves.jsonl").write_bytes(b"".join(leaf + b"\n" for leaf in leaves))
    lines = [json.dumps({"note": note, "size": int(note.split("\n")[1])}) + "\n" for note in notes]
    (exported / "checkpoints.jsonl").write_text("".join(lines))
    (exported / "checkpoint").write_text(notes[-1])
    assert [fault.code for fault in verify_export(exported, KEYS).faults][:1] == ["CHECKPOINT_INVALID"]
    code, answer = standalone(exported, "--key", SIGNER.vkey)
    assert (code, "the signature of a checkpoint does not fit" in answer) == (6, True), answer


@pytest.mark.parametrize("keep", [0, 1, 8, 20])
def test_entries_cut_off_are_found_by_both_checkers(exported: Path, keep: int) -> None:
    lines = (exported / "leaves.jsonl").read_bytes().splitlines(keepends=True)
    (exported / "leaves.jsonl").write_bytes(b"".join(lines[:keep]))
    assert not verify_export(exported, KEYS).is_good
    assert standalone(exported, "--key", SIGNER.vkey)[0] == 6


def test_a_line_cut_in_the_middle_is_found_by_both_checkers(exported: Path) -> None:
    data = (exported / "leaves.jsonl").read_bytes()
    (exported / "leaves.jsonl").write_bytes(data[:-10])
    assert not verify_export(exported, KEYS).is_good
    code, answer = standalone(exported, "--key", SIGNER.vkey)
    assert (code, "ends in the middle of a line" in answer) == (6, True), answer


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("leaves.jsonl", b"[]"),
        ("leaves.jsonl", b'{"seq":3,"event":[]}'),
        ("leaves.jsonl", b"[" * 100_000),
        ("checkpoints.jsonl", b'{"note":5}'),
        ("payloads.jsonl", b'{"seq":1,"commitment":"x","salt":5,"body":""}'),
    ],
)
def test_a_line_of_another_shape_is_a_finding_of_both_checkers(
    exported: Path, name: str, line: bytes
) -> None:
    lines = (exported / name).read_bytes().splitlines(keepends=True)
    lines[3] = line + b"\n"
    (exported / name).write_bytes(b"".join(lines))
    assert not verify_export(exported, KEYS).is_good
    assert standalone(exported, "--key", SIGNER.vkey)[0] == 6


def signed_export(folder: Path, leaves: list[bytes]) -> Path:
    """An export of these entries, which the ledger's key has signed: what only its own keeper can make."""
    note = sign_checkpoint(Checkpoint(ORIGIN, len(leaves), tree_root([*map(leaf_hash, leaves)])), SIGNER)
    folder.mkdir()
    (folder / "leaves.jsonl").write_bytes(b"".join(leaf + b"\n" for leaf in leaves))
    line = json.dumps({"note": note, "size": len(leaves)}) if leaves else ""
    (folder / "checkpoints.jsonl").write_text(line and line + "\n")
    (folder / "checkpoint").write_text(note if leaves else "")
    return folder


def leaf(v: int, seq: int, run: str | None, n: int | None) -> bytes:
    """An entry that says these places; the first one of a ledger says which it is."""
    event = ev.RunRecovered() if seq else ev.LedgerCreated(origin=ORIGIN)
    return Leaf(v=v, seq=seq, at_ms=0, run=None if run is None else RunId(run), n=n, event=event).encode()


BEGUN = (leaf(1, 0, None, None), leaf(1, 1, "run_1", 0), leaf(1, 2, None, None), leaf(1, 3, "run_2", 0))
PLACES = {
    "no entry": ((), True),
    "of the older format": (BEGUN, True),
    "of the older format, then of this one": ((*BEGUN, leaf(2, 4, "run_1", 1), leaf(2, 5, None, 2)), True),
    "of this format": ((leaf(2, 0, None, 0), leaf(2, 1, "run_1", 0), leaf(2, 2, None, 1)), True),
    "older, another place": ((*BEGUN, leaf(1, 5, "run_2", 1)), False),
    "older, an earlier place": ((*BEGUN, leaf(1, 3, "run_2", 1)), False),
    "older, a number twice": ((*BEGUN, leaf(1, 4, "run_2", 0)), False),
    "older, a number left out": ((*BEGUN, leaf(1, 4, "run_2", 2)), False),
    "older, a number of no run": (
        (*BEGUN, encode_stored(StoredLeaf1(seq=4, at_ms=0, n=7, event=ev.RunRecovered()))),
        False,
    ),
    "older, behind one of this format": ((*BEGUN, leaf(2, 4, "run_1", 1), leaf(1, 5, "run_1", 2)), False),
    "a number twice": ((*BEGUN, leaf(2, 4, "run_1", 0)), False),
    "a number left out": ((*BEGUN, leaf(2, 4, "run_1", 2)), False),
    "a number of no run twice": ((*BEGUN, leaf(2, 4, None, 1)), False),
    "another run's number": ((*BEGUN, leaf(2, 4, "run_3", 1)), False),
}


@pytest.mark.parametrize("name", PLACES)
def test_an_entry_that_is_not_the_next_of_its_stream_is_found_by_both_checkers(
    tmp_path: Path, name: str
) -> None:
    """Also where the key has signed it: no ledger goes on like that. The benign ones are as they were recorded."""
    entries, is_good = PLACES[name]
    folder = signed_export(tmp_path / "export", [*entries])
    assert verify_export(folder, KEYS).is_good == is_good
    assert main(["--key", SIGNER.vkey], folder) == (0 if is_good else 6)


def vkey_of(key: bytes, name: str = ORIGIN, identity: str | None = None) -> str:
    """Such a key as text."""
    own = sha256(name.encode() + b"\n" + key).hexdigest()[:8]
    return f"{name}+{identity or own}+{b64encode(key).decode()}"


OWN_KEY = b64decode(SIGNER.vkey.split("+", 2)[2])


@pytest.mark.parametrize(
    "vkey",
    [
        vkey_of(OWN_KEY + b"\x00"),
        vkey_of(OWN_KEY[:-1]),
        vkey_of(b"\x02" + OWN_KEY[1:]),
        vkey_of(OWN_KEY, identity="00000000"),
        vkey_of(b""),
        vkey_of(OWN_KEY) + "*",
    ],
    ids=["too long", "too short", "of another kind", "of another id", "empty", "not base64"],
)
def test_a_key_that_is_none_is_refused_by_the_checker(
    exported: Path, vkey: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """As a key, before any signature is looked at."""
    assert vkey_of(OWN_KEY) == SIGNER.vkey
    assert main(["--key", vkey], exported) == 6
    assert ("not an Ed25519 key" in capsys.readouterr().out) == ("*" not in vkey)


def test_other_signatures_on_a_kept_checkpoint_are_passed_over_by_both_checkers(
    exported: Path, tmp_path: Path
) -> None:
    """A witness signs below or above the ledger's own line; without that one, or of another log, the checkpoint is nobody's."""
    note = (exported / "checkpoint").read_text()
    text, _, own = note.rpartition("\n\n")
    witness = sign_note(text + "\n", Ed25519FileSigner("witness.example/w", bytes(32))).rpartition("\n\n")[2]
    older_key = sign_note(text + "\n", STRANGER).rpartition("\n\n")[2]
    _, name, blob = own.split()
    renamed = f"\u2014 {name}x {blob}\n"
    text += "\n\n"
    for written, is_good in (
        (text + own, True),
        (text + own + witness, True),
        (text + witness + own, True),
        (text + older_key + own, True),
        (text + renamed + own, True),
        (text + witness, False),
        (text + renamed, False),
        (text + own.replace("\u2014", "-"), False),
        (text + own.replace(blob, "*" + blob), False),
        (text.replace("\n21\n", "\n20\n") + own, False),
        (sign_note(text[:-1].replace(ORIGIN, "example.com/other"), SIGNER), False),
        (sign_note(text[:-2] + "*\n", SIGNER), False),
    ):
        kept = tmp_path / "kept"
        kept.write_text(written)
        assert main(["--key", SIGNER.vkey, "--checkpoint", str(kept)], exported) == (0 if is_good else 6)
        if is_good:
            assert verify_export(exported, KEYS, kept=kept.read_bytes()).is_good, written
        else:
            with pytest.raises(InputError):
                verify_export(exported, KEYS, kept=kept.read_bytes())


def test_a_key_that_travels_with_the_export_is_not_believed_silently(exported: Path) -> None:
    """Another key: refused. The key in the folder: used by the checker, which says what that is worth."""
    assert not verify_export(exported, [Ed25519Verifier.from_vkey(STRANGER.vkey)]).is_good
    assert standalone(exported, "--key", STRANGER.vkey)[0] == 6
    code, answer = standalone(exported)
    assert code == 0
    assert "compare it with one from a source you trust" in answer


def test_a_kept_checkpoint_finds_a_rolled_back_export(tmp_path: Path) -> None:
    """The folder of an earlier day is good by itself; with a newer checkpoint it is short of entries."""
    ledger = LedgerFile.create(tmp_path / "ledger.db")
    ledger.commit([run_batch(0)])
    with SqliteRecord.open(tmp_path / "ledger.db") as record:
        export_ledger(record, tmp_path / "earlier", vkey=SIGNER.vkey)
    ledger.commit([run_batch(1)])
    with SqliteRecord.open(tmp_path / "ledger.db") as record:
        export_ledger(record, tmp_path / "later", vkey=SIGNER.vkey)
    ledger.close()
    kept = tmp_path / "later" / "checkpoint"
    assert verify_export(tmp_path / "earlier", KEYS).is_good
    assert not verify_export(tmp_path / "earlier", KEYS, kept=kept.read_bytes()).is_good
    assert standalone(tmp_path / "earlier", "--checkpoint", str(kept))[0] == 6
    assert verify_export(
        tmp_path / "later", KEYS, kept=(tmp_path / "earlier" / "checkpoint").read_bytes()
    ).is_good
    assert standalone(tmp_path / "later", "--checkpoint", str(tmp_path / "earlier" / "checkpoint"))[0] == 0


def test_an_export_overwrites_nothing_and_a_leftover_draft_does_not_matter(tmp_path: Path) -> None:
    make_ledger(tmp_path / "ledger.db", runs=1)
    (tmp_path / "taken").mkdir()
    (tmp_path / "fresh.new").mkdir()
    (tmp_path / "fresh.new" / "leaves.jsonl").write_bytes(b"half\n")
    with SqliteRecord.open(tmp_path / "ledger.db") as record:
        with pytest.raises(AssentError) as caught:
            export_ledger(record, tmp_path / "taken", vkey=SIGNER.vkey)
        assert caught.value.code == "EXPORT_EXISTS"
        export_ledger(record, tmp_path / "fresh", vkey=SIGNER.vkey)
    assert verify_export(tmp_path / "fresh", KEYS).is_good
    assert not (tmp_path / "fresh.new").exists()


def test_a_folder_of_somebody_elses_beside_the_export_is_left_alone(tmp_path: Path) -> None:
    """What bears the name of the draft and is none is never removed, whatever stands in it."""
    make_ledger(tmp_path / "ledger.db", runs=1)
    beside = tmp_path / "fresh.new"
    others = tmp_path / "others"
    others.mkdir()
    beside.write_text("mine")
    with SqliteRecord.open(tmp_path / "ledger.db") as record, pytest.raises(InputError):
        export_ledger(record, tmp_path / "fresh", vkey=SIGNER.vkey)
    assert beside.read_text() == "mine"
    beside.unlink()
    for name in ("notes.txt", "README.md"):
        beside.mkdir()
        (beside / name).write_text("mine")
        with SqliteRecord.open(tmp_path / "ledger.db") as record, pytest.raises(InputError) as caught:
            export_ledger(record, tmp_path / "fresh", vkey=SIGNER.vkey)
        assert caught.value.code == "EXPORT_EXISTS"
        assert caught.value.hint
        assert (beside / name).read_text() == "mine"
        (beside / name).unlink()
        beside.rmdir()
    beside.symlink_to(others)
    with SqliteRecord.open(tmp_path / "ledger.db") as record, pytest.raises(InputError):
        export_ledger(record, tmp_path / "fresh", vkey=SIGNER.vkey)
    assert beside.is_symlink()


def test_payloads_that_are_gone_are_looked_for_in_one_reading(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many are missing, the file of payloads is read twice and not once for each: half of 8 000 took most of a minute."""
    make_ledger(tmp_path / "ledger.db", runs=20)
    with SqliteRecord.open(tmp_path / "ledger.db") as record:
        export_ledger(record, tmp_path / "out", vkey=SIGNER.vkey, payloads=True)
    kept = (tmp_path / "out" / "payloads.jsonl").read_bytes().splitlines(keepends=True)[40:]
    (tmp_path / "out" / "payloads.jsonl").write_bytes(b"".join(kept))
    read: list[str] = []
    lines = ExportRecord._lines

    def counted(record: ExportRecord, name: str) -> Iterator[bytes]:
        read.append(name)
        return lines(record, name)

    monkeypatch.setattr(ExportRecord, "_lines", counted)
    report = verify_export(tmp_path / "out", KEYS)
    assert [(fault.code, fault.seq) for fault in report.faults] == [("PAYLOAD_MISSING", 1)]
    assert report.payloads == len(kept)
    assert read.count("payloads.jsonl") == 2


def test_a_folder_that_is_no_export_says_so(tmp_path: Path) -> None:
    with pytest.raises(AssentError) as caught:
        verify_export(tmp_path, KEYS)
    assert caught.value.code == "EXPORT_INVALID"


def test_the_checker_explains_its_usage(exported: Path) -> None:
    command = [sys.executable, "-I", str(exported / "verify.py"), "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "usage:" in done.stderr


def test_the_checkers_own_ed25519_agrees_with_the_reference_vectors(samples: Path) -> None:
    """It is written in plain Python, so that the checker needs no library."""
    lines = (samples / "ledger/note/ed25519-sign-40.input").read_text().split()
    for line in lines[:12]:
        _, public, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
        signature = signed[:64]
        assert ed25519_verifies(public, signature, message)
        assert not ed25519_verifies(public, signature, message + b"x")
        assert not ed25519_verifies(public, signature[:-1] + bytes([signature[-1] ^ 1]), message)
        assert not ed25519_verifies(public, signature[:32] + b"\xff" * 32, message)
        assert not ed25519_verifies(b"\xff" * 32, signature, message)


def test_bytes_that_stand_for_no_point_are_no_key_of_the_checker() -> None:
    """RFC 8032 §5.1.3: beyond the field, beside the curve, and a zero with a sign. The same without the sign is a point."""
    sign = 1 << 255
    for y, is_point in ((1, True), (2**255 - 20, True), (1 | sign, False), (2**255 - 20 | sign, False),
                        (2, False), (2**255 - 19, False), (2**255 - 18, False)):  # fmt: skip
        assert (decompressed(y.to_bytes(32, "little")) is not None) == is_point, y


def test_a_signature_has_one_form() -> None:
    """RFC 8032 §5.1.7: with the order of the group added, which changes nothing else, it is none."""
    identity = (1).to_bytes(32, "little")
    assert ed25519_verifies(identity, identity + bytes(32), b"any")
    assert not ed25519_verifies(identity, identity + ORDER.to_bytes(32, "little"), b"any")
