"""Signed notes: one way to write them, and no text before a known key's signature was checked."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.journal.tree._cosignature import ml_dsa_44_verifies, verifier_from_vkey
from assent.journal.tree._keys import Ed25519FileSigner, format_skey
from assent.journal.tree._note import (
    Ed25519Verifier,
    ed25519_verifies,
    is_key_name,
    open_note,
    parse_note,
    sign_note,
    split_vkey,
)
from tests.support.properties import holds

ALICE = Ed25519FileSigner("alice.example/log", bytes(32))
BOB = Ed25519FileSigner("bob.example/log", bytes([1]) * 32)
note_texts = st.text(st.characters(codec="utf-8", min_codepoint=32) | st.just("\n"), max_size=60).map(
    lambda text: text + "\n"
)


def verifier(signer: Ed25519FileSigner) -> Ed25519Verifier:
    return Ed25519Verifier.from_vkey(signer.vkey)


@holds("signatures")
@given(note_texts)
def test_what_was_signed_can_be_opened(text: str) -> None:
    """Any text, also one with empty lines or with lines that look like signatures."""
    note = open_note(sign_note(text, ALICE, BOB), [verifier(BOB)])
    assert note.text == text
    assert [signature.name for signature in note.verified] == ["bob.example/log"]
    assert [signature.name for signature in note.unverified] == ["alice.example/log"]


@holds("signatures")
@given(st.data())
def test_no_changed_character_of_the_text_goes_unnoticed(data: st.DataObject) -> None:
    note = sign_note("one\ntwo\n\nthree\n", ALICE)
    at = data.draw(st.integers(0, note.index("—") - 1))
    replacement = data.draw(st.characters(codec="utf-8").filter(lambda char: char != note[at]))
    with pytest.raises(InputError):
        open_note(note[:at] + replacement + note[at + 1 :], [verifier(ALICE)])


@holds("signatures")
@given(st.data())
def test_no_changed_character_of_the_signature_goes_unnoticed(data: st.DataObject) -> None:
    note = sign_note("one\n", ALICE)
    at = data.draw(st.integers(note.index("—"), len(note) - 1))
    replacement = data.draw(st.characters(codec="utf-8").filter(lambda char: char != note[at]))
    with pytest.raises(InputError):
        open_note(note[:at] + replacement + note[at + 1 :], [verifier(ALICE)])


def test_a_known_name_with_an_unknown_id_is_another_key() -> None:
    """Only name and id together identify a key; either alone is a stranger's."""
    other = Ed25519FileSigner(ALICE.name, bytes([2]) * 32)
    note = sign_note("text\n", other, BOB)
    opened = open_note(note, [verifier(ALICE), verifier(BOB)])
    assert [signature.name for signature in opened.verified] == [BOB.name]
    with pytest.raises(InputError) as caught:
        open_note(note, [verifier(ALICE)])
    assert caught.value.code == "SIGNATURE_MISSING"


def test_two_different_keys_with_one_identity_are_refused() -> None:
    with pytest.raises(InputError) as caught:
        open_note(sign_note("text\n", ALICE), [verifier(ALICE), verifier(ALICE)])
    assert caught.value.code == "KEY_INVALID"


@pytest.mark.parametrize("text", ["no newline", "", "tab\there\n", "carriage\r\n"])
def test_a_text_that_no_note_can_hold_is_not_signed(text: str) -> None:
    with pytest.raises(ValueError, match="ends in a newline"):
        sign_note(text, ALICE)


@pytest.mark.parametrize("name", ["", "a b", "a+b", "a\u2003b", "a\nb", "a\x1bb"])
def test_names_that_could_be_misread_are_refused(name: str) -> None:
    assert not is_key_name(name)
    with pytest.raises(InputError):
        Ed25519FileSigner(name, bytes(32))


def test_a_note_that_is_too_long_or_not_utf8_is_refused() -> None:
    for note in (b"x" * 1_000_001, b"\xff\n\n\xe2\x80\x94 a AAAAAAA=\n", "\ud800\n\n— a AAAAAAA=\n"):
        with pytest.raises(InputError) as caught:
            parse_note(note)
        assert caught.value.code == "NOTE_MALFORMED"


def test_a_note_at_each_limit_is_read_and_one_beyond_it_is_not() -> None:
    """A megabyte, a hundred signatures, and a signature of one byte behind its key's id."""
    line = "— a AAAAAAA=\n"
    long = f"{'x' * (1_000_000 - len(line.encode()) - 2)}\n\n{line}"
    assert len(long.encode()) == 1_000_000
    for note, beyond in (
        (long, "x" + long),
        ("x\n\n" + line * 100, "x\n\n" + line * 101),
        ("x\n\n" + line, "x\n\n— a AAAAAA==\n"),
    ):
        assert {signature.name for signature in parse_note(note).signatures} == {"a"}
        assert parse_note(note.encode()) == parse_note(note)
        for wrong in (beyond, beyond.encode()):
            with pytest.raises(InputError) as caught:
                parse_note(wrong)
            assert caught.value.code == "NOTE_MALFORMED"


