"""The signing key's file: created once, readable by its owner alone, and never silently replaced."""

from __future__ import annotations

import os
import stat
import sys
from pathlib import Path
from subprocess import PIPE, Popen

import pytest

from assent.errors import AssentError
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._note import Ed25519Verifier, open_note, sign_note


def test_the_key_is_created_on_first_use_and_the_same_afterwards(tmp_path: Path) -> None:
    path = tmp_path / "config" / "ledger.key"
    created = Ed25519FileSigner.open_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [entry.name for entry in path.parent.iterdir()] == ["ledger.key"]
    assert Ed25519FileSigner.open_or_create(path).vkey == created.vkey == Ed25519FileSigner.open(path).vkey


def test_two_keys_are_different(tmp_path: Path) -> None:
    one = Ed25519FileSigner.open_or_create(tmp_path / "one")
    assert one.vkey != Ed25519FileSigner.open_or_create(tmp_path / "two").vkey


def test_a_key_signs_under_any_name_it_is_given(tmp_path: Path) -> None:
    """One key file may serve several ledgers, each with its own origin."""
    signer = Ed25519FileSigner.open_or_create(tmp_path / "key").named("log.example/one")
    note = sign_note("text\n", signer)
    assert open_note(note, [Ed25519Verifier.from_vkey(signer.vkey)]).verified[0].name == "log.example/one"


def test_the_private_key_does_not_show(tmp_path: Path) -> None:
    path = tmp_path / "key"
    signer = Ed25519FileSigner.open_or_create(path)
    secret = path.read_text().strip().split("+", 4)[4]
    assert secret not in repr(signer)
    path.write_text(path.read_text().replace("+A", "+B"))
    with pytest.raises(AssentError) as caught:
        Ed25519FileSigner.open(path)
    assert secret[8:] not in str(caught.value.to_dict())


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o610, 0o644, 0o777])
def test_a_key_that_others_may_use_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "key"
    Ed25519FileSigner.open_or_create(path)
    path.chmod(mode)
    with pytest.raises(AssentError) as caught:
        Ed25519FileSigner.open_or_create(path)
    assert (caught.value.code, caught.value.path) == ("KEY_PERMISSIONS", str(path))
    assert f"chmod 600 {path}" in str(caught.value.hint)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\xfe",
        b"PRIVATE+KEY+",
        b"PRIVATE+KEY+name+00000000+AAAA",
        b"PRIVATE+KEY+name+00000000+A" + b"A" * 43 + b"=",
        b"x" * 5000,
    ],
)
def test_a_broken_key_is_refused_and_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    """A new key in its place would make every earlier signature a stranger's."""
    path = tmp_path / "key"
    path.write_bytes(content)
    path.chmod(0o600)
    with pytest.raises(AssentError) as caught:
        Ed25519FileSigner.open_or_create(path)
    assert caught.value.code == "KEY_INVALID"
    assert path.read_bytes() == content


def test_a_changed_character_of_the_key_is_noticed(tmp_path: Path) -> None:
    """The id in the file is the public key's: half of a copied key can't become another key."""
    path = tmp_path / "key"
    Ed25519FileSigner.open_or_create(path)
    text = path.read_text()
    at = len(text) - 10
    path.write_text(text[:at] + ("A" if text[at] != "A" else "B") + text[at + 1 :])
    with pytest.raises(AssentError) as caught:
        Ed25519FileSigner.open(path)
    assert caught.value.code == "KEY_INVALID"


def test_a_key_that_is_no_file_or_not_there_says_so(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo, 0o600)
    occupied = tmp_path / "occupied"
    occupied.write_text("")
    codes = {}
    for path in (tmp_path / "absent", tmp_path, fifo, occupied / "key"):
        with pytest.raises(AssentError) as caught:
            Ed25519FileSigner.open(path)
        codes[path.name] = caught.value.code
        if path.name == "absent":
            assert "`--key`" in str(caught.value.hint), "verifying needs no key file at all"
    assert codes["absent"] == codes["key"] == "KEY_UNREADABLE"
    assert codes["fifo"] == codes[tmp_path.name] == "KEY_INVALID"
    with pytest.raises(AssentError) as caught:
        Ed25519FileSigner.open_or_create(occupied / "key")
    assert caught.value.code == "KEY_UNREADABLE"


def test_processes_that_create_the_key_at_the_same_time_end_up_with_one(tmp_path: Path) -> None:
    """The first complete file wins and the others read it: nobody signs with a key that is nowhere."""
    path = tmp_path / "key"
    code = (
        "import sys; from pathlib import Path; from assent.journal.tree._keys import Ed25519FileSigner\n"
        "sys.stdin.read(); print(Ed25519FileSigner.open_or_create(Path(sys.argv[1])).vkey)"
    )
    command = [sys.executable, "-c", code, str(path)]
    children = [Popen(command, stdin=PIPE, stdout=PIPE, text=True) for _ in range(4)]
    for child in children:
        assert child.stdin is not None
        child.stdin.close()  # All are told to go before any is waited for.
    answers = set()
    for child in children:
        assert child.stdout is not None
        with child.stdout as output:
            answers.add(output.read().strip())
        assert child.wait() == 0
    assert answers == {Ed25519FileSigner.open(path).vkey}
    assert [entry.name for entry in tmp_path.iterdir()] == ["key"]
