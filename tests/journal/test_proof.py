"""Inclusion proofs as text: they prove exactly one entry at one place under one signed root."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.journal.tree._checkpoint import Checkpoint, encode_hash, sign_checkpoint
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._proof import PROOF_HEADER, InclusionProof
from assent.journal.tree._trust import TrustPolicy
from assent.spec.values.merkle import inclusion_proof, leaf_hash, tree_root
from tests.support.properties import holds

LOG = Ed25519FileSigner("log.example/one", bytes(32))
TRUST = TrustPolicy.of_keys(LOG.vkey)


def proof_of(index: int, size: int, *, extra: bytes | None = None) -> InclusionProof:
    leaves = [leaf_hash(b"%d" % at) for at in range(size)]
    note = sign_checkpoint(Checkpoint(LOG.name, size, tree_root(leaves)), LOG)
    return InclusionProof(index, tuple(inclusion_proof(leaves, index)), note, extra)


@holds("inclusion")
@given(st.data())
def test_a_proof_reads_back_equal_and_verifies(data: st.DataObject) -> None:
    size = data.draw(st.integers(1, 40))
    index = data.draw(st.integers(0, size - 1))
    proof = proof_of(index, size, extra=data.draw(st.none() | st.binary(max_size=20)))
    assert InclusionProof.parse(proof.text()) == proof
    assert InclusionProof.parse(proof.text().encode()) == proof
    assert proof.verify(leaf_hash(b"%d" % index), TRUST).checkpoint.size == size
    with pytest.raises(InputError) as caught:
        proof.verify(leaf_hash(b"another entry"), TRUST)
    assert caught.value.code == "PROOF_INVALID"


@holds("inclusion")
@given(st.data())
def test_no_changed_character_of_a_proof_goes_unnoticed(data: st.DataObject) -> None:
    """A changed file is refused, or (in the extra data, which proves nothing) still proves only the same entry."""
    text = proof_of(5, 13).text()
    at = data.draw(st.integers(0, len(text) - 1))
    replacement = data.draw(st.characters(codec="utf-8").filter(lambda char: char != text[at]))
    with pytest.raises(InputError):
        InclusionProof.parse(text[:at] + replacement + text[at + 1 :]).verify(leaf_hash(b"5"), TRUST)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("@v1", "@v2"),
        ("index 5", "index 05"),
        ("index 5", "index -5"),
        ("index 5", "index 5 "),
        ("index 5", "Index 5"),
        ("index 5\n", ""),
        ("index 5\n", "extra AA==\nextra AA==\nindex 5\n"),
        ("index 5\n", "extra A\nindex 5\n"),
        ("index 5\n", "extra AA*==\nindex 5\n"),
        ("index 5\n", "index 5\nnot a hash\n"),
        ("\n\n", "\n"),
    ],
)
def test_other_forms_of_a_proof_are_refused(old: str, new: str) -> None:
    text = proof_of(5, 13).text()
    assert old in text
    with pytest.raises(InputError):
        InclusionProof.parse(text.replace(old, new)).verify(leaf_hash(b"5"), TRUST)


def test_a_proof_has_no_more_hashes_than_the_largest_tree_has_levels() -> None:
    text = f"{PROOF_HEADER}\nindex 5\n" + "\n".join([encode_hash(bytes(32))] * 63)
    assert len(InclusionProof.parse(text + "\n\nnote").path) == 63
    with pytest.raises(InputError, match="more than 63"):
        InclusionProof.parse(f"{text}\n{encode_hash(bytes(32))}\n\nnote")


@pytest.mark.parametrize("text", [b"\xff", f"{PROOF_HEADER}\n\n", f"{PROOF_HEADER}\nextra AA==\n\n"])
def test_what_has_no_index_is_no_proof(text: bytes | str) -> None:
    """Neither have bytes that are no text."""
    with pytest.raises(InputError) as caught:
        InclusionProof.parse(text)
    assert caught.value.code == "PROOF_MALFORMED"


def test_generated_proofs(samples: Path) -> None:
    """48 proof texts under a 2-of-3 policy: stale, forked, reversed, or short of witnesses ones are refused."""
    folder = samples / "ledger/generated/note"
    trust = TrustPolicy.parse((folder / "policy-2of3.txt").read_text())
    lines = (folder / "proofs.jsonl").read_bytes().splitlines()
    assert len(lines) == 48
    for line in lines:
        case = json.loads(line)
        leaf = leaf_hash(b64decode(case["entry_b64"]))
        if case["valid"]:
            proof = InclusionProof.parse(case["proof"])
            assert proof.text() == case["proof"]
            assert len(proof.verify(leaf, trust).cosigners) >= 2, case["case"]
        else:
            with pytest.raises(InputError):
                InclusionProof.parse(case["proof"]).verify(leaf, trust)