def test_go_note_open_cases(samples: Path) -> None:
    """What golang.org/x/mod/sumdb/note accepts and refuses, for the same reason."""
    codes = {
        "malformed note": "NOTE_MALFORMED",
        "invalid signature": "SIGNATURE_INVALID",
        "note has no verifiable signatures": "SIGNATURE_MISSING",
    }
    lines = (samples / "ledger/note/go-note-open.jsonl").read_bytes().splitlines()
    assert len(lines) == 13
    for line in lines:
        case = json.loads(line)
        verifiers = [verifier_from_vkey(vkey) for vkey in case["vkeys"]]
        if case["want"] == "ok":
            note = open_note(case["note"], verifiers)
            assert [signature.name for signature in note.verified] == case["verified"], case["case"]
            assert [signature.name for signature in note.unverified] == case["unverified"], case["case"]
        else:
            with pytest.raises(InputError) as caught:
                open_note(case["note"], verifiers)
            assert caught.value.code == codes[case["want"]], case["case"]


def test_go_keys_are_read_and_every_part_or_neighbour_of_them_is_refused(
    samples: Path, tmp_path: Path
) -> None:
    keys = json.loads((samples / "ledger/note/go-note-keys.json").read_text())
    path = tmp_path / "key"
    path.touch(mode=0o600)
    path.write_text(keys["skey"])
    signer = Ed25519FileSigner.open(path)
    assert signer.vkey == keys["good_vkeys"][0]
    assert sign_note(keys["sign_text"], signer) == keys["sign_want"]
    refused = list(keys["bad_vkeys"])
    for vkey in keys["good_vkeys"]:
        assert Ed25519Verifier.from_vkey(vkey).vkey == vkey
        refused += [vkey[:at] for at in range(len(vkey))]
        refused += [vkey[:at] + chr(ord(vkey[at]) + 1) + vkey[at + 1 :] for at in range(len(vkey))]
    for vkey in refused:
        with pytest.raises(InputError) as caught:
            verifier_from_vkey(vkey)
        assert caught.value.code == "KEY_INVALID"


def test_the_worked_example_of_the_specification(samples: Path) -> None:
    example = json.loads((samples / "ledger/note/c2sp-example.json").read_text())
    note = open_note(example["note"], [verifier_from_vkey(example["vkey"])])
    assert note.text == "This is an example message.\n"


def test_ed25519_reference_vectors(samples: Path) -> None:
    """The first 40 vectors of RFC 8032's authors: our signatures are theirs, bit for bit."""
    lines = (samples / "ledger/note/ed25519-sign-40.input").read_text().split()
    assert len(lines) == 40
    for line in lines:
        secret, public, message, signed = (bytes.fromhex(field) for field in line.split(":")[:4])
        signer = Ed25519FileSigner("test", secret[:32])
        assert signer.public_key == public
        assert signer.sign(message) == signed[:64]
        assert ed25519_verifies(public, signed[:64], message)
        assert not ed25519_verifies(public, signed[:64], message + b"x")


def test_ml_dsa_44_known_answers(samples: Path) -> None:
    """FIPS 204, pure mode with a context: good as published, bad with another context or message."""
    text = (samples / "ledger/note/mldsa44-kat-3.rsp").read_text()
    blocks = [dict(line.split(" = ") for line in block.splitlines()) for block in text.strip().split("\n\n")]
    assert len(blocks) == 3
    for block in blocks:
        public, message, context, signed = (bytes.fromhex(block[name]) for name in ("pk", "msg", "ctx", "sm"))
        signature = signed[: len(signed) - len(message)]
        assert ml_dsa_44_verifies(public, signature, message, context=context)
        assert not ml_dsa_44_verifies(public, signature, message)
        assert not ml_dsa_44_verifies(public, signature, message + b"x", context=context)
        assert not ml_dsa_44_verifies(public[1:], signature, message, context=context)


@pytest.mark.parametrize("cut", [0, 1, len("PRIVATE+KEY+"), len("PRIVATE+KEY+example.com/log+")])
def test_private_key_given_as_a_public_one_is_never_quoted(cut: int) -> None:
    """Whoever mixes the two up, or copies half of one, finds no part of the secret in an error, a log or a transcript."""
    secret = format_skey("example.com/log", bytes(range(32)), bytes(32))
    with pytest.raises(InputError) as caught:
        split_vkey(secret[cut:])
    assert caught.value.code == "KEY_INVALID"
    assert ("this is a private key" in caught.value.message) == (cut == 0)
    assert secret.rpartition("+")[2][:8] not in str(caught.value.to_dict())
