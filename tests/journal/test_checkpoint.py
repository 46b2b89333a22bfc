"""Checkpoints, cosignatures and quorums: only what the log signed, and only when enough witnesses saw it."""

from __future__ import annotations

import json
from base64 import b64decode
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assent.errors import InputError
from assent.journal.tree._checkpoint import Checkpoint, open_checkpoint, sign_checkpoint
from assent.journal.tree._cosignature import CosignatureVerifier, cosign_v1, cosigner_vkey, verifier_from_vkey
from assent.journal.tree._keys import Ed25519FileSigner
from assent.journal.tree._note import Ed25519Verifier
from assent.journal.tree._trust import TrustPolicy
from assent.spec.values.merkle import EMPTY_ROOT, Frontier, leaf_hash, tree_root

LOG = Ed25519FileSigner("log.example/one", bytes(32))
WITNESSES = [Ed25519FileSigner(f"w{number}.example", bytes([number]) * 32) for number in (1, 2, 3)]
CHECKPOINT = Checkpoint("log.example/one", 3, tree_root([leaf_hash(b"%d" % index) for index in range(3)]))


def cosigned(*numbers: int) -> str:
    lines = [
        cosign_v1(
            CHECKPOINT.text(), name=WITNESSES[number].name, key=WITNESSES[number], timestamp_s=1_700_000_000
        ).line()
        for number in numbers
    ]
    return sign_checkpoint(CHECKPOINT, LOG) + "".join(lines)


def policy(quorum: str) -> TrustPolicy:
    witnesses = "\n".join(
        f"witness W{at} {cosigner_vkey(key.name, key.public_key)}" for at, key in enumerate(WITNESSES)
    )
    return TrustPolicy.parse(f"# who we trust\nlog {LOG.vkey}\n\n{witnesses}\n{quorum}\n")


checkpoints = st.builds(
    Checkpoint,
    st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1),
    st.integers(0, 2**63 - 1),
    st.binary(min_size=32, max_size=32),
    st.lists(st.text(st.characters(codec="utf-8", min_codepoint=32), min_size=1), max_size=3).map(tuple),
)


@given(checkpoints)
def test_a_checkpoint_reads_back_equal(checkpoint: Checkpoint) -> None:
    assert Checkpoint.parse(checkpoint.text()) == checkpoint


@pytest.mark.parametrize("origin", ["", "two\nlines"])
def test_a_checkpoint_that_could_be_misread_is_not_written(origin: str) -> None:
    with pytest.raises(ValueError, match="line breaks"):
        Checkpoint(origin, 0, EMPTY_ROOT).text()


def test_a_key_signs_for_the_log_of_its_own_name_only() -> None:
    """With the keys of two logs configured, neither can sign a checkpoint of the other."""
    other = Ed25519FileSigner("log.example/two", bytes([9]) * 32)
    keys = [Ed25519Verifier.from_vkey(LOG.vkey), Ed25519Verifier.from_vkey(other.vkey)]
    assert open_checkpoint(sign_checkpoint(CHECKPOINT, LOG), keys).checkpoint == CHECKPOINT
    with pytest.raises(InputError) as caught:
        open_checkpoint(sign_checkpoint(CHECKPOINT, other), keys)
    assert caught.value.code == "SIGNATURE_MISSING"


@pytest.mark.parametrize(
    ("quorum", "enough", "too_few"),
    [
        ("quorum none", [], None),
        ("quorum W1", [1], [0, 2]),
        ("group G 2 W0 W1 W2\nquorum G", [0, 2], [1]),
        ("group G any W0 W1\nquorum G", [1], [2]),
        ("group G all W0 W1 W2\nquorum G", [0, 1, 2], [0, 1]),
        ("group A any W0 W1\ngroup B all A W2\nquorum B", [0, 2], [0, 1]),
    ],
)
def test_a_quorum_is_met_by_enough_of_its_members(
    quorum: str, enough: list[int], too_few: list[int] | None
) -> None:
    opened = policy(quorum).open(cosigned(*enough))
    assert opened.checkpoint == CHECKPOINT
    assert opened.cosigners == tuple(f"W{number}" for number in sorted(enough))
    if too_few is not None:
        with pytest.raises(InputError) as caught:
            policy(quorum).open(cosigned(*too_few))
        assert caught.value.code == "QUORUM_MISSING"


@pytest.mark.parametrize(
    "quorum",
    [
        "",
        "quorum W9",
        "quorum W0\nquorum W1",
        "group G 4 W0 W1 W2\nquorum G",
        "group G 0 W0\nquorum G",
        "group G any\nquorum G",
        "group G any W0 W0\nquorum G",
        "group G any G\nquorum G",
        "group W0 any W1\nquorum W0",
        "group none any W1\nquorum none",
        "quarum W0",
    ],
)
def test_a_policy_that_could_be_misread_is_refused(quorum: str) -> None:
    with pytest.raises(InputError) as caught:
        policy(quorum)
    assert caught.value.code == "TRUST_POLICY_INVALID"


