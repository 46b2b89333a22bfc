"""A witness cosigns only continuations of what it cosigned before."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from assent.journal.tree._checkpoint import Checkpoint, encode_hash, sign_checkpoint
from assent.journal.tree._cosignature import verifier_from_vkey
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._note import Ed25519Verifier
from assent.journal.tree._witness import judge
from assent.spec.values.merkle import consistency_proof, leaf_hash, tree_root

LOG = Ed25519FileSigner("log.example/one", bytes(32))
LOGS = {LOG.name: [Ed25519Verifier.from_vkey(LOG.vkey)]}
LEAVES = [leaf_hash(b"%d" % at) for at in range(9)]


def head(size: int) -> Checkpoint:
    return Checkpoint(LOG.name, size, tree_root(LEAVES[:size]))


def request(old: int, new: Checkpoint, proof: list[bytes]) -> str:
    lines = "".join(f"{encode_hash(value)}\n" for value in proof)
    return f"old {old}\n{lines}\n{sign_checkpoint(new, LOG)}"


def test_a_continuation_is_accepted_and_a_rewritten_history_is_not() -> None:
    latest = {LOG.name: head(4)}
    proof = consistency_proof(LEAVES, 4)
    verdict = judge(request(4, head(9), proof), logs=LOGS, latest=latest)
    assert (verdict.status, verdict.accepted) == (200, head(9))
    rewritten = Checkpoint(LOG.name, 9, tree_root([leaf_hash(b"forged"), *LEAVES[1:]]))
    assert judge(request(4, rewritten, proof), logs=LOGS, latest=latest).status == 422


def test_a_first_checkpoint_needs_no_proof_and_may_not_bring_one() -> None:
    assert judge(request(0, head(9), []), logs=LOGS, latest={}).status == 200
    assert judge(request(0, head(9), [LEAVES[0]]), logs=LOGS, latest={}).status == 422
    assert judge(request(0, head(0), []), logs=LOGS, latest={}).status == 200
    assert judge(request(0, Checkpoint(LOG.name, 0, LEAVES[0]), []), logs=LOGS, latest={}).status == 422


@pytest.mark.parametrize(
    "text",
    [
        "",
        "old 0\n",
        "old 00\n\nx",
        "new 0\n\nx",
        "old 0\nnot a hash\n\nx",
        "old 0\n\nnot a note",
        "old 0\n" + "A\n" * 64 + "\nx",
    ],
)
def test_a_malformed_request_is_a_bad_request(text: str) -> None:
    assert judge(text, logs=LOGS, latest={}).status == 400


def test_a_signed_text_that_is_no_checkpoint_is_a_bad_request() -> None:
    note = sign_checkpoint(head(1), LOG).replace("\n1\n", "\n01\n")
    assert (
        judge(f"old 0\n\n{note}", logs=LOGS, latest={}).status == 403
    )  # the signature is checked before the text is read


def test_the_transcript_of_a_witness(samples: Path) -> None:
    """Requests in order, each with the status and body that a C2SP tlog-witness must give."""
    keys = json.loads((samples / "ledger/generated/note/keys.json").read_text())
    logs = {keys["origin"]: [verifier_from_vkey(keys["log"])]}
    latest: dict[str, Checkpoint] = {}
    lines = (samples / "ledger/generated/witness/transcript.jsonl").read_bytes().splitlines()
    assert len(lines) == 11
    for line in lines:
        case = json.loads(line)
        verdict = judge(case["request"], logs=logs, latest=latest)
        assert verdict.status == case["status"], case["case"]
        assert case["body"] in (None, verdict.body), case["case"]
        if verdict.accepted is not None:
            latest[verdict.accepted.origin] = verdict.accepted