def test_a_cosignature_is_bound_to_its_time() -> None:
    signature = cosign_v1(CHECKPOINT.text(), name="w.example", key=LOG, timestamp_s=5)
    verifier = verifier_from_vkey(cosigner_vkey("w.example", LOG.public_key))
    assert isinstance(verifier, CosignatureVerifier)
    assert verifier.verify(CHECKPOINT.text(), signature.signature)
    assert not verifier.verify(CHECKPOINT.text(), (6).to_bytes(8, "big") + signature.signature[8:])
    assert not verifier.verify(CHECKPOINT.text(), b"\xff" * 8 + signature.signature[8:])
    assert not verifier.verify(CHECKPOINT.text(), b"")


def test_generated_checkpoints(samples: Path) -> None:
    """Ed25519 and ML-DSA-44 log keys, both kinds of cosignature, and every malformed or forged variant."""
    keys = json.loads((samples / "ledger/generated/note/keys.json").read_text())
    trust = TrustPolicy(
        (verifier_from_vkey(keys["log"]), verifier_from_vkey(keys["log_mldsa44"])),
        {f"W{at}": verifier_from_vkey(vkey) for at, vkey in enumerate(keys["witnesses"])},
    )
    lines = (samples / "ledger/generated/note/checkpoints.jsonl").read_bytes().splitlines()
    assert len(lines) == 16
    for line in lines:
        case = json.loads(line)
        if case["valid"]:
            opened = trust.open(case["note"])
            assert opened.checkpoint.origin == keys["origin"]
            assert len(opened.cosigners) == case.get("cosigners", len(opened.cosigners)), case["case"]
        else:
            with pytest.raises(InputError):
                trust.open(case["note"])


def test_a_log_may_sign_with_ml_dsa_44_alone(samples: Path) -> None:
    keys = json.loads((samples / "ledger/generated/note/keys.json").read_text())
    case = json.loads((samples / "ledger/generated/note/checkpoints.jsonl").read_bytes().splitlines()[0])
    trust = TrustPolicy.of_keys(keys["log_mldsa44"])
    assert trust.open(case["note"]).checkpoint.size == 1151
    with pytest.raises(InputError):
        trust.open(case["note"].replace("\n1151\n", "\n1152\n"))


def test_tessera_log(samples: Path) -> None:
    """Entries, tiles and all checkpoints of a log that another program wrote."""
    folder = samples / "ledger/tessera-log"
    trust = TrustPolicy.of_keys((folder / "vkey.txt").read_text().strip())
    leaves = [leaf_hash(entry) for entry in bundle((folder / "tile/entries/000.p/15").read_bytes())]
    assert b"".join(leaves) == (folder / "tile/0/000.p/15").read_bytes()
    found = sorted(path.name for path in folder.glob("checkpoint*"))
    assert len(found) == 17
    for name in found:
        checkpoint = trust.open((folder / name).read_bytes()).checkpoint
        assert checkpoint.root == tree_root(leaves[: checkpoint.size]), name


def test_tiled_tree_of_600_entries(samples: Path) -> None:
    """Each tile above the first level holds the roots of the full tiles below it."""
    folder = samples / "ledger/generated/tiles-600"
    keys = json.loads((samples / "ledger/generated/note/keys.json").read_text())
    entries = [
        entry
        for name in ("000", "001", "002.p/88")
        for entry in bundle((folder / "tile/entries" / name).read_bytes())
    ]
    leaves = [leaf_hash(entry) for entry in entries]
    assert len(leaves) == 600
    tiles = [(folder / "tile/0" / name).read_bytes() for name in ("000", "001", "002.p/88")]
    assert b"".join(leaves) == b"".join(tiles)
    assert (folder / "tile/1/000.p/2").read_bytes() == tree_root(leaves[:256]) + tree_root(leaves[256:512])
    frontier = Frontier()
    frontier.extend(leaves)
    checkpoint = TrustPolicy.of_keys(keys["log"]).open((folder / "checkpoint").read_bytes()).checkpoint
    assert (checkpoint.size, checkpoint.root) == (600, frontier.root())


def test_go_tree_description(samples: Path) -> None:
    """Go's checksum database writes its tree as such a checkpoint; the size needs more than 32 bits."""
    case = json.loads((samples / "ledger/note/go-tlog-tree.json").read_text())
    root = leaf_hash(case["record"].encode())
    assert root == b64decode(case["record_hash_b64"])
    checkpoint = Checkpoint("go.sum database tree", case["size"], root)
    assert checkpoint.text() == f"go.sum database tree\n{case['size']}\n{case['record_hash_b64']}\n"
    assert Checkpoint.parse(checkpoint.text()) == checkpoint


def bundle(data: bytes) -> list[bytes]:
    """The entries of a tlog-tiles entry bundle: each after its length in two bytes."""
    entries = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 2], "big")
        entries.append(data[at + 2 : at + 2 + size])
        at += 2 + size
    return entries
